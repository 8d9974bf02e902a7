"""What every export is made from: weights for the columns of X, and what predictions follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrcore.losses import Loss, ModifiedHuber


@dataclass(frozen=True)
class Coefficients:
    """A linear model as others see it.

    Parameters
    ----------
    weights : ndarray of shape (n_outputs, n_features)
    intercepts : ndarray of shape (n_outputs,)
    loss : Loss
    classes : ndarray of shape (n_classes,), optional
        Of a classifier.
    multilabel : bool
        Whether each output is a label of its own, any of which a row may have.
    single : bool
        Of a regressor: whether predictions are (n_rows,), and not (n_rows, n_outputs).
    feature_names : ndarray of shape (n_features,), optional
    """

    weights: np.ndarray
    intercepts: np.ndarray
    loss: Loss
    classes: np.ndarray | None = None
    multilabel: bool = False
    single: bool = True
    feature_names: np.ndarray | None = None

    @property
    def n_features(self) -> int:
        return int(self.weights.shape[1])

    @property
    def n_outputs(self) -> int:
        return len(self.weights)

    @property
    def link(self) -> str:
        """How raw predictions become probabilities or predictions: "softmax", "logistic", "clip"
        (of the modified huber loss), "exp" or "identity"; "none" of classes without
        probabilities."""
        if self.loss.log_link:
            return "exp"
        if not self.loss.classifies:
            return "identity"
        if not self.loss.probabilistic:
            return "none"
        if self.loss.joint:
            return "softmax"
        return "clip" if isinstance(self.loss, ModifiedHuber) else "logistic"

    def of_output(self, k: int, classes: np.ndarray | None = None) -> Coefficients:
        """Output k as a model of its own, of two classes or of one target."""
        return Coefficients(
            self.weights[k : k + 1], self.intercepts[k : k + 1], self.loss, classes,
            feature_names=self.feature_names,
        )  # fmt: skip
