"""Dual coordinate ascent that begins where another fit ended, and rows that are held out."""

import pickle

import numpy as np
import pytest
from backends import use_backend
from strategies import BUILDS, LOSSES, equal_bits, sparse_problem

from lrcore import LinearClassifier, LinearRegressor
from lrcore._backend import compiled
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers import dual, dual_ascent
from lrcore.penalties import ElasticNet

#: Keywords of fits by what is special about them.
KINDS = {
    "plain": {},
    "softmax": {"n_classes": 4},
    "against the rest": {"n_classes": 4, "multi_class": "ovr"},
    "elastic net": {"penalty": "elasticnet", "penalty_factors": np.linspace(0.5, 2, 60)},
    "scaled": {"scale": "max"},
    "hinge": {"loss": "squared_hinge"},
}


def problem(kind, dtype=np.float64, n_rows=300):
    """Rows, classes, and an estimator."""
    X, dense, _, target = sparse_problem(n_rows, dtype=dtype)
    keywords = dict(KINDS[kind])
    n_classes = keywords.pop("n_classes", 2)
    y = np.searchsorted(np.quantile(target, np.arange(1, n_classes) / n_classes), target)
    usual = {"solver": "dual", "alpha": 0.005, "random_state": 0, "max_iter": 3000, "tol": None}
    keywords = {**usual, "scale": None, **keywords}
    return X, dense, y, LinearClassifier(**keywords)


@pytest.mark.parametrize("forgets", [False, True], ids=["variables", "derivatives"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_begins_at_the_minimum_stays_there(kind, forgets, backend):
    X, _, y, clf = problem(kind, n_rows=100 if backend == "numpy" else 300)
    if backend == "numpy":
        clf.set_params(alpha=0.05)  # a third of the epochs
    cold = clf.set_params(tol=1e-4).fit(X, y).n_iter_
    before = clf.set_params(tol=1e-10).fit(X, y).coef_
    if forgets:
        clf = pickle.loads(pickle.dumps(clf))
        assert clf._trained.dual is None
    clf.set_params(warm_start=True, tol=1e-4).fit(X, y)
    assert clf.n_iter_ <= 2 < cold
    assert clf.dual_gap_ <= 1e-4
    np.testing.assert_allclose(clf.coef_, before, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_dual_variables_and_sums_belong_together(kind):
    X, dense, y, clf = problem(kind)
    clf.set_params(max_iter=3).fit(X, y)
    matrix = as_design_matrix(X)
    objective = clf.set_params(alpha=0.001)._objective(matrix, clf._n_outputs(clf._labels))
    problem_now = Problem(matrix, clf._targets(y, clf._labels), None, objective)
    training = dual.DualTraining(
        problem_now, clf._config(dual.Dual(), problem_now, start=clf._trained)
    )
    for output in training.outputs:
        u = output.dual.reshape(300, -1)
        assert 0.05 < np.abs(u).max() <= 2.0
        sums = -(output.records[:, dual_ascent.SHARE, None] * u).T @ dense
        np.testing.assert_allclose(output.v.T, sums, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.003, 0.001, 0.0003])
def test_the_multiple_to_begin_with_raises_the_dual_objective_most(alpha):
    """After a larger alpha less than 1: its weights would be too large."""
    X, dense, y, clf = problem("plain")
    before = clf.set_params(tol=1e-6).fit(X, y)._trained.dual[0].values
    signed = np.where(y == 1, 1.0, -1.0)
    objective = Objective(LOSSES["log_loss"], ElasticNet(0.0, alpha))
    matrix = as_design_matrix(X)
    ascent = dual_ascent.DualAscent(Problem(matrix, [signed], None, objective), signed, 0.1, 1)
    ascent.begin(before, np.zeros(1))

    def dual_objective(c):
        p, share = np.abs(c * before), 1.0 / (300 * alpha)
        v = -share * (c * before) @ dense
        return -share * np.sum(p * np.log(p) + (1 - p) * np.log1p(-p)) - v @ v / 2

    assert np.abs(before).max() < 1
    values = [dual_objective(c) for c in dual_ascent.MULTIPLES]
    best = dual_ascent.MULTIPLES[int(np.argmax(values))]
    assert 0.1 < best < 1
    np.testing.assert_allclose(ascent.dual, best * before, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_of_alphas_takes_fewer_epochs(kind):
    X, _, y, clf = problem(kind)
    clf.set_params(tol=1e-3)
    alphas, epochs = [0.1, 0.03, 0.01, 0.003, 0.001], {}
    for warm in (False, True):
        fits = []
        clf = clf.set_params(warm_start=False, alpha=0.3).fit(X, y)
        for alpha in alphas:
            clf.set_params(alpha=alpha, warm_start=warm).fit(X, y)
            assert clf.dual_gap_ <= 1e-3
            fits.append(clf.n_iter_)
        epochs[warm] = sum(fits)
    assert epochs[True] < 0.9 * epochs[False]


@pytest.mark.parametrize("kind", KINDS)
def test_any_start_ends_at_the_minimum(kind):
    """Weights of another solver, of other rows, and such as nobody would choose."""
    X, _, y, clf = problem(kind)
    exact = clf.set_params(tol=1e-9).fit(X, y).coef_
    clf.set_params(warm_start=True)
    rng = np.random.default_rng(0)
    for how in ("stochastic", "other rows", "far"):
        if how == "stochastic":
            other = LinearClassifier(
                clf.loss, solver="stochastic", tol=None, random_state=0,
                multi_class=clf.multi_class,
            )  # fmt: skip
            clf._trained = other.fit(X, y)._trained
        else:
            rows = rng.permutation(300)[:150]
            clf.fit(X[rows], y[rows])
        if how == "far":
            clf._trained.dual = None
            for state in clf._trained.states:
                state.array[...] = 100 * rng.normal(size=state.array.shape)
            clf._trained.__dict__.pop("weights", None)
        clf.fit(X, y)
        assert clf.dual_gap_ <= 1e-9
        np.testing.assert_allclose(clf.coef_, exact, atol=2e-3)


def test_a_regression_begins_with_its_residuals():
    X, _, _, target = sparse_problem()
    reg = LinearRegressor(solver="dual", alpha=1e-3, tol=1e-8, max_iter=3000, random_state=0)
    cold = reg.fit(X, target).n_iter_
    again = reg.set_params(warm_start=True).fit(X, target + 1e-6)  # so that derivatives are used
    assert again.n_iter_ < cold / 2


def test_variables_of_rows_that_were_reordered(monkeypatch, build):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    copies, copied = [], reorder.reorder
    monkeypatch.setattr(reorder, "reorder", lambda *a: copies.append(copied(*a)) or copies[-1])
    X, _, y, clf = problem("plain")
    clf.set_params(tol=1e-7).fit(X, y)
    assert len(copies) == 1
    assert np.array_equal(clf._trained.dual[0].y > 0, y > 0)
    assert clf.set_params(warm_start=True).fit(X, y).n_iter_ <= 2


@pytest.mark.parametrize("kind", ["plain", "softmax", "elastic net"])
@pytest.mark.parametrize("forgets", [False, True])
def test_bits_do_not_depend_on_build_or_threads(kind, forgets, monkeypatch):
    results = []
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in (1, 2, 7):
            X, _, y, clf = problem(kind, np.float32)
            clf.set_params(max_iter=3, n_threads=n_threads).fit(X, y)
            if forgets:
                clf._trained.dual = None
            clf.set_params(warm_start=True, alpha=0.002).fit(X, y)
            results.append((clf.coef_, clf.intercept_, np.float64(clf.dual_gap_)))
    for other in results[1:]:
        assert all(map(equal_bits, other, results[0]))


def test_a_start_that_does_not_fit_is_refused():
    X, dense, y, clf = problem("softmax")
    clf.set_params(warm_start=True, max_iter=3).fit(X, y)
    for change, rows, labels in (
        ({}, dense[:, :50], y),
        ({"multi_class": "ovr"}, X, y),
        ({"multi_class": "auto"}, X, np.minimum(y, 2)),
    ):
        with pytest.raises(ValueError, match="warm_start=True needs the classes, multi_class and"):
            clf.set_params(**change).fit(rows, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_rows_stop_a_fit(kind):
    X, _, y, clf = problem(kind)
    new, labels = X[200:], y[200:]
    clf.set_params(alpha=1e-5, n_iter_no_change=3, max_iter=400, shuffle=False)
    clf.fit(X[:200], y[:200], eval_set=(new, labels))
    curve = clf.stopping_curve_
    assert 4 <= clf.n_iter_ == len(curve) < 400
    assert curve.argmin() == len(curve) - 4
    assert clf.dual_gap_ > 1e-6
    loss = clf._trained.objective.loss
    z = clf.decision_function(new).astype(float)
    if loss.joint:
        expected = loss.evaluate(z, labels.astype(float))[0]
    else:
        z = z.reshape(100, -1)
        target = np.where(labels[:, None] == np.arange(4), 1, -1) if z.shape[1] > 1 else None
        target = 2.0 * labels[:, None] - 1 if target is None else target
        expected = loss.evaluate(z.ravel(), target.ravel().astype(float))[0]
    assert min(curve) == pytest.approx(np.mean(expected), rel=1e-9)


def test_tol_is_of_the_held_out_loss():
    X, _, y, clf = problem("plain")
    clf.set_params(early_stopping=True, n_iter_no_change=2, alpha=1e-4)
    few = clf.set_params(tol=0.1).fit(X, y).n_iter_
    many = clf.set_params(tol=1e-6).fit(X, y).n_iter_
    assert few < many
    assert len(clf.stopping_curve_) == many
