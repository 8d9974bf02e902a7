"""Rows that a stream goes over again, and what was there before it learnt from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lrcore.linear_model.engine.design_matrix import Rows
from lrcore.linear_model.engine.layout import State
from lrcore.linear_model.problem import Data

#: Features of which all are saved before rows that are gone over again, so that penalties may be
#: paid meanwhile; of larger models they are not, until the rows are whole blocks.
SMALL = 1 << 16


@dataclass(frozen=True)
class Pending:
    """Rows since the last place where a block or batch ends, copied, and the states before them, of
    the features that they touch and the intercept alone.

    The scale of columns has seen these rows; it would be the same had it not, since it takes in a
    whole block before the first of its rows is divided by it.
    """

    data: Data
    before: list[State]

    @classmethod
    def of(cls, data: Data, states: list[State]) -> Pending:
        """Of states that are about to learn from these rows."""
        touched = features_of(data.rows)
        before = [part_of(state, touched) for state in states]
        return cls(data.take(np.arange(data.rows.shape[0])), before)

    def undo(self, states: list[State]) -> None:
        """Make the states what they were before these rows."""
        touched = features_of(self.data.rows)
        for state, before in zip(states, self.before):
            if state.by_feature and before.by_feature:
                state.array[touched] = before.array
            else:
                state.columns[:, touched] = before.columns
            if state.average is not None and before.average is not None:
                state.average.changes[touched] = before.average.changes
            state.step, state.base = before.step, before.base
            state.block, state.until = before.block, before.until
            state.debt = before.debt.copy()
            state.pace = before.pace and before.pace.copy()


def all_saved(rows: Rows) -> bool:
    """Whether all features are saved before rows, not only those that they touch."""
    return rows.indices is None or rows.shape[1] <= SMALL


def features_of(rows: Rows) -> np.ndarray:
    """Those that are saved before rows, and the intercept; some more than once, since to find the
    different ones would take longer than all else."""
    n_features = rows.shape[1]
    if rows.indices is None or all_saved(rows):
        return np.arange(n_features + 1)
    return np.append(rows.indices, n_features)


def part_of(state: State, features: np.ndarray) -> State:
    """A copy with these features alone."""
    average = state.average and replace(state.average, changes=state.average.changes[features])
    array = state.array[features] if state.by_feature else state.array[:, features]
    pace = state.pace and state.pace.copy()
    return replace(state, array=array, debt=state.debt.copy(), average=average, pace=pace)
