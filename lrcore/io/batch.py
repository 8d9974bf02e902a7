"""Batches of rows, and streams of batches that are cut anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

#: Rows of a batch.
BATCH_ROWS = 1 << 14

#: Values of X that a batch has at most, if its rows are not wider than that: some 32 MB.
MOST_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a dataset, which are unpacked as ``X, y, weight = batch``.

    Parameters
    ----------
    X : csr_matrix or ndarray of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,) or None
        Labels or targets; None if there are none.
    weight : ndarray of shape (n_rows,) or None
        None if all rows weigh the same.
    offset : ndarray of shape (n_rows,) or None
        What is added to the raw predictions of a regressor; None if that is nothing.
    """

    X: Any
    y: np.ndarray | None = None
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.X, self.y, self.weight))

    def _columns(self, rows: Any) -> list[np.ndarray | None]:
        """y, weight and offset of some rows."""
        return [None if c is None else c[rows] for c in (self.y, self.weight, self.offset)]

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    @property
    def weights(self) -> np.ndarray:
        """The weight of each row, 1 where none are given."""
        return np.ones(self.n_rows) if self.weight is None else self.weight

    @property
    def offsets(self) -> np.ndarray:
        """The offset of each row, 0 where none are given."""
        return np.zeros(self.n_rows) if self.offset is None else self.offset

    @property
    def total_weight(self) -> float:
        """The sum of the rows' weights."""
        return float(self.n_rows if self.weight is None else np.sum(self.weight))

    def span(self, start: int, stop: int) -> Batch:
        """Rows start to stop, not copied."""
        columns = self._columns(slice(start, stop))
        if not sparse.issparse(self.X):
            return Batch(self.X[start:stop], *columns)
        first, last = self.X.indptr[start], self.X.indptr[stop]
        return Batch(
            csr(
                self.X.data[first:last],
                self.X.indices[first:last],
                self.X.indptr[start : stop + 1] - first,
                self.X.shape[1],
            ),
            *columns,
        )

    def take(self, rows: np.ndarray) -> Batch:
        """The rows of these numbers, copied."""
        return Batch(self.X[rows], *self._columns(rows))


def csr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, n_features: int) -> Any:
    """A matrix of parts that are known to be right: SciPy looks through all of them otherwise."""
    X = sparse.csr_matrix((len(indptr) - 1, n_features), dtype=data.dtype)
    X.data, X.indices, X.indptr = data, indices, indptr
    X.has_sorted_indices = X.has_canonical_format = True
    return X


def stacked(batches: Sequence[Batch]) -> Batch:
    """The rows of all of them in their order."""
    if len(batches) == 1:
        return batches[0]
    matrices = [batch.X for batch in batches]
    y = weight = offset = None
    if batches[0].y is not None:
        y = np.concatenate([batch.y for batch in batches])
    if any(batch.weight is not None for batch in batches):
        weight = np.concatenate([batch.weights for batch in batches])
    if any(batch.offset is not None for batch in batches):
        offset = np.concatenate([batch.offsets for batch in batches])
    if not sparse.issparse(matrices[0]):
        return Batch(np.concatenate(matrices), y, weight, offset)
    ends = np.cumsum([0, *(X.indptr[-1] for X in matrices)], dtype=np.int64)
    indptr = [X.indptr[:-1] + end for X, end in zip(matrices, ends)]
    wide = ends[-1] > np.iinfo(np.int32).max
    of_index = np.int64 if wide else np.result_type(*(X.indices.dtype for X in matrices))
    X = csr(
        np.concatenate([X.data for X in matrices]),
        np.concatenate([X.indices for X in matrices], dtype=of_index),
        np.concatenate([*indptr, ends[-1:]]).astype(of_index),
        matrices[0].shape[1],
    )
    return Batch(X, y, weight, offset)


def in_batches(
    batches: Iterable[Batch],
    n_rows: int,
    most_values: int = MOST_VALUES,
    *,
    first: int | None = None,
) -> Iterator[Batch]:
    """The same rows in batches of `n_rows`, or of fewer if they would have more than `most_values`.

    The first has `first` rows, if given. Where batches end follows from the rows alone.
    """
    waiting: list[Batch] = []
    n_waiting = n_values = 0
    wanted = first or n_rows
    for batch in batches:
        start = 0
        while start < batch.n_rows:
            stop = min(batch.n_rows, start + wanted - n_waiting)
            ends = _ends(batch, start, stop)
            room = int(np.searchsorted(ends, most_values - n_values, side="right"))
            full = room < stop - start
            stop = start + (max(room, 0 if waiting else 1) if full else stop - start)
            if stop > start:
                waiting.append(batch.span(start, stop))
                n_waiting += stop - start
                n_values += int(ends[stop - start - 1])
            start = stop
            if n_waiting == wanted or full:
                yield stacked(waiting)
                waiting, n_waiting, n_values, wanted = [], 0, 0, n_rows
    if waiting:
        yield stacked(waiting)


def _ends(batch: Batch, start: int, stop: int) -> np.ndarray:
    """Values of the rows from start up to and with each one."""
    if sparse.issparse(batch.X):
        indptr = batch.X.indptr
        return indptr[start + 1 : stop + 1].astype(np.int64) - int(indptr[start])
    return np.arange(1, stop - start + 1, dtype=np.int64) * batch.X.shape[1]


def spans_of_few_values(indptr: np.ndarray, most_values: int) -> Iterator[np.ndarray]:
    """The row pointers of CSR rows in spans of no more than so many values, unless a row has more;
    each begins with the last of the one before.

    >>> [span.tolist() for span in spans_of_few_values(np.array([0, 2, 3, 9, 9, 10]), 3)]
    [[0, 2, 3], [3, 9], [9, 9, 10]]
    """
    start = 0
    while start < len(indptr) - 1:
        stop = int(np.searchsorted(indptr, indptr[start] + most_values, side="right")) - 1
        stop = max(stop, start + 1)
        yield indptr[start : stop + 1]
        start = stop
