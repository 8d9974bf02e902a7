"""How many threads to use: a question of the machine, never of the result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral
from pathlib import Path

from lrcore import _core
from lrcore._utils.validation import shown

#: Elements that a thread must have before a second one is worth waking (about 10 microseconds).
WORTHWHILE = 65_536

#: Elements that a thread must have where a number of threads was asked for: a cache line.
LEAST = 16

_forked = _core.forked


def _after_fork() -> None:
    global _forked
    _forked = True


# OpenMP's threads do not survive a fork: a child that asked for them would wait for ever. Whoever
# woke them, another library may have: so a child always works alone.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def cgroup_quota() -> int | None:
    """Whole processors that the container may use, None where it is not limited."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        base = Path("/sys/fs/cgroup/cpu")
        limit = int((base / "cpu.cfs_quota_us").read_text())
        return max(1, limit // int((base / "cpu.cfs_period_us").read_text())) if limit > 0 else None
    except (OSError, ValueError):
        return None


QUOTA = cgroup_quota()

#: What `set_num_threads` set for the process, and `num_threads` for a block of code.
_for_all: int | None = None
_for_block: ContextVar[int | None] = ContextVar("num_threads", default=None)


def set_num_threads(n_threads: int | None) -> None:
    """Use at most so many threads from now on, where a call does not say.

    It never changes a result: the bits do not depend on the number of threads.

    Parameters
    ----------
    n_threads : int or None
        The largest number of threads; None for no limit.

    Examples
    --------
    >>> import lrcore
    >>> lrcore.set_num_threads(1)
    >>> lrcore.get_num_threads()
    1
    >>> lrcore.set_num_threads(None)
    """
    global _for_all
    check(n_threads)
    _for_all = n_threads


def get_num_threads() -> int:
    """The threads that a large enough piece of work gets here and now."""
    return min(limits().values())


@contextmanager
def num_threads(n_threads: int | None) -> Iterator[None]:
    """Within a ``with`` block, and in this Python thread or task alone, use at most so many.

    Parameters
    ----------
    n_threads : int or None
        The largest number of threads; None for no limit.

    Examples
    --------
    >>> import lrcore
    >>> with lrcore.num_threads(1):
    ...     lrcore.get_num_threads()
    1
    """
    check(n_threads)
    token = _for_block.set(n_threads)
    try:
        yield
    finally:
        _for_block.reset(token)


def limits() -> dict[str, int]:
    """What bounds the number of threads, each with its number."""
    found = {"OpenMP": max(1, _core.kernels.openmp_threads()) if _core.kernels else 1}
    found |= processors()
    if _for_all is not None:
        found["set_num_threads"] = _for_all
    block = _for_block.get()
    if block is not None:
        found["num_threads"] = block
    if _forked:
        found["fork"] = 1
    return found


def processors() -> dict[str, int]:
    """What bounds the processors that this process may use, each with its number."""
    if hasattr(os, "sched_getaffinity"):
        found = {"affinity": len(os.sched_getaffinity(0))}
    else:
        found = {"processors": os.cpu_count() or 1}
    if QUOTA is not None:
        found["cgroup quota"] = QUOTA
    return found


def check(n_threads: int | None) -> None:
    """Raise unless n_threads is None or an integer >= 1."""
    if n_threads is None:
        return
    if isinstance(n_threads, bool) or not isinstance(n_threads, Integral):
        raise TypeError(f"n_threads must be an integer or None, got {shown(n_threads)}")
    if not 1 <= n_threads <= 1024:
        raise ValueError(f"n_threads must be in 1 to 1024, or None to choose, got {n_threads}")


def count(n_threads: int | None, work: int) -> int:
    """Threads for `work` elements: what is worth waking, or what was asked for, though no more than
    there are processors: threads that share one wait for each other most of the time."""
    if _forked or n_threads == 1:
        return 1
    if n_threads is None:
        return 1 if work < 2 * WORTHWHILE else min(*limits().values(), work // WORTHWHILE)
    return max(1, min(n_threads, work // LEAST, *processors().values()))


class ThreadTuner:
    """Chooses the number of threads of the next call, where the caller left it open: whichever
    number was faster in the calls before.

    Threads that wait for each other at every block are slower than one alone when another
    program has a processor. The bits are the same either way, so the clock may decide.
    """

    #: Values of a call whose time says something, and calls after which the other way is tried.
    ENOUGH, AGAIN = 1 << 15, 24

    def __init__(self, n_threads: int, fixed: bool) -> None:
        self._seconds_per_value: dict[int, float] = {}
        self._ways = [n_threads] if fixed or n_threads == 1 else [n_threads, 1]
        self._calls = 0

    def choose(self) -> int:
        """The number of threads for the next call."""
        for way in self._ways:
            if way not in self._seconds_per_value:
                return way
        best = min(self._seconds_per_value, key=lambda way: self._seconds_per_value[way])
        self._calls += 1
        if self._calls % self.AGAIN == 0 and len(self._ways) > 1:
            return self._ways[1 - self._ways.index(best)]
        return best

    def note(self, n_threads: int, n_values: float, seconds: float) -> None:
        """Remember how long a call took."""
        if n_values >= self.ENOUGH:
            self._seconds_per_value[n_threads] = seconds / n_values
