"""Penalties of linear models, in NumPy: twins of the element formulas in the compiled core.

A penalty is a frozen dataclass whose fields are its numbers. Its value is a sum over the weights,
each term multiplied by the feature's penalty factor, if there are factors; intercepts are not
penalised.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lrcore._utils.numerics import Floats


@dataclass(frozen=True)
class Penalty:
    """What every penalty has; `Penalty` itself cannot be used."""

    @classmethod
    def from_parameters(cls, name: str, alpha: float, l1_ratio: float) -> Penalty:
        """The penalty of an estimator with ``penalty=name``."""
        raise TypeError("use one of the penalties in lrcore.penalties")

    @property
    def curvature(self) -> float:
        """The second derivative of the part that has one."""
        return 0.0

    @property
    def strengths(self) -> tuple[float, float]:
        """What magnitudes, and halves of squares, of weights are multiplied by."""
        raise TypeError("use one of the penalties in lrcore.penalties")

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

    @classmethod
    def from_parameters(cls, name: str, alpha: float, l1_ratio: float) -> ElasticNet:
        l1_share = {"l1": 1.0, "l2": 0.0}.get(name, l1_ratio)
        return cls(alpha * l1_share, alpha * (1.0 - l1_share))

    @property
    def curvature(self) -> float:
        return self.l2

    @property
    def strengths(self) -> tuple[float, float]:
        return self.l1, self.l2

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


#: The penalties that estimators know by name.
PENALTIES: dict[str, type[Penalty]] = {"l2": ElasticNet, "l1": ElasticNet, "elasticnet": ElasticNet}


def make(name: str | None, alpha: float, l1_ratio: float) -> Penalty:
    """The penalty of this name; of None one that is 0.

    >>> make("elasticnet", 0.5, 0.25)
    ElasticNet(l1=0.125, l2=0.375)
    """
    return ElasticNet() if name is None else PENALTIES[name].from_parameters(name, alpha, l1_ratio)


def to_dict(penalty: Penalty) -> dict[str, Any]:
    """Plain values that `from_dict` reads back."""
    numbers = {name: float(value) for name, value in asdict(penalty).items()}
    return {"penalty": type(penalty).__name__, **numbers}


def from_dict(plain: dict[str, Any]) -> Penalty:
    """The penalty that `to_dict` described.

    >>> from_dict(to_dict(ElasticNet(l2=0.5)))
    ElasticNet(l1=0.0, l2=0.5)
    """
    values, classes = dict(plain), {cls.__name__: cls for cls in PENALTIES.values()}
    return classes[values.pop("penalty")](**values)
