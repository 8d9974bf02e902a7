"""Fits over partitions, in this process: the minimum, its certificate, and the same bits."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from independent_optimum import (
    ALPHA,
    L1_RATIO,
    N_ROWS,
    PIECES,
    SHARES,
    objective,
    piecewise_minimum,
    problem,
    smooth_minimum,
)
from partitions import bits_of, cut, fit_parts, same_bits, words
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from strategies import LOSSES

import lrcore
from lrcore.distributed import fit, starts
from lrcore.distributed.rounds import LocalRounds
from lrcore.distributed.rows import BadPartitionError

CONVEX = [name for name in LOSSES if name != "perceptron" and LOSSES[name].convex]


def model_of(loss, **keywords):
    keywords = {"alpha": ALPHA, "scale": None, "tol": 1e-4, "max_iter": 3000, **keywords}
    if LOSSES[loss].classifies:
        return lrcore.LinearClassifier(loss, **keywords)
    number = {"epsilon": 0.5, "quantile": 0.5, "power": 1.5}
    own = {k: v for k, v in vars(LOSSES[loss]).items() if k in number}
    return lrcore.LinearRegressor(loss, **keywords, **{**number, **own})


@pytest.mark.parametrize("penalty", [name for name in SHARES if name])
@pytest.mark.parametrize("loss", CONVEX)
def test_fits_end_within_their_gap_of_the_minimum(loss, penalty):
    X, y = problem(loss)
    model = model_of(loss, penalty=penalty, l1_ratio=L1_RATIO)
    result, _ = fit_parts(model, cut([7, 25, 25, 41], X, y))
    (w,), (b,) = result.model.weights
    got = objective(loss, penalty, X, y, w, b)
    solver = piecewise_minimum if loss in PIECES else smooth_minimum
    expected = solver(loss, penalty, X, y)
    least = np.mean(LOSSES[loss].least(y))
    assert result.dual_gap <= 1e-4
    assert got <= expected + result.dual_gap * (got - least) + 1e-9 * abs(expected)
    assert got >= expected - 1e-7 * abs(expected)


def test_without_a_penalty_it_ends_at_the_minimum():
    X, y = problem("squared_error")
    result, _ = fit_parts(model_of("squared_error", penalty=None), cut([20], X, y))
    expected, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(N_ROWS)]), y)
    (w,), (b,) = result.model.weights
    np.testing.assert_allclose([*w, b], expected, atol=1e-3)
    assert result.dual_gap is None


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_hinge", "huber", "absolute_error"])
@settings(max_examples=8)
@given(data=st.data())
def test_weights_of_rows_are_repetitions(loss, data):
    X, y = problem(loss)
    weight = np.array(data.draw(st.lists(st.integers(0, 3), min_size=N_ROWS, max_size=N_ROWS)))
    if len({*np.asarray(y)[weight > 0].tolist()}) < 2:
        return
    cuts = data.draw(st.lists(st.integers(0, N_ROWS), max_size=5))
    weighed, _ = fit_parts(model_of(loss), cut(cuts, X, y, weight / 7))
    repeated, _ = fit_parts(model_of(loss), [(X.repeat(weight, axis=0), y.repeat(weight))])
    for one, other in zip(weighed.model.weights, repeated.model.weights):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02)


CASES = {
    "classes": (lrcore.LinearClassifier(), None),
    "standardised": (lrcore.LinearClassifier(alpha=0.01, scale="std"), None),
    "balanced": (lrcore.LinearClassifier(alpha=0.01, class_weight="balanced"), None),
    "of several alphas": (lrcore.LinearClassifier(alpha=[0.1, 0.01]), None),
    "without intercept": (lrcore.LinearClassifier(alpha=0.01, fit_intercept=False), None),
    "against the rest": (lrcore.LinearClassifier("squared_hinge", alpha=0.1), None),
    "numbers": (lrcore.LinearRegressor(alpha=0.01), 1),
    "several targets": (lrcore.LinearRegressor(alpha=0.01), 2),
    "counts": (lrcore.LinearRegressor("poisson", alpha=0.01), 1),
}


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=4)
@given(data=st.data())
def test_partitions_change_no_bit(name, kind, data):
    # Features are few, so that the beginning is the minimum over a sample.
    model, n_targets = CASES[name]
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    order = rng.permutation(len(X))
    X, y = X[order] * [1e3, 1.0, 1.0, 1e-3], y[order]
    if n_targets is not None:
        y = X[:, 0] if n_targets == 1 else X[:, :2]
        y = np.floor(np.abs(y) * 1e-3) if "poisson" in str(model.loss) else y
    weight = rng.integers(0, 4, len(X)) * 0.3
    rows = sparse.csr_matrix(np.where(np.median(X, axis=0) > X, 0.0, X)) if kind == "sparse" else X
    cuts = data.draw(st.lists(st.integers(0, len(X)), min_size=1, max_size=6))
    whole, _ = fit_parts(model, [(rows, y, weight)])
    parts, _ = fit_parts(model, cut(cuts, rows, y, weight))
    assert same_bits(whole, parts)
    assert np.ptp(whole.model.weights[0]) > 0
    assert len(whole.history["gap"]) >= 1


def test_l1_gives_zeros_and_the_same_bits():
    X, y = words()
    model = lrcore.LinearClassifier(penalty="l1", alpha=5e-3)
    found = [fit_parts(model, cut(cuts, X, y))[0] for cuts in ([], [1, 30, 200])]
    assert same_bits(*found)
    local = lrcore.LinearClassifier(penalty="l1", alpha=5e-3, tol=1e-6).fit(X, y)
    ours = found[0].model.weights[0]
    assert 0 < np.count_nonzero(ours) < 0.3 * ours.size
    assert np.mean((ours != 0) == (local.coef_ != 0)) > 0.95


def test_workers_in_any_order_change_no_bit():
    X, y = words()
    parts = cut([10, 150, 151, 300], X, y)
    model = lrcore.LinearClassifier(alpha=1e-3)
    expected, _ = fit_parts(model, parts)
    with ThreadPoolExecutor(3) as pool:
        got, _ = fit_parts(model, parts, LocalRounds(pool))
    assert same_bits(expected, got)

    class Backwards(LocalRounds):
        def total(self, function, *parts, shared=(), merge):
            backwards = [part[::-1] for part in parts]
            return super().total(function, *backwards, shared=shared, merge=merge)

    got, _ = fit_parts(model, parts, Backwards())
    assert same_bits(expected, got)


def test_only_the_dual_start_depends_on_the_partitions(monkeypatch):
    X, y = words()
    model = lrcore.LinearClassifier(alpha=1e-3)
    found = [fit_parts(model, cut(cuts, X, y))[0] for cuts in ([], [100, 300])]
    assert not same_bits(*found)
    monkeypatch.setattr(starts, "DUAL_ROUNDS", 0)
    found = [fit_parts(model, cut(cuts, X, y))[0] for cuts in ([], [100, 300], [3, 3, 399])]
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_hinge"])
@pytest.mark.parametrize("ordered", [False, True])
def test_a_dual_start_saves_rounds_or_is_dropped(loss, ordered, monkeypatch):
    X, y = words(1500)
    if ordered:
        order = np.argsort(y, kind="stable")
        X, y = X[order], y[order]
    model = model_of(loss, alpha=1 / 1500, tol=1e-3)
    parts = cut([400, 800, 1200], X, y)
    with_start, _ = fit_parts(model, parts)
    monkeypatch.setattr(starts, "DUAL_ROUNDS", 0)
    without, _ = fit_parts(model, parts)
    local = model_of(loss, alpha=1 / 1500, tol=1e-5).fit(X, y)
    one, _ = local._problem(X, y, None)
    least = local._trained.objective_value(one, 1)
    for result in (with_start, without):
        assert result.dual_gap <= 1e-3
        got = result.model.objective_value(one, 1)
        assert least * (1 - 1e-4) <= got <= least * (1 + result.dual_gap)
    if not ordered:
        first, other = with_start.history["objective"], without.history["objective"]
        assert first[0] < 0.7 * other[0]


def test_the_softmax_has_its_certificate():
    X, y = load_iris(return_X_y=True)
    result, classes = fit_parts(model_of("log_loss", alpha=1e-3), cut([50, 100], X, y))
    local = lrcore.LinearClassifier(alpha=1e-3, scale=None, tol=1e-9).fit(X, y)
    assert classes.values.tolist() == [0, 1, 2]
    assert result.model.weights[0].shape == (3, 4)
    np.testing.assert_allclose(result.model.weights[0], local.coef_, rtol=0.02, atol=0.01)
    least = local._trained.objective_value(local._problem(X, y, None)[0], 1)
    got = result.model.objective_value(local._problem(X, y, None)[0], 1)
    assert least * (1 - 1e-6) <= got <= least * (1 + result.dual_gap) < least * 1.0002


def test_alpha_is_that_of_one_machine():
    X, y = load_iris(return_X_y=True)
    y = (y == 1).astype(int)
    local = lrcore.LinearClassifier().fit(X, y)
    result, _ = fit_parts(lrcore.LinearClassifier(), cut([30, 90], X, y))
    assert result.alpha == local.alpha_
    np.testing.assert_allclose(result.alpha_path.losses, local.alpha_losses_, rtol=1e-6)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "squared_error", "poisson"])
def test_rows_stay_where_they_are(loss):
    X, y = problem(loss)
    parts = cut([20, 45], X * [1.0, 100.0, 1.0, 1.0], y)

    class Watched(LocalRounds):
        def each(self, function, *parts, shared=()):
            found = super().each(function, *parts, shared=shared)
            assert not any(hasattr(part, "X") for part in found)
            return found

    model = model_of(loss, scale="auto")
    result, _ = fit_parts(model, parts, Watched(), samples=False)
    expected, _ = fit_parts(model, parts)
    assert result.dual_gap <= 1e-4
    for one, other in zip(result.model.weights, expected.model.weights):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02)
    with pytest.raises(ValueError, match="alpha='auto' is found by a sample of the rows"):
        fit_parts(model_of(loss, alpha="auto"), parts, samples=False)


def test_alpha_of_a_sample_is_taken_over_at_the_same_c(monkeypatch):
    X, y = words(600)
    monkeypatch.setattr(fit, "SAMPLED_FOR_ALPHA", 200)
    result, _ = fit_parts(lrcore.LinearClassifier(scale=None), cut([250], X, y))
    sampled = np.sort(random.Random(fit.SEED).sample(range(600), 200))
    local = lrcore.LinearClassifier(scale=None).fit(X[sampled], y[sampled])
    # Trial fits end at a gap of 3e-2 and go over the rows in another order.
    assert result.alpha == pytest.approx(local.alpha_ / 3, rel=0.25)


def test_an_offset_counts_as_on_one_machine():
    rng = np.random.default_rng(0)
    X, offset = rng.normal(size=(300, 3)), rng.normal(size=300)
    y = rng.poisson(np.exp(X @ [0.5, -0.3, 0.1] + offset))
    model = lrcore.LinearRegressor("poisson", alpha=1e-3)
    local = lrcore.LinearRegressor("poisson", alpha=1e-3, tol=1e-8).fit(X, y, offset=offset)
    result, _ = fit_parts(model, cut([100], X, y, None, offset))
    np.testing.assert_allclose(result.model.weights[0][0], local.coef_, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_do_not_matter(unit):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) * [unit, 1.0, 1.0] + [0.0, 1e3, 0.0]
    y = X @ [1 / unit, 2.0, 3.0] * unit
    result, _ = fit_parts(lrcore.LinearRegressor(), cut([100, 200], X, y))
    assert result.model.weights[0][0] * [unit, 1, 1] / unit == pytest.approx([1, 2, 3], rel=1e-3)


@pytest.mark.parametrize("scale", [None, "std"])
def test_a_constant_column_does_no_harm(scale):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X[:, 1] = 1e6 + 0.1
    y = (X[:, 0] + 0.3 * rng.normal(size=300) > 0).astype(int)
    result, _ = fit_parts(lrcore.LinearClassifier(alpha=1e-2, scale=scale), cut([100], X, y))
    local = lrcore.LinearClassifier(alpha=1e-2, scale=scale).fit(X, y)
    assert result.dual_gap <= 1e-3
    np.testing.assert_allclose(result.model.weights[0], local.coef_, rtol=0.05, atol=0.01)
    assert len(result.history["gap"]) < 30


def test_the_end_says_how_far_it_is():
    X, y = words()
    with pytest.warns(ConvergenceWarning, match=r"gap is about .* after 4 rounds, above tol=1e-06"):
        result, _ = fit_parts(
            lrcore.LinearClassifier(alpha=1e-5, max_iter=4, tol=1e-6), cut([200], X, y)
        )
    assert result.history["epoch"].tolist() == [4]
    assert result.history["bytes"][0] > 4 * X.shape[1]


def test_records_are_of_each_round():
    X, y = words()
    result, _ = fit_parts(lrcore.LinearClassifier(alpha=1e-3), cut([200], X, y))
    history = result.history
    assert (np.diff(history["epoch"]) == 1).all()
    assert (np.diff(history["objective"]) <= 0).all()
    assert (np.diff(history["seconds"]) > 0).all()
    assert (np.diff(history["bytes"]) > 0).all()
    assert history["gap"][-1] <= 1e-3


def refused(parts, match, model=None):
    with pytest.raises((BadPartitionError, ValueError), match=match):
        fit_parts(model or lrcore.LinearClassifier(), parts)


def test_partitions_that_do_not_fit_are_named():
    X, y = load_iris(return_X_y=True)
    y = (y > 0).astype(int)
    refused([(X, y), (X[:, :3], y)], "partition 1 has 3 features, and partition 0 has 4")
    refused([(X, y), (X, y[1:])], "partition 1: y must have one entry for each of the 150 rows")
    bad = X.copy()
    bad[3, 1] = np.nan
    refused([(X, y), (bad, y)], "partition 1: X has NaN in row 3, column 1")
    refused([(X, y), (X, np.where(y, "a", "b"))], "partition 1 has labels that are strings")
    refused([(X, y * 0), (X, y * 0)], "y has 1 class, 0, in all partitions")
    refused([(X[:0], y[:0])] * 2, "there is no row to learn from in 2 partitions")
    refused([(X, y, -np.ones(150))], "partition 0: sample_weight must be finite and >= 0")
    refused([(X, y, np.zeros(150))] * 2, "sample_weight is zero for every row")
    counts = lrcore.LinearRegressor("poisson")
    refused([(X, y), (X, y - 1.0)], "partition 1: y must be at least 0", counts)


def test_empty_partitions_and_single_classes_are_no_matter():
    X, y = load_iris(return_X_y=True)
    y = (y > 0).astype(int)  # in this order
    expected, _ = fit_parts(lrcore.LinearClassifier(), [(X, y)])
    parts = [(X[:0], y[:0]), (X[:50], y[:50]), (X[50:50], y[50:50]), (X[50:], y[50:])]
    got, _ = fit_parts(lrcore.LinearClassifier(), parts)
    assert same_bits(expected, got)


def test_another_version_on_a_worker_is_refused():
    X, y = load_iris(return_X_y=True)

    class Old(LocalRounds):
        def each(self, function, *parts, shared=()):
            found = super().each(function, *parts, shared=shared)
            if hasattr(found[-1], "version"):
                found[-1] = found[-1]._replace(version="0.0.1")
            return found

    with pytest.raises(BadPartitionError, match=r"partition 1 is on a worker with lrcore 0.0.1"):
        fit_parts(lrcore.LinearClassifier(), cut([70], X, y), Old())


def test_float32_and_float64_partitions_become_float64():
    X, y = load_iris(return_X_y=True)
    y = (y > 0).astype(int)
    single = X.astype(np.float32)
    mixed, _ = fit_parts(
        lrcore.LinearClassifier(), [(single[:70], y[:70]), (single[70:].astype(float), y[70:])]
    )
    whole, _ = fit_parts(lrcore.LinearClassifier(), [(single.astype(float), y)])
    assert mixed.model.dtype == np.float64
    assert same_bits(mixed, whole)


def test_a_pickle_has_the_rows_of_ones_without_their_values():
    import pickle

    from lrcore.linear_model.engine.design_matrix import as_design_matrix

    X = as_design_matrix(sparse.csr_matrix(np.eye(50, dtype=bool)))
    again = pickle.loads(pickle.dumps(X))
    assert again.values.strides == (0,)
    assert np.array_equal(again.matrix().toarray(), np.eye(50))


def test_bits_are_compared():
    X, y = words()
    one, _ = fit_parts(lrcore.LinearClassifier(alpha=1e-3), [(X, y)])
    assert all(part.size for part in bits_of(one))
    other = replace(one, history={**one.history, "gap": one.history["gap"] * (1 + 1e-15)})
    assert not same_bits(one, other)
