"""Arguments of schedules: values that are refused, and lengths in epochs and parts of the run."""

import math

import drawn_schedules
import numpy as np
import pytest
from hypothesis import given, settings

from lrcore import schedules
from lrcore.schedules import (
    Clip,
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
    Product,
    Repeat,
    Scale,
    Schedule,
    Shift,
    Step,
    WarmupStableDecay,
)


def test_lengths_are_resolved_by_the_length_of_the_run():
    schedule = Cosine(1.0, steps="90%").warmup("2.5ep").then(Step(0.1, every="1ep"), at="95%")
    known = schedule.resolve(steps_per_epoch=33, total_steps=990)
    assert known == Cosine(1.0, steps=891).warmup(83).then(Step(0.1, every=33), at=941)
    assert known.unresolved == ()
    assert known.resolve() == known
    assert set(schedule.unresolved) == {"steps='90%'", "steps='2.5ep'", "every='1ep'", "at='95%'"}
    assert MultiStep(1.0, ["10%", "20%"]).resolve(total_steps=50).milestones == (5, 10)
    assert Constant(1.0).shift("1ep").resolve(steps_per_epoch=7).by == 7
    assert Cyclic(0.1, 0.2, "1ep").resolve(steps_per_epoch=7).up == 7
    assert Cosine(1.0, " 1 ep ").steps == "1ep"


@pytest.mark.parametrize(
    "length, total, steps",
    [("5%", 1000, 50), ("0.1%", 10, 1), ("50%", 5, 3), ("33.3%", 1000, 333), ("150%", 10, 15)],
)
def test_fractions_are_rounded_to_the_nearest_step(length, total, steps):
    assert Cosine(1.0, length).resolve(total_steps=total).steps == steps


@settings(max_examples=50)
@given(drawn_schedules.unresolved)
def test_resolved_schedules_can_be_called(schedule):
    if schedule.unresolved:
        with pytest.raises(ValueError, match=r"resolve\(steps_per_epoch=..., total_steps=...\)"):
            schedule(0)
    try:
        known = schedule.resolve(steps_per_epoch=100, total_steps=2**53)
    except ValueError as error:
        assert "ascend" in str(error)  # noqa: PT017 -- milestones alone may collide
    else:
        assert known(0) >= 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Cosine(1.0, "10ep").resolve(total_steps=9), "needs steps_per_epoch: call resolve"),
        (lambda: Cosine(1.0, "10%").resolve(steps_per_epoch=9), "needs total_steps: call resolve"),
        (lambda: Cosine(1.0, "10%")(0), "steps='10%' of Cosine is not a number of steps yet"),
        (lambda: Cosine(1.0, "10%").span, "'10%' is not a number of steps yet"),
        (lambda: Cosine(1.0, 9).warmup(101).resolve(total_steps=100), "longer than the run of 100"),
        (lambda: OneCycle(1.0, 300, 101).resolve(total_steps=100), "warmup of 101 steps, longer"),
        (lambda: WarmupStableDecay(1.0, 300, 101, 9).resolve(total_steps=100), "warmup of 101"),
        (lambda: WarmupStableDecay(1.0, "100%", "60%", "50%").resolve(total_steps=100), "<= steps"),
        (lambda: MultiStep(1.0, ["10%", "11%"]).resolve(total_steps=10), "must ascend"),
        (lambda: Cosine(1.0, 9).resolve(total_steps=0), "total_steps must be >= 1, got 0"),
    ],
)
def test_runs_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        make()
    assert Cosine(1.0, 9).warmup(100).resolve(total_steps=100)(99) < 1.0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Constant(-0.1), "lr must be finite and >= 0, got -0.1"),
        (lambda: Constant(math.nan), "lr must be finite"),
        (lambda: Constant(math.inf), "lr must be finite"),
        (lambda: Cosine(0.1, steps=0), "steps must be >= 1, got 0"),
        (lambda: Cosine(0.1, steps=2**53 + 1), "steps must be <= 2[*][*]53"),
        (lambda: Cosine(0.1, steps=5, end=-1.0), "end must be finite and >= 0"),
        (lambda: Cosine(0.1, steps="5"), "steps must be a number of steps, or text such as '10ep'"),
        (lambda: Cosine(0.1, steps="-5%"), "steps must be a number of steps, or text"),
        (lambda: Cosine(0.1, steps="0%"), "steps must be above 0, got '0%'"),
        (lambda: Step(0.1, every=-2), "every must be >= 1, got -2"),
        (lambda: MultiStep(0.1, []), "milestones must have at least one step"),
        (lambda: MultiStep(0.1, [5, 5]), "milestones must ascend, got .5, 5."),
        (lambda: MultiStep(0.1, [5, 0]), r"milestones\[1\] must be >= 1, got 0"),
        (lambda: Exponential(0.1, gamma=-0.5), "gamma must be finite and >= 0"),
        (lambda: InverseTime(0.1, gamma=0.1, every=0), "every must be >= 1"),
        (lambda: InverseSqrt(0.1, timescale=0), "timescale must be >= 1"),
        (lambda: Polynomial(0.1, steps=5, power=0), "power must be > 0"),
        (lambda: Linear(0.1, steps=-5), "steps must be >= 1, got -5"),
        (lambda: CosineRestarts(0.1, 5, multiplier=0.5), "multiplier must be 1 or 1.001 to 1000"),
        (lambda: CosineRestarts(0.1, 5, multiplier=1e9), "multiplier must be 1 or 1.001 to 1000"),
        (lambda: CosineRestarts(0.1, 5, gamma=1.5), r"gamma must be in \[0, 1\], got 1.5"),
        (lambda: Cyclic(0.1, 0.2, 0), "up must be >= 1"),
        (lambda: Cyclic(0.1, 0.2, 5, mode="square"), "mode must be one of triangular, tri"),
        (lambda: Cyclic(0.1, 0.2, 5, gamma=0.9), "gamma=0.9 needs mode='exp_range'"),
        (lambda: OneCycle(0.1, 5, up=5), "up must be < steps = 5, got 5"),
        (lambda: OneCycle(0.1, 5, up=5.5), "up must be < steps = 5, got 5.5"),
        (lambda: OneCycle(0.1, 5, up=0.0), "up must be > 0 and <= 2[*][*]53 steps, got 0.0"),
        (lambda: Cyclic(0.1, 0.2, 5, down=math.nan), "down must be > 0 .* got nan"),
        (lambda: OneCycle(0.1, 1), "steps must be >= 2"),
        (lambda: OneCycle(0.1, 5, shape="sine"), "shape must be one of cosine, linear"),
        (lambda: WarmupStableDecay(0.1, 10, 8, 3), "must be <= steps = 10, got 8 [+] 3"),
        (lambda: WarmupStableDecay(0.1, 10, 10, 1), "warmup_steps must be < steps = 10"),
        (lambda: WarmupStableDecay(0.1, 10, 1, 0), "decay_steps must be >= 1"),
        (lambda: Constant(0.1).warmup(0), "steps must be >= 1, got 0"),
        (lambda: Constant(0.1).then(Constant(0.2), at=0), "at must be >= 1, got 0"),
        (lambda: Constant(0.1).scale(-1.0), "factor must be finite and >= 0"),
        (lambda: Constant(0.1) * math.nan, "factor must be finite"),
        (lambda: Constant(0.1).clip(0.2, 0.1), "high must be >= low = 0.2, got 0.1"),
        (lambda: Constant(0.1).repeat(0), "every must be >= 1"),
        (lambda: Constant(0.1).repeat(5, times=0), "times must be >= 1"),
        (lambda: Constant(0.1)(-1), "t must be >= 0, got -1"),
        (lambda: Constant(0.1)(2**62 + 1), "t must be <= 2[*][*]62"),
        (lambda: Constant(0.1)(np.array([2**63], np.uint64)), "t must be <= 2[*][*]62"),
        (lambda: Custom(lambda t: -0.1)(7), "<lambda> must give rates .* got -0.1 at step 7"),
        (lambda: Custom(lambda t: math.nan)(7), "finite and >= 0, got nan at step 7"),
        (lambda: Custom(lambda t: 0.1, vectorized=True)([7]), r"array of shape \(1,\)"),
    ],
)  # fmt: skip
def test_values_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Constant("0.1"), "lr must be a number, got '0.1'"),
        (lambda: Constant(True), "lr must be a number"),
        (lambda: Constant(None), "lr must be a number"),
        (lambda: Cosine(0.1, steps=2.5), "steps must be an integer number of steps, or text"),
        (lambda: Cosine(0.1, steps=None), "steps must be an integer"),
        (lambda: MultiStep(0.1, 5), "milestones must be a list of steps"),
        (lambda: MultiStep(0.1, "5%"), "milestones must be a list of steps"),
        (lambda: Exponential(0.1, 0.9, staircase=1), "staircase must be True or False, got 1"),
        (lambda: Constant(0.1).then(0.2, at=3), "after must be a schedule such as"),
        (lambda: Constant(0.1) * {}, "unsupported operand"),
        (lambda: Scale(0.1, 2.0), "inner must be a schedule"),
        (lambda: Product(Constant(0.1), 0.1), "second must be a schedule"),
        (lambda: Custom(0.1), "function must be a function of the step"),
        (lambda: Constant(0.1)(0.5), "t must be an integer or an array of integers"),
        (lambda: Constant(0.1)(True), "t must be an integer"),
        (lambda: Schedule()(0), "Schedule defines no rates"),
        (lambda: schedules.as_schedule("0.1"), "lr must be a number"),
        (lambda: schedules.as_schedule(schedules.Plateau(Constant(1.0))), "cannot be a Plateau"),
    ],
)
def test_wrong_types_are_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    "schedule",
    [OneCycle(0.1, 20, up=np.float64(2.5)), Cyclic(0.1, 0.2, 2.5, 4.25), Cyclic(0.1, 0.2, 2.0)],
)
def test_peaks_between_steps_are_plain_numbers_that_can_be_saved(schedule):
    assert schedules.from_json(schedule.to_json()) == schedule
    assert eval(repr(schedule)) == schedule
    assert isinstance(schedule.span, int)
    assert isinstance(schedule.up, int if schedule.up == 2 else float)


def test_numpy_numbers_become_plain_ones():
    schedule = Clip(Repeat(Shift(Cosine(np.float32(0.5), np.int64(9)), np.int8(1)), np.int16(5)))
    assert repr(schedule.inner.inner) == "Shift(inner=Cosine(lr=0.5, steps=9, end=0.0), by=1)"
    assert repr(Constant(-0.0)) == "Constant(lr=0.0)"
