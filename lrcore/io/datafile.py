"""Read data files: svmlight text (plain, .gz, .bz2) and scipy's .npz.

Whether labels are lists is for the caller to say, not for a comma: a stray one would make another
problem of a plain file, without a word.

scikit-learn parses the svmlight text. Its errors do not say where the text is wrong, so after an
error the file is read once more, line by line, to name the first line that is not valid.
"""

from __future__ import annotations

import bz2
import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from lrcore._utils import npz, sparse_formats
from lrcore._utils.npz import NpzError
from lrcore.io.label_lists import LabelLists

#: How a file is opened, by its suffix; others are opened as they are.
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}


#: Says what is wrong with a line of text whose values are to be of a dtype.
Problem = Callable[[bytes, Any], str]


class DataError(ValueError):
    """A data file that cannot be used; the message names the file, and the line if there is one."""


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
        Of the values of X.
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
        X = sparse_formats.from_arrays(arrays).astype(dtype, copy=False)
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
    opener = OPENERS.get(path.suffix, open)
    problem_of = _list_problem if multilabel else _line_problem
    try:
        with opener(path, "rb") as file:
            lines = _Lines(path, file, problem_of)
            X, y = load_svmlight_file(lines, dtype=dtype, zero_based=True, multilabel=multilabel)
    except DataError:
        raise
    except (ValueError, OverflowError) as error:
        problem = _find_bad_line(path, opener, dtype, problem_of)
        raise DataError(problem or f"{path}: {error}") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: cut short or damaged ({error})") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DataError(f"{path}: {error}") from None
    except MemoryError:
        raise DataError(f"{path}: it takes more memory than there is") from None
    if X.shape[0] == 0:
        raise DataError(f"{path}: the file has no rows")
    y = LabelLists.of(y) if multilabel else y
    if not (np.isfinite(X.data).all() and np.isfinite(y.labels if multilabel else y).all()):
        problem = _find_bad_line(path, opener, dtype, problem_of)
        raise DataError(problem or f"{path}: a value is not finite")
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


class _Lines:
    """The lines of a text, as scikit-learn's parser takes them from a file.

    The parser reads numbers as Python does, to which ``1_0`` is 10: lines with such a sign are
    looked at before it gets them. A packed file is refused where it becomes far more than it was.
    """

    def __init__(self, path: Path, file: IO[bytes], problem_of: Problem) -> None:
        self._path, self._file, self._problem_of = path, file, problem_of
        self._most = sys.maxsize - 1
        if path.suffix in OPENERS:
            self._most = npz.MOST_BYTES + npz.MOST_TIMES * path.stat().st_size

    def read(self, size: int = -1) -> bytes:
        """What tells the parser that this is a file; it goes by lines alone."""
        return self._file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        left, number = self._most, 0
        while line := self._file.readline(left + 1):
            left, number = left - len(line), number + 1
            if left < 0:
                raise DataError(
                    f"{self._path}:{number}: unpacks to more than the {self._most:,} bytes that "
                    "are read of a file of its size"
                )
            if b"_" in line:
                problem = self._problem_of(line, np.float64)
                if problem:
                    raise DataError(f"{self._path}:{number}: {problem}")
            yield line


def _find_bad_line(
    path: Path, opener: Callable[..., IO[bytes]], dtype: Any, problem_of: Problem
) -> str:
    """File, number and problem of the first line that is not svmlight text; "" if all lines are.

    This reads the file in Python, which is slow, so it is called only after an error.
    """
    with opener(path, "rb") as file:
        for number, line in enumerate(_Lines(path, file, problem_of), start=1):
            problem = problem_of(line, dtype)
            if problem:
                return f"{path}:{number}: {problem}"
    return ""


def _line_problem(line: bytes, dtype: Any) -> str:
    """What is wrong with a line of svmlight text; "" if nothing is."""
    fields = line.split(b"#", 1)[0].split()
    if not fields:
        return ""
    if not _is_finite(fields[0], np.float64):
        remedy = "; multilabel=True, or lrcore fit --multilabel, reads rows of several or none"
        lists = b"," in fields[0] or b":" in fields[0]
        return f"the label must be a finite number, got {_quoted(fields[0])}{remedy * lists}"
    return _features_problem(fields[1:], dtype)


def _list_problem(line: bytes, dtype: Any) -> str:
    """What is wrong with a line that begins with a list of labels; "" if nothing is."""
    fields = line.split(b"#", 1)[0].split()
    if fields and b":" not in fields[0]:
        labels = fields.pop(0)
        for label in labels.split(b","):
            if not _is_finite(label, np.float64):
                return (
                    f"labels must be finite numbers with commas and no spaces between them, got "
                    f"{_quoted(labels)}"
                )
    return _features_problem(fields, dtype)


def _features_problem(fields: list[bytes], dtype: Any) -> str:
    """What is wrong with the features of a line; "" if nothing is."""
    last = -1
    for place, field in enumerate(fields):
        index, colon, value = field.partition(b":")
        if index == b"qid" and colon:
            if place > 0:
                return f"qid must come before all features, got {_quoted(field)} after {last}"
            continue
        if not colon or not index.isdigit():
            return f"expected index:value, got {_quoted(field)}"
        if len(index.lstrip(b"0")) > 10 or int(index) >= 2**31:
            return f"the index {_quoted(index)} is too large"
        if int(index) <= last:
            return f"indices must rise, got {int(index)} after {last}"
        if not _is_finite(value, np.float64):
            return f"the value must be a finite number, got {_quoted(field)}"
        if not _is_finite(value, dtype):
            return f"the value must be finite in {np.dtype(dtype)}, got {_quoted(field)}"
        last = int(index)
    return ""


def _is_finite(text: bytes, dtype: Any) -> bool:
    try:
        with np.errstate(over="ignore"):
            return b"_" not in text and bool(np.isfinite(np.dtype(dtype).type(float(text))))
    except ValueError:
        return False


def _quoted(text: bytes) -> str:
    """The text for a message: quoted, at most 40 characters of it."""
    short = text[:40].decode("ascii", "backslashreplace")
    return repr(short + ("..." if len(text) > 40 else ""))
