"""A trained model: its weights with all penalties, predictions, losses, the objective."""

from dataclasses import replace

import numpy as np
import pytest
from linear_fits import LinearFit, fit_config, lazy_groups
from strategies import equal_bits, sparse_problem

from lrcore import SGD, AdaGrad
from lrcore.linear_model import result
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import TrainedModel
from lrcore.losses import Softmax

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=120, n_features=30)
SIGN = np.where(LABELS, 1.0, -1.0)


def trained(loss="squared_error", y=TARGET, rule=None, matrix=X, scale=None, **options):
    """A model whose penalties have not been applied, and its problem."""
    config = fit_config(loss, rule or AdaGrad(0.3), 1e-3, 0.1, **options)
    fit = LinearFit(config, matrix, lazy_groups((30, 10**6)), y=y)
    fit.fit_rows(np.arange(120), 8)
    targets = [y] if y.ndim == 1 else list(y.T)
    problem = Problem(fit.X, targets, np.linspace(0.5, 2.0, 120), config.objective)
    return TrainedModel([fit.state], config.objective, config.updates, scale), problem


def test_penalties_that_are_due_count_in_the_weights_alone():
    model, _ = trained()
    (state,) = model.states
    before = state.columns.copy()
    assert state.lazy_penalty.is_due
    weights, intercepts = model.weights
    assert equal_bits(state.columns, before)
    assert state.lazy_penalty.is_due
    assert np.abs(weights).sum() < 0.9 * np.abs(before[0, :-1]).sum()
    assert intercepts == before[0, -1:]
    assert weights.shape == (1, 30)


def test_weights_are_for_columns_as_they_are():
    scale = np.linspace(1.0, 4.0, 30)
    plain, scaled = trained()[0].weights[0], trained(scale=scale)[0].weights[0]
    np.testing.assert_allclose(scaled, plain / scale, rtol=1e-15)


def test_weights_are_averages_where_there_are_any():
    model, _ = trained(averaged_from=0, rule=SGD(0.1))
    assert not np.allclose(model.weights[0], model.states[0].weights[:, :-1], atol=1e-3)


@pytest.mark.parametrize("matrix", [X, DENSE], ids=["csr", "dense"])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raw_predictions_are_products(matrix, n_outputs, dtype):
    y = np.stack([TARGET, -TARGET, 2 * TARGET][:n_outputs], axis=1)
    model, _ = trained(y=y if n_outputs > 1 else TARGET, matrix=matrix, n_outputs=n_outputs)
    assert model.n_outputs == n_outputs
    weights, intercepts = model.weights
    rows = LinearFit(fit_config("hinge", SGD(0.1)), matrix.astype(dtype)).X
    got = model.raw_predictions(rows, 1)
    assert got.dtype == dtype
    tol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, DENSE @ weights.T + intercepts, rtol=tol, atol=tol)


WIDE_RULES = {"due": {}, "average": {"averaged_from": 0, "rule": SGD(0.1)}}


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", Softmax(3)], ids=str)
@pytest.mark.parametrize("options", WIDE_RULES.values(), ids=WIDE_RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scaled", [False, True])
def test_predictions_of_few_rows_have_the_bits_of_all_weights(
    loss, options, dtype, scaled, monkeypatch
):
    joint = isinstance(loss, Softmax)
    y = LABELS.astype(float) if joint else TARGET if loss == "squared_error" else SIGN
    model, problem = trained(loss, y, n_outputs=3 if joint else 1, **options)
    for state in model.states:
        state.lazy_penalty = replace(state.lazy_penalty, stops=np.array([11, 30]))
        for name in ("rows_since", "accumulated_lr", "periods"):
            twice = np.repeat(getattr(state.lazy_penalty, name)[:1], 2) * [1, 2]
            state.lazy_penalty = replace(state.lazy_penalty, **{name: twice})
    factors = np.linspace(0.0, 3.0, 30)
    model.objective = replace(model.objective, penalty_factors=factors)
    model.scale = np.linspace(0.5, 2.0, 30) if scaled else None
    rows = problem.X.take(np.array([3, 60]))
    rows = DesignMatrix(rows.shape, rows.values.astype(dtype), rows.indptr, rows.indices)
    n_used = len(np.unique(rows.indices))
    assert 0 < n_used < 30
    seen = []
    of_features = TrainedModel.of_features
    monkeypatch.setattr(
        TrainedModel, "of_features", lambda *args: seen.append(1) or of_features(*args)
    )
    monkeypatch.setattr(result, "FEW", np.inf)
    whole = model.raw_predictions(rows, 1)
    assert not seen
    del model.weights
    monkeypatch.setattr(result, "FEW", 0)
    few = model.raw_predictions(rows, 1)
    assert seen
    assert np.abs(whole).min() > 1e-6
    assert equal_bits(few, whole)


def test_losses_are_means_over_targets_and_rows():
    y = np.stack([TARGET, -TARGET], axis=1)
    model, problem = trained(y=y, n_outputs=2)
    weights, intercepts = model.weights
    errors = (DENSE @ weights.T + intercepts - y) ** 2 / 2
    np.testing.assert_allclose(model.row_losses(problem, 1), errors.mean(axis=1), rtol=1e-12)
    mean = np.average(errors.mean(axis=1), weights=problem.sample_weight)
    assert model.mean_loss(problem, 1) == pytest.approx(mean, rel=1e-12)
    penalty = 1e-3 * np.abs(weights).sum() + 0.05 * np.sum(weights**2)
    assert penalty > 1e-3 * mean
    assert model.objective_value(problem, 1) == pytest.approx(mean + penalty / 2, rel=1e-12)


def test_a_joint_loss_is_one_loss_of_a_row():
    codes = np.arange(120) % 3
    model, problem = trained(Softmax(3), codes.astype(float))
    z = model.raw_predictions(problem.X, 1)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(120), codes])
    np.testing.assert_allclose(model.row_losses(problem, 1), expected, rtol=1e-12)


def test_the_objective_penalises_the_weights_of_scaled_columns():
    scale = np.linspace(1.0, 4.0, 30)
    model, problem = trained(scale=scale)
    w = model.weights[0] * scale
    penalty = 1e-3 * np.abs(w).sum() + 0.05 * np.sum(w**2)
    expected = model.mean_loss(problem, 1) + penalty
    assert model.objective_value(problem, 1) == pytest.approx(expected, rel=1e-12)
