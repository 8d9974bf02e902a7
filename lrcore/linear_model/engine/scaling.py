"""Columns in any units: their spreads, and columns divided by the largest magnitude so far.

Solvers that end at the minimum penalise the weights of columns divided by their spreads, for which
they need no copy. Update rules learn from a copy, normalised online (Ross, Mineiro and Langford
2013, their algorithm NAG): when the scale of a column grows, the weight of the scaled column stays
what it is, and so does the rule's state. Nothing is centred, so zeros stay zeros.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import DesignMatrix


def initial_scale(n_features: int, dtype: np.dtype[Any]) -> np.ndarray:
    """The scale of columns of which nothing has been seen: not 0 but next to it, so that what is
    divided by it is finite."""
    return np.full(n_features, np.finfo(dtype).tiny * 2**26, dtype)


def scaled(X: DesignMatrix, scale: np.ndarray, offset: int, block: int) -> DesignMatrix:
    """X with a copy of its values, each over the scale of its column.

    Blocks end at multiples of `block` rows, of which `offset` came before these. The magnitudes of
    a block enter `scale`, (n_features,), in place, before its values are divided.
    """
    return replace(X, values=_backend.active.scaled_values(X, scale, offset, block))


#: Rows that tell whether columns are in different units, at most, and the rows that have to touch a
#: column for it to count. Magnitudes have to differ by more than this, all of them, or nine tenths.
#: Of words the factors are 10 to 80, and 2 to 6; of wine 2000 and 500.
SAMPLED_ROWS, FEWEST_ROWS, FARTHEST, MOST = 4096, 8, 100.0, 10.0


def in_different_units(X: DesignMatrix, weight: np.ndarray | None) -> bool:
    """Whether columns differ so much in the magnitudes of what is not 0 that they must be in
    different units. How many rows touch a column does not matter: a rare word is no small one."""
    every = -(-X.shape[0] // SAMPLED_ROWS)
    rows = np.arange(0, X.shape[0], every)
    weight = np.ones(X.shape[0]) if weight is None else weight
    part, _ = (X if every == 1 else X.take(rows)).with_used_features()
    zero = np.zeros(part.shape[1])
    _, squares, touched = _backend.active.column_moments(part, weight[rows], zero, 1)
    return units_differ(squares, touched, FEWEST_ROWS * float(np.mean(weight[rows])))


def units_differ(squares: np.ndarray, touched: np.ndarray, least: float) -> bool:
    """The same from the sums of weighted squares of each column, and of the weights of values that
    are not 0; columns with less of these do not count."""
    counts = touched >= least
    found = np.sort(squares[counts] / touched[counts])
    found = found[np.isfinite(found) & (found > 0)]
    if not found.size:
        return False
    twentieth = found.size // 20
    most = found[-1 - twentieth] / found[twentieth]
    return bool(found[-1] / found[0] > FARTHEST**2 or most > MOST**2)


#: Magnitudes that rates and penalties of update rules suit without a scale, either way.
SUITS = 64.0


def beyond(size: float) -> float:
    """How far a magnitude is beyond those that suit; 1 within."""
    return 1.0 if not 0 < size < math.inf else size / min(max(size, 1.0 / SUITS), SUITS)


def far_from_one(X: DesignMatrix) -> bool:
    """Whether columns are in a unit such that no rate suits both their weights and an intercept."""
    return beyond(X.typical_magnitude()) != 1.0


def magnitudes(X: DesignMatrix, weight: np.ndarray | None, n_threads: int | None) -> np.ndarray:
    """The largest magnitude in each column, (n_features,) float64; 1 for columns of zeros."""
    found = largest_magnitudes(X)
    return np.where(found > 0, found, 1.0)


def largest_magnitudes(X: DesignMatrix) -> np.ndarray:
    """The same, but 0 for columns of zeros, or of next to nothing."""
    found = initial_scale(X.shape[1], X.dtype)
    _backend.active.scaled_values(X, found, 0, X.shape[0])
    return np.where(found > initial_scale(1, X.dtype), found, 0.0).astype(np.float64)


def spreads(X: DesignMatrix, weight: np.ndarray | None, n_threads: int | None) -> np.ndarray:
    """The standard deviation of each column that most rows touch, the root mean square of the
    values that are not 0 of the others, (n_features,) float64; 1 for columns of zeros."""
    weight = np.ones(X.shape[0]) if weight is None else weight
    total = float(np.sum(weight))
    center = np.zeros(X.shape[1])
    if not X.sparse:
        # Near the mean, so that columns far from 0 lose no digits.
        some = X.values[:: -(-X.shape[0] // SAMPLED_ROWS)].astype(np.float64)
        center = np.add.reduce(some, axis=0) / len(some)
    sums, squares, touched = _backend.active.column_moments(X, weight, center, n_threads)
    return spreads_of(sums, squares, touched, center, total)


def spreads_of(
    sums: np.ndarray, squares: np.ndarray, touched: np.ndarray, center: np.ndarray, total: float
) -> np.ndarray:
    """The same from the sums of weighted differences from a center, of their squares, and of the
    weights of values that are not 0, over rows of a total weight."""
    mean = sums / total
    deviation = np.sqrt(np.maximum(squares / total - mean * mean, 0.0))
    about_zero = squares + center * (2.0 * sums + center * total)
    root_mean_square = np.sqrt(about_zero / np.maximum(touched, np.finfo(float).tiny))
    found = np.where(2.0 * touched > total, deviation, root_mean_square)
    # What is left of a constant column is rounding.
    constant = found <= 1e-9 * root_mean_square
    return np.where(constant, np.where(root_mean_square > 0, root_mean_square, 1.0), found)
