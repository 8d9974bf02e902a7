"""The line search finds lower points, or says that there is none."""

import numpy as np
import pytest
from strategies import RULES

import lrcore

from .problems import (
    VALLEY,
    bowl,
    fun_until,
    minimize,
    solve,
)


@pytest.mark.parametrize("name", [name for name in RULES if not RULES[name].averages])
def test_values_never_rise_with_a_line_search(name):
    found = minimize(
        RULES[name].scaled(20.0), VALLEY, line_search="armijo", maxiter=40, return_all=True
    )
    values = [VALLEY.fun(x) for x in found.allvecs]
    assert found.nit == 40
    assert (np.diff(values) < 0).all()
    assert found.nfev > 41 >= found.njev


def test_a_line_search_avoids_points_that_are_not_finite():
    steep = lrcore.SGD(lr=1.0)
    plain = solve(fun_until(bowl, lambda x: np.nan), rule=steep)
    searched = solve(
        fun_until(bowl, lambda x: np.nan), rule=steep, line_search="armijo", maxiter=20
    )
    assert plain.status == 3
    assert searched.fun < bowl(np.array([2.1, 3.0]))
    assert searched.x[0] >= 2


def test_a_gradient_that_points_uphill_ends_a_line_search():
    found = solve(jac=lambda x: -x, line_search="armijo")
    assert (found.status, found.success, found.nit) == (2, False, 0)
    np.testing.assert_array_equal(found.x, [3.0, 4.0])
