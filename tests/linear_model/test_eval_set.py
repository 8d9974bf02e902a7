"""Rows to stop by, given by themselves or through a pipeline."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from lrcore import LinearClassifier, LinearRegressor

RNG = np.random.default_rng(0)
X = 100.0 * RNG.normal(size=(300, 4)) + 50.0
LABELS = (X[:, 0] > RNG.normal(size=300)).astype(int)
NEW, NEW_LABELS = X[200:], LABELS[200:]
STEPS = {"solver": "stochastic", "scale": None, "random_state": 0, "max_iter": 30, "tol": 0.0}


@pytest.mark.parametrize("cls", [LinearClassifier, LinearRegressor])
def test_rows_by_names_are_those_of_the_tuple(cls):
    pair = cls(**STEPS).fit(X[:200], LABELS[:200], eval_set=(NEW, NEW_LABELS))
    named = cls(**STEPS).fit(X[:200], LABELS[:200], X_val=NEW, y_val=NEW_LABELS)
    assert np.array_equal(pair.coef_, named.coef_)
    assert np.array_equal(pair.stopping_curve_, named.stopping_curve_)


def test_a_pipeline_transforms_them():
    scaler = StandardScaler().fit(X[:200])
    scaled = scaler.transform(X[:200])
    alone = LinearClassifier(**STEPS)
    alone.fit(scaled, LABELS[:200], eval_set=(scaler.transform(NEW), NEW_LABELS))
    with config_context(enable_metadata_routing=True):
        last = LinearClassifier(**STEPS).set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline(
            [("scaler", StandardScaler()), ("linear", last)], transform_input=["X_val"]
        )
        pipeline.fit(X[:200], LABELS[:200], X_val=NEW, y_val=NEW_LABELS)
    assert np.array_equal(pipeline[-1].coef_, alone.coef_)
    assert np.array_equal(pipeline[-1].stopping_curve_, alone.stopping_curve_)


@pytest.mark.parametrize("cls", [LinearClassifier, LinearRegressor])
def test_half_a_pair_and_two_of_them_are_refused(cls):
    for rows, message in (
        ({"X_val": NEW}, "y_val must be given"),
        ({"y_val": NEW_LABELS}, "X_val must be given"),
        ({"X_val": NEW, "y_val": NEW_LABELS, "eval_set": (NEW, NEW_LABELS)}, "eval_set must be"),
        ({"X_val": NEW[:, :2], "y_val": NEW_LABELS}, "eval_set has 2 features"),
    ):
        with pytest.raises(ValueError, match=message):
            cls().fit(X, LABELS, **rows)
