"""Schedules from plain values, and from the lr of a rule."""

import math
import pickle

import pytest

from lrcore import schedules
from lrcore.schedules import (
    Constant,
    Cosine,
    Custom,
    Step,
)


@pytest.mark.parametrize(
    "plain, schedule",
    [
        ({"schedule": "Constant", "lr": 0.1}, Constant(0.1)),
        ({"schedule": "Step", "lr": 1, "every": 3, "gamma": 0.5}, Step(1.0, 3, 0.5)),
        ({"schedule": "Exponential", "lr": 0.1, "gamma": 0.9}, schedules.Exponential(0.1, 0.9)),
        (
            {"schedule": "Polynomial", "lr": 0.1, "steps": 9, "power": 1.0, "end": 0.0},
            schedules.Polynomial(0.1, 9),
        ),
        (
            {
                "schedule": "Warmup",
                "after": {"schedule": "Cosine", "lr": 0.1, "steps": 9, "end": 0.0},
                "steps": 3,
            },
            Cosine(0.1, 9).warmup(3),
        ),
        (
            {
                "schedule": "Then",
                "before": {"schedule": "Constant", "lr": 0.1},
                "after": {"schedule": "Constant", "lr": 0.2},
                "at": 3,
            },
            Constant(0.1).then(Constant(0.2), at=3),
        ),
    ],
)
def test_files_without_a_version_are_read(plain, schedule):
    assert schedules.from_dict(plain) == schedule
    assert schedule.to_dict()["version"] == 1


@pytest.mark.parametrize(
    "plain, message",
    [
        ({"schedule": "Zigzag"}, "schedule must be one of Constant"),
        ({"schedule": "Custom", "function": "os.system"}, "schedule must be one of Constant"),
        ({"lr": 0.1}, "schedule must be one of Constant"),
        ({"schedule": "Constant", "lr": 0.1, "version": 2}, "version 2, but this lrcore reads 1"),
        ({"schedule": "Constant", "rate": 0.1}, "Constant has no 'rate'; it has lr"),
        ({"schedule": "Constant", "lr": -1.0}, "lr must be finite and >= 0"),
        ({"schedule": "MultiStep", "lr": 1.0, "milestones": [5, 3]}, "must ascend"),
    ],
)
def test_plain_values_that_are_wrong_are_refused(plain, message):
    with pytest.raises(ValueError, match=message):
        schedules.from_dict(plain)


def test_a_function_cannot_be_saved():
    schedule = Custom(math.sqrt).warmup(5)
    for save in (schedule.to_dict, schedule.to_json):
        with pytest.raises(TypeError, match="function sqrt cannot be saved: a file would hold its"):
            save()
    with pytest.raises(TypeError, match="function sqrt has no spec string"):
        schedule.spec()
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert hash(schedule) == hash(Custom(math.sqrt).warmup(5))
    with pytest.raises(TypeError, match="must be a dict of plain values, got 'x'"):
        schedules.from_dict("x")


def test_the_lr_of_a_rule_as_a_schedule():
    cosine = Cosine(0.1, 9)
    assert schedules.as_schedule(cosine) is cosine
    assert schedules.as_schedule(0.1) == Constant(0.1)
    assert schedules.as_schedule(math.sqrt)([0, 4]).tolist() == [0.0, 2.0]
    with pytest.raises(TypeError, match="lr cannot be a Plateau here"):
        schedules.as_schedule(schedules.Plateau(cosine))
    with pytest.raises(TypeError, match="lr must be a number, got 'fast'"):
        schedules.as_schedule("fast")
