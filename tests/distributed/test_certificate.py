"""Bounds of the minimum by sums of a round, against those of the rows themselves."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import LOSSES, targets_for

from lrcore.distributed.certificate import ClassSums, answer_of
from lrcore.distributed.curvature import DiagonalCurvature
from lrcore.distributed.descent import Certified, Descent, WithoutModel
from lrcore.distributed.partition import Partition, Query, Setting, evaluate
from lrcore.linear_model.duality import DualPoint, duality_gaps
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers.newton_descent import NewtonDescent
from lrcore.losses import Softmax
from lrcore.penalties import make

NAMES = ["log_loss", "squared_hinge", "modified_huber", "squared_error", "huber", "softmax"]
N_ROWS = 90


def partition_of(name, fit_intercept=True):
    """Rows with weights, and the model's objective, as one partition."""
    rng = np.random.default_rng(0)
    X = DesignMatrix((N_ROWS, 4), rng.normal(size=(N_ROWS, 4)))
    target = X.values @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=N_ROWS)
    if name == "softmax":
        loss, y = Softmax(3), np.digitize(target, [-0.5, 0.7]).astype(float)
    else:
        loss, y = LOSSES[name], targets_for(LOSSES[name], target > 0.1, target)
    weight = rng.integers(1, 4, N_ROWS) / 2.0
    weight = weight / weight.mean()
    objective = Objective(loss, make("elasticnet", 0.05, 0.3), fit_intercept)
    problem = Problem(X, [y], weight, objective)
    largest = float(np.abs(X.values).max())
    setting = Setting(
        objective, "float64", None, 4, None, None, None, N_ROWS, 1.0, 1 / weight.max(), largest
    )
    return Partition(0, problem, setting, None)


@pytest.mark.parametrize("size", [0.001, 0.03])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_gap_is_that_of_the_rows(name, fit_intercept, size):
    part = partition_of(name, fit_intercept)
    problem, objective = part.problem, part.problem.objective
    rng = np.random.default_rng(1)
    # Near the minimum of a like objective, so that the gap is no whole objective.
    like = replace(problem, objective=replace(objective, penalty=make("l2", 0.05, 0.0)))
    near = NewtonDescent(like, 1)
    for _ in range(8):
        near.step()
    W = near.point.W + size * rng.normal(size=near.point.W.shape)
    b = near.point.b + (size * rng.normal(size=len(W)) if fit_intercept else 0.0)
    z = problem.X.values @ W.T + b
    (expected,) = duality_gaps(
        objective, problem.X, problem.targets, problem.share[None], W, z, 1, None, 0.0
    )
    (sums,) = evaluate(part, [query_of(W, b)]).targets
    classes = None
    if objective.loss.joint:
        label = (problem.targets[0] == np.arange(3)[:, None]) * problem.share
        classes = ClassSums(np.sum(label, axis=1), label @ problem.X.values)
    got = answer_of(query_of(W, b), sums, part.setting, fit_intercept, expected.null, classes)
    l1, l2 = objective.strengths(4)
    at = np.ones(1), W, got.certified.v, l1, l2, objective.l1_below(4)
    gap = got.certified.point.gap(*at)
    assert gap.objective == pytest.approx(expected.objective, rel=1e-10)
    assert gap.gap == pytest.approx(expected.gap, rel=1e-8)
    assert 0 < gap.gap < gap.objective


def query_of(W, b):
    return Query(0, W, b, 1024.0, True, 0.0)


def test_derivatives_beyond_the_bound_are_told_and_not_summed_up():
    part = partition_of("squared_error")
    W, b = np.full((1, 4), 3.0), np.zeros(1)
    (sums,) = evaluate(part, [query_of(W, b)]).targets
    assert sums.features is not None
    bound = sums.largest / 1.01
    (beyond,) = evaluate(part, [query_of(W, b)._replace(bound=bound)]).targets
    assert beyond.features is None
    assert beyond.largest == sums.largest
    total = sums.plus(beyond)
    assert total.features is None
    assert total.largest == sums.largest


def test_no_round_takes_back_what_is_known_of_the_minimum():
    objective = Objective(LOSSES["log_loss"], make("l2", 0.1, 0.0))
    curvature, start = DiagonalCurvature(np.zeros(2), np.ones(2)), np.zeros((1, 2))
    without = WithoutModel(0.7, 0.5)
    descent = Descent(objective, curvature, start, start, 0.7, without, np.dtype(float), 1e-9)

    def certified(loss, gap):
        none = np.zeros(1)
        point = DualPoint(none, np.array([gap]), np.array([loss]), 0.7)
        return Certified(point, -0.1 * descent.trial[:, :-1], 0.0)

    for loss, gap, expected in ((0.7, 0.1, 0.1), (0.69, 0.3, 0.09), (0.68, 0.01, 0.01)):
        slopes = np.array([[-0.02, 0.0]])
        theta = descent.trial.copy()
        descent.advance(loss, slopes, certified(loss, gap))
        assert np.array_equal(descent.point.theta, theta)
        value = loss + 0.05 * theta[0, 0] ** 2
        assert descent.certified * value == pytest.approx(expected, abs=2e-4)
