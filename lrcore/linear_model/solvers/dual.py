"""The dual solver: stochastic dual coordinate ascent (Shalev-Shwartz and Zhang 2013). It has no
learning rate, and ends with a certificate.

Each row has a dual variable, which ends as the derivative of its loss. Any such variables bound the
minimum from below, so the duality gap, what is minimised less this bound, says how far from the
minimum a fit can be at most. The losses in `lrcore.losses` have the formulas, and
`lrcore._backend.numpy` the plain loop.

The intercept is not penalised. It is the weight of one more feature, constant, whose penalty is
centred anew on the intercept after each epoch (the proximal method of multipliers, Rockafellar
1976), so that none is left in the end. The bound needs variables that sum to 0 then: those of the
sign that has more are scaled down for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from lrcore import _backend, penalties
from lrcore._backend import threads
from lrcore._backend.compiled import LONG_ROW
from lrcore._backend.shuffle import RUN_LENGTH as REORDERED_RUN
from lrcore._backend.shuffle import shuffled
from lrcore._utils import numerics
from lrcore.linear_model.duality import mixed
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.epoch import CHUNK_ROWS, AfterChunk, Chunk, EpochLoss
from lrcore.linear_model.engine.layout import ModelState, aligned_zeros, n_lanes
from lrcore.linear_model.engine.reorder import ReorderedData
from lrcore.linear_model.monitor.base import CONTINUE, STOP, Decision, Monitor, Progress
from lrcore.linear_model.monitor.diagnostics import warn
from lrcore.linear_model.monitor.stopping import EarlyStopping, EpochPrinter
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import DualVariables, FitResult, TrainedModel
from lrcore.linear_model.solvers.base import EpochLoop, SolverConfig
from lrcore.linear_model.solvers.training import scale_to_begin_with
from lrcore.losses import LOSSES

#: Losses that can be minimised so.
DUAL_LOSSES = [name for name, loss in LOSSES.items() if loss.has_dual]

#: What parameters have to be, and why.
NEEDS = {
    "average": (
        False,
        "its weights follow from dual variables; solver='stochastic' has averages",
    ),
    "on_divergence": ("raise", "it has no rate to cut; solver='stochastic' recovers"),
}

#: Columns of a row's record in the core; from DUAL on one for each output.
TARGET, SHARE, SQUARES, DUAL = range(4)

#: Short rows that stay together when they are shuffled.
RUN_LENGTH = 8

#: The square of the intercept's feature, over the mean of |x|**2: with more, rows, which all share
#: it, undo each other's steps; with less it takes more epochs to find its place. And the gap of an
#: epoch, over what its penalty holds back, up to which the penalty is centred anew.
CONSTANT, INNER_GAP = 0.1, 30.0

#: What dual variables to begin with are multiplied by: whichever of these raises the dual most.
MULTIPLES = (1.0, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1, 0.05)

#: Rows whose parts of the gap are worked out together: they stay in the cache.
GAP_ROWS = 4096

#: Epochs before sparse rows are reordered, and epochs still to come that it takes: most fits of
#: text end before.
REORDER_AFTER, REORDER_FOR = 3, 5


class Shrinkage:
    """How weights follow from the sums v of the dual variables: ``factor * shrink(v, threshold)``.

    `pairs` are the thresholds and factors of the features, (n_features, 2), or (1, 2) where all
    have the same. What is minimised has, over l2, ``threshold |w| + w**2 / (2 factor)``.
    """

    def __init__(self, pairs: np.ndarray) -> None:
        self.pairs = pairs
        self.thresholds, self.factors = pairs[:, :1], pairs[:, 1:]

    @classmethod
    def of(cls, objective: Objective, n_features: int, dtype: Any) -> Shrinkage | None:
        """That of an objective; None where weights are v itself."""
        l1, l2 = objective.strengths(n_features)
        alike = objective.penalty_factors is None and objective.column_scale is None
        if alike and not l1.any():
            return None
        whole = objective.penalty.curvature
        pairs = np.stack([l1 / whole, whole / l2], axis=1)
        return cls(np.ascontiguousarray(pairs[:1] if alike else pairs, dtype))

    def weights(self, v: np.ndarray) -> tuple[np.ndarray, float]:
        """What v, (n_features, lanes), stands for, as the core has it; and what that is penalised
        by, over l2."""
        weights, penalty = aligned_zeros(v.shape, v.dtype), 0.0
        for start in range(0, len(v), GAP_ROWS):
            part = slice(start, start + GAP_ROWS)
            own = self.part(part)
            threshold, factor = own.thresholds, own.factors
            w = (v[part] - np.clip(v[part], -threshold, threshold)) * factor
            weights[part] = w
            w = w.astype(np.float64)
            penalty += float(np.sum(threshold * np.abs(w) + w * w / (2.0 * factor)))
        return weights, penalty

    def part(self, features: np.ndarray | slice | None) -> Shrinkage:
        """That of some features; None: all."""
        return self if features is None or len(self.pairs) == 1 else Shrinkage(self.pairs[features])


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
        pairs = None if self._shrinkage is None else self._shrinkage.pairs
        kernel = _backend.active.DualKernel
        self._kernel = kernel(self.loss, X, array.nbytes, self.constant, pairs)

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
        return _backend.active.loss_and_gradient(self.loss, z, self.records[:, TARGET])[1]

    def begin(self, dual: np.ndarray, intercepts: np.ndarray) -> None:
        """Begin with these dual variables, or with less of them.

        They are multiplied by what raises the dual objective most, which is concave: 1 at the
        minimum, less after a larger alpha, whose weights fit worse.
        """
        y, share = self.records[:, :SQUARES].T
        for v, sums in zip(self.v.T, self._combined(dual)):
            v[:] = sums
        best, highest = 0.0, -math.inf
        for c in MULTIPLES:
            conjugates = float(np.sum(share * self.loss.conjugate(c * dual, y)))
            objective = -conjugates - self._sum_of_squares(c) / 2
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
                    v = np.maximum(np.abs(v) - self._shrinkage.part(part).thresholds, 0.0)
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
            yield self.X.weighted_sum(-self.records[:, SHARE] * each, None, sums)

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


class DualTraining:
    """All outputs of a fit in progress; `gap` is what an epoch found, over the objective, and
    `expected_gap` what is left after it."""

    def __init__(self, problem: Problem, config: SolverConfig) -> None:
        self.scale = scale_to_begin_with(config, problem.X, None)
        original, problem = problem.X, problem.scaled(self.scale, 0, problem.n_rows)
        self._problem, self._config = problem, config
        X = problem.X
        intercept = problem.objective.fit_intercept
        constant = CONSTANT * (X.statistics().norm2 or 1.0) if intercept else 0.0
        n_threads = config.n_threads
        self.outputs = [DualAscent(problem, y, constant, n_threads) for y in problem.targets]
        self._random = check_random_state(config.random_state)
        self._order = np.arange(problem.n_rows, dtype=np.int64)
        self._joint = problem.objective.loss.joint
        self._gaps = np.full(len(self.outputs), math.inf)  # of the last epoch
        self._run_length = 1 if X.nnz_per_row >= LONG_ROW else RUN_LENGTH
        self._epoch = 0
        self.gap = self._rate = 1.0  # without dual variables: as large as the objective
        if config.start is not None:
            self._begin_at(config.start, original)

    def _begin_at(self, start: TrainedModel, X: DesignMatrix) -> None:
        """Begin where another fit ended: with its dual variables, if it had the same targets and
        keeps them, else with the derivatives of the losses at its weights, whatever solver they
        come from. X is not scaled."""
        loss, n = self._problem.objective.loss, self.outputs[0].n_outputs
        n_features = start.states[0].columns.shape[1] - 1
        before = start.n_outputs, n_features, start.objective.loss.joint
        now = n * len(self.outputs), X.shape[1], loss.joint
        if before != now:
            raise ValueError(
                "warm_start=True needs the classes, multi_class and features of the last fit: it "
                f"had {before[0]} outputs, {before[1]} features, this has {now[0]}, {now[1]}; set "
                "it to False"
            )
        kept = start.dual if start.objective.loss == loss else None
        y = [output.records[:, TARGET] for output in self.outputs]
        if kept is not None and all(np.array_equal(last.y, own) for last, own in zip(kept, y)):
            duals = [last.values for last in kept]
        else:
            # Good only where weights are close to the minimum: errors of rows add up in the sums.
            z = start.raw_predictions(X, self._config.n_threads)
            parts = np.split(z, len(self.outputs), axis=1)
            duals = [output.derivatives(part) for output, part in zip(self.outputs, parts)]
        intercepts = np.split(start.intercepts, len(self.outputs))
        for output, dual, own in zip(self.outputs, duals, intercepts):
            output.begin(dual, own)
        self.gap = math.inf  # not known

    @property
    def expected_gap(self) -> float:
        """The gap after the last epoch, over the objective.

        An epoch finds rows with their gaps of before it; after it they are smaller by about as much
        as from one epoch to the next.
        """
        return self.gap * self._rate

    def next_order(self) -> np.ndarray:
        """The rows in the order of the next epoch."""
        if self._epoch == REORDER_AFTER and self._is_long():
            self._reorder()
        self._epoch += 1
        if self._config.shuffle:
            seed = int(self._random.randint(2**31 - 1))
            self._order = shuffled(len(self._order), seed, self._run_length)
        return self._order

    def run_epoch(self, order: np.ndarray, after_chunk: AfterChunk) -> EpochLoss:
        """Visit all rows once."""
        if self._joint:
            self._recentre()
        n_rows, done = len(order), 0
        sums, going_on, first = np.zeros((len(self.outputs), 3)), True, self.outputs[0]
        while done < n_rows and going_on:
            chunk = order[done : done + CHUNK_ROWS]
            sums += self._each(partial(DualAscent.visit, order=chunk))
            done += len(chunk)
            mean = float(np.mean(sums[:, 0])) / first.shares(order[:done])
            going_on = after_chunk(Chunk(chunk, first.visits, math.nan, mean, done, n_rows))
        self._gaps = sums[:, 1]
        if not self._joint:
            self._recentre()
        primal = sums[:, 0] + 0.5 * sums[:, 2]
        found = float(np.max(sums[:, 1] / np.where(primal > 0, primal, math.inf)))
        before = found if math.isinf(self.gap) else self.gap
        self._rate = min(1.0, found / before) if before > 0 else 0.0
        self.gap = found
        return EpochLoss(mean, 1.0, done)

    def _recentre(self) -> None:
        """Centre the penalties of the intercepts anew, where that pays.

        The intercepts move by what their penalty held back, and the weights have yet to follow: of
        a joint loss the gap is up to four times as large after it, so it waits for the next epoch.
        Of one output the gap hardly changes.
        """
        for output, gap in zip(self.outputs, self._gaps):
            output.recentre(gap)

    def _each(self, do: Callable[[DualAscent], np.ndarray]) -> list[np.ndarray]:
        """What comes of each output, one on each thread."""
        outputs = self.outputs
        n_values = self._problem.X.values.size
        n_threads = min(len(outputs), threads.count(self._config.n_threads, n_values))
        if n_threads == 1:
            return [do(output) for output in outputs]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(do, outputs))

    def _is_long(self) -> bool:
        """Whether so many epochs are left, if the gap goes on shrinking so, that a copy pays."""
        # Of a joint loss the weights of a feature are whole cache lines: little is gained.
        if self._joint or self._epoch - 1 + REORDER_FOR >= self._config.max_iter:
            return False
        later = self.expected_gap * float(numerics.power(self._rate, REORDER_FOR))
        enough = later > (self._config.tol or 0.0)
        return enough and reorder.worthwhile(self._problem.X, reorder.MIN_EPOCHS, False)

    def _reorder(self) -> None:
        X = self._problem.X
        reordered = reorder.reorder(X, self._order, self.outputs[0].array[0].nbytes)
        for output in self.outputs:
            output.reorder(reordered)
        self._order, self._run_length = np.arange(len(self._order)), REORDERED_RUN

    def certify(self) -> float:
        """The largest gap of an output, over its objective."""
        return max(output.certify() for output in self.outputs)

    def model(self) -> TrainedModel:
        """A copy of what the fit has come to."""
        return self.finished(copies=True)

    def finished(self, *, copies: bool = False) -> TrainedModel:
        """The model of the weights as they are."""
        n_features = self._problem.X.shape[1]
        states = [output.state(n_features) for output in self.outputs]
        states = [state.copy() for state in states] if copies else states
        dual = [output.variables() for output in self.outputs]
        return TrainedModel(states, self._problem.objective, scale=self.scale, dual=dual)


class GapStopping(Monitor):
    """Stops once the duality gap is no larger than `tol`; `gap` is the one certified last.

    To certify it costs most of an epoch, so it waits until an epoch's own estimate is small enough.
    """

    def __init__(self, training: DualTraining, tol: float | None) -> None:
        self._training = training
        self._tol = tol
        self.gap = math.inf
        self._certified = 0

    def after_epoch(self, progress: Progress) -> Decision:
        enough = self._tol is not None and self._training.expected_gap <= self._tol
        if progress.last or enough:
            self.certify(progress)
            if self._tol is not None and self.gap <= self._tol:
                return STOP
        return CONTINUE

    def certify(self, progress: Progress) -> None:
        """Certify the gap after the last epoch, unless that has been done."""
        if self._certified < progress.n_epochs:
            self._certified = progress.n_epochs
            self.gap = self._training.certify()


@dataclass(frozen=True)
class Dual:
    """Stochastic dual coordinate ascent, for penalties with an L2 part and losses that have a
    dual.

    Parameters
    ----------
    n_iter_no_change : int
        Epochs without a fall of the held-out loss, if there is one, after which a fit stops.
    """

    n_iter_no_change: int = 5

    name: ClassVar[str] = "dual"

    @classmethod
    def from_parameters(cls, model: Any) -> Dual:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        if model._loss not in DUAL_LOSSES:
            raise ValueError(
                f"solver='dual' needs a loss with a dual and a gradient that is bounded or linear, "
                f"one of {', '.join(DUAL_LOSSES)}, got {model._loss!r}; solver='stochastic' has it"
            )
        if not penalties.make(model.penalty, float(model.alpha), model.l1_ratio).curvature > 0:
            raise ValueError(
                "solver='dual' needs penalty='l2', or 'elasticnet' with l1_ratio < 1, and alpha > "
                f"0, got penalty={model.penalty!r}, alpha={model.alpha!r}, l1_ratio="
                f"{model.l1_ratio!r}; solver='newton' and 'stochastic' have the others"
            )
        for name, (needed, why) in NEEDS.items():
            value = getattr(model, name)
            if value != needed:
                raise ValueError(f"solver='dual' needs {name}={needed!r}, got {value!r}: {why}")
        return cls(model.n_iter_no_change)

    def fit(
        self, problem: Problem, config: SolverConfig, monitors: Sequence[Monitor] = ()
    ) -> FitResult:
        """Epochs until every output's gap is at most `tol`, over the objective, or until the loss
        of held-out rows, if there are any, has not fallen by more than `tol`, or `max_iter` of
        them; see `lrcore.linear_model.solvers.base.Solver`."""
        l2 = problem.objective.strengths(problem.X.shape[1])[1]
        if not l2.all():
            raise ValueError(
                f"solver='dual' needs penalty_factors above 0, got 0 at position {np.argmin(l2)}: "
                "without a penalty a weight does not follow from dual variables; solver='newton' "
                "and 'stochastic' take factors of 0"
            )
        training = DualTraining(problem, config)
        tol, held_out, own = config.tol, config.held_out, list[Monitor]()
        if held_out is not None:
            patience = self.n_iter_no_change
            own.append(EarlyStopping.by_loss(held_out, tol or 0.0, patience, config.n_threads))
            tol = None
        stopping = GapStopping(training, tol)
        if config.verbose:
            gap = ", duality gap about {:.2g} of the objective".format
            own.append(EpochPrinter(lambda: gap(training.gap)))
        monitors = [*own, *monitors, stopping]
        for monitor in monitors:
            monitor.begin(None, None)
        with EpochLoop(training.model, config.max_iter, monitors) as loop:
            while loop.goes_on:
                order, after_chunk = training.next_order(), loop.begin_epoch()
                loop.end_epoch(training.run_epoch(order, after_chunk))
        stopping.certify(loop.progress)
        all_epochs = loop.progress.n_epochs == config.max_iter and not loop.progress.cut_short
        if tol is not None and stopping.gap > tol and all_epochs:
            warn(
                f"the duality gap is {stopping.gap:.2g} of the objective after "
                f"max_iter={config.max_iter} epochs, above tol={tol:g}; raise max_iter, tol "
                "or alpha, or scale X",
                ConvergenceWarning,
            )
        result = FitResult(
            training.finished(),
            loop.progress.losses,
            loop.progress.measured,
            loop.interrupted,
            stopping.gap,
            lr=1.0,
        )
        for monitor in monitors:
            monitor.end(result)
        return result
