"""Large linear models with scikit-learn's interface.

Each module is imported with its first use: what scikit-learn has for cross-validation takes longer
to load than many a fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrcore._utils.later import attributes

if TYPE_CHECKING:
    from lrcore.linear_model.classifier import LinearClassifier
    from lrcore.linear_model.cross_validation import LinearClassifierCV, LinearRegressorCV
    from lrcore.linear_model.regressor import LinearRegressor

__all__ = ["LinearClassifier", "LinearClassifierCV", "LinearRegressor", "LinearRegressorCV"]

__getattr__ = attributes(
    __name__,
    {
        "LinearClassifier": "classifier",
        "LinearClassifierCV": "cross_validation",
        "LinearRegressor": "regressor",
        "LinearRegressorCV": "cross_validation",
    },
)
