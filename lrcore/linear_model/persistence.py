"""Model files: arrays and JSON in a zip (NumPy's .npz). Loading one runs no code."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from scipy import sparse

from lrcore import losses, rules, schedules
from lrcore._utils import archive
from lrcore._utils.archive import ArchiveError
from lrcore.linear_model import LinearClassifier, LinearRegressor
from lrcore.linear_model.engine.design_matrix import as_rows
from lrcore.linear_model.engine.layout import Average, Debt, Method, Pace, State
from lrcore.linear_model.engine.replay_buffer import Pending, features_of
from lrcore.linear_model.monitor.history import COLUMNS, History
from lrcore.linear_model.problem import Data
from lrcore.linear_model.result import Fitted
from lrcore.linear_model.solvers.stochastic import Outcome
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
    if not hasattr(model, "_fitted"):
        raise ValueError(f"this {type(model).__name__} is not fitted; call fit first")
    arrays = {"loss_curve": model.loss_curve_}
    arrays |= _state_arrays("state", "average", model._fitted.states)
    arrays.update({f"history_{name}": column for name, column in model.history_.items()})
    # The parameter may have been set anew since the fit.
    for name, factors in (
        ("penalty_factors", model.penalty_factors),
        ("factors", model._fitted.method.factors),
    ):
        if factors is not None:
            arrays[name] = np.asarray(factors, np.float64)
    if model._fitted.scale is not None:
        arrays["scale"] = model._fitted.scale
    pending = model._fitted.pending
    if pending is not None:
        arrays |= _state_arrays("state_before", "average_before", pending.before)
        arrays |= _row_arrays(pending)
    if isinstance(model, LinearClassifier):
        arrays["classes"] = model.classes_
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names"] = model.feature_names_in_.astype(str)
    header = {
        "format": FORMAT,
        "estimator": type(model).__name__,
        "params": {key: _plain(value) for key, value in model.get_params().items()},
        "n_features": int(model.n_features_in_),
        "states": _places(model._fitted.states),
        "averages": [s.average and s.average.since for s in model._fitted.states],
        "before": None if pending is None else _places(pending.before),
        "single_target": getattr(model, "_single", True),
        "method": _method_to_dict(model),
        "dual_gap": model.dual_gap_,
        "lr": model.lr_ if isinstance(model.lr_, float) else None,
        "plateau": model.plateau_ and model.plateau_.to_dict(),
        "extra": extra or {},
    }
    archive.write(path, header, arrays)


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
    params = dict(header["params"])
    if isinstance(params["optimizer"], dict):
        params["optimizer"] = rules.from_dict(params["optimizer"])
    if isinstance(params.get("lr"), dict):
        params["lr"] = schedules.from_dict(params["lr"])
    params["penalty_factors"] = arrays.get("penalty_factors")
    model: Model = ESTIMATORS[header["estimator"]](**params)
    model._check_params()
    saved = dict(header["method"])
    number = saved.pop("parameter")
    names = ("epsilon", "quantile", "power", "n_outputs")
    loss = losses.make(saved.pop("loss"), **dict.fromkeys(names, number))
    rule, factors = rules.from_dict(saved.pop("rule")), arrays.get("factors")
    method = Method(loss, rule, factors=factors, **saved)
    n_features = header["n_features"]
    if factors is not None and (factors.shape != (n_features,) or factors.dtype != np.float64):
        raise ValueError(f"factors must be {n_features} of float64, got {factors.shape}")
    places = header["states"], header["averages"]
    states = _states(*places, ("state", "average"), arrays, method, n_features + 1)
    for state in states:
        state.lay_out(sparse=False)
    scale = arrays.get("scale")
    dtype = states[0].array.dtype
    if method.scaled != (scale is not None):
        raise ValueError("scale must be there if and only if the method is scaled")
    if scale is not None and (scale.shape != (n_features,) or scale.dtype != dtype):
        raise ValueError(f"scale must be {n_features} of {dtype}, got {scale.shape}")
    pending = _pending(header, arrays, states, method) if header.get("before") else None
    curve, gap = arrays["loss_curve"].tolist(), header.get("dual_gap")
    columns = {name: arrays.get(f"history_{name}") for name in COLUMNS}
    history = History({name: column for name, column in columns.items() if column is not None})
    fitted = Fitted(states, method, scale, pending)
    outcome = Outcome(fitted, curve, [], dual_gap=gap, lr=header.get("lr"), history=history)
    model._finish(outcome)
    if header.get("plateau"):
        plateau = schedules.from_dict(header["plateau"])
        if not isinstance(plateau, Plateau):
            raise ValueError(f"plateau must be a Plateau, got {plateau!r}")
        model.plateau_ = plateau
    model.n_features_in_ = n_features
    if isinstance(model, LinearClassifier):
        model.classes_ = arrays["classes"]
        expected = 1 if len(model.classes_) == 2 else len(model.classes_)
        if model._fitted.n_outputs != expected:
            raise ValueError(f"{len(model.classes_)} classes need {expected} outputs")
    else:
        model._single = header["single_target"]
        if model._single and model._fitted.n_outputs != 1:
            raise ValueError(f"one target has one output, got {model._fitted.n_outputs}")
    if "feature_names" in arrays:
        model.feature_names_in_ = arrays["feature_names"].astype(object)
    model.extra_ = header["extra"]
    return model


def _state_arrays(name: str, average: str, states: list[State]) -> archive.Arrays:
    arrays = {}
    for k, state in enumerate(states):
        arrays[f"{name}_{k}"] = state.columns
        if state.average is not None:
            arrays[f"{average}_{k}"] = state.average.changes
    return arrays


def _places(states: list[State]) -> list[list[Any]]:
    return [
        [s.step, s.base, _debt_to_list(s.debt), s.block, s.until, s.pace and _pace_to_list(s.pace)]
        for s in states
    ]


def _states(
    places: list[list[Any]], since: list[int | None], names: tuple[str, str],
    arrays: archive.Arrays, method: Method, n_columns: int,
) -> list[State]:  # fmt: skip
    """States of so many features, the intercept among them, as `_state_arrays` and `_places` wrote
    them."""
    states, shape = [], (method.columns.width, n_columns)
    for k, (step, base, debt, block, until, pace) in enumerate(places):
        name, average = (f"{name}_{k}" for name in names)
        array = np.ascontiguousarray(arrays[name])
        if array.shape != shape or array.dtype not in (np.float32, np.float64):
            raise ValueError(f"{name} must have shape {shape}, got {array.shape} {array.dtype}")
        state = State(array, shape[0], by_feature=False, n_outputs=method.n_outputs)
        state.step, state.base, state.debt = int(step), int(base), _debt_from_list(debt)
        state.block, state.until = int(block), int(until)
        if method.rule.travels:
            state.pace = _pace_from_list(pace)
        if since[k] is not None:
            changes = np.ascontiguousarray(arrays[average], array.dtype)
            if changes.shape != (n_columns, method.columns.lanes):
                raise ValueError(f"{average} must be of {n_columns} features, got {changes.shape}")
            state.average = Average(changes, int(since[k] or 0))
        states.append(state)
    return states


def _row_arrays(pending: Pending) -> archive.Arrays:
    data = pending.data
    parts = {
        "indptr": data.rows.indptr,
        "indices": data.rows.indices,
        "values": np.ascontiguousarray(data.rows.values),
        "weight": data.weight,
    }
    parts |= {f"target_{k}": y for k, y in enumerate(data.targets)}
    return {f"before_{name}": part for name, part in parts.items() if part is not None}


def _pending(
    header: dict[str, Any], arrays: archive.Arrays, states: list[State], method: Method
) -> Pending:
    """What will be put back into the states: so each shape is looked at, each index."""
    parts = {name[7:]: array for name, array in arrays.items() if name.startswith("before_")}
    n_features, dtype = header["n_features"], states[0].array.dtype
    X = parts["values"]
    if "indptr" in parts:
        X = sparse.csr_matrix(
            (X, parts["indices"], parts["indptr"]), (len(parts["indptr"]) - 1, n_features)
        )
    rows = as_rows(X, dtype)
    targets = [parts[f"target_{k}"] for k in range(len(states))]
    weight = parts.get("weight")
    lengths = {len(y) for y in targets} | {rows.shape[0] if weight is None else len(weight)}
    if lengths != {rows.shape[0]} or rows.shape[1] != n_features:
        raise ValueError("rows to go over again are not of one length")
    names = ("state_before", "average_before")
    before = _states(
        header["before"], header["averages"], names, arrays, method, len(features_of(rows))
    )
    n_outputs = method.n_outputs if method.loss.joint else 1
    return Pending(Data(rows, targets, weight, n_outputs), before)


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


def _method_to_dict(model: Model) -> dict[str, Any]:
    method = model._fitted.method
    return {
        "loss": losses.name_of(method.loss),
        "parameter": method.loss.parameter,
        "rule": method.rule.to_dict(),
        "l1": method.l1,
        "l2": method.l2,
        "intercept": method.intercept,
        "scaled": method.scaled,
        "averaged_from": method.averaged_from,
        "batch_size": method.batch_size,
        "block_size": method.block_size,
        "n_outputs": method.n_outputs,
    }


def _pace_to_list(pace: Pace) -> list[Any]:
    return [*(float(x).hex() for x in pace.sums), pace.measured]


def _pace_from_list(saved: list[Any]) -> Pace:
    squares, furthest, distance2, measured = saved
    sums = [float.fromhex(x) for x in (squares, furthest, distance2)]
    if not all(0.0 <= x < math.inf for x in sums):
        raise ValueError(f"sums of gradients and distances must be finite and >= 0, got {sums}")
    return Pace(np.array(sums), int(measured))


def _debt_to_list(debt: Debt) -> list[list[Any]]:
    groups = zip(debt.stops, debt.periods, debt.unpaid, debt.owed)
    return [[int(stop), int(period), int(n), float(owed).hex()] for stop, period, n, owed in groups]


def _debt_from_list(groups: list[list[Any]]) -> Debt:
    stops, periods, unpaid = (np.array([g[k] for g in groups], np.int64) for k in range(3))
    return Debt(stops, periods, unpaid, np.array([float.fromhex(g[3]) for g in groups]))
