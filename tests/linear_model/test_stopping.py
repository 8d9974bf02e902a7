"""When a fit ends: by its objective, by rows held out, by Ctrl-C; and where the next begins."""

import os
import signal

import backends
import numpy as np
import pytest
from sklearn.metrics import log_loss
from strategies import BUILDS, THREADS, equal_bits, sparse_problem

from lrcore import SGD, AdaGrad, LinearClassifier, LinearRegressor, schedules
from lrcore._backend import compiled
from lrcore.linear_model.monitor.stopping import EarlyStopping

X, DENSE, LABELS, TARGET = sparse_problem()


def objective(clf, alpha):
    p = np.clip(clf.predict_proba(X)[:, 1], 1e-300, 1)
    loss = -np.mean(np.where(LABELS == 1, np.log(p), np.log1p(-p)))
    return loss + alpha / 2 * np.sum(clf.coef_**2)


@pytest.mark.parametrize("max_iter", [2, 300])  # as they are, and staged
def test_tol_goes_by_the_objective(max_iter):
    clf = LinearClassifier(alpha=0.01, max_iter=max_iter, tol=1e-3, random_state=0).fit(X, LABELS)
    curve = clf.stopping_curve_
    assert len(curve) == clf.n_iter_
    assert curve[-1] == pytest.approx(objective(clf, 0.01), rel=1e-12)
    if max_iter == 300:
        assert 6 < clf.n_iter_ < 100
        best = np.minimum.accumulate(curve)
        assert np.all((curve[1:] >= best[:-1] - 1e-3)[-clf.n_iter_no_change :])
    whole = LinearClassifier(alpha=0.01, max_iter=max_iter, random_state=0).fit(X, LABELS)
    assert whole.n_iter_ == max_iter
    assert whole.stopping_curve_.size == 0


@pytest.mark.parametrize(
    "curve, expected",
    [
        ([3.0], False),
        ([3.0, 2.0, 1.0], False),
        ([3.0, 2.0, 2.0], False),
        ([3.0, 2.0, 2.0, 1.95], True),  # falls, by less than tol
        ([3.0, 2.0, 2.5, 1.8], False),
        ([3.0, 2.0, 2.5, 2.0, 1.0], False),
    ],
)
def test_patience(curve, expected):
    stopping = EarlyStopping(lambda model: 0.0, "objective", tol=0.1, patience=2)
    assert stopping.enough(curve) is expected


def test_looking_changes_nothing():
    keywords = {"max_iter": 6, "random_state": 0, "penalty": "elasticnet", "alpha": 1e-3}
    plain = LinearClassifier(**keywords).fit(X, LABELS)
    watched = LinearClassifier(tol=0.0, n_iter_no_change=99, **keywords).fit(X, LABELS)
    assert equal_bits(plain.loss_curve_[:1], watched.loss_curve_[:1])
    assert equal_bits(plain.coef_, watched.coef_)


def test_rows_held_out_are_not_learnt_from():
    keywords = {"max_iter": 200, "random_state": 3, "validation_fraction": 0.25}
    reg = LinearRegressor(early_stopping=True, **keywords).fit(X, TARGET)
    assert 1 < reg.n_iter_ < 200
    spoilt = TARGET.copy()
    held_out = np.random.RandomState(3).permutation(len(TARGET))[:75]
    error = np.mean((reg.predict(X)[held_out] - TARGET[held_out]) ** 2) / 2
    assert reg.stopping_curve_[-1] == pytest.approx(error, rel=1e-12)
    spoilt[held_out] = 1e3  # they decide when to stop, and nothing else
    other = LinearRegressor(early_stopping=True, n_iter_no_change=200, **keywords)
    calm = LinearRegressor(early_stopping=True, n_iter_no_change=200, **keywords)
    assert equal_bits(other.fit(X, spoilt).coef_, calm.fit(X, TARGET).coef_)


def test_an_eval_set_decides():
    train, held_out = slice(0, 200), slice(200, None)
    clf = LinearClassifier(max_iter=200, random_state=0)
    clf.fit(X[train], LABELS[train], eval_set=(X[held_out], LABELS[held_out]))
    assert clf.n_iter_ < 200
    expected = log_loss(LABELS[held_out], clf.predict_proba(X[held_out]))
    assert clf.stopping_curve_[-1] == pytest.approx(expected, rel=1e-9)


def test_bits_do_not_depend_on_builds_or_threads(monkeypatch):
    found = []
    for build in BUILDS:
        backends.use(monkeypatch, build)
        for n_threads in THREADS:
            clf = LinearClassifier(
                early_stopping=True, tol=1e-4, max_iter=60, random_state=0, n_threads=n_threads
            ).fit(X, LABELS)
            clf.set_params(warm_start=True, max_iter=4).fit(X, LABELS)
            found.append((clf.coef_, clf.stopping_curve_))
    assert all(equal_bits(x, y) for other in found for x, y in zip(other, found[0]))


def test_a_warm_start_goes_on():
    keywords = {"optimizer": SGD(lr=schedules.Constant(0.05)), "penalty": None, "shuffle": False}
    whole = LinearClassifier(max_iter=6, block_size=1, **keywords).fit(X, LABELS)
    half = LinearClassifier(max_iter=3, block_size=1, warm_start=True, **keywords).fit(X, LABELS)
    assert not np.allclose(half.coef_, whole.coef_, rtol=1e-3)
    half.fit(X, LABELS)
    np.testing.assert_allclose(half.coef_, whole.coef_, rtol=1e-9)
    np.testing.assert_allclose(half.intercept_, whole.intercept_, rtol=1e-9)


@pytest.mark.parametrize("max_iter", [2, 50])  # as the rows are, and staged without a warm start
def test_a_warm_start_keeps_features_that_do_not_come_up(max_iter, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    clf = LinearClassifier(penalty=None, max_iter=max_iter, warm_start=True, random_state=0)
    before = clf.fit(X, LABELS).coef_
    some = X.multiply(~np.isin(np.arange(60), range(10, 20))).tocsr()
    some.eliminate_zeros()
    after = clf.fit(some, LABELS).coef_
    assert np.ptp(before[0, 10:20]) > 0
    assert equal_bits(after[:, 10:20].copy(), before[:, 10:20].copy())
    assert not np.allclose(after, before)


def test_rows_count_by_their_weights():
    weight = np.random.default_rng(0).uniform(0.1, 3.0, len(LABELS))
    keywords = {"penalty": None, "random_state": 3, "max_iter": 4}
    clf = LinearClassifier(tol=0.0, n_iter_no_change=9, **keywords).fit(X, LABELS, weight)
    whole = log_loss(LABELS, clf.predict_proba(X), sample_weight=weight)
    assert clf.stopping_curve_[-1] == pytest.approx(whole, rel=1e-9)
    clf = LinearClassifier(early_stopping=True, n_iter_no_change=9, **keywords)
    clf.fit(X, LABELS, weight)
    held_out = np.random.RandomState(3).permutation(len(LABELS))[:30]
    p = clf.predict_proba(X)[held_out]
    part = log_loss(LABELS[held_out], p, sample_weight=weight[held_out])
    assert clf.stopping_curve_[-1] == pytest.approx(part, rel=1e-9)


def test_a_warm_start_keeps_the_rules_state():
    constant = AdaGrad(lr=schedules.Constant(0.5))
    clf = LinearClassifier(optimizer=constant, max_iter=2, warm_start=True, random_state=0)
    clf.fit(X, LABELS)
    before = clf._trained.states[0].columns[1].copy()
    clf.fit(X, LABELS)
    assert np.all(clf._trained.states[0].columns[1] >= before)
    assert np.any(before > 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"optimizer": "sgd"}, "it had AdaGrad, .* this has SGD"),
        ({}, "20 features; set it to False|had AdaGrad, float64, 1 outputs, 60 features"),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused(change, message):
    clf = LinearClassifier(warm_start=True, random_state=0).fit(X, LABELS)
    coef = clf.coef_
    clf.set_params(**change)
    with pytest.raises(ValueError, match=message):
        clf.fit(X if change else X[:, :20], LABELS)
    assert equal_bits(clf.coef_, coef)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("max_iter", [2, 50])
def test_ctrl_c_leaves_what_was_learnt(max_iter):
    def interrupt(at):
        if at.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    clf = LinearClassifier(max_iter=max_iter, random_state=0)
    with pytest.raises(KeyboardInterrupt, match=f"in epoch 2 of {max_iter}; the estimator has"):
        clf.fit(X, LABELS, callback=interrupt)
    assert clf.n_iter_ == 2
    assert clf.score(X, LABELS) > 0.8
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    clf.partial_fit(X, LABELS)


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"tol": -1.0}, ValueError, "tol must be finite, >= 0, got -1.0"),
        ({"tol": "1e-3"}, TypeError, "tol must be a number, got '1e-3'"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change must be >= 1, got 0"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction must be within 0 and 1"),
        (
            {"early_stopping": True, "validation_fraction": 0.999},
            ValueError,
            "validation_fraction=0.999 leaves no row of 300 to learn from",
        ),
    ],
)
def test_bad_keywords_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        LinearClassifier(**keywords).fit(X, LABELS)


@pytest.mark.parametrize(
    "eval_set, error, message",
    [
        (X, TypeError, r"eval_set must be a pair \(X, y\), got"),
        ((X[:, :3], LABELS), ValueError, "eval_set has 3 features, and X has 60"),
        ((X, LABELS[:5]), ValueError, "y must have one entry for each of the 300 rows"),
        ((X, LABELS + 5), ValueError, r"y has the class 5 in row 0, which is not in classes \[0, "),
    ],
)
def test_bad_eval_sets_are_refused(eval_set, error, message):
    clf = LinearClassifier()
    with pytest.raises(error, match=message):
        clf.fit(X, LABELS, eval_set=eval_set)
    assert not hasattr(clf, "n_iter_")
