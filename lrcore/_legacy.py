"""Module paths of 0.1.0, which pickles hold: where each name is now.

``import lrcore`` registers these modules; what they name is imported when it is asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

MONITOR = "lrcore.linear_model.monitor"

#: Modules that have moved.
MOVED = {
    "formulas": "lrcore.rules.formulas",
    "history": f"{MONITOR}.history",
    "model_file": "lrcore.linear_model.persistence",
    "optimizer": "lrcore.optim.optimizer",
    "range_test": "lrcore.tuning.range_test",
    "search": "lrcore.tuning.search",
    "stability": "lrcore.tuning.stability",
    "trouble": f"{MONITOR}.diagnostics",
    "watching": f"{MONITOR}.callbacks",
}

#: Modules whose classes pickled estimators hold, and which have become others.
REPLACED = ("data", "fitted", "pending", "rows", "states")


class Record:
    """An object of a class of 0.1.0: its attributes alone, for
    `lrcore.linear_model.legacy.trained_model` to read."""

    def __new__(cls, *values: Any) -> Record:
        return super().__new__(cls)


class OldModule(ModuleType):
    """A module of 0.1.0. If it has moved, its names are those of the module that it became; else
    all of them are `Record`."""

    def __init__(self, name: str, moved_to: str | None) -> None:
        super().__init__(f"lrcore.{name}", f"Moved to {moved_to}." if moved_to else "Replaced.")
        self.moved_to = moved_to

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.moved_to), name) if self.moved_to else Record


def register() -> None:
    """Make the old modules importable."""
    for name in (*MOVED, *REPLACED):
        sys.modules.setdefault(f"lrcore.{name}", OldModule(name, MOVED.get(name)))
