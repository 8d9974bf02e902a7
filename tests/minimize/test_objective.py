"""Shapes, dtypes and arrays of the function and its gradient; finite differences."""

import numpy as np
import pytest
from scipy.optimize import Bounds
from strategies import equal_bits

import lrcore

from .problems import (
    BOOTH,
    VALLEY,
    minimize,
)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6, 1)])
@pytest.mark.parametrize("jac", ["own", True, "3-point"])
@pytest.mark.parametrize("bounds", [None, [(-1.0, 2.0)] * 5 + [(None, None)]], ids=["free", "box"])
def test_fun_and_jac_see_the_shape_of_x0(shape, jac, bounds):
    x0, target = np.zeros(shape), np.arange(6.0).reshape(shape)

    def fun(x):
        assert x.shape == shape
        return np.sum((x - target) ** 2)

    def slope(x):
        return 2 * (x - target)

    keywords = {"own": slope, True: True}.get(jac, jac)
    whole = (lambda x: (fun(x), slope(x))) if jac is True else fun
    found = lrcore.SGD(lr=0.2).minimize(whole, x0, jac=keywords, bounds=bounds)
    expected = target if bounds is None else np.append(np.minimum(target.ravel()[:5], 2), 5)
    assert found.x.shape == found.jac.shape == shape
    np.testing.assert_allclose(found.x.ravel(), np.ravel(expected), atol=1e-4)


def test_float32_stays_float32():
    x0, seen = VALLEY.x0.astype(np.float32), set()

    def fun(x):
        seen.add(x.dtype)
        return VALLEY.fun(x)

    found = lrcore.SGD(lr=1e-3, momentum=0.9).minimize(fun, x0, jac=VALLEY.jac, polish="lbfgs")
    assert seen == {np.dtype(np.float32)}
    assert found.x.dtype == found.jac.dtype == np.float32
    assert found.lr_history.dtype == np.float64
    np.testing.assert_allclose(found.x, 1.0, atol=2e-3)
    np.testing.assert_array_equal(x0, np.float32([-1.2, 1.0]))


@pytest.mark.parametrize("method", ["2-point", "3-point", "cs"])
def test_differences_of_every_kind(method):
    by_jac, by_name = (
        minimize(lrcore.SGD(lr=0.1), x0=BOOTH.x0, **keywords)
        for keywords in ({"jac": method}, {"jac": None, "finite_differences": method})
    )
    assert equal_bits(by_jac.x, by_name.x)
    assert by_jac.nfev == (1 + {"2-point": 2, "3-point": 4, "cs": 2}[method]) * (by_jac.nit + 1)
    assert by_jac.njev == by_jac.nit + 1
    np.testing.assert_allclose(by_jac.x, BOOTH.minima[0], atol=1e-5)


OPTIONS = {
    "plain": {},
    "average": {"averaging": "polyak"},
    "armijo": {"line_search": "armijo"},
    "polish": {"polish": "lbfgs"},
    "bounds": {"bounds": Bounds(-3.0, 2.0)},
}


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("momentum", [0.0, 0.95])  # the last point is the best, or not
@pytest.mark.parametrize("paired", [False, True])
def test_gradients_may_share_one_array(case, paired, momentum):
    room = np.empty(2)

    def jac(x):
        room[:] = BOOTH.jac(x)
        return room

    rule = lrcore.SGD(lr=0.02, momentum=momentum)
    fun = (lambda x: (BOOTH.fun(x), jac(x))) if paired else BOOTH.fun
    keywords = {"maxiter": 40, **OPTIONS[case]}
    shared = rule.minimize(fun, BOOTH.x0, jac=paired or jac, **keywords)
    apart = rule.minimize(BOOTH.fun, BOOTH.x0, jac=BOOTH.jac, **keywords)
    assert equal_bits(shared.x, apart.x)
    assert equal_bits(shared.jac, BOOTH.jac(shared.x))
    assert not np.shares_memory(shared.jac, room)


def test_a_gradient_may_be_the_point_itself():
    found = lrcore.SGD(lr=0.5).minimize(lambda x: 0.5 * x @ x, [3.0, 4.0], jac=lambda x: x)
    assert found.success
    assert equal_bits(found.x, found.jac)


def squares(x):
    return ((x - 1.0) ** 2).sum()


#: Bounds of the first of three elements that leave it no room.
FAST = {
    "equal": (0.25, 0.25),
    "neighbours": (3.0, np.nextafter(3.0, 4.0)),
    "smallest": (0.0, 5e-324),
    "huge": (1e150, 1e150),
}


@pytest.mark.parametrize("method", ["2-point", "3-point", "cs"])
@pytest.mark.parametrize("bounds", FAST.values(), ids=FAST.keys())
def test_differences_are_0_where_bounds_leave_no_room(method, bounds):
    found = lrcore.Adam(lr=0.1).minimize(
        squares, np.zeros(3), bounds=[bounds, (-5, 5), (None, None)], finite_differences=method
    )
    assert found.x[0] == bounds[0]
    assert found.jac[0] == 0.0
    # Beside the square of 1e150, those of the others are lost to rounding.
    if method == "cs" or bounds[0] < 1e100:
        assert found.success
        np.testing.assert_allclose(found.x[1:], 1.0, atol=1e-4)


def test_differences_are_0_where_bounds_are_equal_once_rounded():
    found = lrcore.SGD(lr=0.1).minimize(
        squares, np.zeros(2, np.float32), bounds=[(0.1, 0.1 + 1e-12), (-5, 5)], gtol=1e-3
    )
    assert found.success
    assert found.jac[0] == 0.0
    np.testing.assert_allclose(found.x, np.float32([0.1, 1.0]), atol=2e-3)


@pytest.mark.parametrize("method", ["2-point", "3-point"])
def test_differences_within_narrow_bounds_keep_their_sign(method):
    found = lrcore.Adam(lr=0.1).minimize(
        squares, np.zeros(2), bounds=[(-1e-9, 1e-9), (-5, 5)], finite_differences=method
    )
    assert found.x[0] == 1e-9
    np.testing.assert_allclose(found.jac[0], -2.0, atol=1e-3)


@pytest.mark.parametrize("shape", [(), (2,), (2, 2)])
def test_nothing_can_move(shape):
    found = lrcore.Adam(lr=0.1).minimize(squares, np.zeros(shape), bounds=Bounds(0.25, 0.25))
    assert (found.success, found.nit, found.nfev) == (True, 0, 1)
    np.testing.assert_array_equal(found.x, np.full(found.x.shape, 0.25))
    np.testing.assert_array_equal(found.jac, np.zeros(found.x.shape))
