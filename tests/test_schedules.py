import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcore import schedules
from lrcore.schedules import Constant, Cosine, Exponential, Polynomial, Schedule, Step

#: Every schedule with its formula, written once more in Python floats.
ORACLES = [
    (Constant(0.3), lambda t: 0.3),
    (Constant(0.0), lambda t: 0.0),
    (Step(0.3, every=7, gamma=0.5), lambda t: 0.3 * 0.5 ** (t // 7)),
    (Exponential(0.3, gamma=0.97), lambda t: 0.3 * 0.97**t),
    (Exponential(0.3, gamma=1.01), lambda t: 0.3 * 1.01**t),
    (Polynomial(0.3, steps=20), lambda t: 0.3 * max(0.0, 1 - t / 20)),
    (Polynomial(0.3, steps=20, power=3), lambda t: 0.3 * max(0.0, 1 - t / 20) ** 3),
    (
        Polynomial(0.3, steps=20, power=1.7, end=0.1),
        lambda t: 0.1 + 0.2 * max(0.0, 1 - t / 20) ** 1.7,
    ),
    (
        Cosine(0.3, steps=20, end=0.1),
        lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(1.0, t / 20))) / 2,
    ),
    (
        Cosine(0.3, steps=20).warmup(5),
        lambda t: (
            0.3 * (t + 1) / 6
            if t < 5
            else 0.3 * (1 + math.cos(math.pi * min(1.0, (t - 5) / 20))) / 2
        ),
    ),
    (Constant(0.3).then(Constant(0.1), at=6), lambda t: 0.3 if t < 6 else 0.1),
    (
        Constant(0.3).then(Exponential(0.2, gamma=0.5), at=6).warmup(2),
        lambda t: 0.3 * (t + 1) / 3 if t < 2 else 0.3 if t < 8 else 0.2 * 0.5 ** (t - 8),
    ),
]


@pytest.mark.parametrize(
    "schedule, oracle", ORACLES, ids=[repr(schedule) for schedule, _ in ORACLES]
)
def test_rates_follow_the_formula(schedule, oracle):
    t = np.arange(60)
    expected = [oracle(int(k)) for k in t]
    rates = schedule(t)
    assert rates.dtype == np.float64
    np.testing.assert_allclose(rates, expected, rtol=1e-14, atol=1e-16)
    assert [schedule(int(k)) for k in t] == rates.tolist()
    assert np.array_equal(schedule(t.reshape(6, 10)), rates.reshape(6, 10))


@pytest.mark.parametrize(
    "schedule, oracle", ORACLES, ids=[repr(schedule) for schedule, _ in ORACLES]
)
def test_schedules_survive_repr_pickle_dict_and_hash(schedule, oracle):
    assert eval(repr(schedule), vars(schedules)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedules.from_dict(schedule.to_dict()) == schedule
    assert len({schedule, schedules.from_dict(schedule.to_dict())}) == 1


def test_every_schedule_is_tested():
    assert {type(s) for s, _ in ORACLES} == set(schedules.SCHEDULES.values())


def test_boundaries():
    assert Polynomial(1.0, steps=4, end=0.25)(4) == 0.25
    assert Polynomial(1.0, steps=4, end=0.25)(10**12) == 0.25
    assert Cosine(1.0, steps=4, end=0.25)([0, 4, 5]).tolist() == [1.0, 0.25, 0.25]
    assert Step(1.0, every=3, gamma=0.5)([2, 3]).tolist() == [1.0, 0.5]
    assert Constant(1.0).then(Constant(2.0), at=3)([2, 3]).tolist() == [1.0, 2.0]
    assert Constant(1.0).warmup(3)([2, 3]).tolist() == [0.75, 1.0]


@given(st.integers(1, 10**6), st.integers(0, 2 * 10**6), st.floats(0, 10), st.floats(0, 10))
def test_rates_stay_between_their_ends(steps, t, lr, end):
    low, high = min(lr, end), max(lr, end)
    for schedule in (Polynomial(lr, steps, end=end), Cosine(lr, steps, end=end)):
        assert low - 1e-15 * high <= schedule(t) <= high * (1 + 1e-15)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Constant(-0.1), "lr must be finite and >= 0, got -0.1"),
        (lambda: Constant(math.nan), "lr must be finite"),
        (lambda: Constant(math.inf), "lr must be finite"),
        (lambda: Cosine(0.1, steps=0), "steps must be >= 1, got 0"),
        (lambda: Cosine(0.1, steps=5, end=-1.0), "end must be finite and >= 0"),
        (lambda: Step(0.1, every=-2), "every must be >= 1, got -2"),
        (lambda: Exponential(0.1, gamma=-0.5), "gamma must be finite and >= 0"),
        (lambda: Polynomial(0.1, steps=5, power=0), "power must be > 0"),
        (lambda: Constant(0.1).warmup(0), "steps must be >= 1, got 0"),
        (lambda: Constant(0.1)(-1), "t must be >= 0, got -1"),
        (lambda: schedules.from_dict({"schedule": "Zigzag"}), "schedule must be one of Constant"),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant("0.1"),
        lambda: Cosine(0.1, steps=2.5),
        lambda: Constant(0.1).then(0.2, at=3),
        lambda: Constant(0.1)(0.5),
        lambda: Schedule()(0),
    ],
)
def test_wrong_types_are_refused(make):
    with pytest.raises(TypeError):
        make()
