"""Columns divided by the largest magnitude seen in them so far, for features in any units.

Normalised online learning (Ross, Mineiro and Langford 2013, their algorithm NAG): when the scale
of a column grows, the weight of the scaled column stays what it is, and so does the rule's state.
Nothing is centred, so zeros stay zeros.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lrcore import _backend
from lrcore.linear_model.engine.design_matrix import DesignMatrix


def initial_scale(n_features: int, dtype: np.dtype[Any]) -> np.ndarray:
    """The scale of columns of which nothing has been seen: not 0 but next to it, so that what is
    divided by it is finite."""
    return np.full(n_features, np.finfo(dtype).tiny * 2**26, dtype)


def scaled(X: DesignMatrix, scale: np.ndarray, offset: int, block: int) -> DesignMatrix:
    """X with a copy of its values, each over the scale of its column.

    Blocks end at multiples of `block` rows, of which `offset` came before these. The magnitudes of
    a block enter `scale`, (n_features,), in place, before its values are divided.
    """
    return replace(X, values=_backend.active.scaled_values(X, scale, offset, block))
