"""Rates against formulas written once more in Python floats, at every boundary and far beyond."""

import math
import re
from fractions import Fraction

import drawn_schedules
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcore import schedules
from lrcore.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Custom,
    Cyclic,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    MultiStep,
    OneCycle,
    Polynomial,
    Step,
    WarmupStableDecay,
)


def cosine(x):
    return (1 + math.cos(math.pi * x)) / 2


def fall(lr, end, steps, shape):
    """From lr to end in so many steps, where shape is 1 at 0 and 0 at 1."""
    return lambda t: end + (lr - end) * shape(min(1.0, t / steps))


def restarts(lr, steps, multiplier, end=0.0, gamma=1.0):
    def oracle(t):
        k, length = 0, steps
        if multiplier == 1:
            k, t = divmod(t, steps)
        while t >= length:
            t, k = t - length, k + 1
            length = math.floor(steps * Fraction(multiplier) ** k + Fraction(1, 2))
        return end + (lr - end) * gamma**k * cosine(t / length)

    return oracle


def cyclic(low, high, up, down, weight):
    def oracle(t):
        cycle, at = divmod(t, up + down)
        share = at / up if at <= up else 1 - (at - up) / down
        return low + (high - low) * share * weight(cycle, t)

    return oracle


def one_cycle(lr, steps, up, start, end, shape):
    rise, down = fall(start, lr, up, shape), fall(lr, end, steps - up, shape)
    return lambda t: rise(t) if t < up else down(t - up)


def stable(lr, steps, warmup, decay, end, shape):
    down = fall(lr, end, decay, shape)
    return lambda t: lr * (t + 1) / (warmup + 1) if t < warmup else down(max(0, t - steps + decay))


def line(x):
    return 1 - x


#: Schedule, the same in Python floats, and the steps around which something happens.
ORACLES = [
    (Constant(0.3), lambda t: 0.3, []),
    (Constant(0.0), lambda t: 0.0, []),
    (Step(0.3, every=7, gamma=0.5), lambda t: 0.3 * 0.5 ** (t // 7), [7, 14, 700]),
    (Step(0.3, every=10**8, gamma=0.9), lambda t: 0.3 * 0.9 ** (t // 10**8), [10**8, 10**9]),
    (
        MultiStep(0.3, milestones=(4, 9, 10**9), gamma=0.2),
        lambda t: 0.3 * 0.2 ** ((t >= 4) + (t >= 9) + (t >= 10**9)),
        [4, 9, 10**9],
    ),
    (Exponential(0.3, gamma=0.97), lambda t: 0.3 * 0.97**t, [1000]),
    (Exponential(0.3, gamma=1.01), lambda t: 0.3 * math.exp(min(709.0, t * math.log(1.01)))
        if t < 10**4 else None, [1000]),
    (Exponential(0.3, gamma=1 - 1e-9), lambda t: 0.3 * (1 - 1e-9) ** t, [10**6]),
    (Exponential(0.3, gamma=0.5, every=7), lambda t: 0.3 * 0.5 ** (t / 7), [7, 700]),
    (Exponential(0.3, gamma=0.9, every=10**8), lambda t: 0.3 * 0.9 ** (t / 10**8), [10**8]),
    (Exponential(0.3, gamma=0.0, every=7), lambda t: 0.3 * (t == 0), [7]),
    (
        Exponential(0.3, gamma=0.5, every=7, staircase=True),
        lambda t: 0.3 * 0.5 ** math.floor(t / 7),
        [7, 14],
    ),
    (InverseTime(0.3, gamma=0.5), lambda t: 0.3 / (1 + 0.5 * t), []),
    (InverseTime(0.3, gamma=2, every=7), lambda t: 0.3 / (1 + 2 * t / 7), [7]),
    (
        InverseTime(0.3, gamma=2, every=7, staircase=True),
        lambda t: 0.3 / (1 + 2 * (t // 7)),
        [7, 14],
    ),
    (InverseSqrt(0.3), lambda t: 0.3 / math.sqrt(1 + t), []),
    (InverseSqrt(0.3, timescale=50), lambda t: 0.3 / math.sqrt(1 + t / 50), [50]),
    (Polynomial(0.3, steps=20), fall(0.3, 0, 20, line), [20]),
    (Polynomial(0.3, steps=20, power=3), fall(0.3, 0, 20, lambda x: (1 - x) ** 3), [20]),
    (
        Polynomial(0.3, steps=20, power=1.7, end=0.1),
        fall(0.3, 0.1, 20, lambda x: (1 - x) ** 1.7),
        [20],
    ),
    (
        Polynomial(0.3, steps=20, power=100),
        fall(0.3, 0, 20, lambda x: (1 - x) ** 100),
        [20],
    ),
    (Linear(0.3, steps=10**9, end=0.1), fall(0.3, 0.1, 10**9, line), [10**9]),
    (Linear(0.0, steps=20, end=0.1), fall(0.0, 0.1, 20, line), [20]),
    (Cosine(0.3, steps=20, end=0.1), fall(0.3, 0.1, 20, cosine), [20]),
    (Cosine(0.3, steps=10**9), fall(0.3, 0.0, 10**9, cosine), [10**9, 5 * 10**8]),
    (CosineRestarts(0.3, steps=7), restarts(0.3, 7, 1), [7, 14, 700]),
    (
        CosineRestarts(0.3, steps=7, multiplier=2, end=0.1),
        restarts(0.3, 7, 2, 0.1),
        [7 * (2**k - 1) for k in (1, 2, 5, 27)],
    ),
    (
        CosineRestarts(0.3, steps=7, multiplier=3, end=0.01, gamma=0.5),
        restarts(0.3, 7, 3, 0.01, 0.5),
        [7 * (3**k - 1) // 2 for k in (1, 2, 5, 18)],
    ),
    (
        CosineRestarts(0.3, steps=7, multiplier=1.5, gamma=0.9),
        restarts(0.3, 7, 1.5, gamma=0.9),
        [7, 18, 34],
    ),
    (Cyclic(0.1, 0.3, up=5), cyclic(0.1, 0.3, 5, 5, lambda k, t: 1), [5, 10, 100]),
    (
        Cyclic(0.1, 0.3, up=5, down=3, mode="triangular2"),
        cyclic(0.1, 0.3, 5, 3, lambda k, t: 0.5**k),
        [5, 8, 16],
    ),
    (
        Cyclic(0.1, 0.3, up=5, down=3, mode="exp_range", gamma=0.99),
        cyclic(0.1, 0.3, 5, 3, lambda k, t: 0.99**t),
        [5, 8, 16],
    ),
    (
        OneCycle(0.3, steps=20),
        one_cycle(0.3, 20, 6, 0.3 / 25, 0.3 / 25 / 1e4, cosine),
        [6, 20],
    ),
    (
        OneCycle(0.3, steps=20, up=1, start=0.2, end=0.1, shape="linear"),
        one_cycle(0.3, 20, 1, 0.2, 0.1, line),
        [1, 20],
    ),
    (
        WarmupStableDecay(0.3, steps=30, warmup_steps=4, decay_steps=10, end=0.1),
        stable(0.3, 30, 4, 10, 0.1, line),
        [4, 20, 30],
    ),
    (
        WarmupStableDecay(0.3, steps=30, warmup_steps=0, decay_steps=10, shape="cosine"),
        stable(0.3, 30, 0, 10, 0.0, cosine),
        [20, 30],
    ),
    (
        WarmupStableDecay(0.3, steps=30, warmup_steps=20, decay_steps=10, shape="sqrt"),
        stable(0.3, 30, 20, 10, 0.0, lambda x: 1 - math.sqrt(x)),
        [20, 30],
    ),
    (
        Cosine(0.3, steps=20).warmup(5),
        lambda t: 0.3 * (t + 1) / 6 if t < 5 else fall(0.3, 0, 20, cosine)(t - 5),
        [5, 25],
    ),
    (Constant(0.3).then(Constant(0.1), at=6), lambda t: 0.3 if t < 6 else 0.1, [6]),
    (
        Constant(0.3).then(Exponential(0.2, gamma=0.5), at=6).warmup(2),
        lambda t: 0.3 * (t + 1) / 3 if t < 2 else 0.3 if t < 8 else 0.2 * 0.5 ** (t - 8),
        [2, 8],
    ),
    (
        Linear(0.3, steps=20) * Step(0.5, every=6, gamma=0.5),
        lambda t: 0.3 * max(0.0, 1 - t / 20) * 0.5 * 0.5 ** (t // 6),
        [6, 20],
    ),
    (0.25 * Linear(0.3, steps=20), lambda t: 0.25 * 0.3 * max(0.0, 1 - t / 20), [20]),
    (
        Linear(0.3, steps=20).clip(0.1, 0.2),
        lambda t: min(0.2, max(0.1, 0.3 * (1 - t / 20))),
        [7, 13],
    ),
    (Linear(0.3, steps=20).clip(0.1), lambda t: max(0.1, 0.3 * (1 - t / 20)), [13]),
    (Linear(0.3, steps=20).shift(5), lambda t: fall(0.3, 0, 20, line)(max(0, t - 5)), [5, 25]),
    (Linear(0.3, steps=20).shift(-5), lambda t: fall(0.3, 0, 20, line)(t + 5), [15]),
    (Linear(0.3, steps=20).repeat(7), lambda t: 0.3 * (1 - t % 7 / 20), [7, 14, 70]),
    (
        Linear(0.3, steps=20).repeat(7, times=3),
        lambda t: fall(0.3, 0, 20, line)(t % 7 if t < 14 else t - 14),
        [7, 14, 21, 34],
    ),
    (Custom(lambda t: 0.3 / (1 + t)), lambda t: 0.3 / (1 + t), []),
    (Custom(lambda t: 0.3 / (1 + t), vectorized=True), lambda t: 0.3 / (1 + t), []),
]  # fmt: skip
# Without addresses, which differ from process to process.
IDS = [re.sub(" at 0x[0-9a-f]+", "", repr(schedule)) for schedule, _, _ in ORACLES]


def steps_to_see(boundaries):
    near = {b + d for b in boundaries for d in (-1, 0, 1)}
    return sorted({0, 1, 2, 3, 59, 10**9 - 1, 10**9, 10**9 + 1, *range(40), *near})


@pytest.mark.parametrize("schedule, oracle, boundaries", ORACLES, ids=IDS)
def test_rates_follow_the_formula(schedule, oracle, boundaries):
    t = [k for k in steps_to_see(boundaries) if oracle(k) is not None]
    expected = [oracle(k) for k in t]
    rates = schedule(np.array(t))
    assert rates.dtype == np.float64
    np.testing.assert_allclose(rates, expected, rtol=3e-14, atol=1e-16)
    assert [schedule(k) for k in t] == rates.tolist()
    assert all(type(schedule(np.uint64(k))) is float for k in t[:2])


@pytest.mark.parametrize("schedule, oracle, boundaries", ORACLES, ids=IDS)
def test_long_arrays_and_any_shape_have_the_same_rates(schedule, oracle, boundaries):
    t = np.arange(3 * 8192 + 5)
    rates = schedule(t)
    picked = [0, 8191, 8192, 16383, 16384, t[-1]]
    assert rates[picked].tolist() == [schedule(int(k)) for k in picked]
    assert np.array_equal(schedule(t[:60].reshape(6, 10)), rates[:60].reshape(6, 10))
    assert np.array_equal(schedule(t[::-7]), rates[::-7])
    assert np.array_equal(schedule(list(range(9))), rates[:9])
    assert schedule(t[:0]).shape == (0,)


def test_every_schedule_is_tested():
    assert {type(s) for s, _, _ in ORACLES} == {*schedules.SCHEDULES.values(), Custom}


def test_boundaries():
    assert Polynomial(1.0, steps=4, end=0.25)(4) == 0.25
    assert Polynomial(1.0, steps=4, end=0.25)(10**12) == 0.25
    assert Cosine(1.0, steps=4, end=0.25)([0, 4, 5]).tolist() == [1.0, 0.25, 0.25]
    assert Linear(1.0, steps=4, end=0.25)([0, 4, 10**18]).tolist() == [1.0, 0.25, 0.25]
    assert Step(1.0, every=3, gamma=0.5)([2, 3]).tolist() == [1.0, 0.5]
    assert MultiStep(1.0, [3], gamma=0.5)([2, 3]).tolist() == [1.0, 0.5]
    assert Constant(1.0).then(Constant(2.0), at=3)([2, 3]).tolist() == [1.0, 2.0]
    assert Constant(1.0).warmup(3)([2, 3]).tolist() == [0.75, 1.0]
    assert OneCycle(1.0, steps=10, up=4, end=0.0)([4, 10, 11]).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("multiplier", [1, 2, 3, 7, 10])
def test_restarts_are_at_whole_steps_however_far(multiplier):
    schedule = CosineRestarts(1.0, steps=3, multiplier=multiplier)
    start, length = 0, 3
    for _ in range(60):
        if start >= 2**52:
            break
        assert schedule(start) == 1.0
        if length > 1:
            assert schedule(start + length - 1) < schedule(start + 1) or length == 2
        start, length = start + length, length * multiplier
    if multiplier == 1:
        assert schedule(3 * 10**17) == 1.0
        assert schedule(3 * 10**17 - 1) == pytest.approx(0.25)


def test_growth_beyond_float64_stays_finite():
    largest = np.finfo(np.float64).max
    assert Exponential(1.0, gamma=2.0)([1023, 1024, 10**9]).tolist() == [
        2.0**1023,
        largest,
        largest,
    ]
    assert Exponential(0.0, gamma=2.0)(10**9) == 0.0
    assert (Constant(1e300) * Constant(1e300))(0) == largest
    assert (Constant(1e300) * Constant(1e300) * Constant(0.0))(0) == 0.0


@settings(max_examples=300)
@given(
    drawn_schedules.resolved,
    st.lists(st.one_of(st.integers(0, 100), st.integers(0, 2**62)), min_size=1, max_size=20),
)
def test_no_rate_is_negative_or_nan(schedule, steps):
    rates = schedule(np.array([0, 1, 10**9, 2**62, *steps]))
    assert np.isfinite(rates).all()
    assert not np.signbit(rates).any()
    assert isinstance(schedule.span, int)
    assert schedule.span >= 1
    if schedule.settles:
        later = schedule.span + np.array([0, 1, 7, 10**4, 10**9, 1 << 50])
        assert len(set(schedule(later))) == 1


@given(st.integers(1, 10**6), st.integers(0, 2 * 10**6), st.floats(0, 10), st.floats(0, 10))
def test_rates_stay_between_their_ends(steps, t, lr, end):
    low, high = min(lr, end), max(lr, end)
    for schedule in (
        Polynomial(lr, steps, end=end),
        Linear(lr, steps, end=end),
        Cosine(lr, steps, end=end),
        CosineRestarts(lr, steps, 1.5, end=end, gamma=0.5),
        Cyclic(lr, end, steps),
        OneCycle(lr, steps + 1, 1, start=end, end=end),
    ):
        assert low - 1e-15 * high <= schedule(t) <= high * (1 + 1e-15)


# ---- lengths ------------------------------------------------------------------------------------


# ---- arguments ----------------------------------------------------------------------------------
