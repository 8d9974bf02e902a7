"""Weights that are not to be negative: the parameter `positive`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore._utils import missing
from lrcore._utils.validation import shown


def asks_for_bounds(model: Any) -> bool:
    """Whether an estimator's parameters ask for weights that are not negative."""
    positive = model.positive
    return not isinstance(positive, (bool, np.bool_)) or bool(positive)


def check_positive(positive: Any, n_features: int) -> np.ndarray | None:
    """Which features have weights that are not negative, (n_features,) bool, a copy; None if none.

    Raises
    ------
    ValueError, TypeError
    """
    if isinstance(positive, (bool, np.bool_)):
        return np.ones(n_features, bool) if positive else None
    missing.check_nothing_masked("positive", positive)
    mask = np.array(positive)
    if mask.dtype != bool:
        raise TypeError(
            f"positive must be True, False, or a mask of booleans with one for each feature of X, "
            f"got {shown(positive)}"
        )
    if mask.shape != (n_features,):
        raise ValueError(
            f"positive must have shape ({n_features},), one flag for each feature of X, got "
            f"{mask.shape}"
        )
    return mask if mask.any() else None
