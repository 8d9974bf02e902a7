"""The core's arrays of fixed size, and places that numbers lead to: their bounds hold whatever a
caller says."""

import numpy as np
import pytest
from scipy import sparse

import lrcore
from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.epoch import EpochRunner
from lrcore.linear_model.engine.layout import LazyPenalty, ModelState, UpdateConfig
from lrcore.linear_model.problem import Objective, Problem
from lrcore.losses import LogLoss, Softmax
from lrcore.penalties import ElasticNet

X = as_design_matrix(np.eye(6))


def run(objective, updates, lazy, y):
    """One epoch over the rows of X."""
    problem = Problem(X, [y], None, objective)
    runner = EpochRunner(objective, updates, X, 1)
    states = [ModelState.new(updates, X, lazy)]
    order = np.arange(6, dtype=np.int64)
    return runner.run_epoch(states, problem, order, lambda chunk: True), states[0]


@pytest.mark.parametrize(
    "stops", [[6] * 41, [6] * 3000, [7], [3, 1 << 40], [-1, 6]], ids=lambda stops: str(stops[:2])
)
def test_groups_of_features(stops):
    lazy = LazyPenalty.new(stops, np.ones(len(stops)))
    lazy.accumulated_lr[:] = 1.0
    objective = Objective(LogLoss(), ElasticNet(l2=0.1))
    updates = UpdateConfig(lrcore.SGD(0.1), 1, 1)
    with pytest.raises(ValueError, match=r"at most 40 groups|a group ends at feature"):
        run(objective, updates, lazy, np.ones(6))
    state = ModelState.new(updates, X, lazy)
    with pytest.raises(ValueError, match=r"at most 40 groups|a group ends at feature"):
        _backend.compiled.apply_penalty(state, objective, updates, updates.rule.coefficients(ZERO))


def test_groups_need_as_many_periods_as_stops():
    lazy = LazyPenalty(np.array([3, 6]), np.array([64]), np.zeros(2, np.int64), np.ones(2))
    objective = Objective(LogLoss(), ElasticNet(l2=0.1))
    with pytest.raises(ValueError, match="as many stops, periods, rows and rates"):
        run(objective, UpdateConfig(lrcore.SGD(0.1), 1, 1), lazy, np.ones(6))


ZERO = np.zeros(1, np.int64)


@pytest.mark.parametrize("label", [-1.0, 3.0, 1e6, 1e300, np.nan, np.inf])
def test_a_label_that_is_no_class_makes_the_loss_nan(label):
    y = np.array([0.0, 1.0, 2.0, label, 0.0, 1.0])
    updates = UpdateConfig(lrcore.SGD(0.1), 1, 1, n_outputs=3)
    loss, _ = run(Objective(Softmax(3.0), ElasticNet()), updates, None, y)
    assert np.isnan(loss.total)
    values, gradient = _backend.compiled.loss_and_gradient(Softmax(3.0), np.zeros((6, 3)), y, 1)
    assert np.isnan(values).tolist() == [False] * 3 + [True] + [False] * 2
    assert np.isnan(gradient).all(axis=1).tolist() == np.isnan(values).tolist()


def test_a_rule_without_kernels_for_linear_models():
    kernels = _backend.compiled._kernels()
    objective, updates = Objective(LogLoss(), ElasticNet()), UpdateConfig(lrcore.SGD(0.1), 1, 1)
    state = ModelState.new(updates, X, None)
    bounds = np.array([0, 6], np.int64)
    job = _backend.compiled._job(objective, updates, 6, np.float64, 1, bounds=bounds)
    index = kernels.RULES[lrcore.ScheduleFreeAdamW().formula.__name__][0]
    steps = kernels.RuleSteps(index, np.ones((1, 9)), None)
    with pytest.raises(ValueError, match="no kernels for linear models"):
        kernels.apply_penalty(job, _backend.compiled._linear_state(state), steps)


@pytest.mark.parametrize("n_features", [1, 5, 7, 1000])
def test_a_model_of_other_rows(n_features):
    weights = np.ones(n_features)
    with pytest.raises(ValueError, match=f"X has 6 features, and the model {n_features}"):
        X.raw_predictions(weights, 0.0, 1)
    objective, updates = Objective(LogLoss(), ElasticNet()), UpdateConfig(lrcore.SGD(0.1), 1, 1)
    for rows in (np.eye(6), sparse.csr_matrix(np.eye(6))):
        matrix = as_design_matrix(rows)
        other = ModelState.new(updates, as_design_matrix(np.ones((1, n_features))), None)
        problem = Problem(matrix, [np.ones(6)], None, objective)
        runner = EpochRunner(objective, updates, matrix, 1)
        with pytest.raises(ValueError, match="a state of 6 features is needed"):
            runner.run_epoch([other], problem, np.arange(6), lambda chunk: True)
