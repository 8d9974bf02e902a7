"""scikit-learn's estimators with the coefficients of ours.

The estimator is the one whose ``fit`` minimises the same objective, or where there is none, one
whose predictions follow from coefficients in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrcore import losses
from lrcore.export.coefficients import Coefficients
from lrcore.losses import (
    AbsoluteError,
    EpsilonInsensitive,
    Gamma,
    Hinge,
    Huber,
    LogLoss,
    Perceptron,
    Poisson,
    Quantile,
    Softmax,
    SquaredEpsilonInsensitive,
    SquaredError,
    SquaredHinge,
    Tweedie,
)

#: The shape of HuberRegressor, in units of a scale that it estimates, where it is a default.
HUBER_SHAPE = 1.35

#: scikit-learn's default of C, and of Ridge's alpha, where the number of rows is not known.
OPEN = 1.0


@dataclass(frozen=True)
class Fitted:
    """What a fit was, as parameters of other estimators say it.

    Parameters
    ----------
    l1, l2 : float
        Weights of the magnitudes, and of halves of the squares, of a mean over rows.
    fit_intercept : bool
    positive : bool
        Whether no weight may be negative.
    n_iter, t : int
        Epochs, and steps.
    n_rows : float, optional
        The rows that were fitted; without them C has no value.
    """

    l1: float
    l2: float
    fit_intercept: bool
    positive: bool = False
    n_iter: int = 0
    t: int = 0
    n_rows: float | None = None

    @property
    def alpha(self) -> float:
        return self.l1 + self.l2

    @property
    def l1_ratio(self) -> float:
        return self.l1 / self.alpha if self.alpha else 0.0

    @property
    def penalty(self) -> str | None:
        if not self.alpha:
            return None
        return {0.0: "l2", 1.0: "l1"}.get(self.l1_ratio, "elasticnet")

    @property
    def C(self) -> float:  # noqa: N802
        """The inverse weight of the penalty where it is of a sum over rows."""
        return OPEN if self.n_rows is None or not self.alpha else 1.0 / (self.alpha * self.n_rows)

    @property
    def sgd(self) -> dict[str, Any]:
        """Parameters of estimators that step, whose objective is a mean over rows as ours is."""
        return {
            "penalty": self.penalty, "alpha": self.alpha, "l1_ratio": self.l1_ratio,
            "fit_intercept": self.fit_intercept,
        }  # fmt: skip


def to_sklearn(model: Coefficients, fitted: Fitted) -> Any:
    """A fitted estimator of scikit-learn with these coefficients.

    Returns
    -------
    estimator
        OneVsRestClassifier and MultiOutputRegressor of such estimators where rows have several
        labels, or several targets that scikit-learn's estimator does not have.
    """
    if model.multilabel:
        return _one_vs_rest(model, fitted)
    make = _classifier if model.loss.classifies else _regressor
    estimator = make(model, fitted)
    if not model.single and not _takes_targets(estimator):
        return _of_targets(model, fitted, estimator)
    return _with_coefficients(estimator, model, fitted)


def _classifier(model: Coefficients, fitted: Fitted) -> Any:
    from sklearn import linear_model, svm

    loss = model.loss
    if isinstance(loss, Softmax) or (isinstance(loss, LogLoss) and model.n_outputs == 1):
        return _logistic_regression(fitted)
    if isinstance(loss, Perceptron):
        return linear_model.Perceptron(**fitted.sgd)
    if isinstance(loss, (Hinge, SquaredHinge)) and fitted.penalty == "l2":
        name = losses.name_of(loss)
        return svm.LinearSVC(loss=name, C=fitted.C, fit_intercept=fitted.fit_intercept)
    return linear_model.SGDClassifier(loss=losses.name_of(loss), **fitted.sgd)


def _logistic_regression(fitted: Fitted) -> Any:
    from sklearn.linear_model import LogisticRegression

    has_names = LogisticRegression().penalty != "deprecated"  # scikit-learn < 1.8
    params: dict[str, Any] = {"C": fitted.C, "fit_intercept": fitted.fit_intercept}
    if fitted.penalty is None:
        params = {**params, "penalty": None} if has_names else {**params, "C": np.inf}
    elif fitted.l1:
        params |= {"l1_ratio": fitted.l1_ratio, "solver": "saga"}
        params |= {"penalty": "elasticnet"} if has_names else {}
    return LogisticRegression(**params)


def _regressor(model: Coefficients, fitted: Fitted) -> Any:
    from sklearn import linear_model, svm

    loss, both = model.loss, {"fit_intercept": fitted.fit_intercept}
    if isinstance(loss, SquaredError):
        return _least_squares(fitted)
    if isinstance(loss, (Poisson, Gamma, Tweedie)):
        own = {"power": loss.power, "link": "log"} if isinstance(loss, Tweedie) else {}
        kind = getattr(linear_model, f"{type(loss).__name__}Regressor")
        return kind(alpha=fitted.alpha, **own, **both)
    if isinstance(loss, Quantile):
        return linear_model.QuantileRegressor(quantile=loss.quantile, alpha=fitted.alpha, **both)
    if isinstance(loss, AbsoluteError):  # twice the loss of the median
        return linear_model.QuantileRegressor(quantile=0.5, alpha=fitted.alpha / 2, **both)
    if isinstance(loss, Huber) and not fitted.l1:
        return linear_model.HuberRegressor(epsilon=HUBER_SHAPE, **both)
    if isinstance(loss, (EpsilonInsensitive, SquaredEpsilonInsensitive)) and fitted.penalty == "l2":
        name = losses.name_of(loss)
        return svm.LinearSVR(loss=name, epsilon=loss.epsilon, C=fitted.C, **both)
    return linear_model.SGDRegressor(
        loss=losses.name_of(loss), epsilon=loss.parameter, **fitted.sgd
    )


def _least_squares(fitted: Fitted) -> Any:
    from sklearn import linear_model

    both = {"fit_intercept": fitted.fit_intercept, "positive": fitted.positive}
    if fitted.penalty is None:
        return linear_model.LinearRegression(**both)
    if fitted.penalty == "l2":  # of half the sum of squares over rows
        alpha = OPEN if fitted.n_rows is None else fitted.alpha * fitted.n_rows
        return linear_model.Ridge(alpha=alpha, **both)
    if fitted.penalty == "l1":
        return linear_model.Lasso(alpha=fitted.alpha, **both)
    return linear_model.ElasticNet(alpha=fitted.alpha, l1_ratio=fitted.l1_ratio, **both)


def _takes_targets(estimator: Any) -> bool:
    from sklearn.utils import get_tags

    return bool(get_tags(estimator).target_tags.multi_output)


def _of_targets(model: Coefficients, fitted: Fitted, estimator: Any) -> Any:
    from sklearn.base import clone
    from sklearn.multioutput import MultiOutputRegressor

    whole = MultiOutputRegressor(estimator)
    whole.estimators_ = [
        _with_coefficients(clone(estimator), model.of_output(k), fitted)
        for k in range(model.n_outputs)
    ]
    return _with_features(whole, model)


def _one_vs_rest(model: Coefficients, fitted: Fitted) -> Any:
    """One estimator for each label, of which a row may have none or many."""
    from sklearn.base import clone
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    two = np.array([0, 1])
    parts = [model.of_output(k, two) for k in range(model.n_outputs)]
    estimator = _classifier(parts[0], fitted)
    whole = OneVsRestClassifier(estimator)
    whole.estimators_ = [_with_coefficients(clone(estimator), part, fitted) for part in parts]
    n = model.n_outputs
    indicator = np.vstack([np.eye(n, dtype=np.int64), np.ones((1, n), np.int64)])
    whole.label_binarizer_ = LabelBinarizer(sparse_output=False).fit(indicator)
    return _with_features(whole, model)


def _with_features(estimator: Any, model: Coefficients) -> Any:
    estimator.n_features_in_ = model.n_features
    if model.feature_names is not None:
        estimator.feature_names_in_ = model.feature_names.astype(object)
    return estimator


def _with_coefficients(estimator: Any, model: Coefficients, fitted: Fitted) -> Any:
    """The estimator with all that its ``fit`` would have left."""
    weights, intercepts = model.weights.copy(), model.intercepts.copy()
    if model.classes is not None:
        estimator.classes_ = model.classes.copy()
    elif model.single:
        weights = weights[0]
    estimator.coef_, estimator.intercept_ = weights, intercepts
    for name, value in _own_attributes(estimator, model, fitted).items():
        setattr(estimator, name, value)
    return _with_features(estimator, model)


def _own_attributes(estimator: Any, model: Coefficients, fitted: Fitted) -> dict[str, Any]:
    """What an estimator has beside coefficients."""
    name, n_iter = type(estimator).__name__, fitted.n_iter
    if name == "LogisticRegression":
        return {"n_iter_": np.array([n_iter], np.int32)}
    if name in ("SGDClassifier", "SGDRegressor", "Perceptron"):
        return {"n_iter_": n_iter, "t_": 1.0 + fitted.t}
    if name in ("LinearSVC", "LinearSVR"):
        return {"n_iter_": n_iter}
    own: dict[str, Any] = {} if name == "LinearRegression" else {"n_iter_": n_iter}
    if model.single:
        own["intercept_"] = model.intercepts[0]
    if name == "HuberRegressor":  # outliers are what is further away than epsilon times the scale
        own["scale_"] = model.loss.parameter / estimator.epsilon
    if hasattr(estimator, "_get_loss"):  # of the generalised linear models, which has the link
        own["_base_loss"] = estimator._get_loss()
    return own
