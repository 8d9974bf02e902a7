"""A curve of losses against rising rates: smoothing, noise, and the rates that it suggests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lrcore._utils.numerics import Floats

#: The "valley" is where this part of the whole decrease of the loss is reached.
VALLEY_SHARE = 0.9
#: The loss still decreases at the end if its slope there is more than this part of the steepest.
END_SLOPE_SHARE = 0.1
#: A decrease counts if it is more than this many standard errors of a point of the smoothed curve,
MIN_STANDARD_ERRORS = 6.0
#: and more than this part of the initial loss, below which it may come from rounding.
MIN_RELATIVE_DROP = 1e-6
#: Number of points that a curve must have.
MIN_POINTS = 8

NAMES = ("steepest", "valley", "minimum/10")


def smooth(losses: Floats, beta: float) -> Floats:
    """Smooth exponentially in both directions, so that the curve does not lag.

    Point i is the mean of all points j, weighted with ``beta ** |i - j|``; the weights are
    normalised, so that there is no bias at the ends.

    Parameters
    ----------
    losses : ndarray of shape (..., n_points)
    beta : float in [0, 1)

    Returns
    -------
    ndarray of the same shape

    Examples
    --------
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
    """The standard error of a point of ``smooth(losses, beta)`` away from the ends.

    The standard deviation of the noise is estimated by the median of the absolute differences of
    neighbours, on which neither a trend nor a steep end has much influence; 0.6745 is the median of
    the absolute value of a standard normal variable.
    """
    noise = float(np.median(np.abs(np.diff(losses)))) / (0.6745 * math.sqrt(2.0))
    return noise * math.sqrt((1.0 + beta**2) * (1.0 - beta) / (1.0 + beta) ** 3)


def slope(lrs: Floats, losses: Floats) -> Floats:
    """The derivative of the losses with respect to the natural logarithm of the rate."""
    return np.gradient(losses, np.log(lrs))


@dataclass(frozen=True)
class Suggestions:
    """Suggested rates by name; a rate is None where `reasons` says why there is none."""

    rates: dict[str, float | None]
    reasons: dict[str, str]

    @classmethod
    def none(cls, reason: str) -> Suggestions:
        """No rate at all, for one reason."""
        return cls(dict.fromkeys(NAMES), dict.fromkeys(NAMES, reason))


def suggest(lrs: Floats, mean: Floats, beta: float, initial: float, rose: bool) -> Suggestions:
    """The rates that a curve suggests, as `lrcore.lr_range_test` describes them.

    Parameters
    ----------
    lrs, mean : ndarray of shape (n_points,)
        Rising rates, and the mean loss at each of them.
    beta : float in [0, 1)
        The weight of the neighbours in the smoothing.
    initial : float
        The loss before anything was learnt.
    rose : bool
        Whether the curve ends because the loss rose, instead of at the last rate.

    Returns
    -------
    Suggestions
    """
    if len(lrs) < MIN_POINTS:
        return Suggestions.none(
            f"the loss ran away within {len(lrs)} steps, already below lr = {lrs[-1]:.3g}; "
            "lower lr_min" if len(lrs) else "the loss was not finite at lr_min; lower lr_min"
        )  # fmt: skip
    smoothed = smooth(mean, beta)
    slopes = slope(lrs, smoothed)
    lowest = int(smoothed.argmin())
    drop = initial - float(smoothed[lowest])
    error = standard_error(mean, beta)
    if not drop > max(MIN_STANDARD_ERRORS * error, MIN_RELATIVE_DROP * abs(initial)):
        return Suggestions.none(
            f"the curve is flat: the loss is {initial:.4g} at first and {smoothed[lowest]:.4g} at "
            f"best, which is no more than its noise (standard error {error:.2g}); give a wider "
            "range of rates or more rows for each step"
        )
    steepest = int(slopes[: lowest + 1].argmin())
    rates: dict[str, float | None] = {
        "steepest": float(lrs[steepest]),
        "valley": float(lrs[np.argmax(initial - smoothed >= VALLEY_SHARE * drop)]),
        "minimum/10": float(lrs[lowest]) / 10.0,
    }
    reasons = {}
    if steepest == 0:
        reasons["steepest"] = f"the loss falls fastest at lr_min = {lrs[0]:.3g}: lower it"
    if not rose and slopes[-1] < END_SLOPE_SHARE * slopes[steepest]:
        falling = f"the loss still falls at lr_max = {lrs[-1]:.3g}: raise it"
        reasons.update({"valley": falling, "minimum/10": falling})
    if rates["minimum/10"] < lrs[0] and "minimum/10" not in reasons:
        reasons["minimum/10"] = f"a tenth of the best rate is below lr_min = {lrs[0]:.3g}: lower it"
    return Suggestions({k: None if k in reasons else rates[k] for k in NAMES}, reasons)
