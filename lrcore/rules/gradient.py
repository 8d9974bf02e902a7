"""Gradient descent, and the rule that takes only its sign."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore._utils.validation import shown
from lrcore.rules.base import Rule
from lrcore.rules.formula import Array, Formula
from lrcore.schedules import Schedule


class SGDFormula(Formula):
    """w -= lr g"""

    block_rates = True

    @staticmethod
    def update(c: Any, w: Array, g: Array) -> None:
        w -= c.lr * g


class MomentumFormula(Formula):
    """b = momentum b + (1 - dampening) g, then a mix of g and b."""

    columns = ("lr", "momentum", "one_minus_dampening", "gradient_share", "buffer_share", "gain")
    state = ("momentum_buffer",)
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, buffer: Array) -> None:
        buffer[...] = c.momentum * buffer + c.one_minus_dampening * g
        w -= c.lr * (c.gradient_share * g + c.buffer_share * buffer)


@dataclass(frozen=True, repr=False)
class SGD(Rule):
    r"""Stochastic gradient descent, with momentum if asked for.

    With ``momentum = 0``, ``w -= lr * g``. Else ``b = momentum * b + (1 - dampening) * g``, at the
    first step ``b = g``, and ``w -= lr * b``, or ``w -= lr * (g + momentum * b)`` with ``nesterov``
    (Polyak 1964; Sutskever et al. 2013).

    PyTorch does the same. In Keras the rate is inside the buffer, ``b = momentum * b - lr * g``,
    which differs as soon as the rate changes. optax has no dampening; its ``trace`` is this buffer.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        How far a step goes: a number, or a schedule that gives one for each step.
    momentum : float in [0, 1)
        The share of the buffer ``b`` that a step keeps; 0 is plain gradient descent.
    nesterov : bool
        Step along ``g + momentum * b`` instead of ``b``. Needs ``momentum > 0`` and no dampening.
    dampening : float in [0, 1)
        The share of each gradient, but the first, that is left out of the buffer.
    weight_decay, decoupled, maximize
        See `Rule`.

    Notes
    -----
    .. math::
        b &\leftarrow \mu\, b + (1 - d)\, g \\
        w &\leftarrow w - \eta\, b \\
        &\text{or } w - \eta\, (g + \mu\, b) \text{ with nesterov}

    with :math:`\mu` momentum and `d` dampening; :math:`b = g` at the first step, and without
    momentum.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.array([1.0, 2.0])
    >>> lrcore.Optimizer(w, lrcore.SGD(lr=0.5)).step(np.array([1.0, -1.0]))
    >>> w
    array([0.5, 2.5])
    """

    lr: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    dampening: float = 0.0

    linear_lr: ClassVar[float] = 0.05
    adaptive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum > 0, got momentum=0; try momentum=0.9")
        if self.nesterov and self.dampening:
            raise ValueError(
                f"nesterov=True needs dampening=0, got dampening={shown(self.dampening)}"
            )

    @property
    def formula(self) -> type[Formula]:
        return MomentumFormula if self.momentum else SGDFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {
            "momentum": self.momentum,
            "one_minus_dampening": np.where(t == 0, 1.0, 1.0 - self.dampening),
            "gradient_share": 1.0 if self.nesterov else 0.0,
            "buffer_share": self.momentum if self.nesterov else 1.0,
            "gain": (1.0 - self.dampening) / (1.0 - self.momentum),
        }

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        return curvature * norm2 / (1.0 - self.momentum)


class LionFormula(Formula):
    """The sign of a mix of g and its running mean."""

    columns = ("lr", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2")
    state = ("mean_gradient",)
    eight_bits = True
    metric = False

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array) -> None:
        mix = c.beta1 * mean + c.one_minus_beta1 * g
        one, zero = w.dtype.type(1), w.dtype.type(0)
        w -= c.lr * (np.where(mix > 0, one, zero) - np.where(mix < 0, one, zero))
        mean[...] = c.beta2 * mean + c.one_minus_beta2 * g


@dataclass(frozen=True, repr=False)
class Lion(Rule):
    r"""Evolved sign momentum (Chen et al. 2023, https://arxiv.org/abs/2302.06675).

    ``w -= lr * sign(beta1 * m + (1 - beta1) * g)``, then ``m = beta2 * m + (1 - beta2) * g``. Every
    weight moves by the rate, so rates are 3 to 10 times smaller than Adam's and decays larger.
    Decay is decoupled, as in the paper.

    optax does the same (its weight_decay is 0.001 by default), Keras as well; PyTorch has no Lion.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        How far a step goes: a number, or a schedule that gives one for each step.
    beta1 : float in [0, 1)
        The share of the running mean in the sum of mean and gradient whose sign is the step.
    beta2 : float in [0, 1)
        The share of the running mean of the gradients that a step keeps.
    weight_decay, decoupled, maximize
        See `Rule`.

    Notes
    -----
    .. math::
        w &\leftarrow w - \eta \, \operatorname{sign}(\beta_1 m + (1 - \beta_1)\, g) \\
        m &\leftarrow \beta_2 m + (1 - \beta_2)\, g

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(3)
    >>> lrcore.Optimizer(w, lrcore.Lion(lr=0.1)).step(np.array([3.0, 0.0, -0.01]))
    >>> w
    array([-0.1,  0. ,  0.1])
    """

    lr: float | Schedule = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99
    decoupled: bool = field(default=True, kw_only=True)

    @property
    def formula(self) -> type[Formula]:
        return LionFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {
            "beta1": self.beta1,
            "one_minus_beta1": 1.0 - self.beta1,
            "beta2": self.beta2,
            "one_minus_beta2": 1.0 - self.beta2,
        }
