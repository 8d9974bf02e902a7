"""Checks of the options of an Optimizer and of its steps."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lrcore._core import cpu
from lrcore._utils.validation import check_fraction, check_number, check_positive, shown

#: Order of polynomial averages (Shamir and Zhang 2013): weights grow as this power of the step.
POLYNOMIAL_ORDER = 8.0


#: What can be done with a gradient that is not finite.
NONFINITE = ("raise", "skip", "propagate")


def check_nonfinite(nonfinite: str) -> None:
    """Raise unless nonfinite is one of `NONFINITE`."""
    if not isinstance(nonfinite, str) or nonfinite not in NONFINITE:
        raise ValueError(
            f"nonfinite must be 'raise', 'skip' or 'propagate', got {shown(nonfinite)}"
        )


def check_steps(name: str, n: int) -> int:
    """The number of steps, checked to be an integer >= 0."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{name} must be an integer >= 0, got {n!r}")
    if n < 0:
        raise ValueError(f"{name} must be an integer >= 0, got {n!r}")
    return int(n)


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
    if not isinstance(ema, str):
        return float(ema or 0.0)
    with cpu.Nearest():
        return t / (t + 1.0 + (POLYNOMIAL_ORDER if ema == "polynomial" else 0.0))


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


#: Of the smallest and the largest powers of two among the normal numbers of the parameters' dtypes.
EXPONENTS = {
    np.dtype(kind): (int(np.finfo(kind).minexp), int(np.finfo(kind).maxexp) - 1)
    for kind in (np.float32, np.float64)
}


class Scale(NamedTuple):
    """The factor ``fraction * 2**exponent`` of gradients, whatever its size: as one number it could
    be 0 or infinite."""

    fraction: float
    exponent: int

    @classmethod
    def of(cls, factor: float) -> Scale:
        """This factor."""
        return cls(*math.frexp(factor))

    @property
    def magnitude(self) -> Scale:
        """Without its sign."""
        return Scale(abs(self.fraction), self.exponent)

    def times(self, other: Scale) -> Scale:
        """The product of both."""
        fraction, exponent = math.frexp(self.fraction * other.fraction)
        return Scale(fraction, self.exponent + other.exponent + exponent)

    def over(self, other: Scale) -> Scale:
        """The quotient of both."""
        fraction, exponent = math.frexp(self.fraction / other.fraction)
        return Scale(fraction, self.exponent - other.exponent + exponent)

    def exceeds(self, other: Scale) -> bool:
        """Whether it is the larger; neither is negative, and the other is not 0."""
        return self.fraction > 0 and (self.exponent, self.fraction) > (
            other.exponent,
            other.fraction,
        )

    def factors(self, dtype: Any) -> tuple[float, float]:
        """A power of two, 1 as a rule, and a factor that is a normal number of this dtype, or as
        near to it as there is one."""
        least, most = EXPONENTS[dtype]
        if least < self.exponent <= most or not self.fraction:
            return 1.0, math.ldexp(self.fraction, self.exponent)
        power = max(least, min(self.exponent, most))
        rest = max(4 * least, min(self.exponent - power, most))
        return math.ldexp(1.0, power), math.ldexp(self.fraction, rest)
