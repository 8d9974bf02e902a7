"""Fair timing: calls take turns, medians with their spread, and what the machine is."""

from __future__ import annotations

import operator
import os
import platform
import statistics
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy
import sklearn
from threadpoolctl import threadpool_limits

import lrcore
from lrcore import _core

#: The rate where passes are timed, the rule's own: nothing is looked for.
LR = lrcore.AdaGrad.linear_lr


def processor():
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def caches():
    """Bytes of the first processor's data caches by level, as the system gives them."""
    units, found = {"K": 1 << 10, "M": 1 << 20}, {}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, kind, size = (
            (index / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = int(size[:-1]) * units[size[-1]]
    return dict(sorted(found.items()))


def commit():
    """The checkout's commit, with a plus if files differ from it; None outside of one."""
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
    """What figures depend on besides the code: the machine and the libraries."""
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
    """The median of a figure's rounds.

    Arithmetic with another that took turns with it goes round by round, so that a slow spell,
    which hits both, is gone from their ratio; with anything else it is arithmetic with a number.
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
    """Seconds of each call; the calls take turns, so that a slow spell hits all."""
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
