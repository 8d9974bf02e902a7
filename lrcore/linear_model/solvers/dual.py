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
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from lrcore import _backend
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
from lrcore.linear_model.monitor.stopping import EpochPrinter
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import EpochLoop, SolverConfig
from lrcore.linear_model.solvers.training import scale_to_begin_with
from lrcore.losses import LOSSES

#: Losses that can be minimised so.
DUAL_LOSSES = [name for name, loss in LOSSES.items() if loss.has_dual]

#: What parameters have to be, and why.
NEEDS = {
    "penalty_factors": (None, "it penalises all features alike; solver='stochastic' has factors"),
    "warm_start": (
        False,
        "it would begin with a variable for each row of the last fit, and rows may be others now; "
        "solver='stochastic' goes on from weights",
    ),
    "average": (
        False,
        "its weights follow from dual variables; solver='stochastic' has averages",
    ),
    "on_divergence": ("raise", "it has no rate to cut; solver='stochastic' recovers"),
    "early_stopping": (
        False,
        "it stops by its duality gap, see tol; solver='stochastic' stops by rows held out",
    ),
}

#: Columns of a row's record in the core; from DUAL on one for each output.
TARGET, SHARE, SQUARES, DUAL = range(4)

#: Short rows that stay together when they are shuffled.
RUN_LENGTH = 8

#: The square of the intercept's feature, over the mean of |x|**2: with more, rows, which all share
#: it, undo each other's steps; with less it takes more epochs to find its place. And the gap of an
#: epoch, over what its penalty holds back, up to which the penalty is centred anew.
CONSTANT, INNER_GAP = 0.1, 30.0

#: Rows whose parts of the gap are worked out together: they stay in the cache.
GAP_ROWS = 4096

#: Epochs before sparse rows are reordered, and epochs still to come that it takes: most fits of
#: text end before.
REORDER_AFTER, REORDER_FOR = 3, 5


class DualAscent:
    """One target in progress: a record for each row, and the weights that follow from them.

    A row's share is its weight over l2 times the sum of all weights, so that the weights are
    ``-sum(share * dual * x)`` and what is minimised is l2 times
    ``sum(share * loss) + |weights|**2 / 2``. The intercept's feature is sqrt(constant). A joint
    loss has a dual variable, a weight of each feature and an intercept for each of its outputs.
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
        self._use(problem.X, aligned_zeros((n_features + 1, lanes), problem.X.dtype))

    @property
    def intercepts(self) -> np.ndarray:
        """(n_outputs,): a view."""
        return self._intercepts[: self.n_outputs]

    @property
    def dual(self) -> np.ndarray:
        """The dual variables, (n_rows,), or (n_rows, n_outputs) for a joint loss: a view."""
        return self.records[:, DUAL:] if self.loss.joint else self.records[:, DUAL]

    def _use(self, X: DesignMatrix, array: np.ndarray) -> None:
        """Take rows, and weights of their features with room for the intercept."""
        self.X = X
        self.array = array
        self.weights = array[:-1, : self.n_outputs]
        self._kernel = _backend.active.DualKernel(self.loss, X, array.nbytes, self.constant)

    def reorder(self, reordered: ReorderedData) -> None:
        """Go on with a copy of the rows."""
        array, features = self.array, reordered.features
        if features is not None:
            array = np.concatenate([array[features], array[-1:]])
        self.features = features
        self.records = self.records[reordered.order]
        self._use(reordered.X, array)

    def visit(self, order: np.ndarray) -> np.ndarray:
        """Visit rows; returns sums over them, as they were found: of share times loss, of share
        times the row's part of the gap, and what amounts to ``|weights|**2`` at the minimum."""
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

        With v the weights that the dual variables stand for, it is the rows' own gaps, ``loss +
        conjugate - dual * prediction``, none of which is negative, and ``|weights - v|**2 / 2``.
        The last is rounding, unless the dual variables had to be balanced.
        """
        if not (np.isfinite(self.weights).all() and np.isfinite(self.records).all()):
            raise FloatingPointError(
                "the fit left the range of floating point; scale the columns of X, as "
                "scale='auto' does"
            )
        y, share = self.records[:, :SQUARES].T
        dual, apart, norm = self.dual, 0.0, 0.0
        if self.constant:
            norm = self._sum_of_squares()
            if self.loss.joint:
                dual, e, q = mixed(dual, share, y)
                apart = (e * (math.sqrt(norm) + self._norm_of_shared(q))) ** 2
            else:
                dual = balanced(dual, share)
                (v,) = self._combined(dual)
                apart = float(np.sum(np.square(self.weights[:, 0] - v)))
        losses, gaps, of_rows = self._sums(y, share, dual)
        norm = norm if self.constant else of_rows
        primal = losses + norm / 2
        # What weights, each rounded as often as there were visits, may be away from v.
        rounding = float(np.finfo(self.weights.dtype).eps) ** 2 * self.rounded * norm
        if rounding > gaps + apart:
            for w, v in zip(self.weights.T, self._combined(self.dual)):
                w[:] = v
            self.rounded = 0
            return self.certify()
        return (gaps + (apart + rounding) / 2) / primal if primal > 0 else 0.0

    def _sums(
        self, y: np.ndarray, share: np.ndarray, dual: np.ndarray
    ) -> tuple[float, float, float]:
        """Sums over all rows of share times loss and share times gap, and ``|v|**2``."""
        intercepts = self.intercepts.astype(self.X.dtype)
        z = self.X.raw_predictions_of_outputs(self.weights, intercepts, self.n_threads)
        z = (z if self.loss.joint else z[:, 0]).astype(np.float64)
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

    def _sum_of_squares(self) -> float:
        """Of all weights, in float64, so many at a time that they stay in the cache."""
        array, n = self.array[:-1], len(self.array) if self.n_outputs == 1 else GAP_ROWS
        parts = (array[start : start + n] for start in range(0, len(array), n))
        return float(sum(np.sum(np.square(part, dtype=np.float64)) for part in parts))

    def _norm_of_shared(self, q: np.ndarray) -> float:
        """The norm of the weights that the dual variables ``q - e_y`` stand for, the same q for all
        rows."""
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
        along = share * X.wide_predictions(X.weighted_sum(share, n_threads), n_threads)
        products = np.bincount(y.astype(np.intp), weights=along, minlength=self.n_outputs)
        squares, bounds = 0.0, np.searchsorted(y, np.arange(self.n_outputs + 1))
        total = np.empty(X.shape[1])
        for start, stop in pairwise(bounds):
            total[:] = 0.0
            X.span(start, stop).weighted_sum(share[start:stop], n_threads, total)
            squares += float(np.sum(np.square(total, out=total)))
        return squares, products

    def _combined(self, dual: np.ndarray) -> Iterator[np.ndarray]:
        """The weights that dual variables stand for, of each output, summed up in float64 in the
        order of the rows."""
        for each in dual.reshape(len(dual), -1).T:
            yield self.X.weighted_sum(-self.records[:, SHARE] * each)

    def state(self, n_features: int) -> ModelState:
        """The weights as any other fit has them."""
        array = self.array
        if self.features is not None:
            array = aligned_zeros((n_features + 1, array.shape[1]), array.dtype)
            array[self.features] = self.array[:-1]
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
        problem = problem.scaled(self.scale, 0, problem.n_rows)
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
        self._rate = min(1.0, found / self.gap) if self.gap > 0 else 0.0
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
        return TrainedModel(states, self._problem.objective, scale=self.scale)


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


class Dual:
    """Stochastic dual coordinate ascent, for an L2 penalty and losses that have a dual."""

    name: ClassVar[str] = "dual"

    @classmethod
    def from_parameters(cls, model: Any) -> Dual:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        if model._loss not in DUAL_LOSSES:
            raise ValueError(
                f"solver='dual' needs a loss with a dual and a gradient that is bounded or linear, "
                f"one of {', '.join(DUAL_LOSSES)}, got {model._loss!r}; solver='stochastic' has it"
            )
        if model.penalty != "l2" or model.alpha <= 0:
            raise ValueError(
                "solver='dual' needs penalty='l2' and alpha > 0, got penalty="
                f"{model.penalty!r}, alpha={model.alpha!r}; solver='stochastic' has the others"
            )
        for name, (needed, why) in NEEDS.items():
            value = getattr(model, name)
            if value is not needed and (needed is None or value != needed):
                got = "" if needed is None else f", got {value!r}"
                raise ValueError(f"solver='dual' needs {name}={needed!r}{got}: {why}")
        return cls()

    def fit(
        self, problem: Problem, config: SolverConfig, monitors: Sequence[Monitor] = ()
    ) -> FitResult:
        """Epochs until every output's gap is at most `tol`, over the objective, or `max_iter` of
        them; see `lrcore.linear_model.solvers.base.Solver`."""
        if config.held_out is not None:
            raise ValueError(
                "solver='dual' takes no eval_set: it stops by its duality gap, see tol; "
                "solver='stochastic' stops by rows held out"
            )
        training = DualTraining(problem, config)
        stopping = GapStopping(training, config.tol)
        own: list[Monitor] = []
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
        if config.tol is not None and stopping.gap > config.tol and all_epochs:
            warn(
                f"the duality gap is {stopping.gap:.2g} of the objective after "
                f"max_iter={config.max_iter} epochs, above tol={config.tol:g}; raise max_iter, tol "
                "or alpha, or scale X",
                ConvergenceWarning,
            )
        result = FitResult(
            training.finished(), loop.progress.losses, [], loop.interrupted, stopping.gap, lr=1.0
        )
        for monitor in monitors:
            monitor.end(result)
        return result
