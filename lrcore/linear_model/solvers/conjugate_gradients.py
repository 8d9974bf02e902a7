"""Steps for which a Hessian is known by its products alone: conjugate gradients, preconditioned
(Nocedal and Wright 2006, algorithms 5.3 and 7.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: The length of the residual beside the first one, as the preconditioner measures it, at which a
#: step is good enough; it makes the gap about ten times smaller. That beyond which there is nothing
#: but rounding; and products at most.
RESIDUAL, ROUNDING, MOST_PRODUCTS = 0.3, 1e-8, 200

Function = Callable[[np.ndarray], np.ndarray]


class InexactStep(NamedTuple):
    """A step, the gradient of the quadratic where it ends, and the products that it took."""

    step: np.ndarray
    residual: np.ndarray
    n_products: int


def conjugate_gradients(
    product: Function, precondition: Function, gradient: np.ndarray,
    good_enough: Callable[[np.ndarray, np.ndarray], bool], totals: Function,
) -> InexactStep:  # fmt: skip
    """The steps to about the minima of quadratics, from where they have these gradients.

    Parameters
    ----------
    product : callable
        A direction times the Hessian, which is positive semidefinite.
    precondition : callable
        A gradient times about the Hessian's inverse.
    gradient : ndarray
        Directions have its shape.
    good_enough : callable
        Whether a step with a residual is, once that is much smaller than the gradient.

    Returns
    -------
    InexactStep
        It goes down wherever the gradient is not 0.
    """
    step, residual = np.zeros_like(gradient), -gradient
    along = precondition(residual)
    direction, left = along, totals(residual * along)
    enough, least = RESIDUAL * RESIDUAL * left, ROUNDING * ROUNDING * left
    for n_products in range(1, MOST_PRODUCTS + 1):
        changed = product(direction)
        curvature = totals(direction * changed)
        # Nothing holds a direction back without; the first one is a step all the same.
        held = curvature > 0
        free = 1.0 if n_products == 1 else 0.0
        length = np.divide(left, curvature, out=np.full_like(left, free), where=held)[:, None]
        step = step + length * direction
        residual = residual - np.where(held[:, None], length * changed, 0.0)
        along = precondition(residual)
        before, left = left, np.where(held, totals(residual * along), 0.0)
        if (left <= least).all() or ((left <= enough).all() and good_enough(step, -residual)):
            break
        ratio = np.divide(left, before, out=np.zeros_like(left), where=before > 0)
        direction = along + ratio[:, None] * direction
    return InexactStep(step, -residual, n_products)
