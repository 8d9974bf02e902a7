"""The bits of every kind of fit and step are those that were recorded: nothing may move them."""

import json

import pytest
from digests import FILE, fits, runs
from strategies import BUILDS

RECORDED = json.loads(FILE.read_text())
ALL = {**fits(), **runs()}


def test_every_run_was_recorded():
    assert RECORDED.keys() == ALL.keys()
    assert len(RECORDED) > 350
    assert len(set(RECORDED.values())) > len(RECORDED) - 5


@pytest.mark.skipif(not BUILDS, reason="the NumPy backend agrees to rounding only")
@pytest.mark.parametrize("threads", [1, 2])
def test_bits_are_those_recorded(build, threads, monkeypatch):
    monkeypatch.setattr(
        "lrcore._backend.threads.count", lambda n_threads, work: n_threads or threads
    )
    different = [name for name, run in ALL.items() if run() != RECORDED[name]]
    assert not different
