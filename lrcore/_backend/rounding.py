"""Results that do not depend on how the processor was told to round."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from lrcore._core import cpu

Function = TypeVar("Function", bound=Callable[..., Any])


def rounded_to_nearest(function: Function) -> Function:
    """The function with numbers rounded to the nearest while it runs, as everywhere by default.

    The core sees to that by itself; this is for what NumPy and Python compute around it. Where
    another library has changed the mode, it has it again afterwards.
    """

    @wraps(function)
    def rounded(*args: Any, **keywords: Any) -> Any:
        with cpu.Nearest():
            return function(*args, **keywords)

    return cast(Function, rounded)
