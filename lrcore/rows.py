"""Rows: a matrix in the form that the core reads, checked; never copied if it is already so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from lrcore import _core, checks
from lrcore._core import threads

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Measures(NamedTuple):
    """Of a row: mean sum of magnitudes, mean sum of squares, features shared with another."""

    norm1: float
    norm2: float
    overlap: float


@dataclass(frozen=True)
class Rows:
    """A CSR matrix (`indptr` and `indices` set) or a dense one (`values` two-dimensional)."""

    shape: tuple[int, int]
    values: np.ndarray
    indptr: np.ndarray | None = None
    indices: np.ndarray | None = None

    @property
    def sparse(self) -> bool:
        return self.indptr is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def nnz_per_row(self) -> float:
        return self.values.size / self.shape[0]

    def most_values(self, n_rows: int) -> int:
        """Values that n_rows rows have at most."""
        if self.indptr is None:
            return min(n_rows, self.shape[0]) * self.shape[1]
        lengths = np.diff(self.indptr)
        return int(np.partition(lengths, max(0, len(lengths) - n_rows))[-n_rows:].sum())

    def touched_per_row(self) -> float:
        """Mean number of values of a row that are not zero."""
        return float(np.count_nonzero(self.values)) / self.shape[0]

    def row(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The features that row i touches, and its values there."""
        if self.indptr is None or self.indices is None:
            touched = np.flatnonzero(self.values[i])
            return touched, self.values[i, touched]
        span = slice(self.indptr[i], self.indptr[i + 1])
        return self.indices[span], self.values[span]

    def take(self, chosen: np.ndarray) -> Rows:
        """Some of the rows, copied."""
        shape = (len(chosen), self.shape[1])
        if self.indptr is None:
            return Rows(shape, self.values[chosen])
        part = sparse.csr_array((self.values, self.indices, self.indptr), self.shape)[chosen]
        return Rows(shape, part.data, part.indptr.astype(np.int64, copy=False), part.indices)

    def measures(self) -> Measures:
        """What a rule needs to know of the rows, from a sample.

        By exact summation: it is compared with thresholds, so it has to be the same on every
        machine.
        """
        flat = self.values.reshape(-1)
        sample = np.abs(flat[:: max(1, flat.size // 4_096)].astype(np.float64))
        share = self.nnz_per_row / max(1, sample.size)
        norm1, norm2 = share * math.fsum(sample), share * math.fsum(sample * sample)
        return Measures(norm1, norm2, self._overlap())

    def _overlap(self) -> float:
        """Mean number of features that two rows share, from the pairs of at most 64 rows."""
        n_rows = self.shape[0]
        chosen = range(0, n_rows, max(1, n_rows // 64))
        if len(chosen) < 2:
            return self.nnz_per_row
        touched = [self.row(i)[0] for i in chosen]
        counts = np.unique(np.concatenate(touched), return_counts=True)[1]
        return float((counts * (counts - 1)).sum()) / (len(chosen) * (len(chosen) - 1))

    def cuts(self, n_ranges: int) -> np.ndarray:
        """Bounds of n_ranges ranges of features with about as many values in each."""
        n_features = self.shape[1]
        inner = np.arange(1, n_ranges)
        if self.indices is None or not self.indices.size or n_ranges == 1:
            middle = inner * n_features // n_ranges
        else:
            # At quantiles of the values, not of the indices: text has its mass in few features.
            sample = np.sort(self.indices[:: max(1, self.indices.size // 16_384)])
            middle = sample[inner * sample.size // n_ranges]
        return np.concatenate(([0], middle, [n_features])).astype(np.int64)

    def margins(self, weights: np.ndarray, intercept: float, n_threads: int | None) -> np.ndarray:
        """X @ weights + intercept; weights of X's dtype. The bits depend on nothing else."""
        out = np.empty(self.shape[0], self.dtype)
        used = threads.count(n_threads, self.values.size)
        if _core.kernels is None:
            for row in range(self.shape[0]):
                entries, x = self.row(row)
                out[row] = np.add.reduce(x * weights[entries]) + self.dtype.type(intercept)
        elif self.indptr is not None:
            _core.kernels.margins_csr(
                self.indptr, self.indices, self.values, weights, intercept, out, used
            )
        else:
            _core.kernels.margins_dense(self.values, weights, intercept, out, used)
        return out


def as_rows(X: Any, dtype: np.dtype[Any] | None = None) -> Rows:
    """Check X and put it in the core's form.

    Parameters
    ----------
    X : CSR matrix or array, or anything that NumPy turns into a 2-D array
        float32 or float64 as it is; integers and booleans become float64. CSR with sorted rows
        and no duplicates, and C-contiguous arrays, are not copied.
    dtype : dtype, optional
        The dtype to convert to, that of a model.
    """
    if sparse.issparse(X):
        return _sparse_rows(X, dtype)
    array = np.asarray(X)
    if array.dtype.kind == "O":
        array = _as_numbers(array)
    _check_kind(array.dtype)
    if array.ndim != 2:
        raise ValueError(
            f"X must be a 2-D array of rows, got {array.ndim}-D. Reshape your data: "
            "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row"
        )
    _check_shape(array.shape)
    array = np.ascontiguousarray(array, _target(array.dtype, dtype))
    first = checks.first_nonfinite(array.reshape(-1))
    if first >= 0:
        row, column = divmod(first, array.shape[1])
        _refuse(array[row, column], row, column)
    return Rows(array.shape, array)


def _sparse_rows(X: Any, dtype: np.dtype[Any] | None) -> Rows:
    _check_kind(X.dtype)
    _check_shape(X.shape)
    X = X.tocsr()
    X = X.astype(_target(X.dtype, dtype), copy=False)
    if X.indices.dtype not in (np.dtype(np.int32), np.dtype(np.int64)):
        raise TypeError(f"X.indices must be int32 or int64, got {X.indices.dtype}")
    problem, row = checks.inspect_csr(X.indptr.astype(np.int64, copy=False), X.indices, X.shape[1])
    if problem == "range":
        raise ValueError(
            f"X has an index outside 0 to {X.shape[1] - 1} in row {row}; the CSR matrix is damaged"
        )
    if problem == "order":
        X = X.copy()
        X.has_sorted_indices = X.has_canonical_format = False
        X.sum_duplicates()
    first = checks.first_nonfinite(X.data)
    if first >= 0:
        row = int(np.searchsorted(X.indptr, first, side="right")) - 1
        _refuse(X.data[first], row, int(X.indices[first]))
    return Rows(X.shape, X.data, X.indptr.astype(np.int64, copy=False), X.indices)


def _as_numbers(array: np.ndarray) -> np.ndarray:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X must hold numbers, got an array of objects: {error}") from None


def _check_kind(dtype: np.dtype[Any]) -> None:
    if dtype.kind == "c":
        raise ValueError(f"X must be real, got {dtype}: Complex data not supported")
    if dtype.kind not in "fiub":
        raise ValueError(f"X must hold numbers, got dtype {dtype}")


def _check_shape(shape: tuple[int, ...]) -> None:
    for count, what in zip(shape, ("sample", "feature")):
        if count == 0:
            raise ValueError(
                f"X has 0 {what}(s) (shape={tuple(shape)}) while a minimum of 1 is required."
            )


def _target(dtype: np.dtype[Any], wanted: np.dtype[Any] | None) -> np.dtype[Any]:
    if wanted is not None:
        return wanted
    return dtype if dtype in DTYPES else np.dtype(np.float64)


def _refuse(value: float, row: int, column: int) -> None:
    name = "NaN" if math.isnan(value) else "infinity"
    raise ValueError(
        f"X has {name} in row {row}, column {column}; drop the row, or fill it in with "
        "sklearn.impute.SimpleImputer"
    )
