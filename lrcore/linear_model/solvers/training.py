"""A fit by steps of an update rule in progress: its states, and the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.engine import reorder, scaling
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.epoch import EpochRunner, apply_penalty
from lrcore.linear_model.engine.layout import LazyPenalty, ModelState, UpdateConfig
from lrcore.linear_model.monitor.lr_controller import split_plateau
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import TrainedModel
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.zeros import settle_zeros


class StochasticTraining:
    """The states of a fit, and what moves them: rows in a new order in each epoch.

    Sparse rows are copied into an order that suits the cache, where that pays. A fit that does not
    go on from a model begins at these `constants`, one for each target and output, or at 0.
    """

    def __init__(
        self, problem: Problem, updates: UpdateConfig, config: SolverConfig,
        constants: Sequence[np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self.objective = problem.objective
        self._constants = constants
        self._n_threads = config.n_threads
        self._start = start = config.start
        self._shuffle = config.shuffle
        self.scale = scale_to_begin_with(config, problem.X, start)
        problem = problem.bundled(updates.n_targets(self.objective.loss))
        problem = problem.scaled(self.scale, 0, problem.n_rows)
        self._X = X = problem.X
        self._random = check_random_state(config.random_state)
        self._order = np.arange(problem.n_rows, dtype=np.int64)
        self._reordered = None
        # A copy leaves out unused features, for which the model to start from may have weights.
        if start is None and reorder.worthwhile(X, config.max_iter, updates.mini_batch):
            slot_bytes = updates.layout.slot * X.dtype.itemsize
            self._reordered = reorder.reorder(X, self._shuffled(1), slot_bytes)
        inner, lazy = self.objective, LazyPenalty.new([X.shape[1]], [X.touched_per_row()])
        if self._reordered is not None:
            problem = problem.in_order(self._reordered.X, self._reordered.order)
            inner = inner.with_features(self._reordered.features)
            lazy = self._reordered.lazy_penalty
        self.problem = problem
        self._lazy_penalty = lazy if self.objective.moves_weights else None
        self.plateau, rule = split_plateau(updates.rule)
        updates = replace(updates, rule=rule)
        self.runner = EpochRunner(
            inner, updates, problem.X, config.n_threads, reordered=self._reordered is not None
        )
        self.states = self.begin()

    def begin(self) -> list[ModelState]:
        """The states before the first step."""
        updates, X = self.runner.updates, self.problem.X
        states = [ModelState.new(updates, X, self._lazy_penalty) for _ in self.problem.targets]
        if self._start is None and self._constants is not None:
            begin_at(states, self._constants, updates)
        if self._start is not None:
            for state, old in zip(states, self._start.states):
                continue_from(state, old, self._start, updates)
        return states

    def next_order(self) -> np.ndarray:
        """The rows in the order of the next epoch."""
        self._order = self._shuffled(self.runner.run_length)
        return self._order

    def _shuffled(self, run_length: int) -> np.ndarray:
        """The rows in a fresh random order, if they are to be shuffled."""
        if not self._shuffle:
            return self._order
        return shuffled(len(self._order), int(self._random.randint(2**31 - 1)), run_length)

    def model(self) -> TrainedModel:
        """A copy of what the fit has come to."""
        return self.finished([state.copy() for state in self.states])

    def finished(self, states: list[ModelState]) -> TrainedModel:
        """The model of these states, which are brought up to date in place, with the zeros of an l1
        penalty; features have their original numbers."""
        whole, updates = [], self.runner.updates
        for state in states:
            apply_penalty(state, self.runner.objective, updates)
        if not updates.lr_factors:
            settle_zeros(
                states, replace(self.problem, objective=self.runner.objective), self._n_threads
            )
        for state in states:
            if self._reordered is not None:
                state = self._reordered.restored(state, updates, self._X)
            whole.append(state)
        return TrainedModel(whole, self.objective, updates, self.scale)


def begin_at(
    states: list[ModelState], constants: Sequence[np.ndarray], updates: UpdateConfig
) -> None:
    """Give fresh states these intercepts, one for each target and output, and the state of the rule
    that belongs to them; of one target at several rates all have the same."""
    n_outputs = sum(state.n_outputs for state in states)
    intercepts = np.resize(np.concatenate(constants), n_outputs)
    first = 0
    for state in states:
        state.weights[:, -1] = w = intercepts[first : first + state.n_outputs]
        w = w.astype(state.array.dtype)
        for i, name in enumerate(updates.formula.state, start=1):
            part = updates.layout.part(i)
            of_outputs = state.columns[part.start : part.start + state.n_outputs]
            of_outputs[:, -1] = updates.rule.initial_state(name, w)
        first += state.n_outputs


def scale_to_begin_with(
    config: SolverConfig, X: DesignMatrix, start: TrainedModel | None
) -> np.ndarray | None:
    """The scale of the columns to go on from, that of the last fit or a fresh one; None if columns
    are not scaled."""
    if not config.scale_columns:
        return None
    if start is None or start.scale is None:
        return scaling.initial_scale(X.shape[1], X.dtype)
    return start.scale.copy()


def continue_from(
    state: ModelState, old: ModelState, model: TrainedModel, updates: UpdateConfig
) -> None:
    """Give a fresh state the weights and the rule's state of a model's; steps count anew."""
    old = old.copy()
    assert model.updates is not None
    apply_penalty(old, model.objective, model.updates)
    n = updates.layout.lanes * (1 + len(updates.formula.state))
    state.columns[:n] = old.columns[:n]
    if old.dog is not None:
        state.dog = replace(old.dog, measured=0)


def as_steps(model: TrainedModel, updates: UpdateConfig, X: DesignMatrix) -> TrainedModel:
    """The model of a solver that does not step by a rule, as one that steps of these updates have
    come to: its weights, and the rule's state of before the first step."""
    if model.updates is not None:
        return model
    weights, intercepts = model.weights
    scale = model.objective.column_scale
    if scale is not None:
        scale = scale.astype(X.dtype)
        weights = weights * scale
    lazy = LazyPenalty.new([X.shape[1]], [X.touched_per_row()])
    lazy_penalty = lazy if model.objective.moves_weights else None
    states, first = [], 0
    while first < len(weights):
        state = ModelState.new(updates, X, lazy_penalty)
        some = slice(first, first + state.n_outputs)
        state.weights[:, :-1], state.weights[:, -1] = weights[some], intercepts[some]
        states.append(state)
        first += state.n_outputs
    return TrainedModel(states, model.objective, updates, scale)
