"""The report on bandwidth: steps of vectors of all sizes, against the machine's floor and NumPy."""

from __future__ import annotations

from functools import partial

import numpy as np
from benchmarks.workloads import EVERY_RULE, bytes_moved, step_out, vectors
from measure import repeated, side_by_side
from tables import LABEL, RATIO, SPEED

import lrcore
from lrcore import _core

RULES = ("SGD", "AdaGrad", "Adam")
NUMPY, FLOOR = "Adam in NumPy", "floor"
SMALLEST = 1 << 12


def calls_of(size, n_threads):
    """Return name -> (call, bytes moved) for steps that work on about so many bytes."""
    calls = {}
    for name in RULES:
        rule = EVERY_RULE[name]
        states = len(rule.formula.state)
        w, g = vectors(size // (4 * (2 + states)))
        optimizer = lrcore.Optimizer(w.copy(), rule, n_threads=n_threads, nonfinite="propagate")
        calls[name] = (partial(optimizer.step, g), bytes_moved(rule) * w.size)
    if n_threads == 1:
        state, tmp = (np.ones((2, w.size), np.float32) for _ in range(2))
        out = step_out("Adam")
        calls[NUMPY] = (partial(out, w, g, state, 5, tmp), bytes_moved(rule) * w.size)
    buffer = np.ones(size // 4, np.float32)
    touch = _core.kernels.read_modify_write["float"]
    calls[FLOOR] = (partial(touch, buffer, n_threads), 2 * buffer.nbytes)
    return calls


def report_sweep(section, largest, counts, rounds):
    """Measure up to 2**largest float32 parameters of Adam."""
    table = section.table(
        "Share of the floor's bandwidth",
        {
            "threads": LABEL, "KB": LABEL, **dict.fromkeys((*RULES, NUMPY), RATIO),
            **{f"{name} GB/s": SPEED for name in (*RULES, NUMPY, FLOOR)},
        },
        "KB: of weights, states and gradient. The bytes of a step are those that the rule has to "
        "move, also for NumPy (with an array for each result), which moves more. The floor is a "
        "loop that reads, modifies and writes. Optimizer.step with nonfinite='propagate'.",
    )  # fmt: skip
    sizes = SMALLEST * 2 ** np.arange(0, largest + 5 - 12 + 0.5, 0.5)
    for n in counts:
        found = {}
        for size in sizes.astype(int):
            moved, calls = {}, {}
            repeat = max(1, 3_000_000 // int(size))
            for name, (call, count) in calls_of(int(size), n).items():
                moved[name], calls[name] = count * repeat / 1e9, repeated(call, repeat)
            t = side_by_side(calls, rounds if size > 1 << 20 else 3 * rounds)
            speed = {name: moved[name] / t[name] for name in calls}
            for name in calls:
                found.setdefault(name, []).append((int(size), speed[name]))
            shares = [speed.get(name) and speed[name] / speed[FLOOR] for name in (*RULES, NUMPY)]
            table.add(
                n, int(size) >> 10, *shares, *(speed.get(name) for name in (*RULES, NUMPY, FLOOR))
            )
        for name, points in found.items():
            section.curve(f"{n} thread{'s' * (n > 1)}", name, *zip(*points))
