"""Newton steps of all targets: see `lrcore.linear_model.solvers.newton`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lrcore import _backend
from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.duality import NOTHING
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers.conjugate_gradients import InexactStep, conjugate_gradients
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

#: What a step gains, over the objective, from which on it should make for a certificate; and from
#: which on derivatives to first order may be one.
NEAR, LOOKS_BACK = 0.03, 0.3

#: The gap that the derivative by an intercept makes, over itself and the loss of weights of 0.
INTERCEPTS = 10.0

#: The seed of the rows.
SEED = 0

#: Share of the fall that a step has to keep of what its slope promises (Armijo), and halvings.
ARMIJO, HALVINGS = 1e-4, 40

#: The share of its slope that the end of a whole step has to keep for one of twice the length to be
#: tried, and so on, and doublings.
STEEP, DOUBLINGS = 0.1, 2

#: The share of the loss without weights below which classes are taken to be told apart.
DIVERGED = 1e-6

#: What is next to nothing beside the objective: rounding; and what stands for an objective of 0.
ROUNDING, TINY = 1e-15, 1e-300


class NewtonDescent:
    """The fit of all targets in progress; `point` is where it is.

    Targets have steps of their own, whose lengths do not depend on each other, but share the passes
    over the rows, and the Hessian's factors where it is the same.
    """

    def __init__(
        self, problem: Problem, n_threads: int | None, start: Start | None = None,
        tol: float = 1.0, *, certifies: bool = True,
    ) -> None:  # fmt: skip
        self.function = f = SmoothObjective(problem, n_threads)
        loss = problem.objective.loss
        n_features, n_outputs = problem.X.shape[1], problem.outputs_per_target
        #: The blocks of the losses' Hessian at some point, none at first; their factors; and if
        #: these are to be kept for the next step.
        self._blocks: list[np.ndarray] = []
        self._factors: list[np.ndarray] = []
        self._kept, self._keeps_blocks = False, not certifies
        self._constant = isinstance(loss, SquaredError)
        once = self._constant and n_features <= ONCE_FEATURES
        self._rows = None if once else hessian_rows(problem.X)
        f.exact &= self._rows is None or not loss.joint
        few = n_outputs * problem.X.values.size * problem.X.nnz_per_row <= FEW_MULTIPLICATIONS
        self._always = few or hessian_cost(problem.X) <= FEW_PRODUCTS
        self._n_products, self._tol = 0, tol
        #: About the gaps at the point by its own derivatives, and by those at the point before, to
        #: first order, and this one: where a whole step led from one to the other.
        self._by_own, self._by_last = np.full((2, f.n_targets), np.inf)
        self._before: Point | None = None
        self.certifiable = certifies and bool((f.l2 > 0).all()) and loss.convex
        # Those of losses in pieces miss most where rows change from one to another.
        self._looks_back = self.certifiable and loss.has_dual and loss.conjugate_pieces is None
        #: The smaller of both over the objectives.
        self.estimated_gaps = np.full(f.n_targets, np.inf)
        #: The point whose gradient is known, and the gradient.
        self._known: tuple[Any, np.ndarray] = (None, np.zeros(0))
        self._least, self._null = f.least(), f.null()
        self._nothing = np.maximum(NOTHING * self._null, TINY)
        #: Targets whose objectives do not fall any more.
        self._at_rest = np.zeros(f.n_targets, bool)
        b = np.concatenate(problem.constants())
        self.point = f.evaluate(np.zeros((f.n_outputs, n_features)), b)
        if start is None and self._rows is not None:
            start = self._start_on_rows(problem)
        if start is not None:
            point = f.evaluate(*start)
            self.point = point.where(point.objective < self.point.objective, self.point)

    def _start_on_rows(self, problem: Problem) -> Start:
        """The minimum over the rows of the Hessian, about."""
        assert self._rows is not None
        descent = NewtonDescent(problem.take(self._rows), self.function.n_threads)
        for _ in range(FIRST_STEPS):
            descent.step(FIRST_GAP)
            if descent.done or descent.estimated_gaps.max() <= FIRST_GAP:
                break
        return descent.point.W, descent.point.b

    @property
    def done(self) -> bool:
        """Whether no target moves any more."""
        return bool(self._at_rest.all())

    @property
    def gradient(self) -> np.ndarray:
        """That of the objectives at the point."""
        if self._known[0] is not self.point:
            self._known = self.point, self.function.gradient(self.point)
        return self._known[1]

    # ---- steps -----------------------------------------------------------------------------------

    def step(self, goal: float = 0.0) -> None:
        """One step of each target whose gap is about more than this, or of all if none's is."""
        point, f = self.point, self.function
        moving = ~self._at_rest
        far = moving & (self.estimated_gaps > goal)
        moving = far if far.any() else moving
        direction, residual, _ = self._inexact_step(moving)
        slope = self.function.totals(self.gradient * direction)
        new, length = self._line_search(direction, slope, moving)
        stuck = moving & (length == 0)
        if stuck.any():
            # Where all rows of a feature are on a flat part of the loss, nothing bounds a step.
            factors = f.factors(f.hessian_blocks(point, self._rows), bounded=True)
            other = self._of_moving(-solved(factors, self.gradient), stuck)
            slope = np.where(stuck, self.function.totals(self.gradient * other), slope)
            end, own = self._line_search(other, slope, stuck)
            new, length = end.where(own > 0, new), np.where(stuck, -own, length)
        fall = point.objective - new.objective
        self._at_rest |= moving & (fall <= ROUNDING * np.abs(point.objective))
        self.point = new
        if self._looks_back:
            near = -slope / 2 <= LOOKS_BACK * (point.objective - self._least)
            self._look_back(point, moving, moving & near & (length == 1), residual)
        if self.certifiable:
            self._by_own = self._of_residual(self.gradient)
        else:
            # There is no bound: half of the slope of the next step is what it may gain.
            self._by_own = f.totals(self.gradient * self._precondition(self.gradient)) / 2
        self.estimated_gaps = self._relative(np.minimum(self._by_own, self._by_last))

    def _look_back(
        self, last: Point, moving: np.ndarray, whole: np.ndarray, residual: np.ndarray
    ) -> None:  # fmt: skip
        """About the gap by derivatives to first order, of targets that whole steps led near."""
        if not whole.any():
            self._by_last = np.where(moving, np.inf, self._by_last)
            return
        before = self.point if self._before is None else self._before
        self._before = last.where(whole, self.point.where(moving, before))
        by_last = self._of_residual(residual) + self.function.row_gap(self._before, self.point)
        by_last = np.where(whole, by_last, np.inf)
        self._by_last = np.where(moving, by_last, self._by_last)

    def _of_moving(self, direction: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """Directions, of the targets that move alone."""
        return direction if moving.all() else np.where(moving[:, None], direction, 0.0)

    def _of_residual(self, residual: np.ndarray) -> np.ndarray:
        """About the gaps of features and intercepts where dual variables leave such gradients."""
        of_features = self.function.totals(np.square(residual[:, :-1]) / (2 * self.function.l2))
        # Rows of other classes have to make up for an intercept's.
        return of_features + INTERCEPTS * self._null * self.function.totals(np.abs(residual[:, -1]))

    def _inexact_step(self, moving: np.ndarray) -> InexactStep:
        """About the inverse Hessian times the gradient, downhill: by the factors at hand, or those
        made anew where the last step took so many products that it costs less."""
        f = self.function
        G = self._of_moving(self.gradient, moving)
        kept = self._kept
        # A Hessian that would be made anew for each step is good enough for one more.
        exact = (self._constant and self._rows is None) or (kept and self._always and f.exact)
        whole_cost = hessian_cost(f.X)
        share = 1.0 if self._rows is None else len(self._rows) / f.X.shape[0]
        most = int(share * whole_cost) if share * whole_cost > FEW_PRODUCTS else 0
        renews = (self._always or self._n_products >= most) and not (self._constant or kept)
        renews = renews or not self._factors
        self._kept = False
        if renews:
            self._renew_factors(moving)
            exact = self._rows is None and f.exact
        if exact:
            self._n_products = 0
            return InexactStep(-solved(self._factors, G), np.zeros_like(G), 0)
        hessian = f.hessian(self.point)
        found = conjugate_gradients(hessian, self._precondition, G, self._good_enough, f.totals)
        self._n_products = found.n_products
        if renews and self._rows is not None and found.n_products > max(whole_cost, FEW_PRODUCTS):
            # Too few of these rows are where the loss is curved.
            self._rows = None
        return found

    def _renew_factors(self, moving: np.ndarray) -> None:
        """Make the factors of the targets that move, and of all at first."""
        f = self.function
        if not self._factors or f.objective.loss.joint or moving.all():
            blocks = f.hessian_blocks(self.point, self._rows)
            self._factors = f.factors(blocks, keep=self._keeps_blocks)
            self._blocks = blocks if self._keeps_blocks else []
            return
        chosen = np.flatnonzero(moving)
        blocks = f.hessian_blocks(self.point, self._rows, chosen)
        factors = f.factors(blocks, keep=self._keeps_blocks)
        for k, block, factor in zip(chosen, blocks, factors):
            self._factors[k] = factor
            if self._keeps_blocks:
                self._blocks[k] = block

    def _precondition(self, gradient: np.ndarray) -> np.ndarray:
        """About the inverse Hessian times a gradient. What the outputs of a softmax have in common
        changes no loss: without a penalty its curvature is 0."""
        if not self.function.objective.loss.joint:
            return solved(self._factors, gradient)
        along = solved(self._factors, gradient - np.mean(gradient, axis=0))
        return along - np.mean(along, axis=0)

    def _good_enough(self, step: np.ndarray, residual: np.ndarray) -> bool:
        """Whether a residual does not stand between the next point and its certificate."""
        if not self.certifiable:
            return True
        excess = self.excess
        # What the step gains beside the objective; after it, about the square of it is left.
        gain = -self.function.totals(self.gradient * step) / 2
        gain = np.divide(gain, excess, out=np.zeros_like(gain), where=excess > 0)
        wanted = np.maximum(self._tol / 4, gain * gain) * excess
        return bool(((gain > NEAR) | (self._of_residual(residual) <= wanted)).all())

    def _line_search(
        self, direction: np.ndarray, slope: np.ndarray, moving: np.ndarray
    ) -> tuple[Point, np.ndarray]:
        """The point that the targets that move come to, and the length of each one's step: the
        first of 1, 1/2, 1/4, ... that lowers the objective enough, else 0, and 2, 4, ... as long as
        it falls where the whole step ends on a steep slope. Raw predictions are linear along them,
        so that rows are read for the whole step alone."""
        point, f = self.point, self.function
        W, b = direction[:, :-1], direction[:, -1]
        end = f.evaluate(point.W + W, point.b + b)
        change = end.z - point.z

        def at(length: np.ndarray) -> Point:
            moved = point.W + length[:, None] * W, point.b + length * b
            z = np.where(length == 1, end.z, point.z + length * change)
            return f.evaluate_at(*moved, z)

        # Rounding must not stand in the way of a step that hardly moves any more.
        most = point.objective + ROUNDING * np.abs(point.objective)
        new, length = end, np.ones(f.n_targets)
        downhill = moving & (slope < 0)
        for _ in range(HALVINGS):
            short = downhill & ~(new.objective <= most + ARMIJO * length * slope)
            if not short.any():
                break
            length = np.where(short, length / 2, length)
            new = at(length)
        downhill &= ~short
        long = downhill & (length == 1)
        if long.any():
            long &= f.slope(new, direction, change) < STEEP * slope
        for _ in range(DOUBLINGS):
            if not long.any():
                break
            further = at(np.where(long, 2 * length, length))
            long &= further.objective < new.objective
            new = further.where(long, new)
            length = np.where(long, 2 * length, length)
        length = np.where(downhill, length, 0.0)
        if (length[moving] != 1).any():
            new = f.evaluate(new.W, new.b)
        return new.where(length > 0, point), length

    @property
    def excess(self) -> np.ndarray:
        """(n_targets,): the objectives above the least that the losses can be."""
        return self.point.objective - self._least

    # ---- gaps ------------------------------------------------------------------------------------

    def _relative(self, left: np.ndarray) -> np.ndarray:
        """Gaps over the objectives, which cannot be small beside one that is 0 but for rounding."""
        excess = self.excess
        relative = left / np.maximum(excess, self._nothing)
        return np.where(np.isfinite(excess), relative, np.inf)

    @property
    def diverges(self) -> bool:
        """Whether classes are told apart ever better by weights that nothing holds back."""
        free = self.function.objective.loss.probabilistic and not self.certifiable
        return free and bool((self.point.objective < DIVERGED * self._null).any())

    def certify(self) -> float:
        """The largest duality gap of a target over its objective; where there is none, what is left
        by the Hessian."""
        point, f = self.point, self.function
        if not self.certifiable:
            step = self._inexact_step(np.ones(f.n_targets, bool)).step
            self.estimated_gaps = self._relative(-self.function.totals(self.gradient * step) / 2)
            return float(self.estimated_gaps.max())
        found = np.full(f.n_targets, np.inf)
        if self._before is not None and (self._by_last < self._by_own).any():
            found = f.gaps(point, f.linearised(self._before, point))
        if found.max() > self._tol:
            found = np.minimum(found, f.gaps(point))
        return float(found.max())

    def left_out(self) -> float:
        """The mean loss of rows that are left out of the fit one by one."""
        f, known = self.function, self._constant and self._rows is None
        blocks = self._blocks if known and self._blocks else f.hessian_blocks(self.point, None)
        factors = f.factors(blocks, keep=self._keeps_blocks)
        self._blocks = blocks if self._keeps_blocks else []
        return f.left_out(self.point, factors)

    def go_on_with(self, objective: Objective) -> None:
        """Minimise an objective with another penalty from now on, first by the Hessian at hand."""
        f = self.function
        self.point = f.with_penalty_of(objective, self.point)
        self._factors, self._kept = f.factors(self._blocks, keep=True), bool(self._blocks)
        self._at_rest[:], self._before = False, None
        self._by_own, self._by_last, self.estimated_gaps = np.full((3, f.n_targets), np.inf)

    def states(self) -> list[ModelState]:
        """The weights as any other fit has them."""
        array = np.column_stack([self.point.W, self.point.b]).astype(self.function.X.dtype)
        return [ModelState(row[None].copy(), 1, by_feature=False) for row in array]


def solved(factors: Sequence[np.ndarray], gradient: np.ndarray) -> np.ndarray:
    """Inverse Hessians times gradients, both (n_outputs, n_features + 1); one factor is of all
    outputs."""
    if len(factors) == 1:
        return _backend.active.cholesky_solve(factors[0], gradient.ravel()).reshape(gradient.shape)
    rows = zip(factors, gradient)
    return np.stack([_backend.active.cholesky_solve(factor, row) for factor, row in rows])


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
