"""Rows of hashed features, piece by piece, and the matrix that they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from scipy import sparse

#: The most terms whose signs float32 sums up exactly.
EXACT_FLOAT32 = 1 << 24


class Rows:
    """Rows of a matrix, sorted and without duplicates, that come in pieces."""

    def __init__(self, dtype: np.dtype[Any], n_expected: int) -> None:
        self._n_expected, self._size = n_expected, 0
        self._indptrs = [np.zeros(1, np.int64)]
        self._indices, self._values = np.empty(0, np.int32), np.empty(0, dtype)
        self.n_rows = self._n_terms = 0

    def room(self, n_entries: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the indices and values of up to so many entries may be written."""
        start, stop = self._size, self._size + n_entries
        if stop > len(self._indices):
            expected = 1.05 * start * self._n_expected / max(self.n_rows, 1)
            room = max(int(expected), 3 * start // 2, 0) + n_entries
            self._indices = grown(self._indices[:start], room)
            self._values = grown(self._values[:start], room)
        return self._indices[start:stop], self._values[start:stop]

    def add(self, indptr: np.ndarray, n_terms: int | None = None) -> None:
        """Keep the rows that were written, made of so many terms before equal ones were summed."""
        self._indptrs.append(indptr[1:] + self._size)
        n_entries = int(indptr[-1])
        self._size += n_entries
        self._n_terms += n_entries if n_terms is None else n_terms
        self.n_rows += len(indptr) - 1

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where rows begin, their indices and their values."""
        indptr = np.concatenate(self._indptrs)
        return indptr, self._indices[: self._size], self._values[: self._size]

    def matrix(self, n_features: int) -> Any:
        """All rows as a CSR matrix."""
        indptr, indices, values = self.arrays()
        X = new_matrix(indptr, indices, values, n_features, self._n_terms)
        X.has_canonical_format = True
        return X


def grown(array: np.ndarray, room: int) -> np.ndarray:
    """The array with room behind its end, which takes no memory until it is written."""
    more = np.empty(room, array.dtype)
    more[: len(array)] = array
    return more


def new_matrix(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, n_features: int, n_terms: int
) -> Any:
    """A CSR matrix of the class that the installed scikit-learn is set to return, with its dtype of
    indices: wide if the terms, before duplicates are summed, need it."""
    as_arrays = sklearn.get_config().get("sparse_interface") == "sparray"
    dtype = np.int64 if n_terms > np.iinfo(np.int32).max else np.int32
    return (sparse.csr_array if as_arrays else sparse.csr_matrix)(
        (values, indices.astype(dtype, copy=False), indptr.astype(dtype, copy=False)),
        shape=(len(indptr) - 1, n_features),
    )
