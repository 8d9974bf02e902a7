"""Schedules as plain values, JSON, pickles, reprs and spec strings, and back."""

import json
import pickle

import drawn_schedules
import pytest
from hypothesis import given, settings

from lrcore import schedules
from lrcore.schedules import Constant, Cosine, MultiStep, Product, SpecError, Step, parse

settings.register_profile("text", max_examples=150)


@settings(settings.get_profile("text"))
@given(drawn_schedules.unresolved)
def test_round_trips(schedule):
    assert schedules.from_dict(schedule.to_dict()) == schedule
    assert schedules.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule
    assert schedules.from_json(schedule.to_json()) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert eval(repr(schedule), vars(schedules)) == schedule
    assert parse(schedule.spec()) == schedule
    again = schedules.from_json(schedule.to_json())
    assert hash(again) == hash(schedule)
    assert repr(again) == repr(schedule)


def test_schedules_with_different_arguments_are_not_equal():
    assert Cosine(0.1, 9) != Cosine(0.1, 10)
    assert Cosine(0.1, 9) != schedules.Linear(0.1, 9)
    assert Cosine(0.1, 9).warmup(2) != Cosine(0.1, 9).shift(2)
    assert Cosine(0.1, "10%") != Cosine(0.1, "10ep")


# ---- spec strings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, schedule",
    [
        ("constant(1)", Constant(1.0)),
        ("cosine(1e-3, steps=1000).warmup(100)", Cosine(1e-3, steps=1000).warmup(100)),
        ("  Cosine ( .5 , 10ep , end = 1. ) ", Cosine(0.5, "10ep", 1.0)),
        ("multi_step(1, [5, '10ep', 50%])", MultiStep(1.0, (5, "10ep", "50%"))),
        ("MULTISTEP(1, milestones=[5])", MultiStep(1.0, (5,))),
        ("exponential(1, 0.5, staircase=TRUE)", schedules.Exponential(1.0, 0.5, staircase=True)),
        ("cyclic(1, 2, 5, none, triangular2)", schedules.Cyclic(1.0, 2.0, 5, mode="triangular2")),
        ('cyclic(1, 2, 5, mode="exp_range")', schedules.Cyclic(1.0, 2.0, 5, mode="exp_range")),
        ("constant(1).then(constant(2), at=5)", Constant(1.0).then(Constant(2.0), at=5)),
        ("constant(1).then((constant(2)).scale(3), 5)", Constant(1).then(Constant(2).scale(3), 5)),
        ("constant(1).shift(-5).clip(high=2)", Constant(1.0).shift(-5).clip(high=2.0)),
        (
            "constant(1) * step(2, 3) * constant(4)",
            Product(Product(Constant(1.0), Step(2.0, 3)), Constant(4.0)),
        ),
        (
            "constant(1) * (step(2, 3) * constant(4))",
            Product(Constant(1.0), Product(Step(2.0, 3), Constant(4.0))),
        ),
        (
            "(constant(1) * constant(2)).repeat(9, times=2)",
            Product(Constant(1.0), Constant(2.0)).repeat(9, times=2),
        ),
        (
            "constant(1) * constant(2).repeat(9, 2)",
            Product(Constant(1.0), Constant(2.0).repeat(9, times=2)),
        ),
    ],
)
def test_specs_are_read(text, schedule):
    assert parse(text) == schedule


@pytest.mark.parametrize(
    "text, column, message",
    [
        ("", 1, "at the end: expected a schedule: constant, step"),
        ("cosine", 7, "at the end: expected '('"),
        ("cosine(1e-3, steps=1000", 24, "at the end: expected ','"),
        ("cosine(1e-3 steps=1000)", 13, "at 'steps=1000)': expected ','"),
        (
            "cosine(1e-3, step=1000)",
            14,
            "at 'step=1000)': cosine has no argument 'step'; it has lr, steps",
        ),
        ("cosine(1e-3)", 1, "at 'cosine(1e-3)': cosine needs steps="),
        ("cosine(1e-3, 9, lr=2)", 17, "at 'lr=2)': cosine has two values for lr"),
        ("cosine(steps=9, 1e-3)", 17, "at '1e-3)': values without a name come first"),
        ("cosine(1, 2, 3, 4)", 17, "at '4)': cosine has 3 argument"),
        ("cosine(1, 0)", 1, "at 'cosine(1, 0)': steps must be >= 1, got 0"),
        ("constant(1).cosine(1, 5)", 13, "at 'cosine(1, 5)': expected a method: warmup"),
        ("warmup(constant(1), 5)", 1, "expected a schedule"),
        ("product(constant(1), constant(2))", 1, "expected a schedule"),
        ("constant(1).warmup(-5)", 13, "at 'warmup(-5)': steps must be >= 1, got -5"),
        ("constant(1) constant(2)", 13, "at 'constant(2)': expected '.', '*' or the end"),
        ("constant(1) *", 14, "at the end: expected a schedule"),
        ("constant(1) + 2", 13, "at '+ 2': expected a name, a number"),
        ("constant(nan)", 1, "lr must be a number, got 'nan'"),
        ("constant(1e999)", 1, "lr must be finite and >= 0, got inf"),
        ("constant(1e9999)", 10, "at '1e9999)': expected a name"),
        ("constant(" + "9" * 40 + ")", 10, "expected a name"),
        ("constant(1).then(2, at=5)", 13, "after must be a schedule"),
        ("constant(1ep)", 1, "lr must be a number, got '1ep'"),
        ("multi_step(1, [5, 3])", 1, "milestones must ascend"),
        ("multi_step(1, [5", 17, "at the end: expected ','"),
        ("constant(=1)", 10, "at '=1)': expected a value"),
        ("custom(x)", 1, "at 'custom(x)': expected a schedule"),
        ("__import__('os').system('true')", 1, "expected a schedule"),
        ("constant(__import__('os'))", 10, "expected a schedule"),
        ("constant(1).__class__()", 13, "at '__class__()': expected a method"),
        ("constant(1).to_dict()", 13, "expected a method"),
        ("constant(lambda: 1)", 16, "at ': 1)': expected a name"),
        ("constant(open('x').read())", 10, "expected a schedule"),
        ("constant(1); constant(2)", 12, "at '; constant"),
        ("cönstant(1)", 2, "expected a name"),
        ("constant('\\x41')", 10, "expected a name"),
        ("(" * 5000, 102, "at most 100 parts"),
        ("multi_step(1, " + "[" * 5000, 115, "at most 100 parts"),
        ("constant(1)" + ".scale(1)" * 500, 909, "at most 100 parts"),
        (" * ".join(["constant(1)"] * 500), 1409, "at most 100 parts"),
        ("x" * 20_000, 10001, "at most 10000 characters"),
    ],
)
def test_malformed_and_malicious_specs_are_refused_at_their_place(text, column, message):
    with pytest.raises(SpecError) as refused:
        parse(text)
    assert str(refused.value).startswith(f"column {column}, at ")
    assert message in str(refused.value)


def test_a_spec_is_text():
    with pytest.raises(TypeError, match="a spec must be text such as"):
        parse(5)
