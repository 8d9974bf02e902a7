"""Lists of labels, as rows of multilabel data have them: none, one or several each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse


class LabelLists(NamedTuple):
    """The labels, in rising order, and which of them each row has.

    Parameters
    ----------
    labels : ndarray of shape (n_labels,)
        int64 if all are whole numbers, else float64.
    indicator : csr_matrix of shape (n_rows, n_labels), int8
        1 where a row has a label.
    """

    labels: np.ndarray
    indicator: Any

    @classmethod
    def of(cls, lists: Sequence[Sequence[float]]) -> LabelLists:
        """From the list of each row; a label that is there twice counts once.

        >>> found = LabelLists.of([(3.0, 7.0), (), (7.0,)])
        >>> found.labels, found.indicator.toarray().tolist()
        (array([3, 7]), [[1, 1], [0, 0], [0, 1]])
        """
        given = np.array([label for each in lists for label in each], np.float64)
        labels, codes = np.unique(given, return_inverse=True)
        if (np.abs(labels) < 2**53).all() and (labels == np.floor(labels)).all():
            labels = labels.astype(np.int64)
        return cls(labels, _indicator(codes, np.array([len(each) for each in lists]), len(labels)))

    def among(self, labels: np.ndarray) -> LabelLists:
        """The same rows with a column for each of these labels, and after them one for each of
        their own that is not among these."""
        new = np.setdiff1d(self.labels, labels)
        every = np.concatenate([labels, new])
        order = np.argsort(every, kind="stable")
        columns = order[np.searchsorted(every[order], self.labels)]
        rows = self.indicator
        return LabelLists(
            every, _indicator(columns[rows.indices], np.diff(rows.indptr), len(every))
        )

    def lines(self) -> list[str]:
        """A line of text for each row, as svmlight files have them: labels with commas.

        >>> LabelLists.of([(3.0, 7.0), (), (7.0,)]).lines()
        ['3,7', '', '7']
        """
        return [",".join(map(str, each)) for each in self.lists()]

    def lists(self) -> list[list[Any]]:
        """The labels of each row."""
        names, rows = self.labels, self.indicator
        return [
            names[rows.indices[start:stop]].tolist()
            for start, stop in zip(rows.indptr[:-1], rows.indptr[1:])
        ]


def _indicator(columns: np.ndarray, counts: np.ndarray, n_labels: int) -> Any:
    """A matrix of 1 in these columns, so many for each row, sorted and each once."""
    indptr = np.concatenate([[0], np.cumsum(counts)])
    ones = np.ones(len(columns), np.int8)
    matrix = sparse.csr_matrix((ones, columns, indptr), shape=(len(counts), n_labels))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
