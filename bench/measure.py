"""Fair timing: calls take turns, medians, and what the machine is."""

from __future__ import annotations

import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lrcore import _core


def processor():
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def side_by_side(calls, rounds):
    """Median seconds of each call; the calls take turns, so that a slow spell hits all."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def repeated(call, times):
    """The call as often as it takes for the clock not to matter."""

    def run():
        for _ in range(times):
            call()

    return run


def with_results(calls):
    """The calls, and where each leaves its latest result."""
    results = {}

    def keeping(name, call):
        def run():
            results[name] = call()

        return run

    return {name: keeping(name, call) for name, call in calls.items()}, results


def read_bandwidth(words, counts, rounds):
    """Bytes a second that float32 are read at, for each number of threads: the best of the
    core's look for NaN and of BLAS's dot product."""
    x = np.ones(words, np.float32)
    look = _core.kernels.first_nonfinite["float"]
    found = {}
    for n in counts:
        with threadpool_limits(n):
            calls = {"look": lambda n=n: look(x, n), "dot": lambda: x @ x}
            found[n] = x.nbytes / min(side_by_side(calls, rounds).values())
    return found


def memory():
    """Bytes that are resident now, and the most that ever were. Not `ru_maxrss`: a child begins
    with that of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return tuple(int(values[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))


def in_child(function, *args):
    """What the function returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
