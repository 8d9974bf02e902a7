"""Points of a run: copies of x that nobody changes, so that anybody may keep them."""

from __future__ import annotations

import sys

import numpy as np

#: Arrays to look through: the best point, the last two, and one to fill.
_POOL = 4


def _count_alone() -> int:
    """What Python counts for an array that is in a list and nowhere else."""
    pool = [np.empty(0)]
    return sys.getrefcount(pool[0])


_ALONE = _count_alone()


def frozen(x: np.ndarray) -> np.ndarray:
    """A read-only copy."""
    point = x.copy()
    point.setflags(write=False)
    return point


class Points:
    """Read-only copies of one array, step after step.

    A copy that nobody refers to any more, neither to itself nor to a view of it, is filled again:
    fresh memory of this size may come from the system page by page, which takes longer than the
    copy.
    """

    def __init__(self) -> None:
        self._pool: list[np.ndarray] = []

    def frozen(self, x: np.ndarray) -> np.ndarray:
        """A read-only copy of x, whose shape and dtype are the same each time."""
        pool = self._pool
        for i in range(len(pool)):
            if sys.getrefcount(pool[i]) == _ALONE:
                point = pool[i]
                point.setflags(write=True)
                np.copyto(point, x)
                point.setflags(write=False)
                return point
        point = frozen(x)
        pool.append(point)
        del pool[:-_POOL]
        return point
