"""Who runs the functions of a round: this process, an executor, or (`dask_rounds`) a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import reduce
from typing import Any, Protocol

#: What stands for a partition, or a result that is kept for it.
Handle = Any


class Rounds(Protocol):
    """Runs functions of partitions: ``function(*of_partition, *shared)``, where ``of_partition``
    are what is kept for it.

    The functions are pure, so that one may run them again. What is shared is sent to all.
    """

    def keep(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = ()
    ) -> list[Handle]:
        """A result for each partition, kept where it is made."""

    def each(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = ()
    ) -> list[Any]:
        """The results, in the order of the partitions."""

    def total(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = (),
        merge: Callable[[Any, Any], Any],
    ) -> Any:  # fmt: skip
        """The results merged, in any order; those that are None are left out."""


def merged(results: Iterable[Any], merge: Callable[[Any, Any], Any]) -> Any:
    """All that are not None; None if there are none."""
    some = [each for each in results if each is not None]
    return reduce(merge, some) if some else None


class LocalRounds:
    """Rounds in this process, one partition after another, or by an executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._map = map if executor is None else executor.map

    def keep(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = ()
    ) -> list[Handle]:
        return list(self._map(_Call(function, shared), *parts))

    each = keep

    def total(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any] = (),
        merge: Callable[[Any, Any], Any],
    ) -> Any:  # fmt: skip
        return merged(self.keep(function, *parts, shared=shared), merge)


class _Call:
    """A function whose last arguments are known; it can be pickled."""

    def __init__(self, function: Callable[..., Any], shared: Sequence[Any]) -> None:
        self._function, self._shared = function, tuple(shared)

    def __call__(self, *of_partition: Any) -> Any:
        return self._function(*of_partition, *self._shared)
