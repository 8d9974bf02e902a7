"""Norms of gradients, update ratios and saturated predictions, against their definitions."""

import numpy as np
import pytest
from strategies import sparse_problem

from lrcore import SGD, LinearClassifier, LinearRegressor, schedules

X, DENSE, LABELS, TARGET = sparse_problem()
THREE = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.6]))


def gradient_of(model, w, rows, loss_gradients, weight=None):
    """Of the objective over dense rows, by definition; loss_gradients are (n_rows, n_outputs)."""
    factors = 1.0 if model.penalty_factors is None else model.penalty_factors
    l1 = factors * model.alpha * model.l1_ratio
    each = loss_gradients.T[:, :, None] * rows  # (n_outputs, n_rows, n_features)
    gradient = np.average(each, axis=1, weights=weight)
    gradient += factors * model.alpha * (1 - model.l1_ratio) * w
    kink = np.sign(gradient) * np.maximum(0, np.abs(gradient) - l1)
    gradient = np.where(w == 0, kink, gradient + l1 * np.sign(w))
    return np.hstack([gradient, np.average(loss_gradients, axis=0, weights=weight)[:, None]])


def weights_of(event):
    """(n_outputs, n_features + 1), as the statistics see them: before penalties that are due."""
    return np.vstack([state.weights for state in event._stats._stats.states])


def sigmoid_gradients(z, codes):
    return 1 / (1 + np.exp(-z)) - codes


def softmax_gradients(z, codes):
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p - np.eye(3)[codes]


CASES = {
    "binary": (LinearClassifier(), LABELS, sigmoid_gradients, LABELS[:, None]),
    "softmax": (LinearClassifier(), THREE, softmax_gradients, THREE),
    "ovr": (LinearClassifier(multi_class="ovr"), THREE, sigmoid_gradients, np.eye(3)[THREE]),
    "squares": (LinearRegressor(), TARGET, np.subtract, TARGET[:, None]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("max_iter", [3, 25])  # as the rows are, and reordered
@pytest.mark.parametrize("rows", [X, DENSE], ids=["csr", "dense"])
def test_statistics_are_what_they_say(case, max_iter, rows):
    model, y, gradients_of, targets = CASES[case]
    model.set_params(
        penalty="elasticnet", alpha=0.02, l1_ratio=0.4, max_iter=max_iter, random_state=0
    )
    model.set_params(optimizer=SGD(lr=schedules.Linear(0.05, steps=300 * max_iter)))
    found = {}

    def read(event):
        if event.end_of_epoch and event.epoch >= max_iter - 2:
            found["ratio"], found["norm"] = event.update_ratio, event.gradient_norm
            found["saturated"], found["w"] = event.saturated, weights_of(event)

    model.fit(rows, y, callback=read)
    assert len(model.history_["gradient_norm"]) == max_iter
    assert np.isnan(model.history_["gradient_norm"]).sum() == max_iter - 2
    assert model.history_["gradient_norm"][-1] == found["norm"]
    w = found["w"]
    loss_gradients = gradients_of(DENSE @ w[:, :-1].T + w[:, -1], targets)
    expected = np.linalg.norm(gradient_of(model, w[:, :-1], DENSE, loss_gradients))
    assert found["norm"] == pytest.approx(expected, rel=1e-9)
    coef = np.atleast_2d(model.coef_)
    kept = coef != 0  # the others have been set to 0 since
    assert 10 < kept.sum() < kept.size
    np.testing.assert_allclose(w[:, :-1][kept], coef[kept], atol=5e-3)
    if case == "squares":
        assert np.isnan(found["saturated"])
    else:
        flat = np.abs(loss_gradients) < 0.01
        flat = flat.all(axis=1) if case == "softmax" else flat
        assert found["saturated"] == pytest.approx(flat.mean(), rel=1e-12)
    assert 0 < found["ratio"] < 0.1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_weights_of_zero_have_the_shortest_subgradient(share):
    """At a rate of 0 all of them are; the penalty holds some back."""
    reg = LinearRegressor(optimizer=SGD(lr=0.0), penalty="elasticnet", alpha=0.2, l1_ratio=share)
    norms = []
    reg.set_params(max_iter=1).fit(X, TARGET, callback=lambda e: norms.append(e.gradient_norm))
    gradient = DENSE.T @ -TARGET / 300
    held = np.sign(gradient) * np.maximum(0, np.abs(gradient) - 0.2 * share)
    assert norms[-1] == pytest.approx(np.linalg.norm([*held, TARGET.mean()]), rel=1e-9)


def test_the_update_ratio_is_of_what_changed_since_it_was_read():
    found = []
    keywords = {"penalty": None, "random_state": 0, "optimizer": SGD(lr=schedules.Constant(0.1))}
    LinearRegressor(max_iter=2, **keywords).fit(
        X, TARGET, callback=lambda e: found.append(e.update_ratio) if e.end_of_epoch else None
    )
    one, two = (LinearRegressor(max_iter=k, **keywords).fit(X, TARGET) for k in (1, 2))
    old, new = (np.append(m.coef_, m.intercept_) for m in (one, two))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(np.linalg.norm(new - old) / np.linalg.norm(new), rel=1e-12)


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")  # nothing is learnt
def test_saturated_raw_predictions_are_counted():
    z = np.array([[9.0], [4.7], [4.5], [0.0], [-9.0]])
    found = []
    clf = LinearClassifier(penalty=None, warm_start=True, optimizer=SGD(lr=1e-9), max_iter=1)
    clf.fit(z, [1, 1, 1, 1, 0])
    clf._trained.states[0].weights[:] = [[1.0, 0.0]]
    clf.fit(z, [1, 1, 1, 0, 1], callback=lambda event: found.append(event.saturated))
    assert found == [0.4]


def test_weights_of_rows_and_factors_of_features_count():
    weight = np.random.default_rng(0).integers(1, 4, 300)
    factors = np.linspace(0, 3, 60)
    found = []

    def read(event):
        found.append((event.gradient_norm, weights_of(event), event.rows))

    reg = LinearRegressor(alpha=0.3, penalty_factors=factors, l1_ratio=0.0, shuffle=False)
    reg.set_params(optimizer=SGD(lr=schedules.Constant(1e-4))).fit(X, TARGET, weight, callback=read)
    start = 0
    for norm, w, rows in found:
        # Of the chunk, and at the end of an epoch of all rows.
        part = slice(0, 300) if rows == 300 else slice(start, rows)
        start = rows % 300
        loss_gradients = DENSE[part] @ w[:, :-1].T + w[:, -1] - TARGET[part, None]
        gradient = gradient_of(reg, w[:, :-1], DENSE[part], loss_gradients, weight[part])
        assert norm == pytest.approx(np.linalg.norm(gradient), rel=1e-9)
    assert len(found) > 5
