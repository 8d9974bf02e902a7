"""Rows of named features, hashed: scikit-learn's FeatureHasher with its loops in the core."""

from __future__ import annotations

from itertools import chain
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn import feature_extraction
from sklearn.utils._param_validation import Interval

from lrcore import _core
from lrcore._backend import threads
from lrcore.feature_extraction.rows import EXACT_FLOAT32, Rows, new_matrix

#: What scikit-learn's check of parameters takes for a number of threads.
N_THREADS = [Interval(Integral, 1, 1024, closed="both"), None]

#: What an iterator without rows ends with.
NOTHING = object()

#: Elements, as the choice of threads counts them, that a key is worth.
WORK_OF_KEY = 100


class FeatureHasher(feature_extraction.FeatureHasher):
    """Rows of named features as a sparse matrix, by hashes of their names.

    It is scikit-learn's class of this name, with the same parameters and the same matrix, bit for
    bit: up to four times as fast for names alone, and twice for names with values. Most of what is
    left is the time that Python takes to hand them over.

    Parameters
    ----------
    n_features : int
        Columns of the matrix. With few of them, features share a column.
    input_type : {"dict", "pair", "string"}
        What a row is: a dict from names to values, an iterable of pairs of these, or an iterable of
        names alone, each of which counts once. A value that is a string is a category:
        ``{"city": "Oslo"}`` is a feature ``"city=Oslo"`` of value 1.
    dtype : dtype
        Of the values. Other dtypes than float32 and float64 are left to scikit-learn.
    alternate_sign : bool
        Change the sign of half of the features, so that those that share a column cancel out on
        average.
    n_threads : int, optional
        By default what the machine grants and the data is worth. The bits do not depend on it. One
        thread reads the names; all sum up equal ones, for ``input_type="string"``.

    See Also
    --------
    HashingVectorizer : The same for texts.

    Examples
    --------
    >>> import lrcore
    >>> hasher = lrcore.FeatureHasher(n_features=8)
    >>> hasher.transform([{"city": "Oslo", "beds": 2}, {"city": "Rome"}]).toarray()
    array([[ 0.,  1., -2.,  0.,  0.,  0.,  0.,  0.],
           [ 0.,  0.,  0.,  0.,  0.,  0.,  0.,  1.]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **feature_extraction.FeatureHasher._parameter_constraints,
        "n_threads": N_THREADS,
    }

    def __init__(
        self,
        n_features: int = 2**20,
        *,
        input_type: str = "dict",
        dtype: Any = np.float64,
        alternate_sign: bool = True,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            n_features, input_type=input_type, dtype=dtype, alternate_sign=alternate_sign
        )
        self.n_threads = n_threads

    def transform(self, raw_X: Any) -> Any:
        """Hash rows.

        Parameters
        ----------
        raw_X : iterable
            Rows of features, see ``input_type``.

        Returns
        -------
        X : sparse matrix of shape (n_rows, n_features)
            In CSR format, sorted, without duplicates.
        """
        threads.check(self.n_threads)
        kernels = _core.kernels
        if kernels is None or not is_supported(self.n_features, self.dtype):
            return super().transform(raw_X)
        rows = iter(raw_X)
        first = next(rows, NOTHING)
        if first is NOTHING:
            raise ValueError("Cannot vectorize empty sequence.")
        if self.input_type == "string" and isinstance(first, str):
            raise ValueError(
                "Samples can not be a single string. The input must be an iterable over iterables "
                "of strings."
            )
        rows = chain([first], rows)
        width, signs, dtype = int(self.n_features), bool(self.alternate_sign), np.dtype(self.dtype)
        if self.input_type != "string":
            if self.input_type == "dict":
                rows = (row if type(row) is dict else row.items() for row in rows)
            keys, values, indptr = kernels.hash_pairs(rows, width, signs)
            return matrix_of_keys(keys, values, indptr, width, dtype)
        keys, indptr = kernels.hash_strings(rows, width, signs)
        if dtype == np.float32 and np.diff(indptr).max() > EXACT_FLOAT32:
            return matrix_of_keys(keys, np.ones(len(keys)), indptr, width, dtype)
        n_threads = threads.count(self.n_threads, WORK_OF_KEY * len(keys))
        counted, found = kernels.CountedRows(), Rows(dtype, len(indptr) - 1)
        kernels.count_keys(counted, keys, indptr, width, n_threads)
        room = found.room(int(counted.indptr[-1]))
        kernels.write_rows(counted, *room, False, 0, n_threads)
        found.add(counted.indptr, len(keys))
        return found.matrix(width)


def is_supported(n_features: Any, dtype: Any) -> bool:
    """Whether the core hashes into so many columns of this dtype."""
    return (
        isinstance(n_features, Integral)
        and 1 <= int(n_features) < 1 << 31
        and np.dtype(dtype) in (np.float32, np.float64)
    )


def matrix_of_keys(
    keys: np.ndarray, values: np.ndarray, indptr: np.ndarray, n_features: int, dtype: np.dtype[Any]
) -> Any:
    """The matrix of rows of terms, whose values SciPy sums up in the order in which scikit-learn
    has it do so: their sums depend on it."""
    values = np.where(keys & 1, -values, values).astype(dtype)
    X = new_matrix(indptr, (keys >> 1).astype(np.int32), values, n_features, len(keys))
    X.sum_duplicates()
    return X
