"""Rows in another order, with features numbered anew, and the state with the old numbers."""

from itertools import pairwise

import numpy as np
import pytest
from backends import use_backend
from linear_fits import LinearFit, fit_config
from scipy import sparse
from strategies import DTYPES, THREADS_AND_BUILDS, equal_bits

import lrcore
from lrcore._backend import compiled
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.layout import LazyPenalty
from lrcore.rules import rule_class


def text_like(n_rows=300, n_features=5000, seed=0, dtype=np.float32, index=np.int32):
    """Rows whose features are of very different frequency; many features never come up."""
    rng = np.random.default_rng(seed)
    popularity = rng.permutation(n_features)
    rows = []
    for _ in range(n_rows):
        ranks = np.unique(np.minimum(rng.zipf(1.3, size=rng.integers(0, 40)), n_features) - 1)
        row = np.zeros(n_features, dtype)
        row[popularity[ranks]] = rng.uniform(0.1, 1.0, len(ranks))
        rows.append(row)
    X = sparse.csr_matrix(np.array(rows))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_reordered_rows_are_the_rows(dtype, index, build):
    X = text_like(dtype=dtype, index=index)
    rows = as_design_matrix(X)
    order = np.random.default_rng(1).permutation(300).astype(np.int64)
    reordered = reorder.reorder(rows, order, slot_bytes=1024)
    assert reordered.features is not None
    assert reordered.X.shape[1] == len(reordered.features) == len(np.unique(X.indices))
    for i in range(300):
        new, values = reordered.X.row(i)
        assert (np.diff(new) > 0).all()
        back = np.zeros(X.shape[1], dtype)
        back[reordered.features[new]] = values
        assert equal_bits(back, X[order[i]].toarray()[0])


def test_frequent_features_come_first(build):
    X = text_like(n_rows=2000)
    reordered = reorder.reorder(
        as_design_matrix(X), np.arange(2000, dtype=np.int64), slot_bytes=1024
    )
    counts = np.bincount(X.indices, minlength=X.shape[1])[reordered.features]
    assert counts.min() > 0
    assert counts.max() >= 64 * np.median(counts)
    # By the binary logarithm, group by group; within a group the old order.
    groups = [slice(0, 1), *(slice(1 << k, 2 << k) for k in range(11))]
    for before, after in pairwise(groups):
        if len(counts[after]):
            assert 2 * counts[before].min() > counts[after].max()
        assert (np.diff(reordered.features[after]) > 0).all()


@pytest.mark.parametrize("n_features", [1, 2, 1023, 1024, 1025, 2047, 2048, 2049, 5000])
def test_groups_of_the_penalties_cover_all_features(n_features, build):
    rows = as_design_matrix(sparse.csr_matrix(np.ones((3, n_features), np.float32)))
    reordered = reorder.reorder(rows, np.arange(3, dtype=np.int64), slot_bytes=1 << 20)
    assert reordered.lazy_penalty.stops[-1] == n_features
    assert (np.diff(reordered.lazy_penalty.stops, prepend=0) > 0).all()
    assert (reordered.lazy_penalty.periods >= 64).all()


def test_penalties_of_rare_features_are_applied_less_often():
    lazy = LazyPenalty.new([10, 1_000, 100_000], [5.0, 5.0, 5.0])
    assert lazy.periods.tolist() == [64, 198, 19_800]


def test_a_small_model_keeps_its_numbers(build):
    X = text_like(n_features=50)
    order = np.arange(300, dtype=np.int64)[::-1].copy()
    reordered = reorder.reorder(as_design_matrix(X), order, slot_bytes=8)
    assert reordered.features is None
    assert equal_bits(reordered.X.values, X[order].data)
    assert np.array_equal(reordered.X.indices, X[order].indices)


def test_a_state_goes_back_to_the_old_numbers(build):
    X = text_like()
    original = as_design_matrix(X)
    reordered = reorder.reorder(original, np.arange(300, dtype=np.int64), slot_bytes=1024)
    fit = LinearFit(fit_config("log_loss", lrcore.AdaGrad()), reordered.X)
    state = fit.state
    state.columns[...] = np.random.default_rng(0).normal(size=state.columns.shape)
    state.step = 7
    whole = reordered.restored(state, fit.updates, original)
    assert whole.step == 7
    assert whole.columns.shape == (2, X.shape[1] + 1)
    assert equal_bits(whole.columns[:, reordered.features], state.columns[:, :-1])
    assert equal_bits(whole.columns[:, -1], state.columns[:, -1])
    absent = np.setdiff1d(np.arange(X.shape[1]), reordered.features)
    assert len(absent) > 100
    assert not whole.columns[:, absent].any()


@pytest.mark.parametrize("penalty", [None, "l2", "l1"])
@pytest.mark.parametrize("rule", ["adagrad", "rmsprop", "sgd"])
def test_a_reordered_fit_has_the_same_bits_for_every_build_and_thread_count(
    rule, penalty, monkeypatch
):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 1024)
    X = text_like(n_rows=200)
    y = np.asarray(X[:, X.getnnz(axis=0).argmax()].toarray()[:, 0] > 0.4)
    results = []
    for n_threads, build in THREADS_AND_BUILDS:
        use_backend(monkeypatch, build)
        clf = lrcore.LinearClassifier(
            optimizer=rule, lr=rule_class(rule).linear_lr, penalty=penalty, alpha=1e-4,
            n_threads=n_threads, random_state=0, max_iter=reorder.MIN_EPOCHS,
        ).fit(X, y)  # fmt: skip
        results.append(np.append(clf.coef_, clf.intercept_))
    assert np.ptp(results[0]) > 0.01
    assert all(equal_bits(result, results[0]) for result in results)


def test_renumbering_changes_nothing_but_rounding(monkeypatch):
    X = text_like(n_rows=400, dtype=np.float64)
    y = np.asarray(X[:, X.getnnz(axis=0).argmax()].toarray()[:, 0] > 0.4)
    coefs = []
    for cache in (1024, 1 << 30):
        monkeypatch.setattr(compiled, "CACHE_BYTES", cache)
        clf = lrcore.LinearClassifier(
            penalty=None, random_state=0, max_iter=reorder.MIN_EPOCHS
        ).fit(X, y)
        coefs.append(clf.coef_)
    assert not equal_bits(*coefs)
    np.testing.assert_allclose(coefs[0], coefs[1], rtol=1e-7, atol=1e-9)


def test_penalties_go_on_after_a_reordered_fit(monkeypatch):
    """Rows that touch nothing but one feature let all others shrink, renumbered before or not."""
    X = text_like(n_rows=400, dtype=np.float64)
    y = np.asarray(X[:, X.getnnz(axis=0).argmax()].toarray()[:, 0] > 0.4)
    shrunk = []
    for cache in (1024, 1 << 30):
        monkeypatch.setattr(compiled, "CACHE_BYTES", cache)
        clf = lrcore.LinearClassifier(
            lr=0.5, alpha=0.01, random_state=0, max_iter=reorder.MIN_EPOCHS
        ).fit(X, y)
        before = np.abs(clf.coef_).sum()
        for _ in range(3):
            clf.partial_fit(X[:100] * 0.0, y[:100])
        shrunk.append(np.abs(clf.coef_).sum() / before)
    assert max(shrunk) < 0.9
    assert shrunk[0] == pytest.approx(shrunk[1], rel=0.1)
