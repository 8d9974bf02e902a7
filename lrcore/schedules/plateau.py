"""Plateau: a schedule whose rate is cut when a metric no longer improves."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lrcore._utils.numerics import Floats
from lrcore._utils.validation import (
    check_fraction,
    check_is_number,
    check_share,
    is_finite,
    shown,
)
from lrcore.schedules.base import Scale, Schedule
from lrcore.schedules.fields import as_count, as_rate, check_steps

#: The options of a Plateau, in the order of its repr.
OPTIONS = ("factor", "patience", "mode", "rtol", "atol", "cooldown", "floor")

#: The attributes that `update` changes.
STATE = ("scale", "best", "bad", "waiting", "checks")


class Plateau:
    r"""Multiplies a schedule by a factor that decreases when a metric no longer improves.

    It is the only schedule with a state, which only `update` changes. A metric is an improvement if
    it is better than the best one by more than ``atol + rtol * abs(best)``, whatever their signs;
    NaN and infinity never are.

    As the ``lr`` of a rule it is for ``fit`` of the linear models, which updates a copy of it after
    each epoch: with the held-out loss if rows are held out, else with the objective over all rows.
    The copy, with its state, is ``plateau_`` of the fitted model. ``rule.minimize`` updates a copy
    with the value of the function after each step. An `Optimizer` has no metric, so give it the new
    rate after each cut::

        if plateau.update(loss):
            opt.rule = opt.rule.with_lr(plateau.current)

    Parameters
    ----------
    schedule : Schedule
        The rates before any cut.
    factor : float in [0, 1)
        Factor of the rate at each cut.
    patience : int >= 1
        Number of checks in a row without an improvement after which the rate is cut.
    mode : {"min", "max"}
        Whether lower or higher metrics are better.
    rtol, atol : float >= 0
        The least improvement that counts, relative to the best metric and absolute.
    cooldown : int >= 0
        Number of checks after a cut that are not counted.
    floor : float in [0, 1]
        Lower bound of the multiplier.

    Attributes
    ----------
    scale : float
        The current multiplier.
    best : float
        The best metric of all checks.
    bad : int
        Number of checks in a row without an improvement.
    waiting : int
        Number of checks to come that are not counted.
    checks : int
        Number of all checks.
    current : Schedule
        The schedule times the current multiplier: a function of the step alone, which a rule takes
        as its ``lr``.

    Notes
    -----
    .. math:: \eta_t = c\, s(t), \qquad c \leftarrow \max(c f, c_0) \text{ at each cut}

    with `s` the schedule, `f` the factor, :math:`c_0` the floor, and :math:`c = 1` at first.

    torch's ReduceLROnPlateau cuts one check later, and with its relative threshold,
    ``best * (1 - threshold)``, a worse metric counts as an improvement where metrics are negative.

    Examples
    --------
    >>> from lrcore.schedules import Constant
    >>> plateau = Plateau(Constant(0.1), factor=0.5, patience=2)
    >>> [plateau.update(loss) for loss in (1.0, 0.8, 0.8, 0.9)]
    [False, False, False, True]
    >>> plateau(4)
    0.05
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "min",
        rtol: float = 1e-4,
        atol: float = 0.0,
        cooldown: int = 0,
        floor: float = 0.0,
    ) -> None:
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"schedule must be a schedule such as Constant(0.1), got {shown(schedule)}"
            )
        if not isinstance(mode, str) or mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {shown(mode)}")
        check_fraction("factor", factor)
        check_share("floor", floor)
        check_steps("cooldown", cooldown, least=0)
        self.schedule = schedule
        self.factor = as_rate("factor", factor)
        self.patience = as_count("patience", patience)
        self.mode = mode
        self.rtol, self.atol = as_rate("rtol", rtol), as_rate("atol", atol)
        self.cooldown = int(cooldown)
        self.floor = as_rate("floor", floor)
        self.reset()

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in OPTIONS)
        return f"Plateau({self.schedule!r}, {options})"

    @property
    def unresolved(self) -> tuple[str, ...]:
        """Lengths of the schedule in epochs or in parts of the run."""
        return self.schedule.unresolved

    def resolve(
        self, *, steps_per_epoch: int | None = None, total_steps: int | None = None
    ) -> Plateau:
        """A copy, with the same state, whose schedule is in steps; see `Schedule.resolve`."""
        resolved = copy.copy(self)
        resolved.schedule = self.schedule.resolve(
            steps_per_epoch=steps_per_epoch, total_steps=total_steps
        )
        return resolved

    def to_dict(self) -> dict[str, Any]:
        """Schedule, options and state as plain values, which `lrcore.schedules.from_dict` reads."""
        options = {name: getattr(self, name) for name in OPTIONS}
        inner = self.schedule.to_dict()
        return {"schedule": "Plateau", "of": inner, **options, "state": self.state_dict()}

    @property
    def _worst(self) -> float:
        """What any metric is better than."""
        return math.inf if self.mode == "min" else -math.inf

    def reset(self) -> None:
        """Set the state to that before the first check."""
        self.scale = 1.0
        self.best = self._worst
        self.bad = 0
        self.waiting = 0
        self.checks = 0

    @property
    def current(self) -> Scale:
        """The schedule times the current multiplier."""
        return Scale(self.schedule, self.scale)

    def __call__(self, t: ArrayLike) -> float | Floats:
        """The rate at step t with the current multiplier; see `Schedule`."""
        return self.current(t)

    def update(self, metric: float) -> bool:
        """Update the state by the metric of a check.

        Parameters
        ----------
        metric : float
            Such as a held-out loss. NaN and infinity are no improvement.

        Returns
        -------
        bool
            Whether the rate was cut.

        Raises
        ------
        TypeError
            If the metric is not a number.
        """
        check_is_number("metric", metric)
        metric = float(metric)
        state = {name: getattr(self, name) for name in STATE}
        state["checks"] += 1
        if self._improves(metric):
            state |= {"best": metric, "bad": 0}
        elif not self.waiting:
            state["bad"] += 1
        state["waiting"] = max(0, self.waiting - 1)
        before = self.scale
        if state["bad"] >= self.patience:
            scale = min(before, max(before * self.factor, self.floor))
            state |= {"scale": scale, "bad": 0, "waiting": self.cooldown}
        # In one call, so that an interruption leaves all of it as it was or as it is to be.
        self.__dict__.update(state)
        return self.scale < before

    def _improves(self, metric: float) -> bool:
        """Whether the metric is an improvement."""
        if not math.isfinite(metric):
            return False
        if math.isinf(self.best):
            return True
        gain = self.best - metric if self.mode == "min" else metric - self.best
        return gain > self.atol + self.rtol * abs(self.best)

    def state_dict(self) -> dict[str, Any]:
        """The state as plain values that any JSON has, without the schedule and the options; the
        best metric is None before the first one."""
        state = {name: getattr(self, name) for name in STATE}
        return {**state, "best": self.best if math.isfinite(self.best) else None}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or does not fit; nothing has changed then.
        """
        if not isinstance(saved, dict) or set(saved) != set(STATE):
            raise ValueError(f"state must be a dict of {', '.join(STATE)}, got {saved!r}")
        scale = as_rate("state['scale']", saved["scale"])
        if not self.floor <= scale <= 1:
            raise ValueError(f"state['scale'] must be from floor = {self.floor} to 1, got {scale}")
        # None before the first metric; files of before have infinity.
        best = self._worst if saved["best"] is None else saved["best"]
        is_number = isinstance(best, (int, float, np.number)) and not isinstance(best, bool)
        if not is_number or not (is_finite(best) or best in (math.inf, -math.inf)):
            raise ValueError(f"state['best'] must be a number, got {best!r}")
        for name in ("bad", "waiting", "checks"):
            check_steps(f"state[{name!r}]", saved[name], least=0)
        counts = {name: int(saved[name]) for name in ("bad", "waiting", "checks")}
        self.__dict__.update(scale=scale, best=float(best), **counts)
