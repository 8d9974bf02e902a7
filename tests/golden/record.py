"""Record trajectories of torch.optim and optax: run where both are installed.

    python tests/golden/record.py

writes torch.json and optax.json beside this file, each with the version that made it. The tests
read the files and need neither library.
"""

import json
from pathlib import Path

import jax
import numpy as np
import optax
import torch
from problem import KEPT, N_STEPS, START, gradient

HERE = Path(__file__).parent

# Rates are low enough that no run swings about a minimum at the end: there a step depends on the
# sign of a gradient near 0, and rounding grows from step to step whoever does the sums.
TORCH = {
    "SGD": ("SGD", {"lr": 0.02}),
    "SGD momentum": ("SGD", {"lr": 0.01, "momentum": 0.9}),
    "SGD dampening": ("SGD", {"lr": 0.02, "momentum": 0.8, "dampening": 0.4}),
    "SGD nesterov": ("SGD", {"lr": 0.01, "momentum": 0.8, "nesterov": True}),
    "SGD weight_decay": ("SGD", {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.3}),
    "SGD maximize": ("SGD", {"lr": 0.0005, "maximize": True, "weight_decay": 0.1}),
    "Adagrad": ("Adagrad", {"lr": 0.2}),
    "Adagrad both": (
        "Adagrad",
        {"lr": 0.2, "lr_decay": 0.01, "initial_accumulator_value": 0.3, "weight_decay": 0.1},
    ),
    "RMSprop": ("RMSprop", {"lr": 0.002, "alpha": 0.9}),
    "RMSprop centered": ("RMSprop", {"lr": 0.002, "alpha": 0.9, "centered": True, "eps": 1e-3}),
    "RMSprop momentum": ("RMSprop", {"lr": 0.003, "alpha": 0.95, "momentum": 0.7}),
    "RMSprop all": (
        "RMSprop",
        {"lr": 0.003, "momentum": 0.7, "centered": True, "weight_decay": 0.1, "eps": 1e-3},
    ),
    "Adadelta": ("Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-4}),
    "Adam": ("Adam", {"lr": 0.03}),
    "Adam weight_decay": ("Adam", {"lr": 0.03, "betas": (0.8, 0.95), "weight_decay": 0.2}),
    "Adam maximize": ("Adam", {"lr": 0.003, "maximize": True}),
    "AdamW": ("AdamW", {"lr": 0.03, "weight_decay": 0.2}),
    "Adam amsgrad": ("Adam", {"lr": 0.03, "betas": (0.9, 0.7), "amsgrad": True}),
    "Adamax": ("Adamax", {"lr": 0.03, "eps": 1e-3, "weight_decay": 0.1}),
    "NAdam": ("NAdam", {"lr": 0.005, "momentum_decay": 0.02}),
    "RAdam": ("RAdam", {"lr": 0.03, "betas": (0.9, 0.95)}),
    "RAdam slow": ("RAdam", {"lr": 0.03, "weight_decay": 0.1}),
}

OPTAX = {
    "sgd": ("sgd", {"learning_rate": 0.02}),
    "sgd nesterov": ("sgd", {"learning_rate": 0.01, "momentum": 0.8, "nesterov": True}),
    "adagrad": ("adagrad", {"learning_rate": 0.2}),
    "rmsprop": ("rmsprop", {"learning_rate": 0.002, "decay": 0.9}),
    "rmsprop outside": (
        "rmsprop",
        {"learning_rate": 0.002, "decay": 0.9, "eps_in_sqrt": False, "centered": True, "eps": 1e-3},
    ),
    "adadelta": ("adadelta", {"learning_rate": 1.0, "rho": 0.9, "eps": 1e-4}),
    "adam": ("adam", {"learning_rate": 0.03, "b1": 0.8, "b2": 0.95}),
    "adamw": ("adamw", {"learning_rate": 0.03, "weight_decay": 0.2}),
    "amsgrad": ("amsgrad", {"learning_rate": 0.03, "b2": 0.7}),
    "adamax": ("adamax", {"learning_rate": 0.03, "eps": 1e-3}),
    "nadam": ("nadam", {"learning_rate": 0.03}),
    "radam": ("radam", {"learning_rate": 0.03, "b2": 0.95, "eps": 1e-3}),
    "lion": ("lion", {"learning_rate": 0.003, "b1": 0.8, "b2": 0.9, "weight_decay": 0.1}),
    "dog": ("dog", {"learning_rate": 1.0}),
    "dog slow": ("dog", {"learning_rate": 0.5, "weight_decay": 0.1}),
    "schedule_free_adamw": ("schedule_free_adamw", {"learning_rate": 0.03, "weight_decay": 0.1}),
}


def kept(step):
    """The weights to keep of a run whose steps `step` makes."""
    w, found = START.copy(), []
    for t in range(N_STEPS):
        w = step(w, gradient(w, t))
        if t + 1 in KEPT:
            found.append([float(x).hex() for x in w])
    return found


def torch_run(name, options):
    param = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = getattr(torch.optim, name)([param], **options)

    def step(_, g):
        param.grad = torch.tensor(g)
        optimizer.step()
        return param.detach().numpy().copy()

    return kept(step)


def optax_run(name, options):
    optimizer = getattr(optax, name, None) or getattr(optax.contrib, name)
    optimizer = optimizer(**options)
    state = None

    def step(w, g):
        nonlocal state
        w, g = jax.numpy.asarray(w), jax.numpy.asarray(g)
        state = optimizer.init(w) if state is None else state
        updates, state = optimizer.update(g, state, w)
        return np.asarray(optax.apply_updates(w, updates))

    return kept(step)


def main():
    jax.config.update("jax_enable_x64", True)
    for library, version, runs, run in (
        ("torch", torch.__version__, TORCH, torch_run),
        ("optax", f"{optax.__version__}, jax {jax.__version__}", OPTAX, optax_run),
    ):
        record = {"library": library, "version": version, "steps": KEPT}
        record["runs"] = {key: {"options": o, "weights": run(n, o)} for key, (n, o) in runs.items()}
        (HERE / f"{library}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
