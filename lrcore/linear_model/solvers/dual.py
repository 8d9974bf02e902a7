"""Fits by stochastic dual coordinate ascent (Shalev-Shwartz and Zhang 2013): no learning rate, and
at the end a certificate.

Each row has a dual variable u, which ends as the slope of its loss. Any such variables bound the
minimum from below, so the duality gap, what is minimised less this bound, says how far from the
minimum a fit can be at most. `lrcore.conjugates` has the formulas, `lrcore.reference` the loop.

The intercept is not penalised. It is the weight of one more feature, constant, whose penalty is
centred anew on the intercept after each epoch (the proximal method of multipliers, Rockafellar
1976), so that none is left in the end. The bound needs variables that sum to 0 then: those of the
sign that has more are scaled down for it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from lrcore import _core, conjugates
from lrcore._backend import threads
from lrcore._backend.shuffle import RUN_LENGTH as REORDERED_RUN
from lrcore._backend.shuffle import shuffled
from lrcore._utils import numerics
from lrcore.linear_model.engine import reference
from lrcore.linear_model.engine import reorder as staging
from lrcore.linear_model.engine.design_matrix import CACHE_BYTES, Rows
from lrcore.linear_model.engine.epoch import CHUNK_ROWS, LONG_ROW
from lrcore.linear_model.engine.layout import Method, State
from lrcore.linear_model.engine.reorder import Staged
from lrcore.linear_model.monitor.callbacks import Event, Hooks, Watch
from lrcore.linear_model.problem import Data
from lrcore.linear_model.result import Fitted
from lrcore.linear_model.solvers.stochastic import Outcome, begun_scale, interrupts
from lrcore.losses import LOSSES
from lrcore.rules import SGD

#: Losses that can be fitted so, and the only penalty.
DUAL_LOSSES = [name for name, loss in LOSSES.items() if conjugates.available(loss())]

#: Columns of a row's record in the core.
TARGET, SHARE, DUAL, SQUARES = range(4)

#: Values of X from a weight's prefetch to its use, and short rows that stay together.
AHEAD, RUN_LENGTH = 96, 8

#: The square of the intercept's feature, over the mean of |x|**2: with more, rows, which all share
#: it, undo each other's steps; with less it takes more epochs to find its place. And the gap of an
#: epoch, over what its penalty holds back, up to which the penalty is centred anew.
CONSTANT, INNER_GAP = 0.1, 30.0

#: Rows whose parts of the gap are worked out together: they stay in the cache.
GAP_ROWS = 4096


#: Epochs before sparse rows are staged, and epochs still to come that it takes: most fits of text
#: end before.
STAGE_AFTER, STAGE_FOR = 3, 5


class Ascent:
    """One output on its way: a record for each row, and the weights that follow from them.

    A row's share is its weight over l2 times the sum of all weights, so that the weights are
    ``-sum(share * dual * x)`` and what is minimised is l2 times
    ``sum(share * loss) + |weights|**2 / 2``. The intercept's feature is sqrt(constant).
    """

    def __init__(
        self, method: Method, data: Data, y: np.ndarray, constant: float, n_threads: int | None
    ) -> None:
        n_rows, n_features = data.rows.shape
        weight = np.ones(n_rows) if data.weight is None else data.weight
        share = weight / (method.l2 * float(np.sum(weight)))
        self.records = np.stack([y, share, np.zeros(n_rows), np.full(n_rows, -1.0)], axis=1)
        self.loss, self.l2 = method.loss, method.l2
        self.constant = constant
        self.n_threads = n_threads
        self.intercept = 0.0
        self.visits = self.rounded = 0
        self.features: np.ndarray | None = None
        self._place(data.rows, np.zeros(n_features + 1, data.rows.dtype))

    def _place(self, rows: Rows, array: np.ndarray) -> None:
        """Take rows, and weights of their features with room for the intercept."""
        self.rows = rows
        self.array = array
        self.weights = array[:-1]
        if _core.kernels is not None:
            pieces = conjugates.pieces(self.loss)
            values = rows.nnz_per_row
            self._job = _core.kernels.DualAscent(
                loss=type(self.loss).__name__,
                parameter=self.loss.parameter,
                logistic=pieces is None,
                **(pieces or conjugates.NO_PIECES)._asdict(),
                constant=self.constant,
                ahead=max(1, round(AHEAD / max(1.0, values))) if rows.sparse else 0,
                far=values < LONG_ROW and array.nbytes > CACHE_BYTES,
            )

    def stage(self, staged: Staged) -> None:
        """Go on with a copy of the rows."""
        array, features = self.array, staged.features
        if features is not None:
            array = np.append(array[features], array[-1])
        self.features = features
        self.records = self.records[staged.order]
        self._place(staged.rows, array)

    def advance(self, order: np.ndarray) -> np.ndarray:
        """Visit rows; returns sums over them, as they were found: of share times loss, of share
        times the row's part of the gap, and what amounts to ``|weights|**2`` at the minimum."""
        rows = self.rows
        if _core.kernels is None:
            *sums, self.intercept = reference.ascend(
                self.loss, rows, order, self.records, self.weights, self.intercept,
                self.constant,
            )  # fmt: skip
        else:
            head, tail = (self._job, order), (self.records, self.weights, self.intercept)
            if rows.indptr is None:
                *sums, self.intercept = _core.kernels.ascend_dense(*head, rows.values, *tail)
            else:
                *sums, self.intercept = _core.kernels.ascend_csr(*head, *rows.csr, *tail)
        self.visits += len(order)
        self.rounded += len(order)
        return np.array(sums)

    def shares(self, order: np.ndarray) -> float:
        """Sum of the shares of rows, at least one of which counts."""
        whole = len(order) == len(self.records)
        return 1.0 / self.l2 if whole else float(np.sum(self.records[order, SHARE])) or 1.0

    def recentre(self, gap: float) -> None:
        """Centre the intercept's penalty on where it is, if it holds back more than is left to
        gain with it: `gap` is the last epoch's."""
        slopes = float(np.sum(self.records[:, SHARE] * self.records[:, DUAL]))
        if gap <= INNER_GAP * self.constant * slopes * slopes / 2:
            self.intercept -= self.constant * slopes

    def certify(self) -> float:
        """The duality gap over the objective: how far, at most, this is above the minimum.

        With v the weights that the duals stand for, it is the rows' own gaps, ``loss + conjugate
        - dual * margin``, none of which is negative, and ``|weights - v|**2 / 2``. The last is
        rounding, unless the duals had to be balanced.
        """
        if not (np.isfinite(self.weights).all() and np.isfinite(self.records).all()):
            raise FloatingPointError(
                "the fit left the range of floating point; scale the columns of X, as "
                "scale='auto' does"
            )
        y, share, dual = self.records[:, :SQUARES].T
        loss, apart = self.loss, 0.0
        if self.constant:
            dual = balanced(dual, share)
            apart = float(np.sum(np.square(self.weights - self._combined(dual))))
        z = self.rows.margins(self.weights, self.intercept, self.n_threads).astype(np.float64)
        losses = gaps = norm = 0.0
        for start in range(0, len(z), GAP_ROWS):
            part = slice(start, start + GAP_ROWS)
            value, product = self._values(z[part], y[part]), dual[part] * z[part]
            gap = value + conjugates.conjugate(loss, dual[part], y[part]) - product
            losses += float(np.sum(share[part] * value))
            gaps += float(np.sum(share[part] * np.maximum(gap, 0.0)))
            norm -= float(np.sum(share[part] * product))
        if self.constant:
            norm = float(np.sum(np.square(self.weights, dtype=np.float64)))
        primal = losses + norm / 2
        # What weights, each rounded as often as there were visits, may be away from v.
        rounding = float(np.finfo(self.weights.dtype).eps) ** 2 * self.rounded * norm
        if rounding > gaps + apart:
            self.weights[:] = self._combined(self.records[:, DUAL])
            self.rounded = 0
            return self.certify()
        return (gaps + (apart + rounding) / 2) / primal if primal > 0 else 0.0

    def _values(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The losses of rows, compiled where that is to be had: a fifth of the time."""
        if _core.kernels is None:
            return self.loss.evaluate(z, y)[0]
        value, name = np.empty_like(z), type(self.loss).__name__
        target, one = np.ascontiguousarray(y), np.ones_like(z)
        _core.kernels.evaluate_loss(
            name, self.loss.parameter, z, target, one, value, np.empty_like(z)
        )
        return value

    def _combined(self, dual: np.ndarray) -> np.ndarray:
        """The weights that duals stand for, summed up in float64 in the order of the rows."""
        return self.rows.combined(-self.records[:, SHARE] * dual)

    def state(self, n_features: int) -> State:
        """The outcome as any other fit has it, with plain SGD's columns."""
        array = self.array
        if self.features is not None:
            array = np.zeros(n_features + 1, array.dtype)
            array[self.features] = self.weights
        array[-1] = self.intercept
        return State(array[None], 1, by_feature=False, base=self.visits)


def balanced(dual: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The duals with those of one sign scaled down so that they sum to 0 with their shares."""
    slopes = share * dual
    above, below = float(np.sum(slopes[slopes > 0])), -float(np.sum(slopes[slopes < 0]))
    if above > below:
        return np.where(dual > 0, dual * (below / above), dual)
    return np.where(dual < 0, dual * (above / below), dual) if below > above else dual


@dataclass(frozen=True)
class DualFit:
    """How a fit goes about it; `tol` is the duality gap, over the objective, that is enough."""

    max_iter: int
    tol: float | None
    shuffle: bool
    random_state: Any
    n_threads: int | None
    verbose: int
    callback: Callable[[Event], Any] | None = None
    hooks: Hooks | None = None

    def run(self, method: Method, data: Data) -> Outcome:
        """Epochs until every output's gap is small enough, or `max_iter` of them.

        Ctrl-C ends it after the rows at hand; what was learnt until then is the outcome.
        """
        scale = begun_scale(method, data.rows, None)
        data = data.scaled(scale, 0, data.rows.shape[0])
        rows, random = data.rows, check_random_state(self.random_state)
        constant = CONSTANT * (rows.measures().norm2 or 1.0) if method.intercept else 0.0
        outputs = [Ascent(method, data, y, constant, self.n_threads) for y in data.targets]
        run_length = 1 if rows.nnz_per_row >= LONG_ROW else RUN_LENGTH
        order = np.arange(rows.shape[0], dtype=np.int64)
        curve: list[float] = []
        # Of no duals at all: as large as the objective.
        before, gap = 1.0, math.inf

        def now() -> Fitted:
            states = [output.state(rows.shape[1]).copy() for output in outputs]
            return Fitted(states, method, scale)

        watch = Watch(self.callback, self.max_iter, hooks=self.hooks)
        with interrupts() as interrupted:
            for epoch in range(self.max_iter):
                if self.shuffle:
                    seed = int(random.randint(2**31 - 1))
                    order = shuffled(len(order), seed, run_length)
                watch.hooks.begin_epoch()
                mean, found = self._epoch(outputs, order, epoch, interrupted, watch)
                curve.append(mean)
                watch.after_epoch({}, now)
                if interrupted() or watch.stopped:
                    break
                # An epoch finds rows with their gaps of before it; after it they are smaller by
                # about as much as from one epoch to the next. To look costs most of an epoch.
                rate, before = min(1.0, found / before) if before > 0 else 0.0, found
                expected = found * rate
                last = epoch + 1 == self.max_iter
                if last or (self.tol is not None and expected <= self.tol):
                    gap = max(output.certify() for output in outputs)
                    if self.tol is not None and gap <= self.tol:
                        break
                if epoch + 1 == STAGE_AFTER and self._long(epoch, expected, rate, rows):
                    staged = staging.stage(rows, order, rows.dtype.itemsize)
                    for output in outputs:
                        output.stage(staged)
                    order, run_length = np.arange(len(order)), REORDERED_RUN
            stopped = interrupted()
        if stopped or watch.stopped:
            gap = max(output.certify() for output in outputs)
        if self.tol is not None and gap > self.tol and not (stopped or watch.stopped):
            warnings.warn(
                f"the duality gap is {gap:.2g} of the objective after max_iter={self.max_iter} "
                f"epochs, above tol={self.tol:g}; raise max_iter, tol or alpha, or scale X",
                ConvergenceWarning,
                stacklevel=5,
            )
        fitted = Fitted([output.state(rows.shape[1]) for output in outputs], method, scale)
        return Outcome(fitted, curve, [], stopped, gap, history=watch.close())

    def _each(self, outputs: list[Ascent], do: Callable[[Ascent], np.ndarray]) -> list[np.ndarray]:
        """What comes of each output, one on each thread."""
        n_threads = min(len(outputs), threads.count(self.n_threads, outputs[0].rows.values.size))
        if n_threads == 1:
            return [do(output) for output in outputs]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(do, outputs))

    def _long(self, epoch: int, gap: float, rate: float, rows: Rows) -> bool:
        """Whether so many epochs are left, if the gap goes on shrinking so, that a copy pays."""
        if epoch + STAGE_FOR >= self.max_iter:
            return False
        later = gap * float(numerics.power(rate, STAGE_FOR))
        return later > (self.tol or 0.0) and staging.worthwhile(rows, staging.MIN_EPOCHS, False)

    def _epoch(
        self, outputs: list[Ascent], order: np.ndarray, epoch: int,
        interrupted: Callable[[], bool], watch: Watch,
    ) -> tuple[float, float]:  # fmt: skip
        """One pass; returns the mean loss of the rows just before their visits, and the largest
        gap of an output, over its objective, by the rows as they were found."""
        n_rows, rows_done = len(order), 0
        sums = np.zeros((len(outputs), 3))
        while rows_done < n_rows and not (rows_done and (interrupted() or watch.stopped)):
            chunk = order[rows_done : rows_done + CHUNK_ROWS]
            sums += self._each(outputs, partial(Ascent.advance, order=chunk))
            rows_done += len(chunk)
            mean = float(np.mean(sums[:, 0])) / outputs[0].shares(order[:rows_done])
            step = outputs[0].visits
            watch.after_chunk(epoch, step, math.nan, mean, chunk, rows_done, n_rows)
        mean = float(np.mean(sums[:, 0])) / outputs[0].shares(order[:rows_done])
        for output, (_, gap, _) in zip(outputs, sums):
            output.recentre(gap)
        primal = sums[:, 0] + 0.5 * sums[:, 2]
        gap = float(np.max(sums[:, 1] / np.where(primal > 0, primal, math.inf)))
        if self.verbose:
            print(
                f"epoch {epoch + 1}/{self.max_iter}: mean loss before each update {mean:.6g}, "
                f"duality gap about {gap:.2g} of the objective"
            )
        return mean, gap


def check(model: Any) -> None:
    """Raise unless dual coordinate ascent can do what an estimator is told."""
    if model._loss not in DUAL_LOSSES:
        raise ValueError(
            f"solver='dual' needs a loss with a dual and a gradient that is bounded or linear, "
            f"one of {', '.join(DUAL_LOSSES)}, got {model._loss!r}; solver='stochastic' has it"
        )
    if model.penalty != "l2" or model.alpha <= 0:
        raise ValueError(
            "solver='dual' needs penalty='l2' and alpha > 0, got "
            f"penalty={model.penalty!r}, alpha={model.alpha!r}; solver='stochastic' has the others"
        )
    if model.penalty_factors is not None:
        raise ValueError(
            "solver='dual' needs penalty_factors=None: it penalises all features alike; "
            "solver='stochastic' has factors"
        )
    if model.warm_start:
        raise ValueError(
            "solver='dual' needs warm_start=False: it would begin with a variable for each row of "
            "the last fit, and rows may be others now; solver='stochastic' goes on from weights"
        )
    if model.average:
        raise ValueError(
            f"solver='dual' needs average=False, got {model.average!r}: its weights follow from "
            "dual variables; solver='stochastic' has averages"
        )
    if model.on_divergence != "raise":
        raise ValueError(
            f"solver='dual' needs on_divergence='raise', got {model.on_divergence!r}: it has no "
            "rate to cut; solver='stochastic' recovers"
        )
    if model.early_stopping:
        raise ValueError(
            "solver='dual' needs early_stopping=False: it stops by its duality gap, see tol; "
            "solver='stochastic' stops by rows held out"
        )


def fit(
    model: Any, data: Data, callback: Callable[[Event], Any] | None, eval_data: Data | None,
    hooks: Hooks | None = None,
) -> Outcome:  # fmt: skip
    """The fit that an estimator asks for."""
    if eval_data is not None:
        raise ValueError(
            "solver='dual' takes no eval_set: it stops by its duality gap, see tol; "
            "solver='stochastic' stops by rows held out"
        )
    rule = SGD(lr=1.0)
    method = Method(
        model._made_loss(), rule, 0.0, float(model.alpha), model.fit_intercept, 1, 1,
        scaled=model.scale is not None,
    )  # fmt: skip
    how = DualFit(
        model.max_iter, model.tol, model.shuffle, model.random_state, model.n_threads,
        model.verbose, callback, hooks,
    )  # fmt: skip
    return how.run(method, data)
