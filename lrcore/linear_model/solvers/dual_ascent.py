"""One target of a fit by dual coordinate ascent: its variables, its weights, and the certificate.

The intercept is not penalised. It is the weight of one more feature, constant, whose penalty is
centred anew on the intercept between epochs (the proximal method of multipliers, Rockafellar 1976),
so that none is left in the end. The bound needs variables that sum to 0 then: those of the sign
that has more are scaled down for it, and those of a joint loss are mixed with some that are the
same for all rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from lrcore import _backend
from lrcore.linear_model.duality import mixed
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import ModelState, aligned_zeros, n_lanes
from lrcore.linear_model.engine.reorder import ReorderedData
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import DualVariables

#: Columns of a row's record in the core; from DUAL on one for each output.
TARGET, SHARE, SQUARES, DUAL = range(4)

#: The gap of an epoch, over what the penalty of the intercepts holds back, up to which that is
#: centred anew.
INNER_GAP = 30.0

#: What dual variables to begin with are multiplied by: that which raises the dual objective most.
MULTIPLES = (1.0, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1, 0.05)

#: Rows whose parts of the gap are worked out together: they stay in the cache.
GAP_ROWS = 4096


class Shrinkage:
    """How weights follow from the sums v of the dual variables: ``factor * shrink(v, threshold)``.

    `numbers` are the thresholds, those of v below 0 and the factors of the features, (n_features,
    3), or (1, 3) where all have the same. What is minimised has, over l2, ``threshold |w| + w**2 /
    (2 factor)``. Weights that are not to be negative have an infinite threshold below 0.
    """

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers
        self.thresholds, self.below, self.factors = (numbers[:, k : k + 1] for k in range(3))

    @classmethod
    def of(cls, objective: Objective, n_features: int, dtype: Any) -> Shrinkage | None:
        """That of an objective; None where weights are v itself."""
        l1, l2 = objective.strengths(n_features)
        alike = objective.penalty_factors is None and objective.column_scale is None
        alike = alike and (objective.positive is None or bool(objective.positive.all()))
        if alike and not l1.any() and objective.positive is None:
            return None
        whole = objective.penalty.curvature
        below = objective.l1_below(n_features) / whole
        numbers = np.stack([l1 / whole, below, whole / l2], axis=1)
        return cls(np.ascontiguousarray(numbers[:1] if alike else numbers, dtype))

    def shrunk(self, v: np.ndarray) -> np.ndarray:
        """v beyond the thresholds."""
        return v - np.clip(v, -self.below, self.thresholds)

    def weights(self, v: np.ndarray) -> tuple[np.ndarray, float]:
        """What v, (n_features, lanes), stands for, as the core has it; and what that is penalised
        by, over l2."""
        weights, penalty = aligned_zeros(v.shape, v.dtype), 0.0
        for start in range(0, len(v), GAP_ROWS):
            part = slice(start, start + GAP_ROWS)
            own = self.part(part)
            threshold, factor = own.thresholds, own.factors
            w = own.shrunk(v[part]) * factor
            weights[part] = w
            w = w.astype(np.float64)
            penalty += float(np.sum(threshold * np.abs(w) + w * w / (2.0 * factor)))
        return weights, penalty

    def part(self, features: np.ndarray | slice | None) -> Shrinkage:
        """That of some features; None: all."""
        alike = features is None or len(self.numbers) == 1
        return self if alike else Shrinkage(self.numbers[features])


class DualAscent:
    """One target in progress: a record for each row, and the weights that follow from them.

    A row's share is its weight over l2 times the sum of all weights. With `v` the sums
    ``-sum(share * dual * x)``, the weights are v, and what is minimised is l2 times ``sum(share *
    loss) + |v|**2 / 2``, unless a `Shrinkage` stands between them. The intercept's feature is
    sqrt(constant). A joint loss has a dual variable, a weight of each feature and an intercept for
    each of its outputs.
    """

    def __init__(
        self, problem: Problem, y: np.ndarray, constant: float, n_threads: int | None
    ) -> None:
        n_rows, n_features = problem.X.shape
        weight = problem.sample_weight
        weight = np.ones(n_rows) if weight is None else weight
        self.loss, self.l2 = problem.objective.loss, problem.objective.penalty.curvature
        share = weight / (self.l2 * float(np.sum(weight)))
        self.n_outputs = problem.outputs_per_target
        self.records = np.zeros((n_rows, DUAL + self.n_outputs))
        self.records[:, TARGET], self.records[:, SHARE], self.records[:, SQUARES] = y, share, -1.0
        self.constant = constant
        self.n_threads = n_threads
        lanes = n_lanes(self.n_outputs)
        self._intercepts = np.zeros(lanes)
        self.visits = self.rounded = 0
        self._class_products: tuple[float, np.ndarray] | None = None
        self.features: np.ndarray | None = None
        self.order: np.ndarray | None = None
        dtype = problem.X.dtype
        self._shrinkage = Shrinkage.of(problem.objective, n_features, dtype)
        self._use(problem.X, aligned_zeros((n_features + 1, lanes), dtype))

    @property
    def intercepts(self) -> np.ndarray:
        """(n_outputs,): a view."""
        return self._intercepts[: self.n_outputs]

    @property
    def dual(self) -> np.ndarray:
        """The dual variables, (n_rows,), or (n_rows, n_outputs) for a joint loss: a view."""
        return self.records[:, DUAL:] if self.loss.joint else self.records[:, DUAL]

    @property
    def weights(self) -> np.ndarray:
        """(n_features, n_outputs)."""
        if self._shrinkage is None:
            return self.v
        return self._shrinkage.weights(self.array[:-1])[0][:, : self.n_outputs]

    def _use(self, X: DesignMatrix, array: np.ndarray) -> None:
        """Take rows, and v of their features with room for the intercept."""
        self.X = X
        self.array = array
        self.v = array[:-1, : self.n_outputs]
        numbers = None if self._shrinkage is None else self._shrinkage.numbers
        kernel = _backend.active.DualKernel
        self._kernel = kernel(self.loss, X, array.nbytes, self.constant, numbers)

    def reorder(self, reordered: ReorderedData) -> None:
        """Go on with a copy of the rows."""
        array, features = self.array, reordered.features
        if features is not None:
            array = np.concatenate([array[features], array[-1:]])
        if self._shrinkage is not None:
            self._shrinkage = self._shrinkage.part(features)
        self.features, self.order = features, reordered.order
        self.records = self.records[reordered.order]
        self._use(reordered.X, array)

    def derivatives(self, z: np.ndarray) -> np.ndarray:
        """Those of the losses at raw predictions, (n_rows, n_outputs), as dual variables."""
        z = (z if self.loss.joint else z[:, 0]).astype(np.float64)
        return _backend.active.loss_and_gradient(
            self.loss, z, self.records[:, TARGET], self.n_threads
        )[1]

    def begin(self, dual: np.ndarray, intercepts: np.ndarray) -> None:
        """Begin with these dual variables, or with less of them.

        They are multiplied by what raises the dual objective most, which is concave: 1 at the
        minimum, less after a larger alpha, whose weights fit worse.
        """
        y, share = self.records[:, :SQUARES].T
        for v, sums in zip(self.v.T, self._combined(dual)):
            v[:] = sums
        best, highest = 0.0, -math.inf
        norm = self._sum_of_squares() if self._shrinkage is None else None
        for c in MULTIPLES:
            conjugates = float(np.sum(share * self.loss.conjugate(c * dual, y)))
            squares = self._sum_of_squares(c) if norm is None else c * c * norm
            objective = -conjugates - squares / 2
            if objective <= highest:
                break
            best, highest = c, objective
        if highest <= 0.0:  # that of no dual variables
            best = 0.0
        self.v *= self.v.dtype.type(best)
        self.dual[:] = best * dual
        self.intercepts[:] = intercepts

    def variables(self) -> DualVariables:
        """A copy of the dual variables, in the order of the rows before they were reordered."""
        y, dual = self.records[:, TARGET].copy(), self.dual.copy()
        if self.order is not None:
            y[self.order], dual[self.order] = self.records[:, TARGET], self.dual
        return DualVariables(y, dual)

    def visit(self, order: np.ndarray) -> np.ndarray:
        """Visit rows; returns sums over them, as they were found: of share times loss, of share
        times the row's part of the gap, and what amounts to ``weights * v`` at the minimum."""
        sums = self._kernel.visit(order, self.records, self.array[:-1], self._intercepts)
        self.visits += len(order)
        self.rounded += len(order)
        return np.array(sums)

    def shares(self, order: np.ndarray) -> float:
        """Sum of the shares of rows, at least one of which counts."""
        whole = len(order) == len(self.records)
        return 1.0 / self.l2 if whole else float(np.sum(self.records[order, SHARE])) or 1.0

    def recentre(self, gap: float) -> None:
        """Centre the intercepts' penalty on where they are, if it holds back more than is left to
        gain with it: `gap` is the last epoch's."""
        share = self.records[:, SHARE]
        totals = np.array([np.sum(share * dual) for dual in self.records.T[DUAL:]])
        if gap <= INNER_GAP * self.constant * float(np.sum(totals * totals)) / 2:
            self.intercepts[:] -= self.constant * totals

    def certify(self) -> float:
        """The duality gap over the objective: how far, at most, this is above the minimum.

        It is the rows' own gaps, ``loss + conjugate - dual * prediction``, none of which is
        negative, and ``|v - sums|**2 / 2`` with the sums that the dual variables come to, times the
        factors of a shrinkage (which is a bound then). The last is rounding, unless the dual
        variables had to be balanced.
        """
        if not (np.isfinite(self.v).all() and np.isfinite(self.records).all()):
            raise FloatingPointError(
                "the fit left the range of floating point; scale the columns of X, as "
                "scale='auto' does"
            )
        y, share = self.records[:, :SQUARES].T
        shrinkage, dual, apart, norm = self._shrinkage, self.dual, 0.0, 0.0
        if self.constant or shrinkage:
            norm = self._sum_of_squares()
        if self.constant:
            if self.loss.joint:
                dual, e, q = mixed(dual, share, y)
                apart = (e * (math.sqrt(norm) + self._norm_of_shared(q))) ** 2
            else:
                dual = balanced(dual, share)
                (sums,) = self._combined(dual)
                apart = float(np.sum(self._squares(self.v - sums[:, None])))
        weights, penalty = self.array[:-1], 0.0
        if shrinkage is not None:
            weights, penalty = shrinkage.weights(weights)
        losses, gaps, of_rows = self._sums(weights[:, : self.n_outputs], y, share, dual)
        norm = norm if self.constant or shrinkage else of_rows
        primal = losses + (norm / 2 if shrinkage is None else penalty)
        # What v, each number rounded as often as there were visits, may be away from the sums.
        rounding = float(np.finfo(self.v.dtype).eps) ** 2 * self.rounded * norm
        if rounding > gaps + apart:
            for v, sums in zip(self.v.T, self._combined(self.dual)):
                v[:] = sums
            self.rounded = 0
            return self.certify()
        return (gaps + (apart + rounding) / 2) / primal if primal > 0 else 0.0

    def _sums(
        self, weights: np.ndarray, y: np.ndarray, share: np.ndarray, dual: np.ndarray
    ) -> tuple[float, float, float]:
        """Sums over all rows of share times loss and share times gap, and ``weights * v``."""
        z = self._raw_predictions(weights, self.intercepts)
        losses = gaps = norm = 0.0
        for start in range(0, len(z), GAP_ROWS):
            part = slice(start, start + GAP_ROWS)
            value = _backend.active.loss_values(self.loss, z[part], y[part])
            product = dual[part] * z[part]
            if self.loss.joint:
                product = np.sum(product, axis=1)
            gap = value + self.loss.conjugate(dual[part], y[part]) - product
            losses += float(np.sum(share[part] * value))
            gaps += float(np.sum(share[part] * np.maximum(gap, 0.0)))
            norm -= float(np.sum(share[part] * product))
        return losses, gaps, norm

    def _raw_predictions(self, weights: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
        """In float64, of the shape that the loss takes."""
        of_outputs = self.X.raw_predictions_of_outputs
        z = of_outputs(weights, intercepts.astype(self.X.dtype), self.n_threads)
        return (z if self.loss.joint else z[:, 0]).astype(np.float64)

    def _sum_of_squares(self, multiple: float | None = None) -> float:
        """Of all v, times their factors, in float64, so many at a time that they stay in the
        cache; of a multiple of v after the thresholds of the shrinkage, if one is given."""
        total, n = 0.0, len(self.array) if self.n_outputs == 1 else GAP_ROWS
        for start in range(0, len(self.array) - 1, n):
            part = slice(start, min(start + n, len(self.array) - 1))
            v = self.array[part].astype(np.float64)
            if multiple is not None:
                v = multiple * v
                if self._shrinkage is not None:
                    v = self._shrinkage.part(part).shrunk(v)
            total += float(np.sum(self._squares(v, part)))
        return total

    def _squares(self, v: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """Squares of v, some features' or all, times the factors of the shrinkage."""
        squares = np.square(v)
        if self._shrinkage is not None:
            squares *= self._shrinkage.part(part).factors
        return squares

    def _norm_of_shared(self, q: np.ndarray) -> float:
        """The norm of what the dual variables ``q - e_y`` sum up to, the same q for all rows."""
        if self._class_products is None:
            self._class_products = self._products_of_class_sums()
        squares, products = self._class_products
        return math.sqrt(max(0.0, squares - 2.0 * q @ products + q @ q * np.sum(products)))

    def _products_of_class_sums(self) -> tuple[float, np.ndarray]:
        """Of the sums of the rows of each class times their shares: the sum of their squares, and
        the product of each with the sum of all."""
        order = np.argsort(self.records[:, TARGET], kind="stable")
        y, share = np.ascontiguousarray(self.records[order, :SQUARES].T)
        X, n_threads = self.X.take(order), self.n_threads
        total = X.weighted_sum(share, n_threads)
        if self._shrinkage is not None:
            total *= self._shrinkage.factors[:, 0]
        along = share * X.wide_predictions(total, n_threads)
        products = np.bincount(y.astype(np.intp), weights=along, minlength=self.n_outputs)
        squares, bounds = 0.0, np.searchsorted(y, np.arange(self.n_outputs + 1))
        for start, stop in pairwise(bounds):
            total[:] = 0.0
            X.span(start, stop).weighted_sum(share[start:stop], n_threads, total)
            squares += float(np.sum(self._squares(total[:, None])))
        return squares, products

    def _combined(self, dual: np.ndarray) -> Iterator[np.ndarray]:
        """What dual variables sum up to, of one output after another, in float64 in the order of
        the rows; all in the same array."""
        sums = np.empty(self.X.shape[1])
        for each in dual.reshape(len(dual), -1).T:
            sums[:] = 0.0
            yield self.X.weighted_sum(-self.records[:, SHARE] * each, self.n_threads, sums)

    def state(self, n_features: int) -> ModelState:
        """The weights as any other fit has them."""
        array = self.array
        if self.features is not None or self._shrinkage is not None:
            array = aligned_zeros((n_features + 1, array.shape[1]), array.dtype)
            features = slice(n_features) if self.features is None else self.features
            array[features, : self.n_outputs] = self.weights
        array[-1] = self._intercepts
        if self.n_outputs > 1:
            return ModelState(
                array, array.shape[1], by_feature=True, n_outputs=self.n_outputs, base=self.visits
            )
        return ModelState(array.T, 1, by_feature=False, base=self.visits)


def balanced(dual: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The dual variables with those of one sign scaled down so that they sum to 0 with their
    shares."""
    products = share * dual
    above, below = float(np.sum(products[products > 0])), -float(np.sum(products[products < 0]))
    if above > below:
        return np.where(dual > 0, dual * (below / above), dual)
    return np.where(dual < 0, dual * (above / below), dual) if below > above else dual
