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
    "history": f"{MONITOR}.history",
    "model_file": "lrcore.linear_model.persistence",
    "optimizer": "lrcore.optim.optimizer",
    "range_test": "lrcore.tuning.range_test",
    "search": "lrcore.tuning.search",
    "stability": "lrcore.tuning.stability",
    "trouble": f"{MONITOR}.diagnostics",
    "watching": f"{MONITOR}.callbacks",
}

#: Classes that have another name now, by their old module and name: module and name of today.
RENAMED = {
    "formulas": {
        "SGD": ("lrcore.rules.gradient", "SGDFormula"),
        "Momentum": ("lrcore.rules.gradient", "MomentumFormula"),
        "Lion": ("lrcore.rules.gradient", "LionFormula"),
        "AdaGrad": ("lrcore.rules.adaptive", "AdaGradFormula"),
        "RMSProp": ("lrcore.rules.adaptive", "RMSPropFormula"),
        "RMSPropCentered": ("lrcore.rules.adaptive", "RMSPropCenteredFormula"),
        "RMSPropMomentum": ("lrcore.rules.adaptive", "RMSPropMomentumFormula"),
        "RMSPropCenteredMomentum": ("lrcore.rules.adaptive", "RMSPropCenteredMomentumFormula"),
        "AdaDelta": ("lrcore.rules.adaptive", "AdaDeltaFormula"),
        "Adam": ("lrcore.rules.adam", "AdamFormula"),
        "AMSGrad": ("lrcore.rules.adam", "AMSGradFormula"),
        "Adamax": ("lrcore.rules.adam", "AdamaxFormula"),
        "Nadam": ("lrcore.rules.adam", "NadamFormula"),
        "RAdam": ("lrcore.rules.adam", "RAdamFormula"),
        "FTRL": ("lrcore.rules.ftrl", "FTRLFormula"),
        "DoG": ("lrcore.rules.free", "DoGFormula"),
        "ScheduleFree": ("lrcore.rules.free", "ScheduleFreeFormula"),
    },
}

#: Modules whose classes pickled estimators hold, and which have become others.
REPLACED = ("data", "fitted", "pending", "rows", "states")


class Record:
    """An object of a class of 0.1.0: its attributes alone, for
    `lrcore.linear_model.legacy.trained_model` to read."""

    def __new__(cls, *values: Any) -> Record:
        return super().__new__(cls)


class OldModule(ModuleType):
    """A module of 0.1.0. Its names are those that it has in `RENAMED`, or if it has moved those of
    the module that it became; else all of them are `Record`."""

    def __init__(self, name: str, moved_to: str | None) -> None:
        super().__init__(f"lrcore.{name}", f"Moved to {moved_to}." if moved_to else "Replaced.")
        self.moved_to = moved_to
        self.renamed = RENAMED.get(name, {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module, name = self.renamed.get(name, (self.moved_to, name))
        return getattr(import_module(module), name) if module else Record


def register() -> None:
    """Make the old modules importable."""
    for name in (*MOVED, *RENAMED, *REPLACED):
        sys.modules.setdefault(f"lrcore.{name}", OldModule(name, MOVED.get(name)))
