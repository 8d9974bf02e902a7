"""Update rules: hyperparameters, and the scalar maths that turns steps into coefficients.

A rule is a frozen dataclass. It names the element formula that it uses (`formula`, see
``lrcore/formulas.py``) and turns steps into a table of that formula's columns (`coefficients`):
bias corrections, decays and rates are all worked out here, in float64, once a step. Only that
table and arrays reach the compiled core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from lrcore import formulas, numerics, schedules
from lrcore.formulas import Formula
from lrcore.numerics import Floats
from lrcore.schedules import Schedule, as_schedule, check_rate


def check_fraction(name: str, value: float) -> None:
    """Raise unless value is in [0, 1)."""
    check_rate(name, value)
    if value >= 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")


def check_positive(name: str, value: float) -> None:
    """Raise unless value is finite and above 0."""
    check_rate(name, value)
    if value == 0:
        raise ValueError(f"{name} must be > 0, got {value!r}; 1e-8 is a common choice")


def check_flag(name: str, value: bool) -> None:
    """Raise TypeError unless value is a boolean."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


CHECKS = {
    "momentum": check_fraction,
    "rho": check_fraction,
    "beta1": check_fraction,
    "beta2": check_fraction,
    "eps": check_positive,
    "nesterov": check_flag,
    "centered": check_flag,
}


@dataclass(frozen=True)
class Rule:
    """What all rules share: checks, rates, conversion to plain values."""

    lr: float | Schedule

    #: A rate to start from where nobody names one, for the linear models.
    linear_lr: ClassVar[float] = 0.01

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "lr":
                if not isinstance(value, Schedule):
                    check_rate("lr", value)
            else:
                CHECKS[field.name](field.name, value)

    @property
    def formula(self) -> type[Formula]:
        """The element formula for these hyperparameters."""
        raise TypeError(f"{type(self).__name__} is not a rule; use one of {', '.join(RULES)}")

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        """The formula's columns at the steps t; "lr" is `rates` unless given here."""
        return {}

    def rates(self, t: np.ndarray) -> Floats:
        """Learning rates of the steps t, float64."""
        return as_schedule(self.lr).rates(t)

    def coefficients(self, t: np.ndarray, rates: Floats | None = None) -> Floats:
        """The formula's columns at the steps t (int64, 1-D): a row for each step, float64."""
        rates = self.rates(t) if rates is None else rates
        values = {"lr": rates, **self.columns(t, rates)}
        table = np.empty((len(t), len(self.formula.columns)))
        for i, name in enumerate(self.formula.columns):
            table[:, i] = values[name]
        return table

    def shared_rows(
        self, t: int, curvature: float, norm1: float, norm2: float, overlap: float
    ) -> float:
        """How many rows of a linear model may share margins at step t without harm.

        curvature bounds the second derivative of the loss, norm1 and norm2 are the mean sum of
        magnitudes and of squares of a row, overlap the features that two rows share. The bound
        keeps what a block of rows changes in a margin, all in one direction, to about 1.
        """
        rate = float(self.rates(np.array([t]))[0]) * self.speed(t, curvature, norm1, norm2, overlap)
        return 1.0 / rate if rate > 0 else float("inf")

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        """Change of a row's margin by one step on such a row, per unit of the rate."""
        return norm1

    def with_lr(self, lr: float | Schedule) -> Rule:
        """The same rule with another rate.

        >>> SGD(0.1).with_lr(0.2).lr
        0.2
        """
        return replace(self, lr=lr)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back."""
        plain: dict[str, Any] = {"rule": type(self).__name__}
        for field in fields(self):
            value = getattr(self, field.name)
            plain[field.name] = value.to_dict() if isinstance(value, Schedule) else value
        return plain


@dataclass(frozen=True)
class SGD(Rule):
    """Stochastic gradient descent, with momentum if asked for.

    With ``momentum = 0``, ``w -= lr * g``. Else ``b = momentum * b + g`` and ``w -= lr * b``, or
    ``w -= lr * (g + momentum * b)`` with ``nesterov`` (Sutskever et al. 2013). As in PyTorch, the
    rate multiplies the buffer; it is not inside it.

    Parameters
    ----------
    lr : float or Schedule, >= 0
    momentum : float in [0, 1)
    nesterov : bool
        Needs ``momentum > 0``.

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

    linear_lr: ClassVar[float] = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum > 0, got momentum=0; try momentum=0.9")

    @property
    def formula(self) -> type[Formula]:
        return formulas.Momentum if self.momentum else formulas.SGD

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {
            "momentum": self.momentum,
            "gradient_share": 1.0 if self.nesterov else 0.0,
            "buffer_share": self.momentum if self.nesterov else 1.0,
            "gain": 1.0 / (1.0 - self.momentum),
        }

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        return curvature * norm2 / (1.0 - self.momentum)


@dataclass(frozen=True)
class AdaGrad(Rule):
    """Adaptive gradients (Duchi, Hazan and Singer 2011).

    ``s += g * g`` and ``w -= lr * g / (sqrt(s) + eps)``. Each element has a rate of its own that
    falls with the gradients it has seen: rare features keep learning. ``s`` starts at 0.

    Parameters
    ----------
    lr : float or Schedule, >= 0
    eps : float > 0

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

    linear_lr: ClassVar[float] = 0.5

    @property
    def formula(self) -> type[Formula]:
        return formulas.AdaGrad

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        return {"eps": self.eps}

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        # Steps shrink with the root of the squares seen: measured on sparse and dense data.
        return 2.0 * max(1.0, overlap / 8.0) / math.sqrt(t + 1)


@dataclass(frozen=True)
class RMSProp(Rule):
    """Root mean square propagation (Tieleman and Hinton 2012; centered: Graves 2013).

    ``v = rho * v + (1 - rho) * g * g``, then ``u = g / (sqrt(v) + eps)``; ``centered`` takes
    ``v - m * m`` under the root, with ``m`` the running mean of ``g``. The step is
    ``w -= lr * u``, or with momentum ``b = momentum * b + u`` and ``w -= lr * b``. eps stands
    outside the root, as in PyTorch; the root's argument is kept at 0 or above.

    Parameters
    ----------
    lr : float or Schedule, >= 0
    rho : float in [0, 1)
        PyTorch calls it alpha.
    momentum : float in [0, 1)
    centered : bool
    eps : float > 0

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


@dataclass(frozen=True)
class Adam(Rule):
    """Adaptive moments (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980).

    ``m = beta1 * m + (1 - beta1) * g``, ``v = beta2 * v + (1 - beta2) * g * g``, and at step
    ``t = 1, 2, ...`` ``w -= lr * mhat / (sqrt(vhat) + eps)`` with ``mhat = m / (1 - beta1**t)``
    and ``vhat = v / (1 - beta2**t)``. Both corrections are folded into the rate and eps.

    Parameters
    ----------
    lr : float or Schedule, >= 0
    beta1, beta2 : float in [0, 1)
    eps : float > 0

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.Adam(lr=0.1)).step(np.array([3.0, -0.01]))
    >>> w.round(6)
    array([-0.1,  0.1])
    """

    lr: float | Schedule = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    @property
    def formula(self) -> type[Formula]:
        return formulas.Adam

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        correction1 = 1.0 - numerics.power(self.beta1, t + 1)
        root2 = np.sqrt(1.0 - numerics.power(self.beta2, t + 1))
        return {
            "lr": rates * root2 / correction1,
            "beta1": self.beta1,
            "fresh1": 1.0 - self.beta1,
            "beta2": self.beta2,
            "fresh2": 1.0 - self.beta2,
            "eps": self.eps * root2,
            "gain": root2,
        }


RULES: dict[str, type[Rule]] = {cls.__name__: cls for cls in (SGD, AdaGrad, RMSProp, Adam)}


def from_dict(plain: dict[str, Any]) -> Rule:
    """The rule that `Rule.to_dict` described.

    >>> from_dict(Adam(lr=0.01).to_dict())
    Adam(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-08)
    """
    values = dict(plain)
    cls = rule_class(values.pop("rule", None))
    if isinstance(values.get("lr"), dict):
        values["lr"] = schedules.from_dict(values["lr"])
    return cls(**values)


def rule_class(name: object) -> type[Rule]:
    """The rule of this name, whatever its case.

    >>> rule_class("adagrad").__name__
    'AdaGrad'
    """
    for known, cls in RULES.items():
        if isinstance(name, str) and known.lower() == name.lower():
            return cls
    raise ValueError(f"optimizer must be a rule or one of {', '.join(RULES)}, got {name!r}")
