"""A quick start of the command, which would else wait for what it never uses.

scikit-learn imports ``scipy.stats``, ``scipy.special`` and, where it is there, pandas. They take
longer than many a fit, so in the command's own process scikit-learn gets stand-ins, which load them
when one of their names is asked for. ``import lrcore`` and `lrcore.cli.main.main` do no such thing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class StandIn(ModuleType):
    """Stands for a module until one of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """Modules that are imported within get stand-ins for these, unless they are loaded already."""
    absent = [name for name in names if name not in sys.modules and find_spec(name) is not None]
    for name in absent:
        sys.modules[name] = StandIn(name)
    try:
        yield
    finally:
        # Whoever looks there for a library that is in use, as narwhals does, must not find them.
        for name in absent:
            if isinstance(sys.modules.get(name), StandIn):
                del sys.modules[name]
