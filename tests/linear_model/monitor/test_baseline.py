"""No fit is worse than the best constant without a word, in any unit, of any share of classes."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from strategies import LOSSES

import lrcore
from lrcore import LinearClassifier, LinearRegressor, UselessFitWarning

CLASSIFYING = sorted(name for name, loss in LOSSES.items() if loss.classifies)
NUMERIC = sorted(name for name, loss in LOSSES.items() if not loss.classifies)
RULES = ["adagrad", "sgd", "rmsprop", "adam", "nadam", "adadelta", "ftrl", "lion"]
UNITS = st.integers(-6, 6).map(lambda power: 10.0**power)


def drawn(loss, seed, n_rows, n_features, signal, unit, share):
    """Rows and targets of which some can be learnt."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_features))
    z = signal * rows @ rng.normal(size=n_features) / np.sqrt(n_features)
    if loss in CLASSIFYING:
        y = np.zeros(n_rows, int)
        y[np.argsort(-(z + rng.logistic(size=n_rows)))[: max(1, int(share * n_rows))]] = 1
        return rows, y
    mean = np.exp(np.clip(z, -3, 3))
    if loss == "gamma":
        return rows, unit * np.maximum(rng.gamma(2, mean), 1e-9)
    if LOSSES[loss].log_link:
        return rows, unit * (rng.poisson(mean) + (np.arange(n_rows) == 0))
    return rows, unit * (z + rng.choice([0, 10]) + 0.5 * rng.normal(size=n_rows))


def model_of(loss, unit, **keywords):
    if loss in CLASSIFYING:
        return LinearClassifier(loss=loss, random_state=0, **keywords)
    return LinearRegressor(loss, epsilon=0.1 * unit, random_state=0, **keywords)


def excess_of(model, rows, y, share):
    """What the rows lose by the model and by the best constant, above the least that they can."""
    loss = model._make_loss()
    y = np.where(y > 0, 1.0, -1.0) if loss.classifies else y.astype(float)

    def excess(z):
        with np.errstate(over="ignore"):
            return float(np.sum(share * (loss.evaluate(z, y)[0] - loss.least(y))))

    def of_constant(c):
        return excess(np.full(len(y), c))

    start = float(loss.constant(y, share))
    around = (start - 0.1 * abs(start) - 1e-9, start + 0.1 * abs(start) + 1e-9)
    best = min(of_constant(start), minimize_scalar(of_constant, bracket=around).fun)
    return excess(model._raw_predictions(rows)[:, 0].astype(float)), best


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    loss=st.sampled_from([name for name in CLASSIFYING + NUMERIC if name != "perceptron"]),
    rule=st.sampled_from(["default", *RULES]),
    seed=st.integers(0, 99),
    n_rows=st.sampled_from([30, 150, 1000]),
    n_features=st.sampled_from([1, 4, 15]),
    signal=st.sampled_from([0.0, 1.0, 2.0]),
    units=st.tuples(UNITS, UNITS, UNITS),
    share=st.sampled_from([1e-4, 1e-2, 0.1, 0.5]),
)
def test_fits_are_better_than_the_best_constant_or_say_that_they_are_not(
    loss, rule, seed, n_rows, n_features, signal, units, share
):
    of_x, of_y, of_weight = units
    rows, y = drawn(loss, seed, n_rows, n_features, signal, of_y, share)
    keywords = {} if rule == "default" else {"optimizer": rule}
    if rule in ("ftrl", "lion"):
        keywords["penalty"] = None
    model = model_of(loss, of_y, **keywords)
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, n_rows)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(of_x * rows, y, sample_weight=of_weight * weight)
    assert all(issubclass(each.category, ConvergenceWarning) for each in found), found
    lost, constant = excess_of(model, of_x * rows, y, weight / weight.sum())
    assert found or lost <= constant * (1 + 3e-3) + 1e-12


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    loss=st.sampled_from(["log_loss", "squared_error", "poisson", "huber"]),
    seed=st.integers(0, 99),
    units=st.tuples(UNITS, UNITS),
    share=st.sampled_from([0.2, 0.5]),  # a penalty that suits few positives holds back more
)
def test_fits_by_default_are_near_the_optimum_in_any_unit(loss, seed, units, share):
    """With alpha chosen by held-out rows: what the penalty holds back is little."""
    of_x, of_y = units
    rows, y = drawn(loss, seed, 1000, 4, 2.0, of_y, share)
    even = np.full(1000, 1e-3)
    fitted, _ = excess_of(model_of(loss, of_y).fit(of_x * rows, y), of_x * rows, y, even)
    free = model_of(loss, of_y, solver="newton", penalty=None, tol=1e-8).fit(rows, y)
    best, constant = excess_of(free, rows, y, even)
    assert best < 0.9 * constant
    assert fitted <= 1.02 * best


@pytest.mark.parametrize("solver", ["stochastic", "newton", "dual"])
def test_the_warning_names_loss_solver_and_what_to_try(solver):
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(300, 4)), np.arange(300) % 2
    keywords = {"lr": 1e3} if solver == "stochastic" else {"max_iter": 1}
    if solver == "dual":
        rows, keywords = 1e4 * rows, {"max_iter": 1, "alpha": 1e-9, "scale": None}
    clf = LinearClassifier(solver=solver, random_state=0, **keywords)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf.fit(rows, y)
    messages = [str(w.message) for w in found if issubclass(w.category, UselessFitWarning)]
    if solver == "newton":  # one step of Newton's is better than a constant
        assert messages == []
        return
    (message,) = messages
    assert "the mean log_loss of its own rows is" in message
    assert f"after solver '{solver}'" in message
    assert "0.6931 by the best constant; try a lower" in message
    assert issubclass(UselessFitWarning, lrcore.RateWarning)


def test_rows_of_rare_classes_are_compared_with_what_they_are():
    """Of 20,000 rows of which some are looked at: a constant that knows the share of 1 in 2,000."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 3))
    y = np.zeros(20_000, int)
    y[np.argsort(-rows[:, 0])[:10]] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LinearClassifier().fit(rows, y)
        LinearClassifier(solver="stochastic", random_state=0).fit(rows, y)
    with pytest.warns(UselessFitWarning, match="0.0043 by the best constant"):
        LinearClassifier(optimizer="sgd", lr=1e5, alpha=0, random_state=0).fit(rows, y)
