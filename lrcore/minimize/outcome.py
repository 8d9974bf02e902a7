"""How a minimisation ended: statuses, messages, and the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.minimize.objective import Objective
from lrcore.minimize.points import frozen
from lrcore.minimize.stepper import Stepper

#: Statuses, numbered as scipy's methods do.
CONVERGED, OUT_OF_STEPS, NO_DECREASE, NOT_FINITE, HALTED = 0, 1, 2, 3, 99

#: What scipy's methods say then.
HALTED_MESSAGE = "`callback` raised `StopIteration`."


@dataclass
class Run:
    """A run so far: the best point and its value, the last gradient and where it is, how it ends.

    The value is None where nobody knows it; the last point is then the best.
    """

    best: np.ndarray
    value: float | None
    last: tuple[np.ndarray, np.ndarray]
    best_step: int = 0
    nit: int = 0
    rates: Floats = field(default_factory=lambda: np.empty(0))
    points: list[np.ndarray] = field(default_factory=list)
    status: int = OUT_OF_STEPS
    message: str = ""

    def take(self, point: np.ndarray, value: float | None) -> bool:
        """Remember a point, reached by step `nit`, if it is the best one or as good as that.

        One where the function is -inf is none.
        """
        better = value is None or self.value is None or -math.inf < value <= self.value
        if better:
            self.best, self.value, self.best_step = point, value, self.nit
        return better

    def gradient(self, objective: Objective) -> np.ndarray:
        """The gradient at the best point; evaluated again if that is not the last one."""
        if self.last[0] is not self.best:
            self.last = self.best, objective.gradient(self.best)
        return self.last[1]

    def end(self, status: int, message: str) -> None:
        """Say how it ends."""
        self.status, self.message = status, message


def settle(run: Run, stepper: Stepper, value_of: Any) -> None:
    """Close a run of steps: note their rates, and let an average of x, if one is kept, be the best
    point if it is; `value_of` a point."""
    run.rates = stepper.rates[: run.nit]
    average = stepper.average()
    if average is None or run.nit == 0 or run.status == NOT_FINITE:
        return
    run.last = run.last[0], run.last[1].copy()  # fun may have one array for all its gradients
    point = frozen(average)
    value = value_of(point)
    if run.take(point, value):
        run.message += " x is the average."
    else:
        run.message += f" The average, where fun is {value:.6g}, is not the best."


def result(run: Run, jac: np.ndarray, calls: Any) -> Any:
    """The OptimizeResult of a run that has ended; `calls` has the numbers of evaluations."""
    from scipy.optimize import OptimizeResult

    message = run.message
    if run.best_step < run.nit:
        message += f" x is the best point, which step {run.best_step} reached."
    found = OptimizeResult(
        x=run.best.copy(), fun=run.value, jac=jac.copy(),
        nit=run.nit, nfev=calls.nfev, njev=calls.njev, status=run.status,
        success=run.status == CONVERGED, message=message, lr_history=run.rates,
        best_nit=run.best_step,
    )  # fmt: skip
    if run.points:
        found.allvecs = [point.copy() for point in run.points]
    return found


def show(found: Any, name: str) -> None:
    """Print what `disp` asks for."""
    print(f"{name}: {found.message}")
    for label, key in (
        ("function value", "fun"),
        ("steps", "nit"),
        ("function evaluations", "nfev"),
        ("gradient evaluations", "njev"),
    ):
        print(f"    {label}: {found[key]}")
