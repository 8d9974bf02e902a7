"""A search for the rate by cross-validation, in scikit-learn's own search classes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, check_cv
from sklearn.utils import check_random_state

from lrcore._utils.validation import check_choice, check_flag, check_integer
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.monitor.diagnostics import RateWarning
from lrcore.tuning.validation import check_has_rate, check_range, checked_data

METHODS = ("grid", "random", "halving", "bayes")

#: Scikit-learn's names of the losses that it has.
SCORINGS = {
    "log_loss": "neg_log_loss",
    "squared_error": "neg_mean_squared_error",
    "absolute_error": "neg_mean_absolute_error",
    "poisson": "neg_mean_poisson_deviance",
    "gamma": "neg_mean_gamma_deviance",
}

#: Rates that are drawn at random before their scores are modelled.
STARTUP = 5

#: A score beyond is none: of a fit that ran away, and its square, for the spread, would overflow.
HUGE = 1e150


@dataclass(frozen=True)
class RateSearch:
    """What a search found.

    Attributes
    ----------
    best_lr_, best_score_ : float
        The best rate, and its mean score over the folds.
    best_index_ : int
        Where it is in `cv_results_`.
    best_estimator_ : estimator or None
        The model at that rate, fitted on all rows; None with ``refit=False``.
    cv_results_ : dict of str to arrays
        As in scikit-learn's searches, with a `param_lr`. The score is NaN where a fit diverged.
    """

    best_lr_: float
    best_score_: float
    best_index_: int
    best_estimator_: Any
    cv_results_: dict[str, Any]

    def __repr__(self) -> str:
        n = len(self.cv_results_["params"])
        return f"<RateSearch: lr={self.best_lr_:.4g}, score={self.best_score_:.4g}, best of {n}>"


def lr_search(
    model: Any,
    X: Any,
    y: Any,
    method: str = "grid",
    *,
    cv: Any = 5,
    n_points: int = 13,
    lr_min: float = 1e-3,
    lr_max: float = 1e3,
    random_state: Any = 0,
    scoring: Any = None,
    refit: bool = True,
) -> RateSearch:
    """Choose the rate of a linear model by cross-validation, on a logarithmic scale.

    Parameters
    ----------
    model : LinearClassifier or LinearRegressor
        It is not changed. Copies are fitted with a number as their rate, which falls to 0 over the
        run; a schedule gives way to it.
    X, y
        As for ``fit``.
    method : {"grid", "random", "halving", "bayes"}
        ``"grid"``: rates spread evenly. ``"random"``: drawn. ``"halving"``: a grid, all on few
        rows, a third of them on three times as many, and so on (scikit-learn's
        HalvingGridSearchCV); few rows are few steps, at which other rates may be best.
        ``"bayes"``: each rate where the scores so far promise most (Optuna's tree-structured
        Parzen estimator, the extra `tune`).
    cv : int, splitter or iterable
        As for scikit-learn's searches. All rates are compared on the same splits.
    n_points : int >= 2
        Rates to try.
    lr_min, lr_max : float > 0
        Where they are.
    random_state : int, RandomState or None
        Of rates that are drawn, and of rows; also of the models, where their own is None.
    scoring : str, function or list, optional
        As for scikit-learn's searches, one measure. By default the loss of the rows held out:
        the log loss, squared or absolute error, or deviance that belongs to the model's loss; for
        other losses the model's ``score``.
    refit : bool
        Fit the model on all rows at the best rate.

    Returns
    -------
    RateSearch
        With `best_lr_`, `best_score_`, `best_estimator_`, `cv_results_`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not do, or if a fit diverges at every rate.
    ImportError
        ``method="bayes"`` without Optuna.

    See Also
    --------
    lr_range_test : one pass over the data, no fits.

    References
    ----------
    K. Jamieson and A. Talwalkar (2016), Non-stochastic best arm identification and hyperparameter
    optimization, AISTATS.
    J. Bergstra et al. (2011), Algorithms for hyper-parameter optimization, NeurIPS.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> rng = np.random.RandomState(0)
    >>> X = rng.randn(500, 5)
    >>> y = X @ rng.randn(5) + rng.randn(500) > 0
    >>> found = lrcore.lr_search(lrcore.LinearClassifier(), X, y, cv=3)
    >>> 0.01 < found.best_lr_ < 10
    True
    >>> found.cv_results_["param_lr"][:3]
    masked_array(data=[0.001, 0.003162..., 0.01], mask=[False, False, False], ...)
    >>> found.best_estimator_.score(X, y) > 0.7
    True
    """
    check_has_rate("model", model)
    checked_data(model, X, y)
    check_choice("method", method, METHODS)
    check_integer("n_points", n_points, least=2)
    check_range(lr_min, lr_max)
    check_flag("refit", refit)
    random = check_random_state(random_state)
    seed = int(random.randint(2**31 - 1))
    rated = clone(model)
    if rated.random_state is None:
        rated.set_params(random_state=seed)
    scorer = check_scoring(rated, scoring=SCORINGS.get(model._loss) if scoring is None else scoring)
    how: dict[str, Any] = {
        "scoring": _Score(scorer),
        "cv": list(check_cv(cv, y, classifier=is_classifier(model)).split(X, y)),
        "refit": False,
        "return_train_score": False,
        "error_score": "raise",
    }
    estimator = _Rated(rated)
    grid = {"lr": np.geomspace(lr_min, lr_max, int(n_points)).tolist()}
    if method == "bayes":
        imported_optuna()  # before anything is fitted
        search = _BayesSearch(estimator, grid, **how)
        search.seed = seed
    elif method == "halving":
        search = HalvingGridSearchCV(estimator, grid, random_state=seed, **how)
    else:
        if method == "random":
            drawn = random.uniform(math.log(lr_min), math.log(lr_max), int(n_points))
            grid = {"lr": np.exp(np.sort(drawn)).tolist()}
        search = GridSearchCV(estimator, grid, **how)
    return _searched(search, rated, X, y, refit)


def _searched(search: Any, model: LinearModel, X: Any, y: Any, refit: bool) -> RateSearch:
    """Run it, and read what it found."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite")
        search.fit(X, y)
    results, best = search.cv_results_, int(search.best_index_)
    score, lr = float(results["mean_test_score"][best]), float(results["params"][best]["lr"])
    if not math.isfinite(score):
        tried = [params["lr"] for params in results["params"]]
        raise ValueError(
            f"no rate from {min(tried):.3g} to {max(tried):.3g} has a finite score in all folds: "
            "lower lr_min and lr_max"
        )
    best_model = None
    if refit:
        best_model = clone(model).set_params(lr=lr).fit(X, y)
    return RateSearch(lr, score, best, best_model, results)


class _Rated(BaseEstimator):
    """A model at a rate, as the searches take it: its parameter is `lr`, and a fit that diverges is
    a result (`model_` is None) instead of an error."""

    def __init__(self, model: LinearModel, lr: float = 1.0) -> None:
        self.model, self.lr = model, lr

    def __sklearn_tags__(self) -> Any:
        return self.model.__sklearn_tags__()

    def fit(self, X: Any, y: Any) -> _Rated:
        model = clone(self.model).set_params(lr=self.lr)
        with warnings.catch_warnings():
            # Some of the rates are bad, which is what the scores say.
            warnings.simplefilter("ignore", RateWarning)
            try:
                self.model_ = model.fit(X, y)
            except FloatingPointError:
                self.model_ = None
        return self


@dataclass(frozen=True)
class _Score:
    """The score of a `_Rated`: NaN where the fit diverged, or came so far that outputs overflow."""

    scorer: Callable[[Any, Any, Any], float]

    def __call__(self, rated: _Rated, X: Any, y: Any) -> float:
        if rated.model_ is None:
            return math.nan
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = getattr(rated.model_, "decision_function", rated.model_.predict)(X)
            score = self.scorer(rated.model_, X, y) if np.isfinite(outputs).all() else math.nan
        return float(score) if abs(score) < HUGE else math.nan


class _BayesSearch(GridSearchCV):
    """Each rate where the scores so far promise most, instead of a grid's, and as many."""

    seed: int

    def _run_search(
        self,
        evaluate_candidates: Callable[[list[dict[str, float]]], dict[str, Any]],
        **context: Any,
    ) -> None:
        optuna = imported_optuna()
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            sampler = optuna.samplers.TPESampler(seed=self.seed % 2**32, n_startup_trials=STARTUP)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            rates = self.param_grid["lr"]
            for _ in rates:
                trial = study.ask()
                lr = trial.suggest_float("lr", rates[0], rates[-1], log=True)
                score = evaluate_candidates([{"lr": lr}])["mean_test_score"][-1]
                # Only the order of scores counts, and a fit that diverged is the worst.
                study.tell(trial, score if math.isfinite(score) else -np.finfo(np.float64).max)
        finally:
            optuna.logging.set_verbosity(level)


def imported_optuna() -> Any:
    """Optuna, or an error that says how to get it."""
    try:
        import optuna
    except ImportError:
        raise ImportError("method='bayes' needs Optuna: pip install 'lrcore[tune]'") from None
    return optuna
