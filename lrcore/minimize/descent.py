"""The loop: evaluate, look, step."""

from __future__ import annotations

import math

import numpy as np

from lrcore.minimize.arguments import Options, Tell
from lrcore.minimize.box import Box
from lrcore.minimize.objective import Objective, all_finite, magnitude, surely_above
from lrcore.minimize.outcome import (
    CONVERGED,
    HALTED,
    HALTED_MESSAGE,
    NO_DECREASE,
    NOT_FINITE,
    OUT_OF_STEPS,
    Run,
)
from lrcore.minimize.points import Points
from lrcore.minimize.search import backtrack
from lrcore.minimize.stepper import Stepper

#: Steps in a row that have to change little before `ftol` or `xtol` stops a run: a step at which
#: a trajectory turns back changes little too.
PATIENCE = 10


def descend(objective: Objective, stepper: Stepper, box: Box, how: Options, tell: Tell) -> Run:
    """Step until something says stop; see `lrcore.minimize.minimize`."""
    points = Points()
    point = points.frozen(stepper.x)
    value, g = objective.value(point), objective.gradient(point)
    run = Run(point, value, (point, g))
    stops = Stops(how, box)
    while True:
        if how.return_all:
            run.points.append(point)
        if stops.now(run, point, value, g):
            break
        try:
            stepper.step(g)
        except FloatingPointError as error:
            run.end(NOT_FINITE, f"No step from here: {error}.")
            break
        before = point
        if how.line_search is None:
            point = points.frozen(stepper.x)
            value = objective.value(point)
        else:
            found = backtrack(objective, box, before, value, g, stepper.x)
            if found is None:
                run.end(NO_DECREASE, f"No point along step {run.nit} is lower.")
                break
            point, value = found
            stepper.x[...] = point
        g = objective.gradient(point)
        run.last = (point, g)
        run.nit += 1
        run.take(point, value)
        stepper.heed(value)
        if tell(point, value):
            run.end(HALTED, HALTED_MESSAGE)
            if how.return_all:
                run.points.append(point)
            break
    return run


class Stops:
    """Whether a point is the last one."""

    def __init__(self, how: Options, box: Box) -> None:
        self._how = how
        self._box = box
        self._before: tuple[np.ndarray, float] | None = None
        self._still = {"ftol": 0, "xtol": 0}

    def now(self, run: Run, point: np.ndarray, value: float, g: np.ndarray) -> bool:
        """Whether this point, reached by step run.nit, is the last; the run then knows why."""
        if not math.isfinite(value):
            run.end(NOT_FINITE, f"fun is {value} after {run.nit} steps.")
            return True
        steep = self._box.reduced(point, g)
        if (steep is not g and not all_finite(g)) or not surely_above(steep, self._how.gtol):
            if not all_finite(g):
                run.end(NOT_FINITE, f"jac has a {magnitude(g)} after {run.nit} steps.")
                return True
            largest = magnitude(steep)
            if largest <= self._how.gtol:
                run.end(
                    CONVERGED,
                    f"The gradient's largest element is {largest:.3g}, within gtol.",
                )
                return True
        if self._settled(run, point, value):
            return True
        if run.nit >= self._how.maxiter:
            run.end(OUT_OF_STEPS, f"The {run.nit} steps of maxiter are done.")
            return True
        return False

    def _settled(self, run: Run, point: np.ndarray, value: float) -> bool:
        """Whether the last PATIENCE steps changed little, by ftol or by xtol."""
        how, before = self._how, self._before
        if how.ftol == 0 and how.xtol == 0:
            return False
        self._before = (point, value)
        if before is None:
            return False
        small = {
            "ftol": how.ftol > 0
            and abs(value - before[1]) <= how.ftol * max(abs(value), abs(before[1]), 1.0),
            "xtol": how.xtol > 0
            and magnitude(point - before[0]) <= how.xtol * max(magnitude(point), 1.0),
        }
        for name, what in (("ftol", "fun"), ("xtol", "x")):
            self._still[name] = self._still[name] + 1 if small[name] else 0
            if self._still[name] >= PATIENCE:
                run.end(CONVERGED, f"{what} has changed by {name} or less in {PATIENCE} steps.")
                return True
        return False
