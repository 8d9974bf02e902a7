"""A finish by L-BFGS: what first-order steps left, to the last digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore.minimize.arguments import Options, Tell
from lrcore.minimize.box import Box
from lrcore.minimize.objective import Objective
from lrcore.minimize.outcome import HALTED, HALTED_MESSAGE, Run
from lrcore.minimize.points import frozen


class Halted(Exception):  # noqa: N818
    """The callback has had enough."""


def polish(run: Run, objective: Objective, box: Box, how: Options, tell: Tell) -> Any:
    """Go on from the best point of a run by scipy's L-BFGS-B.

    It works in float64, on what the function says at the nearest points of its own dtype. The run
    then has its best point and how it ended.

    Returns
    -------
    OptimizeResult
        Of this phase alone, as scipy made it; one of our own if the callback ended it.
    """
    from scipy.optimize import Bounds, OptimizeResult, minimize

    start, seen = run.best, [run.best]
    nit = 0

    def both(flat: np.ndarray) -> tuple[float, np.ndarray]:
        seen[0] = point = frozen(flat.reshape(start.shape).astype(start.dtype))
        return objective.value(point), objective.gradient(point).reshape(-1).astype(np.float64)

    def each(flat: np.ndarray) -> None:
        nonlocal nit
        nit += 1
        if not np.array_equal(seen[0].reshape(-1), flat.astype(start.dtype)):
            both(flat)
        if tell(seen[0], objective.value(seen[0])):
            raise Halted

    sides = (np.broadcast_to(side, start.shape).ravel() for side in (box.low, box.high))
    ftol = how.ftol or float(np.finfo(start.dtype).eps)
    try:
        found = minimize(
            both, start.reshape(-1).astype(np.float64), jac=True, method="L-BFGS-B",
            bounds=Bounds(*sides) if box.bounded else None, callback=each,
            options={"gtol": how.gtol, "ftol": ftol},
        )  # fmt: skip
    except Halted:
        value, g = both(seen[0].reshape(-1))
        found = OptimizeResult(
            x=seen[0].reshape(-1).astype(np.float64), fun=value, jac=g, nit=nit, status=HALTED,
            success=False, message=HALTED_MESSAGE,
        )  # fmt: skip
    point = frozen(found.x.reshape(start.shape).astype(start.dtype))
    run.nit += int(found.nit)
    run.last = (point, found.jac.reshape(start.shape).astype(start.dtype))
    run.take(point, float(found.fun))
    run.end(int(found.status), f"{run.message} Then L-BFGS-B: {found.message}")
    return found
