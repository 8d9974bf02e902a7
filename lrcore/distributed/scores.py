"""Scores of rows that lie in partitions, by sums of each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from lrcore.distributed.exact import as_float, exact_sum
from lrcore.distributed.rows import Rows


def without_names(local: Any) -> Any:
    """The estimator, or a copy that takes rows without the names of their columns."""
    if not hasattr(local, "feature_names_in_"):
        return local
    twin = copy.copy(local)
    del twin.feature_names_in_
    return twin


def predicted(rows: Rows, local: Any) -> np.ndarray:
    """What an estimator predicts for the rows of a partition, which there are."""
    assert rows.X is not None
    offset = {} if rows.offset is None else {"offset": rows.offset}
    found: np.ndarray = without_names(local).predict(rows.X.matrix(), **offset)
    return found


def n_right(rows: Rows, local: Any) -> tuple[float, float]:
    """The weight of the rows whose class is predicted, and that of all."""
    if rows.X is None:
        return 0.0, 0.0
    weight = np.ones(rows.n_rows) if rows.weight is None else rows.weight
    right = predicted(rows, local) == rows.y
    return float(np.sum(weight[right])), float(np.sum(weight))


class SquaredSums(NamedTuple):
    """Of each target weighted sums over rows, as multiples of 2**-1074: of weights, of targets, of
    their squares, and of the squares of errors."""

    weights: list[int]
    targets: list[int]
    squares: list[int]
    errors: list[int]


def squared_sums(rows: Rows, local: Any) -> SquaredSums | None:
    """Those of a partition; None if it is empty."""
    if rows.X is None:
        return None
    weight = np.ones(rows.n_rows) if rows.weight is None else rows.weight
    y = rows.y.reshape(rows.n_rows, -1).T
    errors = y - predicted(rows, local).reshape(rows.n_rows, -1).T
    each = np.broadcast_to(weight, y.shape), weight * y, weight * y * y, weight * errors * errors
    return SquaredSums(*([exact_sum(column) for column in part] for part in each))


def r_squared(parts: Sequence[SquaredSums | None]) -> float:
    """R squared, the mean over targets."""
    some = [part for part in parts if part is not None]
    total = reduce(
        lambda a, b: SquaredSums(*([x + y for x, y in zip(*p)] for p in zip(a, b))), some
    )
    found = []
    for weight, of_y, of_squares, errors in zip(*total):
        # The sum of squares about the mean, over the smallest unit: no digit is lost.
        about_mean = of_squares * weight - of_y * of_y
        scale = as_float(weight)
        spread = as_float(about_mean, 1 << 1074) / scale if scale else 0.0
        error = as_float(errors)
        found.append(1.0 - error / spread if spread else float(error == 0))
    return float(np.mean(found))
