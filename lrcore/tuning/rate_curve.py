"""A curve of losses against rates that rise from step to step: smoothed, and what it suggests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lrcore._utils.numerics import Floats

#: Share of its descent that the loss has behind it in the "valley".
DEEP = 0.9
#: The curve still falls if it does so at its end with more than this share of its steepest slope.
AT_REST = 0.1
#: A descent counts if it is this many times the standard error of a point of the smoothed curve.
CLEAR = 6.0
#: And this share of the initial loss.
ROUNDING = 1e-6
#: Points that a curve needs at least.
POINTS = 8

NAMES = ("steepest", "valley", "minimum/10")


def smooth(losses: Floats, beta: float) -> Floats:
    r"""Exponential smoothing in both directions, so that nothing lags, bias-corrected.

    Point i is the mean of all, weighted with ``beta ** |i - j|``, along the last axis.

    >>> import numpy as np
    >>> smooth(np.array([0.0, 0.0, 7.0, 0.0, 0.0]), 0.5)
    array([0.90322581, 1.47368421, 2.8       , 1.47368421, 0.90322581])
    """
    sums, weights = np.zeros_like(losses), np.zeros(losses.shape[-1])
    for order in (slice(None), slice(None, None, -1)):
        total, weight = np.zeros(losses.shape[:-1]), 0.0
        for i in np.arange(losses.shape[-1])[order]:
            sums[..., i] += beta * total
            weights[i] += beta * weight
            total, weight = beta * total + losses[..., i], beta * weight + 1.0
    return (sums + losses) / (weights + 1.0)


def standard_error(losses: Floats, beta: float) -> float:
    """Of a point of ``smooth(losses, beta)`` in the curve's midst, by the noise of the points.

    The noise is taken from the differences of neighbours, by their median, so that neither trend
    nor a steep end counts.
    """
    noise = float(np.median(np.abs(np.diff(losses)))) / (0.6745 * math.sqrt(2.0))
    return noise * math.sqrt((1.0 + beta**2) * (1.0 - beta) / (1.0 + beta) ** 3)


def slope(lrs: Floats, losses: Floats) -> Floats:
    """Derivative with respect to the logarithm of the rate."""
    return np.gradient(losses, np.log(lrs))


@dataclass(frozen=True)
class Suggestions:
    """Rates by name, None where the curve has none to give; then `reasons` says why."""

    rates: dict[str, float | None]
    reasons: dict[str, str]

    @classmethod
    def none(cls, reason: str) -> Suggestions:
        return cls(dict.fromkeys(NAMES), dict.fromkeys(NAMES, reason))


def suggest(lrs: Floats, mean: Floats, beta: float, initial: float, rose: bool) -> Suggestions:
    """What the curve suggests.

    Parameters
    ----------
    lrs, mean : array of shape (n_points,)
        Rates, rising, and the mean loss at each of them.
    beta : float
        Of the smoothing.
    initial : float
        The loss before anything was learnt.
    rose : bool
        Whether the curve ends because it rose.
    """
    if len(lrs) < POINTS:
        return Suggestions.none(
            f"the loss ran away within {len(lrs)} steps, already below lr = {lrs[-1]:.3g}; "
            "lower lr_min" if len(lrs) else "the loss was not finite at lr_min; lower lr_min"
        )  # fmt: skip
    smoothed = smooth(mean, beta)
    slopes = slope(lrs, smoothed)
    lowest = int(smoothed.argmin())
    drop = initial - float(smoothed[lowest])
    error = standard_error(mean, beta)
    if not drop > max(CLEAR * error, ROUNDING * abs(initial)):
        return Suggestions.none(
            f"the curve is flat: the loss is {initial:.4g} at first and {smoothed[lowest]:.4g} at "
            f"best, which is no more than its noise (standard error {error:.2g}); give a wider "
            "range of rates or more rows for each step"
        )
    steepest = int(slopes[: lowest + 1].argmin())
    rates: dict[str, float | None] = {
        "steepest": float(lrs[steepest]),
        "valley": float(lrs[np.argmax(initial - smoothed >= DEEP * drop)]),
        "minimum/10": float(lrs[lowest]) / 10.0,
    }
    reasons = {}
    if steepest == 0:
        reasons["steepest"] = f"the loss falls fastest at lr_min = {lrs[0]:.3g}: lower it"
    if not rose and slopes[-1] < AT_REST * slopes[steepest]:
        falling = f"the loss still falls at lr_max = {lrs[-1]:.3g}: raise it"
        reasons.update({"valley": falling, "minimum/10": falling})
    if rates["minimum/10"] < lrs[0] and "minimum/10" not in reasons:
        reasons["minimum/10"] = f"a tenth of the best rate is below lr_min = {lrs[0]:.3g}: lower it"
    return Suggestions({k: None if k in reasons else rates[k] for k in NAMES}, reasons)
