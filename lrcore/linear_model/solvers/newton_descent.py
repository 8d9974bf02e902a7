"""Newton steps of one target: values, gradients, Hessians and gaps at the point that it has come
to; see `lrcore.linear_model.solvers.newton`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lrcore import _backend
from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.duality import Gap, duality_gap, null_objective
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.problem import Problem
from lrcore.losses import SquaredError

#: Rows for each feature whose Hessian stands for that of all, and at least so many; and how many
#: times more there have to be before it does.
HESSIAN_ROWS, LEAST_ROWS, MANY = 64, 4096, 4

#: Sides of the Hessian of several outputs up to which all of it is used.
WHOLE_HESSIAN = 1024

#: Steps at most on these rows alone, and the gap at which they end: nearer than the minimum over
#: these rows is to that over all there is no point in going.
FIRST_STEPS, FIRST_GAP = 20, 1e-3

#: Pairs that are kept, and the seed of the rows.
MEMORY, SEED = 20, 0

#: Share of the fall that a step has to keep of what its slope promises (Armijo), and halvings.
ARMIJO, HALVINGS = 1e-4, 40

#: The share of the loss without weights below which classes are taken to be told apart.
DIVERGED = 1e-6

#: What is next to nothing beside the objective: rounding.
ROUNDING = 1e-15

#: Weights (n_outputs, n_features) and intercepts.
Start = tuple[np.ndarray, np.ndarray]


class Point(NamedTuple):
    """Weights (n_outputs, n_features) and intercepts, and what they give: raw predictions
    (n_rows, n_outputs), derivatives of the losses by them, the mean loss and the objective."""

    W: np.ndarray
    b: np.ndarray
    z: np.ndarray
    gradient: np.ndarray
    mean_loss: float
    objective: float


def total(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product, in an order that no processor changes."""
    return float(np.sum(a * b))


class Curvature:
    """The Hessian by its Cholesky factors, a block for each output, and pairs of steps and changes
    of the gradient since: `solve` is a quasi-Newton step."""

    def __init__(self) -> None:
        self._factors: list[np.ndarray] = []
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def known(self) -> bool:
        """Whether there are factors."""
        return bool(self._factors)

    def renew(self, factors: list[np.ndarray]) -> None:
        """Take the factors of the Hessian at another place; pairs stay."""
        self._factors = factors

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        """Take in by how much the gradient has changed over a step."""
        if total(step, change) > 0:
            self._pairs = [*self._pairs[1 - MEMORY :], (step, change)]

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Inverse Hessian times gradient, both (n_outputs, n_features + 1)."""
        q, used = gradient.copy(), []
        for step, change in reversed(self._pairs):
            share = total(step, q) / total(step, change)
            q -= share * change
            used.append(share)
        rows = zip(self._factors, q.reshape(len(self._factors), -1))
        q = np.stack([_backend.active.cholesky_solve(factor, row) for factor, row in rows])
        q = q.reshape(gradient.shape)
        for (step, change), share in zip(self._pairs, reversed(used)):
            q += (share - total(change, q) / total(step, change)) * step
        return q


class NewtonDescent:
    """The fit of one target in progress; `point` is where it is."""

    def __init__(
        self, problem: Problem, y: np.ndarray, n_threads: int | None,
        start: Start | None = None, curvature: Curvature | None = None,
    ) -> None:  # fmt: skip
        self.X, self.y, self.objective = problem.X, y, problem.objective
        self._n_threads = n_threads
        n_rows, n_features = problem.X.shape
        weight = problem.sample_weight
        self.share = (np.ones(n_rows) if weight is None else weight) / problem.total_weight
        self._l2 = self.objective.strengths(n_features)[1]
        self._rows = hessian_rows(n_rows, n_features)
        self._curvature, self._left = curvature or Curvature(), math.inf
        self._constant = isinstance(problem.objective.loss, SquaredError)
        #: The point whose gradient is known, and the gradient.
        self._known: tuple[Any, np.ndarray] = (None, np.zeros(0))
        self._least = float(np.sum(self.share * self.objective.loss.least(y)))
        self._null = null_objective(self.objective.loss, y, self.share)
        n_outputs = problem.outputs_per_target
        self.exact = self._rows is None and n_outputs * (n_features + 1) <= WHOLE_HESSIAN
        self.done = False
        W, b = np.zeros((n_outputs, n_features)), np.zeros(n_outputs)
        if self.objective.fit_intercept:
            b = np.asarray(self.objective.loss.constant(y, self.share), float).reshape(-1)
        self.point = self.evaluate(W, b)
        if start is None and self._rows is not None:
            start = self._start_on_rows(problem)
        if start is not None:
            point = self.evaluate(*start)
            self.point = point if point.objective < self.point.objective else self.point

    def _start_on_rows(self, problem: Problem) -> Start:
        """The minimum over the rows of the Hessian, about."""
        rows = self._rows
        assert rows is not None
        part = replace(problem, targets=[self.y]).take(rows)
        descent = NewtonDescent(part, part.targets[0], self._n_threads)
        for _ in range(FIRST_STEPS):
            descent.step()
            if descent.done or descent.estimated_gap <= FIRST_GAP:
                break
        return descent.point.W, descent.point.b

    # ---- values and derivatives ------------------------------------------------------------------

    def evaluate(self, W: np.ndarray, b: np.ndarray) -> Point:
        """The point of weights that are rounded to the precision of X, which the model has."""
        dtype = self.X.dtype
        if self.objective.loss.joint:
            b = b - np.mean(b)  # nothing depends on what they have in common
        W, b = W.astype(dtype).astype(np.float64), b.astype(dtype).astype(np.float64)
        columns = [_backend.active.wide_predictions(self.X, w, self._n_threads) for w in W]
        return self._evaluate_at(W, b, np.stack(columns, axis=1) + b)

    def _evaluate_at(self, W: np.ndarray, b: np.ndarray, z: np.ndarray) -> Point:
        loss = self.objective.loss
        raw = z if loss.joint else z[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = _backend.active.loss_and_gradient(loss, raw, self.y, self._n_threads)
            mean = float(np.sum(self.share * value))
            objective = mean + self.objective.penalty_value(W)
        return Point(W, b, z, gradient.reshape(z.shape), mean, objective)

    @property
    def gradient(self) -> np.ndarray:
        """That of the objective at the point."""
        return self._gradient_at(self.point)

    def _gradient_at(self, point: Point) -> np.ndarray:
        """(n_outputs, n_features + 1), the intercepts last."""
        if self._known[0] is not point:
            weighed = self.share[:, None] * point.gradient
            G = np.empty((len(point.W), self.X.shape[1] + 1))
            for k, column in enumerate(weighed.T):
                column = np.ascontiguousarray(column)
                G[k, :-1] = self.X.weighted_sum(column, self._n_threads) + self._l2 * point.W[k]
                G[k, -1] = np.sum(column) if self.objective.fit_intercept else 0.0
            self._known = point, G
        return self._known[1]

    def curvature(self, point: Point) -> list[np.ndarray]:
        """Cholesky factors of the Hessian at a point, of the rows that stand for all; of several
        outputs those of its diagonal blocks, or of all of it if it is small."""
        n, n_outputs = self.X.shape[1], len(point.W)
        pairs = [
            (k, m) for k in range(n_outputs) for m in range(k, n_outputs) if self.exact or k == m
        ]
        scale = 1.0 if self._rows is None else 1.0 / float(np.sum(self.share[self._rows]))
        second = self._second_derivatives(point, pairs) * (scale * self.share)
        blocks = _backend.active.weighted_grams(self.X, second, self._rows, self._n_threads)
        for (k, m), H in zip(pairs, blocks):
            if k == m:
                H[np.arange(n), np.arange(n)] += self._l2
            if not self.objective.fit_intercept:
                H[:, n] = 0.0  # no pivot, and so no step
        if len(pairs) > n_outputs:
            blocks = [self._assembled(pairs, blocks)]
        size = n_outputs * (n + 1) // len(blocks)
        return [_backend.active.cholesky(H, size) for H in blocks]

    def _second_derivatives(self, point: Point, pairs: list[tuple[int, int]]) -> np.ndarray:
        """Of each row's loss by pairs of outputs, (n_pairs, n_rows)."""
        loss = self.objective.loss
        if not loss.joint:
            second = loss.second_derivative(point.z[:, 0], self.y, point.gradient[:, 0])
            return second[None]
        p = loss.probability(point.z)
        return np.stack([p[:, k] * ((k == m) - p[:, m]) for k, m in pairs])

    def _assembled(self, pairs: list[tuple[int, int]], blocks: np.ndarray) -> np.ndarray:
        """All blocks in one matrix whose sides are a multiple of 8."""
        n = self.X.shape[1] + 1
        size = n * (1 + pairs[-1][0])
        H = np.zeros((-(-size // 8) * 8,) * 2)
        for (k, m), block in zip(pairs, blocks):
            upper = np.triu(block[:n, :n])
            whole = upper if k == m else upper + np.triu(upper, 1).T
            H[k * n : (k + 1) * n, m * n : (m + 1) * n] = whole
        return H

    # ---- steps -----------------------------------------------------------------------------------

    def step(self) -> None:
        """One step; `done` once the objective does not fall any more."""
        point, G = self.point, self.gradient
        direction = self._measure()
        slope = total(G, direction)
        new = self._line_search(direction, slope) if slope < 0 else None
        if new is None:
            self.done = True
            return
        if not self.exact:
            moved = np.column_stack([new.W - point.W, new.b - point.b])
            self._curvature.learn(moved, self._gradient_at(new) - G)
        self.done = point.objective - new.objective <= ROUNDING * abs(point.objective)
        self.point = new

    def _measure(self) -> np.ndarray:
        """The step from the point, and what the gradient there says of the gap."""
        G = self.gradient
        if not self._curvature.known or (self._rows is None and not self._constant):
            self._curvature.renew(self.curvature(self.point))
        direction = -self._curvature.solve(G)
        # Without a penalty there is no bound: half of the slope is what the step may gain.
        self._left = -total(G, direction) / 2
        if self.certifiable:
            self._left = float(np.sum(np.square(G[:, :-1]) / (2 * self._l2)))
        return direction

    def _line_search(self, direction: np.ndarray, slope: float) -> Point | None:
        """The first of the steps 1, 1/2, 1/4, ... that lowers the objective enough; None if none
        does. Raw predictions are linear along them, so that rows are read for the first alone."""
        point = self.point
        W, b = direction[:, :-1], direction[:, -1]
        trial, t = self.evaluate(point.W + W, point.b + b), 1.0
        change = trial.z - point.z
        for _ in range(HALVINGS):
            if trial.objective <= point.objective + ARMIJO * t * slope:
                return trial if t == 1.0 else self.evaluate(trial.W, trial.b)
            t /= 2
            trial = self._evaluate_at(point.W + t * W, point.b + t * b, point.z + t * change)
        return None

    # ---- gaps ------------------------------------------------------------------------------------

    @property
    def estimated_gap(self) -> float:
        """The gap before the last step, over the objective, if intercepts were at their best."""
        return Gap(self.point.objective - self._least, self._left, self._null).relative

    @property
    def certifiable(self) -> bool:
        """Whether there is a dual bound: all features are penalised, and the loss is convex."""
        return bool((self._l2 > 0).all()) and self.objective.loss.convex

    @property
    def diverges(self) -> bool:
        """Whether classes are told apart ever better by weights that nothing holds back."""
        free = self.objective.loss.probabilistic and not self.certifiable
        return free and self.point.objective < DIVERGED * self._null

    def certify(self) -> float:
        """The duality gap over the objective; where there is none, what is left by the Hessian."""
        point = self.point
        if not self.certifiable:
            self._measure()
            return self.estimated_gap
        gap = duality_gap(
            self.objective, self.X, self.y, self.share, point.W, point.z, self._n_threads
        )
        return gap.relative

    def left_out(self) -> float:
        """The mean loss of rows each of which is left out of the fit, by one Newton step from its
        minimum (approximate leave-one-out, Rad and Maleki 2020; for squared error it is exact)."""
        point, loss, y = self.point, self.objective.loss, self.y
        z, gradient = point.z[:, 0], point.gradient[:, 0]
        second = self.share * loss.second_derivative(z, y, gradient)
        lever = _backend.active.leverages(self.X, self.curvature(point)[0], self._n_threads)
        # A row that alone decides of a direction says nothing of it.
        moved = self.share * gradient * lever / np.maximum(1.0 - second * lever, 1e-3)
        with np.errstate(over="ignore", invalid="ignore"):
            value = _backend.active.loss_values(loss, z + moved, y)
        return float(np.sum(self.share * value))

    def states(self) -> list[ModelState]:
        """The weights as any other fit has them."""
        array = np.column_stack([self.point.W, self.point.b]).astype(self.X.dtype)
        return [ModelState(row[None].copy(), 1, by_feature=False) for row in array]


def hessian_rows(n_rows: int, n_features: int) -> np.ndarray | None:
    """The rows whose Hessian stands for that of all, in their order; None: all."""
    n = max(LEAST_ROWS, HESSIAN_ROWS * (n_features + 1))
    return None if n_rows < MANY * n else np.sort(shuffled(n_rows, SEED)[:n])


def many_rows(problem: Problem) -> bool:
    """Whether the Hessian is that of some of the rows."""
    return hessian_rows(problem.n_rows, problem.X.shape[1]) is not None
