"""Checks of single arguments. Each takes the argument's name and value, and raises unless it fits.

A value of the wrong type is a TypeError, one out of range a ValueError; the message has the name
of the argument, what it must be, and what was given. Booleans do not count as numbers.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection
from typing import Any

import numpy as np

#: What counts as a number.
Number = int | float | np.integer[Any] | np.floating[Any]


#: Characters of a value that a message has room for.
LONGEST_SHOWN = 200


def shown(value: Any) -> str:
    """The value as a message shows it: as Python writes it, whatever library it comes from.

    >>> shown(np.float64(1.0)), shown([np.int64(3), "a"]), shown(np.zeros((9, 9)))
    ('1.0', "[3, 'a']", 'an array of shape (9, 9)')
    """
    if isinstance(value, np.str_):
        return shown(str(value))
    if isinstance(value, np.generic):
        return str(value)
    if isinstance(value, np.ndarray):
        few = value.size <= 8 and value.ndim > 0
        return shown(value.tolist()) if few else f"an array of shape {value.shape}"
    if type(value) is dict:
        text = "{" + ", ".join(f"{shown(k)}: {shown(v)}" for k, v in value.items()) + "}"
    elif type(value) is list:
        text = "[" + ", ".join(map(shown, value)) + "]"
    elif type(value) is tuple:
        text = "(" + ", ".join(map(shown, value)) + (",)" if len(value) == 1 else ")")
    else:
        text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def check_is_number(name: str, value: Any) -> None:
    """Raise unless the value is an integer or a float, of Python or NumPy; it may be NaN."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} must be a number, got {shown(value)}")


def is_finite(value: Number) -> bool:
    """Whether a number is one that float64 has: an integer of many digits is not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def check_number(
    name: str, value: Number, least: float = -math.inf, most: float = math.inf
) -> None:
    """Raise unless the value is a finite number in [least, most].

    >>> check_number("l1_ratio", 1.5, 0, 1)
    Traceback (most recent call last):
    ValueError: l1_ratio must be finite, >= 0 and <= 1, got 1.5
    """
    check_is_number(name, value)
    if not (is_finite(value) and least <= value <= most):
        lower = f", >= {least:g}" if least > -math.inf else ""
        upper = f" and <= {most:g}" if most < math.inf else ""
        raise ValueError(f"{name} must be finite{lower}{upper}, got {shown(value)}")


def check_nonnegative(name: str, value: Number) -> None:
    """Raise unless the value is a finite number >= 0, such as a learning rate.

    >>> check_nonnegative("lr", -1.0)
    Traceback (most recent call last):
    ValueError: lr must be finite and >= 0, got -1.0
    """
    check_is_number(name, value)
    if not is_finite(value) or value < 0:
        raise ValueError(f"{name} must be finite and >= 0, got {shown(value)}")


def check_positive(name: str, value: Number, advice: str = "") -> None:
    """Raise unless the value is a finite number > 0; the advice ends the message about a 0.

    >>> check_positive("eps", 0.0, "1e-8 is a common choice")
    Traceback (most recent call last):
    ValueError: eps must be > 0, got 0.0; 1e-8 is a common choice
    """
    check_nonnegative(name, value)
    check_not_zero(name, value, advice)


def check_not_zero(name: str, value: Number, advice: str = "") -> None:
    """Raise if a number that is checked to be >= 0 is 0; the advice ends the message."""
    if value == 0:
        raise ValueError(f"{name} must be > 0, got {shown(value)}{'; ' if advice else ''}{advice}")


def check_share(name: str, value: Number) -> None:
    """Raise unless the value is a number in [0, 1]."""
    check_nonnegative(name, value)
    if value > 1:
        raise ValueError(f"{name} must be in [0, 1], got {shown(value)}")


def check_fraction(name: str, value: Number) -> None:
    """Raise unless the value is a number in [0, 1), such as a decay."""
    check_nonnegative(name, value)
    if value >= 1:
        raise ValueError(f"{name} must be in [0, 1), got {shown(value)}")


def check_integer(name: str, value: int, least: int | None = 1) -> None:
    """Raise unless the value is an integer, of Python or NumPy, and >= least if that is given.

    >>> check_integer("max_iter", 2.5)
    Traceback (most recent call last):
    TypeError: max_iter must be an integer, got 2.5
    >>> check_integer("max_iter", 0)
    Traceback (most recent call last):
    ValueError: max_iter must be >= 1, got 0
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if least is not None and int(value) < least:
        raise ValueError(f"{name} must be >= {least}, got {shown(value)}")


def check_flag(name: str, value: bool) -> None:
    """Raise unless the value is True or False, of Python or NumPy."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise ValueError unless the value is one of these texts."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}")


def check_seed(name: str, value: int) -> None:
    """Raise unless the value is an integer from 0 to 2**63 - 1."""
    check_integer(name, value, least=None)
    if not 0 <= int(value) < 1 << 63:
        raise ValueError(f"{name} must be in 0 to 2**63 - 1, got {value}")


def check_float_dtype(name: str, value: Any) -> None:
    """Raise ValueError unless the value stands for float32 or float64."""
    try:
        known = np.dtype(value) in (np.float32, np.float64)
    except TypeError:
        known = False
    if not known or value is None:
        raise ValueError(f"{name} must be float32 or float64, got {shown(value)}")
