"""Read data files: svmlight text, plain or packed, and scipy's .npz.

Whether labels are lists is for the caller to say, not for a comma: a stray one would make another
problem of a plain file, without a word.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from lrcore._utils import npz, sparse_formats
from lrcore._utils.npz import NpzError
from lrcore.io import svmlight
from lrcore.io.errors import DataError
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
    try:
        arrays = npz.read(path)
        X = sparse_formats.from_arrays(arrays)
        if dtype is None:
            dtype = np.float32 if X.dtype == np.float32 else np.float64
        X = X.astype(dtype, copy=False)
    except (NpzError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not a scipy .npz file ({error})") from None
    except MemoryError:
        raise DataError(f"{path}: its matrix takes more memory than there is") from None
    y = arrays.get("y")
    if y is None:
        return X, None
    if y.shape != (X.shape[0],):
        raise DataError(f"{path}: y must have shape ({X.shape[0]},), got {y.shape}")
    if y.dtype.kind not in "biufU":
        raise DataError(f"{path}: y must hold numbers or strings, got {y.dtype}")
    return X, y if y.dtype.isnative else y.astype(y.dtype.newbyteorder("="))


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
