"""How a minimisation ended: statuses, messages, and the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrcore.minimize.objective import Objective, frozen
from lrcore.minimize.stepper import Stepper

#: Statuses, numbered as scipy's methods do.
CONVERGED, OUT_OF_STEPS, NO_DECREASE, NOT_FINITE, HALTED = 0, 1, 2, 3, 99


@dataclass
class Run:
    """A run so far: the best point, the last gradient, and how it ends."""

    best: np.ndarray
    value: float
    last: tuple[np.ndarray, np.ndarray]
    best_step: int = 0
    nit: int = 0
    points: list[np.ndarray] = field(default_factory=list)
    status: int = OUT_OF_STEPS
    message: str = ""

    def take(self, point: np.ndarray, value: float) -> None:
        """Remember a point if it is the best one, or as good as that."""
        if value <= self.value:
            self.best, self.value, self.best_step = point, value, self.nit

    def gradient(self, objective: Objective) -> np.ndarray:
        """The gradient at the best point, a copy; evaluated again unless that is the last point."""
        at, g = self.last
        return (g if at is self.best else objective.gradient(self.best)).copy()

    def end(self, status: int, message: str) -> None:
        """Say how it ends."""
        self.status, self.message = status, message


def result(run: Run, objective: Objective, stepper: Stepper) -> Any:
    """The OptimizeResult of a run that has ended."""
    from scipy.optimize import OptimizeResult

    nit, rates = run.nit, stepper.rates[: run.nit]
    average = stepper.average() if run.status != NOT_FINITE else None
    message = run.message
    if average is not None:
        point = frozen(average)
        value = objective.value(point)
        if value <= run.value:
            run.take(point, value)
            message += " x is the average."
        else:
            message += f" The average, where fun is {value:.6g}, is not the best."
    if run.best_step < nit:
        message += f" x is the best point, which step {run.best_step} reached."
    found = OptimizeResult(
        x=run.best.copy(), fun=run.value, jac=run.gradient(objective),
        nit=nit, nfev=objective.nfev, njev=objective.njev, status=run.status,
        success=run.status == CONVERGED, message=message, lr_history=rates,
        best_nit=run.best_step,
    )  # fmt: skip
    if run.points:
        found.allvecs = [point.copy() for point in run.points]
    return found


def show(result: Any, name: str) -> None:
    """Print what `disp` asks for."""
    print(f"{name}: {result.message}")
    for label, key in (
        ("function value", "fun"),
        ("steps", "nit"),
        ("function evaluations", "nfev"),
        ("gradient evaluations", "njev"),
    ):
        print(f"    {label}: {result[key]}")
