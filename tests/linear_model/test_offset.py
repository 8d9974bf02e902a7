"""Offsets: the minimum, what alpha means, the bits, streams, scores, and what is refused."""

import copy
import pickle
import warnings
from functools import cache

import numpy as np
import pytest
import sklearn
from backends import use_backend
from independent_optimum import (
    ALPHA,
    L1_RATIO,
    N_ROWS,
    PIECES,
    objective,
    piecewise_minimum,
    problem,
    smooth_minimum,
)
from oracles import loss_and_gradient
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from strategies import BUILDS, LOSSES, equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor, LinearRegressorCV
from lrcore.linear_model.auto_lr import natural_lr
from lrcore.linear_model.duality import null_objective
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.layout import ModelState, UpdateConfig
from lrcore.linear_model.monitor.diagnostics import GradientStep
from lrcore.linear_model.monitor.gradient_stats import GradientStats
from lrcore.linear_model.offset import with_offset
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers.dual import DUAL_LOSSES
from lrcore.linear_model.solvers.newton import NEWTON_LOSSES
from lrcore.penalties import ElasticNet

REGRESSION = [name for name, loss in LOSSES.items() if not loss.classifies]
LOG_LINK = ["poisson", "gamma", "tweedie"]
OFFSET = np.random.default_rng(8).normal(0.3, 0.7, N_ROWS)
WEIGHT = np.random.default_rng(9).choice([0.5, 1.0, 3.0], N_ROWS)

X, DENSE, _, TARGET = sparse_problem()
LONG = np.random.default_rng(7).normal(0.5, 1.0, len(TARGET))
COUNTS = np.random.default_rng(6).poisson(np.exp(0.4 * np.clip(TARGET, -3, 3) + LONG)) * 1.0

#: Each solver with a penalty that it takes, and how near it comes.
SOLVERS = {
    "newton": (NEWTON_LOSSES, "l2", {"tol": 1e-9}, 1e-7),
    "newton, l1": (NEWTON_LOSSES, "elasticnet", {"tol": 1e-9}, 1e-7),
    "dual": (DUAL_LOSSES, "l2", {"tol": 1e-6, "max_iter": 20_000}, 2e-5),
    "stochastic": (
        REGRESSION, "l2", {"optimizer": lrcore.AdaGrad(lr=0.3), "max_iter": 1000}, 2e-4
    ),
}  # fmt: skip
CASES = [
    (solver, loss)
    for solver, (losses, *_) in SOLVERS.items()
    for loss in REGRESSION
    if loss in losses
]


def regressor(loss, **keywords):
    """A regressor with the parameters of the losses that the oracles have."""
    return LinearRegressor(loss, random_state=0, **vars(LOSSES[loss]), **keywords)


def log_link(loss, **keywords):
    return LinearRegressor(loss, power=1.5, random_state=0, **keywords)


@cache
def minimum(loss, penalty):
    rows, y = problem(loss)
    oracle = piecewise_minimum if loss in PIECES else smooth_minimum
    return oracle(loss, penalty, rows, y, weight=WEIGHT, offset=OFFSET)


# ---- the minimum ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("solver, loss", CASES)
def test_fits_end_at_the_minimum_with_the_offset(solver, loss, form):
    _, penalty, keywords, near = SOLVERS[solver]
    rows, y = problem(loss)
    model = regressor(
        loss, solver=solver.split(",")[0], penalty=penalty, alpha=ALPHA, l1_ratio=L1_RATIO,
        scale=None, **keywords,
    ).fit(rows if form == "dense" else sparse.csr_matrix(rows), y, WEIGHT, OFFSET)  # fmt: skip
    at = {"weight": WEIGHT, "offset": OFFSET}
    got = objective(loss, penalty, rows, y, model.coef_, model.intercept_[0], **at)
    least = minimum(loss, penalty)
    assert least - 1e-7 * abs(least) <= got <= least + near * max(abs(least), 0.1)
    without = model.fit(rows, y, WEIGHT)
    other = objective(loss, penalty, rows, y, without.coef_, without.intercept_[0], **at)
    assert other > least + 10 * near


@pytest.mark.parametrize("alpha", [0.0, 0.05])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("solver", ["newton", "stochastic"])
@pytest.mark.parametrize("loss", LOG_LINK)
def test_a_constant_offset_moves_the_intercept_alone(loss, solver, penalty, alpha):
    """Ten times the exposure is the same fit at a tenth of the mean, whatever alpha."""
    y, ten = COUNTS + 0.5, np.full(len(COUNTS), np.log(10.0))
    keywords = {"solver": solver, "penalty": penalty, "alpha": alpha, "max_iter": 30, "tol": 1e-7}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = log_link(loss, **keywords).fit(DENSE[:, :6], y)
        shifted = log_link(loss, **keywords).fit(DENSE[:, :6], y, offset=ten)
    assert np.abs(plain.coef_).max() > 0.03
    np.testing.assert_allclose(shifted.coef_, plain.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(shifted.intercept_, plain.intercept_ - ten[0], rtol=1e-6)
    # What is reported is of the losses of y, as the user has them.
    np.testing.assert_allclose(shifted.loss_curve_, plain.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(shifted.stopping_curve_, plain.stopping_curve_, rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "quantile"])
def test_with_an_identity_link_it_is_a_shift_of_y(loss):
    a = LinearRegressor(loss, random_state=0).fit(DENSE, TARGET, offset=LONG)
    b = LinearRegressor(loss, random_state=0).fit(DENSE, TARGET - LONG)
    assert equal_bits(a.coef_, b.coef_)
    np.testing.assert_allclose(a.predict(DENSE, LONG), b.predict(DENSE) + LONG, rtol=1e-12)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("loss", LOG_LINK)
def test_the_certified_gap_is_a_bound(loss, penalty):
    """Of a fit that is ended early, against the objective of one that is not."""

    def at(model):
        z = DENSE @ model.coef_ + model.intercept_[0] + LONG
        values = [loss_and_gradient(loss, a, b, 1.5)[0] for a, b in zip(z, y)]
        size = np.abs(model.coef_).sum() if penalty == "l1" else (model.coef_**2).sum() / 2
        return np.average(values) + 0.01 * size

    y, keywords = COUNTS + 0.5, {"solver": "newton", "penalty": penalty, "alpha": 0.01}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        early = log_link(loss, **keywords, max_iter=2, tol=1e-12, scale=None)
        early.fit(DENSE, y, offset=LONG)
        best = log_link(loss, **keywords, tol=1e-12, scale=None).fit(DENSE, y, offset=LONG)
    least = [loss_and_gradient(loss, np.log(t), t, 1.5)[0] for t in y]
    apart = (at(early) - at(best)) / (at(early) - np.mean(least))
    assert 1e-9 < apart <= early.dual_gap_ < 1.0
    assert best.dual_gap_ < 1e-8


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0, -1.0])
def test_the_best_constant_beside_an_offset(power):
    """The derivative of the mean loss by it is 0, as Python floats have it."""
    loss = lrcore.losses.make("tweedie", power=power)
    name = {1.0: "poisson", 2.0: "gamma"}.get(power, "tweedie")
    y = COUNTS + 0.5
    rows = Problem(as_design_matrix(DENSE), [y], None, Objective(loss, ElasticNet()))
    for offset in (LONG, LONG + 300.0, np.where(LONG > 0, 1.0, 0.0)):
        ((constant,),) = with_offset(rows, offset).constants()
        slopes = [loss_and_gradient(name, constant + o, t, power)[1] for o, t in zip(offset, y)]
        assert abs(np.sum(slopes)) <= 1e-9 * np.sum(np.abs(slopes))


def test_a_fit_is_compared_with_the_best_constant_and_the_offset():
    """Nothing is to be learnt beside the exposure: a fit is no worse than that, and silent; one
    that has not come so far is told what the best constant would lose."""
    rng = np.random.default_rng(1)
    noise, exposure = rng.normal(size=(2000, 2)), rng.normal(0.0, 1.5, 2000)
    y = rng.poisson(3 * np.exp(exposure)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = log_link("poisson", alpha=10.0).fit(noise, y, offset=exposure)
    best = np.log(y.sum() / np.exp(exposure).sum())
    assert model.intercept_[0] == pytest.approx(best, abs=1e-3)
    slow = log_link("poisson", optimizer=lrcore.SGD(lr=1e-9), max_iter=1, alpha=0.0)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        slow.fit(noise, y, offset=exposure)
    lost = np.mean(np.exp(best + exposure) - y * (best + exposure))
    assert f"and {lost:.4g} by the best constant" in str(found[-1].message)


def carried(offset, loss="poisson"):
    """A problem of one target with an offset."""
    how = Objective(lrcore.losses.make(loss), ElasticNet(l2=0.01))
    return with_offset(Problem(as_design_matrix(DENSE), [COUNTS], None, how), offset)


def test_the_loss_without_a_model_is_that_of_the_offset():
    rows = carried(LONG)
    found = null_objective(rows.objective.loss, COUNTS, rows.share, rows.offset(0))
    least = [loss_and_gradient("poisson", np.log(t), t)[0] if t else 0.0 for t in COUNTS]
    lost = [loss_and_gradient("poisson", o, t)[0] for o, t in zip(LONG, COUNTS)]
    assert found == pytest.approx(np.mean(lost) - np.mean(least))


@pytest.mark.parametrize("rule", [lrcore.SGD(1.0), lrcore.AdaGrad(1.0)])
def test_rates_to_begin_with_are_in_the_unit_of_the_mean_with_the_offset(rule):
    ten = np.full(len(COUNTS), np.log(10.0))
    assert natural_lr(rule, carried(ten)) == natural_lr(rule, carried(None))


def test_what_callbacks_and_diagnostics_see_is_with_the_offset():
    rows, rule = carried(LONG), UpdateConfig(lrcore.AdaGrad(0.1), 1, 256)
    state = ModelState.new(rule, rows.X)
    state.weights[0] = np.linspace(-0.1, 0.1, 61)
    w, b = state.weights[0, :-1], state.weights[0, -1]
    both = [loss_and_gradient("poisson", z, t) for z, t in zip(DENSE @ w + b + LONG, COUNTS)]
    stats = GradientStats(rows.objective, [state], rows, 1)
    assert GradientStep(stats).loss == pytest.approx(np.mean([lost for lost, _ in both]))
    slopes = np.array([slope for _, slope in both]) / len(COUNTS)
    norm = np.hypot(np.linalg.norm(DENSE.T @ slopes + 0.01 * w), slopes.sum())
    assert stats.of_rows(None).gradient_norm == pytest.approx(norm)


# ---- more than one target, several rates, streams ------------------------------------------------


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
@pytest.mark.parametrize("solver", ["newton", "stochastic"])
@pytest.mark.parametrize("rows", [X, DENSE], ids=["sparse", "dense"])
@pytest.mark.parametrize("loss", ["poisson", "squared_error"])
def test_targets_have_an_offset_each_or_all_the_same(loss, rows, solver):
    y, both = np.stack([COUNTS, 2.0 + COUNTS], axis=1), np.stack([LONG, -0.5 * LONG], axis=1)
    keywords = {"solver": solver, "alpha": 0.01, "lr": "auto" if solver == "newton" else 0.1}
    keywords["tol"] = None if solver == "stochastic" else "auto"
    keywords["block_size"] = 1  # else blocks are as long as both targets allow
    whole = log_link(loss, **keywords).fit(rows, y, offset=both)
    each = [log_link(loss, **keywords).fit(rows, y[:, k], offset=both[:, k]) for k in (0, 1)]
    np.testing.assert_allclose(whole.coef_, [one.coef_ for one in each], rtol=1e-6, atol=1e-9)
    predicted = np.stack([one.predict(rows, both[:, k]) for k, one in enumerate(each)], axis=1)
    np.testing.assert_allclose(whole.predict(rows, both), predicted, rtol=1e-6)
    same = log_link(loss, **keywords).fit(rows, y, offset=LONG)
    np.testing.assert_allclose(same.coef_[0], each[0].coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rows", [X, DENSE], ids=["sparse", "dense"])
def test_several_rates_in_one_pass_have_it_too(rows):
    several = log_link("poisson", solver="stochastic", lr=[0.01, 0.2], alpha=1e-3, tol=None)
    several.fit(rows, COUNTS, offset=LONG, eval_set=(rows, COUNTS, None, LONG))
    each = [
        log_link("poisson", solver="stochastic", lr=lr, alpha=1e-3, tol=None, block_size=1)
        .fit(rows, COUNTS, offset=LONG)
        for lr in (0.01, 0.2)
    ]  # fmt: skip
    lost = [-lrcore.linear_model.cross_validation.negative_loss(m, rows, COUNTS, None, LONG)
            for m in each]  # fmt: skip
    np.testing.assert_allclose(several.lr_losses_, lost, rtol=0.02)


@pytest.mark.parametrize("loss", ["poisson", "huber"])
@pytest.mark.parametrize("keywords", [{"lr": 0.1}, {}, {"batch_size": 16}], ids=str)
def test_calls_of_partial_fit_are_one_stream(loss, keywords, tmp_path):
    keywords = {"alpha": 1e-3, **keywords}
    some = np.where(np.arange(len(LONG)) < 70, 0.0, LONG)
    whole = log_link(loss, **keywords).partial_fit(X, COUNTS, offset=some)
    parts = log_link(loss, **keywords).partial_fit(X[:70], COUNTS[:70])
    parts.partial_fit(X[70:133], COUNTS[70:133], offset=some[70:133])
    lrcore.save(parts, tmp_path / "m")
    for again in (lrcore.load(tmp_path / "m"), pickle.loads(pickle.dumps(parts)), parts):
        again.partial_fit(X[133:], COUNTS[133:], offset=some[133:])
        assert equal_bits(again.coef_, whole.coef_)
    plain = log_link(loss, **keywords).partial_fit(X, COUNTS)
    assert not np.allclose(plain.coef_, whole.coef_, rtol=1e-2)


def test_a_stream_ends_where_a_fit_ends():
    """Many passes of partial_fit over rows that have weights as well: the penalty is of the weights
    of the rows, whatever their exposures."""
    rows, y = problem("poisson")
    reg = log_link("poisson", penalty="l2", alpha=ALPHA, optimizer=lrcore.AdaGrad(lr=0.1))
    order = np.random.default_rng(0)
    for _ in range(600):
        k = order.permutation(N_ROWS)
        reg.partial_fit(rows[k], y[k], WEIGHT[k] / WEIGHT.mean(), OFFSET[k])
    at = {"weight": WEIGHT, "offset": OFFSET}
    got = objective("poisson", "l2", rows, y, reg.coef_, reg.intercept_[0], **at)
    assert got <= smooth_minimum("poisson", "l2", rows, y, **at) + 2e-3


# ---- bits ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
@pytest.mark.parametrize("keywords", [{}, {"batch_size": 16}, {"optimizer": "dog"}], ids=str)
@pytest.mark.parametrize("rows", [X, DENSE.astype(np.float32)], ids=["csr", "32"])
@pytest.mark.parametrize("y", [COUNTS, np.stack([COUNTS, COUNTS + 1], 1)], ids=["one", "two"])
def test_bits_do_not_depend_on_builds_or_threads(rows, y, keywords, monkeypatch):
    fits = []
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in (1, 2, 3):
            reg = log_link("poisson", solver="stochastic", alpha=0.01, n_threads=n_threads,
                           max_iter=2, **keywords)  # fmt: skip
            fits.append(reg.fit(rows, y, offset=LONG).coef_)
    assert all(equal_bits(coef, fits[0]) for coef in fits)
    use_backend(monkeypatch, "numpy")
    lr = {} if keywords.get("optimizer") else {"lr": 0.1}
    twin = log_link("poisson", solver="stochastic", alpha=0.01, max_iter=2, **keywords, **lr)
    other = clone(twin).fit(rows[:90], y[:90], offset=LONG[:90]).coef_
    use_backend(monkeypatch, BUILDS[0])
    tolerance = 1e-8 if rows.dtype == np.float64 else 1e-3
    mine = twin.fit(rows[:90], y[:90], offset=LONG[:90]).coef_
    np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("solver", ["newton", "stochastic", "auto"])
def test_an_offset_of_zeros_has_the_bits_of_none(solver):
    keywords = {"solver": solver, "tol": None if solver == "stochastic" else "auto"}
    plain = log_link("poisson", **keywords).fit(X, COUNTS)
    zeros = log_link("poisson", **keywords).fit(X, COUNTS, offset=np.zeros(len(COUNTS)))
    assert equal_bits(plain.coef_, zeros.coef_)


# ---- alpha, held-out rows, scores ----------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("loss", ["poisson", "squared_error"])
def test_alphas_are_judged_by_held_out_rows_with_their_offset(loss, penalty):
    def lost(alpha):
        model = log_link(loss, alpha=alpha, **keywords)
        model.fit(DENSE[:200], COUNTS[:200], offset=LONG[:200])
        z = DENSE[200:] @ model.coef_ + model.intercept_[0] + LONG[200:]
        return np.mean([loss_and_gradient(loss, a, b)[0] for a, b in zip(z, COUNTS[200:])])

    keywords = {"solver": "newton", "penalty": penalty, "tol": 1e-6}
    alphas, held_out = [0.3, 0.03, 0.003], (DENSE[200:], COUNTS[200:], None, LONG[200:])
    model = log_link(loss, alpha=alphas, **keywords)
    model.fit(DENSE[:200], COUNTS[:200], offset=LONG[:200], eval_set=held_out)
    np.testing.assert_allclose(model.alpha_losses_, [lost(alpha) for alpha in alphas], rtol=0.02)


def test_alpha_auto_is_judged_by_rows_left_out_with_their_offset():
    """By one Newton step each; by hand each is left out of a fit of its own."""
    n, rows = 60, DENSE[:60, :4]
    model = log_link("poisson", alpha=[0.3, 0.01], scale=None)
    model.fit(rows, COUNTS[:n], offset=LONG[:n])
    for alpha, lost in zip(model.alphas_, model.alpha_losses_):
        each = []
        for i in range(n):
            k = np.arange(n) != i
            one = log_link("poisson", alpha=alpha * n / (n - 1), tol=1e-8, scale=None)
            one.fit(rows[k], COUNTS[:n][k], offset=LONG[:n][k])
            z = rows[i] @ one.coef_ + one.intercept_[0] + LONG[i]
            each.append(loss_and_gradient("poisson", z, COUNTS[i])[0])
        assert lost == pytest.approx(np.mean(each), abs=0.02)
    by_ten = log_link("poisson").fit(rows, COUNTS[:n], offset=np.full(n, np.log(10.0)))
    assert by_ten.alpha_ == pytest.approx(log_link("poisson").fit(rows, COUNTS[:n]).alpha_)


@pytest.mark.parametrize("scoring", [None, "r2", lambda m, X, y: r2_score(y, m.predict(X))])
def test_cross_validation_has_the_offset_in_fits_and_scores(scoring):
    folds = KFold(3).split(DENSE)
    cv = LinearRegressorCV("poisson", alphas=[0.1, 0.01], cv=3, scoring=scoring, tol=1e-7)
    cv.fit(DENSE, COUNTS, offset=LONG)
    for scores, (train, test) in zip(cv.scores_, folds):
        for score, alpha in zip(scores, cv.alphas_):
            alpha = alpha * len(COUNTS) / len(train)
            one = LinearRegressor("poisson", alpha=alpha, tol=1e-7)
            one.fit(DENSE[train], COUNTS[train], offset=LONG[train])
            if scoring is None:
                expected = -one._mean_loss(DENSE[test], COUNTS[test], None, LONG[test])
            else:
                expected = one.score(DENSE[test], COUNTS[test], offset=LONG[test])
            assert score == pytest.approx(expected, rel=1e-4)
    assert cv.score(DENSE, COUNTS, offset=LONG) == cv.estimator_.score(DENSE, COUNTS, None, LONG)
    assert equal_bits(cv.predict(DENSE, LONG), cv.estimator_.predict(DENSE, LONG))


def test_rows_to_stop_by_have_their_offset():
    far = LONG + 2.0
    model = log_link("poisson", solver="stochastic", lr=0.05, max_iter=40, alpha=1e-4)
    model.fit(DENSE[:200], COUNTS[:200], offset=far[:200],
              eval_set=(DENSE[200:], COUNTS[200:], None, far[200:]))  # fmt: skip
    kept = -lrcore.linear_model.cross_validation.negative_loss(
        model, DENSE[200:], COUNTS[200:], None, far[200:]
    )
    assert model.stopping_curve_.min() == pytest.approx(kept)
    z = DENSE[200:] @ model.coef_ + model.intercept_[0] + far[200:]
    lost = np.mean([loss_and_gradient("poisson", a, b)[0] for a, b in zip(z, COUNTS[200:])])
    assert kept == pytest.approx(lost)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_have_the_offset_they_are_given(dtype):
    rows = DENSE.astype(dtype)
    reg = log_link("poisson", alpha=0.01).fit(rows, COUNTS, offset=LONG)
    z = rows @ reg.coef_ + reg.intercept_
    np.testing.assert_allclose(reg.predict(rows), np.exp(z), rtol=1e-5)
    np.testing.assert_allclose(reg.predict(rows, offset=LONG), np.exp(z + LONG), rtol=1e-5)
    assert reg.predict(rows, offset=LONG).dtype == dtype
    assert reg.score(rows, COUNTS, offset=LONG) == r2_score(COUNTS, reg.predict(rows, LONG))
    weight = np.arange(1.0, len(LONG) + 1)
    weighed = r2_score(COUNTS, reg.predict(rows), sample_weight=weight)
    assert reg.score(rows, COUNTS, weight) == weighed


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_offsets_are_routed_like_weights(routing):
    asking = log_link("poisson", alpha=0.01).set_fit_request(offset=True)
    asking.set_score_request(offset=True).set_predict_request(offset=True)
    asking.set_partial_fit_request(offset=True)
    assert clone(asking).get_metadata_routing().partial_fit.requests["offset"] is True
    pipeline = make_pipeline(MaxAbsScaler(), asking).fit(DENSE, COUNTS, offset=LONG)
    scaled = MaxAbsScaler().fit_transform(DENSE)
    by_hand = log_link("poisson", alpha=0.01).fit(scaled, COUNTS, offset=LONG)
    assert equal_bits(pipeline[-1].coef_, by_hand.coef_)
    assert equal_bits(pipeline.predict(DENSE, offset=LONG), by_hand.predict(scaled, LONG))
    scores = cross_val_score(asking, DENSE, COUNTS, cv=3, params={"offset": LONG})
    train, test = next(KFold(3).split(DENSE))
    one = log_link("poisson", alpha=0.01).fit(DENSE[train], COUNTS[train], offset=LONG[train])
    assert scores[0] == one.score(DENSE[test], COUNTS[test], offset=LONG[test])
    search = GridSearchCV(asking, {"alpha": [1e-4, 0.1]}, cv=3).fit(DENSE, COUNTS, offset=LONG)
    assert search.best_score_ > GridSearchCV(
        log_link("poisson", alpha=0.01), {"alpha": [1e-4, 0.1]}, cv=3
    ).fit(DENSE, COUNTS).best_score_  # fmt: skip


# ---- what is refused -----------------------------------------------------------------------------

BAD = {
    "NaN": (np.where(np.arange(300) == 17, np.nan, 0.0), "must be finite, got nan in row 17"),
    "infinity": (np.where(np.arange(300) == 4, np.inf, 0.0), "offset must be finite.*row 4"),
    "length": (np.zeros(299), r"offset must have shape \(300,\).*got \(299,\)"),
    "columns": (np.zeros((300, 3)), r"offset must have shape \(300,\).*got \(300, 3\)"),
    "one number": (1.0, r"offset must have shape \(300,\).*got \(\)"),
    "words": (["a"] * 300, "offset must hold numbers"),
    "exposures": (np.full(300, 1e4), "within -700 and 700 with a log link, got 10000 in row 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_other_offsets_are_refused_and_nothing_changes(name):
    offset, message = BAD[name]
    reg = log_link("poisson", alpha=0.01).fit(DENSE, COUNTS, offset=LONG)
    before = copy.copy(reg.__dict__)
    calls = (
        lambda: reg.fit(DENSE, COUNTS, offset=offset),
        lambda: reg.partial_fit(DENSE, COUNTS, offset=offset),
        lambda: reg.predict(DENSE, offset=offset),
        lambda: reg.score(DENSE, COUNTS, offset=offset),
        lambda: reg.fit(DENSE, COUNTS, eval_set=(DENSE, COUNTS, None, offset)),
        lambda: LinearRegressorCV("poisson").fit(DENSE, COUNTS, offset=offset),
    )
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()
    assert reg.__dict__ == before


def test_differences_must_be_numbers_and_classifiers_have_no_offset():
    with pytest.raises(ValueError, match="y less its offset must be finite, got inf in row 0"):
        LinearRegressor().fit(DENSE, np.full(300, 1.5e308), offset=np.full(300, -1.5e308))
    LinearRegressor().fit(DENSE, TARGET, offset=np.full(300, 1e4))
    labels = TARGET > 0
    with pytest.raises(TypeError, match=r"got tuple of 4; a triple \(X, y, sample_weight\) will"):
        LinearClassifier().fit(DENSE, labels, eval_set=(DENSE, labels, None, LONG))
    with pytest.raises(TypeError, match=r"or \(X, y, sample_weight, offset\) will do as well"):
        LinearRegressor().fit(DENSE, TARGET, eval_set=(DENSE,))


@pytest.mark.parametrize("change", ["length", "range", "missing"])
def test_saved_rows_with_a_damaged_offset_are_refused(change, tmp_path):
    reg = log_link("poisson", alpha=0.01).partial_fit(X[:70], COUNTS[:70], offset=LONG[:70])
    rows = reg._trained.beginning
    damaged = {
        "length": [rows.offsets[0][:-1]],
        "range": [rows.offsets[0] + 1e4],
        "missing": [*rows.offsets, rows.offsets[0]],
    }[change]
    object.__setattr__(rows, "offsets", damaged)
    with pytest.raises(ValueError, match="offset"):
        pickle.loads(pickle.dumps(reg))
