"""The arguments of a minimisation, checked and converted: options, rule, start, callback."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrcore._backend import threads
from lrcore._utils.missing import check_nothing_masked, first_missing
from lrcore._utils.validation import check_integer, check_nonnegative, shown
from lrcore.minimize.box import Box
from lrcore.optim.options import check_ema
from lrcore.rules import Rule

#: How gradients are approximated where there is no jac.
DIFFERENCES = ("2-point", "3-point", "cs")

#: The tolerance of the gradient that scipy's methods have by default.
DEFAULT_GTOL = 1e-5

#: Called after each step with the point and its value, or None; True ends the minimisation.
StepCallback = Callable[[np.ndarray, float | None], bool]


@dataclass(frozen=True)
class Options:
    """The options of `minimize` that the steps depend on; see there."""

    maxiter: int
    gtol: float
    ftol: float = 0.0
    xtol: float = 0.0
    return_all: bool = False
    n_threads: int | None = None
    line_search: str | None = None
    averaging: float | str | None = None
    polish: str | None = None

    def __post_init__(self) -> None:
        check_integer("maxiter", self.maxiter, least=0)
        for name in ("gtol", "ftol", "xtol"):
            check_nonnegative(name, getattr(self, name))
        threads.check(self.n_threads)
        for name, word in (("line_search", "armijo"), ("polish", "lbfgs")):
            value = getattr(self, name)
            if not (value is None or (isinstance(value, str) and value == word)):
                raise ValueError(f"{name} must be None or {word!r}, got {shown(value)}")
        check_ema(self.averaging, "averaging")
        if self.line_search is not None and self.averaging is not None:
            raise ValueError(
                f"averaging={shown(self.averaging)} is of the rule's own steps, which "
                f"line_search={shown(self.line_search)} shortens: leave one of them out"
            )


def resolve_rule(
    rule: Rule, steps_per_epoch: int, total_steps: int, box: Box, line_search: str | None,
    averaging: float | str | None,
) -> Rule:  # fmt: skip
    """The rule with all lengths of its schedule in steps.

    Raises
    ------
    ValueError
        If the rule maximises, or if it computes an average of its own steps, which bounds, a line
        search or another average would make wrong.
    """
    if rule.maximize:
        raise ValueError(
            f"{rule!r} steps up the gradient: give a rule without maximize=True, and -fun for a "
            "maximum"
        )
    given = {
        "bounds": True if box.bounded else None,
        "line_search": line_search,
        "averaging": averaging,
    }
    for name, value in given.items():
        if value is not None and rule.averages:
            raise ValueError(
                f"{type(rule).__name__} keeps an average of its own steps, which goes with neither "
                f"bounds, a line search nor another average: leave out {name}, or use another rule"
            )
    return rule.resolve(steps_per_epoch=steps_per_epoch, total_steps=max(total_steps, 1))


def as_start(x0: Any) -> np.ndarray:
    """A copy of x0 as a finite array of one dimension at least.

    float32 stays float32; all other real numbers become float64.

    Raises
    ------
    ValueError
        If x0 is empty, or has a value that is not a finite real number.
    """
    check_nothing_masked("x0", x0)
    start = np.atleast_1d(np.asarray(x0))
    if start.dtype.kind not in "biuf":
        first = first_missing(start)
        where = f", {start.flat[first]} at position {first}" if first >= 0 else ""
        raise ValueError(f"x0 must be real numbers, got {start.dtype}{where}")
    if start.size == 0:
        raise ValueError(f"x0 must have at least one element, got shape {start.shape}")
    dtype = np.float32 if start.dtype == np.float32 else np.float64
    start = np.array(start, dtype=dtype, order="C", subok=False)
    bad = np.flatnonzero(~np.isfinite(start))
    if bad.size:
        where = ", ".join(str(i) for i in np.unravel_index(bad[0], start.shape))
        raise ValueError(f"x0 must be finite, got {start.flat[bad[0]]} at [{where}]")
    return start


def check_no_constraints(rule: Rule, constraints: Any) -> None:
    """Raise ValueError if there are constraints, which no rule can keep."""
    none = constraints is None or (hasattr(constraints, "__len__") and len(constraints) == 0)
    if not none:
        raise ValueError(
            f"{type(rule).__name__}.minimize takes bounds, but no constraints, got "
            f"{shown(constraints)}; scipy's method='SLSQP' and 'trust-constr' do"
        )


def warn_of_unused(rule: Rule, hess: Any, hessp: Any, unknown: Mapping[str, Any]) -> None:
    """Warn of arguments that are given but not used, as scipy does."""
    from scipy.optimize import OptimizeWarning

    level = 3  # the line that called minimize
    for name, given in (("hess", hess), ("hessp", hessp)):
        if given is not None:
            warnings.warn(
                f"{type(rule).__name__}.minimize does not use second derivatives ({name}).",
                RuntimeWarning, stacklevel=level,
            )  # fmt: skip
    if unknown:
        warnings.warn(
            f"Unknown solver options: {', '.join(unknown)}", OptimizeWarning, stacklevel=level
        )


def gradient_tolerance(gtol: float | None, tol: float | None) -> float:
    """gtol if it is given, else tol if it is given, else the default of scipy's methods."""
    if tol is not None:
        check_nonnegative("tol", tol)
    if gtol is not None:
        return gtol
    return DEFAULT_GTOL if tol is None else tol


def as_step_callback(callback: Any) -> StepCallback:
    """A callback in either of scipy's two forms as a function of a point and its value.

    A callback whose only parameter is `intermediate_result` gets an OptimizeResult by that keyword,
    any other one a copy of the point. The function returns True if the callback raises
    StopIteration; what the callback returns is ignored.

    Raises
    ------
    TypeError
        If it is not a function.
    """
    if callback is None:
        return lambda point, value: False
    if not callable(callback):
        raise TypeError(f"callback must be a function, got {shown(callback)}")
    from scipy.optimize import OptimizeResult

    try:
        names = set(inspect.signature(callback).parameters)
    except (TypeError, ValueError):  # some builtin functions have no signature
        names = set()
    by_keyword = names == {"intermediate_result"}

    def step_callback(point: np.ndarray, value: float | None) -> bool:
        try:
            if by_keyword:
                callback(intermediate_result=OptimizeResult(x=point.copy(), fun=value))
            else:
                callback(point.copy())
        except StopIteration:
            return True
        return False

    return step_callback
