"""Gradient descent, and the rule that takes only its sign."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.rules import formulas
from lrcore.rules.base import Rule
from lrcore.rules.formulas import Formula
from lrcore.schedules import Schedule


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
    momentum : float in [0, 1)
    nesterov : bool
        Needs ``momentum > 0`` and no dampening.
    dampening : float in [0, 1)
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum > 0, got momentum=0; try momentum=0.9")
        if self.nesterov and self.dampening:
            raise ValueError(f"nesterov=True needs dampening=0, got dampening={self.dampening!r}")

    @property
    def formula(self) -> type[Formula]:
        return formulas.Momentum if self.momentum else formulas.SGD

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {
            "momentum": self.momentum,
            "fresh": np.where(t == 0, 1.0, 1.0 - self.dampening),
            "gradient_share": 1.0 if self.nesterov else 0.0,
            "buffer_share": self.momentum if self.nesterov else 1.0,
            "gain": (1.0 - self.dampening) / (1.0 - self.momentum),
        }

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        return curvature * norm2 / (1.0 - self.momentum)


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
    beta1, beta2 : float in [0, 1)
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
        return formulas.Lion

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {
            "beta1": self.beta1,
            "fresh1": 1.0 - self.beta1,
            "beta2": self.beta2,
            "fresh2": 1.0 - self.beta2,
        }
