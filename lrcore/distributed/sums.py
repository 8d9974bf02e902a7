"""Sums over rows for each feature in whole numbers, which no order of adding up can change.

Each product is rounded by itself to a multiple of a unit that follows from all rows, not from the
partition.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lrcore import _backend
from lrcore._utils.arrays import sorted_union
from lrcore.linear_model.engine.design_matrix import DesignMatrix

#: How many times the features of two parts make all of them where merging lists of them takes as
#: long as to add one to a sum of all.
DENSER = 16

#: Bits of a sum: 63 without the sign, one of which is room for rounding.
BITS = 62


class FeatureSums(NamedTuple):
    """Sums of features as multiples of a unit, (n_sums, n_features) int64; of some features, if
    they are named, in ascending order, where the others have none."""

    values: np.ndarray
    n_features: int
    features: np.ndarray | None = None

    def plus(self, other: FeatureSums) -> FeatureSums:
        """The sums over the rows of both, in place of these if they are of all features."""
        a, b = self.features, other.features
        if a is None and not self.values.flags.writeable:
            return FeatureSums(self.values.copy(), self.n_features).plus(other)
        if a is None:
            if b is None:
                np.add(self.values, other.values, out=self.values)
            else:
                self.values[:, b] += other.values
            return self
        if b is None:
            return other.plus(self)
        if DENSER * (len(a) + len(b)) >= self.n_features:
            return FeatureSums(self.dense(), self.n_features).plus(other)
        both = sorted_union(a, b)
        found = np.zeros((len(self.values), len(both)), np.int64)
        found[:, np.searchsorted(both, a)] = self.values
        found[:, np.searchsorted(both, b)] += other.values
        return FeatureSums(found, self.n_features, both)

    def dense(self) -> np.ndarray:
        """Those of all features."""
        if self.features is None:
            return self.values
        found = np.zeros((len(self.values), self.n_features), np.int64)
        found[:, self.features] = self.values
        return found

    @property
    def nbytes(self) -> int:
        """What is sent of them."""
        return self.values.nbytes + (0 if self.features is None else self.features.nbytes)


def exponent_above(number: float) -> int:
    """The least k with ``number <= 2**k``; 0 of 0."""
    if number <= 0:
        return 0
    mantissa, exponent = math.frexp(number)
    return exponent - 1 if mantissa == 0.5 else exponent


def unit_exponent(total: int, largest: float) -> int:
    """That of the unit by which `total` numbers, none of them above the largest, sum up to no more
    than an int64."""
    return exponent_above(largest) + exponent_above(float(total)) - BITS


def exact_feature_sums(
    X: DesignMatrix, factors: np.ndarray, exponent: int, n_features: int,
    own: np.ndarray | None = None, *, squares: bool = False,
) -> FeatureSums:  # fmt: skip
    """The rows, or the `squares` of their values, times their factors, (n_sums, n_rows), in units
    of 2**exponent; columns of X are these of the features, if not all."""
    scaled = np.ldexp(np.ascontiguousarray(factors), -exponent)
    sums = _backend.active.exact_row_sums(X, scaled, 1, squares=squares)
    found = FeatureSums(sums, n_features, own)
    few = own is None or 2 * len(own) < n_features
    return found if few else FeatureSums(found.dense(), n_features)
