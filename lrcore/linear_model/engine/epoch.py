"""Epochs over rows: calls of the backend that move a linear model's states forward."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lrcore import _backend
from lrcore._backend.compiled import BLOCK_VALUES, LONG_ROW
from lrcore._backend.shuffle import RUN_LENGTH, STRATA
from lrcore.linear_model.engine.design_matrix import DesignMatrix, RowStatistics
from lrcore.linear_model.engine.layout import ModelState, UpdateConfig
from lrcore.linear_model.engine.shared_rows import most_shared_rows, sampled
from lrcore.linear_model.problem import Objective, Problem
from lrcore.rules import Rule

#: Rows of one call of the backend: few enough that Ctrl-C and progress get through, and that the
#: table of coefficients stays in the cache; enough that the call costs nothing.
CHUNK_ROWS = 65_536

#: Values of X that the calls for all outputs may take together, 40 ms at 10 ns a value; and those
#: of a call that costs little beside its work, should the outputs be very many.
CALL_VALUES, LEAST_VALUES = 1 << 22, 1 << 16

#: Steps after which the numbers of last steps, 32 bits wide beside float32 weights, begin at 0.
LAST_STEP_LIMIT = 1 << 30

#: For DoG, a block has at most this share of the rows before it, and so have the rows before blocks
#: are chosen anew; the distance of the weights is measured after a row for so many features.
GROWTH, MEASURED = 8, 64


class EpochLoss(NamedTuple):
    """The losses of an epoch's rows, each just before its row was learnt from: their sum, the sum
    of the rows' weights times the losses that each has, and the number of rows."""

    total: float
    weight: float
    n_rows: int

    @property
    def mean(self) -> float:
        return self.total / self.weight if self.weight else 0.0

    def plus(self, other: EpochLoss) -> EpochLoss:
        """The losses of both together."""
        n_rows = self.n_rows + other.n_rows
        return EpochLoss(self.total + other.total, self.weight + other.weight, n_rows)


class Chunk(NamedTuple):
    """Rows of an epoch that have just been learnt from, and where the fit is after them."""

    rows: np.ndarray
    step: int
    rate: float
    loss: float
    n_rows_done: int
    n_rows: int


#: Told of each chunk of an epoch; returns whether the epoch is to go on.
AfterChunk = Callable[[Chunk], bool]


class EpochRunner:
    """Moves states forward over rows of one design matrix.

    A `stream` has more rows than X, so that the size of blocks is chosen by those at hand; the rows
    of a `reordered` X are in a random order already.
    """

    def __init__(
        self, objective: Objective, updates: UpdateConfig, X: DesignMatrix, n_threads: int | None,
        *, reordered: bool = False, stream: bool = False,
    ) -> None:  # fmt: skip
        self.objective = objective
        self.updates = updates
        self.X = X
        self.reordered = reordered
        self.stream = stream
        self.rate = 0.0  # of the last step
        self.kernel = _backend.active.EpochKernel(objective, updates, X, n_threads)

    @property
    def lane_losses(self) -> np.ndarray:
        """Sums of the losses at each of several rates, over all epochs."""
        return self.kernel.lane_losses

    def use_rule(self, rule: Rule) -> None:
        """Go on with this rule, which differs in its rate alone."""
        self.updates = replace(self.updates, rule=rule)

    def run_epoch(
        self, states: list[ModelState], problem: Problem, order: np.ndarray,
        after_chunk: AfterChunk, at_least: int = 1,
    ) -> EpochLoss:  # fmt: skip
        """Learn from the rows named by `order`, at least from so many whatever after_chunk says.

        Ends early, with an infinite or NaN loss, once a loss is not finite.
        """
        n_rows, weight, loss = len(order), problem.sample_weight, self.objective.loss
        weights = [problem.of_target(k).sample_weight for k in range(len(states))]
        n_losses = len(states) * self.updates.n_losses(loss)
        n_outputs = len(states) * self.updates.n_outputs
        total, end, block = EpochLoss(0.0, 0.0, 0), 0, 0
        going_on = True
        while total.n_rows < n_rows and (going_on or total.n_rows < at_least):
            if total.n_rows == end:
                end, block = self.next_block(states, total.n_rows, n_rows, problem)
            stop = min(end, total.n_rows + self.call_rows(block, n_outputs))
            chunk = order[total.n_rows : stop]
            summed = total.total
            for k, (state, y, own) in enumerate(zip(states, problem.targets, weights)):
                rates, coefficients = self.step_table(state, len(chunk), block)
                squares = self.squares if state.dog else None
                summed += self.kernel.fit_rows(
                    state, chunk, y, own, block, rates, coefficients, squares,
                    None if problem.offsets is None else problem.offsets[k],
                )  # fmt: skip
                if not np.isfinite(summed):
                    return EpochLoss(summed, total.weight, total.n_rows)
            counted = float(len(chunk) if weight is None else np.sum(weight[chunk]))
            total = EpochLoss(summed, total.weight + counted * n_losses, stop)
            rate = states[0].rate(self.updates.rule)
            going_on = after_chunk(Chunk(chunk, states[0].t, rate, total.mean, stop, n_rows))
        return total

    def step_table(
        self, state: ModelState, n_rows: int, block: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rates and coefficients of the next steps, a row for each, of n_rows rows of the state's;
        all scalars of the rule and its schedule are worked out here."""
        rule = self.updates.rule
        steps = -(-n_rows // block) if self.updates.mini_batch else n_rows
        make_room(state, steps, self.objective, self.updates)
        t = np.arange(steps, dtype=np.int64) + state.t
        rates = rule.rates(t)
        self.rate = float(rates[-1])
        return rates, rule.coefficients(t, rates, self.X.dtype)

    # ---- the size of blocks, and of calls -------------------------------------------------------

    def next_block(
        self, states: list[ModelState], start: int, n_rows: int, problem: Problem
    ) -> tuple[int, int]:
        """Where calls of one block or batch size from row `start` end, and that size.

        Raw predictions that are a block old act like a delay. How many rows may share them depends
        on the rule and its present rate, so blocks start small and grow, by powers of two, to
        `block_size`; measured, the fit is then as good as with blocks of 1. Blocks end at multiples
        of their size, counted from the first row ever. For DoG the distance of the weights is
        measured here, since these places do not depend on where calls end.
        """
        updates, state = self.updates, states[0]
        t = state.t
        if updates.mini_batch:
            block, n_batches = updates.batch_size, max(1, CHUNK_ROWS // updates.batch_size)
            if state.dog and t >= state.until:
                self._measure(states, t)
                state.until = t + max(1, min(n_batches, t // GROWTH))
            if state.dog:
                n_batches = state.until - t
            return min(n_rows, start + n_batches * block), block
        if t >= state.until:
            self._measure(states, t)
            block = state.block = self._shared_rows(states, start, n_rows, problem)
            longest = min(CHUNK_ROWS, max(t if state.dog is None else t // GROWTH, 1))
            state.until = (t // block + max(1, longest // block)) * block
        block = state.block
        stop = state.until if t % block == 0 else t - t % block + block
        return min(n_rows, start + stop - t), block

    def _measure(self, states: list[ModelState], t: int) -> None:
        """Measure how far the weights are from 0, for DoG, if it is time."""
        for state in states:
            if state.dog and t - state.dog.measured >= self.X.shape[1] // MEASURED:
                state.dog.measure(_backend.active.sum_of_squares(state), t)

    def _shared_rows(
        self, states: list[ModelState], start: int, n_rows: int, problem: Problem
    ) -> int:
        """The size of blocks from here on, which is row `start`."""
        updates, size, t = self.updates, self.updates.block_size, states[0].t
        rule, loss = updates.rule, self.objective.loss
        if self.stream:
            # By rows that are at hand together wherever calls end: up to a multiple of size.
            size = updates.stream_block
            near = problem.span(start, min(n_rows, start + size - t % size))
            statistics = near.X.statistics()
        else:
            near, statistics = problem, self._statistics
        bound = rule.shared_rows(t, loss.curvature, *statistics)
        bound /= max(updates.lr_factors or (1.0,))
        if t > 0:
            bound = min(bound, self._measured_rows(states, near))
        if rule.uses_distance:
            factors = [rule.dog_lr_factor(state.dog.so_far) for state in states if state.dog]
            top = max(factors)  # 0 once the sum of squares has overflown
            bound = min(bound / top if top > 0 else math.inf, t / GROWTH)
        bound = min(bound, max(4.0, BLOCK_VALUES / max(1.0, near.X.nnz_per_row)))
        return size if bound >= size else 1 << (max(1, int(bound)).bit_length() - 1)

    def _measured_rows(self, states: list[ModelState], near: Problem) -> float:
        """The least number of rows that may share raw predictions over all outputs."""
        rule, layout, bound = self.updates.rule, self.updates.layout, math.inf
        loss, n_states = self.objective.loss, len(self.updates.formula.state)
        if loss.joint or not loss.curved_at_last:
            return bound
        chosen, rows, features = sampled(near.X)
        for number, state in enumerate(states):
            # Several rates in one pass share an offset, several targets have one each.
            offsets = near.offsets
            own = np.zeros((1, 1)) if offsets is None else offsets[number][chosen]
            targets = near.targets[number].reshape(near.n_rows, -1)[chosen].astype(np.float64)
            rate, columns = state.rate(rule), state.columns
            factors = self.updates.lr_factors or (1.0,) * state.n_outputs
            for k, factor in enumerate(factors):
                parts = [columns[layout.part(i)][k][features] for i in range(n_states + 1)]
                sizes = rule.step_sizes(*parts[1:])
                if sizes is None:
                    return bound
                weights = parts[0].astype(np.float64)
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    z = rows.wide_predictions(weights[:-1], 1) + weights[-1]
                    z += own[:, min(k, own.shape[1] - 1)]
                    curvatures = loss.curvatures(z, targets[:, min(k, targets.shape[1] - 1)])
                bound = min(bound, most_shared_rows(rows, sizes * (rate * factor), curvatures))
        return bound

    def call_rows(self, block: int, n_outputs: int) -> int:
        """Rows of a call, whole blocks: few where rows are wide or outputs are many, so that
        Ctrl-C gets through. The states do not depend on it."""
        n_values = max(LEAST_VALUES, CALL_VALUES // n_outputs)
        return max(1, int(n_values / max(1.0, self.X.nnz_per_row)) // block) * block

    @property
    def run_length(self) -> int:
        """Rows that a shuffle keeps together; reordered ones are in a random order already."""
        if self.X.nnz_per_row >= 2 * LONG_ROW:
            return 1
        if self.reordered:
            return RUN_LENGTH
        longest = self.updates.batch_size // STRATA if self.updates.mini_batch else RUN_LENGTH
        return max(1, min(RUN_LENGTH, longest, self.X.shape[0] // (4 * STRATA * STRATA)))

    @cached_property
    def _statistics(self) -> RowStatistics:
        return self.X.statistics()

    @cached_property
    def squares(self) -> np.ndarray:
        """|x|**2 of each row, with the intercept's 1: its factor in the square of a gradient."""
        squares: np.ndarray = _backend.active.row_squares(self.X)
        return squares + float(self.objective.fit_intercept)


def make_room(state: ModelState, steps: int, objective: Objective, updates: UpdateConfig) -> None:
    """Count steps from 0 again if there would be too many for the numbers of last steps."""
    if state.step + steps > LAST_STEP_LIMIT:
        rebase(state, objective, updates)


def rebase(state: ModelState, objective: Objective, updates: UpdateConfig) -> None:
    """Bring everything up to date and count steps from 0 again."""
    apply_penalty(state, objective, updates)
    columns, layout = state.columns, updates.layout
    state.base += state.step
    state.step = 0
    if layout.last_step:
        # The intercept is updated in every step, so it is up to date as well.
        columns[layout.last_step].view(f"i{columns.itemsize}")[...] = 0


def apply_penalty(state: ModelState, objective: Objective, updates: UpdateConfig) -> None:
    """Apply the penalty of all steps done, and decay the rule's state of features that were not
    touched in them, in place."""
    t = np.array([max(0, state.t - 1)], dtype=np.int64)
    coefficients = updates.rule.coefficients(t, dtype=state.columns.dtype)
    _backend.active.apply_penalty(state, objective, updates, coefficients)
    state.lazy_penalty.clear()
