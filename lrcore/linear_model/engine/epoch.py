"""Passes over rows: the calls into the core that move a linear model's states forward."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lrcore import _core
from lrcore._backend import threads
from lrcore._backend.shuffle import RUN_LENGTH, STRATA
from lrcore.linear_model.engine import reference
from lrcore.linear_model.engine.design_matrix import CACHE_BYTES, Measures, Rows
from lrcore.linear_model.engine.layout import Method, State
from lrcore.rules import Rule

#: Rows of one call into the core: few enough that Ctrl-C and progress get through, and that the
#: table of coefficients stays in the cache; enough that the call costs nothing.
CHUNK_ROWS = 65_536

#: Values of X that the calls for all outputs may take together, 40 ms at 10 ns a value; and those
#: of a call that costs little beside its work, should the outputs be very many.
CALL_VALUES, LEAST_VALUES = 1 << 22, 1 << 16

#: Steps after which stamps, 32 bits wide beside float32 weights, start again from 0.
STAMP_LIMIT = 1 << 30

#: Values of X that a row must have before the processor finds its features early enough alone.
LONG_ROW = 64

#: Values of X in a block: their features, a cache line each, stay in the second-level cache from
#: the margins to the update.
BLOCK_VALUES = 4_000

#: Values of X that are fetched beforehand, with their features or without.
AHEAD_VALUES, AHEAD_DENSE = 2 * BLOCK_VALUES, 1 << 16

#: Of rules that travel: a block has at most this share of the rows so far, and so has what goes by
#: before blocks are chosen anew; distances are measured after a row for so many features.
GROWTH, MEASURED = 8, 64

#: Places of a list of values past its end that the core may look at.
LISTED_MORE = 64


def core_job(
    method: Method, n_features: int, dtype: Any, block: int, *, bounds: np.ndarray, room: int = 1,
    ahead: int = 1, far: bool = False, longest: int = 1, block_values: int = 0,
    lane_losses: np.ndarray | None = None,
) -> Any:  # fmt: skip
    """What the core is told once: bounds are the feature ranges of the threads, room the features
    of a batch, longest those of an update, which averages need to know; block_values is how many
    values a block may have, needed for several outputs."""
    assert _core.kernels is not None
    lanes = method.columns.lanes
    job = _core.kernels.LinearFit(
        loss=type(method.loss).__name__,
        parameter=method.loss.parameter,
        l1=method.l1,
        l2=method.l2,
        factors=None if method.factors is None else method.factors.astype(dtype).view(np.int8),
        intercept=method.intercept,
        mean=method.mean,
        block=block,
        n_features=n_features,
        columns=(method.slot, method.columns.stamp, method.columns.gradient),
        powers=method.powers,
        bounds=bounds,
        ahead=ahead,
        far=far,
        scratch=np.zeros((5 if lanes == 1 else 6, block * lanes)),
        listed=np.empty((len(bounds) - 1, room), np.int64),
        before=np.empty((len(bounds) - 1, 8 * longest), np.int8),
        pace_eps=getattr(method.rule, "eps", 0.0),
    )
    if lanes > 1:
        job.hold_outputs(
            method.n_outputs,
            lanes,
            1 if method.rate_factors else method.n_losses,
            np.zeros((2, block), np.int64),
            np.zeros(block_values + LISTED_MORE, np.int64),
            np.zeros(block_values + LISTED_MORE),
        )
    if method.rate_factors:
        factors = np.ones(lanes)
        factors[: method.n_outputs] = method.rate_factors
        job.give_rates(factors, np.zeros(lanes) if lane_losses is None else lane_losses)
    return job


def core_average(state: State) -> tuple[np.ndarray | None, float]:
    """The state's average as the core takes it, its start counted from the state's base."""
    if state.average is None:
        return None, 0.0
    return state.average.changes.reshape(-1), float(state.average.since - state.base)


def core_debt(state: State) -> Any:
    """The state's debt as the core reads and writes it."""
    assert _core.kernels is not None
    debt = state.debt
    return _core.kernels.Debt(debt.stops, debt.periods, debt.unpaid, debt.owed)


class Crew:
    """How many threads the next call gets, where nobody said: what has been faster so far.

    Threads that wait for each other at every block are slower than one alone when another
    program has a processor. The bits are the same either way, so the clock may decide.
    """

    #: Values of a call whose time says something, and calls after which the other way is tried.
    ENOUGH, AGAIN = 1 << 15, 24

    def __init__(self, n_threads: int, fixed: bool) -> None:
        self._seconds_per_value: dict[int, float] = {}
        self._ways = [n_threads] if fixed or n_threads == 1 else [n_threads, 1]
        self._calls = 0

    def choose(self) -> int:
        """The number of threads for the next call."""
        for way in self._ways:
            if way not in self._seconds_per_value:
                return way
        best = min(self._seconds_per_value, key=lambda way: self._seconds_per_value[way])
        self._calls += 1
        if self._calls % self.AGAIN == 0 and len(self._ways) > 1:
            return self._ways[1 - self._ways.index(best)]
        return best

    def note(self, n_threads: int, n_values: float, seconds: float) -> None:
        """Remember how long a call took."""
        if n_values >= self.ENOUGH:
            self._seconds_per_value[n_threads] = seconds / n_values


class Pass:
    """Rows and method brought together: moves states forward over chunks of rows."""

    def __init__(
        self, method: Method, rows: Rows, n_threads: int | None, *, staged: bool = False,
        stream: bool = False,
    ) -> None:  # fmt: skip
        self.method = method
        self.rows = rows
        self.staged = staged
        self.stream = stream
        #: Of the last step.
        self.rate = 0.0
        self._crew = Crew(threads.count(n_threads, rows.values.size), fixed=n_threads is not None)
        self._jobs: dict[tuple[int, int], Any] = {}
        #: Sums of the losses at each of several rates, over all calls so far.
        self.lane_losses = np.zeros(method.columns.lanes)

    def _job(self, block: int, n_threads: int) -> Any:
        if (block, n_threads) not in self._jobs:
            method, rows = self.method, self.rows
            n_features, room, block_values = rows.shape[1], 1, 0
            longest = n_features if rows.indptr is None else int(np.diff(rows.indptr).max())
            if method.n_outputs > 1:
                # One more for each row, for the intercept.
                block_values = rows.most_values(block) + min(block, rows.shape[0])
            if method.mean and (rows.sparse or method.n_outputs > 1):
                # One more, which is written before it is known whether the feature is new.
                room += min(n_features + 1, block_values or rows.most_values(block))
                longest = max(longest, room)
            far = n_features * method.slot * rows.dtype.itemsize > CACHE_BYTES
            self._jobs[block, n_threads] = core_job(
                method,
                n_features,
                rows.dtype,
                block,
                bounds=rows.cuts(n_threads),
                room=room,
                ahead=self._ahead(block),
                far=far,
                longest=1 if method.averaged_from is None else max(longest, method.columns.lanes),
                block_values=block_values,
                lane_losses=self.lane_losses,
            )
        return self._jobs[block, n_threads]

    def _ahead(self, block: int) -> int:
        """Rows from those worked on to those fetched: a block, if so much fits the cache."""
        width = max(1.0, self.rows.nnz_per_row)
        most = AHEAD_VALUES if self.rows.sparse else AHEAD_DENSE
        return max(1, min(max(block, round(128 / width)), int(most / width)))

    def use(self, rule: Rule) -> None:
        """Go on with this rule, which differs in its rate alone."""
        self.method = replace(self.method, rule=rule)

    @property
    def run_length(self) -> int:
        """Rows that a shuffle should keep together; staged rows are in a random order already."""
        rows, method = self.rows, self.method
        if rows.nnz_per_row >= 2 * LONG_ROW:
            return 1
        if self.staged:
            return RUN_LENGTH
        longest = method.batch_size // STRATA if method.mean else RUN_LENGTH
        return max(1, min(RUN_LENGTH, longest, rows.shape[0] // (4 * STRATA * STRATA)))

    def next_block(self, states: list[State], start: int, n_rows: int) -> tuple[int, int]:
        """Where calls of one block or batch size from row `start` end, and that size.

        Margins that are a block old act like a delay. How many rows may share them depends on
        the rule and its present rate, so blocks start small and grow, by powers of two, to
        `block_size`; measured, the fit is then as good as with blocks of 1. Blocks end at multiples
        of their size, counted from the first row ever. Where states have a pace, it is measured
        here, since this is not moved by where calls end.
        """
        method, state = self.method, states[0]
        t = state.base + state.step
        if method.mean:
            block, n_batches = method.batch_size, max(1, CHUNK_ROWS // method.batch_size)
            if state.pace and t >= state.until:
                self._measure(states, t)
                state.until = t + max(1, min(n_batches, t // GROWTH))
            if state.pace:
                n_batches = state.until - t
            return min(n_rows, start + n_batches * block), block
        if t >= state.until:
            self._measure(states, t)
            block = state.block = self._shared_rows(states, start, n_rows)
            longest = min(CHUNK_ROWS, max(t if state.pace is None else t // GROWTH, 1))
            state.until = (t // block + max(1, longest // block)) * block
        block = state.block
        stop = state.until if t % block == 0 else t - t % block + block
        return min(n_rows, start + stop - t), block

    def _measure(self, states: list[State], t: int) -> None:
        """How far the weights are from 0, of states that have a pace, if it is time."""
        for state in states:
            if state.pace and t - state.pace.measured >= self.rows.shape[1] // MEASURED:
                state.pace.measure(square_sum(state), t)

    def _shared_rows(self, states: list[State], start: int, n_rows: int) -> int:
        """The size of blocks from here on, which is row `start`."""
        method, size, t = self.method, self.method.block_size, states[0].base + states[0].step
        if self.stream:
            # By rows that are at hand together wherever calls end: up to a multiple of size.
            size = method.stream_block
            near = self.rows.span(start, min(n_rows, start + size - t % size))
            measures = near.measures()
        else:
            near, measures = self.rows, self._measures
        bound = method.rule.shared_rows(t, method.loss.curvature, *measures)
        bound /= max(method.rate_factors or (1.0,))
        if method.rule.travels:
            paces = [method.rule.pace(state.pace.travel) for state in states if state.pace]
            bound = min(bound / max(paces), t / GROWTH)
        bound = min(bound, max(4.0, BLOCK_VALUES / max(1.0, near.nnz_per_row)))
        return size if bound >= size else 1 << (max(1, int(bound)).bit_length() - 1)

    @cached_property
    def _measures(self) -> Measures:
        return self.rows.measures()

    @cached_property
    def squares(self) -> np.ndarray:
        """|x|**2 of each row, with the intercept's 1: what a slope's square is multiplied by."""
        squares = np.empty(self.rows.shape[0])
        if _core.kernels is None:
            for i in range(len(squares)):
                squares[i] = np.square(self.rows.row(i)[1].astype(np.float64)).sum()
        elif self.rows.indptr is not None:
            _core.kernels.square_csr(*self.rows.csr, squares)
        else:
            _core.kernels.square_dense(self.rows.values, squares)
        return squares + float(self.method.intercept)

    def call_rows(self, block: int, n_outputs: int) -> int:
        """Rows of a call, whole blocks: few where rows are wide or outputs are many, so that
        Ctrl-C gets through. The states do not depend on it."""
        n_values = max(LEAST_VALUES, CALL_VALUES // n_outputs)
        return max(1, int(n_values / max(1.0, self.rows.nnz_per_row)) // block) * block

    def advance(
        self, state: State, order: np.ndarray, y: np.ndarray, weight: np.ndarray | None, block: int
    ) -> float:
        """Fit the rows named by `order`, at most CHUNK_ROWS; returns the sum of their losses.

        y is (n_rows,), or (n_rows, n_outputs) where each output has a target of its own.
        """
        method, rows = self.method, self.rows
        steps = -(-len(order) // block) if method.mean else len(order)
        self.make_room(state, steps)
        t = np.arange(steps, dtype=np.int64) + (state.base + state.step)
        rates = method.rule.rates(t)
        table = method.rule.coefficients(t, rates)
        self.rate = float(rates[-1])
        state.lay_out(rows.sparse)
        squares = self.squares if state.pace else None
        if _core.kernels is None:
            total = reference.fit_rows(
                state, method, rows, squares, order, y, weight, rates, table, block
            )
        else:
            index = _core.kernels.RULES[method.formula.__name__][0]
            n_threads = self._crew.choose()
            start = time.perf_counter()
            before = self.lane_losses.copy()
            head = (self._job(block, n_threads), index, table, rates, order)
            tail: tuple[Any, ...] = (y.reshape(-1), weight, state.array, state.step)
            tail = (*tail, core_debt(state), *core_average(state))
            tail += (state.pace.sums, squares) if state.pace else (None, None)
            if rows.indptr is not None:
                total = _core.kernels.fit_csr(*head, *rows.csr, *tail)
            else:
                total = _core.kernels.fit_dense(*head, rows.values, *tail)
            if method.rate_factors:
                # Of the rates that have not run away yet.
                with np.errstate(invalid="ignore"):
                    lost = self.lane_losses - before
                total = float(lost[np.isfinite(lost)].sum()) if np.isfinite(lost).any() else np.nan
            state.step += steps
            seconds = time.perf_counter() - start
            self._crew.note(n_threads, len(order) * rows.nnz_per_row, seconds)
        return total

    def make_room(self, state: State, steps: int) -> None:
        """Count steps from 0 again if there would be too many for the stamps."""
        if state.step + steps > STAMP_LIMIT:
            self.rebase(state)

    def rebase(self, state: State) -> None:
        """Bring everything up to date and count steps from 0 again."""
        settle(state, self.method)
        columns, place = state.columns, self.method.columns
        state.base += state.step
        state.step = 0
        if place.stamp:
            # The intercept is touched at every step, so it is up to date as well.
            columns[place.stamp].view(f"i{columns.itemsize}")[...] = 0


def square_sum(state: State) -> float:
    """Sum of squares of all weights."""
    if _core.kernels is None:
        return float(np.square(state.weights.astype(np.float64)).sum())
    total: float = _core.kernels.square_weights(state.array, state.by_feature, state.n_outputs)
    return total


def settle(state: State, method: Method) -> None:
    """Pay what is owed and decay every state up to the present step, in place."""
    t = np.array([max(0, state.base + state.step - 1)], dtype=np.int64)
    table = method.rule.coefficients(t)
    if _core.kernels is None:
        reference.settle(state, method, table[0])
        return
    n_features, dtype = state.columns.shape[1] - 1, state.columns.dtype
    job = core_job(method, n_features, dtype, 1, bounds=np.array([0, n_features], np.int64))
    index = _core.kernels.RULES[method.formula.__name__][0]
    _core.kernels.settle_model(
        job, index, table, state.array, state.by_feature, state.step, core_debt(state),
        *core_average(state),
    )  # fmt: skip
    state.debt.clear()
