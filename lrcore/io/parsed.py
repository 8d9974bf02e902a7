"""What streams of text consist of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from lrcore._backend import threads
from lrcore.io.pieces import ENOUGH, Piece, map_in_order

Rows = TypeVar("Rows")


class ParsedRows(NamedTuple):
    """Rows of a piece of text, as CSR arrays."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    y: Any
    #: Importance of each row, None in formats that have none.
    weight: np.ndarray | None
    #: Query ids, None if no row has one.
    qid: np.ndarray | None
    #: The number of the line at which the piece begins.
    first_line: int
    #: What is added to each raw prediction, None in formats that have none.
    base: np.ndarray | None = None


class ParsedBatches:
    """The rows of a source, batch by batch, in the memory of a few of them.

    Each iteration reads the source anew; a second one is a ValueError if it can be read once only.

    Attributes
    ----------
    n_skipped : int
        Lines that were left out so far by the iteration that began last.
    """

    def __init__(
        self,
        read: Callable[[], Generator[tuple[ParsedRows, int], None, None]],
        *,
        once: bool = False,
    ) -> None:
        self._read, self._once, self._began = read, once, False
        self.n_skipped = 0

    def __iter__(self) -> Iterator[ParsedRows]:
        if self._once and self._began:
            raise ValueError("stdin and open files can be read once only; give a path instead")
        self._began = True
        self.n_skipped = 0
        with closing(self._read()) as batches:
            for batch, n_skipped in batches:
                self.n_skipped += n_skipped
                yield batch


class Parser(Protocol[Rows]):
    """How lines of a format are parsed."""

    def parse(self, piece: Piece) -> tuple[Piece, Rows]:
        """The rows of a piece."""

    def check(self, name: str, piece: Piece, rows: Rows) -> None:
        """Raise for a line that is not valid, unless such are left out."""


def parsed_in_order(
    name: str, queue: Iterator[Piece], parser: Parser[Rows], n_threads: int | None
) -> Generator[tuple[Piece, Rows], None, None]:
    """The pieces with their rows, parsed in threads; the first line that is not valid is raised."""
    n_threads = threads.count(n_threads, ENOUGH)
    with closing(map_in_order(parser.parse, queue, n_threads)) as parsed:
        for piece, rows in parsed:
            parser.check(name, piece, rows)
            yield piece, rows
