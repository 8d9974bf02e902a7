"""The search for a rate against plain cross-validation."""

import math
import pickle
import re
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold
from sklearn.preprocessing import scale
from strategies import sparse_problem

import lrcore
from lrcore import RateWarning
from lrcore.schedules import Cosine
from lrcore.tuning.search import METHODS

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=20)
QUICK = {"cv": 3, "n_points": 5, "lr_min": 1e-2, "lr_max": 1e2}

#: Fits at every rate of a grid, the bad ones too.
pytestmark = pytest.mark.filterwarnings("ignore::lrcore.RateWarning")


def test_a_grid_is_plain_cross_validation():
    model = lrcore.LinearClassifier(random_state=3, tol=None)
    found = lrcore.lr_search(model, X, LABELS, **QUICK)
    rates = np.geomspace(1e-2, 1e2, 5)
    np.testing.assert_allclose(found.cv_results_["param_lr"].astype(float), rates, rtol=1e-14)
    assert [p["lr"] for p in found.cv_results_["params"]] == pytest.approx(rates.tolist())
    wanted = np.empty((5, 3))
    for k, (train, test) in enumerate(StratifiedKFold(3).split(X, LABELS)):
        for i, lr in enumerate(rates):
            rule = lrcore.AdaGrad(lr=float(lr))
            one = lrcore.LinearClassifier(random_state=3, optimizer=rule, tol=None)
            p = one.fit(X[train], LABELS[train]).predict_proba(X[test])
            wanted[i, k] = -log_loss(LABELS[test], p)
        np.testing.assert_allclose(found.cv_results_[f"split{k}_test_score"], wanted[:, k])
    mean = wanted.mean(axis=1)
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], mean)
    np.testing.assert_allclose(found.cv_results_["std_test_score"], wanted.std(axis=1))
    assert found.best_index_ == mean.argmax()
    assert found.best_lr_ == pytest.approx(rates[mean.argmax()])
    assert found.best_score_ == pytest.approx(mean.max())
    assert found.cv_results_["rank_test_score"][found.best_index_] == 1
    assert repr(found).startswith(f"<RateSearch: lr={found.best_lr_:.4g}, score=")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_seeded_refits_and_changes_nothing(method):
    rule = lrcore.Adam(lr=Cosine(0.1, steps="90%"), beta1=0.8)
    model = lrcore.LinearClassifier(optimizer=rule, tol=None)
    before = pickle.dumps(model)
    first, again = (lrcore.lr_search(model, X, LABELS, method, **QUICK) for _ in range(2))
    assert pickle.dumps(model) == before
    for name in first.cv_results_:
        if "time" not in name:
            assert list(first.cv_results_[name]) == list(again.cv_results_[name])
    assert first.best_estimator_.coef_.tobytes() == again.best_estimator_.coef_.tobytes()
    assert first.best_estimator_.lr == first.best_lr_
    assert first.best_estimator_._trained.updates.rule.beta1 == 0.8
    rates = np.array([p["lr"] for p in first.cv_results_["params"]])
    assert (rates >= 1e-2 * (1 - 1e-12)).all()
    assert (rates <= 1e2 * (1 + 1e-12)).all()
    assert len(rates) == (7 if method == "halving" else 5)  # five, then two of them
    other = lrcore.lr_search(model, X, LABELS, method, random_state=1, **QUICK)
    assert other.best_estimator_.random_state != first.best_estimator_.random_state
    if method in ("random", "bayes"):
        assert list(other.cv_results_["param_lr"]) != list(first.cv_results_["param_lr"])
    assert lrcore.lr_search(model, X, LABELS, method, refit=False, **QUICK).best_estimator_ is None


def test_the_seed_and_the_threads_of_the_model_are_used():
    model = lrcore.LinearClassifier(random_state=7, tol=None)
    found = [
        lrcore.lr_search(model.set_params(n_threads=n), X, LABELS, "random", **QUICK)
        for n in (1, 2)
    ]
    assert found[0].best_estimator_.random_state == 7
    assert found[0].best_estimator_.coef_.tobytes() == found[1].best_estimator_.coef_.tobytes()


def test_random_rates_are_uniform_in_their_logarithm():
    found = lrcore.lr_search(
        lrcore.LinearRegressor(max_iter=1), DENSE[:20], TARGET[:20], "random",
        cv=2, n_points=100, lr_min=1e-3, lr_max=1e3, refit=False,
    )  # fmt: skip
    logs = np.log10(found.cv_results_["param_lr"].astype(float))
    assert abs(logs.mean()) < 0.5
    assert np.abs(np.histogram(logs, 4, (-3, 3))[0] - 25).max() < 15


def test_bayes_tries_more_rates_where_scores_are_good():
    X, y = load_breast_cancer(return_X_y=True)
    model, X = lrcore.LinearClassifier(max_iter=2), scale(X)
    found = lrcore.lr_search(model, X, y, "bayes", cv=3, n_points=20, lr_min=1e-6, lr_max=1e6)
    rates = np.log10([params["lr"] for params in found.cv_results_["params"]])
    near = np.abs(rates[5:] - math.log10(found.best_lr_)) < 1
    assert near.sum() >= 5  # of 15; by chance it would be 2 or 3
    grid = lrcore.lr_search(model, X, y, cv=3, refit=False)
    assert found.best_score_ > 1.1 * grid.best_score_


def test_rates_at_which_a_fit_diverges_score_nan():
    X, y = load_diabetes(return_X_y=True)
    model = lrcore.LinearRegressor(optimizer="sgd", tol=None)
    for method in METHODS:
        found = lrcore.lr_search(model, X, y, method, cv=3, n_points=9)
        scores = found.cv_results_["mean_test_score"]
        assert np.isnan(scores).any()
        assert math.isfinite(found.best_score_)
        assert found.best_score_ == np.nanmax(scores) or method == "halving"
    found = lrcore.lr_search(model, X, y, "bayes", cv=3, n_points=20, refit=False)
    assert np.isfinite(found.cv_results_["mean_test_score"][5:]).sum() >= 8  # not where it diverges
    with pytest.raises(ValueError, match=r"no rate from 100 to 1e\+03 has a finite score"):
        lrcore.lr_search(model, X, y, cv=3, n_points=3, lr_min=100)


def test_scoring_by_default_and_by_choice():
    def score(model, y, **keywords):
        model.set_params(random_state=0, tol=None)
        return lrcore.lr_search(model, X, y, **QUICK, **keywords)

    positive = np.exp(TARGET)
    for loss, y, sign in (
        ("squared_error", TARGET, -1),
        ("absolute_error", TARGET, -1),
        ("poisson", positive, -1),
        ("gamma", positive, -1),
        ("huber", TARGET, 1),  # no such measure: R2
    ):
        assert score(lrcore.LinearRegressor(loss), y).best_score_ * sign > 0
    hinge = score(lrcore.LinearClassifier("hinge"), LABELS)
    accuracy = score(lrcore.LinearClassifier("hinge"), LABELS, scoring="accuracy")
    assert hinge.best_score_ == accuracy.best_score_
    own = score(lrcore.LinearClassifier(), LABELS, scoring=lambda model, X, y: -model.alpha_)
    assert own.best_score_ == pytest.approx(-1e-6)


def test_other_rows_targets_and_splits():
    y = np.argmax(DENSE[:, :3], axis=1)
    names = np.array(["a", "b", "c"])[y]
    frame = pd.DataFrame(DENSE, columns=[f"x{i}" for i in range(20)])
    model = lrcore.LinearClassifier(tol=None)
    found = lrcore.lr_search(model, frame, pd.Series(names), **QUICK)
    assert found.best_estimator_.feature_names_in_[0] == "x0"
    assert found.best_estimator_.classes_.tolist() == ["a", "b", "c"]
    two = np.stack([TARGET, -TARGET], axis=1)
    model = lrcore.LinearRegressor(tol=None)
    found = lrcore.lr_search(model, X.tocsc(), two, **{**QUICK, "cv": KFold(2)})
    assert found.best_estimator_.coef_.shape == (2, 20)
    assert "split1_test_score" in found.cv_results_
    assert "split2_test_score" not in found.cv_results_
    # Splits drawn anew each time would compare rates on different rows.
    splits = ShuffleSplit(2, random_state=np.random.RandomState(0))
    same = lrcore.lr_search(
        lrcore.LinearClassifier(random_state=0, tol=None), X, LABELS, "bayes", cv=splits,
        n_points=2, lr_min=0.1, lr_max=0.1 * (1 + 1e-12), scoring="accuracy",
    )  # fmt: skip
    assert np.ptp(same.cv_results_["split0_test_score"]) == 0


def test_without_optuna_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"method='bayes' needs Optuna: pip install 'lrcore\[tu"):
        lrcore.lr_search(lrcore.LinearClassifier(), X, LABELS, "bayes")
    lrcore.lr_search(lrcore.LinearClassifier(tol=None), X, LABELS, **QUICK)


def test_the_log_level_of_optuna_is_restored(capsys):
    optuna = pytest.importorskip("optuna")
    before = optuna.logging.get_verbosity()
    for level in (optuna.logging.INFO, optuna.logging.ERROR):
        optuna.logging.set_verbosity(level)
        lrcore.lr_search(lrcore.LinearClassifier(tol=None), X, LABELS, "bayes", **QUICK)
        assert optuna.logging.get_verbosity() == level
    optuna.logging.set_verbosity(before)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"model": "adagrad"}, TypeError, "model must be a LinearClassifier or LinearRegressor"),
        ({"model": lrcore.LinearClassifier}, TypeError, "got type"),
        ({"model": lrcore.LinearClassifier(solver="dual")}, ValueError, "has no rate to choose"),
        ({"model": lrcore.LinearClassifier(max_iter=0)}, ValueError, "max_iter must be >= 1"),
        ({"X": [[np.nan]] * 4}, ValueError, "X has NaN in row 0, column 0"),
        ({"X": [1.0]}, ValueError, "X must be a 2-D array"),
        ({"X": [[1.0]]}, ValueError, "y must have one entry for each of the 1 rows of X, got 4"),
        ({"y": [1] * 4}, ValueError, "y must have at least 2 classes, got [1]"),
        ({"y": [0, 1, 0, np.nan]}, ValueError, "y contains NaN: y[3] is nan"),
        (
            {"model": lrcore.LinearRegressor("gamma")},
            ValueError,
            "y must be above 0 for loss='gamma', got 0.0 in row 0",
        ),
        ({"method": "newton"}, ValueError, "method must be one of grid, random, halving, bayes"),
        ({"method": None}, ValueError, "got None"),
        ({"cv": 1}, ValueError, "n_splits=1"),
        ({"cv": 3}, ValueError, "n_splits=3 cannot be greater than the number of members"),
        ({"cv": "five"}, ValueError, "Expected `cv` as an integer"),
        ({"n_points": 1}, ValueError, "n_points must be >= 2, got 1"),
        ({"n_points": 3.5}, TypeError, "n_points must be an integer, got 3.5"),
        ({"lr_min": 0}, ValueError, "lr_min must be > 0, got 0"),
        ({"lr_min": np.nan}, ValueError, "lr_min must be finite, >= 0, got nan"),
        ({"lr_max": 1e-3}, ValueError, "lr_max must be > lr_min = 0.001, got 0.001"),
        ({"lr_max": "1"}, TypeError, "lr_max must be a number, got '1'"),
        ({"random_state": "x"}, ValueError, "'x' cannot be used to seed"),
        ({"scoring": "loudness"}, ValueError, "'loudness'"),
        ({"scoring": "r3"}, ValueError, "'r3'"),
        ({"refit": "yes"}, TypeError, "refit must be True or False, got 'yes'"),
    ],
    ids=str,
)
def test_arguments_that_are_refused(changes, error, words):
    arguments = {
        "model": lrcore.LinearClassifier(), "X": [[1.0], [0.0], [2.0], [0.0]], "y": [0, 1, 0, 1],
        "cv": 2, **changes,
    }  # fmt: skip
    with pytest.raises(error, match=re.escape(words)):
        lrcore.lr_search(**arguments)


@pytest.mark.parametrize("method", ["grid", "random", "halving"])
def test_a_range_that_was_not_given_goes_on_where_the_best_rate_is_at_its_end(method):
    """Targets about 200,000 want rates about as large."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 8))
    y = 2e5 + 1e5 * (rows @ rng.normal(size=8) + 0.5 * rng.normal(size=600))
    model = lrcore.LinearRegressor(solver="stochastic", tol=None, random_state=0)
    found = lrcore.lr_search(model, rows, y, method, cv=2)
    assert 1e4 < found.best_lr_ < 1e8
    assert found.best_estimator_.score(rows, y) > 0.9
    model.set_params(optimizer="sgd", scale=None)
    small = lrcore.lr_search(model, rows * 1e3, y * 1e-5, method, cv=2)
    assert 1e-9 < small.best_lr_ < 1e-5


def test_a_best_rate_at_an_end_that_was_given_is_a_warning():
    model = lrcore.LinearClassifier(solver="stochastic", tol=None, random_state=0)
    with pytest.warns(RateWarning, match="about the largest that was tried, 0.001.*raise lr_max"):
        lrcore.lr_search(model, X, LABELS, cv=2, n_points=3, lr_min=1e-5, lr_max=1e-3)
    with pytest.warns(RateWarning, match="about the smallest that was tried, 20: .*lower lr_min"):
        lrcore.lr_search(model, X, LABELS, cv=2, n_points=3, lr_min=20, lr_max=2e3)
