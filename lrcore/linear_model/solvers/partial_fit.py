"""Streams of rows: calls of partial_fit that end anywhere, and are one long pass all the same.

Raw predictions are taken for a block of rows together, gradients for a batch. Where a call ends in
the midst of one, its rows are learnt from at once, so that the model has them; but they are kept,
with what they changed, and the next call puts that back and goes over them again, now with those
rows that belong to the same block. A call then never learns from less than one long stream would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.epoch import Chunk, EpochLoss, EpochRunner, make_room
from lrcore.linear_model.engine.layout import LazyPenalty, ModelState, UpdateConfig
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer, saves_all
from lrcore.linear_model.monitor.divergence import check_finite, diverged
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.training import begin_at, scale_to_begin_with

#: Slots for each value of X up to which a stream works on copies of the states: they take less than
#: half of its time then.
COPIED = 4

#: Values of a row that a stream is taken to have, since rows yet to come cannot be counted.
STREAM_VALUES = 64

#: Values, rates and mean losses up to which steps stay 14 orders of magnitude below what float32
#: holds, even all together and a million times.
LARGE = 1e6

#: A period after which no penalty is applied.
NEVER = 1 << 60


def fit_stream(
    problem: Problem, updates: UpdateConfig, config: SolverConfig, last: TrainedModel | None,
    interrupted: Callable[[], bool], intercepts: Sequence[np.ndarray] | None = None,
) -> FitResult:  # fmt: skip
    """One pass in the order given; `last` is the model that it goes on from. Without one it begins
    at these intercepts, one for each target and output, or at 0.

    Copies stand in for its states until the pass has succeeded, unless it `moves` them: those of a
    large model are lost if it diverges. It ends after the rows at hand once `interrupted` says so,
    with what was learnt from them.
    """
    problem = problem.bundled(updates.n_targets(problem.objective.loss))
    scale = scale_to_begin_with(config, problem.X, last)
    replay = None
    if last is None:
        lazy = LazyPenalty.new([problem.X.shape[1]], [STREAM_VALUES])
        lazy_penalty = lazy if problem.objective.moves_weights else None
        states = [ModelState.new(updates, problem.X, lazy_penalty) for _ in problem.targets]
        if intercepts is not None:
            begin_at(states, intercepts, updates)
    else:
        states = last.states if moves(last, problem) else [state.copy() for state in last.states]
        replay = last.replay
        if (last.objective, last.updates) != (problem.objective, updates):
            for state in states:
                state.until = 0  # another rule or rate: the size of blocks is chosen anew
                state.begin_average(updates)
            replay = None
    stream = Stream(problem, updates, config, states, scale, interrupted)
    n_rows = stream.learn(problem, replay)
    if config.verbose:
        print(f"{n_rows} rows: mean loss before each update {stream.loss.mean:.6g}")
    model = TrainedModel(states, problem.objective, updates, scale, stream.replay)
    return FitResult(model, [stream.loss.mean], n_rows=n_rows)


def moves(last: TrainedModel, problem: Problem) -> bool:
    """Whether a stream moves the states of the last model themselves: nobody else has them, or they
    are so much larger than X that a copy would take most of the time, and the memory twice."""
    n_slots = sum(state.weights.shape[1] for state in last.states)
    writeable = all(state.writeable for state in last.states)
    return writeable and (last.disposable or n_slots > COPIED * problem.X.values.size)


class Stream:
    """The pass of one call: moves the states; `loss` and `replay` are what came of it."""

    def __init__(
        self, problem: Problem, updates: UpdateConfig, config: SolverConfig,
        states: list[ModelState], scale: np.ndarray | None, interrupted: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._objective = problem.objective
        self._updates = updates
        self._n_threads = config.n_threads
        self._states = states
        self._scale = scale
        self._interrupted = interrupted
        self.loss = EpochLoss(0.0, 0.0, 0)
        self.replay: ReplayBuffer | None = None

    def learn(self, problem: Problem, again: ReplayBuffer | None) -> int:
        """Learn from all rows, after those of the replay buffer; returns from how many of them,
        once Ctrl-C has been seen."""
        n_again = 0
        if again is not None:
            again.undo(self._states)
            n_again = again.rows.n_rows
        # Rows are counted from the first that is gone over again.
        n_rows, size = n_again + problem.n_rows, self._updates.stream_block
        t = self._states[0].t
        first = size if self._updates.mini_batch else size - t % size
        whole = 0 if n_rows < first else first + (n_rows - first) // size * size
        ends = {0, whole, n_rows} | ({min(first, n_rows)} if n_again else set())
        for start, stop in pairwise(sorted(ends)):
            # Blocks may be shorter than those that the rows were kept for, and end among them.
            kept = min(stop, n_again) - start
            if again is None or kept <= 0:
                part = problem.span(start - n_again, stop - n_again)
            else:
                part = again.rows.span(start, start + kept)
                if stop > n_again:
                    part = part.followed_by(problem.span(0, stop - n_again))
            self._advance(part, stop > whole, max(kept, 0 if start == 0 else 1))
            if self._interrupted() and stop >= n_again:
                break
        return self.loss.n_rows - n_again

    def _advance(self, part: Problem, ends_early: bool, at_least: int) -> None:
        """Learn from rows, `at_least` so many; they are kept to be gone over again if they end in
        the midst of a block."""
        states, size = self._states, self._updates.stream_block
        for state in states:
            make_room(state, part.n_rows, self._objective, self._updates)
        lazy_penalties = [state.lazy_penalty for state in states]
        replay = None
        if ends_early:
            replay = ReplayBuffer.of(part, states)
            if not saves_all(part.X):
                for state, lazy in zip(states, lazy_penalties):
                    periods = np.full_like(lazy.periods, NEVER)
                    state.lazy_penalty = replace(lazy, periods=periods)
        offset = 0 if self._updates.mini_batch else states[0].t
        part = part.scaled(self._scale, offset, min(size, offset + part.n_rows))
        X = part.X
        runner = EpochRunner(self._objective, self._updates, X, self._n_threads, stream=True)
        order = np.arange(part.n_rows, dtype=np.int64)
        loss = runner.run_epoch(states, part, order, self._goes_on, at_least)
        if not np.isfinite(loss.total):
            raise diverged(runner, states[0], f"the sum of losses is {loss.total}")
        # Losses are of rows before they are learnt from: the last ones may have spoilt the weights,
        # and so has any row those that no other touches. All weights are looked at where there are
        # few of them, else those that the rows have touched.
        # To look at those takes a quarter of the time: it is left out where no step can have been
        # so long.
        few = X.shape[1] <= COPIED * X.values.size
        if few or self._is_extreme(X, loss):
            check_finite(runner, states, None if few else X.indices)
        for state, lazy in zip(states, lazy_penalties):
            state.lazy_penalty = lazy
        self.loss = self.loss.plus(loss)
        self.replay = replay if loss.n_rows == part.n_rows else None

    def _is_extreme(self, X: DesignMatrix, loss: EpochLoss) -> bool:
        """Whether a value, a rate or the mean of the losses is so large that steps of finite length
        may have led to weights that are not finite."""
        largest = max(float(X.values.max(initial=0.0)), -float(X.values.min(initial=0.0)))
        rates = [state.rate(self._updates.rule) for state in self._states]
        return not max(largest, abs(loss.mean), *rates) <= LARGE

    def _goes_on(self, chunk: Chunk) -> bool:
        return not self._interrupted()
