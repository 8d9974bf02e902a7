"""Certificates: how far above the minimum weights are, at most.

Dual variables, one for each row and output, bound the minimum from below (Fenchel's duality). The
best ones to be had are the derivatives of the rows' losses, made to fit two conditions: those of an
output sum to 0, since its intercept is free, and where a feature has an l1 penalty alone, no sum
over its column is larger than that. With share_i a row's weight over the sum of all,

    v = sum_i share_i u_i x_i,    objective - minimum <= sum_i share_i gap_i + sum_j gap_j(w_j, v_j)

where gap_i is 0 for a row whose u_i is its derivative. Of one that was scaled by c it is at most
(1 - c) times what its loss is above the least it can be: the conjugate is convex. So no loss has to
have a formula for its conjugate. One that has can do with other variables as well, whose gap_i is
``loss + conjugate - u z``: a Newton step ends where derivatives to first order make the second sum
0, while derivatives themselves need a gradient that is small beside the square root of alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lrcore import _backend
from lrcore._utils import numerics
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import TrainedModel
from lrcore.losses import Loss

#: Objectives below so much of what they are without a model count as this: no bound could be small
#: beside an objective that is 0 but for rounding.
NOTHING = 1e-9

#: The share of the objective below which a simple bound of the gaps of rows is close enough.
CLOSE = 1e-4


class Gap(NamedTuple):
    """`objective` is that of some weights, measured from the least that the losses can be, and no
    more than `gap` above its minimum; `null` is the same of weights of 0."""

    objective: float
    gap: float
    null: float

    @property
    def relative(self) -> float:
        """The gap over the objective; infinite where there is no bound."""
        if not math.isfinite(self.objective) or math.isnan(self.gap):
            return math.inf
        scale = max(self.objective, NOTHING * self.null)
        return self.gap / scale if scale > 0 else 0.0


def gap_of_model(problem: Problem, model: TrainedModel, n_threads: int | None) -> float:
    """The largest duality gap of a target, over its objective."""
    W, intercepts = (part.astype(np.float64) for part in model.weights)
    z = problem.X.wide_predictions(np.ascontiguousarray(W), n_threads).T + intercepts
    offset: np.ndarray | float = 0.0
    if problem.offsets is not None:
        offset = np.concatenate(problem.offsets, axis=1)
    share = np.stack([one.share for one in problem.each_target()])
    at = problem.objective, problem.X, problem.targets, share, W, z + offset, n_threads
    return max(gap.relative for gap in duality_gaps(*at, offset=offset))


def duality_gaps(
    objective: Objective, X: DesignMatrix, targets: Sequence[np.ndarray], share: np.ndarray,
    W: np.ndarray, z: np.ndarray, n_threads: int | None, dual: np.ndarray | None = None,
    offset: np.ndarray | float = 0.0,
) -> list[Gap]:  # fmt: skip
    """The duality gaps of each target's weights.

    Parameters
    ----------
    objective : Objective
        Its loss is convex.
    X : DesignMatrix
    targets : sequence of ndarrays of shape (n_rows,)
    share : ndarray of shape (n_targets, n_rows) or (1, n_rows)
        Weights of the rows, which sum to 1, of each target or all.
    W : ndarray of shape (n_outputs, n_features), float64
        Each target has as many outputs as the loss.
    z : ndarray of shape (n_rows, n_outputs), float64
        The raw predictions, intercepts and offset included.
    n_threads : int or None
    dual : ndarray of shape (n_rows, n_outputs), optional
        Dual variables within their bounds; by default the derivatives of the losses.
    offset : ndarray of shape (n_rows, n_outputs) or float
        What of the raw predictions is there without a model.
    """
    loss, n, points = objective.loss, objective.loss.n_raw_predictions, []
    shares = [share[k % len(share)] for k in range(len(targets))]
    outputs = [slice(k * n, (k + 1) * n) for k in range(len(targets))]
    for y, own, part in zip(targets, shares, outputs):
        at, beside = z[:, part], offset if isinstance(offset, float) else offset[:, part]
        raw = at if loss.joint else at[:, 0]
        value, u = _backend.active.loss_and_gradient(loss, raw, y, n_threads)
        by = None if dual is None else dual[:, part]
        points.append(dual_point(objective, y, own, at, value, u, by, beside))
    weighed = [own * point.u.T for own, point in zip(shares, points)]
    v = X.weighted_sum(np.ascontiguousarray(np.concatenate(weighed)), n_threads)
    l1, l2 = objective.strengths(X.shape[1])
    below, each = objective.l1_below(X.shape[1]), zip(points, shares, outputs)
    return [point.gap(own, W[part], v[part], l1, l2, below) for point, own, part in each]


class DualPoint(NamedTuple):
    """Dual variables that sum to 0 with their shares, where the intercept is free, (n_rows,
    n_outputs); the gaps of the rows; their losses less the least that these can be; and the mean of
    that for raw predictions of 0."""

    u: np.ndarray
    rows: np.ndarray
    excess: np.ndarray
    null: float

    def gap(
        self, share: np.ndarray, W: np.ndarray, v: np.ndarray, l1: np.ndarray, l2: np.ndarray,
        l1_below: np.ndarray,
    ) -> Gap:  # fmt: skip
        """The gap of weights, where v are the sums of their features' columns; features that are
        left out have a weight of 0 and no v larger than their l1. Negative weights are penalised by
        `l1_below`, which may be infinite."""
        # A feature without curvature bounds its column by l1: all variables are scaled for it.
        rows, too_large = self.rows, ((v < -l1) | (v > l1_below)) & (l2 == 0)
        if too_large.any():
            c = float(np.min(np.broadcast_to(l1, v.shape)[too_large] / np.abs(v[too_large])))
            rows = c * rows + (1.0 - c) * self.excess
            v = c * v
        penalty = float(np.sum(l1 * np.abs(W)) + np.sum(l2 * np.square(W)) / 2)
        features = _feature_gaps(W, v, l1, l2, l1_below)
        objective = float(np.sum(share * self.excess)) + penalty
        # It is never larger than the objective, which cannot fall below 0.
        gap = float(np.sum(share * rows)) + float(np.sum(features))
        return Gap(objective, float(np.minimum(gap, objective)), self.null)


def dual_point(
    objective: Objective, y: np.ndarray, share: np.ndarray, z: np.ndarray, value: np.ndarray,
    gradient: np.ndarray, dual: np.ndarray | None = None, offset: np.ndarray | float = 0.0,
) -> DualPoint:  # fmt: skip
    """The derivatives of the losses at raw predictions, or other dual variables, made to sum to 0
    for each output."""
    loss, u, rows = objective.loss, gradient.reshape(z.shape), np.zeros(len(y))
    excess, null = value - loss.least(y), null_objective(loss, y, share, offset)
    if dual is not None:
        rows = loss.row_gap_bound(z, y, u, dual)
        close = float(np.sum(share * rows)) <= CLOSE * float(np.sum(share * excess))
        if loss.conjugate_pieces is None and not close:
            rows = row_gaps(loss, dual, z, y, value)
        u = dual
    if not objective.fit_intercept:
        return DualPoint(u, rows, excess, null)
    if loss.joint:
        return DualPoint(*_balance_joint(loss, u, rows, share, z, y, value), excess, null)
    return DualPoint(*_balance(u, rows, share, excess), excess, null)


def row_gaps(
    loss: Loss, dual: np.ndarray, z: np.ndarray, y: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """By how much the losses of rows and their conjugates at dual variables miss equality."""
    u = dual if loss.joint else dual[:, 0]
    product = np.sum(dual * z, axis=1)
    return np.maximum(value + loss.conjugate(u, y) - product, 0.0)


def null_objective(
    loss: Loss, y: np.ndarray, share: np.ndarray, offset: np.ndarray | float = 0.0
) -> float:
    """The mean loss of raw predictions of 0, and an offset (n_rows, 1) of a loss of numbers, above
    the least that it can be."""
    some = y[:1] if loss.classifies else y
    zero = np.zeros((len(some), int(loss.parameter)) if loss.joint else len(some))
    if isinstance(offset, np.ndarray):
        zero = zero + offset[:, 0]
    excess = loss.evaluate(zero, some)[0] - loss.least(some)
    return float(excess[0]) if loss.classifies else float(np.sum(share * excess))


def _balance(
    u: np.ndarray, rows: np.ndarray, share: np.ndarray, excess: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the sign that has more are scaled down, so that all sum to 0 with their shares;
    and the gaps of the rows."""
    products = share * u[:, 0]
    above, below = float(np.sum(np.maximum(products, 0))), -float(np.sum(np.minimum(products, 0)))
    if above == below:
        return u, rows
    larger = u[:, 0] > 0 if above > below else u[:, 0] < 0
    c = min(above, below) / max(above, below)
    return (
        np.where(larger[:, None], c * u, u),
        np.where(larger, c * rows + (1.0 - c) * excess, rows),
    )


def _balance_joint(
    loss: Loss, u: np.ndarray, rows: np.ndarray, share: np.ndarray, z: np.ndarray, y: np.ndarray,
    value: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The same of a joint loss, see `mixed`: the gap of a row grows by at most e times the
    divergence of its own probabilities from q."""
    label = np.zeros(u.shape)
    label[np.arange(len(y)), y.astype(np.intp)] = 1.0
    counts = np.sum(share[:, None] * label, axis=0)
    # Classes without a row that counts: the others' probabilities share theirs.
    if not (counts > 0).all():
        p = np.where(counts > 0, u + label, 0.0)
        u = p / np.sum(p, axis=1)[:, None] - label
        rows = row_gaps(loss, u, z, y, value)
    u, e, q = mixed(u, share, y)
    if e == 0.0:
        return u, rows
    logs = z - (value + np.sum(label * z, axis=1))[:, None]
    divergence = np.sum(q * (numerics.log(np.where(q > 0, q, 1.0)) - logs), axis=1)
    return u, (1.0 - e) * rows + e * np.maximum(divergence, 0.0)


def mixed(u: np.ndarray, share: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The dual variables of a softmax mixed with those of fixed probabilities q, the same for all
    rows, so that they sum to 0 for each output: ``(1 - e) u + e (q - e_y)``; and e and q."""
    n_outputs = u.shape[1]
    counts = np.bincount(y.astype(np.intp), weights=share, minlength=n_outputs)
    surplus = np.sum(share[:, None] * u, axis=0)
    # The share of q that leaves none of its entries below 0.
    e = float(np.max(surplus / np.maximum(counts + surplus, 1e-300)))
    e = min(max(e, 0.0), 1.0)
    if e == 0.0:
        return u, e, np.full(n_outputs, 1.0 / n_outputs)
    q = np.maximum(counts - (1.0 - e) / e * surplus, 0.0)
    q = q / np.sum(q)
    other = np.tile(q, (len(y), 1))
    other[np.arange(len(y)), y.astype(np.intp)] -= 1.0
    return (1.0 - e) * u + e * other, e, q


def _feature_gaps(
    w: np.ndarray, v: np.ndarray, l1: np.ndarray, l2: np.ndarray, l1_below: np.ndarray
) -> np.ndarray:
    """``penalty(w) + conjugate(-v) + w v`` of each weight, which is 0 where v is the negative of a
    subgradient."""
    # Of the point that v stands for, -(v - within) / l2, the weight's distance.
    within = np.clip(v, -l1, l1_below)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        distance = w + (v - within) / l2
        curved = 0.5 * l2 * np.square(distance)
    kink = l1 * np.abs(w) + w * within
    return np.where(l2 > 0, curved, 0.0) + np.maximum(kink, 0.0)
