"""The NumPy backend of the linear models: the same calls as the core, row by row, for reading.

``LRCORE_ISA=numpy`` runs it. It touches what the core touches, in the same order, with the
formulas of ``lrcore/formulas.py``; only the margins' sums are left to NumPy, so results agree to
rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lrcore import conjugates
from lrcore._utils import numerics
from lrcore.linear_model.engine.design_matrix import Rows
from lrcore.linear_model.engine.layout import Method, State
from lrcore.losses import Loss


def touch(
    method: Method, c: Any, columns: np.ndarray, entries: Any, g: np.ndarray, done: int
) -> None:
    """Update the features `entries` by the gradients g, (n_outputs, n_entries)."""
    formula, place = method.formula, method.columns
    parts = [columns[place.part(i)][: len(g)] for i in range(1 + len(formula.state))]
    w, *state = (part[:, entries] for part in parts)
    if formula.decay:
        stamps = columns[place.stamp].view(f"i{columns.itemsize}")
        idle = numerics.power(method.decay, done - stamps[entries]).astype(columns.dtype)
        state = [s * idle for s in state]
        stamps[entries] = done + 1
    formula.update(c, w, g, *state)
    for part, values in zip(parts, (w, *state)):
        part[:, entries] = values


@contextmanager
def averaged(state: State, which: Any, done: int) -> Iterator[None]:
    """What is changed of the features `which` within goes into the average, if there is one."""
    w = state.weights
    before = w[:, which].copy()
    yield
    if state.average is not None:
        elapsed = max(0, state.base + done - state.average.since)
        change = w.dtype.type(elapsed) * (w[:, which] - before)
        state.average.changes[which, : len(w)] += change.T


def settle(state: State, method: Method, row: np.ndarray, *, due_only: bool = False) -> None:
    """Bring features up to date, in place: all of them, or the groups whose payment is due."""
    debt, start = state.debt, 0
    c = method.formula.row(row, state.columns.dtype)
    if not len(debt.stops):
        settle_features(state, method, c, slice(0, -1), 0.0)
    for k, stop in enumerate(debt.stops):
        if not due_only or debt.unpaid[k] >= debt.periods[k]:
            with averaged(state, slice(start, stop), state.step - 1):
                settle_features(state, method, c, slice(start, stop), debt.owed[k])
            debt.owed[k] = debt.unpaid[k] = 0
        start = stop


def settle_features(state: State, method: Method, c: Any, which: slice, owed: float) -> None:
    """Decay the states of the steps that did not touch the features, then let them pay: a soft
    threshold and a shrinkage."""
    formula, place, columns = method.formula, method.columns, state.columns
    one = columns.dtype.type
    w, *states = (
        columns[place.part(i)][: state.n_outputs, which] for i in range(1 + len(formula.state))
    )
    if formula.decay:
        stamps = columns[place.stamp].view(f"i{columns.itemsize}")[which]
        idle = numerics.power(method.decay, state.step - stamps).astype(columns.dtype)
        for array in states:
            array *= idle
        stamps[:] = state.step
    if owed:
        scale = one(1) * formula.scale(c, *states)
        due = one(owed) * (getattr(c, formula.gain) if formula.gain else one(1))
        factors = np.ones(1) if method.factors is None else method.factors[which]
        factors = factors.astype(columns.dtype)
        due = due * factors
        size = np.abs(w) * scale - due * one(method.l1)
        size = np.maximum(size, one(0)) / (scale + due * one(method.l2))
        w[...] = np.where(factors != 0, np.copysign(size, w), w)


def pace_of(
    state: State, method: Method, norms: np.ndarray, along: np.ndarray, rates: np.ndarray,
    shares: np.ndarray,
) -> float:  # fmt: skip
    """The pace of the next steps, and with it how far the weights are after them.

    For each step: the squared norm of its gradient, the gradient's product with the weights, its
    rate, and its weight in the penalties.
    """
    assert state.pace is not None
    sums = state.pace.sums
    sums[0] += norms.sum()
    factor = method.rule.pace(state.pace.travel)
    rates = rates * factor
    sums[2] = max(0.0, sums[2] + (rates * (rates * norms - 2.0 * along)).sum())
    sums[2] /= (1.0 + (rates * shares).sum() * method.l2) ** 2
    sums[1] = max(sums[1], np.sqrt(sums[2]))
    return factor


def fit_rows(
    state: State, method: Method, rows: Rows, squares: np.ndarray | None, order: np.ndarray,
    y: np.ndarray, weight: np.ndarray | None, rates: np.ndarray, table: np.ndarray, block: int,
) -> float:  # fmt: skip
    """Fit the rows named by `order`, a block at a time; returns the sum of their losses.

    squares, |x|**2 of each row and 1 for the intercept, are needed where the state has a pace.
    """
    columns = state.columns
    dtype = columns.dtype
    total, first = 0.0, state.step
    for start in range(0, len(order), block):
        batch = order[start : start + block]
        touched = [rows.row(i) for i in batch]
        w, intercept = state.weights, state.weights[:, -1]
        margins = [np.add.reduce(x * w[:, e], axis=1) + intercept for e, x in touched]
        z = np.array(margins, float)
        s = np.ones(len(batch)) if weight is None else weight[batch]
        value, slope = method.loss.evaluate(z if state.n_outputs > 1 else z[:, 0], y[batch])
        value, slope = value.reshape(len(batch), -1), slope.reshape(len(batch), -1)
        total += float(np.sum(s[:, None] * value))
        slope = (s[:, None] * slope) * (1.0 / len(batch) if method.mean else 1.0)
        d = slope.astype(dtype)[:, :, None]
        if method.mean:
            gradient = np.zeros((state.n_outputs, columns.shape[1] - 1), dtype)
            for (e, x), slope_i in zip(touched, d):
                gradient[:, e] += slope_i * x
            entries = np.unique(np.concatenate([e for e, _ in touched]))
            updates = [(entries, gradient[:, entries], np.cumsum(d, axis=0)[-1])]
            shares = np.array([float(np.cumsum(s)[-1]) / len(batch)])
        else:
            updates = [(e, slope_i * x, slope_i) for (e, x), slope_i in zip(touched, d)]
            shares = s
        factor = 1.0
        if state.pace is not None and squares is not None:
            norms = np.square(slope).sum(axis=1) * squares[batch]
            along = (slope * z).sum(axis=1)
            if method.mean:
                parts = (updates[0][1], updates[0][2][:, 0] * method.intercept)
                norms = [sum(float(np.square(part.astype(float)).sum()) for part in parts)]
                along = [along.sum()]
            at = state.step - first
            now = rates[at : at + len(updates)]
            factor = pace_of(state, method, np.array(norms), np.array(along), now, shares)
        debts = []
        for (e, g, g_intercept), share in zip(updates, shares):
            at = state.step - first
            c = method.formula.row(table[at] * factor, dtype)
            with averaged(state, e, state.step):
                touch(method, c, columns, e, g, state.step)
            if method.intercept:
                with averaged(state, [-1], state.step):
                    touch(method, c, columns, [-1], g_intercept, state.step)
            debts.append(rates[at] * factor * share)
            state.step += 1
        state.debt.owed[:] += float(np.cumsum(debts)[-1])
        state.debt.unpaid[:] += len(batch)
        if len(state.debt.stops):
            settle(state, method, table[state.step - first - 1], due_only=True)
    return total


def ascend(
    loss: Loss, rows: Rows, order: np.ndarray, records: np.ndarray, weights: np.ndarray,
    intercept: float, constant: float,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Dual coordinate ascent: visit the rows named by `order`, in place.

    A record has a row's target, share, dual variable and sum of squares. Returns the sums of
    losses, gaps and norms, and the new intercept.
    """
    value = gap = norm = 0.0
    for i in order:
        entries, x = rows.row(i)
        y, share, u, squares = records[i]
        if squares < 0:
            squares = float(np.sum(np.square(x.astype(np.float64))))
        z = float(np.add.reduce(x * weights[entries])) + intercept
        new, row_gap = conjugates.ascend(
            loss, np.array(z), np.array(y), np.array(u), np.array(share * (squares + constant))
        )
        value += share * float(loss.evaluate(np.array(z), np.array(y))[0])
        gap += share * float(row_gap)
        norm -= share * u * z
        d = share * (u - float(new))
        weights[entries] += weights.dtype.type(d) * x
        intercept += d * constant
        records[i, 2:] = new, squares
    return value, gap, norm, intercept
