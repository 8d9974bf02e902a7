"""Parameters that are stepped together: their states, coefficients, and the calls into the core."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrcore import _core, bfloat16, numerics
from lrcore._core import cpu, threads
from lrcore.formulas import adjust
from lrcore.rules import Rule

#: Steps whose coefficients are worked out at once: a step then costs no schedule.
TABLE_STEPS = 1024


class Group:
    """Parameters of one dtype that one formula steps, in one region of threads.

    `indices` are their places among all parameters, `rules` their rules without repetition, `rows`
    which of these each goes by. With `low` their states are kept as bfloat16.
    """

    def __init__(
        self, indices: list[int], arrays: list[np.ndarray], chosen: list[Rule], low: bool = False
    ) -> None:
        self.indices = indices
        self.params = arrays
        self.rules = list(dict.fromkeys(chosen))
        self.rows = [self.rules.index(rule) for rule in chosen]
        self.formula = chosen[0].formula
        self.low = low
        self._memory = self._new_words(chosen) if low else self._new_states(chosen)
        self.averages: list[np.ndarray] = []
        self._size = sum(array.size for array in arrays)
        self._work = self._size
        self.grads: list[Any] = []
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

    def _new_words(self, chosen: list[Rule]) -> list[np.ndarray]:
        """The states of each parameter as bfloat16."""
        names = self.formula.state
        words = [bfloat16.new_words(len(names), w.size) for w in self.params]
        for each, w, rule in zip(words, self.params, chosen):
            for row, name in zip(bfloat16.states_of(each), names):
                row[:] = bfloat16.nearest(
                    np.full(w.size, rule.initial_state(name, w.reshape(-1)), np.float32)
                )
        return words

    @property
    def states(self) -> list[Any]:
        """For each parameter its states as rows, views; uint16 for bfloat16."""
        return [bfloat16.states_of(words) for words in self._memory] if self.low else self._memory

    def hold(self, grads: list[Any], far: bool) -> bool:
        """Take the gradients of the next step; False if one is not plainly right.

        `far` says that all has been checked; they may be pairs (rows, values) then.
        """
        self.grads = list(grads)  # ours, so that nobody changes it while the core reads
        if far:
            self._work = sum(g[1].size if isinstance(g, tuple) else g.size for g in grads)
        if _core.kernels is None:
            return far
        if self._plan is None:
            index = _core.kernels.RULES[self.formula.__name__][0]
            places = self.indices if self.low else None
            self._plan = _core.kernels.Plan(
                index, self.params, self._memory, self.averages, self.rows, places
            )
        held: bool = self._plan.hold(self.grads, far)
        return held

    def release(self) -> None:
        """Let go of the gradients: the next ones need their memory."""
        self.grads.clear()
        self._work = self._size

    def square_sum(self, n_threads: int | None) -> float:
        """Sum of squares of the gradients held, float64: the same bits for any n_threads."""
        if self._plan is None:
            with cpu.Flushing():
                return numerics.square_sum(
                    [row for g in self.grads for row in (g[1] if isinstance(g, tuple) else [g])]
                )
        total: float = self._plan.square_sum(threads.count(n_threads, self._work))
        return total

    def step(
        self, t: int, scale: float, limit: float, kept: float, seed: int, n_threads: int | None
    ) -> None:
        """One step by the gradients held; kept is the share of the averages that stays."""
        offset = t - self._start
        if not 0 <= offset < len(self._tables):
            self._fill(t)
            offset = 0
        table, adjustments = self._tables[offset], None
        if not self._plain or scale != 1.0 or limit != math.inf:
            adjustments = self._adjustments[offset] * (scale, 1.0, 1.0)
        key = bfloat16.step_key(seed, t) if self.low else 0
        if self._plan is not None:
            count = threads.count(n_threads, self._work)
            self._plan.step(table, adjustments, limit, kept, key, count)
        else:
            with cpu.Flushing():
                self._step_formulas(table, adjustments, limit, kept, key)

    def _fill(self, t: int) -> None:
        """Coefficients and adjustments of the next steps."""
        steps = np.arange(t, t + TABLE_STEPS, dtype=np.int64)
        rates = [rule.rates(steps) for rule in self.rules]
        both = list(zip(self.rules, rates))
        self._tables = np.stack([rule.coefficients(steps, r) for rule, r in both], axis=1)
        self._adjustments = np.stack([rule.adjustments(steps, r) for rule, r in both], axis=1)
        self._plain = bool(np.all(self._adjustments == (1.0, 0.0, 1.0)))
        self._start = t

    # ---- the same in NumPy --------------------------------------------------------------------

    def _step_formulas(
        self, table: np.ndarray, adjustments: np.ndarray | None, limit: float, kept: float, key: int
    ) -> None:
        for k, (w, g, row) in enumerate(zip(self.params, self.grads, self.rows)):
            how = None if adjustments is None else adjustments[row].astype(w.dtype)
            c = self.formula.row(table[row], w.dtype)
            flat = w.reshape(-1)
            elements = None
            if isinstance(g, tuple):
                width = w.size // len(w)
                elements = (g[0][:, None] * width + np.arange(width)).reshape(-1)
                flat, g = flat[elements], g[1]
            g = g.reshape(-1).astype(w.dtype, copy=False)
            if how is not None:
                g = adjust(how, w.dtype.type(limit), flat, g)
            self._update(c, k, elements, flat, g, key)
            if elements is not None:
                w.reshape(-1)[elements] = flat
            if self.averages:
                average = self.averages[k].reshape(-1)
                average[:] = w.dtype.type(kept) * average + w.dtype.type(1.0 - kept) * flat

    def _update(
        self, c: Any, k: int, elements: np.ndarray | None, w: np.ndarray, g: np.ndarray, key: int
    ) -> None:
        """Step w, the elements of parameter k, all of them if None."""
        kept = self.states[k]
        places = slice(None) if elements is None else elements
        state = [bfloat16.widen(row[places]) if self.low else row[places] for row in kept]
        self.formula.update(c, w, g, *state)
        if elements is None:
            elements = np.arange(w.size)
        for name, row, new in zip(self.formula.state, kept, state):
            if not self.low:
                row[places] = new
            elif name == self.formula.slow:
                draws = bfloat16.draws(key, self.indices[k], elements)
                row[places] = bfloat16.stochastic(new, draws)
            else:
                row[places] = bfloat16.nearest(new)
