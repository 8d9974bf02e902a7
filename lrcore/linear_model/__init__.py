"""Large linear models with scikit-learn's interface."""

from lrcore.linear_model.classifier import LinearClassifier
from lrcore.linear_model.cross_validation import LinearClassifierCV, LinearRegressorCV
from lrcore.linear_model.regressor import LinearRegressor

__all__ = ["LinearClassifier", "LinearClassifierCV", "LinearRegressor", "LinearRegressorCV"]
