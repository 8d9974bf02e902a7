"""Fits on Dask clusters of processes of this machine: rounds, what is sent, and the time of it; and
the time of other libraries on the same cluster.

    python bench/clusters.py [--data FOLDER] [--only rounds,peers] [--sets 20news,flights]
        [--parts 8,64] [--workers 1,2] [--rows 500000] [--limit 60]

The objective is L2 logistic regression, alpha 1 / n_rows (C = 1), and the optimum is that of a fit
on one machine to a gap of 1e-6. Rounds, bytes and objectives are the same for any cluster. A worker
has one thread, and so has the fit on one machine.

Peers are dask-ml's LogisticRegression and Incremental(SGDClassifier), if it is installed: the
fewest of their iterations that come to 1 % above the optimum, on rows that the workers have
already, fitted once before. The rows are dense, which is what they take. XGBoost's gblinear does
not learn from several workers.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import time
import warnings
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from unittest.mock import patch

import matrices
import numpy as np
from dask import array as da
from dask.delayed import delayed
from distributed import Client, LocalCluster, wait
from tables import DETAIL, LABEL, RATIO, SECONDS, VALUE, Section

import lrcore
from lrcore.distributed import dask as on_dask
from lrcore.distributed.dask_rounds import DaskRounds

GAPS, ABOVE = (1e-2, 1e-3), (1e-2, 1e-3)
#: Iterations of peers, each half as many again as the one before.
ITERATIONS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120)
GOAL = 1e-2


class Timed:
    """A result, and the seconds that each process has worked for it."""

    def __init__(self, result, seconds):
        self.result, self.seconds = result, seconds


def timed(function, *arguments):
    """The result of the function for a partition, timed where it is worked out."""
    start = time.perf_counter()
    result = function(*arguments)
    return Timed(result, {os.getpid(): time.perf_counter() - start})


def timed_merge(merge, a, b):
    start = time.perf_counter()
    some = [each.result for each in (a, b) if each.result is not None]
    result = merge(*some) if len(some) == 2 else some[0] if some else None
    seconds = dict(a.seconds)
    for process, more in b.seconds.items():
        seconds[process] = seconds.get(process, 0.0) + more
    process = os.getpid()
    seconds[process] = seconds.get(process, 0.0) + time.perf_counter() - start
    return Timed(result, seconds)


class TimedRounds(DaskRounds):
    """Rounds whose seconds, and those of the worker that worked longest, are logged."""

    log: list[tuple[str, float, float]] = []

    def total(self, function, *parts, shared=(), merge):
        start = time.perf_counter()
        found = super().total(
            partial(timed, function), *parts, shared=shared, merge=partial(timed_merge, merge)
        )
        client = found.seconds.pop(os.getpid(), 0.0)
        work = max(found.seconds.values()) + client
        self.log.append((function.__name__, time.perf_counter() - start, work))
        return found.result


@contextmanager
def cluster(n_workers):
    """The client of a new cluster."""
    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as local,
        Client(local) as client,
    ):  # fmt: skip
        yield client


def on_workers(client, X, y, n_parts):
    """Futures of the partitions, which are on the workers."""
    stops = np.linspace(0, X.shape[0], n_parts + 1).astype(int)
    parts = [client.submit(part_of, X[a:b], y[a:b], pure=False) for a, b in pairwise(stops)]
    wait(parts)
    return parts


def part_of(X, y):
    return X, y


def best_of(X, y):
    """The optimum, about."""
    model = lrcore.LinearClassifier(alpha=1 / len(y), scale=None, tol=1e-6, max_iter=1000)
    return objective(model.fit(X, y), X, y)


def objective(model, X, y):
    return mean_loss(X, y, model.coef_[0], float(model.intercept_[0]))


def mean_loss(X, y, coef, intercept):
    """The mean log loss plus the penalty."""
    w = np.asarray(coef, np.float64)
    margins = np.where(y, 1.0, -1.0) * (X @ w + intercept)
    return np.mean(np.logaddexp(0, -margins)) + (w @ w) / (2 * len(y))


def first(numbers, values, most):
    """The number at which the values come to at most so much first."""
    reached = np.flatnonzero(values <= most)
    return int(numbers[reached[0]]) if len(reached) else None


def report_rounds(section, matrix, counts, workers):
    """Rounds of a matrix cut and ordered in several ways."""
    X, y = matrix.X, matrix.y
    best, n = best_of(X, y), len(y)
    local = {}
    for tol in GAPS:
        start = time.perf_counter()
        lrcore.LinearClassifier(alpha=1 / n, scale=None, tol=tol, n_threads=1).fit(X, y)
        local[tol] = time.perf_counter() - start
    above, gaps = [f"{v:.1%} above" for v in ABOVE], [f"gap {v:g}" for v in GAPS]
    table = section.table(
        f"{matrix.name}, {n:,} rows",
        {
            "partitions, order": LABEL, "workers": LABEL,
            **dict.fromkeys(above + gaps, DETAIL), "MB a round": VALUE,
            **{f"time, {name}": SECONDS for name in gaps}, "a round": SECONDS,
            "its overhead": SECONDS, "x one machine": RATIO,
        },
        "Rounds to 1 % and 0.1 % above the optimum and to gaps, those of the start among them; the "
        "time of fits to the gaps; the mean time of a round, and of it what no worker works; the "
        "time on one machine, one thread, over that to the last gap.",
    )  # fmt: skip
    section.note(f"{matrix.name} on one machine: " + ", ".join(
        f"gap {tol:g} in {seconds:.2f} s" for tol, seconds in local.items()
    ))  # fmt: skip
    orders = {
        "shuffled": np.random.default_rng(0).permutation(n),
        "sorted": np.argsort(y, kind="stable"),
    }
    for n_workers in workers:
        with cluster(n_workers) as client, patch.object(on_dask, "DaskRounds", TimedRounds):
            for n_parts in counts:
                for name, order in orders.items():
                    rows = on_workers(client, X[order], y[order], n_parts)
                    seconds = {}
                    for tol in GAPS:
                        model = on_dask.LinearClassifier(
                            alpha=1 / n, scale=None, tol=tol, client=client
                        )
                        TimedRounds.log.clear()
                        start = time.perf_counter()
                        model.fit(rows)
                        seconds[tol] = time.perf_counter() - start
                    history, rounds = model.history_, model.history_["epoch"]
                    each = [entry for entry in TimedRounds.log if entry[0] == "evaluate"]
                    times = np.array([entry[1:] for entry in each])
                    table.add(
                        f"{n_parts}, {name}", n_workers,
                        *(first(rounds, history["objective"], best * (1 + v)) for v in ABOVE),
                        *(first(rounds, history["gap"], v) for v in GAPS),
                        history["bytes"][-1] / rounds[-1] / 1e6,
                        *seconds.values(), float(times[:, 0].mean()),
                        float((times[:, 0] - times[:, 1]).mean()),
                        local[GAPS[-1]] / seconds[GAPS[-1]],
                    )  # fmt: skip
                    del rows


# ---- peers --------------------------------------------------------------------------------------


def drawn(number, n_rows, n_features):
    """Rows of a logistic model, made on a worker; columns have a deviation of 1."""
    truth = np.random.default_rng(1).normal(size=n_features) * 2 / np.sqrt(n_features)
    rng = np.random.default_rng([2, number])
    X = rng.standard_normal((n_rows, n_features), np.float32)
    return X, (X @ truth + rng.logistic(size=n_rows) > 0).astype(np.int64)


def lbfgs(name, X, y, client, n):
    from dask_ml.linear_model import LogisticRegression

    def fit(n_iter):
        model = LogisticRegression(solver=name, C=1.0, max_iter=n_iter, tol=1e-12).fit(X, y)
        return model.coef_, float(model.intercept_)

    return fit


def incremental(X, y, client, n):
    from dask_ml.wrappers import Incremental
    from sklearn.linear_model import SGDClassifier

    def fit(n_iter):
        sgd = SGDClassifier(loss="log_loss", alpha=1 / n, random_state=0)
        model = Incremental(sgd, random_state=0).fit(X, y, classes=[0, 1])
        for _ in range(n_iter - 1):
            model.partial_fit(X, y, classes=[0, 1])
        return model.estimator_.coef_[0], float(model.estimator_.intercept_[0])

    return fit


def ours(X, y, client, n):
    # A single iteration would be a pass of the stochastic solver.
    def fit(n_iter):
        model = on_dask.LinearClassifier(
            alpha=1 / n, scale=None, tol=None, max_iter=max(n_iter, 2), client=client
        ).fit(X, y)
        return model.coef_[0], float(model.intercept_[0])

    return fit


PEERS = {
    "lrcore": (ours, "lrcore"),
    "dask-ml, lbfgs": (partial(lbfgs, "lbfgs"), "dask_ml"),
    "dask-ml, admm": (partial(lbfgs, "admm"), "dask_ml"),
    "Incremental(SGDClassifier)": (incremental, "dask_ml"),
}


def report_peers(section, n_rows, workers, limit, n_features=50, n_parts=8):
    """The time to 1 % above the optimum on dense rows."""
    size = n_rows // n_parts
    rows = [drawn(k, size, n_features) for k in range(n_parts)]
    X, y = (np.concatenate(part) for part in zip(*rows))
    best, n = best_of(X, y), len(y)
    table = section.table(
        f"To {GOAL:.0%} above the optimum, {n:,} x {n_features} float32, {n_parts} partitions",
        {"fit": LABEL, "workers": LABEL, "x slower": RATIO, "off by": VALUE, "time": SECONDS,
         "iterations": DETAIL},
        "Rows are on the workers. The fewest iterations that come there, fitted again.",
    )  # fmt: skip
    for n_workers in workers:
        with cluster(n_workers) as client:
            made = [delayed(drawn)(k, size, n_features) for k in range(n_parts)]
            blocks = [da.from_delayed(each[0], (size, n_features), np.float32) for each in made]
            labels = [da.from_delayed(each[1], (size,), np.int64) for each in made]
            dX, dy = client.persist([da.concatenate(blocks), da.concatenate(labels)])
            wait([dX, dy])
            reference = None
            for name, (make, package) in PEERS.items():
                if importlib.util.find_spec(package) is None:
                    section.leave_out(name, f"pip install {package.replace('_', '-')}")
                    continue
                found = to_goal(make(dX, dy, client, n), X, y, best, limit)
                seconds, off, n_iter = found
                reference = seconds if name == "lrcore" else reference
                slower = seconds / reference if seconds and reference else None
                table.add(name, n_workers, slower, off, seconds, n_iter)


def to_goal(fit, X, y, best, limit):
    """Seconds, how far it is off and iterations of the shortest fit that comes to the goal; no
    seconds if none does."""
    off, spent = None, 0.0
    for n_iter in ITERATIONS:
        start = time.perf_counter()
        off = mean_loss(X, y, *fit(n_iter)) / best - 1
        spent += time.perf_counter() - start
        if off <= GOAL:
            start = time.perf_counter()
            fit(n_iter)
            return time.perf_counter() - start, off, n_iter
        if spent > limit:
            break
    return None, off, n_iter


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="the folder of 20news.tsv.gz")
    parser.add_argument("--only", default="rounds,peers")
    parser.add_argument("--sets", default="20news,flights")
    parser.add_argument("--parts", type=numbers, default=[8, 64])
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--rows", type=int, default=500_000, help="of the dense problem")
    parser.add_argument("--limit", type=float, default=60, help="seconds of a peer's search")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    section = Section("Clusters", f"Load of the machine before: {os.getloadavg()[0]:.1f}.")
    if "rounds" in args.only:
        makes = matrices.available(section, args.data, tuple(args.sets.split(",")))
        for name in makes:
            make = partial(matrices.news, args.data) if name == "20news" else matrices.flights
            report_rounds(section, make(bits=20), args.parts, args.workers)
    if "peers" in args.only:
        report_peers(section, args.rows, args.workers, args.limit)
    section.note(f"load of the machine after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
