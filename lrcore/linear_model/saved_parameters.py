"""The parameters and labels of an estimator as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lrcore import rules, schedules
from lrcore._backend import threads
from lrcore._utils.validation import check_integer, check_number
from lrcore.rules import Rule
from lrcore.schedules import Plateau, Schedule

#: Kinds of dtypes that labels may have in a file.
LABELS = "biufUSmM"

#: Parameters that are True or False, or their integers, and that no constraint says more of.
FLAGS = ("fit_intercept", "shuffle", "early_stopping", "warm_start", "verbose")


def to_plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON has them; without penalty factors, which are an array.

    Raises
    ------
    TypeError
        If a value has no such form.
    """
    return {
        name: None if name == "penalty_factors" else _plain(name, value)
        for name, value in params.items()
    }


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, (Rule, Schedule, Plateau)):
        return value.to_dict()
    if isinstance(value, dict):  # JSON has dicts of strings alone
        return {"items": [[_plain(name, key), _plain(name, each)] for key, each in value.items()]}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(name, each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return None  # its next numbers belong to the run, not to the model
    raise TypeError(f"{name}={value!r} cannot be saved; give plain values")


def from_plain(plain: Mapping[str, Any], penalty_factors: np.ndarray | None) -> dict[str, Any]:
    """The parameters that `to_plain` described. Those that the estimator does not check by itself
    are checked here.

    Threads are a matter of the machine at hand: never more of them than it grants.
    """
    params = dict(plain)
    if params.get("loss", "") is None:
        del params["loss"]  # the default, which files of before have no name of
    if isinstance(params["optimizer"], dict):
        params["optimizer"] = rules.from_dict(params["optimizer"])
    if isinstance(params.get("lr"), dict):
        params["lr"] = schedules.from_dict(params["lr"])
    params["penalty_factors"] = penalty_factors
    for name in FLAGS:
        if not isinstance(params.get(name, False), int):
            raise TypeError(f"{name} must be True or False, got {params[name]!r}")
    if params.get("random_state") is not None:
        check_integer("random_state", params["random_state"], 0)
    if params.get("class_weight") is not None:
        params["class_weight"] = _class_weight(params["class_weight"])
    if params.get("n_threads") is not None:
        threads.check(params["n_threads"])
        params["n_threads"] = min(params["n_threads"], threads.get_num_threads())
    return params


def _class_weight(saved: Any) -> Any:
    if saved == "balanced":
        return saved
    weights = dict(saved["items"])
    for weight in weights.values():
        check_number("class_weight", weight, 0)
    return weights


def plain_labels(labels: np.ndarray) -> np.ndarray:
    """Labels as an array without Python objects, of which `labels_of` makes the same again.

    Raises
    ------
    TypeError
        If they are neither numbers nor strings.
    """
    if labels.dtype.kind in LABELS:
        return labels
    plain = np.array(labels.tolist())
    if plain.dtype.kind in LABELS:
        again = plain.tolist()
        if again == labels.tolist() and set(map(type, again)) == set(map(type, labels.tolist())):
            return plain
    raise TypeError(
        f"classes of dtype {labels.dtype} cannot be saved, such as {labels.tolist()[0]!r}; give "
        "labels that are numbers or strings"
    )


def labels_of(plain: np.ndarray, *, objects: bool) -> np.ndarray:
    """The classes that `plain_labels` has made plain.

    Raises
    ------
    ValueError
        If they are no classes: different numbers or strings, in rising order.
    """
    if plain.ndim != 1 or plain.dtype.kind not in LABELS or not plain.dtype.isnative:
        raise ValueError(f"classes must be numbers or strings, got {plain.dtype} of {plain.shape}")
    if plain.dtype.kind in "fmM" and not np.isfinite(plain).all():
        raise ValueError("classes must be finite")
    labels = plain.astype(object) if objects else plain
    if len(plain) < 2 or not np.array_equal(np.unique(labels), labels):
        raise ValueError("classes must be two or more, all different, in rising order")
    return labels
