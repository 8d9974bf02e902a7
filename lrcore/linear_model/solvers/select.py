"""The solvers by name, and the choice for ``solver="auto"``: by counts, never by the clock, so that
it is the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lrcore.linear_model.bounds import asks_for_bounds
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.solvers.base import Solver
from lrcore.linear_model.solvers.dual import Dual
from lrcore.linear_model.solvers.newton import Newton
from lrcore.linear_model.solvers.proximal_newton import ProximalNewton
from lrcore.linear_model.solvers.stochastic import Stochastic, penalises
from lrcore.rules import Rule


def newton_from_parameters(model: Any) -> Solver:
    """Newton's method for the penalty at hand."""
    kind = ProximalNewton if has_l1(model) or asks_for_bounds(model) else Newton
    return kind.from_parameters(model)


def has_l1(model: Any) -> bool:
    """Whether an estimator's penalty is one of magnitudes, at least in part."""
    l1_ratio = {"l1": 1.0, "elasticnet": model.l1_ratio}.get(model.penalty, 0.0)
    return l1_ratio > 0 and penalises(model)


SOLVERS: dict[str, Callable[[Any], Solver]] = {
    "stochastic": Stochastic.from_parameters,
    "dual": Dual.from_parameters,
    "newton": newton_from_parameters,
}

#: What fits of rows on several machines are made by, which have it for themselves.
OF_PARTITIONS = "lbfgs"

#: Coefficients of an estimator that another library has fitted.
IMPORTED = "imported"

#: The share of the rows that need a second derivative.
CURVED = 0.1

#: Weights up to which Newton steps are taken whatever the rows, and at most; and what a Hessian and
#: its factor may cost beside a pass over the rows, in multiplications for each value of X.
FEW_FEATURES, MOST_FEATURES, PER_VALUE = 256, 4096, 300


class Choice(NamedTuple):
    """A solver, and why it was chosen."""

    solver: Solver
    reason: str


def make_solver(model: Any) -> Solver:
    """The solver that the parameters of an estimator name, each of which has been checked; for
    "auto" the one that takes steps.

    Raises
    ------
    ValueError
        If the solver cannot do what the other parameters ask for.
    """
    return SOLVERS["stochastic" if model.solver == "auto" else model.solver](model)


def choose_solver(model: Any, problem: Problem) -> Choice:
    """The solver of a fit.

    Raises
    ------
    ValueError
        If a solver was named that cannot do what the other parameters ask for.
    """
    if model.solver != "auto":
        return Choice(make_solver(model), "it was asked for")
    wanted = steps_wanted(model)
    if wanted is not None:
        return Choice(make_solver(model), f"{wanted} is about steps of a rule")
    newton, dual = _if_supported("newton", model), _if_supported("dual", model)
    n_features = problem.X.shape[1] * problem.outputs_per_target
    if newton is not None and has_l1(model):
        return Choice(newton, "the penalty has l1")
    if newton is not None and dual is not None and not is_curved(problem):
        return Choice(dual, "the loss of most rows is a straight line, which has no Hessian")
    if newton is not None and few_features(problem):
        return Choice(newton, f"{n_features} weights are few")
    if dual is not None:
        return Choice(dual, f"{n_features} weights are many, and the objective has a dual")
    return Choice(make_solver(model), "the objective has no dual, or features are many")


def _if_supported(name: str, model: Any) -> Solver | None:
    """The solver of this name, None if it cannot do what the parameters ask for."""
    try:
        return SOLVERS[name](model)
    except ValueError:
        return None


def few_features(problem: Problem) -> bool:
    """Whether features are so few that a Hessian costs little beside the passes over the rows that
    other solvers take."""
    n = problem.X.shape[1] + 1
    n_weights = n * problem.outputs_per_target
    if n_weights > MOST_FEATURES:
        return False
    return n <= FEW_FEATURES or 8 * n**3 <= PER_VALUE * problem.X.values.size


def is_curved(problem: Problem) -> bool:
    """Whether enough rows have a second derivative where all predictions are the mean, or 0 for
    classes, so that Newton steps know where to go: of a Huber loss whose epsilon is far below the
    errors hardly any has."""
    loss, y = problem.objective.loss, problem.targets[0]
    if loss.conjugate_pieces is None or not loss.conjugate_pieces.bounded:
        return True
    share = problem.share
    z = np.full(len(y), 0.0 if loss.classifies else float(np.sum(share * y)))
    second = loss.second_derivative(z, y, loss.evaluate(z, y)[1])
    return float(np.sum(share[second > 0])) >= CURVED


def steps_wanted(model: Any) -> str | None:
    """The parameter that asks for steps of an update rule, as it was given; None if none does."""
    if isinstance(model.optimizer, Rule) or model.optimizer != "auto":
        return "optimizer"
    if not (isinstance(model.lr, str) and model.lr == "auto"):
        return "lr"
    for name, default in (
        ("average", False), ("batch_size", 1), ("block_size", 256), ("on_divergence", "raise"),
    ):  # fmt: skip
        value = getattr(model, name)
        if value is not default and value != default:
            return f"{name}={value!r}"
    return "max_iter=1" if model.max_iter == 1 else None
