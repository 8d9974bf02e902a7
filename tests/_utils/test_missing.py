"""Missing values in all their forms."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from lrcore._utils.missing import (
    check_none_missing,
    check_nothing_masked,
    first_missing,
    is_missing,
    objects_as_floats,
)

MISSING = [
    None, float("nan"), np.float32("nan"), np.datetime64("NaT"), np.timedelta64("NaT"), pd.NaT,
    pd.NA, Decimal("nan"), Decimal("sNaN"), np.ma.masked,
]  # fmt: skip
PRESENT = [0, 0.0, "", "nan", False, np.inf, np.datetime64("2020-01-01"), pd.Timestamp(0), [1, 2]]


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_what_is_missing(value):
    assert is_missing(value)
    objects = np.empty(3, object)
    objects[:] = ["a", value, value]
    assert first_missing(objects) == 1
    numbers = np.empty((1, 2), object)
    numbers[0] = [1.5, value]
    np.testing.assert_array_equal(objects_as_floats(numbers), [[1.5, np.nan]])


@pytest.mark.parametrize("value", [*PRESENT, np.array([1.0, np.nan])], ids=repr)
def test_what_is_not_missing(value):
    assert not is_missing(value)


@pytest.mark.parametrize(
    "array, position",
    [
        (np.array([[1.0, 2.0], [np.nan, 3.0]]), 2),
        (np.array(["2020-01-01", "NaT"], "M8[D]"), 1),
        (np.array(["nan", "NaT"]), -1),
        (np.array([1, 2]), -1),
        (np.array([]), -1),
    ],
)
def test_the_first_that_is_missing(array, position):
    assert first_missing(array) == position


@pytest.mark.parametrize("value", ["a", np.datetime64("2020-01-01"), pd.Timestamp(0)], ids=repr)
def test_objects_that_are_no_numbers(value):
    objects = np.empty(2, object)
    objects[:] = [1.0, value]
    with pytest.raises((TypeError, ValueError)):
        objects_as_floats(objects)


def test_masks():
    check_nothing_masked("X", np.ma.masked_array([1.0, 2.0], mask=False))
    check_nothing_masked("X", np.ones(3))
    with pytest.raises(ValueError, match=r"X has a masked value at \[1, 0\]; fill it in"):
        check_nothing_masked("X", np.ma.masked_array(np.ones((2, 2)), mask=[[0, 0], [1, 0]]))
    with pytest.raises(ValueError, match="it has a masked value; fill it in"):
        check_nothing_masked("it", np.ma.masked)


def test_strings_in_a_list_are_looked_at_before_numpy_turns_nan_into_one():
    check_none_missing("classes", ["a", "nan"])
    with pytest.raises(ValueError, match=r"classes contains a missing value: classes\[1\] is nan"):
        check_none_missing("classes", ["a", float("nan")])
