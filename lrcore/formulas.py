"""The element formulas of the update rules in NumPy: twins of ``_core/rules.pxd``.

A formula is what one step does to arrays once its scalars are known. ``columns`` names those
scalars, in the order of the struct in ``rules.pxd``; ``state`` names the arrays it keeps.

``update(c, w, g, *state)`` changes ``w`` and the state in place, with the same operations in the
same order as the compiled text: the tests ask for equal bits. ``scale(c, *state)`` is the
denominator that divides a gradient and ``gain`` the column with the long-run length of a step;
together the metric in which the linear models apply penalties. ``decay`` names the column by
which the state shrinks in a step whose gradient is zero while the weight stays: such a formula
can be caught up exactly on sparse data. The others with state that would move are lazy: a
feature that a step does not touch is left as it is (as in LazyAdam).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray


def spread(mean_square: Array, mean: Array) -> Array:
    """Standard deviation from the two moments; rounding may not push it below zero."""
    return np.sqrt(np.maximum(mean_square - mean * mean, mean.dtype.type(0)))


class Formula:
    """What a formula without state needs not say."""

    columns: ClassVar[tuple[str, ...]] = ("lr",)
    state: ClassVar[tuple[str, ...]] = ()
    gain: ClassVar[str | None] = None
    decay: ClassVar[str | None] = None
    update: ClassVar[Callable[..., None]]

    @classmethod
    def row(cls, values: Array, dtype: Any) -> Any:
        """A row of coefficients by name, cast once to the arrays' type."""
        return SimpleNamespace(**dict(zip(cls.columns, np.asarray(values).astype(dtype))))

    @staticmethod
    def scale(c: Any, *state: Array) -> Array | float:
        return 1.0


class SGD(Formula):
    """w -= lr g"""

    @staticmethod
    def update(c: Any, w: Array, g: Array) -> None:
        w -= c.lr * g


class Momentum(Formula):
    """b = momentum b + g, then a mix of g and b."""

    columns = ("lr", "momentum", "gradient_share", "buffer_share", "gain")
    state = ("momentum_buffer",)
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, buffer: Array) -> None:
        buffer[...] = c.momentum * buffer + g
        w -= c.lr * (c.gradient_share * g + c.buffer_share * buffer)


class AdaGrad(Formula):
    """s += g g, then g / (sqrt(s) + eps)."""

    columns = ("lr", "eps")
    state = ("sum_of_squares",)

    @staticmethod
    def update(c: Any, w: Array, g: Array, sum_sq: Array) -> None:
        sum_sq += g * g
        w -= c.lr * g / (np.sqrt(sum_sq) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[0]) + c.eps


class RMSProp(Formula):
    """v decays towards g g, then g / (sqrt(v) + eps)."""

    columns = ("lr", "rho", "fresh", "eps")
    state = ("mean_square",)
    decay = "rho"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array) -> None:
        square[...] = c.rho * square + c.fresh * (g * g)
        w -= c.lr * g / (np.sqrt(square) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[0]) + c.eps


class RMSPropCentered(Formula):
    """RMSProp with the variance instead of the mean square."""

    columns = ("lr", "rho", "fresh", "eps")
    state = ("mean_square", "mean_gradient")
    decay = "rho"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, mean: Array) -> None:
        square[...] = c.rho * square + c.fresh * (g * g)
        mean[...] = c.rho * mean + c.fresh * g
        w -= c.lr * g / (spread(square, mean) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return spread(state[0], state[1]) + c.eps


class RMSPropMomentum(Formula):
    """RMSProp whose steps go through a momentum buffer."""

    columns = ("lr", "rho", "fresh", "eps", "momentum", "gain")
    state = ("mean_square", "momentum_buffer")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, buffer: Array) -> None:
        square[...] = c.rho * square + c.fresh * (g * g)
        buffer[...] = c.momentum * buffer + g / (np.sqrt(square) + c.eps)
        w -= c.lr * buffer

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[0]) + c.eps


class RMSPropCenteredMomentum(Formula):
    """Both."""

    columns = ("lr", "rho", "fresh", "eps", "momentum", "gain")
    state = ("mean_square", "mean_gradient", "momentum_buffer")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, mean: Array, buffer: Array) -> None:
        square[...] = c.rho * square + c.fresh * (g * g)
        mean[...] = c.rho * mean + c.fresh * g
        buffer[...] = c.momentum * buffer + g / (spread(square, mean) + c.eps)
        w -= c.lr * buffer

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return spread(state[0], state[1]) + c.eps


class Adam(Formula):
    """Running means of g and g g; the bias corrections are in lr and eps."""

    columns = ("lr", "beta1", "fresh1", "beta2", "fresh2", "eps", "gain")
    state = ("mean_gradient", "mean_square")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array) -> None:
        mean[...] = c.beta1 * mean + c.fresh1 * g
        square[...] = c.beta2 * square + c.fresh2 * (g * g)
        w -= c.lr * mean / (np.sqrt(square) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[1]) + c.eps
