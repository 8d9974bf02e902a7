"""Columns divided by the largest magnitude seen in them so far, for features in any units.

Normalised online learning (Ross, Mineiro and Langford 2013, their algorithm NAG): when the scale
of a column grows, the weight of the scaled column stays what it is, and so does the rule's state.
Nothing is centred, so zeros stay zeros.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lrcore import _core
from lrcore.linear_model.engine.design_matrix import Rows


def first_scale(n_features: int, dtype: np.dtype[Any]) -> np.ndarray:
    """The scale of columns of which nothing has been seen: not 0 but next to it, so that what is
    divided by it is finite."""
    return np.full(n_features, np.finfo(dtype).tiny * 2**26, dtype)


def scaled(rows: Rows, scale: np.ndarray, offset: int, block: int) -> Rows:
    """The rows with a copy of their values, each over the scale of its column.

    Blocks end at multiples of `block` rows, of which `offset` came before these. The magnitudes of
    a block enter `scale`, (n_features,), in place, before its values are divided.
    """
    values = np.empty_like(rows.values)
    if _core.kernels is None:
        _scale(rows, scale, values, offset, block)
    elif rows.indptr is None:
        _core.kernels.scale_dense(rows.values, scale, values, offset, block)
    else:
        data = (rows.indptr, rows.indices, np.ascontiguousarray(rows.values))
        _core.kernels.scale_csr(*data, scale, values, offset, block)
    return replace(rows, values=values)


def _scale(rows: Rows, scale: np.ndarray, values: np.ndarray, offset: int, block: int) -> None:
    """As the core's, with the same bits."""
    start = 0
    while start < rows.shape[0]:
        stop = min(rows.shape[0], start + block - (offset + start) % block)
        part = rows.span(start, stop)
        if rows.indptr is None or part.indices is None:
            np.maximum(scale, np.abs(part.values).max(axis=0), out=scale)
            values[start:stop] = part.values / scale
        else:
            np.maximum.at(scale, part.indices, np.abs(part.values))
            inner = slice(rows.indptr[start], rows.indptr[stop])
            values[inner] = part.values / scale[part.indices]
        start = stop
