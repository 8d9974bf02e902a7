"""The function that is minimised, and its gradient: called, counted, and looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lrcore.minimize.arguments import DIFFERENCES
from lrcore.minimize.box import Box


class Objective:
    """`fun` and `jac` as scipy takes them, at frozen points of one shape and dtype.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` gives a number, or with ``jac=True`` a pair of it and the gradient.
    jac : callable, True, or one of `DIFFERENCES`
    args : tuple
    like : ndarray
        Has the shape and dtype of the points.
    box : Box
        Differences stay in it.

    Attributes
    ----------
    nfev, njev : int
        Calls of `fun`, those for differences included, and gradients.
    """

    def __init__(
        self, fun: Any, jac: Any, args: tuple[Any, ...], like: np.ndarray, box: Box
    ) -> None:
        if not callable(fun):
            raise TypeError(f"fun must be a function, got {fun!r}")
        if not (callable(jac) or jac is True or (isinstance(jac, str) and jac in DIFFERENCES)):
            raise ValueError(
                "jac must be a function, True, None, or one of "
                f"{', '.join(DIFFERENCES)}, got {jac!r}"
            )
        self._fun = fun
        self._args = args
        self._shape = like.shape
        self._dtype = like.dtype
        self._paired = jac is True
        self._slopes: Callable[[np.ndarray], Any]
        if callable(jac):
            self._slopes = lambda point: jac(point, *args)
        elif jac is True:
            self._slopes = lambda point: self._returned(point)[1]
        else:
            self._slopes = self._differences(jac, box)
        #: Where fun was called last, and what it returned.
        self._latest: tuple[np.ndarray | None, Any] = (None, None)
        self.nfev = 0
        self.njev = 0

    def value(self, point: np.ndarray) -> float:
        """The function there; it may be NaN or infinite."""
        returned = self._returned(point)
        return number("fun", returned[0] if self._paired else returned)

    def gradient(self, point: np.ndarray) -> np.ndarray:
        """The gradient there, in the points' shape and dtype; valid until the next call."""
        g = self._slopes(point)
        self.njev += 1
        return converted("jac", g, self._shape, self._dtype)

    def _returned(self, point: np.ndarray) -> Any:
        """What fun returns there; called once for a point, which is told by its identity."""
        at, returned = self._latest
        if at is point:
            return returned
        self.nfev += 1
        returned = self._fun(point, *self._args)
        if self._paired and not (isinstance(returned, (tuple, list)) and len(returned) == 2):
            raise ValueError(
                f"fun must return a pair (value, gradient) with jac=True, got {returned!r}"
            )
        self._latest = (point, returned)
        return returned

    def _differences(self, method: str, box: Box) -> Callable[[np.ndarray], Any]:
        """The gradient by scipy's differences, which has no public name for those but forward."""
        from scipy.optimize._numdiff import approx_derivative

        low, high = (np.broadcast_to(side, self._shape).ravel() for side in (box.low, box.high))

        def flat(x: np.ndarray) -> Any:
            self.nfev += 1
            return self._fun(x.reshape(self._shape), *self._args)

        def slopes(point: np.ndarray) -> Any:
            g = approx_derivative(
                flat, point.reshape(-1), method, f0=self.value(point), bounds=(low, high)
            )
            return np.reshape(g, self._shape)

        return slopes


def number(name: str, value: Any) -> float:
    """What the function of this name returned, as a float: a number, or an array of one."""
    if type(value) is float or type(value) is np.float64:
        return float(value)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must return a real number, got {value!r}")
    if array.size != 1:
        raise ValueError(
            f"{name} must return a single number, got an array of shape {array.shape}; "
            "its sum is one"
        )
    return float(array.item())


def converted(name: str, g: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The gradient that the function of this name returned, as an array in one piece: itself if
    it is one."""
    if (
        type(g) is np.ndarray
        and g.dtype == dtype
        and g.shape == shape
        and g.flags.c_contiguous
        and g.flags.aligned
    ):
        return g
    array = np.asarray(g)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must return real numbers, got {type(g).__name__} ({array.dtype})")
    if array.shape != shape and not array.size == 1 == math.prod(shape):
        raise ValueError(f"{name} must return the shape of x, {shape}, got {array.shape}")
    with np.errstate(over="ignore"):  # an infinity is noticed where it is used
        return np.array(array, dtype=dtype, order="C", subok=False).reshape(shape)


def surely_above(g: np.ndarray, limit: float) -> bool:
    """Whether all of g is finite and its largest magnitude is above the limit, as far as the sum of
    squares can tell: one pass over g, where that magnitude takes two.

    The mean square is at most the square of the largest; a factor of 4 is ample for rounding.
    """
    flat = g.reshape(-1)
    with np.errstate(over="ignore"):
        squares = float(flat.dot(flat))
    return 4.0 * limit * limit * flat.size < squares < math.inf


def all_finite(g: np.ndarray) -> bool:
    """Whether g has neither NaN nor infinity."""
    return surely_above(g, 0.0) or math.isfinite(magnitude(g))


def magnitude(x: np.ndarray) -> float:
    """The largest absolute value; NaN if there is one."""
    return float(max(x.max(), -x.min()))
