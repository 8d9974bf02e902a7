"""Trained models out of the pickles of 0.1.0, whose classes had other names."""

from __future__ import annotations

from typing import Any

from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import (
    DoGSums,
    LazyPenalty,
    ModelState,
    UpdateConfig,
    WeightAverage,
)
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import TrainedModel
from lrcore.penalties import ElasticNet


def trained_model(fitted: Any, solver: str) -> TrainedModel:
    """The model that a `Fitted` of 0.1.0 was, of an estimator with this solver."""
    method = fitted.method
    penalty = ElasticNet(method.l1, method.l2)
    objective = Objective(method.loss, penalty, method.intercept, method.factors)
    updates = None
    if solver != "dual":
        updates = UpdateConfig(
            method.rule, method.batch_size, method.block_size, method.n_outputs,
            method.averaged_from, method.rate_factors,
        )  # fmt: skip
    states = [model_state(state) for state in fitted.states]
    replay = None
    if fitted.pending is not None:
        data = fitted.pending.data
        X = DesignMatrix(data.rows.shape, data.rows.values, data.rows.indptr, data.rows.indices)
        rows = Problem(X, data.targets, data.weight, objective)
        replay = ReplayBuffer(rows, [model_state(state) for state in fitted.pending.before])
    return TrainedModel(states, objective, updates, fitted.scale, replay)


def model_state(old: Any) -> ModelState:
    """The state that a `State` of 0.1.0 was."""
    debt, average, pace = old.debt, old.average, old.pace
    return ModelState(
        old.array, old.width, old.by_feature, old.n_outputs, old.step, old.base,
        LazyPenalty(debt.stops, debt.periods, debt.unpaid, debt.owed),
        old.block,
        old.until,
        None if average is None else WeightAverage(average.changes, average.since),
        None if pace is None else DoGSums(pace.sums, pace.measured),
    )  # fmt: skip
