"""A fit in progress by steps of a rule: where it begins, in which order, and what it ends as."""

import numpy as np
import pytest
from strategies import LOSSES, equal_bits, sparse_problem

from lrcore import SGD, AdaGrad, DoG, LinearClassifier, schedules
from lrcore._backend import compiled
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.layout import UpdateConfig
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.training import StochasticTraining
from lrcore.penalties import ElasticNet

X, DENSE, LABELS, TARGET = sparse_problem()


def test_a_warm_start_goes_on():
    keywords = {"optimizer": SGD(lr=schedules.Constant(0.05)), "penalty": None, "shuffle": False}
    whole = LinearClassifier(max_iter=6, block_size=1, **keywords).fit(X, LABELS)
    half = LinearClassifier(max_iter=3, block_size=1, warm_start=True, **keywords).fit(X, LABELS)
    assert not np.allclose(half.coef_, whole.coef_, rtol=1e-3)
    half.fit(X, LABELS)
    np.testing.assert_allclose(half.coef_, whole.coef_, rtol=1e-9)
    np.testing.assert_allclose(half.intercept_, whole.intercept_, rtol=1e-9)


@pytest.mark.parametrize("max_iter", [2, 50])  # as the rows are, and reordered without a warm start
def test_a_warm_start_keeps_features_that_do_not_come_up(max_iter, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    clf = LinearClassifier(
        solver="stochastic", penalty=None, max_iter=max_iter, tol=None, warm_start=True,
        random_state=0,
    )  # fmt: skip
    before = clf.fit(X, LABELS).coef_
    some = X.multiply(~np.isin(np.arange(60), range(10, 20))).tocsr()
    some.eliminate_zeros()
    after = clf.fit(some, LABELS).coef_
    assert np.ptp(before[0, 10:20]) > 0
    assert equal_bits(after[:, 10:20].copy(), before[:, 10:20].copy())
    assert not np.allclose(after, before)


def test_a_warm_start_keeps_the_rules_state():
    constant = AdaGrad(lr=schedules.Constant(0.5))
    clf = LinearClassifier(optimizer=constant, max_iter=2, warm_start=True, random_state=0)
    clf.fit(X, LABELS)
    before = clf._trained.states[0].columns[1].copy()
    clf.fit(X, LABELS)
    assert np.all(clf._trained.states[0].columns[1] >= before)
    assert np.any(before > 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"optimizer": "sgd"}, "it had AdaGrad, .* this has SGD"),
        ({}, "20 features; set it to False|had AdaGrad, float64, 1 outputs, 60 features"),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused(change, message):
    clf = LinearClassifier(solver="stochastic", tol=None, warm_start=True, random_state=0)
    clf.fit(X, LABELS)
    coef = clf.coef_
    clf.set_params(**change)
    with pytest.raises(ValueError, match=message):
        clf.fit(X if change else X[:, :20], LABELS)
    assert equal_bits(clf.coef_, coef)


# ---- the states in progress ---------------------------------------------------------------------


def training(matrix=X, max_iter=3, rule=None, start=None, **config):
    objective = Objective(LOSSES["hinge"], ElasticNet(1e-3, 1e-2))
    rows = Problem(as_design_matrix(matrix), [np.where(LABELS, 1.0, -1.0)], None, objective)
    config = {"random_state": 0, **config}
    updates = UpdateConfig(rule or AdaGrad(0.3), 1, 16)
    return StochasticTraining(rows, updates, SolverConfig(max_iter, start=start, **config))


def run_epoch(fit):
    fit.runner.run_epoch(fit.states, fit.problem, fit.next_order(), lambda chunk: True)


def test_orders_are_new_in_each_epoch_and_the_same_for_a_seed():
    one, other = training(), training()
    orders = [one.next_order().copy() for _ in range(3)]
    assert all(np.array_equal(a, other.next_order()) for a in orders)
    assert all(sorted(order) == list(range(300)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    still = training(shuffle=False)
    assert all(np.array_equal(still.next_order(), np.arange(300)) for _ in range(2))


def test_a_copy_of_the_model_leaves_the_states():
    fit = training()
    run_epoch(fit)
    before = fit.states[0].columns.copy()
    model = fit.model()
    assert equal_bits(fit.states[0].columns, before)
    assert not model.states[0].lazy_penalty.is_due
    assert fit.states[0].lazy_penalty.is_due
    model.states[0].weights[:] = 0
    assert equal_bits(fit.states[0].columns, before)


def test_long_fits_of_sparse_rows_are_in_another_order(monkeypatch):
    """With features numbered anew; a model has the original numbers."""
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    fit = training(max_iter=reorder.MIN_EPOCHS)
    assert fit.problem.X.shape[1] == len(np.unique(X.indices)) < 60
    for _ in range(5):
        run_epoch(fit)
    (weights,), _ = fit.model().weights
    assert weights.shape == (60,)
    assert weights[7] == 0  # the column that is empty
    assert np.mean((X @ weights > 0) == LABELS) > 0.8
    for other in (training(DENSE, max_iter=99), training(max_iter=reorder.MIN_EPOCHS - 1)):
        assert other.problem.X.shape[1] == 60


def test_a_fit_begins_with_the_states_of_a_model():
    first = training(rule=DoG(), scale_columns=True)
    run_epoch(first)
    model = first.model()
    second = training(rule=DoG(), scale_columns=True, start=model)
    (state,), (old,) = second.states, model.states
    assert equal_bits(state.weights, old.weights)
    assert state.t == 0
    assert equal_bits(state.dog.sums, old.dog.sums)
    assert state.dog.measured == 0
    assert equal_bits(second.scale, model.scale)
    assert second.scale is not model.scale
    run_epoch(second)
    assert not equal_bits(second.states[0].weights, old.weights)
    assert equal_bits(second.begin()[0].weights, old.weights)


def test_without_a_penalty_none_is_due():
    fit = training()
    assert len(fit.states[0].lazy_penalty.stops) == 1
    objective = Objective(LOSSES["hinge"], ElasticNet())
    rows = Problem(as_design_matrix(X), [np.where(LABELS, 1.0, -1.0)], None, objective)
    plain = StochasticTraining(rows, UpdateConfig(AdaGrad(), 1, 16), SolverConfig(3))
    assert len(plain.states[0].lazy_penalty.stops) == 0


def test_the_model_to_begin_with_stays_as_it_is():
    """Also one whose penalty is due, as that of a stream."""
    stream = LinearClassifier("hinge", alpha=1e-2, optimizer=AdaGrad(0.3))
    model = stream.partial_fit(X, LABELS, [0, 1])._trained
    before = model.states[0].columns.copy()
    assert model.states[0].lazy_penalty.is_due
    fit = training(start=model)
    assert equal_bits(model.states[0].columns, before)
    assert model.states[0].lazy_penalty.is_due
    assert equal_bits(fit.states[0].weights[:, :-1], model.weights[0])
