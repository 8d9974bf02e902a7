"""Timing: calls in turns, medians with their spread, and a description of the machine."""

from __future__ import annotations

import operator
import os
import platform
import statistics
import subprocess
import time
from concurrent import futures
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np
import scipy
import sklearn
from threadpoolctl import threadpool_limits

import lrcore
from lrcore import _core

#: The rate where epochs are timed is the rule's default, so that no rate is searched.
LR = lrcore.AdaGrad.linear_lr


def processor():
    """Return the name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def caches():
    """Return the bytes of the first processor's data caches by level."""
    units, found = {"K": 1 << 10, "M": 1 << 20}, {}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, kind, size = (
            (index / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = int(size[:-1]) * units[size[-1]]
    return dict(sorted(found.items()))


def commit():
    """Return the commit of the checkout, with a plus if files differ; None outside of one."""
    here = Path(__file__).parent
    try:
        name, changed = (
            subprocess.run(
                ["git", *words], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "--short", "HEAD"), ("status", "-s", "-uno"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + "+" * bool(changed)


def surroundings(n_threads):
    """Describe the machine and the versions of the libraries."""
    versions = {
        "lrcore": f"{lrcore.__version__} ({_core.isa})", "commit": commit(),
        "Python": platform.python_version(), "NumPy": np.__version__, "SciPy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }  # fmt: skip
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    machine = {
        "processor": processor(), "threads": n_threads, "caches": caches(),
        "system": f"{platform.system()} {platform.machine()}",
    }  # fmt: skip
    return {"versions": versions, "machine": machine, "load": load}


class Measured(float):
    """The median of the rounds of a figure.

    Arithmetic with a figure of as many rounds is done round by round, so that a slow spell of the
    machine, which affects both, cancels in their ratio. With anything else the median is used.
    """

    def __new__(cls, rounds):
        self = super().__new__(cls, statistics.median(rounds))
        self.rounds = tuple(rounds)
        return self

    def quartiles(self):
        return tuple(map(float, np.percentile(self.rounds, (25, 75))))

    def _by_round(self, other, operation):
        others = getattr(other, "rounds", ())
        if len(others) != len(self.rounds):
            others = [float(other)] * len(self.rounds)
        return Measured([operation(a, b) for a, b in zip(self.rounds, others)])

    def __add__(self, other):
        return self._by_round(other, operator.add)

    def __sub__(self, other):
        return self._by_round(other, operator.sub)

    def __mul__(self, other):
        return self._by_round(other, operator.mul)

    def __truediv__(self, other):
        return self._by_round(other, operator.truediv)

    def __rtruediv__(self, other):
        return self._by_round(other, lambda mine, number: number / mine)

    __rmul__ = __mul__


def side_by_side(calls, rounds):
    """Return the seconds of each call. The calls take turns, so that a slow spell affects all."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: Measured(values) for name, values in times.items()}


def repeated(call, times):
    """Return a function that makes the call so many times."""

    def run():
        for _ in range(times):
            call()

    return run


def with_results(calls):
    """Return the calls, and a dict in which each stores its latest result."""
    results = {}

    def keeping(name, call):
        def run():
            results[name] = call()

        return run

    return {name: keeping(name, call) for name, call in calls.items()}, results


def read_bandwidth(words, counts, rounds):
    """Return the bytes of float32 read in a second, for each number of threads: the better of the
    core's check for NaN and the dot product of BLAS."""
    x = np.ones(words, np.float32)
    look = _core.kernels.first_nonfinite["float"]
    found = {}
    for n in counts:
        with threadpool_limits(n):
            calls = {"look": lambda n=n: look(x, n), "dot": lambda: x @ x}
            found[n] = x.nbytes / min(side_by_side(calls, rounds).values())
    return found


def memory():
    """Return the resident bytes now, and their maximum. `ru_maxrss` cannot be used, because a child
    process inherits it from its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return tuple(int(values[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))


def in_child(function, *args, limit=None):
    """Call the function in a fresh process, which is ended by a TimeoutError after `limit`
    seconds."""
    with futures.ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *args).result(limit)
        except futures.TimeoutError:
            for child in active_children():
                child.kill()
            raise
