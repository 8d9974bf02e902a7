"""One model at several rates, in one pass: each rate is an output of its own.

Rows are read, checked, listed and shuffled once for all rates, and the weights that they touch lie
side by side. A rate at which the fit diverges leaves the others alone: its loss is infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import LazyPenalty, ModelState, UpdateConfig, WeightAverage
from lrcore.linear_model.monitor.base import Monitor
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import SolverConfig

if TYPE_CHECKING:
    from lrcore.linear_model.solvers.stochastic import Stochastic


@dataclass(frozen=True)
class Sweep:
    """Fits at several rates: what each lost, on held-out rows or else in its last epoch; the result
    of each, by its place; and what each held-out row lost at each rate, (n_rates, n_rows)."""

    rates: np.ndarray
    losses: np.ndarray
    result_at: Callable[[int], FitResult]
    of_rows: np.ndarray | None
    interrupted: bool

    @property
    def best(self) -> int:
        """The place of the rate that lost least."""
        return int(np.argmin(self.losses))


def side_by_side(objective: Objective, updates: UpdateConfig) -> bool:
    """Whether rates can be outputs: of one output, by a rule whose steps the rate multiplies."""
    single = updates.n_outputs == 1 and not objective.loss.joint
    multiplied = bool(updates.formula.rate_columns) and not updates.rule.uses_distance
    return _backend.active.SEVERAL_RATES and single and multiplied


def sweep(
    solver: Stochastic, problem: Problem, config: SolverConfig, rates: np.ndarray,
    monitors: Sequence[Monitor] = (),
) -> Sweep:  # fmt: skip
    """Fit at each rate; judged by the held-out rows of `config`, if there are any.

    Raises
    ------
    FloatingPointError
        If the fit diverges at every rate.
    """
    side = side_by_side(problem.objective, solver.updates_at(1.0, problem, config))
    one_pass = len(rates) > 1 and len(problem.targets) == 1 and side
    fits = _in_one_pass if one_pass else _one_by_one
    # The held-out rows are to judge by, not to stop by.
    held_out, config = config.held_out, replace(config, held_out=None)
    found = fits(solver, problem, config, rates, held_out, monitors)
    losses = found.losses
    if held_out is not None and found.of_rows is not None:
        with np.errstate(over="ignore"):
            losses = np.array([held_out.mean(lost) for lost in found.of_rows])
    losses = np.where(np.isfinite(losses), losses, np.inf)
    if not np.isfinite(losses).any():
        raise FloatingPointError(
            f"the fit diverged at every rate from {min(rates):.3g} to {max(rates):.3g}; give "
            f"smaller ones, from lr={min(rates) / 1000:.3g}, or scale='auto'"
        )
    return replace(found, losses=losses)


def _one_by_one(
    solver: Stochastic, problem: Problem, config: SolverConfig, rates: np.ndarray,
    held_out: Problem | None, monitors: Sequence[Monitor],
) -> Sweep:  # fmt: skip
    results, losses = [], np.full(len(rates), np.inf)
    of_rows = None if held_out is None else np.full((len(rates), held_out.n_rows), np.inf)
    for k, rate in enumerate(rates):
        try:
            result = replace(solver, lr=float(rate)).fit(problem, config, monitors)
        except FloatingPointError:
            results.append(FitResult(TrainedModel([], problem.objective), []))
            continue
        results.append(result)
        losses[k] = result.loss_curve[-1]
        if held_out is not None and of_rows is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                of_rows[k] = result.model.row_losses(held_out, config.n_threads)
    stopped = any(result.interrupted for result in results)
    return Sweep(rates, losses, results.__getitem__, of_rows, stopped)


def _in_one_pass(
    solver: Stochastic, problem: Problem, config: SolverConfig, rates: np.ndarray,
    held_out: Problem | None, monitors: Sequence[Monitor],
) -> Sweep:  # fmt: skip
    factors = tuple(map(float, rates))
    whole = replace(solver, lr=1.0, lr_factors=factors).fit(problem, config, monitors)
    updates = whole.model.updates
    assert updates is not None
    assert whole.lane_curves is not None
    curves = whole.lane_curves[:, : len(rates)] / problem.total_weight

    def result_at(k: int) -> FitResult:
        # Not before it is asked for: of a large model a copy takes as long as an epoch.
        alone = solver.updates_at(float(rates[k]), problem, config)
        lazy = lazy_penalty_of(problem)
        states = [lane(s, updates, k, alone, problem.X, lazy) for s in whole.model.states]
        model = TrainedModel(states, problem.objective, alone, whole.model.scale)
        return replace(whole, model=model, loss_curve=curves[:, k].tolist(), lane_curves=None)

    of_rows = None
    if held_out is not None:
        loss = problem.objective.loss
        with np.errstate(over="ignore", invalid="ignore"):  # at rates that are too high
            raw = whole.model.raw_predictions(held_out.X, config.n_threads).astype(np.float64)
            raw = raw + held_out.offset(0)
            of_rows = np.stack([loss.evaluate(z, held_out.targets[0])[0] for z in raw.T])
    return Sweep(rates, curves[-1].copy(), result_at, of_rows, whole.interrupted)


def lazy_penalty_of(problem: Problem) -> LazyPenalty | None:
    """When the penalty of a fresh state is applied; None without a penalty or a bound."""
    if not problem.objective.moves_weights:
        return None
    return LazyPenalty.new([problem.X.shape[1]], [problem.X.touched_per_row()])


def lane(
    state: ModelState, updates: UpdateConfig, k: int, alone: UpdateConfig, X: DesignMatrix,
    lazy_penalty: LazyPenalty | None,
) -> ModelState:  # fmt: skip
    """The state of output k alone, whose penalty has been applied."""
    one = ModelState.new(alone, X, lazy_penalty)
    from_, to = updates.layout, alone.layout
    for i in range(1 + len(alone.formula.state)):
        one.columns[i] = state.columns[i * from_.lanes + k]
    if to.last_step:
        one.columns[to.last_step] = state.columns[from_.last_step]
    one.step, one.base = state.step, state.base
    if state.average is not None:
        changes = state.average.changes[:, k : k + 1].copy()
        one.average = WeightAverage(changes, state.average.since)
    return one
