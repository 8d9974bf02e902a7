"""Helpers of all conversions: arguments by name, and parts joined to one schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from lrcore._utils.validation import check_is_number, check_positive, check_share, shown
from lrcore.schedules.base import Schedule
from lrcore.schedules.decays import Linear
from lrcore.schedules.fields import as_flag, as_rate, check_steps

Readers = dict[str, Callable[..., Any]]


def as_steps(name: str, value: Any, least: int = 1) -> int:
    """A whole number of steps, which other libraries also take as a float, as an int."""
    if isinstance(value, (float, np.floating)):
        if not float(value).is_integer():
            raise ValueError(
                f"{name} must be a whole number of steps to be read, got {float(value)!r}"
            )
        value = int(value)
    check_steps(name, value, least)
    return int(value)


def as_steps_or_none(name: str, value: Any) -> int:
    """A whole number of steps, which may be 0."""
    return as_steps(name, value, least=0)


def as_positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    check_positive(name, value)
    return float(value)


def as_share(name: str, value: Any) -> float:
    """A number in [0, 1]."""
    check_share(name, value)
    return float(value)


def as_multiplier(name: str, value: Any) -> float:
    """The ratio of the lengths of two cycles: 1, or 1.001 to 1000."""
    check_is_number(name, value)
    if value != 1 and not 1.001 <= value <= 1000:
        raise ValueError(f"{name} must be 1 or 1.001 to 1000 to be read, got {float(value)!r}")
    return float(value)


def as_whole_multiplier(name: str, value: Any) -> int:
    """The ratio of the lengths of two cycles, a whole number."""
    return as_steps(name, as_multiplier(name, value))


def as_list(name: str, value: Any) -> list[Any]:
    """The elements of a list or tuple, of which there must be one at least."""
    if not isinstance(value, (list, tuple, np.ndarray)) or len(value) == 0:
        raise TypeError(f"{name} must be a list with one element at least, got {shown(value)}")
    return list(value)


def as_mapping(name: str, value: Any) -> Mapping[Any, Any]:
    """A dict, or another mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict, got {shown(value)}")
    return value


def as_number(name: str, value: Any) -> float:
    """A number; the reader of the schedule checks the rest."""
    check_is_number(name, value)
    return float(value)


#: The checks of arguments by the names that they have in the other libraries, so that an error
#: names what was given, and not the field of a schedule that it would become.
ARGUMENTS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(
        (
            "step_size", "total_iters", "T_max", "T_0", "total_steps", "epochs",
            "steps_per_epoch", "decay_steps", "first_decay_steps", "transition_steps",
            "num_training_steps", "num_decay_steps", "timescale",
        ),
        as_steps,
    ),
    **dict.fromkeys(
        (
            "warmup_steps", "transition_begin", "num_warmup_steps", "num_stable_steps",
            "patience", "cooldown",
        ),
        as_steps_or_none,
    ),
    **dict.fromkeys(
        (
            "lr", "base_lr", "max_lr", "eta_min", "lr_end", "min_lr", "initial_learning_rate",
            "end_learning_rate", "warmup_target", "init_value", "end_value", "peak_value", "value",
            "gamma", "factor", "start_factor", "end_factor", "decay_rate", "threshold", "alpha",
            "min_lr_rate", "min_lr_ratio", "warmup_lr_rate",
        ),
        as_rate,
    ),
    **dict.fromkeys(("power", "div_factor", "final_div_factor"), as_positive),
    **dict.fromkeys(("pct_start", "pct_final", "m_mul"), as_share),
    **dict.fromkeys(("step_size_up", "step_size_down", "num_cycles"), as_number),
    **dict.fromkeys(("milestones", "boundaries", "values", "cosine_kwargs"), as_list),
    "T_mult": as_whole_multiplier,
    "t_mul": as_multiplier,
    "boundaries_and_scales": as_mapping,
    **dict.fromkeys(("staircase", "three_phase", "cycle"), as_flag),
}  # fmt: skip


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
    signature = inspect.signature(readers[name])
    try:
        bound = signature.bind(**arguments)
    except TypeError as error:
        known = ", ".join(signature.parameters)
        raise TypeError(f"{library}'s {name}: {error}; it is read with {known}") from None
    given = bound.arguments
    for word, value in given.items():
        if word in ARGUMENTS and not (value is None and signature.parameters[word].default is None):
            given[word] = ARGUMENTS[word](word, value)
    return readers[name](*bound.args, **bound.kwargs)


def steps_after(total: str, n_total: int, part: str, n_part: int) -> int:
    """The steps of a run that remain after a part of it; raises unless there is one at least."""
    if n_total <= n_part:
        raise ValueError(f"{total} must be above {part} = {n_part}, got {n_total}")
    return n_total - n_part


def choice(name: str, value: Any, meanings: dict[str, Any]) -> Any:
    """What one of a few words means; raises unless it is one of them."""
    if not isinstance(value, str) or value not in meanings:
        raise ValueError(f"{name} must be {' or '.join(map(repr, meanings))}, got {shown(value)}")
    return meanings[value]


def preceded(by: Schedule | None, after: Schedule, steps: int) -> Schedule:
    """One schedule, then another from step `steps` on; only the other if `steps` is 0."""
    return after if by is None or steps == 0 else by.then(after, at=steps)


def rising(start: float, lr: float, steps: int) -> Schedule | None:
    """A linear rise from start to lr; None if it has no steps."""
    return Linear(start, steps, lr) if steps else None


def only(name: str, value: Any, allowed: Any, instead: str) -> None:
    """Raise unless an argument has the only value that lrcore has a schedule for."""
    if value != allowed:
        raise ValueError(f"{name} must be {allowed!r} to be read, got {shown(value)}; {instead}")


def joined(parts: list[tuple[int, Schedule]]) -> Schedule:
    """One schedule of parts, each with its first step; that of the first part is 0."""
    return reduce(lambda before, part: before.then(part[1], at=part[0]), parts[1:], parts[0][1])
