"""Backtracking: a step is halved until the function decreases enough."""

from __future__ import annotations

import math

import numpy as np

from lrcore.minimize.box import Box
from lrcore.minimize.objective import Objective
from lrcore.minimize.points import frozen_copy

#: The part of the decrease predicted by the gradient that is enough.
SUFFICIENT = 1e-4
#: Halvings before the search fails.
MAX_HALVINGS = 40


def backtrack(
    objective: Objective, box: Box, point: np.ndarray, value: float, g: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Find a point between `point` and x where the function satisfies Armijo's condition (1966).

    Where the direction to x does not lead downhill, which a step with momentum may not, it is
    replaced by the direction against the gradient, of the same length and projected into the box.

    Parameters
    ----------
    objective : Objective
    box : Box
        It contains `point` and x, and so all that lies between them.
    point : ndarray
        Where the step starts.
    value : float
        The value of the function there.
    g : ndarray
        The gradient there.
    x : ndarray
        Where the step of the rule leads; not changed.

    Returns
    -------
    (ndarray, float) or None
        The point, read-only, and the value there; None if there is none after `MAX_HALVINGS`.
    """
    direction = x - point
    slope = _dot(g, direction)
    if not slope < 0:
        tiny = np.finfo(np.float64).tiny
        scale = math.sqrt(_dot(direction, direction) / max(_dot(g, g), tiny))
        target = point - x.dtype.type(scale) * g
        box.project(target)
        direction = target - point
        slope = _dot(g, direction)
    length = 1.0
    for _ in range(MAX_HALVINGS):
        trial = point + x.dtype.type(length) * direction
        box.project(trial)
        trial = frozen_copy(trial)
        trial_value = objective.value(trial)
        if trial_value <= value + SUFFICIENT * length * slope:
            return trial, trial_value
        length /= 2
    return None


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product, added up in float64."""
    return float(np.sum(a * b, dtype=np.float64))
