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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from lrcore import _core, conjugates, epochs, reference
from lrcore.epochs import CHUNK_ROWS, LONG_ROW
from lrcore.fitting import Data, Fitted, Outcome, Progress, interrupts
from lrcore.losses import LOSSES
from lrcore.rows import Rows
from lrcore.rules import SGD
from lrcore.staging import CACHE_BYTES
from lrcore.states import Method, State

#: Losses that can be fitted so, and the only penalty.
DUAL_LOSSES = [
    name for name, loss in LOSSES.items() if conjugates.available(loss())
]

#: Columns of a row's record in the core.
TARGET, SHARE, DUAL, SQUARES = range(4)

#: Values of X from a weight's prefetch to its use, and rows that stay together where they are short.
AHEAD, RUN_LENGTH = 96, 8


@dataclass
class Ascent:
    """One output on its way: a record for each row, and the weights that follow from them.

    A row's share is its weight over l2 times the sum of all weights, so that the weights are
    ``-sum(share * dual * x)`` and what is minimised is l2 times
    ``sum(share * loss) + |weights|**2 / 2``.
    """

    method: Method
    rows: Rows
    y: np.ndarray
    weight: np.ndarray | None
    constant: float
    n_threads: int | None
    intercept: float = 0.0
    visits: int = 0
    records: np.ndarray = field(init=False)
    weights: np.ndarray = field(init=False)
    job: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        n_rows, n_features = self.rows.shape
        weight = np.ones(n_rows) if self.weight is None else self.weight
        share = weight / (self.method.l2 * float(np.sum(weight)))
        self.records = np.stack([self.y, share, np.zeros(n_rows), np.full(n_rows, -1.0)], axis=1)
        self.weights = np.zeros(n_features, self.rows.dtype)
        if _core.kernels is not None:
            loss = self.method.loss
            pieces = conjugates.pieces(loss)
            values = self.rows.nnz_per_row
            self.job = _core.kernels.DualAscent(
                loss=type(loss).__name__,
                parameter=loss.parameter,
                logistic=pieces is None,
                **(pieces or conjugates.NO_PIECES)._asdict(),
                constant=self.constant,
                ahead=max(1, round(AHEAD / max(1.0, values))) if self.rows.sparse else 0,
                far=values < LONG_ROW and self.weights.nbytes > CACHE_BYTES,
            )

    def advance(self, order: np.ndarray) -> np.ndarray:
        """Visit rows; returns sums over them, as they were found: of share times loss, of share
        times the row's part of the gap, and what amounts to ``|weights|**2`` at the minimum."""
        rows = self.rows
        if self.job is None:
            *sums, self.intercept = reference.ascend(
                self.method.loss, rows, order, self.records, self.weights, self.intercept,
                self.constant,
            )  # fmt: skip
        else:
            assert _core.kernels is not None
            head, tail = (self.job, order), (self.records, self.weights, self.intercept)
            if rows.indptr is None:
                *sums, self.intercept = _core.kernels.ascend_dense(*head, rows.values, *tail)
            else:
                data = (rows.indptr, rows.indices, rows.values)
                *sums, self.intercept = _core.kernels.ascend_csr(*head, *data, *tail)
        self.visits += len(order)
        return np.array(sums)

    def recentre(self) -> None:
        """The intercept's penalty, from now on, is of its distance to where it is now."""
        if self.constant:
            slopes = self.records[:, SHARE] * self.records[:, DUAL]
            self.intercept -= self.constant * float(np.sum(slopes))

    def certify(self) -> float:
        """The duality gap over the objective: how far, at most, this is above the minimum.

        In float32 the weights drift from what their duals say, by about the rounding of a random
        walk. Where that could be seen in the gap they are summed up anew.
        """
        gap = self._gap()
        drift = float(np.finfo(self.weights.dtype).eps) * math.sqrt(self.visits)
        if drift > gap / 20:
            self.weights = self._combined(self.records[:, DUAL]).astype(self.weights.dtype)
            self.visits = 0
            gap = self._gap()
        return gap

    def _gap(self) -> float:
        y, share, dual = self.records[:, :SQUARES].T
        loss, weights = self.method.loss, self.weights.astype(np.float64)
        z = self.rows.margins(self.weights, self.intercept, self.n_threads).astype(np.float64)
        norm = float(np.sum(weights * weights))
        primal = float(np.sum(share * loss.evaluate(z, y)[0])) + norm / 2
        if self.constant:
            dual = balanced(dual, share)
            weights = self._combined(dual)
            norm = float(np.sum(weights * weights))
        bound = -float(np.sum(share * conjugates.conjugate(loss, dual, y))) - norm / 2
        return max(0.0, primal - bound) / primal if primal > 0 else 0.0

    def _combined(self, dual: np.ndarray) -> np.ndarray:
        """The weights that duals stand for, summed up in float64 in the order of the rows."""
        rows, factors = self.rows, -self.records[:, SHARE] * dual
        out = np.zeros(rows.shape[1])
        if _core.kernels is None:
            for i, factor in enumerate(factors):
                entries, x = rows.row(i)
                out[entries] += factor * x.astype(np.float64)
        elif rows.indptr is None:
            _core.kernels.combine_dense(factors, rows.values, out)
        else:
            _core.kernels.combine_csr(factors, rows.indptr, rows.indices, rows.values, out)
        return out

    def state(self) -> State:
        """The outcome as any other fit has it, with plain SGD's columns."""
        array = np.append(self.weights, self.weights.dtype.type(self.intercept))
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
    callback: Callable[[Progress], None] | None = None

    def run(self, method: Method, data: Data) -> Outcome:
        """Epochs until every output's gap is small enough, or `max_iter` of them.

        Ctrl-C ends it after the rows at hand; what was learnt until then is the outcome.
        """
        rows, random = data.rows, check_random_state(self.random_state)
        constant = rows.measures().norm2 or 1.0 if method.intercept else 0.0
        outputs = [
            Ascent(method, rows, y, data.weight, constant, self.n_threads) for y in data.targets
        ]
        run_length = 1 if rows.nnz_per_row >= LONG_ROW else RUN_LENGTH
        order = np.arange(rows.shape[0], dtype=np.int64)
        curve: list[float] = []
        # Of no duals at all: as large as the objective.
        before, gap = 1.0, math.inf
        with interrupts() as interrupted:
            for epoch in range(self.max_iter):
                if self.shuffle:
                    seed = int(random.randint(2**31 - 1))
                    order = epochs.shuffled(len(order), seed, run_length)
                mean, found = self._epoch(outputs, order, epoch, interrupted)
                curve.append(mean)
                if interrupted():
                    break
                # An epoch finds rows with their gaps of before it; after it they are smaller by
                # about as much as from one epoch to the next. To look costs most of an epoch.
                expected, before = found * min(1.0, found / before), found
                last = epoch + 1 == self.max_iter
                if last or (self.tol is not None and expected <= self.tol):
                    gap = max(output.certify() for output in outputs)
                    if self.tol is not None and gap <= self.tol:
                        break
            stopped = interrupted()
        if stopped:
            gap = max(output.certify() for output in outputs)
        for output in outputs:
            if not np.isfinite(output.weights).all():
                raise FloatingPointError(
                    f"the weights are no longer finite after {len(curve)} epochs; scale the columns "
                    "of X to about 1"
                )
        if self.tol is not None and gap > self.tol and not stopped:
            warnings.warn(
                f"the duality gap is {gap:.2g} of the objective after max_iter={self.max_iter} "
                f"epochs, above tol={self.tol:g}; raise max_iter, tol or alpha, or scale X",
                ConvergenceWarning,
                stacklevel=4,
            )
        fitted = Fitted([output.state() for output in outputs], method)
        return Outcome(fitted, curve, [], stopped, gap)

    def _epoch(
        self, outputs: list[Ascent], order: np.ndarray, epoch: int, interrupted: Callable[[], bool]
    ) -> tuple[float, float]:
        """One pass; returns the mean loss of the rows just before their visits, and the largest
        gap of an output, over its objective, by the rows as they were found."""
        n_rows, rows_done, share_done = len(order), 0, 0.0
        sums = np.zeros((len(outputs), 3))
        while rows_done < n_rows and not (rows_done and interrupted()):
            chunk = order[rows_done : rows_done + CHUNK_ROWS]
            for k, output in enumerate(outputs):
                sums[k] += output.advance(chunk)
            rows_done += len(chunk)
            share_done += float(np.sum(outputs[0].records[chunk, SHARE]))
            mean = float(np.mean(sums[:, 0])) / share_done if share_done else 0.0
            if self.callback is not None:
                done = Progress(epoch, self.max_iter, rows_done, n_rows, mean, math.nan)
                self.callback(done)
        for output in outputs:
            output.recentre()
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
    if model.warm_start:
        raise ValueError(
            "solver='dual' needs warm_start=False: it would begin with a variable for each row of "
            "the last fit, and rows may be others now; solver='stochastic' goes on from weights"
        )
    if model.early_stopping:
        raise ValueError(
            "solver='dual' needs early_stopping=False: it stops by its duality gap, see tol; "
            "solver='stochastic' stops by rows held out"
        )


def fit(
    model: Any, data: Data, callback: Callable[[Progress], None] | None, eval_data: Data | None
) -> Outcome:
    """The fit that an estimator asks for."""
    if eval_data is not None:
        raise ValueError(
            "solver='dual' takes no eval_set: it stops by its duality gap, see tol; "
            "solver='stochastic' stops by rows held out"
        )
    rule = SGD(lr=1.0)
    method = Method(model._made_loss(), rule, 0.0, float(model.alpha), model.fit_intercept, 1, 1)
    how = DualFit(
        model.max_iter, model.tol, model.shuffle, model.random_state, model.n_threads,
        model.verbose, callback,
    )  # fmt: skip
    return how.run(method, data)
