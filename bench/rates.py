"""What `lrcore.lr_range_test` suggests, beside the best of a grid of 13 rates.

    python bench/rates.py [--rule RULE] [--data FOLDER]

Fits of five epochs with the estimators' defaults. Losses are of rows held out, of small data the
mean over five folds; beside them those of the rows that were learnt from. FOLDER is where
20news.tsv.gz and a9a.svm.gz are.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import matrices
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

import lrcore
from lrcore.rules import rule_class

GRID = np.logspace(-3, 3, 13)
#: Features that text and flights are hashed to: 2 to this power.
BITS = 20


@dataclass(frozen=True)
class Problem:
    """Pairs of (X, y) to learn from and (X, y) held out; the range test sees the first."""

    name: str
    estimator: type
    parts: list

    def model(self, rule, lr=None):
        kind = rule_class(rule)
        return self.estimator(optimizer=kind(lr=kind.linear_lr if lr is None else lr))

    def losses(self, rule, lr):
        """Held out, and of what was learnt from."""
        measured = []
        for seed, (train, test) in enumerate(self.parts):
            model = self.model(rule, lr).set_params(random_state=seed)
            try:
                model.fit(*train)
                measured.append([mean_loss(model, *test), mean_loss(model, *train)])
            except FloatingPointError:
                return np.full(2, math.inf)
        return np.mean(measured, axis=0)


def mean_loss(model, X, y):
    if hasattr(model, "classes_"):
        return log_loss(y, model.predict_proba(X).astype(np.float64), labels=model.classes_)
    return float(np.mean(np.square(model.predict(X) - y)) / 2)


def in_folds(name, estimator, X, y):
    parts = KFold(5, shuffle=True, random_state=0).split(X)
    return Problem(name, estimator, [((X[a], y[a]), (X[b], y[b])) for a, b in parts])


def large(matrix):
    parts = [((matrix.X, matrix.y), matrix.held_out)]
    return Problem(matrix.name, lrcore.LinearClassifier, parts)


def problems(folder):
    """What there is, one at a time."""
    yield from map(large, matrices.a9a(folder))
    if folder and (Path(folder) / "20news.tsv.gz").is_file():
        yield large(matrices.news(folder, BITS))
    try:
        yield large(matrices.flights(BITS))
    except ImportError as error:
        print(f"flights: left out, {error}")
    X, y = load_breast_cancer(return_X_y=True)
    yield in_folds("breast_cancer", lrcore.LinearClassifier, StandardScaler().fit_transform(X), y)
    X, y = load_digits(return_X_y=True)
    yield in_folds("digits", lrcore.LinearClassifier, X / 16, y)
    yield in_folds("diabetes", lrcore.LinearRegressor, *load_diabetes(return_X_y=True))


def report_rates(folder, rule="adagrad"):
    """A table: each suggestion, and its losses over the best of the grid."""
    print(
        f"\nrange test, {rule}: losses over the best of {len(GRID)} rates, held out / learnt from"
    )
    print(
        f"{'':<16}{'seconds':>8}{'best':>8}" + f"{'valley':>22}{'steepest':>22}{'minimum/10':>22}"
    )
    for problem in problems(folder):
        start = time.perf_counter()
        found = lrcore.lr_range_test(problem.model(rule), *problem.parts[0][0])
        seconds = time.perf_counter() - start
        grid = np.array([problem.losses(rule, float(lr)) for lr in GRID])
        best = GRID[grid[:, 0].argmin()]
        cells = []
        for name in ("valley", "steepest", "minimum/10"):
            lr = found.suggestions[name]
            ratios = (math.nan, math.nan) if lr is None else problem.losses(rule, lr) / grid.min(0)
            cells.append(f"{lr or math.nan:>8.2g} {ratios[0]:>6.3f}/{ratios[1]:<6.3f}")
        print(f"{problem.name:<16}{seconds:8.2f}{best:8.2g}{''.join(cells)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rule", default="adagrad")
    parser.add_argument("--data", help="the folder of 20news.tsv.gz and a9a.svm.gz")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    report_rates(args.data, args.rule)
