"""The loop of a minimisation: evaluate the function, test whether to stop, step."""

from __future__ import annotations

import math

import numpy as np

from lrcore.minimize.arguments import Options, StepCallback
from lrcore.minimize.box import Box
from lrcore.minimize.line_search import backtrack
from lrcore.minimize.objective import Objective, all_finite, certainly_above, largest_magnitude
from lrcore.minimize.points import CopyPool
from lrcore.minimize.result import (
    CALLBACK_STOP,
    CALLBACK_STOP_MESSAGE,
    CONVERGED,
    NO_DECREASE,
    NOT_FINITE,
    OUT_OF_STEPS,
    State,
)
from lrcore.minimize.stepper import Stepper

#: Steps in a row with a small change before `ftol` or `xtol` ends a minimisation. One step is not
#: enough: where the points turn back, as with momentum, a step changes little too.
PATIENCE = 10


def descend(
    objective: Objective, stepper: Stepper, box: Box, options: Options, callback: StepCallback
) -> State:
    """Step until a tolerance, `maxiter` or the callback ends it; see `lrcore.minimize.minimize`."""
    copies = CopyPool()
    point = copies.frozen_copy(stepper.x)
    value, g = objective.value(point), objective.gradient(point)
    state = State(point, value, (point, g))
    stopping = StoppingTest(options, box)
    while True:
        if options.return_all:
            state.points.append(point)
        if stopping.ends_at(state, point, value, g):
            break
        try:
            stepper.step(g)
        except FloatingPointError as error:
            state.stop(NOT_FINITE, f"No step from here: {error}.")
            break
        before = point
        if options.line_search is None:
            point = copies.frozen_copy(stepper.x)
            value = objective.value(point)
        else:
            found = backtrack(objective, box, before, value, g, stepper.x)
            if found is None:
                state.stop(NO_DECREASE, f"No point along step {state.nit} is lower.")
                break
            point, value = found
            stepper.x[...] = point
        g = objective.gradient(point)
        state.last = (point, g)
        state.nit += 1
        state.update_best(point, value)
        stepper.update_plateau(value)
        if callback(point, value):
            state.stop(CALLBACK_STOP, CALLBACK_STOP_MESSAGE)
            if options.return_all:
                state.points.append(point)
            break
    return state


class StoppingTest:
    """Decides after each step whether the point is the last one, by `maxiter` and tolerances."""

    def __init__(self, options: Options, box: Box) -> None:
        self._options = options
        self._box = box
        self._before: tuple[np.ndarray, float] | None = None
        #: Steps in a row with a change within the tolerance.
        self._small_steps = {"ftol": 0, "xtol": 0}

    def ends_at(self, state: State, point: np.ndarray, value: float, g: np.ndarray) -> bool:
        """Whether this point, reached by step ``state.nit``, is the last one; state says why."""
        if not math.isfinite(value):
            state.stop(NOT_FINITE, f"fun is {value} after {state.nit} steps.")
            return True
        if self._gradient_ends(state, point, g) or self._small_steps_end(state, point, value):
            return True
        if state.nit >= self._options.maxiter:
            state.stop(OUT_OF_STEPS, f"The {state.nit} steps of maxiter are done.")
            return True
        return False

    def _gradient_ends(self, state: State, point: np.ndarray, g: np.ndarray) -> bool:
        """Whether the gradient is within `gtol`, or not finite."""
        gtol = self._options.gtol
        projected = self._box.projected_gradient(point, g)
        # Usually one pass over the gradient shows that neither is the case.
        if (projected is g or all_finite(g)) and certainly_above(projected, gtol):
            return False
        if not all_finite(g):
            state.stop(NOT_FINITE, f"jac has a {largest_magnitude(g)} after {state.nit} steps.")
            return True
        largest = largest_magnitude(projected)
        if largest <= gtol:
            message = f"The gradient's largest element is {largest:.3g}, within gtol."
            state.stop(CONVERGED, message)
            return True
        return False

    def _small_steps_end(self, state: State, point: np.ndarray, value: float) -> bool:
        """Whether each of the last `PATIENCE` steps changed little, by `ftol` or by `xtol`."""
        ftol, xtol, before = self._options.ftol, self._options.xtol, self._before
        if ftol == 0 and xtol == 0:
            return False
        self._before = (point, value)
        if before is None:
            return False
        x_before, value_before = before
        fun_scale = max(abs(value), abs(value_before), 1.0)
        small = {
            "ftol": ftol > 0 and abs(value - value_before) <= ftol * fun_scale,
            "xtol": xtol > 0
            and largest_magnitude(point - x_before) <= xtol * max(largest_magnitude(point), 1.0),
        }
        for name, what in (("ftol", "fun"), ("xtol", "x")):
            self._small_steps[name] = self._small_steps[name] + 1 if small[name] else 0
            if self._small_steps[name] >= PATIENCE:
                state.stop(CONVERGED, f"{what} has changed by {name} or less in {PATIENCE} steps.")
                return True
        return False
