"""Coefficients out of fitted estimators of scikit-learn, and what their parameters are to ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

#: Our parameters of a fitted estimator, which has learnt from so many rows, if that is known.
Reader = Callable[[Any, "float | None"], dict[str, Any]]

#: Parameters that are left at their defaults where estimators of several outputs differ in them.
OF_OUTPUTS = {"alpha", "l1_ratio", "epsilon"}


@dataclass(frozen=True)
class Imported:
    """What an estimator of scikit-learn has learnt.

    Parameters
    ----------
    params : dict
        Parameters of ours that say what it has minimised.
    weights : ndarray of shape (n_outputs, n_features)
    intercepts : ndarray of shape (n_outputs,)
    learnt : dict
        Attributes of ours by name: of classes, or of targets.
    """

    params: dict[str, Any]
    weights: np.ndarray
    intercepts: np.ndarray
    learnt: dict[str, Any] = field(default_factory=dict)


def read_classifier(estimator: Any, n_rows: float | None) -> Imported:
    """What a classifier of scikit-learn has learnt.

    Raises
    ------
    TypeError, ValueError
        If it is none that we know, is not fitted, or has no loss of ours.
    """
    if _is("OneVsRestClassifier", estimator):
        return _one_vs_rest(estimator, n_rows)
    params = _params(CLASSIFIERS, estimator, n_rows)
    classes = np.asarray(estimator.classes_)
    weights, intercepts = _arrays(estimator)
    n_outputs = 1 if len(classes) == 2 else len(classes)
    if len(classes) < 2 or len(weights) != n_outputs:
        raise ValueError(
            f"{_name(estimator)} must have coefficients for {n_outputs} outputs of {len(classes)} "
            f"classes, got {len(weights)}"
        )
    return Imported(params, weights, intercepts, {"classes_": classes, "_multilabel": False})


def read_regressor(estimator: Any, n_rows: float | None) -> Imported:
    """What a regressor of scikit-learn has learnt; the errors are those of `read_classifier`."""
    if _is("MultiOutputRegressor", estimator):
        parts = [read_regressor(each, n_rows) for each in _parts(estimator)]
        return _side_by_side(parts, {"_single": False})
    params = _params(REGRESSORS, estimator, n_rows)
    single = np.ndim(_dense(estimator.coef_)) == 1
    return Imported(params, *_arrays(estimator), {"_single": single})


def _one_vs_rest(estimator: Any, n_rows: float | None) -> Imported:
    """One classifier for each label; of classes they are one against the rest."""
    parts = [read_classifier(each, n_rows) for each in _parts(estimator)]
    multilabel = bool(estimator.multilabel_)
    classes = np.arange(len(parts)) if multilabel else np.asarray(estimator.classes_)
    both = _side_by_side(parts, {"classes_": classes, "_multilabel": multilabel})
    if both.params.get("loss") == "log_loss" and not multilabel:
        both.params["multi_class"] = "ovr"
    return both


def _parts(estimator: Any) -> list[Any]:
    """The fitted estimators of one of several outputs."""
    _check_fitted(estimator, "estimators_")
    return list(estimator.estimators_)


def _side_by_side(parts: list[Imported], learnt: dict[str, Any]) -> Imported:
    """Estimators of single outputs as one of all."""
    first = parts[0].params
    differ = {name for part in parts for name in first if part.params.get(name) != first[name]}
    if differ - OF_OUTPUTS or any(len(part.weights) != 1 for part in parts):
        raise ValueError(
            "the estimators of all outputs must be of one output and have the same "
            f"{', '.join(sorted(differ - OF_OUTPUTS)) or 'shape'}"
        )
    params = {name: value for name, value in first.items() if name not in differ}
    weights, intercepts = (
        np.concatenate(each) for each in zip(*((p.weights, p.intercepts) for p in parts))
    )
    return Imported(params, weights, intercepts, learnt)


def _params(readers: Mapping[str, Reader], estimator: Any, n_rows: float | None) -> dict[str, Any]:
    """Our parameters for an estimator that is fitted."""
    for cls in type(estimator).__mro__:
        if cls.__name__ in readers and cls.__module__.startswith("sklearn."):
            _check_fitted(estimator, "coef_")
            positive = {"positive": True} if getattr(estimator, "positive", False) else {}
            return {**readers[cls.__name__](estimator, n_rows), **positive}
    raise TypeError(
        f"from_sklearn takes {', '.join(readers)}, fitted, got {_name(estimator)}; its "
        "coefficients, if it has any, may mean something else"
    )


def _check_fitted(estimator: Any, attribute: str) -> None:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator, attribute)


def _arrays(estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weights, (n_outputs, n_features), and intercepts, (n_outputs,), of one dtype."""
    weights = np.atleast_2d(_dense(estimator.coef_))
    dtype = np.float32 if weights.dtype == np.float32 else np.float64
    weights = np.array(weights, dtype, order="C")
    intercepts = np.array(np.resize(np.atleast_1d(estimator.intercept_), len(weights)), dtype)
    if not (np.isfinite(weights).all() and np.isfinite(intercepts).all()):
        raise ValueError(f"{_name(estimator)} has coefficients that are not finite")
    return weights, intercepts


def _dense(coef: Any) -> np.ndarray:
    return np.asarray(coef.toarray() if sparse.issparse(coef) else coef)


def _is(name: str, estimator: Any) -> bool:
    return any(cls.__name__ == name for cls in type(estimator).__mro__)


def _name(estimator: Any) -> str:
    return type(estimator).__name__


def _by_c(estimator: Any, n_rows: float | None, penalty: str | None = "l2") -> dict[str, Any]:
    """The penalty of an objective that is a sum over rows, times C."""
    found: dict[str, Any] = {"fit_intercept": bool(estimator.fit_intercept), "penalty": penalty}
    if penalty is not None and n_rows is not None:
        found["alpha"] = 1.0 / (float(estimator.C) * n_rows)
    return found


def _by_alpha(alpha: Any, estimator: Any, penalty: str | None = "l2") -> dict[str, Any]:
    """The penalty of an objective that is a mean over rows; its weight, if it is one number."""
    found: dict[str, Any] = {"fit_intercept": bool(estimator.fit_intercept), "penalty": penalty}
    if penalty is not None and alpha is not None and np.ndim(alpha) == 0:
        found["alpha"] = float(alpha)
    return found


def _elasticnet(estimator: Any, penalty: str | None) -> dict[str, Any]:
    return {"l1_ratio": float(estimator.l1_ratio)} if penalty == "elasticnet" else {}


def _logistic_regression(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    multi_class = getattr(estimator, "multi_class", "auto")
    if multi_class == "multinomial" and len(estimator.classes_) == 2:
        raise ValueError(
            "a LogisticRegression of two classes with multi_class='multinomial' has probabilities "
            "of twice its decision function; fit it with multi_class='auto'"
        )
    one_vs_rest = multi_class == "ovr" or estimator.solver == "liblinear"
    penalty = estimator.penalty
    if penalty == "deprecated":  # scikit-learn >= 1.8 has l1_ratio and C alone
        ratio = estimator.l1_ratio or 0.0
        penalty = {0.0: "l2", 1.0: "l1"}.get(ratio, "elasticnet")
        penalty = None if np.isinf(estimator.C) else penalty
    found = {**_by_c(estimator, n_rows, penalty), **_elasticnet(estimator, penalty)}
    return {"loss": "log_loss", "multi_class": "ovr" if one_vs_rest else "auto", **found}


def _logistic_regression_cv(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    """What was searched for differs by class, so only what was fitted is taken."""
    one_vs_rest = estimator.solver == "liblinear" or (
        getattr(estimator, "multi_class", "auto") == "ovr"
    )
    multi_class = "ovr" if one_vs_rest else "auto"
    return {
        "loss": "log_loss", "multi_class": multi_class,
        "fit_intercept": bool(estimator.fit_intercept),
    }  # fmt: skip


def _linear_svm(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    if getattr(estimator, "multi_class", "ovr") == "crammer_singer":
        raise ValueError("LinearSVC with multi_class='crammer_singer' has no loss of ours")
    epsilon = {"epsilon": float(estimator.epsilon)} if hasattr(estimator, "epsilon") else {}
    penalty = getattr(estimator, "penalty", "l2")
    return {"loss": estimator.loss, **epsilon, **_by_c(estimator, n_rows, penalty)}


def _steps(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    """Of SGDClassifier, SGDRegressor and Perceptron, whose objective is ours."""
    known = SGD_LOSSES["classes_" if hasattr(estimator, "classes_") else "numbers"]
    if estimator.loss not in known:
        raise ValueError(
            f"{_name(estimator)} with loss={estimator.loss!r} has no loss of ours for its "
            f"predictions, which {', '.join(known)} have"
        )
    found = _by_alpha(estimator.alpha, estimator, estimator.penalty)
    found |= _elasticnet(estimator, estimator.penalty)
    if estimator.loss == "log_loss":
        found["multi_class"] = "ovr"
    if estimator.loss in WITH_EPSILON:
        found["epsilon"] = float(estimator.epsilon)
    return {"loss": estimator.loss, **found}


def _ridge(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    alpha = estimator.alpha_ if hasattr(estimator, "alpha_") else estimator.alpha
    of_mean = None if n_rows is None or np.ndim(alpha) else alpha / n_rows
    return {"loss": "squared_error", **_by_alpha(of_mean, estimator)}


def _least_squares(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    return {"loss": "squared_error", **_by_alpha(None, estimator, None)}


def _lasso(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    alpha = getattr(estimator, "alpha_", None)
    alpha = getattr(estimator, "alpha", None) if alpha is None else alpha
    return {"loss": "squared_error", **_by_alpha(alpha, estimator, "l1")}


def _elastic_net(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    ratio = getattr(estimator, "l1_ratio_", estimator.l1_ratio)
    return {**_lasso(estimator, n_rows), "penalty": "elasticnet", "l1_ratio": float(ratio)}


def _huber(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    epsilon = float(estimator.epsilon * estimator.scale_)
    return {"loss": "huber", "epsilon": epsilon, **_by_alpha(None, estimator)}


def _quantile(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    quantile = float(estimator.quantile)
    return {"loss": "quantile", "quantile": quantile, **_by_alpha(estimator.alpha, estimator, "l1")}


def _glm(estimator: Any, n_rows: float | None) -> dict[str, Any]:
    if getattr(estimator, "link", "log") == "identity" or (
        getattr(estimator, "link", "log") == "auto" and estimator.power <= 0
    ):
        if estimator.power != 0:
            raise ValueError("TweedieRegressor with link='identity' needs power=0, squared errors")
        loss: dict[str, Any] = {"loss": "squared_error"}
    elif hasattr(estimator, "power"):
        loss = {"loss": "tweedie", "power": float(estimator.power)}
    else:
        loss = {"loss": "poisson" if _is("PoissonRegressor", estimator) else "gamma"}
    return {**loss, **_by_alpha(estimator.alpha, estimator)}


#: Losses of estimators that step whose predictions ours have, too.
SGD_LOSSES = {
    "classes_": ("log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron"),
    "numbers": (
        "squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive",
    ),
}  # fmt: skip
WITH_EPSILON = ("huber", "epsilon_insensitive", "squared_epsilon_insensitive")

CLASSIFIERS: Mapping[str, Reader] = {
    "LogisticRegressionCV": _logistic_regression_cv,
    "LogisticRegression": _logistic_regression,
    "LinearSVC": _linear_svm,
    "Perceptron": _steps,
    "SGDClassifier": _steps,
}
REGRESSORS: Mapping[str, Reader] = {
    "LinearRegression": _least_squares,
    "Ridge": _ridge,
    "RidgeCV": _ridge,
    "Lasso": _lasso,
    "LassoCV": _lasso,
    "ElasticNet": _elastic_net,
    "ElasticNetCV": _elastic_net,
    "HuberRegressor": _huber,
    "QuantileRegressor": _quantile,
    "LinearSVR": _linear_svm,
    "SGDRegressor": _steps,
    "PoissonRegressor": _glm,
    "GammaRegressor": _glm,
    "TweedieRegressor": _glm,
}
