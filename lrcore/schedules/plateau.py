"""Plateau: the rate is cut when a metric gets no better."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lrcore._utils.numerics import Floats
from lrcore._utils.validation import check_fraction, check_is_number, check_share
from lrcore.schedules.base import Scale, Schedule
from lrcore.schedules.fields import as_count, as_rate, check_steps

#: What it is told besides the schedule.
OPTIONS = ("factor", "patience", "mode", "rtol", "atol", "cooldown", "floor")

#: What `state_dict` gives.
STATE = ("scale", "best", "bad", "waiting", "checks")


class Plateau:
    r"""Multiplies a schedule by a number that falls when a metric gets no better.

    The one schedule with a state, which `update` alone changes. A metric is better than the best
    one so far if it is by more than ``atol + rtol * abs(best)``, whatever their signs; NaN and
    infinity never are.

    As the ``lr`` of a rule it is for ``fit`` of the linear models, which feeds a copy of it after
    each epoch: with the held-out loss where rows are held out, else with the objective over all
    rows. The copy, with its state, is ``plateau_`` of the fitted model. ``rule.minimize`` feeds a
    copy with the function after each step. An `Optimizer` has no metric; hand it on what `update`
    has changed::

        if plateau.update(loss):
            opt.rule = opt.rule.with_lr(plateau.current)

    Parameters
    ----------
    schedule : Schedule
    factor : float in [0, 1)
        What the rate is multiplied by each time.
    patience : int >= 1
        Bad checks in a row; at the last of them the rate is cut.
    mode : {"min", "max"}
        Whether lower or higher is better.
    rtol, atol : float >= 0
        How much better counts, relative to the best so far and absolutely.
    cooldown : int >= 0
        Checks after a cut that do not count as bad.
    floor : float in [0, 1]
        What the multiplier never falls below.

    Attributes
    ----------
    scale : float
        The multiplier now.
    best : float
        The best metric so far.
    current : Schedule
        The schedule times the multiplier, as it is now: a pure function of the step, which is what
        a rule takes as its ``lr``.

    Notes
    -----
    .. math:: \eta_t = c\, s(t), \qquad c \leftarrow \max(c f, c_0) \text{ at each cut}

    with `s` the schedule, `f` the factor, :math:`c_0` the floor, and :math:`c = 1` at first.

    torch's ReduceLROnPlateau cuts at the bad check after the patience-th, and its relative
    threshold ``best * (1 - threshold)`` takes a worse metric for a better one where metrics are
    negative.

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
            raise TypeError(f"schedule must be a schedule such as Constant(0.1), got {schedule!r}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
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
        """Lengths of the schedule in epochs or in fractions of the run."""
        return self.schedule.unresolved

    def resolve(
        self, *, steps_per_epoch: int | None = None, total_steps: int | None = None
    ) -> Plateau:
        """A copy, with its state, of a schedule in steps; see `Schedule.resolve`."""
        resolved = copy.copy(self)
        resolved.schedule = self.schedule.resolve(
            steps_per_epoch=steps_per_epoch, total_steps=total_steps
        )
        return resolved

    def to_dict(self) -> dict[str, Any]:
        """Plain values of all, the state too, which `lrcore.schedules.from_dict` reads back."""
        options = {name: getattr(self, name) for name in OPTIONS}
        inner = self.schedule.to_dict()
        return {"schedule": "Plateau", "of": inner, **options, "state": self.state_dict()}

    def reset(self) -> None:
        """Forget all checks."""
        self.scale = 1.0
        self.best = math.inf if self.mode == "min" else -math.inf
        self.bad = 0
        self.waiting = 0
        self.checks = 0

    @property
    def current(self) -> Scale:
        """The schedule times the multiplier, as it is now."""
        return Scale(self.schedule, self.scale)

    def __call__(self, t: ArrayLike) -> float | Floats:
        """Rate at step t by the multiplier as it is now."""
        return self.current(t)

    def update(self, metric: float) -> bool:
        """Take in the metric of a check; returns whether the rate was cut.

        Parameters
        ----------
        metric : float
            Such as a held-out loss. NaN counts as bad.
        """
        check_is_number("metric", metric)
        metric = float(metric)
        self.checks += 1
        if self._better(metric):
            self.best, self.bad = metric, 0
        elif not self.waiting:
            self.bad += 1
        if self.waiting:
            self.waiting -= 1
        if self.bad < self.patience:
            return False
        before, self.scale = self.scale, min(self.scale, max(self.scale * self.factor, self.floor))
        self.bad, self.waiting = 0, self.cooldown
        return self.scale < before

    def _better(self, metric: float) -> bool:
        if not math.isfinite(metric):
            return False
        if math.isinf(self.best):
            return True
        gain = self.best - metric if self.mode == "min" else metric - self.best
        return gain > self.atol + self.rtol * abs(self.best)

    def state_dict(self) -> dict[str, Any]:
        """What `update` has changed, as plain values; without the schedule and the options."""
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises
        ------
        ValueError, TypeError
            If it is no such state; nothing has changed then.
        """
        if not isinstance(saved, dict) or set(saved) != set(STATE):
            raise ValueError(f"state must be a dict of {', '.join(STATE)}, got {saved!r}")
        scale = as_rate("state['scale']", saved["scale"])
        if not self.floor <= scale <= 1:
            raise ValueError(f"state['scale'] must be from floor = {self.floor} to 1, got {scale}")
        best = saved["best"]
        if isinstance(best, bool) or not isinstance(best, (int, float, np.number)) or best != best:
            raise ValueError(f"state['best'] must be a number, got {best!r}")
        for name in ("bad", "waiting", "checks"):
            check_steps(f"state[{name!r}]", saved[name], least=0)
        self.scale, self.best = scale, float(best)
        self.bad, self.waiting = int(saved["bad"]), int(saved["waiting"])
        self.checks = int(saved["checks"])
