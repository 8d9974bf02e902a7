"""Fused optimizer kernels and large linear models for the CPU.

``import lrcore`` loads NumPy and the core; scikit-learn and SciPy come with the first use of what
needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrcore import minimize as _minimize
from lrcore import schedules
from lrcore._core.threads import get_num_threads, num_threads, set_num_threads
from lrcore.config import show_config
from lrcore.optimizer import Optimizer
from lrcore.rules import (
    FTRL,
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    DoG,
    Lion,
    Nadam,
    RAdam,
    RMSProp,
    Rule,
    ScheduleFreeAdamW,
)

Rule.minimize = _minimize.minimize
Rule.minimize_stochastic = _minimize.minimize_stochastic

if TYPE_CHECKING:
    from lrcore.linear_model import LinearClassifier, LinearRegressor
    from lrcore.model_file import load, save
    from lrcore.range_test import lr_range_test
    from lrcore.search import lr_search
    from lrcore.stability import check_stable, estimate_lipschitz, max_stable_lr

__version__ = "0.1.0"

__all__ = [
    "FTRL",
    "SGD",
    "AMSGrad",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Adamax",
    "DivergenceError",
    "DoG",
    "LinearClassifier",
    "LinearRegressor",
    "Lion",
    "Nadam",
    "Optimizer",
    "RAdam",
    "RMSProp",
    "RateWarning",
    "ScheduleFreeAdamW",
    "check_stable",
    "estimate_lipschitz",
    "get_num_threads",
    "load",
    "lr_range_test",
    "lr_search",
    "max_stable_lr",
    "num_threads",
    "save",
    "schedules",
    "set_num_threads",
    "show_config",
]

_LATER = {
    "DivergenceError": "lrcore.trouble",
    "LinearClassifier": "lrcore.linear_model",
    "LinearRegressor": "lrcore.linear_model",
    "RateWarning": "lrcore.trouble",
    "check_stable": "lrcore.stability",
    "estimate_lipschitz": "lrcore.stability",
    "load": "lrcore.model_file",
    "lr_range_test": "lrcore.range_test",
    "lr_search": "lrcore.search",
    "max_stable_lr": "lrcore.stability",
    "save": "lrcore.model_file",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'lrcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])
