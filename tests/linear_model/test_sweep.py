"""Fits at several rates in one pass over the rows."""

import math

import numpy as np
import pytest
from linear_fits import fit_config
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model.sweep import side_by_side
from lrcore.losses import Softmax

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=900, n_features=40)
SEVERAL = [0.02, 0.3, 1.0, 4.0]


#: Fits at bad rates among them.
pytestmark = pytest.mark.filterwarnings("ignore::lrcore.RateWarning")


KINDS = {
    "online": {"block_size": 1},
    "batches": {"batch_size": 32},
    "sgd": {"block_size": 1, "optimizer": "sgd"},
    "adam": {"batch_size": 32, "optimizer": "adam", "penalty": "l1", "alpha": 1e-3},
    "nadam": {"batch_size": 32, "optimizer": "nadam"},
    "lazy": {"block_size": 1, "optimizer": "rmsprop"},
    "ftrl": {"block_size": 1, "optimizer": "ftrl", "penalty": None},
    "average": {"block_size": 1, "average": True},
    "scaled": {"batch_size": 16, "scale": "auto"},
}


@pytest.mark.parametrize("rows", [X, DENSE], ids=["csr", "dense"])
@pytest.mark.parametrize("kind", KINDS)
def test_several_rates_are_as_many_fits(kind, rows):
    keywords = {"random_state": 0, "max_iter": 3, **KINDS[kind]}
    several = LinearClassifier(lr=SEVERAL, **keywords).fit(rows, LABELS)
    alone = [LinearClassifier(lr=lr, **keywords).fit(rows, LABELS) for lr in SEVERAL]
    losses = [clf.loss_curve_[-1] for clf in alone]
    assert np.ptp(losses) > 1e-3
    np.testing.assert_allclose(several.lr_losses_, losses, rtol=1e-4)
    best = alone[int(np.argmin(losses))]
    assert several.lr_ == best.lr_ == SEVERAL[int(np.argmin(losses))]
    np.testing.assert_allclose(several.coef_, best.coef_, rtol=1e-6, atol=1e-9)
    # It is a model as any other, and goes on.
    again = (clf.partial_fit(rows[:100], LABELS[:100]).coef_ for clf in (several, best))
    np.testing.assert_allclose(*again, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_rates_in_one_pass_have_the_same_bits_for_any_thread_count(batch_size):
    fits = [
        LinearClassifier(
            lr=SEVERAL, batch_size=batch_size, random_state=0, n_threads=n, max_iter=2
        ).fit(X.astype(np.float32), LABELS)
        for n in (1, 2, 3, 7)
    ]
    for clf in fits[1:]:
        assert equal_bits(clf.coef_, fits[0].coef_)
        assert equal_bits(clf.lr_losses_, fits[0].lr_losses_)


@pytest.mark.parametrize("kind", [{}, {"batch_size": 32}])
def test_a_rate_that_runs_away_leaves_the_others_alone(kind):
    keywords = {"optimizer": "sgd", "random_state": 0, "max_iter": 20, "tol": None, **kind}
    keywords["block_size"] = 1
    reg = LinearRegressor(lr=[0.01, 1e200], **keywords).fit(X, TARGET)
    alone = LinearRegressor(lr=0.01, **keywords).fit(X, TARGET)
    assert math.isinf(reg.lr_losses_[1])
    assert reg.lr_ == 0.01
    np.testing.assert_allclose(reg.coef_, alone.coef_, rtol=1e-8)
    with pytest.raises(FloatingPointError, match=r"at every rate from 1e\+200 to 1e\+201; give"):
        LinearRegressor(lr=[1e200, 1e201], **keywords).fit(X, TARGET)


def test_held_out_rows_choose_among_several_rates():
    clf = LinearClassifier(lr=SEVERAL, random_state=0)
    clf.fit(X[:500], LABELS[:500], eval_set=(X[500:], LABELS[500:]))
    raw = clf.decision_function(X[500:])
    loss = np.logaddexp(0.0, np.where(LABELS[500:], -raw, raw)).mean()
    assert loss == pytest.approx(clf.lr_losses_.min(), rel=1e-12)


def test_what_several_rates_cannot_do_is_said():
    with pytest.raises(ValueError, match="partial_fit needs one lr, got 2"):
        LinearClassifier(lr=[0.1, 1.0]).partial_fit(X, LABELS, [0, 1])
    for keywords in ({"tol": 1e-3}, {"warm_start": True}):
        with pytest.raises(ValueError, match="several lr run all epochs from the start"):
            LinearClassifier(lr=[0.1, 1.0], **keywords).fit(X, LABELS)


@pytest.mark.parametrize(
    "loss, rule, n_outputs, expected",
    [
        ("log_loss", lrcore.AdaGrad(), 1, True),
        ("log_loss", lrcore.AdaGrad(), 2, False),
        (Softmax(3), lrcore.AdaGrad(), 3, False),
        ("log_loss", lrcore.FTRL(), 1, False),  # its step is no multiple of the rate
        ("log_loss", lrcore.DoG(), 1, False),
    ],
)
def test_when_rates_are_outputs_of_one_pass(loss, rule, n_outputs, expected, backend):
    config = fit_config(loss, rule, n_outputs=n_outputs)
    found = side_by_side(config.objective, config.updates)
    assert found == (expected and backend != "numpy")
