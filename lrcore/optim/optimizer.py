"""Optimizer: steps arrays in place by a rule."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrcore import rules, schedules
from lrcore._backend import threads
from lrcore._utils import archive, numerics
from lrcore._utils.archive import ArchiveError
from lrcore._utils.validation import check_seed
from lrcore.optim.options import (
    check_adjustments,
    check_ema,
    check_saved,
    check_travel,
    kept_share,
)
from lrcore.optim.param_group import ParamGroup, grouped, overridden
from lrcore.optim.parameters import Parameters
from lrcore.rules import Rule, Travel

#: Of the files that `Optimizer.save` writes.
FORMAT = 1

POLICIES = ("raise", "skip", "propagate")


class Optimizer:
    """Steps one array, a list, or nested dicts of arrays, in place.

    Parameters
    ----------
    params : array, list of arrays, or dict of arrays or of such dicts
        float32 or float64, C-contiguous, writeable, not overlapping; any shapes. NumPy arrays, or
        objects with ``__array_interface__`` or ``__dlpack__`` on the CPU, such as torch tensors.
        They are stepped where they are and never copied.
    rule : Rule
        Such as ``lrcore.Adam(lr=1e-3)``; its ``lr`` is a number or a schedule. To go on at another
        rate, ``opt.rule = opt.rule.with_lr(1e-4)``.
    overrides : dict of str to dict, optional
        Hyperparameters of the rule for some parameters, by name or pattern. A name is the path to
        the parameter, ``"encoder.0.bias"``; ``*`` and ``?`` match as in file names. Where several
        match, later ones go on top.
    n_threads : int, optional
        By default what the machine grants and the size is worth. The bits do not depend on it.
    nonfinite : {"raise", "skip", "propagate"}
        What to do with a gradient that has a NaN or an infinity: raise FloatingPointError, skip
        the step (`skipped` counts them), or step all the same. Decided before anything is written.
    ema : float in [0, 1), "polyak" or "polynomial", optional
        Keep an average of the parameters in the same pass: ``average = ema * average + (1 - ema) *
        w``, which starts at the parameters; or their plain mean over all steps (Polyak and
        Juditsky 1992); or one whose weights grow as the eighth power of the step (Shamir and Zhang
        2013): ``ema = t / (t + 9)`` at step ``t = 0, 1, ...``. See `averages`.
    state_dtype : {None, "bfloat16"}
        Keep the rule's state as the parameters are, or in half the bytes, which makes a step past
        the cache faster: for float32 parameters and AdaGrad, RMSProp (not centered), Adam and
        AdamW. Means of squares are rounded stochastically, the rest to the nearest.
    seed : int >= 0
        Of the draws of that rounding, which depend on it, the step and the element alone.

    Attributes
    ----------
    t : int
        Steps done.
    skipped : int
        Steps skipped because of a gradient that was not finite.

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
            raise TypeError(f"rule must be a rule such as lrcore.Adam(lr=1e-3), got {rule!r}")
        if nonfinite not in POLICIES:
            raise ValueError(f"nonfinite must be 'raise', 'skip' or 'propagate', got {nonfinite!r}")
        threads.check(n_threads)
        check_ema(ema)
        if ema is not None and rule.averages:
            raise ValueError(
                f"{type(rule).__name__} keeps an average by itself, which `averages` gives: leave "
                f"out ema={ema!r}"
            )
        check_seed("seed", seed)
        if state_dtype not in (None, "bfloat16"):
            raise ValueError(f"state_dtype must be None or 'bfloat16', got {state_dtype!r}")
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
        self._travel = self._set_out(rule)

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
        """The rule; another of the same formula takes over from the next step on, with the state.

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
            raise TypeError(f"rule must be a rule such as lrcore.Adam(lr=1e-3), got {rule!r}")
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
        """The learning rate of the last step, NaN before the first; that of the rule, without
        overrides, with what a rule such as `DoG` makes of it.

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
        return rate if self._travel is None else self._rule.pace(self._travel) * rate

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
        """Step every parameter by its gradient.

        Gradients are scaled, then clipped by norm, then by value, before the rule and its weight
        decay see them; nothing of that is written anywhere.

        Parameters
        ----------
        grads : like params
            The same structure and shapes, C-contiguous, of the parameters' dtype or float16, which
            is widened on the way; may be read-only, may not overlap the parameters. For some rows
            of a parameter alone, such as of an embedding table, a tuple ``(indices, values)``: row
            numbers, in any order, and an array with a row for each; those of a row that comes up
            again are summed. The step is then one of these rows, lazily: all others keep their
            values and their state, decay included (as in LazyAdam). For SGD without momentum,
            AdaGrad and FTRL at a constant rate, without decay, that is the step by a gradient that
            is 0 in all other rows.
        grad_scale : float
            Factor of the gradients, such as ``1 / n`` for a sum over n rows.
        clip_value : float > 0, optional
            No element of a gradient counts for more than this, either way.
        clip_norm : float > 0, optional
            If the 2-norm of all gradients together is above, they are scaled down to it.
        n_threads : int, optional
            For this step alone.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; nothing has changed then.
        FloatingPointError
            If a gradient is not finite and ``nonfinite="raise"``; nothing has changed then.
        """
        if n_threads is None:
            n_threads = self.n_threads
        else:
            threads.check(n_threads)
        leaves = self._params.leaves(grads)
        plain = grad_scale == 1.0 and clip_value is None and clip_norm is None
        if plain and len(self._groups) == 1 and self._travel is None:
            check, kept = self.nonfinite != "propagate", kept_share(self.ema, self.t)
            if self._groups[0].advance(leaves, self.t, kept, self.seed, check, n_threads):
                self.t += 1
                return
        scale, limit = check_adjustments(grad_scale, clip_value, clip_norm)
        try:
            self._hold(leaves)
            self._step_held(scale, limit, clip_norm, n_threads)
        finally:
            for group in self._groups:
                group.release()

    def _set_out(self, rule: Rule) -> Travel | None:
        """The travel before the first step, for rules that go by it."""
        if not rule.travels:
            return None
        norm = math.sqrt(numerics.square_sum(self._params.arrays))
        if not math.isfinite(norm):
            raise ValueError(f"params have a norm of {norm}, and {rule!r} goes by their distance")
        return rule.set_out(norm)

    def _hold(self, leaves: list[Any]) -> None:
        """Hand every group its gradients, checked."""
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

    def _step_held(
        self, scale: float, limit: float, clip_norm: float | None, n_threads: int | None
    ) -> None:
        """The step by the gradients that the groups hold, unless they are not finite."""
        if self.nonfinite != "propagate" and not all(
            group.all_finite(n_threads) for group in self._groups
        ):
            self._refuse_nonfinite()
            return
        if clip_norm is not None:
            norm = abs(scale) * math.sqrt(sum(g.square_sum(n_threads) for g in self._groups))
            if not math.isfinite(norm):
                raise FloatingPointError(
                    f"the norm of the gradients at step {self.t} is {norm}, so that clip_norm has "
                    "nothing to go by; nothing was changed"
                )
            scale = scale * (clip_norm / norm) if norm > clip_norm else scale
        travel, kept = self._travelled(scale, limit, n_threads), kept_share(self.ema, self.t)
        for group in self._groups:
            group.step(self.t, scale, limit, kept, self.seed, n_threads, travel)
        self._travel = travel
        self.t += 1

    def _travelled(self, scale: float, limit: float, n_threads: int | None) -> Travel | None:
        """The travel up to here, with the gradients that the groups hold."""
        if self._travel is None:
            return None
        squares = sum(g.adjusted_square_sum(scale, limit, n_threads) for g in self._groups)
        distance = math.sqrt(sum(g.change_sum(n_threads) for g in self._groups))
        if not math.isfinite(squares + distance):
            raise FloatingPointError(
                f"at step {self.t} the gradients have a squared norm of {squares} and the "
                f"parameters are {distance} from their start, so that {type(self.rule).__name__} "
                "has no rate; nothing was changed"
            )
        return self._travel.on(distance, squares)

    def _refuse_nonfinite(self) -> None:
        """Skip the step, or raise by the name of the first NaN or infinity, by the policy."""
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
        """The averages that `ema` keeps, in the structure of params; they go on changing.

        Those of `ScheduleFreeAdamW`, which keeps its own, are new arrays each time.
        """
        if self.ema is not None:
            return self._params.like(self._in_order("averages"))
        own = self._in_order("rule_averages")
        if own[0] is None:
            raise AttributeError("this Optimizer keeps no averages; give ema=0.999 or ema='polyak'")
        return self._params.like(own)

    def _in_order(self, what: str) -> list[Any]:
        """`states`, `averages` or `rule_averages` of all parameters in their order."""
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
        """Everything needed to resume exactly: a flat dict of arrays and plain values (copies)."""
        saved: dict[str, Any] = {
            "t": self.t,
            "skipped": self.skipped,
            "state_dtype": self.state_dtype,
            "seed": self.seed,
            "rule": self.rule.to_dict(),
            "overrides": {
                pattern: {
                    key: value.to_dict() if hasattr(value, "to_dict") else value
                    for key, value in values.items()
                }
                for pattern, values in self.overrides.items()
            },
        }
        for group in self._groups:
            for index, state in zip(group.indices, group.states):
                for label, values in zip(group.formula.state, state):
                    saved[f"{self._params.names[index]}.{label}"] = values.copy()
        if self.ema is not None:
            for name, average in zip(self._params.names, self._in_order("averages")):
                saved[f"{name}.average"] = average.reshape(-1).copy()
        if self._travel is not None:
            saved["travel"] = [self._travel.distance, self._travel.squares]
        return saved

    def load_state_dict(self, saved: Mapping[str, Any], *, hyperparameters: bool = True) -> None:
        """Continue from what `state_dict` gave, to the bit.

        Parameters
        ----------
        saved : dict
        hyperparameters : bool
            Take the rule and the overrides from it as well; else those at hand stay, such as a new
            rate, and only the state is taken.

        Raises
        ------
        ValueError, TypeError
            If it does not fit these parameters; nothing has changed then.
        """
        rule, overrides = self.rule, self.overrides
        if hyperparameters:
            rule = rules.from_dict(saved["rule"]) if "rule" in saved else rule
            overrides = {
                pattern: {
                    key: schedules.from_dict(value) if isinstance(value, dict) else value
                    for key, value in values.items()
                }
                for pattern, values in saved.get("overrides", {}).items()
            }
        groups = self._new_groups(rule, overrides)
        wanted: dict[str, np.ndarray] = {}
        for group in groups:
            for index, state in zip(group.indices, group.states):
                for label, row in zip(group.formula.state, state):
                    wanted[f"{self._params.names[index]}.{label}"] = row
            for index, average in zip(group.indices, group.averages):
                wanted[f"{self._params.names[index]}.average"] = average.reshape(-1)
        check_saved(saved, wanted, rule, self.state_dtype)
        travel = check_travel(saved["travel"]) if rule.travels else None
        for key, row in wanted.items():
            row[:] = np.asarray(saved[key]).reshape(-1)
        self._groups, self._travel = groups, travel
        self._rule, self.overrides = rule, overrides
        self.t, self.skipped, self.seed = (int(saved[key]) for key in ("t", "skipped", "seed"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state, and the parameters with it, to a file of arrays and JSON.

        The file is replaced in one piece or not at all; loading it runs no code. Parameters are
        written so that a run can be resumed from this file alone.

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
        saved = self.state_dict()
        arrays = {key: value for key, value in saved.items() if isinstance(value, np.ndarray)}
        plain = {key: value for key, value in saved.items() if key not in arrays}
        for name, w in zip(self._params.names, self._params.arrays):
            arrays[name] = w
        # Names of members are numbers: what leads to a parameter may be no name for a file.
        numbered = {f"array_{i}": array for i, array in enumerate(arrays.values())}
        header = {"format": FORMAT, "optimizer": plain, "arrays": list(arrays)}
        archive.write(path, header, numbered)

    def load(self, path: str | os.PathLike[str], *, hyperparameters: bool = True) -> None:
        """Continue from what `save` wrote, to the bit; parameters are filled in place.

        Parameters
        ----------
        path : str or path
        hyperparameters : bool
            As in `load_state_dict`.

        Raises
        ------
        ArchiveError, ValueError, TypeError, OSError
            If the file is damaged or does not fit; nothing has changed then.
        """
        header, numbered = archive.read(path, "an optimizer", FORMAT)
        try:
            arrays = {name: numbered[f"array_{i}"] for i, name in enumerate(header["arrays"])}
            saved = {**header["optimizer"], **arrays}
            values = [saved.pop(name) for name in self._params.names]
        except (KeyError, TypeError, AttributeError) as error:
            raise ArchiveError(f"{path}: not of these parameters ({error!r})") from None
        for name, w, value in zip(self._params.names, self._params.arrays, values):
            if value.dtype != w.dtype or value.shape != w.shape:
                raise ValueError(
                    f"{path}: {name} is {value.dtype} of shape {value.shape} there, and "
                    f"{w.dtype} of shape {w.shape} here"
                )
        self.load_state_dict(saved, hyperparameters=hyperparameters)
        for w, value in zip(self._params.arrays, values):
            w[...] = value


def _rebuilt(params: Any, rule: Rule, keywords: dict[str, Any]) -> Optimizer:
    """What pickle and copy call; the state follows."""
    return Optimizer(params, rule, **keywords)
