"""Model files: arrays and JSON in a zip (NumPy's .npz). Loading one runs no code."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from typing import Any

import numpy as np

from lrcore import losses, penalties, rules, schedules
from lrcore._utils import archive
from lrcore._utils.archive import ArchiveError
from lrcore._utils.validation import (
    check_flag,
    check_integer,
    check_is_number,
    check_number,
    shown,
)
from lrcore.feature_extraction.featurizer import features_from_dict
from lrcore.linear_model.arguments import check_weight
from lrcore.linear_model.checks import (
    check_model,
    check_numbers,
    check_objective,
    check_rows,
    check_updates,
)
from lrcore.linear_model.classifier import LinearClassifier
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import UpdateConfig
from lrcore.linear_model.engine.replay_buffer import ReplayBuffer, saved_features
from lrcore.linear_model.exports import trained_from
from lrcore.linear_model.labels import Classes, LabelColumns, Labels
from lrcore.linear_model.monitor.history import COLUMNS, History
from lrcore.linear_model.problem import OF_FEATURES, Objective, Problem
from lrcore.linear_model.regressor import LinearRegressor
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.saved_parameters import from_plain, labels_of, plain_labels, to_plain
from lrcore.linear_model.saved_pipeline import (
    is_pipeline,
    pipeline_from_plain,
    pipeline_to_plain,
)
from lrcore.linear_model.saved_states import places, saved_states, state_arrays
from lrcore.linear_model.saved_weights import saved_weights, weight_arrays
from lrcore.linear_model.solvers.select import IMPORTED, OF_PARTITIONS, SOLVERS
from lrcore.penalties import ElasticNet
from lrcore.schedules import Plateau

FORMAT = 1
#: The format of a pipeline, of which a reader of models must not take the model alone.
PIPELINE_FORMAT = 2
ESTIMATORS = {cls.__name__: cls for cls in (LinearClassifier, LinearRegressor)}

Model = LinearClassifier | LinearRegressor


class ModelFileError(ArchiveError):
    """A file that is not a model, or not as `save` wrote it."""


def save(
    model: Any, path: str | os.PathLike[str], extra: dict[str, Any] | None = None, *,
    compact: bool = False, threshold: float = 0.0, weight_dtype: str | None = None,
) -> None:  # fmt: skip
    """Write a fitted model; the file is replaced in one piece or not at all.

    Parameters
    ----------
    model : LinearClassifier, LinearRegressor or sklearn.pipeline.Pipeline
        Fitted. Everything that `partial_fit` continues from is kept. A pipeline ends in such a
        model, and the steps before are `HashingVectorizer`, `FeatureHasher`, `TableHasher`,
        scikit-learn's StandardScaler, MaxAbsScaler, MinMaxScaler, TfidfTransformer, or
        "passthrough". Its `memory` is left out, and so are the threads of hashers.
    path : str or path
        The file, which is replaced in one piece once everything is written.
    extra : dict, optional
        Plain JSON values to keep beside the model; `load` gives them as ``model.extra_``.
    compact : bool
        Write the weights alone, without those of 0, and nothing of what the rule keeps: the model
        of the file predicts, to the bit unless `threshold` or `weight_dtype` say otherwise, and
        ``partial_fit`` goes on from its weights as from those of another solver.
    threshold : float >= 0
        With `compact`, weights of a smaller magnitude are left out.
    weight_dtype : {"bfloat16", "float32"}, optional
        With `compact`, what weights are rounded to in the file; by default they are as they are.
        bfloat16 has the range of float32 and takes half of it, and eight bits of precision: a
        weight moves by 0.4 % at most. Intercepts are not rounded, and the model that `load` gives
        has its own dtype.

    Raises
    ------
    TypeError
        If it is no such model or pipeline, or has parameters or labels that no file can hold.
    ValueError
        If it is not fitted, or an argument is not what it may be; or a weight is too large for
        `weight_dtype`.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np, lrcore, os, tempfile
    >>> clf = lrcore.LinearClassifier(random_state=0).fit(np.eye(4), [0, 0, 1, 1])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.lrcore")
    >>> lrcore.save(clf, path)
    >>> bool((lrcore.load(path).coef_ == clf.coef_).all())
    True
    >>> lrcore.save(clf, path, compact=True, weight_dtype="bfloat16")
    >>> bool((abs(lrcore.load(path).coef_ / clf.coef_ - 1) < 0.004).all())
    True
    """
    check_flag("compact", compact)
    check_number("threshold", threshold, 0)
    if weight_dtype not in (None, "bfloat16", "float32"):
        raise ValueError(
            f"weight_dtype must be 'bfloat16', 'float32' or None, got {shown(weight_dtype)}"
        )
    if not compact and (threshold or weight_dtype):
        raise ValueError("threshold and weight_dtype need compact=True")
    pipeline = model if is_pipeline(model) else None
    if pipeline is not None:
        model = pipeline.steps[-1][1]
    if type(model) not in ESTIMATORS.values():
        ends = "" if pipeline is None else " at the end of the pipeline"
        raise TypeError(
            f"model must be one of {', '.join(ESTIMATORS)}, or a Pipeline that ends in one, got "
            f"{type(model).__name__}{ends}; skops.io.dump writes others without pickles"
        )
    if not hasattr(model, "_trained"):
        raise ValueError(f"this {type(model).__name__} is not fitted; call fit first")
    if compact:
        model = with_weights_alone(model)
        weights, intercepts = model._weights()
        stored = weight_arrays(weights, intercepts, threshold, weight_dtype or weights.dtype.name)
    else:
        stored = state_arrays("state", "average", model._trained.states)
    header = _header(model, extra) | ({"compact": True} if compact else {})
    if pipeline is not None:
        header["format"] = PIPELINE_FORMAT
        header["pipeline"], of_steps = pipeline_to_plain(pipeline)
        stored |= of_steps
    archive.write(path, header, {**_arrays_beside(model), **stored})


def with_weights_alone(model: Model) -> Model:
    """A copy of an estimator that has nothing but its weights to go on from."""
    trained, alone = model._trained, copy.copy(model)
    of_features = dict.fromkeys(OF_FEATURES)
    objective = replace(trained.objective, **of_features)
    weights, intercepts = trained.weights
    alone._trained = trained_from(weights, intercepts, objective, trained.t)
    return alone


def _arrays_beside(model: Model) -> archive.Arrays:
    """The arrays of a file beside the weights, by name."""
    trained = model._trained
    arrays = {"loss_curve": model.loss_curve_, "stopping_curve": model.stopping_curve_}
    arrays.update({f"history_{name}": column for name, column in model.history_.items()})
    # The parameter may have been set anew since the fit.
    for name, factors in (
        ("penalty_factors", model.penalty_factors),
        ("factors", trained.objective.penalty_factors),
        ("column_scale", trained.objective.column_scale),
        ("alphas", model.alphas_),
        ("alpha_losses", model.alpha_losses_),
        ("lr_losses", model.lr_losses_),
    ):
        if factors is not None:
            arrays[name] = np.asarray(factors, np.float64)
    if trained.objective.positive is not None:
        arrays["positive"] = trained.objective.positive
    if trained.scale is not None:
        arrays["scale"] = trained.scale
    if trained.replay is not None:
        arrays |= state_arrays("state_before", "average_before", trained.replay.before)
        arrays |= _row_arrays("before", trained.replay.rows)
    if trained.beginning is not None:
        arrays |= _row_arrays("beginning", trained.beginning)
    if isinstance(model, LinearClassifier) and not model.multilabel_:
        arrays["classes"] = plain_labels(model.classes_)
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names"] = model.feature_names_in_.astype(str)
    return arrays


def _header(model: Model, extra: dict[str, Any] | None) -> dict[str, Any]:
    """The plain values of a file."""
    trained = model._trained
    return {
        "format": FORMAT,
        "estimator": type(model).__name__,
        "params": to_plain(model.get_params(deep=False)),
        "n_features": int(model.n_features_in_),
        "states": places(trained.states),
        "averages": [s.average and s.average.since for s in trained.states],
        "before": None if trained.replay is None else places(trained.replay.before),
        "beginning": len(trained.beginning.targets) if trained.beginning is not None else None,
        "single_target": getattr(model, "_single", True),
        "n_labels": trained.n_outputs if getattr(model, "_multilabel", False) else None,
        "object_labels": getattr(model, "classes_", np.empty(0)).dtype == object,
        "sparsified": bool(model._sparse),
        "method": _method_to_dict(trained),
        "dual_gap": model.dual_gap_,
        "solver": model.solver_,
        "alpha": model.alpha_,
        "lr": to_plain({"lr": model.lr_})["lr"],
        "plateau": model.plateau_ and model.plateau_.to_dict(),
        "features": features.to_dict() if (features := model.__dict__.get("features_")) else None,
        "extra": extra or {},
    }


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model, or a pipeline, that `save` wrote.

    Whoever wrote the file: it runs no code, and everything in it is checked before it is used. An
    `n_threads` larger than this machine grants becomes what it grants.

    Parameters
    ----------
    path : str or path
        The file.

    Raises
    ------
    ModelFileError
        If the file is cut short, damaged, edited, or no model. (A ValueError.)
    OSError
        If there is no such file.
    """
    try:
        header, arrays = archive.read(path, "a model", FORMAT, PIPELINE_FORMAT)
        model = _build(header, arrays)
        if header["format"] == FORMAT:
            return model
        pipeline = pipeline_from_plain(header["pipeline"], arrays, model)
        pipeline.extra_ = model.extra_
        return pipeline
    except ArchiveError as error:
        raise ModelFileError(str(error)) from None
    except OSError:
        raise
    except Exception as error:  # whatever comes of values that `save` did not write
        raise ModelFileError(f"{path}: not a complete model ({error!r})") from error


def _build(header: dict[str, Any], arrays: archive.Arrays) -> Model:
    model = _estimator(header, arrays)
    trained = _trained_model(header, arrays)
    check_model(trained, header["n_features"])
    check_numbers(trained)
    model._finish(_fit_result(header, arrays, trained))
    if model.solver_ == OF_PARTITIONS and len(model.history_["epoch"]):
        model.n_iter_ = int(model.history_["epoch"][-1])
    for name in ("alphas", "alpha_losses"):
        setattr(model, f"{name}_", None if name not in arrays else _curve(name, arrays[name]))
    model.alpha_ = header.get("alpha", model.alpha_)
    check_number("alpha", model.alpha_, 0)
    model.plateau_ = _plateau(header.get("plateau"))
    model.n_features_in_ = header["n_features"]
    if isinstance(model, LinearClassifier):
        labels = _labels(header, arrays)
        joint = trained.objective.loss.joint and labels.multilabel
        if trained.n_outputs != labels.n_binary or joint:
            raise ValueError(f"the classes or labels need {labels.n_binary} outputs")
        model.classes_, model._multilabel = labels.values, labels.multilabel
    else:
        check_flag("single_target", header["single_target"])
        model._single = header["single_target"]
        if model._single and trained.n_outputs != 1:
            raise ValueError(f"one target has one output, got {trained.n_outputs}")
    if "feature_names" in arrays:
        model.feature_names_in_ = _names(arrays["feature_names"], header["n_features"])
    if header.get("features") is not None:
        model.features_ = features_from_dict(header["features"])
        if model.features_.n_features != header["n_features"]:
            raise ValueError(
                f"features hashes to {model.features_.n_features} columns, and the model has "
                f"{header['n_features']}"
            )
    if not isinstance(header["extra"], dict):
        raise TypeError(f"extra must be a dict, got {header['extra']!r}")
    model.extra_ = header["extra"]
    if header.get("sparsified", False):
        model.sparsify()
    return model


def _estimator(header: dict[str, Any], arrays: archive.Arrays) -> Model:
    """The estimator with its parameters, not fitted yet."""
    params = from_plain(header["params"], arrays.get("penalty_factors"))
    model: Model = ESTIMATORS[header["estimator"]](**params)
    model._check_params()
    return model


def _labels(header: dict[str, Any], arrays: archive.Arrays) -> Labels:
    """What a classifier knows of y: its classes, or how many labels there are."""
    n_labels = header.get("n_labels")
    if n_labels is None:
        return Classes(labels_of(arrays["classes"], objects=header.get("object_labels", False)))
    check_integer("n_labels", n_labels, 1)
    return LabelColumns(n_labels)


def _fit_result(header: dict[str, Any], arrays: archive.Arrays, trained: TrainedModel) -> FitResult:
    """How the fit went."""
    columns = {name: arrays.get(f"history_{name}") for name in COLUMNS}
    history = {
        name: _curve(name, column, np.int64 if COLUMNS[name] else np.float64)
        for name, column in columns.items()
        if column is not None
    }
    if len(set(map(len, history.values()))) > 1:
        raise ValueError("columns of the history must be of one length")
    losses_of_epochs = _curve("loss_curve", arrays["loss_curve"]).tolist()
    stopping = _curve("stopping_curve", arrays.get("stopping_curve", np.empty(0))).tolist()
    lr_losses = _curve("lr_losses", arrays["lr_losses"]) if "lr_losses" in arrays else None
    gap, lr = header.get("dual_gap"), header.get("lr")
    if gap is not None:
        check_is_number("dual_gap", gap)
    if isinstance(lr, dict):
        lr = schedules.from_dict(lr)
        if isinstance(lr, Plateau):
            raise TypeError(f"lr must be a number or a schedule, got {lr!r}")
    elif lr is not None:
        check_number("lr", lr, 0)
    solver = header.get("solver") or ("stochastic" if trained.updates else "dual")
    known = (*SOLVERS, OF_PARTITIONS, IMPORTED)
    if solver not in known:
        raise ValueError(f"solver must be one of {', '.join(known)}, got {solver!r}")
    return FitResult(
        trained, losses_of_epochs, stopping, dual_gap=gap, lr=lr, lr_losses=lr_losses,
        history=History(history), solver=solver,
    )  # fmt: skip


def _curve(name: str, values: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
    """A list of numbers of a file."""
    if values.ndim != 1 or values.dtype != dtype:
        raise ValueError(f"{name} must be a list of {np.dtype(dtype)}, got {values.dtype}")
    return values


def _names(names: np.ndarray, n_features: int) -> np.ndarray:
    """The names of the features."""
    if names.shape != (n_features,) or names.dtype.kind != "U":
        raise ValueError(f"feature_names must be {n_features} strings, got {names.shape}")
    return names.astype(object)


def _plateau(saved: Any) -> Plateau | None:
    """The plateau that a fit has fed."""
    if not saved:
        return None
    plateau = schedules.from_dict(saved)
    if not isinstance(plateau, Plateau):
        raise ValueError(f"plateau must be a Plateau, got {plateau!r}")
    return plateau


def _trained_model(header: dict[str, Any], arrays: archive.Arrays) -> TrainedModel:
    """The weights, and what goes on from them."""
    n_features, factors = header["n_features"], arrays.get("factors")
    check_integer("n_features", n_features)
    objective, updates, scaled = _method_from_dict(header["method"], factors)
    objective = replace(
        objective, column_scale=arrays.get("column_scale"), positive=arrays.get("positive")
    )
    check_objective(objective, n_features)
    if updates is not None:
        check_updates(updates, objective)
    classifies = header["estimator"] == LinearClassifier.__name__
    if objective.loss.classifies != classifies:
        raise ValueError(f"{header['estimator']} has no loss {header['method']['loss']!r}")
    scale = arrays.get("scale")
    if scaled != (scale is not None):
        raise ValueError("scale must be there if and only if the method is scaled")
    if header.get("compact", False):
        if updates is not None:
            raise ValueError("weights alone have no state of a rule to go on with")
        weights, intercepts = saved_weights(arrays, n_features)
        step, base, *_ = header["states"][0]
        return trained_from(weights, intercepts, objective, step + base)
    n_outputs = objective.loss.n_raw_predictions if len(header["states"]) == 1 else 1
    at, names = (header["states"], header["averages"]), ("state", "average")
    states = saved_states(*at, names, arrays, updates, n_features + 1, n_outputs)
    for state in states:
        state.lay_out(sparse=False)
    trained = TrainedModel(states, objective, updates, scale)
    if header.get("before"):
        trained.replay = _replay_buffer(header, arrays, trained)
    if header.get("beginning") is not None:
        check_integer("targets of the first rows", header["beginning"], least=1)
        trained.beginning = _rows("beginning", header["beginning"], header, arrays, objective)
    return trained


def _row_arrays(name: str, rows: Problem) -> dict[str, np.ndarray]:
    parts = {
        "indptr": rows.X.indptr,
        "indices": rows.X.indices,
        "values": np.ascontiguousarray(rows.X.values),
        "weight": rows.sample_weight,
    }
    parts |= {f"target_{k}": y for k, y in enumerate(rows.targets)}
    parts |= {f"offset_{k}": each for k, each in enumerate(rows.offsets or [])}
    return {f"{name}_{key}": part for key, part in parts.items() if part is not None}


def _replay_buffer(
    header: dict[str, Any], arrays: archive.Arrays, trained: TrainedModel
) -> ReplayBuffer:
    """The rows to go over again, and the states to put back first."""
    rows = _rows("before", len(trained.states), header, arrays, trained.objective)
    names = ("state_before", "average_before")
    at, n_columns = (header["before"], header["averages"]), len(saved_features(rows.X))
    before = saved_states(*at, names, arrays, trained.updates, n_columns)
    return ReplayBuffer(rows, before)


def _rows(
    name: str, n_targets: int, header: dict[str, Any], arrays: archive.Arrays,
    objective: Objective,
) -> Problem:  # fmt: skip
    """Rows as `_row_arrays` wrote them."""
    prefix = f"{name}_"
    parts = {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }
    n_features = header["n_features"]
    X = DesignMatrix(parts["values"].shape, parts["values"])  # of dense rows
    if "indptr" in parts:
        shape = len(parts["indptr"]) - 1, n_features
        X = DesignMatrix(shape, parts["values"], parts["indptr"], parts["indices"])
    check_rows(X)
    targets = [parts[f"target_{k}"] for k in range(n_targets)]
    weight = check_weight(parts.get("weight"), X.shape[0])
    offsets = None
    if "offset_0" in parts:
        offsets = [parts[f"offset_{k}"] for k in range(n_targets)]
    return Problem(X, targets, weight, objective, offsets=offsets)


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
