"""A search for the learning rate by cross-validation, by the search classes of scikit-learn."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV

from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils.plotting import RateSearchDisplay
from lrcore._utils.validation import check_choice, check_flag, check_integer
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.cross_validation import scorer_of, splits_of
from lrcore.linear_model.monitor.diagnostics import warn
from lrcore.linear_model.parameters import as_random
from lrcore.tuning.validation import check_has_rate, check_range, checked_data

METHODS = ("grid", "random", "halving", "bayes")

#: The scorers of scikit-learn that belong to losses; other losses use the score of the model.
SCORINGS = {
    "log_loss": "neg_log_loss",
    "squared_error": "neg_mean_squared_error",
    "absolute_error": "neg_mean_absolute_error",
    "poisson": "neg_mean_poisson_deviance",
    "gamma": "neg_mean_gamma_deviance",
}

#: The rates that are tried where no range is given, and how many ranges at most.
LR_MIN, LR_MAX, MOST_RANGES = 1e-3, 1e3, 5

#: Random rates before the Bayesian search begins to model the scores.
N_RANDOM_TRIALS = 5

#: A score of larger magnitude counts as NaN: the fit has diverged, and the square of the score,
#: for the standard deviation over the folds, would overflow.
LARGEST_SCORE = 1e150


@dataclass(frozen=True)
class RateSearch:
    """The result of `lr_search`.

    Attributes
    ----------
    best_lr_, best_score_ : float
        The best rate, and its mean score over the folds.
    best_index_ : int
        Its position in `cv_results_`.
    best_estimator_ : estimator or None
        The model at that rate, fitted on all rows; None with ``refit=False``.
    cv_results_ : dict of str to arrays
        As in scikit-learn's searches, with ``"param_lr"`` for the rates. The score is NaN where a
        fit diverged.
    """

    best_lr_: float
    best_score_: float
    best_index_: int
    best_estimator_: Any
    cv_results_: dict[str, Any]

    def __repr__(self) -> str:
        n = len(self.cv_results_["params"])
        return f"<RateSearch: lr={self.best_lr_:.4g}, score={self.best_score_:.4g}, best of {n}>"

    def plot(self, ax: Any = None) -> RateSearchDisplay:
        """Draw the scores of the folds against the rates; needs matplotlib, the extra `plot`.

        Of a rate that was tried on several numbers of rows (``"halving"``) the last scores are
        drawn.

        Parameters
        ----------
        ax : matplotlib axes, optional
            New ones by default.

        Returns
        -------
        RateSearchDisplay
            With attributes `ax_` and `figure_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import lrcore
        >>> from sklearn.datasets import load_breast_cancer
        >>> clf = lrcore.LinearClassifier(solver="stochastic", tol=None, random_state=0)
        >>> search = lrcore.lr_search(clf, *load_breast_cancer(return_X_y=True), n_points=5)
        >>> display = search.plot()  # doctest: +SKIP
        """
        lrs = np.asarray(self.cv_results_["param_lr"], np.float64)
        last = {lr: i for i, lr in enumerate(lrs.tolist())}
        rows = [last[lr] for lr in sorted(last)]
        folds = [
            self.cv_results_[f"split{k}_test_score"] for k in range(len(self.cv_results_))
            if f"split{k}_test_score" in self.cv_results_
        ]  # fmt: skip
        scores = np.asarray(folds)[:, rows]
        return RateSearchDisplay(lrs[rows], scores, self.best_lr_, "score, higher is better").plot(
            ax
        )


@rounded_to_nearest
def lr_search(
    model: Any,
    X: Any,
    y: Any,
    method: str = "grid",
    *,
    cv: Any = 5,
    n_points: int = 13,
    lr_min: float | None = None,
    lr_max: float | None = None,
    random_state: Any = 0,
    scoring: Any = None,
    refit: bool = True,
) -> RateSearch:
    """Choose the learning rate of a linear model by cross-validation, on a logarithmic scale.

    Parameters
    ----------
    model : LinearClassifier or LinearRegressor
        It is not changed. Copies are fitted at each rate, which falls linearly to 0 over the fit;
        a schedule of the model is replaced.
    X, y
        As for ``fit``.
    method : {"grid", "random", "halving", "bayes"}
        ``"grid"``: rates at equal distances. ``"random"``: random rates. ``"halving"``: a grid, of
        which all rates are compared on few rows, the best third on three times as many rows, and
        so on (scikit-learn's HalvingGridSearchCV); on few rows, which are few steps, other rates
        may be best. ``"bayes"``: each rate is chosen by a model of the scores before it (the
        tree-structured Parzen estimator of Optuna, which is the extra `tune`).
    cv : int, splitter or iterable
        As for scikit-learn's searches. All rates are compared on the same splits.
    n_points : int >= 2
        Number of rates.
    lr_min, lr_max : float > 0, optional
        The range of the rates. By default from 0.001 to 1,000, and on beyond the end at which the
        best rate is, four times at most; `cv_results_` is that of the last range then. If the best
        rate is at an end that was given, a RateWarning says so.
    random_state : int, RandomState or None
        Seed of random rates and samples of rows, and of the models where their own is None.
    scoring : str or function, optional
        As for scikit-learn's searches, a single score. By default the negative loss on the rows
        held out: the log loss, squared or absolute error, or deviance that belongs to the model's
        loss; for other losses the model's ``score``.
    refit : bool
        Whether to fit the model on all rows at the best rate.

    Returns
    -------
    RateSearch
        With `best_lr_`, `best_score_`, `best_estimator_`, `cv_results_`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or if at every rate a fit diverges.
    ImportError
        If ``method="bayes"`` and Optuna is not installed.

    See Also
    --------
    lr_range_test : needs about one pass over the data instead of many fits.

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
    low = LR_MIN if lr_min is None else lr_min
    high = LR_MAX if lr_max is None else lr_max
    check_range(low, high)
    check_flag("refit", refit)
    random = as_random(random_state)
    seed = int(random.randint(2**31 - 1))
    rated = clone(model)
    if rated.random_state is None:
        rated.set_params(random_state=seed)
    scorer = scorer_of(SCORINGS.get(model._loss) if scoring is None else scoring, rated)
    options: dict[str, Any] = {
        "scoring": _Score(scorer),
        "cv": splits_of(cv, model, X, y),
        "refit": False,
        "return_train_score": False,
        "error_score": "raise",
    }
    if method == "bayes":
        import_optuna()  # before anything is fitted
    apart = (high / low) ** (1.0 / (int(n_points) - 1))
    for ranges_left in range(MOST_RANGES, 0, -1):
        search = _make_search(method, rated, (low, high), int(n_points), seed, options)
        found = _run_search(search, X, y)
        diverged = not math.isfinite(found.best_score_)
        down = diverged or found.best_lr_ < low * math.sqrt(apart)
        up = not down and found.best_lr_ > high / math.sqrt(apart)
        is_open = (down and lr_min is None) or (up and lr_max is None)
        if not is_open or ranges_left == 1:
            break
        # The rates at the end, and as many again beyond it.
        span = high / low / apart**2
        low, high = (low / span, low * apart**2) if down else (high / apart**2, high * span)
    if diverged:
        raise ValueError(
            f"no rate from {low:.3g} to {high:.3g} has a finite score in all folds: lower lr_min "
            "and lr_max"
        )
    if down or up:
        which, bound, do = (
            ("smallest", low, "lower lr_min") if down else ("largest", high, "raise lr_max")
        )
        warn(
            f"the best rate, {found.best_lr_:.3g}, is about the {which} that was tried, "
            f"{bound:.3g}: a better one may be beyond it; {do}"
        )
    if not refit:
        return found
    return replace(found, best_estimator_=clone(rated).set_params(lr=found.best_lr_).fit(X, y))


def _make_search(
    method: str, rated: LinearModel, ends: tuple[float, float], n_points: int, seed: int,
    options: dict[str, Any],
) -> Any:  # fmt: skip
    """A search of scikit-learn over rates between these ends."""
    estimator, (low, high) = _ModelAtRate(rated), ends
    grid = {"lr": np.geomspace(low, high, n_points).tolist()}
    if method == "bayes":
        search = _BayesSearch(estimator, grid, **options)
        search.seed = seed
        return search
    if method == "halving":
        return HalvingGridSearchCV(estimator, grid, random_state=seed, **options)
    if method == "random":
        drawn = np.random.RandomState(seed).uniform(math.log(low), math.log(high), n_points)
        grid = {"lr": np.exp(np.sort(drawn)).tolist()}
    return GridSearchCV(estimator, grid, **options)


def _run_search(search: Any, X: Any, y: Any) -> RateSearch:
    """Run a search of scikit-learn, and turn what it found into a RateSearch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite")
        search.fit(X, y)
    results, best = search.cv_results_, int(search.best_index_)
    score, lr = float(results["mean_test_score"][best]), float(results["params"][best]["lr"])
    return RateSearch(lr, score, best, None, results)


class _ModelAtRate(BaseEstimator):
    """A model as an estimator with the one parameter `lr`, for the search classes.

    A fit that diverges is not an error: `model_` is then None.
    """

    def __init__(self, model: LinearModel, lr: float = 1.0) -> None:
        self.model, self.lr = model, lr

    def __sklearn_tags__(self) -> Any:
        return self.model.__sklearn_tags__()

    def fit(self, X: Any, y: Any) -> _ModelAtRate:
        model = clone(self.model).set_params(lr=self.lr)
        with warnings.catch_warnings():
            # Warnings about single rates say no more than their scores.
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                self.model_ = model.fit(X, y)
            except FloatingPointError:
                self.model_ = None
        return self


@dataclass(frozen=True)
class _Score:
    """The score of a `_ModelAtRate`; NaN if its fit diverged or its predictions overflow."""

    scorer: Callable[[Any, Any, Any], float]

    def __call__(self, rated: _ModelAtRate, X: Any, y: Any) -> float:
        if rated.model_ is None:
            return math.nan
        with np.errstate(over="ignore", invalid="ignore"):
            predict = getattr(rated.model_, "decision_function", rated.model_.predict)
            finite = np.isfinite(predict(X)).all()
            score = self.scorer(rated.model_, X, y) if finite else math.nan
        return float(score) if abs(score) < LARGEST_SCORE else math.nan


class _BayesSearch(GridSearchCV):
    """As many rates as the grid has, each chosen by Optuna after the scores of the former ones."""

    seed: int

    def _run_search(
        self,
        evaluate_candidates: Callable[[list[dict[str, float]]], dict[str, Any]],
        **context: Any,
    ) -> None:
        optuna = import_optuna()
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            sampler = optuna.samplers.TPESampler(
                seed=self.seed % 2**32, n_startup_trials=N_RANDOM_TRIALS
            )
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


def import_optuna() -> Any:
    """Optuna, or an error that says how to get it."""
    try:
        import optuna
    except ImportError:
        raise ImportError("method='bayes' needs Optuna: pip install 'lrcore[tune]'") from None
    return optuna
