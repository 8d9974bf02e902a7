"""What the losses of a fit say of its rate: divergence, oscillation, stagnation."""

import re

import numpy as np
import pytest
from linear_fits import rate_warnings
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from strategies import sparse_problem

from lrcore import SGD, AdaGrad, Adam, LinearClassifier, LinearRegressor
from lrcore.linear_model.monitor.diagnostics import (
    RateWarning,
    oscillation,
    runs_away,
)
from lrcore.schedules import Constant

X, DENSE, LABELS, TARGET = sparse_problem()
RNG = np.random.default_rng(0)
STEEP = RNG.normal(size=(400, 3)) * [5, 1, 1]
NOISY = (STEEP.sum(axis=1) + RNG.normal(size=400) * 6 > 0).astype(int)


# ---- divergence ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "curve, expected",
    [
        ([1.0], False),
        ([2e9], False),  # the first epoch has nothing before it
        ([1e7, 1.9e7], False),
        ([1e7, 2.1e7], True),
        ([0.1, 1e5], False),
        ([3e9, 2e9, 1e9], False),
        ([1e8 * 1.01**k for k in range(5)], False),
        ([1e8 * 1.01**k for k in range(6)], True),
    ],
)
def test_what_runs_away(curve, expected):
    assert runs_away(curve, 1.0) is expected


# ---- oscillation --------------------------------------------------------------------------------


def test_gradient_descent_above_its_limit_oscillates():
    keywords = {"batch_size": 400, "penalty": None, "max_iter": 40}
    clf = LinearClassifier(optimizer=SGD(lr=Constant(1.6)), **keywords)
    (message,) = rate_warnings(clf, STEEP, NOISY)
    assert "the loss oscillates: over 8 epochs" in message
    assert re.search(r"by step \d+, at rate 1.6; try lr=0.1", message)
    assert rate_warnings(clf.set_params(optimizer=SGD(lr=Constant(0.3))), STEEP, NOISY) == []


@pytest.mark.parametrize(
    "curve, expected",
    [
        ([1.0, 1.2] * 5, True),
        ([1.0, 1.2] * 4, False),  # not long enough
        ([1.0, 1.02] * 5, False),  # noise
        ([0.01, 0.012] * 5, False),  # of no account
        ([5.0, *[1.0, 1.2] * 5], True),  # whatever was before
        ([2.0**-k for k in range(12)], False),  # falls
        ([2.0 - 0.1 * k + 0.3 * (k % 2) for k in range(9)], False),  # falls, up and down
        ([1.0, 1.8, 5.3, 3.6, 2.1, 0.7, 1.5, 4.9, 3.3], True),  # in no order
        ([1.0] * 8 + [3.0], False),  # once
        ([2.0**k for k in range(9)], False),  # rises
    ],
)
def test_what_oscillates(curve, expected):
    assert (oscillation(curve, 1.0) is not None) is expected


# ---- stagnation, and ends worse than nothing ----------------------------------------------------


@pytest.mark.parametrize("rule", [SGD(lr=1e-5), AdaGrad(lr=1e-4), SGD(lr=Constant(1e-5))])
@pytest.mark.parametrize("model, y", [(LinearClassifier(), LABELS), (LinearRegressor(), TARGET)])
def test_a_rate_that_is_too_low_stagnates(rule, model, y):
    model.set_params(optimizer=rule, max_iter=10, tol=None, random_state=0)
    if isinstance(model, LinearRegressor) and isinstance(rule, AdaGrad):
        model.set_params(optimizer=AdaGrad(lr=1e-5))
    (message,) = rate_warnings(model, X, y)
    assert "the fit stagnates: by step 1500" in message
    first = model.optimizer.rates(np.array([0]))[0]
    assert f"the rate is too low: try lr={10 * first:.3g} or more" in message


def test_several_outputs_stagnate_together():
    three = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.6]))
    for multi_class in ("softmax", "ovr"):
        clf = LinearClassifier(
            optimizer=SGD(lr=1e-6), max_iter=5, tol=None, multi_class=multi_class
        )
        assert "stagnates" in rate_warnings(clf, X, three)[0]
        assert rate_warnings(clf.set_params(optimizer="adagrad"), X, three) == []


def test_a_penalty_that_holds_weights_back_is_no_stagnation():
    for keywords in ({"alpha": 30.0}, {"penalty": "l1", "alpha": 1.0}):
        clf = LinearClassifier(max_iter=20, lr=0.5, random_state=0, **keywords)
        assert rate_warnings(clf, X, LABELS) == []
        assert clf.loss_curve_[-1] > 0.6


def test_a_fit_that_is_worse_than_none_says_so():
    clf = LinearClassifier(optimizer=Adam(lr=Constant(100.0)), max_iter=5, random_state=0)
    (message,) = rate_warnings(clf, X, LABELS)
    assert "no better than a prediction without X: the mean log_loss of its own rows is" in message
    assert "after solver 'stochastic' with lr=100, and 0.6928 by the best constant" in message
    assert "try a lower rate such as lr=10, a higher max_iter" in message
    assert issubclass(RateWarning, ConvergenceWarning)


def unexpected(model, rows, y):
    """The warnings of a fit, but for that of one that is truly no better than a constant, and, with
    only a few rows that have no feature in common, that there has been little time."""
    found = rate_warnings(model, rows, y)
    if len(found) == 1 and "no better than" in found[0]:
        z, signs = model._raw_predictions(rows)[:, 0], np.where(y, 1.0, -1.0)
        if model._loss == "hinge":
            lost, least = np.maximum(0, 1 - signs * z), 2 * min(np.mean(y), 1 - np.mean(y))
        elif model._loss == "log_loss":
            lost, least = np.logaddexp(0, -signs * z), log_loss(y, np.full(len(y), np.mean(y)))
        else:
            lost, least = (z - y) ** 2, np.var(y)
        return [] if np.mean(lost) > least else found
    if len(rows if isinstance(rows, np.ndarray) else ()) == 40:
        return [message for message in found if "stagnates" not in message]
    return found


RULES = ["adagrad", "sgd", "rmsprop", "adam", SGD(lr=Constant(0.02)), AdaGrad(lr=Constant(0.5))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule)[:16])
def test_ordinary_training_warns_of_nothing(rule):
    """On data that can be learnt, on data that cannot, and on what can be learnt exactly."""
    noise = np.random.default_rng(3)
    for rows in (X, DENSE, noise.normal(size=(100, 5)), np.eye(40)):
        n = rows.shape[0]
        flips = (noise.random(n) < 0.1) ^ (LABELS[:n] == 1)
        for labels in (flips, noise.integers(0, 2, n)):
            for keywords in ({}, {"max_iter": 25}, {"loss": "hinge", "max_iter": 12}):
                clf = LinearClassifier(optimizer=rule, tol=None, random_state=0, **keywords)
                assert unexpected(clf, rows, labels) == []
        for target in (TARGET[:n], noise.normal(size=n)):
            for keywords in ({}, {"max_iter": 25}, {"batch_size": 16, "max_iter": 12}):
                reg = LinearRegressor(optimizer=rule, tol=None, random_state=0, **keywords)
                assert unexpected(reg, rows, target) == []
