"""The NumPy backend of the linear models: the same calls as the core, row by row, for reading.

``LRCORE_ISA=numpy`` runs it. It touches what the core touches, in the same order, with the
formulas of ``lrcore/formulas.py``; only the margins' sums are left to NumPy, so results agree to
rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore import numerics
from lrcore.losses import Loss
from lrcore.rows import Rows
from lrcore.states import Method, State


def shuffle(order: np.ndarray, seed: int) -> None:
    """As the core's: Fisher and Yates with splitmix64."""
    mask = (1 << 64) - 1
    for i in range(len(order) - 1, 0, -1):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        j = ((z >> 32) * (i + 1)) >> 32
        order[i], order[j] = order[j], order[i]


def touch(
    method: Method, c: Any, columns: np.ndarray, entries: Any, g: np.ndarray, done: int,
    clock: float | None,
) -> None:  # fmt: skip
    """Update the features `entries`; clock is None for the intercept, which pays no penalty."""
    formula, place = method.formula, method.columns
    n_states = len(formula.state)
    state = [columns[1 + i, entries] for i in range(n_states)]
    if formula.decay:
        stamps = columns[place.stamp].view(f"i{columns.itemsize}")
        idle = numerics.power(method.decay, done - stamps[entries]).astype(columns.dtype)
        state = [s * idle for s in state]
        stamps[entries] = done + 1
    w = columns[0, entries]
    formula.update(c, w, g, *state)
    if place.seen and clock is not None:
        now = columns.dtype.type(clock)
        w = pay(method, c, w, now - columns[place.seen, entries], state)
        columns[place.seen, entries] = now
    columns[0, entries] = w
    for i in range(n_states):
        columns[1 + i, entries] = state[i]


def pay(
    method: Method, c: Any, w: np.ndarray, owed: np.ndarray, state: list[np.ndarray]
) -> np.ndarray:
    """The weights after the penalty that they owe: soft threshold, then shrinkage."""
    one = w.dtype.type
    scale = one(1) * method.formula.scale(c, *state)
    due = owed * (getattr(c, method.formula.gain) if method.formula.gain else one(1))
    size = np.abs(w) * scale - due * one(method.l1)
    size = np.where(size > 0, size, one(0)) / (scale + due * one(method.l2))
    return np.where(w > 0, size, -size)


def settle(state: State, method: Method, columns: np.ndarray, row: np.ndarray) -> None:
    """Bring every feature up to date, in place."""
    formula, place = method.formula, method.columns
    n_states, dtype = len(formula.state), columns.dtype
    c = formula.row(row, dtype)
    features = columns[:, :-1]
    if place.seen:
        owed = dtype.type(state.clock) - features[place.seen]
        features[0] = pay(method, c, features[0], owed, list(features[1 : 1 + n_states]))
        features[place.seen] = state.clock
    if formula.decay:
        stamps = columns[place.stamp].view(f"i{columns.itemsize}")[:-1]
        idle = numerics.power(method.decay, state.step - stamps).astype(dtype)
        features[1 : 1 + n_states] *= idle
        stamps[:] = state.step


def fit_rows(
    state: State, method: Method, loss: type[Loss], rows: Rows, order: np.ndarray,
    y: np.ndarray, weight: np.ndarray | None, rates: np.ndarray, table: np.ndarray, block: int,
) -> float:  # fmt: skip
    """Fit the rows named by `order`, a block at a time; returns the sum of their losses."""
    columns = state.columns
    dtype = columns.dtype
    total, done = 0.0, state.step
    for start in range(0, len(order), block):
        batch = order[start : start + block]
        touched = [rows.row(i) for i in batch]
        intercept = columns[0, -1]
        z = np.array([np.add.reduce(x * columns[0, e]) + intercept for e, x in touched], float)
        s = np.ones(len(batch)) if weight is None else weight[batch]
        value, slope = loss.evaluate(z, y[batch])
        total += float(np.add.reduce(s * value))
        slope = (s * slope) * (1.0 / len(batch) if method.mean else 1.0)
        d = slope.astype(dtype)
        if method.mean:
            at = done - state.step
            c = method.formula.row(table[at], dtype)
            state.clock += rates[at] * (float(np.cumsum(s)[-1]) / len(batch))
            gradient = np.full(columns.shape[1] - 1, np.nan, dtype)
            for (e, x), slope_i in zip(touched, d):
                g = gradient[e]
                gradient[e] = np.where(np.isnan(g), dtype.type(0), g) + slope_i * x
            entries = np.flatnonzero(~np.isnan(gradient))
            touch(method, c, columns, entries, gradient[entries], done, state.clock)
            if method.intercept:
                touch(method, c, columns, [-1], np.cumsum(d)[-1:], done, None)
            done += 1
            continue
        for (e, x), slope_i, s_i in zip(touched, d, s):
            at = done - state.step
            c = method.formula.row(table[at], dtype)
            state.clock += rates[at] * s_i
            touch(method, c, columns, e, slope_i * x, done, state.clock)
            if method.intercept:
                touch(method, c, columns, [-1], np.array([slope_i]), done, None)
            done += 1
    return total
