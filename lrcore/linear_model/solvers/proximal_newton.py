"""The proximal Newton solver, for penalties with l1 and for weights that are bounded below. It has
no learning rate, and ends with a certificate.

Where features are many, Newton steps are of a working set of them: those with a weight, and those
that violate their condition at 0 most (Massias, Gramfort and Salmon 2018). Once a working set is
near its minimum, all features are looked at again. Those that the duality gap rules out before the
first step never are (Ndiaye, Fercoq, Gramfort and Salmon 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lrcore import _backend
from lrcore._utils import numerics
from lrcore.linear_model.duality import DualPoint
from lrcore.linear_model.engine.epoch import Chunk, EpochLoss
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.engine.quadratic import (
    Penalties,
    at_least_one,
    column_squares,
    selected,
)
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
from lrcore.linear_model.solvers.derivatives import Start
from lrcore.linear_model.solvers.newton import NEEDS, NEWTON_LOSSES, start_of
from lrcore.linear_model.solvers.proximal_steps import (
    DAMPING,
    HALVINGS,
    ROUNDING,
    ProximalSteps,
    Rows,
)

#: Features up to which all of them are the working set, and those of the first working set of more;
#: later ones have up to as many new features as old ones.
FEW_FEATURES, FIRST_FEATURES = 256, 128

#: The gap at which a working set is left, over that of all features and over tol, and the steps
#: after which it is left anyway.
INNER_GAP, INNER_TOL, INNER_STEPS = 0.3, 0.3, 20

#: Steps that come to no more than rounding before a fit ends.
PATIENCE = 3

#: A copy of X without the features that are ruled out pays if it has at most so many of them.
WORTH_A_COPY = 0.8

#: Newton steps for the best constant, at most, and the sum of derivatives, over that of their
#: magnitudes, with which they end.
MOST_CONSTANTS, CONSTANT = 50, 1e-9


class Target:
    """One target in progress: the point that it has come to, and its gap.

    Where features are many, `point` has the weights of those that may have one, `features`.
    """

    def __init__(
        self, problem: Problem, tol: float, n_threads: int | None, start: Start | None
    ) -> None:
        X, objective = problem.X, problem.objective
        weight = np.ones(X.shape[0]) if problem.sample_weight is None else problem.sample_weight
        self._X, self._tol, self._n_threads = X, tol, n_threads
        self._n_features, self._dtype = X.shape[1], X.dtype
        below = objective.l1_below(X.shape[1])
        self._penalties = Penalties(*objective.strengths(X.shape[1]), below)
        free = np.flatnonzero(self._penalties.unpenalised)
        if len(free) and objective.loss.joint:
            raise ValueError(
                "solver='newton' needs a penalty of all features for a softmax with l1 or bounds, "
                f"got {len(free)} without; multi_class='ovr' or solver='stochastic' has them"
            )
        share = weight / float(np.sum(weight))
        columns = selected(X, free) if len(free) else None
        bounded = None if objective.positive is None else objective.positive[free]
        (y,), offset = problem.targets, problem.offset(0)
        self._rows = Rows(objective, y, share, columns, n_threads, offset, bounded)
        self.features = np.arange(X.shape[1])
        if start is None:
            b = best_constants(self._rows)
            start = np.zeros((len(b), X.shape[1])), b
        w, b = start
        if objective.positive is not None:
            w = np.where(objective.positive, np.maximum(w, 0.0), w)
        z = np.zeros((X.shape[0], len(b)))
        for k in np.flatnonzero(w.any(axis=1)):
            z[:, k] = _backend.active.wide_predictions(X, w[k], n_threads)
        self.point = self._rows.point(self._penalties, w, b, z + b + offset)
        self._all: ProximalSteps | None = None
        if X.shape[1] <= FEW_FEATURES:
            self._all = ProximalSteps(X, self._rows, self._penalties, self.point, None, n_threads)
            self.gap = self._all.gap
        else:
            self._begin()
        self._best, self._waited = (math.inf, math.inf), 0

    def step(self) -> bool:
        """A Newton step of all features, or those that bring a working set near its minimum;
        whether that goes on to come to more than rounding."""
        best = self._best
        if self._all is None:
            self._fit_working_set()
        else:
            self._all.step()
            self.point, self.gap = self._all.point, self._all.gap
        self._best = min(best[0], self.point.objective), min(best[1], self.gap.gap)
        gained = best[0] - self._best[0] > ROUNDING * abs(best[0]) or self._best[1] < 0.9 * best[1]
        self._waited = 0 if gained else self._waited + 1
        return self._waited < PATIENCE

    # ---- working sets ---------------------------------------------------------------------------

    def _begin(self) -> None:
        """Look at all features, and leave those out that have no weight at the minimum."""
        X = self._X
        dual = self._rows.dual(self.point, np.flatnonzero(self._penalties.unpenalised))
        v = self._sums(dual)
        keep = at_least_one(self._may_have_weight(dual, v))
        if len(keep) <= WORTH_A_COPY * X.shape[1]:
            self.features, self._X = keep, selected(X, keep)
            self._penalties = self._penalties.of(keep)
            self.point = replace(self.point, w=self.point.w[:, keep])
            v = v[:, keep]
        self._look(dual, v)

    def _sums(self, dual: DualPoint) -> np.ndarray:
        """The sums of the columns of X, (n_outputs, n_features)."""
        share = self._rows.share
        v = np.stack([self._X.weighted_sum(share * u, self._n_threads) for u in dual.u.T])
        unpenalised = np.flatnonzero(self._penalties.unpenalised)
        return self._rows.without_rounding(dual, v, unpenalised)

    def _look(self, dual: DualPoint, v: np.ndarray) -> None:
        """The gap, and by how much features violate their condition at 0."""
        w, penalties = self.point.w, self._penalties
        self._dual, self._v = dual, v
        self._violation = np.max(penalties.size(v), axis=0) - penalties.l1
        self._weighted = (w != 0).any(axis=0)
        some = np.flatnonzero(self._weighted | (self._violation > 0))
        self.gap = dual.gap(self._rows.share, w[:, some], v[:, some], *penalties.of(some))

    def _may_have_weight(self, dual: DualPoint, v: np.ndarray) -> np.ndarray:
        """Which features the duality gap does not rule out.

        The best dual variables are within a ball around any others that are feasible, whose radius
        follows from the gap, since a loss with a bounded curvature has a strongly convex conjugate:
        a feature that stays below its l1 in all of the ball has a weight of 0.
        """
        penalties, w, share = self._penalties, self.point.w, self._rows.share
        l1, l2 = penalties.l1, penalties.l2
        loss, weighted = self._rows.objective.loss, (w != 0).any(axis=0)
        squares = column_squares(self._X, share, self._n_threads)
        size = np.max(penalties.size(v), axis=0)
        kept = weighted | penalties.unpenalised
        if not loss.smooth:
            return (squares > 0) | kept
        over = (size > l1) & ((l1 > 0) | (l2 == 0))
        c = float(np.min(l1[over] / size[over])) if over.any() else 1.0
        some = np.flatnonzero(weighted | (c * size > l1))
        scaled = dual._replace(rows=c * dual.rows + (1.0 - c) * dual.excess)
        gap = scaled.gap(share, w[:, some], c * v[:, some], *penalties.of(some)).gap
        # A little more, since all of this has been rounded.
        radius = (1.0 + 1e-6) * math.sqrt(2.0 * loss.curvature * gap)
        return (c * size + radius * np.sqrt(squares) >= l1 * (1.0 - 1e-9)) | kept

    def _working_set(self) -> np.ndarray:
        """Features with a weight, those that nothing holds at 0, and those that violate their
        condition most."""
        chosen = self._weighted | self._penalties.smooth_at_zero | self._penalties.unpenalised
        new = np.flatnonzero((self._violation > 0) & ~chosen)
        most = max(FIRST_FEATURES, int(np.count_nonzero(chosen)))
        if len(new) > most:
            new = new[np.argsort(-self._violation[new], kind="stable")[:most]]
        chosen[new] = True
        return at_least_one(chosen)

    def _fit_working_set(self) -> None:
        chosen, before = self._working_set(), self.point
        goal = max(INNER_GAP * self.gap.relative, INNER_TOL * self._tol)
        start = replace(before, w=np.ascontiguousarray(before.w[:, chosen]))
        known = self._dual, self._v[:, chosen]
        X, penalties = selected(self._X, chosen), self._penalties.of(chosen)
        steps = ProximalSteps(X, self._rows, penalties, start, known, self._n_threads)
        for _ in range(INNER_STEPS):
            if not steps.step() or steps.gap.relative <= goal:
                break
        w, end = before.w.copy(), steps.point
        w[:, chosen] = end.w
        self.point = replace(end, w=w)
        self._look(steps.dual, self._sums(steps.dual))

    # ---- what it has come to --------------------------------------------------------------------

    def states(self, n_steps: int) -> list[ModelState]:
        """The weights as any other fit has them, a state for each output."""
        found = []
        for w, b in zip(self.point.w, self.point.b):
            array = np.zeros((1, self._n_features + 1), self._dtype)
            array[0, self.features], array[0, -1] = w, b
            found.append(ModelState(array, 1, by_feature=False, base=n_steps))
        return found


def best_constants(rows: Rows) -> np.ndarray:
    """The intercepts that are best without features, by Newton's method."""
    loss, y, share = rows.objective.loss, rows.y, rows.share
    if not rows.objective.fit_intercept:
        return np.zeros(rows.n_outputs)
    if loss.joint:
        counts = np.bincount(y.astype(np.intp), weights=share, minlength=rows.n_outputs)
        return numerics.log(np.maximum(counts, 1e-6))
    if loss.classifies:
        positive = float(np.sum(share[y > 0]))
        share = np.array([1.0 - positive, positive])
        rows = Rows(rows.objective, np.array([-1.0, 1.0]), share, None, 1)
    b, z = 0.0, np.zeros((len(rows.y), 1)) + rows.offset
    values, u = rows.evaluate(z)
    for _ in range(MOST_CONSTANTS):
        slope = rows.mean(u[:, 0])
        if abs(slope) <= CONSTANT * rows.mean(np.abs(u[:, 0])):
            break
        second = np.maximum(rows.second_derivatives(z, u)[:, 0], DAMPING * loss.curvature)
        step = -slope / rows.mean(second)
        for _ in range(HALVINGS):
            new, gradient = rows.evaluate(z + step)
            if rows.mean(new) <= rows.mean(values):
                break
            step /= 2
        b, z, values, u = b + step, z + step, new, gradient
    return np.array([b])


class ProximalNewtonTraining:
    """All targets of a fit in progress."""

    def __init__(self, problem: Problem, config: SolverConfig) -> None:
        self._objective, self._n_rows = problem.objective, problem.n_rows
        start, n = start_of(problem, config.start), problem.outputs_per_target
        self.tol = config.tol if config.held_out is None else None
        tol = 1e-9 if self.tol is None else self.tol
        self.targets = [
            Target(
                one,
                tol,
                config.n_threads,
                start and (start[0][k * n : (k + 1) * n], start[1][k * n : (k + 1) * n]),
            )
            for k, one in enumerate(problem.each_target())
        ]
        self.n_steps = 0
        self.stalled = False

    @property
    def gap(self) -> float:
        """The largest gap of a target, over its objective."""
        return max(target.gap.relative for target in self.targets)

    def run_epoch(self) -> EpochLoss:
        """A step of each target that is not at its minimum; the mean loss before."""
        mean = float(np.mean([target.point.loss for target in self.targets]))
        goal = 0.0 if self.tol is None else self.tol
        moved = [target.step() for target in self.targets if target.gap.relative > goal]
        self.stalled = not any(moved)
        self.n_steps += 1
        return EpochLoss(mean, 1.0, self._n_rows)

    def model(self) -> TrainedModel:
        """A copy of what the fit has come to."""
        states = [state for target in self.targets for state in target.states(self.n_steps)]
        return TrainedModel(states, self._objective)


class GapStopping(Monitor):
    """Stops once the duality gap is no larger than `tol`, or no step leads further down."""

    def __init__(self, training: ProximalNewtonTraining) -> None:
        self._training = training

    def after_epoch(self, progress: Progress) -> Decision:
        tol = self._training.tol
        enough = tol is not None and self._training.gap <= tol
        return STOP if enough or self._training.stalled else CONTINUE


@dataclass(frozen=True)
class ProximalNewton:
    """Proximal Newton steps, for l1 penalties or bounds, and losses with a second derivative."""

    n_iter_no_change: int = 5

    name: ClassVar[str] = "newton"
    max_iter: ClassVar[int] = 100
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
    def from_parameters(cls, model: Any) -> ProximalNewton:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        if model._loss not in NEWTON_LOSSES:
            raise ValueError(
                "solver='newton' needs a loss with a second derivative, one of "
                f"{', '.join(NEWTON_LOSSES)}, got {model._loss!r}; solver='stochastic' has it"
            )
        if not model._make_loss().convex:
            raise ValueError(
                f"solver='newton' needs a convex loss, got 'tweedie' with power={model.power!r}, "
                "which is convex from 1 to 2; solver='stochastic' has it"
            )
        check_needs(cls.name, model, NEEDS)
        return cls(model.n_iter_no_change)

    def fit(
        self, problem: Problem, config: SolverConfig, monitors: Sequence[Monitor] = ()
    ) -> FitResult:
        """Steps until every target's gap is at most `tol`, over its objective, or no longer falls,
        or `max_iter` of them; by held-out rows, until these do not gain any more; see
        `lrcore.linear_model.solvers.base.Solver`."""
        training = ProximalNewtonTraining(problem, config)
        monitors = [*self._monitors(training, config), *monitors]
        for monitor in monitors:
            monitor.begin(None, None)
        rows = np.arange(problem.n_rows)
        with EpochLoop(training.model, config.max_iter, monitors) as loop:
            while loop.goes_on:
                after_chunk, loss = loop.begin_epoch(), training.run_epoch()
                n = problem.n_rows
                after_chunk(Chunk(rows, training.n_steps, math.nan, loss.mean, n, n))
                loop.end_epoch(loss)
        progress, gap = loop.progress, training.gap
        all_epochs = progress.n_epochs == config.max_iter and not progress.cut_short
        far = training.tol is not None and gap > training.tol
        if config.warns and far and (all_epochs or training.stalled):
            warn_of_gap(gap, training, config)
        result = FitResult(
            training.model(), progress.losses, progress.measured, loop.interrupted, gap
        )
        for monitor in monitors:
            monitor.end(result)
        return result

    def _monitors(self, training: ProximalNewtonTraining, config: SolverConfig) -> list[Monitor]:
        found: list[Monitor] = []
        if config.verbose:
            gap = ", duality gap {:.2g} of the objective".format
            found.append(EpochPrinter(lambda: gap(training.gap)))
        held_out = config.held_out
        if held_out is not None:
            tol, patience = config.tol or 0.0, self.n_iter_no_change
            found.append(EarlyStopping.by_loss(held_out, tol, patience, config.n_threads))
        return [*found, GapStopping(training)]


def warn_of_gap(gap: float, training: ProximalNewtonTraining, config: SolverConfig) -> None:
    """Warn that a fit has ended above `tol`."""
    ended = f"the duality gap is {gap:.2g} of the objective after "
    if training.stalled:
        why = f"{training.n_steps} steps, and no step leads further down as weights are rounded"
        what = f"raise tol={config.tol:g}, give X as float64, or scale X"
    else:
        why = f"max_iter={config.max_iter} steps, above tol={config.tol:g}"
        what = "raise max_iter, tol or alpha, or scale X"
    warn(f"{ended}{why}; {what}", ConvergenceWarning)
