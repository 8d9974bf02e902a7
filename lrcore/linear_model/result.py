"""What a fit has come to: weights, and what goes on from them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.engine.design_matrix import Rows
from lrcore.linear_model.engine.layout import Method, State
from lrcore.linear_model.engine.replay_buffer import Pending
from lrcore.linear_model.problem import Data


class Fitted:
    """The states of a fit, each with the outputs that move together, the method that made them,
    the scale of X's columns, (n_features,), if they were divided by it, and the rows that a stream
    goes over again, if there are any."""

    def __init__(
        self, states: list[State], method: Method, scale: np.ndarray | None = None,
        pending: Pending | None = None,
    ) -> None:  # fmt: skip
        self.states = states
        self.method = method
        self.scale = scale
        self.pending = pending

    @property
    def t(self) -> int:
        """Steps done."""
        return self.states[0].base + self.states[0].step

    @property
    def n_outputs(self) -> int:
        """Outputs of all states."""
        return len(self.states) * self.method.n_outputs

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_outputs, n_features), of X as it is, and (n_outputs,): every penalty paid, on copies
        of the states where any is owed."""
        settled = []
        for state in self.states:
            if state.debt.owed.any():
                state = state.copy()
                epochs.settle(state, self.method)
            settled.append(state.averaged_weights)
        both = settled[0] if len(settled) == 1 else np.concatenate(settled)
        of_columns = both[:, :-1] if self.scale is None else both[:, :-1] / self.scale
        return np.ascontiguousarray(of_columns), both[:, -1].copy()

    def margins(self, rows: Rows, n_threads: int | None) -> np.ndarray:
        """X @ weights.T + intercepts, (n_rows, n_outputs), in X's dtype."""
        if self.n_outputs > 1 and rows.one_pass:
            return rows.margins_of_several(*self._by_feature(rows.dtype), n_threads)
        weights, intercepts = (part.astype(rows.dtype, copy=False) for part in self.weights)
        columns = [rows.margins(w, float(b), n_threads) for w, b in zip(weights, intercepts)]
        return np.stack(columns, axis=1)

    def _by_feature(self, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercepts as `Rows.margins_of_several` takes them: those of the state, if
        they are what they should be, else a copy, made anew each time to save its memory."""
        state, n = self.states[0], self.n_outputs
        paid = not state.debt.owed.any() and state.average is None and self.scale is None
        if len(self.states) == 1 and paid and state.array.dtype == dtype:
            return state.array[:-1, :n], state.array[-1, :n].copy()
        weights, intercepts = (part.astype(dtype, copy=False) for part in self.weights)
        padded = np.zeros((weights.shape[1], -(-n // 8) * 8), dtype)
        padded[:, :n] = weights.T
        return padded[:, :n], intercepts

    def row_losses(self, data: Data, n_threads: int | None) -> np.ndarray:
        """(n_rows,): the mean over targets of each row's loss, with nothing learnt meanwhile."""
        margins = self.margins(data.rows, n_threads).astype(np.float64)
        loss, total, n_outputs = self.method.loss, np.zeros(len(margins)), data.n_outputs
        for k, y in enumerate(data.targets):
            z = margins[:, k * n_outputs : (k + 1) * n_outputs]
            total += loss.evaluate(z if loss.joint else z[:, 0], y)[0]
        return total / len(data.targets)

    def mean_loss(self, data: Data, n_threads: int | None) -> float:
        """Mean over rows and targets of the loss."""
        return data.mean(self.row_losses(data, n_threads))

    def objective(self, data: Data, n_threads: int | None) -> float:
        """What is minimised: the mean loss and the penalty, of the weights of scaled columns where
        they are, over targets."""
        w, method = self.weights[0].astype(np.float64), self.method
        w = w if self.scale is None else w * self.scale
        factors = 1.0 if method.factors is None else method.factors
        penalty = method.l1 * (factors * np.abs(w)).sum()
        penalty += method.l2 / 2 * (factors * np.square(w)).sum()
        return self.mean_loss(data, n_threads) + float(penalty) / len(data.targets)
