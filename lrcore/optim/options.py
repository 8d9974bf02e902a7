"""What an Optimizer is told besides parameters and gradients: each argument, refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrcore._utils.arrays import view_of
from lrcore._utils.validation import (
    check_fraction,
    check_nonnegative,
    check_number,
    check_positive,
    check_seed,
)
from lrcore.rules import Rule, Travel

#: Of polynomial averages (Shamir and Zhang 2013): weights grow as its power of the step.
DECAY = 8.0


def check_ema(ema: float | str | None) -> None:
    """Raise unless ema is None, "polyak", "polynomial" or a number in [0, 1)."""
    if ema is None or (isinstance(ema, str) and ema in ("polyak", "polynomial")):
        return
    if isinstance(ema, str):
        raise ValueError(f"ema must be a number in [0, 1), 'polyak' or 'polynomial', got {ema!r}")
    check_fraction("ema", ema)


def check_saved(
    saved: Mapping[str, Any], wanted: Mapping[str, np.ndarray], rule: Rule, state_dtype: str | None
) -> None:
    """Raise unless a saved state has what an Optimizer of this rule has: arrays like those wanted,
    counts, a seed, and states kept as `state_dtype` says."""
    expected = {"t", "skipped", "state_dtype", "seed", "rule", "overrides", *wanted}
    expected |= {"travel"} if rule.travels else set()
    if saved.keys() != expected:
        wrong = sorted(expected ^ set(saved))
        raise ValueError(f"state does not fit these parameters: {', '.join(wrong)} differ")
    if saved["state_dtype"] != state_dtype:
        raise ValueError(
            f"state is of state_dtype={saved['state_dtype']!r}, and this Optimizer of "
            f"{state_dtype!r}; give it the same"
        )
    check_seed("seed", saved["seed"])
    for key in ("t", "skipped"):
        if not isinstance(saved[key], (int, np.integer)) or saved[key] < 0:
            raise ValueError(f"state[{key!r}] must be an integer >= 0, got {saved[key]!r}")
    for key, row in wanted.items():
        values = view_of(f"state[{key!r}]", saved[key])
        if values.dtype != row.dtype or values.size != row.size:
            raise ValueError(
                f"state[{key!r}] must have {row.size} values of {row.dtype}, "
                f"got {values.size} of {values.dtype}"
            )


def check_travel(saved: Any) -> Travel:
    """The travel that a state has as a pair of numbers."""
    if not isinstance(saved, (list, tuple)) or len(saved) != 2:
        raise TypeError(f"state['travel'] must be two numbers, got {saved!r}")
    for value in saved:
        check_nonnegative("state['travel']", value)
    return Travel(float(saved[0]), float(saved[1]))


def kept_share(ema: float | str | None, t: int) -> float:
    """The share of the averages that stays in step t."""
    if ema == "polyak":
        return t / (t + 1.0)
    if ema == "polynomial":
        return t / (t + 1.0 + DECAY)
    return float(ema or 0.0)


def check_adjustments(
    grad_scale: float, clip_value: float | None, clip_norm: float | None
) -> tuple[float, float]:
    """Scale and limit, checked."""
    check_number("grad_scale", grad_scale)
    for name, value in (("clip_value", clip_value), ("clip_norm", clip_norm)):
        if value is not None:
            check_positive(name, value, "leave it out for no clipping")
    return float(grad_scale), math.inf if clip_value is None else float(clip_value)
