"""Sums of float64 without any rounding, which are the same in whatever order and parts they are
made.

Every float64 is a whole multiple of the smallest one, 2**-1074, and Python's integers have as many
digits as it takes.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from lrcore import _backend

#: The exponent of the unit.
UNIT = -1074


def exact_sum(values: np.ndarray) -> int:
    """The sum of finite float64 as a multiple of 2**-1074; these are added up by ``+``.

    Raises
    ------
    OverflowError
        If a number is NaN or infinite.
    """
    flat = np.ascontiguousarray(values, np.float64).reshape(-1)
    lows, highs = _backend.active.mantissa_sums(flat)
    used = np.flatnonzero((lows != 0) | (highs != 0))
    if used.size and used[-1] == 0x7FF:
        raise OverflowError("a number to sum up is NaN or infinite")
    # Numbers of exponent 0 have the unit of those of exponent 1.
    return sum(((int(highs[k]) << 26) + int(lows[k])) << max(int(k) - 1, 0) for k in used)


def as_float(total: int, count: int = 1) -> float:
    """Such a sum over a count, rounded once; infinite where it is beyond float64."""
    try:
        return float(Fraction(total, count << -UNIT))
    except OverflowError:
        return math.inf if total > 0 else -math.inf
