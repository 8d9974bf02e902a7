"""Dual coordinate ascent: the loop, the optimum, the certificate, bits, and what is refused."""

import os
import signal

import independent_optimum as optimum
import numpy as np
import oracles
import pytest
from backends import use_backend
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from strategies import BUILDS, DTYPES, LOSSES, equal_bits, sparse_problem, targets_for

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore._backend import compiled, shuffle
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers import dual, dual_ascent
from lrcore.penalties import ElasticNet

L2 = 0.02

#: Bounds of the derivatives, of the losses that have one.
BOUNDS = {"hinge": 1.0, "modified_huber": 4.0, "huber": 0.7, "absolute_error": 1.0}


def estimator(loss, **keywords):
    """The estimator for a loss, with the number that tests give it."""
    keywords = {"loss": loss, "solver": "dual", "alpha": L2, "random_state": 0, **keywords}
    keywords = {"max_iter": 5, "tol": None, "scale": None, **keywords}
    if LOSSES[loss].classifies:
        return LinearClassifier(**keywords)
    own = {k: v for k, v in vars(LOSSES[loss]).items() if k in ("epsilon", "quantile")}
    return LinearRegressor(**keywords, **own)


def labels_for(loss, labels, target):
    return labels if LOSSES[loss].classifies else target


def objective(loss, X, y, w, b, alpha=L2, weight=None):
    values = [oracles.loss_and_gradient(loss, z, t)[0] for z, t in zip(X @ w + b, y)]
    return np.average(values, weights=weight) + alpha / 2 * np.sum(np.square(w, dtype=float))


def ascent(X, y, loss, constant, weight=None, intercept=True):
    """One output, before its first visit."""
    objective = Objective(LOSSES[loss], ElasticNet(0.0, L2), intercept)
    problem = Problem(as_design_matrix(X), [y], weight, objective)
    return dual_ascent.DualAscent(problem, y, constant, 1)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("loss", dual.DUAL_LOSSES)
def test_an_epoch_equals_the_plain_loop(loss, intercept, backend):
    X, dense, labels, target = sparse_problem(n_rows=90, n_features=25)
    y = targets_for(LOSSES[loss], labels, target)
    weight = np.random.default_rng(2).uniform(0.2, 2.0, len(y))
    y[::9], weight[::9] = -y[::9], 0.01  # rows that stay far on the wrong side
    order = shuffle.shuffled(len(y), 5)
    order = np.concatenate([order, order])  # the second time from duals that are not 0
    constant = 1.7 if intercept else 0.0
    expected, b, duals = oracles.dual_ascent(dense, y, loss, order, L2, weight, constant)
    assert np.ptp(expected) > 0.1
    assert len(np.unique(duals.round(6))) > 3
    if loss in BOUNDS:
        assert np.isclose(np.abs(duals).max(), BOUNDS[loss])
    for matrix in (X, dense):
        output = ascent(matrix, y, loss, constant, weight, intercept)
        output.visit(order)
        np.testing.assert_allclose(output.weights[:, 0], expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(output.dual, duals, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(output.intercepts, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("loss", dual.DUAL_LOSSES)
def test_fits_end_at_the_minimum(loss, intercept):
    X, y = optimum.problem(loss)
    if not intercept:
        # A column of ones that costs nothing to speak of is what the solvers' intercept becomes.
        X = np.column_stack([X[:, :3], np.ones(len(y))])
    tol = 1e-6
    model = estimator(loss, alpha=optimum.ALPHA, fit_intercept=intercept, tol=tol, max_iter=4000)
    model.fit(X, y)
    w, b = np.ravel(model.coef_), float(model.intercept_[0])
    got = optimum.objective(loss, "l2", X, y, w, b)
    solver = optimum.piecewise_minimum if loss in optimum.PIECES else optimum.smooth_minimum
    if intercept:
        expected = solver(loss, "l2", X, y)
        assert expected * (1 - 1e-6) <= got <= expected * (1 + 1e-5)
        # The certificate holds: SLSQP is known to 1e-6, so no further.
        assert got - expected <= (model.dual_gap_ + 1e-6) * got
    assert 0 <= model.dual_gap_ <= tol
    assert 1 < model.n_iter_ < 4000
    # No direction leads down: the minimum for either.
    for at in range(len(w) + intercept):
        step = np.eye(len(w) + 1)[at] * 0.01
        for sign in (-1, 1):
            moved = w + sign * step[:-1], b + sign * step[-1]
            assert optimum.objective(loss, "l2", X, y, *moved) > got


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("intercept", [False, True])
def test_the_certificate_bounds_the_distance_to_the_minimum(intercept, dtype):
    X, dense, labels, _ = sparse_problem(dtype=dtype)
    y, weight = np.where(labels, 1.0, -1.0), np.random.default_rng(2).uniform(0.2, 2.0, len(labels))
    keywords = {"fit_intercept": intercept, "shuffle": False}
    exact = estimator("log_loss", tol=1e-13, max_iter=2000, **keywords)
    exact.fit(dense.astype(float), labels, weight)
    wide = dense.astype(float)
    best = objective("log_loss", wide, y, exact.coef_[0], exact.intercept_[0], weight=weight)
    gaps = []
    for max_iter in (1, 2, 3, 5, 8, 12, 30):
        model = estimator("log_loss", max_iter=max_iter, **keywords).fit(X, labels, weight)
        got = objective("log_loss", wide, y, model.coef_[0], model.intercept_[0], weight=weight)
        rounding = 1e-7 if dtype == np.float32 else 1e-13
        assert -1e-12 <= (got - best) / got <= model.dual_gap_ + rounding
        assert len(model.loss_curve_) == model.n_iter_ == max_iter
        gaps.append(model.dual_gap_)
    assert gaps[0] > 1e-3
    assert gaps[-1] < (1e-6 if dtype == np.float32 else 1e-5)
    assert gaps == sorted(gaps, reverse=True)


def test_the_certificate_counts_an_intercept_out_of_place():
    """Its feature is next to 0: the dual variables converge without it, and do not sum to 0."""
    _, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    y[np.arange(300) % 4 > 0] = 1.0
    output = ascent(dense, y, "log_loss", 1e-12)
    for _ in range(60):
        _, gap, _ = output.visit(np.arange(300))
    assert gap < 1e-9
    exact = estimator("log_loss", tol=1e-9, max_iter=2000).fit(dense, y > 0)
    best = objective("log_loss", dense, y, exact.coef_[0], exact.intercept_[0])
    got = objective("log_loss", dense, y, output.weights[:, 0], output.intercepts[0])
    assert 0.05 < (got - best) / got <= output.certify()
    # The same gap from its definition, in units of l2.
    _, share, _, duals = output.records.T
    duals = dual_ascent.balanced(duals, share)
    assert abs(share @ duals) < 1e-12
    v = -(share * duals) @ dense
    bound = -share @ LOSSES["log_loss"].conjugate(duals, y) - v @ v / 2
    np.testing.assert_allclose(output.certify(), (got / L2 - bound) / (got / L2), rtol=1e-9)


def test_weights_that_drifted_are_summed_up_anew(monkeypatch):
    """In float32, once the rounding of many visits could be seen in the gap."""
    X, dense, labels, _ = sparse_problem(dtype=np.float32)
    y = np.where(labels, 1.0, -1.0)
    output = ascent(X, y, "log_loss", 0.0, intercept=False)
    for _ in range(40):
        output.visit(np.arange(len(y)))
    output.v += np.float32(1e-4)
    output.rounded = 10**12
    assert output.certify() < 1e-6
    assert output.rounded == 0
    exact = -(output.records[:, dual_ascent.SHARE] * output.dual) @ dense.astype(float)
    np.testing.assert_allclose(output.weights[:, 0], exact, rtol=1e-6, atol=1e-7)


def fitted(X, y, loss, **keywords):
    weight = np.random.default_rng(2).uniform(0.2, 2.0, X.shape[0])
    model = estimator(loss, max_iter=8, **keywords).fit(X, y, weight)
    return model.coef_, model.intercept_, model.loss_curve_, np.float64(model.dual_gap_)


@pytest.mark.parametrize("layout", ["csr32", "csr64", "dense"])
@pytest.mark.parametrize("loss", dual.DUAL_LOSSES)
def test_bits_do_not_depend_on_build_or_threads(loss, layout, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    for dtype in DTYPES:
        X, dense, labels, target = sparse_problem(dtype=dtype)
        y = labels_for(loss, labels, target)
        if LOSSES[loss].classifies:
            y = y + (target > 1)  # three classes, three outputs
        matrix = dense
        if layout != "dense":
            matrix = sparse.csr_matrix(X)
            matrix.indices = matrix.indices.astype("i4" if layout == "csr32" else "i8")
            matrix.indptr = matrix.indptr.astype(matrix.indices.dtype)
        results = []
        for build in BUILDS:
            use_backend(monkeypatch, build)
            for n_threads in (1, 2, 3, 7):
                results.append(fitted(matrix, y, loss, n_threads=n_threads))
        assert np.ptp(results[0][0]) > 0
        assert results[0][0].dtype == dtype
        for other in results[1:]:
            assert all(equal_bits(a, b) for a, b in zip(other, results[0]))


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_error"])
def test_a_copy_of_the_rows_changes_nothing_but_their_order(loss, monkeypatch, build):
    """Reordered after three epochs, features renumbered, and without those that never come up."""
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    copies, copied = [], reorder.reorder
    monkeypatch.setattr(reorder, "reorder", lambda *a: copies.append(copied(*a)) or copies[-1])
    X, dense, labels, target = sparse_problem(n_rows=60)
    y = labels_for(loss, labels, target)
    got = estimator(loss, max_iter=400, tol=1e-6).fit(X, y)
    plain = estimator(loss, max_iter=400, tol=1e-6).fit(dense, y)
    assert len(copies) == 1
    assert max(got.dual_gap_, plain.dual_gap_) <= 1e-6
    assert np.ravel(got.coef_)[7] == 0  # the column that is empty
    np.testing.assert_allclose(got.coef_, plain.coef_, atol=1e-2)


def test_outputs_are_fitted_by_themselves():
    X, _, labels, target = sparse_problem()
    both = estimator("squared_error", max_iter=4).fit(X, np.column_stack([target, -2 * target]))
    one = estimator("squared_error", max_iter=4).fit(X, target)
    assert equal_bits(both.coef_[0], one.coef_)
    np.testing.assert_allclose(both.coef_[1], -2 * one.coef_, rtol=1e-12)
    classes = labels + (target > 1)
    three = estimator("log_loss", max_iter=4, multi_class="ovr").fit(X, classes)
    last = estimator("log_loss", max_iter=4).fit(X, classes == 2)
    assert equal_bits(three.coef_[2], last.coef_[0])
    assert three.score(X, classes) > 0.8
    assert three.predict_proba(X).shape == (300, 3)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "squared_error", "softmax"])
def test_a_row_of_weight_two_counts_as_two(loss):
    X, dense, labels, target = sparse_problem()
    y = labels + (target > 1) if loss == "softmax" else labels_for(loss, labels, target)
    loss = "log_loss" if loss == "softmax" else loss
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    keywords = {"tol": 1e-12, "max_iter": 3000, "alpha": 0.1}
    a = estimator(loss, **keywords).fit(X, y, weight)
    b = estimator(loss, **keywords).fit(dense.repeat(weight, 0), y.repeat(weight))
    equal = estimator(loss, **keywords).fit(X[weight > 0], y[weight > 0])
    assert not np.allclose(equal.coef_, a.coef_, atol=1e-3)
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-6)
    assert max(a.dual_gap_, b.dual_gap_) <= 1e-12


def test_rows_and_features_without_values():
    X = sparse.csr_matrix(np.zeros((4, 3)))
    for loss in dual.DUAL_LOSSES:
        y = labels_for(loss, np.array([0, 1, 1, 1]), np.array([0.0, 1.0, 1.0, 1.5]))
        model = estimator(loss, max_iter=300).fit(X, y)
        assert not model.coef_.any()
        assert np.isfinite(model.intercept_).all()
        assert model.dual_gap_ < 1e-3


def test_saved_and_used(tmp_path):
    X, _, labels, _ = sparse_problem()
    model = estimator("log_loss", tol=1e-4, max_iter=100).fit(X, labels)
    lrcore.save(model, tmp_path / "model")
    back = lrcore.load(tmp_path / "model")
    assert equal_bits(back.coef_, model.coef_)
    assert equal_bits(back.predict_proba(X), model.predict_proba(X))
    assert back.dual_gap_ == model.dual_gap_
    assert model.t_ == model.n_iter_ * 300


def test_max_iter_that_ends_first_warns():
    X, _, labels, _ = sparse_problem()
    with pytest.warns(ConvergenceWarning, match=r"gap is .* after max_iter=2 epochs, above tol=1e"):
        model = estimator("log_loss", tol=1e-9, max_iter=2).fit(X, labels)
    assert model.dual_gap_ > 1e-9


@pytest.mark.parametrize(
    "keywords, message",
    [
        (
            {"solver": "lbfgs"},
            "solver must be 'auto', 'stochastic', 'dual' or 'newton', got 'lbfgs'",
        ),
        ({"loss": "perceptron"}, "one of log_loss, hinge, .*, got 'perceptron'; solver='stoch"),
        ({"penalty": "l1"}, "with l1_ratio < 1, and alpha > 0, got penalty='l1', .*='newton' and"),
        ({"penalty": None}, "needs penalty='l2', or 'elasticnet' .* got penalty=None"),
        ({"alpha": 0.0}, "needs penalty='l2', or 'elasticnet' .* got .* alpha=0.0"),
        ({"penalty": "elasticnet", "l1_ratio": 1}, "got penalty='elasticnet', .* l1_ratio=1;"),
        ({"average": True}, "solver='dual' needs average=False, got True: its weights follow"),
        ({"on_divergence": "recover"}, "needs on_divergence='raise', got 'recover': it has no"),
    ],
)
def test_what_it_cannot_do_is_refused(keywords, message):
    X, _, labels, _ = sparse_problem()
    with pytest.raises(ValueError, match=message):
        LinearClassifier(**{"solver": "dual", **keywords}).fit(X, labels)


def test_what_comes_with_rows_is_refused():
    X, _, labels, target = sparse_problem()
    with pytest.raises(ValueError, match="partial_fit needs solver='stochastic'"):
        estimator("log_loss").partial_fit(X, labels, classes=[0, 1])
    with pytest.raises(ValueError, match="got 'poisson'"):
        LinearRegressor("poisson", solver="dual").fit(X, np.abs(target))
    far = estimator("squared_error", fit_intercept=False)
    with pytest.raises(FloatingPointError, match="scale the columns of X"):
        far.fit(np.full((3, 1), 1e200), [0.0, 1.0, -1.0])


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_what_was_learnt(monkeypatch):
    monkeypatch.setattr(dual, "CHUNK_ROWS", 100)
    X, _, labels, _ = sparse_problem()
    rows = []

    def interrupt(progress):
        rows.append(progress.rows)
        if progress.epoch == 1 and progress.rows == 200:
            os.kill(os.getpid(), signal.SIGINT)

    model = estimator("log_loss", max_iter=50)
    with pytest.raises(KeyboardInterrupt, match="in epoch 2 of 50; the estimator has"):
        model.fit(X, labels, callback=interrupt)
    assert rows == [100, 200, 300, 100, 200]
    assert model.n_iter_ == 2
    assert 0 < model.dual_gap_ < 1
    assert model.score(X, labels) > 0.8
