"""How many threads: what bounds them, and that the limits of others hold."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
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


def test_small_work_stays_serial():
    assert threads.count(None, 1000) == 1
    assert threads.count(None, 10**9) == min(threads.limits().values())


@pytest.mark.parametrize(
    "asked, work, n_processors, expected",
    [
        (3, 1000, {"affinity": 8}, 3),
        (8, 10**6, {"affinity": 2}, 2),
        (8, 10**6, {"affinity": 4, "cgroup quota": 1}, 1),
        (1024, 2 * 8, {"affinity": 1024}, 1),
        (1024, 2 * 30, {"affinity": 1024}, 3),
        (5, 0, {"affinity": 8}, 1),
    ],
)
def test_a_number_is_bounded_by_processors_and_work(
    asked, work, n_processors, expected, monkeypatch
):
    monkeypatch.setattr(threads, "processors", lambda: n_processors)
    assert threads.count(asked, work) == expected


def test_the_affinity_bounds_what_is_started(processors_as_they_are):
    """As `taskset` sets it, on a machine of any size."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.count(1024, 10**9) == 1
        assert threads.count(None, 10**9) == 1
    finally:
        os.sched_setaffinity(0, before)
    assert threads.count(1024, 10**9) <= len(before)


ONE = {
    "stochastic": {"solver": "stochastic", "scale": "auto", "max_iter": 2},
    "newton": {"solver": "newton", "alpha": "auto"},
    "l1": {"solver": "newton", "penalty": "l1", "alpha": 1e-3},
    "dual": {"solver": "dual", "alpha": "auto"},
    "stopped": {"solver": "stochastic", "early_stopping": True, "max_iter": 2},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sparse_rows", [False, True])
@pytest.mark.parametrize("kind", ONE)
def test_one_thread_stays_one_in_all_of_a_fit(kind, sparse_rows, monkeypatch):
    """Also in the checks of what is given, and in what is worked out beside the fit."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 20))
    y = X[:, 0] + rng.normal(size=1000) > 0
    X = sparse.csr_array(X) if sparse_rows else X
    asked, count = [], threads.count

    def noted(n_threads, work):
        asked.append(n_threads)
        return count(n_threads, work)

    monkeypatch.setattr(threads, "count", noted)
    model = lrcore.LinearClassifier(n_threads=1, **ONE[kind])
    model.fit(X, y, eval_set=(X, y)).decision_function(X)
    model.score(X, y)
    assert set(asked) == {1}


FORKED = """
import ctypes, os, signal, sys
order = sys.argv[1]

def run_openmp():
    function = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
    ctypes.CDLL("libgomp.so.1").GOMP_parallel(function, None, 2, 0)

if order == "core first":
    import lrcore
run_openmp()
if order == "core second":
    import lrcore
child = os.fork()
if child == 0:
    signal.alarm(90)
    import numpy as np
    import lrcore
    from lrcore._backend import threads
    assert threads.count(8, 10**9) == threads.count(None, 10**9) == lrcore.get_num_threads() == 1
    X = np.random.default_rng(0).normal(size=(20_000, 20))
    w = np.ones(200_000)
    for n in (1, 2, None):
        lrcore.LinearClassifier(n_threads=n, max_iter=1).fit(X, X[:, 0] > 0).predict(X)
        lrcore.Optimizer(w, lrcore.Adam(), n_threads=n).step(np.ones(200_000))
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(
    _core.kernels is None or not _core.kernels.openmp_threads() or sys.platform != "linux",
    reason="needs OpenMP of gcc on Linux",
)
@pytest.mark.parametrize("order", ["core first", "core second", "core in the child"])
def test_a_fork_after_another_library_ran_openmp(order):
    """Its threads are gone in the child, which would wait for them for ever."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED, order]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


def test_a_fresh_process_is_no_fork():
    assert not _core.forked


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
