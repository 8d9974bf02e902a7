"""Sparse rows put in an order that suits the cache, before a fit of several epochs.

Rows are copied in a random order, so that epochs can read runs of them from memory in one go; and
features are numbered anew, the frequent ones first, so that they share cache lines and those that
no row has take no room. It costs about as much as an epoch or two and a copy of X.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import DesignMatrix, all_ones, ones
from lrcore.linear_model.engine.layout import LazyPenalty, ModelState, UpdateConfig

#: Epochs from which the copy pays: in time for mini-batches, whose slots are large; for online
#: epochs in the objective, since the penalty of frequent features can be applied often.
MIN_EPOCHS, MIN_EPOCHS_BATCHES = 20, 8

#: Values of X up to which a copy is made.
MAX_VALUES = 1 << 28


@dataclass(frozen=True)
class ReorderedData:
    """`X` has the rows of the original named by `order`; `features` are the old numbers of its
    features, None where they have not changed."""

    X: DesignMatrix
    order: np.ndarray
    features: np.ndarray | None
    lazy_penalty: LazyPenalty

    def restored(
        self, state: ModelState, updates: UpdateConfig, original: DesignMatrix
    ) -> ModelState:
        """The state, whose penalty has been applied, with the features' original numbers."""
        if self.features is None:
            return state
        lazy = LazyPenalty.new([original.shape[1]], [original.nnz_per_row])
        whole = ModelState.new(updates, original, lazy if len(state.lazy_penalty.stops) else None)
        whole = replace(whole, step=state.step, base=state.base, dog=state.dog)
        whole.array[self.features, : state.width] = state.array[:-1, : state.width]
        whole.array[-1] = state.array[-1]
        if whole.average is not None and state.average is not None:
            whole.average.changes[self.features] = state.average.changes[:-1]
            whole.average.changes[-1] = state.average.changes[-1]
            whole.average.since = state.average.since
        return whole


def worthwhile(X: DesignMatrix, n_epochs: int, mini_batch: bool) -> bool:
    """Whether a copy of the rows pays."""
    return (
        X.sparse
        and n_epochs >= (MIN_EPOCHS_BATCHES if mini_batch else MIN_EPOCHS)
        and X.values.size <= MAX_VALUES
        and X.shape[1] < 1 << 31
    )


def reorder(X: DesignMatrix, order: np.ndarray, slot_bytes: int) -> ReorderedData:
    """A copy of the rows in this order; features are numbered anew where their slots, of
    slot_bytes each, would not fit the cache."""
    n_rows, one_value = X.shape[0], all_ones(X.values)
    csr, features, counts = _backend.active.reordered_rows(X, order, slot_bytes, one_value)
    values, indices, indptr = csr
    if one_value:
        values = ones(len(indices), X.dtype)
    n_features = X.shape[1] if features is None else len(features)
    reordered = DesignMatrix((n_rows, n_features), values, indptr, indices)
    if features is None:
        return ReorderedData(reordered, order, None, LazyPenalty.new([n_features], [X.nnz_per_row]))
    return ReorderedData(reordered, order, features, _groups(n_features, counts, n_rows))


def _groups(n_features: int, counts: np.ndarray, n_rows: int) -> LazyPenalty:
    """Groups of features of similar frequency, as they are numbered: below 1024, 2048, 4096, ...

    counts has the number of values whose feature's number has so many bits.
    """
    bits = (n_features - 1).bit_length()
    if bits <= 10:
        return LazyPenalty.new([n_features], [counts.sum() / n_rows])
    stops = np.minimum(1 << np.arange(10, bits + 1), n_features)
    values = np.concatenate([[counts[:11].sum()], counts[11 : bits + 1]])
    return LazyPenalty.new(stops, values / n_rows)
