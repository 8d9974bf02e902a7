"""The objective of one target with its gradient and Hessian, all in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lrcore import _backend
from lrcore.linear_model.problem import Problem

#: Rows of a feature below which it is rare.
RARE = 16

#: A curvature that is next to nothing.
LEAST_CURVATURE = 1e-6

#: What counts as the distance of a row from a kink at least, over the mean error.
KINK = 1e-2

#: Weights (n_outputs, n_features) and intercepts.
Start = tuple[np.ndarray, np.ndarray]


class Point(NamedTuple):
    """Weights (n_outputs, n_features) and intercepts, and what they give: raw predictions
    (n_rows, n_outputs) with the offset, derivatives of the losses by them, the mean loss and the
    objective; and the derivatives of the mean loss, (n_outputs, n_features + 1), if they are
    known."""

    W: np.ndarray
    b: np.ndarray
    z: np.ndarray
    gradient: np.ndarray
    mean_loss: float
    objective: float
    slopes: np.ndarray | None = None


class SmoothObjective:
    """The objective of one target and its derivatives by weights and intercepts, which are
    (n_outputs, n_features + 1), the intercepts last."""

    def __init__(self, problem: Problem, n_threads: int | None) -> None:
        self.X, self.objective = problem.X, problem.objective
        (self.y,), self.offset = problem.targets, problem.offset(0)
        self.n_threads = n_threads
        n_rows, n_features = problem.X.shape
        weight = problem.sample_weight
        self.share = (np.ones(n_rows) if weight is None else weight) / problem.total_weight
        self.l2 = self.objective.strengths(n_features)[1]
        self._has_rare: bool | None = None
        self._in_one_pass = not (problem.X.sparse or problem.objective.loss.joint)
        self._evaluates_in_one = self._in_one_pass and problem.offsets is None

    def evaluate(self, W: np.ndarray, b: np.ndarray) -> Point:
        """The point of weights that are rounded to the precision of X, which the model has."""
        dtype = self.X.dtype
        if self.objective.loss.joint:
            b = b - np.mean(b)  # nothing depends on what they have in common
        W, b = W.astype(dtype).astype(np.float64), b.astype(dtype).astype(np.float64)
        if not W.any():
            return self.evaluate_at(W, b, np.tile(b, (self.X.shape[0], 1)) + self.offset)
        if not self._evaluates_in_one:
            z = self.X.wide_predictions(W, self.n_threads).T + b
            return self.evaluate_at(W, b, z + self.offset)
        z, value, gradient, slopes = _backend.active.loss_pass(
            self.objective.loss, self.X, W[0], float(b[0]), self.y, self.share, self.n_threads
        )
        mean, objective = self._objective(W, value)
        return Point(W, b, z[:, None], gradient[:, None], mean, objective, slopes[None])

    def evaluate_at(self, W: np.ndarray, b: np.ndarray, z: np.ndarray) -> Point:
        """The point of weights whose raw predictions are known."""
        loss = self.objective.loss
        raw = z if loss.joint else z[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = _backend.active.loss_and_gradient(loss, raw, self.y, self.n_threads)
        return Point(W, b, z, gradient.reshape(z.shape), *self._objective(W, value))

    def _objective(self, W: np.ndarray, value: np.ndarray) -> tuple[float, float]:
        """The mean of the losses, and the objective."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(np.sum(self.share * value))
            return mean, mean + self.objective.penalty_value(W)

    def gradient(self, point: Point) -> np.ndarray:
        """The gradient of the objective."""
        slopes = self._sums(point.gradient.T) if point.slopes is None else point.slopes
        return self._of_free_weights(slopes, point.W)

    def _of_free_weights(self, slopes: np.ndarray, W: np.ndarray) -> np.ndarray:
        """Derivatives of the loss, with those of the penalty at W, and none of fixed intercepts."""
        G = slopes.copy()
        G[:, :-1] += self.l2 * W
        if not self.objective.fit_intercept:
            G[:, -1] = 0.0
        return G

    def hessian(self, point: Point) -> Callable[[np.ndarray], np.ndarray]:
        """The function that multiplies a direction by the Hessian at a point."""
        factors = self.share * self._second_derivatives(point)[0]
        changes = self._changes(point)

        def product(direction: np.ndarray) -> np.ndarray:
            W = np.ascontiguousarray(direction[:, :-1])
            if self._in_one_pass:
                one = _backend.active.product_pass(self.X, direction[0], factors, self.n_threads)
                return self._of_free_weights(one[None], W)
            moved = self.X.wide_predictions(W, self.n_threads).T + direction[:, -1]
            return self._of_free_weights(self._sums(changes(moved).T), W)

        return product

    def linearised(self, before: Point, point: Point) -> np.ndarray:
        """Derivatives of the losses at a point, to first order from the one before, within their
        bounds, (n_rows, n_outputs)."""
        loss = self.objective.loss
        u = before.gradient + self._changes(before)(point.z - before.z)
        if not loss.joint:
            return loss.within_bounds(u[:, 0], self.y)[:, None]
        return loss.within_bounds(u, self.y)

    def row_gap(self, before: Point, point: Point) -> float:
        """About the duality gap of rows with these variables, rather more: by how much they miss
        derivatives, squared, over the curvature. Bounds that they do not keep count as well, since
        to keep them costs more."""
        missed = self._changes(before)(point.z - before.z)
        missed += before.gradient
        missed -= point.gradient
        missed *= missed
        missed /= np.maximum(self._second_derivatives(point).T, LEAST_CURVATURE)
        return float(np.sum(self.share * np.sum(missed, axis=1)))

    def _changes(self, point: Point) -> Callable[[np.ndarray], np.ndarray]:
        """The function of how much derivatives change as raw predictions move, to first order."""
        loss, second = self.objective.loss, self._second_derivatives(point).T
        if loss.joint:
            return loss.hessian(self.y, point.gradient)
        return lambda moved: second * moved

    def hessian_factors(
        self, point: Point, rows: np.ndarray | None, *, bounded: bool = False
    ) -> list[np.ndarray]:
        """Cholesky factors of the Hessian's blocks, one for each output, of the rows that `rows`
        names, which stand for all; `bounded` if each weight's own curvature is to be at least what
        the loss has where it is most curved."""
        n, second = self.X.shape[1], self._second_derivatives(point)
        if self.objective.loss.joint and not point.W.any():
            # All rows are alike: the blocks are multiples of each other.
            one = self._blocks(second[:1], rows)
            blocks = second[:, :1, None] / second[0, 0] * one
        else:
            blocks = self._blocks(second, rows)
        diagonal = np.arange(n)
        if bounded:
            most = self.objective.loss.curvature * self.X.column_squares(self.share, self.n_threads)
        for H in blocks:
            if bounded:
                H[diagonal, diagonal] = np.maximum(H[diagonal, diagonal], most)
            H[diagonal, diagonal] += self.l2
            if not self.objective.fit_intercept:
                H[:, n] = 0.0  # no pivot, and so no step
        return [_backend.active.cholesky(H, n + 1) for H in blocks]

    def _blocks(self, second: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """The Hessian of the loss for each row of second derivatives."""
        weighed = np.ascontiguousarray(self.share * second)
        if rows is None:
            return _backend.active.weighted_grams(self.X, weighed, None, self.n_threads)
        scaled, n = weighed / float(np.sum(self.share[rows])), np.arange(self.X.shape[1])
        blocks = _backend.active.weighted_grams(self.X, scaled, rows, self.n_threads)
        if self._rare(rows):
            # Of their features these rows may know nothing, or what they have learnt by heart.
            for H, each in zip(blocks, weighed):
                H[n, n] = np.maximum(H[n, n], self.X.column_squares(each, self.n_threads))
        return blocks

    def _rare(self, rows: np.ndarray) -> bool:
        """Whether hardly any of these rows has some feature."""
        if self._has_rare is None:
            part, zero = self.X.take(rows), np.zeros(self.X.shape[1])
            counts = _backend.active.column_moments(part, np.ones(len(rows)), zero, self.n_threads)
            self._has_rare = bool((counts[2] < RARE).any())
        return self._has_rare

    def _second_derivatives(self, point: Point) -> np.ndarray:
        """Of each row's loss by each output, (n_outputs, n_rows); of one that is straight in pieces
        those of parabolas above it, whose minimum is never further up."""
        loss, z, gradient = self.objective.loss, point.z, point.gradient
        raw, gradient = (z, gradient) if loss.joint else (z[:, 0], gradient[:, 0])
        pieces = loss.conjugate_pieces
        if pieces is not None and not pieces.smooth:
            errors = raw - self.y
            nearest = KINK * float(np.sum(self.share * np.abs(errors))) or 1.0
            return pieces.parabolas(errors, self.y, nearest)[None]
        return loss.second_derivative(raw, self.y, gradient).reshape(z.shape).T

    def _sums(self, of_rows: np.ndarray) -> np.ndarray:
        """Derivatives by weights and intercepts, from those by raw predictions, (n_outputs,
        n_rows)."""
        weighed = np.ascontiguousarray(self.share * of_rows)
        sums = np.zeros((len(weighed), self.X.shape[1] + 1))
        sums[:, :-1] = self.X.weighted_sum(weighed, self.n_threads)
        sums[:, -1] = np.sum(weighed, axis=1)
        return sums

    def left_out(self, point: Point) -> float:
        """The mean loss of rows each of which is left out of the fit, by one Newton step from its
        minimum (approximate leave-one-out, Rad and Maleki 2020; for squared error it is exact); of
        a loss of one output."""
        loss, y, z, gradient = self.objective.loss, self.y, point.z[:, 0], point.gradient[:, 0]
        second = self.share * loss.second_derivative(z, y, gradient)
        (factor,) = self.hessian_factors(point, None)
        lever = _backend.active.leverages(self.X, factor, self.n_threads)
        # A row that alone decides of a direction says nothing of it.
        moved = self.share * gradient * lever / np.maximum(1.0 - second * lever, 1e-3)
        with np.errstate(over="ignore", invalid="ignore"):
            value = _backend.active.loss_values(loss, z + moved, y)
        return float(np.sum(self.share * value))
