"""Rates of linear models: several in one pass, and the one that "auto" finds."""

import math

import numpy as np
import pytest
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor, schedules
from lrcore.linear_model import auto_lr as rates

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
    keywords = {"optimizer": "sgd", "random_state": 0, "max_iter": 20, "block_size": 1, **kind}
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
    margins = clf.decision_function(X[500:])
    loss = np.logaddexp(0.0, np.where(LABELS[500:], -margins, margins)).mean()
    assert loss == pytest.approx(clf.lr_losses_.min(), rel=1e-12)


@pytest.mark.parametrize("y", [np.arange(900) % 3, LABELS], ids=["softmax", "two"])
def test_auto_is_the_same_for_any_thread_count_and_near_the_best(y):
    y = np.where(np.arange(900) % 10 == 0, y, np.digitize(DENSE[:, 0], [0]) + y // 2)
    fits = [LinearClassifier(random_state=0, n_threads=n).fit(X, y) for n in (1, 2, 7)]
    assert len({clf.lr_ for clf in fits}) == 1
    assert equal_bits(fits[0].coef_, fits[2].coef_)
    assert LinearClassifier().lr == "auto"


def test_auto_finds_rates_that_the_units_of_x_call_for():
    """Columns a thousand times as large want a rate a thousand times as small."""
    found = [LinearRegressor(random_state=0).fit(f * DENSE, TARGET).lr_ for f in (1.0, 1e3)]
    assert 100 < found[0] / found[1] < 10_000
    assert LinearRegressor(random_state=0).fit(1e3 * DENSE, TARGET).score(1e3 * DENSE, TARGET) > 0.5


def test_auto_keeps_the_rate_of_a_rule_and_of_few_rows():
    assert LinearClassifier(optimizer=lrcore.AdaGrad(lr=0.7)).fit(X, LABELS).lr_.lr == 0.7
    replaced = LinearClassifier(optimizer=lrcore.AdaGrad(lr=0.7), lr=0.2).fit(X, LABELS)
    assert replaced.lr_ == 0.2
    few = LinearClassifier().fit(X[:50], LABELS[:50])
    assert few.lr_ == lrcore.AdaGrad.linear_lr


def test_streams_go_on_at_the_rate_that_was_found(tmp_path):
    clf = LinearRegressor(random_state=0).fit(1e3 * DENSE, TARGET)
    found = clf.lr_
    lrcore.save(clf, tmp_path / "m")
    again = lrcore.load(tmp_path / "m")
    for model in (clf, again):
        model.partial_fit(1e3 * DENSE[:300], TARGET[:300])
        assert model.lr_ == found
    assert equal_bits(clf.coef_, again.coef_)


def test_a_schedule_may_be_a_string():
    spec = "cosine(0.5, steps=95%).warmup(5%)"
    one = LinearClassifier(lr=spec, random_state=0).fit(X, LABELS)
    rule = lrcore.AdaGrad(lr=schedules.parse(spec))
    other = LinearClassifier(optimizer=rule, random_state=0).fit(X, LABELS)
    assert equal_bits(one.coef_, other.coef_)


BAD = [
    ("fast", ValueError, "fast"),
    (-1.0, ValueError, "lr must be finite, >= 0, got -1.0"),
    (math.nan, ValueError, "lr must be finite"),
    (True, TypeError, "lr must be 'auto', a number, a Schedule or its spec string"),
    (None, TypeError, "lr must be 'auto'"),
    ([], ValueError, "one rate or a list of several"),
    ([[0.1]], ValueError, "one rate or a list of several"),
    ([0.1, 0.1], ValueError, "must not have a rate twice"),
    ([0.1, 0.0], ValueError, "each of several lr must be > 0, got 0"),
    ([0.1, "a"], TypeError, "each of several lr must be a number, got 'a'"),
    ([0.1, math.inf], ValueError, "each of several lr must be finite"),
]


@pytest.mark.parametrize("lr, error, message", BAD, ids=[repr(lr) for lr, _, _ in BAD])
def test_bad_rates_are_refused_by_name(lr, error, message):
    clf = LinearClassifier(lr=lr)
    for call in (lambda: rates.as_lr(lr), lambda: clf.fit(X, LABELS)):
        with pytest.raises(error, match=message):
            call()
    assert not hasattr(clf, "coef_")


def test_what_several_rates_cannot_do_is_said():
    with pytest.raises(ValueError, match="partial_fit needs one lr, got 2"):
        LinearClassifier(lr=[0.1, 1.0]).partial_fit(X, LABELS, [0, 1])
    for keywords in ({"tol": 1e-3}, {"warm_start": True}):
        with pytest.raises(ValueError, match="several lr run all epochs from the start"):
            LinearClassifier(lr=[0.1, 1.0], **keywords).fit(X, LABELS)
