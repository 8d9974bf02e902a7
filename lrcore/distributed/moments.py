"""Moments of the columns, and what constant predictions lose, by one round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lrcore import _backend
from lrcore._backend.rounding import rounded_to_nearest
from lrcore.distributed.exact import as_float, exact_sum
from lrcore.distributed.partition import Partition, Setting
from lrcore.distributed.rows import Rows
from lrcore.distributed.sums import FeatureSums, unit_exponent
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.engine.design_matrix import DesignMatrix, ones

#: The variance of a column over its mean square up to which it is constant.
CONSTANT = 1e-12


class Moments(NamedTuple):
    """Sums over rows of each column's values, of their squares, and of the weights of rows that
    touch it; of each target the losses of constant predictions, and of a joint one the
    sums of the rows of each class."""

    columns: FeatureSums
    squares: FeatureSums
    touched: FeatureSums
    losses: list[int]
    classes: FeatureSums | None

    @property
    def nbytes(self) -> int:
        """What is sent of them."""
        some = [*self[:3], *([] if self.classes is None else [self.classes])]
        return sum(each.nbytes for each in some)

    def plus(self, other: Moments) -> Moments:
        """Those of the rows of both."""
        classes = None
        if self.classes is not None and other.classes is not None:
            classes = self.classes.plus(other.classes)
        return Moments(
            self.columns.plus(other.columns), self.squares.plus(other.squares),
            self.touched.plus(other.touched),
            [a + b for a, b in zip(self.losses, other.losses)], classes,
        )  # fmt: skip


class MomentUnits(NamedTuple):
    """The exponents of the units of sums of values, squares, weights, and values by class."""

    columns: int
    squares: int
    touched: int
    classes: int

    @classmethod
    def of(cls, setting: Setting) -> MomentUnits:
        """Those that suit all rows."""
        n, weight, largest = setting.total, setting.most, setting.largest_value
        values = unit_exponent(n, weight * largest)
        squares = unit_exponent(n, weight * largest * largest)
        return cls(values, squares, unit_exponent(n, weight), values)


@rounded_to_nearest
def moments(
    partition: Partition, units: MomentUnits, constants: Sequence[np.ndarray]
) -> Moments | None:
    """What the client has to know of the columns, and of constant predictions for each target."""
    problem = partition.problem
    if problem is None:
        return None
    X, loss = problem.X, problem.objective.loss
    weight = np.ones(problem.n_rows) if problem.sample_weight is None else problem.sample_weight
    columns = partition.sums(X, weight[None], units.columns)
    squares = partition.sums(X, weight[None], units.squares, squares=True)
    touched = touched_by(partition, X, weight, units.touched)
    losses, classes = [], None
    for k, constant in enumerate(constants):
        one = problem.of_target(k)
        y = one.targets[0].astype(np.float64)
        z = np.tile(constant, (one.n_rows, 1)) + one.offset(0)
        raw = z if loss.joint else np.ascontiguousarray(z[:, 0])
        value = _backend.active.loss_values(loss, raw, y) - loss.least(y)
        losses.append(exact_sum(partition.weights(k) * value))
        if loss.joint:
            label = (y == np.arange(problem.outputs_per_target)[:, None]).astype(np.float64)
            classes = partition.sums(X, weight * label, units.classes)
    return Moments(columns, squares, touched, losses, classes)


class ColumnMoments(NamedTuple):
    """Of each column the mean, the variance, the mean square, the share of the rows that touch it,
    and the spread, (n_features,)."""

    mean: np.ndarray
    variance: np.ndarray
    mean_square: np.ndarray
    touched: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, moments: Moments, units: MomentUnits, total: int) -> ColumnMoments:
        """Those of sums over so many rows."""
        mean, square, touched = (
            np.ldexp(part.dense()[0].astype(np.float64), exponent) / total
            for part, exponent in zip(moments[:3], units)
        )
        variance = square - mean * mean
        # What is left of a constant column is rounding.
        variance = np.where(variance > CONSTANT * square, variance, 0.0)
        spread = scaling.spreads_of(np.zeros(len(mean)), variance, touched, mean, 1.0)
        return cls(mean, variance, square, touched, spread)

    def in_different_units(self, exponents: np.ndarray | None, total: int) -> bool:
        """Whether columns must be in different units: see `scaling.in_different_units`; they were
        divided by these powers of two."""
        squares = self.mean_square
        if exponents is not None:
            squares = np.ldexp(squares, 2 * exponents)
        rows = min(total, scaling.SAMPLED_ROWS)
        return scaling.units_differ(squares, self.touched, scaling.FEWEST_ROWS / rows)


def touched_by(
    partition: Partition, X: DesignMatrix, weight: np.ndarray, exponent: int
) -> FeatureSums:
    """The weights of the rows in which a feature is not 0, summed up; without a look at the values
    of dense rows that have no zeros, as is usual."""
    no_zeros = bool(np.count_nonzero(X.values) == X.values.size)
    if no_zeros and not X.sparse:
        total = np.sum(np.rint(np.ldexp(weight, -exponent)).astype(np.int64))
        return FeatureSums(np.full((1, X.shape[1]), total), partition.n_features)
    values = ones(X.values.size, X.dtype) if no_zeros else (X.values != 0).astype(X.dtype)
    return partition.sums(replace(X, values=values), weight[None], exponent)


class TargetMoments(NamedTuple):
    """Of each target sums of weights, of numbers, and of their squares, as multiples of
    2**-1074."""

    weights: list[int]
    sums: list[int]
    squares: list[int]

    @property
    def nbytes(self) -> int:
        return 8 * len(self.weights)

    def plus(self, other: TargetMoments) -> TargetMoments:
        """Those of the rows of both."""
        return TargetMoments._make([a + b for a, b in zip(*pair)] for pair in zip(self, other))

    def stand_in(self, *, positive: bool) -> np.ndarray:
        """Two targets of each with the same mean and variance, or both the mean if all have to be
        `positive`: (2,) or (2, n_targets)."""
        found = []
        for weight, total, squares in zip(self.weights, self.sums, self.squares):
            scale = as_float(weight)
            mean = as_float(total) / scale
            variance = max(as_float(squares) / scale - mean * mean, 0.0)
            spread = 0.0 if positive else math.sqrt(variance)
            found.append([mean - spread, mean + spread])
        columns = np.array(found).T
        return np.ascontiguousarray(columns[:, 0]) if len(found) == 1 else columns


def target_moments(rows: Rows) -> TargetMoments | None:
    """Those of the rows of a partition."""
    if rows.X is None:
        return None
    weight = np.ones(rows.n_rows) if rows.weight is None else rows.weight
    columns = rows.y.reshape(rows.n_rows, -1).T
    parts = [np.broadcast_to(weight, columns.shape), weight * columns, weight * columns * columns]
    return TargetMoments._make([exact_sum(column) for column in part] for part in parts)
