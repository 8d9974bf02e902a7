import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss, r2_score, roc_auc_score

import lrcore
from lrcore.cli.metrics import area_under_curve, measure, metrics_for

RNG = np.random.RandomState(0)
X = RNG.randn(200, 3)
Y = (X[:, 0] + RNG.randn(200) > 0).astype(int)


def test_classifier():
    model = LogisticRegression().fit(X, Y)
    metrics = measure(model, X, Y)
    scores = model.decision_function(X)
    pairs_in_order = (scores[Y == 1, None] > scores[Y == 0]).sum()
    assert metrics == {
        "accuracy": model.score(X, Y),
        "log_loss": pytest.approx(log_loss(Y, model.predict_proba(X))),
        "auc": pairs_in_order / ((Y == 1).sum() * (Y == 0).sum()),
    }
    assert metrics["auc"] == pytest.approx(roc_auc_score(Y, scores), rel=1e-15)


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


@pytest.mark.parametrize("make", [LogisticRegression, lrcore.LinearRegressor])
def test_rows_may_come_batch_by_batch(make):
    target = Y if make is LogisticRegression else 1e3 + X @ [1.0, 2.0, 3.0] + 4 * RNG.randn(200)
    model = make().fit(X, target)
    metrics = metrics_for(model)
    for start, stop in ((0, 1), (1, 120), (120, 200)):
        metrics.add(X[start:stop], target[start:stop])
    assert metrics.n_rows == 200
    whole = measure(model, X, target)
    assert metrics.result() == {name: pytest.approx(whole[name], rel=1e-11) for name in whole}
    if make is lrcore.LinearRegressor:
        assert whole["r2"] == pytest.approx(r2_score(target, model.predict(X)), rel=1e-9)


def test_a_label_that_is_not_known_in_a_later_batch():
    metrics = metrics_for(LogisticRegression().fit(X, Y))
    metrics.add(X, Y)
    metrics.add(X, np.full(200, 2))
    metrics.add(X, Y)
    assert set(metrics.result()) == {"accuracy"}


def test_area_under_the_curve_with_ties():
    scores = np.concatenate([RNG.randn(500).round(1), RNG.randn(700).round(1) + 0.5])
    is_positive = np.arange(1200) >= 500
    found = area_under_curve(scores[is_positive], scores[~is_positive])
    assert found == pytest.approx(roc_auc_score(is_positive, scores), rel=1e-13)


def test_constant_targets():
    model = lrcore.LinearRegressor().fit(X, X @ [1.0, 2.0, 3.0])
    same = X[[0, 0]]
    assert measure(model, same, model.predict(same))["r2"] == 1
    assert measure(model, X[:3], np.ones(3))["r2"] == 0


def test_texts_are_no_numbers():
    with pytest.raises(ValueError, match=r"labels such as 'a' cannot be compared .*such as 0"):
        measure(LogisticRegression().fit(X, Y), X, np.full(200, "a"))
