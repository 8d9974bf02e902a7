"""Names of 0.1.0 that pickles hold: where each class lives now.

``import lrcore`` registers these modules; what they name is imported when it is asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

ENGINE, MONITOR = "lrcore.linear_model.engine", "lrcore.linear_model.monitor"

MOVED = {
    "data": "lrcore.linear_model.problem",
    "fitted": "lrcore.linear_model.result",
    "formulas": "lrcore.rules.formulas",
    "history": f"{MONITOR}.history",
    "model_file": "lrcore.linear_model.persistence",
    "optimizer": "lrcore.optim.optimizer",
    "pending": f"{ENGINE}.replay_buffer",
    "range_test": "lrcore.tuning.range_test",
    "rows": f"{ENGINE}.design_matrix",
    "search": "lrcore.tuning.search",
    "stability": "lrcore.tuning.stability",
    "states": f"{ENGINE}.layout",
    "trouble": f"{MONITOR}.diagnostics",
    "watching": f"{MONITOR}.callbacks",
}


class MovedModule(ModuleType):
    """A module that has moved: its names are those of the module that it became."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"lrcore.{old}", f"Moved to {new}.")
        self.moved_to = new

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.moved_to), name)


def register() -> None:
    """Make the old modules importable."""
    for old, new in MOVED.items():
        sys.modules.setdefault(f"lrcore.{old}", MovedModule(old, new))
