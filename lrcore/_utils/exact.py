"""Sums of float64 without any rounding, which are the same in whatever order and parts they are
made.

Every float64 is a whole multiple of the smallest one, 2**-1074, and Python's integers have as many
digits as it takes.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

#: Bits of a mantissa that are summed up at a time, so that 2**27 of them are exact in float64; and
#: numbers that are looked at together.
LOW_BITS, CHUNK = 26, 1 << 16

#: The exponent of the unit.
UNIT = -1074


def exact_sum(values: np.ndarray) -> int:
    """The sum of finite float64 as a multiple of 2**-1074; these are added up by ``+``.

    Raises
    ------
    OverflowError
        If a number is NaN or infinite.
    """
    bits = np.ascontiguousarray(values, np.float64).reshape(-1).view(np.int64)
    total = 0
    for start in range(0, len(bits), CHUNK):
        total += _chunk_sum(bits[start : start + CHUNK])
    return total


def _chunk_sum(bits: np.ndarray) -> int:
    exponents = (bits >> 52) & 0x7FF
    if (exponents == 0x7FF).any():
        raise OverflowError("a number to sum up is NaN or infinite")
    mantissas = (bits & ((1 << 52) - 1)) | ((exponents > 0).astype(np.int64) << 52)
    mantissas = np.where(bits < 0, -mantissas, mantissas)
    low = mantissas & ((1 << LOW_BITS) - 1)
    first = int(exponents.min())
    places = exponents - first
    lows = np.bincount(places, low.astype(np.float64))
    highs = np.bincount(places, (mantissas >> LOW_BITS).astype(np.float64))
    total = 0
    for place in np.flatnonzero((lows != 0) | (highs != 0)):
        whole = (int(highs[place]) << LOW_BITS) + int(lows[place])
        total += whole << (max(first + int(place), 1) - 1)
    return total


def as_float(total: int, count: int = 1) -> float:
    """Such a sum over a count, rounded once; infinite where it is beyond float64."""
    try:
        return float(Fraction(total, count << -UNIT))
    except OverflowError:
        return math.copysign(math.inf, total)
