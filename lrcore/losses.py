"""Losses of linear models, in NumPy: twins of the element formulas in the compiled core.

Each takes raw predictions ``z = X @ w + intercept`` and targets ``y``, both float64 of shape
``(n_rows,)``, and gives the loss of each row and its derivative with respect to ``z``. Losses for
classes have y in {-1, 1}.

Losses with a dual also give their convex conjugate, ``max over z of u z - loss(z)`` where u is a
derivative of the loss, and the step of a row in dual coordinate ascent. All but the log loss are
quadratic in pieces, and then the conjugate is

    u y + epsilon |u| + smooth / 2 u**2    for low <= u <= high

so that one formula serves them all (a hinge: epsilon = smooth = 0, and u in [-1, 0] for y = 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lrcore import _backend
from lrcore._utils import numerics
from lrcore._utils.numerics import Floats

#: Targets that are sorted for a quantile, at most.
MOST_SORTED = 1 << 16

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

    @property
    def bounded(self) -> bool:
        """Whether the derivative is: the loss has straight pieces on both sides."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def bounds(self, y: Floats) -> tuple[Floats, Floats]:
        """Bounds of u for each target."""
        flip = np.logical_and(self.mirrored, y > 0)
        return np.where(flip, -self.high, self.low), np.where(flip, -self.low, self.high)

    def parabolas(self, r: Floats, y: Floats, nearest: Floats | float) -> Floats:
        """Of a loss that is straight in pieces, second derivatives of the lowest parabolas that
        touch it at raw predictions r above the targets, and are nowhere below it; as if no kink
        were closer than `nearest`."""
        low, high = self.bounds(y)
        below = np.maximum(np.abs(r + self.epsilon), nearest)
        above = np.maximum(np.abs(r - self.epsilon), nearest)
        return np.asarray(0.5 * (high / above - low / below))

    def shrink(self, r: Floats) -> Floats:
        """The soft threshold."""
        return np.asarray(np.sign(r) * np.maximum(np.abs(r) - self.epsilon, 0.0))

    def conjugate(self, u: Floats, y: Floats) -> Floats:
        """The conjugate at u within its bounds."""
        return np.asarray(u * y + self.epsilon * np.abs(u) + 0.5 * self.smooth * u * u)

    def step(self, z: Floats, y: Floats, u: Floats, h: Floats) -> tuple[Floats, Floats]:
        """The maximum of the dual objective along u, and the duality gaps of the rows."""
        r, (low, high) = z - y, self.bounds(y)
        with np.errstate(over="ignore"):
            gradient = np.clip(self.shrink(r) / (self.smooth + TINY), low, high)
            new = np.clip(self.shrink(r + h * u) / (self.smooth + h + TINY), low, high)
        return new, self.gap(r, gradient, u)

    def gap(self, r: Floats, gradient: Floats, u: Floats) -> Floats:
        """The duality gaps of rows whose raw predictions less their targets are r."""
        return np.asarray(
            (gradient - u) * r - self.epsilon * (np.abs(gradient) - np.abs(u))
            - 0.5 * self.smooth * (gradient * gradient - u * u)
        )  # fmt: skip


@dataclass(frozen=True)
class Loss:
    """What every loss has: its kind of targets, its link, bounds of its derivatives, its dual."""

    #: For classes, or for numbers.
    classifies: ClassVar[bool] = False
    #: Bound of the second derivative with respect to z; of the derivative where there is none.
    curvature: ClassVar[float] = 1.0
    #: Whether there is one: whether the derivative is Lipschitz continuous.
    smooth: ClassVar[bool] = False
    #: Whether dual coordinate ascent can minimise it.
    has_dual: ClassVar[bool] = False
    #: Whether predictions are exp(z), the link being the logarithm.
    log_link: ClassVar[bool] = False
    #: Whether there are probabilities.
    probabilistic: ClassVar[bool] = False
    #: Whether it is one loss of all outputs of a row: z is then (n_rows, n_outputs).
    joint: ClassVar[bool] = False

    @property
    def domain(self) -> str:
        """What targets may be: "any" number, "at least 0", or "above 0"."""
        return "any"

    @property
    def parameter(self) -> float:
        """The loss's own number, 0 where it has none."""
        own = fields(self)
        return float(getattr(self, own[0].name)) if own else 0.0

    @property
    def n_raw_predictions(self) -> int:
        """How many raw predictions of a row one loss is of."""
        return int(self.parameter) if self.joint else 1

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Loss and derivative of each row."""
        raise TypeError("use one of the losses in lrcore.losses.LOSSES")

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        """The second derivative at z, where the first is `gradient`; of a loss that is quadratic in
        pieces that of the piece; of one that is not convex its expectation, which is never
        negative (Fisher scoring)."""
        raise TypeError(f"{type(self).__name__} has no second derivative")

    @property
    def curved_at_last(self) -> bool:
        """Whether second derivatives stay what they are, or grow, however small errors become."""
        pieces = self.conjugate_pieces
        straight = pieces is not None and not pieces.smooth
        return self.log_link or (pieces is not None and not (straight and self.classifies))

    def curvatures(self, z: Floats, y: Floats) -> Floats:
        """The second derivatives that can be expected where raw predictions of some rows are z, of
        such a loss. The mean of one that is straight in pieces is as curved as errors are near to
        its kinks: as parabolas above it that touch it about there."""
        if self.log_link:
            return self.second_derivative(z, numerics.exp(z), np.zeros(len(z)))
        pieces = self.conjugate_pieces
        assert pieces is not None
        if pieces.smooth:
            return np.full(len(z), self.curvature)
        errors = z - y
        # A quartile, whose bits depend on no order: errors go on shrinking while a block lasts.
        near = float(np.sort(np.abs(np.abs(errors) - pieces.epsilon))[len(z) // 4])
        return pieces.parabolas(errors, y, near / 2)

    def hessian(self, y: Floats, gradient: Floats) -> Callable[[Floats], Floats]:
        """Of a joint loss the function that multiplies directions of raw predictions by the second
        derivatives."""
        raise TypeError(f"{type(self).__name__} has one second derivative for each row")

    def least(self, y: Floats) -> Floats:
        """The least that the loss can be for each target."""
        return np.zeros(len(y))

    def constant(self, y: Floats, share: Floats) -> Any:
        """A raw prediction for all rows alike to begin with, whose shares sum to 1: the one with
        the least mean loss, or near it where there is no formula. Of a joint loss one for each
        output."""
        return 0.0 if self.classifies else float(np.sum(share * y))

    def constant_beside(self, offset: Floats, y: Floats, share: Floats) -> float:
        """The same where an offset, (n_rows,), is added to it; of a loss with a log link."""
        raise TypeError(f"{type(self).__name__} has an offset as a shift of its targets")

    @property
    def convex(self) -> bool:
        """Whether it is convex in z."""
        return True

    def probability(self, z: Floats) -> Floats:
        """The probability of the second class."""
        raise TypeError(f"{type(self).__name__} has no probabilities")

    def log_probability(self, z: Floats) -> Floats:
        """Its logarithm, which is finite where the probability itself is too small for a float."""
        p = self.probability(z)
        return np.where(p > 0, numerics.log(np.where(p > 0, p, 1.0)), -np.inf)

    @property
    def conjugate_pieces(self) -> Pieces | None:
        """The conjugate's numbers, None if it is not quadratic in pieces."""
        return None

    def conjugate(self, u: Floats, y: Floats) -> Floats:
        """The convex conjugate at derivatives u within their bounds."""
        pieces = self.conjugate_pieces
        if pieces is None:
            raise TypeError(f"{type(self).__name__} has no dual")
        return pieces.conjugate(u, y)

    def row_gap_bound(self, z: Floats, y: Floats, gradient: Floats, u: Floats) -> Floats:
        """What ``loss(z) + conjugate(u) - u z`` is at most, (n_rows,); the rest but for y is
        (n_rows, n_outputs), and `gradient` the derivative at z. Of a conjugate that is quadratic in
        pieces it is the sum itself."""
        pieces = self.conjugate_pieces
        if pieces is None:
            return np.full(len(y), np.inf)
        return np.maximum(pieces.gap(z[:, 0] - y, gradient[:, 0], u[:, 0]), 0.0)

    def within_bounds(self, u: Floats, y: Floats) -> Floats:
        """Numbers near derivatives, made such that there is a conjugate at them."""
        pieces = self.conjugate_pieces
        if pieces is None:
            raise TypeError(f"{type(self).__name__} has no dual")
        return np.clip(u, *pieces.bounds(y))

    def dual_step(self, z: Floats, y: Floats, u: Floats, h: Floats) -> tuple[Floats, Floats]:
        """The new dual variables u of rows whose raw predictions move by ``-h (new - u)``, and
        the rows' duality gaps."""
        pieces = self.conjugate_pieces
        if pieces is None:
            raise TypeError(f"{type(self).__name__} has no dual")
        return pieces.step(z, y, u, h)

    def outside(self, y: Floats) -> np.ndarray:
        """Where targets are outside the loss's domain."""
        allowed = {"any": y == y, "at least 0": y >= 0, "above 0": y > 0}[self.domain]
        return np.flatnonzero(~allowed)


@dataclass(frozen=True)
class LogLoss(Loss):
    """``log(1 + exp(-y z))``; its link is the logistic function."""

    classifies = True
    probabilistic = True
    smooth = True
    curvature = 0.25
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = y * z
        positive = m > 0
        e = numerics.exp(-np.where(positive, m, -m))
        value = np.where(positive, 0.0, -m) + numerics.log1p_unit(e)
        return value, -y * (np.where(positive, e, 1.0) / (1.0 + e))

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        a = np.abs(gradient)
        return np.asarray(a * (1.0 - a))

    def constant(self, y: Floats, share: Floats) -> Any:
        positive = min(max(float(np.sum(share[y > 0])), 1e-12), 1.0 - 1e-12)
        return float(numerics.log(np.array(positive / (1.0 - positive))))

    def probability(self, z: Floats) -> Floats:
        """The logistic function."""
        e = exp_of_negative(-np.abs(z))
        return np.asarray(np.where(z > 0, 1.0, e) / (1.0 + e))

    def log_probability(self, z: Floats) -> Floats:
        return np.asarray(np.minimum(z, 0.0) - numerics.log1p_unit(exp_of_negative(-np.abs(z))))

    def row_gap_bound(self, z: Floats, y: Floats, gradient: Floats, u: Floats) -> Floats:
        # A relative entropy is at most the chi-square distance.
        missed, p = (u - gradient)[:, 0], np.abs(gradient[:, 0])
        return np.asarray(missed * missed / np.maximum(p * (1.0 - p), TINY))

    def within_bounds(self, u: Floats, y: Floats) -> Floats:
        return np.asarray(-y * np.clip(-y * u, 0.0, 1.0))

    def conjugate(self, u: Floats, y: Floats) -> Floats:
        # a log a + (1 - a) log(1 - a) with a = |u|, by the smaller of the two.
        a = np.minimum(np.abs(u), 1.0 - np.abs(u))
        odds = a / (1.0 - a)
        logarithm = numerics.log(np.where(odds > 0.0, odds, 1.0))
        return np.asarray(a * logarithm - numerics.log1p_unit(odds))

    def dual_step(self, z: Floats, y: Floats, u: Floats, h: Floats) -> tuple[Floats, Floats]:
        """As far as the bound 1/4 of the curvature allows; the gap is that to second order."""
        _, gradient = self.evaluate(z, y)
        a, own = np.abs(gradient), np.abs(u)
        curvature = np.maximum(a * (1.0 - a), own * (1.0 - own))
        return u + (gradient - u) / (1.0 + 0.25 * h), 0.5 * (gradient - u) * (
            gradient - u
        ) / curvature


@dataclass(frozen=True)
class Hinge(Loss):
    """``max(0, 1 - y z)``: a linear support vector machine."""

    classifies = True
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = 1.0 - y * z
        return np.where(m > 0, m, 0.0), np.where(m > 0, -y, 0.0)

    def constant(self, y: Floats, share: Floats) -> Any:
        return float(np.sign(np.sum(share * y)))

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(0.0, 0.0, 0.0, 1.0, mirrored=True)


@dataclass(frozen=True)
class SquaredHinge(Loss):
    """``max(0, 1 - y z)**2``."""

    classifies = True
    smooth = True
    curvature = 2.0
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = 1.0 - y * z
        m = np.where(m > 0, m, 0.0)
        return m * m, -y * (m + m)

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        return np.where(gradient != 0, 2.0, 0.0)

    def constant(self, y: Floats, share: Floats) -> Any:
        return float(np.sum(share * y))

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(0.5, 0.0, 0.0, math.inf, mirrored=True)


@dataclass(frozen=True)
class ModifiedHuber(Loss):
    """Squared hinge down to ``y z = -1``, from there on ``-4 y z`` (Zhang 2004).

    It bears outliers, and has probabilities: ``(clip(z, -1, 1) + 1) / 2``.
    """

    classifies = True
    probabilistic = True
    smooth = True
    curvature = 2.0
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = 1.0 - y * z
        m = np.where(m > 0, m, 0.0)
        e = np.where(m < 2.0, m, 2.0)
        return e * (m + m - e), -y * (e + e)

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        return np.where((gradient != 0) & (np.abs(gradient) < 4.0), 2.0, 0.0)

    def constant(self, y: Floats, share: Floats) -> Any:
        return float(np.sum(share * y))

    def probability(self, z: Floats) -> Floats:
        """The probability of the second class."""
        return np.asarray((np.clip(z, -1.0, 1.0) + 1.0) / 2.0)

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(0.5, 0.0, 0.0, 4.0, mirrored=True)


@dataclass(frozen=True)
class Perceptron(Loss):
    """``max(0, -y z)``; z = 0 counts as wrong."""

    classifies = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = -(y * z)
        return np.where(m > 0, m, 0.0), np.where(m >= 0, -y, 0.0)


@dataclass(frozen=True)
class SquaredError(Loss):
    """``(z - y)**2 / 2``."""

    smooth = True
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = z - y
        return 0.5 * (m * m), m

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        return np.ones(len(z))

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(1.0, 0.0, -math.inf, math.inf)


@dataclass(frozen=True)
class Huber(Loss):
    """``(z - y)**2 / 2`` up to a distance of epsilon, a straight line beyond (Huber 1964)."""

    epsilon: float = 0.1
    smooth = True
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = z - y
        magnitude = np.where(m > 0, m, -m)
        e = np.where(magnitude < self.epsilon, magnitude, self.epsilon)
        return e * (magnitude - 0.5 * e), np.where(m > 0, e, -e)

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        return np.where(np.abs(gradient) < self.epsilon, 1.0, 0.0)

    def constant(self, y: Floats, share: Floats) -> Any:
        return weighted_quantile(y, share, 0.5)

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(1.0, 0.0, -self.epsilon, self.epsilon)


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """``|z - y|``: the median."""

    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = z - y
        return np.where(m > 0, m, -m), np.where(m > 0, 1.0, 0.0) - np.where(m < 0, 1.0, 0.0)

    def constant(self, y: Floats, share: Floats) -> Any:
        return weighted_quantile(y, share, 0.5)

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(0.0, 0.0, -1.0, 1.0)


@dataclass(frozen=True)
class Quantile(Loss):
    """The pinball loss, whose minimum is a quantile (Koenker and Bassett 1978)."""

    quantile: float = 0.5
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = z - y
        q = self.quantile
        value = np.where(m > 0, (1.0 - q) * m, -q * m)
        return value, np.where(m > 0, 1.0 - q, 0.0) - np.where(m < 0, q, 0.0)

    def constant(self, y: Floats, share: Floats) -> Any:
        return weighted_quantile(y, share, self.quantile)

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(0.0, 0.0, -self.quantile, 1.0 - self.quantile)


@dataclass(frozen=True)
class EpsilonInsensitive(Loss):
    """``max(0, |z - y| - epsilon)``: support vector regression."""

    epsilon: float = 0.1
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = z - y
        e = np.where(m > 0, m, -m) - self.epsilon
        gradient = np.where(m > self.epsilon, 1.0, 0.0) - np.where(-m > self.epsilon, 1.0, 0.0)
        return np.where(e > 0, e, 0.0), gradient

    def constant(self, y: Floats, share: Floats) -> Any:
        return weighted_quantile(y, share, 0.5)

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(0.0, self.epsilon, -1.0, 1.0)


@dataclass(frozen=True)
class SquaredEpsilonInsensitive(Loss):
    """``max(0, |z - y| - epsilon)**2``."""

    epsilon: float = 0.1
    smooth = True
    curvature = 2.0
    has_dual = True

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = z - y
        e = np.where(m > 0, m, -m) - self.epsilon
        e = np.where(e > 0, e, 0.0)
        return e * e, np.where(m > 0, e + e, -(e + e))

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        return np.where(gradient != 0, 2.0, 0.0)

    @property
    def conjugate_pieces(self) -> Pieces:
        return Pieces(0.5, self.epsilon, -math.inf, math.inf)


@dataclass(frozen=True)
class Poisson(Loss):
    """``exp(z) - y z``, half the deviance of counts but for a constant; link log, y >= 0."""

    log_link = True

    @property
    def domain(self) -> str:
        return "at least 0"

    def constant(self, y: Floats, share: Floats) -> Any:
        return log_of_mean(y, share)

    def constant_beside(self, offset: Floats, y: Floats, share: Floats) -> float:
        return log_of_mean_beside(offset, y, share, 1.0)

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        e = numerics.exp(z)
        return e - y * z, e - y

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        return np.asarray(gradient + y)

    def least(self, y: Floats) -> Floats:
        return np.asarray(y - y * numerics.log(np.where(y > 0, y, 1.0)))


@dataclass(frozen=True)
class Gamma(Loss):
    """``z + y exp(-z)``, half the deviance but for a constant; link log, y > 0."""

    log_link = True

    @property
    def domain(self) -> str:
        return "above 0"

    def constant(self, y: Floats, share: Floats) -> Any:
        return log_of_mean(y, share)

    def constant_beside(self, offset: Floats, y: Floats, share: Floats) -> float:
        return log_of_mean_beside(offset, y, share, 2.0)

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        e = y * numerics.exp(-z)
        return z + e, 1.0 - e

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        return np.asarray(1.0 - gradient)

    def least(self, y: Floats) -> Floats:
        return np.asarray(1.0 + numerics.log(y))


@dataclass(frozen=True)
class Tweedie(Loss):
    """``exp((2 - p) z) / (2 - p) - y exp((1 - p) z) / (1 - p)`` for a power p; link log.

    Half the deviance but for a constant, of a variance that grows as the mean to the power p: 0
    normal, 1 Poisson, 1 to 2 counts of gamma amounts, with zeros, 2 gamma, 3 inverse Gaussian.
    Powers of 1 and 2 are those losses (see `make`).
    """

    power: float = 1.5
    log_link = True

    @property
    def domain(self) -> str:
        return "any" if self.power <= 0 else "at least 0" if self.power < 2 else "above 0"

    def constant(self, y: Floats, share: Floats) -> Any:
        return log_of_mean(y, share)

    def constant_beside(self, offset: Floats, y: Floats, share: Floats) -> float:
        return log_of_mean_beside(offset, y, share, self.power)

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        p = self.power
        m = numerics.exp((2.0 - p) * z)
        e = y * numerics.exp((1.0 - p) * z)
        return m / (2.0 - p) - e / (1.0 - p), m - e

    @property
    def convex(self) -> bool:
        return 1.0 <= self.power <= 2.0

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        p, m = self.power, numerics.exp((2.0 - self.power) * z)
        return np.asarray((2.0 - p) * m + (p - 1.0) * (m - gradient) if self.convex else m)

    def least(self, y: Floats) -> Floats:
        p = self.power
        above = np.where(y > 0, y, 1.0)
        return np.where(y > 0, -numerics.exp((2.0 - p) * numerics.log(above)), 0.0) / (
            (2.0 - p) * (1.0 - p)
        )


@dataclass(frozen=True)
class Softmax(Loss):
    """``log(sum_k exp(z_k)) - z_y``, the multinomial log loss; y is the number of the class.

    z and the derivatives are (n_rows, n_outputs). The curvature is the largest eigenvalue that
    the second derivative ``diag(p) - p p'`` can have (Boehning 1992).
    """

    n_outputs: int = 3
    classifies = True
    probabilistic = True
    smooth = True
    curvature = 0.5
    has_dual = True
    joint = True

    @staticmethod
    def _shares(z: Floats) -> tuple[Floats, Floats, Floats]:
        """Of each row the largest z, the sum of exponentials relative to it, and their shares."""
        top = np.max(z, axis=1)
        e = numerics.exp(z - top[:, None])
        total = np.cumsum(e, axis=1)[:, -1]  # in order, as the core
        return top, total, e / total[:, None]

    def evaluate(self, z: Floats, y: Floats) -> tuple[Floats, Floats]:
        top, total, gradient = self._shares(z)
        rows, label = np.arange(len(z)), y.astype(np.intp)
        gradient[rows, label] -= 1.0
        return numerics.log(total) + (top - z[rows, label]), gradient

    def constant(self, y: Floats, share: Floats) -> Any:
        shares = np.bincount(y.astype(np.intp), weights=share, minlength=int(self.n_outputs))
        logs = numerics.log(np.where(shares > 0, shares, 1e-9))
        return np.asarray(logs - np.mean(logs))

    def probability(self, z: Floats) -> Floats:
        """The probability of each class, (n_rows, n_outputs)."""
        return self._shares(z)[2]

    def log_probability(self, z: Floats) -> Floats:
        return log_shares(z)

    def second_derivative(self, z: Floats, y: Floats, gradient: Floats) -> Floats:
        """Of each output by itself, (n_rows, n_outputs)."""
        p = self._probabilities(gradient, y)
        return np.asarray(p * (1.0 - p))

    def hessian(self, y: Floats, gradient: Floats) -> Callable[[Floats], Floats]:
        p = self._probabilities(gradient, y)

        def product(direction: Floats) -> Floats:
            moved = p * direction
            moved -= p * np.sum(moved, axis=1)[:, None]
            return moved

        return product

    @staticmethod
    def _probabilities(u: Floats, y: Floats) -> Floats:
        """Those that make derivatives u."""
        p = u.copy()
        p[np.arange(len(u)), y.astype(np.intp)] += 1.0
        return p

    def row_gap_bound(self, z: Floats, y: Floats, gradient: Floats, u: Floats) -> Floats:
        # As of two classes.
        missed, p = u - gradient, self._probabilities(gradient, y)
        return np.asarray(np.sum(missed * missed / np.maximum(p, TINY), axis=1))

    def within_bounds(self, u: Floats, y: Floats) -> Floats:
        p = np.maximum(self._probabilities(u, y), 0.0)
        p = p / np.cumsum(p, axis=1)[:, -1:]
        p[np.arange(len(u)), y.astype(np.intp)] -= 1.0
        return np.asarray(p)

    def conjugate(self, u: Floats, y: Floats) -> Floats:
        # The negative entropy of the probabilities.
        p = self._probabilities(u, y)
        return np.cumsum(p * numerics.log(np.maximum(p, TINY)), axis=1)[:, -1]

    def dual_step(self, z: Floats, y: Floats, u: Floats, h: Floats) -> tuple[Floats, Floats]:
        """As far as the bound 1/2 of the curvature allows."""
        value, gradient = self.evaluate(z, y)
        gap = value + self.conjugate(u, y) - np.cumsum(u * z, axis=1)[:, -1]
        step = 1.0 / (1.0 + 0.5 * h)
        return u + step[:, None] * (gradient - u), np.maximum(gap, 0.0)


def weighted_quantile(y: Floats, share: Floats, q: float) -> float:
    """The least number that at least a share q of the targets does not exceed; of very many targets
    that of some."""
    every = -(-len(y) // MOST_SORTED)
    y, share = y[::every], share[::every]
    order = np.argsort(y, kind="stable")
    reached = np.cumsum(share[order])
    return float(y[order[min(np.searchsorted(reached, q * reached[-1]), len(y) - 1)]])


def exp_of_negative(x: Floats) -> Floats:
    """exp(x) for x <= 0, which is 0 where float64 has no normal number left."""
    return np.where(x < -708.0, 0.0, numerics.exp(x))


def log_shares(logs: Floats) -> Floats:
    """Logarithms of the shares that ``exp(logs)`` have of their sum in each row; equal shares where
    all logarithms of a row are -inf."""
    top = np.max(logs, axis=1, keepdims=True)
    relative = np.where(np.isneginf(top), 0.0, logs - np.where(np.isneginf(top), 0.0, top))
    e = exp_of_negative(relative)
    np.put_along_axis(e, np.argmax(relative, axis=1, keepdims=True), 0.0, axis=1)
    rest = np.cumsum(e, axis=1)[:, -1:]  # beside the largest, which is 1
    few = rest <= 1.0
    total = np.where(few, numerics.log1p_unit(np.where(few, rest, 0.0)), numerics.log(1.0 + rest))
    return np.asarray(relative - total)


def class_probabilities(loss: Loss, z: Floats) -> Floats:
    """Probabilities of all classes, (n_rows, n_classes), from raw predictions, (n_rows, n_outputs).

    Of classes fitted against the rest they are each one's own, scaled to sum to 1.
    """
    p = _backend.active.probabilities(loss, z)
    if loss.joint:
        return p
    if z.shape[1] == 1:
        return np.concatenate([1.0 - p, p], axis=1)
    total = p.sum(axis=1, keepdims=True)
    lost = total[:, 0] == 0
    p = p / np.where(total > 0, total, 1.0)
    p[lost] = numerics.exp(log_shares(loss.log_probability(z[lost])))
    return p


def class_log_probabilities(loss: Loss, z: Floats) -> Floats:
    """The logarithms of `class_probabilities`."""
    if loss.joint:
        return loss.log_probability(z)
    if z.shape[1] == 1:
        return loss.log_probability(np.concatenate([-z, z], axis=1))
    return log_shares(loss.log_probability(z))


def log_of_mean(y: Floats, share: Floats) -> float:
    """The best constant raw prediction with a log link."""
    mean = float(np.sum(share * y))
    return float(numerics.log(np.array(mean))) if mean > 0 else 0.0


def log_of_mean_beside(offset: Floats, y: Floats, share: Floats, power: float) -> float:
    """The best constant raw prediction with a log link beside an offset, for a variance that grows
    as the mean to this power: the derivative of the mean loss by it is 0 there."""
    center = float(np.sum(share * offset))
    o = offset - center
    # What lies so far from the others has the whole say of a sum anyway, or none.
    by_target = numerics.exp(np.clip((1.0 - power) * o, -700.0, 700.0))
    by_mean = numerics.exp(np.clip((2.0 - power) * o, -700.0, 700.0))
    above, below = float(np.sum(share * y * by_target)), float(np.sum(share * by_mean))
    found = numerics.log(np.array([above, below])) if 0 < above < math.inf else np.zeros(2)
    return float(found[0] - found[1]) - center


LOSSES: dict[str, type[Loss]] = {
    "log_loss": LogLoss,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "modified_huber": ModifiedHuber,
    "perceptron": Perceptron,
    "squared_error": SquaredError,
    "huber": Huber,
    "absolute_error": AbsoluteError,
    "quantile": Quantile,
    "epsilon_insensitive": EpsilonInsensitive,
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive,
    "poisson": Poisson,
    "gamma": Gamma,
    "tweedie": Tweedie,
}


#: Those that `make` knows: those that an estimator's loss= names, and one that it comes to.
ALL: dict[str, type[Loss]] = {**LOSSES, "softmax": Softmax}


def make(name: str, **parameters: Any) -> Loss:
    """The loss of this name, with those of the parameters that it has.

    >>> make("huber", epsilon=1.35, quantile=0.9)
    Huber(epsilon=1.35)
    >>> make("tweedie", power=1)
    Poisson()
    """
    cls = ALL[name]
    loss = cls(**{each.name: float(parameters[each.name]) for each in fields(cls)})
    if isinstance(loss, Tweedie) and loss.power in (1.0, 2.0):
        return Poisson() if loss.power == 1.0 else Gamma()
    return loss


def name_of(loss: Loss) -> str:
    """The name under which `make` makes it."""
    return next(name for name, cls in ALL.items() if cls is type(loss))
