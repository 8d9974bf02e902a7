"""Optimizer: updates arrays in place by the steps of a rule."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import numpy as np

from lrcore import _backend, rules, schedules
from lrcore._backend import threads
from lrcore._backend.rounding import rounded_to_nearest
from lrcore._core import cpu
from lrcore._utils import numerics
from lrcore._utils.hints import RATE, hint
from lrcore._utils.validation import check_seed, shown
from lrcore.optim import state
from lrcore.optim.options import (
    Scale,
    check_adjustments,
    check_ema,
    check_nonfinite,
    check_steps,
    ema_at,
)
from lrcore.optim.param_group import LOW, ParamGroup, check_overrides, grouped, overridden
from lrcore.optim.parameters import Parameters, writeable
from lrcore.rules import DoGState, Rule
from lrcore.schedules import Plateau, Schedule

#: Sums of squares up to which some of them may have been too small for float64.
LEAST_SQUARES = 2.0**-900


class Progress:
    """What the next step of an Optimizer goes by, and where the run is.

    Attributes
    ----------
    rule : Rule
    overrides : dict of str to dict
    groups : list of ParamGroup
    seed : int
    dog_state : DoGState or None
    t, skipped : int
        Steps done, and skipped ones.
    """

    __slots__ = ("dog_state", "groups", "overrides", "rule", "seed", "skipped", "t")

    def __init__(
        self, rule: Rule, overrides: dict[str, dict[str, Any]], groups: list[ParamGroup],
        seed: int, dog_state: DoGState | None, t: int = 0, skipped: int = 0,
    ) -> None:  # fmt: skip
        self.rule, self.overrides, self.groups = rule, overrides, groups
        self.seed, self.dog_state, self.t, self.skipped = seed, dog_state, t, skipped

    def changed(
        self, rule: Rule, overrides: dict[str, dict[str, Any]], groups: list[ParamGroup]
    ) -> Progress:
        """The same run by another rule."""
        return Progress(rule, overrides, groups, self.seed, self.dog_state, self.t, self.skipped)


class Optimizer:
    """Updates one array, a list of arrays, or nested dicts of arrays in place.

    Parameters
    ----------
    params : array, list of arrays, or dict of arrays or of such dicts
        float32 or float64, C-contiguous, writeable, of any shapes, and not overlapping in memory:
        NumPy arrays, or objects with ``__array_interface__`` or ``__dlpack__`` on the CPU, such as
        torch tensors. They are updated where they are and never copied.
    rule : Rule
        Such as ``lrcore.Adam(lr=1e-3)``; its ``lr`` is a number or a schedule. To continue with
        another rate, assign ``opt.rule = opt.rule.with_lr(1e-4)``.
    overrides : dict of str to dict, optional
        Hyperparameters of the rule for some of the parameters, by name or pattern. A name is the
        path to the parameter, such as ``"encoder.0.bias"``; ``*`` and ``?`` match as in file
        names. Where several patterns match, a later one overrides those before it.
    n_threads : int, optional
        By default as many as the machine has and the number of parameters makes worthwhile. The
        results have the same bits for any number of threads.
    nonfinite : {"raise", "skip", "propagate"}
        What to do with a gradient that has a NaN or an infinity: raise FloatingPointError, skip
        the step (`skipped` counts such steps), or update all the same. Gradients are checked
        before anything is written.
    ema : float in [0, 1), "polyak" or "polynomial", optional
        Keep an average of the parameters, updated in the same pass. A number: ``average = ema *
        average + (1 - ema) * w``, which starts at the parameters. ``"polyak"``: the mean over all
        steps (Polyak and Juditsky 1992). ``"polynomial"``: a mean whose weights grow as the eighth
        power of the step (Shamir and Zhang 2013), ``ema = t / (t + 9)`` at step ``t = 0, 1, ...``.
        See `averages`.
    state_dtype : {None, "bfloat16", "int8"}
        None keeps the rule's state in the dtype of the parameters. "bfloat16" takes half of the
        memory, which makes a step faster when the state does not fit in the cache; for float32
        parameters and AdaGrad, RMSProp (not centered), Adam and AdamW. Means of squares are
        rounded stochastically, the rest to the nearest number. "int8" takes a quarter: a byte for
        each number, and one for each 2,048 of them that they are relative to (after Dettmers et
        al. 2022); for these rules and Lion, without gradients of some rows. All states are rounded
        stochastically.
    seed : int in [0, 2**63)
        Seed of the stochastic rounding. The draws depend on the seed, the step and the position of
        the element alone.

    Attributes
    ----------
    t : int
        Number of steps done.
    skipped : int
        Number of steps skipped because a gradient was not finite.

    References
    ----------
    B. T. Polyak and A. B. Juditsky (1992), Acceleration of stochastic approximation by averaging,
    SIAM Journal on Control and Optimization 30 (4).
    T. Dettmers, M. Lewis, S. Shleifer and L. Zettlemoyer (2022), 8-bit optimizers via block-wise
    quantization, ICLR.
    O. Shamir and T. Zhang (2013), Stochastic gradient descent for non-smooth optimization:
    convergence results and optimal averaging schemes, ICML.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> params = {"w": np.ones(3), "b": np.zeros(1)}
    >>> opt = lrcore.Optimizer(params, lrcore.SGD(lr=0.5), overrides={"b": {"lr": 0.1}})
    >>> opt.step({"w": np.array([1.0, 2.0, 3.0]), "b": np.array([-1.0])})
    >>> params["w"], params["b"]
    (array([ 0.5,  0. , -0.5]), array([0.1]))
    """

    def __init__(
        self,
        params: Any,
        rule: Rule,
        *,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        n_threads: int | None = None,
        nonfinite: str = "raise",
        ema: float | str | None = None,
        state_dtype: str | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a rule such as lrcore.Adam(lr=1e-3), got {shown(rule)}")
        check_nonfinite(nonfinite)
        threads.check(n_threads)
        check_ema(ema)
        if ema is not None and rule.averages:
            raise ValueError(
                f"{type(rule).__name__} keeps an average by itself, which `averages` gives: leave "
                f"out ema={ema!r}"
            )
        check_seed("seed", seed)
        if state_dtype is not None and not (isinstance(state_dtype, str) and state_dtype in LOW):
            raise ValueError(
                f"state_dtype must be None, 'bfloat16' or 'int8', got {shown(state_dtype)}"
            )
        check_overrides(overrides)
        self._params = Parameters(params)
        self._n_threads = n_threads
        self._nonfinite = nonfinite
        self._ema = ema
        self._state_dtype = state_dtype
        known = as_schedules(overrides or {})
        groups = self._new_groups(rule, known)
        self._progress = Progress(rule, known, groups, int(seed), self._initial_dog_state(rule))

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse names that mean nothing here, which would be set without effect."""
        if name.startswith("_") or hasattr(type(self), name):
            super().__setattr__(name, value)
            return
        advice = hint(name, RATE, ())
        if name in {each.name for each in fields(self.rule)}:
            advice = (
                "; it belongs to the rule: set opt.rule = dataclasses.replace(opt.rule, "
                f"{name}={value!r})"
            )
        raise AttributeError(f"an Optimizer has no attribute {name!r} to set{advice}")

    def __getattr__(self, name: str) -> Any:
        """Name `lr` where a rate is asked for by another name; attributes that exist are found
        before."""
        if hasattr(type(self), name):
            return object.__getattribute__(self, name)  # the error of a property, which led here
        advice = hint(name, RATE, ())
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{advice}")

    def __repr__(self) -> str:
        size = sum(array.size for array in self._params.arrays)
        return f"<Optimizer: {self.rule!r}, {size:,} parameters, t={self.t}>"

    def __reduce__(self) -> tuple[Any, ...]:
        keywords = {
            name: getattr(self, name)
            for name in ("n_threads", "nonfinite", "ema", "state_dtype", "seed")
        }
        keywords["overrides"] = self._progress.overrides
        return _rebuilt, (self._params.tree, self.rule, keywords), self.state_dict()

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.load_state_dict(saved)

    @property
    def rule(self) -> Rule:
        """The rule of the next steps; another rule of the same formula can be assigned.

        The new rule continues with the state of the former one.

        Raises
        ------
        ValueError, TypeError
            If what is assigned is not a rule, or has another formula; nothing has changed then.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> w = np.ones(2)
        >>> opt = lrcore.Optimizer(w, lrcore.SGD(lr=0.5))
        >>> opt.rule = opt.rule.with_lr(0.25)
        >>> opt.step(np.ones(2))
        >>> w
        array([0.75, 0.75])
        """
        return self._progress.rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a rule such as lrcore.Adam(lr=1e-3), got {shown(rule)}")
        self._go_on_by(rule, self._progress.overrides)

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Any]]:
        """The hyperparameters of some of the parameters, to be read; other ones can be assigned."""
        overrides = self._progress.overrides
        return MappingProxyType({key: MappingProxyType(own) for key, own in overrides.items()})

    @overrides.setter
    def overrides(self, overrides: Mapping[str, Mapping[str, Any]] | None) -> None:
        self._go_on_by(self.rule, as_schedules(overrides or {}))

    def _go_on_by(self, rule: Rule, overrides: dict[str, dict[str, Any]]) -> None:
        """Make the next steps by this rule and these overrides, with the states at hand."""
        progress, chosen = self._progress, overridden(self._params, rule, overrides)
        for group in progress.groups:
            for name, each in ((self._params.names[i], chosen[i]) for i in group.indices):
                if each.formula is not group.formula:
                    at_hand = group.formula.__name__.removesuffix("Formula")
                    raise ValueError(
                        f"rule must have the formula of the one at hand, {at_hand} for {name}, "
                        f"whose state goes on; got {each!r}: make a new Optimizer"
                    )
        groups = [group.using([chosen[i] for i in group.indices]) for group in progress.groups]
        # One assignment, so that an interruption leaves all of it as it was or as it is to be.
        self._progress = progress.changed(rule=rule, overrides=overrides, groups=groups)

    @property
    def params(self) -> Any:
        """The parameters as they were given; they are updated where they are."""
        return self._params.tree

    @property
    def lr(self) -> float | Schedule | Plateau:
        """The learning rate of the rule; another number or schedule can be assigned.

        It is that of all parameters but those whose `overrides` have an ``lr``, which keep it: to
        change theirs, assign `overrides`. The rate of the last step is `rate`.

        Raises
        ------
        ValueError, TypeError
            If what is assigned is no rate; nothing has changed then.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> w = np.ones(2)
        >>> opt = lrcore.Optimizer(w, lrcore.SGD(lr=0.5))
        >>> opt.lr = 0.25
        >>> opt.step(np.ones(2))
        >>> w, opt.rule.lr
        (array([0.75, 0.75]), 0.25)
        """
        return self.rule.lr

    @lr.setter
    def lr(self, lr: float | Schedule) -> None:
        self.rule = self.rule.with_lr(lr)

    @property
    def t(self) -> int:
        """Number of steps done."""
        return self._progress.t

    @t.setter
    def t(self, t: int) -> None:
        self._progress.t = check_steps("t", t)

    @property
    def skipped(self) -> int:
        """Number of steps skipped because a gradient was not finite."""
        return self._progress.skipped

    @skipped.setter
    def skipped(self, skipped: int) -> None:
        self._progress.skipped = check_steps("skipped", skipped)

    @property
    def seed(self) -> int:
        """Seed of the stochastic rounding."""
        return self._progress.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        check_seed("seed", seed)
        self._progress.seed = seed

    @property
    def n_threads(self) -> int | None:
        """Threads of a step that does not say; None to choose."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, n_threads: int | None) -> None:
        threads.check(n_threads)
        self._n_threads = n_threads

    @property
    def nonfinite(self) -> str:
        """What to do with a gradient that is not finite."""
        return self._nonfinite

    @nonfinite.setter
    def nonfinite(self, nonfinite: str) -> None:
        check_nonfinite(nonfinite)
        self._nonfinite = nonfinite

    @property
    def ema(self) -> float | str | None:
        """How the parameters are averaged; where they are, another average can be assigned."""
        return self._ema

    @ema.setter
    def ema(self, ema: float | str | None) -> None:
        check_ema(ema)
        if (ema is None) != (self._ema is None):
            raise ValueError(
                f"ema must stay {'None' if self._ema is None else 'an average'}, got {ema!r}: make "
                "a new Optimizer"
            )
        self._ema = ema

    @property
    def state_dtype(self) -> str | None:
        """How the rule's state is kept, which cannot be changed."""
        return self._state_dtype

    @property
    def _groups(self) -> list[ParamGroup]:
        return self._progress.groups

    @property
    def _dog_state(self) -> DoGState | None:
        return self._progress.dog_state

    @property
    def rate(self) -> float:
        """The learning rate of the last step, NaN before the first one.

        It is the rate of the rule, without overrides; of a rule such as `DoG`, the schedule times
        the factor that the rule computes by itself.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> opt = lrcore.Optimizer(np.ones(2), lrcore.SGD(lr=lrcore.schedules.Linear(0.5, steps=4)))
        >>> opt.step(np.ones(2)); opt.step(np.ones(2))
        >>> opt.rate
        0.375
        """
        if self.t == 0:
            return math.nan
        rate = float(self.rule.rates(np.array([self.t - 1], dtype=np.int64))[0])
        return rate if self._dog_state is None else self.rule.dog_lr_factor(self._dog_state) * rate

    # ---- stepping ---------------------------------------------------------------------------

    def step(
        self,
        grads: Any,
        *,
        grad_scale: float = 1.0,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        """Update every parameter by its gradient.

        The gradients are scaled, then clipped by norm, then clipped by value, and then given to
        the rule, which adds weight decay. The arrays of gradients are not changed.

        Parameters
        ----------
        grads : like params
            The same structure and shapes as the parameters, C-contiguous, of the dtype of the
            parameters or float16; they may be read-only, but must not overlap the parameters.

            For some rows of a parameter, such as an embedding table, a tuple ``(indices,
            values)``: integers of shape (n,), row numbers in any order, and an array with a row
            for each of them. The values of a row that occurs several times are summed. Only these
            rows are updated: all others keep their values and their state, without decay (as in
            LazyAdam). For SGD without momentum, AdaGrad and FTRL at a constant rate and without
            weight decay, this equals a step by a gradient that is 0 in all other rows.

            None for a parameter that is frozen: it keeps its value and its state, without decay.
            Not all may be None.
        grad_scale : float
            Factor of the gradients, such as ``1 / n`` for a sum over n rows.
        clip_value : float > 0, optional
            Elements of the gradients are clipped to ``[-clip_value, clip_value]``.
        clip_norm : float > 0, optional
            If the 2-norm of all gradients together is larger, they are scaled down to this norm.
        n_threads : int, optional
            For this step alone; by default that of the Optimizer.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; nothing has changed then.
        FloatingPointError
            If a gradient is not finite and ``nonfinite="raise"``, or if the norm that
            `clip_norm` or the rule needs is not finite; nothing has changed then.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> w = np.zeros(2)
        >>> lrcore.Optimizer(w, lrcore.SGD(lr=0.5)).step(np.array([6.0, 8.0]), clip_norm=5.0)
        >>> w
        array([-1.5, -2. ])
        >>> table = np.zeros((3, 2))
        >>> lrcore.Optimizer(table, lrcore.SGD(lr=0.5)).step(([2], np.ones((1, 2))))
        >>> table
        array([[ 0. ,  0. ],
               [ 0. ,  0. ],
               [-0.5, -0.5]])
        """
        if n_threads is None:
            n_threads = self._n_threads
        else:
            threads.check(n_threads)
        leaves, progress = self._params.leaves(grads), self._progress
        plain = grad_scale == 1.0 and clip_value is None and clip_norm is None
        if plain and len(progress.groups) == 1 and progress.dog_state is None:
            # The usual step takes one call, which also checks that the gradients are finite.
            check = self._nonfinite != "propagate"
            ema = 0.0 if self._ema is None else ema_at(self._ema, progress.t)
            if progress.groups[0].advance(leaves, progress, ema, progress.seed, check, n_threads):
                return
        scale, limit = check_adjustments(grad_scale, clip_value, clip_norm)
        try:
            self._set_gradients(leaves)
            with cpu.Nearest():
                self._update(scale, limit, clip_norm, n_threads)
        finally:
            for group in progress.groups:
                group.release()

    @rounded_to_nearest
    def _initial_dog_state(self, rule: Rule) -> DoGState | None:
        """The `DoGState` before the first step; None for rules whose rate does not depend on it."""
        if not rule.uses_distance:
            return None
        norm = math.sqrt(numerics.square_sum(self._params.arrays))
        if not math.isfinite(norm):
            raise ValueError(f"params have a norm of {norm}, and {rule!r} goes by their distance")
        return rule.initial_dog_state(norm)

    def _set_gradients(self, leaves: list[Any]) -> None:
        """Check the gradients, and give every group its own."""
        # A group first tests plain arrays quickly; if one fails, the slow checks name it.
        plain = ([leaves[i] for i in group.indices] for group in self._groups)
        if all(group.hold(grads, False) for group, grads in zip(self._groups, plain)):
            return
        checked = self._params.check_gradients(leaves)
        if all(g is None for g in checked):
            raise ValueError(
                "grads has None for every parameter: give a gradient for one of them at least"
            )
        if self.state_dtype == "int8" and any(isinstance(g, tuple) for g in checked):
            raise ValueError(
                "state_dtype='int8' keeps rows together in blocks, so that a gradient (indices, "
                "values) of some rows cannot be stepped by; give one of all rows, or "
                "state_dtype='bfloat16'"
            )
        if self.ema is not None and any(isinstance(g, tuple) for g in checked):
            raise ValueError(
                "ema averages all rows at every step, which a gradient (indices, values) of some "
                "rows cannot; give a gradient of all rows, or no ema"
            )
        for group in self._groups:
            group.hold([checked[i] for i in group.indices], True)

    def _update(
        self, scale: float, limit: float, clip_norm: float | None, n_threads: int | None
    ) -> None:
        """Update by the gradients that the groups have, unless they are not finite."""
        progress, factor, sums = self._progress, Scale.of(scale), None
        if progress.dog_state is not None and clip_norm is None:
            sums = self._dog_sums(factor, limit, n_threads)
        # Unless gradients are clipped, a finite sum of squares says that all of them are finite.
        checked = self.nonfinite == "propagate" or (
            sums is not None and limit == math.inf and math.isfinite(sums[0])
        )
        if not checked and not all(group.all_finite(n_threads) for group in self._groups):
            self._refuse_nonfinite()
            return
        if clip_norm is not None:
            norm, largest = self._norm(factor, n_threads), Scale.of(clip_norm)
            if norm.exceeds(largest):
                factor = factor.times(largest.over(norm))
        dog_state, ema = progress.dog_state, ema_at(self.ema, progress.t)
        if dog_state is not None:
            sums = sums or self._dog_sums(factor, limit, n_threads)
            dog_state = self._next_dog_state(dog_state, *sums)
        arguments = [
            group.step_arguments(
                progress.t, factor, limit, ema, progress.seed, n_threads, dog_state
            )
            for group in progress.groups
        ]
        plans = [group.plan for group in progress.groups]
        _backend.active.step_together(plans, arguments, progress, dog_state)

    def _norm(self, factor: Scale, n_threads: int | None) -> Scale:
        """The 2-norm of all gradients times a factor."""
        exponent, total = 0, self._square_sum(0, n_threads)
        if not LEAST_SQUARES < total < math.inf:
            # Squares of float64 were too large or too small for it: those of a power of two less.
            exponent = 600 if total <= LEAST_SQUARES else -600
            total = self._square_sum(exponent, n_threads)
        norm = math.sqrt(total)
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"the norm of the gradients at step {self.t} is {norm}, so that they cannot "
                "be scaled down to clip_norm; nothing was changed"
            )
        fraction, own = math.frexp(norm)
        return Scale(fraction, own - exponent).times(factor.magnitude)

    def _square_sum(self, exponent: int, n_threads: int | None) -> float:
        """The sum of squares of all gradients times 2**exponent."""
        return sum(group.square_sum(n_threads, exponent) for group in self._groups)

    def _dog_sums(self, scale: Scale, limit: float, n_threads: int | None) -> tuple[float, float]:
        """The sums of squares of the gradients, and of how far the parameters have come."""
        sums = [g.square_and_change_sums(scale, limit, n_threads) for g in self._groups]
        return sum(each[0] for each in sums), sum(each[1] for each in sums)

    def _next_dog_state(self, before: DoGState, squares: float, changes: float) -> DoGState:
        """The `DoGState` that the gradients of this step lead to."""
        distance = math.sqrt(changes)
        if not math.isfinite(squares + distance):
            raise FloatingPointError(
                f"at step {self.t} the gradients have a squared norm of {squares} and the "
                f"parameters are {distance} from their start, so that {type(self.rule).__name__} "
                "has no rate; nothing was changed"
            )
        return before.after(distance, squares)

    def _refuse_nonfinite(self) -> None:
        """Count a skipped step, or raise an error that names the first NaN or infinity."""
        if self.nonfinite == "skip":
            self._progress.skipped += 1
            return
        for group in self._groups:
            for index, g in zip(group.indices, group.grads):
                if g is None:
                    continue
                rows, values = g if isinstance(g, tuple) else (None, g)
                bad = np.flatnonzero(~np.isfinite(values))
                if not bad.size:
                    continue
                where = [int(i) for i in np.unravel_index(bad[0], values.shape)]
                name = self._params.names[index].replace("params", "grads", 1)
                place = f"[{', '.join(map(str, where))}]"
                if rows is not None:
                    place = f" of row {rows[where[0]]}"
                raise FloatingPointError(
                    f"{name}{place} is {values.flat[bad[0]]} at step {self.t}; nothing was "
                    "changed. A smaller rate, clipping, or nonfinite='skip' may help"
                )

    # ---- state ------------------------------------------------------------------------------

    @property
    def averages(self) -> Any:
        """The averages of the parameters, in the structure of params.

        Those of `ema` are the arrays themselves, which later steps change; those of
        `ScheduleFreeAdamW`, which computes its own, are new arrays each time.

        Raises
        ------
        AttributeError
            If neither `ema` nor the rule keeps an average.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> w = np.zeros(1)
        >>> opt = lrcore.Optimizer(w, lrcore.SGD(lr=1.0), ema="polyak")
        >>> opt.step(np.ones(1)); opt.step(np.ones(1))
        >>> w, opt.averages
        (array([-2.]), array([-1.5]))
        """
        if self.ema is not None:
            return self._params.like(self._in_order("averages"))
        own = self._in_order("rule_averages")
        if own[0] is None:
            raise AttributeError("this Optimizer keeps no averages; give ema=0.999 or ema='polyak'")
        return self._params.like(own)

    def _in_order(self, what: str) -> list[Any]:
        """An attribute of the groups, `averages` or `rule_averages`, in the order of params."""
        found: list[Any] = [None] * len(self._params.arrays)
        for group in self._groups:
            for index, value in zip(group.indices, getattr(group, what)):
                found[index] = value
        return found

    def _new_groups(
        self, rule: Rule, overrides: Mapping[str, Mapping[str, Any]]
    ) -> list[ParamGroup]:
        averaged = self.ema is not None
        return grouped(self._params, rule, overrides, self.state_dtype, averaged)

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to continue exactly.

        Returns
        -------
        dict
            Flat, of plain values and copies of arrays: the rule, the overrides, the number of
            steps, and the state of each parameter, such as ``"params['w'].mean_square"``. The
            parameters are not among them.

        Raises
        ------
        TypeError
            If a rate is a function, which cannot be saved.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> w = np.ones(2)
        >>> opt = lrcore.Optimizer(w, lrcore.AdaGrad(lr=0.1))
        >>> opt.step(np.ones(2))
        >>> again = lrcore.Optimizer(w, lrcore.SGD())
        >>> again.load_state_dict(opt.state_dict())
        >>> again.t, again.state_dict()["params.sum_of_squares"]
        (1, array([1., 1.]))
        """
        saved: dict[str, Any] = {
            "t": self.t,
            "skipped": self.skipped,
            "state_dtype": self.state_dtype,
            "seed": self.seed,
            "rule": self.rule.to_dict(),
            "overrides": state.overrides_to_dict(self._progress.overrides),
        }
        for group in self._groups:
            for index, states in zip(group.indices, group.states):
                for label, values in zip(group.formula.state, states):
                    saved[f"{self._params.names[index]}.{label}"] = values.copy()
        if self.ema is not None:
            for name, average in zip(self._params.names, self._in_order("averages")):
                saved[f"{name}.average"] = average.reshape(-1).copy()
        if self._dog_state is not None:
            saved["travel"] = [self._dog_state.distance, self._dog_state.squares]
        return saved

    def load_state_dict(
        self, saved: Mapping[str, Any], *, hyperparameters: bool = True, cast: bool = False
    ) -> None:
        """Continue from a state; the next steps have the same bits as without the interruption.

        Parameters
        ----------
        saved : dict
            As `state_dict` returned it.
        hyperparameters : bool
            Whether the rule and the overrides are replaced by those of the saved state. With
            False this Optimizer keeps its own, such as a new rate, and takes only the state.
        cast : bool
            Whether a state of other dtypes is taken over, rounded to those at hand: of parameters
            that were float64 and are float32 now, or the other way round, or of another
            `state_dtype`.

        Raises
        ------
        ValueError, TypeError
            If the state does not fit these parameters; nothing has changed then.
        """
        self._progress = self._loaded(saved, hyperparameters, cast)

    def _loaded(self, saved: Mapping[str, Any], hyperparameters: bool, cast: bool) -> Progress:
        """Where the run goes on from a state."""
        if not isinstance(saved, Mapping):
            raise TypeError(f"state must be a dict as by state_dict, got {type(saved).__name__}")
        rule, overrides = self.rule, self._progress.overrides
        if hyperparameters:
            rule = rules.from_dict(saved["rule"]) if "rule" in saved else rule
            overrides = state.overrides_from_dict(saved.get("overrides", {}))
        groups = self._new_groups(rule, overrides)
        wanted: dict[str, np.ndarray] = {}
        for group in groups:
            for index, states in zip(group.indices, group.states):
                for label, row in zip(group.formula.state, states):
                    wanted[f"{self._params.names[index]}.{label}"] = row
            for index, average in zip(group.indices, group.averages):
                wanted[f"{self._params.names[index]}.average"] = average.reshape(-1)
        if cast:
            saved = state.cast_to(saved, wanted, self.state_dtype)
        chosen = [each for group in groups for each in group.rules]
        state.check_saved(saved, wanted, rule, chosen, self.state_dtype)
        dog_state = state.dog_state_of(saved["travel"]) if rule.uses_distance else None
        for key, row in wanted.items():
            row[:] = np.asarray(saved[key]).reshape(-1)
        t, skipped, seed = (int(saved[key]) for key in ("t", "skipped", "seed"))
        return Progress(rule, overrides, groups, seed, dog_state, t, skipped)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state and the parameters to a file, from which a run can be continued.

        The file holds arrays and JSON, and loading it runs no code. It is replaced in one piece or
        not at all.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        TypeError
            If a rate is a function, which cannot be saved.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import numpy as np, lrcore, os, tempfile
        >>> w = np.ones(3)
        >>> opt = lrcore.Optimizer(w, lrcore.Adam(lr=0.1))
        >>> opt.step(np.ones(3))
        >>> path = os.path.join(tempfile.mkdtemp(), "run.npz")
        >>> opt.save(path)
        >>> again = lrcore.Optimizer(np.zeros(3), lrcore.SGD())
        >>> again.load(path)
        >>> again
        <Optimizer: Adam(lr=0.1, beta1=0.9, beta2=0.999, eps=1e-08), 3 parameters, t=1>
        """
        state.write(path, self.state_dict(), self._params)

    def load(
        self, path: str | os.PathLike[str], *, hyperparameters: bool = True, cast: bool = False
    ) -> None:
        """Continue from a file that `save` wrote; the parameters are filled in place.

        Parameters
        ----------
        path : str or path
        hyperparameters, cast : bool
            As in `load_state_dict`.

        Raises
        ------
        ArchiveError, ValueError, TypeError, OSError
            If the file is damaged or does not fit, or cannot be read; nothing has changed then.
        """
        saved, values = state.read(path, self._params, self.nonfinite != "propagate", cast)
        loaded = self._loaded(saved, hyperparameters, cast)
        # Parameters and state in one call, so that an interruption leaves both or neither.
        changes = {name: getattr(loaded, name) for name in Progress.__slots__}
        _backend.active.replace_together(self._params.arrays, values, self._progress, changes)


def as_schedules(overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A copy of overrides, with functions of the step as schedules."""
    return {
        pattern: {
            key: schedules.as_schedule(value) if callable(value) else value
            for key, value in values.items()
        }
        for pattern, values in overrides.items()
    }


def _rebuilt(params: Any, rule: Rule, keywords: dict[str, Any]) -> Optimizer:
    """An Optimizer without its state; pickle and copy call this, and then ``__setstate__``. Arrays
    that are read-only, since they are mapped from a file, are copied."""
    return Optimizer(writeable(params), rule, **keywords)
