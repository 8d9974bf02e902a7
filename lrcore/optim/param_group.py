"""Parameters that are stepped together: their states, coefficients, and the calls into the core."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from lrcore import _core
from lrcore._backend import threads
from lrcore._core import cpu
from lrcore._utils import numerics
from lrcore._utils.arrays import aligned
from lrcore.optim import bfloat16
from lrcore.optim.parameters import Parameters
from lrcore.rules import Rule, Travel
from lrcore.rules.formulas import adjust
from lrcore.schedules import Plateau

#: Steps whose coefficients are worked out at once, so that a step costs no schedule: as many as
#: have been done, within these.
TABLE_STEPS = (16, 1024)


class Group:
    """Parameters of one dtype that one formula steps, in one region of threads.

    `indices` are their places among all parameters, `rules` their rules without repetition, `rows`
    which of these each goes by. With `low` their states are kept as bfloat16.
    """

    def __init__(
        self, indices: list[int], params: Parameters, chosen: list[Rule], low: bool = False
    ) -> None:
        self.indices = indices
        self.params = [params.arrays[i] for i in indices]
        self._extents = params.extents
        self.formula = chosen[0].formula
        self.low = low
        self._memory = self._new_words(chosen) if low else self._new_states(chosen)
        self.averages: list[np.ndarray] = []
        self._size = sum(array.size for array in self.params)
        self._work = self._size
        self.grads: list[Any] = []
        self.use(chosen)

    def use(self, chosen: list[Rule]) -> None:
        """Step by these rules from now on, one for each parameter, of the same formula."""
        self.rules = list(dict.fromkeys(chosen))
        self.rows = [self.rules.index(rule) for rule in chosen]
        self._start = 0
        self._tables = np.empty((0, 0, 0))
        self._adjustments = np.empty((0, 0, 0))
        self._plain = True
        self._plan: Any = None

    def _new_states(self, chosen: list[Rule]) -> list[np.ndarray]:
        """(n_states, size) for each parameter, one after another in a single piece of memory."""
        names = self.formula.state
        room = aligned(len(names) * sum(w.size for w in self.params), self.params[0].dtype)
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

    @property
    def plan(self) -> Any:
        """The compiled core's side of the group, made when it is first asked for."""
        if self._plan is None and _core.kernels is not None:
            index = _core.kernels.RULES[self.formula.__name__][0]
            places = self.indices if self.low else None
            lists = (self.params, self._memory, self.averages, self.rows)
            self._plan = _core.kernels.Plan(index, *lists, *self._extents, places)
            if len(self._tables):
                self._plan.prepare(self._tables, self._adjustments, self._plain)
        return self._plan

    def advance(
        self, grads: list[Any], t: int, kept: float, seed: int, check: bool, n_threads: int | None
    ) -> bool:
        """The plain step by plain gradients in one call into the core; False if that cannot be."""
        plan = self._plan or self.plan
        if plan is None:
            return False
        offset = t - self._start
        if not 0 <= offset < len(self._tables):
            offset = self._prepare(t)
        key = bfloat16.step_key(seed, t) if self.low else 0
        count = threads.count(n_threads, self._size)
        done: bool = plan.advance(list(grads), offset, kept, key, check, count)
        return done

    def hold(self, grads: list[Any], checked: bool) -> bool:
        """Take the gradients of the next step; False if one is not plainly right.

        Those that are checked are all right, and may be pairs (rows, values).
        """
        self.grads = list(grads)
        if checked:
            self._work = sum(g[1].size if isinstance(g, tuple) else g.size for g in grads)
        held: bool = checked if self.plan is None else self.plan.hold(self.grads, checked)
        return held

    def release(self) -> None:
        """Let go of the gradients: the next ones need their memory."""
        self.grads = []
        if self._plan is not None:
            self._plan.release()

    def all_finite(self, n_threads: int | None) -> bool:
        """Whether the gradients held have neither NaN nor infinity."""
        if self._plan is None:
            values = (g[1] if isinstance(g, tuple) else g for g in self.grads)
            return all(bool(np.isfinite(each).all()) for each in values)
        finite: bool = self._plan.all_finite(threads.count(n_threads, self._work))
        return finite

    def square_sum(self, n_threads: int | None) -> float:
        """Sum of squares of the gradients held, float64: the same bits for any n_threads."""
        if self._plan is None:
            with cpu.Flushing():
                return numerics.square_sum(
                    [row for g in self.grads for row in (g[1] if isinstance(g, tuple) else [g])]
                )
        total: float = self._plan.square_sum(threads.count(n_threads, self._work))
        return total

    def adjusted_square_sum(self, scale: float, limit: float, n_threads: int | None) -> float:
        """The same of the gradients as the rules see them, scaled, clipped, with L2 decay."""
        zero = np.zeros(1, np.int64)
        rows = np.concatenate([rule.adjustments(zero, np.zeros(1)) for rule in self.rules])
        rows[:, 2] = 1.0  # nothing shrinks yet
        if self._plan is not None:
            count = threads.count(n_threads, self._work)
            total: float = self._plan.square_sum(count, rows, scale, limit)
            return total
        with cpu.Flushing():
            found: list[np.ndarray] = []
            for k, row in enumerate(self.rows):
                _, w, g = self._operands(k)
                how = (rows[row] * (scale, 1.0, 1.0)).astype(w.dtype)
                g = adjust(how, w.dtype.type(limit), w, g)
                pair = isinstance(self.grads[k], tuple)
                found.extend(g.reshape(self.grads[k][1].shape) if pair else [g])
            return numerics.square_sum(found)

    def change_sum(self, n_threads: int | None) -> float:
        """Sum of squares of how far the parameters are from their first state, likewise."""
        if self.plan is not None:
            total: float = self.plan.change_sum(threads.count(n_threads, self._size))
            return total
        with cpu.Flushing():
            pairs = zip(self.params, self.states)
            return numerics.square_sum([w.reshape(-1) - state[0] for w, state in pairs])

    @property
    def rule_averages(self) -> list[np.ndarray | None]:
        """The averages that the rules keep by themselves."""
        chosen = (self.rules[row] for row in self.rows)
        return [rule.average(w, *s) for rule, w, s in zip(chosen, self.params, self.states)]

    def step(
        self, t: int, scale: float, limit: float, kept: float, seed: int, n_threads: int | None,
        travel: Travel | None = None,
    ) -> None:  # fmt: skip
        """One step by the gradients held; kept is the share of the averages that stays."""
        offset = self._prepare(t, travel)
        key = bfloat16.step_key(seed, t) if self.low else 0
        if self._plan is not None:
            count = threads.count(n_threads, self._work)
            self._plan.step(offset, scale, limit, kept, key, count)
            return
        adjustments = None
        if not self._plain or scale != 1.0 or limit != math.inf:
            adjustments = self._adjustments[offset] * (scale, 1.0, 1.0)
        with cpu.Flushing():
            self._step_formulas(self._tables[offset], adjustments, limit, kept, key)

    def _prepare(self, t: int, travel: Travel | None = None) -> int:
        """Where the coefficients of step t are; they are worked out for many steps at once, unless
        each goes by how far the parameters have come."""
        offset = t - self._start
        if travel is None and 0 <= offset < len(self._tables):
            return offset
        least, most = TABLE_STEPS if travel is None else (1, 1)
        steps = np.arange(t, t + min(max(t, least), most), dtype=np.int64)
        rates = [rule.rates(steps) for rule in self.rules]
        if travel is not None:
            rates = [rule.pace(travel) * each for rule, each in zip(self.rules, rates)]
        both = list(zip(self.rules, rates))
        self._tables = np.stack([rule.coefficients(steps, r) for rule, r in both], axis=1)
        self._adjustments = np.stack([rule.adjustments(steps, r) for rule, r in both], axis=1)
        self._plain = bool(np.all(self._adjustments == (1.0, 0.0, 1.0)))
        self._start = t
        if self._plan is not None:
            self._plan.prepare(self._tables, self._adjustments, self._plain)
        return 0

    # ---- the same in NumPy --------------------------------------------------------------------

    def _step_formulas(
        self, table: np.ndarray, adjustments: np.ndarray | None, limit: float, kept: float, key: int
    ) -> None:
        for k, (w, row) in enumerate(zip(self.params, self.rows)):
            how = None if adjustments is None else adjustments[row].astype(w.dtype)
            c = self.formula.row(table[row], w.dtype)
            elements, flat, g = self._operands(k)
            if how is not None:
                g = adjust(how, w.dtype.type(limit), flat, g)
            self._update(c, k, elements, flat, g, key)
            if elements is not None:
                w.reshape(-1)[elements] = flat
            if self.averages:
                average = self.averages[k].reshape(-1)
                average[:] = w.dtype.type(kept) * average + w.dtype.type(1.0 - kept) * flat

    def _operands(self, k: int) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """Which elements of parameter k the gradient is of, None for all; they themselves, a copy
        if they are some; and the gradient, flat."""
        w, g = self.params[k], self.grads[k]
        flat, elements = w.reshape(-1), None
        if isinstance(g, tuple):
            width = g[1].shape[1]
            elements = (g[0][:, None] * width + np.arange(width)).reshape(-1)
            flat, g = flat[elements], g[1]
        return elements, flat, g.reshape(-1).astype(w.dtype, copy=False)

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


def grouped(
    params: Parameters,
    rule: Rule,
    overrides: Mapping[str, Mapping[str, Any]],
    low: bool,
    averaged: bool,
) -> list[Group]:
    """The parameters by dtype and formula, in order of first appearance.

    Raises
    ------
    ValueError, TypeError
        If overrides name no parameter or no hyperparameter, states cannot be kept as `low`, or a
        schedule is not in steps.
    """
    chosen = overridden(params, rule, overrides)
    places: dict[Any, list[int]] = {}
    for i, (array, each) in enumerate(zip(params.arrays, chosen)):
        places.setdefault((array.dtype, each.formula), []).append(i)
    groups = []
    for indices in places.values():
        if low:
            check_low(params.names[indices[0]], params.arrays[indices[0]], chosen[indices[0]])
        group = Group(indices, params, [chosen[i] for i in indices], low)
        if averaged:
            group.averages = [array.copy() for array in group.params]
        groups.append(group)
    return groups


def overridden(
    params: Parameters, rule: Rule, overrides: Mapping[str, Mapping[str, Any]]
) -> list[Rule]:
    """The rule of each parameter; later patterns go on top.

    Raises
    ------
    ValueError, TypeError
        If overrides name no parameter or no hyperparameter, or a schedule is not in steps.
    """
    chosen = [rule] * len(params.paths)
    known = {each.name for each in fields(rule)}
    for pattern, values in overrides.items():
        matched = [i for i, path in enumerate(params.paths) if fnmatchcase(path, pattern)]
        if not matched:
            raise ValueError(
                f"overrides[{pattern!r}] matches none of {', '.join(params.paths[:20])}"
            )
        for name in values:
            if name not in known:
                raise ValueError(
                    f"overrides[{pattern!r}] has {name!r}; {type(rule).__name__} has "
                    f"{', '.join(sorted(known))}"
                )
            if name in rule.common:
                raise ValueError(
                    f"overrides[{pattern!r}] has {name!r}, which {type(rule).__name__} has once "
                    "for all parameters: give it to the rule"
                )
        for i in matched:
            chosen[i] = replace(chosen[i], **values)
    for path, each in zip(params.names, chosen):
        if isinstance(each.lr, Plateau):
            raise TypeError(
                f"the lr of {path} is a Plateau, and an Optimizer has no metric to feed it: give "
                "its `current`, and opt.rule = opt.rule.with_lr(plateau.current) once it has cut "
                "the rate"
            )
        if each.unresolved:
            raise ValueError(
                f"the schedule of {path} has {', '.join(each.unresolved)}, and an Optimizer knows "
                "neither epochs nor the length of the run: give "
                "rule.resolve(steps_per_epoch=..., total_steps=...)"
            )
    return chosen


def check_low(name: str, array: np.ndarray, rule: Rule) -> None:
    """Raise unless the state of this parameter can be kept as bfloat16 under this rule."""
    if array.dtype != np.float32:
        raise TypeError(
            f"state_dtype='bfloat16' is for float32 parameters, and {name} is {array.dtype}"
        )
    if rule.formula.slow is None:
        raise ValueError(
            "state_dtype='bfloat16' is for AdaGrad, RMSProp without centered=True, Adam and "
            f"AdamW, and the rule of {name} is {rule!r}"
        )
