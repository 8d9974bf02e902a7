"""Newton's method: its minimum, its certificate, its bits, and how it ends."""

import warnings
from dataclasses import replace

import independent_optimum as optimum
import numpy as np
import pytest
from backends import use_backend
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import scale
from strategies import BUILDS, DTYPES, LOSSES, equal_bits, sparse_problem, targets_for

from lrcore import LinearClassifier, LinearRegressor, _backend
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers import newton, newton_descent
from lrcore.linear_model.solvers.base import SolverConfig, separate_trials
from lrcore.linear_model.solvers.derivatives import SmoothObjective
from lrcore.losses import Softmax
from lrcore.penalties import ElasticNet

#: Ways to the same minimum: by a new Hessian for each step, by one that serves several, and by
#: that of some rows.
ROUTES = {
    "new": {},
    "old": {"FEW_MULTIPLICATIONS": 0, "FEW_PRODUCTS": 0},
    "some rows": {"LEAST_ROWS": 16, "HESSIAN_ROWS": 1, "ONCE_FEATURES": 0, "FEW_PRODUCTS": 0},
}


def take(route, monkeypatch):
    for name, value in ROUTES[route].items():
        monkeypatch.setattr(newton_descent, name, value)


@pytest.fixture(params=ROUTES)
def route(request, monkeypatch):
    take(request.param, monkeypatch)
    return request.param


def estimator(loss="log_loss", **keywords):
    keywords = {"loss": loss, "solver": "newton", "alpha": 0.02, "scale": None, **keywords}
    keywords = {"tol": 1e-8, "max_iter": 300, **keywords}
    if LOSSES[loss].classifies:
        return LinearClassifier(**keywords)
    own = {k: v for k, v in vars(LOSSES[loss]).items() if k in ("epsilon", "power")}
    return LinearRegressor(**keywords, **own)


@pytest.mark.parametrize("penalty", ["l2", None])
@pytest.mark.parametrize("loss", newton.NEWTON_LOSSES)
def test_fits_end_at_the_minimum(loss, penalty, route):
    X, y = optimum.problem(loss)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    model = estimator(loss, penalty=penalty, alpha=optimum.ALPHA).fit(X, y, weight)
    w, b = np.ravel(model.coef_), float(model.intercept_[0])
    values = [optimum.loss_and_gradient(loss, z, t)[0] for z, t in zip(X @ w + b, y)]
    got = np.average(values, weights=weight) + optimum.penalty_of(penalty, w)
    expected = optimum.smooth_minimum(loss, penalty, X, y, weight)
    assert abs(got - expected) <= 1e-7 * abs(expected)
    assert (model.dual_gap_ is None) == (penalty is None)
    assert np.ptp(w) > 0.1


@settings(max_examples=40, deadline=None)
@given(
    loss=st.sampled_from([name for name in newton.NEWTON_LOSSES if name != "tweedie"]),
    seed=st.integers(0, 1000),
    max_iter=st.integers(1, 6),
    alpha=st.sampled_from([1e-3, 0.1, 2.0]),
    intercept=st.booleans(),
    route=st.sampled_from(list(ROUTES)),
)
def test_the_certificate_bounds_the_distance_to_the_minimum(
    loss, seed, max_iter, alpha, intercept, route
):
    rng = np.random.default_rng(seed)
    n_rows, n_features = rng.integers(3, 60), rng.integers(1, 12)
    X = rng.normal(size=(n_rows, n_features)) * (rng.random((n_rows, n_features)) < 0.7)
    labels = rng.random(n_rows) < 0.4
    labels[:2] = True, False
    y = targets_for(LOSSES[loss], labels, rng.normal(size=n_rows))
    weight = rng.uniform(0.1, 2.0, n_rows)
    keywords = {"alpha": alpha, "fit_intercept": intercept}
    with pytest.MonkeyPatch.context() as monkeypatch:
        take(route, monkeypatch)
        model = estimator(loss, tol=None, max_iter=max_iter, **keywords).fit(X, y, weight)
    exact = estimator(loss, tol=1e-8, **keywords).fit(X, y, weight)
    least = np.average(LOSSES[loss].least(y), weights=weight)
    found = []
    for each in (model, exact):
        z = X @ np.ravel(each.coef_) + each.intercept_[0]
        mean = np.average(LOSSES[loss].evaluate(z, y)[0], weights=weight)
        found.append(mean - least + alpha / 2 * np.sum(each.coef_**2))
    rounding = 1e-9 + 1e-8 * found[1]
    assert -rounding <= found[0] - found[1] <= model.dual_gap_ * found[0] + rounding


def test_the_hessian_of_some_rows_stands_for_that_of_all(monkeypatch):
    monkeypatch.setattr(newton_descent, "LEAST_ROWS", 500)
    monkeypatch.setattr(newton_descent, "FEW_PRODUCTS", 0)
    X = np.random.default_rng(0).normal(size=(3000, 4))
    objective = Objective(LOSSES["log_loss"], ElasticNet(l2=0.01))
    problem = Problem(as_design_matrix(X), [np.sign(X[:, 0] + X[:, 1])], None, objective)
    function = SmoothObjective(problem, 1)
    at = function.evaluate(np.full((1, 4), 0.2), np.zeros(1))
    rows = newton_descent.hessian_rows(problem.X)
    (of_all,), (of_some,) = (
        function.factors(function.hessian_blocks(at, some)) for some in (None, rows)
    )
    of_all, of_some = (np.triu(U[:5, :5]) for U in (of_all, of_some))
    assert not np.allclose(of_all, of_some, rtol=1e-6)
    np.testing.assert_allclose(of_some.T @ of_some, of_all.T @ of_all, atol=0.05)


@pytest.mark.parametrize("rows", ["sparse", "dense"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_bits_do_not_depend_on_build_or_threads(n_classes, rows, route, monkeypatch):
    for dtype in DTYPES:
        X, dense, _, target = sparse_problem(dtype=dtype)
        y = np.searchsorted(np.quantile(target, np.arange(1, n_classes) / n_classes), target)
        results = []
        for build in BUILDS:
            use_backend(monkeypatch, build)
            for n_threads in (1, 2, 3, 7):
                model = estimator(tol=None, max_iter=4, n_threads=n_threads)
                model.fit(X if rows == "sparse" else dense, y)
                results.append((model.coef_, model.intercept_, np.array(model.dual_gap_)))
        assert np.ptp(results[0][0]) > 0.1
        for other in results[1:]:
            assert all(map(equal_bits, results[0], other))


def test_the_numpy_backend_agrees(monkeypatch):
    X, _, _, target = sparse_problem()
    y = np.searchsorted(np.quantile(target, [0.3, 0.7]), target)
    found = []
    for backend in (BUILDS[0], "numpy"):
        use_backend(monkeypatch, backend)
        found.append(estimator(tol=1e-10).fit(X, y))
    np.testing.assert_allclose(found[0].coef_, found[1].coef_, rtol=1e-6, atol=1e-9)


def test_a_feature_that_the_rows_of_the_hessian_lack_moves(monkeypatch):
    take("some rows", monkeypatch)
    rng = np.random.default_rng(0)
    X, n = rng.normal(size=(200, 3)), 200
    left_out = np.setdiff1d(np.arange(n), newton_descent.hessian_rows(as_design_matrix(X)))
    X[:, 2] = 0.0
    X[left_out[:20], 2] = 1.0
    y = (X[:, 0] + rng.logistic(size=n) > 0).astype(int)
    y[left_out[:15]], y[left_out[15:20]] = 1, 0
    model = estimator(penalty=None).fit(X, y)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-4)
    assert model.coef_[0, 2] > 0.3
    # And it has the curvature of all rows.
    problem = Problem(as_design_matrix(X), [2.0 * y - 1.0], None, model._trained.objective)
    function = SmoothObjective(problem, 1)
    at = function.evaluate(np.zeros((1, 3)), np.zeros(1))
    (U,) = function.factors(function.hessian_blocks(at, newton_descent.hessian_rows(problem.X)))
    np.testing.assert_allclose(np.sum(np.triu(U)[:, 2] ** 2), 0.25 * 20 / n)


def test_classes_nearly_apart_end_in_few_steps():
    """Of many rows, few of which the loss bends at: the Hessian of some rows does not do."""
    X = np.random.default_rng(0).normal(size=(6000, 40))
    model = estimator(alpha=1e-9, tol=1e-3).fit(X, np.digitize(X[:, 0], [-1.0, 0.0, 1.0]))
    assert newton_descent.hessian_rows(as_design_matrix(X)) is not None
    assert model.dual_gap_ <= 1e-3
    assert model.n_iter_ <= 30


def test_rare_features_without_a_penalty_do_not_stop_the_others():
    rng = np.random.default_rng(4)  # without bounds the second step ends the fit
    X = np.zeros((6000, 40))
    X[:, :20] = rng.normal(size=(6000, 20))
    for j in range(20, 40):
        X[rng.integers(0, 6000, 3), j] = 1.0
    y = np.digitize(X[:, 0] + rng.logistic(size=6000), [-3.0, 0.0, 3.0])
    model = estimator(penalty=None, tol=1e-3, max_iter=100).fit(X, y)
    common = LogisticRegression(C=np.inf, tol=1e-8).fit(X[:, :20], y)
    np.testing.assert_allclose(model.coef_[:, :20], common.coef_, atol=0.1)
    assert np.ptp(common.coef_) > 0.5


@pytest.mark.parametrize("n_classes", [2, 4])
def test_products_are_differences_of_gradients(n_classes):
    X, _, _, target = sparse_problem(dtype=np.float64)
    y = np.searchsorted(np.quantile(target, np.arange(1, n_classes) / n_classes), target)
    loss = Softmax(n_outputs=n_classes) if n_classes > 2 else LOSSES["log_loss"]
    y = y.astype(float) if n_classes > 2 else 2.0 * y - 1.0
    problem = Problem(as_design_matrix(X), [y], None, Objective(loss, ElasticNet(l2=0.01)))
    function = SmoothObjective(problem, 1)
    rng, n_outputs = np.random.default_rng(0), problem.outputs_per_target
    W, b = rng.normal(size=(n_outputs, X.shape[1])), np.zeros(n_outputs)
    direction = rng.normal(size=(n_outputs, X.shape[1] + 1))
    direction[:, -1] -= direction[:, -1].mean() * (n_classes > 2)
    step = 1e-4 * direction
    ahead = function.evaluate(W + step[:, :-1], b + step[:, -1])
    behind = function.evaluate(W - step[:, :-1], b - step[:, -1])
    expected = (function.gradient(ahead) - function.gradient(behind)) / 2e-4
    got = function.hessian(function.evaluate(W, b))(direction)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)
    assert np.ptp(expected) > 1e-2


def test_the_solutions_are_those_of_scikit_learn():
    X, dense, labels, target = sparse_problem()
    n = len(target)
    three = np.searchsorted(np.quantile(target, [0.3, 0.7]), target)
    for y in (labels, three):
        theirs = LogisticRegression(tol=1e-10, max_iter=10_000).fit(dense, y)
        ours = LinearClassifier(alpha=1 / n, scale=None, tol=1e-8).fit(X, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    ridge = Ridge(alpha=0.5).fit(dense, target)
    ours = LinearRegressor(alpha=0.5 / n, scale=None).fit(X, target)
    np.testing.assert_allclose(ours.coef_, ridge.coef_, atol=1e-8)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "squared_error", "poisson"])
def test_weights_are_repeated_rows(loss):
    _, X, labels, target = sparse_problem()
    y = targets_for(LOSSES[loss], labels, target)
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    weighed = estimator(loss, tol=1e-10).fit(X, y, weight)
    repeated = estimator(loss, tol=1e-10).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(weighed.coef_, repeated.coef_, atol=1e-6)
    scaled = estimator(loss, tol=1e-10).fit(X, y, 1e-6 * weight)
    np.testing.assert_allclose(weighed.coef_, scaled.coef_, atol=1e-6)


def test_a_warm_start_begins_at_the_minimum():
    X, _, labels, _ = sparse_problem()
    clf = estimator(warm_start=True).fit(X, labels)
    first, coef = clf.n_iter_, clf.coef_
    assert clf.fit(X, labels).n_iter_ < first
    np.testing.assert_allclose(clf.coef_, coef, atol=1e-6)
    with pytest.raises(ValueError, match="warm_start=True needs the outputs and features"):
        clf.fit(X[:, :20], labels)


def test_steps_go_on_from_its_weights():
    X, _, labels, _ = sparse_problem()
    clf = LinearClassifier(alpha=1e-3).fit(X, labels)
    before = clf.score(X, labels)
    assert clf.solver_ == "newton"
    clf.partial_fit(X, labels)
    assert clf.solver_ == "stochastic"
    assert clf.score(X, labels) > before - 0.1


@pytest.mark.parametrize("columns", ["constant", "twice", "wide", "one row each"])
def test_columns_that_others_span(columns):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    labels = X[:, 0] + rng.normal(size=40) > 0
    X = {
        "constant": np.column_stack([X, np.full(40, 1e6), np.zeros(40)]),
        "twice": np.column_stack([X, X, 2 * X]),
        "wide": rng.normal(size=(40, 90)),
        "one row each": np.eye(40),
    }[columns]
    for penalty in ("l2", None) if columns in ("constant", "twice") else ("l2",):
        model = estimator(penalty=penalty).fit(X, labels)
        assert np.isfinite(model.coef_).all()
        assert model.score(X, labels) > 0.6
    assert model.dual_gap_ is None or model.dual_gap_ <= 1e-8


def test_classes_apart_without_a_penalty_end_with_a_warning():
    X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    with pytest.warns(ConvergenceWarning, match="what is left is about .* of the objective"):
        model = estimator(penalty=None, max_iter=1).fit(X, [0, 0, 1, 1])
    assert model.score(X, [0, 0, 1, 1]) == 1.0
    with pytest.warns(ConvergenceWarning, match="classes can be told apart without an error"):
        assert estimator(alpha=0.0).fit(X, [0, 0, 1, 1]).dual_gap_ is None


def test_it_warns_where_steps_end_early():
    X, _, labels, _ = sparse_problem()
    with pytest.warns(ConvergenceWarning, match="the duality gap is .* after 1 steps, above tol"):
        estimator(max_iter=1).fit(X, labels)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_any_units(unit):
    X, dense, labels, target = sparse_problem()
    for y, cls in ((labels, LinearClassifier), (target, LinearRegressor)):
        plain, scaled = cls().fit(X, y), cls().fit(sparse.csr_matrix(X * unit), y)
        np.testing.assert_allclose(scaled.coef_ * unit, plain.coef_, rtol=1e-3, atol=1e-4)
    moved = LinearRegressor().fit(X, 1e9 * target)
    np.testing.assert_allclose(moved.coef_ / 1e9, LinearRegressor().fit(X, target).coef_, rtol=1e-3)
    assert dense.any()


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"loss": "hinge"}, "a loss with a second derivative, one of log_loss, .*, got 'hinge'"),
        ({"average": True}, "solver='newton' needs average=False, got True: it ends at"),
        ({"on_divergence": "recover"}, "needs on_divergence='raise', got 'recover'"),
    ],
)
def test_what_it_cannot_do_is_refused(keywords, message):
    X, _, labels, _ = sparse_problem()
    with pytest.raises(ValueError, match=message):
        LinearClassifier(**{"solver": "newton", "alpha": 0.1, **keywords}).fit(X, labels)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_weights_that_float32_does_not_hold_are_an_error(penalty):
    X = np.random.default_rng(0).normal(size=(40, 4))
    y = 1e150 * X[:, 1]
    model = LinearRegressor(solver="newton", penalty=penalty, alpha=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(model.fit(X, y).coef_).all()
        before = model.coef_
        with pytest.raises(FloatingPointError, match="weights that are not finite in float32"):
            model.fit(X.astype(np.float32), y)
    assert np.array_equal(model.coef_, before)


def count_grams(monkeypatch):
    """How many Gram matrices each call makes."""
    counts, make = [], _backend.active.weighted_grams

    def counted(X, factors, rows, n_threads):
        counts.append(len(factors))
        return make(X, factors, rows, n_threads)

    monkeypatch.setattr(_backend.active, "weighted_grams", counted)
    return counts


@pytest.mark.parametrize("loss", ["squared_hinge", "log_loss", "squared_error", "poisson"])
@pytest.mark.parametrize("rows", ["sparse", "dense"])
def test_several_targets_end_where_each_does(loss, rows, route):
    X, dense, _, target = sparse_problem(dtype=np.float64)
    X = X if rows == "sparse" else dense
    cuts = np.quantile(target, [0.05, 0.3, 0.5])
    found = [targets_for(LOSSES[loss], target > cut, target * cut) for cut in cuts]
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(target))
    model, problems = estimator(loss), []
    objective = model._objective(as_design_matrix(X), 1)
    for targets in (found, *([y] for y in found)):
        problems.append(Problem(as_design_matrix(X), targets, weight, objective))
    config = SolverConfig(max_iter=300, tol=1e-9)
    together, *alone = (newton.Newton().fit(problem, config) for problem in problems)
    assert together.dual_gap <= 1e-9
    weights, intercepts = together.model.weights
    for k, one in enumerate(alone):
        w, b = one.model.weights
        np.testing.assert_allclose(weights[k], w[0], atol=1e-4)
        np.testing.assert_allclose(intercepts[k], b[0], atol=1e-4)
    assert np.ptp(weights, axis=0).max() > 0.01


def test_targets_of_squared_errors_have_one_hessian(monkeypatch):
    _, X, _, target = sparse_problem(dtype=np.float64)
    Y = np.stack([target, target**2, np.roll(target, 1)], axis=1)
    counts = count_grams(monkeypatch)
    ours = LinearRegressor(alpha=0.5 / len(X), scale=None).fit(X, Y)
    assert counts == [1]
    np.testing.assert_allclose(ours.coef_, Ridge(0.5).fit(X, Y).coef_, atol=1e-8)


def test_targets_that_are_there_have_no_more_hessians(monkeypatch):
    _, X, _, target = sparse_problem(dtype=np.float64)
    y = np.searchsorted(np.quantile(target, [0.02, 0.5]), target)
    counts = count_grams(monkeypatch)
    clf = estimator("squared_hinge", tol=1e-3, alpha=1e-3, multi_class="ovr").fit(X, y)
    assert counts[0] == 1  # all rows are alike at first
    assert max(counts) == 3
    assert counts[-1] < 3
    assert len(counts) <= clf.n_iter_


def test_steps_go_further_where_the_slope_is_steep(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    keywords = {"alpha": 1 / len(y), "fit_intercept": False, "tol": 1e-3}
    model, n_iter = estimator("squared_hinge", **keywords), []
    for doublings in (0, newton_descent.DOUBLINGS):
        monkeypatch.setattr(newton_descent, "DOUBLINGS", doublings)
        n_iter.append(model.fit(scale(X), y).n_iter_)
    assert n_iter[1] <= n_iter[0] - 2


def test_a_certificate_does_not_wait_for_rows_to_settle():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    keywords = {"alpha": 1 / len(y), "fit_intercept": False}
    fits = [estimator("squared_hinge", tol=tol, **keywords).fit(X, y) for tol in (1e-2, 1e-8)]
    assert fits[0].n_iter_ < fits[1].n_iter_
    assert 1e-8 < fits[0].dual_gap_ <= 1e-2


def test_the_whole_hessian_of_a_softmax_has_its_products():
    _, X, _, target = sparse_problem(dtype=np.float64)
    X, y = X[:, :4], np.searchsorted(np.quantile(target, [0.3, 0.7]), target).astype(float)
    objective = Objective(Softmax(n_outputs=3), ElasticNet(l2=0.01))
    function = SmoothObjective(Problem(as_design_matrix(X), [y], None, objective), 1)
    rng = np.random.default_rng(0)
    at = function.evaluate(rng.normal(size=(3, 4)), np.zeros(3))
    assert function.exact
    (U,) = function.factors(function.hessian_blocks(at, None))
    direction = rng.normal(size=(3, 5))
    direction[:, -1] -= direction[:, -1].mean()
    solved = newton_descent.solved([U], function.hessian(at)(direction))
    solved[:, -1] -= solved[:, -1].mean()
    np.testing.assert_allclose(solved, direction, atol=1e-8)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "squared_error"])
def test_trials_share_hessians_and_end_near_the_minima(loss, monkeypatch):
    _, X, labels, target = sparse_problem(dtype=np.float64)
    y = targets_for(LOSSES[loss], labels, target)
    X = as_design_matrix(X)
    model = estimator(loss)
    problem = Problem(X, [y], None, model._objective(X, 1))
    counts, config = count_grams(monkeypatch), SolverConfig(max_iter=100, tol=0.03, warns=False)
    objectives = [
        replace(problem.objective, penalty=ElasticNet(l2=alpha))
        for alpha in np.geomspace(1.0, 1e-4, 20)
    ]
    results = list(map(newton.Newton().trials(problem, config), objectives))
    n_shared = len(counts)
    for _ in map(separate_trials(newton.Newton(), problem, config), objectives):
        pass
    assert n_shared < 0.6 * (len(counts) - n_shared)
    for objective, result in zip(objectives, results):
        at = replace(problem, objective=objective)
        exact = newton.Newton().fit(at, SolverConfig(max_iter=100, tol=1e-9))
        found, least = (each.model.objective_value(at, 1) for each in (result, exact))
        assert found <= least + 0.01 * (least - np.mean(objective.loss.least(y)))
