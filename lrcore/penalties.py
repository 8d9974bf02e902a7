"""Penalties of linear models, in NumPy: twins of the element formulas in the compiled core.

A penalty is a frozen dataclass whose fields are its numbers. Its value is a sum over the weights,
each term multiplied by the feature's penalty factor, if there are factors; intercepts are not
penalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrcore._utils.numerics import Floats


@dataclass(frozen=True)
class Penalty:
    """What every penalty has; `Penalty` itself cannot be used."""

    @property
    def is_zero(self) -> bool:
        """Whether it is 0 for all weights, so that nothing has to be applied."""
        raise TypeError("use one of the penalties in lrcore.penalties")

    def value(self, w: Floats, factors: Floats | float = 1.0) -> float:
        """The penalty of the weights w, (n_outputs, n_features) float64."""
        raise TypeError("use one of the penalties in lrcore.penalties")

    def subgradient(self, gradient: Floats, w: Floats, factors: Floats | float = 1.0) -> Floats:
        """The shortest subgradient of loss plus penalty, where `gradient` is that of the loss."""
        raise TypeError("use one of the penalties in lrcore.penalties")

    def prox(self, w: np.ndarray, step: np.ndarray, preconditioner: Any) -> np.ndarray:
        """The proximal step from w: the minimum over v of ``step * penalty(v) + preconditioner *
        (v - w)**2 / 2``, element by element, in the dtype of w.

        The compiled core has the same operations in the same order.
        """
        raise TypeError("use one of the penalties in lrcore.penalties")


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """``l1 * |w| + l2 / 2 * w**2`` (Zou and Hastie 2005); lasso and ridge where one is 0."""

    l1: float = 0.0
    l2: float = 0.0

    @property
    def is_zero(self) -> bool:
        return not (self.l1 > 0 or self.l2 > 0)

    def value(self, w: Floats, factors: Floats | float = 1.0) -> float:
        total = self.l1 * (factors * np.abs(w)).sum()
        total += self.l2 / 2 * (factors * np.square(w)).sum()
        return float(total)

    def subgradient(self, gradient: Floats, w: Floats, factors: Floats | float = 1.0) -> Floats:
        gradient = gradient + self.l2 * factors * w
        if not self.l1:
            return gradient
        l1 = self.l1 * factors
        at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - l1, 0.0)
        return np.asarray(np.where(w == 0, at_zero, gradient + l1 * np.sign(w)))

    def prox(self, w: np.ndarray, step: np.ndarray, preconditioner: Any) -> np.ndarray:
        one = w.dtype.type
        size = np.abs(w) * preconditioner - step * one(self.l1)
        size = np.maximum(size, one(0)) / (preconditioner + step * one(self.l2))
        return np.copysign(size, w)
