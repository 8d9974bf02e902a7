"""Factors of the features' penalties: the objective, the bits, and what is refused."""

import pickle
from functools import cache

import numpy as np
import pytest
from backends import use_backend
from oracles import loss_and_gradient
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import clone
from strategies import BUILDS, LINEAR_RULES, equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore._backend import compiled
from lrcore.linear_model.engine import reorder

N_ROWS, N_FEATURES, ALPHA = 80, 6, 0.1
SHARES = {"l2": 0.0, "l1": 1.0, "elasticnet": 0.4}
FACTORS = np.array([0.0, 3.0, 1.0, 0.25, 0.0, 7.5])

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=101)
THREE = np.where(TARGET > 1, 2, LABELS)
SOME = np.random.default_rng(3).choice([0.0, 0.5, 1.0, 4.0], 101)


@pytest.fixture(params=["core", "numpy"])
def either(request, monkeypatch):
    """The chosen build, and the NumPy backend."""
    if request.param == "numpy":
        use_backend(monkeypatch, "numpy")


def problem():
    rng = np.random.default_rng(4)
    rows = rng.normal(0, 1, (N_ROWS, N_FEATURES))
    rows[rng.random(rows.shape) < 0.3] = 0.0
    raw = rows @ [1.0, -0.8, 0.25, 0.0, 0.5, 2.0] + rng.normal(0, 0.8, N_ROWS)
    return rows, np.where(raw > 0.1, 1.0, -1.0)


@cache
def minimum(share):
    """The problem's least objective by L-BFGS-B over w = u - v, u, v >= 0, so that |w| is u + v."""
    rows, y = problem()
    l1, l2 = ALPHA * share * FACTORS, ALPHA * (1 - share) * FACTORS

    def value(x):
        u, v, b = x[:N_FEATURES], x[N_FEATURES:-1], x[-1]
        both = [loss_and_gradient("log_loss", z, t) for z, t in zip(rows @ (u - v) + b, y)]
        loss_gradients = np.array([s for _, s in both])
        g = rows.T @ loss_gradients / N_ROWS + l2 * (u - v)
        f = np.mean([f for f, _ in both]) + l1 @ (u + v) + l2 / 2 @ (u - v) ** 2
        return f, np.concatenate([g + l1, l1 - g, [loss_gradients.mean()]])

    bounds = [(0, None)] * (2 * N_FEATURES) + [(None, None)]
    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30}
    start = np.zeros(2 * N_FEATURES + 1)
    return minimize(value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)


@pytest.mark.parametrize("form", ["dense", "sparse", "reordered"])
@pytest.mark.parametrize("penalty", SHARES)
def test_fits_end_at_the_minimum_of_the_stated_objective(penalty, form, monkeypatch):
    rows, y = problem()
    expected = minimum(SHARES[penalty])
    # The reordered rows lie between features that never come up, and are numbered anew.
    width = 5 if form == "reordered" else 1
    wide, factors = np.zeros((N_ROWS, width * N_FEATURES)), np.full(width * N_FEATURES, 0.125)
    wide[:, ::width], factors[::width] = rows, FACTORS
    monkeypatch.setattr(compiled, "CACHE_BYTES", 1)
    monkeypatch.setattr(reorder, "MIN_EPOCHS", 1 if form == "reordered" else 10**9)
    clf = LinearClassifier(
        penalty=penalty, alpha=ALPHA, l1_ratio=SHARES[penalty], penalty_factors=factors,
        max_iter=800, random_state=0, optimizer=lrcore.AdaGrad(lr=0.3),
    ).fit(wide if form == "dense" else sparse.csr_matrix(wide), y)  # fmt: skip
    w = clf.coef_[0, ::width]
    losses = [loss_and_gradient("log_loss", z, t)[0] for z, t in zip(rows @ w + clf.intercept_, y)]
    share = SHARES[penalty]
    penalty_value = ALPHA * FACTORS @ (share * np.abs(w) + (1 - share) / 2 * w**2)
    assert expected.fun - 1e-7 <= np.mean(losses) + penalty_value <= expected.fun * (1 + 1e-4)
    best = expected.x[:N_FEATURES] - expected.x[N_FEATURES:-1]
    np.testing.assert_allclose(w, best, atol=0.02)
    assert np.abs(best[[0, 4]]).min() > 0.3
    assert np.abs(best[5]) < 0.5


@pytest.mark.parametrize("keywords", [{}, {"batch_size": 16}])
@pytest.mark.parametrize("y", [LABELS, THREE], ids=["two", "softmax"])
@pytest.mark.parametrize("rows", [X, DENSE, DENSE.astype(np.float32)], ids=["csr", "64", "32"])
def test_ones_have_the_bits_of_none_and_zeros_those_of_no_penalty(rows, y, keywords, either):
    base = {
        "solver": "stochastic",
        "penalty": "elasticnet",
        "alpha": 0.01,
        "random_state": 0,
        "tol": 0.0,
        "max_iter": 5,
        **keywords,
    }
    rows, y = rows[:80], y[:80]
    plain, ones, zeros, free = (
        LinearClassifier(**{**base, **more}).fit(rows, y)
        for more in (
            {},
            {"penalty_factors": np.ones(101)},
            {"penalty_factors": [0] * 101},
            {"penalty": None},
        )
    )
    for one, other in ((plain, ones), (zeros, free)):
        assert equal_bits(one.coef_, other.coef_)
        assert equal_bits(one.stopping_curve_, other.stopping_curve_)
    assert not np.allclose(plain.coef_, free.coef_, rtol=1e-2)


@pytest.mark.parametrize("name", [k for k, rule in LINEAR_RULES.items() if rule.formula.metric])
def test_factors_multiply_the_penalty_of_any_rule(name):
    """Of one pass after which the penalty is applied once: a feature with a factor of 0 has the
    weight of no penalty, of 1 that of the plain one, whatever the factors of the others."""
    for rows in (X, DENSE):
        for y in (LABELS, THREE):
            fits = [
                LinearClassifier(
                    optimizer=LINEAR_RULES[name], penalty="elasticnet", alpha=alpha,
                    penalty_factors=factors,
                ).partial_fit(rows[:60], y[:60], np.unique(y))
                for factors, alpha in ((SOME, 0.02), (None, 0.02), (None, 0.01), (None, 0.08),
                                       (None, 0.0))
            ]  # fmt: skip
            mixed, *others = (clf.coef_ for clf in fits)
            for factor, other in zip((1.0, 0.5, 4.0, 0.0), others):
                assert (factor == SOME).sum() > 3
                close = np.isclose(mixed, other, rtol=1e-10, atol=1e-14)[:, factor == SOME]
                assert close.all(), factor
            assert not np.allclose(others[0], others[3], rtol=1e-3)


REORDERED = {"max_iter": reorder.MIN_EPOCHS}


@pytest.mark.parametrize(
    "rows, y, keywords",
    [
        (X, LABELS, {}),
        (X, LABELS, REORDERED),
        (X.astype(np.float32), LABELS, {"batch_size": 16}),
        (DENSE, LABELS, {}),
        (DENSE.astype(np.float32), LABELS, {"batch_size": 16}),
        (X, THREE, REORDERED),
        (X, THREE, {"multi_class": "ovr"}),
        (DENSE, THREE, {"multi_class": "ovr"}),
    ],
)
def test_bits_do_not_depend_on_builds_or_threads(rows, y, keywords, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    fits = []
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in (1, 2, 3, 7):
            clf = LinearClassifier(solver="stochastic",
                penalty="elasticnet", alpha=0.01, penalty_factors=SOME, random_state=0,
                n_threads=n_threads, tol=None, **{"max_iter": 2, **keywords},
            )  # fmt: skip
            fits.append(clf.fit(rows[:80], y[:80]).coef_)
    assert np.ptp(fits[0]) > 0.01
    assert all(equal_bits(coef, fits[0]) for coef in fits)


@pytest.mark.parametrize("y", [LABELS, THREE], ids=["two", "softmax"])
@pytest.mark.parametrize("rule", ["adagrad", "rmsprop"])
def test_the_numpy_backend_agrees(rule, y, monkeypatch):
    for rows in (X, DENSE):
        fits = []
        for name in (BUILDS[0], "numpy"):
            use_backend(monkeypatch, name)
            clf = LinearClassifier(
                optimizer=rule, penalty="elasticnet", alpha=0.01, penalty_factors=SOME,
                random_state=0, average=20, max_iter=2,
            ).fit(rows[:80], y[:80])  # fmt: skip
            fits.append(clf.partial_fit(rows[80:120], y[80:120]).coef_)
        np.testing.assert_allclose(fits[0], fits[1], rtol=1e-9, atol=1e-12)


def test_streams_warm_starts_files_and_copies_keep_the_factors(tmp_path):
    keywords = {"alpha": 0.05, "penalty_factors": list(SOME), "random_state": 0}
    keywords |= {"solver": "stochastic", "scale": None}
    whole = LinearClassifier(**keywords, block_size=64).partial_fit(X, LABELS, [0, 1])
    parts = LinearClassifier(**keywords, block_size=64).partial_fit(X[:128], LABELS[:128], [0, 1])
    lrcore.save(parts, tmp_path / "m")
    for again in (lrcore.load(tmp_path / "m"), pickle.loads(pickle.dumps(parts)), parts):
        assert equal_bits(np.asarray(again.get_params()["penalty_factors"]), SOME)
        again.partial_fit(X[128:], LABELS[128:])
        assert equal_bits(again.coef_, whole.coef_)
    assert clone(parts).penalty_factors == list(SOME)
    # A penalty that is due when the parameter is set anew has the factors of the fit.
    whole.penalty_factors = None
    lrcore.save(whole, tmp_path / "m")
    again = lrcore.load(tmp_path / "m")
    assert again.penalty_factors is None
    assert again._trained.states[0].lazy_penalty.accumulated_lr.any()
    assert equal_bits(again.coef_, whole.coef_)
    warm = LinearClassifier(**keywords, warm_start=True, tol=0.0).fit(X, LABELS)
    first = warm.stopping_curve_[-1]
    assert warm.fit(X, LABELS).stopping_curve_[-1] < first


def test_the_measured_objective_is_the_stated_one():
    y = np.stack([TARGET, -2 * TARGET], axis=1)
    for rows in (X, DENSE):
        reg = LinearRegressor(solver="stochastic",
            penalty="elasticnet", alpha=0.3, l1_ratio=0.4, penalty_factors=SOME, tol=0.0,
            random_state=0,
        ).fit(rows, y)  # fmt: skip
        w = reg.coef_
        loss = np.mean((DENSE @ w.T + reg.intercept_ - y) ** 2) / 2
        penalty = 0.3 * np.sum((0.4 * np.abs(w) + 0.3 * w**2) @ SOME) / 2
        assert penalty > 0.05 * loss
        assert reg.stopping_curve_[-1] == pytest.approx(loss + penalty, rel=1e-9)


@pytest.mark.parametrize(
    "factors, error, message",
    [
        (np.ones(100), ValueError, r"penalty_factors must have shape \(101,\).*got \(100,\)"),
        (np.ones((101, 1)), ValueError, r"penalty_factors must have shape \(101,\)"),
        (2.0, ValueError, r"penalty_factors must have shape \(101,\).*got \(\)"),
        (np.r_[np.ones(5), -0.5, -np.ones(95)], ValueError, r"got -0\.5 at position 5"),
        (np.r_[np.ones(100), np.nan], ValueError, "penalty_factors must be finite.*position 100"),
        (np.r_[np.inf, np.ones(100)], ValueError, "penalty_factors must be finite.*position 0"),
        (["a"] * 101, TypeError, "penalty_factors must hold numbers"),
    ],
)
def test_other_factors_are_refused_and_nothing_changes(factors, error, message):
    clf = LinearClassifier(random_state=0).fit(X, LABELS)
    before, clf.penalty_factors = clf.coef_, factors
    for fit in (clf.fit, clf.partial_fit):
        with pytest.raises(error, match=message):
            fit(X, LABELS)
    assert equal_bits(clf.coef_, before)


def test_factors_are_of_the_rows_dtype():
    huge = np.r_[np.ones(100), 1e300]
    LinearRegressor(penalty_factors=huge).fit(X, TARGET)
    with pytest.raises(ValueError, match="penalty_factors must be finite in float32"):
        LinearRegressor(penalty_factors=huge).fit(X.astype(np.float32), TARGET)


def test_a_later_change_of_the_array_changes_nothing():
    factors = SOME.copy()
    clf = LinearClassifier(alpha=0.05, penalty_factors=factors)
    clf.partial_fit(X, LABELS, [0, 1])
    other = pickle.loads(pickle.dumps(clf))
    factors[:] = 100.0
    assert equal_bits(clf.coef_, other.coef_)
