"""The dual solver: stochastic dual coordinate ascent (Shalev-Shwartz and Zhang 2013). It has no
learning rate, and ends with a certificate.

Each row has a dual variable, which ends as the derivative of its loss. Any such variables bound the
minimum from below, so the duality gap, what is minimised less this bound, says how far from the
minimum a fit can be at most. The losses in `lrcore.losses` have the formulas, and
`lrcore._backend.numpy` the plain loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from lrcore import penalties
from lrcore._backend import threads
from lrcore._backend.compiled import LONG_ROW
from lrcore._backend.shuffle import RUN_LENGTH as REORDERED_RUN
from lrcore._backend.shuffle import shuffled
from lrcore._utils import numerics
from lrcore._utils.validation import shown
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.epoch import CHUNK_ROWS, AfterChunk, Chunk, EpochLoss
from lrcore.linear_model.monitor.base import CONTINUE, STOP, Decision, Monitor, Progress
from lrcore.linear_model.monitor.diagnostics import warn
from lrcore.linear_model.monitor.stopping import EarlyStopping, EpochPrinter
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import (
    EpochLoop,
    SolverConfig,
    Trials,
    check_needs,
    separate_trials,
)
from lrcore.linear_model.solvers.dual_ascent import TARGET, DualAscent
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

#: Short rows that stay together when they are shuffled.
RUN_LENGTH = 8

#: The square of the intercept's feature, over the mean of |x|**2: with more, rows, which all share
#: it, undo each other's steps; with less it takes more epochs to find its place.
CONSTANT = 0.1

#: Epochs before sparse rows are reordered, and epochs still to come that it takes: most fits of
#: text end before.
REORDER_AFTER, REORDER_FOR = 3, 5


def mean_square(problem: Problem, n_threads: int | None) -> float:
    """The mean of |x|**2, of columns as they are penalised."""
    X, objective = problem.X, problem.objective
    if objective.penalty_factors is None and objective.column_scale is None:
        return X.statistics().norm2
    l2 = objective.strengths(X.shape[1])[1] / objective.penalty.curvature
    squares = X.column_squares(np.ones(X.shape[0]), n_threads)
    return float(np.sum(squares / l2)) / X.shape[0]


class DualTraining:
    """All outputs of a fit in progress; `gap` is what an epoch found, over the objective, and
    `expected_gap` what is left after it."""

    def __init__(self, problem: Problem, config: SolverConfig) -> None:
        self._problem, self._config = problem, config
        X = problem.X
        intercept = problem.objective.fit_intercept
        n_threads = config.n_threads
        constant = CONSTANT * (mean_square(problem, n_threads) or 1.0) if intercept else 0.0
        self.outputs = [
            DualAscent(problem.of_target(k), y, constant, n_threads)
            for k, y in enumerate(problem.targets)
        ]
        self._random = check_random_state(config.random_state)
        self._order = np.arange(problem.n_rows, dtype=np.int64)
        self._joint = problem.objective.loss.joint
        self._gaps = np.full(len(self.outputs), math.inf)  # of the last epoch
        self._run_length = 1 if X.nnz_per_row >= LONG_ROW else RUN_LENGTH
        self._epoch = 0
        self.gap = self._rate = 1.0  # without dual variables: as large as the objective
        if config.start is not None:
            self._begin_at(config.start)

    def _begin_at(self, start: TrainedModel) -> None:
        """Begin where another fit ended: with its dual variables, if it had the same targets and
        keeps them, else with the derivatives of the losses at its weights, whatever solver they
        come from."""
        loss, n = self._problem.objective.loss, self.outputs[0].n_outputs
        X = self._problem.X
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
        return TrainedModel(states, self._problem.objective, dual=dual)


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
    max_iter: ClassVar[int] = 1000
    tol: ClassVar[float | None] = 1e-3
    copies_scaled_columns: ClassVar[bool] = False
    warm_starts: ClassVar[bool] = True

    def trials(self, problem: Problem, config: SolverConfig) -> Trials:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        return separate_trials(self, problem, config)

    def leaves_out(self, problem: Problem) -> bool:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        return False

    @classmethod
    def from_parameters(cls, model: Any) -> Dual:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        if model._loss not in DUAL_LOSSES:
            raise ValueError(
                f"solver='dual' needs a loss with a dual and a gradient that is bounded or linear, "
                f"one of {', '.join(DUAL_LOSSES)}, got {model._loss!r}; solver='stochastic' has it"
            )
        curved = penalties.make(model.penalty, 1.0, model.l1_ratio).curvature > 0
        if not (curved and (isinstance(model.alpha, str) or np.all(np.asarray(model.alpha) > 0))):
            raise ValueError(
                "solver='dual' needs penalty='l2', or 'elasticnet' with l1_ratio < 1, and alpha > "
                f"0, got penalty={shown(model.penalty)}, alpha={shown(model.alpha)}, l1_ratio="
                f"{shown(model.l1_ratio)}; solver='newton' and 'stochastic' have the others"
            )
        check_needs(cls.name, model, NEEDS)
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
        if config.warns and tol is not None and stopping.gap > tol and all_epochs:
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
