"""What all readers share: arguments by name, and parts joined to one schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import reduce
from typing import Any

from lrcore.schedules.base import Schedule
from lrcore.schedules.decays import (
    Linear,
)

Readers = dict[str, Callable[..., Any]]


def read(library: str, readers: Readers, name: str, arguments: dict[str, Any]) -> Any:
    """What the reader of this name makes of the arguments."""
    if name not in readers:
        raise ValueError(f"{library} name must be one of {', '.join(readers)}, got {name!r}")
    try:
        bound = inspect.signature(readers[name]).bind(**arguments)
    except TypeError as error:
        known = ", ".join(inspect.signature(readers[name]).parameters)
        raise TypeError(f"{library}'s {name}: {error}; it is read with {known}") from None
    return readers[name](*bound.args, **bound.kwargs)


def preceded(by: Schedule | None, after: Schedule, steps: int) -> Schedule:
    """`after`, from step `steps` on; if that is 0 at once."""
    return after if by is None or steps == 0 else by.then(after, at=steps)


def rising(start: float, lr: float, steps: int) -> Schedule | None:
    """A line from start to lr, unless it has no steps."""
    return Linear(start, steps, lr) if steps else None


def only(name: str, value: Any, allowed: Any, instead: str) -> None:
    """Refuse what lrcore has no counterpart of."""
    if value != allowed:
        raise ValueError(f"{name} must be {allowed!r} to be read, got {value!r}; {instead}")


def joined(parts: list[tuple[int, Schedule]]) -> Schedule:
    """Schedules that begin at these steps, the first at 0."""
    return reduce(lambda before, part: before.then(part[1], at=part[0]), parts[1:], parts[0][1])
