"""Passes over rows for Newton steps: several outputs at once, and one pass over dense rows."""

import numpy as np
import pytest
from backends import use_backend
from design_matrices import KINDS, matrix
from strategies import BUILDS, DTYPES, LOSSES, equal_bits, targets_for

from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import as_design_matrix

THREADS = (1, 2, 3, 7)


def of_builds(monkeypatch, function):
    """What a function of the number of threads returns, from every build and number."""
    found = []
    for build in BUILDS:
        use_backend(monkeypatch, build)
        found += [function(n_threads) for n_threads in THREADS]
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", [1, 2, 8, 11])
def test_several_outputs(n_outputs, dtype, kind, backend):
    # Rows are no multiple of four, and features more than are packed at a time.
    X, dense = matrix(kind, dtype, n_rows=203, n_features=300)
    rng = np.random.default_rng(n_outputs)
    W, factors = rng.normal(size=(n_outputs, 300)), rng.normal(size=(n_outputs, 203))
    z, sums = X.wide_predictions(W, 1), X.weighted_sum(factors, 1)
    np.testing.assert_allclose(z, W @ dense.T, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(sums, factors @ dense, rtol=1e-11, atol=1e-11)
    onto = np.ones((n_outputs, 300))
    X.weighted_sum(factors, 2, onto)
    np.testing.assert_allclose(onto, 1.0 + factors @ dense, rtol=1e-11, atol=1e-11)
    assert np.ptp(z) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_several_outputs_have_the_same_bits_everywhere(kind, monkeypatch):
    X, _ = matrix(kind, np.float32, n_rows=203, n_features=300)
    rng = np.random.default_rng(0)
    W, factors = rng.normal(size=(11, 300)), rng.normal(size=(11, 203))

    def both(n_threads):
        return X.wide_predictions(W, n_threads), X.weighted_sum(factors, n_threads)

    first, *others = of_builds(monkeypatch, both)
    for other in others:
        assert all(map(equal_bits, first, other))


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (203, 300), (2000, 33)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "poisson"])
def test_one_pass(loss, dtype, shape, backend):
    rng = np.random.default_rng(0)
    X = as_design_matrix(rng.normal(size=shape).astype(dtype))
    dense = X.values.astype(float)
    one = np.column_stack([dense, np.ones(len(dense))])
    w, share = rng.normal(size=shape[1] + 1) / 10, rng.random(len(dense))
    y = targets_for(LOSSES[loss], rng.random(len(dense)) < 0.5, rng.normal(size=len(dense)))
    z, value, gradient, sums = _backend.active.loss_pass(
        LOSSES[loss], X, w[:-1].copy(), float(w[-1]), y, share, 1
    )
    expected, derivatives = LOSSES[loss].evaluate(one @ w, y)
    for got, wanted in (
        (z, one @ w), (value, expected), (gradient, derivatives),
        (sums, (share * derivatives) @ one),
    ):  # fmt: skip
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)
    product = _backend.active.product_pass(X, w, share, 1)
    np.testing.assert_allclose(product, one.T @ (share * (one @ w)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(5, 3), (203, 300), (2000, 33)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_pass_has_the_same_bits_everywhere(dtype, shape, monkeypatch):
    rng = np.random.default_rng(0)
    X = as_design_matrix(rng.normal(size=shape).astype(dtype))
    w, share = rng.normal(size=shape[1] + 1), rng.random(shape[0])
    y = np.sign(rng.normal(size=shape[0]))

    def both(n_threads):
        active = _backend.active
        of_loss = active.loss_pass(LOSSES["log_loss"], X, w[:-1].copy(), 0.5, y, share, n_threads)
        return (*of_loss, active.product_pass(X, w, share, n_threads))

    first, *others = of_builds(monkeypatch, both)
    assert np.ptp(first[3]) > 0.1
    for other in others:
        assert all(map(equal_bits, first, other))
