"""Read-only copies of x, which callers may keep, as no step changes them."""

from __future__ import annotations

import sys

import numpy as np

#: Copies that are kept for reuse: the best point, the last two, and one to be filled.
_POOL_SIZE = 4


def _count_unused() -> int:
    """The reference count of an array that only a list refers to."""
    pool = [np.empty(0)]
    return sys.getrefcount(pool[0])


_UNUSED = _count_unused()


def frozen_copy(x: np.ndarray) -> np.ndarray:
    """A read-only copy."""
    point = x.copy()
    point.setflags(write=False)
    return point


class CopyPool:
    """Makes read-only copies of an array of one shape and dtype, step after step.

    A copy to which nothing refers any more, neither to itself nor to a view of it, is filled again:
    the system hands out fresh memory of this size page by page, which takes longer than the copy.
    """

    def __init__(self) -> None:
        self._pool: list[np.ndarray] = []

    def frozen_copy(self, x: np.ndarray) -> np.ndarray:
        """A read-only copy of x, whose shape and dtype are the same each time."""
        pool = self._pool
        for i in range(len(pool)):
            if sys.getrefcount(pool[i]) == _UNUSED:
                point = pool[i]
                point.setflags(write=True)
                np.copyto(point, x)
                point.setflags(write=False)
                return point
        point = frozen_copy(x)
        pool.append(point)
        del pool[:-_POOL_SIZE]
        return point
