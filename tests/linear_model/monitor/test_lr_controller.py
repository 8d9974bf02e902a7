"""The rates of a fit while it runs: a Plateau, a callback, cuts after a divergence."""

import pytest
from linear_fits import LinearFit, fit_config
from strategies import sparse_problem

from lrcore import SGD
from lrcore.linear_model.engine.epoch import EpochLoss
from lrcore.linear_model.monitor.base import CONTINUE, Progress
from lrcore.linear_model.monitor.lr_controller import LRController, split_plateau
from lrcore.schedules import Constant, Linear, Plateau

X, _, _, _ = sparse_problem(n_rows=20, n_features=8)


def controller(lr=None, plateau=None):
    fit = LinearFit(fit_config("hinge", SGD(lr or Linear(1.0, steps=10))), X)
    return LRController(fit.runner, [fit.state], plateau), fit


def after(control, measured, cut_short=False):
    """An epoch after which this was measured."""
    progress = Progress(9, lambda: None)
    progress.add(EpochLoss(1.0, 1.0, 1), cut_short)
    if measured is not None:
        progress.record("objective", measured)
    assert control.after_epoch(progress) == CONTINUE


def test_rates_are_those_of_the_rule_until_they_are_scaled():
    control, fit = controller()
    rule = fit.updates.rule
    assert fit.runner.updates.rule is rule
    assert control.rate(5) == 0.5
    control.scale(0.5)
    control.scale(0.1)
    assert control.rate(5) == pytest.approx(0.025, rel=1e-15)
    assert control.rate(0) == pytest.approx(0.05, rel=1e-15)
    assert fit.updates.rule is rule  # that of the fit's configuration stays


def test_blocks_are_chosen_anew_by_a_new_rate():
    control, fit = controller()
    fit.state.until = 77
    control.scale(2.0)
    assert fit.state.until == 0


def test_a_plateau_is_fed_what_is_measured_and_scales_the_rates():
    plateau = Plateau(Constant(0.4), patience=1, factor=0.5)
    control, fit = controller(0.4, plateau)
    for measured in (3.0, 2.0):
        after(control, measured)
    assert plateau.checks == 2
    assert control.rate(0) == 0.4
    fit.state.until = 77
    after(control, 2.0)
    assert control.rate(0) == pytest.approx(0.2)
    assert fit.state.until == 0
    control.scale(0.1)
    assert control.rate(0) == pytest.approx(0.02)


def test_epochs_that_say_nothing_are_not_fed():
    plateau = Plateau(Constant(0.4), patience=1)
    control, _ = controller(0.4, plateau)
    after(control, None)
    after(control, 2.0, cut_short=True)
    assert plateau.checks == 0
    plain, _ = controller()
    after(plain, 2.0)
    assert plain.plateau_state() is None
    plain.restore_plateau(None)


def test_a_plateau_goes_back_to_what_it_had_seen():
    plateau = Plateau(Constant(0.4), patience=1, factor=0.5)
    control, _ = controller(0.4, plateau)
    after(control, 2.0)
    state = control.plateau_state()
    for _ in range(4):
        after(control, 2.0)
    assert plateau.scale < 1.0
    control.restore_plateau(state)
    assert plateau.checks == 1
    assert plateau.scale == 1.0


def test_the_plateau_of_a_rule_is_copied():
    plateau = Plateau(Constant(0.4), patience=1)
    rule = SGD(plateau)
    copy, plain = split_plateau(rule)
    assert copy is not plateau
    assert copy.state_dict() == plateau.state_dict()
    assert plain.lr == Constant(0.4)
    assert split_plateau(plain) == (None, plain)
