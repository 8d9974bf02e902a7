"""What is left of a fit by steps of a rule: found by Newton steps, told, and told truly."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from sklearn.exceptions import ConvergenceWarning
from strategies import LOSSES

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model.solvers import unfinished
from lrcore.losses import name_of
from lrcore.schedules import Constant

RULES = ["adagrad", "sgd", "rmsprop", "adam", "nadam", "adadelta", "ftrl", "lion", "dog"]
SMOOTH = ["log_loss", "squared_hinge", "modified_huber", "squared_error", "huber", "poisson"]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)) + RNG.normal(size=(200, 1))
TARGET = X @ [1.0, -2.0, 0.5, 0.0, 3.0] + 0.1 * RNG.normal(size=200)
LABELS = (TARGET + RNG.logistic(size=200) > 0).astype(int)

#: A fit that is far from its minimum.
FAR = {"optimizer": "adam", "lr": 1e-3, "random_state": 0}


def messages(model, *data, **keywords):
    """Those of a fit's ConvergenceWarnings about what is left."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(*data, **keywords)
    assert all(issubclass(each.category, ConvergenceWarning) for each in found)
    assert all(each.filename == __file__ for each in found)
    return [str(each.message) for each in found if "has not converged" in str(each.message)]


def drawn(loss, seed, n_rows, n_features, noise, share):
    """Rows and targets, with columns that are correlated."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_features)) + rng.normal(size=(n_rows, 1))
    z = 2 * rows @ rng.normal(size=n_features) / n_features
    if LOSSES[loss].classifies:
        order = np.argsort(-(z + noise * rng.logistic(size=n_rows)))
        y = np.zeros(n_rows, int)
        y[order[: max(2, int(share * n_rows))]] = 1
        return rows, y
    if loss == "poisson":
        return rows, rng.poisson(np.exp(np.clip(z, -3, 3))) + (np.arange(n_rows) == 0.0)
    return rows, z + 5 + noise * rng.normal(size=n_rows)


def optimum(loss, rows, y):
    """The least mean loss above the least that there can be, by SciPy, without a penalty."""
    columns = np.column_stack([(rows - rows.mean(axis=0)) / rows.std(axis=0), np.ones(len(y))])

    def excess(w):
        value, slope = loss.evaluate(columns @ w, y)
        return np.mean(value - loss.least(y)), columns.T @ slope / len(y)

    start = np.zeros(columns.shape[1])
    for _ in range(3):
        found = minimize(
            excess, start, jac=True, method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 5000, "ftol": 1e-15, "gtol": 1e-10},
        )  # fmt: skip
        start = found.x
    return found.fun


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    loss=st.sampled_from(SMOOTH),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 99),
    n_rows=st.sampled_from([60, 150, 250]),
    n_features=st.sampled_from([1, 4, 12]),
    noise=st.sampled_from([0.1, 1.0, 3.0]),
    share=st.sampled_from([0.03, 0.2, 0.5]),
    unit=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_a_fit_is_within_two_percent_of_the_optimum_or_says_that_it_is_not(
    loss, rule, seed, n_rows, n_features, noise, share, unit
):
    rows, y = drawn(loss, seed, n_rows, n_features, noise, share)
    make = LinearClassifier if LOSSES[loss].classifies else LinearRegressor
    model = make(loss, optimizer=rule, penalty=None, random_state=0)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(unit * rows, y)
    signs, loss = np.where(y > 0, 1.0, -1.0) if make is LinearClassifier else y, model._make_loss()
    z = model._raw_predictions(unit * rows)[:, 0]
    lost = np.mean(loss.evaluate(z, signs)[0] - loss.least(signs))
    least = optimum(loss, rows, signs)
    if not found:
        assert lost <= 1.025 * least + 1e-6
    if any("has not converged" in str(each.message) for each in found):
        assert lost > 1.015 * least


@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_parabolas_lead_near_the_optimum_of_straight_pieces(noise):
    """A linear program has the optimum of the absolute error."""
    rows, y = drawn("absolute_error", 3, 150, 4, noise, 0.5)
    n, columns = len(y), np.column_stack([rows, np.ones(len(y))])
    both = np.block([[columns, -np.eye(n)], [-columns, -np.eye(n)]])
    cost = np.append(np.zeros(5), np.full(n, 1 / n))
    bounds = [(None, None)] * 5 + [(0, None)] * n
    least = linprog(cost, both, np.append(y, -y), bounds=bounds).fun
    keywords = {"loss": "absolute_error", "penalty": None, "optimizer": "adam", "random_state": 0}
    (far,) = messages(LinearRegressor(lr=1.0, **keywords), rows, y)
    told = float(far.split(" epochs, and ")[1].split()[0])
    assert least * (1 - 1e-3) <= told <= 1.005 * least
    near = LinearRegressor(**keywords, max_iter=200)
    assert messages(near, rows, y) == []
    assert np.mean(np.abs(near.predict(rows) - y)) <= 1.02 * least


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_hinge_at_whose_kink_most_rows_are(share):
    """At a constant of -1 most rows are, and hold back a parabola's step."""
    rows = np.random.default_rng(1).normal(size=(300, 3))
    y = rows[:, 0] > np.quantile(rows[:, 0], 1 - share)
    model = LinearClassifier("hinge", optimizer="adadelta", random_state=0)
    (message,) = messages(model, rows, y)
    assert float(message.split("at least ")[1].split()[0]) > 0.5


@pytest.mark.parametrize(
    "model, y",
    [
        (LinearRegressor(**FAR), TARGET),
        (LinearRegressor("quantile", **FAR), TARGET),
        (LinearRegressor("epsilon_insensitive", **FAR), TARGET),
        (LinearRegressor(penalty="l1", alpha=1e-3, **FAR), TARGET),
        (LinearRegressor(positive=True, **FAR), TARGET),
        (LinearRegressor(batch_size=8, average=True, **FAR), TARGET),
        (LinearRegressor(scale="max", alpha=0.1, **FAR), TARGET),
        (LinearRegressor(**FAR), np.stack([TARGET, -TARGET], axis=1)),
        (LinearClassifier(**FAR), LABELS + (TARGET > 3)),
        (LinearClassifier("hinge", **{**FAR, "lr": 0.01}), LABELS + (TARGET > 3)),
        (LinearClassifier(optimizer="sgd", lr=1e-4, max_iter=8), LABELS),
        (LinearRegressor(optimizer=lrcore.SGD(lr=1e-4), random_state=0), TARGET),
    ],
    ids=lambda value: str(value)[:90] if not isinstance(value, np.ndarray) else value.dtype.name,
)
def test_the_warning_says_how_far_and_what_to_try(model, y):
    n = model.max_iter or 5
    (message,) = messages(model, X, y)
    assert f"of the {name_of(model._trained.objective.loss)}, is" in message
    assert f"after max_iter={n} epochs" in message
    times = int(message.split("try max_iter=")[1].split(",")[0]) // n
    assert 4 <= times <= 20
    left = float(message.split("at least ")[1].split()[0])
    assert left > unfinished.TOLERATED
    assert "solver='auto' without optimizer and lr" in message
    model.set_params(tol=None)
    assert messages(model, X, y) == []


def test_what_it_says_of_the_penalised_objective_is_true():
    model = LinearRegressor(alpha=0.3, **FAR)
    (message,) = messages(model, X, TARGET)
    by_hand = np.mean((model.predict(X) - TARGET) ** 2) / 2 + 0.15 * np.sum(model.coef_**2)
    assert f"is {by_hand:.4g} after" in message
    best = LinearRegressor(alpha=0.3, solver="newton", tol=1e-10, scale=None).fit(X, TARGET)
    least = np.mean((best.predict(X) - TARGET) ** 2) / 2 + 0.15 * np.sum(best.coef_**2)
    assert f"and {least:.4g} after a few Newton steps" in message
    assert f"at least {(by_hand - least) / least:.2g} times" in message


def test_more_epochs_are_enough():
    model = LinearRegressor(optimizer="rmsprop", random_state=0)
    (message,) = messages(model, X, TARGET)
    model.set_params(max_iter=int(message.split("try max_iter=")[1].split(",")[0]))
    assert messages(model, X, TARGET) == []


@pytest.mark.parametrize(
    "changes, keywords",
    [
        ({"tol": None}, {}),  # all epochs, whatever they come to
        ({"max_iter": 1}, {}),
        ({"max_iter": 4}, {}),  # so few that the rate does not fall over all of them
        ({"early_stopping": True}, {}),
        ({}, {"eval_set": (X[:50], TARGET[:50])}),
        ({"lr": Constant(1e-3)}, {}),
        ({"lr": "auto", "optimizer": lrcore.Adam(lr=Constant(1e-3))}, {}),
        ({"optimizer": lrcore.FTRL(l2=0.5, lr=1e-3), "penalty": None}, {}),
        ({}, {"callback": lambda event: event.stop() if event.epoch == 3 else None}),
    ],
    ids=",".join,
)
def test_fits_that_were_not_to_end_at_the_minimum_are_left_alone(changes, keywords):
    assert len(messages(LinearRegressor(**FAR), X, TARGET)) == 1
    model = LinearRegressor(**FAR).set_params(**changes)
    assert messages(model, X, TARGET, **keywords) == []


def test_parts_of_a_fit_are_left_alone():
    model = LinearRegressor(**FAR, warm_start=True, tol=None).fit(X, TARGET).set_params(tol="auto")
    assert messages(model, X, TARGET) == []
    model.partial_fit(X, TARGET)


def test_long_and_wide_fits_are_not_looked_at(monkeypatch):
    monkeypatch.setattr(unfinished, "MOST_STEPS", 999)
    assert messages(LinearRegressor(**FAR), X, TARGET) == []
    monkeypatch.setattr(unfinished, "MOST_STEPS", 1000)
    monkeypatch.setattr(unfinished, "MOST_WEIGHTS", 4)
    assert messages(LinearRegressor(**FAR), X, TARGET) == []
    monkeypatch.setattr(unfinished, "MOST_WEIGHTS", 5)
    assert len(messages(LinearRegressor(**FAR), X, TARGET)) == 1


def test_looking_changes_no_bit():
    found = [
        LinearRegressor(optimizer="adagrad", max_iter=60, random_state=0, tol=tol)
        for tol in ("auto", None)
    ]
    first, second = (model.fit(X, TARGET) for model in found)
    assert first.coef_.tobytes() == second.coef_.tobytes()
    assert first.loss_curve_.tobytes() == second.loss_curve_.tobytes()
