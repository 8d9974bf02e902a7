"""First-order methods in scipy.optimize's own protocol: `Rule.minimize`."""

from __future__ import annotations

from typing import Any

from lrcore.minimize import outcome
from lrcore.minimize.arguments import (
    Options,
    check_rule,
    check_start,
    gradient_tolerance,
    refuse_constraints,
    teller,
    warn_of_unused,
)
from lrcore.minimize.box import Box
from lrcore.minimize.descent import descend
from lrcore.minimize.objective import Objective
from lrcore.minimize.stepper import Stepper
from lrcore.rules import Rule

__all__ = ["minimize"]


def minimize(
    rule: Rule,
    fun: Any,
    x0: Any,
    args: Any = (),
    *,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Any = None,
    tol: float | None = None,
    maxiter: int = 10_000,
    gtol: float | None = None,
    ftol: float = 0.0,
    xtol: float = 0.0,
    disp: bool = False,
    return_all: bool = False,
    n_threads: int | None = None,
    line_search: str | None = None,
    averaging: float | str | None = None,
    finite_differences: str = "2-point",
    **unknown: Any,
) -> Any:
    """Minimise."""
    if not isinstance(args, tuple):
        args = (args,)
    gtol = gradient_tolerance(gtol, tol)
    how = Options(maxiter, gtol, ftol, xtol, return_all, n_threads, line_search, averaging)
    refuse_constraints(rule, constraints)
    x = check_start(x0)
    box = Box(bounds, x)
    moved = {"bounds": bounds if box.bounded else None, "line_search": line_search}
    stepping = check_rule(rule, 1, maxiter, moved)
    tell = teller(callback)
    jac = finite_differences if jac is None or jac is False else jac
    objective = Objective(fun, jac, args, x, box)
    stepper = Stepper(stepping, x, box, averaging, n_threads)
    warn_of_unused(rule, hess, hessp, unknown)
    box.project(x)

    run = descend(objective, stepper, box, how, tell)
    result = outcome.result(run, objective, stepper)
    if disp:
        outcome.show(result, type(rule).__name__)
    return result
