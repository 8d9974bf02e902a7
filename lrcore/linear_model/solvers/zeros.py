"""The zeros of an l1 penalty after steps of an update rule.

Steps by single rows leave weights that ought to be 0 at small values that come and go. At a minimum
a weight is 0 where the derivative of the loss by it is no larger than its share of the penalty; so
weights are set to 0 that one step of coordinate descent, with the derivative over all rows, would
set to 0 (Friedman, Hastie and Tibshirani 2010). So does one to a bound below, with or without l1.
"""

from __future__ import annotations

import numpy as np

from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.problem import Problem

#: How often derivatives are taken anew at the most, and weights are left as they are if the
#: objective would rise: half of those that were to be 0, the smaller ones, are tried then.
ROUNDS, HALVINGS = 5, 6

#: What an objective may rise by, as a sum that is rounded.
ROUNDING = 1e-12

#: Stands for a bound of 0.
TINY = 1e-300


def settle_zeros(states: list[ModelState], problem: Problem, n_threads: int | None) -> None:
    """Set to 0 the weights of these states that are 0 at a minimum, in place; features are numbered
    as in the problem. Nothing changes without an l1 penalty or a bound."""
    objective = problem.objective
    if objective.penalty.strengths[0] == 0 and objective.positive is None:
        return
    n_features = problem.X.shape[1]
    (l1, l2), l1_below = objective.strengths(n_features), objective.l1_below(n_features)
    for state, one in zip(states, problem.each_target()):
        share = one.share
        W = before = state.averaged_weights
        point = _Point(one, n_threads, W)
        for _ in range(ROUNDS):
            curvature = point.curvatures(share) + l2
            gradient = point.gradients(share) + l2 * W[:, :-1]
            to_reach = curvature * W[:, :-1] - gradient
            movable = (W[:, :-1] != 0) & (l1_below > 0)
            far = share_of(to_reach, l1, l1_below)
            to_zero = movable & (far <= 1.0)
            found = _without(W, to_zero, far, point, one, n_threads)
            if found is None:
                break
            W, point = found
        changed = (W == 0) & (before != 0)
        state.weights[changed] = 0
        if state.average is not None:
            state.average.changes[:, : len(W)][changed.T] = 0


def share_of(x: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """|x| over what it may be on its side of 0, which may be 0 or infinite; 0 where x is 0."""
    bound = np.where(x > 0, above, below)
    with np.errstate(over="ignore"):
        return np.asarray(np.abs(x) / np.where(bound > 0, bound, np.where(x == 0, 1.0, TINY)))


class _Point:
    """Weights, and what all rows lose by them."""

    def __init__(self, problem: Problem, n_threads: int | None, W: np.ndarray) -> None:
        self._problem, self._n_threads = problem, n_threads
        X = problem.X
        each = [X.raw_predictions(w[:-1].copy(), float(w[-1]), n_threads) for w in W]
        z = np.stack(each, axis=1).astype(np.float64) + problem.offset(0)
        y, loss = problem.targets[0], problem.objective.loss
        self._z, self._y = z, y if loss.joint else y.reshape(z.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            self._losses, self._slopes = loss.evaluate(z, self._y)
        mean = float(np.sum(np.average(self._losses, axis=0, weights=problem.share)))
        self.objective = mean + problem.objective.penalty_value(W[:, :-1].astype(np.float64))

    def gradients(self, share: np.ndarray) -> np.ndarray:
        """Of the mean loss by each weight, (n_outputs, n_features)."""
        weighed = np.ascontiguousarray((share[:, None] * self._slopes).T)
        return self._problem.X.weighted_sum(weighed, self._n_threads)

    def curvatures(self, share: np.ndarray) -> np.ndarray:
        """Bounds of the second derivatives by each weight, (n_features,); by a log link, which has
        no bound, what they are at this point."""
        loss, X = self._problem.objective.loss, self._problem.X
        if loss.log_link:
            z, y, slopes = self._z[:, 0], self._problem.targets[0], self._slopes[:, 0]
            return X.column_squares(share * loss.second_derivative(z, y, slopes), self._n_threads)
        return loss.curvature * X.column_squares(share, self._n_threads)


def _without(
    W: np.ndarray, to_zero: np.ndarray, far: np.ndarray, point: _Point, problem: Problem,
    n_threads: int | None,
) -> tuple[np.ndarray, _Point] | None:  # fmt: skip
    """The weights without those that are to be 0, or the half of them that is least far from it,
    and so on, once the objective does not rise; None if there are none."""
    for _ in range(HALVINGS):
        if not to_zero.any():
            return None
        changed = W.copy()
        changed[:, :-1][to_zero] = 0
        new = _Point(problem, n_threads, changed)
        if new.objective <= point.objective + ROUNDING * abs(point.objective):
            return changed, new
        to_zero &= far < np.median(far[to_zero])
    return None
