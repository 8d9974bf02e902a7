"""Frames of pandas and polars as matrices; neither library is imported.

A pandas frame that is one array of floats in memory is not copied. Other frames are copied once:
as float32 if every column is float32, else as float64. Missing values become NaN, which the checks
of values refuse later. A frame with a sparse column becomes a CSR matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from lrcore._utils.missing import objects_as_floats

#: Rows that are copied at a time: few enough to stay in the cache from one column to the next.
BLOCK_ROWS = 4_096

#: The advice about a column that does not hold numbers.
ENCODE = (
    "leave it out, or turn it into numbers, with lrcore.TableHasher(categorical=[...]) or "
    "sklearn.preprocessing.OneHotEncoder"
)


def is_frame(X: Any) -> bool:
    """Whether X is a frame of pandas or polars that is in memory."""
    return hasattr(X, "columns") and (hasattr(X, "iloc") or hasattr(X, "get_columns"))


def check_in_memory(name: str, value: Any) -> None:
    """Raise TypeError if the value is a lazy frame, which holds a query in place of rows, a
    collection of Dask's, or a tensor of torch that NumPy cannot see."""
    if hasattr(value, "__dask_graph__") and value.__dask_graph__() is not None:
        raise TypeError(
            f"{name} must be in memory, got a {type(value).__name__} of Dask's: "
            "lrcore.distributed.dask has the estimators that learn from them; its method compute "
            "brings it here"
        )
    if hasattr(value, "collect_schema") and hasattr(value, "collect"):
        raise TypeError(
            f"{name} must be in memory, got a {type(value).__name__}, which is yet to be computed; "
            "its method collect does that, and lrcore.io.scan_arrow(frame, label=...) reads it in "
            "batches"
        )
    if hasattr(value, "requires_grad") and hasattr(value, "layout"):
        _check_tensor(name, value)


def as_array(name: str, value: Any) -> np.ndarray:
    """The value as NumPy reads it.

    Raises
    ------
    TypeError
        If another library does not let NumPy read its array, as of another device.
    """
    try:
        return np.asarray(value)
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{name} cannot be read as a NumPy array: {error}") from None


def _check_tensor(name: str, tensor: Any) -> None:
    """Raise TypeError if a tensor of torch is not plain numbers on the CPU."""
    for wrong, what, advice in (
        (tensor.device.type != "cpu", f"on {tensor.device}", "cpu"),
        (str(tensor.layout) != "torch.strided", f"{tensor.layout}", "to_dense"),
        (str(tensor.dtype) == "torch.bfloat16", f"{tensor.dtype}", "float"),
        (tensor.requires_grad, "with requires_grad", "detach"),
    ):
        if wrong:
            raise TypeError(
                f"{name} must be what NumPy can see, got a tensor {what}; its method {advice} "
                "gives one that can be used"
            )


def as_matrix(X: Any, dtype: np.dtype[Any] | None) -> Any:
    """The numbers of a frame: an array, or a CSR matrix if a column is sparse.

    Parameters
    ----------
    X : frame of pandas or polars
        With columns of numbers or booleans, which may be nullable.
    dtype : float32 or float64, optional
        The dtype of columns that are copied; by default float32 if all columns are, else float64.

    Raises
    ------
    ValueError
        If a column does not hold numbers.
    """
    pandas = hasattr(X, "iloc")
    columns = [column for _, column in X.items()] if pandas else X.get_columns()
    for name, column in zip(X.columns, columns):
        if not _holds_numbers(column.dtype):
            raise ValueError(
                f"X must hold numbers, got column {name!r} of {column.dtype}; {ENCODE}"
            )
    if dtype is None:
        dtype = np.dtype(np.float32 if all(map(_is_float32, columns)) else np.float64)
    if any(hasattr(column, "sparse") for column in columns):
        return _as_csr(X, columns, dtype)
    # If the first row shares memory with its own first element, the columns are one array.
    alike = pandas and all(column.dtype == dtype for column in columns)
    if alike and np.may_share_memory(X.iloc[:1].to_numpy(), X.iloc[:1, :1].to_numpy()):
        return X.to_numpy()
    numbers = [_numbers(name, column, dtype) for name, column in zip(X.columns, columns)]
    out = np.empty(X.shape, dtype)
    for start in range(0, len(out), BLOCK_ROWS):
        stop = start + BLOCK_ROWS
        for j, values in enumerate(numbers):
            out[start:stop, j] = values[start:stop]
    return out


def _holds_numbers(dtype: Any) -> bool:
    """Whether a dtype of either library may hold numbers; objects are converted later."""
    if hasattr(dtype, "is_numeric"):  # polars
        return bool(dtype.is_numeric()) or str(dtype) == "Boolean"
    return dtype.kind in "fiub" or dtype == np.dtype(object)


def _is_float32(column: Any) -> bool:
    """Whether a column of either library holds float32; it may be nullable or sparse."""
    name = str(getattr(column.dtype, "subtype", column.dtype)).lower()
    return name in ("float32", "float[pyarrow]")


def _numbers(name: Any, column: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """The column as an array of numbers, with NaN where a value is missing."""
    if hasattr(column, "iloc") and not isinstance(column.dtype, np.dtype):
        numbers: np.ndarray = column.to_numpy(dtype=dtype, na_value=np.nan)
        return numbers
    numbers = column.to_numpy()
    if numbers.dtype.kind != "O":
        return numbers
    try:
        return objects_as_floats(numbers, dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"X must hold numbers, got column {name!r} of objects: {error}; {ENCODE}"
        ) from None


def _as_csr(X: Any, columns: list[Any], dtype: np.dtype[Any]) -> sparse.csr_matrix:
    """The columns as a CSR matrix; only values that are not zero are ever copied."""
    indices, values = [], []
    for name, column in zip(X.columns, columns):
        if hasattr(column, "sparse") and column.sparse.fill_value == 0:
            indices.append(column.array.sp_index.to_int_index().indices)
            values.append(column.sparse.sp_values.astype(dtype, copy=False))
        else:
            numbers = _numbers(name, column, dtype)
            indices.append(np.flatnonzero(numbers))
            values.append(numbers[indices[-1]].astype(dtype, copy=False))
    indptr = np.cumsum([0, *map(len, values)])
    parts = (np.concatenate(values), np.concatenate(indices), indptr)
    return sparse.csc_matrix(parts, shape=X.shape).tocsr()
