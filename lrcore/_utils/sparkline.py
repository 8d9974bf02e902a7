"""A chart of numbers in a single line of text."""

from __future__ import annotations

import numpy as np

#: Characters of rising height.
LEVELS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


def bars(values: np.ndarray) -> str:
    """A bar for each value, whose height is its share of the largest value.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Finite numbers >= 0.

    Returns
    -------
    str
        n characters; the lowest of the `LEVELS` for all values if all are 0.

    Examples
    --------
    >>> import numpy as np
    >>> bars(np.array([0.0, 0.5, 1.0]))
    '\u2581\u2585\u2588'
    """
    top = max(values.max(), np.finfo(np.float64).tiny)
    highest = len(LEVELS) - 1
    return "".join(LEVELS[min(highest, int(len(LEVELS) * (value / top)))] for value in values)
