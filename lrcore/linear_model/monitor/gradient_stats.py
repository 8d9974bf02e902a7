"""Statistics of gradients and raw predictions for a callback, worked out when they are read."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.problem import Objective, Problem

#: Gradients of a loss for classes below this count as 0.
FLAT = 0.01


class GradientStats:
    """Statistics of one fit, whose states go on moving."""

    def __init__(
        self, objective: Objective, states: list[ModelState], problem: Problem,
        n_threads: int | None,
    ) -> None:  # fmt: skip
        self.objective = objective
        self.states = states
        self.problem = problem
        self.n_threads = n_threads
        self._before: list[Floats] | None = None

    def of_rows(self, chunk: np.ndarray | None) -> LazyStats:
        """The statistics of the rows named, of all if None, by the weights now."""
        return LazyStats(self, chunk)

    def raw_predictions(
        self, problem: Problem, weights: list[np.ndarray] | None = None
    ) -> list[Floats]:
        """(n_rows, n_outputs) for each state, by its weights unless others are given."""
        found, X = [], problem.X
        for each in weights or [state.weights for state in self.states]:
            each = np.ascontiguousarray(each, X.dtype)
            z = [X.raw_predictions(w[:-1], float(w[-1]), self.n_threads) for w in each]
            found.append(np.stack(z, axis=1).astype(np.float64))
        return found

    def loss_gradients(self, problem: Problem, raw: list[Floats]) -> list[Floats]:
        """Derivatives of the loss by the raw predictions, to which the offset is added, (n_rows,
        n_outputs) for each state."""
        loss = self.objective.loss
        return [
            loss.evaluate(z + problem.offset(k), y if loss.joint else y.reshape(z.shape))[1]
            for k, (z, y) in enumerate(zip(raw, problem.targets))
        ]

    def gradients(self, problem: Problem, loss_gradients: list[Floats]) -> list[Floats]:
        """Gradients of the objective over rows with these derivatives of the loss, (n_outputs,
        n_features + 1) for each state, the last that of the intercept."""
        found = []
        for i, (state, of_state) in enumerate(zip(self.states, loss_gradients)):
            share = problem.of_target(i).share
            gradient = np.zeros(state.weights.shape)
            for k, w in enumerate(state.weights):
                factors = share * of_state[:, k]
                of_loss = problem.X.weighted_sum(factors, self.n_threads)
                w = w[:-1].astype(np.float64)
                gradient[k, :-1] = self.objective.subgradient(of_loss, w)
                gradient[k, -1] = np.sum(factors) if self.objective.fit_intercept else 0.0
            found.append(gradient)
        return found

    def saturated(self, loss_gradients: list[Floats]) -> float:
        """Share of the raw predictions at which the loss is flat; of a joint loss, of the rows."""
        loss = self.objective.loss
        if not loss.classifies:
            return math.nan
        flat = [np.abs(each) < FLAT for each in loss_gradients]
        return float(np.mean([each.all(axis=1) if loss.joint else each for each in flat]))

    def update_ratio(self) -> float:
        """How much the weights have changed since the last call, relative to what they are."""
        before = self._before
        self._before = now = [state.weights.astype(np.float64) for state in self.states]
        if before is None:
            return math.nan
        change = sum(float(np.sum(np.square(w - old))) for w, old in zip(now, before))
        size = sum(float(np.sum(np.square(w))) for w in now)
        return math.sqrt(change / size) if size > 0 else 0.0


class LazyStats:
    """The statistics at one moment, until the weights move on."""

    def __init__(self, stats: GradientStats, chunk: np.ndarray | None) -> None:
        self._stats: GradientStats | None = stats
        self._chunk = chunk

    @property
    def _now(self) -> GradientStats:
        if self._stats is None:
            raise RuntimeError(
                "gradient_norm, update_ratio and saturated must be read while the callback runs: "
                "the weights have moved on since"
            )
        return self._stats

    @cached_property
    def _problem(self) -> Problem:
        problem = self._now.problem
        return problem if self._chunk is None else problem.take(self._chunk)

    @cached_property
    def _loss_gradients(self) -> list[Floats]:
        now = self._now
        return now.loss_gradients(self._problem, now.raw_predictions(self._problem))

    @cached_property
    def gradient_norm(self) -> float:
        gradients = self._now.gradients(self._problem, self._loss_gradients)
        return math.sqrt(sum(float(np.sum(g * g)) for g in gradients))

    @cached_property
    def update_ratio(self) -> float:
        return self._now.update_ratio()

    @cached_property
    def saturated(self) -> float:
        return self._now.saturated(self._loss_gradients)

    @property
    def read(self) -> dict[str, float]:
        """What histories keep of it, if it was read."""
        norm = self.__dict__.get("gradient_norm")
        return {} if norm is None else {"gradient_norm": norm}

    def close(self) -> None:
        """Let go of the fit; what was read stays."""
        self._stats = self._chunk = None
        for name in ("_problem", "_loss_gradients"):
            self.__dict__.pop(name, None)
