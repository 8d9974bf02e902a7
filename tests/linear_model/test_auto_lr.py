"""The rate of a linear model: what it may be, and the one that "auto" finds."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import SGD, LinearClassifier, LinearRegressor, schedules
from lrcore.linear_model import auto_lr
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
    keywords = {"solver": "stochastic", "tol": None, "random_state": 0}
    found = [LinearRegressor(scale=None, **keywords).fit(f * DENSE, TARGET).lr_ for f in (1.0, 1e3)]
    assert 100 < found[0] / found[1] < 10_000
    scaled = LinearRegressor(**keywords).fit(1e3 * DENSE, TARGET)
    assert scaled.score(1e3 * DENSE, TARGET) > 0.5


def test_auto_keeps_the_rate_of_a_rule_and_of_few_rows():
    own = lrcore.AdaGrad(lr=0.7)
    assert LinearClassifier(optimizer=own, tol=None).fit(X, LABELS).lr_.lr == 0.7
    replaced = LinearClassifier(optimizer=own, lr=0.2, tol=None).fit(X, LABELS)
    assert replaced.lr_ == 0.2
    few = LinearClassifier(solver="stochastic", tol=None).fit(X[:50], LABELS[:50])
    assert few.lr_ == lrcore.AdaGrad.linear_lr


def test_rows_that_can_be_told_apart_do_not_raise_the_rate_without_end():
    """By ever larger weights they lose ever less; a stream that goes on at such a rate does not."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        rows = rng.normal(size=(6000, 1))
        y = (rows[:, 0] > 0).astype(int)
        clf = LinearClassifier(optimizer="adagrad", tol=None, random_state=seed)
        assert clf.fit(rows[:2000], y[:2000]).lr_ <= 512
        clf.partial_fit(rows[2000:4000], y[2000:4000])
        z = clf.decision_function(rows[4000:])
        assert np.logaddexp(0, np.where(y[4000:], -z, z)).mean() < 0.7


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


# ---- the units of y, X and the weights of rows ---------------------------------------------------

RNG = np.random.default_rng(0)
PLAIN = RNG.normal(size=(2000, 8))
SIGNAL = PLAIN @ RNG.normal(size=8)
PRICES = 2e5 + 1e5 * (SIGNAL + 0.5 * RNG.normal(size=2000))
RULES_WITH_RATES = ["adagrad", "sgd", "adam", "rmsprop", "ftrl", "lion", "adadelta"]


def r2_of_least_squares(rows, y):
    return LinearRegression().fit(rows, y).score(rows, y)


@pytest.mark.parametrize("unit", [1e-6, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("optimizer", RULES_WITH_RATES)
def test_targets_in_any_unit(optimizer, unit):
    """Prices about 200,000, in millionths or in ten thousands."""
    penalty = None if optimizer in ("ftrl", "lion") else "l2"
    reg = LinearRegressor(optimizer=optimizer, penalty=penalty, random_state=0)
    reg.fit(PLAIN, PRICES * unit)
    assert reg.score(PLAIN, PRICES * unit) > r2_of_least_squares(PLAIN, PRICES) - 0.02


@pytest.mark.parametrize("loss", ["huber", "absolute_error", "quantile", "epsilon_insensitive"])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e4])
def test_targets_in_any_unit_for_losses_with_bounded_slopes(loss, unit):
    for optimizer in ("adagrad", "sgd"):
        reg = LinearRegressor(loss, optimizer=optimizer, epsilon=1e-4 * unit, random_state=0)
        fitted = reg.fit(PLAIN, PRICES * unit).predict(PLAIN) / unit
        ours, constant = np.abs(fitted - PRICES).mean(), np.abs(PRICES - np.median(PRICES)).mean()
        assert ours < 0.35 * constant


@pytest.mark.parametrize("loss", ["gamma", "poisson", "tweedie"])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_amounts_in_any_unit(loss, unit):
    """Their losses may be negative, and their intercepts far from 0."""
    mean = np.exp(0.5 * SIGNAL)
    y = RNG.gamma(2.0, mean / 2.0) if loss == "gamma" else RNG.poisson(mean)
    y = unit * np.maximum(y, 1e-9 if loss == "gamma" else 0.0)
    certified = LinearRegressor(loss, alpha=1e-6).fit(PLAIN, y).score(PLAIN, y)
    assert certified > 0.15
    for scale in ("auto", "max"):
        reg = LinearRegressor(loss, solver="stochastic", scale=scale, random_state=0)
        assert reg.fit(PLAIN, y).score(PLAIN, y) > certified - 0.02


def test_counts_with_a_column_of_thousands():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(3000, 5))
        rows[:, 0] = rng.uniform(0, 3000, size=3000)
        y = rng.poisson(np.exp(rows[:, 0] / 1000 + rows[:, 1] / 2))
        reg = LinearRegressor("poisson", solver="stochastic", random_state=seed).fit(rows, y)
        assert reg.score(rows, y) > 0.85


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "adam"])
def test_columns_in_any_unit(optimizer, unit):
    reg = LinearRegressor(optimizer=optimizer, random_state=0)
    assert reg.fit(PLAIN * unit, SIGNAL).score(PLAIN * unit, SIGNAL) > 0.98


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam", SGD(lr=0.01)])
def test_only_ratios_of_sample_weights_matter(optimizer):
    weight = RNG.uniform(0.5, 2.0, 2000)
    plain = LinearRegressor(optimizer=optimizer, random_state=0).fit(PLAIN, SIGNAL, weight)
    assert plain.score(PLAIN, SIGNAL) > 0.99
    for unit in (2.0**-60, 2.0**100):
        other = LinearRegressor(optimizer=optimizer, random_state=0)
        assert equal_bits(other.fit(PLAIN, SIGNAL, weight * unit).coef_, plain.coef_)
    alike = LinearRegressor(optimizer=optimizer, random_state=0).fit(PLAIN, SIGNAL)
    for unit in (1e-6, 0.3, 1e6):
        other = LinearRegressor(optimizer=optimizer, random_state=0)
        same = other.fit(PLAIN, SIGNAL, np.full(2000, unit))
        assert equal_bits(same.coef_, alike.coef_)


@pytest.mark.parametrize("max_iter", [1, 5])
def test_rare_classes_are_among_the_rows_to_judge_by(max_iter):
    """One row of 500 is positive: by rows drawn at random no rate is too high."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50_000, 8))
    z = 1.5 * rows @ rng.normal(size=8) + rng.logistic(size=50_000)
    y = np.zeros(50_000, int)
    y[np.argsort(-z)[:100]] = 1
    clf = LinearClassifier(solver="stochastic", max_iter=max_iter, random_state=0).fit(rows, y)
    lost = log_loss(y, clf.predict_proba(rows))
    best = log_loss(y, LinearClassifier(alpha=1e-7).fit(rows, y).predict_proba(rows))
    assert best < 0.5 * log_loss(y, np.full(50_000, 0.002))
    assert lost < 1.1 * best


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_teach_next_to_nothing_keep_the_rules_own_rate(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2000, 20))
    labels = 0.02 * rows[:, 0] + rng.normal(size=2000) > 0
    clf = LinearClassifier(solver="stochastic", random_state=0).fit(rows, labels)
    assert lrcore.AdaGrad.linear_lr / 16 <= clf.lr_ <= lrcore.AdaGrad.linear_lr * 16
    optimum = LinearClassifier(alpha=1e-6).fit(rows, labels)
    assert log_loss(labels, clf.predict_proba(rows)) < 1.02 * log_loss(
        labels, optimum.predict_proba(rows)
    )


@pytest.mark.parametrize("seed", range(4))
def test_breast_cancer_with_rows_held_out(seed):
    rows, y = load_breast_cancer(return_X_y=True)
    rows = (rows - rows.mean(0)) / rows.std(0)
    clf = LinearClassifier(
        solver="stochastic", alpha=1e-2, early_stopping=True, max_iter=1000, random_state=seed
    ).fit(rows, y)
    assert clf.score(rows, y) > 0.97
    assert clf.lr_ <= 4


@dataclass
class Parabola:
    """Trial fits whose rows lose the square of the distance from a rate, by its logarithm."""

    best: float
    seen: list = field(default_factory=list)
    n_rows: int = 50

    def rows(self, share):
        numbers = SimpleNamespace(loss=SimpleNamespace(classifies=False))
        return None, SimpleNamespace(
            mean=np.mean, sample_weight=None, n_rows=self.n_rows, objective=numbers
        )

    def losses_of_constant(self, share):
        return np.linspace(1e4, 1e4 + 1, 50)

    def losses(self, rates, share):
        self.seen += list(rates)
        off = np.log2(rates / self.best) ** 2
        lost = off[:, None] / 10 + np.linspace(0.1, 0.2, 50)
        return np.where(rates[:, None] > 1e4 * self.best, np.inf, lost)


@pytest.mark.parametrize("power", [-12, -3, 0, 3, 12])
def test_an_end_of_the_rates_that_were_tried_is_no_answer(power):
    for search in (auto_lr._in_two_sweeps, auto_lr._downhill):
        trial = Parabola(0.5 * 10.0**power)
        found = search(trial, 0.5)
        assert trial.best / 2 <= found <= 2 * trial.best
        assert len(trial.seen) < 120


def test_many_rows_tell_rates_apart_that_are_near():
    few, many = Parabola(0.5 * 2**1.5), Parabola(0.5 * 2**1.5, n_rows=4096)
    assert auto_lr._downhill(few, 0.5) in (1.0, 2.0)
    assert auto_lr._downhill(many, 0.5) == pytest.approx(many.best)


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
def test_too_few_rows_for_a_search_have_the_rules_own_rate_in_their_units(optimizer, loss):
    """Targets 1,024 times as large: a distance is as many times larger, and the inverse of a second
    derivative what it was for squares, as large as a distance for absolute errors, and less by this
    for counts, whose second derivatives are the means."""
    y = np.maximum(PRICES[:60], 1.0) if loss == "poisson" else PRICES[:60]
    found = [
        LinearRegressor(loss, optimizer=optimizer, random_state=0, max_iter=1)
        .fit(PLAIN[:60], unit * y)
        .lr_
        for unit in (1.0, 1024.0)
    ]
    powers = {
        "adagrad": {"squared_error": 1, "absolute_error": 1, "poisson": 0},
        "sgd": {"squared_error": 0, "absolute_error": 1, "poisson": -1},
    }
    assert found[1] / found[0] == 1024.0 ** powers[optimizer][loss]
