"""Follow the regularised leader."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.rules.base import Rule
from lrcore.rules.formula import Array, Formula
from lrcore.schedules import Schedule


class FTRLFormula(Formula):
    """The minimum of a bound of the losses of all steps, in closed form; see `lrcore.FTRL`."""

    columns = ("inverse_lr", "previous_inverse_lr", "shift", "shift_change", "l1")
    rate_columns = ()
    state = ("linear", "sum_of_squares")
    metric = False

    @staticmethod
    def update(c: Any, w: Array, g: Array, linear: Array, sum_sq: Array) -> None:
        root = np.sqrt(sum_sq)
        sum_sq += g * g
        new_root = np.sqrt(sum_sq)
        sigma = new_root * c.inverse_lr - root * c.previous_inverse_lr + c.shift_change
        linear[...] = linear + (g - sigma * w)
        size = np.abs(linear) - c.l1
        size = (size + np.abs(size)) * w.dtype.type(0.5)
        w[...] = (w.dtype.type(0) - np.copysign(size, linear)) / (new_root * c.inverse_lr + c.shift)


@dataclass(frozen=True, repr=False)
class FTRL(Rule):
    r"""FTRL-Proximal (McMahan et al. 2013, "Ad click prediction", algorithm 1).

    With ``n`` the sum of squares: ``sigma = (sqrt(n + g * g) - sqrt(n)) / lr``,
    ``z += g - sigma * w``, ``n += g * g``, and then in closed form ``w = 0`` where ``|z| <= l1``,
    else ``w = -(z - sign(z) * l1) / ((beta + sqrt(n)) / lr + l2)``. So l1 gives exact zeros, and l2
    counts once, as ``l2 / 2 * w**2`` against the sum of the losses.

    Where lr is a schedule, ``sigma`` is the change of ``(beta + sqrt(n)) / lr``, so that a change
    of the rate alone moves no weight. Linear models keep a rate that is a number constant.

    The weights are a function of ``z`` and ``n``; ``z`` starts where it gives the weights at hand.

    PyTorch and optax have no FTRL. Keras counts l2 twice (``+ 2 * l2`` in the denominator), starts
    ``n`` at 0.1, and has 0.5 as a general power of ``n``.

    Parameters
    ----------
    lr : float or Schedule, > 0 at every step
        alpha of the paper.
    beta : float >= 0
        Added to the root of the sum of squared gradients; the larger, the shorter the first steps.
    l1 : float >= 0
        Weight of the l1 penalty, which gives exact zeros.
    l2 : float >= 0
        Weight of the l2 penalty.
    weight_decay, decoupled, maximize
        See `Rule`; l2 is usually what is wanted.

    Notes
    -----
    .. math::
        z &\leftarrow z + g - \frac{\sqrt{n + g^2} - \sqrt{n}}{\eta} \, w \\
        n &\leftarrow n + g^2 \\
        w &= \begin{cases} 0 & \text{if } |z| \le \lambda_1 \\
            \displaystyle - \frac{z - \operatorname{sign}(z)\, \lambda_1}
            {(\beta + \sqrt{n}) / \eta + \lambda_2} & \text{otherwise} \end{cases}

    with :math:`\lambda_1` and :math:`\lambda_2` for `l1` and `l2`, at a rate that stays.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> lrcore.Optimizer(w, lrcore.FTRL(lr=0.5, l1=0.1)).step(np.array([1.0, -0.05]))
    >>> w
    array([-0.225,  0.   ])
    """

    lr: float | Schedule = 0.1
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 0.0

    linear_lr: ClassVar[float] = 0.5
    anneals: ClassVar[bool] = False
    own_penalties: ClassVar[tuple[str, ...]] = ("l1", "l2")

    @property
    def formula(self) -> type[Formula]:
        return FTRLFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        if not np.all(rates > 0):
            raise ValueError(
                f"lr of FTRL must be > 0 at every step, got 0 at step {t[np.argmin(rates)]}"
            )
        before = self.rates(np.maximum(t - 1, 0))
        return {
            "inverse_lr": 1.0 / rates,
            "previous_inverse_lr": 1.0 / before,
            "shift": self.beta / rates + self.l2,
            "shift_change": self.beta / rates - self.beta / before,
            "l1": self.l1,
        }

    def initial_state(self, name: str, w: np.ndarray) -> np.ndarray | float:
        if name != "linear":
            return 0.0
        shift = self.coefficients(np.zeros(1, np.int64))[0, 2]
        return np.asarray(np.where(w == 0, 0, -w * shift - np.copysign(self.l1, w)), w.dtype)

    def state_at(self, factor: float, name: str, state: np.ndarray) -> np.ndarray:
        if name != "linear":
            return state
        # What is beyond l1 is in proportion to the weight, the rest is a subgradient at 0.
        beyond = np.maximum(np.abs(state) - state.dtype.type(self.l1), 0)
        size = np.abs(state) - state.dtype.type(1.0 - abs(factor)) * beyond
        return np.copysign(size, state if factor > 0 else -state)

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        return 2.0 * max(1.0, overlap / 8.0) / math.sqrt(t + 1)
