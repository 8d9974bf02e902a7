"""Read data files: svmlight text, plain or packed, and scipy's .npz.

Whether labels are lists is for the caller to say, not for a comma: a stray one would make another
problem of a plain file, without a word.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from lrcore._utils import npz, sparse_formats
from lrcore._utils.npz import NpzError, Stored
from lrcore.io import svmlight
from lrcore.io.batch import BATCH_ROWS, MOST_VALUES, Batch, spans_of_few_values
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, size_of
from lrcore.io.label_lists import LabelLists

__all__ = ["DataError", "read"]


def read(
    path: str | os.PathLike[str],
    *,
    n_features: int | None = None,
    zero_based: bool | None = None,
    dtype: Any = np.float32,
    multilabel: bool = False,
) -> tuple[Any, np.ndarray | LabelLists | None, bool]:
    """Read the rows and labels of a data file.

    Parameters
    ----------
    path : str or path
        A file of svmlight text, or an ``.npz`` file: one that ``scipy.sparse.save_npz`` wrote,
        which has no labels, or one with the same arrays and an array ``y`` of labels.
    n_features : int, optional
        Number of columns of X. By default as many as the file needs; a file that needs more than
        the given number is an error.
    zero_based : bool, optional
        Whether svmlight indices start at 0. By default they do if one of them is 0.
    dtype : float32 or float64
        Of the values of X; of an ``.npz`` file it may be None, which keeps these two.
    multilabel : bool
        Whether rows of svmlight text begin with a list of labels, ``1,3 5:0.5``, which may be
        empty, ``5:0.5``. Lines without labels and features are no rows.

    Returns
    -------
    X : csr_matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,), float64, or None
        Labels; None if the file has none. Those of an ``.npz`` file keep their dtype. `LabelLists`
        if `multilabel`.
    zero_based : bool
        Whether the indices of the file start at 0; True for an ``.npz`` file.

    Raises
    ------
    DataError
        If the file is empty, malformed or has too many features.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "data.svm")
    >>> with open(path, "w") as file:
    ...     _ = file.write("1 1:0.5 3:2\\n-1 2:1.5\\n")
    >>> X, y, zero_based = read(path)
    >>> X.toarray()
    array([[0.5, 0. , 2. ],
           [0. , 1.5, 0. ]], dtype=float32)
    >>> y, zero_based
    (array([ 1., -1.]), False)
    """
    path = Path(path)
    y: np.ndarray | LabelLists | None
    if path.suffix == ".npz":
        X, y = _read_npz(path, dtype)
        zero_based = True
        if multilabel and y is not None:
            raise DataError(f"{path}: lists of labels are for svmlight text, this is .npz")
    else:
        X, y, zero_based = _read_svmlight(path, zero_based, dtype, multilabel=multilabel)
    if X.shape[0] == 0:
        raise DataError(f"{path}: the file has no rows")
    if n_features is not None and X.shape[1] > n_features:
        raise DataError(f"{path}: {X.shape[1]} features, but the model has {n_features}")
    if n_features is not None and X.shape[1] < n_features:
        X = sparse.csr_matrix((X.data, X.indices, X.indptr), shape=(X.shape[0], n_features))
    return X, y, zero_based


def _read_npz(path: Path, dtype: Any) -> tuple[Any, np.ndarray | None]:
    """Rows of a file of scipy's, and its labels if it has any."""
    with _faults_of(path):
        arrays = npz.read(path)
        X = sparse_formats.from_arrays(arrays)
        X = X.astype(_dtype_of_values(X.dtype, dtype), copy=False)
    y = arrays.get("y")
    if y is None:
        return X, None
    _check_labels(path, y.shape, y.dtype, X.shape[0])
    return X, _native(y)


@contextmanager
def _faults_of(path: Any) -> Iterator[None]:
    """Whatever is wrong with the matrix of an .npz file as a DataError."""
    try:
        yield
    except DataError:
        raise
    except (NpzError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not a scipy .npz file ({error})") from None
    except MemoryError:
        raise DataError(f"{path}: its matrix takes more memory than there is") from None


def _dtype_of_values(stored: np.dtype, wanted: Any) -> Any:
    """The dtype of X: what is wanted, or by None what is stored, if that is one of X's."""
    if wanted is not None:
        return wanted
    return np.float32 if stored in (np.float16, np.float32) else np.float64


def _native(array: np.ndarray) -> np.ndarray:
    """The same numbers in the byte order of the machine."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _check_labels(path: Any, shape: tuple[int, ...], dtype: np.dtype, n_rows: int) -> None:
    if shape != (n_rows,):
        raise DataError(f"{path}: y must have shape ({n_rows},), got {shape}")
    if dtype.kind not in "biufU":
        raise DataError(f"{path}: y must hold numbers or strings, got {dtype}")


def npz_batches(
    path: str | os.PathLike[str], dtype: Any = np.float32, count: ReadBytes | None = None
) -> Generator[Batch]:
    """The rows of an ``.npz`` file batch by batch, each with its columns in order.

    A CSR matrix, which is stored row by row, takes the memory of a batch; one of another format is
    read whole.

    Parameters
    ----------
    path, dtype
        As of `read`.
    count : ReadBytes, optional
        What is read is added to it.

    Raises
    ------
    DataError, OSError
        As `read`; what is wrong with a row comes after the rows before it.
    """
    count = ReadBytes() if count is None else count
    with _faults_of(path), npz.opened(path) as arrays:
        name = arrays["format"].whole() if "format" in arrays else None
        by_row = sparse_formats.format_of(name) == "csr"
        if by_row:
            shape = sparse_formats.shape_of(arrays["shape"].whole())
            if shape[0] == 0:
                raise DataError(f"{path}: the file has no rows")
            batches = _csr_batches(path, arrays, shape, dtype)
            yield from count.shares(batches, size_of(path), shape[0], lambda batch: batch.n_rows)
    if not by_row:
        X, y, _ = read(path, dtype=dtype)
        assert y is None or isinstance(y, np.ndarray)
        X.sum_duplicates()
        yield from count.shares([Batch(X, y)], size_of(path), 1)


def _csr_batches(
    path: Any, arrays: dict[str, Stored], shape: tuple[int, int], dtype: Any
) -> Generator[Batch]:
    """The rows of the arrays of a CSR matrix."""
    data, indices, indptr = (arrays[name] for name in ("data", "indices", "indptr"))
    sparse_formats.check_numbers(data.dtype)
    if (len(data.shape), len(indices.shape), indptr.shape) != (1, 1, (shape[0] + 1,)):
        raise ValueError("its arrays do not make a CSR matrix of its shape")
    if data.size != indices.size:
        raise ValueError(f"it has {indices.size:,} indices and {data.size:,} values")
    if indptr.dtype not in sparse_formats.INDICES:
        raise TypeError(f"X.indptr must be int32 or int64, got {indptr.dtype}")
    y = arrays.get("y")
    if y is not None:
        _check_labels(path, y.shape, y.dtype, shape[0])
    ends = indptr.take(1)
    if ends[0] != 0:
        raise ValueError(f"X.indptr must begin with 0, got {ends[0]}")
    n_left = shape[0]
    while n_left:
        ends = np.concatenate([ends[-1:], indptr.take(min(BATCH_ROWS, n_left))])
        if ends[-1] > data.size or np.any(ends[1:] < ends[:-1]):
            raise ValueError(f"X.indptr must rise from 0 to {data.size} at most")
        n_left -= len(ends) - 1
        for bounds in spans_of_few_values(ends, MOST_VALUES):
            n_values, n_rows = int(bounds[-1] - bounds[0]), len(bounds) - 1
            parts = data.take(n_values), indices.take(n_values), bounds - bounds[0]
            sparse_formats.check_csr((n_rows, shape[1]), *parts)
            X = sparse.csr_matrix(
                (_native(parts[0]).astype(_dtype_of_values(data.dtype, dtype)), *parts[1:]),
                shape=(n_rows, shape[1]),
            )
            X.sum_duplicates()
            yield Batch(X, None if y is None else _native(y.take(n_rows)))
    while (rest := indices.take(MOST_VALUES)).size:
        sparse_formats.check_csr((0, shape[1]), rest, rest, np.zeros(1, rest.dtype))
    for array in arrays.values():
        array.drain()


def _read_svmlight(
    path: Path, zero_based: bool | None, dtype: Any, *, multilabel: bool
) -> tuple[Any, np.ndarray | LabelLists, bool]:
    """Rows, labels, and whether indices start at 0, of svmlight text."""
    parser = svmlight.LineParser(np.dtype(dtype), multilabel=multilabel, first_index=0)
    rows = svmlight.read_arrays(path, parser)
    n_rows, width = len(rows.indptr) - 1, int(rows.indices.max(initial=0)) + 1
    X = sparse.csr_matrix((rows.data, rows.indices, rows.indptr), shape=(n_rows, width))
    if n_rows == 0:
        raise DataError(f"{path}: the file has no rows")
    y = LabelLists.of(svmlight.labels_of(rows)) if multilabel else rows.labels
    has_zero = bool(X.indices.size) and int(X.indices.min()) == 0
    if zero_based is None:
        zero_based = has_zero
    if zero_based:
        return X, y, True
    if has_zero:
        raise DataError(f"{path}: has an index 0, but its indices should start at 1")
    width = max(0, X.shape[1] - 1)
    X = sparse.csr_matrix((X.data, X.indices - 1, X.indptr), shape=(X.shape[0], width))
    if width == 0:
        raise DataError(f"{path}: no row has a feature")
    return X, y, False
