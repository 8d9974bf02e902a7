"""Points are read-only, and their memory is used again only if nothing refers to it."""

import numpy as np
from benchmarks import functions

import lrcore
from lrcore.minimize.points import CopyPool

from .problems import (
    BOOTH,
    minimize,
)


def test_points_are_read_only_and_the_result_is_not():
    def fun(x):
        assert not x.flags.writeable
        return BOOTH.fun(x)

    found = minimize(lrcore.SGD(lr=0.1), functions.Problem(fun, BOOTH.jac, BOOTH.x0, None, 0.0))
    for array in (found.x, found.jac, found.lr_history):
        assert array.flags.writeable


def test_memory_of_points_is_used_again_if_nothing_refers_to_it():
    points, x = CopyPool(), np.arange(3.0)
    kept, view, dropped = (
        points.frozen_copy(x),
        points.frozen_copy(x + 1)[1:],
        points.frozen_copy(x + 2),
    )
    place = id(dropped)
    del dropped
    again = points.frozen_copy(x + 3)
    assert id(again) == place
    assert not again.flags.writeable
    fresh = points.frozen_copy(x + 4)
    for array, first in ((kept, 0), (view, 2), (again, 3), (fresh, 4)):
        assert array[0] == first


def test_what_fun_keeps_of_a_point_stays():
    views, ends, places = [], [], set()

    def fun(x):
        places.add(id(x))
        if len(views) < 5:
            views.append(x[1:])
            ends.append(x[1])
        return BOOTH.fun(x)

    problem = functions.Problem(fun, BOOTH.jac, BOOTH.x0, BOOTH.minima, 0.0)
    found = minimize(lrcore.SGD(lr=0.02), problem, maxiter=60, gtol=0.0)
    assert found.nfev == 61
    assert len(places) < 10
    assert len(set(ends)) == 5
    np.testing.assert_array_equal(np.concatenate(views), ends)
