"""Quadratic models of the loss around weights, minimised together with l1 and l2 penalties by
coordinate descent: what a proximal Newton step takes of X.

By the Gram matrix an epoch over d weights costs d**2 operations, whatever the number of rows; the
matrix costs as much as an epoch over the columns for each two values of a row. So it pays unless
rows have very many values: descent takes hundreds of epochs where columns are correlated.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import DesignMatrix, all_ones, ones

#: Features up to which there may be a Gram matrix, and products that it may take for each value of
#: X: about the epochs that a descent by columns takes.
MOST_GRAM_FEATURES, MOST_PRODUCTS = 2048, 64

#: A Gram matrix is first summed up over every so many rows, so that it takes about so many products
#: for each value of X, of sparse rows and of dense ones, whose products are cheaper; but over so
#: many rows at least for each weight.
SPARSE_PRODUCTS, DENSE_PRODUCTS, ROWS_PER_WEIGHT = 1, 8, 32

#: It is of the features that matter alone if these are at most such a share of all.
WORTH_SELECTING = 0.7

#: Values that are squared at a time, at least.
SQUARED_VALUES = 1 << 22

#: Epochs of a descent, at most.
MAX_EPOCHS, MAX_GRAM_EPOCHS = 100, 2000


class RowDerivatives(NamedTuple):
    """First and second derivatives of the rows' losses, times their shares, (n_rows,); and the sums
    of columns of the first, (n_features,), where they are known."""

    first: np.ndarray
    second: np.ndarray
    sums: np.ndarray | None


class Penalties(NamedTuple):
    """What the magnitudes of weights, and halves of their squares, are multiplied by; and the
    magnitudes of negative ones: infinite where there are to be none."""

    l1: np.ndarray
    l2: np.ndarray
    l1_below: np.ndarray

    def of(self, features: np.ndarray) -> Penalties:
        """Those of some features."""
        return Penalties(*(each[features] for each in self))

    @property
    def low(self) -> np.ndarray | None:
        """What weights are at least; None where they are not bounded."""
        bounded = np.isinf(self.l1_below)
        return np.where(bounded, 0.0, -np.inf) if bounded.any() else None

    @property
    def unpenalised(self) -> np.ndarray:
        """Features that nothing pulls to 0, though a bound may hold them back."""
        return (self.l1 == 0) & (self.l2 == 0)

    @property
    def smooth_at_zero(self) -> np.ndarray:
        """Features with neither l1 nor a bound."""
        return self.l1_below == 0

    def size(self, v: np.ndarray) -> np.ndarray:
        """How far sums of columns draw weights away from 0, the way that they may go."""
        return np.where(np.isinf(self.l1_below), -v, np.abs(v))

    def value(self, w: np.ndarray) -> float:
        """The penalty of weights, (n_features,)."""
        return float(np.sum(self.l1 * np.abs(w)) + np.sum(self.l2 * np.square(w)) / 2)


class QuadraticModel(Protocol):
    """X as it is needed to minimise quadratic models of the loss."""

    def minimise(
        self, rows: RowDerivatives, chosen: np.ndarray, w: np.ndarray, penalties: Penalties,
        tol: float,
    ) -> tuple[np.ndarray, float]:  # fmt: skip
        """The weights at the minimum over the chosen ones at least, and the change of the
        intercept; the last epoch gains at most a share `tol` of what the first one does."""

    def refine(self) -> bool:
        """Be more exact from now on, since the last step was not what it promised; whether it can
        be."""


class GramModel:
    """Descent by the Gram matrix, which is made anew for each model.

    Of many rows it is summed up over every so many of them alone at first: a step is not exact
    then, but its gradient is, and it costs a fraction.
    """

    def __init__(self, X: DesignMatrix, intercept: bool, n_threads: int | None) -> None:
        self._X, self._intercept, self._n_threads = X, intercept, n_threads
        self._sample(rows_between(X))

    def _sample(self, every: int) -> None:
        self._every = every
        self._sampled = self._X
        if every > 1:
            self._sampled = self._X.take(np.arange(0, self._X.shape[0], every))

    def minimise(
        self, rows: RowDerivatives, chosen: np.ndarray, w: np.ndarray, penalties: Penalties,
        tol: float,
    ) -> tuple[np.ndarray, float]:  # fmt: skip
        """See `QuadraticModel`."""
        X, intercept = self._sampled, self._intercept
        if len(chosen) <= WORTH_SELECTING * len(w):
            X = selected(X, chosen)
        else:
            chosen = np.arange(len(w))
        factors = np.ascontiguousarray(rows.second[:: self._every])
        if self._every > 1:
            sampled = float(np.sum(factors))
            factors = factors * (float(np.sum(rows.second)) / sampled if sampled > 0 else 0.0)
        H = _backend.active.weighted_grams(X, factors[None], None, self._n_threads)[0]
        H = np.triu(H) + np.triu(H, 1).T
        sums = rows.sums
        if sums is None:
            sums = self._X.weighted_sum(rows.first, self._n_threads)
        gradient = np.append(sums[chosen], float(np.sum(rows.first)))
        free = [0.0] * intercept
        some = penalties.of(chosen)
        new, l1, l2 = (np.append(each, free) for each in (w[chosen], some.l1, some.l2))
        low = None if some.low is None else np.append(some.low, [-np.inf] * intercept)
        _backend.active.descend_gram(H, gradient, new, l1, l2, tol, MAX_GRAM_EPOCHS, low)
        n, moved = len(chosen), w.copy()
        moved[chosen] = new[:n]
        return moved, float(new[n]) if intercept else 0.0

    def refine(self) -> bool:
        """See `QuadraticModel`."""
        before = self._every
        if before > 1:
            self._sample(max(1, before // 4))
        return self._every < before


class ColumnModel:
    """Descent by columns, of which it has a copy."""

    def __init__(self, X: DesignMatrix, intercept: bool) -> None:
        self._Xt, self._intercept = transposed(X), intercept

    def minimise(
        self, rows: RowDerivatives, chosen: np.ndarray, w: np.ndarray, penalties: Penalties,
        tol: float,
    ) -> tuple[np.ndarray, float]:  # fmt: skip
        """See `QuadraticModel`."""
        some, moved, own = w[chosen], w.copy(), penalties.of(chosen)
        change, _ = _backend.active.descend_columns(
            self._Xt, chosen, rows.first.copy(), rows.second, self._intercept, some,
            own.l1, own.l2, tol, MAX_EPOCHS, own.low,
        )  # fmt: skip
        moved[chosen] = some
        return moved, change

    def refine(self) -> bool:
        """See `QuadraticModel`: it is exact."""
        return False


def quadratic_model(X: DesignMatrix, intercept: bool, n_threads: int | None) -> QuadraticModel:
    """The one that takes less time."""
    width, products = X.shape[1] + intercept, products_per_value(X) / rows_between(X)
    if width <= MOST_GRAM_FEATURES and products <= MOST_PRODUCTS:
        return GramModel(X, intercept, n_threads)
    return ColumnModel(X, intercept)


def products_per_value(X: DesignMatrix) -> float:
    """What a Gram matrix over all rows takes."""
    if X.indptr is None:
        return X.shape[1] / 2
    return float(np.sum(np.square(np.diff(X.indptr), dtype=float))) / 2 / max(1, X.values.size)


def rows_between(X: DesignMatrix) -> int:
    """From one of the rows that a Gram matrix is first summed up over to the next."""
    n_rows, width = X.shape
    cheap = products_per_value(X) / (SPARSE_PRODUCTS if X.sparse else DENSE_PRODUCTS)
    return max(1, int(min(cheap, n_rows / (ROWS_PER_WEIGHT * width))))


def at_least_one(chosen: np.ndarray) -> np.ndarray:
    """The features that a mask has, the first one if it has none: a matrix has one at least."""
    features = np.flatnonzero(chosen)
    return features if len(features) else np.zeros(1, np.int64)


def selected(X: DesignMatrix, features: np.ndarray) -> DesignMatrix:
    """X with some of its features alone, which are numbered anew, copied."""
    shape = (X.shape[0], len(features))
    if not X.sparse:
        return DesignMatrix(shape, np.take(X.values, features, axis=1))
    csr = _backend.active.select_features(X, new_numbers(X.shape[1], features))
    return _sparse(shape, X, *csr)


def transposed(X: DesignMatrix) -> DesignMatrix:
    """The columns of X as rows, copied."""
    shape = (X.shape[1], X.shape[0])
    if not X.sparse:
        return DesignMatrix(shape, np.ascontiguousarray(X.values.T))
    every = np.arange(X.shape[1], dtype=np.int32)
    return _sparse(shape, X, *_backend.active.columns(X, every, X.shape[1]))


def new_numbers(n_features: int, features: np.ndarray) -> np.ndarray:
    """The new number of each feature, int32; -1 for none."""
    numbers = np.full(n_features, -1, np.int32)
    numbers[features] = np.arange(len(features))
    return numbers


def _sparse(
    shape: tuple[int, int], X: DesignMatrix, values: np.ndarray, indices: np.ndarray,
    indptr: np.ndarray,
) -> DesignMatrix:  # fmt: skip
    """Of values of X, which are all 1 if its are."""
    values = ones(len(indices), X.dtype) if all_ones(X.values) else values
    return DesignMatrix(shape, values, indptr, indices)


def column_squares(X: DesignMatrix, share: np.ndarray, n_threads: int | None) -> np.ndarray:
    """The sum of the squares of each column, times the rows' shares."""
    if all_ones(X.values):
        return X.weighted_sum(share, n_threads)
    total = np.zeros(X.shape[1])
    n_rows = math.ceil(max(SQUARED_VALUES, 4 * X.shape[1]) / max(1.0, X.nnz_per_row))
    for start in range(0, X.shape[0], n_rows):
        part = X.span(start, min(start + n_rows, X.shape[0]))
        squares = replace(part, values=np.square(part.values, dtype=np.float64))
        total += squares.weighted_sum(share[start : start + n_rows], n_threads)
    return total
