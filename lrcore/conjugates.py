"""Losses as dual coordinate ascent needs them: convex conjugates, and the best step of a row.

For a loss phi of the margin z, ``conjugate(u) = max over z of u z - phi(z)``, where u is a slope
of phi. All but log loss are quadratic in pieces, and then the conjugate is

    u y + epsilon |u| + smooth / 2 u**2    for low <= u <= high

so that one formula serves them all (a hinge: epsilon = smooth = 0, and u in [-1, 0] for y = 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.numerics import Floats
from lrcore.losses import (
    AbsoluteError,
    EpsilonInsensitive,
    Hinge,
    LogLoss,
    Loss,
    ModifiedHuber,
    Quantile,
    SquaredEpsilonInsensitive,
    SquaredError,
    SquaredHinge,
)
from lrcore.losses import Huber as HuberLoss

#: Stands for a divisor of 0, which no step has: beyond it is a straight piece.
TINY = 1e-300


class Pieces(NamedTuple):
    """The conjugate of a loss that is quadratic in pieces; see above."""

    smooth: float
    epsilon: float
    low: float
    high: float
    #: The bounds are those of a target of -1; of 1, they are mirrored.
    mirrored: bool = False

    def bounds(self, y: Floats) -> tuple[Floats, Floats]:
        """Bounds of u for each target."""
        flip = np.logical_and(self.mirrored, y > 0)
        return np.where(flip, -self.high, self.low), np.where(flip, -self.low, self.high)

    def shrink(self, r: Floats) -> Floats:
        """The soft threshold."""
        return np.asarray(np.sign(r) * np.maximum(np.abs(r) - self.epsilon, 0.0))


#: What log loss, which is not in pieces, hands over to the core in their place.
NO_PIECES = Pieces(0.0, 0.0, 0.0, 0.0)


def pieces(loss: Loss) -> Pieces | None:
    """The pieces of a loss, None if it has none."""
    if isinstance(loss, Hinge):
        return Pieces(0.0, 0.0, 0.0, 1.0, mirrored=True)
    if isinstance(loss, SquaredHinge):
        return Pieces(0.5, 0.0, 0.0, math.inf, mirrored=True)
    if isinstance(loss, ModifiedHuber):
        return Pieces(0.5, 0.0, 0.0, 4.0, mirrored=True)
    if isinstance(loss, SquaredError):
        return Pieces(1.0, 0.0, -math.inf, math.inf)
    if isinstance(loss, HuberLoss):
        return Pieces(1.0, 0.0, -loss.epsilon, loss.epsilon)
    if isinstance(loss, AbsoluteError):
        return Pieces(0.0, 0.0, -1.0, 1.0)
    if isinstance(loss, Quantile):
        return Pieces(0.0, 0.0, -loss.quantile, 1.0 - loss.quantile)
    if isinstance(loss, EpsilonInsensitive):
        return Pieces(0.0, loss.epsilon, -1.0, 1.0)
    if isinstance(loss, SquaredEpsilonInsensitive):
        return Pieces(0.5, loss.epsilon, -math.inf, math.inf)
    return None


def available(loss: Loss) -> bool:
    """Whether dual coordinate ascent can minimise this loss."""
    return isinstance(loss, LogLoss) or pieces(loss) is not None


def conjugate(loss: Loss, u: Floats, y: Floats) -> Floats:
    """The conjugate at slopes u within their bounds."""
    p = pieces(loss)
    if p is not None:
        return np.asarray(u * y + p.epsilon * np.abs(u) + 0.5 * p.smooth * u * u)
    # a log a + (1 - a) log(1 - a) with a = |u|, by the smaller of the two.
    a = np.minimum(np.abs(u), 1.0 - np.abs(u))
    odds = a / (1.0 - a)
    logarithm = numerics.log(np.where(odds > 0.0, odds, 1.0))
    return np.asarray(a * logarithm - numerics.log1p_unit(odds))


def ascend(loss: Loss, z: Floats, y: Floats, u: Floats, h: Floats) -> tuple[Floats, Floats]:
    """The new u of rows whose margins move by ``-h (new u - u)``, and the rows' duality gaps.

    Log loss goes as far as the bound 1/4 of its curvature allows and gives its gap to second
    order; the others go to their maximum.
    """
    p = pieces(loss)
    if p is None:
        _, slope = loss.evaluate(z, y)
        a, own = np.abs(slope), np.abs(u)
        curvature = np.maximum(a * (1.0 - a), own * (1.0 - own))
        return u + (slope - u) / (1.0 + 0.25 * h), 0.5 * (slope - u) * (slope - u) / curvature
    r, (low, high) = z - y, p.bounds(y)
    with np.errstate(over="ignore"):
        slope = np.clip(p.shrink(r) / (p.smooth + TINY), low, high)
        new = np.clip(p.shrink(r + h * u) / (p.smooth + h + TINY), low, high)
    gap = (
        (slope - u) * r - p.epsilon * (np.abs(slope) - np.abs(u))
        - 0.5 * p.smooth * (slope * slope - u * u)
    )  # fmt: skip
    return new, gap
