"""The state of a minimisation and its result: best point, status, message."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.minimize.objective import Objective
from lrcore.minimize.points import frozen_copy
from lrcore.minimize.stepper import Stepper

#: Statuses, with the numbers that scipy's methods use.
CONVERGED, OUT_OF_STEPS, NO_DECREASE, NOT_FINITE, CALLBACK_STOP = 0, 1, 2, 3, 99

#: The message of scipy's methods for the last of them.
CALLBACK_STOP_MESSAGE = "`callback` raised `StopIteration`."


@dataclass
class State:
    """What is known after `nit` steps.

    Attributes
    ----------
    best : ndarray
        The best point; the last one where values are not known.
    value : float or None
        The value of the function there; None if it is not known.
    last : tuple of two ndarrays
        The last point at which the gradient was evaluated, and the gradient.
    best_step : int
        The step that reached `best`.
    nit : int
        Number of steps.
    rates : ndarray of shape (nit,)
        The rate of each step, once the steps have ended.
    points : list of ndarray
        All points, if they are to be returned.
    status, message
        Why the steps have ended.
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

    def update_best(self, point: np.ndarray, value: float | None) -> bool:
        """Make a point that step `nit` reached the best one, if it is at least as good.

        A point at which the function is -inf is never the best one.
        """
        better = value is None or self.value is None or -math.inf < value <= self.value
        if better:
            self.best, self.value, self.best_step = point, value, self.nit
        return better

    def gradient_at_best(self, objective: Objective) -> np.ndarray:
        """The gradient at the best point; evaluated again if that is not the last point."""
        if self.last[0] is not self.best:
            self.last = self.best, objective.gradient(self.best)
        return self.last[1]

    def stop(self, status: int, message: str) -> None:
        """Note why the steps end."""
        self.status, self.message = status, message


def finish_steps(
    state: State, stepper: Stepper, value_of: Callable[[np.ndarray], float | None]
) -> None:
    """Note the rates of all steps, and compare the average of x, if there is one, with the best.

    Parameters
    ----------
    state : State
    stepper : Stepper
    value_of : function
        The value of the function at a point.
    """
    state.rates = stepper.rates[: state.nit]
    average = stepper.average()
    if average is None or state.nit == 0 or state.status == NOT_FINITE:
        return
    # The function may return the same array for all its gradients, and is about to be called.
    state.last = state.last[0], state.last[1].copy()
    point = frozen_copy(average)
    value = value_of(point)
    if state.update_best(point, value):
        state.message += " x is the average."
    else:
        state.message += f" The average, where fun is {value:.6g}, is not the best."


def make_result(state: State, jac: np.ndarray, objective: Any) -> Any:
    """The OptimizeResult of a minimisation that has ended.

    Parameters
    ----------
    state : State
    jac : ndarray
        The gradient at the best point.
    objective : Objective or BatchObjective
        Has the numbers of evaluations.
    """
    from scipy.optimize import OptimizeResult

    message = state.message
    if state.best_step < state.nit:
        message += f" x is the best point, which step {state.best_step} reached."
    result = OptimizeResult(
        x=state.best.copy(), fun=state.value, jac=jac.copy(),
        nit=state.nit, nfev=objective.nfev, njev=objective.njev, status=state.status,
        success=state.status == CONVERGED, message=message, lr_history=state.rates,
        best_nit=state.best_step,
    )  # fmt: skip
    if state.points:
        result.allvecs = [point.copy() for point in state.points]
    return result


def print_result(result: Any, name: str) -> None:
    """Print a summary, as ``disp=True`` asks for; name is that of the rule."""
    print(f"{name}: {result.message}")
    for label, key in (
        ("function value", "fun"),
        ("steps", "nit"),
        ("function evaluations", "nfev"),
        ("gradient evaluations", "njev"),
    ):
        print(f"    {label}: {result[key]}")
