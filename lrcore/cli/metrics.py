"""Metrics of a fitted model on labelled data, computed by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)


def measure(model: Any, X: Any, y: np.ndarray) -> dict[str, float]:
    """Metrics by name: those of a classifier, if the model has ``classes_``, or of a regressor.

    Parameters
    ----------
    model : fitted estimator
        Of lrcore or of scikit-learn.
    X : array or sparse matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)

    Returns
    -------
    dict of str to float
        Of a classifier ``"accuracy"``; ``"log_loss"`` if the model has probabilities and knows all
        labels; ``"auc"`` if it also has two classes and both are among the labels. Of a regressor
        ``"rmse"``, the root of the mean squared error, and ``"r2"``.
    """
    if not hasattr(model, "classes_"):
        predicted = model.predict(X)
        return {
            "rmse": float(np.sqrt(mean_squared_error(y, predicted))),
            "r2": float(r2_score(y, predicted)),
        }
    metrics = {"accuracy": float(accuracy_score(y, model.predict(X)))}
    all_known = np.isin(y, model.classes_).all()
    if hasattr(model, "predict_proba") and all_known:
        p = model.predict_proba(X).astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        metrics["log_loss"] = float(log_loss(y, p, labels=model.classes_))
    if len(model.classes_) == 2 and len(np.unique(y)) == 2 and all_known:
        metrics["auc"] = float(roc_auc_score(y, model.decision_function(X)))
    return metrics
