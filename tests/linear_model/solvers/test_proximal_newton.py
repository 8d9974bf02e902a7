"""The proximal Newton solver: the minimum, the certificate, working sets, equal bits."""

import os
import signal

import independent_optimum as optimum
import numpy as np
import oracles
import pytest
from backends import use_backend
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from strategies import BUILDS, DTYPES, LOSSES, equal_bits, sparse_problem, targets_for

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model.engine import quadratic
from lrcore.linear_model.solvers import proximal_newton
from lrcore.linear_model.solvers.proximal_newton import NEWTON_LOSSES

#: Ways of a fit: by the Gram matrix of all features, of working sets, by columns of working sets.
ROUTES = ("gram", "working sets", "columns")


@pytest.fixture(params=ROUTES)
def route(request, monkeypatch):
    """Each way, for problems of any size."""
    take(request.param, monkeypatch)
    return request.param


def take(route, monkeypatch):
    if route != "gram":
        monkeypatch.setattr(proximal_newton, "FEW_FEATURES", 0)
        monkeypatch.setattr(proximal_newton, "FIRST_FEATURES", 2)
    if route == "columns":
        monkeypatch.setattr(quadratic, "MOST_GRAM_FEATURES", 0)
    else:
        monkeypatch.setattr(quadratic, "MOST_PRODUCTS", 1e9)


def estimator(loss, **keywords):
    """The estimator for a loss, with the number that tests give it."""
    keywords = {"loss": loss, "solver": "newton", "penalty": "l1", "alpha": 0.02, **keywords}
    keywords = {"tol": 1e-8, "max_iter": 300, "scale": None, **keywords}
    if LOSSES[loss].classifies:
        return LinearClassifier(**keywords)
    own = {k: v for k, v in vars(LOSSES[loss]).items() if k in ("epsilon", "quantile", "power")}
    return LinearRegressor(**keywords, **own)


def objective(model, loss, X, y, weight=None, factors=1.0):
    """The objective of a fitted model, from its parts."""
    w, b = np.ravel(model.coef_).astype(float), float(np.ravel(model.intercept_)[0])
    values = [oracles.loss_and_gradient(loss, z, t)[0] for z, t in zip(X @ w + b, y)]
    l1_share = 1.0 if model.penalty == "l1" else model.l1_ratio
    penalty = l1_share * np.abs(w) + (1 - l1_share) / 2 * np.square(w)
    return np.average(values, weights=weight) + model.alpha * np.sum(factors * penalty)


# ---- the minimum ----------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
@pytest.mark.parametrize("loss", NEWTON_LOSSES)
def test_fits_end_at_the_minimum(loss, penalty, weighted, route):
    X, y = optimum.problem(loss)
    weight = factors = None
    if weighted:
        weight = np.random.default_rng(0).uniform(0.1, 3.0, len(y))
        factors = np.array([0.0, 0.5, 2.0, 1.0])
    keywords = {"alpha": optimum.ALPHA, "l1_ratio": optimum.L1_RATIO, "penalty": penalty}
    model = estimator(loss, **keywords, penalty_factors=factors)
    model.fit(X, y, sample_weight=weight)
    factors = np.ones(4) if factors is None else factors
    got = objective(model, loss, X, y, weight, factors)
    expected = optimum.smooth_minimum(loss, penalty, X, y, weight, factors)
    assert expected - 1e-7 * abs(expected) <= got <= expected + 1e-8 * (abs(expected) + 1)
    assert 0 <= model.dual_gap_ <= 1e-8
    assert 1 <= model.n_iter_ < 100


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_of_rows_has_the_same_minimum(form, dtype, route):
    _, dense, labels, _ = sparse_problem(dtype=dtype)
    tol = 1e-4 if dtype == np.float32 else 1e-8
    model = estimator("log_loss", tol=tol).fit(form(dense), labels)
    exact = estimator("log_loss", tol=1e-12).fit(dense.astype(float), labels)
    assert model.coef_.dtype == dtype
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=200 * tol)
    assert 5 < np.count_nonzero(model.coef_) < 55
    assert np.array_equal(model.coef_ == 0, np.abs(exact.coef_) < 1e-6) or dtype == np.float32


def test_values_that_are_all_one(route):
    X, _, labels, _ = sparse_problem()
    X = X.astype(bool).astype(float)
    a = estimator("log_loss").fit(X, labels)
    b = estimator("log_loss").fit(X.toarray(), labels)
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-5)


def test_no_intercept(route):
    X, dense, _, target = sparse_problem()
    model = estimator("squared_error", fit_intercept=False, alpha=0.05).fit(X, target)
    residual = dense.T @ (dense @ model.coef_ - target) / len(target)
    used = model.coef_ != 0
    np.testing.assert_allclose(residual[used], -0.05 * np.sign(model.coef_[used]), atol=1e-6)
    assert np.abs(residual[~used]).max() <= 0.05 + 1e-6
    assert model.intercept_ == 0


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
def test_softmax(penalty, route):
    """No direction leads down: it is the minimum, since the objective is convex."""
    X, dense, labels, target = sparse_problem(n_rows=200, n_features=12)
    y = labels + (target > 1)
    keywords = {"penalty": penalty, "alpha": 0.01, "multi_class": "softmax"}
    model = estimator("log_loss", **keywords).fit(X, y)
    assert 0 <= model.dual_gap_ <= 1e-8
    assert model.coef_.shape == (3, 12)

    def value(w, b):
        z = dense @ w.T + b
        losses = logsumexp(z, axis=1) - z[np.arange(len(y)), y]
        l1 = 1.0 if penalty == "l1" else model.l1_ratio
        return np.mean(losses) + 0.01 * np.sum(l1 * np.abs(w) + (1 - l1) / 2 * np.square(w))

    w, b = model.coef_, model.intercept_
    got, rng = value(w, b), np.random.default_rng(0)
    for scale in (1e-1, 1e-2, 1e-3):
        for _ in range(20):
            step = scale * rng.normal(size=w.shape) * rng.integers(0, 2, w.shape)
            assert value(w + step, b + scale * rng.normal(size=3)) > got - 1e-8
    assert value(0 * w, b) > got + 0.01


def test_outputs_are_fitted_by_themselves(route):
    X, _, labels, target = sparse_problem()
    both = estimator("squared_error").fit(X, np.column_stack([target, -2 * target]))
    one = estimator("squared_error").fit(X, target)
    assert equal_bits(both.coef_[0], one.coef_)
    classes = labels + (target > 1)
    three = estimator("log_loss", multi_class="ovr").fit(X, classes)
    last = estimator("log_loss").fit(X, classes == 2)
    assert equal_bits(three.coef_[2], last.coef_[0])
    assert three.predict_proba(X).shape == (300, 3)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", "huber", "squared_error"])
def test_targets_far_from_zero(loss, route):
    """Where second derivatives at 0 say nothing of those at the minimum."""
    X, _, _, target = sparse_problem()
    y = 1000.0 + 300.0 * target
    y = y if LOSSES[loss].domain == "any" else np.abs(y) + 1
    for sign in (1, -1) if LOSSES[loss].domain == "any" else (1,):
        model = estimator(loss, alpha=0.1, tol=1e-6).fit(X, sign * y)
        assert model.dual_gap_ <= 1e-6
        assert model.n_iter_ < 200


# ---- the certificate ------------------------------------------------------------------------


# Of an objective next to 0 the reference cannot come to its tolerance; its gap is checked below.
@pytest.mark.filterwarnings("ignore:.*no step leads further down as weights are rounded")
@given(
    st.sampled_from(NEWTON_LOSSES), st.sampled_from(["l1", "elasticnet"]), st.integers(0, 10**6),
    st.integers(1, 4), st.floats(1e-3, 0.3), st.booleans(), st.booleans(), st.sampled_from(ROUTES),
)  # fmt: skip
def test_the_certificate_bounds_the_distance_to_the_minimum(
    loss, penalty, seed, max_iter, alpha, intercept, with_factors, route
):
    rng = np.random.default_rng(seed)
    n_rows, n_features = rng.integers(2, 40), rng.integers(1, 30)
    X = rng.normal(size=(n_rows, n_features)) * (rng.random((n_rows, n_features)) < 0.5)
    labels = rng.random(n_rows) < 0.4
    labels[:2] = True, False
    y = targets_for(LOSSES[loss], labels, rng.normal(size=n_rows))
    weight = rng.uniform(0.1, 2.0, n_rows)
    factors = rng.uniform(0.2, 2.0, n_features) if with_factors else np.ones(n_features)
    keywords = {"penalty": penalty, "alpha": alpha, "fit_intercept": intercept}
    keywords["penalty_factors"] = factors
    least = np.average(LOSSES[loss].least(y), weights=weight)
    with pytest.MonkeyPatch.context() as monkeypatch:
        take(route, monkeypatch)
        model = estimator(loss, **keywords, tol=None, max_iter=max_iter).fit(X, y, weight)
        exact = estimator(loss, **keywords, tol=1e-10, max_iter=1000).fit(X, y, weight)
    both = model, exact
    got, best = (objective(each, loss, X, y, weight, factors) - least for each in both)
    assert exact.dual_gap_ <= 1e-6
    assert -1e-9 <= got - best <= model.dual_gap_ * got + 1e-9


@given(st.sampled_from(NEWTON_LOSSES), st.integers(0, 10**6), st.integers(1, 6))
def test_the_certificate_bounds_it_where_features_are_free(loss, seed, max_iter):
    """Two features are not penalised; rows are so many that a minimum exists."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 8))
    y = targets_for(LOSSES[loss], rng.random(60) < 0.4, rng.normal(size=60))
    factors = np.array([0.0, 1, 1, 0, 1, 2, 1, 1])
    keywords = {"alpha": 0.03, "penalty_factors": factors}
    model = estimator(loss, **keywords, tol=None, max_iter=max_iter).fit(X, y)
    exact = estimator(loss, **keywords, tol=1e-10, max_iter=1000).fit(X, y)
    got, best = (objective(each, loss, X, y, None, factors) for each in (model, exact))
    least = np.mean(LOSSES[loss].least(y))
    assert -1e-9 <= got - best <= model.dual_gap_ * (got - least) + 1e-9


def test_gaps_fall_to_nothing(route):
    X, _, labels, _ = sparse_problem()
    gaps = []
    for max_iter in (1, 2, 4, 30):
        gaps.append(estimator("log_loss", tol=None, max_iter=max_iter).fit(X, labels).dual_gap_)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 1e-3
    assert gaps[-1] < 1e-10


def test_max_iter_that_ends_first_warns():
    X, _, labels, _ = sparse_problem()
    with pytest.warns(ConvergenceWarning, match=r"gap is .* after max_iter=1 steps, above tol=1e"):
        model = estimator("log_loss", tol=1e-9, max_iter=1).fit(X, labels)
    assert model.dual_gap_ > 1e-9
    X = X.astype(np.float32)
    with pytest.warns(ConvergenceWarning, match="as weights are rounded; raise tol=1e-13"):
        model = estimator("log_loss", tol=1e-13).fit(X, labels)
    assert model.dual_gap_ < 1e-5


# ---- the same bits --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csr32", "csr64", "dense"])
def test_bits_do_not_depend_on_build_or_threads(form, route, monkeypatch):
    for loss in ("log_loss", "squared_error", "poisson"):
        for dtype in DTYPES:
            X, dense, labels, target = sparse_problem(dtype=dtype)
            y = labels + (target > 1) if loss == "log_loss" else np.abs(target)
            matrix = dense
            if form != "dense":
                matrix = sparse.csr_matrix(X)
                matrix.indices = matrix.indices.astype("i4" if form == "csr32" else "i8")
                matrix.indptr = matrix.indptr.astype(matrix.indices.dtype)
            weight, results = np.random.default_rng(2).uniform(0.2, 2.0, len(y)), []
            for build in BUILDS:
                use_backend(monkeypatch, build)
                for n_threads in (1, 2, 3, 7):
                    keywords = {"penalty": "elasticnet", "l1_ratio": 0.8, "tol": None}
                    model = estimator(loss, max_iter=5, n_threads=n_threads, **keywords)
                    model.fit(matrix, y, weight)
                    gap = np.float64(model.dual_gap_)
                    results.append((model.coef_, model.intercept_, model.loss_curve_, gap))
            assert np.ptp(results[0][0]) > 0
            assert results[0][0].dtype == dtype
            for other in results[1:]:
                assert all(equal_bits(a, b) for a, b in zip(other, results[0]))


@pytest.mark.parametrize("loss", ["log_loss", "huber", "gamma"])
def test_the_numpy_backend_has_the_same_minimum(loss, route, monkeypatch):
    X, _, labels, target = sparse_problem(n_rows=60, n_features=12)
    y, found = targets_for(LOSSES[loss], labels, target), []
    for name in ("numpy", BUILDS[0]):
        use_backend(monkeypatch, name)
        found.append(estimator(loss).fit(X, y))
    np.testing.assert_allclose(found[0].coef_, found[1].coef_, atol=1e-5)
    assert found[0].n_iter_ == found[1].n_iter_


# ---- weights of rows ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "squared_error", "huber"])
def test_a_row_of_weight_two_counts_as_two(loss, route):
    X, dense, labels, target = sparse_problem()
    y = labels if LOSSES[loss].classifies else target
    weight = np.random.default_rng(0).integers(0, 4, len(labels))
    a = estimator(loss, tol=1e-10).fit(X, y, weight)
    b = estimator(loss, tol=1e-10).fit(dense.repeat(weight, 0), y.repeat(weight))
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-6)
    np.testing.assert_allclose(a.intercept_, b.intercept_, atol=1e-6)


# ---- edges ----------------------------------------------------------------------------------


def largest_alpha(dense, labels):
    """The least strength of l1 at which no feature has a weight."""
    return np.abs(dense.T @ (labels.mean() - labels)).max() / len(labels)


def test_an_alpha_that_leaves_no_weight(route):
    X, dense, labels, _ = sparse_problem()
    most = largest_alpha(dense, labels)
    above = estimator("log_loss", alpha=most * 1.001).fit(X, labels)
    assert not above.coef_.any()
    assert above.n_iter_ == 1
    odds = labels.mean() / (1 - labels.mean())
    np.testing.assert_allclose(above.intercept_, np.log(odds), rtol=1e-6)
    below = estimator("log_loss", alpha=most * 0.99).fit(X, labels)
    assert np.count_nonzero(below.coef_) == 1


def test_columns_that_are_constant_or_twice_there(route):
    _, dense, labels, _ = sparse_problem()
    X = np.column_stack([dense, np.ones(300), dense, np.zeros((300, 2)), dense[:, :3] * 2])
    model = estimator("log_loss").fit(X, labels)
    plain = estimator("log_loss").fit(np.column_stack([dense, dense[:, :3] * 2]), labels)
    y, part = np.where(labels, 1, -1), np.column_stack([dense, dense[:, :3] * 2])
    expected = objective(plain, "log_loss", part, y)
    assert objective(model, "log_loss", X, y) == pytest.approx(expected, abs=1e-8)
    assert not model.coef_[0, 121:123].any()


@pytest.mark.parametrize("loss", NEWTON_LOSSES)
def test_rows_and_features_without_values(loss, route):
    X = sparse.csr_matrix(np.zeros((4, 3)))
    y = targets_for(LOSSES[loss], np.array([0, 1, 1, 1]) > 0, np.array([0.0, 1.0, 1.0, 1.5]))
    for matrix in (X, X.toarray()):
        model = estimator(loss).fit(matrix, y)
        assert not model.coef_.any()
        assert np.isfinite(model.intercept_).all()
        assert model.dual_gap_ <= 1e-8


def test_more_features_than_rows(route):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 400))
    y = X[:, :3] @ [1.0, -1.0, 0.5]
    model = estimator("squared_error", alpha=0.01).fit(X, y)
    assert model.dual_gap_ <= 1e-8
    assert set(np.argsort(-np.abs(model.coef_))[:3]) == {0, 1, 2}


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
def test_one_row(loss, route):
    model = estimator(loss).fit(np.array([[1.0, 2.0]]), [3.0])
    assert not model.coef_.any()
    assert model.predict(np.array([[0.0, 0.0]]))[0] == pytest.approx(3.0, rel=1e-4)


def test_columns_of_any_units(route):
    """The scale of the columns is that of a copy; a model of it is for X as it is."""
    _, dense, labels, _ = sparse_problem()
    units = 10.0 ** np.random.default_rng(0).integers(-3, 4, 60)
    model = estimator("log_loss", scale="max").fit(dense * units, labels)
    largest = np.where(dense.any(axis=0), np.abs(dense).max(axis=0), 1.0)
    exact = estimator("log_loss").fit(dense / largest, labels)
    np.testing.assert_allclose(model.coef_ * units * largest, exact.coef_, atol=1e-5)


# ---- going on, stopping ---------------------------------------------------------------------


def test_a_fit_goes_on_from_the_last_one(route):
    X, _, labels, _ = sparse_problem()
    model = estimator("log_loss", alpha=0.02, warm_start=True).fit(X, labels)
    cold = estimator("log_loss", alpha=0.019).fit(X, labels)
    model.set_params(alpha=0.019).fit(X, labels)
    np.testing.assert_allclose(model.coef_, cold.coef_, atol=1e-5)
    assert model.n_iter_ < cold.n_iter_
    before = model.coef_.copy()
    model.fit(X, labels)
    assert model.n_iter_ == 1
    np.testing.assert_allclose(model.coef_, before, atol=1e-6)
    with pytest.raises(ValueError, match="it had 1 outputs, 60 features, this has 1, 3; set"):
        model.fit(X[:, :3], labels)


def test_rows_held_out_stop_it():
    X, _, labels, _ = sparse_problem()
    keywords = {"alpha": 1e-5, "n_iter_no_change": 1, "tol": 1e-3}
    rows, held_out = (X[:200], labels[:200]), (X[200:], labels[200:])
    model = estimator("log_loss", **keywords).fit(*rows, eval_set=held_out)
    assert len(model.stopping_curve_) == model.n_iter_
    assert model.stopping_curve_[-1] > model.stopping_curve_[:-1].min() - 1e-3
    assert model.dual_gap_ > 1e-3
    early = estimator("log_loss", early_stopping=True, random_state=0).fit(X, labels)
    assert len(early.stopping_curve_) == early.n_iter_


def test_saved_and_used(tmp_path, route):
    X, _, labels, target = sparse_problem()
    for y in (labels, labels + (target > 1)):
        model = estimator("log_loss", multi_class="softmax").fit(X, y)
        lrcore.save(model, tmp_path / "model")
        back = lrcore.load(tmp_path / "model")
        assert equal_bits(back.coef_, model.coef_)
        assert equal_bits(back.predict_proba(X), model.predict_proba(X))
        assert back.dual_gap_ == model.dual_gap_


def test_callbacks_see_each_step_and_stop_it(route):
    X, _, labels, _ = sparse_problem()
    seen = []

    def stop_after_two(event):
        seen.append((event.epoch, event.rows))
        if len(seen) == 2:
            event.stop()

    model = estimator("log_loss", tol=1e-12).fit(X, labels, callback=stop_after_two)
    assert seen == [(0, 300), (1, 300)]
    assert model.n_iter_ == 2
    assert len(model.loss_curve_) == 2
    assert model.dual_gap_ > 1e-12


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_what_was_learnt():
    X, _, labels, _ = sparse_problem()
    model = estimator("log_loss", tol=1e-12)
    with pytest.raises(KeyboardInterrupt, match="in epoch 1 of 300; the estimator has"):
        model.fit(X, labels, callback=lambda event: os.kill(os.getpid(), signal.SIGINT))
    assert model.n_iter_ == 1
    assert model.score(X, labels) > 0.6


def test_it_says_how_it_goes(capsys):
    X, _, labels, _ = sparse_problem()
    estimator("log_loss", verbose=1).fit(X, labels)
    assert "epoch 1/300: mean loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"loss": "hinge"}, "a loss with a second derivative, one of log_loss, .*, got 'hinge'"),
        ({"average": True}, "solver='newton' needs average=False, got True: it ends"),
        ({"on_divergence": "recover"}, "needs on_divergence='raise', got 'recover'"),
    ],
)
def test_what_it_cannot_do_is_refused(keywords, message):
    X, _, labels, _ = sparse_problem()
    keywords = {"solver": "newton", "penalty": "l1", "alpha": 0.1, **keywords}
    with pytest.raises(ValueError, match=message):
        LinearClassifier(**keywords).fit(X, labels)


def test_losses_that_are_not_convex_are_refused():
    X, _, _, target = sparse_problem()
    with pytest.raises(ValueError, match="a convex loss, got 'tweedie' with power=3"):
        estimator("tweedie").set_params(power=3).fit(X, np.abs(target) + 1)
