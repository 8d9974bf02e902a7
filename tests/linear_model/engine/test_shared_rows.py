"""The rows that may share raw predictions: by the largest eigenvalue, and by what streams lose."""

import numpy as np
import pytest
from scipy import sparse

import lrcore
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.shared_rows import most_shared_rows, sampled


def rows_of(kind, n_rows, rng):
    if kind == "sparse":
        return sparse.random(n_rows, 40, 0.2, "csr", np.float64, random_state=rng)
    if kind == "centred":
        return rng.normal(size=(n_rows, 12))
    if kind == "categories":
        codes = np.stack([rng.integers(0, n, n_rows) for n in (3, 10, 50)], axis=1)
        columns = (codes + np.array([0, 3, 13])).ravel()
        return sparse.csr_matrix((np.ones(columns.size), columns, np.arange(n_rows + 1) * 3))
    return rng.random((n_rows, 5)) + 1.0


KINDS = ["sparse", "centred", "categories", "positive"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_goes_half_as_far_as_one_that_overshoots(kind):
    rng = np.random.default_rng(3)
    X = rows_of(kind, 64, rng)
    dense = np.column_stack([X.toarray() if sparse.issparse(X) else X, np.ones(64)])
    steps, curvatures = rng.uniform(0.01, 0.1, dense.shape[1]), rng.uniform(0.2, 3.0, 64)
    root = np.sqrt(curvatures)[:, None]
    largest = np.linalg.eigvalsh((root * dense) * steps @ (root * dense).T / 64).max()
    found = most_shared_rows(as_design_matrix(X, None, None), steps, curvatures)
    assert 0.99 <= found * largest < 1.3
    again = most_shared_rows(as_design_matrix(X, None, None), 10 * steps, 4 * curvatures)
    assert again == pytest.approx(found / 40)


def test_of_wide_rows_the_features_of_a_few_are_looked_at():
    X = sparse.random(1000, 5000, 0.001, "csr", random_state=0)
    chosen, rows, features = sampled(as_design_matrix(X, None, None))
    assert chosen.tolist() == list(range(0, 1000, 16))
    assert rows.shape == (63, len(features) - 1)
    assert features[-1] == 5000
    whole = X[::16].toarray()
    used = whole.any(axis=0) | (np.arange(5000) == 0)  # a matrix has one column at least
    assert features[:-1].tolist() == np.flatnonzero(used).tolist()
    assert rows.values.sum() == pytest.approx(whole.sum())


def test_rows_without_steps_may_share_everything():
    X = as_design_matrix(np.ones((3, 2)), None, None)
    assert most_shared_rows(X, np.zeros(3), np.ones(3)) == np.inf


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("lr", "more"), [(0.05, 0.1), (0.25, 0.4)])
def test_so_do_those_with_a_log_link(loss, kind, lr, more):
    rng = np.random.default_rng(5)
    X = rows_of(kind, 6000, rng)
    z = X @ (0.3 * rng.normal(size=X.shape[1]))
    mean = np.exp(z - z.mean())
    y = rng.poisson(20 * mean) if loss == "poisson" else mean * (1 + 0.01 * rng.random(6000))
    lost = {}
    for block_size in (1, 256):
        model = lrcore.LinearRegressor(loss, optimizer="adagrad", lr=lr, block_size=block_size)
        lost[block_size] = []
        for start, stop in ((0, 1500), (1500, 4096), (4096, 4500), (4500, 6000)):
            model.partial_fit(X[start:stop], y[start:stop])
            lost[block_size].append(-model.score(X, y))
    one, many = np.array(lost[1][1:]), np.array(lost[256][1:])
    assert (many <= one + more).all(), (one, many)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", [0.01, 0.3])
@pytest.mark.parametrize("lr", [0.25, 1.0])
def test_streams_lose_about_what_single_rows_lose(kind, noise, lr):
    """At each of the ends, which are just before blocks grow and in between."""
    rng = np.random.default_rng(5)
    X = rows_of(kind, 6000, rng)
    y = X @ rng.normal(size=X.shape[1]) + noise * rng.normal(size=6000)
    lost = {}
    for block_size in (1, 256):
        model = lrcore.LinearRegressor(optimizer="adagrad", lr=lr, block_size=block_size)
        lost[block_size] = []
        for start, stop in ((0, 1024), (1024, 1500), (1500, 4096), (4096, 4500), (4500, 6000)):
            model.partial_fit(X[start:stop], y[start:stop])
            lost[block_size].append(np.mean((model.predict(X) - y) ** 2))
    one, many = np.array(lost[1]), np.array(lost[256])
    assert (many <= 1.5 * one + 1e-6).all(), (one, many)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "epsilon_insensitive"])
@pytest.mark.parametrize("kind", KINDS)
def test_so_do_those_of_losses_that_are_straight_in_pieces(loss, kind):
    """What they are curved by on average is the inverse of how far errors are from a kink."""
    rng = np.random.default_rng(5)
    X = rows_of(kind, 6000, rng)
    y = X @ rng.normal(size=X.shape[1]) + 0.01 * rng.normal(size=6000)
    lost = {}
    for block_size in (1, 256):
        model = lrcore.LinearRegressor(
            loss, epsilon=0.003, optimizer="adagrad", lr=0.25, block_size=block_size
        )
        lost[block_size] = []
        for start, stop in ((0, 1024), (1024, 1500), (1500, 4096), (4096, 4500), (4500, 6000)):
            model.partial_fit(X[start:stop], y[start:stop])
            lost[block_size].append(np.mean(np.abs(model.predict(X) - y)))
    one, many = np.array(lost[1]), np.array(lost[256])
    assert (many <= np.array([2.0, 1.5, 1.5, 1.5, 1.5]) * one).all(), (one, many)


def test_calls_of_a_stream_see_the_offsets_of_the_rows_at_hand():
    rng = np.random.default_rng(6)
    X = rng.random((6000, 5)) + 1.0
    offset = np.where(np.arange(6000) < 2000, -3.0, 3.0)
    y = rng.poisson(np.exp(offset + 0.1 * X.sum(axis=1))).astype(float)
    found = []
    for ends in ([6000], [1500, 2300, 4100, 6000]):
        model = lrcore.LinearRegressor("poisson", optimizer="adagrad", lr=0.1)
        start = 0
        for stop in ends:
            model.partial_fit(X[start:stop], y[start:stop], offset=offset[start:stop])
            start = stop
        found.append(model.coef_)
    np.testing.assert_array_equal(*found)
