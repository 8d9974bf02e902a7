"""The first rows of a stream, from which "auto" finds its rate.

No call knows how many rows are yet to come, and the first may have a single one. So the first rows
are kept, and whenever there are 1, 2, 4, ... of them, up to `MOST_ROWS`, the rate is found from
just these, and the stream begins again with it, from the first row on. What it has learnt after any
row then follows from the rows alone, wherever calls end, and all restarts together take the time of
a dozen passes over the first rows. Of rows with very many values, fewer are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lrcore.linear_model.problem import Problem

#: Rows after which the rate is found for the last time. Of five streams of text, clicks, flights
#: and posts that of 2,048 rows was by a factor of 2 off the best in four, that of 16,384 in none.
MOST_ROWS = 1 << 14

#: Rows from which on it is not found again once they have more than so many values.
ENOUGH_ROWS, MANY_VALUES = 2048, 1 << 22

#: Rows that rates are tried on at least, if there are so many, whatever the number of outputs.
ENOUGH_TRIED = 4096


class StreamStart(NamedTuple):
    """All rows of a stream since its first, and how many of them its rate follows from."""

    rows: Problem
    n_deciding: int

    @property
    def deciding(self) -> Problem:
        """The rows that the rate follows from."""
        return self.rows.span(0, self.n_deciding)

    @property
    def n_tried(self) -> int:
        """Rows that rates are tried on: all that decide, but fewer where they have many outputs."""
        n_outputs = len(self.rows.targets) * self.rows.objective.loss.n_raw_predictions
        return min(self.n_deciding, max(ENOUGH_TRIED, 4 * MOST_ROWS // n_outputs))

    @property
    def intercepts(self) -> list[np.ndarray]:
        """The best constant predictions for these, for each target; of a class that has not come up
        yet no more is said than so few rows can tell."""
        most = np.inf
        if self.rows.objective.loss.classifies:
            most = np.log1p(self.n_deciding)
        return [np.clip(each, -most, most) for each in self.deciding.constants()]


def restarted(before: Problem | None, problem: Problem) -> StreamStart | None:
    """The beginning of a stream whose rate is to be found anew, now that more rows are there; None
    where the one that it has is to be kept."""
    n_before = 0 if before is None else before.n_rows
    rows = problem if before is None else _all(before, problem)
    n_deciding = 1 << (min(rows.n_rows, _most_rows(rows)).bit_length() - 1)
    return StreamStart(rows, n_deciding) if n_deciding > n_before else None


def _most_rows(rows: Problem) -> int:
    """How many of a stream's rows its rate follows from at last, as far as is known by now."""
    most = ENOUGH_ROWS
    while most < MOST_ROWS and most <= rows.n_rows and rows.X.n_values(most) <= MANY_VALUES // 2:
        most *= 2
    return most


def to_keep(start: StreamStart | None, before: Problem | None, problem: Problem) -> Problem | None:
    """A copy of all rows of a stream after a call, which has begun anew if there is a start; None
    once there are enough of them, or if it had none to keep."""
    if start is None:
        return None if before is None else _all(before, problem)
    rows = start.rows
    return rows.take(np.arange(rows.n_rows)) if rows.n_rows < _most_rows(rows) else None


def _all(before: Problem, problem: Problem) -> Problem:
    """The rows of both, with the objective of now."""
    return replace(before.followed_by(problem), objective=problem.objective)
