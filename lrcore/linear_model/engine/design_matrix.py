"""Rows: a matrix in the form that the core reads, checked; never copied if it is already so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from lrcore import _core
from lrcore._backend import threads
from lrcore._utils import frames
from lrcore.linear_model.engine import checks

#: A model smaller than this stays in the cache nearest to the processor's core.
CACHE_BYTES = 1 << 19

#: Values of X whose weights are fetched beforehand where they do not fit that cache.
AHEAD, AHEAD_OF_SEVERAL = 96, 24

#: Values that are compared with 1 at a time.
LOOK = 1 << 16

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Measures(NamedTuple):
    """Of a row: mean sum of magnitudes, mean sum of squares, features shared with another."""

    norm1: float
    norm2: float
    overlap: float


@dataclass(frozen=True)
class Rows:
    """A CSR matrix (`indptr` and `indices` set) or a dense one (`values` two-dimensional).

    Values of a CSR matrix that are all 1 may be a view of a single number (`ones`): the core then
    reads none of them.
    """

    shape: tuple[int, int]
    values: np.ndarray
    indptr: np.ndarray | None = None
    indices: np.ndarray | None = None

    @property
    def sparse(self) -> bool:
        return self.indptr is not None

    @cached_property
    def csr(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the core takes of a CSR matrix; of values that are all 1 as many as a row needs."""
        assert self.indptr is not None
        assert self.indices is not None
        values = self.values
        if all_ones(values) and values.size > 1:
            longest = int(np.diff(self.indptr).max())
            # One less or more than the indices are, so that it cannot be taken for theirs.
            values = np.ones(longest + (longest == values.size), self.dtype)
        return self.indptr, self.indices, values

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
        """Mean number of values of a row that are not zero; of many dense rows, from a sample.

        Of whole rows: every so many values may all be of one column.
        """
        values = self.values
        if not self.sparse:
            values = values[:: max(1, values.size >> 20)]
        return self.nnz_per_row * float(np.count_nonzero(values)) / max(1, values.size)

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
        values = ones(part.nnz, self.dtype) if all_ones(self.values) else part.data
        return Rows(shape, values, part.indptr.astype(np.int64, copy=False), part.indices)

    def span(self, start: int, stop: int) -> Rows:
        """Rows start to stop, not copied."""
        shape = (stop - start, self.shape[1])
        if self.indptr is None or self.indices is None:
            return Rows(shape, self.values[start:stop])
        indptr = self.indptr[start : stop + 1]
        inner = slice(indptr[0], indptr[-1])
        return Rows(shape, self.values[inner], indptr - indptr[0], self.indices[inner])

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
        """X @ weights + intercept; weights of X's dtype. The bits depend on nothing else.

        Rows that are not checked are safe: all margins of a CSR matrix that is damaged are NaN,
        and so is that of a row with NaN, or infinite; with infinity either.
        """
        out = np.empty(self.shape[0], self.dtype)
        used = threads.count(n_threads, self.values.size)
        if _core.kernels is None:
            for row in range(self.shape[0]):
                entries, x = self.row(row)
                out[row] = np.add.reduce(x * weights[entries]) + self.dtype.type(intercept)
        elif self.indptr is not None:
            ahead = AHEAD if weights.nbytes > CACHE_BYTES else 0
            if not _core.kernels.margins_csr(*self.csr, weights, intercept, out, ahead, used):
                out[:] = np.nan
        else:
            _core.kernels.margins_dense(self.values, weights, intercept, out, used)
        return out

    def combined(self, factors: np.ndarray) -> np.ndarray:
        """The rows times their factors, (n_rows,) float64, summed up in float64 in their order."""
        out = np.zeros(self.shape[1])
        if _core.kernels is None:
            for i, factor in enumerate(factors):
                entries, x = self.row(i)
                out[entries] += factor * x.astype(np.float64)
        elif self.indptr is None:
            _core.kernels.combine_dense(factors, self.values, out)
        else:
            _core.kernels.combine_csr(factors, *self.csr, out)
        return out

    @property
    def one_pass(self) -> bool:
        """Whether `margins_of_several` can be had: of sparse rows, from the core."""
        return self.sparse and _core.kernels is not None

    def margins_of_several(
        self, weights: np.ndarray, intercepts: np.ndarray, n_threads: int | None
    ) -> np.ndarray:
        """The same of several outputs at once, with the same bits.

        weights, of X's dtype, is (n_features, n_outputs); each of its rows lies in one piece, with
        room for n_outputs to a multiple of eight.
        """
        assert _core.kernels is not None
        out = np.empty((self.shape[0], weights.shape[1]), self.dtype)
        used = threads.count(n_threads, out.shape[1] * self.values.size)
        ahead = AHEAD_OF_SEVERAL if weights.nbytes > CACHE_BYTES else 0
        if not _core.kernels.margins_outputs(*self.csr, weights, intercepts, out, ahead, used):
            out[:] = np.nan
        return out


def ones(n: int, dtype: np.dtype[Any]) -> np.ndarray:
    """n ones that take the room of one."""
    return np.broadcast_to(np.ones((), dtype), n)


def all_ones(values: np.ndarray) -> bool:
    """Whether the values of a CSR matrix come from `ones`."""
    return values.strides == (0,)


def as_rows(X: Any, dtype: np.dtype[Any] | None = None) -> Rows:
    """Check X and put it in the core's form.

    Parameters
    ----------
    X : sparse matrix or array, frame of pandas or polars, or what NumPy turns into a 2-D array
        float32 or float64 as it is; integers and booleans become float64. CSR with sorted rows
        and no duplicates, and C-contiguous arrays, are not copied, whether in memory or mapped
        from a file, but for `indptr` of int32, since the core reads int64. Values of a sparse
        matrix that are all 1, of whatever dtype, are neither copied nor read any more. Other
        sparse formats become CSR; rows are sorted and duplicates summed, on a copy.
        Fortran-ordered arrays are copied, since rows have to be contiguous. Of frames see
        `lrcore.frames`.
    dtype : dtype, optional
        The dtype to convert to, that of a model.

    Raises
    ------
    ValueError, TypeError
        If X does not do; the message names the row and the column.
    """
    rows, names = formed(X, dtype)
    return checked(rows, names)


def formed(X: Any, dtype: np.dtype[Any] | None = None) -> tuple[Rows, list[Any] | None]:
    """X in the core's form, and the names of its columns; what it holds is not looked at."""
    names = None
    if frames.is_frame(X):
        names, X = list(X.columns), frames.as_matrix(X, dtype)
    if sparse.issparse(X):
        return _sparse_rows(X, dtype), names
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
    return Rows(array.shape, _plain(array, _target(array.dtype, dtype))), names


def checked(rows: Rows, names: list[Any] | None) -> Rows:
    """The rows, if all numbers are finite and indices lie within X; sorted, duplicates summed."""
    shape, values, indptr, indices = rows.shape, rows.values, rows.indptr, rows.indices
    if indptr is None or indices is None:
        first = checks.first_nonfinite(values.reshape(-1))
        if first >= 0:
            row, column = divmod(first, shape[1])
            _refuse(values[row, column], row, column, names)
        return rows
    problem, row = checks.inspect_csr(indptr, indices, shape[1])
    if problem == "range":
        raise ValueError(
            f"X has an index outside 0 to {shape[1] - 1} in row {row}; the CSR matrix is damaged"
        )
    if problem == "order":
        X = sparse.csr_array((values, indices, indptr), shape, copy=True)
        X.has_sorted_indices = X.has_canonical_format = False
        X.sum_duplicates()
        indptr, indices = X.indptr.astype(np.int64, copy=False), X.indices
        values = ones(X.nnz, values.dtype) if _are_ones(X.data) else X.data
        rows = Rows(shape, values, indptr, indices)
    if not all_ones(values):
        first = checks.first_nonfinite(values)
        if first >= 0:
            row = int(np.searchsorted(indptr, first, side="right")) - 1
            _refuse(values[first], row, int(indices[first]), names)
    return rows


def _sparse_rows(X: Any, dtype: np.dtype[Any] | None) -> Rows:
    _check_kind(X.dtype)
    _check_shape(X.shape)
    X = X.tocsr()
    if X.indices.dtype not in (np.dtype(np.int32), np.dtype(np.int64)):
        raise TypeError(f"X.indices must be int32 or int64, got {X.indices.dtype}")
    indptr, indices = _plain(X.indptr, np.dtype(np.int64)), _plain(X.indices, X.indices.dtype)
    n_values = min(len(indices), len(X.data))
    if len(indptr) != X.shape[0] + 1 or not 0 <= indptr[0] <= indptr[-1] <= n_values:
        raise ValueError(
            f"X has {X.shape[0]} rows, {len(indptr)} entries of indptr, from {indptr.min()} to "
            f"{indptr.max()}, and {n_values} values; the CSR matrix is damaged"
        )
    target = _target(X.dtype, dtype)
    values = ones(n_values, target) if _are_ones(X.data) else _plain(X.data, target)
    if indptr[0] > 0 or indptr[-1] < max(len(indices), len(values)):
        # What lies before the first row or after the last belongs to none.
        span = slice(indptr[0], indptr[-1])
        indptr, indices, values = indptr - indptr[0], indices[span], values[span]
    return Rows(X.shape, values, indptr, indices)


def _are_ones(values: np.ndarray) -> bool:
    """Whether all values are 1; of others the first few tell, as a rule."""
    return bool(values.size) and all(
        np.all(values[k : k + LOOK] == 1) for k in range(0, values.size, LOOK)
    )


def _plain(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """The array as C reads it, contiguous and aligned; copied only if it is not so."""
    return np.require(np.asarray(array), dtype, ["C", "A"])


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


def _refuse(value: float, row: int, column: int, names: list[Any] | None) -> None:
    kind = "NaN" if math.isnan(value) else "infinity"
    where = column if names is None else repr(names[column])
    raise ValueError(
        f"X has {kind} in row {row}, column {where}; drop the row, or fill it in with "
        "sklearn.impute.SimpleImputer"
    )
