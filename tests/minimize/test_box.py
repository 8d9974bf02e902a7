"""Bounds in scipy's forms, and projection into them."""

import numpy as np
import pytest
from scipy.optimize import Bounds

from lrcore.minimize.box import Box

X = np.array([[-2.0, 0.5], [1.0, 4.0]])


def projected(box, x):
    x = x.copy()
    box.project(x)
    return x


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds([[-1, 0], [0, 0]], [[0, 1], [2, 3]]),
        [(-1, 0), (0, 1), (0, 2), (0, 3)],
        [(-1, 0), (None, 1), (0, None), (None, 3)],
    ],
    ids=["Bounds", "pairs", "None"],
)
def test_projection(bounds):
    box = Box(bounds, X)
    assert box.bounded
    np.testing.assert_array_equal(projected(box, X), [[-1.0, 0.5], [1.0, 3.0]])


@pytest.mark.parametrize("bounds", [None, Bounds(), [(None, np.inf)] * 4])
def test_without_bounds_nothing_changes(bounds):
    box = Box(bounds, X)
    assert not box.bounded
    np.testing.assert_array_equal(projected(box, X), X)
    g = np.ones_like(X)
    assert box.projected_gradient(X, g) is g


def test_bounds_are_rounded_to_the_dtype_of_x():
    box = Box(Bounds(0.1, 1e300), np.zeros(2, np.float32))
    assert box.low.dtype == np.float32
    assert box.low.flat[0] == np.float32(0.1)
    assert np.isinf(box.high).all()


def test_projected_gradient_is_0_where_it_points_out_of_the_box():
    box = Box(Bounds(0.0, 1.0), np.zeros(3))
    g = box.projected_gradient(np.array([0.0, 0.5, 1.0]), np.array([2.0, 0.1, 2.0]))
    np.testing.assert_allclose(g, [0.0, 0.1, 1.0])


@pytest.mark.parametrize(
    "bounds, message",
    [
        (Bounds(2, 1), "lower bound of element 0 of x must not be above the upper one"),
        ([(0, 1)] * 3, "a pair for each of the 4 elements of x, got 3"),
        ([1, 2, 3, 4], "bounds must be a scipy.optimize.Bounds or a pair"),
        (Bounds(np.zeros(3), 1), r"bounds must fit x, whose shape is \(2, 2\)"),
        (Bounds(np.nan, 1), "bounds must not be NaN"),
        (Bounds(np.inf, np.inf), "bounds must leave room"),
    ],
)
def test_bounds_that_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        Box(bounds, X)
