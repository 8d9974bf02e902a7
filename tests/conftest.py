import signal

import pytest
from backends import use_backend
from hypothesis import settings
from strategies import BUILDS

from lrcore._backend import threads

# Under sanitizers and on busy machines an example may take long, which is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(params=BUILDS)
def build(request, monkeypatch):
    """Every compiled build that this machine runs, put in the place of the chosen one."""
    return use_backend(monkeypatch, request.param)


@pytest.fixture(params=[*BUILDS, "numpy"])
def backend(request, monkeypatch):
    """Every build, and the NumPy backend."""
    use_backend(monkeypatch, request.param)
    return request.param


@pytest.fixture(autouse=True)
def many_processors(request, monkeypatch):
    """Tests get the threads that they ask for, though this machine may not have as many
    processors; unless they use `processors_as_they_are`."""
    if "processors_as_they_are" not in request.fixturenames:
        monkeypatch.setattr(threads, "processors", lambda: {"affinity": 1024})


@pytest.fixture
def processors_as_they_are():
    """Threads are bounded by the processors of this machine."""


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises, as in a terminal: in the background of a script Python finds it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


#: Need torch, optax and others; run by hand.
collect_ignore = ["golden/record.py", "golden/record_schedules.py", "golden/record_vw.py"]
