"""The time that solvers need to come close to the optimum of L2 logistic regression.

    python bench/time_to_optimum.py [DATA] [--c 1.0] [--rounds 5] [--bits 22] [--positive LABEL]

DATA is what bench/optimum.py reads; without it, rows are generated whose features' frequencies
follow a power law. One class against the rest, no intercept. Each solver is run with a series of
settings (iterations or tolerances), each fit from scratch and timed as a whole, all in turns; the
time to an accuracy is that of its fastest setting that ends so close to the optimum.

liblinear's own package and VW take part if they are installed (pip install liblinear-official
vowpalwabbit); the time to build a problem from X, or to parse text into a cache, does not count.
lrcore ends each dual fit by computing the duality gap; this counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from pathlib import Path

import linear_peers
import matrices
import measure
import numpy as np
import optimum
import sklearn
import tables
from benchmarks.workloads import power_law
from sklearn.linear_model import LogisticRegression, SGDClassifier
from tables import DETAIL, LABEL, RATIO, SECONDS

from lrcore import LinearClassifier

ACCURACIES = (1e-2, 1e-3, 1e-4, 1e-5)
#: The reference of the ratios.
OURS = "lrcore dual, 1 thread"


def scikit_learn(cls, settings, **keywords):
    """Return fits of an estimator, one for each setting."""

    def fit(X, y, **setting):
        return cls(fit_intercept=False, **keywords, **setting).fit(X, y).coef_[0]

    return fit, settings


def liblinear(solver, c):
    """Return fits of the liblinear package, which stops by its own criterion."""
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


def vowpal_wabbit(X, y, c):
    """Return fits of VW from its cache, by number of passes; the weights are read afterwards."""
    peer = linear_peers.VowpalWabbit(X, y, 1.0 / (c * X.shape[0]), "--noconstant")

    def fit(X, y, passes):
        start = time.perf_counter()
        model = peer.fit(passes)
        seconds = time.perf_counter() - start
        return peer.weights(model), seconds

    return fit, [{"passes": k} for k in (1, 2, 4, 8, 16)]


def solvers(X, y, c, slow):
    """Return name -> (how to fit, the settings to try)."""
    alpha = 1.0 / (c * X.shape[0])

    def iterations(*counts):
        return [{"max_iter": k} for k in counts]

    common = {"alpha": alpha, "random_state": 0}
    sgd = {"loss": "log_loss", "tol": None, **common}
    exact = {"C": c, "tol": 1e-12, "random_state": 0}
    found = {
        f"lrcore dual, {n} thread{'s' * (n > 1)}": scikit_learn(
            LinearClassifier, iterations(1, 2, 3, 4, 5, 6, 8), n_threads=n, solver="dual", **common
        )
        for n in (1, 2)
    }
    found["lrcore dual, by tol"] = scikit_learn(
        LinearClassifier, [{"tol": tol} for tol in ACCURACIES],
        max_iter=100, n_threads=1, solver="dual", **common,
    )  # fmt: skip
    found["lrcore AdaGrad"] = scikit_learn(
        LinearClassifier, iterations(1, 2, 3, 5, 8, 12, 20), n_threads=1, **common
    )
    found["SGDClassifier"] = scikit_learn(SGDClassifier, iterations(1, 2, 3, 5, 8, 12, 20), **sgd)
    found["liblinear dual"] = scikit_learn(
        LogisticRegression, iterations(1, 2, 3, 4, 5, 7, 10), solver="liblinear", dual=True, **exact
    )
    found["saga"] = scikit_learn(
        LogisticRegression, iterations(1, 3, 5, 8, 12), solver="saga", **exact
    )
    found["lbfgs"] = scikit_learn(
        LogisticRegression, iterations(5, 10, 15, 25, 40), solver="lbfgs", **exact
    )
    if slow:
        found["SGDClassifier averaged"] = scikit_learn(
            SGDClassifier, iterations(1, 2, 3, 5, 10, 20), average=True, **sgd
        )
        found["liblinear primal"] = scikit_learn(
            LogisticRegression, iterations(3, 5, 7, 9), solver="liblinear", **exact
        )
        found["newton-cg"] = scikit_learn(
            LogisticRegression, iterations(2, 4, 6, 8), solver="newton-cg", **exact
        )
    if importlib.util.find_spec("vowpalwabbit"):
        found["VW"] = vowpal_wabbit(X, y, c)
    if importlib.util.find_spec("liblinear"):
        found["liblinear-official -s 7"] = liblinear(7, c)
        if slow:
            found["liblinear-official -s 0"] = liblinear(0, c)
    return found


def measured(X, y, found, rounds, gap):
    """Return for (name, number of the setting) seconds, and how far from the optimum it ends."""
    times, apart = {}, {}
    for _ in range(rounds):
        for name, (fit, settings) in found.items():
            for k, setting in enumerate(settings):
                start = time.perf_counter()
                w = fit(X, y, **setting)
                took = time.perf_counter() - start
                if isinstance(w, tuple):
                    w, took = w
                times.setdefault((name, k), []).append(took)
                if (name, k) not in apart:
                    apart[name, k] = gap(w)
    return {key: (measure.Measured(taken), apart[key]) for key, taken in times.items()}


def compare(section, title, X, y, c, rounds, quick):
    """Report the seconds of each solver to each accuracy, and the ratios."""
    sign, alpha = np.where(y, 1.0, -1.0), 1.0 / (c * X.shape[0])
    exact = LinearClassifier(
        solver="dual", alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=2000, random_state=0
    ).fit(X.astype(np.float64), y)
    best = optimum.objective(X, sign, exact.coef_[0], 0.0, alpha)
    section.note(
        f"{title}: {X.shape[0]:,} x {X.shape[1]:,}, {X.nnz:,} values, C = {c:g}; optimum "
        f"{best:.9f}, duality gap {exact.dual_gap_:.1e} of it"
    )
    found = solvers(X, y, c, not quick)
    results = measured(
        X, y, found, rounds, lambda w: optimum.objective(X, sign, w, 0.0, alpha) / best - 1
    )
    fastest = {}
    for name, (_, settings) in found.items():
        points = [results[name, k] for k in range(len(settings))]
        section.curve(title, name, *zip(*points))
        for accuracy in ACCURACIES:
            there = [(took, k) for k, (took, apart) in enumerate(points) if apart <= accuracy]
            fastest[name, accuracy] = min(there, default=(None, None))
    goals = [f"{100 * accuracy:g}%" for accuracy in ACCURACIES]
    table = section.table(
        f"{title}: time to an accuracy over that of {OURS}",
        {
            "solver": LABEL,
            **{f"to {goal}": RATIO for goal in goals},
            **{f"{goal} takes": SECONDS for goal in goals},
            **{f"{goal} by": DETAIL for goal in goals},
        },
    )  # fmt: skip
    for name, (_, settings) in found.items():
        ratios, times, words = [], [], []
        for accuracy in ACCURACIES:
            (took, k), ours = fastest[name, accuracy], fastest[OURS, accuracy][0]
            times.append(took)
            ratios.append(took / ours if took and ours else None)
            words.append(took and ", ".join(f"{k}={v:g}" for k, v in settings[k].items()))
        table.add(name, *ratios, *times, *words)


def report_optimum(section, folder, quick, rounds):
    """Measure on text, if it is there, and on a power law."""
    for name in ("vowpalwabbit", "liblinear-official"):
        if not importlib.util.find_spec(name.split("-")[0]):
            section.leave_out(name, f"pip install {name}")
    section.set("VW", "its defaults with --l2 and --noconstant, from its cache")
    section.set("lrcore AdaGrad, SGDClassifier", "defaults but for alpha; epochs as max_iter says")
    if matrices.has(folder, "20news.tsv.gz"):
        X, labels = optimum.read(str(Path(folder) / "20news.tsv.gz"), 22)
        compare(section, "20news", X, labels == np.unique(labels)[1], 1.0, rounds, quick)
    else:
        section.leave_out("20news", "--data FOLDER says where 20news.tsv.gz is")
    X, y = power_law(50_000 if quick else 300_000, 1 << 22)
    compare(section, "power law", X, y, 1.0, rounds, quick)


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
    section = tables.Section("Time to the optimum")
    compare(section, args.data or "power law", X, y, args.c, args.rounds, args.quick)


if __name__ == "__main__":
    main()
