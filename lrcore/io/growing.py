"""Arrays that grow piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np


class GrowingArray:
    """An array in one piece to which parts are appended.

    Room is made for the whole at once, by how many elements came from how much of a source: what is
    reserved in vain takes no memory before it is written to, and nothing is held twice.
    """

    #: What room is made for beyond what the parts so far let expect.
    MARGIN = 1.05

    def __init__(self, dtype: Any) -> None:
        self._room = np.empty(0, dtype)
        self.size = 0

    def append(self, part: np.ndarray, share: float) -> None:
        """Append a part, with which this share of the source was read."""
        size = self.size + len(part)
        if size > len(self._room):
            room = np.empty(max(size, int(size / share * self.MARGIN)), self._room.dtype)
            room[: self.size] = self._room[: self.size]
            self._room = room
        self._room[self.size : size] = part
        self.size = size

    def array(self) -> np.ndarray:
        """What was appended."""
        return self._room[: self.size]
