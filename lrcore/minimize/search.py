"""Backtracking: steps cut until the function falls enough."""

from __future__ import annotations

import math

import numpy as np

from lrcore.minimize.box import Box
from lrcore.minimize.objective import Objective
from lrcore.minimize.points import frozen

#: The share of the fall that the slope promises which is enough, and how often a step is halved.
SUFFICIENT, HALVINGS = 1e-4, 40


def backtrack(
    objective: Objective, box: Box, point: np.ndarray, value: float, g: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """A point between `point` and x where the function is lower by Armijo's condition (1966).

    Where x does not lie downhill, as a step with momentum may not, it is first moved: as far from
    `point`, but against the gradient g, projected into the box. x and `point` are in the box, and
    so is what lies between.

    Returns
    -------
    (ndarray, float) or None
        The point, frozen, and the value there; None if there is none after `HALVINGS`.
    """
    way = x - point
    slope = _dot(g, way)
    if not slope < 0:
        length = math.sqrt(_dot(way, way) / max(_dot(g, g), np.finfo(np.float64).tiny))
        aim = point - x.dtype.type(length) * g
        box.project(aim)
        way = aim - point
        slope = _dot(g, way)
    share = 1.0
    for _ in range(HALVINGS):
        trial = point + x.dtype.type(share) * way
        box.project(trial)
        trial = frozen(trial)
        found = objective.value(trial)
        if found <= value + SUFFICIENT * share * slope:
            return trial, found
        share /= 2
    return None


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a * b, dtype=np.float64))
