"""Progressive validation: each row is predicted before it is learnt from."""

from __future__ import annotations

from typing import Any, NamedTuple

from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score

from lrcore.io.batch import Batch
from lrcore.io.dataset import Dataset
from lrcore.linear_model.dataset_fit import DatasetPass, Mean, check_streams

#: Rows that are judged by the same weights.
JUDGED_ROWS = 2048


class ProgressiveScore(NamedTuple):
    """What `progressive_val_score` returns.

    Attributes
    ----------
    loss : float
        The mean loss of all rows, of each just before it was learnt from.
    accuracy : float
        The share of rows that were predicted right, 2,048 at a time by what was learnt from the
        rows before them; NaN of a regressor, and if there are no more rows than these.
    n_rows : int
        Rows that were learnt from.
    n_predicted : int
        Rows that the accuracy is of: all but the first 2,048.
    estimator : LinearClassifier or LinearRegressor
        The one that has learnt from all rows.
    """

    loss: float
    accuracy: float
    n_rows: int
    n_predicted: int
    estimator: Any


def progressive_val_score(
    estimator: Any, dataset: Dataset, *, classes: Any = None
) -> ProgressiveScore:
    """Measure an estimator on rows that it has not seen, in one pass over a stream.

    A copy of the estimator learns from all rows, in their order, as by ``fit(dataset)``. Every row
    is judged by what was learnt before it, so none has to be held out (Blum, Kalai and Langford
    1999). It is what Vowpal Wabbit prints. `history_` of a fit has nearly the same
    loss: there the first rows are gone over once, at the rate that they end up with.

    Parameters
    ----------
    estimator : LinearClassifier or LinearRegressor
        It is not changed.
    dataset : Dataset
        Rows with labels or targets, read once in their order.
    classes : array, optional
        All classes; without them a class is known from its first row on.

    Returns
    -------
    ProgressiveScore

    Raises
    ------
    TypeError, ValueError
        If the dataset is none, or has no rows or labels.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> X = np.random.default_rng(0).normal(size=(20_000, 5))
    >>> dataset = lrcore.io.Dataset.from_arrays(X, X @ [1, -2, 3, 0, 0] > 0)
    >>> found = lrcore.progressive_val_score(lrcore.LinearClassifier(random_state=0), dataset)
    >>> found.n_rows, found.accuracy > 0.98, found.loss < 0.1
    (20000, True, True)
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"dataset must be a Dataset, got {type(dataset).__name__}; "
            "lrcore.io.Dataset.from_arrays(X, y) makes one"
        )
    check_streams(estimator)
    fitted = clone(estimator)
    accuracy = Mean()
    n_predicted = 0

    def judge(batch: Batch) -> None:
        nonlocal n_predicted
        if hasattr(fitted, "n_iter_"):
            n_predicted += batch.n_rows
            if is_classifier(fitted):
                right = accuracy_score(batch.y, fitted.predict(batch.X), sample_weight=batch.weight)
                accuracy.add(float(right), batch.total_weight)

    run = DatasetPass(fitted, classes, extends=True, batch_rows=JUDGED_ROWS, before=judge)
    run.learn(dataset, 0)
    fitted.features_ = dataset.features
    at = run.progress
    return ProgressiveScore(at.loss, accuracy.mean, at.n_rows, n_predicted, fitted)
