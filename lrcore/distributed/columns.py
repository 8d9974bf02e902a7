"""Which features are used anywhere, and in what units they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrcore.distributed.rows import Rows
from lrcore.linear_model.engine import scaling

#: Powers of two that the largest magnitudes of columns may differ by and share a unit: of the 62
#: bits of a sum so many are lost for the columns with the smallest.
SAME_UNIT = 16


class Columns(NamedTuple):
    """The features that rows have an entry of, in ascending order, None: all; and the largest
    magnitude of each."""

    features: np.ndarray | None
    largest: np.ndarray

    def plus(self, other: Columns) -> Columns:
        """Those of the rows of both."""
        if self.features is None or other.features is None:
            whole = self if self.features is None else other
            part = other if self.features is None else self
            largest = whole.largest.copy()
            own = slice(None) if part.features is None else part.features
            largest[own] = np.maximum(largest[own], part.largest)
            return Columns(None, largest)
        more, less = (self, other) if len(self.largest) >= len(other.largest) else (other, self)
        assert more.features is not None
        assert less.features is not None
        places = np.searchsorted(more.features, less.features)
        known = places < len(more.features)
        known[known] = more.features[places[known]] == less.features[known]
        largest, own = more.largest.copy(), places[known]
        largest[own] = np.maximum(largest[own], less.largest[known])
        new = ~known
        return Columns(
            np.insert(more.features, places[new], less.features[new]),
            np.insert(largest, places[new], less.largest[new]),
        )

    def exponents(self) -> np.ndarray | None:
        """For each feature the power of two that its column is divided by, so that no magnitude is
        above 1; None where the columns are in units that are near enough to each other."""
        mantissas, exponents = np.frexp(self.largest)
        exponents = np.where(mantissas == 0.5, exponents - 1, exponents)
        some = exponents[self.largest > 0]
        if not some.size or some.max() - some.min() <= SAME_UNIT:
            return None
        return np.where(self.largest > 0, exponents, 0).astype(np.int32)


def columns_of(rows: Rows) -> Columns | None:
    """Those of a partition; None if it is empty."""
    X = rows.X
    if X is None:
        return None
    if X.indices is None:
        largest = np.maximum(X.values.max(axis=0), -X.values.min(axis=0))
        return Columns(None, largest.astype(np.float64))
    used, features = X.with_used_features()
    largest = scaling.largest_magnitudes(used)
    return Columns(None if features is None else features.astype(np.int64), largest)
