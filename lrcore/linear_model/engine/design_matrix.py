"""X in the form that the kernels read: checked, and never copied where it is already so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from lrcore import _backend
from lrcore._utils import frames, missing, sparse_formats
from lrcore._utils.arrays import aligned_array

#: Values that are compared with 1 at a time.
COMPARED = 1 << 16

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class RowStatistics(NamedTuple):
    """Means over rows: sum of magnitudes, sum of squares, and features shared with another row."""

    norm1: float
    norm2: float
    overlap: float


#: Columns for each value from which on the different ones are found by sorting these, and not by
#: looking at all.
SCARCE = 64


@dataclass(frozen=True)
class DesignMatrix:
    """A CSR matrix (`indptr` and `indices` set) or a dense one (`values` two-dimensional).

    Values of a CSR matrix that are all 1 may be a view of a single number (`ones`): the core then
    reads none of them.
    """

    shape: tuple[int, int]
    values: np.ndarray
    indptr: np.ndarray | None = None
    indices: np.ndarray | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Values that are all 1 are not written out; arrays that come back may not be aligned.
        values: Any = self.values
        if all_ones(values) and self.indptr is not None:
            values = values.size, values.dtype
        return restored, (self.shape, values, self.indptr, self.indices)

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

    def matrix(self) -> Any:
        """The rows as an array or a CSR matrix of SciPy's, not copied."""
        if self.indptr is None or self.indices is None:
            return self.values
        # SciPy wants both of one dtype, and copies the indices for it, which are many.
        narrow = self.indices.dtype == np.int32 and self.values.size <= np.iinfo(np.int32).max
        indptr = self.indptr.astype(np.int32) if narrow else self.indptr
        return sparse.csr_array((self.values, self.indices, indptr), self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def nnz_per_row(self) -> float:
        return self.values.size / self.shape[0]

    def n_values(self, n_rows: int) -> int:
        """Values of the first n_rows rows."""
        if self.indptr is None:
            return n_rows * self.shape[1]
        return int(self.indptr[n_rows] - self.indptr[0])

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

    def take(self, chosen: np.ndarray) -> DesignMatrix:
        """Some of the rows, copied."""
        shape = (len(chosen), self.shape[1])
        if self.indptr is None:
            return DesignMatrix(shape, self.values[chosen])
        part = self.matrix()[chosen]
        values = ones(part.nnz, self.dtype) if all_ones(self.values) else part.data
        return DesignMatrix(shape, values, part.indptr.astype(np.int64, copy=False), part.indices)

    def span(self, start: int, stop: int) -> DesignMatrix:
        """Rows start to stop, not copied."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise IndexError(f"rows {start} to {stop} of {self.shape[0]}")
        shape = (stop - start, self.shape[1])
        if self.indptr is None or self.indices is None:
            return DesignMatrix(shape, self.values[start:stop])
        indptr = self.indptr[start : stop + 1]
        inner = slice(indptr[0], indptr[-1])
        return DesignMatrix(shape, self.values[inner], indptr - indptr[0], self.indices[inner])

    def statistics(self) -> RowStatistics:
        """What update rules need to know of the rows, from a sample.

        By exact summation: it is compared with thresholds, so it has to be the same on every
        machine.
        """
        flat = self.values.reshape(-1)
        sample = np.abs(flat[:: max(1, flat.size // 4_096)].astype(np.float64))
        share = self.nnz_per_row / max(1, sample.size)
        with np.errstate(over="ignore"):
            norm1, norm2 = share * exact_sum(sample), share * exact_sum(sample * sample)
        return RowStatistics(norm1, norm2, self._overlap())

    def typical_magnitude(self) -> float:
        """The mean magnitude of the values that are not 0, from a sample; 0 if there are none."""
        flat = self.values.reshape(-1)
        sample = np.abs(flat[:: max(1, flat.size // 4_096)].astype(np.float64))
        # Summed up in order, for the same number on every machine.
        total = float(np.cumsum(sample)[-1]) if sample.size else 0.0
        return total / max(1, int(np.count_nonzero(sample)))

    def _overlap(self) -> float:
        """Mean number of features that two rows share, from the pairs of at most 64 rows."""
        n_rows = self.shape[0]
        chosen = range(0, n_rows, max(1, n_rows // 64))
        if len(chosen) < 2:
            return self.nnz_per_row
        if self.indices is None:
            counts = np.count_nonzero(self.values[chosen.start : chosen.stop : chosen.step], axis=0)
        else:
            touched = [self.row(i)[0] for i in chosen]
            counts = np.unique(np.concatenate(touched), return_counts=True)[1]
        return float((counts * (counts - 1)).sum()) / (len(chosen) * (len(chosen) - 1))

    def with_used_features(self) -> tuple[DesignMatrix, np.ndarray | None]:
        """Without the columns in which no row has an entry, and the old numbers of those that are
        left; None if all are."""
        if self.indices is None:
            return self, None
        dtype, n_features = self.indices.dtype, self.shape[1]
        with_first = np.append(self.indices, dtype.type(0))  # a matrix has one column at least
        if with_first.size < n_features // SCARCE:
            features, found = np.unique(with_first, return_inverse=True)
            indices = found[:-1].astype(dtype)
        else:
            used = np.zeros(n_features, bool)
            used[with_first] = True
            features = np.flatnonzero(used)
            numbers = np.empty(n_features, dtype)
            numbers[features] = np.arange(features.size)
            indices = numbers[self.indices]
        shape = (self.shape[0], features.size)
        return DesignMatrix(shape, self.values, self.indptr, indices), features

    def feature_ranges(self, n_ranges: int) -> np.ndarray:
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

    def raw_predictions(
        self, weights: np.ndarray, intercept: float, n_threads: int | None
    ) -> np.ndarray:
        """``X @ weights + intercept``, (n_rows,); weights of X's dtype.

        X need not have been checked: all raw predictions of a damaged CSR matrix are NaN, and that
        of a row with NaN or infinity is NaN or infinite.
        """
        return _backend.active.raw_predictions(self, weights, intercept, n_threads)

    def raw_predictions_of_outputs(
        self, weights: np.ndarray, intercepts: np.ndarray, n_threads: int | None
    ) -> np.ndarray:
        """The raw predictions of several outputs with the same bits, over sparse rows in one pass.

        weights, of X's dtype, is (n_features, n_outputs); each of its rows lies in one piece of
        memory, with room for n_outputs to a multiple of eight unless there is one.
        """
        if not self.sparse or weights.shape[1] == 1:
            each = zip(np.ascontiguousarray(weights.T), intercepts)
            columns = [self.raw_predictions(w, float(b), n_threads) for w, b in each]
            return np.stack(columns, axis=1)
        of_outputs = _backend.active.raw_predictions_of_outputs
        return of_outputs(self, weights, intercepts, n_threads)

    def column_squares(self, weight: np.ndarray, n_threads: int | None) -> np.ndarray:
        """The sum of weighted squares of each column, (n_features,) float64."""
        return _backend.active.column_squares(self, weight, n_threads)

    def wide_predictions(self, weights: np.ndarray, n_threads: int | None) -> np.ndarray:
        """``weights @ X.T`` in float64 whatever X is; weights (n_features,) or (n_outputs,
        n_features) float64."""
        return _backend.active.wide_predictions(self, weights, n_threads)

    def weighted_sum(
        self, factors: np.ndarray, n_threads: int | None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The rows times their factors, (n_rows,) or (n_outputs, n_rows) float64, summed up in
        float64 in row order, onto `out` if it is given."""
        return _backend.active.weighted_row_sum(self, factors, n_threads, out)


def restored(shape: tuple[int, int], values: Any, *csr: np.ndarray | None) -> DesignMatrix:
    """A matrix that was pickled."""
    values = ones(*values) if isinstance(values, tuple) else aligned_array(values)
    return DesignMatrix(
        shape, values, *(None if part is None else aligned_array(part) for part in csr)
    )


def exact_sum(values: np.ndarray) -> float:
    """The sum of numbers >= 0, rounded once; infinity above the largest float64."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def ones(n: int, dtype: np.dtype[Any]) -> np.ndarray:
    """n ones that take the room of one."""
    return np.broadcast_to(np.ones((), dtype), n)


def all_ones(values: np.ndarray) -> bool:
    """Whether the values of a CSR matrix come from `ones`."""
    return values.strides == (0,)


def as_design_matrix(
    X: Any, dtype: np.dtype[Any] | None = None, n_threads: int | None = None
) -> DesignMatrix:
    """Check X and put it in the core's form.

    Parameters
    ----------
    X : sparse matrix or array, frame of pandas or polars, or what NumPy turns into a 2-D array
        float32 or float64 as it is; integers and booleans become float64. CSR with sorted rows
        and no duplicates, and C-contiguous arrays, are not copied, whether in memory or mapped
        from a file, but for `indptr` of int32, since the core reads int64. Values of a sparse
        matrix that are all 1, of whatever dtype, are neither copied nor read any more. Other
        sparse formats become CSR; rows are sorted and duplicates summed, on a copy.
        Fortran-ordered arrays are copied, since rows have to be contiguous. For frames see
        `lrcore._utils.frames`.
    dtype : dtype, optional
        The dtype to convert to, that of a model.
    n_threads : int, optional
        How many look for NaN and infinity.

    Raises
    ------
    ValueError, TypeError
        If X cannot be used; the message names the row and the column.
    """
    matrix, names = converted(X, dtype)
    return validated(matrix, names, n_threads)


def converted(X: Any, dtype: np.dtype[Any] | None = None) -> tuple[DesignMatrix, list[Any] | None]:
    """X in the kernels' form, and the names of its columns; its values are not checked."""
    names = None
    frames.check_in_memory("X", X)
    if frames.is_frame(X):
        names, X = list(X.columns), frames.as_matrix(X, dtype)
    if sparse.issparse(X):
        return _sparse_rows(X, dtype), names
    missing.check_nothing_masked("X", X)
    array = frames.as_array("X", X)
    if array.dtype.kind == "O":
        array = _as_numbers(array)
    _check_kind(array.dtype)
    if array.ndim != 2:
        raise ValueError(
            f"X must be a 2-D array of rows, got {array.ndim}-D. Reshape your data: "
            "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row"
        )
    _check_shape(array.shape)
    return DesignMatrix(array.shape, _plain(array, _target(array.dtype, dtype))), names


def validated(matrix: DesignMatrix, names: list[Any] | None, n_threads: int | None) -> DesignMatrix:
    """The rows, if all numbers are finite and indices lie within X; sorted, duplicates summed."""
    shape, values, indptr, indices = matrix.shape, matrix.values, matrix.indptr, matrix.indices
    if indptr is None or indices is None:
        first = _backend.active.first_nonfinite(values.reshape(-1), n_threads)
        if first >= 0:
            row, column = divmod(first, shape[1])
            _refuse(values[row, column], row, column, names)
        return matrix
    problem, row = _backend.active.inspect_csr(indptr, indices, shape[1])
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
        matrix = DesignMatrix(shape, values, indptr, indices)
    if not all_ones(values):
        first = _backend.active.first_nonfinite(values, n_threads)
        if first >= 0:
            row = int(np.searchsorted(indptr, first, side="right")) - 1
            _refuse(values[first], row, int(indices[first]), names)
    return matrix


def _sparse_rows(X: Any, dtype: np.dtype[Any] | None) -> DesignMatrix:
    _check_kind(X.dtype)
    _check_shape(X.shape)
    X = sparse_formats.to_csr(X)
    return csr_rows(X.indptr, X.indices, X.data, X.shape, _target(X.dtype, dtype))


def csr_rows(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, shape: tuple[int, int],
    dtype: np.dtype[Any],
) -> DesignMatrix:  # fmt: skip
    """The rows of a CSR matrix, whose arrays fit together; its indices are not looked at."""
    for name, array in (("indices", indices), ("indptr", indptr)):
        if array.dtype not in sparse_formats.INDICES:
            raise TypeError(f"X.{name} must be int32 or int64, got {array.dtype}")
    indptr, indices = _plain(indptr, np.dtype(np.int64)), _plain(indices, indices.dtype)
    n_values = min(len(indices), len(values))
    if len(indptr) != shape[0] + 1 or not 0 <= indptr[0] <= indptr[-1] <= n_values:
        raise ValueError(
            f"X has {shape[0]} rows, {len(indptr)} entries of indptr, from "
            f"{indptr.min(initial=0)} to {indptr.max(initial=0)}, and {n_values} values; the CSR "
            "matrix is damaged"
        )
    values = ones(n_values, dtype) if _are_ones(values) else _plain(values, dtype)
    if indptr[0] > 0 or indptr[-1] < max(len(indices), len(values)):
        # What lies before the first row or after the last belongs to none.
        span = slice(indptr[0], indptr[-1])
        indptr, indices, values = indptr - indptr[0], indices[span], values[span]
    return DesignMatrix(shape, values, indptr, indices)


def _are_ones(values: np.ndarray) -> bool:
    """Whether all values are 1; of others the first few tell, as a rule."""
    return bool(values.size) and all(
        np.all(values[k : k + COMPARED] == 1) for k in range(0, values.size, COMPARED)
    )


def _plain(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """The array as C reads it, contiguous and aligned; copied only if it is not so."""
    return np.require(np.asarray(array), dtype, ["C", "A"])


def _as_numbers(array: np.ndarray) -> np.ndarray:
    try:
        return missing.objects_as_floats(array)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X must hold numbers, got an array of objects: {error}") from None


def _check_kind(dtype: np.dtype[Any]) -> None:
    if dtype.kind == "c":
        raise ValueError(f"X must be real, got {dtype}: Complex data not supported")
    if dtype.kind not in "fiub":
        raise ValueError(f"X must hold numbers, got dtype {dtype}")


def _check_shape(shape: tuple[int, ...]) -> None:
    for count, what in zip(shape, ("sample", "feature")):
        if count < 1:
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


def stacked(a: DesignMatrix, b: DesignMatrix) -> DesignMatrix:
    """The rows of both, sparse if the second are."""
    shape = (a.shape[0] + b.shape[0], a.shape[1])
    if b.indptr is None or b.indices is None:
        if a.indices is not None:
            csr = (a.values, a.indices, a.indptr)
            a = DesignMatrix(a.shape, sparse.csr_array(csr, a.shape).toarray())
        return DesignMatrix(shape, np.concatenate([a.values, b.values]))
    if a.indptr is None or a.indices is None:
        csr = sparse.csr_array(a.values)
        a = DesignMatrix(a.shape, csr.data, csr.indptr.astype(np.int64), csr.indices)
    assert a.indptr is not None
    assert a.indices is not None
    indptr = np.append(a.indptr, a.indptr[-1] + b.indptr[1:])
    values = np.concatenate([a.values, b.values])
    if all_ones(a.values) and all_ones(b.values):
        values = ones(len(values), a.dtype)
    return DesignMatrix(shape, values, indptr, np.concatenate([a.indices, b.indices]))
