"""A second phase by L-BFGS, which reaches more digits than steps of a first-order rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore.minimize.arguments import Options, StepCallback
from lrcore.minimize.box import Box
from lrcore.minimize.objective import Objective
from lrcore.minimize.points import frozen_copy
from lrcore.minimize.result import CALLBACK_STOP, CALLBACK_STOP_MESSAGE, CONVERGED, State


class StoppedByCallback(Exception):  # noqa: N818
    """The callback raised StopIteration; this ends scipy's loop."""


def polish_by_lbfgs(
    state: State, objective: Objective, box: Box, options: Options, callback: StepCallback
) -> Any:
    """Continue from the best point by scipy's L-BFGS-B, and update the state.

    L-BFGS-B works in float64; the function is evaluated at the nearest points of its own dtype.

    Returns
    -------
    OptimizeResult
        Of this phase alone: that of scipy, or one of the same form if the callback ended it, or if
        the bounds fix all elements of x.
    """
    from scipy.optimize import Bounds, OptimizeResult, minimize

    start = latest = state.best
    nit = 0

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        latest = frozen_copy(flat.reshape(start.shape).astype(start.dtype))
        value = objective.value(latest)
        return value, objective.gradient(latest).reshape(-1).astype(np.float64)

    def after_step(flat: np.ndarray) -> None:
        nonlocal nit
        nit += 1
        if not np.array_equal(latest.reshape(-1), flat.astype(start.dtype)):
            evaluate(flat)
        if callback(latest, objective.value(latest)):
            raise StoppedByCallback

    if not box.free(start.shape).any():
        # scipy's result would have neither a gradient nor a status.
        value, g = evaluate(start.reshape(-1))
        state.last = latest, g.reshape(start.shape).astype(start.dtype)
        message = "The bounds let no element of x move."
        state.message += f" {message}"
        return OptimizeResult(
            x=start.reshape(-1).astype(np.float64), fun=value, jac=g, nit=0, status=state.status,
            success=state.status == CONVERGED, message=message,
        )  # fmt: skip
    sides = (np.broadcast_to(side, start.shape).ravel() for side in (box.low, box.high))
    ftol = options.ftol or float(np.finfo(start.dtype).eps)
    try:
        found = minimize(
            evaluate, start.reshape(-1).astype(np.float64), jac=True, method="L-BFGS-B",
            bounds=Bounds(*sides) if box.bounded else None, callback=after_step,
            options={"gtol": options.gtol, "ftol": ftol},
        )  # fmt: skip
    except StoppedByCallback:
        flat = latest.reshape(-1)
        value, g = evaluate(flat)
        found = OptimizeResult(
            x=flat.astype(np.float64), fun=value, jac=g, nit=nit, status=CALLBACK_STOP,
            success=False, message=CALLBACK_STOP_MESSAGE,
        )  # fmt: skip
    point = frozen_copy(found.x.reshape(start.shape).astype(start.dtype))
    state.nit += int(found.nit)
    state.last = (point, found.jac.reshape(start.shape).astype(start.dtype))
    state.update_best(point, float(found.fun))
    state.stop(int(found.status), f"{state.message} Then L-BFGS-B: {found.message}")
    return found
