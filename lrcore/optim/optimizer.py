"""Optimizer: updates arrays in place by the steps of a rule."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrcore import rules, schedules
from lrcore._backend import threads
from lrcore._utils import numerics
from lrcore._utils.validation import check_seed, shown
from lrcore.optim import state
from lrcore.optim.options import check_adjustments, check_ema, ema_at
from lrcore.optim.param_group import ParamGroup, check_overrides, grouped, overridden
from lrcore.optim.parameters import Parameters
from lrcore.rules import DoGState, Rule

#: What can be done with a gradient that is not finite.
NONFINITE = ("raise", "skip", "propagate")


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
    state_dtype : {None, "bfloat16"}
        None keeps the rule's state in the dtype of the parameters. "bfloat16" takes half of the
        memory, which makes a step faster when the state does not fit in the cache; for float32
        parameters and AdaGrad, RMSProp (not centered), Adam and AdamW. Means of squares are
        rounded stochastically, the rest to the nearest number.
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
        if not isinstance(nonfinite, str) or nonfinite not in NONFINITE:
            raise ValueError(
                f"nonfinite must be 'raise', 'skip' or 'propagate', got {shown(nonfinite)}"
            )
        threads.check(n_threads)
        check_ema(ema)
        if ema is not None and rule.averages:
            raise ValueError(
                f"{type(rule).__name__} keeps an average by itself, which `averages` gives: leave "
                f"out ema={ema!r}"
            )
        check_seed("seed", seed)
        if state_dtype is not None and not (
            isinstance(state_dtype, str) and state_dtype == "bfloat16"
        ):
            raise ValueError(f"state_dtype must be None or 'bfloat16', got {shown(state_dtype)}")
        check_overrides(overrides)
        self._params = Parameters(params)
        self._rule = rule
        self.overrides = {
            pattern: {
                key: schedules.as_schedule(value) if callable(value) else value
                for key, value in values.items()
            }
            for pattern, values in (overrides or {}).items()
        }
        self.n_threads = n_threads
        self.nonfinite = nonfinite
        self.ema = ema
        self.state_dtype = state_dtype
        self.seed = seed
        self.t = 0
        self.skipped = 0
        self._groups = self._new_groups(rule, self.overrides)
        self._dog_state = self._initial_dog_state(rule)

    def __repr__(self) -> str:
        size = sum(array.size for array in self._params.arrays)
        return f"<Optimizer: {self.rule!r}, {size:,} parameters, t={self.t}>"

    def __reduce__(self) -> tuple[Any, ...]:
        keywords = {
            name: getattr(self, name)
            for name in ("overrides", "n_threads", "nonfinite", "ema", "state_dtype", "seed")
        }
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
        return self._rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a rule such as lrcore.Adam(lr=1e-3), got {shown(rule)}")
        chosen = overridden(self._params, rule, self.overrides)
        for group in self._groups:
            for name, each in ((self._params.names[i], chosen[i]) for i in group.indices):
                if each.formula is not group.formula:
                    at_hand = group.formula.__name__.removesuffix("Formula")
                    raise ValueError(
                        f"rule must have the formula of the one at hand, {at_hand} for {name}, "
                        f"whose state goes on; got {each!r}: make a new Optimizer"
                    )
        for group in self._groups:
            group.use([chosen[i] for i in group.indices])
        self._rule = rule

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
        rate = float(self._rule.rates(np.array([self.t - 1], dtype=np.int64))[0])
        return rate if self._dog_state is None else self._rule.dog_lr_factor(self._dog_state) * rate

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
            n_threads = self.n_threads
        else:
            threads.check(n_threads)
        leaves = self._params.leaves(grads)
        plain = grad_scale == 1.0 and clip_value is None and clip_norm is None
        if plain and len(self._groups) == 1 and self._dog_state is None:
            # The usual step takes one call, which also checks that the gradients are finite.
            check, ema = self.nonfinite != "propagate", ema_at(self.ema, self.t)
            if self._groups[0].advance(leaves, self.t, ema, self.seed, check, n_threads):
                self.t += 1
                return
        scale, limit = check_adjustments(grad_scale, clip_value, clip_norm)
        try:
            self._set_gradients(leaves)
            self._update(scale, limit, clip_norm, n_threads)
        finally:
            for group in self._groups:
                group.release()

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
        if self.nonfinite != "propagate" and not all(
            group.all_finite(n_threads) for group in self._groups
        ):
            self._refuse_nonfinite()
            return
        if clip_norm is not None:
            norm = abs(scale) * math.sqrt(sum(g.square_sum(n_threads) for g in self._groups))
            if not math.isfinite(norm):
                raise FloatingPointError(
                    f"the norm of the gradients at step {self.t} is {norm}, so that they cannot "
                    "be scaled down to clip_norm; nothing was changed"
                )
            scale = scale * (clip_norm / norm) if norm > clip_norm else scale
        dog_state, ema = self._next_dog_state(scale, limit, n_threads), ema_at(self.ema, self.t)
        for group in self._groups:
            group.step(self.t, scale, limit, ema, self.seed, n_threads, dog_state)
        self._dog_state = dog_state
        self.t += 1

    def _next_dog_state(self, scale: float, limit: float, n_threads: int | None) -> DoGState | None:
        """The `DoGState` that the gradients of this step lead to."""
        if self._dog_state is None:
            return None
        squares = sum(g.adjusted_square_sum(scale, limit, n_threads) for g in self._groups)
        distance = math.sqrt(sum(g.change_sum(n_threads) for g in self._groups))
        if not math.isfinite(squares + distance):
            raise FloatingPointError(
                f"at step {self.t} the gradients have a squared norm of {squares} and the "
                f"parameters are {distance} from their start, so that {type(self.rule).__name__} "
                "has no rate; nothing was changed"
            )
        return self._dog_state.after(distance, squares)

    def _refuse_nonfinite(self) -> None:
        """Count a skipped step, or raise an error that names the first NaN or infinity."""
        if self.nonfinite == "skip":
            self.skipped += 1
            return
        for group in self._groups:
            for index, g in zip(group.indices, group.grads):
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
        return grouped(self._params, rule, overrides, self.state_dtype is not None, averaged)

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
            "overrides": state.overrides_to_dict(self.overrides),
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

    def load_state_dict(self, saved: Mapping[str, Any], *, hyperparameters: bool = True) -> None:
        """Continue from a state; the next steps have the same bits as without the interruption.

        Parameters
        ----------
        saved : dict
            As `state_dict` returned it.
        hyperparameters : bool
            Whether the rule and the overrides are replaced by those of the saved state. With
            False this Optimizer keeps its own, such as a new rate, and takes only the state.

        Raises
        ------
        ValueError, TypeError
            If the state does not fit these parameters; nothing has changed then.
        """
        rule, overrides = self.rule, self.overrides
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
        state.check_saved(saved, wanted, rule, self.state_dtype)
        dog_state = state.dog_state_of(saved["travel"]) if rule.uses_distance else None
        for key, row in wanted.items():
            row[:] = np.asarray(saved[key]).reshape(-1)
        self._groups, self._dog_state = groups, dog_state
        self._rule, self.overrides = rule, overrides
        self.t, self.skipped, self.seed = (int(saved[key]) for key in ("t", "skipped", "seed"))

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

    def load(self, path: str | os.PathLike[str], *, hyperparameters: bool = True) -> None:
        """Continue from a file that `save` wrote; the parameters are filled in place.

        Parameters
        ----------
        path : str or path
        hyperparameters : bool
            As in `load_state_dict`.

        Raises
        ------
        ArchiveError, ValueError, TypeError, OSError
            If the file is damaged or does not fit, or cannot be read; nothing has changed then.
        """
        saved, values = state.read(path, self._params)
        self.load_state_dict(saved, hyperparameters=hyperparameters)
        for w, value in zip(self._params.arrays, values):
            w[...] = value


def _rebuilt(params: Any, rule: Rule, keywords: dict[str, Any]) -> Optimizer:
    """An Optimizer without its state; pickle and copy call this, and then ``__setstate__``."""
    return Optimizer(params, rule, **keywords)
