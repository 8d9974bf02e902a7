"""Text in pieces that end where lines end, and a function of them in threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lrcore._utils import npz
from lrcore.io.errors import DataError
from lrcore.io.files import Text

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Bytes of a piece, unless a line is longer: it stays in the cache from the file to the parser.
SIZE = 1 << 22

#: Bytes that a line may have. What is longer is no line of text, and shall not fill the memory.
LONGEST_LINE = 1 << 28

#: A number of elements for which as many threads are used as there are.
ENOUGH = 1 << 40

#: Pieces for each thread that are under way or wait for those before them.
AHEAD = 2


class Piece(NamedTuple):
    """Whole lines, the number of the first, and how much of the source was read with them."""

    text: memoryview
    first_line: int
    share: float = 0.5

    def line_number(self, place: int) -> int:
        """The number of the line at this place."""
        return self.first_line + _count_lines(self.text[:place])

    def line(self, place: int) -> bytes:
        """The line that begins at this place."""
        line = bytes(self.text[place : place + (1 << 16)])
        if b"\n" not in line:
            line = bytes(self.text[place:])
        return line.partition(b"\n")[0]


def pieces(text: Text, *, size: int = SIZE, bounded: bool = False) -> Iterator[Piece]:
    """The lines of a text, in pieces of about this size; only the last line may lack its end.

    Parameters
    ----------
    text : Text
    size : int
        Bytes to read at a time.
    bounded : bool
        Whether the text is to be kept whole: then one that unpacks to far more than is stored is
        an error, as it is for ``.npz`` files.

    Raises
    ------
    DataError
        If a line has more than `LONGEST_LINE` bytes, the text cannot be unpacked, or it is bounded
        and too large.
    """
    number, total = 1, 0
    rest: Any = b""  # the beginning of a line
    while True:
        # A long line is searched for its end in steps that double, but not far beyond its limit.
        more = max(size, min(len(rest), LONGEST_LINE + 1 - len(rest)))
        room = bytearray(len(rest) + more)
        memoryview(room)[: len(rest)] = rest  # a slice of the array itself would be assigned a copy
        filled = len(rest) + text.readinto(memoryview(room)[len(rest) :])
        is_last = filled < len(room)
        total += filled - len(rest)
        if bounded and text.is_packed:
            most = npz.MOST_BYTES + npz.MOST_TIMES * text.n_stored
            if total > most:
                lines = number + _count_lines(memoryview(room)[:filled])
                raise DataError(
                    f"{text.name}:{lines}: unpacks to more than the {most:,} bytes that are read "
                    "of a file of its size"
                )
        stop = filled if is_last else room.rfind(b"\n", len(rest), filled) + 1
        whole = memoryview(room)[:stop]
        rest = memoryview(room)[stop:filled]
        if len(rest) > LONGEST_LINE:
            lines = number + _count_lines(whole)
            raise DataError(f"{text.name}:{lines}: a line of more than {LONGEST_LINE:,} bytes")
        if len(whole):
            yield Piece(whole, number, text.share)
            number += _count_lines(whole)
        if is_last:
            return


def _count_lines(text: memoryview) -> int:
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> Generator[Result, None, None]:
    """The function of each item, in their order, computed in threads.

    Items are taken by the thread that takes the results, at most `AHEAD` for each thread before
    their results are wanted. An exception comes where the result would have come, one of `items`
    after the results of all items before. Whoever stops early waits for what is under way only.
    """
    if n_threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(n_threads, "lrcore")
    waiting: deque[Future[Result]] = deque()
    try:
        for future in _submitted(pool, function, items):
            waiting.append(future)
            if len(waiting) == AHEAD * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Future[Result]]:
    """Futures of the items, the last of which has failed if the items end with an exception."""
    try:
        for item in items:
            yield pool.submit(function, item)
    except Exception as error:
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed
