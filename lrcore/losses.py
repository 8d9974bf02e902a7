"""Losses of linear models, in NumPy: twins of ``_core/losses.pxd``.

Each takes the margins ``z = X @ w + intercept`` and targets ``y``, both float64 of shape
``(n_rows,)``, and gives the loss of each row and its derivative with respect to ``z``.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from lrcore import numerics
from lrcore.numerics import Floats


class Loss:
    """What a loss is: its name in the core, and whether it is for classes."""

    classifies: ClassVar[bool]
    #: Bound of the second derivative with respect to the margin; of the slope where it has none.
    curvature: ClassVar[float] = 1.0

    @staticmethod
    def evaluate(z: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Loss and derivative of each row."""
        raise TypeError("use one of the losses in lrcore.losses.LOSSES")


class LogLoss(Loss):
    """``log(1 + exp(-y z))`` for y in {-1, 1}; its link is the logistic function."""

    classifies = True
    curvature = 0.25

    @staticmethod
    def evaluate(z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = y * z
        positive = m > 0
        e = numerics.exp(-np.where(positive, m, -m))
        value = np.where(positive, 0.0, -m) + numerics.log1p_unit(e)
        return value, -y * (np.where(positive, e, 1.0) / (1.0 + e))

    @staticmethod
    def probability(z: Floats) -> Floats:
        """The logistic function of the margins."""
        e = numerics.exp(-np.abs(z))
        return np.asarray(np.where(z > 0, 1.0, e) / (1.0 + e))


class Hinge(Loss):
    """``max(0, 1 - y z)`` for y in {-1, 1}: a linear support vector machine."""

    classifies = True

    @staticmethod
    def evaluate(z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = 1.0 - y * z
        return np.where(m > 0, m, 0.0), np.where(m > 0, -y, 0.0)


class SquaredError(Loss):
    """``(z - y)**2 / 2`` for real y."""

    classifies = False

    @staticmethod
    def evaluate(z: Floats, y: Floats) -> tuple[Floats, Floats]:
        m = z - y
        return 0.5 * (m * m), m


LOSSES: dict[str, type[Loss]] = {
    "log_loss": LogLoss,
    "hinge": Hinge,
    "squared_error": SquaredError,
}
