"""Exact sums, against fractions of Python."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcore.distributed.exact import as_float, exact_sum

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, max_size=30), st.integers(1, 10**9))
def test_sums_are_those_of_fractions(values, count):
    total = exact_sum(np.array(values))
    expected = sum(map(Fraction, values), Fraction(0))
    assert Fraction(total, 2**1074) == expected
    try:
        assert as_float(total, count) == float(expected / count)
    except OverflowError:
        assert math.isinf(as_float(total, count))


@given(st.lists(finite, min_size=2, max_size=30), st.data())
def test_parts_in_any_order_add_up(values, data):
    values = np.array(values)
    cut = data.draw(st.integers(0, len(values)))
    order = np.array(data.draw(st.permutations(range(len(values)))))
    parts = values[order][:cut], values[order][cut:]
    assert sum(map(exact_sum, parts)) == exact_sum(values)


def test_many_numbers():
    values = np.random.default_rng(0).normal(size=200_007) * 1e-3
    values[::5] *= 1e18
    assert as_float(exact_sum(values)) == math.fsum(values)
    assert exact_sum(np.zeros(0)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(bad):
    with pytest.raises(OverflowError, match="NaN or infinite"):
        exact_sum(np.array([1.0, bad]))
