"""Dual coordinate ascent of the multinomial log loss: loop, optimum, certificate, bits."""

import independent_optimum as optimum
import numpy as np
import oracles
import pytest
from backends import use_backend
from scipy import sparse
from strategies import BUILDS, DTYPES, equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier
from lrcore._backend import compiled, shuffle
from lrcore.linear_model import duality
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers import dual_ascent
from lrcore.losses import Softmax
from lrcore.penalties import ElasticNet

L2 = 0.02


def problem(n_classes=3, dtype=np.float64, **keywords):
    """Sparse rows, the same dense, classes of which the last is rare, weights."""
    X, dense, _, target = sparse_problem(dtype=dtype, **keywords)
    bounds = np.quantile(target, np.append(np.arange(1, n_classes - 1) / (n_classes - 1), 0.98))
    y = np.searchsorted(bounds, target)
    assert len(np.unique(y)) == n_classes
    return X, dense, y, np.random.default_rng(2).uniform(0.2, 2.0, len(y))


def estimator(**keywords):
    usual = {"solver": "dual", "alpha": L2, "random_state": 0, "max_iter": 5, "tol": None}
    return LinearClassifier(**{**usual, "scale": None, **keywords})


def ascent(X, y, n_classes, constant, weight=None):
    """Before the first visit."""
    objective = Objective(Softmax(n_classes), ElasticNet(0.0, L2), constant > 0)
    problem = Problem(as_design_matrix(X), [y.astype(float)], weight, objective)
    return dual_ascent.DualAscent(problem, problem.targets[0], constant, 1)


@pytest.mark.parametrize("n_classes", [3, 8, 9])
@pytest.mark.parametrize("constant", [0.0, 1.7])
def test_an_epoch_equals_the_plain_loop(constant, n_classes, backend):
    X, dense, y, weight = problem(n_classes, n_rows=90, n_features=25)
    order = shuffle.shuffled(len(y), 5)
    order = np.concatenate([order, order])  # the second time from duals that are not 0
    expected = oracles.softmax_dual_ascent(dense, y, n_classes, order, L2, weight, constant)
    assert np.ptp(expected[0]) > 0.1
    for matrix in (X, dense):
        output = ascent(matrix, y, n_classes, constant, weight)
        output.visit(order)
        got = output.weights.T, output.intercepts, output.dual
        for a, b in zip(got, expected):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
        assert not output.array[:, n_classes:].any()


def test_an_epoch_sums_up_losses_and_gaps(backend):
    """Those of the rows before their visits, as a loop over single visits finds them."""
    X, dense, y, weight = problem(5, n_rows=90, n_features=25)
    output, loss = ascent(X, y, 5, 1.7, weight), Softmax(5)
    sums, label = np.zeros(3), y.astype(float)
    for i in np.concatenate([np.arange(90), np.arange(90)]):
        z = dense[i : i + 1] @ output.weights + output.intercepts
        u, share = output.dual[i : i + 1], output.records[i, dual_ascent.SHARE]
        value = loss.evaluate(z, label[i : i + 1])[0][0]
        product = float(np.sum(u * z))
        gap = value + loss.conjugate(u, label[i : i + 1])[0] - product
        sums += share * np.array([value, gap, -product])
        output.visit(np.array([i]))
    other = ascent(X, y, 5, 1.7, weight)
    found = other.visit(np.arange(90)) + other.visit(np.arange(90))
    np.testing.assert_allclose(found, sums, rtol=1e-10)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_fits_end_at_the_minimum(form, intercept):
    _, X, y, weight = problem(4, n_rows=120, n_features=8)
    tol = 1e-7
    model = estimator(fit_intercept=intercept, tol=tol, max_iter=4000)
    model.fit(form(X), y, weight)
    got = optimum.softmax_objective(X, y, model.coef_, model.intercept_, L2, weight=weight)
    expected = optimum.softmax_minimum(X, y, 4, L2, weight=weight, intercept=intercept)
    assert expected * (1 - 1e-9) <= got <= expected * (1 + tol) + 1e-9
    assert 0 <= model.dual_gap_ <= tol
    assert 1 < model.n_iter_ < 4000
    assert expected < np.log(4) - 0.15


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("intercept", [False, True])
def test_the_certificate_bounds_the_distance_to_the_minimum(intercept, dtype):
    X, dense, y, weight = problem(4, dtype)
    wide, keywords = dense.astype(float), {"fit_intercept": intercept}
    exact = estimator(tol=1e-12, max_iter=4000, **keywords).fit(wide, y, weight)

    def objective(model):
        return optimum.softmax_objective(wide, y, model.coef_, model.intercept_, L2, weight=weight)

    best, gaps = objective(exact), []
    for max_iter in (1, 2, 3, 5, 8, 12, 30, 60):
        model = estimator(max_iter=max_iter, **keywords).fit(X, y, weight)
        got = objective(model)
        rounding = 1e-7 if dtype == np.float32 else 1e-12
        assert -1e-12 <= (got - best) / got <= model.dual_gap_ + rounding
        gaps.append(model.dual_gap_)
    assert gaps[0] > 1e-2
    assert gaps[-1] < 1e-6
    assert gaps == sorted(gaps, reverse=True)


def test_the_certificate_counts_intercepts_out_of_place():
    """Their feature is next to 0: the dual variables converge without it, and do not sum to 0."""
    _, dense, y, weight = problem(4)
    output = ascent(dense, y, 4, 1e-12, weight)
    for _ in range(300):
        _, gap, _ = output.visit(np.arange(300))
    assert gap < 1e-9
    best = optimum.softmax_minimum(dense, y, 4, L2, weight=weight) / L2
    w, b = output.weights.T, output.intercepts
    got = optimum.softmax_objective(dense, y, w, b, L2, weight=weight) / L2
    assert 0.01 < (got - best) / got <= output.certify()
    # No smaller than the gap by its definition, and no more than a few times as large.
    label, share = output.records[:, :2].T
    duals = duality.mixed(output.dual, share, label)[0]
    np.testing.assert_allclose(share @ duals, 0, atol=1e-12)
    v = -(share[:, None] * duals).T @ dense
    bound = -share @ Softmax(4).conjugate(duals, label) - np.sum(v * v) / 2
    assert (got - bound) / got <= output.certify() < 3 * (got - bound) / got


def test_weights_that_drifted_are_summed_up_anew():
    X, dense, y, _ = problem(4, np.float32)
    output = ascent(X, y, 4, 0.0)
    for _ in range(40):
        output.visit(np.arange(len(y)))
    output.v += np.float32(1e-4)
    output.rounded = 10**12
    assert output.certify() < 1e-6
    assert output.rounded == 0
    exact = -(output.records[:, dual_ascent.SHARE, None] * output.dual).T @ dense.astype(float)
    np.testing.assert_allclose(output.weights.T, exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("layout", ["csr32", "csr64", "ones", "dense"])
@pytest.mark.parametrize("n_classes", [3, 9])
def test_bits_do_not_depend_on_build_or_threads(n_classes, layout, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    for dtype in DTYPES:
        X, dense, y, weight = problem(n_classes, dtype)
        matrix = dense
        if layout != "dense":
            matrix = sparse.csr_matrix(X.astype(bool).astype(dtype) if layout == "ones" else X)
            matrix.indices = matrix.indices.astype("i8" if layout == "csr64" else "i4")
            matrix.indptr = matrix.indptr.astype(matrix.indices.dtype)
        results = []
        for build in BUILDS:
            use_backend(monkeypatch, build)
            for n_threads in (1, 2, 3, 7):
                model = estimator(max_iter=8, n_threads=n_threads).fit(matrix, y, weight)
                numbers = model.coef_, model.intercept_, model.loss_curve_, model.dual_gap_
                results.append([np.asarray(each) for each in numbers])
        assert np.ptp(results[0][0]) > 0
        assert results[0][0].dtype == dtype
        for other in results[1:]:
            assert all(equal_bits(a, b) for a, b in zip(other, results[0]))


def test_what_auto_means():
    X, _, y, _ = problem(3)
    auto, softmax, ovr = (
        estimator(multi_class=word, max_iter=4).fit(X, y) for word in ("auto", "softmax", "ovr")
    )
    assert equal_bits(auto.coef_, softmax.coef_)
    assert not np.allclose(auto.coef_, ovr.coef_)
    one = estimator(multi_class="softmax", max_iter=4).fit(X, y == 2)
    assert equal_bits(ovr.coef_[2], one.coef_[0])
    hinge = estimator(loss="hinge", max_iter=4).fit(X, y)
    assert hinge.coef_.shape == (3, 60)


def test_rows_without_values_have_the_shares_of_their_classes():
    X, y = sparse.csr_matrix((6, 3)), np.array([0, 1, 1, 2, 2, 2])
    for matrix in (X, X.toarray()):
        model = estimator(max_iter=500, tol=1e-6).fit(matrix, y)
        assert not model.coef_.any()
        np.testing.assert_allclose(model.predict_proba(matrix)[0], [1 / 6, 2 / 6, 3 / 6], atol=1e-3)
        assert model.dual_gap_ <= 1e-6


def test_saved_and_used(tmp_path):
    X, dense, y, _ = problem(4)
    model = estimator(tol=1e-4, max_iter=100).fit(X, y)
    z = dense @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(model.decision_function(X), z, rtol=1e-12)
    lrcore.save(model, tmp_path / "model")
    back = lrcore.load(tmp_path / "model")
    assert equal_bits(back.coef_, model.coef_)
    assert equal_bits(back.predict_proba(X), model.predict_proba(X))
    assert model.t_ == model.n_iter_ * 300
