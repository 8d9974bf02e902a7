"""Whether a fit by steps of a rule has come near the minimum: Newton steps from where it ended.

They lead to a model that loses less, so that a warning is never wrong about how far above it the
fit is, at least. The duality gap at the weights of a rule would say nothing where alpha is small:
it goes by the square of the gradient over alpha.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lrcore.linear_model.duality import NOTHING
from lrcore.linear_model.monitor.diagnostics import warn
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.derivatives import Start
from lrcore.linear_model.solvers.newton import start_of
from lrcore.linear_model.solvers.newton_descent import NewtonDescent
from lrcore.linear_model.solvers.proximal_newton import ProximalNewton
from lrcore.losses import Loss, SquaredError, SquaredHinge, name_of

#: Fits that are looked at: steps of all epochs and outputs, and weights of an output, at most.
#: Longer fits are seldom short of epochs, and the Hessian of more weights takes as long as a fit.
MOST_STEPS, MOST_WEIGHTS = 50_000, 128

#: What may be left, over the least objective that was found.
TOLERATED = 0.02

#: Newton steps at most, and what one of them gains, over the objective, when the next would gain
#: next to nothing.
NEWTON_STEPS, GAIN = 12, 5e-4

#: How many times the epochs may be enough, at least and at most.
FEWEST_TIMES, MOST_TIMES = 4, 20


def warn_if_unfinished(result: FitResult, problem: Problem, config: SolverConfig) -> None:
    """Warn of a fit that ended far above what a few Newton steps lead to."""
    if not is_looked_at(result, problem, config):
        return
    with np.errstate(over="ignore", invalid="ignore"):
        objective = result.model.objective_value(problem, config.n_threads)
        found = least_objective(result.model, problem)
        constant = problem.mean(problem.losses_of_constants(problem.constants()))
    scale = max(found - problem.mean(problem.least_losses()), NOTHING * constant)
    if objective - found > TOLERATED * scale:
        left, n = (objective - found) / scale, config.max_iter
        times = min(max(math.ceil(left / TOLERATED), FEWEST_TIMES), MOST_TIMES)
        warn(
            f"the fit has not converged: the objective, of the {name_of(problem.objective.loss)}, "
            f"is {objective:.4g} after max_iter={n} epochs, and {found:.4g} after a few Newton "
            f"steps more, so that at least {left:.2g} times its minimum is left; try max_iter="
            f"{times * n}, or solver='auto' without optimizer and lr, which ends at the minimum; "
            "tol=None is for fits that are to end after max_iter epochs in any case",
            ConvergenceWarning,
        )


def is_looked_at(result: FitResult, problem: Problem, config: SolverConfig) -> bool:
    """Whether a fit that was to end at the minimum has so few rows that Newton steps take little
    time beside it, and a minimum that they know."""
    if not result.aims_at_minimum or result.interrupted:
        return False
    n_outputs, n_features = problem.outputs_per_target, problem.X.shape[1]
    n_steps = problem.n_rows * config.max_iter * n_outputs * len(problem.targets)
    few = n_steps <= MOST_STEPS and n_features * n_outputs <= MOST_WEIGHTS
    return few and has_newton_steps(problem)


def has_newton_steps(problem: Problem) -> bool:
    """Whether Newton steps lead to the minimum: of straight pieces those of parabolas above do, but
    not where the penalty has a kink as well."""
    loss = problem.objective.loss
    curved = type(loss).second_derivative is not Loss.second_derivative
    if has_kinks(problem):
        return curved and loss.convex
    return curved or loss.conjugate_pieces is not None


def has_kinks(problem: Problem) -> bool:
    """Whether weights have an l1 penalty or a bound."""
    l1 = problem.objective.strengths(problem.X.shape[1])[0]
    return problem.objective.positive is not None or bool(l1.any())


def least_objective(model: TrainedModel, problem: Problem) -> float:
    """The objective to which Newton steps lead from a model."""
    if model.scale is not None:
        scaled = replace(problem.objective, column_scale=model.scale.astype(np.float64))
        problem = replace(problem, objective=scaled)
    # Threads would wait for each other longer than they work.
    if has_kinks(problem):
        config = SolverConfig(NEWTON_STEPS, GAIN, n_threads=1, start=model, warns=False)
        return ProximalNewton().fit(problem, config).model.objective_value(problem, 1)
    return float(np.mean(descended(problem, start_of(problem, model)).point.objective))


def descended(problem: Problem, start: Start | None) -> NewtonDescent:
    """Newton steps of all targets, until they gain next to nothing. For a loss that is straight in
    pieces they begin where those for its square end, where that is lower: at a constant most rows
    may be at a kink, which holds a step back."""
    loss, descent = problem.objective.loss, NewtonDescent(problem, 1, start)
    pieces = loss.conjugate_pieces
    if pieces is not None and not pieces.smooth:
        squares = replace(
            problem.objective, loss=SquaredHinge() if loss.classifies else SquaredError()
        )
        near = steps_down(NewtonDescent(replace(problem, objective=squares), 1, start)).point
        other = descent.function.evaluate(near.W, near.b)
        descent.point = other.where(other.objective < descent.point.objective, descent.point)
    return steps_down(descent)


def steps_down(descent: NewtonDescent) -> NewtonDescent:
    """The same after a few steps."""
    for _ in range(NEWTON_STEPS):
        before = descent.excess
        descent.step()
        if descent.done or (before - descent.excess <= GAIN * descent.excess).all():
            break
    return descent
