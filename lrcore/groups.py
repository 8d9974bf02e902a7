"""Parameters that are stepped together: their states, coefficients, and the calls into the core."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrcore import _core, numerics
from lrcore._core import threads
from lrcore.formulas import adjust
from lrcore.rules import Rule

#: Steps whose coefficients are worked out at once: a step then costs no schedule.
TABLE_STEPS = 1024


class Group:
    """Parameters of one dtype that one formula steps, in one region of threads.

    `indices` are their places among all parameters, `rules` their rules without repetition, `rows`
    which of these each goes by.
    """

    def __init__(self, indices: list[int], arrays: list[np.ndarray], chosen: list[Rule]) -> None:
        self.indices = indices
        self.params = arrays
        self.rules = list(dict.fromkeys(chosen))
        self.rows = [self.rules.index(rule) for rule in chosen]
        self.formula = chosen[0].formula
        self.states = self._new_states(chosen)
        self.averages: list[np.ndarray] = []
        self.size = sum(array.size for array in arrays)
        self.grads: list[np.ndarray] = []
        self._start = 0
        self._tables = np.empty((0, 0, 0))
        self._adjustments = np.empty((0, 0, 0))
        self._plain = True
        self._plan: Any = None

    def _new_states(self, chosen: list[Rule]) -> list[np.ndarray]:
        """(n_states, size) for each parameter, one after another in a single piece of memory."""
        names = self.formula.state
        room = np.empty(len(names) * sum(w.size for w in self.params), self.params[0].dtype)
        states, start = [], 0
        for w, rule in zip(self.params, chosen):
            state = room[start : start + len(names) * w.size].reshape(len(names), w.size)
            for row, name in zip(state, names):
                row[:] = rule.initial_state(name, w.reshape(-1))
            states.append(state)
            start += state.size
        return states

    def hold(self, grads: list[Any], far: bool) -> bool:
        """Take the gradients of the next step; False if one is not plainly right."""
        self.grads = list(grads)  # ours, so that nobody changes it while the core reads
        if _core.kernels is None:
            return far
        if self._plan is None:
            index = _core.kernels.RULES[self.formula.__name__][0]
            self._plan = _core.kernels.Plan(
                index, self.params, self.states, self.averages, self.rows
            )
        held: bool = self._plan.hold(self.grads, far)
        return held

    def release(self) -> None:
        """Let go of the gradients: the next ones need their memory."""
        self.grads.clear()

    def square_sum(self, n_threads: int | None) -> float:
        """Sum of squares of the gradients held, float64: the same bits for any n_threads."""
        if self._plan is None:
            return numerics.square_sum(self.grads)
        total: float = self._plan.square_sum(threads.count(n_threads, self.size))
        return total

    def step(self, t: int, scale: float, limit: float, kept: float, n_threads: int | None) -> None:
        """One step by the gradients held; kept is the share of the averages that stays."""
        offset = t - self._start
        if not 0 <= offset < len(self._tables):
            self._fill(t)
            offset = 0
        table, adjustments = self._tables[offset], None
        if not self._plain or scale != 1.0 or limit != math.inf:
            adjustments = self._adjustments[offset] * (scale, 1.0, 1.0)
        if self._plan is not None:
            count = threads.count(n_threads, self.size)
            self._plan.step(table, adjustments, limit, kept, count)
        else:
            self._step_formulas(table, adjustments, limit, kept)

    def _fill(self, t: int) -> None:
        """Coefficients and adjustments of the next steps."""
        steps = np.arange(t, t + TABLE_STEPS, dtype=np.int64)
        rates = [rule.rates(steps) for rule in self.rules]
        both = list(zip(self.rules, rates))
        self._tables = np.stack([rule.coefficients(steps, r) for rule, r in both], axis=1)
        self._adjustments = np.stack([rule.adjustments(steps, r) for rule, r in both], axis=1)
        self._plain = bool(np.all(self._adjustments == (1.0, 0.0, 1.0)))
        self._start = t

    def _step_formulas(
        self, table: np.ndarray, adjustments: np.ndarray | None, limit: float, kept: float
    ) -> None:
        """The same in NumPy."""
        for k, (w, g, state, row) in enumerate(
            zip(self.params, self.grads, self.states, self.rows)
        ):
            w, one = w.reshape(-1), w.dtype.type
            g = g.reshape(-1).astype(w.dtype, copy=False)
            if adjustments is not None:
                g = adjust(adjustments[row].astype(w.dtype), one(limit), w, g)
            self.formula.update(self.formula.row(table[row], w.dtype), w, g, *state)
            if self.averages:
                average = self.averages[k].reshape(-1)
                average[:] = one(kept) * average + one(1.0 - kept) * w
