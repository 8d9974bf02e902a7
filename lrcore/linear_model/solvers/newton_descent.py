"""Newton steps of one target: see `lrcore.linear_model.solvers.newton`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lrcore import _backend
from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.duality import Gap, duality_gap, null_objective
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.solvers.conjugate_gradients import (
    InexactStep,
    conjugate_gradients,
    total,
)
from lrcore.linear_model.solvers.derivatives import Point, SmoothObjective, Start
from lrcore.losses import SquaredError

#: Rows for each feature whose Hessian stands for that of all, at least so many, and such a share of
#: all; and how many times more there have to be before it does.
HESSIAN_ROWS, LEAST_ROWS, HESSIAN_SHARE, MANY = 16, 2048, 1 / 32, 2

#: Values of a sparse row, and of a dense one, for each product with the Hessian that takes as long
#: as to make it; and products and multiplications for which it is made anew for each step.
SPARSE_VALUES, DENSE_VALUES = 4, 8
FEW_PRODUCTS, FEW_MULTIPLICATIONS = 4, 1e7

#: Features up to which the Hessian is of all rows if it is made only once.
ONCE_FEATURES = 256

#: Steps at most on these rows alone, and the gap at which they end: nearer than the minimum over
#: these rows is to that over all there is no point in going.
FIRST_STEPS, FIRST_GAP = 20, 1e-2

#: What a step gains, over the objective, from which on it should make for a certificate.
NEAR = 0.03

#: The gap that the derivative by an intercept makes, over itself and the loss of weights of 0.
INTERCEPTS = 10.0

#: The seed of the rows.
SEED = 0

#: Share of the fall that a step has to keep of what its slope promises (Armijo), and halvings.
ARMIJO, HALVINGS = 1e-4, 40

#: The share of the loss without weights below which classes are taken to be told apart.
DIVERGED = 1e-6

#: What is next to nothing beside the objective: rounding.
ROUNDING = 1e-15


class Factors:
    """Cholesky factors of the Hessian at some point, a block for each output."""

    def __init__(self, blocks: Sequence[np.ndarray] = ()) -> None:
        self._blocks = list(blocks)

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self._blocks)

    def renew(self, blocks: list[np.ndarray]) -> None:
        """Take those at another point."""
        self._blocks = blocks

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Inverse Hessian times gradient, both (n_outputs, n_features + 1)."""
        rows = zip(self._blocks, gradient)
        return np.stack([_backend.active.cholesky_solve(factor, row) for factor, row in rows])


class NewtonDescent:
    """The fit of one target in progress; `point` is where it is."""

    def __init__(
        self, problem: Problem, n_threads: int | None, start: Start | None = None,
        factors: Factors | None = None, tol: float = 1.0,
    ) -> None:  # fmt: skip
        self.function = SmoothObjective(problem, n_threads)
        self._factors = factors or Factors()
        loss = problem.objective.loss
        n_features, n_outputs = problem.X.shape[1], problem.outputs_per_target
        self._constant = isinstance(loss, SquaredError)
        once = self._constant and n_features <= ONCE_FEATURES
        self._rows = None if once else hessian_rows(problem.X)
        few = n_outputs * problem.X.values.size * problem.X.nnz_per_row <= FEW_MULTIPLICATIONS
        self._always = few or hessian_cost(problem.X) <= FEW_PRODUCTS
        self._n_products, self._tol = 0, tol
        #: The gap at the point, about; and the point before, and the gradient that its Hessian
        #: tells of this one, where a whole step led from one to the other.
        self._left = math.inf
        self._before: Point | None = None
        #: The point whose gradient is known, and the gradient.
        self._known: tuple[Any, np.ndarray] = (None, np.zeros(0))
        share, (y,) = self.function.share, problem.targets
        self._least = float(np.sum(share * loss.least(y)))
        self._null = null_objective(loss, y, share, self.function.offset)
        self.done = False
        W, b = np.zeros((n_outputs, n_features)), np.zeros(n_outputs)
        if problem.objective.fit_intercept:
            (b,) = problem.constants()
        self.point = self.function.evaluate(W, b)
        if start is None and self._rows is not None:
            start = self._start_on_rows(problem)
        if start is not None:
            point = self.function.evaluate(*start)
            self.point = point if point.objective < self.point.objective else self.point

    def _start_on_rows(self, problem: Problem) -> Start:
        """The minimum over the rows of the Hessian, about."""
        assert self._rows is not None
        descent = NewtonDescent(problem.take(self._rows), self.function.n_threads)
        for _ in range(FIRST_STEPS):
            descent.step()
            if descent.done or descent.estimated_gap <= FIRST_GAP:
                break
        return descent.point.W, descent.point.b

    @property
    def gradient(self) -> np.ndarray:
        """That of the objective at the point."""
        if self._known[0] is not self.point:
            self._known = self.point, self.function.gradient(self.point)
        return self._known[1]

    # ---- steps -----------------------------------------------------------------------------------

    def step(self) -> None:
        """One step; `done` once the objective does not fall any more."""
        point, (direction, residual, _) = self.point, self._inexact_step()
        slope = total(self.gradient, direction)
        new, whole = self._line_search(direction, slope)
        if new is None:
            # Where all rows of a feature are on a flat part of the loss, nothing bounds a step.
            blocks = self.function.hessian_factors(self.point, self._rows, bounded=True)
            direction = -Factors(blocks).solve(self.gradient)
            slope = total(self.gradient, direction)
            new, whole = self._line_search(direction, slope)[0], False
        if new is None:
            self.done = True
            return
        self.done = point.objective - new.objective <= ROUNDING * abs(point.objective)
        self.point, self._before = new, point if whole else None
        if whole and self.certifiable:
            self._left = self._of_residual(residual) + self.function.row_gap(point, new)
        elif self.certifiable:
            self._left = self._of_residual(self.gradient)
        else:
            # There is no bound: half of the slope is what the step may have gained.
            self._left = -slope / 2

    def _of_residual(self, residual: np.ndarray) -> float:
        """About the gap of features and intercepts where dual variables leave such a gradient."""
        of_features = float(np.sum(np.square(residual[:, :-1]) / (2 * self.function.l2)))
        # Rows of other classes have to make up for an intercept's.
        of_intercepts = INTERCEPTS * self._null * float(np.sum(np.abs(residual[:, -1])))
        return of_features + of_intercepts

    def _inexact_step(self) -> InexactStep:
        """About the inverse Hessian times the gradient, downhill: by the factors at hand, or those
        made anew where the last step took so many products that it costs less."""
        G, exact = self.gradient, self._constant and self._rows is None
        whole_cost = hessian_cost(self.function.X)
        share = 1.0 if self._rows is None else len(self._rows) / len(self.function.y)
        most = int(share * whole_cost) if share * whole_cost > FEW_PRODUCTS else 0
        renews = (self._always or self._n_products >= most) and not self._constant
        renews = renews or not self._factors.known
        if renews:
            self._factors.renew(self.function.hessian_factors(self.point, self._rows))
            exact = self._rows is None and len(G) == 1
        if exact:
            self._n_products = 0
            return InexactStep(-self._factors.solve(G), np.zeros_like(G), 0)
        hessian = self.function.hessian(self.point)
        found = conjugate_gradients(hessian, self._precondition, G, self._good_enough)
        self._n_products = found.n_products
        if renews and self._rows is not None and found.n_products > max(whole_cost, FEW_PRODUCTS):
            # Too few of these rows are where the loss is curved.
            self._rows = None
        return found

    def _precondition(self, gradient: np.ndarray) -> np.ndarray:
        """About the inverse Hessian times a gradient. What the outputs of a softmax have in common
        changes no loss: without a penalty its curvature is 0."""
        if len(gradient) == 1:
            return self._factors.solve(gradient)
        along = self._factors.solve(gradient - np.mean(gradient, axis=0))
        return along - np.mean(along, axis=0)

    def _good_enough(self, step: np.ndarray, residual: np.ndarray) -> bool:
        """Whether a residual does not stand between the next point and its certificate."""
        if not self.certifiable:
            return True
        excess = self.excess
        # What the step gains beside the objective; after it, about the square of it is left.
        gain = -total(self.gradient, step) / (2 * excess) if excess > 0 else 0.0
        wanted = max(self._tol / 4, gain * gain) * excess
        return gain > NEAR or self._of_residual(residual) <= wanted

    def _line_search(self, direction: np.ndarray, slope: float) -> tuple[Point | None, bool]:
        """The first of the steps 1, 1/2, 1/4, ... that lowers the objective enough, None if none
        does, and whether it is the whole one. Raw predictions are linear along them, so that rows
        are read for the first alone."""
        point = self.point
        if not slope < 0:
            return None, False
        W, b = direction[:, :-1], direction[:, -1]
        trial, t = self.function.evaluate(point.W + W, point.b + b), 1.0
        change = trial.z - point.z
        # Rounding must not stand in the way of a step that hardly moves any more.
        most = point.objective + ROUNDING * abs(point.objective)
        for _ in range(HALVINGS):
            if trial.objective <= most + ARMIJO * t * slope:
                whole = t == 1.0
                return trial if whole else self.function.evaluate(trial.W, trial.b), whole
            t /= 2
            trial = self.function.evaluate_at(
                point.W + t * W, point.b + t * b, point.z + t * change
            )
        return None, False

    @property
    def excess(self) -> float:
        """The objective above the least that the losses can be."""
        return self.point.objective - self._least

    # ---- gaps ------------------------------------------------------------------------------------

    @property
    def estimated_gap(self) -> float:
        """The gap at the point over the objective, about."""
        return Gap(self.excess, self._left, self._null).relative

    @property
    def certifiable(self) -> bool:
        """Whether there is a dual bound: all features are penalised, and the loss is convex."""
        return bool((self.function.l2 > 0).all()) and self.function.objective.loss.convex

    @property
    def diverges(self) -> bool:
        """Whether classes are told apart ever better by weights that nothing holds back."""
        free = self.function.objective.loss.probabilistic and not self.certifiable
        return free and self.point.objective < DIVERGED * self._null

    def certify(self) -> float:
        """The duality gap over the objective; where there is none, what is left by the Hessian."""
        point, f = self.point, self.function
        if not self.certifiable:
            step = self._inexact_step().step
            self._left = -total(self.gradient, step) / 2
            return self.estimated_gap
        at = f.objective, f.X, f.y, f.share, point.W, point.z, f.n_threads
        found = math.inf
        if self._before is not None and f.objective.loss.has_dual:
            found = duality_gap(*at, f.linearised(self._before, point), f.offset).relative
        # Derivatives at the point itself are better where they have changed by much.
        if found <= self._tol:
            return found
        return min(found, duality_gap(*at, offset=f.offset).relative)

    def left_out(self) -> float:
        """The mean loss of rows that are left out of the fit one by one."""
        return self.function.left_out(self.point)

    def states(self) -> list[ModelState]:
        """The weights as any other fit has them."""
        array = np.column_stack([self.point.W, self.point.b]).astype(self.function.X.dtype)
        return [ModelState(row[None].copy(), 1, by_feature=False) for row in array]


def hessian_cost(X: DesignMatrix) -> float:
    """How many products with the Hessian take as long as to make it."""
    return X.nnz_per_row / (SPARSE_VALUES if X.sparse else DENSE_VALUES)


def hessian_rows(X: DesignMatrix) -> np.ndarray | None:
    """The rows whose Hessian stands for that of all, in their order; None: all."""
    n_rows, n_features = X.shape
    n = max(LEAST_ROWS, HESSIAN_ROWS * (n_features + 1), int(HESSIAN_SHARE * n_rows))
    if n_rows < MANY * n or hessian_cost(X) <= FEW_PRODUCTS:
        return None
    return np.sort(shuffled(n_rows, SEED)[:n])
