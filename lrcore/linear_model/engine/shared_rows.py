"""How many rows may share raw predictions where second derivatives do not fall with the gradients.

All rows of a block move the weights by gradients at the same raw predictions. Where they agree, a
block is one long step of gradient descent, preconditioned by the rule's state, and overshoots once
its length times the largest eigenvalue of the preconditioned mean of ``x x'`` is above 2. The steps
of AdaGrad are divided by the root of past squared errors: with a tenth of the noise they are ten
times as long, and a tenth of the rows may share a step. So this is measured, on the rows at hand.
"""

from __future__ import annotations

import numpy as np

from lrcore.linear_model.engine.design_matrix import DesignMatrix

#: Rows that are looked at, at most, and multiplications, which find an eigenvalue to a tenth or so.
SAMPLED, MULTIPLICATIONS = 64, 8


def sampled(X: DesignMatrix) -> tuple[np.ndarray, DesignMatrix, np.ndarray]:
    """A few rows: which these are, they themselves with the features that they have, and the
    numbers of these, the intercept's last: of a model of millions no more is looked at."""
    chosen = np.arange(0, X.shape[0], -(-X.shape[0] // SAMPLED))
    some, features = X.take(chosen).with_used_features()
    features = np.arange(X.shape[1]) if features is None else features
    return chosen, some, np.append(features, X.shape[1])


def most_shared_rows(X: DesignMatrix, steps: np.ndarray, curvatures: np.ndarray) -> float:
    """Rows of a block that goes half as far as one that begins to overshoot.

    Parameters
    ----------
    X : DesignMatrix
        A few rows like those to come.
    steps : ndarray of shape (n_features + 1,)
        By how much a weight, the intercept last, changes per unit of its gradient.
    curvatures : ndarray of shape (n_rows,)
        The second derivative of each row's loss.
    """
    # Every operation rounds the same everywhere: sums are in order, or the core's.
    n_rows = X.shape[0]
    vector = 1.0 + (np.arange(n_rows) * 29 % 64 - 32) / 64.0
    eigenvalue = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        root = np.sqrt(curvatures)
        for _ in range(MULTIPLICATIONS):
            vector = root * vector
            combined = X.weighted_sum(vector, 1) * steps[:-1]
            constant = float(np.cumsum(vector)[-1]) * steps[-1]
            vector = root * (X.wide_predictions(combined, 1) + constant)
            eigenvalue = float(np.abs(vector).max())
            if not 0 < eigenvalue < np.inf:
                break
            vector /= eigenvalue
    return np.inf if eigenvalue == 0 else n_rows / eigenvalue if eigenvalue < np.inf else 1.0
