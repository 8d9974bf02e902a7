"""Model files: arrays and JSON in a zip (NumPy's .npz). Loading one runs no code."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lrcore import archive, losses, rules, schedules
from lrcore.archive import ArchiveError
from lrcore.fitting import Fitted, Outcome
from lrcore.history import COLUMNS, History
from lrcore.linear_model import LinearClassifier, LinearRegressor
from lrcore.rules import Rule
from lrcore.schedules import Plateau
from lrcore.states import Average, Debt, Method, State

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
    arrays.update({f"history_{name}": column for name, column in model.history_.items()})
    for k, state in enumerate(model._fitted.states):
        arrays[f"state_{k}"] = state.columns
        if state.average is not None:
            arrays[f"average_{k}"] = state.average.changes
    # The parameter may have been set anew since the fit.
    for name, factors in (
        ("penalty_factors", model.penalty_factors),
        ("factors", model._fitted.method.factors),
    ):
        if factors is not None:
            arrays[name] = np.asarray(factors, np.float64)
    if model._fitted.scale is not None:
        arrays["scale"] = model._fitted.scale
    if isinstance(model, LinearClassifier):
        arrays["classes"] = model.classes_
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names"] = model.feature_names_in_.astype(str)
    header = {
        "format": FORMAT,
        "estimator": type(model).__name__,
        "params": {key: _plain(value) for key, value in model.get_params().items()},
        "n_features": int(model.n_features_in_),
        "states": [
            [s.step, s.base, _debt_to_list(s.debt), s.block, s.until] for s in model._fitted.states
        ],
        "averages": [s.average and s.average.since for s in model._fitted.states],
        "single_target": getattr(model, "_single", True),
        "method": _method_to_dict(model),
        "dual_gap": model.dual_gap_,
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
    params["penalty_factors"] = arrays.get("penalty_factors")
    model: Model = ESTIMATORS[header["estimator"]](**params)
    model._check_params()
    saved = dict(header["method"])
    number = saved.pop("parameter")
    names = ("epsilon", "quantile", "power", "n_outputs")
    loss = losses.make(saved.pop("loss"), **dict.fromkeys(names, number))
    rule, factors = rules.from_dict(saved.pop("rule")), arrays.get("factors")
    method = Method(loss, rule, factors=factors, **saved)
    shape = (method.columns.width, header["n_features"] + 1)
    if factors is not None and (factors.shape != (shape[1] - 1,) or factors.dtype != np.float64):
        raise ValueError(f"factors must be {shape[1] - 1} of float64, got {factors.shape}")
    states = []
    for k, (step, base, debt, *blocks) in enumerate(header["states"]):
        array = np.ascontiguousarray(arrays[f"state_{k}"])
        if array.shape != shape or array.dtype not in (np.float32, np.float64):
            raise ValueError(f"state_{k} must have shape {shape}, got {array.shape} {array.dtype}")
        state = State(array, shape[0], by_feature=False, n_outputs=method.n_outputs)
        state.step, state.base, state.debt = int(step), int(base), _debt_from_list(debt)
        state.block, state.until = map(int, blocks)
        state.lay_out(sparse=False)
        since = header["averages"][k]
        if since is not None:
            changes = np.ascontiguousarray(arrays[f"average_{k}"], array.dtype)
            if changes.shape != (shape[1], method.columns.lanes):
                raise ValueError(f"average_{k} must be of {shape[1]} features, got {changes.shape}")
            state.average = Average(changes, int(since))
        states.append(state)
    scale = arrays.get("scale")
    dtype = states[0].array.dtype
    if method.scaled != (scale is not None):
        raise ValueError("scale must be there if and only if the method is scaled")
    if scale is not None and (scale.shape != (shape[1] - 1,) or scale.dtype != dtype):
        raise ValueError(f"scale must be {shape[1] - 1} of {dtype}, got {scale.shape}")
    curve, gap = arrays["loss_curve"].tolist(), header.get("dual_gap")
    columns = {name: arrays.get(f"history_{name}") for name in COLUMNS}
    history = History({name: column for name, column in columns.items() if column is not None})
    model._finish(Outcome(Fitted(states, method, scale), curve, [], dual_gap=gap, history=history))
    if header.get("plateau"):
        plateau = schedules.from_dict(header["plateau"])
        if not isinstance(plateau, Plateau):
            raise ValueError(f"plateau must be a Plateau, got {plateau!r}")
        model.plateau_ = plateau
    model.n_features_in_ = header["n_features"]
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


def _plain(value: Any) -> Any:
    if isinstance(value, Rule):
        return value.to_dict()
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


def _debt_to_list(debt: Debt) -> list[list[Any]]:
    groups = zip(debt.stops, debt.periods, debt.unpaid, debt.owed)
    return [[int(stop), int(period), int(n), float(owed).hex()] for stop, period, n, owed in groups]


def _debt_from_list(groups: list[list[Any]]) -> Debt:
    stops, periods, unpaid = (np.array([g[k] for g in groups], np.int64) for k in range(3))
    return Debt(stops, periods, unpaid, np.array([float.fromhex(g[3]) for g in groups]))
