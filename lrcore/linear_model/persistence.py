"""Model files: arrays and JSON in a zip (NumPy's .npz). Loading one runs no code."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from lrcore import losses, penalties, rules, schedules
from lrcore._utils import archive
from lrcore._utils.archive import ArchiveError
from lrcore.linear_model.classifier import LinearClassifier
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.layout import (
    DoGSums,
    LazyPenalty,
    ModelState,
    UpdateConfig,
    WeightAverage,
    n_lanes,
)
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer, saved_features
from lrcore.linear_model.monitor.history import COLUMNS, History
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.regressor import LinearRegressor
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.penalties import ElasticNet
from lrcore.rules import Rule
from lrcore.schedules import Plateau, Schedule

FORMAT = 1
ESTIMATORS = {cls.__name__: cls for cls in (LinearClassifier, LinearRegressor)}

Model = LinearClassifier | LinearRegressor


class ModelFileError(ArchiveError):
    """A file that is not a model, or not as `save` wrote it."""


def save(model: Model, path: str | os.PathLike[str], extra: dict[str, Any] | None = None) -> None:
    """Write a fitted model; the file is replaced in one piece or not at all.

    Parameters
    ----------
    model : LinearClassifier or LinearRegressor
        Fitted. Everything that `partial_fit` continues from is kept.
    path : str or path
    extra : dict, optional
        Plain JSON values to keep beside the model; `load` gives them as ``model.extra_``.

    Examples
    --------
    >>> import numpy as np, lrcore, os, tempfile
    >>> clf = lrcore.LinearClassifier(random_state=0).fit(np.eye(4), [0, 0, 1, 1])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.lrcore")
    >>> lrcore.save(clf, path)
    >>> bool((lrcore.load(path).coef_ == clf.coef_).all())
    True
    """
    if type(model).__name__ not in ESTIMATORS:
        raise TypeError(f"model must be one of {', '.join(ESTIMATORS)}, got {type(model).__name__}")
    if not hasattr(model, "_trained"):
        raise ValueError(f"this {type(model).__name__} is not fitted; call fit first")
    archive.write(path, _header(model, extra), _arrays(model))


def _arrays(model: Model) -> archive.Arrays:
    """The arrays of a file, by name."""
    trained = model._trained
    arrays = {"loss_curve": model.loss_curve_}
    arrays |= _state_arrays("state", "average", trained.states)
    arrays.update({f"history_{name}": column for name, column in model.history_.items()})
    # The parameter may have been set anew since the fit.
    for name, factors in (
        ("penalty_factors", model.penalty_factors),
        ("factors", trained.objective.penalty_factors),
        ("column_scale", trained.objective.column_scale),
        ("alphas", model.alphas_),
        ("alpha_losses", model.alpha_losses_),
    ):
        if factors is not None:
            arrays[name] = np.asarray(factors, np.float64)
    if trained.scale is not None:
        arrays["scale"] = trained.scale
    if trained.replay is not None:
        arrays |= _state_arrays("state_before", "average_before", trained.replay.before)
        arrays |= _row_arrays(trained.replay)
    if isinstance(model, LinearClassifier):
        arrays["classes"] = model.classes_
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names"] = model.feature_names_in_.astype(str)
    return arrays


def _header(model: Model, extra: dict[str, Any] | None) -> dict[str, Any]:
    """The plain values of a file."""
    trained = model._trained
    return {
        "format": FORMAT,
        "estimator": type(model).__name__,
        "params": {key: _plain(value) for key, value in model.get_params(deep=False).items()},
        "n_features": int(model.n_features_in_),
        "states": _places(trained.states),
        "averages": [s.average and s.average.since for s in trained.states],
        "before": None if trained.replay is None else _places(trained.replay.before),
        "single_target": getattr(model, "_single", True),
        "method": _method_to_dict(trained),
        "dual_gap": model.dual_gap_,
        "solver": model.solver_,
        "alpha": model.alpha_,
        "lr": model.lr_ if isinstance(model.lr_, float) else None,
        "plateau": model.plateau_ and model.plateau_.to_dict(),
        "extra": extra or {},
    }


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model that `save` wrote.

    Raises
    ------
    ModelFileError
        If the file is cut short, damaged, edited, or no model. (A ValueError.)
    OSError
        If there is no such file.
    """
    try:
        return _build(*archive.read(path, "a model", FORMAT))
    except ArchiveError as error:
        raise ModelFileError(str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelFileError(f"{path}: not a complete model ({error!r})") from None


def _build(header: dict[str, Any], arrays: archive.Arrays) -> Model:
    model = _estimator(header, arrays)
    trained = _trained_model(header, arrays)
    columns = {name: arrays.get(f"history_{name}") for name in COLUMNS}
    history = History({name: column for name, column in columns.items() if column is not None})
    losses_of_epochs, gap = arrays["loss_curve"].tolist(), header.get("dual_gap")
    lr = header.get("lr")
    solver = header.get("solver") or ("stochastic" if trained.updates else "dual")
    model._finish(
        FitResult(trained, losses_of_epochs, dual_gap=gap, lr=lr, history=history, solver=solver)
    )
    model.alpha_ = header.get("alpha", model.alpha_)
    model.alphas_, model.alpha_losses_ = arrays.get("alphas"), arrays.get("alpha_losses")
    if header.get("plateau"):
        plateau = schedules.from_dict(header["plateau"])
        if not isinstance(plateau, Plateau):
            raise ValueError(f"plateau must be a Plateau, got {plateau!r}")
        model.plateau_ = plateau
    model.n_features_in_ = header["n_features"]
    if isinstance(model, LinearClassifier):
        model.classes_ = arrays["classes"]
        expected = 1 if len(model.classes_) == 2 else len(model.classes_)
        if trained.n_outputs != expected:
            raise ValueError(f"{len(model.classes_)} classes need {expected} outputs")
    else:
        model._single = header["single_target"]
        if model._single and trained.n_outputs != 1:
            raise ValueError(f"one target has one output, got {trained.n_outputs}")
    if "feature_names" in arrays:
        model.feature_names_in_ = arrays["feature_names"].astype(object)
    model.extra_ = header["extra"]
    return model


def _estimator(header: dict[str, Any], arrays: archive.Arrays) -> Model:
    """The estimator with its parameters, not fitted yet."""
    params = dict(header["params"])
    if isinstance(params["optimizer"], dict):
        params["optimizer"] = rules.from_dict(params["optimizer"])
    if isinstance(params.get("lr"), dict):
        params["lr"] = schedules.from_dict(params["lr"])
    params["penalty_factors"] = arrays.get("penalty_factors")
    model: Model = ESTIMATORS[header["estimator"]](**params)
    model._check_params()
    return model


def _trained_model(header: dict[str, Any], arrays: archive.Arrays) -> TrainedModel:
    """The weights, and what goes on from them."""
    n_features, factors = header["n_features"], arrays.get("factors")
    objective, updates, scaled = _method_from_dict(header["method"], factors)
    if factors is not None and (factors.shape != (n_features,) or factors.dtype != np.float64):
        raise ValueError(f"factors must be {n_features} of float64, got {factors.shape}")
    places = header["states"], header["averages"]
    names, n_outputs = ("state", "average"), 1
    if len(header["states"]) == 1:
        n_outputs = objective.loss.n_raw_predictions
    scale_in_penalty = arrays.get("column_scale")
    if scale_in_penalty is not None:
        if scale_in_penalty.shape != (n_features,) or scale_in_penalty.dtype != np.float64:
            raise ValueError(f"column_scale must be {n_features} of float64")
        objective = replace(objective, column_scale=scale_in_penalty)
    states = _states(*places, names, arrays, updates, n_features + 1, n_outputs)
    for state in states:
        state.lay_out(sparse=False)
    scale = arrays.get("scale")
    dtype = states[0].array.dtype
    if scaled != (scale is not None):
        raise ValueError("scale must be there if and only if the method is scaled")
    if scale is not None and (scale.shape != (n_features,) or scale.dtype != dtype):
        raise ValueError(f"scale must be {n_features} of {dtype}, got {scale.shape}")
    trained = TrainedModel(states, objective, updates, scale)
    if header.get("before"):
        trained.replay = _replay_buffer(header, arrays, trained)
    return trained


def _state_arrays(name: str, average: str, states: list[ModelState]) -> dict[str, np.ndarray]:
    arrays = {}
    for k, state in enumerate(states):
        arrays[f"{name}_{k}"] = state.columns
        if state.average is not None:
            arrays[f"{average}_{k}"] = state.average.changes
    return arrays


def _places(states: list[ModelState]) -> list[list[Any]]:
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


def _states(
    places: list[list[Any]], since: list[int | None], names: tuple[str, str],
    arrays: archive.Arrays, updates: UpdateConfig | None, n_columns: int, n_outputs: int = 1,
) -> list[ModelState]:  # fmt: skip
    """States of so many features, the intercept among them, as `_state_arrays` and `_places` wrote
    them; without update rule of so many outputs."""
    width, is_dog = n_lanes(n_outputs), False
    lanes = width
    if updates is not None:
        width, lanes = updates.layout.width, updates.layout.lanes
        n_outputs, is_dog = updates.n_outputs, updates.rule.uses_distance
    states = []
    for k, (step, base, lazy, block, until, dog) in enumerate(places):
        name, average = (f"{name}_{k}" for name in names)
        array = np.ascontiguousarray(arrays[name])
        if array.shape != (width, n_columns) or array.dtype not in (np.float32, np.float64):
            raise ValueError(
                f"{name} must have shape {(width, n_columns)}, got {array.shape} {array.dtype}"
            )
        state = ModelState(array, width, by_feature=False, n_outputs=n_outputs)
        state.step, state.base, state.lazy_penalty = int(step), int(base), _lazy_from_list(lazy)
        state.block, state.until = int(block), int(until)
        if is_dog:
            state.dog = _dog_from_list(dog)
        if since[k] is not None:
            changes = np.ascontiguousarray(arrays[average], array.dtype)
            if changes.shape != (n_columns, lanes):
                raise ValueError(f"{average} must be of {n_columns} features, got {changes.shape}")
            state.average = WeightAverage(changes, int(since[k] or 0))
        states.append(state)
    return states


def _row_arrays(replay: ReplayBuffer) -> dict[str, np.ndarray]:
    rows = replay.rows
    parts = {
        "indptr": rows.X.indptr,
        "indices": rows.X.indices,
        "values": np.ascontiguousarray(rows.X.values),
        "weight": rows.sample_weight,
    }
    parts |= {f"target_{k}": y for k, y in enumerate(rows.targets)}
    return {f"before_{name}": part for name, part in parts.items() if part is not None}


def _replay_buffer(
    header: dict[str, Any], arrays: archive.Arrays, trained: TrainedModel
) -> ReplayBuffer:
    """The rows to go over again, and the states to put back first: every shape and index of them is
    checked."""
    parts = {name[7:]: array for name, array in arrays.items() if name.startswith("before_")}
    n_features = header["n_features"]
    values = parts["values"]
    if "indptr" in parts:
        values = sparse.csr_matrix(
            (values, parts["indices"], parts["indptr"]), (len(parts["indptr"]) - 1, n_features)
        )
    X = as_design_matrix(values, trained.dtype)
    targets = [parts[f"target_{k}"] for k in range(len(trained.states))]
    weight = parts.get("weight")
    lengths = {len(y) for y in targets} | {X.shape[0] if weight is None else len(weight)}
    if lengths != {X.shape[0]} or X.shape[1] != n_features:
        raise ValueError("rows to go over again are not of one length")
    names = ("state_before", "average_before")
    places, n_columns = (header["before"], header["averages"]), len(saved_features(X))
    before = _states(*places, names, arrays, trained.updates, n_columns)
    return ReplayBuffer(Problem(X, targets, weight, trained.objective), before)


def _plain(value: Any) -> Any:
    if isinstance(value, (Rule, Schedule)):
        return value.to_dict()
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    return None  # a RandomState: its next numbers belong to the run, not to the model


def _method_to_dict(trained: TrainedModel) -> dict[str, Any]:
    """What was minimised and how; the keys are those of format 1."""
    objective, updates = trained.objective, trained.updates
    return {
        "loss": losses.name_of(objective.loss),
        "parameter": objective.loss.parameter,
        "rule": updates and updates.rule.to_dict(),
        "penalty": penalties.to_dict(objective.penalty),
        "intercept": objective.fit_intercept,
        "scaled": trained.scale is not None,
        "averaged_from": updates and updates.averaged_from,
        "batch_size": updates.batch_size if updates else 1,
        "block_size": updates.block_size if updates else 1,
        "n_outputs": updates.n_outputs if updates else 1,
    }


def _method_from_dict(
    saved: dict[str, Any], factors: np.ndarray | None
) -> tuple[Objective, UpdateConfig | None, bool]:
    """Objective, updates, and whether columns are scaled."""
    names = ("epsilon", "quantile", "power", "n_outputs")
    loss = losses.make(saved["loss"], **dict.fromkeys(names, saved["parameter"]))
    if "penalty" in saved:
        penalty = penalties.from_dict(saved["penalty"])
    else:  # a file of 0.1.0
        penalty = ElasticNet(saved["l1"], saved["l2"])
    objective = Objective(loss, penalty, saved["intercept"], factors)
    if saved["rule"] is None:  # of a solver that does not step by one
        return objective, None, saved["scaled"]
    updates = UpdateConfig(
        rules.from_dict(saved["rule"]), saved["batch_size"], saved["block_size"],
        saved["n_outputs"], saved["averaged_from"],
    )  # fmt: skip
    return objective, updates, saved["scaled"]


def _dog_to_list(dog: DoGSums) -> list[Any]:
    return [*(float(x).hex() for x in dog.sums), dog.measured]


def _dog_from_list(saved: list[Any]) -> DoGSums:
    squares, furthest, distance2, measured = saved
    sums = [float.fromhex(x) for x in (squares, furthest, distance2)]
    if not all(0.0 <= x < math.inf for x in sums):
        raise ValueError(f"sums of gradients and distances must be finite and >= 0, got {sums}")
    return DoGSums(np.array(sums), int(measured))


def _lazy_to_list(lazy: LazyPenalty) -> list[list[Any]]:
    groups = zip(lazy.stops, lazy.periods, lazy.rows_since, lazy.accumulated_lr)
    return [[int(stop), int(period), int(n), float(lr).hex()] for stop, period, n, lr in groups]


def _lazy_from_list(groups: list[list[Any]]) -> LazyPenalty:
    stops, periods, since = (np.array([g[k] for g in groups], np.int64) for k in range(3))
    lr = np.array([float.fromhex(g[3]) for g in groups])
    return LazyPenalty(stops, periods, since, lr)
