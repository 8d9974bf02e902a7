import math

import numpy as np
import pytest

import lrcore
from lrcore.schedules import Constant, Cosine, Plateau


def cuts(plateau, metrics):
    """The checks, from 1 on, at which the rate was cut."""
    return [k for k, metric in enumerate(metrics, 1) if plateau.update(metric)]


def test_it_fires_on_the_patience_th_bad_check_and_counts_anew():
    plateau = Plateau(Constant(1.0), factor=0.5, patience=3)
    assert cuts(plateau, [1.0] * 8) == [4, 7]
    assert plateau(0) == 0.25
    assert cuts(Plateau(Constant(1.0), patience=1), [1.0, 2.0, 2.0]) == [2, 3]
    assert cuts(Plateau(Constant(1.0), patience=2), [3, 3, 2, 2, 1, 1, 1]) == [7]


@pytest.mark.parametrize("mode, sign", [("min", 1.0), ("max", -1.0)])
@pytest.mark.parametrize("offset", [5.0, 0.0, -5.0, -100.0])
def test_thresholds_are_right_whatever_the_sign(mode, sign, offset):
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


def test_bad_checks_do_not_count_while_it_cools_down():
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


def test_it_multiplies_any_schedule():
    schedule = Cosine(0.3, steps=20).warmup(3)
    plateau = Plateau(schedule, factor=0.5, patience=1)
    t = np.arange(30)
    assert np.array_equal(plateau(t), schedule(t))
    plateau.update(math.nan)
    assert np.array_equal(plateau(t), 0.5 * schedule(t))
    assert plateau.current == schedule.scale(0.5)
    rule = lrcore.Adam(lr=0.1).with_lr(plateau.current)
    assert rule.rates(np.array([3]))[0] == plateau(3)
    with pytest.raises(TypeError, match="lr cannot be a Plateau"):
        lrcore.Adam(lr=plateau)


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
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        Plateau(**{"schedule": Constant(1.0), **options})


def test_a_metric_is_a_number():
    for metric in ("1", None, True, [1.0]):
        with pytest.raises(TypeError, match="metric must be a number"):
            Plateau(Constant(1.0)).update(metric)
    assert not Plateau(Constant(1.0)).update(np.float32(1.0))
    assert eval(repr(Plateau(Constant(1.0))), vars(lrcore.schedules)).patience == 10
