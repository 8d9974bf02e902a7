"""What y is to a classifier: the class of each row, one of several, or any of several labels.

Of one class for each row there are binary targets or, for a softmax, the numbers of the classes. Of
labels, of which a row may have none or many, each is a binary target of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy import sparse

from lrcore import _backend
from lrcore._utils import missing, numerics
from lrcore._utils.validation import shown
from lrcore.linear_model.arguments import (
    check_labels,
    check_number,
    check_targets,
    encode,
    weigh_classes,
)
from lrcore.linear_model.problem import Problem
from lrcore.losses import Loss, class_log_probabilities, class_probabilities

#: What a label that is not known can be added by.
REMEDY = "classes= may name more in any call of partial_fit: all of before, and the new ones"


@dataclass(frozen=True)
class Classes:
    """The classes, sorted, one of which each row has."""

    values: np.ndarray

    multilabel: ClassVar[bool] = False

    @property
    def n_binary(self) -> int:
        """Outputs where each has a binary target: one for two classes."""
        return 1 if len(self.values) == 2 else len(self.values)

    def codes(self, y: Any, remedy: str = "") -> np.ndarray:
        """The number of each row's class; an error about one that is not known ends in a remedy."""
        labels = check_labels(y)
        codes = np.minimum(np.searchsorted(self.values, labels), len(self.values) - 1)
        strange = np.flatnonzero(self.values[codes] != labels)
        if strange.size:
            label = labels[strange].tolist()[0]
            raise ValueError(
                f"y has the class {shown(label)} in row {strange[0]}, which is not in classes "
                f"{self.values.tolist()!r}" + (f"; {remedy}" if remedy else "")
            )
        return codes

    def targets(self, codes: np.ndarray, n_outputs: int) -> list[np.ndarray]:
        """What classes are to a loss: their numbers if one target has several outputs, else targets
        in {-1, 1}, one vector for two classes, one for each of more."""
        if n_outputs > 1:
            return [codes.astype(np.float64)]
        which = [1] if len(self.values) == 2 else range(len(self.values))
        return [np.where(codes == k, 1.0, -1.0) for k in which]

    def codes_of(self, targets: list[np.ndarray], *, joint: bool) -> np.ndarray:
        """The codes that `targets` has turned into these, those of a `joint` loss or binary."""
        if joint:
            return targets[0].astype(np.intp)
        one = len(targets) == 1
        return (targets[0] > 0).astype(np.intp) if one else np.argmax(targets, axis=0)

    def weigh(
        self, weight: np.ndarray | None, class_weight: Any, codes: np.ndarray
    ) -> tuple[np.ndarray | None, list[np.ndarray] | None]:
        """The weights of rows times those of their classes, the same for all targets."""
        return weigh_classes(weight, class_weight, self.values, codes), None

    def predicted(self, raw: np.ndarray) -> np.ndarray:
        """The class of each row, from raw predictions (n_rows, n_outputs)."""
        codes = (raw[:, 0] > 0).astype(np.intp) if raw.shape[1] == 1 else raw.argmax(axis=1)
        found: np.ndarray = self.values[codes]
        return found

    def probabilities(self, loss: Loss, z: np.ndarray) -> np.ndarray:
        """(n_rows, n_classes), which sum to 1."""
        return class_probabilities(loss, z)

    def log_probabilities(self, loss: Loss, z: np.ndarray) -> np.ndarray:
        """Their logarithms."""
        return class_log_probabilities(loss, z)


@dataclass(frozen=True)
class LabelColumns:
    """So many labels, any of which a row may have: y has a column of 0 and 1 for each."""

    n_labels: int

    multilabel: ClassVar[bool] = True

    @property
    def values(self) -> np.ndarray:
        """The numbers of the columns, as OneVsRestClassifier has them for classes."""
        return np.arange(self.n_labels)

    @property
    def n_binary(self) -> int:
        """Outputs: one for each label."""
        return self.n_labels

    def codes(self, y: Any, remedy: str = "") -> np.ndarray:
        """Which labels each row has, (n_rows, n_labels) bool."""
        indicator = check_indicator(y)
        if indicator.shape[1] != self.n_labels:
            raise ValueError(
                f"y must have {self.n_labels} columns, one for each label, got "
                f"{indicator.shape[1]}" + (f"; {remedy}" if remedy else "")
            )
        return indicator

    def targets(self, codes: np.ndarray, n_outputs: int) -> list[np.ndarray]:
        """Targets in {-1, 1}, a vector for each label."""
        return [np.where(column, 1.0, -1.0) for column in codes.T]

    def codes_of(self, targets: list[np.ndarray], *, joint: bool) -> np.ndarray:
        """The codes that `targets` has turned into these."""
        return np.stack(targets, axis=1) > 0

    def weigh(
        self, weight: np.ndarray | None, class_weight: Any, codes: np.ndarray
    ) -> tuple[np.ndarray | None, list[np.ndarray] | None]:
        """The weights of rows, and their factors for each label: those of rows that have it, and of
        rows that have not."""
        if class_weight is None:
            return weight, None
        balanced = isinstance(class_weight, str) and class_weight == "balanced"
        if not balanced:
            _check_label_weight(class_weight)
        rows = np.ones(len(codes)) if weight is None else weight
        total, factors = float(np.sum(rows)), []
        for has in codes.T:
            with_it = float(np.sum(rows[has]))
            counts = np.array([total - with_it, with_it])
            if balanced:
                each = total / np.where(counts > 0, counts, total)
            else:
                each = np.array([float(class_weight.get(key, 1.0)) for key in (0, 1)])
            each /= float(np.sum(each * counts)) / total
            factors.append(each[has.astype(np.intp)])
        return weight, factors

    def predicted(self, raw: np.ndarray) -> np.ndarray:
        """(n_rows, n_labels) of 0 and 1."""
        return (raw > 0).astype(np.int64)

    def probabilities(self, loss: Loss, z: np.ndarray) -> np.ndarray:
        """(n_rows, n_labels): that of each label by itself."""
        return _backend.active.probabilities(loss, z)

    def log_probabilities(self, loss: Loss, z: np.ndarray) -> np.ndarray:
        """Their logarithms."""
        return loss.log_probability(z)


Labels = Classes | LabelColumns


def _check_label_weight(class_weight: Any) -> None:
    """Raise unless class_weight has numbers above 0 for rows with a label, 1, and without it, 0."""
    if not isinstance(class_weight, dict) or not set(class_weight) <= {0, 1}:
        raise ValueError(
            "class_weight must be 'balanced', None or a dict {0: ..., 1: ...} where y has a column "
            "for each of several labels, of which each is a problem of two classes, 0 and 1, got "
            f"{shown(class_weight)}"
        )
    for key, each in class_weight.items():
        check_number(f"class_weight of {shown(key)}", each, 0)
        if each == 0:
            raise ValueError(
                f"class_weight of {shown(key)} must be > 0 for labels, got 0: there would be "
                "nothing to tell the other rows from"
            )


def has_columns(y: Any) -> bool:
    """Whether y has a column for each of several labels. One column of an array is a target of
    classes, as in scikit-learn; that of a sparse matrix, which nothing else could be, is a label.
    """
    if sparse.issparse(y):
        return True
    shape = getattr(y, "shape", None)
    if shape is None and isinstance(y, (list, tuple)) and len(y) > 0:
        first = y[0]  # to look at all would take time
        shape = (len(y), len(first)) if isinstance(first, (list, tuple, np.ndarray)) else None
    return shape is not None and len(shape) == 2 and shape[1] > 1


def check_indicator(y: Any) -> np.ndarray:
    """Which labels each row has, (n_rows, n_labels) bool, from a matrix of 0 and 1."""
    if sparse.issparse(y):
        values = sparse.csc_matrix(y, copy=True)  # adds up what is there twice
        values.sum_duplicates()
        _check_flags(values.data, lambda k: _place(values, k))
        found: np.ndarray = values.astype(bool).toarray()
    else:
        array = check_targets(y)
        if array.ndim != 2:
            raise ValueError(
                f"y must be a matrix with a column for each label, as before, got {array.shape}"
            )
        _check_flags(array.ravel(), lambda k: divmod(k, array.shape[1]))
        found = array == 1.0
    if 0 in found.shape:
        raise ValueError(f"y must have at least one row and one label, got {found.shape}")
    return found


def _check_flags(values: np.ndarray, place: Any) -> None:
    """Raise unless all values are 0 or 1; `place` turns the number of one into row and column."""
    bad = np.flatnonzero((values != 0) & (values != 1))
    if bad.size:
        row, column = place(int(bad[0]))
        raise ValueError(
            "y must have shape (n_rows,), or be a matrix of 0 and 1 with a column for each label, "
            f"got {shown(values[bad[0]].item())} in row {row}, column {column}"
        )


def _place(matrix: Any, k: int) -> tuple[int, int]:
    """Row and column of value k of a CSC matrix."""
    return int(matrix.indices[k]), int(np.searchsorted(matrix.indptr, k, side="right")) - 1


def labels_of(y: Any) -> tuple[Labels, np.ndarray]:
    """The classes or labels of y, and the code of each row."""
    if has_columns(y):
        indicator = check_indicator(y)
        return LabelColumns(indicator.shape[1]), indicator
    classes, codes = encode(check_labels(y))
    if len(classes) < 2:
        raise ValueError(
            f"y has 1 class, {shown(classes[0])}; a classifier needs at least 2 classes"
        )
    return Classes(classes), codes


def labels_of_stream(known: Labels | None, y: Any, classes: Any) -> Labels:
    """The classes or labels of a call of partial_fit: those known, or those that `classes` names,
    which are all of these and may be more. The first call has to name classes, but not labels."""
    columns = has_columns(y) if known is None else known.multilabel
    if columns:
        return _label_columns(known, y, classes)
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        return known
    missing.check_none_missing("classes", classes)
    given = np.unique(np.asarray(classes))
    if len(given) < 2:
        raise ValueError(f"classes must name at least 2 classes, got {given.tolist()!r}")
    if known is None:
        return Classes(given)
    left_out = [each for each in known.values.tolist() if each not in given.tolist()]
    if left_out:
        raise ValueError(
            f"classes must name all of {known.values.tolist()!r}, as in the calls before, and may "
            f"name more, got {given.tolist()!r} without {shown(left_out[0])}"
        )
    return known if len(given) == len(known.values) else Classes(given)


def _label_columns(known: Labels | None, y: Any, classes: Any) -> LabelColumns:
    """Labels of a call of partial_fit, by the columns of y or by `classes`."""
    n_known = 0 if known is None else known.n_binary
    if classes is None:
        return LabelColumns(n_known or np.shape(y)[1])
    given = np.asarray(classes)
    n_labels = given.size
    if given.ndim != 1 or given.dtype.kind not in "iu" or not (given == np.arange(n_labels)).all():
        raise ValueError(
            "classes must be the numbers of the columns of y, such as range(3) for three labels, "
            f"got {shown(given.tolist())}"
        )
    if n_labels < max(n_known, 1):
        raise ValueError(
            f"classes must name all of the {n_known} labels of the calls before, got {n_labels}"
        )
    return LabelColumns(n_labels)


class ConstantLabels(NamedTuple):
    """Labels that all rows have, or none: there is nothing to learn of them, and the log loss has
    no minimum. They get an intercept, and no weights.

    `varying` are the numbers of the others, `intercepts` has one for each label, 0 for the others.
    """

    varying: Sequence[int]
    intercepts: np.ndarray

    @classmethod
    def of(cls, problem: Problem) -> ConstantLabels | None:
        """Those of a problem, of which a warning tells; None if there are none, or if the model has
        no intercepts, so that the minimum is none of constant predictions.

        Raises
        ------
        ValueError
            If all are constant.
        """
        if not problem.objective.fit_intercept:
            return None
        signs = [_sign(y) for y in problem.targets]
        varying = [k for k, sign in enumerate(signs) if sign == 0]
        if len(varying) == len(signs):
            return None
        if not varying:
            raise ValueError(
                f"y has {len(signs)} labels, each of which all rows have or none; a classifier "
                "needs at least one that some rows have and others have not"
            )
        for k, sign in enumerate(signs):
            if sign:
                which = "every row" if sign > 0 else "no row"
                warnings.warn(
                    f"label {k} is in {which} of y, and will be predicted for "
                    f"{'all' if sign > 0 else 'none'}",
                    UserWarning,
                    stacklevel=4,
                )
        size = constant_size(problem.objective.loss, problem.n_rows)
        return cls(varying, np.array(signs) * size)


def _sign(y: np.ndarray) -> int:
    """1 or -1 if all targets are that, else 0."""
    return 0 if (y != y[0]).any() else int(y[0])


def constant_size(loss: Loss, n_rows: int) -> float:
    """The size of the raw prediction of a label that was the same in so many rows: for the log loss
    that of the rule of succession, which says (n + 1) / (n + 2); for the others 1, their margin."""
    ones, share = np.ones(n_rows), np.full(n_rows, 1.0 / n_rows)
    most = max(1.0, float(numerics.log(np.array(n_rows + 1.0))))
    return float(np.clip(loss.constant(ones, share), 1.0, most))
