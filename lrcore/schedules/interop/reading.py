"""Helpers of all conversions: arguments by name, and parts joined to one schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import reduce
from typing import Any

from lrcore.schedules.base import Schedule
from lrcore.schedules.decays import Linear

Readers = dict[str, Callable[..., Any]]


def read(library: str, readers: Readers, name: str, arguments: dict[str, Any]) -> Any:
    """Call the function for a schedule of another library.

    Parameters
    ----------
    library : str
        Its name, for messages.
    readers : dict of str to function
        For each schedule of the library, a function of its arguments.
    name : str
        The name of the schedule.
    arguments : dict
        Its arguments by name.

    Raises
    ------
    ValueError, TypeError
        If the name or an argument is unknown, or an argument is missing.
    """
    if name not in readers:
        raise ValueError(f"{library} name must be one of {', '.join(readers)}, got {name!r}")
    try:
        bound = inspect.signature(readers[name]).bind(**arguments)
    except TypeError as error:
        known = ", ".join(inspect.signature(readers[name]).parameters)
        raise TypeError(f"{library}'s {name}: {error}; it is read with {known}") from None
    return readers[name](*bound.args, **bound.kwargs)


def preceded(by: Schedule | None, after: Schedule, steps: int) -> Schedule:
    """One schedule, then another from step `steps` on; only the other if `steps` is 0."""
    return after if by is None or steps == 0 else by.then(after, at=steps)


def rising(start: float, lr: float, steps: int) -> Schedule | None:
    """A linear rise from start to lr; None if it has no steps."""
    return Linear(start, steps, lr) if steps else None


def only(name: str, value: Any, allowed: Any, instead: str) -> None:
    """Raise unless an argument has the only value that lrcore has a schedule for."""
    if value != allowed:
        raise ValueError(f"{name} must be {allowed!r} to be read, got {value!r}; {instead}")


def joined(parts: list[tuple[int, Schedule]]) -> Schedule:
    """One schedule of parts, each with its first step; that of the first part is 0."""
    return reduce(lambda before, part: before.then(part[1], at=part[0]), parts[1:], parts[0][1])
