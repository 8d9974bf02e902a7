"""What is known of the Hessian before the first step of a descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrcore.linear_model.solvers.newton_descent import solved


@dataclass(frozen=True)
class DiagonalCurvature:
    """The diagonal at a constant model, of columns less their centers where there is an intercept;
    both (n_features + 1,)."""

    center: np.ndarray
    diagonal: np.ndarray

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient by the weights of centred columns over the diagonal, as a step of the
        weights of columns as they are."""
        step = (gradient - gradient[:, -1:] * self.center) / self.diagonal
        step[:, -1] -= np.sum(step * self.center, axis=1)
        return step


@dataclass(frozen=True)
class SampledCurvature:
    """The Hessian of a sample of the rows, as Cholesky factors of a block for each output, or of
    all of it."""

    factors: list[np.ndarray]

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """About the inverse Hessian times a gradient. What the outputs of a softmax have in common
        changes no loss."""
        if len(gradient) == 1:
            return solved(self.factors, gradient)
        step = solved(self.factors, gradient - np.mean(gradient, axis=0))
        return step - np.mean(step, axis=0)
