"""The cost of a step of `rule.minimize` beside fun and jac, for small and for large vectors.

``python bench/minimize.py [--rounds 7]``
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from benchmarks.functions import rosenbrock
from benchmarks.workloads import bytes_moved
from measure import Measured
from scipy.optimize import Bounds
from tables import LABEL, RATIO, SECONDS, SPEED, Section

import lrcore
from lrcore import _core

ADAM = lrcore.Adam(lr=1e-4)

#: Additional arguments.
EXTRAS = {
    "nothing": {},
    "bounds": {"bounds": Bounds(-1e6, 1e6)},
    "ftol, xtol": {"ftol": 1e-300, "xtol": 1e-300},
    "averaging": {"averaging": "polyak"},
    "callback": {"callback": lambda x: None},
    "return_all": {"return_all": True},
}


class Clocked:
    """A function that adds up the seconds of its calls."""

    def __init__(self, call):
        self.call, self.seconds = call, 0.0

    def __call__(self, x):
        start = time.perf_counter()
        value = self.call(x)
        self.seconds += time.perf_counter() - start
        return value


class OneArray:
    """A gradient that is written into the same array each time, as fast functions do. Otherwise the
    memory of a new array would be allocated within jac and freed outside of it."""

    def __init__(self, call, like):
        self.call, self.out = call, np.empty_like(like)

    def __call__(self, x):
        np.copyto(self.out, self.call(x))
        return self.out


def spent(fun, jac, x0, steps, **keywords):
    """Return the seconds of a run outside fun and jac, and within them."""
    fun, jac = Clocked(fun), Clocked(jac)
    start = time.perf_counter()
    found = ADAM.minimize(fun, x0, jac=jac, maxiter=steps, gtol=0.0, **keywords)
    total = time.perf_counter() - start
    assert found.nit == steps, found.message
    inside = fun.seconds + jac.seconds
    return np.array([total - inside, inside])


def a_step(rounds, fun, jac, x0, steps, **keywords):
    """Return both for a single step: the difference between a longer and a shorter run."""
    differences = [
        spent(fun, jac, x0, 3 * steps, **keywords) - spent(fun, jac, x0, steps, **keywords)
        for _ in range(rounds)
    ]
    return [Measured(each) for each in np.transpose(differences) / (2 * steps)]


def report_small(section, rounds):
    """Report the time of a step beside fun and jac, which includes the clock itself."""
    sizes = (2, 100, 1_000, 10_000)
    table = section.table(
        "A step beside fun and jac: Adam, float64, one thread",
        {"with": LABEL, **{f"{size:,}": SECONDS for size in sizes}},
    )
    for name, keywords in EXTRAS.items():
        row = []
        for size in sizes:
            x0, g = np.ones(size), np.full(size, 0.5)
            rest, _ = a_step(
                rounds, lambda x: float(x[0]), lambda x, g=g: g, x0, 1000, n_threads=1, **keywords
            )
            row.append(rest)
        table.add(name, *row)


def parts(problem, x0, rounds):
    """Return the seconds of each part of a step, timed just after fun and jac, so that the caches
    are in the same state as in a run."""
    touch = _core.kernels.read_modify_write["float" if x0.dtype == np.float32 else "double"]
    words = np.ones(bytes_moved(ADAM, x0.itemsize) * x0.size // (2 * x0.itemsize), x0.dtype)
    x, kept = x0.copy(), x0.copy()
    optimizer = lrcore.Optimizer(x, ADAM, n_threads=1, nonfinite="propagate")
    calls = {
        "floor": lambda g: touch(words, 1),
        "kernel": optimizer.step,
        "copy": lambda g: np.copyto(kept, x),
        "look": lambda g: g.dot(g),
    }
    times = {name: [] for name in (*calls, "release")}
    for _ in range(rounds):
        for name, call in calls.items():
            problem.fun(x)
            g = problem.jac(x)
            start = time.perf_counter()
            call(g)
            times[name].append(time.perf_counter() - start)
        start = time.perf_counter()
        del g
        times["release"].append(time.perf_counter() - start)
    return {name: Measured(values) for name, values in times.items()}


def report_rosenbrock(section, sizes, dtypes, rounds):
    """Compare a step with its parts, and with a loop over the bytes that the rule moves."""
    names = ("kernel", "copy", "look", "release", "floor")
    table = section.table(
        "Rosenbrock's function: a step of Adam, one thread",
        {
            "dtype": LABEL, "size": LABEL, "kernel / floor": RATIO, "beside / floor": RATIO,
            "fun and jac": SECONDS, "beside": SECONDS, **dict.fromkeys(names, SECONDS),
            "floor GB/s": SPEED,
        },
        "beside: everything except fun and jac, which writes all gradients into one array. kernel: "
        "the rule's step. copy: of the point that fun gets, which is kept if it is the best. look: "
        "one pass over the gradient. release: of the gradient's memory, in addition if jac "
        "allocates a new array each time. floor: a loop that reads, modifies and writes as many "
        "bytes as the rule moves, also after fun and jac.",
    )  # fmt: skip
    for size in sizes:
        for dtype in dtypes:
            problem = rosenbrock(size)
            x0 = problem.x0.astype(dtype)
            steps = max(5, min(50, 8_000_000 // size))
            jac = OneArray(problem.jac, x0)
            rest, inside = a_step(rounds, problem.fun, jac, x0, steps, n_threads=1)
            t = parts(problem, x0, 3 * rounds)
            speed = bytes_moved(ADAM, x0.itemsize) * size / 1e9 / t["floor"]
            ratios = t["kernel"] / t["floor"], rest / t["floor"]
            name = np.dtype(dtype).name
            table.add(name, size, *ratios, inside, rest, *(t[part] for part in names), speed)


def report_minimize(section, quick, rounds):
    report_small(section, rounds)
    sizes = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000, 4_000_000)
    report_rosenbrock(section, sizes, (np.float32, np.float64), rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    report_minimize(Section("Minimising functions"), quick=False, rounds=options.rounds)


if __name__ == "__main__":
    main()
