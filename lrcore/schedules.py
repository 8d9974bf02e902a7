"""Learning rates as pure functions of the step.

A schedule ``s`` maps steps to rates: ``s(t)`` takes an int or an array of ints and gives float64 of
the same shape. ``t = 0`` is the first update, the end value is held from ``t = steps`` on, and what
switches at a boundary ``b`` does so at ``t >= b``. Schedules are frozen dataclasses: hashable,
comparable, picklable, with a ``repr`` that evaluates.

>>> from lrcore.schedules import Cosine
>>> s = Cosine(0.1, steps=100).warmup(10)
>>> s(0), s(10), s(110)
(0.00909..., 0.1, 0.0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from lrcore import numerics
from lrcore.numerics import Floats


def check_rate(name: str, value: float) -> None:
    """Raise ValueError unless value is a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be finite and >= 0, got {value!r}")


def check_steps(name: str, value: int, least: int = 1) -> None:
    """Raise unless value is an integer >= least."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer number of steps, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be >= {least}, got {value!r}")


@dataclass(frozen=True)
class Schedule:
    """What all schedules share: checks, composition, conversion to plain values."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("lr", "end", "gamma"):
                check_rate(field.name, value)
            elif field.name in ("steps", "every", "at"):
                check_steps(field.name, value)

    def rates(self, t: np.ndarray) -> Floats:
        """Rates of the steps t, an int64 array of any shape without negative entries."""
        raise TypeError(f"{type(self).__name__} defines no rates")

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> Floats: ...
    def __call__(self, t: ArrayLike) -> float | Floats:
        """Rate at step t: a float for an int, a float64 array for an array."""
        steps = np.asarray(t)
        if steps.dtype.kind not in "iu":
            raise TypeError(f"t must be an integer or an array of integers, got {t!r}")
        if steps.size and steps.min() < 0:
            raise ValueError(f"t must be >= 0, got {steps.min()}")
        rates = self.rates(steps.astype(np.int64))
        return float(rates) if steps.ndim == 0 else rates

    def warmup(self, steps: int) -> Warmup:
        """Rise linearly to this schedule's first rate in `steps` steps, then follow it."""
        return Warmup(self, steps)

    def then(self, after: Schedule, at: int) -> Then:
        """Follow this schedule before step `at`, then `after`, which starts at its own step 0."""
        return Then(self, after, at)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back."""
        plain: dict[str, Any] = {"schedule": type(self).__name__}
        for field in fields(self):
            value = getattr(self, field.name)
            plain[field.name] = value.to_dict() if isinstance(value, Schedule) else value
        return plain


@dataclass(frozen=True)
class Constant(Schedule):
    """``lr`` at every step.

    >>> Constant(0.1)(7)
    0.1
    """

    lr: float

    def rates(self, t: np.ndarray) -> Floats:
        return np.full(t.shape, self.lr, np.float64)


@dataclass(frozen=True)
class Step(Schedule):
    """``lr * gamma ** (t // every)``.

    >>> Step(1.0, every=10, gamma=0.5)([9, 10, 20])
    array([1.  , 0.5 , 0.25])
    """

    lr: float
    every: int
    gamma: float = 0.1

    def rates(self, t: np.ndarray) -> Floats:
        return self.lr * numerics.power(self.gamma, t // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    """``lr * gamma ** t``.

    >>> Exponential(1.0, gamma=0.5)([0, 1, 2])
    array([1.  , 0.5 , 0.25])
    """

    lr: float
    gamma: float

    def rates(self, t: np.ndarray) -> Floats:
        return self.lr * numerics.power(self.gamma, t)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """From ``lr`` to ``end`` as ``(1 - t / steps) ** power``; ``end`` from ``t = steps`` on.

    With ``power=1`` and ``end=0`` it is the linear decay that is worst-case optimal for the last
    iterate (Defazio et al. 2023, https://arxiv.org/abs/2310.07831).

    >>> Polynomial(1.0, steps=4)([0, 1, 4, 9])
    array([1.  , 0.75, 0.  , 0.  ])
    """

    lr: float
    steps: int
    power: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate("power", self.power)
        if self.power == 0:
            raise ValueError("power must be > 0, got 0; use Constant for a rate that stays")

    def rates(self, t: np.ndarray) -> Floats:
        left = 1.0 - np.minimum(t, self.steps) / self.steps
        return self.end + (self.lr - self.end) * numerics.real_power(left, self.power)


@dataclass(frozen=True)
class Cosine(Schedule):
    """From ``lr`` to ``end`` along half a cosine (Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983); ``end`` from ``t = steps`` on.

    >>> Cosine(1.0, steps=4)([0, 2, 4])
    array([1. , 0.5, 0. ])
    """

    lr: float
    steps: int
    end: float = 0.0

    def rates(self, t: np.ndarray) -> Floats:
        wave = numerics.cospi(np.minimum(t, self.steps) / self.steps)
        return self.end + (self.lr - self.end) * (0.5 * (1.0 + wave))


@dataclass(frozen=True)
class Warmup(Schedule):
    """``after(0) * (t + 1) / (steps + 1)`` for ``t < steps``, then ``after(t - steps)``.

    The first update already has a rate above zero, and ``t = steps`` has the full one.

    >>> Warmup(Constant(1.0), steps=3)([0, 1, 2, 3])
    array([0.25, 0.5 , 0.75, 1.  ])
    """

    after: Schedule
    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_schedule("after", self.after)

    def rates(self, t: np.ndarray) -> Floats:
        rising = self.after(0) * ((t + 1) / (self.steps + 1))
        return np.where(t < self.steps, rising, self.after.rates(np.maximum(t - self.steps, 0)))


@dataclass(frozen=True)
class Then(Schedule):
    """``before(t)`` for ``t < at``, then ``after(t - at)``.

    >>> Constant(1.0).then(Constant(0.5), at=2)([1, 2])
    array([1. , 0.5])
    """

    before: Schedule
    after: Schedule
    at: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_schedule("before", self.before)
        check_schedule("after", self.after)

    def rates(self, t: np.ndarray) -> Floats:
        later = self.after.rates(np.maximum(t - self.at, 0))
        return np.where(t < self.at, self.before.rates(np.minimum(t, self.at)), later)


def check_schedule(name: str, value: object) -> None:
    """Raise TypeError unless value is a schedule."""
    if not isinstance(value, Schedule):
        raise TypeError(f"{name} must be a schedule such as Constant(0.1), got {value!r}")


def as_schedule(lr: float | Schedule) -> Schedule:
    """The schedule that a rule's lr stands for: itself, or a constant."""
    return lr if isinstance(lr, Schedule) else Constant(lr)


SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls for cls in (Constant, Step, Exponential, Polynomial, Cosine, Warmup, Then)
}


def from_dict(plain: dict[str, Any]) -> Schedule:
    """The schedule that `Schedule.to_dict` described.

    >>> from_dict(Cosine(0.1, steps=9).to_dict())
    Cosine(lr=0.1, steps=9, end=0.0)
    """
    values = dict(plain)
    name = values.pop("schedule", None)
    if name not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
    nested = {k: from_dict(v) if isinstance(v, dict) else v for k, v in values.items()}
    return SCHEDULES[name](**nested)
