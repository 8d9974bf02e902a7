"""Sums over rows: a step for each batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrcore._backend.shuffle import shuffled
from lrcore._utils import numerics
from lrcore.minimize.arguments import Tell
from lrcore.minimize.objective import all_finite, converted, magnitude, number
from lrcore.minimize.outcome import CONVERGED, HALTED, HALTED_MESSAGE, NOT_FINITE, Run
from lrcore.minimize.points import Points
from lrcore.minimize.stepper import Stepper


class Sum:
    """A mean over n rows: gradients of batches, and the whole function if it is given.

    Attributes
    ----------
    nfev, njev : int
        Calls of `fun`, and of `grad_batch`.
    """

    def __init__(self, grad_batch: Any, fun: Any, args: tuple[Any, ...]) -> None:
        if not callable(grad_batch):
            raise TypeError(f"grad_batch must be a function, got {grad_batch!r}")
        if fun is not None and not callable(fun):
            raise TypeError(f"fun must be a function or None, got {fun!r}")
        self._grad_batch, self._fun, self._args = grad_batch, fun, args
        self.nfev = 0
        self.njev = 0

    def value(self, point: np.ndarray) -> float | None:
        """The whole function there, None if nobody gave it."""
        if self._fun is None:
            return None
        self.nfev += 1
        return number("fun", self._fun(point, *self._args))

    def gradient(self, point: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The mean gradient of these rows there."""
        self.njev += 1
        g = self._grad_batch(point, rows, *self._args)
        return converted("grad_batch", g, point.shape, point.dtype)


def batches(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers of the batches of an epoch, in a new order each; the last may be shorter."""
    order = shuffled(n, numerics.mix64(seed + (epoch << 32)))
    order.setflags(write=False)
    return [order[i : i + batch_size] for i in range(0, n, batch_size)]


def pass_over(
    rows: Sum, stepper: Stepper, n: int, batch_size: int, epochs: int, seed: int,
    return_all: bool, tell: Tell,
) -> Run:  # fmt: skip
    """Step by every batch of every epoch; see `lrcore.minimize.minimize_stochastic`."""
    points = Points()
    point = points.frozen(stepper.x)
    run = Run(point, rows.value(point), (point, np.zeros_like(point)))
    if return_all:
        run.points.append(point)
    for epoch in range(epochs):
        for batch in batches(n, batch_size, seed, epoch):
            g = rows.gradient(point, batch)
            run.last = (point, g)
            if not all_finite(g):
                run.end(NOT_FINITE, f"grad_batch has a {magnitude(g)} after {run.nit} steps.")
                return run
            try:
                stepper.step(g)
            except FloatingPointError as error:
                run.end(NOT_FINITE, f"No step from here: {error}.")
                return run
            run.nit += 1
            point = points.frozen(stepper.x)
        value = rows.value(point)
        run.take(point, value)
        if return_all:
            run.points.append(point)
        if value is not None:
            stepper.heed(value)
        if tell(point, value):
            run.end(HALTED, HALTED_MESSAGE)
            return run
        if value is not None and not math.isfinite(value):
            run.end(NOT_FINITE, f"fun is {value} after {run.nit} steps.")
            return run
    run.end(CONVERGED, f"The {epochs} epochs are done.")
    return run
