"""The compiled backend against the NumPy backend, function by function.

Epochs, dual ascent and steps of an Optimizer are compared where they are tested: in
`linear_model/engine/test_epoch.py`, `linear_model/solvers/test_dual.py` and `optim`.
"""

import inspect
from types import ModuleType

import numpy as np
import pytest
from backends import use_backend
from design_matrices import KINDS, matrix
from linear_fits import LinearFit, fit_config, lazy_groups
from scipy import sparse
from strategies import BUILDS, DTYPES, LOSSES, equal_bits, targets_for

import lrcore
from lrcore import _backend
from lrcore._backend import compiled, numpy
from lrcore.linear_model.engine.design_matrix import DesignMatrix, ones
from lrcore.penalties import ElasticNet


def close(got, expected, dtype):
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def public(module):
    """The functions and classes that a backend defines."""
    found = {n: v for n, v in vars(module).items() if not n.startswith("_") and callable(v)}
    return {n: v for n, v in found.items() if v.__module__ == module.__name__}


def test_whatever_callers_use_is_in_both():
    ours = public(compiled)
    assert len(ours) > 12
    for name, function in ours.items():
        twin = getattr(numpy, name)
        theirs = inspect.signature(twin).parameters
        for parameter in inspect.signature(function).parameters.values():
            assert theirs[parameter.name].kind == parameter.kind, (name, parameter)
    for name in ("SEVERAL_RATES", "SEARCHES_LR"):
        assert isinstance(getattr(compiled, name), bool)
        assert isinstance(getattr(numpy, name), bool)


def test_the_backend_is_one_of_the_two(backend):
    assert isinstance(_backend.active, ModuleType)
    assert _backend.active is (numpy if backend == "numpy" else compiled)


# ---- checks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 64, 5000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_value_that_is_not_finite(dtype, size, backend):
    values = np.ones(size, dtype)
    assert _backend.active.first_nonfinite(values, None) == -1
    for place in {0, size // 2, size - 1} if size else ():
        for bad in (np.nan, np.inf, -np.inf):
            values[place:] = bad  # the first one of them
            assert _backend.active.first_nonfinite(values, 2) == place
            values[place:] = 1


def test_a_csr_matrix_is_inspected(backend):
    inspect_csr = _backend.active.inspect_csr
    indices = np.array([1, 3, 0, 2, 3], np.int32)
    indptr = np.array([0, 2, 2, 5])
    assert inspect_csr(indptr, indices, 4) == ("", -1)
    assert inspect_csr(indptr, indices, 3) == ("range", 0)
    assert inspect_csr(indptr, np.array([1, 3, 0, -1, 3], np.int32), 4) == ("range", 2)
    assert inspect_csr(np.array([0, 2, 2, 6]), indices, 4) == ("range", 2)
    assert inspect_csr(indptr, np.array([1, 3, 0, 0, 3], np.int32), 4) == ("order", 2)
    assert inspect_csr(indptr, np.array([3, 1, 0, 2, 3], np.int32), 4) == ("order", 0)


def test_disorder_is_found_beside_empty_rows(backend):
    """Where a row is empty the next begins at the same place: it must not count twice."""
    indices = np.array([1, 7, 5, 2], np.int32)
    for indptr, expected in (([0, 2, 2, 4], ("order", 2)), ([0, 2, 2, 3, 4, 4], ("", -1))):
        assert _backend.active.inspect_csr(np.array(indptr), indices, 8) == expected


# ---- functions of a design matrix -----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_raw_predictions_are_products(dtype, kind, backend):
    X, dense = matrix(kind, dtype)
    rng = np.random.default_rng(0)
    w = rng.normal(size=30).astype(dtype)
    got = _backend.active.raw_predictions(X, w, 0.5, 1)
    assert got.dtype == dtype
    close(got, dense @ w + 0.5, dtype)
    if kind != "dense":
        wide = np.zeros((30, 8), dtype)
        wide[:, :3] = rng.normal(size=(30, 3))
        b = np.array([0.5, -1.0, 0.0], dtype)
        got = _backend.active.raw_predictions_of_outputs(X, wide[:, :3], b, 1)
        assert got.dtype == dtype
        close(got, dense @ wide[:, :3] + b, dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_over_rows_and_features(dtype, kind, backend):
    X, dense = matrix(kind, dtype)
    factors = np.random.default_rng(0).normal(size=200)
    got = _backend.active.weighted_row_sum(X, factors)
    assert got.dtype == np.float64
    close(got, factors @ dense, np.float64)
    close(_backend.active.row_squares(X), np.sum(dense**2, axis=1), np.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scaled_values_and_weighted_sums_have_the_same_bits(dtype, kind, monkeypatch):
    X, _ = matrix(kind, dtype)
    factors = np.random.default_rng(0).normal(size=200)
    start, found = np.full(30, 1e-3, dtype), []
    for name in ("numpy", *BUILDS):
        use_backend(monkeypatch, name)
        scale = start.copy()
        values = _backend.active.scaled_values(X, scale, 5, 16)
        found.append((values, scale, _backend.active.weighted_row_sum(X, factors)))
    assert np.ptp(found[0][1]) > (0 if kind == "ones" else 1)
    for other in found[1:]:
        assert all(map(equal_bits, other, found[0]))


@pytest.mark.parametrize("kind", ["csr32", "csr64", "ones"])
@pytest.mark.parametrize("slot_bytes", [8, 1 << 16], ids=["kept", "renumbered"])
def test_reordered_rows_are_the_rows_in_that_order(kind, slot_bytes, backend):
    X, dense = matrix(kind, np.float64)
    order = np.random.default_rng(0).permutation(200).astype(np.int64)
    one_value = kind == "ones"
    csr, features, _ = _backend.active.reordered_rows(X, order, slot_bytes, one_value)
    values, indices, indptr = csr
    assert (features is None) == (backend == "numpy" or slot_bytes == 8)
    features = np.arange(30) if features is None else features
    values = ones(len(indices), np.dtype(float)) if one_value else values
    whole = np.zeros((200, 30))
    new = sparse.csr_matrix((values, indices, indptr), (200, len(features)))
    whole[:, features] = new.toarray()
    assert np.array_equal(whole, dense[order])


# ---- losses, penalties, sums ----------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_rows_have_the_same_bits(loss, monkeypatch):
    rng = np.random.default_rng(0)
    z, found = rng.normal(0, 3, 1000), []
    y = targets_for(LOSSES[loss], z + rng.normal(size=1000) > 0, rng.normal(size=1000))
    for name in ("numpy", *BUILDS):
        use_backend(monkeypatch, name)
        found.append(_backend.active.loss_values(LOSSES[loss], z, y))
    assert np.ptp(found[0]) > 1
    assert all(equal_bits(other, found[0]) for other in found[1:])


@pytest.mark.parametrize("l1, l2", [(0.0, 0.3), (0.05, 0.0), (0.05, 0.3)])
def test_the_penalty_of_many_steps_is_one_proximal_step(l1, l2, backend):
    """Of plain gradient descent: by the sum of the rates since the penalty was last applied."""
    config = fit_config("log_loss", lrcore.SGD(0.1), l1, l2)
    fit = LinearFit(config, np.ones((2, 6)), lazy_groups((4, 9), (6, 9)))
    before = np.array([1.0, -1.0, 0.01, 0.0, 2.0, -0.5, 9.0])
    fit.state.columns[0] = before
    fit.state.step = 7
    fit.state.lazy_penalty.rows_since[:] = 7
    fit.state.lazy_penalty.accumulated_lr[:] = 0.7, 0.2
    fit.apply_penalty()
    w, step = before[:6], np.repeat([0.7, 0.2], [4, 2])
    expected = ElasticNet(l1, l2).prox(w, step, np.ones(6))
    assert np.any(expected != w)
    np.testing.assert_allclose(fit.state.weights[0, :6], expected, rtol=1e-15)
    assert fit.state.weights[0, 6] == 9.0  # the intercept
    assert not fit.state.lazy_penalty.is_due


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_the_sum_of_squares_is_of_all_weights(form, n_outputs, backend):
    config = fit_config("hinge", lrcore.AdaGrad(0.1), n_outputs=n_outputs)
    state = LinearFit(config, form(np.ones((2, 50)))).state
    state.columns[:] = np.random.default_rng(0).normal(size=state.columns.shape)
    expected = np.sum(np.square(state.weights))
    assert 20 < expected < np.sum(np.square(state.columns))
    assert _backend.active.sum_of_squares(state) == pytest.approx(expected, rel=1e-13)


# ---- Newton steps -----------------------------------------------------------------------------


def both_triangles(matrix, n):
    """The symmetric matrix whose part on and above the diagonal counts."""
    upper = np.triu(matrix[:n, :n])
    return upper + np.triu(upper, 1).T


@pytest.mark.parametrize("n_features", [8, 15, 16, 30, 131])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_sums_of_outer_products(dtype, kind, n_features, backend):
    X, dense = matrix(kind, dtype, n_features=n_features)
    one = np.column_stack([dense, np.ones(200)])
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2, 200)) * (rng.random((2, 200)) < 0.8)
    for rows in (None, np.arange(3, 200, 7)):
        chosen = slice(None) if rows is None else rows
        first = _backend.active.weighted_grams(X, factors, rows, 1)
        for sums, f in zip(first, factors):
            expected = (one[chosen] * f[chosen, None]).T @ one[chosen]
            np.testing.assert_allclose(
                both_triangles(sums, n_features + 1), expected, rtol=1e-12, atol=1e-12
            )
        for n_threads in (2, 3, 7):
            again = _backend.active.weighted_grams(X, factors, rows, n_threads)
            assert equal_bits(np.triu(first), np.triu(again))


@pytest.mark.parametrize("n", [1, 8, 63, 64, 65, 200])
def test_cholesky_factors_solve(n, backend):
    rng = np.random.default_rng(n)
    A = rng.normal(size=(n, n + 3))
    width = -(-n // 8) * 8
    padded = np.zeros((width, width))
    padded[:n, :n] = A @ A.T + 0.1 * np.eye(n)
    U = _backend.active.cholesky(padded.copy(), n)
    np.testing.assert_allclose(
        np.triu(U[:n, :n]).T @ np.triu(U[:n, :n]), padded[:n, :n], rtol=1e-9, atol=1e-9
    )
    b = rng.normal(size=n)
    x = _backend.active.cholesky_solve(U, b)
    np.testing.assert_allclose(padded[:n, :n] @ x, b, rtol=1e-6, atol=1e-7)


def test_directions_that_others_span_get_no_step(backend):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(30, 4))
    A = np.column_stack([A, A[:, 1], np.zeros(30), 2 * A[:, 0] - A[:, 2], rng.normal(size=30)])
    H = A.T @ A
    U = _backend.active.cholesky(H.copy(), 8)
    b = A.T @ rng.normal(size=30)
    x = _backend.active.cholesky_solve(U, b)
    assert x[[4, 5, 6]].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(H @ x, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_leverages_and_wide_predictions(dtype, kind, backend):
    X, dense = matrix(kind, dtype)
    one = np.column_stack([dense, np.ones(200)])
    H = one.T @ one + 0.5 * np.eye(31)
    padded = np.zeros((32, 32))
    padded[:31, :31] = H
    U = _backend.active.cholesky(padded, 31)
    expected = np.einsum("ij,jk,ik->i", one, np.linalg.inv(H), one)
    w = np.random.default_rng(0).normal(size=30)
    found = []
    for n_threads in (1, 2, 3):
        levers = _backend.active.leverages(X, U, n_threads)
        wide = _backend.active.wide_predictions(X, w, n_threads)
        found.append((levers, wide))
        np.testing.assert_allclose(levers, expected, rtol=1e-9)
        np.testing.assert_allclose(wide, dense @ w, rtol=1e-12, atol=1e-12)
    assert all(map(equal_bits, found[0], found[1]))
    assert all(map(equal_bits, found[0], found[2]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_of_columns(dtype, kind, backend):
    X, dense = matrix(kind, dtype)
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2.0, 200)
    center = rng.normal(size=30) if kind == "dense" else np.zeros(30)
    apart = dense - center
    expected = [weight @ apart, weight @ apart**2, weight @ (dense != 0)]
    found = [_backend.active.column_moments(X, weight, center, n) for n in (1, 2, 3)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-11)
    assert equal_bits(found[0], found[1])
    assert equal_bits(found[0], found[2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_squares_of_columns(dtype, kind, backend):
    X, dense = matrix(kind, dtype)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 200)
    found = [_backend.active.column_squares(X, weight, n) for n in (1, 2, 3)]
    np.testing.assert_allclose(found[0], weight @ dense.astype(np.float64) ** 2, rtol=1e-12)
    assert all(equal_bits(found[0], each) for each in found)
    moments = _backend.active.column_moments(X, weight, np.zeros(30), 1)
    assert equal_bits(found[0], moments[1])


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_features_past_the_cache(dtype, index):
    """So many that those of rows to come are prefetched, up to the last value of X."""
    rng, n_rows, n_features = np.random.default_rng(0), 90, 1 << 18
    X = sparse.random(n_rows, n_features, 2e-4, "csr", dtype, rng, lambda n: rng.normal(size=n))
    assert np.diff(X.indptr).min() > 8
    assert X.indices.max() > n_features - 100
    indptr, indices = X.indptr.astype(np.int64), X.indices.astype(index)
    design = DesignMatrix(X.shape, X.data, indptr, indices)
    w, factors = rng.normal(size=n_features), rng.normal(size=n_rows)
    wide, backend = X.astype(np.float64), _backend.active
    for n in (1, 2):
        np.testing.assert_allclose(backend.wide_predictions(design, w, n), wide @ w, rtol=1e-10)
        narrow = backend.raw_predictions(design, w.astype(dtype), 0.5, n)
        np.testing.assert_allclose(narrow, wide @ w + 0.5, rtol=2e-4, atol=2e-4)
        sums = backend.weighted_row_sum(design, factors, n)
        np.testing.assert_allclose(sums, wide.T @ factors, rtol=1e-10)
        squares = backend.column_squares(design, factors, n)
        np.testing.assert_allclose(squares, wide.power(2).T @ factors, rtol=1e-10)
