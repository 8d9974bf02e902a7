"""Proximal Newton steps: a quadratic model of the loss plus the penalties is minimised by
coordinate descent (Friedman, Hastie and Tibshirani 2010; Yuan, Ho and Lin 2012), and the weights go
as far towards that minimum as the objective falls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lrcore import _backend
from lrcore.linear_model.duality import DualPoint, dual_point, null_objective
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.quadratic import (
    Penalties,
    RowDerivatives,
    at_least_one,
    column_squares,
    quadratic_model,
    selected,
)
from lrcore.linear_model.problem import Objective

#: The share of the first epoch's gain at which a coordinate descent ends, at most and at least; it
#: is one of the gap in between.
COARSE, FINE, OF_GAP = 1e-2, 1e-10, 1e-2

#: Second derivatives are at least so many times the bound of the loss's: a tenth after a full step,
#: ten times as much after one that was cut. Losses with straight pieces need it.
DAMPING = 1e-3

#: The share of the promised fall of the objective that a step must have, and times it is halved.
SUFFICIENT, HALVINGS = 1e-4, 40

#: What the objective may be off by, as it is a rounded sum.
ROUNDING = 1e-15

#: The sum of the derivatives, over that of their magnitudes, at which an intercept has its place.
#: In later steps it is so many times the gap.
SETTLED, SETTLED_OF_GAP = 1e-4, 3e-4

#: Newton steps of features that are not penalised, for the gap, and what counts as a sum of 0, over
#: the largest that it could be.
FREE_STEPS, ZERO = 4, 1e-9

#: A step that promises more than so much of what the last one did asks for a better model.
SLOW = 0.25


@dataclass(frozen=True)
class Point:
    """Weights (n_outputs, n_features), intercepts, and what follows from them: raw predictions with
    the offset, losses of the rows and their derivatives, the mean loss, and the penalty."""

    w: np.ndarray
    b: np.ndarray
    z: np.ndarray
    values: np.ndarray
    gradient: np.ndarray
    loss: float
    penalty: float

    @property
    def objective(self) -> float:
        return self.loss + self.penalty


@dataclass(frozen=True)
class Rows:
    """The rows of one target: their targets, their weights, which sum to 1, the columns of features
    that are not penalised, if there are any, what is added to their raw predictions, and which of
    these features are bounded below."""

    objective: Objective
    y: np.ndarray
    share: np.ndarray
    columns: DesignMatrix | None = None
    n_threads: int | None = None
    offset: np.ndarray | float = 0.0
    bounded: np.ndarray | None = None

    @property
    def n_outputs(self) -> int:
        """Outputs of the target."""
        loss = self.objective.loss
        return int(loss.parameter) if loss.joint else 1

    def mean(self, of_rows: np.ndarray) -> float:
        """The weighted mean."""
        return float(np.sum(self.share * of_rows))

    def evaluate(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses (n_rows,) and derivatives (n_rows, n_outputs) at raw predictions of that shape."""
        loss = self.objective.loss
        raw = z if loss.joint else z[:, 0]
        values, u = _backend.active.loss_and_gradient(loss, raw, self.y, self.n_threads)
        return values, u.reshape(z.shape)

    def second_derivatives(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """(n_rows, n_outputs), of each output by itself."""
        loss = self.objective.loss
        if loss.joint:
            return loss.second_derivative(z, self.y, gradient)
        return loss.second_derivative(z[:, 0], self.y, gradient[:, 0])[:, None]

    def dual(self, point: Point, unpenalised: np.ndarray) -> DualPoint:
        """Dual variables for a point: the derivatives of the losses, made to fit what is free.

        Of features that are not penalised, whose numbers are `unpenalised`, the sums have to be 0,
        as those of an intercept have, unless they are held back by a bound. So variables are
        derivatives at other raw predictions, to which Newton steps of these features alone lead: a
        row's gap is then what its loss is above its tangent there.
        """
        loss, y = self.objective.loss, self.y
        free = self._free_columns(point, unpenalised)
        if free is None:
            gradient = point.gradient if loss.joint else point.gradient[:, 0]
            at = self.objective, y, self.share, point.z, point.values, gradient
            return dual_point(*at, offset=self.offset)
        z, values, u = point.z, point.values, point.gradient
        for _ in range(FREE_STEPS):
            z = z + self._free_step(free, z, u)[:, None]
            values, u = self.evaluate(z)
        excess = point.values - loss.least(y)
        rows = np.maximum(point.values - values - (u * (point.z - z))[:, 0], 0.0)
        most = ZERO * math.sqrt(self.mean(np.square(u[:, 0])))
        if self.objective.fit_intercept and not abs(self.mean(u[:, 0])) <= most:
            # They have not led there: the gap is as large as the objective.
            rows = excess + point.penalty
        return DualPoint(u, rows, excess, null_objective(loss, y, self.share, self.offset))

    def _free_columns(self, point: Point, unpenalised: np.ndarray) -> DesignMatrix | None:
        """The columns of features that nothing holds back at a point: neither a penalty nor a bound
        that they are at."""
        if self.columns is None or self.bounded is None:
            return self.columns
        free = ~self.bounded | (point.w[:, unpenalised] != 0).any(axis=0)
        return selected(self.columns, np.flatnonzero(free)) if free.any() else None

    def _free_step(self, X: DesignMatrix, z: np.ndarray, u: np.ndarray) -> np.ndarray:
        """By how much a Newton step of these features, and the intercept, moves raw predictions."""
        intercept = self.objective.fit_intercept
        n, active = X.shape[1], _backend.active
        factors = self.share * self.second_derivatives(z, u)[:, 0]
        H = active.weighted_grams(X, factors[None], None, self.n_threads)[0]
        slope = self.share * u[:, 0]
        b = np.append(X.weighted_sum(slope, self.n_threads), [np.sum(slope)] * intercept)
        step = -active.cholesky_solve(active.cholesky(H, n + intercept), b)
        moved = active.wide_predictions(X, step[:n], self.n_threads)
        return moved + step[n] if intercept else moved

    @cached_property
    def _norms(self) -> np.ndarray:
        assert self.columns is not None
        return np.sqrt(column_squares(self.columns, self.share, self.n_threads))

    def without_rounding(
        self, dual: DualPoint, v: np.ndarray, unpenalised: np.ndarray
    ) -> np.ndarray:
        """Sums of columns, where those of features that are not penalised are 0 if they are so but
        for rounding."""
        if self.columns is not None:
            most = ZERO * self._norms * math.sqrt(self.mean(np.square(dual.u[:, 0])))
            of_these = v[:, unpenalised]
            v[:, unpenalised] = np.where(np.abs(of_these) <= most, 0.0, of_these)
        return v

    def point(self, penalties: Penalties, w: np.ndarray, b: np.ndarray, z: np.ndarray) -> Point:
        """What follows from weights, intercepts and the raw predictions that they have."""
        values, gradient = self.evaluate(z)
        penalty = sum(penalties.value(each) for each in w)
        return Point(w, b, z, values, gradient, self.mean(values), penalty)


class ProximalSteps:
    """Steps over all features of X.

    `gap` is that of a problem that has no other features, `dual` and `v` what it follows from: dual
    variables, and the sums of the columns that they give.

    Parameters
    ----------
    X : DesignMatrix
    rows : Rows
    penalties : Penalties
    point : Point
        To begin from.
    known : tuple of DualPoint and ndarray, optional
        Dual variables and sums of columns at this point.
    n_threads : int, optional
    """

    def __init__(
        self, X: DesignMatrix, rows: Rows, penalties: Penalties, point: Point,
        known: tuple[DualPoint, np.ndarray] | None, n_threads: int | None,
    ) -> None:  # fmt: skip
        self._X, self._rows, self._penalties, self._n_threads = X, rows, penalties, n_threads
        self._model = quadratic_model(X, rows.objective.fit_intercept, n_threads)
        self._damping, self._promised = DAMPING, math.inf
        self.point = point
        self._settled = False
        self.dual, self.v = self._certificate() if known is None else known
        self.gap = self.dual.gap(rows.share, point.w, self.v, *penalties)

    def step(self) -> bool:
        """A step of each output; whether the objective or the gap fell."""
        before, gap = self.point.objective, self.gap.gap
        for k in range(len(self.point.b)):
            self._step(k)
        self._settled = self._settle_intercept()
        self.dual, self.v = self._certificate()
        self.gap = self.dual.gap(self._rows.share, self.point.w, self.v, *self._penalties)
        return self.point.objective < before or self.gap.gap < gap

    # ---- points ---------------------------------------------------------------------------------

    def _raw_predictions(self, w: np.ndarray) -> np.ndarray:
        """Without intercepts, (n_rows, n_outputs)."""
        predict = _backend.active.wide_predictions
        return np.stack([predict(self._X, each, self._n_threads) for each in w], axis=1)

    def _rounded(self, w: np.ndarray) -> np.ndarray:
        """Weights as the model will have them."""
        return w.astype(self._X.dtype).astype(np.float64)

    def _moved(self, k: int, w: np.ndarray, b: float) -> Point:
        """The point where output k has weights and an intercept, which are rounded."""
        all_w, all_b, z = (each.copy() for each in (self.point.w, self.point.b, self.point.z))
        all_w[k], all_b[k] = w, b
        all_w, all_b = self._rounded(all_w), self._rounded(all_b)
        z[:, k : k + 1] = self._raw_predictions(all_w[k : k + 1]) + all_b[k] + self._rows.offset
        return self._rows.point(self._penalties, all_w, all_b, z)

    def _certificate(self) -> tuple[DualPoint, np.ndarray]:
        """Dual variables at the point, and the sums of columns that they give."""
        unpenalised, share = np.flatnonzero(self._penalties.unpenalised), self._rows.share
        dual = self._rows.dual(self.point, unpenalised)
        v = np.stack([self._X.weighted_sum(share * u, self._n_threads) for u in dual.u.T])
        return dual, self._rows.without_rounding(dual, v, unpenalised)

    def _settle_intercept(self) -> bool:
        """Newton steps of the intercept alone: by as much as the derivatives of the losses miss a
        sum of 0 the gap is too large, and rows are cheap beside their values. Whether the dual
        variables are these derivatives, but for next to nothing."""
        rows, objective = self._rows, self._rows.objective
        if objective.loss.joint or rows.columns is not None:
            return False
        if not objective.fit_intercept:
            return True
        enough = min(SETTLED, SETTLED_OF_GAP * self.gap.relative)
        for last in (False, False, True):
            point = self.point
            slope = rows.mean(point.gradient[:, 0])
            if abs(slope) <= enough * rows.mean(np.abs(point.gradient[:, 0])):
                return True
            second = rows.mean(rows.second_derivatives(point.z, point.gradient)[:, 0])
            b = self._rounded(point.b - slope / second) if second > 0 else point.b
            new = self._rows.point(self._penalties, point.w, b, point.z + (b - point.b))
            if last or b == point.b or not new.objective <= point.objective:
                return False
            self.point = new
        return False

    # ---- steps ----------------------------------------------------------------------------------

    def _step(self, k: int) -> None:
        point, rows = self.point, self._rows
        second = rows.second_derivatives(point.z, point.gradient)[:, k]
        second = np.maximum(second, self._damping * rows.objective.loss.curvature)
        first = rows.share * point.gradient[:, k]
        sums = self.v[k] if self._settled else None
        derivatives = RowDerivatives(first, rows.share * second, sums)
        tol = min(COARSE, max(FINE, OF_GAP * self.gap.relative))
        pulled = self._penalties.size(self.v[k]) > self._penalties.l1
        chosen = at_least_one((point.w[k] != 0) | pulled | self._penalties.smooth_at_zero)
        w, change = self._model.minimise(derivatives, chosen, point.w[k], self._penalties, tol)
        self.point, promised, t = self._line_search(k, w, float(point.b[k]) + change)
        if t < 1:
            self._damping = min(1.0, 10 * self._damping)
        else:
            self._damping /= 10
            if promised > SLOW * self._promised:
                self._model.refine()
        self._promised = promised

    @np.errstate(over="ignore", invalid="ignore")
    def _line_search(self, k: int, w: np.ndarray, b: float) -> tuple[Point, float, float]:
        """Where the objective falls enough on the way of output k to these weights, how much the
        linear model of the loss promises at its end, and how far it is on the way."""
        point, t = self.point, 1.0
        end = self._moved(k, w, b)
        way = (end.z - point.z)[:, k]
        promised = point.penalty - end.penalty - self._rows.mean(point.gradient[:, k] * way)
        rounding = ROUNDING * abs(point.objective)
        if promised < -rounding:
            return point, 0.0, 1.0
        new, least = end, point.objective + rounding
        for _ in range(HALVINGS):
            if new.objective <= least - SUFFICIENT * t * promised:
                # Rounded, it has a little more or less.
                return new if t == 1 else self._moved(k, new.w[k], new.b[k]), promised, t
            t /= 2
            ends = (point.w, end.w), (point.b, end.b), (point.z, end.z)
            between = ((1 - t) * before + t * after for before, after in ends)
            new = self._rows.point(self._penalties, *between)
        return point, promised, t
