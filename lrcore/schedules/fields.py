"""The fields of schedules: checks, conversion to plain values, and lengths in steps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from lrcore._utils.validation import check_flag, check_integer, check_nonnegative, shown

#: A number of steps, or text: ``"10ep"`` (epochs) or ``"5%"`` (of the run).
Length = int | str

#: The longest length in steps: float64 holds every integer up to here.
LONGEST = 2**53

_RELATIVE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*(ep|%)")


def check_steps(name: str, value: int, least: int = 1) -> None:
    """Raise unless the value is an integer number of steps from least to 2**53."""
    check_integer(name, value, least)
    if value > LONGEST:
        raise ValueError(f"{name} must be <= 2**53, got {shown(value)}")


def as_rate(name: str, value: Any) -> float:
    """The rate as a float of Python, whose repr evaluates; -0.0 becomes 0.0."""
    check_nonnegative(name, value)
    return float(value) + 0.0


def as_length(name: str, value: Any, least: int = 1) -> Length:
    """The length as an int, or as text such as ``"10ep"`` or ``"5%"`` without spaces.

    >>> as_length("steps", 5), as_length("steps", "2.5 %")
    (5, '2.5%')
    """
    if not isinstance(value, str):
        if isinstance(value, (float, np.floating)):
            raise TypeError(
                f"{name} must be an integer number of steps, or text such as '10ep' (epochs) or "
                f"'5%' (of the run), got {shown(value)}"
            )
        check_steps(name, value, least)
        return int(value)
    match = _RELATIVE.fullmatch(value.strip())
    if not match:
        raise ValueError(
            f"{name} must be a number of steps, or text such as '10ep' (epochs) or '5%' (of the "
            f"run), got {shown(value)}"
        )
    if Fraction(match[1]) == 0:
        raise ValueError(f"{name} must be above 0, got {shown(value)}")
    return match[1] + match[2]


def as_real_length(name: str, value: Any) -> Length | float:
    """A length as `as_length` gives it, or a finite number of steps above 0 that is not whole.

    >>> as_real_length("up", 5), as_real_length("up", "5%"), as_real_length("up", 17.3)
    (5, '5%', 17.3)
    """
    if not isinstance(value, (float, np.floating)):
        return as_length(name, value)
    if not 0 < value <= LONGEST:
        raise ValueError(f"{name} must be > 0 and <= 2**53 steps, got {float(value)!r}")
    return int(value) if float(value).is_integer() else float(value)


def as_flag(name: str, value: Any) -> bool:
    """The value as a bool of Python, if it is True or False."""
    check_flag(name, value)
    return bool(value)


def as_milestones(name: str, value: Any) -> tuple[Length, ...]:
    """Lengths as a tuple; those that are in steps must ascend."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list of steps such as [30, 60], got {shown(value)}")
    lengths = tuple(as_length(f"{name}[{i}]", each) for i, each in enumerate(value))
    if not lengths:
        raise ValueError(f"{name} must have at least one step; use Constant for a rate that stays")
    known = [each for each in lengths if isinstance(each, int)]
    if known != sorted(set(known)):
        raise ValueError(f"{name} must ascend, got {list(lengths)!r}")
    return lengths


def as_shift(name: str, value: Any) -> Length:
    """A length; a number of steps may also be 0 or negative."""
    return as_length(name, value, least=-LONGEST)


def as_count(name: str, value: Any) -> int:
    """A number of repetitions: an integer >= 1."""
    check_steps(name, value)
    return int(value)


#: For each field that does not hold a schedule, by its name: a function of name and value that
#: checks the value and returns it as a plain one.
PLAIN_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("lr", "end", "start", "peak", "gamma", "power", "multiplier"), as_rate),
    **dict.fromkeys(("factor", "low", "high"), as_rate),
    **dict.fromkeys(("steps", "every", "at", "decay_steps", "timescale"), as_length),
    **dict.fromkeys(("up", "down"), as_real_length),
    **dict.fromkeys(("staircase", "vectorized", "whole"), as_flag),
    "milestones": as_milestones,
    "warmup_steps": lambda name, value: as_length(name, value, least=0),
    "by": as_shift,
    "times": as_count,
}


def steps_of(
    name: str, length: Length, steps_per_epoch: int | None, total_steps: int | None
) -> int:
    """A length in steps, rounded to the nearest integer, at least 1.

    >>> steps_of("steps", "2.5ep", steps_per_epoch=10, total_steps=None)
    25
    """
    if not isinstance(length, str):
        return length
    unit = "ep" if length.endswith("ep") else "%"
    whole, word = (
        (steps_per_epoch, "steps_per_epoch") if unit == "ep" else (total_steps, "total_steps")
    )
    if whole is None:
        raise ValueError(f"{name}={length!r} needs {word}: call resolve({word}=...)")
    share = Fraction(length.removesuffix(unit)) / (1 if unit == "ep" else 100)
    steps = max(1, math.floor(share * whole + Fraction(1, 2)))
    check_steps(f"{name}={length!r} of {word}={whole}", steps)
    return steps


def in_steps(length: Length) -> int:
    """A length that is a whole number of steps; raises ValueError if it is text."""
    return int(in_real_steps(length))


def in_real_steps(length: Length | float) -> int | float:
    """A length that is a number of steps, whole or not; raises ValueError if it is text."""
    if isinstance(length, str):
        raise ValueError(
            f"{length!r} is not a number of steps yet: call resolve(steps_per_epoch=..., "
            "total_steps=...) and use what it returns"
        )
    return length
