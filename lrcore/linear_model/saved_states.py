"""The states of a model as arrays and JSON values of its file.

A hashed model has learnt of a fraction of its features, and the numbers of all others are the same.
Where these are most, they are written once: 20 outputs of 2**20 features, of which 20newsgroups has
80,000, take 16 MB that way, and 200 MB in full.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from lrcore._utils.archive import Arrays
from lrcore._utils.validation import check_integer
from lrcore.linear_model.engine.layout import (
    DoGSums,
    LazyPenalty,
    ModelState,
    UpdateConfig,
    WeightAverage,
    aligned_zeros,
    n_lanes,
    slot_width,
)

#: Features that are compared at a time, so that they stay in the cache; no fewer are left out.
PIECE = 4096

#: Ends of the names of the arrays beside that of some features: which these are, and the numbers of
#: any other feature.
FEATURES, OTHERS = "_features", "_others"


def state_arrays(name: str, average: str, states: list[ModelState]) -> dict[str, np.ndarray]:
    """The arrays of states, by name."""
    arrays: dict[str, np.ndarray] = {}
    for k, state in enumerate(states):
        rows = state.columns.T
        changes = None if state.average is None else state.average.changes
        most, unlike = _unlike_most(rows)
        if changes is not None:
            unlike |= changes.any(axis=1)
        features = np.flatnonzero(unlike)
        if len(rows) - len(features) >= max(PIECE, len(rows) // 2):
            rows, changes = rows[features], changes if changes is None else changes[features]
            arrays[f"{name}_{k}{FEATURES}"], arrays[f"{name}_{k}{OTHERS}"] = features, most
        arrays[f"{name}_{k}"] = np.ascontiguousarray(rows.T)
        if changes is not None:
            arrays[f"{average}_{k}"] = changes
    return arrays


def _unlike_most(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What most features seem to have, and whether each has something else, by their bits."""
    bits, n = rows.view(f"u{rows.itemsize}"), len(rows)
    sample = Counter(row.tobytes() for row in bits[:: max(1, n // 64)])
    most = np.frombuffer(sample.most_common(1)[0][0], bits.dtype)
    unlike = [(bits[k : k + PIECE] != most).any(axis=1) for k in range(0, n, PIECE)]
    return most.view(rows.dtype), np.concatenate(unlike)


def places(states: list[ModelState]) -> list[list[Any]]:
    """Where each state is in its run."""
    return [
        [
            s.step,
            s.base,
            _lazy_to_list(s.lazy_penalty),
            s.block,
            s.until,
            s.dog and _dog_to_list(s.dog),
        ]
        for s in states
    ]


def saved_states(
    places: list[list[Any]], since: list[int | None], names: tuple[str, str], arrays: Arrays,
    updates: UpdateConfig | None, n_columns: int, n_outputs: int = 1,
) -> list[ModelState]:  # fmt: skip
    """States of so many features, the intercept among them, as `state_arrays` and `places` wrote
    them; without update rule of so many outputs."""
    width, is_dog = n_lanes(n_outputs), False
    if updates is not None:
        width, n_outputs = updates.layout.width, updates.n_outputs
        is_dog = updates.rule.uses_distance
    states = []
    for k, (step, base, lazy, block, until, dog) in enumerate(places):
        name, average = (f"{name}_{k}" for name in names)
        state = _state(name, arrays, (width, n_columns), n_outputs)
        state.step, state.base, state.lazy_penalty = step, base, _lazy_from_list(lazy)
        state.block, state.until = block, until
        if is_dog:
            state.dog = _dog_from_list(dog)
        started = since[k]
        if started is not None:
            changes = np.ascontiguousarray(arrays[average])
            features = arrays.get(name + FEATURES)
            if features is not None:
                changes, given = np.zeros((n_columns, changes.shape[1]), changes.dtype), changes
                changes[features] = given
            state.average = WeightAverage(changes, started)
        states.append(state)
    return states


def _state(name: str, arrays: Arrays, shape: tuple[int, int], n_outputs: int) -> ModelState:
    """A state of this shape, the columns of a feature side by side if it has several outputs."""
    array, (width, n_columns) = arrays[name], shape
    features, others = arrays.get(name + FEATURES), arrays.get(name + OTHERS)
    n_kept = n_columns if features is None else len(features)
    if array.shape != (width, n_kept) or array.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"{name} must have shape {(width, n_kept)}, got {array.shape} {array.dtype}"
        )
    by_feature = n_outputs > 1
    if features is None and not by_feature:
        return ModelState(np.ascontiguousarray(array), width, by_feature, n_outputs)
    if by_feature:
        whole = aligned_zeros((n_columns, slot_width(width)), array.dtype)
    else:
        whole = aligned_zeros(shape, array.dtype)
    state = ModelState(whole, width, by_feature, n_outputs)
    if features is None:
        state.columns[...] = array
        return state
    if features.ndim != 1 or features.dtype != np.int64 or (features.size and (
        features[0] < 0 or features[-1] >= n_columns or (np.diff(features) <= 0).any()
    )):  # fmt: skip
        raise ValueError(f"{name + FEATURES} must be features of {n_columns} that ascend")
    if others is None or others.shape != (width,) or others.dtype != array.dtype:
        raise ValueError(f"{name + OTHERS} must have shape {(width,)} and dtype {array.dtype}")
    if others.any() or np.signbit(others).any():  # memory that is not written takes none
        state.columns[...] = others[:, None]
    state.columns[:, features] = array
    return state


def _dog_to_list(dog: DoGSums) -> list[Any]:
    return [*(float(x).hex() for x in dog.sums), dog.measured]


def _dog_from_list(saved: list[Any]) -> DoGSums:
    squares, furthest, distance2, measured = saved
    return DoGSums(np.array([float.fromhex(x) for x in (squares, furthest, distance2)]), measured)


def _lazy_to_list(lazy: LazyPenalty) -> list[list[Any]]:
    groups = zip(lazy.stops, lazy.periods, lazy.rows_since, lazy.accumulated_lr)
    return [[int(stop), int(period), int(n), float(lr).hex()] for stop, period, n, lr in groups]


def _lazy_from_list(groups: list[list[Any]]) -> LazyPenalty:
    for number in (number for group in groups for number in group[:3]):
        check_integer("groups of features", number, least=None)
    stops, periods, since = (np.array([g[k] for g in groups], np.int64) for k in range(3))
    lr = np.array([float.fromhex(g[3]) for g in groups])
    return LazyPenalty(stops, periods, since, lr)
