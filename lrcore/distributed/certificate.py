"""What the sums of a round come to: the mean loss, its derivatives, and a bound of the minimum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrcore._utils import numerics
from lrcore.distributed.descent import Certified
from lrcore.distributed.exact import as_float
from lrcore.distributed.partition import Query, Setting, TargetSums
from lrcore.distributed.sums import unit_exponent
from lrcore.linear_model.duality import DualPoint


class ClassSums(NamedTuple):
    """Of each class the share of its rows, (n_classes,), and the mean over all rows of what these
    are in X, (n_classes, n_features)."""

    shares: np.ndarray
    rows: np.ndarray


class SignSums(NamedTuple):
    """Means over all rows of derivatives, losses and gaps, of the rows whose derivative is above 0,
    below it, and 0."""

    derivatives: list[float]
    losses: list[float]
    gaps: list[float]


class Answer(NamedTuple):
    """What a query comes to."""

    mean_loss: float
    slopes: np.ndarray
    certified: Certified | None


def answer_of(
    query: Query, sums: TargetSums, setting: Setting, fit_intercept: bool, null: float,
    classes: ClassSums | None,
) -> Answer | None:  # fmt: skip
    """The answer to a query; None where a number is beyond what can be summed up."""
    if sums.features is None:
        return None
    n = setting.total
    exponent = unit_exponent(n, query.bound * setting.largest_value)
    of_features = np.ldexp(sums.features.dense().astype(np.float64), exponent) / n
    derivatives = np.array([as_float(each, n) for each in sums.derivatives])
    mean_loss = as_float(sums.loss, n)
    if sums.certificate is None:
        slopes = np.column_stack([of_features, derivatives])
        return Answer(mean_loss, slopes, None)
    if classes is not None:
        slopes = np.column_stack([of_features, derivatives])
        logarithms = np.array([as_float(each, n) for each in sums.certificate.logarithms])
        certified = _of_classes(of_features, derivatives, logarithms, mean_loss, null, classes)
        if not fit_intercept:
            point = DualPoint(np.zeros(1), np.zeros(1), np.array([mean_loss]), null)
            certified = Certified(point, of_features, 0.0)
        return Answer(mean_loss, slopes, certified)
    slopes = np.append(of_features[0] + of_features[1], derivatives)[None]
    of_signs = SignSums._make([as_float(x, n) for x in part] for part in sums.certificate[:3])
    return Answer(mean_loss, slopes, _of_signs(of_features, of_signs, fit_intercept, null))


def _of_signs(v: np.ndarray, sums: SignSums, fit_intercept: bool, null: float) -> Certified:
    """The derivatives as dual variables, those of the sign that has more scaled down so that all
    sum to 0: see `lrcore.linear_model.duality`. Sums are of positive ones, negative ones, others.
    """
    derivatives, losses, gaps = sums
    above, below = derivatives[0], -derivatives[1]
    factors = [1.0, 1.0]
    if fit_intercept and above != below:
        factors[0 if above > below else 1] = min(above, below) / max(above, below)
    rows = gaps[2]
    for c, loss, gap in zip(factors, losses, gaps):
        rows += c * gap + (1.0 - c) * loss
    excess = np.array([losses[0] + losses[1] + losses[2]])
    point = DualPoint(np.zeros(1), np.array([rows]), excess, null)
    both = factors[0] * v[:1] + factors[1] * v[1:]
    return Certified(point, both, gaps[0] + gaps[1] + gaps[2])


def _of_classes(
    v: np.ndarray, surplus: np.ndarray, logarithms: np.ndarray, mean_loss: float, null: float,
    classes: ClassSums,
) -> Certified:  # fmt: skip
    """The derivatives of a softmax mixed with those of fixed probabilities q, so that they sum to 0
    for each class."""
    shares, rows = classes
    e = float(np.max(surplus / np.maximum(shares + surplus, 1e-300)))
    e = min(max(e, 0.0), 1.0)
    left = 0.0
    if e > 0.0:
        q = np.maximum(shares - (1.0 - e) / e * surplus, 0.0)
        q = q / np.sum(q)
        v = (1.0 - e) * v + e * (q[:, None] * np.sum(rows, axis=0) - rows)
        own = float(np.sum(q * numerics.log(np.where(q > 0, q, 1.0))))
        left = e * max(own - float(np.sum(q * logarithms)), 0.0)
    point = DualPoint(np.zeros(1), np.array([left]), np.array([mean_loss]), null)
    return Certified(point, v, 0.0)
