"""How a linear model lies in memory, how it is updated, and the arrays that an epoch moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.arrays import aligned
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.losses import Loss
from lrcore.rules import DoGState, Rule
from lrcore.rules.formula import Formula


class ModelLayout(NamedTuple):
    """Columns of the model's array: weights, the rule's states, then `last_step`, in which step a
    feature was last updated, and `gradient`, its sum over a mini-batch; these two are 0 where a fit
    has none.

    With several outputs weights, states and gradients have `lanes` columns each, the outputs to
    a multiple of eight.
    """

    width: int
    last_step: int
    gradient: int
    lanes: int = 1

    @classmethod
    def of(cls, formula: type[Formula], n_outputs: int, mini_batch: bool) -> ModelLayout:
        """The layout for an update formula and a number of outputs."""
        lanes = n_lanes(n_outputs)
        width = lanes * (1 + len(formula.state))
        last_step, gradient = bool(formula.decay), lanes * mini_batch
        if lanes == 1:
            gradient_at = (width + last_step) * mini_batch
            return cls(width + last_step + gradient, width * last_step, gradient_at)
        last_step_at = (width + gradient) * last_step
        return cls(width + gradient + last_step, last_step_at, width * mini_batch, lanes)

    def part(self, i: int) -> slice:
        """The columns of state i, of the weights if i is 0."""
        return slice(i * self.lanes, (i + 1) * self.lanes)

    @property
    def slot(self) -> int:
        """Columns from one feature to the next where they are side by side."""
        return slot_width(self.width)


def n_lanes(n_outputs: int) -> int:
    """The columns of the weights of so many outputs: several are padded to a multiple of eight."""
    return 1 if n_outputs == 1 else -(-n_outputs // 8) * 8


def slot_width(width: int) -> int:
    """Room for a feature's columns side by side: a power of two, so that no feature lies across
    two cache lines (measured: a quarter less time than without the padding), or whole lines."""
    return 1 << (width - 1).bit_length() if width <= 16 else -(-width // 16) * 16


@dataclass(frozen=True)
class UpdateConfig:
    """How the weights are updated: by which rule, by how many rows at a time, which averages."""

    rule: Rule
    batch_size: int
    block_size: int
    #: Outputs of a state, which are updated together.
    n_outputs: int = 1
    #: Steps before the first whose weights count in the average; None for no average.
    averaged_from: int | None = None
    #: Factors of the rule's rate, where outputs are one target at several rates; None: one rate.
    lr_factors: tuple[float, ...] | None = None

    @property
    def mini_batch(self) -> bool:
        """Whether a step is by the mean gradient of several rows."""
        return self.batch_size > 1

    @property
    def stream_block(self) -> int:
        """Rows of which a stream always learns as one block or batch, whatever calls they come
        in: blocks are powers of two, so that they end together."""
        return self.batch_size if self.mini_batch else 1 << (self.block_size.bit_length() - 1)

    @cached_property
    def formula(self) -> type[Formula]:
        """The rule's element formula for linear models."""
        formula = self.rule.linear_formula
        assert formula is not None, self.rule  # the estimators refuse the others
        return formula

    @cached_property
    def layout(self) -> ModelLayout:
        """Where a state keeps what this rule needs."""
        return ModelLayout.of(self.formula, self.n_outputs, self.mini_batch)

    def n_targets(self, loss: Loss) -> int:
        """Numbers in the target of a row: one for each output, unless all outputs have one."""
        return 1 if loss.joint or self.lr_factors else self.n_outputs

    def n_losses(self, loss: Loss) -> int:
        """Losses of a row: one for each output, unless it is one of all."""
        return 1 if loss.joint else self.n_outputs

    @property
    def decay(self) -> float:
        """What the state is multiplied by in a step that does not touch the feature."""
        return float(getattr(self.rule, self.formula.decay)) if self.formula.decay else 1.0

    @cached_property
    def decay_powers(self) -> np.ndarray:
        """decay**k for k, 1024 k and 1024**2 k, k < 1024: two products give any power."""
        if self.decay == 1.0:
            return np.ones(3 * 1024)
        k = np.arange(1024)
        return np.concatenate([numerics.power(self.decay, k << shift) for shift in (0, 10, 20)])


#: Rows between two applications of the penalty, at least; and how often, on average, a feature is
#: touched in between. Measured on text: the penalty then takes a quarter of the time of an epoch,
#: and the objective is within 1e-3 of that of applications four times as often.
MIN_PERIOD, TOUCHES = 64, 1.0


@dataclass(frozen=True)
class LazyPenalty:
    """When the penalty of many steps is applied at once, group by group of the features.

    To apply it reads every feature of a group, so it waits for enough rows. Group k are the
    features below `stops[k]` that are in no group before; its penalty is applied every `periods[k]`
    rows. `rows_since[k]` rows have passed since the last time, whose rates, times the rows'
    weights, sum to `accumulated_lr[k]`.
    """

    stops: np.ndarray
    periods: np.ndarray
    rows_since: np.ndarray
    accumulated_lr: np.ndarray

    @classmethod
    def new(cls, stops: Any, values: Any) -> LazyPenalty:
        """Groups before the first row; `values` is how many of a row's each has, on average."""
        stops, values = np.asarray(stops, np.int64), np.asarray(values, float)
        periods = TOUCHES * np.diff(stops, prepend=0) / np.maximum(values, 1e-9)
        periods = np.clip(periods, MIN_PERIOD, 1e15).astype(np.int64)
        return cls(stops, periods, np.zeros(len(stops), np.int64), np.zeros(len(stops)))

    @property
    def is_due(self) -> bool:
        """Whether some step's penalty has not been applied."""
        return bool(self.accumulated_lr.any())

    def add(self, rates: np.ndarray, n_rows: int) -> None:
        """Take note of n_rows rows whose steps have these rates, times the rows' weights."""
        self.accumulated_lr[:] += float(np.cumsum(rates)[-1])
        self.rows_since[:] += n_rows

    def copy(self) -> LazyPenalty:
        since = self.rows_since.copy(), self.accumulated_lr.copy()
        return LazyPenalty(self.stops, self.periods, *since)

    def clear(self) -> None:
        """Everything has been applied."""
        self.rows_since[:] = 0
        self.accumulated_lr[:] = 0.0


@dataclass
class WeightAverage:
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
class DoGSums:
    """What DoG's rate follows from, the same for all outputs of a state.

    `sums` are the squared norms of all gradients summed up, the largest distance of the weights
    from 0, and their squared distance now: the core brings them forward from block to block. The
    distance, which the core estimates, is measured now and then, at step `measured` for the last
    time.
    """

    sums: np.ndarray
    measured: int = 0

    @classmethod
    def new(cls, rule: Rule) -> DoGSums | None:
        """Before the first step, at weights of 0; None for other rules."""
        if not rule.uses_distance:
            return None
        start = rule.initial_dog_state(0.0)
        return cls(np.array([start.squares, start.distance, 0.0]))

    @property
    def so_far(self) -> DoGState:
        """What the rule works out its rate from."""
        return DoGState(float(self.sums[1]), float(self.sums[0]))

    def measure(self, sum_of_squares: float, step: int) -> None:
        """Replace the estimated squared distance by the true one."""
        self.sums[1] = max(self.sums[1], math.sqrt(sum_of_squares))
        self.sums[2] = sum_of_squares
        self.measured = step

    def copy(self) -> DoGSums:
        return DoGSums(self.sums.copy(), self.measured)


def aligned_zeros(shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Zeros that start on a cache line."""
    return aligned(shape[0] * shape[1], dtype, zeros=True).reshape(shape)


@dataclass
class ModelState:
    """Outputs of a linear model that are updated together: weights, the rule's state, and where
    the run is.

    `array` is (n_features + 1, slot) for sparse rows or several outputs, (width, n_features + 1)
    for dense rows and one; the last feature is the intercept. `base + step` steps are done. Blocks
    of `block` rows go on until step `until`: a stream keeps both from call to call, so that it does
    not matter where calls end.
    """

    array: np.ndarray
    width: int
    by_feature: bool
    n_outputs: int = 1
    step: int = 0
    base: int = 0
    lazy_penalty: LazyPenalty = field(default_factory=lambda: LazyPenalty.new([], []))
    block: int = 1
    until: int = 0
    average: WeightAverage | None = None
    dog: DoGSums | None = None

    @classmethod
    def new(
        cls, updates: UpdateConfig, X: DesignMatrix, lazy_penalty: LazyPenalty | None = None
    ) -> ModelState:
        """All zeros, laid out for sparse or dense rows; has a copy of lazy_penalty if given."""
        layout, n = updates.layout, X.shape[1] + 1
        by_feature = X.sparse or updates.n_outputs > 1
        shape = (n, layout.slot) if by_feature else (layout.width, n)
        array = aligned_zeros(shape, X.dtype)
        state = cls(array, layout.width, by_feature, updates.n_outputs)
        state.dog = DoGSums.new(updates.rule)
        if lazy_penalty is not None:
            state.lazy_penalty = lazy_penalty.copy()
        for i, name in enumerate(updates.formula.state, start=1):
            first = updates.rule.initial_state(name, np.zeros(1, X.dtype))
            if np.any(first):  # memory that is not written takes no time
                state.columns[layout.part(i)] = first
        if layout.gradient:
            state.columns[layout.gradient : layout.gradient + layout.lanes] = -0.0
        state.begin_average(updates)
        return state

    def begin_average(self, updates: UpdateConfig) -> None:
        """Keep an average from now on, or none."""
        if updates.averaged_from is None:
            self.average = None
        elif self.average is None:
            lanes = updates.layout.lanes
            changes = np.zeros((self.columns.shape[1], lanes), self.columns.dtype)
            self.average = WeightAverage(changes, max(self.t, updates.averaged_from))

    @property
    def t(self) -> int:
        """Steps done."""
        return self.base + self.step

    @property
    def writeable(self) -> bool:
        """Whether steps can be made in these arrays, which may be mapped from a file."""
        arrays = [self.array, self.lazy_penalty.rows_since, self.lazy_penalty.accumulated_lr]
        arrays += [self.average.changes] if self.average else []
        arrays += [self.dog.sums] if self.dog else []
        return all(array.flags.writeable for array in arrays)

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
        return w.copy() if self.average is None else self.average.of(w, self.t)

    def rate(self, rule: Rule) -> float:
        """The rate of the last step."""
        last = np.array([max(0, self.t - 1)])
        return float(rule.rates(last)[0]) * (
            rule.dog_lr_factor(self.dog.so_far) if self.dog else 1.0
        )

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

    def copy(self) -> ModelState:
        array = aligned_zeros(self.array.shape, self.array.dtype)
        array[...] = self.array
        changes = None if self.average is None else self.average.changes.copy()
        return self._with(array, changes)

    def part(self, features: np.ndarray) -> ModelState:
        """A copy with these features alone."""
        part = self.array[features] if self.by_feature else self.array[:, features]
        array = np.ascontiguousarray(part)
        changes = None if self.average is None else self.average.changes[features]
        return self._with(array, changes)

    def among(self, features: np.ndarray, n_features: int) -> ModelState:
        """A copy with these features out of n_features; the others are 0."""
        places, n = np.append(features, n_features), n_features + 1
        shape = (n, *self.array.shape[1:]) if self.by_feature else (len(self.array), n)
        array = aligned_zeros(shape, self.array.dtype)
        if self.by_feature:
            array[places] = self.array
        else:
            array[:, places] = self.array
        return self._with(array, None)

    def put_back(self, features: np.ndarray, before: ModelState) -> None:
        """Undo all steps since `before` was copied of these features, the only changed ones."""
        if self.by_feature and before.by_feature:
            self.array[features] = before.array
        else:
            self.columns[:, features] = before.columns
        if self.average is not None and before.average is not None:
            self.average.changes[features] = before.average.changes
        self.step, self.base = before.step, before.base
        self.block, self.until = before.block, before.until
        self.lazy_penalty = before.lazy_penalty.copy()
        self.dog = before.dog and before.dog.copy()

    def _with(self, array: np.ndarray, changes: np.ndarray | None) -> ModelState:
        average = None
        if self.average is not None and changes is not None:
            average = replace(self.average, changes=changes)
        lazy, dog = self.lazy_penalty.copy(), self.dog and self.dog.copy()
        return replace(self, array=array, lazy_penalty=lazy, average=average, dog=dog)
