"""Held-out measures of a fitted model, by scikit-learn's own functions."""

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


def metrics_of(model: Any, X: Any, y: np.ndarray) -> dict[str, float]:
    """Log loss, AUC and accuracy of a classifier; root mean square error and R2 of a regressor.

    Measures that the model or the labels do not allow are left out: log loss without
    probabilities or with a label that the model does not know, AUC with one class.
    """
    if not hasattr(model, "classes_"):
        predicted = model.predict(X)
        return {
            "rmse": float(np.sqrt(mean_squared_error(y, predicted))),
            "r2": float(r2_score(y, predicted)),
        }
    measures = {"accuracy": float(accuracy_score(y, model.predict(X)))}
    known = np.isin(y, model.classes_).all()
    if hasattr(model, "predict_proba") and known:
        p = model.predict_proba(X).astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        measures["log_loss"] = float(log_loss(y, p, labels=model.classes_))
    if len(model.classes_) == 2 and len(np.unique(y)) == 2 and known:
        measures["auc"] = float(roc_auc_score(y, model.decision_function(X)))
    return measures
