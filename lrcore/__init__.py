"""Fused optimizer kernels and large linear models for the CPU.

``import lrcore`` loads NumPy and the core; scikit-learn and SciPy come with the first use of what
needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrcore import _legacy, rules, schedules
from lrcore import minimize as _minimize
from lrcore._backend.config import show_config
from lrcore._backend.threads import get_num_threads, num_threads, set_num_threads
from lrcore._utils.version import __version__ as __version__
from lrcore.optim.optimizer import Optimizer
from lrcore.rules import *  # noqa: F403
from lrcore.rules import Rule

_legacy.register()
Rule.minimize = _minimize.minimize
Rule.minimize_stochastic = _minimize.minimize_stochastic

if TYPE_CHECKING:
    from lrcore import io
    from lrcore.feature_extraction import FeatureHasher, HashingVectorizer, TableHasher
    from lrcore.linear_model.classifier import LinearClassifier
    from lrcore.linear_model.cross_validation import LinearClassifierCV, LinearRegressorCV
    from lrcore.linear_model.monitor.diagnostics import (
        DivergenceError,
        RateWarning,
        UselessFitWarning,
    )
    from lrcore.linear_model.monitor.progress_line import ProgressLine
    from lrcore.linear_model.onnx_converters import register_skl2onnx
    from lrcore.linear_model.persistence import load, save
    from lrcore.linear_model.progressive import progressive_val_score
    from lrcore.linear_model.regressor import LinearRegressor
    from lrcore.tuning.range_test import lr_range_test
    from lrcore.tuning.search import lr_search
    from lrcore.tuning.stability import check_stable, estimate_lipschitz, max_stable_lr

__all__ = [
    "DivergenceError",
    "FeatureHasher",
    "HashingVectorizer",
    "LinearClassifier",
    "LinearClassifierCV",
    "LinearRegressor",
    "LinearRegressorCV",
    "Optimizer",
    "ProgressLine",
    "RateWarning",
    "TableHasher",
    "UselessFitWarning",
    "check_stable",
    "estimate_lipschitz",
    "get_num_threads",
    "io",
    "load",
    "lr_range_test",
    "lr_search",
    "max_stable_lr",
    "num_threads",
    "progressive_val_score",
    "register_skl2onnx",
    "save",
    "schedules",
    "set_num_threads",
    "show_config",
]
__all__ += rules.__all__

_LATER = {
    "DivergenceError": "lrcore.linear_model.monitor.diagnostics",
    "FeatureHasher": "lrcore.feature_extraction",
    "HashingVectorizer": "lrcore.feature_extraction",
    "LinearClassifier": "lrcore.linear_model.classifier",
    "LinearClassifierCV": "lrcore.linear_model.cross_validation",
    "LinearRegressor": "lrcore.linear_model.regressor",
    "LinearRegressorCV": "lrcore.linear_model.cross_validation",
    "ProgressLine": "lrcore.linear_model.monitor.progress_line",
    "RateWarning": "lrcore.linear_model.monitor.diagnostics",
    "TableHasher": "lrcore.feature_extraction",
    "UselessFitWarning": "lrcore.linear_model.monitor.diagnostics",
    "check_stable": "lrcore.tuning.stability",
    "estimate_lipschitz": "lrcore.tuning.stability",
    "load": "lrcore.linear_model.persistence",
    "lr_range_test": "lrcore.tuning.range_test",
    "lr_search": "lrcore.tuning.search",
    "max_stable_lr": "lrcore.tuning.stability",
    "progressive_val_score": "lrcore.linear_model.progressive",
    "register_skl2onnx": "lrcore.linear_model.onnx_converters",
    "save": "lrcore.linear_model.persistence",
}


def __getattr__(name: str) -> Any:
    if name in ("io", "torch"):
        return import_module(f"lrcore.{name}")
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'lrcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
