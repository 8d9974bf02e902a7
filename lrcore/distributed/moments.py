"""Moments of the columns, and what constant predictions lose, by one round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lrcore._backend.rounding import rounded_to_nearest
from lrcore.distributed.exact import exact_sum
from lrcore.distributed.partition import Partition, Setting
from lrcore.distributed.sums import FeatureSums, unit_exponent
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.engine.design_matrix import DesignMatrix

#: Rows whose columns are centred at a time.
CENTRED_ROWS = 4096


class Moments(NamedTuple):
    """Sums over rows of each column's values less a center, of their squares, and of the weights of
    rows that touch it; of each target the losses of constant predictions, and of a joint one the
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
    def of(cls, setting: Setting, largest_difference: float) -> MomentUnits:
        """Those that suit all rows, whose values are no farther from the centers than this."""
        n, weight = setting.total, setting.most
        return cls(
            unit_exponent(n, weight * largest_difference),
            unit_exponent(n, weight * largest_difference * largest_difference),
            unit_exponent(n, weight),
            unit_exponent(n, weight * setting.largest_value),
        )


@rounded_to_nearest
def moments(
    partition: Partition, center: np.ndarray | None, units: MomentUnits,
    constants: Sequence[np.ndarray],
) -> Moments | None:  # fmt: skip
    """What the client has to know of the columns, and of constant predictions for each target."""
    problem = partition.problem
    if problem is None:
        return None
    X, loss = problem.X, problem.objective.loss
    weight = np.ones(problem.n_rows) if problem.sample_weight is None else problem.sample_weight
    columns = squares = None
    for start in range(0, problem.n_rows, problem.n_rows if center is None else CENTRED_ROWS):
        part = X if center is None else X.span(start, min(start + CENTRED_ROWS, problem.n_rows))
        factors = weight[None, start : start + part.shape[0]]
        if center is not None:
            part = DesignMatrix(part.shape, part.values.astype(np.float64) - center)
        of_part = partition.sums(part, factors, units.columns)
        squares_of_part = partition.sums(part, factors, units.squares, squares=True)
        columns = of_part if columns is None else columns.plus(of_part)
        squares = squares_of_part if squares is None else squares.plus(squares_of_part)
    assert columns is not None
    assert squares is not None
    present = replace(X, values=(X.values != 0).astype(X.dtype))
    touched = partition.sums(present, weight[None], units.touched)
    losses, classes = [], None
    for k, constant in enumerate(constants):
        one = problem.of_target(k)
        y = one.targets[0].astype(np.float64)
        z = np.tile(constant, (one.n_rows, 1)) + one.offset(0)
        value = loss.evaluate(z if loss.joint else z[:, 0], y)[0] - loss.least(y)
        losses.append(exact_sum(partition.weights(k) * value))
        if loss.joint:
            label = (y == np.arange(problem.outputs_per_target)[:, None]).astype(np.float64)
            classes = partition.sums(X, weight * label, units.classes)
    return Moments(columns, squares, touched, losses, classes)


class ColumnMoments(NamedTuple):
    """Of each column the mean, the variance, the mean square and the spread, (n_features,)."""

    mean: np.ndarray
    variance: np.ndarray
    mean_square: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(
        cls, moments: Moments, units: MomentUnits, center: np.ndarray | None, total: int
    ) -> ColumnMoments:
        """Those of sums over so many rows."""
        sums, squares, touched = (
            np.ldexp(part.dense()[0].astype(np.float64), exponent)
            for part, exponent in zip(moments[:3], units)
        )
        center = np.zeros(len(sums)) if center is None else center
        mean = sums / total
        about_zero = squares / total + center * (2.0 * mean + center)
        spread = scaling.spreads_of(sums, squares, touched, center, float(total))
        variance = np.maximum(squares / total - mean * mean, 0.0)
        return cls(mean + center, variance, np.maximum(about_zero, 0.0), spread)
