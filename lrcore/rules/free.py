"""Rules that need no learning rate, or no schedule for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.numerics import Floats
from lrcore.rules.base import DoGState, Rule
from lrcore.rules.formula import Array, Formula
from lrcore.rules.gradient import SGDFormula
from lrcore.schedules import Schedule


class DoGFormula(Formula):
    """w -= lr g; the start of w is kept, since the rate follows from the distance from it."""

    state = ("start",)
    linear = False

    @staticmethod
    def update(c: Any, w: Array, g: Array, start: Array) -> None:
        w -= c.lr * g


@dataclass(frozen=True, repr=False)
class DoG(Rule):
    r"""Distance over gradients (Ivgi, Hinder and Carmon 2023, https://arxiv.org/abs/2302.12022).

    Gradient descent whose rate at step ``t`` is ``r / sqrt(G + eps)``: ``r`` is the largest
    distance that all parameters together have had from their start, and ``G`` the sum of the
    squared norms of the gradients up to this one. So there is no rate to tune: while steps are too
    short, ``r`` grows, and with it the rate. ``r`` starts at ``initial_distance * (1 + |w|)``,
    which only needs to be small enough.

    The paper's model is an average of the weights: ``ema="polynomial"`` of `Optimizer`,
    ``average=True`` of the linear models. Without averages, linear models multiply the rate by a
    factor that falls to 0, which does as well.

    In a linear model the weights start at 0, all weights of a softmax have one distance, and the
    rows of a block, whose raw predictions are computed together, have one rate::

        g = gradients of its rows
        G += sum(|g_i|**2)
        rate = lr * r / sqrt(G + eps)
        d2 += sum(rate * (rate * |g_i|**2 - 2 * w @ g_i))
        w -= rate * sum(g_i)
        r = max(r, sqrt(d2))

    With ``block_size=1``, and for mini-batches, which have one gradient each, that is the rule
    above to rounding. With other blocks the distance is an estimate, as if no two rows of a block
    shared a feature; a block is at most an eighth of the rows up to it, and from time to time the
    distance is computed from the weights, which includes the effect of penalties. There is one rate
    for all features, and finding it takes thousands of steps: with few rows and a solution far from
    0, as on text, AdaGrad is faster.

    optax's ``contrib.dog`` does the same; PyTorch and Keras have no DoG.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        A factor of the rate; 1 is the paper's.
    initial_distance : float > 0
        What ``r`` begins with, over ``1 + |w|`` of the parameters at the start.
    eps : float > 0
        Added to the sum of squared norms, so that it is never 0.
    weight_decay, decoupled, maximize
        See `Rule`. L2 decay is part of the gradients whose norms count.

    Notes
    -----
    .. math::
        r &\leftarrow \max(r, \lVert w - w_0 \rVert) \\
        G &\leftarrow G + \lVert g \rVert^2 \\
        w &\leftarrow w - \eta \, \frac{r}{\sqrt{G + \epsilon}} \, g

    with :math:`w_0` where the parameters started and :math:`\eta` the factor `lr`. Norms are of all
    parameters together.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> opt = lrcore.Optimizer(w, lrcore.DoG(), ema="polynomial")
    >>> for _ in range(300):
    ...     opt.step(w - [3.0, -4.0])
    >>> opt.averages.round(3)
    array([ 3., -4.])
    """

    lr: float | Schedule = 1.0
    initial_distance: float = 1e-6
    eps: float = 1e-8

    linear_lr: ClassVar[float] = 1.0
    uses_distance: ClassVar[bool] = True
    common: ClassVar[tuple[str, ...]] = ("initial_distance", "eps")

    @property
    def formula(self) -> type[Formula]:
        return DoGFormula

    @property
    def linear_formula(self) -> type[Formula] | None:
        return SGDFormula

    def initial_state(self, name: str, w: np.ndarray) -> np.ndarray | float:
        return w

    def initial_dog_state(self, norm: float) -> DoGState:
        return DoGState(self.initial_distance * (1.0 + norm), 0.0)

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        return curvature * norm2

    def dog_lr_factor(self, state: DoGState) -> float:
        return state.distance / math.sqrt(state.squares + self.eps)


#: The weights of the average are summed over so many steps at once; these sums are cached.
SPAN = 1 << 14


class ScheduleFreeFormula(Formula):
    """A step of z in the metric of v; w is between z and the average of all z."""

    columns = ("lr", "w_lr", "newest_weight", "beta2", "one_minus_beta2", "eps", "weight_decay")
    rate_columns = ("lr", "w_lr")
    state = ("iterate", "mean_square")
    linear = False

    @staticmethod
    def update(c: Any, w: Array, g: Array, z: Array, square: Array) -> None:
        square[...] = c.beta2 * square + c.one_minus_beta2 * (g * g)
        d = g / (np.sqrt(square) + c.eps) + c.weight_decay * w
        w += c.newest_weight * (z - w) - c.w_lr * d
        z -= c.lr * d


@dataclass(frozen=True, repr=False)
class ScheduleFreeAdamW(Rule):
    r"""AdamW without a schedule (Defazio et al. 2024, arXiv:2405.15682, algorithm 1).

    Three points: ``z`` takes the steps, ``x`` is an average of all ``z``, and gradients are taken
    between them, at ``y = (1 - beta1) * z + beta1 * x``. At step ``t = 1, 2, ...``, with
    ``rate = lr * sqrt(1 - beta2**t)``::

        v = beta2 * v + (1 - beta2) * g * g
        z -= rate * (g / (sqrt(v) + eps) + weight_decay * y)
        x += (z - x) * rate**2 / (sum of rate**2 up to this step)

    **The parameters hold** ``y``, the point at which the next gradient is to be taken; the model to
    use is ``x``, which is `Optimizer.averages`, at any time. The average does what a falling rate
    would do, so the length of the run need not be known beforehand; the rate itself has to be
    chosen. A warmup helps: ``lr=schedules.Constant(0.0025).warmup(500)``.

    optax's ``schedule_free_adamw`` leaves the root out of the average's weights, takes the largest
    rate so far instead of the present one, and adds eps after the correction of ``v``. PyTorch and
    Keras have no such rule. Linear models cannot use it: it moves all weights in every step, also
    those of features that a row does not have.

    Parameters
    ----------
    lr : float or Schedule, >= 0
        How far a step goes: a number, or a schedule that gives one for each step.
    beta1 : float in (0, 1)
        The share of the average in the point at which gradients are taken.
    beta2 : float in [0, 1)
        The share of the running mean of the squared gradients that a step keeps.
    eps : float > 0
        Added to the divisor, so that it is never 0.
    weight_decay, decoupled, maximize
        See `Rule`; decoupled decay is in proportion to ``y`` and moves ``z``, as above.

    Notes
    -----
    .. math::
        v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \qquad
            \gamma_t = \eta \sqrt{1 - \beta_2^t} \\
        z &\leftarrow z - \gamma_t \left( \frac{g}{\sqrt{v} + \epsilon} + \lambda\, y \right) \\
        x &\leftarrow x + \frac{\gamma_t^2}{\gamma_1^2 + \ldots + \gamma_t^2} \, (z - x) \\
        y &= (1 - \beta_1)\, z + \beta_1 x

    with `g` the gradient at `y`, where the parameters are, and :math:`\lambda` the weight decay.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> w = np.zeros(2)
    >>> opt = lrcore.Optimizer(w, lrcore.ScheduleFreeAdamW(lr=0.1))
    >>> for _ in range(500):
    ...     opt.step(w - [3.0, -4.0])
    >>> opt.averages.round(2)
    array([ 3., -4.])
    """

    lr: float | Schedule = 0.0025
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    decoupled: bool = field(default=True, kw_only=True)

    averages: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta1 == 0:
            raise ValueError(
                "beta1 of ScheduleFreeAdamW must be in (0, 1), got 0, with which the parameters "
                "say nothing about the average; try beta1=0.9"
            )

    @property
    def formula(self) -> type[Formula]:
        return ScheduleFreeFormula

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        root2 = np.sqrt(1.0 - numerics.power(self.beta2, t + 1))
        newest = self._newest_weights(t)
        return {
            "lr": rates * root2,
            "w_lr": rates * root2 * (1.0 - self.beta1 * (1.0 - newest)),
            "newest_weight": newest,
            "beta2": self.beta2,
            "one_minus_beta2": 1.0 - self.beta2,
            "eps": self.eps,
            "weight_decay": self.weight_decay if self.decoupled else 0.0,
        }

    def adjustments(self, t: np.ndarray, rates: Floats) -> Floats:
        table = super().adjustments(t, rates)
        table[:, 2] = 1.0
        return table

    def initial_state(self, name: str, w: np.ndarray) -> np.ndarray | float:
        return w if name == "iterate" else 0.0

    def average(self, w: np.ndarray, *state: np.ndarray) -> np.ndarray | None:
        beta, z = w.dtype.type(self.beta1), state[0].reshape(w.shape)
        return np.asarray((w - w.dtype.type(1.0 - self.beta1) * z) / beta)

    def lookback(self, t: int) -> int:
        """Up to where the weights no longer change, if the schedule comes to an end."""
        schedule = self.schedule
        if not schedule.settles:
            return t
        corrected = math.ceil(-54.0 * math.log(2.0) / math.log(self.beta2)) if self.beta2 else 0
        return min(t, max(schedule.span, corrected))

    def _newest_weights(self, t: np.ndarray) -> Floats:
        """The share of the newest z in the average: its weight over the sum of all up to it."""
        if not len(t):
            return np.zeros(0)
        first, last = int(t.min()) // SPAN, int(t.max()) // SPAN
        own = min(first, -(-self.lookback(first * SPAN) // SPAN))
        before = sum(span_sum(self, k) for k in range(own))
        if own < first:  # the others are all the same
            before += (first - own) * span_sum(self, own)
        weights = self._weights(np.arange(first * SPAN, (last + 1) * SPAN, dtype=np.int64))
        sums = np.cumsum(np.concatenate([[before], weights]))[1:]
        at = t - first * SPAN
        return np.divide(weights[at], sums[at], out=np.zeros(len(t)), where=sums[at] > 0)

    def _weights(self, t: np.ndarray) -> Floats:
        """The weights of the steps t in the average."""
        return np.square(self.rates(t)) * (1.0 - numerics.power(self.beta2, t + 1))


@lru_cache(maxsize=1 << 14)
def span_sum(rule: ScheduleFreeAdamW, k: int) -> float:
    """The sum of the weights of the k-th SPAN steps, one after another."""
    t = np.arange(k * SPAN, (k + 1) * SPAN, dtype=np.int64)
    return float(np.cumsum(rule._weights(t))[-1])
