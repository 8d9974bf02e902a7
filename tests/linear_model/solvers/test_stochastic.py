"""The stochastic solver: its rules and updates, warm starts, Ctrl-C."""

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from strategies import LOSSES, sparse_problem

from lrcore import SGD, AdaGrad, DoG, LinearClassifier
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.stochastic import LaneLosses, Stochastic
from lrcore.losses import Softmax
from lrcore.penalties import ElasticNet
from lrcore.schedules import Cosine, Polynomial

X, DENSE, LABELS, TARGET = sparse_problem()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("max_iter", [2, 50])
def test_ctrl_c_leaves_what_was_learnt(max_iter):
    def interrupt(at):
        if at.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    clf = LinearClassifier(max_iter=max_iter, random_state=0)
    with pytest.raises(KeyboardInterrupt, match=f"in epoch 2 of {max_iter}; the estimator has"):
        clf.fit(X, LABELS, callback=interrupt)
    assert clf.n_iter_ == 2
    assert clf.score(X, LABELS) > 0.8
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    clf.partial_fit(X, LABELS)


# ---- rules and updates --------------------------------------------------------------------------


def problem(matrix, n_targets=1, loss="hinge"):
    loss = LOSSES[loss] if isinstance(loss, str) else loss
    targets = [np.where(LABELS, 1.0, -1.0)] * n_targets
    return Problem(as_design_matrix(matrix), targets, None, Objective(loss, ElasticNet()))


def test_a_rate_given_as_a_number_falls_unless_weights_are_averaged():
    solver = Stochastic(SGD(0.3), "auto", False)
    assert solver.rule_at(None, 10, 100).lr == Polynomial(0.3, steps=100)
    assert solver.rule_at(0.7, 10, 100).lr == Polynomial(0.7, steps=100)
    assert Stochastic(SGD(0.3), "auto", False, average=True).rule_at(None, 10, 100).lr == 0.3
    at_schedule = solver.rule_at(Cosine(0.5, steps="90%"), 10, 100)
    assert at_schedule.lr == Cosine(0.5, steps=90)
    adagrad = Stochastic(AdaGrad(0.3), "auto", False)
    falls = Polynomial(0.3, steps=100) if AdaGrad.anneals else 0.3
    assert adagrad.rule_at(None, 10, 100).lr == falls


@pytest.mark.parametrize("n_epochs, share", [(1, 0.09), (2, 0.25), (4, 0.72)])
def test_the_rate_falls_at_the_end_of_a_short_run(n_epochs, share):
    solver = Stochastic(AdaGrad(0.3), "auto", False)
    rates = solver.rule_at(None, 1000, 1000 * n_epochs).lr(np.arange(1000 * n_epochs + 1))
    plain = Stochastic(SGD(0.3), "auto", False).rule_at(None, 1000, 1000 * n_epochs)
    assert plain.lr == Polynomial(0.3, steps=1000 * n_epochs)
    assert np.mean(rates < 0.3) == pytest.approx(share, abs=0.01)
    assert rates[0] == 0.3
    assert rates[-1] == 0.0


@pytest.mark.parametrize("batch_size, steps", [(1, 300 * 6), (16, 19 * 6), (300, 6), (999, 6)])
def test_the_rate_falls_over_all_steps(batch_size, steps):
    solver = Stochastic(SGD(0.3), "auto", False, batch_size=batch_size)
    updates = solver.updates_at(None, problem(X), SolverConfig(6))
    assert updates.rule.lr == Polynomial(0.3, steps=steps)
    assert updates.batch_size == batch_size


@pytest.mark.parametrize(
    "matrix, n_targets, loss, rule, expected",
    [
        (X, 1, "hinge", SGD(), 1),
        (X, 3, "hinge", SGD(), 3),  # over sparse rows together
        (DENSE, 3, "hinge", SGD(), 1),
        (X, 3, "hinge", DoG(), 1),  # each output has a rate of its own
        (DENSE, 1, Softmax(3), SGD(), 3),
        (X, 1, Softmax(3), DoG(), 3),
    ],
)
def test_which_outputs_are_updated_together(matrix, n_targets, loss, rule, expected):
    solver = Stochastic(rule, "auto", False)
    updates = solver.updates(rule, problem(matrix, n_targets, loss), None)
    assert updates.n_outputs == expected
    rates = replace(solver, lr_factors=(0.1, 1.0))
    assert rates.updates(rule, problem(matrix), None).n_outputs == 2


@pytest.mark.parametrize(
    "average, batch_size, expected",
    [(False, 1, None), (True, 1, 0), (1, 1, 0), (301, 1, 300), (301, 16, 18), (True, 16, 0)],
)
def test_steps_before_an_average(average, batch_size, expected):
    solver = Stochastic(SGD(), "auto", False, batch_size, average=average)
    assert solver.updates(SGD(), problem(X), None).averaged_from == expected


def test_losses_of_lanes_are_differences_of_sums():
    runner = SimpleNamespace(lane_losses=np.zeros(2))
    lanes = LaneLosses(runner)
    for more in ([1.0, 2.0], [0.5, np.inf]):
        runner.lane_losses += more
        lanes.after_epoch(None)
    assert lanes.curves.tolist() == [[1.0, 2.0], [0.5, np.inf]]
