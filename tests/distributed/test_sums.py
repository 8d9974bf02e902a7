"""Sums of features in whole numbers: their bits, their bounds, and how they are added up."""

from itertools import product

import numpy as np
import pytest
from backends import use_backend
from design_matrices import KINDS, matrix
from hypothesis import given
from hypothesis import strategies as st
from strategies import BUILDS, DTYPES

from lrcore import _backend
from lrcore.distributed.exact import exact_sum
from lrcore.distributed.sums import (
    BITS,
    FeatureSums,
    exact_feature_sums,
    exponent_above,
    unit_exponent,
)
from lrcore.linear_model.engine.design_matrix import DesignMatrix

THREADS = (1, 2, 3, 7)


def sums_by_integers(dense, factors, squares):
    """Each product rounded by itself, in integers of Python's, which have no bound."""
    values = dense * 1.0
    out = [[0] * dense.shape[1] for _ in factors]
    for k, of_rows in enumerate(factors):
        for f, row in zip(of_rows, values):
            for j in np.flatnonzero(row):
                term = float(f) * float(row[j])
                out[k][j] += round(term * float(row[j]) if squares else term)
    return out


@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_whole_numbers_the_same_in_every_build(dtype, kind, squares, monkeypatch):
    X, dense = matrix(kind, dtype, n_rows=203, n_features=17)
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, 203)) * 2.0**40
    factors[1, ::3] = 0.0
    expected = np.array(sums_by_integers(dense, factors, squares))
    assert np.abs(expected).max() > 2**40
    for build in [*BUILDS, "numpy"]:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            got = _backend.active.exact_row_sums(X, factors, n_threads, squares=squares)
            assert got.dtype == np.int64
            np.testing.assert_array_equal(got, expected)


def test_sums_of_mantissas_are_the_same_in_every_build(monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=1001) * 10.0 ** rng.integers(-320, 300, 1001)
    values[:3] = 0.0, -0.0, 5e-324
    found = []
    for build in [*BUILDS, "numpy"]:
        use_backend(monkeypatch, build)
        found.append(exact_sum(values))
    assert len(set(found)) == 1
    assert found[0] != 0


@given(st.floats(1e-300, 1e300), st.integers(1, 10**12))
def test_so_many_of_the_largest_fit_into_an_integer(largest, total):
    unit = unit_exponent(total, largest)
    assert largest <= 2.0 ** exponent_above(largest) < 2 * largest
    # Each is rounded up by half a unit at most.
    assert total * (int(np.ldexp(largest, -unit)) + 1) < 2**63
    assert np.ldexp(largest, -unit) * total > 2 ** (BITS - 3)


def drawn_sums(rng, n_features, share):
    values = rng.integers(-(2**60), 2**60, (2, n_features)) // 8
    if share == 1.0:
        return FeatureSums(values, n_features), values.copy()
    features = np.flatnonzero(rng.random(n_features) < share)
    dense = np.zeros((2, n_features), np.int64)
    dense[:, features] = values[:, : len(features)]
    return FeatureSums(values[:, : len(features)], n_features, features), dense


@pytest.mark.parametrize("shares", product([0.0, 0.05, 0.3, 1.0], repeat=3))
def test_sums_add_up_in_any_order(shares):
    rng = np.random.default_rng(1)
    drawn = [drawn_sums(rng, 200, share) for share in shares]
    expected = sum(dense for _, dense in drawn)
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        first, *others = [drawn[k][0] for k in order]
        total = FeatureSums(first.values.copy(), *first[1:])
        for each in others:
            total = total.plus(FeatureSums(each.values.copy(), *each[1:]))
        np.testing.assert_array_equal(total.dense(), expected)


def test_sums_that_cannot_be_written_to_are_copied():
    values = np.ones((1, 3), np.int64)
    values.flags.writeable = False
    one = FeatureSums(values, 3)
    assert one.plus(FeatureSums(values, 3)).values.tolist() == [[2, 2, 2]]
    assert values.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("n_features", [5, 100])
def test_few_features_are_sent_by_their_numbers(n_features):
    X = DesignMatrix((2, 3), np.array([[1.0, 2.0, 0.0], [4.0, 0.0, 8.0]]))
    own = np.array([0, 2, 4])
    found = exact_feature_sums(X, np.array([[1.0, -0.5]]), -3, n_features, own)
    assert (found.features is None) == (n_features == 5)
    expected = np.zeros((1, n_features))
    expected[0, own] = [-1.0, 2.0, -4.0]
    np.testing.assert_array_equal(found.dense() / 8, expected)
    # int64 for each sum, and for each number of a feature that is sent.
    assert found.nbytes == (5 * 8 if n_features == 5 else 3 * 16)
