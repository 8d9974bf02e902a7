"""A line of numbers in a line of text."""

from __future__ import annotations

import numpy as np

BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


def of(values: np.ndarray) -> str:
    """A bar for each value, from 0 to the highest of them.

    >>> of(np.array([0.0, 0.5, 1.0]))
    '\u2581\u2585\u2588'
    """
    top = max(values.max(), np.finfo(np.float64).tiny)
    return "".join(BARS[min(7, int(8 * (value / top)))] for value in values)
