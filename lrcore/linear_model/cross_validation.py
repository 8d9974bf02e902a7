"""Estimators that choose the weight of the penalty by cross-validation.

Each fold is fitted along a path of alphas, every fit from where the last one ended, and judged by
its held-out rows; then all rows are fitted at the best alpha. What suits a fold is taken over to
all rows at the same C: alpha is ``1 / (C * n_rows)``.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils.hints import OF_SEARCHES
from lrcore._utils.plotting import AlphaPathDisplay
from lrcore._utils.validation import shown
from lrcore.linear_model.arguments import check_number
from lrcore.linear_model.auto_alpha import as_alpha, downhill, strength_at
from lrcore.linear_model.classifier import LinearClassifier, has_probabilities
from lrcore.linear_model.parameters import NamedParameters, set_parameters
from lrcore.linear_model.regressor import LinearRegressor

#: The tolerance of fits to folds where it is "auto": scores do not change any more.
FOLD_TOL = 1e-2


def scorer_of(scoring: Any, model: Any) -> Callable[..., float]:
    """The scorer of a name or a function; errors name `scoring`."""
    try:
        scorer: Callable[..., float] = check_scoring(model, scoring)
        return scorer
    except (TypeError, ValueError):
        raise ValueError(
            "scoring must be a name that sklearn.metrics.get_scorer_names() has, or a function of "
            f"an estimator, X and y, got {shown(scoring)}"
        ) from None


def splits_of(cv: Any, model: Any, X: Any, y: Any, groups: Any = None) -> list[Any]:
    """The rows to learn from and those held out, for each fold; errors name `cv`."""
    try:
        splitter = check_cv(cv, y, classifier=is_classifier(model))
        splits = [(train, test) for train, test in splitter.split(X, y, groups)]
        for rows in (rows for split in splits for rows in split):
            if np.ndim(rows) != 1 or (np.size(rows) and np.asarray(rows).dtype.kind not in "iub"):
                raise TypeError("train and test are to be numbers of rows")
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            "cv must be a number of folds >= 2, a splitter or a list of pairs (train, test), which "
            f"split these rows, got {shown(cv)}: {error}"
        ) from None
    if not splits:
        raise ValueError(f"cv must have one split at least, got {shown(cv)}")
    return splits


class Folds:
    """The folds of a cross-validation, each with an estimator that goes on from its last fit."""

    def __init__(
        self, model: Any, scorer: Callable[..., float], X: Any, y: Any, weight: Any, offset: Any,
        splits: Any,
    ) -> None:  # fmt: skip
        self._scorer, self._folds = scorer, []
        self._takes = set(inspect.signature(scorer).parameters)
        of_rows = np.ones(_num_samples(y)) if weight is None else np.asarray(weight, np.float64)
        for train, test in splits:
            parts = [
                tuple(
                    None if each is None else _safe_indexing(each, rows)
                    for each in (X, y, weight, offset)
                )
                for rows in (train, test)
            ]
            ratio = float(np.sum(of_rows) / np.sum(of_rows[train]))
            self._folds.append((clone(model), ratio, *parts))

    def scores_at(self, alpha: float) -> list[float]:
        """The score of each fold at an alpha of all rows."""
        found = []
        for model, ratio, (X, y, weight, offset), test in self._folds:
            added = {} if offset is None else {"offset": offset}
            model.set_params(alpha=alpha * ratio).fit(X, y, weight, **added)
            found.append(self._score(model, *test))
        return found

    def _score(self, model: Any, X: Any, y: Any, weight: Any, offset: Any) -> float:
        """That of rows held out, with what the scorer takes of what they have."""
        given = {"sample_weight": weight, "offset": offset}
        taken = {k: v for k, v in given.items() if v is not None and k in self._takes}
        if offset is not None and "offset" not in taken:
            model = with_own_offset(model, offset)
        return float(self._scorer(model, X, y, **taken))


def with_own_offset(model: Any, offset: Any) -> Any:
    """A copy of a regressor whose predictions have these offsets, for scorers that know of none."""
    other = copy.copy(model)
    other.predict = partial(model.predict, offset=offset)
    return other


def negative_loss(
    model: Any, X: Any, y: Any, sample_weight: Any = None, offset: Any = None
) -> float:
    """The mean of the model's own loss over rows, times -1."""
    added = {} if offset is None else {"offset": offset}
    return -model._mean_loss(X, y, sample_weight, **added)


def path(folds: Folds, given: np.ndarray | None, start: float) -> tuple[np.ndarray, np.ndarray]:
    """The alphas given, or those of a search from one on, down to the smallest, and the scores of
    the folds, (n_folds, n_alphas)."""
    if given is not None:
        return given, np.array([folds.scores_at(float(alpha)) for alpha in given]).T
    found: dict[int, list[float]] = {}

    def lost_at(k: int) -> float:
        if k not in found:
            found[k] = folds.scores_at(start * strength_at(k))
        return -float(np.mean(found[k]))

    downhill(lost_at)
    order = sorted(found, reverse=True)
    return np.array([start * strength_at(k) for k in order]), np.array([found[k] for k in order]).T


class CrossValidatedModel(NamedParameters, BaseEstimator):
    """What both estimators have in common: the search, and an estimator that has the rest."""

    _other_names = OF_SEARCHES
    _kind: ClassVar[type]
    _own: ClassVar[tuple[str, ...]] = ("alphas", "l1_ratios", "cv", "scoring")

    alphas: Any
    l1_ratios: Any
    cv: Any
    scoring: Any
    penalty: str | None
    tol: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _estimator(self, **changed: Any) -> Any:
        """An estimator of one alpha with the parameters of this one."""
        own = self.get_params(deep=False)
        return self._kind(**{name: own[name] for name in own if name not in self._own} | changed)

    def _ratios(self) -> list[dict[str, float]]:
        """The parameters of each path."""
        if self.l1_ratios is None:
            return [{}]
        if self.penalty != "elasticnet":
            raise ValueError(
                f"l1_ratios are for penalty='elasticnet', got penalty={self.penalty!r}; leave them "
                "out or set it"
            )
        for ratio in self.l1_ratios:
            check_number("each of l1_ratios", ratio, 0, 1)
        return [{"l1_ratio": float(ratio)} for ratio in self.l1_ratios]

    @rounded_to_nearest
    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any, offset: Any = None) -> None:
        alphas, ratios = as_alpha(self.alphas, "alphas"), self._ratios()
        if self.penalty is None:
            raise ValueError("penalty=None has no alpha to choose; set it, or do without CV")
        given = None if isinstance(alphas, str) else np.atleast_1d(alphas)
        whole = self._estimator()
        added = {} if offset is None else {"offset": offset}
        start = whole._alpha_of_few(X, y, sample_weight, **added)  # checks all arguments
        X, y, sample_weight, groups, offset = indexable(X, y, sample_weight, groups, offset)
        scorer = negative_loss if self.scoring is None else scorer_of(self.scoring, whole)
        splits = splits_of(self.cv, self, X, y, groups)
        tol = FOLD_TOL if self.tol == "auto" else self.tol
        paths = []
        for own in ratios:
            model = self._estimator(warm_start=True, tol=tol, verbose=0, **own)
            folds = Folds(model, scorer, X, y, sample_weight, offset, splits)
            paths.append(path(folds, given, start))
        means = [np.nan_to_num(np.mean(scores, axis=0), nan=-np.inf) for _, scores in paths]
        best = int(np.argmax([np.max(mean) for mean in means]))
        own, (tried, scores) = ratios[best], paths[best]
        alpha = float(tried[np.argmax(means[best])])
        estimator = self._estimator(alpha=alpha, **own).fit(X, y, sample_weight, **added)
        n_rows = _num_samples(y) if sample_weight is None else np.sum(sample_weight)
        names = getattr(estimator, "feature_names_in_", None)
        fitted = {
            **self.__dict__, "estimator_": estimator, "alphas_": tried, "scores_": scores,
            "alpha_": alpha, "l1_ratio_": own.get("l1_ratio"),
            "C_": 1.0 / (alpha * float(n_rows)) if alpha > 0 else np.inf,
            "n_features_in_": estimator.n_features_in_, "feature_names_in_": names,
        }  # fmt: skip
        if is_classifier(self):
            fitted["classes_"] = estimator.classes_
        if names is None:
            del fitted["feature_names_in_"]  # also those of an earlier fit
        # One assignment, so that an interruption leaves all of it as it was or as it is to be.
        self.__dict__ = fitted

    def _fitted(self) -> Any:
        check_is_fitted(self, "estimator_")
        return self.estimator_

    @property
    def coef_(self) -> Any:
        return self.estimator_.coef_

    @property
    def intercept_(self) -> np.ndarray:
        return np.asarray(self.estimator_.intercept_)

    @property
    def dual_gap_(self) -> float | None:
        gap: float | None = self.estimator_.dual_gap_
        return gap

    @property
    def solver_(self) -> str:
        return str(self.estimator_.solver_)

    @property
    def n_iter_(self) -> int:
        return int(self.estimator_.n_iter_)

    def predict(self, X: Any) -> np.ndarray:
        """As of the estimator at the best alpha."""
        return np.asarray(self._fitted().predict(X))

    def plot(self, ax: Any = None) -> AlphaPathDisplay:
        """Draw the scores against alpha: their mean, that of each fold, and the best alpha.

        Parameters
        ----------
        ax : matplotlib axes, optional
            New ones by default.

        Returns
        -------
        AlphaPathDisplay

        Raises
        ------
        NotFittedError
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(self, "estimator_")
        label = "mean held-out loss" if self.scoring is None else "score"
        sign = -1.0 if self.scoring is None else 1.0
        return AlphaPathDisplay(self.alphas_, sign * self.scores_, self.alpha_, label).plot(ax)


class LinearClassifierCV(ClassifierMixin, CrossValidatedModel):
    """`LinearClassifier` with the weight of its penalty chosen by cross-validation.

    ``LinearClassifier(alpha="auto")`` chooses one as well, in a fraction of the time; this one has
    folds, scores and l1 ratios to choose from.

    Parameters
    ----------
    loss, penalty, penalty_factors, positive, scale, fit_intercept, solver, max_iter, tol, \
class_weight, multi_class, random_state, n_threads, verbose
        As in `LinearClassifier`.
    alphas : "auto" or list of floats
        Weights of the penalty of all rows; folds have the same ``C = 1 / (alpha * n_rows)``.
        ``"auto"`` searches from a hundredth of the mean of ``|x|**2``, by factors of 10, then of
        the square root of 10, as long as the mean score rises.
    l1_ratios : list of floats in [0, 1], optional
        Of ``penalty="elasticnet"``; there is a path of alphas for each.
    cv : int, splitter or iterable, optional
        Folds as in scikit-learn; by default five, which have the same shares of the classes.
    scoring : str or callable, optional
        As in scikit-learn, such as ``"accuracy"``; by default the mean of the loss, negative.

    Attributes
    ----------
    estimator_ : LinearClassifier
        Fitted to all rows at the best alpha.
    alpha_, C_ : float
        The best alpha, and ``1 / (alpha_ * n_rows)``, or over the sum of the weights.
    l1_ratio_ : float or None
        The best of `l1_ratios`.
    alphas_ : ndarray of shape (n_alphas,)
        The alphas that were tried at the best l1 ratio, from the largest on.
    scores_ : ndarray of shape (n_folds, n_alphas)
    coef_, intercept_, classes_, dual_gap_, solver_, n_iter_, n_features_in_
        Of `estimator_`.

    Examples
    --------
    >>> import lrcore
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = lrcore.LinearClassifierCV(scoring="accuracy").fit(X, y)
    >>> clf.scores_.shape == (5, len(clf.alphas_))
    True
    >>> bool(clf.scores_.mean(axis=0).max() > 0.95)
    True
    """

    _kind = LinearClassifier

    def __init__(
        self,
        loss: str | None = "log_loss",
        *,
        alphas: Any = "auto",
        l1_ratios: Any = None,
        cv: Any = None,
        scoring: Any = None,
        penalty: str | None = "l2",
        penalty_factors: Any = None,
        positive: Any = False,
        scale: str | None = "auto",
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int | None = None,
        tol: str | float | None = "auto",
        class_weight: dict[Any, float] | str | None = None,
        multi_class: str = "auto",
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        set_parameters(self, locals())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> Any:
        """Choose alpha, and fit all rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `LinearClassifier.fit`. Scores have the weights as well, if `scoring` takes them.
        groups : array of shape (n_rows,), optional
            For a splitter that needs them.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As `LinearClassifier.fit`.
        """
        self._fit(X, y, sample_weight, groups)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """As of `LinearClassifier`."""
        return np.asarray(self._fitted().decision_function(X))

    @available_if(has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """As of `LinearClassifier`."""
        return np.asarray(self._fitted().predict_proba(X))

    @available_if(has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`."""
        return np.asarray(self._fitted().predict_log_proba(X))


class LinearRegressorCV(RegressorMixin, CrossValidatedModel):
    """`LinearRegressor` with the weight of its penalty chosen by cross-validation.

    Parameters
    ----------
    loss, penalty, penalty_factors, positive, scale, fit_intercept, solver, max_iter, tol, \
random_state, n_threads, verbose, epsilon, quantile, power
        As in `LinearRegressor`.
    alphas, l1_ratios, cv, scoring
        As in `LinearClassifierCV`.

    Attributes
    ----------
    estimator_ : LinearRegressor
        Fitted to all rows at the best alpha.
    alpha_, C_, l1_ratio_, alphas_, scores_
        As of `LinearClassifierCV`. Ridge's alpha is ``alpha_ * n_rows``.
    coef_, intercept_, dual_gap_, solver_, n_iter_, n_features_in_
        Of `estimator_`.

    Examples
    --------
    >>> import lrcore
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = lrcore.LinearRegressorCV(alphas=[1e-5, 1e-4, 1e-3, 1e-2], scoring="r2").fit(X, y)
    >>> reg.scores_.shape
    (5, 4)
    """

    _kind = LinearRegressor

    def __init__(
        self,
        loss: str | None = "squared_error",
        *,
        alphas: Any = "auto",
        l1_ratios: Any = None,
        cv: Any = None,
        scoring: Any = None,
        penalty: str | None = "l2",
        penalty_factors: Any = None,
        positive: Any = False,
        scale: str | None = "auto",
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int | None = None,
        tol: str | float | None = "auto",
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: int = 0,
        epsilon: float = 0.1,
        quantile: float = 0.5,
        power: float = 1.5,
    ) -> None:
        set_parameters(self, locals())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, *, groups: Any = None
    ) -> Any:
        """Choose alpha, and fit all rows; the arguments are those of `LinearClassifierCV.fit`, and
        the offset of `LinearRegressor.fit`, with which held-out rows are judged as well."""
        self._fit(X, y, sample_weight, groups, offset)
        return self

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """As of the estimator at the best alpha."""
        return np.asarray(self._fitted().predict(X, offset))

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """As of the estimator at the best alpha."""
        return float(self._fitted().score(X, y, sample_weight, offset))
