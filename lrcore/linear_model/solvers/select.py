"""The solvers by name, and the one that an estimator's parameters describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lrcore.linear_model.solvers.base import Solver
from lrcore.linear_model.solvers.dual import Dual
from lrcore.linear_model.solvers.proximal_newton import ProximalNewton
from lrcore.linear_model.solvers.stochastic import Stochastic

SOLVERS: dict[str, Callable[[Any], Solver]] = {
    "stochastic": Stochastic.from_parameters,
    "dual": Dual.from_parameters,
    "newton": ProximalNewton.from_parameters,
}


def make_solver(model: Any) -> Solver:
    """The solver that the parameters of an estimator describe, each of which has been checked.

    Raises
    ------
    ValueError
        If the solver cannot do what the other parameters ask for.
    """
    return SOLVERS[model.solver](model)
