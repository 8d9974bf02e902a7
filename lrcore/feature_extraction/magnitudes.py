"""How large the numbers in columns are, by the first rows of one or several tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lrcore.feature_extraction.containers import reader

#: Rows that are looked at, as many as a stream finds its rate by.
FIRST_ROWS = 1 << 14


class FirstNumbers:
    """The numbers in the first rows of tables, of which no more than `FIRST_ROWS` are looked at.

    Parameters
    ----------
    names : list of str
        The columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        self._n_left = FIRST_ROWS

    def add(self, table: Any) -> None:
        """Look at more rows."""
        for n, columns in reader(table).batches(list(self._parts)):
            if not self._n_left:
                break
            for name, parts in self._parts.items():
                parts.append(columns[name].as_floats()[: self._n_left])
            self._n_left -= min(n, self._n_left)

    def root_mean_squares(self) -> dict[str, float]:
        """Those of each column's numbers that are finite and not 0; 1 where there are none."""
        return {
            name: root_mean_square(np.concatenate([np.empty(0), *parts]))
            for name, parts in self._parts.items()
        }


def root_mean_square(values: np.ndarray) -> float:
    """That of values that are finite and not 0; 1 if there are none. Their order does not matter,
    and squares do not overflow.

    >>> root_mean_square(np.array([3e200, 0.0, np.nan, -4e200])) / math.sqrt(12.5)
    1e+200
    """
    values = np.abs(values[np.isfinite(values) & (values != 0)])
    if not values.size:
        return 1.0
    largest = float(values.max())
    # A sum without rounding, which has the same bits on any machine.
    mean = math.fsum(((values / largest) ** 2).tolist()) / values.size
    return largest * math.sqrt(mean)
