"""The rows of a partition as they are given, checked by the worker that has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils.version import __version__
from lrcore.distributed.exact import exact_sum
from lrcore.linear_model.arguments import as_floats, check_lengths, check_weight, encode
from lrcore.linear_model.engine.design_matrix import DesignMatrix, as_design_matrix, stacked


@dataclass(frozen=True)
class Rows:
    """The rows of a partition, checked: X in the kernels' form, labels or targets, and weights."""

    number: int
    X: DesignMatrix | None
    y: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        return len(self.y)


class Summary(NamedTuple):
    """What a partition tells of itself before anything is learnt from it."""

    number: int
    version: str
    n_rows: int
    n_features: int
    dtype: str
    #: Columns of y, 0 for a vector.
    y_columns: int
    #: The classes, one for all where y are numbers; of the rows of each the sum of the weights as a
    #: multiple of 2**-1074, the largest, and how many are not 0.
    labels: np.ndarray
    weights: list[int]
    largest_weights: np.ndarray
    counts: np.ndarray


class BadPartitionError(ValueError):
    """A partition that cannot be used; the message names it."""


@rounded_to_nearest
def load(
    number: int,
    X: Any,
    y: Any,
    weight: Any,
    offset: Any,
    features: Any,
    check_y: Callable[[Any], np.ndarray],
) -> Rows:
    """The rows of a partition, checked; raw ones are made into features first.

    Raises
    ------
    BadPartitionError
    """
    try:
        if features is not None:
            X = features.transform(X)
        elif not hasattr(X, "shape"):
            X = np.asarray(X)
        y = check_y(y)
        if X.shape[0] == 0:
            return Rows(number, None, y[:0], None)
        matrix = as_design_matrix(X, None, 1)
        check_lengths(matrix, y)
        weight = check_weight_of_part(weight, matrix.shape[0])
        if offset is not None:
            offset = as_floats("offset", offset).reshape(matrix.shape[0], -1)
        return Rows(number, matrix, y, weight, offset)
    except (TypeError, ValueError) as error:
        raise BadPartitionError(f"partition {number}: {error}") from None


def check_weight_of_part(weight: Any, n_rows: int) -> np.ndarray | None:
    """The weights of some of the rows, which may all be 0."""
    if weight is None or np.any(np.asarray(weight)):
        return check_weight(weight, n_rows)
    return np.zeros(n_rows)


def summarise(rows: Rows, *, classifies: bool) -> Summary:
    """What the client has to know of a partition."""
    X, y, weight = rows.X, rows.y, rows.weight
    labels, codes = np.zeros(1), np.zeros(len(y), np.int64)
    if classifies and y.ndim == 1:
        labels, codes = encode(y)
    weight = np.ones(len(y)) if weight is None else weight
    weights, largest, counts = [], np.zeros(len(labels)), np.zeros(len(labels), np.int64)
    for k in range(len(labels)):
        own = weight[codes == k]
        weights.append(exact_sum(own))
        largest[k], counts[k] = own.max(initial=0.0), np.count_nonzero(own)
    columns = y.shape[1] if y.ndim > 1 else 0
    shape, dtype = ((0, 0), "") if X is None else (X.shape, X.dtype.name)
    return Summary(
        rows.number, __version__, len(y), shape[1], dtype, columns, labels, weights, largest,
        counts,
    )  # fmt: skip


def pick(rows: Rows, first: int, chosen: np.ndarray) -> Rows:
    """Those of some rows of all that are in this partition, whose first row has this number."""
    own = chosen[(chosen >= first) & (chosen < first + rows.n_rows)] - first
    if rows.X is None or not len(own):
        return replace(rows, X=None, y=rows.y[:0], weight=None, offset=None)
    weight, offset = (None if part is None else part[own] for part in (rows.weight, rows.offset))
    return Rows(rows.number, rows.X.take(own), rows.y[own], weight, offset)


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several partitions, in their order."""
    parts = [part for part in parts if part.n_rows]
    X = reduce(stacked, [part.X for part in parts if part.X is not None])
    weight = offset = None
    if any(part.weight is not None for part in parts):
        each = [np.ones(p.n_rows) if p.weight is None else p.weight for p in parts]
        weight = np.concatenate(each)
    if any(part.offset is not None for part in parts):
        width = max(p.offset.shape[1] for p in parts if p.offset is not None)
        each = [np.zeros((p.n_rows, width)) if p.offset is None else p.offset for p in parts]
        offset = np.concatenate(each)
    return Rows(0, X, np.concatenate([part.y for part in parts]), weight, offset)
