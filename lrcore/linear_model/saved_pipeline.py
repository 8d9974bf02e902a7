"""The steps of a scikit-learn Pipeline before its model, as arrays and JSON values of its file.

Only transformers are known whose result follows from a few numbers and arrays; they are made anew
from these by their own classes, so that no file can name another class or run code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from lrcore._utils.archive import Arrays
from lrcore._utils.validation import check_integer, check_number, shown
from lrcore.feature_extraction.featurizer import TextColumn
from lrcore.feature_extraction.table import TableHasher

#: What transformers may give: arrays, or frames of a library.
OUTPUTS = ("default", "pandas", "polars")

#: A step that does nothing.
PASSTHROUGH = "passthrough"


@dataclass(frozen=True)
class Scaler:
    """A transformer of scikit-learn that is fitted, and of which attributes are arrays.

    Parameters
    ----------
    module : str
    attributes : tuple of str
        With a number for each feature; those that the parameters do not ask for are None.
    """

    module: str
    name: str
    attributes: tuple[str, ...]

    def to_plain(self, step: Any, key: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values, and arrays by names that begin with the key."""
        check_is_fitted(step, "n_features_in_")
        params = step.get_params(deep=False)
        if "feature_range" in params:
            params["feature_range"] = list(params["feature_range"])
        arrays = {
            f"{key}{name}": np.asarray(value)
            for name in self.attributes
            if (value := getattr(step, name, None)) is not None
        }
        if hasattr(step, "n_samples_seen_"):
            arrays[f"{key}n_samples_seen_"] = np.asarray(step.n_samples_seen_)
        if hasattr(step, "feature_names_in_"):
            arrays[f"{key}feature_names_in_"] = step.feature_names_in_.astype(str)
        return {"params": params, "n_features": int(step.n_features_in_)}, arrays

    def from_plain(self, plain: dict[str, Any], arrays: Arrays, key: str) -> Any:
        """The transformer of which `to_plain` gave these.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it did not.
        """
        params, n_features = dict(plain["params"]), plain["n_features"]
        check_integer("n_features", n_features)
        if "feature_range" in params:
            params["feature_range"] = _range(params["feature_range"])
        step = getattr(import_module(self.module), self.name)(**params)
        step._validate_params()
        given = {name.removeprefix(key): a for name, a in arrays.items() if name.startswith(key)}
        step.n_features_in_ = n_features
        if "feature_names_in_" in given:
            step.feature_names_in_ = _names(given.pop("feature_names_in_"), n_features)
        if "n_samples_seen_" in given:
            step.n_samples_seen_ = _counts(given.pop("n_samples_seen_"), n_features)
        for name in self.attributes:
            values = given.pop(name, None)
            if values is not None and not _is_list(values, n_features):
                raise ValueError(f"{name} must be {n_features} finite floats, got {values.dtype}")
            if values is not None or name in self._optional:
                setattr(step, name, values)
        if given:
            raise ValueError(f"{self.name} has no {', '.join(given)}")
        missing = [name for name in self._needed(params) if getattr(step, name, None) is None]
        if missing:
            raise ValueError(f"{self.name} needs {', '.join(missing)}")
        return step

    @property
    def _optional(self) -> tuple[str, ...]:
        """What is None where the parameters do not ask for it."""
        return self.attributes if self.name == "StandardScaler" else ()

    def _needed(self, params: Mapping[str, Any]) -> list[str]:
        """The attributes that these parameters ask for."""
        asked = {
            "mean_": params.get("with_mean", True),
            "var_": params.get("with_std", True),
            "scale_": params.get("with_std", True),
            "idf_": params.get("use_idf", True),
        }
        return [name for name in self.attributes if asked.get(name, True)]

    @staticmethod
    def n_outputs(step: Any) -> int:
        return int(step.n_features_in_)


@dataclass(frozen=True)
class Hasher:
    """A transformer of ours, whose columns follow from its parameters.

    Parameters
    ----------
    module, name : str
    to_dict, from_dict : callable
    """

    module: str
    name: str
    to_dict: Callable[[Any], dict[str, Any]]
    from_dict: Callable[[dict[str, Any]], Any] = field(repr=False)

    def to_plain(self, step: Any, key: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See `Scaler`."""
        return {"params": self.to_dict(step)}, {}

    def from_plain(self, plain: dict[str, Any], arrays: Arrays, key: str) -> Any:
        """See `Scaler`."""
        return self.from_dict(plain["params"])

    @staticmethod
    def n_outputs(step: Any) -> int:
        return int(step.n_features)


#: Parameters of a FeatureHasher that its columns follow from.
OF_NAMES = ("n_features", "input_type", "alternate_sign")


def _feature_hasher_to_dict(step: Any) -> dict[str, Any]:
    return {name: getattr(step, name) for name in OF_NAMES} | {"dtype": np.dtype(step.dtype).name}


def _feature_hasher(plain: dict[str, Any]) -> Any:
    if set(plain) != {*OF_NAMES, "dtype"} or plain["dtype"] not in ("float32", "float64"):
        raise ValueError(f"a FeatureHasher has {', '.join(OF_NAMES)} and dtype, got {plain}")
    cls = import_module("lrcore.feature_extraction.hashing").FeatureHasher
    step = cls(**{**plain, "dtype": np.dtype(plain["dtype"]).type})
    step._validate_params()
    return step


def _vectorizer(plain: dict[str, Any]) -> Any:
    step = TextColumn.from_dict(plain).vectorizer
    return step.set_params(dtype=step.dtype.type)


PREPROCESSING, TEXT = "sklearn.preprocessing", "sklearn.feature_extraction.text"

STEPS: dict[str, Scaler | Hasher] = {
    step.name: step
    for step in (
        Scaler(PREPROCESSING, "StandardScaler", ("mean_", "var_", "scale_")),
        Scaler(PREPROCESSING, "MaxAbsScaler", ("max_abs_", "scale_")),
        Scaler(
            PREPROCESSING, "MinMaxScaler",
            ("scale_", "min_", "data_min_", "data_max_", "data_range_"),
        ),
        Scaler(TEXT, "TfidfTransformer", ("idf_",)),
        Hasher(
            "lrcore.feature_extraction.text", "HashingVectorizer",
            lambda step: TextColumn(step, None).to_dict(), _vectorizer,
        ),
        Hasher(
            "lrcore.feature_extraction.hashing", "FeatureHasher", _feature_hasher_to_dict,
            _feature_hasher,
        ),
        Hasher(
            "lrcore.feature_extraction.table", "TableHasher", TableHasher.to_dict,
            TableHasher.from_dict,
        ),
    )
}  # fmt: skip


def is_pipeline(model: Any) -> bool:
    """Whether it is a Pipeline of scikit-learn, and not of a subclass."""
    return (type(model).__module__, type(model).__name__) == ("sklearn.pipeline", "Pipeline")


def pipeline_to_plain(pipeline: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The steps before the last as plain values and arrays.

    Raises
    ------
    TypeError
        If one of them is not known; the message names it.
    NotFittedError, ValueError
        If one is not fitted, or calls functions of its own.
    """
    plain, arrays = [], {}
    *before, (last, model) = pipeline.steps
    for k, (name, step) in enumerate(before):
        if step is None or (isinstance(step, str) and step == PASSTHROUGH):
            plain.append({"name": name, "kind": PASSTHROUGH})
            continue
        known = _known(name, step)
        values, more = known.to_plain(step, f"step_{k}_")
        _check_columns(name, known.n_outputs(step), model)
        output = getattr(step, "_sklearn_output_config", {}).get("transform")
        plain.append({"name": name, "kind": known.name, "output": output, **values})
        arrays.update(more)
    return {"steps": plain, "last": last, "verbose": bool(pipeline.verbose)}, arrays


def _known(name: str, step: Any) -> Scaler | Hasher:
    """What is known of the class of a step."""
    kind = type(step)
    known = STEPS.get(kind.__name__)
    if known is None or kind is not getattr(import_module(known.module), known.name):
        raise TypeError(
            f"step {name!r} is a {kind.__module__}.{kind.__name__}, which a file cannot hold: "
            f"lrcore's {', '.join(_names_of(Hasher))} and scikit-learn's "
            f"{', '.join(_names_of(Scaler))} can be steps before the model; skops.io.dump writes "
            "any pipeline without pickles"
        )
    return known


def _names_of(kind: type) -> list[str]:
    return [name for name, step in STEPS.items() if isinstance(step, kind)]


def pipeline_from_plain(saved: dict[str, Any], arrays: Arrays, model: Any) -> Any:
    """The Pipeline of which `pipeline_to_plain` gave these, and that ends in the model.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it did not.
    """
    from sklearn.pipeline import Pipeline

    steps = []
    for k, plain in enumerate(saved["steps"]):
        step = _step(plain, arrays, f"step_{k}_")
        if step != PASSTHROUGH:
            _check_columns(plain["name"], STEPS[plain["kind"]].n_outputs(step), model)
        steps.append((plain["name"], step))
    names = [*(name for name, _ in steps), saved["last"]]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"names of steps must be strings, got {shown(names)}")
    pipeline = Pipeline([*steps, (saved["last"], model)], verbose=bool(saved["verbose"]))
    pipeline._validate_names(names)
    return pipeline


def _step(plain: dict[str, Any], arrays: Arrays, key: str) -> Any:
    """A step of a file."""
    if plain["kind"] == PASSTHROUGH:
        return PASSTHROUGH
    if plain["kind"] not in STEPS:
        raise ValueError(f"a step must be of {', '.join(STEPS)}, got {shown(plain['kind'])}")
    step, output = STEPS[plain["kind"]].from_plain(plain, arrays, key), plain["output"]
    if output is not None:
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {shown(output)}")
        step.set_output(transform=output)
    return step


def _check_columns(name: str, n_outputs: int, model: Any) -> None:
    """Raise unless a step makes as many columns as the model takes."""
    if n_outputs != model.n_features_in_:
        raise ValueError(
            f"step {name!r} has {n_outputs} columns, and the model {model.n_features_in_}; fit the "
            "pipeline"
        )


def _range(bounds: Any) -> tuple[Any, Any]:
    low, high = bounds
    for bound in (low, high):
        check_number("feature_range", bound)
    if low >= high:
        raise ValueError(f"feature_range must rise, got {shown(bounds)}")
    return low, high


def _is_list(values: np.ndarray, n: int) -> bool:
    floats = values.dtype in (np.float32, np.float64)
    return floats and values.shape == (n,) and bool(np.isfinite(values).all())


def _names(names: np.ndarray, n_features: int) -> np.ndarray:
    if names.shape != (n_features,) or names.dtype.kind != "U":
        raise ValueError(f"feature_names_in_ must be {n_features} strings, got {names.shape}")
    return names.astype(object)


def _counts(counts: np.ndarray, n_features: int) -> Any:
    """How many rows were seen, or the sum of their weights: a number, or one for each feature."""
    known = counts.dtype in (np.int64, np.float64) and counts.shape in ((), (n_features,))
    if not (known and np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError(f"n_samples_seen_ must be counts, got {counts.shape} of {counts.dtype}")
    return counts if counts.ndim else counts[()]
