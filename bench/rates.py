"""The suggestions of `lrcore.lr_range_test`, compared with the best of a grid of 13 rates.

    python bench/rates.py [--rule RULE] [--data FOLDER]

Fits have five epochs and the estimators' defaults. Losses are those of held-out rows, for small
data the mean over five folds, and also those of the training rows. FOLDER contains 20news.tsv.gz
and a9a.svm.gz.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from dataclasses import dataclass

import matrices
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from tables import LABEL, RATIO, SECONDS, VALUE, Section

import lrcore
from lrcore.rules import rule_class

GRID = np.logspace(-3, 3, 13)
#: Text and flights are hashed to 2 to the power of this many features.
BITS = 20


@dataclass(frozen=True)
class Problem:
    """Pairs of (X, y) for training and (X, y) held out; the range test gets the first."""

    name: str
    estimator: type
    parts: list

    def model(self, rule, lr=None):
        kind = rule_class(rule)
        return self.estimator(optimizer=kind(lr=kind.linear_lr if lr is None else lr))

    def losses(self, rule, lr):
        """Return the losses on held-out rows and on training rows."""
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


def problems(section, folder):
    """Yield the problems that are available."""
    for name, make in matrices.available(section, folder).items():
        yield large(make() if name == "a9a" else make(bits=BITS))
    X, y = load_breast_cancer(return_X_y=True)
    yield in_folds("breast_cancer", lrcore.LinearClassifier, StandardScaler().fit_transform(X), y)
    X, y = load_digits(return_X_y=True)
    yield in_folds("digits", lrcore.LinearClassifier, X / 16, y)
    yield in_folds("diabetes", lrcore.LinearRegressor, *load_diabetes(return_X_y=True))


def report_rates(section, folder, rule="adagrad"):
    """Add a table of the suggestions, and of their losses over the best of the grid."""
    names = ("valley", "steepest", "minimum/10")
    table = section.table(
        f"{rule}: losses at the suggested rate over the best of {len(GRID)}",
        {
            "data": LABEL, **dict.fromkeys(names, RATIO),
            **{f"{name}, learnt from": RATIO for name in names},
            "best rate": VALUE, **{f"{name} is": VALUE for name in names}, "range test": SECONDS,
        },
        "On held-out rows, and on training rows (learnt from).",
    )  # fmt: skip
    for problem in problems(section, folder):
        start = time.perf_counter()
        found = lrcore.lr_range_test(problem.model(rule), *problem.parts[0][0])
        seconds = time.perf_counter() - start
        grid = np.array([problem.losses(rule, float(lr)) for lr in GRID])
        best = GRID[grid[:, 0].argmin()]
        suggested = [found.suggestions[name] for name in names]
        ratios = [
            (None, None) if lr is None else problem.losses(rule, lr) / grid.min(0)
            for lr in suggested
        ]
        table.add(problem.name, *np.transpose(ratios).ravel(), best, *suggested, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rule", default="adagrad")
    parser.add_argument("--data", help="the folder of 20news.tsv.gz and a9a.svm.gz")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    report_rates(Section("The range test"), args.data, args.rule)
