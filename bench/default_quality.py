"""How good fits are without a single argument: lrcore's beside those of scikit-learn.

    python bench/default_quality.py [--data FOLDER] [--sets PATTERN] [--limit 300] [--quick]

Ten sets, of few rows and of many, raw and standardised, dense and sparse. All estimators learn from
the same rows, as they are. Small sets are divided into five folds, twice, stratified by class; of
the others the rows held out are fixed. There each fit has a process of its own, and one that takes
longer than the limit is ended and left out.
"""

from __future__ import annotations

import argparse
import re
import time
import warnings
from collections.abc import Callable
from concurrent import futures
from functools import partial
from typing import NamedTuple

import matrices
import numpy as np
import tables
from measure import in_child
from sklearn import linear_model, metrics, svm
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from tables import LABEL, RATIO, SECONDS, VALUE

from lrcore import LinearClassifier, LinearRegressor

OURS = "lrcore"
FOLDS = 5
#: The features of text and flights, as a power of two.
BITS = 20
#: A fit that takes less is repeated, and the median counts.
SHORT, REPEATS = 1.0, 3


def log_loss(model, X, y):
    return metrics.log_loss(y, model.predict_proba(X), labels=model.classes_)


def squared_hinge(model, X, y):
    """Return the sum over the classes, each against the rest."""
    z = model.decision_function(X).reshape(len(y), -1)
    sign = np.where(y[:, None] == model.classes_[-z.shape[1] :], 1.0, -1.0)
    return float(np.mean(np.square(np.maximum(0, 1 - sign * z)).sum(1)))


def squared_error(model, X, y):
    return metrics.mean_squared_error(y, model.predict(X))


class Comparison(NamedTuple):
    """Estimators of classes or of numbers, lrcore's first; `slow` is what times are relative to."""

    words: str
    loss: Callable
    score: str
    slow: str
    models: dict


CLASSES = [
    Comparison(
        "log loss", log_loss, "accuracy", "LogisticRegressionCV",
        {
            OURS: LinearClassifier(),
            "LogisticRegression": linear_model.LogisticRegression(),
            "LogisticRegressionCV": linear_model.LogisticRegressionCV(),
            "SGDClassifier": linear_model.SGDClassifier(loss="log_loss"),
        },
    ),
    Comparison(
        "squared hinge loss", squared_hinge, "accuracy", "LinearSVC",
        {OURS: LinearClassifier(loss="squared_hinge"), "LinearSVC": svm.LinearSVC()},
    ),
]  # fmt: skip
NUMBERS = [
    Comparison(
        "squared error", squared_error, "R2", "RidgeCV",
        {
            OURS: LinearRegressor(),
            "LinearRegression": linear_model.LinearRegression(),
            "Ridge": linear_model.Ridge(),
            "RidgeCV": linear_model.RidgeCV(),
            "LassoCV": linear_model.LassoCV(),
            "SGDRegressor": linear_model.SGDRegressor(),
        },
    )
]  # fmt: skip


def of_classes(section, folder, quick):
    """Return functions that make sets of classes, by name."""
    large = matrices.available(section, folder, ("a9a",) if quick else ("a9a", "20news", "flights"))
    for name in {"20news", "flights"} & set(large):
        large[name] = partial(large[name], bits=BITS)
    if "20news" in large:
        large["20news, 20 classes"] = partial(large["20news"], classes=20)
    return {
        "iris": partial(matrices.bundled, "iris"),
        "wine": partial(matrices.bundled, "wine"),
        "breast cancer": partial(matrices.bundled, "breast_cancer"),
        "breast cancer, standardised": matrices.standardized_cancer,
        "digits": partial(matrices.bundled, "digits"),
        **large,
    }


def of_numbers(section, folder, quick):
    """Return functions that make sets of numbers, by name."""
    return {"diabetes": partial(matrices.bundled, "diabetes"), "houses": matrices.houses}


def splits(matrix, repeats):
    """Return pairs of rows to learn from and rows held out."""
    if matrix.held_out:
        return [((matrix.X, matrix.y), matrix.held_out)]
    stratified = np.issubdtype(matrix.y.dtype, np.integer)
    kind = RepeatedStratifiedKFold if stratified else RepeatedKFold
    parts = kind(n_splits=FOLDS, n_repeats=repeats, random_state=0).split(matrix.X, matrix.y)
    return [((matrix.X[a], matrix.y[a]), (matrix.X[b], matrix.y[b])) for a, b in parts]


def fitted(model, loss, rows, held_out):
    """Return loss, score and seconds of a fit."""
    warnings.simplefilter("ignore")
    taken = []
    while len(taken) < REPEATS and sum(taken) < SHORT:
        start = time.perf_counter()
        model.fit(*rows)
        taken.append(time.perf_counter() - start)
    return loss(model, *held_out), model.score(*held_out), np.median(taken)


def measured(matrix, comparison, limit, repeats):
    """Return means over the splits for each estimator: loss, score, seconds. Estimators take turns
    on each split; those that take longer than the limit are left out."""
    found = {name: [] for name in comparison.models}
    run = partial(in_child, limit=limit) if matrix.held_out else lambda call, *args: call(*args)
    for split in splits(matrix, repeats):
        for name in list(found):
            try:
                result = run(fitted, comparison.models[name], comparison.loss, *split)
                found[name].append(result)
            except futures.TimeoutError:
                del found[name]
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def compare(section, table, name, matrix, comparison, limit, repeats):
    """Add a row for each estimator that was in time, lrcore first."""
    means = measured(matrix, comparison, limit, repeats)
    for estimator in comparison.models:
        if estimator not in means:
            section.leave_out(f"{estimator} on {name}", f"it takes more than {limit:g} s")
    best = min((mean[0] for estimator, mean in means.items() if estimator != OURS), default=None)
    slow = means.get(comparison.slow)
    for estimator, (loss, score, seconds) in means.items():
        over = None if best is None else 100 * (loss / best - 1)
        relative = None if slow is None else seconds / slow[2]
        table.add(name, estimator, over, relative, loss, score, seconds)


def report_quality(section, folder, quick, *, limit=300.0, sets="."):
    """Report every comparison on the sets whose names have the pattern."""
    section.set("estimators", "not a single argument but for the loss")
    for makers, comparisons in ((of_classes, CLASSES), (of_numbers, NUMBERS)):
        for comparison in comparisons:
            table = section.table(
                f"Held-out {comparison.words}",
                {
                    "data": LABEL, "estimator": LABEL, "% over best other": VALUE,
                    f"time over {comparison.slow}'s": RATIO, "loss": VALUE,
                    comparison.score: VALUE, "time": SECONDS,
                },
                "Means over the folds. The best of the others is the one with the least loss.",
            )  # fmt: skip
            for name, make in makers(section, folder, quick).items():
                if re.search(sets, name):
                    compare(section, table, name, make(), comparison, limit, 1 if quick else 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="the folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--sets", default=".", help="a pattern of names")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of a fit")
    parser.add_argument("--quick", action="store_true", help="small sets, fewer folds")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    section = tables.Section("Fits by default")
    report_quality(section, args.data, args.quick, limit=args.limit, sets=args.sets)


if __name__ == "__main__":
    main()
