"""The element formulas of the update rules in NumPy: twins of ``_core/rules.pxd``.

A formula is what one step does to arrays once its scalars are known. ``columns`` names those
scalars, in the order of the struct in ``rules.pxd``; ``state`` names the arrays it keeps.

``update(c, w, g, *state)`` changes ``w`` and the state in place, with the same operations in the
same order as the compiled text: the tests ask for equal bits. ``scale(c, *state)`` is the
denominator that divides a gradient and ``gain`` the column with the long-run length of a step;
together the metric in which the linear models apply penalties. ``decay`` names the column by
which the state shrinks in a step whose gradient is zero while the weight stays: such a formula
can be caught up exactly on sparse data. The others with state that would move are lazy: a
feature that a step does not touch is left as it is (as in LazyAdam). ``metric`` is False where the
steps are in no proportion to the gradient, so that there is no measure for a penalty. ``slow``
names the state whose changes are small beside it, which is rounded stochastically where states are
kept as bfloat16; a formula that cannot keep them so has none.
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


def adjust(how: Array, limit: Any, w: Array, g: Array) -> Array:
    """The gradient as the rule sees it, ``clip(scale * g) + l2 * w``; shrinks w in place.

    how is (scale, l2, shrink), all of the arrays' dtype.
    """
    scale, l2, shrink = how
    x = scale * g
    x = np.where(x > limit, limit, x)
    x = np.where(x < -limit, -limit, x)
    x = x + l2 * w
    if shrink != 1:
        w *= shrink
    return np.asarray(x)


class Formula:
    """What a formula without state needs not say."""

    columns: ClassVar[tuple[str, ...]] = ("lr",)
    state: ClassVar[tuple[str, ...]] = ()
    gain: ClassVar[str | None] = None
    decay: ClassVar[str | None] = None
    metric: ClassVar[bool] = True
    slow: ClassVar[str | None] = None
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
    """b = momentum b + fresh g, then a mix of g and b."""

    columns = ("lr", "momentum", "fresh", "gradient_share", "buffer_share", "gain")
    state = ("momentum_buffer",)
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, buffer: Array) -> None:
        buffer[...] = c.momentum * buffer + c.fresh * g
        w -= c.lr * (c.gradient_share * g + c.buffer_share * buffer)


class AdaGrad(Formula):
    """s += g g, then g / (sqrt(s) + eps)."""

    columns = ("lr", "eps")
    state = ("sum_of_squares",)
    slow = "sum_of_squares"

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
    slow = "mean_square"

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
    slow = "mean_square"

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


class AdaDelta(Formula):
    """Steps as long as the steps have been: root mean squares of both."""

    columns = ("lr", "rho", "fresh", "eps")
    state = ("mean_square", "mean_square_step")
    decay = "rho"

    @staticmethod
    def update(c: Any, w: Array, g: Array, square: Array, step: Array) -> None:
        square[...] = c.rho * square + c.fresh * (g * g)
        d = np.sqrt(step + c.eps) / np.sqrt(square + c.eps) * g
        step[...] = c.rho * step + c.fresh * (d * d)
        w -= c.lr * d

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[0] + c.eps) / np.sqrt(state[1] + c.eps)


class Adam(Formula):
    """Running means of g and g g; the bias corrections are in lr and eps."""

    columns = ("lr", "beta1", "fresh1", "beta2", "fresh2", "eps", "gain")
    state = ("mean_gradient", "mean_square")
    gain = "gain"
    slow = "mean_square"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array) -> None:
        mean[...] = c.beta1 * mean + c.fresh1 * g
        square[...] = c.beta2 * square + c.fresh2 * (g * g)
        w -= c.lr * mean / (np.sqrt(square) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[1]) + c.eps


class AMSGrad(Formula):
    """Adam over the largest mean square so far."""

    columns = Adam.columns
    state = ("mean_gradient", "mean_square", "max_square")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array, largest: Array) -> None:
        mean[...] = c.beta1 * mean + c.fresh1 * g
        square[...] = c.beta2 * square + c.fresh2 * (g * g)
        largest[...] = np.where(square > largest, square, largest)
        w -= c.lr * mean / (np.sqrt(largest) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[2]) + c.eps


class Adamax(Formula):
    """Adam over a decaying maximum of |g|."""

    columns = ("lr", "beta1", "fresh1", "beta2", "eps", "gain")
    state = ("mean_gradient", "max_gradient")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, largest: Array) -> None:
        mean[...] = c.beta1 * mean + c.fresh1 * g
        old, new = c.beta2 * largest, np.abs(g) + c.eps
        largest[...] = np.where(new > old, new, old)
        w -= c.lr * mean / largest

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return state[1] + c.eps


class Nadam(Formula):
    """Adam with a look ahead: a mix of g and its running mean."""

    columns = (
        "gradient_lr", "mean_lr", "beta1", "fresh1", "beta2", "fresh2", "eps", "gain",
    )  # fmt: skip
    state = ("mean_gradient", "mean_square")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array) -> None:
        mean[...] = c.beta1 * mean + c.fresh1 * g
        square[...] = c.beta2 * square + c.fresh2 * (g * g)
        w -= (c.gradient_lr * g + c.mean_lr * mean) / (np.sqrt(square) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return np.sqrt(state[1]) + c.eps


class RAdam(Formula):
    """Adam that leaves the root out (root_share 0, eps 1) while its variance is not tractable."""

    columns = ("lr", "beta1", "fresh1", "beta2", "fresh2", "root_share", "eps", "gain")
    state = ("mean_gradient", "mean_square")
    gain = "gain"

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array, square: Array) -> None:
        mean[...] = c.beta1 * mean + c.fresh1 * g
        square[...] = c.beta2 * square + c.fresh2 * (g * g)
        w -= c.lr * mean / (c.root_share * np.sqrt(square) + c.eps)

    @staticmethod
    def scale(c: Any, *state: Array) -> Array:
        return c.root_share * np.sqrt(state[1]) + c.eps


class Lion(Formula):
    """The sign of a mix of g and its running mean."""

    columns = ("lr", "beta1", "fresh1", "beta2", "fresh2")
    state = ("mean_gradient",)
    metric = False

    @staticmethod
    def update(c: Any, w: Array, g: Array, mean: Array) -> None:
        mix = c.beta1 * mean + c.fresh1 * g
        one, zero = w.dtype.type(1), w.dtype.type(0)
        w -= c.lr * (np.where(mix > 0, one, zero) - np.where(mix < 0, one, zero))
        mean[...] = c.beta2 * mean + c.fresh2 * g


class FTRL(Formula):
    """The minimum of everything seen so far, in closed form; see `lrcore.FTRL`."""

    columns = ("per_rate", "per_rate_before", "shift", "shift_step", "l1")
    state = ("linear", "sum_of_squares")
    metric = False

    @staticmethod
    def update(c: Any, w: Array, g: Array, linear: Array, sum_sq: Array) -> None:
        root = np.sqrt(sum_sq)
        sum_sq += g * g
        new_root = np.sqrt(sum_sq)
        sigma = new_root * c.per_rate - root * c.per_rate_before + c.shift_step
        linear[...] = linear + (g - sigma * w)
        size = np.abs(linear) - c.l1
        size = (size + np.abs(size)) * w.dtype.type(0.5)
        w[...] = (w.dtype.type(0) - np.copysign(size, linear)) / (new_root * c.per_rate + c.shift)


class DoG(Formula):
    """w -= lr g; where w started is kept for the rate to be worked out from."""

    state = ("start",)

    @staticmethod
    def update(c: Any, w: Array, g: Array, start: Array) -> None:
        w -= c.lr * g


class ScheduleFree(Formula):
    """A step of z in the metric of v; w is between z and the average of all z."""

    columns = ("lr", "pull", "share", "beta2", "fresh2", "eps", "decay")
    state = ("iterate", "mean_square")

    @staticmethod
    def update(c: Any, w: Array, g: Array, z: Array, square: Array) -> None:
        square[...] = c.beta2 * square + c.fresh2 * (g * g)
        d = g / (np.sqrt(square) + c.eps) + c.decay * w
        w += c.share * (z - w) - c.pull * d
        z -= c.lr * d
