import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss, roc_auc_score

import lrcore
from lrcore.cli.metrics import measure

RNG = np.random.RandomState(0)
X = RNG.randn(200, 3)
Y = (X[:, 0] + RNG.randn(200) > 0).astype(int)


def test_classifier():
    model = LogisticRegression().fit(X, Y)
    metrics = measure(model, X, Y)
    assert metrics == {
        "accuracy": model.score(X, Y),
        "log_loss": pytest.approx(log_loss(Y, model.predict_proba(X))),
        "auc": roc_auc_score(Y, model.decision_function(X)),
    }


def test_what_the_model_or_the_labels_do_not_allow_is_left_out():
    model = LogisticRegression().fit(X, Y)
    assert set(measure(model, X, np.ones(200, int))) == {"accuracy", "log_loss"}
    assert set(measure(model, X, np.full(200, 2))) == {"accuracy"}
    assert set(measure(RidgeClassifier().fit(X, Y), X, Y)) == {"accuracy", "auc"}
    three = np.arange(200) % 3
    assert set(measure(LogisticRegression().fit(X, three), X, three)) == {"accuracy", "log_loss"}


def test_log_loss_of_labels_that_are_far_off():
    wide = 200.0 * X
    model = lrcore.LinearClassifier(alpha=1e-4, random_state=0).fit(X, X[:, 0] > 0)
    raw = model.decision_function(wide)
    expected = np.mean(np.logaddexp(0, np.where(Y == 1, -raw, raw)))
    assert raw[Y == 1].min() < -100
    assert measure(model, wide, Y == 1)["log_loss"] == pytest.approx(expected, rel=1e-12)


def test_log_loss_of_labels_that_are_excluded_is_finite():
    model = lrcore.LinearClassifier("modified_huber", random_state=0).fit(X, X[:, 0] > 0)
    p = model.predict_proba(X)
    assert (p[np.arange(200), Y] == 0).any()
    assert measure(model, X, Y == 1)["log_loss"] == pytest.approx(log_loss(Y, p))


def test_regressor():
    target = X @ [1.0, 2.0, 3.0]
    model = lrcore.LinearRegressor(alpha=0.0, max_iter=3, random_state=0).fit(X, target)
    residuals = model.predict(X) - target
    assert measure(model, X, target) == {
        "rmse": pytest.approx(np.sqrt(np.mean(residuals**2))),
        "r2": pytest.approx(1 - residuals.var() / target.var(), abs=1e-3),
    }
