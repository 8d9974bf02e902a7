"""Sparse matrices of SciPy's formats as CSR, checked before SciPy's own code, which trusts them.

Each format is checked as the arrays that it is made of, whether these come out of a matrix or of a
file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import sparse

INDICES = (np.dtype(np.int32), np.dtype(np.int64))

#: Bytes of row pointers that a matrix of few values may have, and times the bytes of its arrays.
EMPTY_ROWS, TIMES = 1 << 26, 100


def to_csr(X: Any) -> Any:
    """The matrix as CSR; one that is CSR already is returned as it is, its indices unread.

    Raises
    ------
    ValueError, TypeError
        If it is not two-dimensional, or its arrays do not fit together.
    """
    if X.ndim != 2:
        raise ValueError(
            f"X must be a 2-D matrix of rows, got a {X.ndim}-D {type(X).__name__} of shape "
            f"{X.shape}; X.reshape(1, -1) makes one row of it"
        )
    if X.format == "dok":
        X = X.tocoo()
    if X.format == "csr":
        for name in ("indptr", "indices", "data"):
            _one_dimensional("CSR", name, getattr(X, name))
        return X
    if X.format == "lil":
        _check_lists(X)
        return X.tocsr()
    if X.format not in CHECKS:
        raise TypeError(f"X must be of a format of scipy.sparse, got {X.format!r}")
    parts = {name: getattr(X, name) for name in PARTS[X.format]}
    CHECKS[X.format](X.shape, **parts)
    if X.data.dtype == np.float16:  # which SciPy's code does not know
        X = X.astype(np.float32)
    return X.tocsr()


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Any:
    """The CSR matrix that the arrays of a file of ``scipy.sparse.save_npz`` are.

    Raises
    ------
    ValueError, TypeError
        If they are none, or do not fit together.
    """
    name = format_of(arrays.get("format"))
    shape = shape_of(arrays["shape"])
    if name == "coo":
        coords = arrays["coords"] if "coords" in arrays else (arrays["row"], arrays["col"])
        parts: dict[str, Any] = {"coords": tuple(coords), "data": arrays["data"]}
    else:
        parts = {part: arrays[part] for part in PARTS[name]}
    check_numbers(parts["data"].dtype)
    most = EMPTY_ROWS + TIMES * sum(array.nbytes for array in arrays.values())
    if 8 * shape[0] > most:
        raise ValueError(f"its shape has {shape[0]:,} rows, far more than it has values")
    CHECKS[name](shape, **parts)
    data = parts.pop("data")
    if data.dtype == np.float16 or not data.dtype.isnative:
        data = data.astype(np.float32 if data.dtype.itemsize == 2 else data.dtype.newbyteorder("="))
    if name == "coo":
        return sparse.coo_matrix((data, parts["coords"]), shape=shape).tocsr()
    made = getattr(sparse, f"{name}_matrix")((data, *parts.values()), shape=shape)
    return made.tocsr()


#: The arrays of each format, in the order of its constructor after the data.
PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "dia": ("data", "offsets"),
    "coo": ("data", "coords"),
}


def format_of(array: np.ndarray | None) -> str:
    """The name of a file's format."""
    name = array.item() if array is not None and array.ndim == 0 else None
    name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if name not in PARTS:
        raise ValueError(f"it holds no matrix: format must be one of {', '.join(PARTS)}: {name!r}")
    return str(name)


def check_numbers(dtype: np.dtype[Any]) -> None:
    """Raise unless values of a matrix may have this dtype."""
    if dtype.kind not in "fiub":
        raise TypeError(f"its data must be numbers, got {dtype}")


def shape_of(shape: np.ndarray) -> tuple[int, int]:
    """The numbers of rows and columns of a file."""
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or np.any(shape < 0):
        raise ValueError(f"its shape must be two integers >= 0, got {shape.tolist()!r}"[:200])
    if np.any(shape > np.iinfo(np.int64).max // 2):
        raise ValueError(f"its shape is too large: {shape.tolist()}")
    return int(shape[0]), int(shape[1])


def _one_dimensional(kind: str, name: str, values: Any) -> None:
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise ValueError(f"X.{name} must be a 1-D array; the {kind} matrix is damaged")


def _integers(kind: str, name: str, values: Any, least: int, most: int) -> None:
    """Raise unless these are places from `least` to `most`."""
    _one_dimensional(kind, name, values)
    if values.dtype not in INDICES:
        raise TypeError(f"X.{name} must be int32 or int64, got {values.dtype}")
    if values.size and not least <= int(values.min()) <= int(values.max()) <= most:
        raise ValueError(
            f"X.{name} must be within {least} and {most}, got {values.min()} to {values.max()}; "
            f"the {kind} matrix is damaged"
        )


def _compressed(
    kind: str, n: int, n_minor: int, indices: np.ndarray, indptr: np.ndarray, n_values: int
) -> None:
    """Raise unless indptr divides the indices among n rows or columns."""
    _integers(kind, "indices", indices, 0, n_minor - 1)
    _integers(kind, "indptr", indptr, 0, min(len(indices), n_values))
    rises = len(indptr) == n + 1 and indptr[0] == 0 and bool(np.all(indptr[1:] >= indptr[:-1]))
    if not rises:
        raise ValueError(
            f"X.indptr must have {n + 1} numbers that rise from 0, got {len(indptr)}; the {kind} "
            "matrix is damaged"
        )


def check_csr(shape: Any, data: Any, indices: Any, indptr: Any) -> None:
    """Raise unless the arrays make a CSR matrix of this shape."""
    _one_dimensional("CSR", "data", data)
    _compressed("CSR", shape[0], shape[1], indices, indptr, len(data))


def _check_csc(shape: Any, data: Any, indices: Any, indptr: Any) -> None:
    _one_dimensional("CSC", "data", data)
    _compressed("CSC", shape[1], shape[0], indices, indptr, len(data))


def _check_bsr(shape: Any, data: Any, indices: Any, indptr: Any) -> None:
    if not isinstance(data, np.ndarray) or data.ndim != 3 or 0 in data.shape[1:]:
        raise ValueError("X.data must be a 3-D array of blocks; the BSR matrix is damaged")
    rows, columns = data.shape[1:]
    if shape[0] % rows or shape[1] % columns:
        raise ValueError(
            f"X of shape {tuple(shape)} does not divide into blocks of {rows} times {columns}; the "
            "BSR matrix is damaged"
        )
    _compressed("BSR", shape[0] // rows, shape[1] // columns, indices, indptr, len(data))


def _check_dia(shape: Any, data: Any, offsets: Any) -> None:
    if not isinstance(data, np.ndarray) or data.ndim != 2:
        raise ValueError("X.data must be a 2-D array of diagonals; the DIA matrix is damaged")
    _integers("DIA", "offsets", offsets, 1 - shape[0], shape[1] - 1)
    if len(offsets) != len(data) or len(np.unique(offsets)) != len(offsets):
        raise ValueError(
            f"X has {len(data)} diagonals and {len(np.unique(offsets))} different offsets; the DIA "
            "matrix is damaged"
        )


def _check_coo(shape: Any, data: Any, coords: Any) -> None:
    _one_dimensional("COO", "data", data)
    if len(coords) != 2:
        raise ValueError(f"X must have two coordinates, got {len(coords)}")
    for name, values, n in zip(("row", "col"), coords, shape):
        _integers("COO", name, values, 0, n - 1)
        if len(values) != len(data):
            raise ValueError(
                f"X.{name} must have {len(data)} numbers, as many as values, got {len(values)}; "
                "the COO matrix is damaged"
            )


def _check_lists(X: Any) -> None:
    """Raise unless each row of a LIL matrix has an index for each value."""
    for name, lists in (("rows", X.rows), ("data", X.data)):
        if lists.shape != X.shape[:1] or not all(isinstance(row, list) for row in lists):
            raise ValueError(f"X.{name} must have a list for each row; the LIL matrix is damaged")
    for i, (places, values) in enumerate(zip(X.rows, X.data)):
        if len(places) != len(values):
            raise ValueError(
                f"X has {len(places)} indices and {len(values)} values in row {i}; the LIL matrix "
                "is damaged"
            )


CHECKS: dict[str, Callable[..., None]] = {
    "csr": check_csr,
    "csc": _check_csc,
    "bsr": _check_bsr,
    "dia": _check_dia,
    "coo": _check_coo,
}
