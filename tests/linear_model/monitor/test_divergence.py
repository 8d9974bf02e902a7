"""Fits that diverge: how the error names it, and how a fit recovers."""

import pickle
import warnings

import numpy as np
import pytest
from backends import use_backend
from linear_fits import LinearFit, fit_config, rate_warnings
from sklearn.base import clone
from strategies import BUILDS, THREADS, equal_bits, sparse_problem

from lrcore import SGD, LinearClassifier, LinearRegressor
from lrcore.linear_model.engine.epoch import EpochLoss
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.monitor.base import Progress
from lrcore.linear_model.monitor.diagnostics import (
    DivergenceError,
    RateWarning,
)
from lrcore.linear_model.monitor.divergence import Checkpoints, DivergenceGuard
from lrcore.linear_model.monitor.lr_controller import LRController
from lrcore.linear_model.problem import Reference
from lrcore.linear_model.solvers import stochastic
from lrcore.schedules import Constant, Plateau, Polynomial

X, DENSE, LABELS, TARGET = sparse_problem()


# ---- errors -------------------------------------------------------------------------------------


def test_an_infinite_loss_is_named():
    reg = LinearRegressor(optimizer=SGD(lr=1e9), random_state=0)
    with pytest.raises(FloatingPointError, match=r"by step \d+, at rate .*; try lr=0\.\d+ .* loss"):
        reg.fit(X, TARGET)
    assert not hasattr(reg, "coef_")


def test_a_loss_far_above_where_it_began_is_divergence_too():
    reg = LinearRegressor(optimizer=SGD(lr=Constant(0.5)), random_state=0, max_iter=4)
    with pytest.raises(
        DivergenceError, match=r"diverged by step 600.*epoch 2 was \d.*e\+"
    ) as error:
        reg.fit(X, TARGET)
    assert f"{np.mean(TARGET**2) / 2:.3g} before the first step" in str(error.value)
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value)


def test_the_limit_that_is_named_holds():
    """Gradient descent over rows of one length each: 2 over the curvature along the first."""
    rows = np.array([[2.0, 0.0], [0.0, 2.0]])
    keywords = {"batch_size": 2, "penalty": None, "fit_intercept": False, "max_iter": 2000}
    limit = 2 / 4.0
    for rate in (0.99 * limit, 1.99 * limit):  # two rows: each counts half
        reg = LinearRegressor(optimizer=SGD(lr=Constant(rate)), **keywords).fit(rows, [1.0, -1.0])
        assert np.all(np.isfinite(reg.coef_))
    reg.set_params(optimizer=SGD(lr=Constant(2.01 * limit)))
    with pytest.raises(DivergenceError, match=r"2 / curvature = 0.5 "):
        reg.fit(rows, [1.0, -1.0])


# ---- the guard ----------------------------------------------------------------------------------


def guarded(losses, *, recovers, several_rates=False, least=0.0, spoil=lambda state: None):
    """Decisions of a guard after epochs with these mean losses, and the weights of its states.

    A state has the number of the epoch as its weights, and 0 in the beginning.
    """
    fit = LinearFit(fit_config("hinge", SGD(Constant(1.0))), X)
    states, first = [fit.state], fit.state.copy()
    lr = LRController(fit.runner, states, None)
    guard = DivergenceGuard(
        fit.runner, states, lr, lambda: [first.copy()], Reference(least, 1.0), recovers=recovers,
        several_rates=several_rates,
    )  # fmt: skip
    checkpoints, progress, found = Checkpoints(guard), Progress(99, lambda: None), []
    for number, loss in enumerate(losses, start=1):
        states[0].weights[:] = number
        spoil(states[0])
        progress.add(EpochLoss(loss, 1.0, 1), cut_short=False)
        decision = guard.after_epoch(progress)
        if decision.back_to is None:
            checkpoints.after_epoch(progress)
        else:
            progress.take_back(decision.back_to)
        found.append((decision.back_to, states[0].weights[0, 0], lr.rate(0)))
    return found


def test_good_epochs_go_on():
    assert guarded([1.0, 0.5, 5.0], recovers=True) == [(None, k, 1.0) for k in (1, 2, 3)]


def test_losses_below_zero_are_compared_with_the_least_that_there_can_be():
    """Of counts in thousands the log likelihood is far below 0, whatever the fit."""
    losses = [-5000.0, -5000.5, -4999.0]
    for least in (-5001.0, -6000.0):
        found = guarded(losses, recovers=True, least=least)
        assert found == [(None, k, 1.0) for k in (1, 2, 3)]
    # Below zero, and yet far above where it began.
    with pytest.raises(DivergenceError, match="was -1e\\+06, and was -5e\\+06 before"):
        guarded([0.5 - 5e6, 4e6 - 5e6], recovers=False, least=-5e6)


@pytest.mark.parametrize("loss", [np.nan, np.inf, 1e9])
def test_without_recovery_a_fit_that_diverges_is_an_error(loss):
    with pytest.raises(DivergenceError, match="the fit diverged by step 0, at rate 1; try lr="):
        guarded([1.0, loss], recovers=False)


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
def test_it_goes_back_to_the_last_epoch_with_a_good_loss():
    """The third epoch has more than twice the best loss, so it is none to go back to."""
    found = guarded([1.0, 0.5, 3.0, np.nan], recovers=True)
    assert found[-1] == (2, 2.0, pytest.approx(0.1))


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
def test_the_second_time_from_the_same_states_it_goes_back_to_the_beginning():
    found = guarded([0.5, np.nan, np.nan, 0.5, np.nan], recovers=True)
    assert [back for back, _, _ in found] == [None, 1, 0, None, 1]
    assert [w for _, w, _ in found] == [1.0, 1.0, 0.0, 4.0, 4.0]
    np.testing.assert_allclose([rate for _, _, rate in found], [1, 0.1, 0.01, 0.01, 0.001])


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
def test_it_cuts_the_rate_five_times_at_most():
    assert len(guarded([np.nan] * 5, recovers=True)) == 5
    with pytest.raises(DivergenceError, match="after 5 cuts of the rate to a tenth"):
        guarded([np.nan] * 6, recovers=True)


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
def test_weights_that_are_not_finite_count_where_a_fit_recovers():
    def spoil(state):
        if state.weights[0, 0] == 2:
            state.weights[0, 3] = np.inf

    assert [back for back, *_ in guarded([0.5, 0.5], recovers=True, spoil=spoil)] == [None, 1]
    assert [back for back, *_ in guarded([0.5, 0.5], recovers=False, spoil=spoil)] == [None, None]


def test_of_several_rates_one_may_be_far_above():
    assert guarded([1.0, 1e9], recovers=False, several_rates=True)[-1][0] is None
    with pytest.raises(DivergenceError, match="the sum of losses is nan"):
        guarded([np.nan], recovers=False, several_rates=True)


# ---- recovery -----------------------------------------------------------------------------------


def test_recovery_is_a_fit_at_the_lower_rate():
    """From the beginning it is that fit to the bit, where rows have an order."""
    keywords = {"shuffle": False, "max_iter": 4}
    wild = LinearRegressor(optimizer=SGD(lr=1e3), on_divergence="recover", **keywords)
    messages = rate_warnings(wild, X, TARGET)
    assert [m.split("; ")[-1] for m in messages] == [
        "it goes back to step 0, after 0 epochs, and on at rate " + f"{10.0 ** (2 - k):.3g}"
        for k in range(len(messages))
    ]
    assert 2 <= len(messages) <= 5
    factor = 1.0
    for _ in messages:
        factor *= 0.1
    falling = Polynomial(1e3, steps=1200).scale(factor)
    calm = LinearRegressor(optimizer=SGD(lr=falling), **keywords).fit(X, TARGET)
    assert equal_bits(wild.coef_, calm.coef_)
    assert equal_bits(wild.loss_curve_, calm.loss_curve_)
    assert equal_bits(wild.history_["rate"], calm.history_["rate"])
    assert wild.n_iter_ == 4
    assert wild.t_ == 1200


RISING = Constant(0.02).then(Constant(0.5), at=900)


@pytest.mark.parametrize("rows", [X, DENSE], ids=["csr", "dense"])
@pytest.mark.parametrize("max_iter", [8, 24])  # as the rows are, and reordered
def test_recovery_goes_back_to_the_last_good_epoch(rows, max_iter):
    def rates(event):
        if event.end_of_epoch:
            seen.append(event.rate)

    seen = []
    keywords = {"optimizer": SGD(lr=RISING), "max_iter": max_iter, "random_state": 0}
    reg = LinearRegressor(on_divergence="recover", **keywords)
    with pytest.warns(RateWarning, match=r"goes back to step 900, after 3 epochs, and on at rate"):
        reg.fit(rows, TARGET, callback=rates)
    assert seen[:3] == [0.02] * 3
    assert seen[-1] == pytest.approx(0.05, rel=1e-12)
    assert reg.history_["epoch"].tolist() == list(range(1, max_iter + 1))
    assert reg.history_["step"].tolist() == [300 * k for k in range(1, max_iter + 1)]
    assert reg.score(rows, TARGET) > 0.9
    with pytest.raises(DivergenceError):
        LinearRegressor(**keywords).fit(rows, TARGET)


def test_states_that_only_look_good_are_left_behind():
    """The loss of the first epoch is of its rows before the last of them spoilt the weights."""
    spoilt = DENSE.copy()
    spoilt[-1] = 0.0
    spoilt[-1, 0] = 100.0
    target = TARGET.copy()
    target[-1] = 0.0
    plateau = Plateau(Constant(0.05), patience=99)
    keywords = {"optimizer": SGD(lr=plateau), "shuffle": False, "max_iter": 6}
    reg = LinearRegressor(on_divergence="recover", penalty=None, block_size=1, **keywords)
    messages = rate_warnings(reg, spoilt, target)
    assert [int(m.split(" epochs, and on")[0].split()[-1]) for m in messages] == [0, 1, 0]
    assert np.all(np.isfinite(reg.coef_))
    assert reg.plateau_.checks == len(reg.stopping_curve_) == reg.n_iter_ == 6


def test_recovery_gives_up():
    reg = LinearRegressor(optimizer=SGD(lr=1e9), on_divergence="recover", random_state=0)
    with (
        pytest.warns(RateWarning) as found,
        pytest.raises(DivergenceError, match=r"after 5 cuts of the rate to a tenth; try lr=0\.1"),
    ):
        reg.fit(X, TARGET)
    assert len(found) == 5
    assert not hasattr(reg, "coef_")


def test_recovery_keeps_nothing_unless_asked(monkeypatch):
    """And where nothing goes wrong it changes nothing."""
    copies = []
    copy = ModelState.copy
    monkeypatch.setattr(ModelState, "copy", lambda self: copies.append(1) or copy(self))
    plain = LinearClassifier(solver="stochastic", max_iter=5, tol=None, random_state=0)
    careful = clone(plain).set_params(on_divergence="recover")
    plain.fit(X, LABELS)
    assert not copies
    careful.fit(X, LABELS)
    assert len(copies) == 5
    assert equal_bits(plain.coef_, careful.coef_)


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
@pytest.mark.parametrize("batch_size", [1, 32])
def test_recovery_has_the_same_bits_for_builds_and_threads(monkeypatch, batch_size):
    found = []
    rule = SGD(lr=Constant(0.02).then(Constant(50.0), at=450 // batch_size))
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            reg = LinearRegressor(
                optimizer=rule, on_divergence="recover", random_state=0, max_iter=4,
                n_threads=n_threads, batch_size=batch_size, penalty="l1", average=True,
            ).fit(X, np.stack([TARGET, -TARGET], axis=1))  # fmt: skip
            found.append((reg.coef_, reg.loss_curve_, reg.history_["rate"]))
    assert found[0][2][-1] < 10
    assert all(equal_bits(x, y) for other in found for x, y in zip(other, found[0]))


def test_a_warm_start_recovers_to_where_it_began():
    reg = LinearRegressor(
        optimizer=SGD(lr=0.05), warm_start=True, random_state=0, max_iter=10, tol=None
    )
    good = reg.fit(X, TARGET).score(X, TARGET)
    reg.set_params(optimizer=SGD(lr=1e3), on_divergence="recover", max_iter=2)
    with pytest.warns(RateWarning, match="goes back to step 0"):
        reg.fit(X, TARGET)
    assert reg.score(X, TARGET) > good - 0.05


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"on_divergence": "skip"}, "on_divergence must be 'raise' or 'recover', got 'skip'"),
        ({"on_divergence": None}, "on_divergence must be 'raise' or 'recover', got None"),
        ({"on_divergence": True}, "on_divergence must be 'raise' or 'recover', got True"),
        (
            {"on_divergence": "recover", "solver": "dual", "alpha": 1e-3},
            "solver='dual' needs on_divergence='raise', got 'recover': it has no rate",
        ),
    ],
)
def test_bad_arguments_are_refused(keywords, message):
    for model, y in ((LinearClassifier, LABELS), (LinearRegressor, TARGET)):
        with pytest.raises(ValueError, match=message):
            model(**keywords).fit(X, y)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_fit_begins_again_where_a_rate_that_was_found_diverges(optimizer, monkeypatch):
    """The rows that it was found by may be tamer than the others."""
    monkeypatch.setattr(stochastic, "find_lr", lambda *arguments: 1e4)
    reg = LinearRegressor(optimizer=optimizer, loss="squared_error", random_state=0)
    y = np.where(np.arange(len(TARGET)) == 77, 1e30, TARGET)
    for target in (TARGET, y):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            reg.fit(X, target)
        assert np.isfinite(reg.coef_).all()
        assert optimizer != "sgd" or "goes back to step 0" in str(found[0].message)
    with pytest.raises(DivergenceError):
        reg.set_params(lr=1e4, optimizer="sgd").fit(X, TARGET)
