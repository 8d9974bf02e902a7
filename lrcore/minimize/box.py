"""The bounds of x: read in the forms that scipy takes, and kept by projection."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore._utils.missing import check_nothing_masked, objects_as_floats
from lrcore._utils.validation import shown

#: The neighbouring numbers of its dtype, at most, between the bounds of an element that counts as
#: fixed.
FEWEST_STEPS = 4


class Box:
    """Lower and upper bounds of the elements of x.

    Parameters
    ----------
    bounds : None, scipy.optimize.Bounds, or sequence of pairs
        A pair (lowest, highest) for each element in C order, None for no bound.
    like : ndarray
        Has the shape and dtype of x. Bounds are rounded to its dtype.

    Attributes
    ----------
    bounded : bool
        Whether anything is bounded.
    low, high : ndarray
        In the shape of x, or with no dimension where all elements have the same bound.

    Raises
    ------
    ValueError
        If bounds have another form or shape, are NaN, or leave no point in between.
    """

    def __init__(self, bounds: Any, like: np.ndarray) -> None:
        low, high = (-np.inf, np.inf) if bounds is None else _sides(bounds, like)
        with np.errstate(over="ignore"):
            self.low, self.high = (np.asarray(side, like.dtype) for side in (low, high))
        if np.isnan(self.low).any() or np.isnan(self.high).any():
            i = np.flatnonzero(np.isnan(self.low) | np.isnan(self.high))[0]
            raise ValueError(
                f"bounds must not be NaN, got one for element {i} of x; None or an infinity is no "
                "bound"
            )
        crossed = np.flatnonzero(self.low > self.high)
        if crossed.size:
            i = crossed[0]
            low, high = (
                np.broadcast_to(side, like.shape).flat[i] for side in (self.low, self.high)
            )
            raise ValueError(
                f"the lower bound of element {i} of x must not be above the upper one, got "
                f"{low} and {high}"
            )
        if (self.low == np.inf).any() or (self.high == -np.inf).any():
            i = np.flatnonzero((self.low == np.inf) | (self.high == -np.inf))[0]
            raise ValueError(
                f"bounds must leave room, got a lower one of inf or an upper one of -inf in "
                f"{like.dtype} for element {i} of x"
            )
        self.bounded = bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        """Which elements of an x of this shape can move, as flags.

        An element cannot where its bounds are equal, or so near each other that a difference of
        points in between would be all rounding error.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            spacing = np.spacing(np.maximum(np.abs(self.low), np.abs(self.high)))
            fixed = self.high - self.low <= FEWEST_STEPS * spacing
        return np.broadcast_to(~fixed, shape)

    def project(self, x: np.ndarray) -> None:
        """Move x into the box, in place."""
        if self.bounded:
            np.minimum(np.maximum(x, self.low, out=x), self.high, out=x)

    def projected_gradient(self, point: np.ndarray, g: np.ndarray) -> np.ndarray:
        """``point - project(point - g)``, whose elements are 0 at a minimum within the box.

        It is g itself where nothing is bounded, and 0 where -g points out of the box.
        """
        if not self.bounded:
            return g
        with np.errstate(over="ignore", invalid="ignore"):
            target = point - g
            self.project(target)
            return np.subtract(point, target, out=target)


def _numbers(side: Any) -> np.ndarray:
    """Bounds of one side as float64, with NaN for what is missing."""
    check_nothing_masked("bounds", side)
    array = np.asarray(side, object) if isinstance(side, list) else np.asarray(side)
    try:
        return objects_as_floats(array) if array.dtype.kind == "O" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"bounds must hold numbers: {error}") from None


def _sides(bounds: Any, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper bounds, float64, in the shape of x."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        low, high = (_numbers(side) for side in (bounds.lb, bounds.ub))
    else:
        try:
            pairs = [(low, high) for low, high in bounds]
        except (TypeError, ValueError):
            raise ValueError(
                "bounds must be a scipy.optimize.Bounds or a pair (lowest, highest) for each "
                f"element of x, got {shown(bounds)}"
            ) from None
        if len(pairs) != like.size:
            raise ValueError(
                f"bounds must have a pair for each of the {like.size} elements of x, got "
                f"{len(pairs)}"
            )
        low, high = (
            _numbers([missing if p[i] is None else p[i] for p in pairs]).reshape(like.shape)
            for i, missing in enumerate((-np.inf, np.inf))
        )
    try:
        return np.broadcast_to(low, like.shape), np.broadcast_to(high, like.shape)
    except ValueError:
        raise ValueError(
            f"bounds must fit x, whose shape is {like.shape}, got {low.shape} and {high.shape}"
        ) from None
