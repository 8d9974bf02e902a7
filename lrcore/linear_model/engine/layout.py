"""The state of a linear model: what is minimised and how, and the arrays that it moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.arrays import aligned
from lrcore.linear_model.engine.design_matrix import Rows
from lrcore.losses import Loss
from lrcore.rules import Rule, Travel
from lrcore.rules.formulas import Formula


class Columns(NamedTuple):
    """Columns of the model's array; stamp and gradient are 0 where a fit has none.

    With several outputs weights, states and gradients have `lanes` columns each, the outputs to
    a multiple of eight.
    """

    width: int
    stamp: int
    gradient: int
    lanes: int = 1

    def part(self, i: int) -> slice:
        """The columns of state i, of the weights if i is 0."""
        return slice(i * self.lanes, (i + 1) * self.lanes)


def slot_width(width: int) -> int:
    """Room for a feature's columns side by side: a power of two, so that no feature lies across
    two cache lines (measured: a quarter less time than without the padding), or whole lines."""
    return 1 << (width - 1).bit_length() if width <= 16 else -(-width // 16) * 16


@dataclass(frozen=True)
class Method:
    """What is minimised and how, without the data."""

    loss: Loss
    rule: Rule
    l1: float
    l2: float
    intercept: bool
    batch_size: int
    block_size: int
    n_outputs: int = 1
    #: Steps before the first whose weights count in the average; None for no average.
    averaged_from: int | None = None
    #: Factors of the features' penalties, (n_features,) float64; None: 1 each.
    factors: np.ndarray | None = field(default=None, compare=False)
    #: Whether columns are divided by the largest magnitude seen in them.
    scaled: bool = False
    #: Factors of the rule's rate, where outputs are one target at several rates; None: one rate.
    rate_factors: tuple[float, ...] | None = None

    @property
    def penalised(self) -> bool:
        return self.l1 > 0 or self.l2 > 0

    @property
    def mean(self) -> bool:
        """Mini-batches instead of online updates."""
        return self.batch_size > 1

    @property
    def stream_block(self) -> int:
        """Rows of which a stream always learns as one block or batch, whatever calls they come
        in: blocks are powers of two, so that they end together."""
        return self.batch_size if self.mean else 1 << (self.block_size.bit_length() - 1)

    @cached_property
    def formula(self) -> type[Formula]:
        formula = self.rule.linear_formula
        assert formula is not None, self.rule  # the estimators refuse the others
        return formula

    @cached_property
    def columns(self) -> Columns:
        lanes = 1 if self.n_outputs == 1 else -(-self.n_outputs // 8) * 8
        width = lanes * (1 + len(self.formula.state))
        stamp, gradient = bool(self.formula.decay), lanes * self.mean
        if lanes == 1:
            return Columns(width + stamp + gradient, width * stamp, (width + stamp) * self.mean)
        return Columns(
            width + gradient + stamp, (width + gradient) * stamp, width * self.mean, lanes
        )

    @property
    def n_losses(self) -> int:
        """Losses of a row: one for each output, unless it is one of all."""
        return 1 if self.loss.joint else self.n_outputs

    @property
    def slot(self) -> int:
        """Columns from one feature to the next where they are side by side."""
        return slot_width(self.columns.width)

    @property
    def decay(self) -> float:
        """What the state is multiplied by in an idle step."""
        return float(getattr(self.rule, self.formula.decay)) if self.formula.decay else 1.0

    @cached_property
    def powers(self) -> np.ndarray:
        """decay**k for k, 1024 k and 1024**2 k, k < 1024: two products give any power."""
        if self.decay == 1.0:
            return np.ones(3 * 1024)
        k = np.arange(1024)
        return np.concatenate([numerics.power(self.decay, k << shift) for shift in (0, 10, 20)])


def aligned_zeros(shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Zeros that start on a cache line."""
    return aligned(shape[0] * shape[1], dtype, zeros=True).reshape(shape)


#: Rows from one payment of the penalties to the next, at least; and how often, on average, a
#: feature is touched in between. Measured on text: payments then take a quarter of the time, and
#: the objective is within 1e-3 of that of payments four times as often.
MIN_PERIOD, TOUCHES = 64, 1.0


@dataclass(frozen=True)
class Debt:
    """What features owe of the penalties, group by group.

    A payment reads every feature of a group, so it waits for enough rows. Group k are the
    features below `stops[k]` that are in no group before; it pays every `periods[k]` rows, and
    owes for `unpaid[k]` rows now, whose rates (times their weights) sum to `owed[k]`.
    """

    stops: np.ndarray
    periods: np.ndarray
    unpaid: np.ndarray
    owed: np.ndarray

    @classmethod
    def new(cls, stops: Any, values: Any) -> Debt:
        """Groups that owe nothing yet; `values` is how many of a row's lie in each, on average."""
        stops, values = np.asarray(stops, np.int64), np.asarray(values, float)
        periods = TOUCHES * np.diff(stops, prepend=0) / np.maximum(values, 1e-9)
        periods = np.clip(periods, MIN_PERIOD, 1e15).astype(np.int64)
        return cls(stops, periods, np.zeros(len(stops), np.int64), np.zeros(len(stops)))

    def copy(self) -> Debt:
        return Debt(self.stops, self.periods, self.unpaid.copy(), self.owed.copy())

    def clear(self) -> None:
        """Everything is paid."""
        self.unpaid[:] = 0
        self.owed[:] = 0.0


@dataclass
class Average:
    """Polyak's average of the weights over the steps after the first `since`.

    `changes`, (n_features + 1, lanes), holds for each weight the sum of every change times the
    averaged steps before it: so a feature costs nothing in steps that leave it alone.
    """

    changes: np.ndarray
    since: int

    def of(self, weights: np.ndarray, t: int) -> np.ndarray:
        """The average after step t, when the weights, (n_outputs, n_features + 1), are these."""
        n = t - self.since
        if n <= 0:
            return weights.copy()
        changes = self.changes[:, : len(weights)].T.astype(np.float64)
        return (weights.astype(np.float64) - changes / n).astype(weights.dtype)


@dataclass
class Pace:
    """What the rates of a rule that travels are multiplied by, the same for all outputs of a state.

    `sums` are the squared norms of all gradients summed up, the largest distance from 0 so far, and
    the squared distance now: the core brings them forward from block to block. What it cannot see
    is measured now and then, at step `measured` for the last time.
    """

    sums: np.ndarray
    measured: int = 0

    @classmethod
    def new(cls, rule: Rule) -> Pace | None:
        """At the start, which is 0; None for rules that do not travel."""
        if not rule.travels:
            return None
        travel = rule.set_out(0.0)
        return cls(np.array([travel.squares, travel.distance, 0.0]))

    @property
    def travel(self) -> Travel:
        """So far."""
        return Travel(float(self.sums[1]), float(self.sums[0]))

    def measure(self, square_sum: float, step: int) -> None:
        """Take the squared distance for what it is."""
        self.sums[1] = max(self.sums[1], math.sqrt(square_sum))
        self.sums[2] = square_sum
        self.measured = step

    def copy(self) -> Pace:
        return Pace(self.sums.copy(), self.measured)


@dataclass
class State:
    """Outputs of a linear model that move together: weights, rule state, bookkeeping, and where
    the run is.

    `array` is (n_features + 1, slot) for sparse rows or several outputs, (width, n_features + 1)
    for dense rows and one; the last feature is the intercept. Blocks of `block` rows go on until
    step `until`: a stream takes this from call to call, so that it does not matter where calls end.
    """

    array: np.ndarray
    width: int
    by_feature: bool
    n_outputs: int = 1
    step: int = 0
    base: int = 0
    debt: Debt = field(default_factory=lambda: Debt.new([], []))
    block: int = 1
    until: int = 0
    average: Average | None = None
    pace: Pace | None = None

    @classmethod
    def new(cls, method: Method, rows: Rows, debt: Debt | None = None) -> State:
        """All zeros, laid out for sparse or dense rows; owes a copy of debt if penalised."""
        place, n = method.columns, rows.shape[1] + 1
        by_feature = rows.sparse or method.n_outputs > 1
        shape = (n, method.slot) if by_feature else (place.width, n)
        array = aligned_zeros(shape, rows.dtype)
        state = cls(array, place.width, by_feature, method.n_outputs, pace=Pace.new(method.rule))
        if debt is not None and method.penalised:
            state.debt = debt.copy()
        for i, name in enumerate(method.formula.state, start=1):
            state.columns[place.part(i)] = method.rule.initial_state(name, np.zeros(1, rows.dtype))
        if place.gradient:
            state.columns[place.gradient : place.gradient + place.lanes] = -0.0
        state.begin_average(method)
        return state

    def begin_average(self, method: Method) -> None:
        """Keep an average from now on, or none, as the method has it."""
        if method.averaged_from is None:
            self.average = None
        elif self.average is None:
            lanes = method.columns.lanes
            changes = np.zeros((self.columns.shape[1], lanes), self.columns.dtype)
            self.average = Average(changes, max(self.base + self.step, method.averaged_from))

    @property
    def columns(self) -> np.ndarray:
        """(width, n_features + 1), whatever the layout: a view."""
        return self.array[:, : self.width].T if self.by_feature else self.array

    @property
    def weights(self) -> np.ndarray:
        """(n_outputs, n_features + 1): a view."""
        return self.columns[: self.n_outputs]

    @property
    def averaged_weights(self) -> np.ndarray:
        """The weights that a model of this state has: their average where there is one."""
        w = self.weights
        return w.copy() if self.average is None else self.average.of(w, self.base + self.step)

    def rate(self, rule: Rule) -> float:
        """That of the last step."""
        last = np.array([max(0, self.base + self.step - 1)])
        return float(rule.rates(last)[0]) * (rule.pace(self.pace.travel) if self.pace else 1.0)

    def lay_out(self, sparse: bool) -> None:
        """Columns of a feature side by side for sparse rows or several outputs, else each
        contiguous."""
        by_feature = sparse or self.n_outputs > 1
        if by_feature == self.by_feature:
            return
        old = self.columns
        if by_feature:
            self.array = aligned_zeros((old.shape[1], slot_width(self.width)), old.dtype)
        else:
            self.array = aligned_zeros(old.shape, old.dtype)
        self.by_feature = by_feature
        self.columns[...] = old

    def copy(self) -> State:
        array = aligned_zeros(self.array.shape, self.array.dtype)
        array[...] = self.array
        average = self.average and replace(self.average, changes=self.average.changes.copy())
        pace = self.pace and self.pace.copy()
        return replace(self, array=array, debt=self.debt.copy(), average=average, pace=pace)
