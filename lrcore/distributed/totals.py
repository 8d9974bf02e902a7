"""What the client knows of all partitions before it learns from them, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lrcore._utils.version import __version__
from lrcore.distributed.exact import as_float
from lrcore.distributed.rows import BadPartitionError, Summary


class Totals(NamedTuple):
    """Of all partitions: the numbers of their first rows, rows, features, the dtype of the model,
    columns of y; and of the rows of each class the sum of the weights, the largest, and how many
    are not 0."""

    firsts: list[int]
    n_rows: int
    n_features: int
    dtype: str
    y_columns: int
    labels: np.ndarray
    weights: np.ndarray
    largest_weights: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, summaries: Sequence[Summary]) -> Totals:
        """Those of partitions that fit together.

        Raises
        ------
        BadPartitionError
            If they do not.
        """
        for each in summaries:
            if each.version != __version__:
                raise BadPartitionError(
                    f"partition {each.number} is on a worker with lrcore {each.version}, and the "
                    f"client has {__version__}: install the same version everywhere"
                )
        some = [each for each in summaries if each.n_rows]
        if not some:
            raise BadPartitionError(f"there is no row to learn from in {len(summaries)} partitions")
        first = some[0]
        for each in some[1:]:
            if kind_of(each.labels) != kind_of(first.labels):
                raise BadPartitionError(
                    f"partition {each.number} has labels that are {kind_of(each.labels)}, and "
                    f"partition {first.number} has {kind_of(first.labels)}: all must be alike"
                )
            for name, own, others in (
                ("features", each.n_features, first.n_features),
                ("columns of y", each.y_columns, first.y_columns),
            ):
                if own != others:
                    raise BadPartitionError(
                        f"partition {each.number} has {own} {name}, and partition {first.number} "
                        f"has {others}: all must have the same"
                    )
        labels = np.unique(np.concatenate([each.labels for each in some]))
        places = [np.searchsorted(labels, each.labels) for each in some]
        sums, largest, counts = [0] * len(labels), np.zeros(len(labels)), np.zeros(len(labels), int)
        for each, place in zip(some, places):
            for k, weight in zip(place, each.weights):
                sums[k] += weight
            largest[place] = np.maximum(largest[place], each.largest_weights)
            counts[place] += each.counts
        stops = np.cumsum([each.n_rows for each in summaries])
        return cls(
            [0, *stops[:-1].tolist()], int(stops[-1]), first.n_features,
            np.result_type(*(each.dtype for each in some)).name, first.y_columns, labels,
            np.array([as_float(each) for each in sums]), largest, counts,
        )  # fmt: skip

    def with_class_weights(self, factors: np.ndarray) -> Totals:
        """Where the weights of the rows of each class are multiplied by a factor."""
        return self._replace(
            weights=self.weights * factors, largest_weights=self.largest_weights * factors,
            counts=np.where(factors > 0, self.counts, 0),
        )  # fmt: skip

    @property
    def n_counted(self) -> int:
        """Rows whose weight is not 0."""
        return int(np.sum(self.counts))


def kind_of(labels: np.ndarray) -> str:
    """Numbers or strings."""
    return "numbers" if labels.dtype.kind in "biuf" else "strings"
