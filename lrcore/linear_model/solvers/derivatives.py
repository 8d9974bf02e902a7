"""The objectives of targets with their gradients and Hessians, all in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lrcore import _backend
from lrcore.linear_model.duality import duality_gaps, null_objective
from lrcore.linear_model.problem import Objective, Problem

#: Rows of a feature below which it is rare.
RARE = 16

#: Weights of all outputs of a joint loss up to which their Hessian is one block.
WHOLE = 128

#: A curvature that is next to nothing.
LEAST_CURVATURE = 1e-6

#: What counts as the distance of a row from a kink at least, over the mean error.
KINK = 1e-2

#: Weights (n_outputs, n_features) and intercepts.
Start = tuple[np.ndarray, np.ndarray]


class Point(NamedTuple):
    """Weights (n_outputs, n_features) and intercepts of all targets, and what they give: raw
    predictions (n_rows, n_outputs) with the offset, derivatives of the losses by them, the mean
    losses and the objectives, (n_targets,); and the derivatives of the mean losses, (n_outputs,
    n_features + 1), if they are known."""

    W: np.ndarray
    b: np.ndarray
    z: np.ndarray
    gradient: np.ndarray
    mean_loss: np.ndarray
    objective: np.ndarray
    slopes: np.ndarray | None = None

    def where(self, chosen: np.ndarray, other: Point) -> Point:
        """The point that has the chosen targets, a mask (n_targets,), and those of another one."""
        if chosen.all():
            return self
        if not chosen.any():
            return other
        W, slopes = np.where(chosen[:, None], self.W, other.W), None
        if self.slopes is not None and other.slopes is not None:
            slopes = np.where(chosen[:, None], self.slopes, other.slopes)
        pairs = zip(self[1:6], other[1:6])
        mixed = Point(W, *(np.where(chosen, mine, theirs) for mine, theirs in pairs))
        return mixed._replace(slopes=slopes)


class SmoothObjective:
    """The objectives of targets and their derivatives by weights and intercepts, which are
    (n_outputs, n_features + 1), the intercepts last.

    Targets are several of a loss with one output, or one of a loss of all outputs together: what
    there is for each of them belongs to each output, or to all alike.
    """

    def __init__(self, problem: Problem, n_threads: int | None) -> None:
        self.X, self.objective = problem.X, problem.objective
        self.targets, self.n_threads = problem.targets, n_threads
        self.n_targets = len(problem.targets)
        self.n_outputs = self.n_targets * problem.outputs_per_target
        self.offset: np.ndarray | float = 0.0
        if problem.offsets is not None:
            self.offset = np.concatenate(problem.offsets, axis=1)
        #: The rows' shares, of all targets, (1, n_rows), or of each, (n_targets, n_rows).
        self.share = problem.share[None]
        if problem.target_factors is not None:
            self.share = np.stack([one.share for one in problem.each_target()])
        self._shares = np.broadcast_to(self.share, (self.n_targets, problem.n_rows))
        self.l2 = self.objective.strengths(problem.X.shape[1])[1]
        self._joint = problem.objective.loss.joint
        #: Whether the Hessian's blocks are all of it.
        self.exact = not self._joint or self.n_outputs * (problem.X.shape[1] + 1) <= WHOLE
        self._y = np.concatenate(problem.targets) if self.n_targets > 1 else problem.targets[0]
        self._has_rare: bool | None = None
        self._in_one_pass = not (problem.X.sparse or self._joint)
        self._evaluates_in_one = self._in_one_pass and problem.offsets is None

    # ---- rows as losses take them: of all targets in turn, or as they are of a joint loss --------

    def _flat(self, of_outputs: np.ndarray) -> np.ndarray:
        return of_outputs if self._joint else of_outputs.T.reshape(-1)

    def _of_outputs(self, flat: np.ndarray) -> np.ndarray:
        """(n_rows, n_outputs)."""
        return flat if self._joint else flat.reshape(self.n_targets, -1).T

    def means(self, of_rows: np.ndarray) -> np.ndarray:
        """(n_targets,): the weighted means of numbers (n_targets, n_rows)."""
        return np.add.reduce(self.share * of_rows, axis=1)

    def totals(self, of_weights: np.ndarray) -> np.ndarray:
        """(n_targets,): sums of numbers of each weight, in an order that no processor changes."""
        return np.add.reduce(of_weights.reshape(self.n_targets, -1), axis=1)

    # ---- points ---------------------------------------------------------------------------------

    def evaluate(self, W: np.ndarray, b: np.ndarray) -> Point:
        """The point of weights that are rounded to the precision of X, which the model has."""
        dtype = self.X.dtype
        if self._joint:
            b = b - np.mean(b)  # nothing depends on what they have in common
        W, b = W.astype(dtype).astype(np.float64), b.astype(dtype).astype(np.float64)
        if not W.any():
            return self.evaluate_at(W, b, np.tile(b, (self.X.shape[0], 1)) + self.offset)
        if not self._evaluates_in_one:
            z = self.X.wide_predictions(W, self.n_threads).T
            return self.evaluate_at(W, b, z + b + self.offset)
        one_pass, loss = _backend.active.loss_pass, self.objective.loss
        each = [
            one_pass(loss, self.X, w, float(intercept), y, share, self.n_threads)
            for w, intercept, y, share in zip(W, b, self.targets, self._shares)
        ]
        z, value, gradient, slopes = map(np.stack, zip(*each))
        return Point(W, b, z.T, gradient.T, *self._objective(W, value), slopes)

    def evaluate_at(self, W: np.ndarray, b: np.ndarray, z: np.ndarray) -> Point:
        """The point of weights whose raw predictions are known."""
        loss, raw = self.objective.loss, self._flat(z)
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = _backend.active.loss_and_gradient(loss, raw, self._y, self.n_threads)
        value = value.reshape(self.n_targets, -1)
        return Point(W, b, z, self._of_outputs(gradient), *self._objective(W, value))

    def _objective(self, W: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The means of the losses, and the objectives."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self.means(value)
            return mean, mean + self.totals(self.l2 * np.square(W)) / 2

    def least(self) -> np.ndarray:
        """(n_targets,): the least that the mean losses can be."""
        least = self.objective.loss.least
        return self.means(np.stack([least(y) for y in self.targets]))

    def null(self) -> np.ndarray:
        """(n_targets,): the mean losses of raw predictions of 0, above the least."""
        loss, offset, found = self.objective.loss, self.offset, []
        for k, y in enumerate(self.targets):
            own = offset[:, k : k + 1] if isinstance(offset, np.ndarray) else offset
            found.append(null_objective(loss, y, self._shares[k], own))
        return np.array(found)

    # ---- derivatives ----------------------------------------------------------------------------

    def gradient(self, point: Point) -> np.ndarray:
        """The gradients of the objectives."""
        slopes = self._sums(point.gradient.T) if point.slopes is None else point.slopes
        return self._of_free_weights(slopes, point.W)

    def slope(self, point: Point, direction: np.ndarray, change: np.ndarray) -> np.ndarray:
        """(n_targets,): the objectives' derivatives along a direction, by which raw predictions
        change so."""
        product = point.gradient * change
        of_rows = np.sum(product, axis=1)[None] if self._joint else product.T
        return self.means(of_rows) + self.totals(self.l2 * point.W * direction[:, :-1])

    def _of_free_weights(self, slopes: np.ndarray, W: np.ndarray) -> np.ndarray:
        """Derivatives of the loss, with those of the penalty at W, and none of fixed intercepts."""
        G = slopes.copy()
        G[:, :-1] += self.l2 * W
        if not self.objective.fit_intercept:
            G[:, -1] = 0.0
        return G

    def hessian(self, point: Point) -> Callable[[np.ndarray], np.ndarray]:
        """The function that multiplies directions by the Hessians at a point."""
        factors, changes = self.share * self.second_derivatives(point), self._changes(point)

        def product(direction: np.ndarray) -> np.ndarray:
            W = np.ascontiguousarray(direction[:, :-1])
            if self._in_one_pass:
                multiply = _backend.active.product_pass
                pairs = zip(direction, factors)
                each = [multiply(self.X, along, own, self.n_threads) for along, own in pairs]
                return self._of_free_weights(np.stack(each), W)
            moved = self.X.wide_predictions(W, self.n_threads).T + direction[:, -1]
            return self._of_free_weights(self._sums(changes(moved).T), W)

        return product

    def linearised(self, before: Point, point: Point) -> np.ndarray:
        """Derivatives of the losses at a point, to first order from the one before, within their
        bounds, (n_rows, n_outputs)."""
        u = before.gradient + self._changes(before)(point.z - before.z)
        return self._of_outputs(self.objective.loss.within_bounds(self._flat(u), self._y))

    def row_gap(self, before: Point, point: Point) -> np.ndarray:
        """(n_targets,): about the duality gap of rows with these variables, rather more: by how
        much they miss derivatives, squared, over the curvature. Bounds that they do not keep count
        as well, since to keep them costs more."""
        missed = self._changes(before)(point.z - before.z)
        missed += before.gradient
        missed -= point.gradient
        missed *= missed
        missed /= np.maximum(self.second_derivatives(point).T, LEAST_CURVATURE)
        return self.means(np.sum(missed, axis=1)[None] if self._joint else missed.T)

    def _changes(self, point: Point) -> Callable[[np.ndarray], np.ndarray]:
        """The function of how much derivatives change as raw predictions move, to first order."""
        loss = self.objective.loss
        if loss.joint:
            return loss.hessian(self.targets[0], point.gradient)
        second = self.second_derivatives(point).T
        return lambda moved: second * moved

    def with_penalty_of(self, objective: Objective, point: Point) -> Point:
        """The point from now on, where the penalty is that of another objective."""
        self.objective, self.l2 = objective, objective.strengths(self.X.shape[1])[1]
        penalty = self.totals(self.l2 * np.square(point.W)) / 2
        return point._replace(objective=point.mean_loss + penalty)

    def hessian_blocks(
        self, point: Point, rows: np.ndarray | None, chosen: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """The blocks of the losses' Hessian, one for each output of the chosen ones, or one for all
        outputs of a joint loss, of the rows that `rows` names, which stand for all; those of
        outputs with the same block are one."""
        if self._joint and self.exact:
            return [self._whole_block(point, rows)]
        second = self.second_derivatives(point)
        weighed = self.share * second
        if chosen is not None:
            second, weighed = second[chosen], weighed[chosen]
        if self._joint and not point.W.any():
            # All rows are alike: the blocks are multiples of each other.
            return list(second[:, :1, None] / second[0, 0] * self._blocks(weighed[:1], rows))
        if len(weighed) > 1 and (weighed == weighed[0]).all():
            return list(self._blocks(weighed[:1], rows)) * len(weighed)
        return list(self._blocks(weighed, rows))

    def factors(
        self, blocks: list[np.ndarray], *, bounded: bool = False, keep: bool = False
    ) -> list[np.ndarray]:
        """Cholesky factors of the Hessian's blocks with the penalty, in place of these unless they
        are to be kept; `bounded` if each weight's own curvature is to be at least what the loss has
        where it is most curved."""
        n, made = self.X.shape[1], dict[int, np.ndarray]()
        outputs = np.arange(self.n_outputs if self._joint and self.exact else 1)[:, None] * (n + 1)
        diagonal, intercepts = outputs + np.arange(n), outputs + n
        for k, block in enumerate(blocks):
            if id(block) in made:
                continue
            made[id(block)] = H = block.copy() if keep else block
            if bounded:
                squares = self.X.column_squares(self._shares[k % self.n_targets], self.n_threads)
                most = self.objective.loss.curvature * squares
                H[diagonal, diagonal] = np.maximum(H[diagonal, diagonal], most)
            H[diagonal, diagonal] += self.l2
            if not self.objective.fit_intercept:
                H[:, intercepts] = 0.0  # no pivot, and so no step
            _backend.active.cholesky(H, outputs.size * (n + 1))
        return [made[id(block)] for block in blocks]

    def _whole_block(self, point: Point, rows: np.ndarray | None) -> np.ndarray:
        """The Hessian of all outputs of a joint loss, on and above the diagonal."""
        n_outputs, n = self.n_outputs, self.X.shape[1] + 1
        first, second = np.triu_indices(n_outputs)
        units, changes = np.eye(n_outputs), self._changes(point)
        of_rows = np.stack([changes(np.tile(unit, (len(point.z), 1))).T for unit in units])
        grams = self._blocks(self.share * of_rows[first, second], rows)[:, :n, :n]
        blocks = np.zeros((n_outputs, n, n_outputs, n))
        blocks[first, :, second] = np.triu(grams) + np.triu(grams, 1).transpose(0, 2, 1)
        width = (n_outputs * n + 7) // 8 * 8
        H = np.zeros((width, width))
        H[: n_outputs * n, : n_outputs * n] = blocks.reshape(n_outputs * n, -1)
        return H

    def _blocks(self, weighed: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """The Hessian of the loss for each row of second derivatives times shares."""
        weighed = np.ascontiguousarray(weighed)
        if rows is None:
            return _backend.active.weighted_grams(self.X, weighed, None, self.n_threads)
        n = np.arange(self.X.shape[1])
        scaled = weighed / np.mean(np.sum(self.share[:, rows], axis=1))
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

    def second_derivatives(self, point: Point) -> np.ndarray:
        """Of each row's loss by each output, (n_outputs, n_rows); of one that is straight in pieces
        those of parabolas above it, whose minimum is never further up."""
        z, gradient = self._flat(point.z), self._flat(point.gradient)
        pieces = self.objective.loss.conjugate_pieces
        if pieces is not None and not pieces.smooth:
            errors = z - self._y
            nearest = KINK * self.means(np.abs(errors).reshape(self.n_targets, -1))
            nearest = np.repeat(np.where(nearest > 0, nearest, 1.0), self.X.shape[0])
            return self._of_outputs(pieces.parabolas(errors, self._y, nearest)).T
        return self._of_outputs(self.objective.loss.second_derivative(z, self._y, gradient)).T

    def _sums(self, of_rows: np.ndarray) -> np.ndarray:
        """Derivatives by weights and intercepts, from those by raw predictions, (n_outputs,
        n_rows)."""
        weighed = np.ascontiguousarray(self.share * of_rows)
        sums = np.zeros((len(weighed), self.X.shape[1] + 1))
        sums[:, :-1] = self.X.weighted_sum(weighed, self.n_threads)
        sums[:, -1] = np.sum(weighed, axis=1)
        return sums

    def gaps(self, point: Point, dual: np.ndarray | None = None) -> np.ndarray:
        """(n_targets,): the duality gaps over the objectives, by dual variables (n_rows,
        n_outputs) or the derivatives of the losses."""
        found = duality_gaps(
            self.objective, self.X, self.targets, self.share, point.W, point.z, self.n_threads,
            dual, self.offset,
        )  # fmt: skip
        return np.array([gap.relative for gap in found])

    def left_out(self, point: Point, factors: list[np.ndarray]) -> float:
        """The mean loss of rows each of which is left out of the fit, by one Newton step from its
        minimum (approximate leave-one-out, Rad and Maleki 2020; for squared error it is exact),
        with the Hessian's factors; of losses of one output, over targets."""
        loss, z, gradient = self.objective.loss, point.z.T, point.gradient.T
        second = self.share * self.second_derivatives(point)
        levers: list[np.ndarray] = []
        for k, factor in enumerate(factors):
            if k and factor is factors[k - 1]:
                levers.append(levers[-1])
            else:
                levers.append(_backend.active.leverages(self.X, factor, self.n_threads))
        # A row that alone decides of a direction says nothing of it.
        moved = self.share * gradient * levers / np.maximum(1.0 - second * levers, 1e-3)
        with np.errstate(over="ignore", invalid="ignore"):
            value = _backend.active.loss_values(loss, (z + moved).reshape(-1), self._y)
        return float(np.mean(self.means(value.reshape(self.n_targets, -1))))
