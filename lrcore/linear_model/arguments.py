"""The estimators' arguments: numbers, weights, labels and targets, each refused by its name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from lrcore._utils import frames, missing, validation
from lrcore._utils.validation import shown
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.losses import Loss

check_number, check_count = validation.check_number, validation.check_integer


def check_columns(X: Any) -> None:
    """Raise unless an estimator can keep the names of X's columns: all strings, or none of them.

    Asked before a fit, which would otherwise be refused when it is half taken over.
    """
    validate_data(BaseEstimator(), X, skip_check_array=True)


def check_weight(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """sample_weight as float64, None if it is None or 1 everywhere."""
    if sample_weight is None:
        return None
    weight = as_floats("sample_weight", sample_weight)
    if weight.ndim == 0:
        weight = np.full(n_rows, weight)
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have shape ({n_rows},), one for each row of X, got {weight.shape}"
        )
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if bad.size:
        raise ValueError(
            f"sample_weight must be finite and >= 0, got {weight[bad[0]]} in row {bad[0]}"
        )
    if not weight.any():
        raise ValueError("sample_weight is zero for every row; at least one must count")
    with np.errstate(over="ignore"):
        if not np.isfinite(np.sum(weight)):
            raise ValueError(
                f"sample_weight must have a sum that float64 holds, got {weight.max():g} in row "
                f"{weight.argmax()}; only their ratios matter: divide all by the largest"
            )
    return None if np.all(weight == 1.0) else np.ascontiguousarray(weight)


def as_floats(name: str, value: Any, error: type[Exception] = ValueError) -> np.ndarray:
    """Real numbers as float64, with NaN for those that are missing; what else is there is an error
    of this type."""
    frames.check_in_memory(name, value)
    missing.check_nothing_masked(name, value)
    array = frames.as_array(name, value)
    if array.dtype.kind in "Mmc":
        raise error(f"{name} must hold numbers, got {array.dtype}")
    try:
        if array.dtype.kind in "OSU":
            return missing.objects_as_floats(array)
        return np.asarray(array, np.float64)
    except (TypeError, ValueError) as problem:
        raise error(f"{name} must hold numbers: {problem}") from None


def check_factors(penalty_factors: Any, n_features: int, dtype: np.dtype[Any]) -> np.ndarray | None:
    """penalty_factors as float64, a copy, all finite in X's dtype as well; None if it is None."""
    if penalty_factors is None:
        return None
    factors = np.array(as_floats("penalty_factors", penalty_factors, TypeError))
    if factors.shape != (n_features,):
        raise ValueError(
            f"penalty_factors must have shape ({n_features},), one for each feature of X, got "
            f"{factors.shape}"
        )
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~(np.isfinite(factors.astype(dtype)) & (factors >= 0)))
    if bad.size:
        raise ValueError(
            f"penalty_factors must be finite in {dtype} and >= 0, got {factors[bad[0]]} at "
            f"position {bad[0]}"
        )
    return factors


def check_eval_set(eval_set: Any, X_val: Any, y_val: Any) -> Any:
    """The rows to stop by, which are given as a tuple or as X_val and y_val; None if none are."""
    if X_val is None and y_val is None:
        return eval_set
    if eval_set is not None:
        raise ValueError("eval_set must be None beside X_val and y_val, which are the same")
    if X_val is None or y_val is None:
        missing_one = "X_val" if X_val is None else "y_val"
        raise ValueError(f"{missing_one} must be given, since the other one of X_val and y_val is")
    return X_val, y_val


def check_lengths(X: DesignMatrix, y: np.ndarray) -> None:
    """Raise unless y has an entry for each row."""
    if len(y) != X.shape[0]:
        raise ValueError(
            f"y must have one entry for each of the {X.shape[0]} rows of X, got {len(y)}"
        )


def check_labels(y: Any) -> np.ndarray:
    """Labels as a vector, finite if they are numbers."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    frames.check_in_memory("y", y)
    missing.check_none_missing("Input y", y)
    if frames.as_array("y", y).dtype.kind == "c":
        raise ValueError(f"y must be real, got {np.asarray(y).dtype}: Complex data not supported")
    # scikit-learn may keep arrays of other libraries, where it is configured to.
    labels = np.asarray(column_or_1d(y, warn=True))
    if labels.dtype.kind == "O":
        labels = _plain_labels(labels)
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        first = np.flatnonzero(np.isinf(labels))[0]
        raise ValueError(f"Input y contains infinity: y[{first}] is {labels[first]}")
    # It sorts all labels, and has nothing to say of whole numbers, flags and strings.
    whole = labels.dtype.kind in "biuUO" or (
        labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())
    )
    if not whole:
        check_classification_targets(labels)
    return np.asarray(labels)


def _plain_labels(labels: np.ndarray) -> np.ndarray:
    """Objects that are numbers or flags as an array of such; strings as they are."""
    objects = labels.tolist()
    types = set(map(type, objects))
    strings = {each for each in types if issubclass(each, str)}
    if types == strings:
        return labels
    plain = labels if strings else np.array(objects)
    if plain.dtype.kind not in "biufMm" or plain.shape != labels.shape:
        names = " and ".join(sorted(each.__name__ for each in types))
        raise ValueError(
            f"Unknown label type: y must hold numbers or strings alone, got {names}; str(label) "
            "makes a string of each"
        )
    return plain


def encode(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes, sorted, and the number of each row's.

    Classes are few: those of a sample are nearly always all, which takes a third of the time of
    sorting all labels to find out.
    """
    classes = np.unique(labels[:: max(1, len(labels) // 4_096)])
    codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    if (classes[codes] == labels).all():
        return classes, codes
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes


def check_targets(y: Any) -> np.ndarray:
    """Targets as float64, finite, (n_rows,) or (n_rows, n_targets)."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    frames.check_in_memory("y", y)
    missing.check_nothing_masked("y", y)
    target = frames.as_array("y", y)
    if target.ndim not in (1, 2) or (target.ndim == 2 and target.shape[1] == 0):
        raise ValueError(f"y must have shape (n_rows,) or (n_rows, n_targets), got {target.shape}")
    if target.dtype.kind == "c":
        raise ValueError(f"y must be real, got {target.dtype}")
    target = np.ascontiguousarray(as_floats("y", target))
    bad = np.argwhere(~np.isfinite(target))
    if bad.size:
        value = target[tuple(bad[0])]
        name = "NaN" if np.isnan(value) else "infinity"
        where = ", ".join(str(i) for i in bad[0])
        raise ValueError(f"Input y contains {name}: y[{where}] is {value}")
    return target


def check_loss_parameters(name: str, epsilon: Any, quantile: Any, power: Any) -> None:
    """Raise unless the numbers of the losses for regression are such."""
    check_number("epsilon", epsilon, 0)
    if name == "huber" and epsilon == 0:
        raise ValueError(
            "epsilon must be > 0 for loss='huber', got 0; 'absolute_error' is its limit"
        )
    check_number("quantile", quantile, 0, 1)
    if quantile in (0, 1):
        raise ValueError(f"quantile must be within 0 and 1, got {shown(quantile)}")
    check_number("power", power, -math.inf)
    if 0 < power < 1:
        raise ValueError(
            f"power must be <= 0 or >= 1, got {shown(power)}; there is no such variance"
        )


def check_domain(name: str, loss: Loss, targets: list[np.ndarray]) -> None:
    """Raise unless the loss is defined for all targets."""
    for target in targets:
        outside = loss.outside(target)
        if outside.size:
            raise ValueError(
                f"y must be {loss.domain} for loss={name!r}, got {target[outside[0]]} in row "
                f"{outside[0]}"
            )


def weigh_classes(
    weight: np.ndarray | None, class_weight: Any, classes: np.ndarray, codes: np.ndarray
) -> np.ndarray | None:
    """The weights of rows times those of their classes."""
    if class_weight is None:
        return weight
    if isinstance(class_weight, dict):
        strange = [key for key in class_weight if key not in classes.tolist()]
        if strange:
            raise ValueError(
                f"class_weight has {shown(strange[0])}, which is not among the classes "
                f"{classes.tolist()!r}"
            )
        of_classes = np.array([class_weight.get(key, 1.0) for key in classes.tolist()], object)
        each = as_floats("class_weight", of_classes)
        if not (np.isfinite(each) & (each >= 0)).all() or not each.any():
            raise ValueError(f"class_weight must be finite and >= 0, got {shown(class_weight)}")
    elif isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(codes, weight, minlength=len(classes))
        each = counts.sum() / (len(classes) * np.where(counts > 0, counts, np.inf))
    else:
        raise ValueError(
            f"class_weight must be a dict, 'balanced' or None, got {shown(class_weight)}"
        )
    weighed: np.ndarray = each[codes] * (1.0 if weight is None else weight)
    if not weighed.any():
        raise ValueError(
            "class_weight leaves every row with a weight of 0; at least one must count"
        )
    return weighed
