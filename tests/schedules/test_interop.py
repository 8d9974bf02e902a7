"""Rates recorded from torch, optax, Keras and transformers (golden/record_schedules.py)."""

import dataclasses
import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest

from lrcore.schedules import Plateau, Schedule, interop

GOLDEN = Path(__file__).parents[1] / "golden"
LIBRARIES = ("torch", "optax", "keras", "transformers")
RECORDED = {name: json.loads((GOLDEN / f"schedules_{name}.json").read_text()) for name in LIBRARIES}
ALL = [(library, key) for library in LIBRARIES for key in RECORDED[library]["runs"]]

#: What is defined otherwise there, and the steps before which it is the same.
SAME_BEFORE = {
    ("torch", "CosineAnnealingLR beyond"): 21,
    ("transformers", "cosine beyond"): 41,
    ("torch", "OneCycleLR 7 steps"): 7,
    ("torch", "OneCycleLR 7 steps linear"): 7,
}


def read(library, key):
    run = RECORDED[library]["runs"][key]
    arguments = dict(run["arguments"])
    if library in ("torch", "transformers"):
        arguments["lr"] = RECORDED[library]["lr"]
    if "boundaries_and_scales" in arguments:
        pairs = arguments["boundaries_and_scales"].items()
        arguments["boundaries_and_scales"] = {int(step): scale for step, scale in pairs}
    return getattr(interop, f"from_{library}")(run["name"], **arguments), np.array(run["rates"])


@pytest.mark.parametrize("library, key", ALL)
def test_recorded_rates_are_reproduced(library, key):
    schedule, expected = read(library, key)
    ours = schedule(np.arange(len(expected)))
    gap = np.abs(ours - expected) / np.abs(expected).max()
    same = SAME_BEFORE.get((library, key), len(expected))
    single = library == "keras" and "Cosine" in key  # float32, whatever Keras is told
    assert gap[:same].max(initial=0.0) < (2e-7 if single else 1e-12)
    assert np.all(np.isfinite(expected))
    if (library, key) in SAME_BEFORE:
        assert gap[same:].max() > 1e-6
        assert gap[same] > 1e-9


def test_cosines_of_other_libraries_rise_again_after_their_end():
    for library, key, steps in (
        ("torch", "CosineAnnealingLR beyond", 20),
        ("transformers", "cosine beyond", 40),
    ):
        schedule, expected = read(library, key)
        assert schedule(60) == schedule(steps) < expected[steps + 5]


def test_a_peak_may_lie_between_steps():
    schedule, expected = read("torch", "OneCycleLR 7 steps")
    assert schedule.up == pytest.approx(1.1)
    assert expected[1] == pytest.approx(0.294, abs=1e-3)
    assert schedule(1) < schedule.lr


def test_keras_restarts_between_steps():
    schedule, expected = read("keras", "CosineDecayRestarts real")
    starts = np.cumsum([5, 7.5, 11.25])
    t = np.arange(len(expected))
    ours = schedule(t)
    rises = [k for k in t[1:] if ours[k] > ours[k - 1]][:3]
    assert rises == [math.ceil(start) for start in starts]
    rounded = dataclasses.replace(schedule, whole=True)(t)
    assert [k for k in t[1:] if rounded[k] > rounded[k - 1]][:3] == [5, 13, 24]


@pytest.mark.parametrize("key", RECORDED["torch"]["plateaus"])
def test_recorded_plateaus_are_reproduced(key):
    run = RECORDED["torch"]["plateaus"][key]
    plateau = interop.from_torch(run["name"], lr=0.3, **run["arguments"])
    ours = []
    for metric in run["metrics"]:
        plateau.update(math.nan if metric is None else metric)
        ours.append(plateau(0))
    if key.endswith("negative"):  # worse counts as better there, and the rate is never cut
        assert run["rates"] == [0.3] * len(ours)
        assert ours[-1] < 1e-3
    else:
        np.testing.assert_allclose(ours, run["rates"], rtol=1e-12, atol=1e-8)  # torch's eps
        assert len(set(ours)) > 2


def test_every_conversion_has_a_recording():
    for library in LIBRARIES:
        names = {run["name"] for run in RECORDED[library]["runs"].values()}
        names |= {run["name"] for run in RECORDED[library].get("plateaus", {}).values()}
        readers = set(getattr(interop, f"{library}_readers").READERS)
        assert readers - names <= {"reduce_lr_on_plateau"}  # torch's own class


def test_converted_schedules_can_be_saved():
    for library, key in ALL:
        schedule, _ = read(library, key)
        assert isinstance(schedule, Schedule)
        assert json.loads(schedule.to_json())["version"] == 1
    plateau = interop.from_transformers("reduce_lr_on_plateau", lr=0.2, min_lr=0.1)
    assert isinstance(plateau, Plateau)
    assert plateau.floor == 0.5


@pytest.mark.parametrize(
    "read, error, message",
    [
        (
            lambda: interop.from_torch("CosineLR", lr=0.1),
            ValueError,
            "torch name must be one of StepLR, .* got 'CosineLR'",
        ),
        (
            lambda: interop.from_torch("CosineAnnealingLR", lr=0.1, T_mx=5),
            TypeError,
            "CosineAnnealingLR: .*T_max.*; it is read with lr, T_max, eta_min",
        ),
        (
            lambda: interop.from_torch("OneCycleLR", lr=0.1, max_lr=1.0, epochs=5),
            ValueError,
            "needs total_steps, or epochs and steps_per_epoch",
        ),
        (
            lambda: interop.from_torch("StepLR", lr=-0.1, step_size=5),
            ValueError,
            "lr must be finite and >= 0, got -0.1",
        ),
        (
            lambda: interop.from_optax(
                "cosine_decay_schedule", init_value=0.1, decay_steps=5, exponent=2.0
            ),
            ValueError,
            "exponent must be 1.0 to be read, got 2.0",
        ),
        (
            lambda: interop.from_optax(
                "piecewise_interpolate_schedule", interpolate_type="cubic", init_value=0.1
            ),
            ValueError,
            "interpolate_type must be 'linear' or 'cosine', got 'cubic'",
        ),
        (
            lambda: interop.from_keras(
                "PolynomialDecay", initial_learning_rate=0.1, decay_steps=5, cycle=True
            ),
            ValueError,
            "cycle must be False to be read, got True",
        ),
        (
            lambda: interop.from_keras("PiecewiseConstantDecay", boundaries=[5], values=[0.1]),
            ValueError,
            "values must have one more than boundaries, got 1 and 1",
        ),
        (
            lambda: interop.from_transformers(
                "cosine", lr=0.1, num_warmup_steps=1, num_training_steps=9, num_cycles=2
            ),
            ValueError,
            "num_cycles must be 0.5 to be read, got 2",
        ),
        (
            lambda: interop.from_transformers(
                "cosine_with_restarts", lr=1, num_warmup_steps=0, num_training_steps=9, num_cycles=2
            ),
            ValueError,
            "num_cycles must divide .* = 9",
        ),
        (
            lambda: interop.from_transformers(
                "cosine_with_min_lr", lr=1, num_warmup_steps=0, num_training_steps=9
            ),
            ValueError,
            "either min_lr or min_lr_rate",
        ),
        (
            lambda: interop.from_transformers(
                "warmup_stable_decay", lr=1, num_warmup_steps=0, num_decay_steps=9
            ),
            ValueError,
            "either num_training_steps or num_stable_steps",
        ),
    ],
)
def test_schedules_that_lrcore_does_not_have_are_refused(read, error, message):
    with pytest.raises(error, match=message):
        read()


#: Arguments with which each schedule can be read: those of a recording, or these.
VALID = {
    (library, run["name"]): run["arguments"]
    for library in LIBRARIES
    for run in RECORDED[library]["runs"].values()
} | {
    ("torch", "OneCycleLR"): {"max_lr": 0.3, "epochs": 8, "steps_per_epoch": 8, "pct_start": 0.25},
    ("torch", "ReduceLROnPlateau"): {},
    ("transformers", "reduce_lr_on_plateau"): {},
}


@pytest.mark.parametrize("library, name", VALID)
def test_what_cannot_be_read_is_refused_by_the_name_it_has_there(library, name):
    arguments = dict(VALID[library, name])
    if library in ("torch", "transformers"):
        arguments["lr"] = 0.3
    if "boundaries_and_scales" in arguments:
        arguments["boundaries_and_scales"] = {4: 0.5, 20: 0.1}
    reader = getattr(interop, f"{library}_readers").READERS[name]
    convert = getattr(interop, f"from_{library}")
    convert(name, **arguments)
    refused = []
    for word in inspect.signature(reader).parameters:
        for value in (
            -1,
            0,
            2.5,
            1e9,
            math.nan,
            math.inf,
            "x",
            [],
            [3],
            None,
            {0: 1.0},
            {2.5: 1.0},
        ):
            try:
                schedule = convert(name, **{**arguments, word: value})
            except (ValueError, TypeError) as error:
                refused.append((word, str(error)))
            else:
                assert np.isfinite(schedule(7))
    assert len(refused) > 3
    assert [each for each in refused if each[0] not in each[1]] == []


def test_whole_numbers_of_steps_may_be_floats():
    options = {"lr": 0.1, "num_warmup_steps": 10.0, "num_training_steps": np.float64(100)}
    schedule = interop.from_transformers("linear", **options)
    assert schedule == interop.from_transformers("linear", 0.1, **{
        "num_warmup_steps": 10, "num_training_steps": 100
    })  # fmt: skip


@pytest.mark.parametrize(
    "read, message",
    [
        (
            lambda: interop.from_transformers(
                "linear", lr=0.1, num_warmup_steps=30.5, num_training_steps=100
            ),
            "num_warmup_steps must be a whole number of steps to be read, got 30.5",
        ),
        (
            lambda: interop.from_transformers(
                "cosine", lr=0.1, num_warmup_steps=100, num_training_steps=100
            ),
            "num_training_steps must be above num_warmup_steps = 100, got 100",
        ),
        (
            lambda: interop.from_transformers(
                "warmup_stable_decay", lr=0.1, num_warmup_steps=60, num_decay_steps=50,
                num_training_steps=100,
            ),
            "num_training_steps must be >= num_warmup_steps [+] num_decay_steps = 110, got 100",
        ),
        (
            lambda: interop.from_torch(
                "OneCycleLR", lr=0.1, max_lr=1.0, total_steps=100, pct_start=0.295, three_phase=True
            ),
            "pct_start must be a multiple of 1 / 100 in .0.02, 0.5. .* got 0.295",
        ),
        (
            lambda: interop.from_torch(
                "OneCycleLR", lr=0.1, max_lr=1.0, total_steps=100, pct_start=0.51, three_phase=True
            ),
            "pct_start must be a multiple of 1 / 100",
        ),
        (
            lambda: interop.from_torch(
                "OneCycleLR", lr=0.1, max_lr=1.0, epochs=2, steps_per_epoch=5, pct_start=0.1
            ),
            "pct_start must be 0 or above 1 / epochs [*] steps_per_epoch = 0.1 .* got 0.1",
        ),
        (
            lambda: interop.from_torch("OneCycleLR", lr=0.1, max_lr=1.0, total_steps=2),
            "total_steps must be >= 3 to be read, got 2",
        ),
        (
            lambda: interop.from_torch("CosineAnnealingWarmRestarts", lr=0.1, T_0=7, T_mult=1.5),
            "T_mult must be a whole number .* got 1.5",
        ),
        (
            lambda: interop.from_keras(
                "PiecewiseConstantDecay", boundaries=[9, 5], values=[0.3, 0.2, 0.1]
            ),
            "boundaries must ascend, got .9, 5.",
        ),
        (
            lambda: interop.from_optax(
                "warmup_cosine_decay_schedule", init_value=0.0, peak_value=0.1, warmup_steps=20,
                decay_steps=10,
            ),
            "decay_steps must be above warmup_steps = 20, got 10",
        ),
        (
            lambda: interop.from_optax(
                "cosine_onecycle_schedule", transition_steps=9, peak_value=0.1, pct_start=0.1
            ),
            "pct_start must be at least 1 / transition_steps = 0.111111 .* got 0.1",
        ),
    ],
)  # fmt: skip
def test_what_lies_between_steps_is_refused(read, message):
    with pytest.raises(ValueError, match=message):
        read()


# ---- towards the libraries, where they are installed ---------------------------------------------
