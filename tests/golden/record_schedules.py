"""Record rates of torch, optax, Keras and transformers: run where all four are installed.

    python tests/golden/record_schedules.py

writes schedules_<library>.json beside this file, each with the versions that made it. The tests
read the files and need none of the libraries.
"""

import json
import os
import re
import warnings
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import optax
import torch
import transformers

HERE = Path(__file__).parent
N = 61

# Lengths are 20 or so: steps 0 to 60 are before, at and beyond every boundary.
TORCH = {
    "StepLR": ("StepLR", {"step_size": 7, "gamma": 0.5}),
    "MultiStepLR": ("MultiStepLR", {"milestones": [4, 9, 30]}),
    "ConstantLR": ("ConstantLR", {"factor": 0.5, "total_iters": 4}),
    "LinearLR": ("LinearLR", {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 20}),
    "LinearLR defaults": ("LinearLR", {}),
    "ExponentialLR": ("ExponentialLR", {"gamma": 0.9}),
    "PolynomialLR": ("PolynomialLR", {"total_iters": 20, "power": 1.7}),
    "CosineAnnealingLR": ("CosineAnnealingLR", {"T_max": 60, "eta_min": 0.01}),
    "CosineAnnealingLR beyond": ("CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
    "WarmRestarts": ("CosineAnnealingWarmRestarts", {"T_0": 7, "eta_min": 0.01}),
    "WarmRestarts 2": ("CosineAnnealingWarmRestarts", {"T_0": 7, "T_mult": 2}),
    "WarmRestarts 3": ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 3}),
    "CyclicLR": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 7}),
    "CyclicLR triangular2": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 7, "step_size_down": 4,
         "mode": "triangular2"},
    ),
    "CyclicLR exp_range": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 7, "mode": "exp_range", "gamma": 0.98},
    ),
    "CyclicLR between steps": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2.5, "step_size_down": 4.3,
         "mode": "triangular2"},
    ),
    "CyclicLR exp_range between steps": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3.7, "mode": "exp_range", "gamma": 0.98},
    ),
    "OneCycleLR": ("OneCycleLR", {"max_lr": 0.3, "total_steps": N}),
    "OneCycleLR 7 steps": ("OneCycleLR", {"max_lr": 0.3, "total_steps": 7}),
    "OneCycleLR 7 steps linear": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": 7, "pct_start": 0.45, "anneal_strategy": "linear"},
    ),
    "OneCycleLR late peak": ("OneCycleLR", {"max_lr": 0.3, "total_steps": N, "pct_start": 0.99}),
    "OneCycleLR no rise": ("OneCycleLR", {"max_lr": 0.3, "total_steps": N, "pct_start": 0.0}),
    "OneCycleLR no rise linear": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": N, "pct_start": 0.0, "anneal_strategy": "linear"},
    ),
    "OneCycleLR no fall": ("OneCycleLR", {"max_lr": 0.3, "total_steps": N, "pct_start": 1.0}),
    "OneCycleLR whole": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": N + 3, "pct_start": 0.25, "div_factor": 10.0},
    ),
    "OneCycleLR linear": (
        "OneCycleLR",
        {"max_lr": 0.3, "epochs": 8, "steps_per_epoch": 8, "pct_start": 0.25,
         "anneal_strategy": "linear", "final_div_factor": 100.0},
    ),
    "OneCycleLR three": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": N + 3, "pct_start": 0.25, "three_phase": True},
    ),
    "OneCycleLR three linear": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": N + 3, "pct_start": 0.375, "three_phase": True,
         "anneal_strategy": "linear"},
    ),
}  # fmt: skip

PLATEAU = {
    "ReduceLROnPlateau": {"factor": 0.5, "patience": 2},
    "ReduceLROnPlateau cooldown": {"factor": 0.5, "patience": 1, "cooldown": 3},
    "ReduceLROnPlateau floor": {"factor": 0.3, "patience": 0, "min_lr": 0.02},
    "ReduceLROnPlateau abs": {"patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
    "ReduceLROnPlateau max": {"factor": 0.5, "patience": 2, "mode": "max", "threshold": 0.01},
}
NEGATIVE = {"ReduceLROnPlateau negative": {"factor": 0.5, "patience": 2, "threshold": 0.01}}

OPTAX = {
    "constant": ("constant_schedule", {"value": 0.3}),
    "linear": (
        "linear_schedule",
        {"init_value": 0.3, "end_value": 0.1, "transition_steps": 20, "transition_begin": 5},
    ),
    "polynomial": (
        "polynomial_schedule",
        {"init_value": 0.3, "end_value": 0.1, "power": 1.7, "transition_steps": 20},
    ),
    "polynomial late": (
        "polynomial_schedule",
        {"init_value": 0.0, "end_value": 0.1, "power": 2, "transition_steps": 20,
         "transition_begin": 9},
    ),
    "exponential": (
        "exponential_decay", {"init_value": 0.3, "transition_steps": 7, "decay_rate": 0.5},
    ),
    "exponential staircase": (
        "exponential_decay",
        {"init_value": 0.3, "transition_steps": 7, "decay_rate": 0.5, "staircase": True,
         "transition_begin": 3, "end_value": 0.02},
    ),
    "exponential rising": (
        "exponential_decay",
        {"init_value": 0.001, "transition_steps": 7, "decay_rate": 2.0, "end_value": 0.1},
    ),
    "piecewise": (
        "piecewise_constant_schedule",
        {"init_value": 0.3, "boundaries_and_scales": {"4": 0.5, "20": 0.1, "30": 3.0}},
    ),
    "piecewise linear": (
        "piecewise_interpolate_schedule",
        {"interpolate_type": "linear", "init_value": 0.3,
         "boundaries_and_scales": {"4": 0.5, "20": 0.1, "30": 3.0}},
    ),
    "piecewise cosine": (
        "piecewise_interpolate_schedule",
        {"interpolate_type": "cosine", "init_value": 0.3,
         "boundaries_and_scales": {"4": 2.0, "20": 0.1}},
    ),
    "cosine": ("cosine_decay_schedule", {"init_value": 0.3, "decay_steps": 20, "alpha": 0.1}),
    "warmup constant": (
        "warmup_constant_schedule", {"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 9},
    ),
    "warmup cosine": (
        "warmup_cosine_decay_schedule",
        {"init_value": 0.05, "peak_value": 0.3, "warmup_steps": 9, "decay_steps": 40,
         "end_value": 0.01},
    ),
    "warmup exponential": (
        "warmup_exponential_decay_schedule",
        {"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 9, "transition_steps": 7,
         "decay_rate": 0.5, "transition_begin": 4, "end_value": 0.01},
    ),
    "onecycle linear": ("linear_onecycle_schedule", {"transition_steps": 40, "peak_value": 0.3}),
    "onecycle cosine": ("cosine_onecycle_schedule", {"transition_steps": 40, "peak_value": 0.3}),
    "exponential without decay": (
        "exponential_decay", {"init_value": 0.3, "transition_steps": 7, "decay_rate": 0.0},
    ),
    "warmup cosine of nothing": (
        "warmup_cosine_decay_schedule",
        {"init_value": 0.05, "peak_value": 0.0, "warmup_steps": 9, "decay_steps": 40,
         "end_value": 0.01},
    ),
    "onecycle cosine rounded down": (
        "cosine_onecycle_schedule",
        {"transition_steps": 37, "peak_value": 0.3, "pct_start": 0.25},
    ),
    "sgdr": (
        "sgdr_schedule",
        {"cosine_kwargs": [
            {"init_value": 0.0, "peak_value": 0.3, "warmup_steps": 3, "decay_steps": 12},
            {"init_value": 0.1, "peak_value": 0.2, "warmup_steps": 0, "decay_steps": 20,
             "end_value": 0.01},
        ]},
    ),
}  # fmt: skip

KERAS = {
    "ExponentialDecay": (
        "ExponentialDecay", {"initial_learning_rate": 0.3, "decay_steps": 7, "decay_rate": 0.5},
    ),
    "ExponentialDecay staircase": (
        "ExponentialDecay",
        {"initial_learning_rate": 0.3, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
    ),
    "InverseTimeDecay": (
        "InverseTimeDecay", {"initial_learning_rate": 0.3, "decay_steps": 7, "decay_rate": 0.5},
    ),
    "InverseTimeDecay staircase": (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.3, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
    ),
    "PiecewiseConstantDecay": (
        "PiecewiseConstantDecay", {"boundaries": [4, 20], "values": [0.3, 0.1, 0.2]},
    ),
    "PolynomialDecay": (
        "PolynomialDecay", {"initial_learning_rate": 0.3, "decay_steps": 20, "power": 1.7},
    ),
    "CosineDecay": (
        "CosineDecay", {"initial_learning_rate": 0.3, "decay_steps": 20, "alpha": 0.1},
    ),
    "CosineDecay warmup": (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 20, "warmup_target": 0.3,
         "warmup_steps": 9, "alpha": 0.1},
    ),
    "CosineDecayRestarts": (
        "CosineDecayRestarts", {"initial_learning_rate": 0.3, "first_decay_steps": 8},
    ),
    "CosineDecayRestarts all": (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.3, "first_decay_steps": 8, "t_mul": 1.0, "m_mul": 0.5,
         "alpha": 0.1},
    ),
    "CosineDecayRestarts real": (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.3, "first_decay_steps": 5, "t_mul": 1.5, "m_mul": 0.8},
    ),
    "CosineDecayRestarts real alpha": (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.3, "first_decay_steps": 7, "t_mul": 1.37, "alpha": 0.1},
    ),
}  # fmt: skip

RUN = {"num_warmup_steps": 9, "num_training_steps": 40}
FULL = {"num_warmup_steps": 12, "num_training_steps": 60}
TRANSFORMERS = {
    "constant": ("constant", {}),
    "constant_with_warmup": ("constant_with_warmup", {"num_warmup_steps": 9}),
    "linear": ("linear", RUN),
    "linear at once": ("linear", {"num_warmup_steps": 0, "num_training_steps": 40}),
    "cosine": ("cosine", FULL),
    "cosine beyond": ("cosine", RUN),
    "cosine_with_restarts": (
        "cosine_with_restarts",
        {"num_warmup_steps": 8, "num_training_steps": 40, "num_cycles": 4},
    ),
    "polynomial": ("polynomial", {**RUN, "power": 1.7, "lr_end": 0.01}),
    "inverse_sqrt": ("inverse_sqrt", {"num_warmup_steps": 9}),
    "inverse_sqrt timescale": ("inverse_sqrt", {"num_warmup_steps": 9, "timescale": 25}),
    "cosine_with_min_lr": ("cosine_with_min_lr", {**FULL, "min_lr": 0.01}),
    "cosine_with_min_lr rate": ("cosine_with_min_lr", {**FULL, "min_lr_rate": 0.2}),
    "cosine_warmup_with_min_lr": (
        "cosine_warmup_with_min_lr",
        {"num_warmup_steps": 12, "num_training_steps": 61, "min_lr_rate": 0.2},
    ),
    "cosine_warmup_with_min_lr rate": (
        "cosine_warmup_with_min_lr",
        {"num_warmup_steps": 12, "num_training_steps": 61, "min_lr": 0.01, "warmup_lr_rate": 0.1},
    ),
    **{
        f"warmup_stable_decay {up} {down}": (
            "warmup_stable_decay",
            {**RUN, "num_decay_steps": 12, "warmup_type": up, "decay_type": down,
             "min_lr_ratio": 0.1},
        )
        for up, down in (("linear", "cosine"), ("cosine", "1-sqrt"), ("1-sqrt", "linear"))
    },
}  # fmt: skip


def with_torch(make, lr=0.3):
    """Rates of a torch scheduler that `make` makes of an optimizer, up to its last step."""
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([param], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(N):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        try:
            scheduler.step()
        except (ValueError, ZeroDivisionError):  # as OneCycleLR raises after its last step
            break
    return rates


def torch_rates(name, options):
    return with_torch(
        lambda optimizer: getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    )


def plateau_metrics(offset):
    """Metrics that fall, stay, swing and are NaN once."""
    t = np.arange(N)
    metrics = offset + np.exp(-t / 8.0) + 0.02 * np.sin(1.7 * t)
    metrics[15] = np.nan
    return metrics.tolist()


def plateau_run(options, metrics):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rates = []
    for metric in metrics:
        scheduler.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    shown = [None if metric != metric else metric for metric in metrics]
    return {"name": "ReduceLROnPlateau", "arguments": options, "metrics": shown, "rates": rates}


def optax_rates(name, options):
    options = dict(options)
    if "boundaries_and_scales" in options:
        pairs = options["boundaries_and_scales"].items()
        options["boundaries_and_scales"] = {int(k): v for k, v in pairs}
    schedule = getattr(optax.schedules, name)(**options)
    return [float(schedule(jax.numpy.asarray(t))) for t in range(N)]


def keras_rates(name, options):
    schedule = getattr(keras.optimizers.schedules, name)(**options)
    return [float(schedule(t)) for t in range(N)]


def transformers_rates(name, options):
    function = transformers.optimization.TYPE_TO_SCHEDULER_FUNCTION[
        transformers.SchedulerType(name)
    ]
    return with_torch(lambda optimizer: function(optimizer, **options))


def main():
    jax.config.update("jax_enable_x64", True)
    keras.backend.set_floatx("float64")
    warnings.simplefilter("ignore")
    plateaus = {key: plateau_run(o, plateau_metrics(1.0)) for key, o in PLATEAU.items()}
    plateaus |= {key: plateau_run(o, plateau_metrics(-9.0)) for key, o in NEGATIVE.items()}
    for library, version, runs, rates in (
        ("torch", torch.__version__, TORCH, torch_rates),
        ("optax", f"{optax.__version__}, jax {jax.__version__}", OPTAX, optax_rates),
        ("keras", f"{keras.__version__}, jax {jax.__version__}", KERAS, keras_rates),
        ("transformers", transformers.__version__, TRANSFORMERS, transformers_rates),
    ):
        record = {"library": library, "version": version, "lr": 0.3}
        record["runs"] = {
            key: {"name": name, "arguments": options, "rates": rates(name, options)}
            for key, (name, options) in runs.items()
        }
        if library == "torch":
            record["plateaus"] = plateaus
        text = json.dumps(record, indent=1)
        (HERE / f"schedules_{library}.json").write_text(compact(text) + "\n")


def compact(text):
    """Lists of numbers on one line."""
    return re.sub(
        r"\[([-+\d.enul,\s]*)\]", lambda numbers: "[" + " ".join(numbers[1].split()) + "]", text
    )


if __name__ == "__main__":
    main()
