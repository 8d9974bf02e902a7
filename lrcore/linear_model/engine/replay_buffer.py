"""Rows that the next call of a stream goes over again, and the state before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.problem import Problem

#: Features up to which all are saved before such rows, so that the penalty may be applied in the
#: meantime; in larger models it is not applied until the rows are whole blocks.
SMALL = 1 << 16


@dataclass(frozen=True)
class ReplayBuffer:
    """Rows since the last place where a block or batch ends, copied, and the states before them, of
    the features that they touch and the intercept alone.

    The scale of columns has seen these rows; it would be the same had it not, since it takes in a
    whole block before the first of its rows is divided by it.
    """

    rows: Problem
    before: list[ModelState]

    @classmethod
    def of(cls, rows: Problem, states: list[ModelState]) -> ReplayBuffer:
        """For states that are about to learn from these rows."""
        touched = saved_features(rows.X)
        before = [state.part(touched) for state in states]
        return cls(rows.take(np.arange(rows.n_rows)), before)

    def undo(self, states: list[ModelState]) -> None:
        """Make the states what they were before these rows."""
        touched = saved_features(self.rows.X)
        for state, before in zip(states, self.before):
            state.put_back(touched, before)


def saves_all(X: DesignMatrix) -> bool:
    """Whether all features are saved before rows, not only those that they touch."""
    return X.indices is None or X.shape[1] <= SMALL


def saved_features(X: DesignMatrix) -> np.ndarray:
    """The features that are saved before rows, and the intercept; some more than once, since to
    find the different ones would take longer than everything else."""
    n_features = X.shape[1]
    if X.indices is None or saves_all(X):
        return np.arange(n_features + 1)
    return np.append(X.indices, n_features)
