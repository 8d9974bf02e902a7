"""What a step of `rule.minimize` costs beside fun and jac: of small vectors, and of large ones.

``python bench/minimize.py [--rounds 7]``
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from benchmarks.functions import rosenbrock
from benchmarks.workloads import bytes_moved
from scipy.optimize import Bounds

import lrcore
from lrcore import _core

ADAM = lrcore.Adam(lr=1e-4)

#: What is asked for besides steps.
EXTRAS = {
    "nothing": {},
    "bounds": {"bounds": Bounds(-1e6, 1e6)},
    "ftol, xtol": {"ftol": 1e-300, "xtol": 1e-300},
    "averaging": {"averaging": "polyak"},
    "callback": {"callback": lambda x: None},
    "return_all": {"return_all": True},
}


class Clocked:
    """A function that adds up the seconds spent in it."""

    def __init__(self, call):
        self.call, self.seconds = call, 0.0

    def __call__(self, x):
        start = time.perf_counter()
        value = self.call(x)
        self.seconds += time.perf_counter() - start
        return value


def spent(fun, jac, x0, steps, **keywords):
    """Seconds of a run outside fun and jac, and in them."""
    fun, jac = Clocked(fun), Clocked(jac)
    start = time.perf_counter()
    found = ADAM.minimize(fun, x0, jac=jac, maxiter=steps, gtol=0.0, **keywords)
    total = time.perf_counter() - start
    assert found.nit == steps, found.message
    inside = fun.seconds + jac.seconds
    return np.array([total - inside, inside])


def a_step(rounds, fun, jac, x0, steps, **keywords):
    """The same of a step: what a longer run takes more than a shorter one; medians."""
    differences = [
        spent(fun, jac, x0, 3 * steps, **keywords) - spent(fun, jac, x0, steps, **keywords)
        for _ in range(rounds)
    ]
    return np.median(differences, axis=0) / (2 * steps)


def report_small(rounds):
    """Microseconds of a step beside fun and jac, the clock's own among them."""
    sizes = (2, 100, 1_000, 10_000)
    print("Beside fun and jac, microseconds a step (Adam, float64, one thread)")
    print(f"{'with':<12}" + "".join(f"{size:>9,}" for size in sizes))
    for name, keywords in EXTRAS.items():
        row = []
        for size in sizes:
            x0, g = np.ones(size), np.full(size, 0.5)
            rest, _ = a_step(
                rounds, lambda x: float(x[0]), lambda x, g=g: g, x0, 1000, n_threads=1, **keywords
            )
            row.append(f"{1e6 * rest:9.1f}")
        print(f"{name:<12}" + "".join(row))


def parts(problem, x0, rounds):
    """Milliseconds of what a step does beside fun and jac, each where they have just run, so that
    caches hold what they leave; medians."""
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
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def report_rosenbrock(sizes, dtypes, rounds):
    """A step against its parts, and against a loop over the bytes that the rule moves."""
    print("\nRosenbrock's function, milliseconds a step of Adam, one thread")
    names = ("fun+jac", "beside", "kernel", "copy", "look", "release", "floor", "GB/s", "ratio")
    print(f"{'size':>10} {'dtype':>8}" + "".join(f"{name:>10}" for name in names))
    for size in sizes:
        for dtype in dtypes:
            problem = rosenbrock(size)
            x0 = problem.x0.astype(dtype)
            steps = max(5, min(50, 8_000_000 // size))
            both = a_step(rounds, problem.fun, problem.jac, x0, steps, n_threads=1)
            t = parts(problem, x0, 3 * rounds)
            values = (*(1e3 * both[::-1]), *(t[name] for name in names[2:7]))
            moved = bytes_moved(ADAM, x0.itemsize) * size / t["floor"] / 1e6
            print(
                f"{size:>10,} {np.dtype(dtype).name:>8}"
                + "".join(f"{value:10.3f}" for value in values)
                + f"{moved:10.1f}{t['kernel'] / t['floor']:10.2f}",
                flush=True,
            )
    print(
        "beside: all but fun and jac. kernel: the rule's step. copy: the point that fun gets, and "
        "that is kept\nif it is the best. look: one pass over the gradient. release: of the "
        "gradient's memory, which jac took.\nfloor: a loop that reads, modifies and writes as many "
        "bytes as the rule moves, after fun and jac as well."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    report_small(options.rounds)
    report_rosenbrock(
        (10_000, 100_000, 1_000_000, 4_000_000), (np.float32, np.float64), options.rounds
    )


if __name__ == "__main__":
    main()
