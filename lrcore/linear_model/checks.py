"""What a trained model has to be for the core to work on it, whoever wrote its file or pickle.

A digest without a key says that a file is whole, not who wrote it. So every count, size, place and
number is checked here before anything is done with it: the core would read and write wherever they
point to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lrcore._utils.validation import check_flag, check_integer, check_number
from lrcore.linear_model.engine.design_matrix import (
    DTYPES,
    DesignMatrix,
    csr_rows,
    validated,
)
from lrcore.linear_model.engine.epoch import LAST_STEP_LIMIT
from lrcore.linear_model.engine.layout import (
    DoGSums,
    LazyPenalty,
    ModelState,
    UpdateConfig,
    n_lanes,
    slot_width,
)
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer, saved_features
from lrcore.linear_model.offset import LARGEST_LOG
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import TrainedModel
from lrcore.linear_model.solvers.stream_start import MOST_ROWS

#: Groups of features that the core has room for.
MOST_GROUPS = 40

#: Steps and rows are counted in 64 bits, with room to add to them.
MOST_STEPS = 1 << 60


def check_model(trained: TrainedModel, n_features: int) -> None:
    """Raise unless the core can predict by a model of so many features, and go on from it.

    Raises
    ------
    ValueError, TypeError
    """
    check_integer("n_features", n_features)
    objective, updates = trained.objective, trained.updates
    check_objective(objective, n_features)
    if updates is not None:
        check_updates(updates, objective)
    if not trained.states:
        raise ValueError("a model has at least one state")
    dtype = trained.states[0].array.dtype
    for k, state in enumerate(trained.states):
        check_state(f"state_{k}", state, trained, n_features, n_features + 1)
        if state.array.dtype != dtype:
            raise ValueError(f"state_{k} is of {state.array.dtype}, and the first of {dtype}")
    check_vector("scale", trained.scale, n_features, dtype, least=np.finfo(dtype).tiny)
    if trained.replay is not None:
        check_replay(trained.replay, trained, n_features)
    if trained.beginning is not None:
        check_beginning(trained.beginning, trained, n_features)


def check_vector(
    name: str, values: np.ndarray | None, n: int, dtype: Any = np.float64, least: float = 0.0
) -> None:
    """Raise unless there is no such array, or it has n finite numbers of this dtype, all at least
    so large."""
    if values is None:
        return
    if values.shape != (n,) or values.dtype != dtype:
        raise ValueError(
            f"{name} must have {n} numbers of {np.dtype(dtype)}, got shape {values.shape} of "
            f"{values.dtype}"
        )
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= least)))
    if bad.size:
        raise ValueError(f"{name} must be finite and >= {least:g}, got {values[bad[0]]}")


def check_objective(objective: Objective, n_features: int) -> None:
    """Raise unless its numbers are such, and there are as many as features."""
    loss = objective.loss
    check_number("parameter", loss.parameter)
    if loss.joint and loss.parameter != loss.n_raw_predictions:
        raise ValueError(f"a loss of several outputs needs whole ones, got {loss.parameter}")
    for strength in objective.penalty.strengths:
        check_number("penalty", strength, 0)
    check_flag("intercept", objective.fit_intercept)
    check_vector("factors", objective.penalty_factors, n_features)
    tiny = np.finfo(np.float64).tiny
    check_vector("column_scale", objective.column_scale, n_features, least=tiny)
    positive = objective.positive
    if positive is not None and (positive.shape != (n_features,) or positive.dtype != bool):
        raise ValueError(f"positive must be {n_features} flags, got {positive.dtype}")


def check_updates(updates: UpdateConfig, objective: Objective) -> None:
    """Raise unless linear models can step in this way."""
    formula = updates.rule.linear_formula
    if formula is None:
        raise ValueError(f"{type(updates.rule).__name__} does not step linear models")
    if objective.moves_weights and not formula.metric:
        raise ValueError(f"{type(updates.rule).__name__} cannot apply a penalty")
    for name in ("batch_size", "block_size", "n_outputs"):
        check_integer(name, getattr(updates, name))
    if updates.averaged_from is not None:
        check_integer("averaged_from", updates.averaged_from, 0)
    if objective.loss.joint and updates.n_outputs != objective.loss.n_raw_predictions:
        raise ValueError(
            f"a loss of {objective.loss.n_raw_predictions} outputs has states of as many, got "
            f"{updates.n_outputs}"
        )


def check_state(
    name: str, state: ModelState, trained: TrainedModel, n_features: int, n_columns: int
) -> None:
    """Raise unless the arrays of a state are of n_columns features, and its counts could be."""
    updates = trained.updates
    if updates is not None:
        n_outputs, width, lanes = updates.n_outputs, updates.layout.width, updates.layout.lanes
    else:
        n_outputs = trained.objective.loss.n_raw_predictions if len(trained.states) == 1 else 1
        width = lanes = n_lanes(n_outputs)
    if (state.n_outputs, state.width) != (n_outputs, width):
        raise ValueError(
            f"{name} must be of {n_outputs} outputs in {width} columns, got {state.n_outputs} in "
            f"{state.width}"
        )
    # Solvers without a rule leave out the padding of slots.
    slot = slot_width(width) if updates or state.array.shape[-1:] != (width,) else width
    shape = (n_columns, slot) if state.by_feature else (width, n_columns)
    check_memory(name, state.array, shape)
    check_steps(name, state, updates)
    check_groups(name, state.lazy_penalty, updates, n_features)
    if (state.dog is not None) != (updates is not None and updates.rule.uses_distance):
        raise ValueError(f"{name} must have sums of DoG if and only if the rule is DoG")
    if state.dog is not None:
        check_dog(name, state.dog)
    averages = updates is not None and updates.averaged_from is not None
    if (state.average is not None) != averages:
        raise ValueError(f"{name} must have an average if and only if there are to be averages")
    if state.average is not None:
        check_memory(f"average of {name}", state.average.changes, (n_columns, lanes))
        check_count(f"average of {name}", state.average.since)
        if state.average.changes.dtype != state.array.dtype:
            raise ValueError(f"average of {name} must be of {state.array.dtype}")


def check_memory(name: str, array: np.ndarray, shape: tuple[int, int]) -> None:
    """Raise unless an array is a piece of memory of this shape that the core can read."""
    if array.shape != shape or array.dtype not in DTYPES or not array.flags.c_contiguous:
        raise ValueError(
            f"{name} must be an array of shape {shape} of float32 or float64, got shape "
            f"{array.shape} of {array.dtype}"
        )


def check_count(name: str, n: Any, most: int = MOST_STEPS) -> None:
    """Raise unless n is an integer from 0 to the most."""
    check_integer(name, n, 0)
    if n > most:
        raise ValueError(f"{name} must be at most {most:,}, got {n:,}")


def check_steps(name: str, state: ModelState, updates: UpdateConfig | None) -> None:
    """Raise unless numbers of steps, and the size of blocks, could be."""
    check_count(f"steps of {name}", state.step, LAST_STEP_LIMIT if updates else MOST_STEPS)
    check_count(f"base of {name}", state.base)
    check_count(f"end of blocks of {name}", state.until)
    largest = 1 if updates is None else max(updates.batch_size, updates.block_size)
    check_integer(f"block of {name}", state.block)
    if state.block > largest:
        raise ValueError(f"block of {name} must be at most {largest}, got {state.block}")


def check_groups(
    name: str, lazy: LazyPenalty, updates: UpdateConfig | None, n_features: int
) -> None:
    """Raise unless groups of features are within the model, and as few as the core has room for."""
    n = len(lazy.stops)
    if n > (MOST_GROUPS if updates else 0):
        raise ValueError(f"{name} must have at most {MOST_GROUPS} groups of features, got {n}")
    numbers: Sequence[np.ndarray] = (lazy.stops, lazy.periods, lazy.rows_since)
    if any(each.shape != (n,) or each.dtype != np.int64 for each in numbers):
        raise ValueError(f"groups of features of {name} must have {n} integers each")
    check_vector(f"rates of groups of {name}", lazy.accumulated_lr, n)
    if not n:
        return
    if np.any(np.diff(lazy.stops, prepend=0) < 0) or lazy.stops[-1] != n_features:
        raise ValueError(f"groups of features of {name} must rise to {n_features}: {lazy.stops}")
    if np.any(lazy.periods < 1) or np.any(lazy.rows_since < 0):
        raise ValueError(f"groups of features of {name} must have rows >= 0 and periods >= 1")
    if max(lazy.periods.max(), lazy.rows_since.max()) > MOST_STEPS:
        raise ValueError(f"groups of features of {name} must have fewer rows")
    assert updates is not None
    if not updates.formula.metric:
        raise ValueError(f"{type(updates.rule).__name__} cannot apply a penalty")


def check_dog(name: str, dog: DoGSums) -> None:
    """Raise unless what DoG's rate follows from could be."""
    check_vector(f"sums of DoG of {name}", dog.sums, 3)
    if dog.sums[1] == 0:
        raise ValueError(f"{name} must have moved, or have an initial distance, got 0")
    check_count(f"measured step of {name}", dog.measured)


def check_rows(X: DesignMatrix) -> None:
    """Raise unless the core can go over these rows."""
    if X.indptr is None or X.indices is None:
        check_memory("rows", X.values, X.shape)
    else:
        same = csr_rows(X.indptr, X.indices, X.values, X.shape, X.dtype)
        if not same.values.size == X.values.size == X.indices.size:
            raise ValueError("rows must have as many values as indices")
    if X.dtype not in DTYPES or len(X.shape) != 2 or 0 in X.shape:
        raise ValueError(f"rows must be float32 or float64, got {X.shape} of {X.dtype}")
    if validated(X, None, None) is not X:
        raise ValueError("rows must have indices that rise")


def check_replay(replay: ReplayBuffer, trained: TrainedModel, n_features: int) -> None:
    """Raise unless the rows to go over again are as those of a fit are."""
    rows, updates = replay.rows, trained.updates
    if updates is None:
        raise ValueError("only steps of a rule go over rows again")
    if not len(rows.targets) == len(replay.before) == len(trained.states):
        raise ValueError("rows to go over again need a target and a state for each of the model's")
    check_learnable("rows to go over again", rows, updates.n_targets(trained.objective.loss),
                    trained, n_features)  # fmt: skip
    n_columns = len(saved_features(rows.X))
    for k, state in enumerate(replay.before):
        # A pickle of before may have them the other way round in memory.
        state = replace(state, array=np.ascontiguousarray(state.array))
        check_state(f"state_before_{k}", state, trained, n_features, n_columns)
        if state.array.dtype != trained.dtype:
            raise ValueError(f"state_before_{k} must be of {trained.dtype}")


def check_beginning(rows: Problem, trained: TrainedModel, n_features: int) -> None:
    """Raise unless the first rows of a stream are such that it can begin with them again."""
    if trained.updates is None:
        raise ValueError("only steps of a rule begin again")
    n_outputs = len(rows.targets) * trained.objective.loss.n_raw_predictions
    if n_outputs != trained.n_outputs:
        raise ValueError(f"the first rows need targets for {trained.n_outputs} outputs")
    check_learnable("the first rows", rows, 1, trained, n_features)
    if rows.n_rows >= MOST_ROWS:
        raise ValueError(f"the first rows must be fewer than {MOST_ROWS}, got {rows.n_rows}")


def check_learnable(
    what: str, rows: Problem, n_targets: int, trained: TrainedModel, n_features: int
) -> None:
    """Raise unless the model can learn from these rows, of so many numbers for each target."""
    loss = trained.objective.loss
    check_rows(rows.X)
    check_vector(f"weights of {what}", rows.sample_weight, rows.n_rows)
    n_rows = rows.X.shape[0]
    shape = (n_rows,) if n_targets == 1 else (n_rows, n_targets)
    for y in rows.targets:
        if y.shape != shape or y.dtype != np.float64 or not np.isfinite(y).all():
            raise ValueError(f"targets of {what} must be finite, float64, of shape {shape}")
        if loss.outside(y).size:
            raise ValueError(f"targets of {what} must be {loss.domain}")
        if loss.joint and not np.isin(y, np.arange(loss.n_raw_predictions)).all():
            raise ValueError(f"targets of {what} must be numbers of classes")
    for offset in rows.offsets or []:
        if offset.shape != (n_rows, n_targets) or offset.dtype != np.float64:
            raise ValueError(f"offsets of {what} must be float64, of shape {(n_rows, n_targets)}")
        if not (loss.log_link and (np.abs(offset) <= LARGEST_LOG).all()):
            raise ValueError(f"offsets of {what} must be logarithms that the loss takes")
    if len(rows.offsets or rows.targets) != len(rows.targets):
        raise ValueError(f"{what} need an offset for each target, or none")
    if rows.X.shape[1] != n_features or rows.X.dtype != trained.dtype:
        raise ValueError(f"{what} need {n_features} features of {trained.dtype}")


def check_numbers(trained: TrainedModel) -> None:
    """Raise unless weights are finite, states are numbers, and last steps have been.

    Apart from `check_model`, since it reads everything.
    """
    states = [("state", state) for state in trained.states]
    if trained.replay is not None:
        states += [("state_before", state) for state in trained.replay.before]
    for name, state in states:
        if not np.isfinite(state.weights).all():
            raise ValueError(f"{name} has weights that are not finite")
        if state.average is not None and not np.isfinite(state.average.changes).all():
            raise ValueError(f"the average of {name} is not finite")
        if trained.updates is None:
            continue
        layout, columns = trained.updates.layout, state.columns
        n_states = len(trained.updates.formula.state)
        if np.isnan(columns[: layout.lanes * (1 + n_states)]).any():
            raise ValueError(f"{name} has NaN among what its rule keeps")
        if layout.last_step:
            steps = np.ascontiguousarray(columns[layout.last_step]).view(f"i{columns.itemsize}")
            if steps.min() < 0 or steps.max() > state.step:
                raise ValueError(f"{name} has features of a step that is yet to come")
        if layout.gradient:
            gradient = columns[layout.gradient : layout.gradient + layout.lanes]
            if np.any(gradient != 0) or not np.signbit(gradient).all():
                raise ValueError(f"{name} has a gradient between two batches")
