"""Coordinate descent and the columns that it goes by, against plain loops and across builds."""

from functools import cache

import numpy as np
import pytest
from backends import use_backend
from scipy import sparse
from strategies import BUILDS, DTYPES, equal_bits, sparse_problem

from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.quadratic import selected, transposed

KINDS = ("csr32", "csr64", "ones", "dense")


def matrix(kind, dtype):
    """The rows of one kind, and the same as a dense array of float64."""
    X, dense, _, _ = sparse_problem(200, 30, dtype=dtype)
    if kind == "dense":
        return as_design_matrix(dense), dense.astype(float)
    X = sparse.csr_matrix(X.astype(bool).astype(dtype) if kind == "ones" else X)
    X.indices = X.indices.astype(np.int64 if kind == "csr64" else np.int32)
    X.indptr = X.indptr.astype(X.indices.dtype)
    return as_design_matrix(X), X.toarray().astype(float)


def whole(X):
    """A design matrix as a dense array."""
    if not X.sparse:
        return X.values.astype(float)
    return sparse.csr_matrix((X.values, X.indices, X.indptr), X.shape).toarray().astype(float)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_features_are_selected_and_rows_become_columns(dtype, kind, backend):
    X, dense = matrix(kind, dtype)
    for features in ([7], [0, 3, 7, 29], range(30)):
        features = np.array(features)
        part = selected(X, features)
        assert part.dtype == dtype
        assert np.array_equal(whole(part), dense[:, features])
        assert np.array_equal(whole(transposed(part)), dense[:, features].T)
        if kind == "ones":
            assert part.values.strides == (0,)


def problem(kind, dtype, intercept):
    """A model of 30 weights, and where descent begins."""
    X, dense = matrix(kind, dtype)
    rng = np.random.default_rng(0)
    curvature, gradient = rng.uniform(0, 1, 200) / 200, rng.normal(size=200) / 200
    w, l1, l2 = rng.normal(size=30), rng.uniform(0, 0.02, 30), rng.uniform(0, 0.02, 30)
    l1[:3], l2[:5] = 0.0, 0.0
    return X, dense, gradient, curvature, w, l1, l2


def minimum(dense, gradient, curvature, w, l1, l2, intercept):
    """The weights and the intercept's change, by proximal gradient steps."""
    A = np.column_stack([dense, np.ones(len(dense))])[:, : dense.shape[1] + intercept]
    l1, l2 = (np.append(each, [0.0] * intercept) for each in (l1, l2))
    start = np.append(w, [0.0] * intercept)
    H = A.T @ (A * curvature[:, None])
    step, x, y, momentum = 1 / (np.linalg.norm(H, 2) + l2.max()), start, start, 1.0
    for _ in range(20_000):
        slope = A.T @ gradient + H @ (y - start) + l2 * y
        new = y - step * slope
        new = np.sign(new) * np.maximum(np.abs(new) - step * l1, 0.0)
        after = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        y, x, momentum = new + (momentum - 1) / after * (new - x), new, after
    return x


@cache
def minimum_of(kind, dtype, intercept):
    """The minimum of such a model, which takes longest: it is the same for every build."""
    _, *model = problem(kind, dtype, intercept)
    return minimum(*model, intercept)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_descent_ends_at_the_minimum_of_the_model(dtype, kind, intercept, backend):
    X, dense, gradient, curvature, w, l1, l2 = problem(kind, dtype, intercept)
    expected = minimum_of(kind, dtype, intercept)
    # Column 7 is empty: nothing but its penalty depends on its weight.
    assert np.count_nonzero(expected[:30] == 0) > 3
    new, r = w.copy(), gradient.copy()
    chosen = np.arange(30)
    change, epochs = _backend.active.descend_columns(
        transposed(X), chosen, r, curvature, intercept, new, l1, l2, 1e-20, 3000
    )
    assert 3 < epochs < 3000
    used = np.delete(np.arange(30), 7)
    np.testing.assert_allclose(new[used], expected[used], atol=1e-7)
    assert change == pytest.approx(expected[30] if intercept else 0.0, abs=1e-7)
    moved = dense @ (new - w) + change
    np.testing.assert_allclose(r, gradient + curvature * moved, atol=1e-12)

    A = np.column_stack([dense, np.ones(200)])[:, : 30 + intercept]
    H = np.zeros((32, 32))
    H[: A.shape[1], : A.shape[1]] = A.T @ (A * curvature[:, None])
    free = [0.0] * intercept
    new, l1, l2 = (np.append(each, free) for each in (w, l1, l2))
    slope = A.T @ gradient
    epochs = _backend.active.descend_gram(H, slope, new, l1, l2, 1e-20, 3000)
    assert 3 < epochs < 3000
    used = np.delete(np.arange(30 + intercept), 7)
    start = np.append(w, free)
    np.testing.assert_allclose(new[used], expected[used], atol=1e-7)
    moved = A.T @ gradient + H[: len(new), : len(new)] @ (new - start)
    np.testing.assert_allclose(slope, moved, atol=1e-12)


def test_some_columns_in_any_order(backend):
    X, dense, gradient, curvature, w, l1, l2 = problem("csr32", np.float64, False)
    chosen = np.array([5, 2, 20])
    part = (each[chosen] for each in (w, l1, l2))
    new, l1, l2 = part
    before = new.copy()
    args = (False, new, l1, l2, 1e-20, 1000)
    _backend.active.descend_columns(transposed(X), chosen, gradient.copy(), curvature, *args)
    expected = minimum(dense[:, chosen], gradient, curvature, before, l1, l2, False)
    np.testing.assert_allclose(new, expected, atol=1e-9)


def test_descent_ends_with_an_epoch_that_gains_little(backend):
    X, _, gradient, curvature, w, l1, l2 = problem("dense", np.float64, True)
    counts = []
    for tol in (1.0, 1e-2, 1e-8):
        args = (True, w.copy(), l1, l2, tol, 3000)
        chosen = np.arange(30)
        found = _backend.active.descend_columns(
            transposed(X), chosen, gradient.copy(), curvature, *args
        )
        counts.append(found[1])
    assert counts[0] == 1
    assert counts[0] < counts[1] < counts[2] < 3000
    args = (True, w.copy(), l1, l2, 0.0, 4)
    chosen = np.arange(30)
    found = _backend.active.descend_columns(transposed(X), chosen, gradient, curvature, *args)
    assert found[1] == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_builds_have_the_same_bits(dtype, kind, monkeypatch):
    X, dense, gradient, curvature, w, l1, l2 = problem(kind, dtype, True)
    A = np.column_stack([dense, np.ones((200, 2))])
    H, slope, found = A.T @ (A * curvature[:, None]), dense.T @ gradient, []
    for build in BUILDS:
        use_backend(monkeypatch, build)
        Xt, r, a, g, b = transposed(X), gradient.copy(), w.copy(), slope.copy(), w.copy()
        chosen = np.arange(30)
        change, epochs = _backend.active.descend_columns(
            Xt, chosen, r, curvature, True, a, l1, l2, 1e-6, 100
        )
        n = _backend.active.descend_gram(H, g, b, l1, l2, 1e-6, 100)
        found.append((Xt.values, r, a, np.array([change, epochs]), g, b, np.array(n)))
    assert np.ptp(found[0][2]) > 0
    for other in found[1:]:
        assert all(equal_bits(a, b) for a, b in zip(other, found[0]))
