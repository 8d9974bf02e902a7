"""Schedules that fall or rise once, in steps or smoothly, some of them to an end value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.numerics import Floats
from lrcore.schedules.base import LARGEST, Schedule
from lrcore.schedules.fields import Length, in_steps


def powers(gamma: float, n: np.ndarray) -> Floats:
    """``gamma ** n`` for integers n >= 0, at most the largest float64."""
    return np.minimum(numerics.power(gamma, n), LARGEST)


def progress(t: np.ndarray, steps: int) -> Floats:
    """``t / steps`` up to ``t = steps``, and 1 from then on."""
    return np.minimum(t, steps) / steps


def half_cosine(x: Floats) -> Floats:
    """``(1 + cos(pi x)) / 2``, which falls from 1 to 0 as x rises from 0 to 1."""
    return 0.5 * (1.0 + numerics.cospi(x))


@dataclass(frozen=True)
class Constant(Schedule):
    r"""``lr`` at every step.

    Parameters
    ----------
    lr : float >= 0
        The rate.

    Notes
    -----
    .. math:: \eta_t = \eta

    Examples
    --------
    >>> Constant(0.1)(7)
    0.1
    >>> display = Constant(0.1).plot()  # doctest: +SKIP
    """

    lr: float

    def formula(self, t: np.ndarray) -> Floats:
        return np.full(t.shape, self.lr)

    @property
    def settles(self) -> bool:
        return True

    @property
    def span(self) -> int:
        return 101


@dataclass(frozen=True)
class Step(Schedule):
    r"""``lr * gamma ** (t // every)``.

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    every : length
        Steps from one cut to the next.
    gamma : float >= 0
        Factor of the rate at each cut.

    Notes
    -----
    .. math:: \eta_t = \eta\, \gamma^{\lfloor t / k \rfloor}

    with `k` the steps of `every`.

    Examples
    --------
    >>> Step(1.0, every=10, gamma=0.5)([9, 10, 20])
    array([1.  , 0.5 , 0.25])
    >>> display = Step(0.1, every=100, gamma=0.5).plot()  # doctest: +SKIP
    """

    lr: float
    every: Length
    gamma: float = 0.1

    def formula(self, t: np.ndarray) -> Floats:
        return self.lr * powers(self.gamma, t // in_steps(self.every))

    @property
    def span(self) -> int:
        return 5 * in_steps(self.every)


@dataclass(frozen=True)
class MultiStep(Schedule):
    r"""``lr * gamma ** n``, where n is the number of milestones that are at most t.

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    milestones : sequence of lengths
        The steps at which the rate is cut, in ascending order.
    gamma : float >= 0
        Factor of the rate at each milestone.

    Notes
    -----
    .. math:: \eta_t = \eta\, \gamma^{n_t}, \qquad n_t = \sum_i [b_i \le t]

    with :math:`b_i` the milestones.

    Examples
    --------
    >>> MultiStep(1.0, milestones=[10, 30], gamma=0.5)([9, 10, 29, 30])
    array([1.  , 0.5 , 0.5 , 0.25])
    >>> display = MultiStep(0.1, milestones=[300, 600, 800], gamma=0.5).plot()  # doctest: +SKIP
    """

    lr: float
    milestones: tuple[Length, ...]
    gamma: float = 0.1

    def formula(self, t: np.ndarray) -> Floats:
        switches = [in_steps(each) for each in self.milestones]
        levels = self.lr * powers(self.gamma, np.arange(len(switches) + 1))
        return levels[np.searchsorted(switches, t, side="right")]

    @property
    def settles(self) -> bool:
        return True

    @property
    def span(self) -> int:
        return in_steps(self.milestones[-1]) + 1


@dataclass(frozen=True)
class Exponential(Schedule):
    r"""``lr * gamma ** (t / every)``; with ``staircase`` the exponent is rounded down.

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    gamma : float >= 0
        Factor of the rate over `every` steps.
    every : length
        Steps over which the rate is multiplied by `gamma`.
    staircase : bool
        Cut the rate once in `every` steps instead of a little at each step.

    Notes
    -----
    .. math:: \eta_t = \eta\, \gamma^{t / k}

    with `k` the steps of `every`.

    Examples
    --------
    >>> Exponential(1.0, gamma=0.5)([0, 1, 2])
    array([1.  , 0.5 , 0.25])
    >>> Exponential(1.0, gamma=0.25, every=2)([0, 1, 2, 3])
    array([1.   , 0.5  , 0.25 , 0.125])
    >>> Exponential(1.0, gamma=0.25, every=2, staircase=True)([0, 1, 2, 3])
    array([1.  , 1.  , 0.25, 0.25])
    >>> display = Exponential(0.1, gamma=0.5, every=100).plot()  # doctest: +SKIP
    """

    lr: float
    gamma: float
    every: Length = 1
    staircase: bool = False

    def formula(self, t: np.ndarray) -> Floats:
        every = in_steps(self.every)
        whole = powers(self.gamma, t // every)
        if every == 1 or self.staircase:
            return self.lr * whole
        rest = (t % every) / every
        if self.gamma == 0:
            return self.lr * np.where(t > 0, 0.0, whole)
        part = numerics.exp(rest * numerics.log(self.gamma))
        return self.lr * np.minimum(whole * part, LARGEST)

    @property
    def span(self) -> int:
        """Number of steps until the rate is a hundredth of `lr`."""
        falls = 0 < self.gamma < 1
        periods = math.log(0.01) / math.log(self.gamma) if falls else 10
        return in_steps(self.every) * math.ceil(min(periods, 10**6))


@dataclass(frozen=True)
class InverseTime(Schedule):
    r"""``lr / (1 + gamma * t / every)`` (Robbins and Monro 1951).

    With ``staircase`` the quotient is rounded down: ``t // every``.

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    gamma : float >= 0
        What each `every` steps add to the divisor of the rate.
    every : length
        Steps over which `gamma` is added to the divisor.
    staircase : bool
        Cut the rate once in `every` steps instead of a little at each step.

    Notes
    -----
    .. math:: \eta_t = \frac{\eta}{1 + \gamma\, t / k}

    with `k` the steps of `every`.

    Examples
    --------
    >>> InverseTime(1.0, gamma=0.5)([0, 2, 6])
    array([1.  , 0.5 , 0.25])
    >>> display = InverseTime(0.1, gamma=0.01).plot()  # doctest: +SKIP
    """

    lr: float
    gamma: float
    every: Length = 1
    staircase: bool = False

    def formula(self, t: np.ndarray) -> Floats:
        every = in_steps(self.every)
        periods = t // every if self.staircase else t / every
        return self.lr / (1.0 + self.gamma * periods)

    @property
    def span(self) -> int:
        """Number of steps until the rate is a tenth of `lr`."""
        periods = 9 / self.gamma if self.gamma > 9e-6 else 10
        return in_steps(self.every) * math.ceil(periods)


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    r"""``lr / sqrt(1 + t / timescale)``, half of `lr` after three timescales.

    With ``.warmup(timescale)`` it is, apart from the first steps, the schedule of the Transformer
    (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    timescale : length
        After three times as many steps the rate is half of `lr`.

    Notes
    -----
    .. math:: \eta_t = \frac{\eta}{\sqrt{1 + t / \tau}}

    with :math:`\tau` the timescale.

    Examples
    --------
    >>> InverseSqrt(1.0, timescale=10)([0, 30, 150])
    array([1.  , 0.5 , 0.25])
    >>> display = InverseSqrt(0.1, timescale=20).plot()  # doctest: +SKIP
    """

    lr: float
    timescale: Length = 1

    def formula(self, t: np.ndarray) -> Floats:
        return self.lr / np.sqrt(1.0 + t / in_steps(self.timescale))

    @property
    def span(self) -> int:
        return 100 * in_steps(self.timescale)


@dataclass(frozen=True)
class Polynomial(Schedule):
    r"""From ``lr`` to ``end`` as ``(1 - t / steps) ** power``; ``end`` from ``t = steps`` on.

    With ``power=1`` and ``end=0`` it is the linear decay that is worst-case optimal for the last
    iterate (Defazio et al. 2023, https://arxiv.org/abs/2310.07831).

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    steps : length
        Steps until the rate is `end`, where it stays.
    power : float > 0
        The exponent of what is left of the run: 1 is a straight line, more falls faster at first.
    end : float >= 0
        The last rate.

    Notes
    -----
    .. math:: \eta_t = e + (\eta - e) \left( 1 - \frac{\min(t, T)}{T} \right)^p

    with `T` the steps, `p` the power and `e` the end.

    Examples
    --------
    >>> Polynomial(1.0, steps=4)([0, 1, 4, 9])
    array([1.  , 0.75, 0.  , 0.  ])
    >>> display = Polynomial(0.1, steps=1000, power=2).plot()  # doctest: +SKIP
    """

    lr: float
    steps: Length
    power: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.power == 0:
            raise ValueError("power must be > 0, got 0; use Constant for a rate that stays")

    def formula(self, t: np.ndarray) -> Floats:
        left = 1.0 - progress(t, in_steps(self.steps))
        return self.end + (self.lr - self.end) * numerics.real_power(left, self.power)

    @property
    def settles(self) -> bool:
        return True

    @property
    def span(self) -> int:
        return in_steps(self.steps) + 1


@dataclass(frozen=True)
class Linear(Schedule):
    r"""From ``lr`` to ``end`` in a straight line; ``end`` from ``t = steps`` on.

    It may rise: ``Linear(0.0, steps=100, end=0.1).then(..., at=100)`` is a warmup from 0.

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    steps : length
        Steps until the rate is `end`, where it stays.
    end : float >= 0
        The last rate.

    Notes
    -----
    .. math:: \eta_t = e + (\eta - e) \left( 1 - \frac{\min(t, T)}{T} \right)

    with `T` the steps and `e` the end.

    Examples
    --------
    >>> Linear(1.0, steps=4, end=0.5)([0, 1, 4, 9])
    array([1.   , 0.875, 0.5  , 0.5  ])
    >>> display = Linear(0.1, steps=1000).plot()  # doctest: +SKIP
    """

    lr: float
    steps: Length
    end: float = 0.0

    def formula(self, t: np.ndarray) -> Floats:
        return self.end + (self.lr - self.end) * (1.0 - progress(t, in_steps(self.steps)))

    @property
    def settles(self) -> bool:
        return True

    @property
    def span(self) -> int:
        return in_steps(self.steps) + 1


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""From ``lr`` to ``end`` along half a cosine (Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983); ``end`` from ``t = steps`` on.

    Parameters
    ----------
    lr : float >= 0
        The first rate.
    steps : length
        Steps until the rate is `end`, where it stays.
    end : float >= 0
        The last rate.

    Notes
    -----
    .. math:: \eta_t = e + \frac{\eta - e}{2} \left( 1 + \cos \frac{\pi \min(t, T)}{T} \right)

    with `T` the steps and `e` the end.

    Examples
    --------
    >>> Cosine(1.0, steps=4)([0, 2, 4])
    array([1. , 0.5, 0. ])
    >>> display = Cosine(0.1, steps=1000).plot()  # doctest: +SKIP
    """

    lr: float
    steps: Length
    end: float = 0.0

    def formula(self, t: np.ndarray) -> Floats:
        return self.end + (self.lr - self.end) * half_cosine(progress(t, in_steps(self.steps)))

    @property
    def settles(self) -> bool:
        return True

    @property
    def span(self) -> int:
        return in_steps(self.steps) + 1
