"""The loop: when it stops, and which point it returns."""

import numpy as np
import pytest
from scipy.optimize import Bounds
from strategies import equal_bits

import lrcore

from .problems import (
    BOOTH,
    QUADRATIC,
    bowl,
    bowl_gradient,
    fun_until,
    minimize,
    solve,
)

#: fun, jac, what the message says, and at which step the best point is.
NONFINITE = {
    "fun NaN": (fun_until(bowl, lambda x: np.nan), bowl_gradient, "fun is nan after 4 steps", 3),
    "fun inf": (fun_until(bowl, lambda x: np.inf), bowl_gradient, "fun is inf after 4 steps", 3),
    "fun -inf": (fun_until(bowl, lambda x: -np.inf), bowl_gradient, "fun is -inf after 4 steps", 3),
    "jac NaN": (
        bowl,
        fun_until(bowl_gradient, lambda x: x * np.nan),
        "jac has a nan after 4 steps",
        4,
    ),
    "jac -inf": (
        bowl,
        fun_until(bowl_gradient, lambda x: x * -np.inf),
        "jac has a inf after 4 steps",
        4,
    ),
    "jac some": (
        bowl,
        fun_until(bowl_gradient, lambda x: np.array([np.inf, 0.0])),
        "jac has a inf after 4 steps",
        4,
    ),
}


@pytest.mark.parametrize("bounds", [None, Bounds(-100, 100)], ids=["free", "bounded"])
@pytest.mark.parametrize("case", NONFINITE)
def test_values_that_are_not_finite_stop_and_the_best_point_is_returned(case, bounds):
    fun, jac, words, best = NONFINITE[case]
    found = solve(fun, jac=jac, bounds=bounds)
    assert (found.status, found.success, found.nit) == (3, False, 4)
    assert found.message.startswith(words)
    assert ("x is the best point" in found.message) == (best == 3)
    assert found.best_nit == best
    np.testing.assert_array_equal(found.x, solve(maxiter=best).x)
    assert found.fun == bowl(found.x)
    assert len(found.lr_history) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fun_that_is_not_finite_at_the_start(value):
    found = solve(lambda x: value)
    assert (found.status, found.nit) == (3, 0)
    np.testing.assert_array_equal(found.x, [3.0, 4.0])
    np.testing.assert_array_equal(found.fun, value)


def test_gradients_with_squares_past_the_largest_number_are_finite():
    found = solve(lambda x: 0.0, [1.0, 1.0], jac=lambda x: np.full(2, 1e200), maxiter=2)
    assert (found.status, found.nit) == (1, 2)
    huge = solve(lambda x: 0.0, jac=lambda x: np.full(2, 1e200), rule=lrcore.DoG())
    assert huge.status == 3
    assert "has no rate" in huge.message


def test_a_gradient_past_the_range_of_float32_is_not_finite():
    found = solve(x0=np.ones(2, np.float32), jac=lambda x: np.full(2, 1e300))
    assert (found.status, found.nit) == (3, 0)


def test_two_over_the_smoothness_is_the_limit_of_plain_descent():
    for problem in (BOOTH, QUADRATIC):
        limit = 2 / problem.smoothness
        below, above = (
            minimize(lrcore.SGD(lr=share * limit), problem, maxiter=400, gtol=0.0, return_all=True)
            for share in (0.98, 1.02)
        )
        assert problem.fun(below.allvecs[-1]) < problem.fun(below.allvecs[0])
        assert problem.fun(above.allvecs[-1]) > problem.fun(above.allvecs[0])


def test_the_best_point_is_kept_when_the_last_is_worse():
    found = minimize(lrcore.SGD(lr=0.115), maxiter=30, return_all=True)
    values = [BOOTH.fun(x) for x in found.allvecs]
    best = int(np.argmin(values))
    assert best < 30
    assert (found.best_nit, found.fun) == (best, values[best])
    assert f"x is the best point, which step {best} reached" in found.message
    assert equal_bits(found.x, found.allvecs[best])
    assert equal_bits(found.jac, BOOTH.jac(found.x))


def test_gtol_is_of_the_largest_element():
    found = minimize(lrcore.SGD(lr=0.1), gtol=1e-3, return_all=True)
    largest = [np.abs(BOOTH.jac(x)).max() for x in found.allvecs]
    assert found.success
    assert largest[-1] <= 1e-3 < min(largest[:-1])


def test_gtol_in_bounds_is_of_the_projected_gradient():
    found = minimize(lrcore.SGD(lr=0.1), bounds=Bounds(-1.0, 1.0), gtol=1e-6)
    assert found.success
    np.testing.assert_allclose(found.x, 1.0)
    assert np.abs(found.jac).max() > 1


@pytest.mark.parametrize("name", ["ftol", "xtol"])
def test_ten_small_changes_in_a_row_stop(name):
    found = minimize(lrcore.SGD(lr=0.1), gtol=0.0, return_all=True, **{name: 1e-4})
    points = np.array(found.allvecs)
    values = np.array([BOOTH.fun(x) for x in points])
    if name == "ftol":
        small = np.abs(np.diff(values)) <= 1e-4 * np.maximum(values[1:], 1)
    else:
        largest = np.maximum(np.abs(points[1:]).max(axis=1), 1)
        small = np.abs(np.diff(points, axis=0)).max(axis=1) <= 1e-4 * largest
    runs = [small[i - 10 : i].all() for i in range(10, len(small) + 1)]
    assert found.status == 0
    assert name in found.message
    assert runs[-1]
    assert not any(runs[:-1])
