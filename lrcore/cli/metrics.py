"""Metrics of a fitted model on labelled data, which may come batch by batch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from lrcore.cli.data import labels_of
from lrcore.io.label_lists import LabelLists

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
    metrics = metrics_for(model)
    metrics.add(X, y)
    return metrics.result()


def metrics_for(model: Any) -> ClassifierMetrics | MultilabelMetrics | RegressorMetrics:
    """The metrics of a model for rows that come batch by batch."""
    if getattr(model, "multilabel_", False):
        return MultilabelMetrics(model)
    return ClassifierMetrics(model) if hasattr(model, "classes_") else RegressorMetrics(model)


class ClassifierMetrics:
    """Metrics of a classifier over all rows that were added.

    Rows are not kept, but for the AUC their scores are.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._has_log_loss = hasattr(model, "predict_proba")
        self._has_scores = len(model.classes_) == 2
        self._positive: list[np.ndarray] = []
        self._negative: list[np.ndarray] = []
        self._n_right = 0
        self._log_loss = 0.0
        self.n_rows = 0

    def add(self, X: Any, y: np.ndarray) -> None:
        """Predict rows and compare with their labels.

        Raises
        ------
        ValueError
            If labels are texts, and those of the model numbers, or the other way round.
        """
        model, classes = self._model, self._model.classes_
        if (y.dtype.kind in "UO") != (classes.dtype.kind in "UO"):
            raise ValueError(
                f"labels such as {y.tolist()[0]!r} cannot be compared with those of the model, "
                f"such as {classes.tolist()[0]!r}"
            )
        self.n_rows += len(y)
        self._n_right += int(np.count_nonzero(model.predict(X) == y))
        if not np.isin(y, classes).all():
            self._has_log_loss = self._has_scores = False
        if self._has_log_loss:
            self._log_loss += mean_log_loss(model, X, y) * len(y)
        if self._has_scores:
            scores = model.decision_function(X)
            self._positive.append(scores[y == classes[1]])
            self._negative.append(scores[y == classes[0]])
        else:
            self._positive, self._negative = [], []

    def result(self) -> dict[str, float]:
        """What `measure` returns, of all rows."""
        metrics = {"accuracy": self._n_right / self.n_rows}
        if self._has_log_loss:
            metrics["log_loss"] = self._log_loss / self.n_rows
        if self._has_scores:
            positive, negative = map(np.concatenate, (self._positive, self._negative))
            if len(positive) and len(negative):
                metrics["auc"] = area_under_curve(positive, negative)
        return metrics


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """The area under the ROC curve: of all pairs of a positive and a negative row, the share in
    which the positive one has the larger score; equal ones count half.

    >>> area_under_curve(np.array([1.0, 2.0]), np.array([0.0, 1.0]))
    0.875
    """
    negative = np.sort(negative)
    twice = 0  # a whole number, so that the sum is exact
    for start in range(0, len(positive), 1 << 20):
        some = np.sort(positive[start : start + (1 << 20)])
        for side in ("left", "right"):
            twice += int(np.searchsorted(negative, some, side=side).sum())
    return twice / (2 * len(positive) * len(negative))


class RegressorMetrics:
    """Metrics of a regressor over all rows that were added, which are not kept."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._squared_errors = 0.0
        self._mean = self._squares = 0.0  # of targets, and of their differences from their mean
        self.n_rows = 0

    def add(self, X: Any, y: np.ndarray, **added: Any) -> None:
        """Predict rows, to which an offset may be added, and compare with their targets."""
        y = np.asarray(y, np.float64)
        predicted = self._model.predict(X, **added)
        self._squared_errors += float(np.sum((predicted - y) ** 2))
        n_before, self.n_rows = self.n_rows, self.n_rows + len(y)
        mean = float(np.mean(y))
        # Chan, Golub and LeVeque's sum of two groups, whose terms do not cancel out.
        step = mean - self._mean
        self._squares += float(np.sum((y - mean) ** 2))
        self._squares += step**2 * n_before * len(y) / self.n_rows
        self._mean += step * len(y) / self.n_rows

    def result(self) -> dict[str, float]:
        """What `measure` returns, of all rows."""
        errors, squares = self._squared_errors, self._squares
        if self.n_rows < 2:
            warnings.warn("R2 is not defined for one row", UndefinedMetricWarning, stacklevel=2)
            r2 = np.nan
        else:
            r2 = 1 - errors / squares if squares else float(errors == 0)
        return {"rmse": float(np.sqrt(errors / self.n_rows)), "r2": r2}


class MultilabelMetrics:
    """Metrics of a classifier of several labels a row over all rows that were added, which are not
    kept.

    Parameters
    ----------
    model : LinearClassifier
    """

    def __init__(self, model: Any) -> None:
        self._model, self._labels = model, labels_of(model)
        self._has_probabilities = hasattr(model, "predict_proba")
        n_labels = len(self._labels)
        self._both, self._either = np.zeros(n_labels, np.int64), np.zeros(n_labels, np.int64)
        self._unknown: dict[Any, int] = {}  # how often labels came that the model does not have
        self._n_right = 0
        self._log_loss = 0.0
        self.n_rows = 0

    def add(self, X: Any, y: np.ndarray) -> None:
        """Predict rows and compare with the tuples of their labels."""
        model, n_labels = self._model, len(self._labels)
        lists = LabelLists.of(y.tolist()).among(self._labels)
        has = lists.indicator[:, :n_labels].toarray() == 1
        predicted = model.predict(X) == 1
        self.n_rows += len(y)
        others = lists.indicator[:, n_labels:]
        for name, n in zip(lists.labels[n_labels:].tolist(), others.sum(axis=0).A1.tolist()):
            self._unknown[name] = self._unknown.get(name, 0) + n
        right = (has == predicted).all(axis=1) & (np.diff(others.indptr) == 0)
        self._n_right += int(np.count_nonzero(right))
        self._both += (has & predicted).sum(axis=0)
        self._either += has.sum(axis=0) + predicted.sum(axis=0)
        if self._has_probabilities:
            z = model.decision_function(X).astype(np.float64)
            with np.errstate(divide="ignore"):
                logs = model._trained.objective.loss.log_probability(np.where(has, z, -z))
            self._log_loss -= float(np.sum(np.where(np.isneginf(logs), LEAST_LOG, logs)))

    def result(self) -> dict[str, float]:
        """Metrics by name.

        Returns
        -------
        dict of str to float
            ``"subset_accuracy"``, the share of rows all of whose labels are right; ``"f1_micro"``
            and ``"f1_macro"``, which count each label of a row, and each label, the same; and if
            the model has probabilities, and knows all labels, ``"log_loss"``, the mean over rows
            and labels.
        """
        both = np.append(self._both, np.zeros(len(self._unknown), np.int64))
        either = np.append(self._either, list(self._unknown.values())).astype(np.int64)
        metrics = {
            "subset_accuracy": self._n_right / self.n_rows,
            "f1_micro": float(2 * both.sum() / max(either.sum(), 1)),
            "f1_macro": float(np.mean(2 * both / np.maximum(either, 1))),
        }
        if self._has_probabilities and not self._unknown:
            metrics["log_loss"] = self._log_loss / (self.n_rows * len(self._labels))
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
