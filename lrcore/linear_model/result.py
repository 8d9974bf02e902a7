"""What a fit results in: the trained model, and a record of how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lrcore._backend.rounding import rounded_to_nearest
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.epoch import apply_penalty
from lrcore.linear_model.engine.layout import ModelState, UpdateConfig
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer
from lrcore.linear_model.monitor.history import History
from lrcore.linear_model.problem import Objective, Problem
from lrcore.schedules import Plateau, Schedule

if TYPE_CHECKING:
    from lrcore.linear_model.auto_alpha import AlphaPath


#: Weights for each value of X from which on those of its features alone are worked out for a
#: prediction: a third of the time at that number, where all are 20 outputs of a million features.
FEW = 4


class DualVariables(NamedTuple):
    """The targets of the rows that a dual solver has fitted, and its variables, (n_rows, n_outputs)
    with those of a joint loss."""

    y: np.ndarray
    values: np.ndarray


class TrainedModel:
    """The weights of a fit, and everything that goes on from them.

    Parameters
    ----------
    states : list of ModelState
        Each with the outputs that are updated together.
    objective : Objective
    updates : UpdateConfig or None
        None after a solver that does not step by an update rule.
    scale : ndarray of shape (n_features,), optional
        What the columns of X were divided by.
    replay : ReplayBuffer, optional
        The rows that a stream goes over again.
    dual : list of DualVariables, optional
        Of each target, after a dual solver, which can go on from them; not in pickles.
    beginning : Problem, optional
        The rows of a stream so far, while they are so few that its rate may still change.

    Attributes
    ----------
    disposable : bool
        Whether nobody will look at the states again, so that a stream may move them in place.
    """

    disposable = False

    def __init__(
        self, states: list[ModelState], objective: Objective, updates: UpdateConfig | None = None,
        scale: np.ndarray | None = None, replay: ReplayBuffer | None = None,
        dual: list[DualVariables] | None = None, beginning: Problem | None = None,
    ) -> None:  # fmt: skip
        self.states = states
        self.objective = objective
        self.updates = updates
        self.scale = scale
        self.replay = replay
        self.dual = dual
        self.beginning = beginning

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "dual": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {"dual": None, "beginning": None, **state}

    @property
    def t(self) -> int:
        """Steps done."""
        return self.states[0].t

    @property
    def n_outputs(self) -> int:
        """Outputs of all states."""
        return sum(state.n_outputs for state in self.states)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.states[0].array.dtype

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_outputs, n_features), for X as it is, and (n_outputs,), both to be read: with all
        penalties applied, on copies of the states where one is due."""
        found = []
        for state in self.states:
            if state.lazy_penalty.is_due and self.updates is not None:
                state = state.copy()
                apply_penalty(state, self.objective, self.updates)
            found.append(state.averaged_weights)
        both = found[0] if len(found) == 1 else np.concatenate(found)
        of_columns = both[:, :-1] if self.scale is None else both[:, :-1] / self.scale
        weights, intercepts = np.ascontiguousarray(of_columns), both[:, -1].copy()
        # They follow from the states: what is written into them would be lost with the next step.
        weights.flags.writeable = intercepts.flags.writeable = False
        return weights, intercepts

    @property
    def intercepts(self) -> np.ndarray:
        """(n_outputs,), without the other weights."""
        last = np.array([-1])
        return np.concatenate([state.part(last).averaged_weights[:, 0] for state in self.states])

    def raw_predictions(self, X: DesignMatrix, n_threads: int | None) -> np.ndarray:
        """``X @ weights.T + intercepts``, (n_rows, n_outputs), in X's dtype."""
        model, n_values, n_weights = self, X.values.size, X.shape[1] * self.n_outputs
        if X.sparse and n_values * FEW < n_weights and not self._is_ready(X.dtype):
            X, features = X.with_used_features()
            model = self if features is None else self.of_features(features)
        if self.n_outputs > 1 and X.sparse:
            return X.raw_predictions_of_outputs(*model._by_feature(X.dtype), n_threads)
        weights, intercepts = (part.astype(X.dtype, copy=False) for part in model.weights)
        return X.raw_predictions_of_outputs(weights.T, intercepts, n_threads)

    def _by_feature(self, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercepts with the outputs of a feature side by side: those of the state, if
        they are what they should be, else a copy, made anew each time to save its memory."""
        state, n = self.states[0], self.n_outputs
        if self._lies_by_feature(dtype):
            return state.array[:-1, :n], state.array[-1, :n].copy()
        weights, intercepts = (part.astype(dtype, copy=False) for part in self.weights)
        padded = np.zeros((weights.shape[1], -(-n // 8) * 8), dtype)
        padded[:, :n] = weights.T
        return padded[:, :n], intercepts

    def _lies_by_feature(self, dtype: np.dtype[Any]) -> bool:
        """Whether the arrays of the states are what `_by_feature` gives."""
        state = self.states[0]
        plain = not state.lazy_penalty.is_due and state.average is None and self.scale is None
        return len(self.states) == 1 and plain and state.by_feature and self.dtype == dtype

    def _is_ready(self, dtype: np.dtype[Any]) -> bool:
        """Whether the weights need not be worked out for a prediction."""
        if self.n_outputs > 1:
            return self._lies_by_feature(dtype)
        return "weights" in self.__dict__ and self.dtype == dtype

    def of_features(self, features: np.ndarray) -> TrainedModel:
        """The weights of these features alone, which ascend: a copy, to predict by."""
        states = []
        for whole in self.states:
            state = whole.part(np.append(features, whole.weights.shape[1] - 1))
            stops = np.searchsorted(features, state.lazy_penalty.stops)
            state.lazy_penalty = replace(state.lazy_penalty, stops=stops)
            states.append(state)
        scale = None if self.scale is None else self.scale[features]
        return TrainedModel(states, self.objective.of_features(features), self.updates, scale)

    def among(self, features: np.ndarray, n_features: int, objective: Objective) -> TrainedModel:
        """The model of these features, without an update rule, as one of n_features that have this
        objective."""
        states = [state.among(features, n_features) for state in self.states]
        return TrainedModel(states, objective, dual=self.dual)

    def row_losses(self, problem: Problem, n_threads: int | None) -> np.ndarray:
        """(n_rows,): the mean over targets of each row's loss."""
        raw = self.raw_predictions(problem.X, n_threads).astype(np.float64)
        loss, found, n = self.objective.loss, [], problem.outputs_per_target
        for k, y in enumerate(problem.targets):
            z = raw[:, k * n : (k + 1) * n] + problem.offset(k)
            found.append(loss.evaluate(z if loss.joint else z[:, 0], y)[0])
        return problem.mean_of_targets(found)

    @rounded_to_nearest
    def mean_loss(self, problem: Problem, n_threads: int | None) -> float:
        """Mean over rows and targets of the loss."""
        return problem.mean(self.row_losses(problem, n_threads))

    def objective_value(self, problem: Problem, n_threads: int | None) -> float:
        """What is minimised: the mean loss and the penalty, of the weights of scaled columns where
        they are, over targets."""
        w = self.weights[0].astype(np.float64)
        w = w if self.scale is None else w * self.scale
        penalty = self.objective.penalty_value(w) / len(problem.targets)
        return self.mean_loss(problem, n_threads) + penalty


@dataclass
class FitResult:
    """A trained model and how its fit went.

    Parameters
    ----------
    model : TrainedModel
    loss_curve : list of float
        The mean loss of each epoch, of each row just before it was learnt from.
    stopping_curve : list of float
        What was measured after each epoch to stop by it.
    interrupted : bool
        Whether Ctrl-C ended the fit.
    dual_gap : float, optional
        How far it is from the minimum, at most, over the objective.
    went_back : bool
        Whether the model is that of an epoch before the last, and the gap is not.
    n_rows : int
        The rows that a stream learnt from.
    lane_curves : ndarray of shape (n_epochs, n_lanes), optional
        The summed losses of each epoch at each of several rates.
    lr : float or Schedule, optional
        The rate that was chosen, if one was.
    lr_losses : ndarray, optional
        What the model lost at each of several rates.
    history : History
        A record of each epoch.
    plateau : Plateau, optional
        The copy of the rule's Plateau that the fit has fed.
    aims_at_minimum : bool
        Whether the fit was to end at the minimum, and nothing but `max_iter` ended it, so that what
        is left is worth a warning.
    left_out : callable, optional
        Works out the mean loss of rows each of which is left out of the fit.
    solver : str
        The name of the solver.
    alpha : float
        The weight of the penalty.
    alpha_path : AlphaPath, optional
        What was tried to find alpha.
    """

    model: TrainedModel
    loss_curve: list[float]
    stopping_curve: list[float] = field(default_factory=list)
    interrupted: bool = False
    dual_gap: float | None = None
    went_back: bool = False
    n_rows: int = 0
    lane_curves: np.ndarray | None = None
    lr: float | Schedule | None = None
    lr_losses: np.ndarray | None = None
    history: History = field(default_factory=History)
    plateau: Plateau | None = None
    aims_at_minimum: bool = False
    left_out: Callable[[], float] | None = None
    solver: str = "stochastic"
    alpha: float = 0.0
    alpha_path: AlphaPath | None = None
