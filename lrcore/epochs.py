"""Passes over rows: the calls into the core that move a linear model's states forward."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from lrcore import _core, reference
from lrcore._core import threads
from lrcore.rows import Rows
from lrcore.staging import CACHE_BYTES
from lrcore.states import Method, State

#: Rows of one call into the core: few enough that Ctrl-C and progress get through, and that the
#: table of coefficients stays in the cache; enough that the call costs nothing.
CHUNK_ROWS = 65_536

#: Steps after which stamps, 32 bits wide beside float32 weights, start again from 0.
STAMP_LIMIT = 1 << 30

#: Values of X that a row must have before the processor finds its features early enough alone.
LONG_ROW = 64

#: Values of X in a block: their features, a cache line each, stay in the second-level cache from
#: the margins to the update.
BLOCK_VALUES = 4_000

#: Places of a list of values past its end that the core may look at.
LISTED_MORE = 64

#: Rows that stay together when online epochs are shuffled, if they are short: they are then read
#: from memory in one go, which saves up to a third of the time. Measured on four data sets, also
#: sorted by class, the objective after five epochs is within 1e-3 of that of single rows; in
#: mini-batches, where a batch would be made of fewer places, the loss is felt, so rows go singly.
RUN_LENGTH = 4

#: The same for rows whose neighbours have been chosen at random, also in mini-batches.
STAGED_RUN = 16


def core_job(
    method: Method, n_features: int, block: int, *, bounds: np.ndarray, room: int = 1,
    ahead: int = 1, far: bool = False, block_values: int = 0,
) -> Any:  # fmt: skip
    """What the core is told once: bounds are the feature ranges of the threads; block_values is
    how many values a block may have, needed for several outputs."""
    assert _core.kernels is not None
    lanes = method.columns.lanes
    job = _core.kernels.LinearFit(
        loss=type(method.loss).__name__,
        parameter=method.loss.parameter,
        l1=method.l1,
        l2=method.l2,
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
    )
    if lanes > 1:
        job.hold_outputs(
            method.n_outputs,
            lanes,
            method.n_losses,
            np.zeros((2, block), np.int64),
            np.zeros(block_values + LISTED_MORE, np.int64),
            np.zeros(block_values + LISTED_MORE),
        )
    return job


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

    #: Rows of a call whose time says something, and calls after which the other way is tried.
    ENOUGH, AGAIN = 4_096, 24

    def __init__(self, n_threads: int, fixed: bool) -> None:
        self._seconds_per_row: dict[int, float] = {}
        self._ways = [n_threads] if fixed or n_threads == 1 else [n_threads, 1]
        self._calls = 0

    def choose(self) -> int:
        """The number of threads for the next call."""
        for way in self._ways:
            if way not in self._seconds_per_row:
                return way
        best = min(self._seconds_per_row, key=lambda way: self._seconds_per_row[way])
        self._calls += 1
        if self._calls % self.AGAIN == 0 and len(self._ways) > 1:
            return self._ways[1 - self._ways.index(best)]
        return best

    def note(self, n_threads: int, n_rows: int, seconds: float) -> None:
        """Remember how long a call took."""
        if n_rows >= self.ENOUGH:
            self._seconds_per_row[n_threads] = seconds / n_rows


class Pass:
    """Rows and method brought together: moves states forward over chunks of rows."""

    def __init__(
        self, method: Method, rows: Rows, n_threads: int | None, *, staged: bool = False
    ) -> None:
        self.method = method
        self.rows = rows
        self.staged = staged
        self._crew = Crew(threads.count(n_threads, rows.values.size), fixed=n_threads is not None)
        self._measures = rows.measures()
        self._jobs: dict[tuple[int, int], Any] = {}

    def _job(self, block: int, n_threads: int) -> Any:
        if (block, n_threads) not in self._jobs:
            method, rows = self.method, self.rows
            n_features, room, block_values = rows.shape[1], 1, 0
            if method.n_outputs > 1:
                # One more for each row, for the intercept.
                block_values = rows.most_values(block) + min(block, rows.shape[0])
            if method.mean and (rows.sparse or method.n_outputs > 1):
                # A sum that is NaN, as of a fit that runs away, is listed at each of its values.
                room += block_values or rows.most_values(block)
            far = n_features * method.slot * rows.dtype.itemsize > CACHE_BYTES
            self._jobs[block, n_threads] = core_job(
                method,
                n_features,
                block,
                bounds=rows.cuts(n_threads),
                room=room,
                ahead=max(1, round(96 / max(1.0, rows.nnz_per_row)))
                if far or not self.staged
                else 0,
                far=far and (rows.nnz_per_row < LONG_ROW or method.n_outputs > 1),
                block_values=block_values,
            )
        return self._jobs[block, n_threads]

    @property
    def run_length(self) -> int:
        """Rows that a shuffle should keep together; staged rows are in a random order already."""
        if self.rows.nnz_per_row >= 2 * LONG_ROW:
            return 1
        if self.staged:
            return STAGED_RUN
        return 1 if self.method.mean else RUN_LENGTH

    def next_block(self, state: State, start: int, n_rows: int) -> tuple[int, int]:
        """Where the next call from row `start` should stop, and its block or batch size.

        Margins that are a block old act like a delay. How many rows may share them depends on
        the rule and its present rate, so blocks start small and grow, by powers of two, to
        `block_size`; measured, the fit is then as good as with blocks of 1.
        """
        method = self.method
        if method.mean:
            block, longest = method.batch_size, CHUNK_ROWS
        else:
            t = state.base + state.step
            bound = method.rule.shared_rows(t, method.loss.curvature, *self._measures)
            bound = min(bound, max(4.0, BLOCK_VALUES / max(1.0, self.rows.nnz_per_row)))
            block = method.block_size
            if bound < block:
                block = 1 << (max(1, int(bound)).bit_length() - 1)
            longest = min(CHUNK_ROWS, max(t, 1))
        return min(n_rows, start + max(1, longest // block) * block), block

    def advance(
        self, state: State, order: np.ndarray, y: np.ndarray, weight: np.ndarray | None, block: int
    ) -> float:
        """Fit the rows named by `order`, at most CHUNK_ROWS; returns the sum of their losses.

        y is (n_rows,), or (n_rows, n_outputs) where each output has a target of its own.
        """
        method, rows = self.method, self.rows
        steps = -(-len(order) // block) if method.mean else len(order)
        if state.step + steps > STAMP_LIMIT:
            self.rebase(state)
        t = np.arange(steps, dtype=np.int64) + (state.base + state.step)
        rates = method.rule.rates(t)
        table = method.rule.coefficients(t, rates)
        state.lay_out(rows.sparse)
        if _core.kernels is None:
            total = reference.fit_rows(state, method, rows, order, y, weight, rates, table, block)
        else:
            index = _core.kernels.RULES[method.formula.__name__][0]
            n_threads = self._crew.choose()
            start = time.perf_counter()
            head = (self._job(block, n_threads), index, table, rates, order)
            tail = (y.reshape(-1), weight, state.array, state.step, core_debt(state))
            if rows.indptr is not None:
                data = (rows.indptr, rows.indices, rows.values)
                total = _core.kernels.fit_csr(*head, *data, *tail)
            else:
                total = _core.kernels.fit_dense(*head, rows.values, *tail)
            state.step += steps
            self._crew.note(n_threads, len(order), time.perf_counter() - start)
        return total

    def rebase(self, state: State) -> None:
        """Bring everything up to date and count steps from 0 again."""
        settle(state, self.method)
        columns, place = state.columns, self.method.columns
        state.base += state.step
        state.step = 0
        if place.stamp:
            # The intercept is touched at every step, so it is up to date as well.
            columns[place.stamp].view(f"i{columns.itemsize}")[...] = 0


def settle(state: State, method: Method) -> None:
    """Pay what is owed and decay every state up to the present step, in place."""
    t = np.array([max(0, state.base + state.step - 1)], dtype=np.int64)
    table = method.rule.coefficients(t)
    if _core.kernels is None:
        reference.settle(state, method, table[0])
        return
    n_features = state.columns.shape[1] - 1
    job = core_job(method, n_features, 1, bounds=np.array([0, n_features], np.int64))
    index = _core.kernels.RULES[method.formula.__name__][0]
    _core.kernels.settle_model(
        job, index, table, state.array, state.by_feature, state.step, core_debt(state)
    )
    state.debt.clear()


def shuffled(n_rows: int, seed: int, run_length: int = 1) -> np.ndarray:
    """The rows in a random order, the same on every machine; runs of rows stay together."""
    order = np.arange(-(-n_rows // run_length), dtype=np.int64)
    (reference if _core.kernels is None else _core.kernels).shuffle(order, seed)
    if run_length > 1:
        order = (order[:, None] * run_length + np.arange(run_length)).ravel()
        order = order[order < n_rows]
    return order
