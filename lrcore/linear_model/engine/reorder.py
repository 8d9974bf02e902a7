"""Sparse rows put in an order that suits the cache, before a fit of several epochs.

Rows are copied in a random order, so that epochs can read runs of them from memory in one go; and
features are numbered anew, the frequent ones first, so that they share cache lines and the ones
that never come up take no room. It costs about as much as an epoch or two and a copy of X.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from lrcore import _core
from lrcore.linear_model.engine.design_matrix import CACHE_BYTES, Rows, all_ones, ones
from lrcore.linear_model.engine.layout import Debt, Method, State

#: Epochs from which the copy pays: in time for mini-batches, whose slots are large; for online
#: epochs in the objective, since features that come up often can pay their penalties often.
MIN_EPOCHS, MIN_EPOCHS_BATCHES = 20, 8

#: Values of X up to which a copy is made.
MAX_VALUES = 1 << 28


@dataclass(frozen=True)
class Staged:
    """`rows` are those of the original named by `order`; its `features` are the new ones' old
    numbers, None where nothing has changed."""

    rows: Rows
    order: np.ndarray
    features: np.ndarray | None
    debt: Debt

    def renumber(self, method: Method) -> Method:
        """The method, whose penalties' factors go by features, for the rows' numbering."""
        if self.features is None or method.factors is None:
            return method
        return replace(method, factors=method.factors[self.features])

    def unstage(self, state: State, method: Method, original: Rows) -> State:
        """The state, all paid, in the original numbering."""
        if self.features is None:
            return state
        debt = Debt.new([original.shape[1]], [original.nnz_per_row])
        whole = State.new(method, original, debt)
        whole = replace(whole, step=state.step, base=state.base, pace=state.pace)
        whole.array[self.features, : state.width] = state.array[:-1, : state.width]
        whole.array[-1] = state.array[-1]
        if whole.average is not None and state.average is not None:
            whole.average.changes[self.features] = state.average.changes[:-1]
            whole.average.changes[-1] = state.average.changes[-1]
            whole.average.since = state.average.since
        return whole


def worthwhile(rows: Rows, n_epochs: int, batches: bool) -> bool:
    """Whether a copy of the rows pays."""
    return (
        rows.sparse
        and n_epochs >= (MIN_EPOCHS_BATCHES if batches else MIN_EPOCHS)
        and rows.values.size <= MAX_VALUES
        and rows.shape[1] < 1 << 31
    )


def stage(rows: Rows, order: np.ndarray, slot_bytes: int) -> Staged:
    """A copy of the rows in this order; features are renumbered where their slots, of slot_bytes,
    would not fit the cache."""
    assert rows.indptr is not None
    assert rows.indices is not None
    n_rows, n_features = rows.shape
    if _core.kernels is None:
        # Not for speed here: only so that both backends meet the same rows in the same order.
        copy = sparse.csr_matrix((rows.values, rows.indices, rows.indptr), rows.shape)[order]
        staged = Rows(rows.shape, copy.data, copy.indptr.astype(np.int64), copy.indices)
        return Staged(staged, order, None, Debt.new([n_features], [rows.nnz_per_row]))
    numbers, features = np.empty(0, np.int32), None
    if n_features * slot_bytes > CACHE_BYTES:
        numbers, features = np.zeros(n_features, np.int32), np.empty(n_features, np.int32)
        n_features = max(1, _core.kernels.number_features(rows.indices, numbers, features))
        features = features[:n_features].copy()
    indptr = np.empty(n_rows + 1, np.int64)
    n_values, given = rows.values.size, not all_ones(rows.values)
    indices, totals = np.empty(n_values, np.int32), np.zeros(33, np.int64)
    values = np.empty(n_values, rows.dtype) if given else ones(n_values, rows.dtype)
    new_values = values if given else np.empty(0, rows.dtype)
    _core.kernels.arrange(order, *rows.csr, numbers, indptr, indices, new_values, totals)
    staged = Rows((n_rows, n_features), values, indptr, indices)
    if features is None:
        return Staged(staged, order, None, Debt.new([n_features], [rows.nnz_per_row]))
    return Staged(staged, order, features, _groups(n_features, totals, n_rows))


def _groups(n_features: int, totals: np.ndarray, n_rows: int) -> Debt:
    """Groups of features of like frequency, as they are numbered: below 1024, 2048, 4096, ...

    totals counts the values whose feature's number has so many bits.
    """
    bits = (n_features - 1).bit_length()
    if bits <= 10:
        return Debt.new([n_features], [totals.sum() / n_rows])
    stops = np.minimum(1 << np.arange(10, bits + 1), n_features)
    values = np.concatenate([[totals[:11].sum()], totals[11 : bits + 1]])
    return Debt.new(stops, values / n_rows)
