"""What the client does between rounds: L-BFGS for one target, from sums over all rows.

A descent is asked for the next point to evaluate, and told what came of it; it never waits. Weights
with an l1 penalty follow its orthant-wise form (Andrew and Gao 2007): a step does not cross 0, and
the direction goes down from where the penalty bends.

Of a loss with kinks the Moreau envelope is minimised, which is smooth, and made narrower whenever
most of the gap comes from it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple, Protocol

import numpy as np

from lrcore.linear_model.duality import DualPoint, Gap
from lrcore.linear_model.problem import Objective

#: Pairs of differences that are kept (Nocedal and Wright 2006, section 7.2).
PAIRS = 10

#: Share of the fall that a step has to keep of what its slope promises; the share of the slope
#: that has to be left for a step to be lengthened; and trials of a step before the descent ends.
ARMIJO, STEEP, TRIALS = 1e-4, 0.9, 20

#: The next trial over the last: at least, at most, and where it is to be longer.
SHORTEST, LONGEST_AGAIN, LONGER = 0.1, 0.5, 4.0

#: How far a loss with kinks is smoothed at first, over its mean without a model; and how much less
#: from one time to the next.
FIRST_SMOOTHING, NARROWER = 0.5, 0.25

#: What is next to nothing beside the objective: rounding.
ROUNDING = 1e-15

#: The gap that the derivative by an intercept makes, over what it has without a model and the loss
#: there: rows of one sign have to make up for those of the other.
INTERCEPTS = 5.0

#: A certificate is asked for once the gap is expected to be so many times the tolerance.
NEAR = 30.0


class Point(NamedTuple):
    """Weights (n_outputs, n_features + 1), the intercepts last, what they lose above the least, the
    objective, and the derivatives of the mean loss."""

    theta: np.ndarray
    mean_loss: float
    objective: float
    slopes: np.ndarray


class Certified(NamedTuple):
    """Dual variables of all rows, what they sum up to, and the gap that is due to smoothing."""

    point: DualPoint
    v: np.ndarray
    smoothed: float


class Curvature(Protocol):
    """What is known of the Hessian before the first step."""

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """About the inverse Hessian times a gradient, both (n_outputs, n_features + 1)."""


class LimitedMemory:
    """An approximate inverse Hessian, of the last few steps and of what is known to begin with."""

    def __init__(self, curvature: Curvature) -> None:
        self._curvature = curvature
        self._pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=PAIRS)

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        """Take a step and how the gradient changed by it, unless the curvature along it is 0."""
        product = total(step, change)
        if product > 1e-12 * math.sqrt(total(step, step) * total(change, change)):
            self._pairs.append((step, change, product))

    def forget(self) -> None:
        """Begin anew."""
        self._pairs.clear()

    def __len__(self) -> int:
        return len(self._pairs)

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """About the inverse Hessian times the gradient."""
        q, kept = gradient.copy(), []
        for step, change, product in reversed(self._pairs):
            a = total(step, q) / product
            q -= a * change
            kept.append(a)
        q = self._curvature.solve(q)
        if self._pairs:
            _, change, product = self._pairs[-1]
            q *= product / total(change, self._curvature.solve(change))
        for (step, change, product), a in zip(self._pairs, reversed(kept)):
            q += (a - total(change, q) / product) * step
        return q


def total(a: np.ndarray, b: np.ndarray) -> float:
    """The sum of the products of their numbers, in an order that is the same everywhere."""
    return float(np.sum(a * b))


class WithoutModel(NamedTuple):
    """Of raw predictions of 0 the mean loss above the least, and the mean size of the losses'
    derivatives."""

    loss: float
    slope: float


class Descent:
    """The fit of one target in progress: `trial` is what to evaluate next, `point` where it is.

    Parameters
    ----------
    objective : Objective
        With the numbers of all features that are used.
    curvature : Curvature
    theta : ndarray of shape (n_outputs, n_features + 1)
        Where to begin, the intercepts last.
    constant : ndarray of shape (n_outputs, n_features + 1)
        The best model without weights, to begin at instead if it has the lower objective.
    highest : float
        Its objective, above the least that the losses can be.
    zero : WithoutModel
        What raw predictions of 0 lose.
    dtype : dtype
        That of the model, to which weights are rounded.
    tol : float or None
        The gap to end at, over the objective.
    """

    def __init__(
        self, objective: Objective, curvature: Curvature, theta: np.ndarray, constant: np.ndarray,
        highest: float, zero: WithoutModel, dtype: np.dtype[Any], tol: float | None,
    ) -> None:  # fmt: skip
        self.objective, self._dtype, self._tol = objective, dtype, tol
        self._constant, self._highest, self.null = constant, highest, zero.loss
        # What a derivative by an intercept of 1 may stand for.
        self._of_intercepts = INTERCEPTS * zero.loss / (zero.slope or 1.0)
        self.l1, self.l2 = objective.strengths(theta.shape[1] - 1)
        self._has_l1 = bool(self.l1.any())
        self._memory = LimitedMemory(curvature)
        pieces = objective.loss.conjugate_pieces
        kinked = pieces is not None and pieces.smooth == 0
        #: What of the square of the derivatives is added to the conjugate of a loss with kinks.
        self.smoothing = FIRST_SMOOTHING * (zero.loss or 1.0) if kinked else 0.0
        self.point: Point | None = None
        self.trial = self._rounded(theta)
        #: The gap at the point, over the objective: about, and as it was certified last.
        self.gap = self.certified = math.inf
        self.done = False
        self._bound = -math.inf
        self._t = self._slope = 0.0
        self._direction = np.zeros_like(theta)
        self._longest: tuple[Point, Certified | None] | None = None
        self._n_trials = 0

    @property
    def certifiable(self) -> bool:
        """Whether the dual bounds the minimum."""
        penalised = bool(((self.l2 > 0) | (self.l1 > 0)).all())
        return penalised and self.objective.loss.convex

    @property
    def certifies(self) -> bool:
        """Whether the next point should come with a certificate."""
        near = self._tol is None or self.gap <= NEAR * self._tol or self.smoothing > 0
        return self.certifiable and near

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        if self.done or self._tol is None:
            return self.done
        return self.certified <= self._tol or (not self.certifiable and self.gap <= self._tol)

    def _rounded(self, theta: np.ndarray) -> np.ndarray:
        """Weights as the model has them."""
        rounded = theta.astype(self._dtype).astype(np.float64)
        if not self.objective.fit_intercept:
            rounded[:, -1] = 0.0
        return rounded

    # ---- steps -----------------------------------------------------------------------------------

    def advance(
        self, mean_loss: float, slopes: np.ndarray | None, certified: Certified | None
    ) -> None:
        """Take what came of the trial: the mean loss above the least, the derivatives of the mean
        loss, None where it is beyond what a number holds, and a certificate, if there is one."""
        trial = None
        if slopes is not None and math.isfinite(mean_loss):
            if not self.objective.fit_intercept:
                slopes[:, -1] = 0.0
            value = mean_loss + self.objective.penalty_value(self.trial[:, :-1])
            trial = Point(self.trial, mean_loss, value, slopes)
        if self.point is not None:
            self._search(trial, certified)
            return
        is_constant = np.array_equal(self.trial, self._rounded(self._constant))
        if not is_constant and (trial is None or trial.objective > self._highest):
            self.trial = self._rounded(self._constant)
        elif trial is None:
            raise FloatingPointError(
                "the loss of the best constant is beyond what float64 holds; scale y to be near 1"
            )
        else:
            self._accept(trial, certified)

    def _search(self, trial: Point | None, certified: Certified | None) -> None:
        """One trial of a step: taken, made longer while the slope hardly changes, or shortened by
        the parabola through what is known."""
        point, t = self.point, self._t
        assert point is not None
        self._n_trials += 1
        most = point.objective + ROUNDING * abs(point.objective)
        good = trial is not None and trial.objective <= most + ARMIJO * t * self._slope
        if self._longest is not None and (
            not good or trial is None or trial.objective > self._longest[0].objective
        ):
            self._accept(*self._longest)
        elif trial is None:
            self._try(SHORTEST * t)
        elif not good:
            rise = trial.objective - point.objective - t * self._slope
            best = -self._slope * t * t / (2 * rise)
            self._try(min(max(best, SHORTEST * t), LONGEST_AGAIN * t))
        elif not self._has_l1 and self._slope_at(trial) < STEEP * self._slope:
            self._longest = trial, certified
            self._try(LONGER * t)
        else:
            self._accept(trial, certified)

    def _slope_at(self, trial: Point) -> float:
        """That of the objective along the step, at its end."""
        return total(self._smooth_gradient(trial), self._direction)

    def _try(self, t: float) -> None:
        """Another length of the step, unless there have been too many."""
        if self._n_trials < TRIALS:
            self._aim(t)
        elif self._longest is not None:
            self._accept(*self._longest)
        else:
            self._end_or_restart()

    def _end_or_restart(self) -> None:
        """What is known of the curvature may be of no use any more."""
        if len(self._memory):
            self._memory.forget()
            self._new_direction()
        else:
            self.done = True

    def _accept(self, new: Point, certified: Certified | None) -> None:
        """Go to a point, and find the direction to go on in."""
        old, self.point = self.point, new
        if old is not None:
            change = self._smooth_gradient(new) - self._smooth_gradient(old)
            self._memory.learn(new.theta - old.theta, change)
            self.done = old.objective - new.objective <= ROUNDING * abs(old.objective)
        self._new_direction()
        self._measure(certified)

    def _new_direction(self) -> None:
        point = self.point
        assert point is not None
        gradient = self._pseudo_gradient(point)
        direction = -self._memory.solve(gradient)
        if self._has_l1:
            # Only where the objective falls.
            direction = np.where(direction * gradient < 0, direction, 0.0)
        self._slope, self._direction = total(direction, gradient), direction
        self._n_trials, self._longest = 0, None
        if self._slope < 0:
            self._aim(1.0)
        else:
            self._end_or_restart()

    def _aim(self, t: float) -> None:
        """Make the step of length t the next trial."""
        point = self.point
        assert point is not None
        self._t, theta = t, point.theta + t * self._direction
        if self._has_l1:
            W, before = theta[:, :-1], point.theta[:, :-1]
            downhill = -np.sign(self._pseudo_gradient(point)[:, :-1])
            side = np.where(before != 0, np.sign(before), downhill)
            theta[:, :-1] = np.where((self.l1 > 0) & (W * side < 0), 0.0, W)
        self.trial = self._rounded(theta)

    def _smooth_gradient(self, point: Point) -> np.ndarray:
        """Of the objective without its l1 part."""
        gradient = point.slopes.copy()
        gradient[:, :-1] += self.l2 * point.theta[:, :-1]
        return gradient

    def _pseudo_gradient(self, point: Point) -> np.ndarray:
        """Of the objective: the shortest subgradient."""
        gradient = self._smooth_gradient(point)
        if self._has_l1:
            W, G = point.theta[:, :-1], gradient[:, :-1]
            at_zero = np.sign(G) * np.maximum(np.abs(G) - self.l1, 0.0)
            gradient[:, :-1] = np.where(W != 0, G + self.l1 * np.sign(W), at_zero)
        return gradient

    # ---- gaps ------------------------------------------------------------------------------------

    def _measure(self, certified: Certified | None) -> None:
        """The gap at the point: by dual variables of all rows, or about, from the gradient alone;
        where there is no bound, what a step may gain."""
        point = self.point
        assert point is not None
        if certified is not None:
            found = certified.point.gap(*self._at(point, certified.v))
            # No point has lowered the bound of the minimum that an earlier one has given.
            self._bound = max(self._bound, found.objective - found.gap)
            gap = found._replace(gap=found.objective - self._bound)
            self.gap = self.certified = gap.relative
            self._narrow(found, certified)
            return
        left = -self._slope / 2
        if self.certifiable:
            none = np.zeros(1)
            bound = DualPoint(none, none, np.array([point.mean_loss]), self.null)
            left = bound.gap(*self._at(point, point.slopes[:, :-1])).gap
            left += self._of_intercepts * float(np.sum(np.abs(point.slopes[:, -1])))
        self.gap = Gap(point.objective, left, self.null).relative

    def _at(self, point: Point, v: np.ndarray) -> tuple[np.ndarray, ...]:
        below = self.objective.l1_below(len(self.l1))
        return np.ones(1), point.theta[:, :-1], v, self.l1, self.l2, below

    def _narrow(self, gap: Gap, certified: Certified) -> None:
        """Smooth less, where that is most of the gap; the point has to be evaluated anew then."""
        assert self.point is not None
        if self.smoothing and not self.ended and 2 * certified.smoothed > gap.gap:
            self.smoothing *= NARROWER
            self._highest, self.trial, self.point = math.inf, self.point.theta, None
            self.done = False
