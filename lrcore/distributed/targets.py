"""What y is to classifiers and regressors whose rows lie in partitions."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lrcore._utils.validation import shown
from lrcore.distributed.fit import Targets
from lrcore.distributed.totals import Totals
from lrcore.linear_model.arguments import check_domain, check_labels, check_targets, weigh_classes
from lrcore.linear_model.labels import Classes
from lrcore.losses import Loss


def check_classes(y: Any) -> np.ndarray:
    """The labels of a partition, which may have no rows."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(
            "y must have one class for each row; a column for each of several labels can be fitted "
            "by lrcore.LinearClassifier, on one machine"
        )
    return check_labels(y) if len(labels) else labels.reshape(-1)


def check_numbers(y: Any, name: str, loss: Loss) -> np.ndarray:
    """The targets of a partition, for which the loss is defined."""
    target = check_targets(y) if len(y) else np.asarray(y, np.float64)
    check_domain(name, loss, [target] if target.ndim == 1 else list(target.T))
    return target


def classifier_targets(model: Any, totals: Totals) -> tuple[Targets, Classes]:
    """Of a classifier, and its classes: those that rows of any weight have."""
    if len(totals.labels) < 2:
        raise ValueError(
            f"y has 1 class, {shown(totals.labels[0])}, in all partitions; a classifier needs at "
            "least 2 classes"
        )
    classes = Classes(totals.labels)
    each = np.arange(len(totals.labels))
    # As if there were one row of each class, which has the weight of all of them.
    factors = weigh_classes(totals.weights, model.class_weight, totals.labels, each)
    if factors is None or model.class_weight is None:
        factors = np.ones(len(each))
    elif isinstance(model.class_weight, str):
        counts = np.where(totals.weights > 0, totals.weights, np.inf)
        factors = np.sum(totals.weights) / (len(each) * counts)
    else:
        factors = np.array([model.class_weight.get(k, 1.0) for k in totals.labels.tolist()])
    n_outputs = model._n_outputs(classes)
    weigh = partial(weighed_by_class, classes=classes, factors=factors)
    return Targets(n_outputs, partial(class_targets, classes, n_outputs), weigh, factors), classes


def class_targets(classes: Classes, n_outputs: int, y: np.ndarray) -> list[np.ndarray]:
    """The targets of labels."""
    return classes.targets(classes.codes(y), n_outputs)


def weighed_by_class(
    weight: np.ndarray | None, y: np.ndarray, classes: Classes, factors: np.ndarray
) -> np.ndarray | None:
    """The weights of rows times those of their classes."""
    if (factors == 1.0).all():
        return weight
    of_rows: np.ndarray = factors[classes.codes(y)]
    return of_rows if weight is None else weight * of_rows


def regressor_targets(totals: Totals) -> Targets:
    """Of a regressor."""
    return Targets(1, number_targets, own_weight, np.ones(1))


def number_targets(y: np.ndarray) -> list[np.ndarray]:
    """The columns of y."""
    return [y] if y.ndim == 1 else [column.copy() for column in y.T]


def own_weight(weight: np.ndarray | None, y: np.ndarray) -> np.ndarray | None:
    """The weights of the rows as they are."""
    return weight
