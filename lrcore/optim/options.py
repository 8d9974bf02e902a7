"""Checks of the options of an Optimizer and of its steps."""

from __future__ import annotations

import math

from lrcore._utils.validation import check_fraction, check_number, check_positive, shown

#: Order of polynomial averages (Shamir and Zhang 2013): weights grow as this power of the step.
POLYNOMIAL_ORDER = 8.0


def check_ema(ema: float | str | None, name: str = "ema") -> None:
    """Raise unless ema is None, "polyak", "polynomial" or a number in [0, 1)."""
    if ema is None or (isinstance(ema, str) and ema in ("polyak", "polynomial")):
        return
    if isinstance(ema, str):
        raise ValueError(
            f"{name} must be a number in [0, 1), 'polyak' or 'polynomial', got {shown(ema)}"
        )
    check_fraction(name, ema)


def ema_at(ema: float | str | None, t: int) -> float:
    """The weight of the former average in step t: ``average = weight * average + ...``.

    >>> [ema_at("polyak", t) for t in (0, 1, 3)], ema_at("polynomial", 1), ema_at(0.9, 5)
    ([0.0, 0.5, 0.75], 0.1, 0.9)
    """
    if ema == "polyak":
        return t / (t + 1.0)
    if ema == "polynomial":
        return t / (t + 1.0 + POLYNOMIAL_ORDER)
    return float(ema or 0.0)


def check_adjustments(
    grad_scale: float, clip_value: float | None, clip_norm: float | None
) -> tuple[float, float]:
    """Check how the gradients of a step are scaled and clipped.

    Returns
    -------
    scale, limit : float
        The factor of the gradients, and the largest magnitude of an element, infinity if
        `clip_value` is None.

    Raises
    ------
    ValueError, TypeError
        If `grad_scale` is not a finite number, or another one not a number > 0.
    """
    check_number("grad_scale", grad_scale)
    for name, value in (("clip_value", clip_value), ("clip_norm", clip_norm)):
        if value is not None:
            check_positive(name, value, "leave it out for no clipping")
    return float(grad_scale), math.inf if clip_value is None else float(clip_value)
