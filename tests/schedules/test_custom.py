"""A function of the step as a schedule."""

import math
import pickle

import numpy as np
import pytest

from lrcore.schedules import Constant, Custom


def halved(t):
    return 0.5**t


def test_functions_of_one_step_and_of_arrays():
    each = Custom(halved)
    whole = Custom(lambda t: 0.5 ** t.astype(float), vectorized=True)
    assert each(3) == whole(3) == 0.125
    assert each([0, 1]).tolist() == whole([0, 1]).tolist() == [1.0, 0.5]
    assert each(np.array([[0, 1], [2, 3]])).shape == (2, 2)
    assert each(np.array([], int)).shape == (0,)


def test_the_function_gets_ints_of_python():
    seen = []
    Custom(lambda t: seen.append(t) or 0.1)(np.arange(3, dtype=np.int32))
    assert [type(t) for t in seen] == [int] * 3


def test_it_is_composed_and_pickled_like_other_schedules():
    schedule = Custom(halved).warmup(1).then(Constant(0.1), at=5)
    assert schedule([0, 1, 2, 5]).tolist() == [0.5, 1.0, 0.5, 0.1]
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    "schedule, message",
    [
        (Custom(lambda t: -1.0 if t == 2 else 1.0), "finite and >= 0, got -1.0 at step 2"),
        (Custom(lambda t: math.nan), "finite and >= 0, got nan at step 0"),
        (Custom(lambda t: 0.1, vectorized=True), r"must give a float64 array of shape \(5,\)"),
        (Custom(lambda t: t > 2, vectorized=True), "got bool of shape"),
    ],
)
def test_rates_that_are_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        schedule(range(5))


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"function must be a function of the step, got 0.1"):
        Custom(0.1)
