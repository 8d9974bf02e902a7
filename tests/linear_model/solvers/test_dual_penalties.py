"""Dual coordinate ascent with factors of the penalties, scales of the columns, and an l1 part."""

import independent_optimum as optimum
import numpy as np
import oracles
import pytest
from backends import use_backend
from scipy import sparse
from strategies import BUILDS, DTYPES, LOSSES, equal_bits, sparse_problem, targets_for

from lrcore import LinearClassifier, LinearRegressor
from lrcore._backend import compiled, shuffle
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers import dual, dual_ascent
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.losses import Softmax
from lrcore.penalties import ElasticNet

L1, L2 = 0.004, 0.02
rng = np.random.default_rng(7)
FACTORS = rng.uniform(0.3, 3.0, 25)
SCALE = rng.uniform(0.5, 2.0, 25)

#: Objectives by what is special about their penalty, each with thresholds and factors of 25
#: features as the papers have them.
KINDS = {
    "l1": (ElasticNet(L1, L2), {}, L1 / L2, 1.0),
    "factors": (ElasticNet(0.0, L2), {"penalty_factors": FACTORS}, 0.0, 1 / FACTORS),
    "scale": (
        ElasticNet(L1, L2), {"column_scale": SCALE}, L1 * SCALE / L2, 1 / SCALE**2,
    ),
    "all": (
        ElasticNet(L1, L2), {"penalty_factors": FACTORS, "column_scale": SCALE},
        L1 * FACTORS * SCALE / L2, 1 / (FACTORS * SCALE**2),
    ),
}  # fmt: skip


def estimator(loss="log_loss", **keywords):
    keywords = {"solver": "dual", "alpha": optimum.ALPHA, "random_state": 0, **keywords}
    keywords = {"max_iter": 5, "tol": None, "scale": None, **keywords}
    keywords |= {"l1_ratio": optimum.L1_RATIO}
    if LOSSES[loss].classifies:
        return LinearClassifier(loss, **keywords)
    own = {k: v for k, v in vars(LOSSES[loss]).items() if k in ("epsilon", "quantile")}
    return LinearRegressor(loss, **keywords, **own)


def classes(target, n_classes):
    bounds = np.quantile(target, np.arange(1, n_classes) / n_classes)
    return np.searchsorted(bounds, target)


def ascent(X, y, loss, kind, constant, weight):
    penalty, keywords, *_ = KINDS[kind]
    objective = Objective(loss, penalty, constant > 0, **keywords)
    problem = Problem(as_design_matrix(X), [y.astype(float)], weight, objective)
    return dual_ascent.DualAscent(problem, problem.targets[0], constant, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "huber", "softmax"])
def test_an_epoch_equals_the_plain_loop(loss, kind, backend):
    X, dense, labels, target = sparse_problem(n_rows=90, n_features=25)
    weight, constant = np.random.default_rng(2).uniform(0.2, 2.0, 90), 1.7
    order = shuffle.shuffled(90, 5)
    order = np.concatenate([order, order])
    if loss == "softmax":
        y, made, loop = classes(target, 5), Softmax(5), oracles.softmax_dual_ascent
    else:
        made, loop = LOSSES[loss], oracles.dual_ascent
        y = targets_for(made, labels, target)
    how = (5 if loss == "softmax" else loss, order, L2, weight, constant, *KINDS[kind][2:])
    expected, b, duals = loop(dense, y, *how)
    assert (np.mean(expected == 0) > 0.1) == (kind != "factors")
    assert np.ptp(expected) > 0.1
    for matrix in (X, dense):
        output = ascent(matrix, y, made, kind, constant, weight)
        output.visit(order)
        got = np.squeeze(output.weights.T), np.squeeze(output.intercepts), output.dual
        for a, c in zip(got, (expected, b, duals)):
            np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("factors", [None, np.array([0.5, 3.0, 0.2, 1.0])], ids=["", "factors"])
@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@pytest.mark.parametrize("loss", [loss for loss in dual.DUAL_LOSSES if LOSSES[loss].smooth])
def test_fits_end_at_the_minimum(loss, penalty, factors):
    X, y = optimum.problem(loss)
    keywords = {"penalty": penalty, "penalty_factors": factors, "tol": 1e-7, "max_iter": 8000}
    model = estimator(loss, **keywords).fit(X, y)
    f = 1.0 if factors is None else factors
    w, b = np.ravel(model.coef_), float(model.intercept_[0])
    got = optimum.objective(loss, penalty, X, y, w, b, f)
    expected = optimum.smooth_minimum(loss, penalty, X, y, factors=f)
    assert expected * (1 - 1e-9) <= got <= expected * (1 + 1e-6)
    assert 0 <= model.dual_gap_ <= 1e-7


@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
def test_a_softmax_ends_at_the_minimum(penalty):
    _, X, _, target = sparse_problem(n_rows=120, n_features=8)
    y, factors = classes(target, 4), FACTORS[:8]
    model = estimator(penalty=penalty, penalty_factors=factors, tol=1e-7, max_iter=4000).fit(X, y)
    ratio = optimum.SHARES[penalty]
    w, b = model.coef_, model.intercept_
    got = optimum.softmax_objective(X, y, w, b, optimum.ALPHA, ratio, factors=factors)
    expected = optimum.softmax_minimum(X, y, 4, optimum.ALPHA, ratio, factors=factors)
    assert expected * (1 - 1e-9) <= got <= expected * (1 + 1e-6)
    assert (np.count_nonzero(w == 0) > 4) == (penalty == "elasticnet")


def test_scales_are_columns_divided_by_them():
    X, _, labels, target = sparse_problem(n_rows=90, n_features=25)
    for y, loss in ((np.where(labels, 1.0, -1.0), LOSSES["log_loss"]),
                    (classes(target, 4).astype(float), Softmax(4))):  # fmt: skip
        found = []
        for scale in (None, SCALE):
            matrix = X if scale is not None else X.multiply(1 / SCALE).tocsr()
            objective = Objective(loss, ElasticNet(L1, L2), True, FACTORS, scale)
            problem = Problem(as_design_matrix(matrix), [y], None, objective)
            result = dual.Dual().fit(problem, SolverConfig(3000, 1e-10, random_state=0))
            assert result.dual_gap <= 1e-10
            w, b = result.model.weights
            found.append((w / SCALE if scale is None else w, b))
        for a, b in zip(*found):
            np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("intercept", [False, True])
def test_the_certificate_bounds_the_distance_to_the_minimum(intercept, dtype, n_classes):
    X, dense, _, target = sparse_problem(dtype=dtype)
    y, wide = classes(target, n_classes), dense.astype(float)
    factors = np.random.default_rng(0).uniform(0.3, 3.0, dense.shape[1])
    keywords = {"penalty": "elasticnet", "penalty_factors": factors, "fit_intercept": intercept}
    keywords |= {"alpha": 0.02}
    exact = estimator(tol=1e-12, max_iter=5000, **keywords).fit(wide, y)

    def objective(model):
        w, b = model.coef_.astype(float), model.intercept_.astype(float)
        size = 0.4 * np.abs(w) + 0.3 * w**2
        if n_classes > 2:
            return optimum.softmax_loss(wide, y, w, b) + 0.02 * np.sum(factors * size)
        margins = np.where(y, 1, -1) * (wide @ w[0] + b)
        return np.mean(np.logaddexp(0, -margins)) + 0.02 * np.sum(factors * size)

    best, gaps = objective(exact), []
    for max_iter in (1, 2, 3, 5, 8, 12, 30, 100):
        model = estimator(max_iter=max_iter, **keywords).fit(X, y)
        rounding = 1e-6 if dtype == np.float32 else 1e-11
        got = objective(model)
        assert -1e-12 <= (got - best) / got <= model.dual_gap_ + rounding
        gaps.append(max(model.dual_gap_, 1e-10))
    assert gaps[0] > 1e-3
    assert gaps[-1] < 1e-5
    assert gaps == sorted(gaps, reverse=True)
    assert np.count_nonzero(exact.coef_) < exact.coef_.size * 0.8


@pytest.mark.parametrize("layout", ["csr32", "csr64", "dense"])
@pytest.mark.parametrize("factored", [False, True], ids=["alike", "factors"])
def test_bits_do_not_depend_on_build_or_threads(factored, layout, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    for dtype in DTYPES:
        X, dense, _, target = sparse_problem(dtype=dtype)
        factors = np.random.default_rng(0).uniform(0.3, 3.0, 60) if factored else None
        matrix = dense
        if layout != "dense":
            matrix = sparse.csr_matrix(X)
            matrix.indices = matrix.indices.astype("i4" if layout == "csr32" else "i8")
            matrix.indptr = matrix.indptr.astype(matrix.indices.dtype)
        for loss in ("log_loss", "squared_hinge"):
            results, y = [], classes(target, 3)
            for build in BUILDS:
                use_backend(monkeypatch, build)
                for n_threads in (1, 2, 7):
                    model = estimator(
                        loss, penalty="elasticnet", penalty_factors=factors, max_iter=8,
                        n_threads=n_threads,
                    ).fit(matrix, y)  # fmt: skip
                    numbers = model.coef_, model.intercept_, model.loss_curve_, model.dual_gap_
                    results.append([np.asarray(each) for each in numbers])
            assert np.ptp(results[0][0]) > 0
            for other in results[1:]:
                assert all(equal_bits(a, b) for a, b in zip(other, results[0]))


def test_factors_follow_features_that_are_numbered_anew(monkeypatch, build):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    copies, copied = [], reorder.reorder
    monkeypatch.setattr(reorder, "reorder", lambda *a: copies.append(copied(*a)) or copies[-1])
    X, dense, labels, _ = sparse_problem(n_rows=60)
    factors = np.random.default_rng(0).uniform(0.3, 3.0, 60)
    keywords = {"penalty": "elasticnet", "penalty_factors": factors, "max_iter": 600}
    got = estimator(tol=1e-8, alpha=0.02, **keywords).fit(X, labels)
    plain = estimator(tol=1e-8, alpha=0.02, **keywords).fit(dense, labels)
    assert len(copies) == 1
    assert copies[0].features is not None
    np.testing.assert_allclose(got.coef_, plain.coef_, atol=1e-3)
    assert 0 < np.count_nonzero(got.coef_) < 50


def test_a_factor_of_zero_is_refused():
    X, _, labels, _ = sparse_problem()
    factors = np.ones(60)
    factors[3] = 0.0
    with pytest.raises(ValueError, match=r"above 0, got 0 at position 3: .*'newton' and 'stoch"):
        estimator(penalty_factors=factors).fit(X, labels)
