"""How long solvers take to come close to the optimum of L2 logistic regression, side by side.

    python bench/time_to_optimum.py [DATA] [--c 1.0] [--rounds 5] [--bits 22] [--positive LABEL]

DATA is what bench/optimum.py reads; without it, rows are generated whose features' frequencies
follow a power law. One class against the rest, no intercept. Each solver is run with a series of
settings (iterations or tolerances), each fit from scratch and timed as a whole, all in turns; the
time to an accuracy is that of its fastest setting that ends so close to the optimum.

liblinear's own package (pip install liblinear-official) runs if it is there; the time to build its
problem from X is left out. lrcore ends each fit by working out the duality gap; that is counted.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
import warnings
from pathlib import Path

import measure
import numpy as np
import optimum
import sklearn
from benchmarks.workloads import power_law
from sklearn.linear_model import LogisticRegression, SGDClassifier

from lrcore import LinearClassifier

ACCURACIES = (1e-2, 1e-3, 1e-4, 1e-5)


def scikit_learn(cls, settings, **keywords):
    """Fits of an estimator, one for each setting."""

    def fit(X, y, **setting):
        return cls(fit_intercept=False, **keywords, **setting).fit(X, y).coef_[0]

    return fit, settings


def liblinear(solver, c):
    """Fits of the liblinear package, which stops by its own measure."""
    from liblinear import liblinearutil as own

    problems = {}

    def fit(X, y, e):
        if not problems:
            problems[0] = own.problem(np.where(y, 1.0, -1.0), X.astype(np.float64))
        start = time.perf_counter()
        model = own.train(problems[0], own.parameter(f"-s {solver} -c {c} -e {e} -q"))
        seconds = time.perf_counter() - start
        w = np.ctypeslib.as_array(model.w, (X.shape[1],))
        return np.array(w if model.label[0] == 1 else -w), seconds

    return fit, [{"e": e} for e in (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.001)]


def solvers(n_rows, c, slow):
    """Name: how to fit, and the settings to try."""
    alpha = 1.0 / (c * n_rows)

    def iterations(*counts):
        return [{"max_iter": k} for k in counts]

    dual = {"solver": "dual", "alpha": alpha, "random_state": 0}
    sgd = {"loss": "log_loss", "alpha": alpha, "tol": None, "random_state": 0}
    exact = {"C": c, "tol": 1e-12, "random_state": 0}
    found = {
        f"lrcore dual, {n} thread{'s' * (n > 1)}": scikit_learn(
            LinearClassifier, iterations(1, 2, 3, 4, 5, 6, 8), n_threads=n, **dual
        )
        for n in (1, 2)
    }
    found["lrcore dual, by tol"] = scikit_learn(
        LinearClassifier, [{"tol": tol} for tol in ACCURACIES], max_iter=100, n_threads=1, **dual
    )
    found["SGDClassifier"] = scikit_learn(SGDClassifier, iterations(1, 2, 3, 5, 8, 12, 20), **sgd)
    found["liblinear dual"] = scikit_learn(
        LogisticRegression, iterations(1, 2, 3, 4, 5, 7, 10), solver="liblinear", dual=True, **exact
    )
    found["saga"] = scikit_learn(
        LogisticRegression, iterations(1, 3, 5, 8, 12), solver="saga", **exact
    )
    if slow:
        found["SGDClassifier averaged"] = scikit_learn(
            SGDClassifier, iterations(1, 2, 3, 5, 10, 20), average=True, **sgd
        )
        found["liblinear primal"] = scikit_learn(
            LogisticRegression, iterations(3, 5, 7, 9), solver="liblinear", **exact
        )
        found["lbfgs"] = scikit_learn(
            LogisticRegression, iterations(10, 15, 25, 40), solver="lbfgs", **exact
        )
        found["newton-cg"] = scikit_learn(
            LogisticRegression, iterations(2, 4, 6, 8), solver="newton-cg", **exact
        )
    if importlib.util.find_spec("liblinear"):
        found["liblinear-official -s 7"] = liblinear(7, c)
        if slow:
            found["liblinear-official -s 0"] = liblinear(0, c)
    return found


def compare(X, y, c, rounds, quick):
    """Seconds of each solver to each accuracy, and the ratios."""
    sign, alpha = np.where(y, 1.0, -1.0), 1.0 / (c * X.shape[0])
    print(f"{X.shape[0]:,} x {X.shape[1]:,}, {X.nnz:,} values, C = {c:g}, medians of {rounds}")
    exact = LinearClassifier(
        solver="dual", alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=2000, random_state=0
    ).fit(X.astype(np.float64), y)
    best = optimum.objective(X, sign, exact.coef_[0], 0.0, alpha)
    print(f"optimum {best:.9f}, duality gap {exact.dual_gap_:.1e} of it")
    found = solvers(X.shape[0], c, not quick)
    seconds, apart = {}, {}
    for _ in range(rounds):
        for name, (fit, settings) in found.items():
            for k, setting in enumerate(settings):
                start = time.perf_counter()
                w = fit(X, y, **setting)
                took = time.perf_counter() - start
                if isinstance(w, tuple):
                    w, took = w
                seconds.setdefault((name, k), []).append(took)
                if (name, k) not in apart:
                    apart[name, k] = optimum.objective(X, sign, w, 0.0, alpha) / best - 1
    table = {}
    for name, (_, settings) in found.items():
        for accuracy in ACCURACIES:
            times = [
                (statistics.median(seconds[name, k]), k)
                for k in range(len(settings))
                if apart[name, k] <= accuracy
            ]
            table[name, accuracy] = min(times, default=(float("inf"), -1))
    print(f"{'seconds to':<26}" + "".join(f"{accuracy:>22.3%}" for accuracy in ACCURACIES))
    for name, (_, settings) in found.items():
        cells = []
        for accuracy in ACCURACIES:
            took, k = table[name, accuracy]
            how = ", ".join(f"{v:g}" for v in settings[k].values()) if k >= 0 else ""
            cells.append(f"{took:>13.3f} ({how:>6})" if k >= 0 else f"{'-':>22}")
        print(f"{name:<26}" + "".join(cells))
    ours = [name for name in found if name.startswith("lrcore")]
    for name in ours:
        ratios = []
        for accuracy in ACCURACIES:
            peer = min(table[other, accuracy][0] for other in found if other not in ours)
            ratios.append(f"{peer / table[name, accuracy][0]:>22.2f}")
        print(f"{'best peer / ' + name[7:]:<26}" + "".join(ratios))
    print()


def report_optimum(folder, quick, rounds):
    """Text, where it is, and a power law."""
    print("--- Seconds to the optimum of L2 logistic regression, one class against the rest ---\n")
    path = folder and Path(folder) / "20news.tsv.gz"
    if path and path.is_file():
        X, labels = optimum.read(str(path), 22)
        compare(X, labels == np.unique(labels)[1], 1.0, rounds, quick)
    X, y = power_law(50_000 if quick else 300_000, 1 << 22)
    compare(X, y, 1.0, rounds, quick)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?")
    parser.add_argument("--c", type=float, default=1.0)
    parser.add_argument("--positive", help="the class against the rest (default: the second)")
    parser.add_argument("--bits", type=int, default=22)
    parser.add_argument("--rows", type=int, default=300_000, help="of the generated data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="without the slow peers")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.data:
        X, labels = optimum.read(args.data, args.bits)
        classes = np.unique(labels)
        y = labels == (type(labels[0])(args.positive) if args.positive else classes[1])
    else:
        X, y = power_law(args.rows, 1 << args.bits)
    print(f"{measure.processor()}, scikit-learn {sklearn.__version__}")
    compare(X, y, args.c, args.rounds, args.quick)


if __name__ == "__main__":
    main()
