"""Which features are used, and in what units."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lrcore.distributed.columns import SAME_UNIT, Columns

columns = st.dictionaries(st.integers(0, 40), st.floats(0, 1e6), max_size=20)


def made(each):
    numbers = sorted(each)
    return Columns(np.array(numbers, np.int64), np.array([each[k] for k in numbers]))


@given(columns, columns)
def test_features_of_both_and_their_largest_magnitudes(one, other):
    both = made(one).plus(made(other))
    expected = {k: max(one.get(k, 0.0), other.get(k, 0.0)) for k in {*one, *other}}
    assert both.features.tolist() == sorted(expected)
    assert both.largest.tolist() == [expected[k] for k in sorted(expected)]


@given(columns)
def test_features_of_all_and_of_some(one):
    whole = Columns(None, np.full(41, 3.0))
    for both in (whole.plus(made(one)), made(one).plus(whole)):
        assert both.features is None
        assert both.largest.tolist() == [max(3.0, one.get(k, 0.0)) for k in range(41)]


def test_columns_far_apart_are_divided_by_powers_of_two():
    near = Columns(None, np.array([1.0, 2.0**SAME_UNIT, 0.0, 3.0]))
    assert near.exponents() is None
    far = Columns(None, np.array([1.0, 2.0**SAME_UNIT + 1, 0.0, 0.75]))
    assert far.exponents().tolist() == [0, SAME_UNIT + 1, 0, 0]
    assert Columns(None, np.zeros(3)).exponents() is None
