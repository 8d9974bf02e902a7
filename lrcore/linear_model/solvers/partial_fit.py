"""Streams of rows: calls of partial_fit that end anywhere, and are one long pass all the same.

Margins are taken for a block of rows together, gradients for a batch. Where a call ends in the
midst of one, its rows are learnt from at once, so that the model has them; but they are kept, with
what they changed, and the next call puts that back and goes over them again, now with those rows
that belong to the same block. A call then never learns from less than one long stream would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import sparse

from lrcore.linear_model.engine.design_matrix import Rows, all_ones, ones
from lrcore.linear_model.engine.epoch import Pass
from lrcore.linear_model.engine.layout import Debt, Method, State
from lrcore.linear_model.engine.replay_buffer import Pending, all_saved
from lrcore.linear_model.problem import Data
from lrcore.linear_model.result import Fitted
from lrcore.linear_model.solvers.stochastic import Fit, Lost, Outcome, begun_scale, interrupts

#: Slots for each value of X up to which a stream works on copies of the states: they take less than
#: half of its time then.
COPIED = 4

#: Values of a row that a stream is taken to have, since rows yet to come cannot be counted.
STREAM_VALUES = 64

#: A period that no payment comes to.
NEVER = 1 << 60


class ModelLostError(FloatingPointError):
    """A stream in place ran away."""


def stacked(a: Rows, b: Rows) -> Rows:
    """The rows of both, sparse if the second are."""
    shape = (a.shape[0] + b.shape[0], a.shape[1])
    if b.indptr is None or b.indices is None:
        if a.indices is not None:
            csr = (a.values, a.indices, a.indptr)
            a = Rows(a.shape, sparse.csr_array(csr, a.shape).toarray())
        return Rows(shape, np.concatenate([a.values, b.values]))
    if a.indptr is None or a.indices is None:
        csr = sparse.csr_array(a.values)
        a = Rows(a.shape, csr.data, csr.indptr.astype(np.int64), csr.indices)
    assert a.indptr is not None
    assert a.indices is not None
    indptr = np.append(a.indptr, a.indptr[-1] + b.indptr[1:])
    values = np.concatenate([a.values, b.values])
    if all_ones(a.values) and all_ones(b.values):
        values = ones(len(values), a.dtype)
    return Rows(shape, values, indptr, np.concatenate([a.indices, b.indices]))


def joined(one: Data, other: Data) -> Data:
    """The rows of both."""
    weight = None
    if one.weight is not None or other.weight is not None:
        weights = [np.ones(d.rows.shape[0]) if d.weight is None else d.weight for d in (one, other)]
        weight = np.concatenate(weights)
    targets = [np.concatenate(pair) for pair in zip(one.targets, other.targets)]
    return Data(stacked(one.rows, other.rows), targets, weight, one.n_outputs)


def stream(how: Fit, method: Method, data: Data, last: Fitted | None) -> Outcome:
    """One pass in the order given; `last` is where it goes on.

    Copies stand in for the states until it has succeeded, unless they are so much larger than X
    that it would take most of the time, and the memory twice: those are lost if it diverges.
    Ctrl-C ends it after the rows at hand, with what was learnt from them.
    """
    data, scale = data.bundled(method), begun_scale(method, data.rows, last)
    in_place, pending = False, None
    if last is None:
        debt = Debt.new([data.rows.shape[1]], [STREAM_VALUES])
        states = [State.new(method, data.rows, debt) for _ in data.targets]
    else:
        n_slots = sum(state.weights.shape[1] for state in last.states)
        in_place = n_slots > COPIED * data.rows.values.size
        states = last.states if in_place else [state.copy() for state in last.states]
        pending = last.pending
    if last is not None and last.method != method:
        for state in states:
            state.until = 0  # another rule or rate: the size of blocks is chosen anew
            state.begin_average(method)
        pending = None
    with interrupts() as interrupted:
        run = Run(how, method, states, scale, interrupted)
        try:
            n_rows = run.learn(data, pending)
        except FloatingPointError as error:
            if in_place:
                raise ModelLostError(
                    f"{error}; the model is lost, since it is so much larger than these rows "
                    "that no copy was made: begin again from a saved one"
                ) from None
            raise
        stopped = interrupted()
    if how.verbose:
        print(f"{n_rows} rows: mean loss before each update {run.lost.mean:.6g}")
    fitted = Fitted(states, method, scale, run.pending)
    return Outcome(fitted, [run.lost.mean], [], stopped, n_rows=n_rows)


class Run:
    """One call's pass: moves the states, and says what they lost and what is pending."""

    def __init__(
        self, how: Fit, method: Method, states: list[State], scale: np.ndarray | None,
        interrupted: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.how = how
        self.method = method
        self.states = states
        self.scale = scale
        self.interrupted = interrupted
        self.lost = Lost(0.0, 0.0, 0)
        self.pending: Pending | None = None

    def learn(self, data: Data, again: Pending | None) -> int:
        """Learn from all rows, after those pending; returns from how many of them, once Ctrl-C
        has been seen."""
        n_again = 0
        if again is not None:
            again.undo(self.states)
            n_again = again.data.rows.shape[0]
        # Rows are counted from the first that is gone over again.
        n_rows, size = n_again + data.rows.shape[0], self.method.stream_block
        t = self.states[0].base + self.states[0].step
        first = size if self.method.mean else size - t % size
        whole = 0 if n_rows < first else first + (n_rows - first) // size * size
        ends = {0, whole, n_rows} | ({min(first, n_rows)} if n_again else set())
        for start, stop in pairwise(sorted(ends)):
            part = data.span(max(0, start - n_again), stop - n_again)
            if again is not None and start == 0:
                part = joined(again.data, part)
            self._advance(part, stop > whole, n_again if start == 0 else 1)
            if self.interrupted():
                break
        return self.lost.rows - n_again

    def _advance(self, data: Data, ends_early: bool, least: int) -> None:
        """Learn from rows, `least` at least; pending then if they end in the midst of a block."""
        n_rows, size = data.rows.shape[0], self.method.stream_block
        passes = Pass(self.method, data.rows, self.how.n_threads, stream=True)
        for state in self.states:
            passes.make_room(state, n_rows)
        debts = [state.debt for state in self.states]
        pending = None
        if ends_early:
            pending = Pending.of(data, self.states)
            for state, debt in zip(self.states, debts):
                if not all_saved(data.rows):
                    state.debt = replace(debt, periods=np.full_like(debt.periods, NEVER))
        t = self.states[0].base + self.states[0].step
        data = data.scaled(self.scale, 0 if self.method.mean else t, size)
        passes.rows = data.rows
        order = np.arange(n_rows, dtype=np.int64)
        lost = self.how.epoch(passes, self.states, order, data, 0, self.interrupted, least)
        for state, debt in zip(self.states, debts):
            state.debt = debt
        self.lost = self.lost.and_(lost)
        self.pending = pending if lost.rows == n_rows else None
