"""How many threads: what bounds them, and that the limits of others hold."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import lrcore
from lrcore import _core
from lrcore._backend import threads


@pytest.mark.skipif(
    _core.kernels is None or not _core.kernels.openmp_threads(), reason="built without OpenMP"
)
def test_limits_of_threadpoolctl_hold():
    # threadpoolctl finds OpenMP once a parallel region has loaded it.
    _core.kernels.first_nonfinite["float"](np.ones(10, np.float32), 2)
    with threadpool_limits(1, user_api="openmp"):
        assert threads.limits()["OpenMP"] == 1
        assert threads.count(None, 10**9) == 1


@pytest.mark.skipif(
    _core.kernels is None or not _core.kernels.openmp_threads(), reason="built without OpenMP"
)
def test_a_step_keeps_to_them(monkeypatch):
    """What the core is told, from calls of every kind."""
    told = []
    count = threads.count

    def counted(n_threads, work):
        told.append(count(n_threads, work))
        return told[-1]

    monkeypatch.setattr(threads, "count", counted)
    w = np.ones((1000, 400), np.float32)
    rows = (np.arange(1000), np.ones((1000, 400), np.float32))
    optimizer = lrcore.Optimizer(w, lrcore.Adam())
    optimizer.step(np.ones_like(w))
    with threadpool_limits(1, user_api="openmp"):
        told.clear()
        optimizer.step(np.ones_like(w))
        optimizer.step(np.ones_like(w), clip_norm=1.0)
        optimizer.step(rows)
    with lrcore.num_threads(1):
        optimizer.step(np.ones_like(w))
    assert told == [1] * len(told)
    assert len(told) >= 7
    told.clear()
    optimizer.step(rows, n_threads=3)
    assert set(told) == {3}


def test_small_work_stays_serial_and_a_number_is_taken_at_its_word():
    assert threads.count(None, 1000) == 1
    assert threads.count(3, 1000) == 3
    assert threads.count(None, 10**9) == min(threads.limits().values())


@pytest.mark.parametrize(
    "content, expected",
    [("max 100000", None), ("150000 100000", 1), ("400000 100000", 4), ("50000 100000", 1)],
)
def test_the_quota_of_a_container_is_read(content, expected, monkeypatch):
    monkeypatch.setattr(threads.Path, "read_text", lambda self: content)
    assert threads.cgroup_quota() == expected


def test_a_tuner_takes_the_faster_number_and_tries_the_other_again():
    tuner = threads.ThreadTuner(4, fixed=False)
    cost = {4: 2.0, 1: 1.0}
    chosen = []
    for _ in range(60):
        chosen.append(tuner.choose())
        tuner.note(chosen[-1], 40_000, cost[chosen[-1]])
    assert chosen[:2] == [4, 1]
    assert chosen.count(1) > 50
    assert 4 in chosen[2:]
    cost.update({4: 0.5})
    for _ in range(60):
        chosen.append(tuner.choose())
        tuner.note(chosen[-1], 40_000, cost[chosen[-1]])
    assert chosen[-30:].count(4) > 25
    assert {threads.ThreadTuner(3, fixed=True).choose() for _ in range(5)} == {3}
