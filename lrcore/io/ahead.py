"""Work that runs ahead of those who use its results: the reader beside the learner."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items, made in a thread of its own, so many ahead of their use.

    An error comes where the item would have come. The thread ends with the iterator, also if that
    is left before its end.
    """
    made: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def hand_over(some: list[T], error: BaseException | None = None) -> bool:
        while not stop.is_set():
            try:
                made.put((some, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not hand_over([item]):
                    return
            hand_over([])
        except BaseException as error:
            hand_over([], error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=run, name="lrcore-reader", daemon=True)
    thread.start()
    try:
        while True:
            some, error = made.get()
            if error is not None:
                raise error
            if not some:
                return
            yield from some
    finally:
        stop.set()
        thread.join()
