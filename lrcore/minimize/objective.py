"""The function that is minimised, and its gradient: calls are counted, and results checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lrcore._utils.missing import check_nothing_masked
from lrcore._utils.validation import shown
from lrcore.minimize.arguments import DIFFERENCES
from lrcore.minimize.box import Box


class Objective:
    """`fun` and `jac` as scipy takes them, evaluated at read-only points of one shape and dtype.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` gives a number, or with ``jac=True`` a pair of it and the gradient.
    jac : callable, True, or one of `DIFFERENCES`
        The gradient: a function ``jac(x, *args)``, the second of the pair that `fun` returns, or
        finite differences.
    args : tuple
    like : ndarray
        Has the shape and dtype of the points.
    box : Box
        Finite differences are taken within it.

    Attributes
    ----------
    nfev, njev : int
        Number of calls of `fun`, with those for finite differences, and number of gradients.

    Raises
    ------
    TypeError, ValueError
        If `fun` is not a function, or `jac` none of these.
    """

    def __init__(
        self, fun: Any, jac: Any, args: tuple[Any, ...], like: np.ndarray, box: Box
    ) -> None:
        if not callable(fun):
            raise TypeError(f"fun must be a function, got {shown(fun)}")
        if not (callable(jac) or jac is True or (isinstance(jac, str) and jac in DIFFERENCES)):
            raise ValueError(
                "jac must be a function, True, None, or one of "
                f"{', '.join(DIFFERENCES)}, got {shown(jac)}"
            )
        self._fun = fun
        self._args = args
        self._shape = like.shape
        self._dtype = like.dtype
        self._paired = jac is True
        self._evaluate_gradient: Callable[[np.ndarray], Any]
        if callable(jac):
            self._evaluate_gradient = lambda point: jac(point, *args)
        elif jac is True:
            self._evaluate_gradient = lambda point: self._evaluate(point)[1]
        else:
            self._evaluate_gradient = self._differences(jac, box)
        #: The point of the last call of fun, and what it returned.
        self._latest: tuple[np.ndarray | None, Any] = (None, None)
        self.nfev = 0
        self.njev = 0

    def value(self, point: np.ndarray) -> float:
        """The value of the function at a point; it may be NaN or infinite."""
        returned = self._evaluate(point)
        return as_number("fun", returned[0] if self._paired else returned)

    def gradient(self, point: np.ndarray) -> np.ndarray:
        """The gradient at a point, in the shape and dtype of x.

        It may be an array of the user's, so it is valid until the next call.
        """
        g = self._evaluate_gradient(point)
        self.njev += 1
        return as_gradient("jac", g, self._shape, self._dtype)

    def _evaluate(self, point: np.ndarray) -> Any:
        """What fun returns at a point.

        It is called once if value and gradient of the same point, the same object, are asked for.
        """
        at, returned = self._latest
        if at is point:
            return returned
        self.nfev += 1
        returned = self._fun(point, *self._args)
        if self._paired and not (isinstance(returned, (tuple, list)) and len(returned) == 2):
            raise ValueError(
                f"fun must return a pair (value, gradient) with jac=True, got {shown(returned)}"
            )
        self._latest = (point, returned)
        return returned

    def _differences(self, method: str, box: Box) -> Callable[[np.ndarray], Any]:
        """A function that approximates the gradient by scipy's finite differences.

        It is 0 for the elements that the box holds fast, as there is nothing to take a difference
        of. scipy has no public function for other than forward differences, hence the private
        import.
        """
        from scipy.optimize._numdiff import approx_derivative

        free = box.free(self._shape)
        sides = [np.broadcast_to(side, self._shape)[free] for side in (box.low, box.high)]

        def approximate(point: np.ndarray) -> Any:
            def along_free(x: np.ndarray) -> Any:
                self.nfev += 1
                whole = point.astype(x.dtype)
                whole[free] = x
                return self._fun(whole, *self._args)

            value, g = self.value(point), np.zeros(self._shape)
            if free.any():
                g[free] = approx_derivative(
                    along_free, point[free], method, f0=value, bounds=sides
                ).reshape(-1)
            return g

        return approximate


def as_number(name: str, value: Any) -> float:
    """What the function of this name returned as a float.

    Raises
    ------
    TypeError, ValueError
        If it is neither a real number nor an array of one.
    """
    if type(value) is float or type(value) is np.float64:
        return float(value)
    check_nothing_masked(f"what {name} returns", value)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must return a real number, got {shown(value)}")
    if array.size != 1:
        raise ValueError(
            f"{name} must return a single number, got an array of shape {array.shape}; "
            "its sum is one"
        )
    return float(array.item())


def as_gradient(name: str, g: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The gradient that the function of this name returned as a C-contiguous array.

    It is not copied if it is one of this shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If it does not hold real numbers, or has another shape.
    """
    if (
        type(g) is np.ndarray
        and g.dtype == dtype
        and g.shape == shape
        and g.flags.c_contiguous
        and g.flags.aligned
    ):
        return g
    check_nothing_masked(f"what {name} returns", g)
    array = np.asarray(g)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must return real numbers, got {type(g).__name__} ({array.dtype})")
    if array.shape != shape and not array.size == 1 == math.prod(shape):
        raise ValueError(f"{name} must return the shape of x, {shape}, got {array.shape}")
    with np.errstate(over="ignore"):  # callers check for infinities
        return np.array(array, dtype=dtype, order="C", subok=False).reshape(shape)


def certainly_above(g: np.ndarray, limit: float) -> bool:
    """Whether the sum of squares shows that g is finite and its largest magnitude above the limit.

    This takes one pass over g, where the largest magnitude takes two; False decides nothing. The
    mean of the squares is at most the square of the largest magnitude, and the factor of 4 is more
    than rounding errors can amount to.
    """
    flat = g.reshape(-1)
    with np.errstate(over="ignore"):
        squares = float(flat.dot(flat))
    return 4.0 * limit * limit * flat.size < squares < math.inf


def all_finite(g: np.ndarray) -> bool:
    """Whether g has neither NaN nor infinity."""
    return certainly_above(g, 0.0) or math.isfinite(largest_magnitude(g))


def largest_magnitude(x: np.ndarray) -> float:
    """The largest absolute value; NaN if x has a NaN."""
    return float(max(x.max(), -x.min()))
