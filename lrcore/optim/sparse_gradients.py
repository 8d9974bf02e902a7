"""Gradients of some rows of a parameter, such as an embedding table: pairs (indices, values)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrcore._utils.arrays import check_array, view_of

#: Distinct rows in rising order, int64, and a gradient for each: (n_rows, width).
RowGradient = tuple[np.ndarray, np.ndarray]


def check_row_gradient(name: str, pair: Any, param: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check a gradient of some rows.

    Parameters
    ----------
    name : str
        The expression that leads to the pair, for messages.
    pair : tuple (indices, values)
        As `Optimizer.step` takes it.
    param : ndarray of shape (n_rows, ...)
        The parameter whose rows these are.

    Returns
    -------
    indices : ndarray of shape (n,), int64
        In the order given; a row may occur several times.
    values : ndarray of shape (n, ...)

    Raises
    ------
    TypeError, ValueError
        If an index or the values do not fit the parameter.
    """
    if len(pair) != 2:
        raise ValueError(f"{name} must be an array or a pair (indices, values), got {len(pair)}")
    if param.ndim == 0:
        raise ValueError(f"{name} must be an array: its parameter has no rows")
    given = pair[0] if isinstance(pair[0], (list, tuple)) else view_of(f"{name}[0]", pair[0])
    indices = np.asarray(given)
    if indices.size == 0:
        indices = indices.astype(np.int64)
    if indices.dtype.kind not in "iu" or indices.ndim != 1:
        raise TypeError(
            f"{name}[0] must be indices of rows, integers in one dimension, got "
            f"{indices.dtype} in {indices.ndim}"
        )
    outside = np.flatnonzero((indices < 0) | (indices >= param.shape[0]))
    if outside.size:
        raise ValueError(
            f"{name}[0] must be in [0, {param.shape[0]}), got {indices[outside[0]]} "
            f"at position {outside[0]}"
        )
    values = check_array(f"{name}[1]", pair[1], half=True)
    if values.dtype not in (param.dtype, np.float16):
        raise TypeError(
            f"{name}[1] must be {param.dtype} like its parameter, or float16, got {values.dtype}"
        )
    if values.shape != (len(indices), *param.shape[1:]):
        raise ValueError(
            f"{name}[1] must have the shape {(len(indices), *param.shape[1:])}, a row of the "
            f"parameter for each index, got {values.shape}"
        )
    return indices.astype(np.int64, copy=False), values.view(np.ndarray)


def merge(indices: np.ndarray, values: np.ndarray, dtype: np.dtype[Any]) -> RowGradient:
    """Sum the values of rows that occur several times.

    The values of a row are added one after another in the order given, starting from 0, in `dtype`:
    the sums have the same bits on every machine.

    Parameters
    ----------
    indices : ndarray of shape (n,), int64
    values : ndarray of shape (n, ...)
    dtype : float32 or float64

    Returns
    -------
    rows : ndarray of shape (n_rows,), int64
        Distinct rows in rising order.
    values : ndarray of shape (n_rows, width)

    Examples
    --------
    >>> rows, sums = merge(np.array([4, 1, 4]), np.array([[1.0], [2.0], [3.0]]), np.dtype(float))
    >>> rows, sums[:, 0]
    (array([1, 4]), array([2., 4.]))
    """
    n = len(indices)
    values = values.reshape(n, values.size // n if n else 0)
    if n < 2 or bool(np.all(indices[1:] > indices[:-1])):
        return np.ascontiguousarray(indices), values
    from scipy import sparse  # here, since importing lrcore must not load SciPy

    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    if len(starts) == n:
        return ordered, values[order]
    bounds = np.append(starts, n)
    sums = sparse.csr_array((np.ones(n, dtype), order, bounds), shape=(len(starts), n))
    return ordered[starts], np.ascontiguousarray(sums @ values.astype(dtype, copy=False))
