"""Rounds on a Dask cluster."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dask import config
from dask.sizeof import sizeof
from distributed import Client, Future, wait
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from lrcore.distributed.rounds import Handle, merged

#: Bytes from which on what is shared is sent once, and passed on from worker to worker, instead of
#: with every task.
LARGE = 1 << 16

#: Results that are merged by one task, and by the client.
FAN_IN = 8

#: How often a round is begun again after workers were lost in it.
ATTEMPTS = 5

#: Seconds that a round waits for a worker where there is none that can do what is left, and between
#: two looks at whether there is.
PATIENCE, LOOK = 60.0, 5.0

#: What may happen to a round when a worker is lost.
LOST = (FutureCancelledError, KilledWorker, CommClosedError)


class ClusterError(RuntimeError):
    """A cluster that has lost what a fit takes; the message says what."""


class DaskRounds:
    """Runs the functions of a fit as tasks: those that keep something one for each partition, sums
    one for each thread of a worker, which merges what its partitions come to.

    Tasks are pure, so that Dask runs those of a lost worker again elsewhere.

    Parameters
    ----------
    client : distributed.Client
    workers : list of str, optional
        The workers of the partitions, in their order, where rows are to stay where they are.
    """

    def __init__(self, client: Client, workers: Sequence[str] | None = None) -> None:
        self.client = client
        self._pinned = workers
        #: What kept results were made of, as long as they may have to be made again.
        self._held: list[Any] = []
        self._groups: list[list[int]] | None = None

    def keep(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = ()
    ) -> list[Handle]:
        sent = self._sent(shared)
        self._held.append(sent)
        self._groups = None
        return [
            self.client.submit(function, *of_part, *sent, pure=False, workers=worker)
            for worker, *of_part in zip(self._places(len(parts[0])), *parts)
        ]

    def each(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = ()
    ) -> list[Any]:
        def begin(sent: Sequence[Any]) -> list[Future]:
            return [
                self.client.submit(function, *of_part, *sent, pure=False, workers=worker)
                for worker, *of_part in zip(self._places(len(parts[0])), *parts)
            ]

        return self._until_done(begin, shared)

    def total(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = (),
        merge: Callable[[Any, Any], Any],
    ) -> Any:  # fmt: skip
        def begin(sent: Sequence[Any]) -> list[Future]:
            of_parts = list(zip(*parts))
            found = [
                self.client.submit(
                    run_group,
                    function,
                    merge,
                    [of_parts[k] for k in group],
                    sent,
                    pure=False,
                    workers=None if self._pinned is None else self._pinned[group[0]],
                )
                for group in self._grouped(parts[-1])
            ]
            while len(found) > FAN_IN:
                found = [
                    self.client.submit(merged_copy, merge, found[k : k + FAN_IN], pure=False)
                    for k in range(0, len(found), FAN_IN)
                ]
            return found

        return merged(self._until_done(begin, shared), merge)

    def _until_done(
        self, begin: Callable[[Sequence[Any]], list[Future]], shared: Sequence[Any]
    ) -> list[Any]:
        """The results of tasks, which are begun again if what they were sent is lost with a
        worker."""
        for attempt in range(ATTEMPTS):
            try:
                futures = begin(self._sent(shared))
                self._wait(futures)
                found: list[Any] = self.client.gather(futures)
                return found
            except LOST as error:
                self._groups = None
                if attempt == ATTEMPTS - 1 or self.client.status != "running":
                    raise lost(self.client, error) from error
        raise AssertionError("unreachable")

    def _sent(self, shared: Sequence[Any]) -> list[Any]:
        """What tasks are given."""
        return [given(self.client, each) for each in shared]

    def _wait(self, futures: Sequence[Future]) -> None:
        """Wait for tasks; for ever only while there are workers for them.

        Raises
        ------
        ClusterError
        """
        since: float | None = None
        while True:
            try:
                with self.client.as_current():
                    wait(futures, timeout=LOOK)
                return
            except asyncio.TimeoutError:  # the one of Python 3.10 is no other
                there = self.client.nthreads().keys()
                if there and set(self._pinned or there) <= there:
                    since = None
                    continue
                since = since or time.monotonic()
                if time.monotonic() - since > PATIENCE:
                    raise ClusterError(
                        f"for {PATIENCE:.0f} seconds there was no worker for what is left of a "
                        "round: they were lost, or are not those that partitions were given to"
                    ) from None

    def _places(self, n: int) -> Sequence[str | None]:
        """The worker of each of n partitions; None where Dask decides."""
        return [None] * n if self._pinned is None else self._pinned

    def _grouped(self, handles: Sequence[Future]) -> list[list[int]]:
        """The partitions of each thread of each worker: how they are grouped changes no sum."""
        if self._groups is None:
            has = self.client.who_has(handles)
            threads = self.client.nthreads()
            of_worker: dict[str, list[int]] = {}
            for k, (handle, place) in enumerate(zip(handles, self._places(len(handles)))):
                where = place or next(iter(has.get(handle.key) or ()), "")
                of_worker.setdefault(where, []).append(k)
            self._groups = []
            for worker, numbers in of_worker.items():
                n = min(len(numbers), threads.get(worker, 1)) if worker else len(numbers)
                self._groups += [numbers[first::n] for first in range(n)]
        return self._groups


def given(client: Client, value: Any) -> Any:
    """What stands for a value in the arguments of tasks: small ones as they are, large ones as the
    result of a task, which is worked out again where it is lost.

    Data that is scattered to all workers is lost with its last one, and the scheduler tries without
    end to copy it to one that it has lost (distributed 2026.8).
    """
    if sizeof(value) < LARGE:
        return value
    with config.set({"distributed.admin.large-graph-warning-threshold": 1 << 62}):
        return client.submit(partial(itself, value), pure=False)


def itself(value: Any) -> Any:
    """The value."""
    return value


def run_group(
    function: Callable[..., Any], merge: Callable[[Any, Any], Any],
    of_parts: Sequence[Sequence[Any]], shared: Sequence[Any],
) -> Any:  # fmt: skip
    """A function of several partitions, one after another, and the results merged."""
    return merged((function(*of_part, *shared) for of_part in of_parts), merge)


def merged_copy(merge: Callable[[Any, Any], Any], results: Sequence[Any]) -> Any:
    """Results merged, none of which is changed: they may be asked for again."""
    some = [each for each in results if each is not None]
    return merged([copy.deepcopy(some[0]), *some[1:]], merge) if some else None


def lost(client: Client, error: Exception) -> ClusterError:
    """What to raise where no attempt was of any use."""
    if client.status != "running":
        return ClusterError(
            f"the client's connection to the scheduler is {client.status}; make a new Client and "
            "fit again"
        )
    return ClusterError(
        f"workers were lost while the fit ran, and with them what cannot be computed again "
        f"({type(error).__name__}: {error}); data that was scattered is such, give dask "
        "collections or futures of functions that load it"
    )
