import json
import math
from functools import partial

import numpy as np
import pytest
from interruptions import interrupt, places
from sklearn.base import clone
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor, schedules
from lrcore.schedules import Constant, Cosine, Plateau, from_dict


def cuts(plateau, metrics):
    """The checks, from 1 on, at which the rate was cut."""
    return [k for k, metric in enumerate(metrics, 1) if plateau.update(metric)]


def test_the_rate_is_cut_after_patience_bad_checks():
    plateau = Plateau(Constant(1.0), factor=0.5, patience=3)
    assert cuts(plateau, [1.0] * 8) == [4, 7]
    assert plateau(0) == 0.25
    assert cuts(Plateau(Constant(1.0), patience=1), [1.0, 2.0, 2.0]) == [2, 3]
    assert cuts(Plateau(Constant(1.0), patience=2), [3, 3, 2, 2, 1, 1, 1]) == [7]


@pytest.mark.parametrize("mode, sign", [("min", 1.0), ("max", -1.0)])
@pytest.mark.parametrize("offset", [5.0, 0.0, -5.0, -100.0])
def test_thresholds_for_both_signs(mode, sign, offset):
    plateau = Plateau(Constant(1.0), mode=mode, patience=2, rtol=0.1, atol=0.5)
    best = offset
    least = 0.5 + 0.1 * abs(best)
    assert not plateau.update(sign * best)
    assert not plateau.update(sign * (best - 0.99 * least))  # better, but not by enough
    assert plateau.bad == 1
    assert plateau.best == sign * best
    assert not plateau.update(sign * (best - 1.01 * least))
    assert plateau.bad == 0
    assert plateau.best == sign * (best - 1.01 * least)
    assert not plateau.update(sign * (best + 1.0))
    assert plateau.update(sign * (best + 1.0))


def test_worse_metrics_below_zero_are_bad():
    metrics = [-10.0, -9.9995, -9.999, -9.9985]
    assert cuts(Plateau(Constant(1.0), patience=3), metrics) == [4]


def test_nan_and_infinity_are_bad():
    plateau = Plateau(Constant(1.0), patience=2)
    assert cuts(plateau, [math.nan, math.nan, 1.0, math.nan, -math.inf]) == [2, 5]
    assert plateau.best == 1.0
    assert cuts(Plateau(Constant(1.0), patience=2), [math.nan, 5.0, math.inf]) == []


def test_checks_during_the_cooldown_do_not_count():
    plateau = Plateau(Constant(1.0), patience=2, cooldown=3)
    assert cuts(plateau, [1.0] * 13) == [3, 8, 13]
    plateau = Plateau(Constant(1.0), patience=1, cooldown=2)
    assert cuts(plateau, [1.0, 1.0, 0.5, 0.5, 0.5]) == [2, 5]
    assert plateau.best == 0.5


def test_the_multiplier_stops_at_the_floor():
    plateau = Plateau(Constant(2.0), factor=0.5, patience=1, floor=0.2)
    assert cuts(plateau, [1.0] * 9) == [2, 3, 4]  # the fourth changes nothing
    assert plateau.scale == 0.2
    assert plateau(7) == 0.4
    plateau = Plateau(Constant(2.0), factor=0.0, patience=1)
    plateau.update(math.nan)
    assert plateau(0) == 0.0


def test_the_rate_is_the_schedule_times_the_multiplier():
    schedule = Cosine(0.3, steps=20).warmup(3)
    plateau = Plateau(schedule, factor=0.5, patience=1)
    t = np.arange(30)
    assert np.array_equal(plateau(t), schedule(t))
    plateau.update(math.nan)
    assert np.array_equal(plateau(t), 0.5 * schedule(t))
    assert plateau.current == schedule.scale(0.5)
    rule = lrcore.Adam(lr=0.1).with_lr(plateau.current)
    assert rule.rates(np.array([3]))[0] == plateau(3)
    with pytest.raises(TypeError, match="lr cannot be a Plateau here"):
        lrcore.Adam(lr=plateau).rates(np.array([3]))


def test_the_state_round_trips():
    rng = np.random.default_rng(0)
    metrics = np.cumsum(rng.normal(-0.02, 0.3, 200))
    metrics[rng.integers(0, 200, 20)] = math.nan
    options = {"factor": 0.7, "patience": 3, "cooldown": 4, "floor": 0.01, "rtol": 0.0}
    whole, first = (Plateau(Constant(1.0), **options) for _ in range(2))
    expected = cuts(whole, metrics)
    done = cuts(first, metrics[:77])
    again = Plateau(Constant(1.0), **options)
    again.load_state_dict(first.state_dict())
    assert again.state_dict() == first.state_dict()
    assert done + [77 + k for k in cuts(again, metrics[77:])] == expected
    assert len(expected) > 5
    assert again(0) == whole(0)
    again.reset()
    assert again.state_dict() == Plateau(Constant(1.0), **options).state_dict()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"scale": -1.0}, "state..scale.. must be finite and >= 0, got -1.0"),
        ({"scale": 0.05}, "state..scale.. must be from floor = 0.1 to 1, got 0.05"),
        ({"best": math.nan}, "state..best.. must be a number, got nan"),
        ({"best": "1"}, "state..best.. must be a number, got '1'"),
        ({"best": 10**400}, "state..best.. must be a number, got 1000"),
        ({"bad": -1}, "state..bad.. must be >= 0, got -1"),
        ({"more": 1}, "state must be a dict of scale, best"),
    ],
)
def test_states_that_do_not_fit_change_nothing(change, message):
    plateau = Plateau(Constant(1.0), floor=0.1)
    plateau.update(3.0)
    before = plateau.state_dict()
    with pytest.raises(ValueError, match=message):
        plateau.load_state_dict({**before, "scale": 0.5, **change})
    assert plateau.state_dict() == before


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"factor": 1.0}, ValueError, r"factor must be in \[0, 1\), got 1.0"),
        ({"factor": -0.1}, ValueError, "factor must be finite and >= 0"),
        ({"patience": 0}, ValueError, "patience must be >= 1, got 0"),
        ({"patience": 1.5}, TypeError, "patience must be an integer"),
        ({"mode": "least"}, ValueError, "mode must be 'min' or 'max', got 'least'"),
        ({"rtol": -1.0}, ValueError, "rtol must be finite and >= 0"),
        ({"atol": math.nan}, ValueError, "atol must be finite and >= 0"),
        ({"cooldown": -1}, ValueError, "cooldown must be >= 0, got -1"),
        ({"floor": 2.0}, ValueError, r"floor must be in \[0, 1\], got 2.0"),
        ({"schedule": 0.1}, TypeError, "schedule must be a schedule such as"),
    ],
)
def test_options_that_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        Plateau(**{"schedule": Constant(1.0), **options})


def test_a_metric_is_a_number():
    for metric in ("1", None, True, [1.0]):
        with pytest.raises(TypeError, match="metric must be a number"):
            Plateau(Constant(1.0)).update(metric)
    assert not Plateau(Constant(1.0)).update(np.float32(1.0))
    assert eval(repr(Plateau(Constant(1.0))), vars(lrcore.schedules)).patience == 10


# ---- in fits ------------------------------------------------------------------------------------

X, DENSE, LABELS, TARGET = sparse_problem()
OPTIONS = {"factor": 0.1, "patience": 2, "rtol": 0.0}


def noisy(**options):
    """A rule whose noise keeps the objective from falling until the rate is cut."""
    return lrcore.SGD(lr=Plateau(Constant(0.1), **{**OPTIONS, **options}))


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("max_iter", [15, 30])  # as the rows are, and staged
def test_a_fit_updates_a_copy(held_out, max_iter):
    reg = LinearRegressor(optimizer=noisy(), max_iter=max_iter, random_state=0)
    eval_set = (X[:100], TARGET[:100]) if held_out else None
    reg.set_params(n_iter_no_change=max_iter).fit(X, TARGET, eval_set=eval_set)
    measured = reg.history_["held_out_loss" if held_out else "objective"]
    assert equal_bits(measured, reg.stopping_curve_)
    assert len(measured) == reg.n_iter_ == max_iter
    again = Plateau(Constant(0.1), **OPTIONS)
    rates = []
    for value in measured:
        rates.append(again(0))
        again.update(value)
    assert reg.history_["rate"].tolist() == rates
    assert len(set(rates)) == (2 if max_iter == 15 else 3) or held_out
    assert reg.plateau_.state_dict() == again.state_dict()
    assert reg.optimizer.lr.state_dict() == Plateau(Constant(0.1)).state_dict()
    fixed = LinearRegressor(optimizer=lrcore.SGD(lr=Constant(0.1)), max_iter=max_iter)
    fixed.set_params(random_state=0, tol=0.0, n_iter_no_change=99).fit(X, TARGET)
    assert reg.history_["loss"][-1] < 0.8 * fixed.history_["loss"][-1]
    assert fixed.plateau_ is None


def test_it_multiplies_lengths_in_epochs_and_fractions():
    rule = lrcore.SGD(lr=Plateau(Cosine(0.1, steps="90%").warmup("1ep"), **OPTIONS))
    reg = LinearRegressor(optimizer=rule, max_iter=10, random_state=0).fit(X, TARGET)
    schedule = Cosine(0.1, steps=2700).warmup(300)
    assert reg.plateau_.schedule == schedule
    assert reg.history_["rate"][0] == schedule(299)
    assert len(rule.lr.unresolved) == 2  # the rule is as it was given


def test_early_stopping_with_a_plateau():
    reg = LinearRegressor(optimizer=noisy(), max_iter=200, tol=1e-4, random_state=0)
    reg.fit(X, TARGET)
    assert 8 < reg.n_iter_ < 200
    assert reg.plateau_.scale < 1


def test_a_warm_start_continues_its_state():
    """A warm start with the plateau of the last fit has its multiplier and its best."""
    first = LinearRegressor(optimizer=noisy(), max_iter=15, random_state=0, warm_start=True)
    first.fit(X, TARGET)
    scale = first.plateau_.scale
    first.set_params(optimizer=lrcore.SGD(lr=first.plateau_), max_iter=2).fit(X, TARGET)
    assert first.history_["rate"][0] == pytest.approx(0.1 * scale, rel=1e-12)
    assert first.plateau_.checks == 17
    anew = clone(first).set_params(optimizer=noisy(), max_iter=2).fit(X, TARGET)
    assert anew.history_["rate"][0] == 0.1


def test_it_is_saved_in_files_and_plain_values(tmp_path):
    clf = LinearClassifier(optimizer=noisy(), max_iter=9, random_state=0).fit(X, LABELS)
    lrcore.save(clf, tmp_path / "model")
    again = lrcore.load(tmp_path / "model")
    assert again.plateau_.state_dict() == clf.plateau_.state_dict()
    assert repr(again.plateau_) == repr(clf.plateau_)
    assert repr(again.optimizer) == repr(clf.optimizer)
    assert equal_bits(again.fit(X, LABELS).coef_, clf.coef_)
    plain = clf.plateau_.to_dict()
    assert schedules.from_dict(plain).to_dict() == plain
    with pytest.raises(ValueError, match=r"a Plateau must have .*; more differ"):
        schedules.from_dict({**plain, "more": 1})
    with pytest.raises(TypeError, match="multiplies a schedule, not a Plateau"):
        schedules.from_dict({**plain, "of": plain})


def test_a_recovered_fit_restores_its_state():
    lr = Plateau(Constant(0.02).then(Constant(0.5), at=900), patience=5)
    reg = LinearRegressor(optimizer=lrcore.SGD(lr=lr), max_iter=8, on_divergence="recover")
    with pytest.warns(UserWarning, match="goes back to step 900"):
        reg.set_params(random_state=0).fit(X, TARGET)
    assert reg.plateau_.checks == 8


@pytest.mark.parametrize("n_threads", [1, 3])
def test_bits_do_not_depend_on_threads(n_threads):
    one = LinearRegressor(optimizer=noisy(), max_iter=12, random_state=0, n_threads=2)
    other = clone(one).set_params(n_threads=n_threads)
    assert equal_bits(one.fit(X, TARGET).coef_, other.fit(X, TARGET).coef_)


# ---- where nobody feeds it ----------------------------------------------------------------------


def test_where_there_is_no_metric_it_is_refused():
    rule = noisy()
    with pytest.raises(ValueError, match="partial_fit measures nothing to feed it: give its `cur"):
        LinearRegressor(optimizer=rule).partial_fit(X, TARGET)
    with pytest.raises(TypeError, match="the lr of params is a Plateau, and an Optimizer has no"):
        lrcore.Optimizer(np.ones(3), rule)
    opt = lrcore.Optimizer(np.ones(3), lrcore.SGD(0.1))
    with pytest.raises(TypeError, match="the lr of params is a Plateau"):
        opt.rule = rule
    with pytest.raises(ValueError, match="the Plateau of SGD must have mode='min', got 'max'"):
        LinearRegressor(optimizer=noisy(mode="max")).fit(X, TARGET)


def test_an_optimizer_takes_another_rate():
    """And has the bits of one that had it from there on, whatever was worked out beforehand."""
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(60, 50))
    expected = {"w": np.ones(50), "b": np.ones(50)}
    w = {"w": np.ones(50), "b": np.ones(50)}
    plateau = Plateau(Constant(0.1), factor=0.5, patience=1)
    overrides = {"b": {"lr": 0.3}}
    opt = lrcore.Optimizer(w, lrcore.Adam(lr=plateau.current), overrides=overrides)
    steps = schedules.MultiStep(0.1, milestones=(20, 40), gamma=0.5)
    whole = lrcore.Optimizer(expected, lrcore.Adam(lr=steps), overrides=overrides)
    for t, g in enumerate(grads):
        if t in (20, 40):
            plateau.update(math.nan)
            opt.rule = opt.rule.with_lr(plateau.current)
        opt.step({"w": g, "b": -g})
        whole.step({"w": g, "b": -g})
    assert plateau.scale == 0.25
    assert equal_bits(w["w"], expected["w"])
    assert equal_bits(w["b"], expected["b"])
    assert opt.rule.lr == plateau.current
    again = lrcore.Optimizer(
        {"w": np.ones(50), "b": np.ones(50)}, lrcore.Adam(), overrides=overrides
    )
    again.load_state_dict(opt.state_dict())
    assert again.rule == opt.rule


def test_an_optimizer_refuses_another_formula():
    w = np.ones(3)
    opt = lrcore.Optimizer(w, lrcore.SGD(0.1))
    for rule, error, message in (
        (lrcore.Adam(0.1), ValueError, "rule must have the formula of the one at hand, SGD for"),
        (lrcore.SGD(0.1, momentum=0.9), ValueError, "make a new Optimizer"),
        (0.1, TypeError, "rule must be a rule such as"),
        (lrcore.SGD(Cosine(0.1, "9ep")), ValueError, "an Optimizer knows neither epochs"),
    ):
        with pytest.raises(error, match=message):
            opt.rule = rule
    opt.step(np.ones(3))
    assert w.tolist() == [0.9] * 3
    assert opt.rule == lrcore.SGD(0.1)


def test_an_update_is_whole():
    """Wherever it is interrupted: here at the check that cuts the rate."""

    def at_the_cut():
        plateau = Plateau(Constant(0.5), patience=2, cooldown=3)
        for metric in (1.0, 1.0):
            plateau.update(metric)
        return plateau

    plateau = at_the_cut()
    before = plateau.state_dict()
    saved = {**before, "scale": 0.5, "checks": 7}
    acts = (lambda each: each.update(1.0), lambda each: each.load_state_dict(saved))
    for act in acts:
        plateau = at_the_cut()
        act(plateau)
        after = plateau.state_dict()
        assert after["scale"] < before["scale"]
        for at in places(partial(act, at_the_cut()), 100):
            plateau = at_the_cut()
            interrupt(partial(act, plateau), at)
            assert plateau.state_dict() in (before, after)


def without_constants(text):
    """JSON as other languages read it, which know no infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_is_strict_json_before_and_after_its_first_metric(mode):
    plateau = Plateau(Constant(1.0), patience=1, mode=mode)
    for metric in (math.nan, 3.0, 2.0):
        plain = without_constants(json.dumps(plateau.to_dict()))
        again = from_dict(plain)
        assert vars(again) == vars(plateau)
        assert vars(from_dict({**plain, "state": vars_of(plateau)})) == vars(plateau)
        plateau.update(metric)


def vars_of(plateau):
    """The state as files of before have it, with an infinite best metric."""
    return {**plateau.state_dict(), "best": plateau.best}
