"""The rate of a linear model: what it may be, and the one that "auto" finds."""

import math

import numpy as np
import pytest
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor, schedules
from lrcore.linear_model.auto_lr import as_lr

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=900, n_features=40)

#: Fits at bad rates among them.
pytestmark = pytest.mark.filterwarnings("ignore::lrcore.RateWarning")


@pytest.mark.parametrize("y", [np.arange(900) % 3, LABELS], ids=["softmax", "two"])
def test_auto_is_the_same_for_any_thread_count_and_near_the_best(y):
    y = np.where(np.arange(900) % 10 == 0, y, np.digitize(DENSE[:, 0], [0]) + y // 2)
    fits = [
        LinearClassifier(solver="stochastic", random_state=0, n_threads=n).fit(X, y)
        for n in (1, 2, 7)
    ]
    assert len({clf.lr_ for clf in fits}) == 1
    assert equal_bits(fits[0].coef_, fits[2].coef_)
    assert LinearClassifier(solver="stochastic").lr == "auto"


def test_auto_finds_rates_that_the_units_of_x_call_for():
    """Columns a thousand times as large want a rate a thousand times as small."""
    found = [
        LinearRegressor(solver="stochastic", random_state=0).fit(f * DENSE, TARGET).lr_
        for f in (1.0, 1e3)
    ]
    assert 100 < found[0] / found[1] < 10_000
    assert (
        LinearRegressor(solver="stochastic", random_state=0)
        .fit(1e3 * DENSE, TARGET)
        .score(1e3 * DENSE, TARGET)
        > 0.5
    )


def test_auto_keeps_the_rate_of_a_rule_and_of_few_rows():
    assert LinearClassifier(optimizer=lrcore.AdaGrad(lr=0.7)).fit(X, LABELS).lr_.lr == 0.7
    replaced = LinearClassifier(optimizer=lrcore.AdaGrad(lr=0.7), lr=0.2).fit(X, LABELS)
    assert replaced.lr_ == 0.2
    few = LinearClassifier(solver="stochastic").fit(X[:50], LABELS[:50])
    assert few.lr_ == lrcore.AdaGrad.linear_lr


def test_streams_go_on_at_the_rate_that_was_found(tmp_path):
    clf = LinearRegressor(solver="stochastic", random_state=0).fit(1e3 * DENSE, TARGET)
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
    for call in (lambda: as_lr(lr), lambda: clf.fit(X, LABELS)):
        with pytest.raises(error, match=message):
            call()
    assert not hasattr(clf, "coef_")
