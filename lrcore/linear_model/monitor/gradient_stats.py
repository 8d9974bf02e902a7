"""Statistics of gradients and margins, for a callback that asks for them: worked out when they are
read, and only then."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.linear_model.engine.epoch import Pass
from lrcore.linear_model.engine.layout import Method, State
from lrcore.linear_model.problem import Data

#: Slopes of a loss for classes below this count as none.
FLAT = 0.01


class Statistics:
    """Of one fit: its states, which go on moving, and its data."""

    def __init__(
        self, passes: Pass, states: list[State], data: Data, n_threads: int | None
    ) -> None:
        self.passes = passes
        self.states = states
        self.data = data
        self.n_threads = n_threads
        self._before: list[Floats] | None = None

    @property
    def method(self) -> Method:
        """What is minimised."""
        return self.passes.method

    def look(self, chunk: np.ndarray | None) -> Look:
        """The statistics of the rows named, of all if None, by the weights now."""
        return Look(self, chunk)

    def margins(self, data: Data, weights: list[np.ndarray] | None = None) -> list[Floats]:
        """(n_rows, n_outputs) for each state, by its weights unless others are given."""
        found = []
        for each in weights or [state.weights for state in self.states]:
            each = np.ascontiguousarray(each, data.rows.dtype)
            z = [data.rows.margins(w[:-1], float(w[-1]), self.n_threads) for w in each]
            found.append(np.stack(z, axis=1).astype(np.float64))
        return found

    def slopes(self, data: Data, margins: list[Floats]) -> list[Floats]:
        """Derivatives of the loss by the margins, (n_rows, n_outputs) for each state."""
        loss = self.method.loss
        return [
            loss.evaluate(z, y if loss.joint else y.reshape(z.shape))[1]
            for z, y in zip(margins, data.targets)
        ]

    def gradients(self, data: Data, slopes: list[Floats]) -> list[Floats]:
        """Gradients of the objective over rows with these slopes, (n_outputs, n_features + 1) for
        each state, the last that of the intercept."""
        weight = np.ones(data.rows.shape[0]) if data.weight is None else data.weight
        share = weight / np.sum(weight)
        found = []
        for state, of_state in zip(self.states, slopes):
            gradient = np.zeros(state.weights.shape)
            for k, w in enumerate(state.weights):
                factors = share * of_state[:, k]
                of_loss = data.rows.combined(factors)
                gradient[k, :-1] = self._penalised(of_loss, w[:-1].astype(np.float64))
                gradient[k, -1] = np.sum(factors) if self.method.intercept else 0.0
            found.append(gradient)
        return found

    def _penalised(self, gradient: Floats, w: Floats) -> Floats:
        """The gradient of the objective: the shortest one where there are several."""
        method = self.method
        factors = 1.0 if method.factors is None else method.factors
        gradient = gradient + method.l2 * factors * w
        if not method.l1:
            return gradient
        l1 = method.l1 * factors
        at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - l1, 0.0)
        return np.asarray(np.where(w == 0, at_zero, gradient + l1 * np.sign(w)))

    def saturated(self, slopes: list[Floats]) -> float:
        """Share of the margins at which the loss is flat; of a joint loss, of the rows."""
        loss = self.method.loss
        if not loss.classifies:
            return math.nan
        flat = [np.abs(each) < FLAT for each in slopes]
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


class Look:
    """The statistics at one moment, until it is over."""

    def __init__(self, statistics: Statistics, chunk: np.ndarray | None) -> None:
        self._statistics: Statistics | None = statistics
        self._chunk = chunk

    @property
    def _now(self) -> Statistics:
        if self._statistics is None:
            raise RuntimeError(
                "gradient_norm, update_ratio and saturated must be read while the callback runs: "
                "the weights have moved on since"
            )
        return self._statistics

    @cached_property
    def _data(self) -> Data:
        data = self._now.data
        return data if self._chunk is None else data.take(self._chunk)

    @cached_property
    def _slopes(self) -> list[Floats]:
        now = self._now
        return now.slopes(self._data, now.margins(self._data))

    @cached_property
    def gradient_norm(self) -> float:
        gradients = self._now.gradients(self._data, self._slopes)
        return math.sqrt(sum(float(np.sum(g * g)) for g in gradients))

    @cached_property
    def update_ratio(self) -> float:
        return self._now.update_ratio()

    @cached_property
    def saturated(self) -> float:
        return self._now.saturated(self._slopes)

    @property
    def read(self) -> dict[str, float]:
        """What histories keep of it, if it was read."""
        norm = self.__dict__.get("gradient_norm")
        return {} if norm is None else {"gradient_norm": norm}

    def close(self) -> None:
        """Let go of the fit; what was read stays."""
        self._statistics = self._chunk = None
        for name in ("_data", "_slopes"):
            self.__dict__.pop(name, None)
