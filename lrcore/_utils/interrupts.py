"""Ctrl-C, noted instead of raised in the midst of things."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Within this block Ctrl-C is noted instead of raised in the midst of things; what is
    yielded tells whether it was. At the end of the block KeyboardInterrupt is raised if nobody was
    told. Where Ctrl-C does something else, or in other threads, nothing changes."""
    noted: list[int] = []
    told: list[int] = []

    def interrupted() -> bool:
        told[:] = noted
        return bool(noted)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted
        return
    signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if noted and not told:
        raise KeyboardInterrupt
