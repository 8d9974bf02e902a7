"""What a minimisation is told: starts, options and callbacks, each refused by its name."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrcore._backend import threads
from lrcore._utils.validation import check_integer, check_nonnegative
from lrcore.minimize.box import Box
from lrcore.optim.options import check_ema
from lrcore.rules import Rule

#: How gradients are approximated where there is no jac.
DIFFERENCES = ("2-point", "3-point", "cs")

#: What is told of each step: the point and its value; True ends the run.
Tell = Callable[[np.ndarray, float | None], bool]


@dataclass(frozen=True)
class Options:
    """When a minimisation stops, and what it does besides stepping."""

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
        if self.line_search not in (None, "armijo"):
            raise ValueError(f"line_search must be None or 'armijo', got {self.line_search!r}")
        if self.polish not in (None, "lbfgs"):
            raise ValueError(f"polish must be None or 'lbfgs', got {self.polish!r}")
        check_ema(self.averaging, "averaging")
        if self.line_search is not None and self.averaging is not None:
            raise ValueError(
                f"averaging={self.averaging!r} is of the rule's own steps, which "
                f"line_search={self.line_search!r} shortens: leave one of them out"
            )


def check_rule(
    rule: Rule, steps_per_epoch: int, total_steps: int, box: Box, line_search: str | None,
    averaging: float | str | None,
) -> Rule:  # fmt: skip
    """The rule with its schedule in steps.

    Raises
    ------
    ValueError
        If the rule maximises, or keeps an average that what is asked for would spoil.
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


def check_start(x0: Any) -> np.ndarray:
    """x0 as an array of our own, of one dimension at least: float32, or float64 for all other
    real numbers."""
    start = np.atleast_1d(np.asarray(x0))
    if start.dtype.kind not in "biuf":
        raise ValueError(f"x0 must be real numbers, got {start.dtype}")
    if start.size == 0:
        raise ValueError(f"x0 must have at least one element, got shape {start.shape}")
    dtype = np.float32 if start.dtype == np.float32 else np.float64
    start = np.array(start, dtype=dtype, order="C", subok=False)
    bad = np.flatnonzero(~np.isfinite(start))
    if bad.size:
        where = ", ".join(str(i) for i in np.unravel_index(bad[0], start.shape))
        raise ValueError(f"x0 must be finite, got {start.flat[bad[0]]} at [{where}]")
    return start


def refuse_constraints(rule: Rule, constraints: Any) -> None:
    """Raise if there are any."""
    none = constraints is None or (hasattr(constraints, "__len__") and len(constraints) == 0)
    if not none:
        raise ValueError(
            f"{type(rule).__name__}.minimize takes bounds, but no constraints, got {constraints!r};"
            " scipy's method='SLSQP' and 'trust-constr' do"
        )


def warn_of_unused(rule: Rule, hess: Any, hessp: Any, unknown: Mapping[str, Any]) -> None:
    """Warn of what is given and has no use, as scipy does."""
    from scipy.optimize import OptimizeWarning

    level = 3  # who called minimize
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
    """gtol, or else tol, or else what scipy's methods have."""
    if tol is not None:
        check_nonnegative("tol", tol)
    for value in (gtol, tol):
        if value is not None:
            return value
    return 1e-5


def teller(callback: Any) -> Tell:
    """The callback in either of scipy's forms, as a function of a point and its value.

    One whose only parameter is `intermediate_result` gets an OptimizeResult by that keyword, any
    other a copy of the point. True if it raises StopIteration; what it returns does not matter.
    """
    if callback is None:
        return lambda point, value: False
    if not callable(callback):
        raise TypeError(f"callback must be a function, got {callback!r}")
    from scipy.optimize import OptimizeResult

    try:
        names = set(inspect.signature(callback).parameters)
    except (TypeError, ValueError):  # of some builtins nobody knows
        names = set()
    by_keyword = names == {"intermediate_result"}

    def tell(point: np.ndarray, value: float | None) -> bool:
        try:
            if by_keyword:
                callback(intermediate_result=OptimizeResult(x=point.copy(), fun=value))
            else:
                callback(point.copy())
        except StopIteration:
            return True
        return False

    return tell
