"""Metrics of a fitted model on labelled data, computed by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)

#: The logarithm that stands for that of a probability of 0.
LEAST_LOG = float(np.log(np.finfo(np.float64).eps))


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
        metrics["log_loss"] = mean_log_loss(model, X, y)
    if len(model.classes_) == 2 and len(np.unique(y)) == 2 and all_known:
        metrics["auc"] = float(roc_auc_score(y, model.decision_function(X)))
    return metrics


def measure_labels(model: Any, X: Any, Y: Any) -> dict[str, float]:
    """Metrics by name of a classifier of several labels a row.

    Parameters
    ----------
    model : LinearClassifier
    X : array or sparse matrix of shape (n_rows, n_features)
    Y : sparse matrix of shape (n_rows, n_labels)
        Of 0 and 1; columns beyond the model's labels are of labels that it cannot predict.

    Returns
    -------
    dict of str to float
        ``"subset_accuracy"``, the share of rows all of whose labels are right; ``"f1_micro"`` and
        ``"f1_macro"``, which count each label of a row, and each label, the same; and if the model
        has probabilities, and knows all labels, ``"log_loss"``, the mean over rows and labels.
    """
    n_unknown = Y.shape[1] - len(model.classes_)
    has = Y.toarray() == 1
    predicted = np.pad(model.predict(X) == 1, [(0, 0), (0, n_unknown)])
    both, either = (has & predicted).sum(axis=0), has.sum(axis=0) + predicted.sum(axis=0)
    metrics = {
        "subset_accuracy": float(np.mean((has == predicted).all(axis=1))),
        "f1_micro": float(2 * both.sum() / max(either.sum(), 1)),
        "f1_macro": float(np.mean(2 * both / np.maximum(either, 1))),
    }
    if hasattr(model, "predict_proba") and n_unknown == 0:
        z = model.decision_function(X).astype(np.float64)
        with np.errstate(divide="ignore"):
            logs = model._trained.objective.loss.log_probability(np.where(has, z, -z))
        metrics["log_loss"] = float(-np.mean(np.where(np.isneginf(logs), LEAST_LOG, logs)))
    return metrics


def mean_log_loss(model: Any, X: Any, y: np.ndarray) -> float:
    """The mean of the negative logarithm of the probability of each label.

    It is of the logarithms that the model gives, which may be of probabilities that are too small
    for a float. A label that the model excludes counts as one of the least probability that differs
    from 0 beside 1, as in scikit-learn; otherwise one of them would make the mean infinite.
    """
    with np.errstate(divide="ignore"):
        logs = np.asarray(model.predict_log_proba(X), np.float64)
    own = logs[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return float(-np.mean(np.where(np.isneginf(own), LEAST_LOG, own)))
