"""Weights that are not negative: the minimum, its conditions, bits, streams, what is refused."""

import pickle
import warnings
from functools import cache

import numpy as np
import pytest
from backends import use_backend
from independent_optimum import (
    ALPHA,
    L1_RATIO,
    PIECES,
    objective,
    piecewise_minimum,
    problem,
    smooth_minimum,
    softmax_minimum,
    softmax_objective,
)
from oracles import PARAMETERS, loss_and_gradient
from scipy import sparse
from scipy.optimize import lsq_linear, nnls
from sklearn.base import clone
from sklearn.linear_model import ElasticNet, Lasso, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks
from strategies import BUILDS, LINEAR_RULES, LOSSES, equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearClassifierCV, LinearRegressor, LinearRegressorCV
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.solvers.dual import DUAL_LOSSES
from lrcore.linear_model.solvers.newton import NEWTON_LOSSES

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=40)
THREE = np.where(TARGET > 1, 2, LABELS)
SOME = np.random.default_rng(3).random(40) < 0.6

#: All weights but the first, which is negative as the columns are turned here; the second would be.
MASK, TURNED = np.array([False, True, True, True]), [-1.0, 1.0, 1.0, 1.0]

SOLVERS = {
    "newton": (NEWTON_LOSSES, ("l2", "elasticnet", None), {"tol": 1e-10}, 1e-7),
    "dual": (DUAL_LOSSES, ("l2", "elasticnet"), {"tol": 1e-6, "max_iter": 20_000}, 2e-5),
    "stochastic": (
        LOSSES, ("l2", "l1"), {"optimizer": lrcore.AdaGrad(lr=0.3), "max_iter": 1000}, 5e-4
    ),
}  # fmt: skip
CASES = [
    (solver, loss, penalty)
    for solver, (losses, penalties, *_) in SOLVERS.items()
    for loss in losses
    for penalty in penalties
    # The oracle takes seconds for these, and a perceptron's minimum is 0.
    if loss != "perceptron" and not (loss in PIECES and penalty != "l2")
]


def estimator(loss, **keywords):
    """An estimator with the parameters of the losses that the oracles have."""
    keywords = {"alpha": ALPHA, "l1_ratio": L1_RATIO, "scale": None, "random_state": 0, **keywords}
    if LOSSES[loss].classifies:
        return LinearClassifier(loss, **keywords)
    return LinearRegressor(loss, **vars(LOSSES[loss]), **keywords)


def gradient_at(loss, rows, y, model, weight=None, fit_intercept=True):
    """Derivatives of the mean loss by the weights and the intercept, by Python floats."""
    z = rows @ np.ravel(model.coef_) + model.intercept_[0]
    slopes = np.array(
        [loss_and_gradient(loss, a, b, PARAMETERS.get(loss))[1] for a, b in zip(z, y)]
    )
    slopes = slopes * (np.ones(len(y)) if weight is None else weight)
    slopes /= len(y) if weight is None else np.sum(weight)
    return rows.T @ slopes, slopes.sum()


# ---- the minimum ---------------------------------------------------------------------------------


@cache
def minimum(loss, penalty):
    rows, y = problem(loss)
    rows = rows * TURNED
    oracle = piecewise_minimum if loss in PIECES else smooth_minimum
    return oracle(loss, penalty, rows, y, positive=MASK), oracle(loss, penalty, rows, y)


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("solver, loss, penalty", CASES)
def test_fits_end_at_the_least_among_such_weights(solver, loss, penalty, form):
    _, _, keywords, near = SOLVERS[solver]
    rows, y = problem(loss)
    rows = rows * TURNED
    model = estimator(loss, solver=solver, penalty=penalty, positive=MASK, **keywords)
    model.fit(rows if form == "dense" else sparse.csr_matrix(rows), y)
    w = np.ravel(model.coef_)
    assert (w[MASK] >= 0).all()
    assert w[0] < 0 or LOSSES[loss].domain != "any"
    least, free = minimum(loss, penalty)
    got = objective(loss, penalty, rows, y, w, model.intercept_[0])
    assert least - 1e-7 <= got <= least + near * max(abs(least), 0.1)
    assert least > free + 1e-5  # the bound costs something


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("penalty", ["l2", "elasticnet", "l1", None])
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber", "log_loss", "squared_hinge"])
def test_the_conditions_of_a_minimum_hold(loss, penalty, intercept):
    """Where a weight is 0 the objective rises with it; where it is above its derivative is 0."""
    rows, weight = DENSE[:, :12], np.arange(200) % 3 + 0.5
    y = {"log_loss": LABELS * 2.0 - 1, "squared_hinge": LABELS * 2.0 - 1, "poisson": np.abs(TARGET)}
    y = y.get(loss, TARGET)
    model = estimator(loss, solver="newton", penalty=penalty, positive=True, tol=1e-12,
                      fit_intercept=intercept, alpha=0.02, max_iter=300)  # fmt: skip
    model.fit(rows, y, weight)
    w = np.ravel(model.coef_)
    gradient, of_intercept = gradient_at(loss, rows, y, model, weight)
    share = {"l2": 0.0, "elasticnet": L1_RATIO, "l1": 1.0}.get(penalty, 0.0)
    alpha = 0.02 if penalty else 0.0
    gradient += alpha * (share + (1 - share) * w)
    assert (w >= 0).all()
    assert 0 < np.count_nonzero(w) < 12
    assert np.abs(gradient[w > 0]).max() < 1e-6
    assert gradient[w == 0].min() > -1e-6
    assert gradient[w == 0].max() > 1e-3
    assert abs(of_intercept) < 1e-6 or not intercept
    assert model.dual_gap_ is not None
    assert model.dual_gap_ < 1e-8


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_least_squares_are_those_of_scipy(form):
    rows = DENSE if form == "dense" else X
    keywords = {"solver": "newton", "penalty": None, "scale": None, "tol": 1e-12}
    model = LinearRegressor(positive=True, fit_intercept=False, **keywords).fit(rows, TARGET)
    np.testing.assert_allclose(model.coef_, nnls(DENSE, TARGET)[0], atol=1e-6)
    model = LinearRegressor(positive=SOME, **keywords).fit(rows, TARGET)
    low = np.where(np.append(SOME, False), 0.0, -np.inf)
    both = np.column_stack([DENSE, np.ones(200)])
    found = lsq_linear(both, TARGET, (low, np.inf), tol=1e-14).x
    used = np.abs(DENSE).sum(axis=0) > 0
    np.testing.assert_allclose(model.coef_[used], found[:-1][used], atol=1e-6)
    np.testing.assert_allclose(model.intercept_, found[-1:], atol=1e-6)


@pytest.mark.parametrize("alpha", [1e-3, 0.05])
def test_they_are_those_of_scikit_learn(alpha):
    others = {
        "l2": Ridge(alpha=alpha * 200, positive=True, tol=1e-12),
        "l1": Lasso(alpha=alpha, positive=True, tol=1e-10),
        "elasticnet": ElasticNet(alpha=alpha, l1_ratio=0.4, positive=True, tol=1e-10),
    }
    for penalty, other in others.items():
        keywords = {"alpha": alpha, "l1_ratio": 0.4, "scale": None, "tol": 1e-12}
        model = LinearRegressor(penalty=penalty, positive=True, solver="newton", **keywords)
        model.fit(DENSE, TARGET)
        np.testing.assert_allclose(model.coef_, other.fit(DENSE, TARGET).coef_, atol=2e-5)


@pytest.mark.parametrize("solver", ["newton", "dual", "stochastic"])
@pytest.mark.parametrize("rows", [DENSE, X], ids=["dense", "sparse"])
@pytest.mark.parametrize("ratio", [0.0, 0.4])
def test_the_softmax_has_them_too(rows, solver, ratio):
    keywords = {"penalty": "elasticnet", "l1_ratio": ratio, "alpha": 0.02, "positive": SOME}
    keywords |= {"tol": 1e-6} if solver != "stochastic" else {"max_iter": 300, "lr": 0.5}
    clf = LinearClassifier(solver=solver, random_state=0, scale=None, **keywords).fit(rows, THREE)
    assert clf.coef_[:, SOME].min() == 0.0
    assert clf.coef_[:, ~SOME].min() < 0
    got = softmax_objective(DENSE, THREE, clf.coef_, clf.intercept_, 0.02, ratio)
    least = softmax_minimum(DENSE, THREE, 3, 0.02, ratio, positive=SOME)
    assert least - 1e-8 <= got <= least + (5e-6 if solver != "stochastic" else 3e-3)


@pytest.mark.parametrize("solver, penalty", [("newton", "l1"), ("newton", "l2"), ("dual", "l2")])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_the_certified_gap_is_a_bound(loss, solver, penalty):
    """Of a fit that is ended early, against the objective of one that is not."""

    def at(model):
        z = DENSE @ np.ravel(model.coef_) + model.intercept_[0]
        mean = np.mean([loss_and_gradient(loss, a, b)[0] for a, b in zip(z, y)])
        size = np.abs(model.coef_).sum() if penalty == "l1" else np.sum(model.coef_**2) / 2
        return mean + 0.01 * size

    y = 2.0 * LABELS - 1 if loss == "log_loss" else TARGET
    keywords = {"solver": solver, "penalty": penalty, "alpha": 0.01, "positive": SOME}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        early = estimator(loss, **keywords, max_iter=1 if solver == "newton" else 4, tol=1e-9)
        early.fit(DENSE, y)
        best = estimator(loss, **keywords, tol=1e-9, max_iter=5000).fit(DENSE, y)
    apart = (at(early) - at(best)) / at(early)
    assert 1e-9 < apart <= early.dual_gap_ < 1.0


def test_features_are_left_out_only_where_they_have_no_weight():
    """Of more features than are looked at together: working sets, and what the gap rules out."""
    rows, dense, labels, _ = sparse_problem(n_rows=400, n_features=700, seed=2)
    y = 2.0 * labels - 1
    for penalty, alpha in (("l1", 0.01), ("l2", 0.01), ("elasticnet", 0.02)):
        clf = estimator("log_loss", solver="newton", penalty=penalty, alpha=alpha, tol=1e-9,
                        positive=np.arange(700) % 5 > 0)  # fmt: skip
        w = clf.fit(rows, labels).coef_[0]
        gradient, _ = gradient_at("log_loss", dense, y, clf)
        share = {"l2": 0.0, "elasticnet": L1_RATIO, "l1": 1.0}[penalty]
        gradient += alpha * (1 - share) * w
        bounded = np.arange(700) % 5 > 0
        assert (w[bounded] >= 0).all()
        assert (w[~bounded] < 0).any()
        assert np.abs(gradient + alpha * share * np.sign(w))[w != 0].max() < 1e-5
        assert gradient[(w == 0) & bounded].min() > -alpha * share - 1e-5
        assert np.abs(gradient[(w == 0) & ~bounded]).max(initial=0.0) <= alpha * share + 1e-5


@pytest.mark.parametrize("solver", ["newton", "dual", "stochastic"])
def test_scaled_columns_have_weights_of_the_same_sign(solver):
    rows = DENSE[:, :6] * [1e-3, 1e3, 1.0, 50.0, 0.02, 7.0]
    keywords = {"solver": solver, "scale": "max", "alpha": 1e-3, "random_state": 0}
    keywords |= {"max_iter": 200, "lr": 0.3} if solver == "stochastic" else {"tol": 1e-9}
    bounded = LinearRegressor(positive=True, **keywords).fit(rows, TARGET)
    free = LinearRegressor(**keywords).fit(rows, TARGET)
    assert (bounded.coef_ >= 0).all()
    assert (bounded.coef_ > 0).any()
    assert (free.coef_ < 0).any()
    scale = np.abs(rows).max(axis=0)
    exact = LinearRegressor(positive=True, solver="newton", scale=None, alpha=1e-3, tol=1e-10)
    exact.fit(rows / scale, TARGET)
    np.testing.assert_allclose(
        bounded.coef_ * scale, exact.coef_, atol=2e-4 if solver != "stochastic" else 0.05
    )


def test_bounds_that_bind_nowhere_change_nothing():
    y = DENSE @ np.linspace(0.5, 2.0, 40) + 0.01 * TARGET
    for keywords in ({"solver": "newton", "tol": 1e-12}, {"solver": "dual", "tol": 1e-8}):
        keywords |= {"alpha": 1e-2, "scale": None}
        bounded = LinearRegressor(positive=True, **keywords).fit(DENSE, y)
        free = LinearRegressor(**keywords).fit(DENSE, y)
        used = np.abs(DENSE).sum(axis=0) > 0
        assert free.coef_[used].min() > 0.01
        np.testing.assert_allclose(bounded.coef_[used], free.coef_[used], rtol=1e-3)
    none = LinearRegressor(solver="newton", positive=np.zeros(40, bool), alpha=0.01, tol=1e-12)
    plain = LinearRegressor(solver="newton", alpha=0.01, tol=1e-12).fit(DENSE, TARGET)
    np.testing.assert_allclose(none.fit(DENSE, TARGET).coef_, plain.coef_, rtol=1e-6)
    keywords = {"solver": "stochastic", "tol": None, "random_state": 0}
    zeros = LinearRegressor(positive=np.zeros(40, bool), **keywords)
    plain = LinearRegressor(**keywords).fit(DENSE, TARGET)
    assert equal_bits(zeros.fit(DENSE, TARGET).coef_, plain.coef_)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "tweedie"])
@pytest.mark.parametrize("penalty", ["l2", "l1", None])
def test_the_solver_by_default_can_do_it(loss, penalty):
    y = np.abs(TARGET) + 0.1 if LOSSES[loss].log_link else TARGET
    keywords = {"power": -1.0} if loss == "tweedie" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reg = LinearRegressor(loss, penalty=penalty, positive=True, random_state=0, **keywords)
        reg.fit(DENSE, y)
    assert (reg.coef_ >= 0).all()
    assert (reg.coef_ > 0).any()
    assert reg.solver_ == "stochastic" or reg.dual_gap_ < 2e-3


def test_alpha_is_found_among_such_weights():
    bounded = LinearRegressor(positive=True).fit(DENSE, TARGET)
    assert bounded.alphas_ is not None
    for alpha, lost in zip(bounded.alphas_, bounded.alpha_losses_):
        assert lost > 0.5 * np.mean((TARGET - DENSE @ nnls(DENSE, TARGET)[0]) ** 2) / 2, alpha
    for cv, y in (
        (LinearRegressorCV(positive=SOME), TARGET),
        (LinearClassifierCV(positive=SOME), LABELS),
    ):
        assert cv.fit(DENSE, y).coef_[..., SOME].min() == 0.0
        assert cv.coef_[..., ~SOME].min() < 0


# ---- steps of rules, and streams -----------------------------------------------------------------


METRIC = [name for name, rule in LINEAR_RULES.items() if rule.formula.metric]


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
@pytest.mark.parametrize("rows", [X, DENSE.astype(np.float32)], ids=["csr", "32"])
@pytest.mark.parametrize("name", METRIC)
def test_no_weight_is_negative_after_any_step_of_any_rule(name, rows):
    for penalty, target in (("l2", LABELS), (None, THREE)):
        keywords = {"optimizer": LINEAR_RULES[name], "penalty": penalty, "positive": SOME}
        clf = LinearClassifier(random_state=0, max_iter=2, **keywords).fit(rows, target)
        assert clf.coef_[:, SOME].min() == 0.0
        assert clf.coef_[:, ~SOME].min() < 0
        stream = LinearClassifier(**keywords)
        for start in range(0, 200, 7):
            part = slice(start, start + 7)
            stream.partial_fit(rows[part], target[part], np.unique(target))
            assert stream.coef_[:, SOME].min() >= 0.0
        assert (stream.coef_[:, SOME] > 0).any()
        assert stream.coef_[:, ~SOME].min() < 0


@pytest.mark.parametrize("penalty, alpha", [("l1", 0.05), ("l2", 0.05), (None, 0.0)])
def test_zeros_of_a_bound_are_settled(penalty, alpha):
    """As many as at the minimum, though steps by rows go on around it."""
    keywords = {"penalty": penalty, "alpha": alpha, "positive": True, "scale": None}
    exact = LinearRegressor(solver="newton", tol=1e-10, **keywords).fit(DENSE, TARGET)
    steps = LinearRegressor(solver="stochastic", max_iter=30, random_state=0, **keywords)
    at_zero = exact.coef_ == 0
    settled = steps.fit(DENSE, TARGET).coef_ == 0
    assert at_zero.sum() > 8
    assert np.mean(settled == at_zero) > 0.9


@pytest.mark.parametrize("keywords", [{"lr": 0.2}, {"batch_size": 16, "lr": 0.2}, {}], ids=str)
@pytest.mark.parametrize("penalty", ["l1", None])
def test_streams_files_and_copies_keep_the_bounds(penalty, keywords, tmp_path):
    keywords = {"penalty": penalty, "alpha": 0.01, "positive": SOME, **keywords}
    whole = LinearClassifier(**keywords).partial_fit(X, LABELS, [0, 1])
    parts = LinearClassifier(**keywords).partial_fit(X[:130], LABELS[:130], [0, 1])
    assert parts.coef_[:, SOME].min() == 0
    lrcore.save(parts, tmp_path / "m")
    for again in (lrcore.load(tmp_path / "m"), pickle.loads(pickle.dumps(parts)), parts):
        assert np.array_equal(again.get_params()["positive"], SOME)
        again.partial_fit(X[130:], LABELS[130:])
        assert equal_bits(again.coef_, whole.coef_)
    assert np.array_equal(clone(parts).positive, SOME)
    flag = LinearClassifier(positive=True).fit(X, LABELS)
    lrcore.save(flag, tmp_path / "m")
    assert lrcore.load(tmp_path / "m").positive is True


def test_a_bound_that_is_due_is_that_of_the_fit():
    """Weights read after the parameter was set anew, or the mask was changed, are the same bits."""
    mask = SOME.copy()
    clf = LinearClassifier(positive=mask, lr=0.5).partial_fit(X[:40], LABELS[:40], [0, 1])
    other = pickle.loads(pickle.dumps(clf))
    mask[:] = False
    clf.positive = False
    assert equal_bits(clf.coef_, other.coef_)
    assert clf.coef_[:, SOME].min() == 0


def test_pickles_of_before_have_no_bounds():
    reg = LinearRegressor(random_state=0).fit(DENSE, TARGET)
    state = reg.__getstate__()
    del state["positive"]
    again = LinearRegressor.__new__(LinearRegressor)
    again.__setstate__(state)
    assert again.positive is False
    assert equal_bits(again.fit(DENSE, TARGET).coef_, reg.coef_)


@pytest.mark.parametrize("solver", ["newton", "dual", "stochastic"])
def test_warm_starts_from_negative_weights_obey(solver):
    keywords = {"solver": solver, "alpha": 0.01, "random_state": 0, "scale": None}
    reg = LinearRegressor(warm_start=True, **keywords).fit(DENSE, TARGET)
    assert reg.coef_.min() < 0
    warm = reg.set_params(positive=True).fit(DENSE, TARGET)
    cold = LinearRegressor(positive=True, **keywords).fit(DENSE, TARGET)
    assert warm.coef_.min() == 0
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=0.05 if solver != "stochastic" else 0.2)


# ---- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keywords",
    [
        {"lr": 0.2},
        {"lr": 0.2, "penalty": None, "batch_size": 16},
        {"lr": 0.2, "max_iter": reorder.MIN_EPOCHS},
        {"lr": [0.05, 0.3]},
        {"solver": "newton", "penalty": "l2"},
        {"solver": "newton", "penalty": "l1"},
        {"solver": "dual", "max_iter": 8},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [X, DENSE.astype(np.float32)], ids=["csr", "32"])
@pytest.mark.parametrize("y", [LABELS, THREE], ids=["two", "softmax"])
def test_bits_do_not_depend_on_builds_or_threads(rows, y, keywords, monkeypatch):
    keywords = {"penalty": "elasticnet", "alpha": 0.01, "random_state": 0, "positive": SOME,
                "max_iter": 2, "solver": "stochastic", **keywords}  # fmt: skip
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for build in BUILDS:
            use_backend(monkeypatch, build)
            for n_threads in (1, 3):
                clf = LinearClassifier(n_threads=n_threads, **keywords)
                fits.append(clf.fit(rows[:80], y[:80]).coef_)
        assert all(equal_bits(coef, fits[0]) for coef in fits)
        use_backend(monkeypatch, "numpy")
        other = LinearClassifier(**keywords).fit(rows[:80], y[:80]).coef_
    assert other[:, SOME].min() == 0
    tolerance = 1e-8 if rows.dtype == np.float64 else 2e-3
    np.testing.assert_allclose(fits[0], other, rtol=tolerance, atol=tolerance)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "positive, error, message",
    [
        (np.ones(39, bool), ValueError, r"positive must have shape \(40,\).*got \(39,\)"),
        (np.ones((40, 1), bool), ValueError, r"positive must have shape \(40,\)"),
        (np.ones(40), TypeError, "positive must be True, False, or a mask of booleans"),
        ([0, 3], TypeError, r"a mask of booleans.*got \[0, 3\]"),
        (1, TypeError, "positive must be True, False"),
        ("yes", TypeError, "positive must be True, False.*got 'yes'"),
        (None, TypeError, "positive must be True, False.*got None"),
    ],
)
def test_other_masks_are_refused_and_nothing_changes(positive, error, message):
    clf = LinearClassifier(random_state=0).fit(X, LABELS)
    before, clf.positive = clf.coef_, positive
    for fit in (clf.fit, clf.partial_fit):
        with pytest.raises(error, match=message):
            fit(X, LABELS)
    assert equal_bits(clf.coef_, before)


def test_what_cannot_hold_bounds_says_so():
    for keywords, message in (
        ({"optimizer": "ftrl", "penalty": None}, r"FTRL cannot hold weights at a bound.*True"),
        ({"optimizer": "lion", "penalty": None}, "Lion cannot hold weights at a bound"),
        ({"average": True}, r"an average of weights.*positive=True, average=True"),
    ):
        with pytest.raises(ValueError, match=message):
            LinearRegressor(positive=True, **keywords).fit(DENSE, TARGET)
    with pytest.raises(ValueError, match="solver='newton' needs a convex loss"):
        LinearRegressor("tweedie", power=3.0, positive=True, solver="newton").fit(
            DENSE, np.abs(TARGET) + 1
        )
    with pytest.raises(
        ValueError, match="a penalty of all features for a softmax with l1 or bound"
    ):
        LinearClassifier(positive=True, penalty=None, solver="newton").fit(DENSE, THREE)
    with pytest.raises(ValueError, match="solver='dual' needs penalty='l2'"):
        LinearRegressor(positive=True, penalty=None, solver="dual").fit(DENSE, TARGET)
    stream = LinearRegressor(penalty=None, lr=0.1).partial_fit(DENSE, TARGET)
    before = stream.coef_
    with pytest.raises(ValueError, match=r"positive, .*changed since the last call"):
        stream.set_params(positive=True).partial_fit(DENSE, TARGET)
    assert equal_bits(stream.coef_, before)


@parametrize_with_checks([LinearClassifier(positive=True), LinearRegressor(positive=True)])
def test_scikit_learn_contract(estimator, check):
    if estimator.__class__ is LinearClassifier and "classifiers_train" in str(check):
        pytest.skip("its classes take negative weights to be told apart so well")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)
