"""Update rules: a frozen dataclass for each, and the registry of them all."""

from __future__ import annotations

from typing import Any

from lrcore import schedules
from lrcore._utils.validation import shown
from lrcore.rules.adam import Adam, Adamax, AdamW, AMSGrad, Nadam, RAdam
from lrcore.rules.adaptive import AdaDelta, AdaGrad, RMSProp
from lrcore.rules.base import DoGState as DoGState
from lrcore.rules.base import Rule as Rule
from lrcore.rules.free import DoG, ScheduleFreeAdamW
from lrcore.rules.ftrl import FTRL
from lrcore.rules.gradient import SGD, Lion

# The rules, which `lrcore` exports too, in the order in which pages and tables list them.
__all__ = [  # noqa: RUF022
    "SGD", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "AdamW", "AMSGrad", "Adamax", "Nadam", "RAdam",
    "Lion", "FTRL", "DoG", "ScheduleFreeAdamW",
]  # fmt: skip

RULES: dict[str, type[Rule]] = {name: globals()[name] for name in __all__}

#: Names of those that linear models can step by.
LINEAR_RULES = tuple(name for name, cls in RULES.items() if cls(0.1).linear_formula)


def from_dict(plain: dict[str, Any]) -> Rule:
    """The rule that `Rule.to_dict` described.

    >>> from_dict(Adam(lr=0.01).to_dict())
    Adam(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-08)
    """
    values = dict(plain)
    cls = rule_class(values.pop("rule", None))
    if isinstance(values.get("lr"), dict):
        values["lr"] = schedules.from_dict(values["lr"])
    return cls(**values)


def rule_class(name: object) -> type[Rule]:
    """The rule of this name, whatever its case.

    >>> rule_class("adagrad").__name__
    'AdaGrad'
    """
    for known, cls in RULES.items():
        if isinstance(name, str) and known.lower() == name.lower():
            return cls
    raise ValueError(f"optimizer must be a rule or one of {', '.join(RULES)}, got {shown(name)}")
