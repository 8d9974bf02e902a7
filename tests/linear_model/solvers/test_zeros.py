"""The zeros of an l1 penalty after steps of an update rule: those of the minimum."""

import numpy as np
import pytest
from backends import use_backend
from scipy import sparse
from strategies import BUILDS, THREADS, equal_bits

from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers.zeros import settle_zeros
from lrcore.losses import SquaredError
from lrcore.penalties import ElasticNet


def words(seed=0, n_rows=1000, n_features=1500, n_true=40):
    """Rows of few ones, of which few features matter."""
    rng = np.random.default_rng(seed)
    X = sparse.random(n_rows, n_features, 0.02, "csr", random_state=seed)
    X.data[:] = 1.0
    w = np.zeros(n_features)
    w[rng.choice(n_features, n_true, False)] = 3 * rng.normal(size=n_true)
    return X, X @ w + 0.3 * rng.logistic(size=n_rows)


X, Z = words()
LABELS = (np.median(Z) < Z).astype(int)
THREE = np.digitize(Z, np.quantile(Z, [0.3, 0.7]))


def gradient(model, y):
    """Of the mean loss by each weight, worked out from raw predictions."""
    if isinstance(model, LinearRegressor):
        slopes = (model.predict(X) - y)[:, None]
    else:
        slopes = model.predict_proba(X) - np.eye(len(model.classes_))[y]
        slopes = slopes[:, 1:] if len(model.classes_) == 2 else slopes
    return np.atleast_2d((X.T @ slopes).T / X.shape[0])


FITS = {
    "adagrad": {"solver": "stochastic"},
    "sgd": {"optimizer": "sgd"},
    "average": {"solver": "stochastic", "average": True},
    "rates": {"lr": [0.2, 1.0]},
    "early": {"solver": "stochastic", "early_stopping": True},
    "scaled": {"solver": "stochastic", "scale": "max"},
}


@pytest.mark.parametrize("name", FITS)
def test_weights_that_the_penalty_keeps_at_zero_are_zero(name):
    """No weight is left that is small beside what the penalty would take off, and hardly one is 0
    whose derivative says that it should not be."""
    alpha = 2e-3
    best = LinearClassifier(penalty="l1", alpha=alpha, tol=1e-6, max_iter=500).fit(X, LABELS)
    fit = LinearClassifier(penalty="l1", alpha=alpha, max_iter=40, random_state=0, **FITS[name])
    w, g = fit.fit(X, LABELS).coef_, gradient(fit, LABELS)
    n_best = np.count_nonzero(best.coef_)
    assert 20 < n_best < 300
    assert n_best / 1.5 < np.count_nonzero(w) < (2.0 if name == "early" else 1.5) * n_best
    far = np.abs(g) > 1.2 * alpha
    assert np.mean(w[far] == 0) < 0.2 if far.any() else True
    curvature = 0.25 * np.asarray(X.multiply(X).mean(axis=0))
    moved = np.abs(curvature * w - g)[w != 0]
    assert np.mean(moved > 0.99 * alpha) > (0.75 if name == "early" else 0.9)


@pytest.mark.parametrize(
    "model, y",
    [
        (LinearClassifier(multi_class="ovr"), THREE),
        (LinearClassifier(multi_class="softmax"), THREE),
        (LinearRegressor(), Z),
        (LinearRegressor(loss="huber", epsilon=1.0), Z),
        (LinearRegressor(loss="poisson"), np.maximum(Z, 0.0)),
        (LinearClassifier(loss="hinge"), LABELS),
    ],
    ids=["ovr", "softmax", "squared_error", "huber", "poisson", "hinge"],
)
def test_a_penalty_that_allows_no_weight_leaves_none(model, y):
    """Just above the alpha from which on all weights are 0 at the minimum."""
    model.set_params(solver="stochastic", penalty=None, max_iter=1, lr=1e-9)
    model.set_params(penalty="l1", alpha=30.0, max_iter=20, random_state=0, lr="auto")
    model.fit(X, y)
    assert not np.any(model.coef_)
    model.set_params(alpha=1e-3).fit(X, y)
    assert np.any(model.coef_)


def test_the_objective_does_not_rise():
    keywords = {"penalty": "l1", "alpha": 1e-3, "max_iter": 10, "solver": "stochastic"}
    seen = []

    def objective(w, b):
        lost = np.logaddexp(0, np.where(LABELS, -1, 1) * (X @ w + b)).mean()
        return lost + 1e-3 * np.abs(w).sum()

    def keep(event):
        if event.end_of_epoch:
            (state,) = event._stats._stats.states
            seen.append(state.weights[0].copy())

    clf = LinearClassifier(random_state=0, **keywords).fit(X, LABELS, callback=keep)
    before, after = seen[-1], np.append(clf.coef_, clf.intercept_)
    assert objective(after[:-1], after[-1]) <= objective(before[:-1], before[-1])
    assert np.count_nonzero(after) < 0.6 * np.count_nonzero(before)


def test_weights_stay_that_would_have_to_be_zero_one_at_a_time():
    """Three columns that are the same have half as much again as they need: without any one of
    them the objective falls, and without all three it rises."""
    rng = np.random.default_rng(0)
    column = rng.normal(size=(400, 1))
    rows, y, l1 = np.repeat(column, 3, axis=1), 2.0 * column[:, 0], 1e-3
    whole = Problem(
        as_design_matrix(rows), [y], None, Objective(SquaredError(), ElasticNet(l1=l1), False)
    )
    state = ModelState(np.array([[1.0, 1.0, 1.0, 0.0]]), 1, by_feature=False)

    def objective():
        w = state.weights[0, :3]
        return np.mean((rows @ w - y) ** 2) / 2 + l1 * np.abs(w).sum()

    before = objective()
    settle_zeros([state], whole, 1)
    assert objective() <= before < 1.0


def test_weights_that_are_not_numbers_stay_so():
    """They are what a fit that has diverged is known by."""
    rows = np.random.default_rng(0).normal(size=(50, 3))
    objective = Objective(SquaredError(), ElasticNet(l1=0.1), False)
    whole = Problem(as_design_matrix(rows), [rows[:, 0].copy()], None, objective)
    state = ModelState(np.array([[1.0, np.nan, 1e-9, 0.0]]), 1, by_feature=False)
    settle_zeros([state], whole, 1)
    assert np.isnan(state.weights[0, 1])


def test_weights_without_a_penalty_are_kept():
    factors = np.ones(X.shape[1])
    factors[::3] = 0.0
    clf = LinearClassifier(
        solver="stochastic", penalty="l1", alpha=0.05, penalty_factors=factors, random_state=0
    ).fit(X, LABELS)
    assert np.count_nonzero(clf.coef_[0, ::3]) == np.count_nonzero(X[:, ::3].sum(axis=0))
    assert np.count_nonzero(clf.coef_) < 1.1 * np.count_nonzero(clf.coef_[0, ::3])


def test_bits_do_not_depend_on_builds_or_threads(monkeypatch):
    found = []
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            clf = LinearClassifier(
                lr=0.5, penalty="l1", alpha=2e-3, random_state=0, n_threads=n_threads
            ).fit(X, LABELS)
            found.append(clf.coef_)
    assert 10 < np.count_nonzero(found[0]) < 500
    assert all(equal_bits(w, found[0]) for w in found)
