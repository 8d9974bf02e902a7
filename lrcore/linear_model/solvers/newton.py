"""Newton's method, for few features and losses with a second derivative, under an L2 penalty.

Each step solves with the Hessian, so that units of the columns and correlations between them cost
nothing, and a step is taken as far as the objective falls. A Hessian that costs little is made for
each step, and the error squares from step to step. One that costs much serves several steps, and
with many rows it is that of some of them, always the same ones, at whose own minimum the fit
begins: conjugate gradients then solve for the step, and its Cholesky factors are what preconditions
them. So they do for a softmax, of whose Hessian there is a block for each output.

The second derivative of a loss that is quadratic in pieces is that of the piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lrcore.linear_model.engine.epoch import AfterChunk, Chunk, EpochLoss
from lrcore.linear_model.monitor.base import CONTINUE, STOP, Decision, Monitor, Progress
from lrcore.linear_model.monitor.diagnostics import warn
from lrcore.linear_model.monitor.stopping import EarlyStopping, EpochPrinter
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import EpochLoop, SolverConfig, Trials, check_needs
from lrcore.linear_model.solvers.derivatives import Start
from lrcore.linear_model.solvers.newton_descent import NewtonDescent
from lrcore.losses import LOSSES, Loss

#: Losses that can be minimised so.
NEWTON_LOSSES = [
    name for name, loss in LOSSES.items() if loss.second_derivative is not Loss.second_derivative
]

#: What parameters have to be, and why.
NEEDS = {
    "average": (False, "it ends at the minimum; solver='stochastic' has averages"),
    "on_divergence": ("raise", "it has no rate to cut; solver='stochastic' recovers"),
}

#: Of so few values one more step or two costs nothing, and gives a million times less of a gap,
#: down to rounding. Where a larger one will do, as in trials, it is left at that.
FEW_VALUES, POLISH, LEAST_GAP, COARSE = 4096, 1e-6, 1e-13, 1e-2

#: What the next step of a trial may gain, over its objective.
TRIAL_GAP = 1e-3

#: Rows, and rows for each feature, from which on each is not left out of a fit by itself: some of
#: them say as much.
LEAVE_OUT_ROWS, LEAVE_OUT_PER_FEATURE = 16384, 256


def start_of(problem: Problem, start: TrainedModel | None) -> Start | None:
    """Weights and intercepts of all outputs to begin with."""
    if start is None:
        return None
    n_outputs = len(problem.targets) * problem.outputs_per_target
    w, b = (part.astype(np.float64) for part in start.weights)
    if w.shape != (n_outputs, problem.X.shape[1]):
        raise ValueError(
            "warm_start=True needs the outputs and features of the last fit: it had "
            f"{w.shape[0]} outputs, {w.shape[1]} features, this has {n_outputs}, "
            f"{problem.X.shape[1]}; set it to False"
        )
    return w, b


def rounding_gap(dtype: np.dtype[Any]) -> float:
    """What rounded weights leave of a gap, about: it goes by the square of their errors."""
    return 0.01 * math.sqrt(np.finfo(dtype).eps)


class NewtonTraining:
    """All targets of a fit in progress."""

    def __init__(
        self, problem: Problem, config: SolverConfig, *, certifies: bool = True
    ) -> None:  # fmt: skip
        self._problem = problem
        #: The gap that is looked for.
        self.goal = goal = config.tol or 0.0
        if certifies and problem.X.values.size <= FEW_VALUES and goal <= COARSE:
            self.goal = min(goal, max(POLISH * goal, LEAST_GAP))
        start = start_of(problem, config.start)
        self.descent = NewtonDescent(
            problem, config.n_threads, start, self.goal, certifies=certifies
        )
        self._certifies = certifies
        self._steps = 0

    def run_iteration(self, after_chunk: AfterChunk) -> EpochLoss:
        """A step of each target that is not done."""
        mean = float(np.mean(self.descent.point.mean_loss))
        self.descent.step(self.goal)
        self._steps += 1
        n = self._problem.n_rows
        after_chunk(Chunk(np.zeros(0, np.int64), self._steps, math.nan, mean, n, n))
        return EpochLoss(mean, 1.0, n)

    def go_on_with(self, objective: Objective) -> None:
        """Minimise an objective with another penalty from now on."""
        self._problem = replace(self._problem, objective=objective)
        self.descent.go_on_with(objective)

    def gap(self) -> float:
        """The largest gap of a target, over its objective; about, if it is not certified."""
        return self.descent.certify() if self._certifies else self.expected_gap

    @property
    def expected_gap(self) -> float:
        """The largest gap of a target, over its objective, about."""
        return float(self.descent.estimated_gaps.max())

    def model(self) -> TrainedModel:
        """What the fit has come to."""
        return TrainedModel(self.descent.states(), self._problem.objective)


class GapStopping(Monitor):
    """Stops once the duality gap is no larger than `tol`, or nothing moves any more; `gap` is the
    one certified last."""

    def __init__(self, training: NewtonTraining, tol: float | None) -> None:
        self._training = training
        self._tol = 0.0 if tol is None else tol
        self.gap = math.inf
        self.certified_after = -1

    def after_epoch(self, progress: Progress) -> Decision:
        training = self._training
        if training.descent.done:
            return STOP
        if training.expected_gap > (training.goal if self._tol > 0 else 0.0):
            return CONTINUE
        self.gap, self.certified_after = training.gap(), progress.n_epochs
        return STOP if self.gap <= self._tol else CONTINUE


class Newton:
    """Newton's method for an L2 penalty, or none, and losses with a second derivative."""

    name: ClassVar[str] = "newton"
    max_iter: ClassVar[int] = 100
    tol: ClassVar[float | None] = 1e-3
    copies_scaled_columns: ClassVar[bool] = False
    warm_starts: ClassVar[bool] = True

    def __init__(self, n_iter_no_change: int = 5) -> None:
        self._n_iter_no_change = n_iter_no_change

    def leaves_out(self, problem: Problem) -> bool:
        """Whether its result tells what rows would lose that are left out."""
        loss, pieces = problem.objective.loss, problem.objective.loss.conjugate_pieces
        # Rows on straight pieces have no curvature, so that next to nothing would tell where the
        # minimum goes without them.
        straight = pieces is not None and pieces.bounded
        n_rows, n_features = problem.X.shape
        many = n_rows >= max(LEAVE_OUT_ROWS, LEAVE_OUT_PER_FEATURE * (n_features + 1))
        return not (many or loss.joint or straight)

    @classmethod
    def from_parameters(cls, model: Any) -> Newton:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        if model._loss not in NEWTON_LOSSES:
            raise ValueError(
                "solver='newton' needs a loss with a second derivative, one of "
                f"{', '.join(NEWTON_LOSSES)}, got {model._loss!r}; solver='auto' finds one that "
                "has it"
            )
        check_needs(cls.name, model, NEEDS)
        return cls(model.n_iter_no_change)

    def fit(
        self, problem: Problem, config: SolverConfig, monitors: Sequence[Monitor] = ()
    ) -> FitResult:
        """Steps until every target's gap is at most `tol`, over the objective, or until the loss of
        held-out rows, if there are any, has not fallen by more than `tol`, or `max_iter` of them;
        see `lrcore.linear_model.solvers.base.Solver`."""
        return self._descend(NewtonTraining(problem, config), config, monitors)

    def trials(self, problem: Problem, config: SolverConfig) -> Trials:
        """See `lrcore.linear_model.solvers.base.Solver`. They share raw predictions and Hessians,
        and end by what the next step would gain: the held-out loss then differs by far less than
        from one half of the rows to the other."""
        training: NewtonTraining | None = None
        config = replace(config, tol=min(config.tol or 0.0, TRIAL_GAP))

        def fit(objective: Objective) -> FitResult:
            nonlocal training
            if training is None:
                first = replace(problem, objective=objective)
                training = NewtonTraining(first, config, certifies=False)
            else:
                training.go_on_with(objective)
            return self._descend(training, config, ())

        return fit

    def _descend(
        self, training: NewtonTraining, config: SolverConfig, monitors: Sequence[Monitor]
    ) -> FitResult:
        """Steps of a fit to its end."""
        tol, held_out, own = config.tol, config.held_out, list[Monitor]()
        if held_out is not None:
            patience = self._n_iter_no_change
            own.append(EarlyStopping.by_loss(held_out, tol or 0.0, patience, config.n_threads))
            tol = None
        stopping = GapStopping(training, tol)
        if config.verbose:
            gap = ", duality gap about {:.2g} of the objective".format
            own.append(EpochPrinter(lambda: gap(training.expected_gap)))
        monitors = [*own, *monitors, stopping]
        for monitor in monitors:
            monitor.begin(None, None)
        with EpochLoop(training.model, config.max_iter, monitors) as loop:
            while loop.goes_on:
                loop.end_epoch(training.run_iteration(loop.begin_epoch()))
        if stopping.certified_after != loop.progress.n_epochs:
            stopping.gap = training.gap()
        to_the_end = training.descent.done or loop.progress.n_epochs == config.max_iter
        if config.warns and tol is not None and (to_the_end or training.descent.diverges):
            warn_if_far(stopping.gap, tol, training, loop.progress.n_epochs)
        result = FitResult(
            training.model(), loop.progress.losses, loop.progress.measured, loop.interrupted,
            stopping.gap if training.descent.certifiable else None,
            left_out=training.descent.left_out,
        )  # fmt: skip
        for monitor in monitors:
            monitor.end(result)
        return result


def warn_if_far(left: float, tol: float, training: NewtonTraining, n_steps: int) -> None:
    """Warn of a fit that went on to its end, and has left more than `tol`, or has no minimum."""
    if training.descent.diverges:
        warn(
            "the classes can be told apart without an error, so that the objective without a "
            "penalty has no minimum, and weights grow until it is 0 but for rounding; give "
            "penalty='l2' and alpha > 0",
            ConvergenceWarning,
        )
    elif left > max(tol, rounding_gap(training.model().dtype)):
        bound = "the duality gap is" if training.descent.certifiable else "what is left is about"
        warn(
            f"{bound} {left:.2g} of the objective after {n_steps} steps, above tol={tol:g}; raise "
            "max_iter, tol or alpha",
            ConvergenceWarning,
        )
