"""Checks before a linear model is fitted at several rates: the model, the data, the range."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore._utils.validation import check_not_zero, check_number, shown
from lrcore.linear_model.arguments import check_labels, check_lengths, check_targets
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.engine.design_matrix import DesignMatrix, as_design_matrix
from lrcore.linear_model.labels import check_indicator, has_columns
from lrcore.linear_model.regressor import LinearRegressor


def check_has_rate(name: str, model: Any) -> None:
    """Raise unless the value is a linear model with valid parameters whose solver has a rate."""
    if not isinstance(model, LinearModel):
        raise TypeError(
            f"{name} must be a LinearClassifier or LinearRegressor, got {type(model).__name__}"
        )
    model._check_params()
    if model.solver == "dual":
        raise ValueError(
            f"{name} has solver='dual', which has no rate to choose; give solver='stochastic'"
        )


def checked_data(model: LinearModel, X: Any, y: Any) -> tuple[DesignMatrix, np.ndarray]:
    """X as a design matrix and y as an array, checked before anything is fitted.

    Errors about a value name its row in the data that was given, not in a fold or a chunk of it.
    """
    rows = as_design_matrix(X, None, model.n_threads)
    if isinstance(model, LinearRegressor):
        model._targets(y)
        y = check_targets(y)
    elif has_columns(y):
        indicator = check_indicator(y)
        y = indicator if indicator.shape[1] > 1 else indicator[:, 0]
    else:
        y = check_labels(y)
        if len(classes := np.unique(y)) < 2:
            raise ValueError(f"y must have at least 2 classes, got {classes.tolist()!r}")
    check_lengths(rows, y)
    return rows, y


def check_range(lr_min: Any, lr_max: Any) -> None:
    """Raise unless both are finite numbers above 0, and the second is the larger one."""
    check_number("lr_min", lr_min, 0)
    check_not_zero("lr_min", lr_min, "rates are spread by factors")
    check_number("lr_max", lr_max, 0)
    if lr_max <= lr_min:
        raise ValueError(f"lr_max must be > lr_min = {shown(lr_min)}, got {shown(lr_max)}")
