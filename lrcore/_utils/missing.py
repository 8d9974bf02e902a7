"""Missing values in all their forms: None, NaN, NaT, pandas' NA, and what a mask hides."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Types of which no value is missing, so that long columns of strings are looked at quickly.
NEVER_MISSING = {str, bytes, int, bool}


def is_missing(value: Any) -> bool:
    """Whether the value is None, NaN, NaT or pandas' NA, of which the last has no truth value.

    >>> [is_missing(each) for each in (None, float("nan"), np.datetime64("NaT"), 0.0, "")]
    [True, True, True, False, False]
    """
    if value is None or value is np.ma.masked:
        return True
    try:
        return bool(value != value)
    except (TypeError, ArithmeticError):
        return True
    except ValueError:  # an array
        return False


def first_missing(array: np.ndarray) -> int:
    """The position of the first missing value in C order; -1 if none is missing.

    >>> first_missing(np.array(["a", None], object)), first_missing(np.array([1, 2]))
    (1, -1)
    """
    flat = array.reshape(-1)
    if flat.dtype.kind == "O":
        objects = flat.tolist()
        if set(map(type, objects)) <= NEVER_MISSING:
            return -1
        return next((i for i, value in enumerate(objects) if is_missing(value)), -1)
    if flat.dtype.kind not in "fcMm":
        return -1
    missing = np.flatnonzero(np.isnat(flat) if flat.dtype.kind in "Mm" else np.isnan(flat))
    return int(missing[0]) if missing.size else -1


def objects_as_floats(array: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
    """The numbers of an array of objects, with NaN where one is missing.

    Raises
    ------
    ValueError, TypeError
        If an object is not a number, or a time, which NumPy would take for one.
    """
    objects = array.reshape(-1).tolist()
    for kind in set(map(type, objects)):
        if issubclass(kind, (np.datetime64, np.timedelta64)):
            objects = [None if is_missing(each) else each for each in objects]
            if any(isinstance(each, kind) for each in objects):
                raise TypeError(f"{kind.__name__} is not a number")
    numbers = np.empty(len(objects), dtype)
    numbers[:] = [np.nan if is_missing(each) else each for each in objects]
    return numbers.reshape(array.shape)


def check_nothing_masked(name: str, value: Any) -> None:
    """Raise ValueError if a mask hides an element, whose number would be taken nevertheless."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        first = np.argwhere(np.ma.getmaskarray(value))[0]
        where = f" at [{', '.join(str(i) for i in first)}]" if first.size else ""
        raise ValueError(
            f"{name} has a masked value{where}; fill it in, as its method filled does, or leave it "
            "out"
        )


def check_none_missing(name: str, values: Any) -> None:
    """Raise ValueError if one of the labels is missing or masked.

    They are looked at as they are given: NumPy turns a NaN in a list of strings into a string.
    """
    check_nothing_masked(name, values)
    array = np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.array(values, dtype=object)
    first = first_missing(array)
    if first >= 0:
        value = array.reshape(-1)[first]
        kind = "NaN" if array.dtype.kind == "f" else "a missing value"
        where = f"{name.split()[-1]}[{first}]"
        raise ValueError(f"{name} contains {kind}: {where} is {value}; leave it out, or fill it in")
