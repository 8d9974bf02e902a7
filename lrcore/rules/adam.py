"""Adam and its family: running means of the gradients and of their squares."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.numerics import Floats
from lrcore.rules.base import Rule
from lrcore.rules.formula import Array, Formula
from lrcore.schedules import Schedule


class AdamFormula(Formula):
    """Running means of g and g g; the bias corrections are in lr and eps."""

    columns = ("lr", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "eps", "gain")
    state = ("mean_gradient", "mean_square")
    gain = "gain"
    slow = "mean_square"
    eight_bits = True

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array) -> None:
        mean[...] = c.beta1 * mean + c.one_minus_beta1 * g
        square[...] = c.beta2 * square + c.one_minus_beta2 * (g * g)
        w -= c.lr * mean / (np.sqrt(square) + c.eps)

    @staticmethod
    def preconditioner(c: Any, mean: Array, square: Array) -> Array:
        return np.sqrt(square) + c.eps


@dataclass(frozen=True, repr=False)
class Adam(Rule):
    r"""Adaptive moments (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980).

    ``m = beta1 * m + (1 - beta1) * g``, ``v = beta2 * v + (1 - beta2) * g * g``, and at step
    ``t = 1, 2, ...`` ``w -= lr * mhat / (sqrt(vhat) + eps)`` with ``mhat = m / (1 - beta1**t)``
    and ``vhat = v / (1 - beta2**t)``. Both corrections are folded into the rate and eps.

    PyTorch and optax do the same. Keras leaves eps (1e-7) out of the correction: ``w -= lr *
    sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps)``, the "epsilon hat" of the paper.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        How far a step goes: a number, or a schedule that gives one for each step.
    beta1 : float in [0, 1)
        The share of the running mean of the gradients that a step keeps.
    beta2 : float in [0, 1)
        The share of the running mean of the squared gradients that a step keeps.
    eps : float > 0
        Added to the divisor, so that it is never 0.
    weight_decay, decoupled, maximize
        See `Rule`; `AdamW` is Adam with ``decoupled=True``.

    Notes
    -----
    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        w &\leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

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
        return AdamFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        correction1, root2 = self.corrections(t)
        return {"lr": rates * root2 / correction1, **self.moments(), "eps": self.eps * root2,
                "gain": root2}  # fmt: skip

    def corrections(self, t: np.ndarray) -> tuple[Floats, Floats]:
        """1 - beta1**(t + 1), and the root of 1 - beta2**(t + 1)."""
        root2 = np.sqrt(1.0 - numerics.power(self.beta2, t + 1))
        return 1.0 - numerics.power(self.beta1, t + 1), root2

    def moments(self) -> dict[str, Floats | float]:
        """The columns of the two running means."""
        return {
            "beta1": self.beta1,
            "one_minus_beta1": 1.0 - self.beta1,
            "beta2": self.beta2,
            "one_minus_beta2": 1.0 - self.beta2,
        }


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    r"""Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    ``w *= 1 - lr * weight_decay``, then Adam's step, which does not see the decay. The same as
    ``Adam(decoupled=True)``, under the name that people look for, with PyTorch's decay of 0.01.

    PyTorch does the same; optax too (decay 1e-4); Keras with a decay of 0.004 and its own eps.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay, decoupled, maximize
        As for `Adam`.

    Notes
    -----
    .. math::
        w &\leftarrow (1 - \eta \lambda)\, w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        w &\leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\lambda` the weight decay.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.ones(2)
    >>> lrcore.Optimizer(w, lrcore.AdamW(lr=0.1, weight_decay=0.5)).step(np.array([3.0, 0.0]))
    >>> w.round(6)
    array([0.85, 0.95])
    """

    weight_decay: float = field(default=0.01, kw_only=True)
    decoupled: bool = field(default=True, kw_only=True)


class AMSGradFormula(Formula):
    """Adam over the largest mean square up to now."""

    columns = ("lr", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "eps", "gain")
    state = ("mean_gradient", "mean_square", "max_square")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array, largest: Array) -> None:
        mean[...] = c.beta1 * mean + c.one_minus_beta1 * g
        square[...] = c.beta2 * square + c.one_minus_beta2 * (g * g)
        largest[...] = np.where(square > largest, square, largest)
        w -= c.lr * mean / (np.sqrt(largest) + c.eps)

    @staticmethod
    def preconditioner(c: Any, mean: Array, square: Array, largest: Array) -> Array:
        return np.sqrt(largest) + c.eps


@dataclass(frozen=True, repr=False)
class AMSGrad(Adam):
    r"""Adam over the largest mean square up to now (Reddi, Kale and Kumar 2018, arXiv:1904.09237).

    ``v`` as in Adam, ``u = max(u, v)``, ``w -= lr * mhat / (sqrt(u / (1 - beta2**t)) + eps)``.

    PyTorch's ``Adam(amsgrad=True)`` does the same. optax takes the maximum of the corrected ``v``;
    Keras has no correction of eps, as in its Adam.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay, decoupled, maximize
        As for `Adam`.

    Notes
    -----
    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        u &\leftarrow \max(u, v) \\
        w &\leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{u / (1 - \beta_2^t)} + \epsilon}

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.AMSGrad(lr=0.1)).step(np.array([3.0, -0.01]))
    >>> w.round(6)
    array([-0.1,  0.1])
    """

    @property
    def formula(self) -> type[Formula]:
        return AMSGradFormula


class AdamaxFormula(Formula):
    """Adam over a decaying maximum of |g|."""

    columns = ("lr", "beta1", "one_minus_beta1", "beta2", "eps", "gain")
    state = ("mean_gradient", "max_gradient")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, largest: Array) -> None:
        mean[...] = c.beta1 * mean + c.one_minus_beta1 * g
        old, new = c.beta2 * largest, np.abs(g) + c.eps
        largest[...] = np.where(new > old, new, old)
        w -= c.lr * mean / largest

    @staticmethod
    def preconditioner(c: Any, mean: Array, largest: Array) -> Array:
        return largest + c.eps


@dataclass(frozen=True, repr=False)
class Adamax(Adam):
    r"""Adam with the infinity norm (Kingma and Ba 2015, section 7.1).

    ``m`` as in Adam, ``u = max(beta2 * u, |g| + eps)``, ``w -= lr / (1 - beta1**t) * m / u``.

    PyTorch and optax do the same. Keras has no eps in ``u`` and divides by ``u + eps``.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay, decoupled, maximize
        As for `Adam`.

    Notes
    -----
    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \\
        u &\leftarrow \max(\beta_2 u, |g| + \epsilon) \\
        w &\leftarrow w - \frac{\eta}{1 - \beta_1^t} \, \frac{m}{u}

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.Adamax(lr=0.1)).step(np.array([3.0, -0.01]))
    >>> w.round(6)
    array([-0.1,  0.1])
    """

    lr: float | Schedule = 0.002

    @property
    def formula(self) -> type[Formula]:
        return AdamaxFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        correction1 = self.corrections(t)[0]
        return {"lr": rates / correction1, **self.moments(), "eps": self.eps, "gain": 1.0}


class NadamFormula(Formula):
    """Adam with a look ahead: a mix of g and its running mean."""

    columns = (
        "gradient_lr", "mean_lr", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "eps",
        "gain",
    )  # fmt: skip
    rate_columns = ("gradient_lr", "mean_lr")
    state = ("mean_gradient", "mean_square")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array) -> None:
        mean[...] = c.beta1 * mean + c.one_minus_beta1 * g
        square[...] = c.beta2 * square + c.one_minus_beta2 * (g * g)
        w -= (c.gradient_lr * g + c.mean_lr * mean) / (np.sqrt(square) + c.eps)

    @staticmethod
    def preconditioner(c: Any, mean: Array, square: Array) -> Array:
        return np.sqrt(square) + c.eps


@dataclass(frozen=True, repr=False)
class Nadam(Adam):
    r"""Adam with Nesterov momentum (Dozat 2016).

    With ``mu_t = beta1 * (1 - 0.96**(t * momentum_decay) / 2)`` and ``p_t = mu_1 ... mu_t``, the
    mixture ``d = (1 - mu_t) / (1 - p_t) * g + mu_{t+1} / (1 - p_{t+1}) * m`` takes the place of
    ``mhat`` in Adam.

    PyTorch does the same, with ``p`` in float32; Keras too, but for its eps and a momentum_decay
    of 1. In optax ``mu`` is
    beta1 throughout, ``d = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)`` but for the exponent of
    the part with ``m``, which is ``t + 1``.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay, decoupled, maximize
        As for `Adam`.
    momentum_decay : float >= 0
        How fast the momentum rises to `beta1` in the first steps; the larger, the faster.

    Notes
    -----
    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        d &= \frac{1 - \mu_t}{1 - p_t} \, g + \frac{\mu_{t+1}}{1 - p_{t+1}} \, m \\
        w &\leftarrow w - \eta \, \frac{d}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\mu_t = \beta_1 (1 - 0.96^{t \psi} / 2)`, :math:`p_t = \mu_1 \cdots \mu_t`, and
    :math:`\psi` the `momentum_decay`.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.Nadam(lr=0.1)).step(np.array([3.0, -0.01]))
    >>> w.round(4)
    array([-0.1056,  0.1056])
    """

    lr: float | Schedule = 0.002
    momentum_decay: float = 0.004

    @property
    def formula(self) -> type[Formula]:
        return NadamFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        root2 = self.corrections(t)[1]
        product = self.momentum_products(t)
        mu, next_mu = self._mu(t), self._mu(t + 1)
        return {
            "gradient_lr": rates * root2 * (1.0 - mu) / (1.0 - product),
            "mean_lr": rates * root2 * next_mu / (1.0 - product * next_mu),
            **self.moments(),
            "eps": self.eps * root2,
            "gain": root2,
        }

    def _mu(self, t: np.ndarray) -> Floats:
        """The momentum of the steps t, the first being 0."""
        decay = numerics.exp((t + 1) * (self.momentum_decay * float(numerics.log(0.96))))
        return self.beta1 * (1.0 - 0.5 * decay)

    def lookback(self, t: int) -> int:
        if self.beta1 == 0.0:
            return 0
        return min(t, math.ceil(-60.0 * math.log(2.0) / math.log(self.beta1)))

    def momentum_products(self, t: np.ndarray) -> Floats:
        """The product of the momenta up to each step t.

        It is below beta1**t, so past some step it no longer changes 1 - product, and is 0 here.
        """
        if self.beta1 == 0.0:
            return np.zeros(len(t))
        products = np.cumprod(self._mu(np.arange(self.lookback(int(t.max(initial=0))) + 1)))
        return np.where(t < len(products), products[np.minimum(t, len(products) - 1)], 0.0)


class RAdamFormula(Formula):
    """Adam that leaves the root out (root_share 0, eps 1) while its variance is not tractable."""

    columns = (
        "lr", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "root_share", "eps", "gain",
    )  # fmt: skip
    state = ("mean_gradient", "mean_square")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array) -> None:
        mean[...] = c.beta1 * mean + c.one_minus_beta1 * g
        square[...] = c.beta2 * square + c.one_minus_beta2 * (g * g)
        w -= c.lr * mean / (c.root_share * np.sqrt(square) + c.eps)

    @staticmethod
    def preconditioner(c: Any, mean: Array, square: Array) -> Array:
        return c.root_share * np.sqrt(square) + c.eps


@dataclass(frozen=True, repr=False)
class RAdam(Adam):
    r"""Rectified Adam (Liu et al. 2020, https://arxiv.org/abs/1908.03265).

    With ``rho = 2 / (1 - beta2) - 1`` and ``rho_t = rho - 2 t beta2**t / (1 - beta2**t)``: while
    ``rho_t <= 5`` the step is ``lr * mhat``; afterwards Adam's, times
    ``sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t))``. eps is added to ``sqrt(v)``
    before the correction.

    PyTorch does the same. optax adds eps after the correction; Keras has no RAdam.

    Parameters
    ----------
    lr, beta1, beta2, eps, weight_decay, decoupled, maximize
        As for `Adam`.

    Notes
    -----
    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        w &\leftarrow w - \eta \, \frac{m}{1 - \beta_1^t} \begin{cases}
            \displaystyle r_t \, \frac{\sqrt{1 - \beta_2^t}}{\sqrt{v} + \epsilon}
            & \text{if } \rho_t > 5 \\
            1 & \text{otherwise} \end{cases}

    with :math:`\rho = 2 / (1 - \beta_2) - 1`,
    :math:`\rho_t = \rho - 2 t \beta_2^t / (1 - \beta_2^t)` and

    .. math::
        r_t = \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\, \rho}{(\rho - 4)(\rho - 2)\, \rho_t}}.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.RAdam(lr=0.1)).step(np.array([3.0, -0.01]))
    >>> w.round(6)
    array([-0.3  ,  0.001])
    """

    @property
    def formula(self) -> type[Formula]:
        return RAdamFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        correction1, root2 = self.corrections(t)
        power2 = numerics.power(self.beta2, t + 1)
        limit = 2.0 / (1.0 - self.beta2) - 1.0
        length = limit - 2.0 * (t + 1) * power2 / (1.0 - power2)
        rectified = length > 5.0
        # Where it is not rectified, any numbers do that give no warning.
        n, most = np.where(rectified, length, 6.0), max(limit, 5.0)
        share = np.sqrt((n - 4.0) * (n - 2.0) * most / ((most - 4.0) * (most - 2.0) * n))
        factor = np.where(rectified, share * root2, 1.0)
        return {
            "lr": rates * factor / correction1,
            **self.moments(),
            "root_share": np.where(rectified, 1.0, 0.0),
            "eps": np.where(rectified, self.eps, 1.0),
            "gain": factor,
        }
