"""What a call of partial_fit is to do, worked out and checked before anything moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lrcore.linear_model import auto_alpha
from lrcore.linear_model.auto_lr import find_lr
from lrcore.linear_model.engine.layout import UpdateConfig
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.stochastic import Stochastic, finds_lr
from lrcore.linear_model.solvers.stream_start import StreamStart, restarted, to_keep
from lrcore.linear_model.solvers.training import as_steps
from lrcore.rules import Rule
from lrcore.schedules import Plateau, Schedule

if TYPE_CHECKING:
    from lrcore.linear_model.base import LinearModel


class StreamCall(NamedTuple):
    """The rows to learn from, and how.

    `last` is the model to go on from; without one the stream begins, or begins again with a rate
    that its first rows call for, at these `intercepts`. `beginning` are the first rows of before.
    """

    problem: Problem
    updates: UpdateConfig
    config: SolverConfig
    last: TrainedModel | None
    lr: float | Schedule | None
    alpha: float
    beginning: Problem | None = None
    start: StreamStart | None = None
    intercepts: Sequence[np.ndarray] | None = None

    def complete(self, result: FitResult) -> FitResult:
        """The result of the pass over all rows, with what the next call needs to know."""
        result.model.beginning = to_keep(self.start, self.beginning, self.problem)
        result.lr, result.alpha, result.solver = self.lr, self.alpha, Stochastic.name
        return result

    def n_new(self, n_rows: int) -> int:
        """How many of the rows of the call are among the first so many that were learnt from."""
        if self.start is None or self.beginning is None:
            return n_rows
        return max(0, n_rows - self.beginning.n_rows)


def stream_call(
    model: LinearModel, solver: Stochastic, problem: Problem, last: TrainedModel | None
) -> StreamCall:
    """What an estimator's partial_fit is to do with these rows after the last model.

    Raises
    ------
    ValueError
        If the estimator's parameters allow no stream, or not one that goes on.
    """
    problem = problem.without_weightless_rows()
    call = _going_on(model, solver, problem, last)
    if not finds_lr(solver):
        return call
    last = call.last
    beginning = None if last is None else last.beginning
    if last is not None and beginning is None:
        return call
    start = restarted(beginning, problem)
    if start is None:
        return call._replace(beginning=beginning)
    return _beginning(model, solver, start)._replace(beginning=beginning)


def _going_on(
    model: LinearModel, solver: Stochastic, problem: Problem, last: TrainedModel | None
) -> StreamCall:
    """One that goes on where the last one ended, or begins with the rate that is known."""
    lr, alpha = _known_lr(model, solver), _known_alpha(model)
    problem = model._at_alpha(problem, alpha)
    rule = solver.rule if lr is None else solver.rule.with_lr(lr)
    check_stream_rule(rule)
    updates = solver.updates(rule, problem, last)
    if last is not None:
        last = as_steps(last, updates, problem.X)
        assert last.updates is not None
        scales = model._scales(solver, problem, last, streams=True)
        same = (
            updates.layout == last.updates.layout
            and problem.objective.loss.joint == last.objective.loss.joint
            and scales == (last.scale is not None)
            and updates.rule.uses_distance == last.updates.rule.uses_distance
            and (problem.objective.positive is None or last.states[0].lazy_penalty.stops.size > 0)
        )
        if not same:
            raise ValueError(
                "optimizer, penalty, alpha = 0, positive, batch_size = 1, scale, loss or "
                "multi_class changed since the last call; call fit, or set them back"
            )
    config = model._config(solver, problem, start=last, streams=True)
    return StreamCall(problem, updates, config, last, lr, alpha)


def _beginning(model: LinearModel, solver: Stochastic, start: StreamStart) -> StreamCall:
    """One that begins with the first row, at the rate that the deciding rows call for."""
    deciding = start.deciding
    config, alpha = model._config(solver, deciding), model._alpha_of_stream
    if alpha > 0 and isinstance(auto_alpha.as_alpha(model.alpha), str):
        alpha = auto_alpha.of_steps(deciding, scaled=config.scale_columns)
    trial = replace(solver, warns=False), model._at_alpha(deciding, alpha)
    lr = find_lr(*trial, replace(config, max_iter=1), n_tried=start.n_tried)
    problem = model._at_alpha(start.rows, alpha)
    updates = solver.updates(solver.rule.with_lr(lr), problem, None)
    return StreamCall(
        problem, updates, config, None, lr, alpha, start=start, intercepts=start.intercepts
    )


def _known_lr(model: LinearModel, solver: Stochastic) -> float | Schedule | None:
    """The rate that was given, else what the last fit found or chose; None for the rule's own."""
    given, first = solver.lr, not hasattr(model, "_trained")
    if isinstance(given, np.ndarray) and first:
        raise ValueError(f"partial_fit needs one lr, got {len(given)}; fit finds the best of them")
    if not isinstance(given, (str, np.ndarray)):
        return given
    chosen = isinstance(given, np.ndarray) or solver.searches
    before = None if first or not chosen else model.lr_
    return before if isinstance(before, float) else None


def _known_alpha(model: LinearModel) -> float:
    """The alpha that was given, else that of the last fit, if it took steps."""
    searched = isinstance(auto_alpha.as_alpha(model.alpha), str)
    stepped = hasattr(model, "_trained") and getattr(model, "solver_", None) == Stochastic.name
    return float(model.alpha_) if searched and stepped else model._alpha_of_stream


def check_stream_rule(rule: Rule) -> None:
    """Raise unless the rule's schedule is one that partial_fit can follow."""
    if isinstance(rule.lr, Plateau):
        raise ValueError(
            "the lr of optimizer is a Plateau, and partial_fit measures nothing to feed it: "
            "give its `current`, or call fit"
        )
    if rule.unresolved:
        raise ValueError(
            f"the schedule of optimizer has {', '.join(rule.unresolved)}, and "
            "partial_fit knows neither epochs nor the length of the run: give lengths in "
            "steps, or call fit"
        )
