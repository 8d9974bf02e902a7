"""Rules with a rate for each element, from the squares of its gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.rules.base import Rule
from lrcore.rules.formula import Array, Formula, variance
from lrcore.schedules import Schedule


class AdaGradFormula(Formula):
    """s += g g, then g / (sqrt(s) + eps)."""

    columns = ("lr", "eps")
    state = ("sum_of_squares",)
    slow = "sum_of_squares"
    eight_bits = True

    @staticmethod
    def update(c: Any, w: Array, g: Array, sum_sq: Array) -> None:
        sum_sq += g * g
        w -= c.lr * g / (np.sqrt(sum_sq) + c.eps)

    @staticmethod
    def preconditioner(c: Any, sum_sq: Array) -> Array:
        return np.sqrt(sum_sq) + c.eps


@dataclass(frozen=True, repr=False)
class AdaGrad(Rule):
    r"""Adaptive gradients (Duchi, Hazan and Singer 2011).

    ``s += g * g`` and ``w -= lr_t * g / (sqrt(s) + eps)`` with ``lr_t = lr / (1 + t * lr_decay)``,
    ``t = 0`` first. Each element has a rate of its own that falls with the gradients it has seen:
    rare features keep learning. ``s`` starts at `initial_accumulator`.

    PyTorch does the same. Keras and optax start ``s`` at 0.1 and put eps (1e-7) inside the root.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        How far a step goes: a number, or a schedule that gives one for each step.
    eps : float > 0
        Added to the divisor, so that it is never 0.
    lr_decay : float >= 0
        The rate is divided by ``1 + t * lr_decay`` at step ``t = 0, 1, ...``.
    initial_accumulator : float >= 0
        What the sums of squared gradients begin with; the larger, the shorter the first steps.
    weight_decay, decoupled, maximize
        See `Rule`.

    Notes
    -----
    .. math::
        s &\leftarrow s + g^2 \\
        w &\leftarrow w - \frac{\eta}{1 + t\, \delta} \, \frac{g}{\sqrt{s} + \epsilon}

    with :math:`\delta` the `lr_decay` and :math:`t = 0` at the first step.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.AdaGrad(lr=0.5)).step(np.array([10.0, -0.1]))
    >>> w
    array([-0.5,  0.5])
    """

    lr: float | Schedule = 0.01
    eps: float = 1e-10
    lr_decay: float = 0.0
    initial_accumulator: float = 0.0

    linear_lr: ClassVar[float] = 0.5

    @property
    def formula(self) -> type[Formula]:
        return AdaGradFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {"lr": rates / (1.0 + t * self.lr_decay), "eps": self.eps}

    def initial_state(self, name: str, w: np.ndarray) -> np.ndarray | float:
        return self.initial_accumulator

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        # Steps shrink with the root of the squares seen: measured on sparse and dense data.
        return 2.0 * max(1.0, overlap / 8.0) / math.sqrt(t + 1)

    def step_sizes(self, *state: np.ndarray) -> np.ndarray | None:
        squares = state[0].astype(np.float64)
        known = squares > 0  # the first step of others is as long as the rate
        return np.where(known, 1.0 / (np.sqrt(np.where(known, squares, 1.0)) + self.eps), 0.0)


class RMSPropFormula(Formula):
    """v is a running mean of g g, then g / (sqrt(v) + eps)."""

    columns = ("lr", "rho", "one_minus_rho", "eps", "eps_in_root")
    state = ("mean_square",)
    decay = "rho"
    slow = "mean_square"
    eight_bits = True

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array) -> None:
        square[...] = c.rho * square + c.one_minus_rho * (g * g)
        w -= c.lr * g / (np.sqrt(square + c.eps_in_root) + c.eps)

    @staticmethod
    def preconditioner(c: Any, square: Array) -> Array:
        return np.sqrt(square + c.eps_in_root) + c.eps


class RMSPropCenteredFormula(Formula):
    """RMSProp with the variance instead of the mean square."""

    columns = ("lr", "rho", "one_minus_rho", "eps", "eps_in_root")
    state = ("mean_square", "mean_gradient")
    decay = "rho"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, mean: Array) -> None:
        square[...] = c.rho * square + c.one_minus_rho * (g * g)
        mean[...] = c.rho * mean + c.one_minus_rho * g
        w -= c.lr * g / (np.sqrt(variance(square, mean) + c.eps_in_root) + c.eps)

    @staticmethod
    def preconditioner(c: Any, square: Array, mean: Array) -> Array:
        return np.sqrt(variance(square, mean) + c.eps_in_root) + c.eps


class RMSPropMomentumFormula(Formula):
    """RMSProp whose steps go through a momentum buffer."""

    columns = ("lr", "rho", "one_minus_rho", "eps", "eps_in_root", "momentum", "gain")
    state = ("mean_square", "momentum_buffer")
    gain = "gain"
    slow = "mean_square"
    eight_bits = True

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, buffer: Array) -> None:
        square[...] = c.rho * square + c.one_minus_rho * (g * g)
        buffer[...] = c.momentum * buffer + g / (np.sqrt(square + c.eps_in_root) + c.eps)
        w -= c.lr * buffer

    @staticmethod
    def preconditioner(c: Any, square: Array, buffer: Array) -> Array:
        return np.sqrt(square + c.eps_in_root) + c.eps


class RMSPropCenteredMomentumFormula(Formula):
    """RMSProp with the variance and with a momentum buffer."""

    columns = ("lr", "rho", "one_minus_rho", "eps", "eps_in_root", "momentum", "gain")
    state = ("mean_square", "mean_gradient", "momentum_buffer")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, mean: Array, buffer: Array) -> None:
        square[...] = c.rho * square + c.one_minus_rho * (g * g)
        mean[...] = c.rho * mean + c.one_minus_rho * g
        buffer[...] = c.momentum * buffer + g / (
            np.sqrt(variance(square, mean) + c.eps_in_root) + c.eps
        )
        w -= c.lr * buffer

    @staticmethod
    def preconditioner(c: Any, square: Array, mean: Array, buffer: Array) -> Array:
        return np.sqrt(variance(square, mean) + c.eps_in_root) + c.eps


@dataclass(frozen=True, repr=False)
class RMSProp(Rule):
    r"""Root mean square propagation (Tieleman and Hinton 2012; centered: Graves 2013).

    ``v = rho * v + (1 - rho) * g * g``, then ``u = g / (sqrt(v) + eps)``; ``centered`` takes
    ``v - m * m`` under the root, with ``m`` the running mean of ``g``. The step is
    ``w -= lr * u``, or with momentum ``b = momentum * b + u`` and ``w -= lr * b``. eps stands
    outside the root, or with ``eps_in_root`` inside: ``u = g / sqrt(v + eps)``. Without eps the
    root's argument is kept at 0 or above.

    PyTorch does the same (and calls rho alpha). Keras (rho 0.9, eps 1e-7) and optax (decay 0.9,
    unless ``eps_in_sqrt=False``) put eps inside the root, as ``eps_in_root=True`` does, and the
    rate inside the momentum buffer.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        How far a step goes: a number, or a schedule that gives one for each step.
    rho : float in [0, 1)
        The share of the running mean of the squared gradients that a step keeps.
    momentum : float in [0, 1)
        The share of the buffer ``b`` of earlier updates that a step keeps; with 0 there is none.
    centered : bool
        Divide by the root of the variance of the gradients instead of their mean square.
    eps : float > 0
        Added to the divisor, so that it is never 0.
    eps_in_root : bool
        Add `eps` below the root instead of to the root.
    weight_decay, decoupled, maximize
        See `Rule`.

    Notes
    -----
    .. math::
        v &\leftarrow \rho\, v + (1 - \rho)\, g^2 \\
        m &\leftarrow \rho\, m + (1 - \rho)\, g \\
        b &\leftarrow \mu\, b + \frac{g}{\sqrt{\max(v - m^2, 0)} + \epsilon} \\
        w &\leftarrow w - \eta\, b

    with :math:`\mu` momentum; :math:`m = 0` unless it is centered.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(1)
    >>> lrcore.Optimizer(w, lrcore.RMSProp(lr=0.1, rho=0.75)).step(np.array([3.0]))
    >>> w.round(6)
    array([-0.2])
    """

    lr: float | Schedule = 0.01
    rho: float = 0.99
    momentum: float = 0.0
    centered: bool = False
    eps: float = 1e-8
    eps_in_root: bool = False

    @property
    def formula(self) -> type[Formula]:
        if self.centered:
            return RMSPropCenteredMomentumFormula if self.momentum else RMSPropCenteredFormula
        return RMSPropMomentumFormula if self.momentum else RMSPropFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {
            "rho": self.rho,
            "one_minus_rho": 1.0 - self.rho,
            "eps": 0.0 if self.eps_in_root else self.eps,
            "eps_in_root": self.eps if self.eps_in_root else 0.0,
            "momentum": self.momentum,
            "gain": 1.0 / (1.0 - self.momentum),
        }

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        return norm1 / (1.0 - self.momentum)


class AdaDeltaFormula(Formula):
    """g times the root mean square of the steps over that of the gradients."""

    columns = ("lr", "rho", "one_minus_rho", "eps")
    state = ("mean_square", "mean_square_step")
    decay = "rho"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, step: Array) -> None:
        square[...] = c.rho * square + c.one_minus_rho * (g * g)
        d = np.sqrt(step + c.eps) / np.sqrt(square + c.eps) * g
        step[...] = c.rho * step + c.one_minus_rho * (d * d)
        w -= c.lr * d

    @staticmethod
    def preconditioner(c: Any, square: Array, step: Array) -> Array:
        return np.sqrt(square + c.eps) / np.sqrt(step + c.eps)


@dataclass(frozen=True, repr=False)
class AdaDelta(Rule):
    r"""AdaDelta (Zeiler 2012, https://arxiv.org/abs/1212.5701).

    ``v = rho * v + (1 - rho) * g * g``; ``d = g * sqrt(u + eps) / sqrt(v + eps)``;
    ``u = rho * u + (1 - rho) * d * d``; ``w -= lr * d``. The steps have the units of the weights,
    so the paper needs no rate; eps sets how they start.

    PyTorch (lr 1) and optax do the same; Keras too, with a rate of 0.001 and eps 1e-7.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        A factor of the step, whose length the rule finds by itself; 1 is the paper's.
    rho : float in [0, 1)
        The share of both running means, of squared gradients and of squared updates, that a step
        keeps.
    eps : float > 0
        Added below both roots; it makes the first steps possible.
    weight_decay, decoupled, maximize
        See `Rule`.

    Notes
    -----
    .. math::
        v &\leftarrow \rho\, v + (1 - \rho)\, g^2 \\
        d &= \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}} \, g \\
        u &\leftarrow \rho\, u + (1 - \rho)\, d^2 \\
        w &\leftarrow w - \eta\, d

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.AdaDelta(eps=1e-2)).step(np.array([1.0, -5.0]))
    >>> w.round(4)
    array([-0.3015,  0.3156])
    """

    lr: float | Schedule = 1.0
    rho: float = 0.9
    eps: float = 1e-6

    linear_lr: ClassVar[float] = 1.0

    @property
    def formula(self) -> type[Formula]:
        return AdaDeltaFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {"rho": self.rho, "one_minus_rho": 1.0 - self.rho, "eps": self.eps}
