"""What is checked before a linear model is tried at several rates: the model, rows, the range."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore._utils.validation import check_not_zero, check_number
from lrcore.linear_model import LinearRegressor
from lrcore.linear_model.arguments import check_labels, check_lengths, check_targets
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.engine.design_matrix import DesignMatrix, as_design_matrix


def check_has_rate(name: str, model: Any) -> None:
    """Raise unless this is a linear model that is fitted by steps with a rate, and its parameters
    do."""
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
    """The rows, and labels or targets, all of them checked, so that an error names the row."""
    rows = as_design_matrix(X)
    if isinstance(model, LinearRegressor):
        model._targets(y)
        y = check_targets(y)
    else:
        y = check_labels(y)
        if len(classes := np.unique(y)) < 2:
            raise ValueError(f"y must have at least 2 classes, got {classes.tolist()!r}")
    check_lengths(rows, y)
    return rows, y


def check_range(lr_min: Any, lr_max: Any) -> None:
    """Raise unless these are rates, rising, above 0."""
    check_number("lr_min", lr_min, 0)
    check_not_zero("lr_min", lr_min, "rates are spread by factors")
    check_number("lr_max", lr_max, 0)
    if lr_max <= lr_min:
        raise ValueError(f"lr_max must be > lr_min = {lr_min!r}, got {lr_max!r}")
