"""Rules with a rate for each element, from the squares of its gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.rules import formulas
from lrcore.rules.base import Rule
from lrcore.rules.formulas import Formula
from lrcore.schedules import Schedule


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
    eps : float > 0
    lr_decay : float >= 0
    initial_accumulator : float >= 0
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
        return formulas.AdaGrad

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {"lr": rates / (1.0 + t * self.lr_decay), "eps": self.eps}

    def initial_state(self, name: str, w: np.ndarray) -> np.ndarray | float:
        return self.initial_accumulator

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        # Steps shrink with the root of the squares seen: measured on sparse and dense data.
        return 2.0 * max(1.0, overlap / 8.0) / math.sqrt(t + 1)


@dataclass(frozen=True, repr=False)
class RMSProp(Rule):
    r"""Root mean square propagation (Tieleman and Hinton 2012; centered: Graves 2013).

    ``v = rho * v + (1 - rho) * g * g``, then ``u = g / (sqrt(v) + eps)``; ``centered`` takes
    ``v - m * m`` under the root, with ``m`` the running mean of ``g``. The step is
    ``w -= lr * u``, or with momentum ``b = momentum * b + u`` and ``w -= lr * b``. eps stands
    outside the root; the root's argument is kept at 0 or above.

    PyTorch does the same (and calls rho alpha). Keras (rho 0.9, eps 1e-7) puts eps inside the root
    and the rate inside the momentum buffer; optax (decay 0.9) too, unless ``eps_in_sqrt=False``.

    Parameters
    ----------
    lr : float or Schedule, >= 0
    rho : float in [0, 1)
    momentum : float in [0, 1)
    centered : bool
    eps : float > 0
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

    @property
    def formula(self) -> type[Formula]:
        if self.centered:
            return formulas.RMSPropCenteredMomentum if self.momentum else formulas.RMSPropCentered
        return formulas.RMSPropMomentum if self.momentum else formulas.RMSProp

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {
            "rho": self.rho,
            "fresh": 1.0 - self.rho,
            "eps": self.eps,
            "momentum": self.momentum,
            "gain": 1.0 / (1.0 - self.momentum),
        }

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        return norm1 / (1.0 - self.momentum)


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
    rho : float in [0, 1)
    eps : float > 0
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
        return formulas.AdaDelta

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {"rho": self.rho, "fresh": 1.0 - self.rho, "eps": self.eps}
