"""What goes wrong with a rate: divergence, oscillation, stagnation, and recovery."""

import pickle
import re
import warnings

import backends
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from strategies import BUILDS, THREADS, equal_bits, sparse_problem

from lrcore import SGD, AdaGrad, Adam, LinearClassifier, LinearRegressor
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.monitor.diagnostics import (
    DivergenceError,
    RateWarning,
    oscillation,
    runs_away,
)
from lrcore.schedules import Constant, Plateau, Polynomial

X, DENSE, LABELS, TARGET = sparse_problem()
RNG = np.random.default_rng(0)
STEEP = RNG.normal(size=(400, 3)) * [5, 1, 1]
NOISY = (STEEP.sum(axis=1) + RNG.normal(size=400) * 6 > 0).astype(int)


def warned(model, *data):
    """The messages of a fit's warnings, all of them of rates."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(*data)
    assert all(each.category is RateWarning for each in found)
    assert all(each.filename == __file__ for each in found)
    return [str(each.message) for each in found]


# ---- divergence ---------------------------------------------------------------------------------


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
    assert f"{np.mean(TARGET**2) / 2:.3g} for weights of 0" in str(error.value)
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value)


@pytest.mark.parametrize(
    "curve, expected",
    [
        ([1.0], False),
        ([2e9], False),  # the first epoch has nothing before it
        ([1e7, 1.9e7], False),
        ([1e7, 2.1e7], True),
        ([0.1, 1e5], False),
        ([3e9, 2e9, 1e9], False),
        ([1e8 * 1.01**k for k in range(5)], False),
        ([1e8 * 1.01**k for k in range(6)], True),
    ],
)
def test_what_runs_away(curve, expected):
    assert runs_away(curve, 1.0) is expected


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


# ---- oscillation --------------------------------------------------------------------------------


def test_gradient_descent_above_its_limit_oscillates():
    keywords = {"batch_size": 400, "penalty": None, "max_iter": 40}
    clf = LinearClassifier(optimizer=SGD(lr=Constant(1.6)), **keywords)
    (message,) = warned(clf, STEEP, NOISY)
    assert "the loss oscillates: over 8 epochs" in message
    assert re.search(r"by step \d+, at rate 1.6; try lr=0.1", message)
    assert warned(clf.set_params(optimizer=SGD(lr=Constant(0.3))), STEEP, NOISY) == []


@pytest.mark.parametrize(
    "curve, expected",
    [
        ([1.0, 1.2] * 5, True),
        ([1.0, 1.2] * 4, False),  # not long enough
        ([1.0, 1.02] * 5, False),  # noise
        ([0.01, 0.012] * 5, False),  # of no account
        ([5.0, *[1.0, 1.2] * 5], True),  # whatever was before
        ([2.0**-k for k in range(12)], False),  # falls
        ([2.0 - 0.1 * k + 0.3 * (k % 2) for k in range(9)], False),  # falls, up and down
        ([1.0, 1.8, 5.3, 3.6, 2.1, 0.7, 1.5, 4.9, 3.3], True),  # in no order
        ([1.0] * 8 + [3.0], False),  # once
        ([2.0**k for k in range(9)], False),  # rises
    ],
)
def test_what_oscillates(curve, expected):
    assert (oscillation(curve, 1.0) is not None) is expected


# ---- stagnation, and ends worse than nothing ----------------------------------------------------


@pytest.mark.parametrize("rule", [SGD(lr=1e-5), AdaGrad(lr=1e-4), SGD(lr=Constant(1e-5))])
@pytest.mark.parametrize("model, y", [(LinearClassifier(), LABELS), (LinearRegressor(), TARGET)])
def test_a_rate_that_is_too_low_stagnates(rule, model, y):
    model.set_params(optimizer=rule, max_iter=10, random_state=0)
    if isinstance(model, LinearRegressor) and isinstance(rule, AdaGrad):
        model.set_params(optimizer=AdaGrad(lr=1e-5))
    (message,) = warned(model, X, y)
    assert "the fit stagnates: by step 1500" in message
    first = model.optimizer.rates(np.array([0]))[0]
    assert f"the rate is too low: try lr={10 * first:.3g} or more" in message


def test_several_outputs_stagnate_together():
    three = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.6]))
    for multi_class in ("softmax", "ovr"):
        clf = LinearClassifier(optimizer=SGD(lr=1e-6), max_iter=5, multi_class=multi_class)
        assert "stagnates" in warned(clf, X, three)[0]
        assert warned(clf.set_params(optimizer="adagrad"), X, three) == []


def test_a_penalty_that_holds_weights_back_is_no_stagnation():
    for keywords in ({"alpha": 30.0}, {"penalty": "l1", "alpha": 1.0}):
        clf = LinearClassifier(max_iter=20, lr=0.5, random_state=0, **keywords)
        assert warned(clf, X, LABELS) == []
        assert clf.loss_curve_[-1] > 0.6


def test_a_fit_that_is_worse_than_none_says_so():
    clf = LinearClassifier(optimizer=Adam(lr=Constant(100.0)), max_iter=5, random_state=0)
    (message,) = warned(clf, X, LABELS)
    assert "ends worse than weights of 0: its mean loss is" in message
    assert "theirs 0.693, by step 1500, at rate 100; try lr=10" in message
    assert issubclass(RateWarning, ConvergenceWarning)


RULES = ["adagrad", "sgd", "rmsprop", "adam", SGD(lr=Constant(0.02)), AdaGrad(lr=Constant(0.5))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule)[:16])
def test_ordinary_training_warns_of_nothing(rule):
    """On data that can be learnt, on data that cannot, and on what can be learnt exactly."""
    noise = np.random.default_rng(3)
    for rows in (X, DENSE, noise.normal(size=(100, 5)), np.eye(40)):
        n = rows.shape[0]
        flips = (noise.random(n) < 0.1) ^ (LABELS[:n] == 1)
        for labels in (flips, noise.integers(0, 2, n)):
            for keywords in ({}, {"max_iter": 25}, {"loss": "hinge", "max_iter": 12}):
                clf = LinearClassifier(optimizer=rule, random_state=0, **keywords)
                assert warned(clf, rows, labels) == []
        for target in (TARGET[:n], noise.normal(size=n)):
            for keywords in ({}, {"max_iter": 25}, {"batch_size": 16, "max_iter": 12}):
                reg = LinearRegressor(optimizer=rule, random_state=0, **keywords)
                assert warned(reg, rows, target) == []


# ---- recovery -----------------------------------------------------------------------------------


def test_recovery_is_a_fit_at_the_lower_rate():
    """From the beginning it is that fit to the bit, where rows have an order."""
    keywords = {"shuffle": False, "max_iter": 4}
    wild = LinearRegressor(optimizer=SGD(lr=1e3), on_divergence="recover", **keywords)
    messages = warned(wild, X, TARGET)
    assert [m.split("; ")[-1] for m in messages] == [
        "on_divergence='recover' goes back to step 0, after 0 epochs, and on at rate "
        + f"{10.0 ** (2 - k):.3g}"
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
@pytest.mark.parametrize("max_iter", [8, 24])  # as the rows are, and staged
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
    messages = warned(reg, spoilt, target)
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
    plain = LinearClassifier(random_state=0).fit(X, LABELS)
    assert not copies
    careful = LinearClassifier(random_state=0, on_divergence="recover").fit(X, LABELS)
    assert len(copies) == 5
    assert equal_bits(plain.coef_, careful.coef_)


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")
@pytest.mark.parametrize("batch_size", [1, 32])
def test_recovery_has_the_same_bits_for_builds_and_threads(monkeypatch, batch_size):
    found = []
    rule = SGD(lr=Constant(0.02).then(Constant(50.0), at=450 // batch_size))
    for build in BUILDS:
        backends.use(monkeypatch, build)
        for n_threads in THREADS:
            reg = LinearRegressor(
                optimizer=rule, on_divergence="recover", random_state=0, max_iter=4,
                n_threads=n_threads, batch_size=batch_size, penalty="l1", average=True,
            ).fit(X, np.stack([TARGET, -TARGET], axis=1))  # fmt: skip
            found.append((reg.coef_, reg.loss_curve_, reg.history_["rate"]))
    assert found[0][2][-1] < 10
    assert all(equal_bits(x, y) for other in found for x, y in zip(other, found[0]))


def test_a_warm_start_recovers_to_where_it_began():
    reg = LinearRegressor(optimizer=SGD(lr=0.05), warm_start=True, random_state=0, max_iter=10)
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
