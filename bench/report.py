"""One table, measured side by side in one run: steps against NumPy and the machine's floor, and
a sparse epoch against SGDClassifier. Medians; ratios first."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import scipy
import sklearn
from benchmarks.workloads import RULES, SIZES, bytes_moved, power_law, step_out, vectors
from sklearn.linear_model import SGDClassifier

import lrcore
from lrcore import LinearClassifier, _core
from lrcore._core import threads


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


def step_calls(name, size, counts):
    """What takes part in a row of the table."""
    rule = RULES[name]
    w, g = vectors(size)
    calls, repeat = {}, max(1, 200_000 // size)

    def repeated(call):
        def run():
            for _ in range(repeat):
                call()

        return run

    buffer = np.ones(size * bytes_moved(rule) // 8, np.float32)
    formula = rule.formula
    state = np.ones((len(formula.state), size), np.float32)
    row = rule.coefficients(np.array([5]))[0]
    named = formula.row(row, np.float32)
    calls["formula"] = repeated(lambda: formula.update(named, w, g, *state))
    out = step_out(name)
    if out:
        tmp = np.empty((2, size), np.float32)
        calls["out"] = repeated(lambda: out(w, g, state, 5, tmp))
    index = _core.kernels.RULES[formula.__name__][0]
    step = _core.kernels.step["float"]
    for n in counts:
        optimizer = lrcore.Optimizer(w.copy(), rule, n_threads=n)
        kernel_w, kernel_state = w.copy(), state.copy()
        calls[f"floor {n}"] = repeated(lambda n=n: _core.kernels.read_modify_write(buffer, n))
        calls[f"kernel {n}"] = repeated(
            lambda n=n, a=kernel_w, b=kernel_state: step(index, row, a, g, b, n)
        )
        calls[f"step {n}"] = repeated(lambda o=optimizer: o.step(g))
    return calls, repeat


def report_steps(sizes, counts, rounds):
    """Ratios: how much faster than NumPy, and the share of the floor's bandwidth reached."""
    head = "rule              size        us/step  x NumPy  x NumPy out="
    for n in counts:
        head += f"   kernel/floor {n}T  step/floor {n}T"
    print(head)
    for size in sizes:
        for name in RULES:
            calls, repeat = step_calls(name, size, counts)
            t = side_by_side(calls, rounds if size > 100_000 else 4 * rounds)
            best = min(t[f"step {n}"] for n in counts)
            out = f"{t['out'] / best:7.1f}" if "out" in t else "      -"
            line = f"{name:<17} {size:>10,} {best / repeat * 1e6:10.1f}"
            line += f"  {t['formula'] / best:7.1f}       {out}"
            for n in counts:
                kernel = t[f"floor {n}"] / t[f"kernel {n}"]
                step = t[f"floor {n}"] / t[f"step {n}"]
                line += f"          {kernel:8.2f}        {step:8.2f}"
            print(line, flush=True)
    print(
        "floor: read-modify-write over the same bytes, same threads, same run; step: with the "
        "check of the gradient, which reads it once more\n"
    )


def report_epochs(matrices, counts, rounds):
    """Epochs of logistic regression, set-up included, against SGDClassifier's."""
    print("logistic epoch     Mnnz   SGDClassifier ms   ", end="")
    print("   ".join(f"online {n}T x   batch 256 {n}T x" for n in counts))
    for name, (X, y, alpha) in matrices.items():
        calls = {}
        epochs = 5
        calls["sgd"] = SGDClassifier(
            loss="log_loss", alpha=alpha, max_iter=epochs, tol=None, random_state=0
        )
        for n in counts:
            for batch in (1, 256):
                calls[f"{batch} {n}"] = LinearClassifier(
                    alpha=alpha, max_iter=epochs, random_state=0, n_threads=n, batch_size=batch
                )
        fits = {key: partial(model.fit, X, y) for key, model in calls.items()}
        t = side_by_side(fits, rounds)
        line = f"{name:<16} {X.nnz / 1e6:6.1f}   {t['sgd'] / epochs * 1e3:16.1f}   "
        line += "   ".join(
            f"{t['sgd'] / t[f'1 {n}']:11.2f}   {t['sgd'] / t[f'256 {n}']:14.2f}" for n in counts
        )
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    args = parser.parse_args()
    if _core.kernels is None:
        raise SystemExit("the report measures the compiled core; unset LRCORE_ISA=numpy")
    warnings.simplefilter("ignore")
    counts = sorted({1, min(threads.limits().values())})
    print(
        f"lrcore {lrcore.__version__} ({_core.isa}), NumPy {np.__version__}, SciPy "
        f"{scipy.__version__}, scikit-learn {sklearn.__version__}, Python "
        f"{platform.python_version()}\n{processor()}, up to {counts[-1]} threads, "
        f"{time.strftime('%Y-%m-%d')}, float32, medians\n"
    )
    report_steps(SIZES[:2] if args.quick else SIZES, counts, 3 if args.quick else 7)
    rows = 20_000 if args.quick else 200_000
    matrices = {
        "power law 2^18": (*power_law(rows, 1 << 18), 1e-6),
        "power law 2^22": (*power_law(rows, 1 << 22), 1e-6),
    }
    report_epochs(matrices, counts, 3)


if __name__ == "__main__":
    main()
