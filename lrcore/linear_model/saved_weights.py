"""The weights of a model alone as arrays of its file: those that are not 0, some in bfloat16.

A file has the features with any weight, which of their outputs have one, as bits, and these weights
in the order of the features. So a weight of 0 beside others takes a bit, and a feature without any
takes nothing.
"""

from __future__ import annotations

import numpy as np

from lrcore._utils import bfloat16
from lrcore._utils.archive import Arrays

#: What weights are kept as, by the name of the dtype; bfloat16 as the upper halves of float32.
STORED = {"bfloat16": np.uint16, "float32": np.float32, "float64": np.float64}

#: Features that are looked at a time.
PIECE = 1 << 16


def weight_arrays(
    weights: np.ndarray, intercepts: np.ndarray, threshold: float, dtype: str
) -> dict[str, np.ndarray]:
    """The arrays of weights, (n_outputs, n_features), by name.

    Parameters
    ----------
    weights, intercepts : ndarray
    threshold : float
        Weights of a smaller magnitude are left out, as those of 0 are.
    dtype : str
        One of `STORED`.

    Raises
    ------
    ValueError
        If a weight is too large for the dtype.
    """
    n_features = weights.shape[1]
    features, kept, values = [], [], []
    for start in range(0, n_features, PIECE):
        piece = np.ascontiguousarray(weights[:, start : start + PIECE].T)
        stored = _stored(piece, dtype)
        mask = (np.abs(piece) >= threshold) & (_widened(stored) != 0)
        some = np.flatnonzero(mask.any(axis=1))
        features.append(start + some)
        kept.append(mask[some])
        values.append(stored[mask])
    numbers = np.uint32 if n_features <= 1 << 32 else np.uint64
    return {
        "weights_features": np.concatenate(features).astype(numbers),
        "weights_kept": np.packbits(np.concatenate(kept)),
        "weights_values": np.concatenate(values),
        "intercepts": intercepts,
    }


def _stored(weights: np.ndarray, dtype: str) -> np.ndarray:
    """Weights as a file has them."""
    with np.errstate(over="ignore"):
        single = weights.astype(np.float32 if dtype != "float64" else np.float64)
        stored = bfloat16.nearest(single) if dtype == "bfloat16" else single
    if not np.isfinite(_widened(stored)).all():
        largest = np.abs(weights).max()
        raise ValueError(f"weight_dtype={dtype!r} has no number as large as a weight of {largest}")
    return stored


def _widened(stored: np.ndarray) -> np.ndarray:
    """Numbers of a file as floats."""
    return bfloat16.widen(stored) if stored.dtype == np.uint16 else stored


def saved_weights(arrays: Arrays, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights, (n_outputs, n_features), and intercepts, of the dtype of these.

    Raises
    ------
    ValueError, KeyError
        If they are no arrays that `weight_arrays` has made.
    """
    intercepts, features = arrays["intercepts"], arrays["weights_features"]
    bits, stored = arrays["weights_kept"], arrays["weights_values"]
    if intercepts.ndim != 1 or intercepts.dtype not in (np.float32, np.float64):
        raise ValueError(f"intercepts must be a list of floats, got {intercepts.dtype}")
    if features.ndim != 1 or features.dtype not in (np.uint32, np.uint64):
        raise ValueError(f"weights_features must be a list of integers, got {features.dtype}")
    ascend = features.astype(np.int64)
    if features.size and (
        ascend[0] < 0 or ascend[-1] >= n_features or (np.diff(ascend) <= 0).any()
    ):
        raise ValueError(f"weights_features must be features of {n_features} that ascend")
    shape = (len(features), len(intercepts))
    if bits.dtype != np.uint8 or bits.shape != (-(-shape[0] * shape[1] // 8),):
        raise ValueError(f"weights_kept must have a bit for each of {shape}, got {bits.shape}")
    flags = np.unpackbits(bits).astype(bool)
    kept = flags[: shape[0] * shape[1]].reshape(shape)
    if stored.dtype not in tuple(STORED.values()) or stored.shape != (np.count_nonzero(flags),):
        raise ValueError(
            f"weights_values must have as many numbers as weights are kept, got {stored.shape}"
        )
    whole = np.zeros((shape[1], n_features), intercepts.dtype)
    some = np.zeros(shape, intercepts.dtype)
    some[kept] = _widened(stored)
    whole[:, ascend] = some.T
    return whole, intercepts
