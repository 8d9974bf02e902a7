"""All schedules by name, and conversions to them from plain values, JSON, and the lr of a rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from lrcore._utils.validation import check_nonnegative
from lrcore.schedules.base import (
    VERSION,
    Clip,
    Product,
    Repeat,
    Scale,
    Schedule,
    Shift,
    Then,
    Warmup,
)
from lrcore.schedules.custom import Custom
from lrcore.schedules.cycles import CosineRestarts, Cyclic, OneCycle, WarmupStableDecay
from lrcore.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    MultiStep,
    Polynomial,
    Step,
)
from lrcore.schedules.plateau import OPTIONS, Plateau

#: The schedules that plain values may describe, by name.
SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls
    for cls in (
        Constant, Step, MultiStep, Exponential, InverseTime, InverseSqrt, Polynomial, Linear,
        Cosine, CosineRestarts, Cyclic, OneCycle, WarmupStableDecay,
        Warmup, Then, Product, Scale, Clip, Shift, Repeat,
    )
}  # fmt: skip


def from_dict(plain: dict[str, Any]) -> Schedule | Plateau:
    """The schedule that `Schedule.to_dict` described, or the plateau that `Plateau.to_dict` did.

    Raises
    ------
    ValueError, TypeError
        If the values do not describe one, or were written by a later version.

    Examples
    --------
    >>> from_dict(Cosine(0.1, steps=9).to_dict())
    Cosine(lr=0.1, steps=9, end=0.0)
    """
    if not isinstance(plain, dict):
        raise TypeError(f"a schedule must be a dict of plain values, got {plain!r}")
    values = dict(plain)
    if values.get("schedule") == "Plateau":
        return _plateau(values)
    version = values.pop("version", VERSION)
    if version != VERSION:
        raise ValueError(f"schedule of version {version!r}, but this lrcore reads {VERSION}")
    name = values.pop("schedule", None)
    if name not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
    known = [field.name for field in fields(SCHEDULES[name])]
    for word in values:
        if word not in known:
            raise ValueError(f"{name} has no {word!r}; it has {', '.join(known)}")
    nested: dict[str, Any] = {
        k: from_dict(v) if isinstance(v, dict) else v for k, v in values.items()
    }
    return SCHEDULES[name](**nested)


def _plateau(values: dict[str, Any]) -> Plateau:
    """The plateau that these plain values describe."""
    expected = {"schedule", "of", "state", *OPTIONS}
    if set(values) != expected:
        wrong = ", ".join(sorted(expected ^ set(values)))
        raise ValueError(f"a Plateau must have {', '.join(sorted(expected))}; {wrong} differ")
    inner = from_dict(values["of"])
    if isinstance(inner, Plateau):
        raise TypeError("a Plateau multiplies a schedule, not a Plateau")
    plateau = Plateau(inner, **{name: values[name] for name in OPTIONS})
    plateau.load_state_dict(values["state"])
    return plateau


def from_json(text: str) -> Schedule | Plateau:
    """The schedule that `Schedule.to_json` described; errors as of `from_dict`.

    >>> from_json(Step(0.1, every=9).to_json())
    Step(lr=0.1, every=9, gamma=0.1)
    """
    return from_dict(json.loads(text))


def as_schedule(lr: float | Schedule | Plateau | Callable[[int], float]) -> Schedule:
    """The schedule of a rule's lr: lr itself, a constant for a number, `Custom` for a function.

    Raises
    ------
    TypeError, ValueError
        If lr is none of them, or a Plateau, which needs a metric.

    Examples
    --------
    >>> as_schedule(0.1)
    Constant(lr=0.1)
    """
    if isinstance(lr, Schedule):
        return lr
    if isinstance(lr, Plateau):
        raise TypeError(
            "lr cannot be a Plateau here: only fit of the linear models feeds it a metric; "
            "give its `current`, and rule.with_lr(plateau.current) once it has cut the rate"
        )
    if callable(lr):
        return Custom(lr)
    check_nonnegative("lr", lr)
    return Constant(lr)
