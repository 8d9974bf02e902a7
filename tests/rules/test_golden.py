"""Trajectories recorded from torch.optim and optax (golden/record.py), reproduced.

Where a definition differs from lrcore's, a few lines of NumPy with that difference alone reproduce
what was recorded, and lrcore does not.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import lrcore

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))
from problem import KEPT, N_STEPS, START, gradient  # noqa: E402

RECORDED = {name: json.loads((GOLDEN / f"{name}.json").read_text()) for name in ("torch", "optax")}

#: torch.optim's classes and words for what lrcore calls otherwise.
CLASSES = {
    "SGD": lrcore.SGD, "Adagrad": lrcore.AdaGrad, "RMSprop": lrcore.RMSProp,
    "Adadelta": lrcore.AdaDelta, "Adam": lrcore.Adam, "AdamW": lrcore.AdamW,
    "Adamax": lrcore.Adamax, "NAdam": lrcore.Nadam, "RAdam": lrcore.RAdam,
    "sgd": lrcore.SGD, "rmsprop": lrcore.RMSProp, "adadelta": lrcore.AdaDelta,
    "adam": lrcore.Adam, "adamw": lrcore.AdamW, "lion": lrcore.Lion, "adagrad": lrcore.AdaGrad,
    "amsgrad": lrcore.AMSGrad, "nadam": lrcore.Nadam, "radam": lrcore.RAdam,
    "adamax": lrcore.Adamax, "dog": lrcore.DoG, "schedule_free_adamw": lrcore.ScheduleFreeAdamW,
}  # fmt: skip
WORDS = {
    "alpha": "rho", "initial_accumulator_value": "initial_accumulator", "learning_rate": "lr",
    "b1": "beta1", "b2": "beta2", "decay": "rho",
}  # fmt: skip
#: PyTorch's defaults that are not lrcore's or that its classes share.
TORCH_DEFAULTS = {"Adadelta": {"eps": 1e-6}, "RMSprop": {"rho": 0.99}}
OPTAX_DEFAULTS = {"adamw": {"weight_decay": 1e-4}, "rmsprop": {"rho": 0.9}}

#: What is defined otherwise there.
DIFFERENT = {
    ("torch", "NAdam"), ("optax", "adagrad"), ("optax", "rmsprop"), ("optax", "amsgrad"),
    ("optax", "nadam"), ("optax", "radam"), ("optax", "schedule_free_adamw"),
}  # fmt: skip


def rule_for(key, options):
    """The lrcore rule with the same words."""
    name = key.split()[0]
    cls = CLASSES[name]
    values = {**TORCH_DEFAULTS.get(name, {}), **OPTAX_DEFAULTS.get(name, {})}
    for word, value in options.items():
        if word == "betas":
            values["beta1"], values["beta2"] = value
        elif word == "amsgrad":
            cls = lrcore.AMSGrad
        elif word != "eps_in_sqrt":
            values[WORDS.get(word, word)] = value
    return cls(**values)


def trajectory(step):
    w, kept = START.copy(), []
    for t in range(N_STEPS):
        w = step(w, gradient(w, t), t + 1)
        if t + 1 in KEPT:
            kept.append(w.copy())
    return np.array(kept)


def recorded(library, key):
    run = RECORDED[library]["runs"][key]
    return np.array([[float.fromhex(x) for x in row] for row in run["weights"]]), run["options"]


def ours(rule):
    w = START.copy()
    optimizer = lrcore.Optimizer(w, rule)

    def step(_, g, t):
        optimizer.step(g)
        return w

    return trajectory(step)


def gap(got, expected):
    """The largest difference, relative to the size of the weights at that step."""
    return np.max(np.abs(got - expected).max(axis=1) / np.abs(expected).max(axis=1))


ALL = [(library, key) for library, record in RECORDED.items() for key in record["runs"]]
SAME = [each for each in ALL if each not in DIFFERENT]


@pytest.mark.parametrize("library, key", SAME)
def test_recorded_trajectories_are_reproduced(library, key, backend):
    expected, options = recorded(library, key)
    assert np.isfinite(expected).all()
    assert np.abs(expected[-1] - START).max() > 0.05
    assert gap(ours(rule_for(key, options)), expected) < 1e-12


def adagrad_of_optax(o):
    s = 0.1  # the accumulator starts here, and eps is inside the root

    def step(w, g, t):
        nonlocal s
        s = s + g * g
        return w - o["learning_rate"] * g / np.sqrt(s + 1e-7)

    return step


def rmsprop_of_optax(o):
    v = np.zeros(6)

    def step(w, g, t):
        nonlocal v
        v = o["decay"] * v + (1 - o["decay"]) * g * g
        return w - o["learning_rate"] * g / np.sqrt(v + 1e-8)  # eps inside the root

    return step


def adam_of_optax(o, update):
    """What optax's Adams share; update(m, v, g, t, b1, b2) is what they divide and by what."""
    m, v, b1, b2 = np.zeros(6), np.zeros(6), o.get("b1", 0.9), o.get("b2", 0.999)

    def step(w, g, t):
        nonlocal m, v
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        return w - o["learning_rate"] * update(m, v, g, t, b1, b2)

    return step


def amsgrad_of_optax(o):
    largest = np.zeros(6)

    def update(m, v, g, t, b1, b2):
        nonlocal largest
        largest = np.maximum(largest, v / (1 - b2**t))  # the maximum of the corrected v
        return m / (1 - b1**t) / (np.sqrt(largest) + 1e-8)

    return adam_of_optax(o, update)


def nadam_of_optax(o):
    def update(m, v, g, t, b1, b2):
        ahead = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)  # a constant momentum
        return ahead / (np.sqrt(v / (1 - b2**t)) + 1e-8)

    return adam_of_optax(o, update)


def radam_of_optax(o):
    def update(m, v, g, t, b1, b2):
        limit = 2 / (1 - b2) - 1
        rho = limit - 2 * t * b2**t / (1 - b2**t)
        if rho < 5:
            return m / (1 - b1**t)
        share = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
        return share * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + o["eps"])  # eps comes after

    return adam_of_optax(o, update)


def schedule_free_adamw_of_optax(o):
    v, z, x, beta1, beta2 = np.zeros(6), START.copy(), START.copy(), 0.9, 0.999

    def step(y, g, t):
        nonlocal v, z, x
        v = beta2 * v + (1 - beta2) * g * g
        u = g / (np.sqrt(v / (1 - beta2**t)) + 1e-8) + o["weight_decay"] * y
        z = z - o["learning_rate"] * u
        x = x + (z - x) / t  # all steps of a constant rate count the same
        return (1 - beta1) * z + beta1 * x

    return step


def nadam_of_torch(o):
    m, v, product, decay = np.zeros(6), np.zeros(6), np.float32(1), o["momentum_decay"]

    def step(w, g, t):
        nonlocal m, v, product
        mu = 0.9 * (1 - 0.5 * 0.96 ** (t * decay))
        after = 0.9 * (1 - 0.5 * 0.96 ** ((t + 1) * decay))
        product = product * np.float32(mu)  # kept in float32, whatever the parameters
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + (1 - 0.999) * g * g
        ahead = after * m / (1 - float(product) * after) + (1 - mu) * g / (1 - float(product))
        return w - o["lr"] * ahead / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    return step


@pytest.mark.parametrize("library, key", sorted(DIFFERENT))
def test_what_differs_is_what_is_said(library, key):
    expected, options = recorded(library, key)
    theirs = globals()[f"{key.lower()}_of_{library}"](options)
    assert gap(trajectory(theirs), expected) < 1e-12
    assert gap(ours(rule_for(key, options)), expected) > 1e-11


def test_every_rule_but_ftrl_has_a_recording():
    rules = {rule_for(key, recorded(library, key)[1]).__class__ for library, key in ALL}
    assert rules == set(lrcore.rules.RULES.values()) - {lrcore.FTRL}
