"""Schedules that rise and fall: restarts, cycles, and runs with a warmup and a decay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore._utils.validation import check_choice, check_share, shown
from lrcore.schedules.base import LAST_STEP, Schedule
from lrcore.schedules.decays import half_cosine, powers
from lrcore.schedules.fields import Length, in_real_steps, in_steps

MODES = ("triangular", "triangular2", "exp_range")


def check_within(name: str, part: Length | float, whole: Length) -> None:
    """Raise ValueError if a part, such as a warmup, is not shorter than the whole."""
    if isinstance(part, (int, float)) and isinstance(whole, int) and part >= whole:
        raise ValueError(f"{name} must be < steps = {whole}, got {part}")


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    r"""Half cosines from ``lr`` to ``end``, one after another (SGDR, Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983).

    Parameters
    ----------
    lr : float >= 0
        The rate at which the first cycle begins.
    steps : length
        Length of the first cycle.
    multiplier : float, 1 or 1.001 to 1000
        The ratio of the lengths of a cycle and the one before it.
    end : float >= 0
        The rate that each cycle falls to; the last step of a cycle is just above it.
    gamma : float in [0, 1]
        Cycle k begins at ``end + (lr - end) * gamma ** k``.
    whole : bool
        Where `multiplier` is not an integer: whether the lengths of cycles are rounded to
        ``floor(steps * multiplier ** k + 0.5)``, so that restarts are at whole steps. Otherwise a
        cycle may begin between two steps.

    Notes
    -----
    .. math::
        \eta_t = e + \frac{(\eta - e)\, \gamma^k}{2}
            \left( 1 + \cos \frac{\pi (t - s_k)}{l_k} \right)

    with `e` the end and cycle `k`, from 0 on, beginning at step :math:`s_k` with a length of
    :math:`l_k`.

    Examples
    --------
    >>> CosineRestarts(1.0, steps=2, multiplier=2, gamma=0.5)([0, 1, 2, 4, 5, 6])
    array([1.        , 0.5       , 0.5       , 0.25      , 0.0732..., 0.25      ])
    >>> display = CosineRestarts(0.1, steps=200, multiplier=2, gamma=0.8).plot()  # doctest: +SKIP
    """

    lr: float
    steps: Length
    multiplier: float = 1.0
    end: float = 0.0
    gamma: float = 1.0
    whole: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("gamma", self.gamma)
        if self.multiplier != 1 and not 1.001 <= self.multiplier <= 1000:
            raise ValueError(f"multiplier must be 1 or 1.001 to 1000, got {shown(self.multiplier)}")

    def formula(self, t: np.ndarray) -> Floats:
        cycle, share = self._positions(t)
        peaks = (self.lr - self.end) * powers(self.gamma, cycle)
        return self.end + peaks * half_cosine(share)

    def _positions(self, t: np.ndarray) -> tuple[np.ndarray, Floats]:
        """The cycle of each step, and the part of the cycle before it, in [0, 1)."""
        if self.multiplier == 1:
            steps = in_steps(self.steps)
            cycle = t // steps
            return cycle, (t - cycle * steps) / steps
        starts, lengths = self._cycles
        cycle = np.searchsorted(starts, t, side="right") - 1
        return cycle, (t - starts[cycle]) / lengths[cycle]

    @cached_property
    def _cycles(self) -> tuple[np.ndarray, Floats]:
        """First steps and lengths of all cycles up to `LAST_STEP`."""
        integer = self.multiplier == int(self.multiplier)
        factor = int(self.multiplier) if integer else self.multiplier
        rounds = self.whole and not integer
        starts: list[float] = []
        lengths: list[float] = []
        start: float = 0
        length: float = in_steps(self.steps)
        while start <= LAST_STEP:
            starts.append(start)
            lengths.append(int(length + 0.5) if rounds else length)
            start, length = start + lengths[-1], length * factor
        at_steps = self.whole or integer
        return np.array(starts, np.int64 if at_steps else np.float64), np.array(lengths, np.float64)

    @property
    def span(self) -> int:
        """Number of steps of three cycles."""
        steps, m = in_steps(self.steps), self.multiplier
        return int(steps * (1 + m + m * m))


@dataclass(frozen=True)
class Cyclic(Schedule):
    r"""From ``lr`` up to ``peak`` and back down, again and again (Smith 2017,
    https://arxiv.org/abs/1506.01186).

    Parameters
    ----------
    lr : float >= 0
        The rate at which cycles begin and end.
    peak : float >= 0
        The highest rate of the first cycle.
    up : length, or float > 0
        Steps from `lr` to `peak`; if they are not whole, the peak lies between two steps.
    down : length, or float > 0, optional
        Steps back to `lr`; by default as many.
    mode : {"triangular", "triangular2", "exp_range"}
        The height of the cycles above `lr`: the same for all, or halved from cycle to cycle, or
        multiplied by ``gamma ** t``.
    gamma : float in [0, 1]
        Only for ``mode="exp_range"``.

    Notes
    -----
    .. math::
        \eta_t = \eta + (p - \eta)\, c_t \begin{cases} a / u & \text{if } a \le u \\
            (u + d - a) / d & \text{otherwise} \end{cases}

    with `p` the peak, `u` and `d` the steps up and down, and `a` the step within the cycle;
    :math:`c_t` is 1, or :math:`2^{-k}` in cycle `k`, or :math:`\gamma^t`, by the mode.

    Examples
    --------
    >>> Cyclic(0.0, peak=1.0, up=2, mode="triangular2")([0, 1, 2, 3, 4, 6])
    array([0. , 0.5, 1. , 0.5, 0. , 0.5])
    >>> display = Cyclic(0.02, peak=0.1, up=100, mode="triangular2").plot()  # doctest: +SKIP
    """

    lr: float
    peak: float
    up: Length | float
    down: Length | float | None = None
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("mode", self.mode, MODES)
        check_share("gamma", self.gamma)
        if self.gamma != 1 and self.mode != "exp_range":
            raise ValueError(
                f"gamma={shown(self.gamma)} needs mode='exp_range', got {shown(self.mode)}"
            )

    @property
    def _lengths(self) -> tuple[float, float]:
        return in_real_steps(self.up), in_real_steps(self.up if self.down is None else self.down)

    def formula(self, t: np.ndarray) -> Floats:
        up, down = self._lengths
        cycle = t // (up + down)
        at = t - cycle * (up + down)
        rise = (self.peak - self.lr) * np.where(at <= up, at / up, (up + down - at) / down)
        if self.mode == "triangular2":
            rise = rise * powers(0.5, cycle)
        elif self.mode == "exp_range":
            rise = rise * powers(self.gamma, t)
        return self.lr + rise

    @property
    def span(self) -> int:
        return math.ceil(4 * sum(self._lengths))


@dataclass(frozen=True)
class OneCycle(Schedule):
    r"""From ``start`` up to ``lr``, then down to ``end`` (Smith and Topin 2019,
    https://arxiv.org/abs/1708.07120); ``end`` from ``t = steps`` on.

    Parameters
    ----------
    lr : float >= 0
        The highest rate, at step `up`.
    steps : length
        Length of the whole run.
    up : length, or float > 0, optional
        Steps from `start` to `lr`, by default three tenths of `steps`. If they are not whole, the
        peak lies between two steps.
    start : float >= 0, optional
        The first rate; by default ``lr / 25``.
    end : float >= 0, optional
        By default ``start / 1e4``.
    shape : {"cosine", "linear"}
        Shape of the rise and of the fall.

    Notes
    -----
    .. math::
        \eta_t = \begin{cases} s + (\eta - s)\, f(t / u) & \text{if } t < u \\
            e + (\eta - e)\, f\left( \frac{T - \min(t, T)}{T - u} \right) & \text{otherwise}
            \end{cases}

    with `s` the start, `e` the end, `T` the steps, `u` those up, and :math:`f(x) = x` or
    :math:`(1 - \cos \pi x) / 2`, by the shape.

    Examples
    --------
    >>> OneCycle(1.0, steps=10, up=4, start=0.5, end=0.0)([0, 2, 4, 7, 10])
    array([0.5 , 0.75, 1.  , 0.5 , 0.  ])
    >>> display = OneCycle(0.1, steps=1000).plot()  # doctest: +SKIP
    """

    lr: float
    steps: Length
    up: Length | float | None = None
    start: float | None = None
    end: float | None = None
    shape: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("shape", self.shape, ("cosine", "linear"))
        if isinstance(self.steps, int) and self.steps < 2:
            raise ValueError(f"steps must be >= 2, one up and one down, got {self.steps}")
        if self.up is not None:
            check_within("up", self.up, self.steps)

    @property
    def _up(self) -> float:
        if self.up is not None:
            return in_real_steps(self.up)
        return max(1, (3 * in_steps(self.steps) + 5) // 10)

    @property
    def rise(self) -> int:
        return math.ceil(self._up)

    def formula(self, t: np.ndarray) -> Floats:
        steps, up = in_steps(self.steps), self._up
        start = self.lr / 25.0 if self.start is None else self.start
        end = start / 1e4 if self.end is None else self.end
        share = np.where(t < up, t / up, (steps - np.minimum(t, steps)) / (steps - up))
        low = np.where(t < up, start, end)
        if self.shape == "cosine":
            share = half_cosine(1.0 - share)
        return low + (self.lr - low) * share

    @property
    def settles(self) -> bool:
        return True

    @property
    def span(self) -> int:
        return in_steps(self.steps) + 1


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    r"""A warmup, ``lr`` for most of the run, then a short decay to ``end`` (Hu et al. 2024,
    https://arxiv.org/abs/2404.06395); ``end`` from ``t = steps`` on.

    Parameters
    ----------
    lr : float >= 0
        The rate between the warmup and the decay.
    steps : length
        Length of the whole run.
    warmup_steps, decay_steps : length
        Lengths of the warmup, which may be 0, and of the decay. The warmup is that of
        ``Schedule.warmup``: above zero at the first step, ``lr`` at step `warmup_steps`.
    end : float >= 0
        The last rate.
    shape : {"linear", "cosine", "sqrt"}
        Shape of the decay; "sqrt" is ``1 - sqrt(x)``, the best one for Hägele et al. 2024
        (https://arxiv.org/abs/2405.18392).

    Notes
    -----
    .. math::
        \eta_t = \begin{cases} \eta\, (t + 1) / (n + 1) & \text{if } t < n \\
            e + (\eta - e)\, f\left( \frac{\max(t - T + d, 0)}{d} \right) & \text{otherwise}
            \end{cases}

    with `n` the steps of the warmup, `d` those of the decay, `T` all of them, `e` the end, `t` no
    more than `T`, and :math:`f(x) = 1 - x`, :math:`(1 + \cos \pi x) / 2` or :math:`1 - \sqrt{x}`,
    by the shape.

    Examples
    --------
    >>> WarmupStableDecay(1.0, steps=10, warmup_steps=1, decay_steps=4)([0, 1, 6, 7, 10])
    array([0.5 , 1.  , 1.  , 0.75, 0.  ])
    >>> display = WarmupStableDecay(0.1, 1000, 100, 200).plot()  # doctest: +SKIP
    """

    lr: float
    steps: Length
    warmup_steps: Length
    decay_steps: Length
    end: float = 0.0
    shape: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("shape", self.shape, ("linear", "cosine", "sqrt"))
        check_within("warmup_steps", self.warmup_steps, self.steps)
        lengths = (self.steps, self.warmup_steps, self.decay_steps)
        if all(isinstance(each, int) for each in lengths):
            steps, warmup, decay = map(in_steps, lengths)
            if warmup + decay > steps:
                raise ValueError(
                    f"warmup_steps + decay_steps must be <= steps = {steps}, got {warmup} + {decay}"
                )

    def formula(self, t: np.ndarray) -> Floats:
        steps, warmup = in_steps(self.steps), in_steps(self.warmup_steps)
        decay = in_steps(self.decay_steps)
        done = np.clip(t - (steps - decay), 0, decay) / decay
        if self.shape == "linear":
            left = 1.0 - done
        elif self.shape == "cosine":
            left = half_cosine(done)
        else:
            left = 1.0 - np.sqrt(done)
        rising = self.lr * ((t + 1) / (warmup + 1))
        return np.where(t < warmup, rising, self.end + (self.lr - self.end) * left)

    @property
    def rise(self) -> int:
        return in_steps(self.warmup_steps)

    @property
    def settles(self) -> bool:
        return True

    @property
    def span(self) -> int:
        return in_steps(self.steps) + 1
