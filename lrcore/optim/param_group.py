"""Parameters that are updated together: their states, coefficients, and calls of the backend."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from lrcore import _backend
from lrcore._backend import threads
from lrcore._backend.rounding import rounded_to_nearest
from lrcore._core import cpu
from lrcore._utils import bfloat16, int8
from lrcore._utils.arrays import aligned, apart
from lrcore._utils.validation import shown
from lrcore.optim.options import Scale
from lrcore.optim.parameters import Parameters
from lrcore.rules import DoGState, Rule
from lrcore.schedules import Plateau

#: Bounds of the number of steps whose coefficients are computed at once, so that most steps do not
#: evaluate the schedule. In between it is the number of steps done.
TABLE_STEPS = (16, 1024)

#: Bytes of a parameter from which on it matters where in a page its states begin: a few pages.
LARGE = 1 << 14


class ParamGroup:
    """Parameters of one dtype and one formula, which one call of the backend updates.

    Parameters
    ----------
    indices : list of int
        The positions of the parameters among all of them.
    params : Parameters
        All parameters.
    chosen : list of Rule
        The rule of each of these parameters, all of the same formula.
    state_dtype : {None, "bfloat16", "int8"}
        How their states are kept.

    Attributes
    ----------
    params : list of ndarray
        The arrays of the group.
    extents : tuple of two ndarrays
        The memory of all parameters, see `Parameters`.
    formula : type of Formula
    state_dtype : {None, "bfloat16", "int8"}
        How states are kept.
    memory : list of ndarray
        The states of each parameter: rows, of bytes for int8, or words of bfloat16.
    averages : list of ndarray
        The averages of `ema`, one for each parameter, or none.
    rules : list of Rule
        The rules without repetition.
    rows : list of int
        For each parameter, the position of its rule in `rules`, which is its row in the tables of
        coefficients.
    grads : list
        The gradients of the step that is being made.
    """

    def __init__(
        self, indices: list[int], params: Parameters, chosen: list[Rule],
        state_dtype: str | None = None,
    ) -> None:  # fmt: skip
        self.indices = indices
        self.params = [params.arrays[i] for i in indices]
        self.extents = params.extents
        self.formula = chosen[0].formula
        self.state_dtype = state_dtype
        makers = {None: self._new_states, "bfloat16": self._new_words, "int8": self._new_bytes}
        self.memory = makers[state_dtype](chosen)
        self.averages: list[np.ndarray] = []
        self._dtype = self.params[0].dtype
        self._size = sum(array.size for array in self.params)
        self._work = self._size
        self.grads: list[Any] = []
        self.use(chosen)

    def use(self, chosen: list[Rule]) -> None:
        """Use these rules from the next step on, one for each parameter, all of one formula."""
        self.rules = list(dict.fromkeys(chosen))
        self.rows = [self.rules.index(rule) for rule in chosen]
        zero = np.zeros(1, np.int64)
        # Adjustments without decoupled decay, which is no part of the gradient.
        self._l2_alone = np.concatenate([r.adjustments(zero, np.zeros(1)) for r in self.rules])
        self._l2_alone[:, 2] = 1.0
        self._plan: Any = None

    def outdate(self) -> None:
        """Have the coefficients computed anew at the next step, as rates are no longer what they
        were."""
        none = np.empty((0, len(self.rules), 0))
        self.plan.prepare(0, none, none, True)

    def using(self, chosen: list[Rule]) -> ParamGroup:
        """A group of the same parameters and states that goes on with these rules."""
        group = copy.copy(self)
        group.use(chosen)
        return group

    def _new_states(self, chosen: list[Rule]) -> list[np.ndarray]:
        """States of shape (n_states, size) for each parameter; those of small ones are in one piece
        of memory."""
        names, dtype = self.formula.state, self.params[0].dtype
        sizes = [w.size if w.nbytes < LARGE else 0 for w in self.params]
        room = aligned(len(names) * sum(sizes), dtype)
        states, start = [], 0
        for w, size, rule in zip(self.params, sizes, chosen):
            state = room[start : start + len(names) * size].reshape(len(names), size)
            if w.nbytes >= LARGE:
                state = apart(len(names), w.size, dtype, w)
            for row, name in zip(state, names):
                row[:] = rule.initial_state(name, w.reshape(-1))
            states.append(state)
            start += len(names) * size
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

    def _new_bytes(self, chosen: list[Rule]) -> list[np.ndarray]:
        """The states of each parameter in 8 bits."""
        names, states = self.formula.state, []
        for w, rule in zip(self.params, chosen):
            state = apart(len(names), int8.length(w.size), np.uint8, w)
            for row, name in zip(state, names):
                start = np.full(w.size, rule.initial_state(name, w.reshape(-1)), np.float32)
                row[:] = int8.nearest(start, int8.is_signed(name))
            states.append(state)
        return states

    @property
    def states(self) -> list[Any]:
        """For each parameter the views of its states, of shape (size,); uint16 for bfloat16, uint8
        and a byte more for each block for int8."""
        if self.state_dtype != "bfloat16":
            return self.memory
        return [bfloat16.states_of(words) for words in self.memory]

    @property
    def plan(self) -> Any:
        """The object of the backend that makes the steps, created when it is first used."""
        if self._plan is None:
            self._plan = _backend.active.step_plan(self)
        return self._plan

    def advance(
        self, grads: list[Any], progress: Any, kept: float, seed: int, check: bool,
        n_threads: int | None,
    ) -> bool:  # fmt: skip
        """Make a step without scaling and clipping, and count it, in one call of the backend.

        Parameters
        ----------
        grads : list
            A gradient for each parameter, not checked; nobody else may change the list.
        progress : Progress
            Where the run is.
        kept : float
            The weight of the former average.
        seed : int
            Seed of the stochastic rounding.
        check : bool
            Whether gradients must be finite.
        n_threads : int or None

        Returns
        -------
        bool
            False, and nothing has changed, if a gradient is not a plain array that fits its
            parameter, or not finite; the slow way then finds the reason.
        """
        plan, t = self._plan or self.plan, progress.t
        key = bfloat16.step_key(seed, t) if self.state_dtype else 0
        count = threads.count(n_threads, self._size)
        done: bool = plan.advance(grads, progress, t, kept, key, check, count)
        if not done and not plan.covers(t):
            self._prepare(t)
            done = plan.advance(grads, progress, t, kept, key, check, count)
        return done

    def hold(self, grads: list[Any], checked: bool) -> bool:
        """Take the gradients of the next step.

        Parameters
        ----------
        grads : list
        checked : bool
            Whether `Parameters.check_gradients` returned them; they may be pairs (rows, values).
            None leaves a parameter alone.

        Returns
        -------
        bool
            False if they are not checked and one is not a plain array that fits its parameter.
        """
        self.grads = list(grads)
        if checked:
            given = [g[1] if isinstance(g, tuple) else g for g in grads if g is not None]
            self._work = sum(g.size for g in given)
        held: bool = self.plan.hold(self.grads, checked)
        return held

    def release(self) -> None:
        """Drop the references to the gradients, whose memory the caller may want to use again."""
        self.grads = []
        if self._plan is not None:
            self._plan.release()

    def all_finite(self, n_threads: int | None) -> bool:
        """Whether the gradients have neither NaN nor infinity."""
        finite: bool = self.plan.all_finite(threads.count(n_threads, self._work))
        return finite

    def square_sum(self, n_threads: int | None, exponent: int) -> float:
        """The sum of squares of the gradients times 2**exponent, float64; the same bits for any
        n_threads."""
        count = threads.count(n_threads, self._work)
        if exponent and self._dtype == np.float64:
            rows = np.ones((len(self.rules), 3)) * (1.0, 0.0, 1.0)
            return float(self.plan.square_sum(count, rows, math.ldexp(1.0, exponent)))
        return math.ldexp(self.plan.square_sum(count), 2 * exponent)

    def square_and_change_sums(
        self, scale: Scale, limit: float, n_threads: int | None
    ) -> tuple[float, float]:
        """The sum of squares of the gradients after scaling, clipping and L2 decay, and the squared
        distance of the parameters from where they began, their first state."""
        count, factors = threads.count(n_threads, self._size), scale.factors(self._dtype)
        plain = factors == (1.0, 1.0) and limit == math.inf and not self._l2_alone[:, 1].any()
        sums: tuple[float, float] = self.plan.square_and_change_sums(
            count, None if plain else self._l2_alone, *factors, limit
        )
        return sums

    @property
    def rule_averages(self) -> list[np.ndarray | None]:
        """The averages that the rules compute from their states; None for rules without one."""
        chosen = (self.rules[row] for row in self.rows)
        return [rule.average(w, *s) for rule, w, s in zip(chosen, self.params, self.states)]

    def step_arguments(
        self, t: int, scale: Scale, limit: float, kept: float, seed: int, n_threads: int | None,
        dog_state: DoGState | None = None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """What the plan is called with to step by the gradients that `hold` took; it then has the
        coefficients.

        Parameters
        ----------
        t : int
            The number of the step.
        scale : Scale
            Factor of the gradients.
        limit : float
            The largest magnitude of an element.
        kept : float
            The weight of the former average.
        seed : int
            Seed of the stochastic rounding.
        n_threads : int or None
        dog_state : DoGState, optional
            What the rates depend on, for rules that compute rates by themselves.
        """
        factor = 1.0 if dog_state is None else self.rules[0].dog_lr_factor(dog_state)
        if dog_state is not None and any(r.decoupled and r.weight_decay for r in self.rules):
            # Decay is in proportion to the rate: the tables have to know of its factor.
            self._prepare(t, factor)
            factor = 1.0
        elif not self.plan.covers(t):
            self._prepare(t)
        key = bfloat16.step_key(seed, t) if self.state_dtype else 0
        count = threads.count(n_threads, self._work)
        return t, *scale.factors(self._dtype), limit, kept, key, count, factor

    def _prepare(self, t: int, factor: float | None = None) -> None:
        """Give the plan the coefficients of the steps from t on: of many at once, or of this step
        alone, whose rate has a factor of its own."""
        least, most = TABLE_STEPS if factor is None else (1, 1)
        with cpu.Nearest():
            steps = np.arange(t, t + min(max(t, least), most), dtype=np.int64)
            rates = [rule.rates(steps) for rule in self.rules]
            if factor is not None:
                rates = [factor * each for each in rates]
            both, dtype = list(zip(self.rules, rates)), self._dtype
            tables = np.stack([rule.coefficients(steps, r, dtype) for rule, r in both], axis=1)
            adjustments = np.stack([rule.adjustments(steps, r) for rule, r in both], axis=1)
        plain = bool(np.all(adjustments == (1.0, 0.0, 1.0)))
        self.plan.prepare(t, tables, adjustments, plain)


@rounded_to_nearest
def grouped(
    params: Parameters,
    rule: Rule,
    overrides: Mapping[str, Mapping[str, Any]],
    state_dtype: str | None,
    averaged: bool,
) -> list[ParamGroup]:
    """Groups of the parameters by dtype and formula, in the order of their first parameters.

    Parameters
    ----------
    params : Parameters
    rule : Rule
    overrides : dict of str to dict
        Hyperparameters by pattern, see `lrcore.Optimizer`.
    state_dtype : {None, "bfloat16", "int8"}
        How states are kept.
    averaged : bool
        Whether averages of the parameters are kept.

    Raises
    ------
    ValueError, TypeError
        If a pattern matches no parameter, a name is not a hyperparameter, a state cannot be kept
        so, or a schedule is not in steps.
    """
    return groups_of(params, overridden(params, rule, overrides), state_dtype, averaged)


def groups_of(
    params: Parameters, chosen: list[Rule], state_dtype: str | None = None, averaged: bool = False
) -> list[ParamGroup]:
    """Groups of the parameters by dtype and formula, of the rule of each; see `grouped`."""
    places: dict[Any, list[int]] = {}
    for i, (array, each) in enumerate(zip(params.arrays, chosen)):
        places.setdefault((array.dtype, each.formula), []).append(i)
    groups = []
    for indices in places.values():
        if state_dtype is not None:
            first = indices[0]
            check_low(state_dtype, params.names[first], params.arrays[first], chosen[first])
        group = ParamGroup(indices, params, [chosen[i] for i in indices], state_dtype)
        if averaged:
            group.averages = [array.copy() for array in group.params]
        groups.append(group)
    return groups


def check_overrides(overrides: Any) -> None:
    """Raise TypeError unless it is None or a dict of dicts."""
    if overrides is None:
        return
    if not isinstance(overrides, Mapping) or not all(
        isinstance(pattern, str) and isinstance(values, Mapping)
        for pattern, values in overrides.items()
    ):
        raise TypeError(
            "overrides must be a dict of patterns of names, each with a dict of hyperparameters, "
            f"such as {{'*.bias': {{'lr': 0.1}}}}, got {shown(overrides)}"
        )


def overridden(
    params: Parameters, rule: Rule, overrides: Mapping[str, Mapping[str, Any]]
) -> list[Rule]:
    """The rule of each parameter; a later pattern overrides those before it.

    Raises
    ------
    ValueError, TypeError
        If a pattern matches no parameter, a name is not a hyperparameter, or a schedule is not in
        steps.
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


#: For each way to keep states in fewer bits the rules that can.
LOW = {
    "bfloat16": "AdaGrad, RMSProp without centered=True, Adam and AdamW",
    "int8": "AdaGrad, RMSProp without centered=True, Adam, AdamW and Lion",
}


def check_low(state_dtype: str, name: str, array: np.ndarray, rule: Rule) -> None:
    """Raise unless the state of this parameter can be kept so under this rule."""
    if array.dtype != np.float32:
        raise TypeError(
            f"state_dtype={state_dtype!r} is for float32 parameters, and {name} is {array.dtype}"
        )
    formula = rule.formula
    if not (formula.eight_bits if state_dtype == "int8" else formula.slow):
        raise ValueError(
            f"state_dtype={state_dtype!r} is for {LOW[state_dtype]}, and the rule of {name} is "
            f"{rule!r}"
        )
