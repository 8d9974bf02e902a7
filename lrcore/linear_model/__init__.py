"""Large linear models with scikit-learn's interface.

Each module is imported with its first use: what scikit-learn has for cross-validation takes longer
to load than many a fit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrcore.linear_model.classifier import LinearClassifier
    from lrcore.linear_model.cross_validation import LinearClassifierCV, LinearRegressorCV
    from lrcore.linear_model.regressor import LinearRegressor

__all__ = ["LinearClassifier", "LinearClassifierCV", "LinearRegressor", "LinearRegressorCV"]

_LATER = {
    "LinearClassifier": "classifier",
    "LinearClassifierCV": "cross_validation",
    "LinearRegressor": "regressor",
    "LinearRegressorCV": "cross_validation",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"lrcore.linear_model.{_LATER[name]}"), name)
    raise AttributeError(f"module 'lrcore.linear_model' has no attribute {name!r}")
