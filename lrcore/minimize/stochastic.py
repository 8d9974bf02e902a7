"""Minimising a mean over rows: a step for each batch of rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrcore._backend.shuffle import shuffled
from lrcore._utils import numerics
from lrcore._utils.validation import shown
from lrcore.minimize.arguments import StepCallback
from lrcore.minimize.objective import all_finite, as_gradient, as_number, largest_magnitude
from lrcore.minimize.points import CopyPool
from lrcore.minimize.result import (
    CALLBACK_STOP,
    CALLBACK_STOP_MESSAGE,
    CONVERGED,
    NOT_FINITE,
    State,
)
from lrcore.minimize.stepper import Stepper


class BatchObjective:
    """A mean over n rows: the gradients of batches, and the whole function if it is given.

    Parameters
    ----------
    grad_batch : callable
        ``grad_batch(x, rows, *args)`` gives the mean gradient of these rows.
    fun : callable or None
        ``fun(x, *args)`` gives the mean over all rows.
    args : tuple

    Attributes
    ----------
    nfev, njev : int
        Number of calls of `fun`, and of `grad_batch`.

    Raises
    ------
    TypeError
        If one of the two is not a function.
    """

    def __init__(self, grad_batch: Any, fun: Any, args: tuple[Any, ...]) -> None:
        if not callable(grad_batch):
            raise TypeError(f"grad_batch must be a function, got {shown(grad_batch)}")
        if fun is not None and not callable(fun):
            raise TypeError(f"fun must be a function or None, got {shown(fun)}")
        self._grad_batch, self._fun, self._args = grad_batch, fun, args
        self.nfev = 0
        self.njev = 0

    def value(self, point: np.ndarray) -> float | None:
        """The whole function at a point; None if it is not given."""
        if self._fun is None:
            return None
        self.nfev += 1
        return as_number("fun", self._fun(point, *self._args))

    def gradient(self, point: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The mean gradient of these rows at a point."""
        self.njev += 1
        g = self._grad_batch(point, rows, *self._args)
        return as_gradient("grad_batch", g, point.shape, point.dtype)


def batches(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers, int64, of the batches of an epoch; the last batch may be shorter.

    Each epoch has its own random order, which depends on the seed and the epoch alone.
    """
    order = shuffled(n, numerics.mix64(seed + (epoch << 32)))
    order.setflags(write=False)
    return [order[i : i + batch_size] for i in range(0, n, batch_size)]


def descend_by_batches(
    objective: BatchObjective, stepper: Stepper, n: int, batch_size: int, epochs: int, seed: int,
    return_all: bool, callback: StepCallback,
) -> State:  # fmt: skip
    """Step by every batch of every epoch; see `lrcore.minimize.minimize_stochastic`."""
    copies = CopyPool()
    point = copies.frozen_copy(stepper.x)
    state = State(point, objective.value(point), (point, np.zeros_like(point)))
    if return_all:
        state.points.append(point)
    for epoch in range(epochs):
        for rows in batches(n, batch_size, seed, epoch):
            g = objective.gradient(point, rows)
            state.last = (point, g)
            if not all_finite(g):
                problem = f"grad_batch has a {largest_magnitude(g)} after {state.nit} steps."
                state.stop(NOT_FINITE, problem)
                return state
            try:
                stepper.step(g)
            except FloatingPointError as error:
                state.stop(NOT_FINITE, f"No step from here: {error}.")
                return state
            state.nit += 1
            point = copies.frozen_copy(stepper.x)
        value = objective.value(point)
        state.update_best(point, value)
        if return_all:
            state.points.append(point)
        if value is not None:
            stepper.update_plateau(value)
        if callback(point, value):
            state.stop(CALLBACK_STOP, CALLBACK_STOP_MESSAGE)
            return state
        if value is not None and not math.isfinite(value):
            state.stop(NOT_FINITE, f"fun is {value} after {state.nit} steps.")
            return state
    state.stop(CONVERGED, f"The {epochs} epochs are done.")
    return state
