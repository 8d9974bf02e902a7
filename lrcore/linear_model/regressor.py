"""LinearRegressor: large linear regression, with scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin

from lrcore import losses
from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils import numerics
from lrcore.io.dataset import Dataset
from lrcore.linear_model.arguments import (
    check_columns,
    check_domain,
    check_eval_set,
    check_lengths,
    check_loss_parameters,
    check_targets,
    check_weight,
)
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.dataset_fit import (
    check_only_dataset,
    fit_dataset,
    partial_fit_dataset,
    score_dataset,
)
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.monitor import sklearn_callbacks
from lrcore.linear_model.monitor.sklearn_callbacks import with_callbacks
from lrcore.linear_model.offset import check_offset, with_offset
from lrcore.linear_model.parameters import SHARED, LossName, set_parameters
from lrcore.linear_model.problem import Problem
from lrcore.losses import Loss
from lrcore.rules import Rule


class LinearRegressor(RegressorMixin, LinearModel):
    """Large linear regression: least squares, robust, quantiles, counts and amounts.

    Parameters
    ----------
    loss : {"squared_error", "huber", "absolute_error", "quantile", "epsilon_insensitive", \
"squared_epsilon_insensitive", "poisson", "gamma", "tweedie"}
        The last three have a log link: predictions are
        ``exp(X @ coef_ + intercept_)``, targets at least 0 (gamma: above 0).
    solver, optimizer, lr, penalty, alpha, l1_ratio, penalty_factors, positive, scale, \
fit_intercept, max_iter, shuffle, batch_size, block_size, random_state, tol, early_stopping, \
validation_fraction, n_iter_no_change, warm_start, average, on_divergence, n_threads, verbose
        As in `LinearClassifier`.
    epsilon : float >= 0
        Of ``"huber"`` (above 0) and the two insensitive losses, in units of y.
    quantile : float in (0, 1)
        Of ``"quantile"``.
    power : float, <= 0 or >= 1
        Of ``"tweedie"``: the variance grows as the mean to this power.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), or (n_targets, n_features) where y had two dimensions
        A CSR matrix of two dimensions after `sparsify`.
    intercept_ : ndarray of shape (1,) or (n_targets,)
    loss_curve_, stopping_curve_, history_, plateau_, solver_, alpha_, alphas_, alpha_losses_, \
dual_gap_, lr_, lr_losses_, n_iter_, n_features_in_, t_
        As in `LinearClassifier`.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> rng = np.random.RandomState(0)
    >>> X = rng.randn(1000, 3)
    >>> y = X @ [1.0, -2.0, 0.0] + 3.0
    >>> reg = lrcore.LinearRegressor(max_iter=20, random_state=0).fit(X, y)
    >>> reg.coef_.round(2) + 0.0, reg.intercept_.round(2)
    (array([ 1., -2.,  0.]), array([3.]))
    """

    _default_loss = "squared_error"
    _constraints: ClassVar = {"loss": LossName(classifies=False), **SHARED}
    _of_rows = ("X", "y", "sample_weight", "offset")

    epsilon: float
    quantile: float
    power: float

    def __init__(
        self,
        loss: str | None = "squared_error",
        *,
        solver: str = "auto",
        optimizer: str | Rule = "auto",
        lr: Any = "auto",
        penalty: str | None = "l2",
        alpha: Any = "auto",
        l1_ratio: float = 0.15,
        penalty_factors: Any = None,
        positive: Any = False,
        scale: str | None = "auto",
        fit_intercept: bool = True,
        max_iter: int | None = None,
        shuffle: bool = True,
        batch_size: int = 1,
        block_size: int = 256,
        random_state: Any = None,
        tol: str | float | None = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        average: bool | int = False,
        on_divergence: str = "raise",
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

    def _make_loss(self) -> Loss:
        check_loss_parameters(self._loss, self.epsilon, self.quantile, self.power)
        return losses.make(
            self._loss, epsilon=self.epsilon, quantile=self.quantile, power=self.power
        )

    @with_callbacks
    @rounded_to_nearest
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        *,
        eval_set: tuple[Any, ...] | None = None,
        X_val: Any = None,
        y_val: Any = None,
        callback: Callable[..., Any] | None = None,
    ) -> LinearRegressor:
        """Fit from scratch; the arguments and errors are those of `LinearClassifier.fit`.

        Of y, (n_rows, n_targets), each column is fitted by itself, in the same passes.

        Parameters
        ----------
        X, y, sample_weight, callback
            As in `LinearClassifier.fit`; y are numbers.
        offset : array of shape (n_rows,) or (n_rows, n_targets), optional
            Added to the raw predictions, with a weight of 1 that is not learnt: ``X @ coef_ +
            intercept_ + offset``. With a log link the logarithm of each row's exposure, such as
            the time or the number insured that its count is of. Predictions have none unless they
            are given theirs.
        eval_set : tuple (X, y), (X, y, sample_weight) or (X, y, sample_weight, offset), optional
            As in `LinearClassifier.fit`.
        X_val, y_val : optional
            As in `LinearClassifier.fit`.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> rng = np.random.RandomState(0)
        >>> X, years = rng.randn(2000, 2), rng.uniform(0.1, 10.0, 2000)
        >>> y = rng.poisson(years * np.exp(X @ [0.5, -0.3] - 1.0))
        >>> reg = lrcore.LinearRegressor("poisson").fit(X, y, offset=np.log(years))
        >>> reg.coef_.round(1), reg.intercept_.round(1)
        (array([ 0.5, -0.3]), array([-1.]))
        >>> per_year, of_all = reg.predict(X), reg.predict(X, offset=np.log(years))
        >>> bool(np.allclose(of_all, years * per_year))
        True
        """
        self._check_params()
        eval_set = check_eval_set(eval_set, X_val, y_val)
        if isinstance(X, Dataset):
            return fit_dataset(
                self,
                X,
                callback,
                y=y,
                sample_weight=sample_weight,
                offset=offset,
                eval_set=eval_set,
            )
        problem, single = self._problem(X, y, sample_weight, offset)
        n_targets = len(problem.targets)
        held_out = self._held_out(eval_set, problem, lambda y: self._targets(y, n_targets)[0])
        given = {"sample_weight": sample_weight, "offset": offset}
        hooks = sklearn_callbacks.begin(self, X, y, given, _single=single)
        result = self._fit(problem, callback, held_out, hooks)
        hooks.end(result.model)
        self._finish(result, X, _single=single)
        self._raise_if_interrupted(result)
        return self

    def _problem(
        self, X: Any, y: Any, sample_weight: Any, offset: Any = None
    ) -> tuple[Problem, bool]:
        """What `fit` minimises, checked, and whether y was one target."""
        check_columns(X)
        matrix = as_design_matrix(X, None, self.n_threads)
        targets, single = self._targets(y)
        check_lengths(matrix, targets[0])
        weight = check_weight(sample_weight, matrix.shape[0])
        problem = Problem(matrix, targets, weight, self._objective(matrix, 1))
        return with_offset(problem, offset), single

    def _targets(self, y: Any, n_targets: int | None = None) -> tuple[list[np.ndarray], bool]:
        """Targets that the loss is defined for, a vector for each, and whether y was one."""
        target = check_targets(y)
        columns = [target] if target.ndim == 1 else [c.copy() for c in target.T]
        if n_targets is not None and len(columns) != n_targets:
            raise ValueError(f"y must have {n_targets} targets, got {len(columns)}")
        check_domain(self._loss, self._make_loss(), columns)
        return columns, target.ndim == 1

    def _other_rows(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Problem:
        """Other rows, and what the model loses of them, over targets."""
        targets, _ = self._targets(y, self._trained.n_outputs)
        return with_offset(self._problem_of(X, targets, sample_weight), offset)

    @rounded_to_nearest
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None
    ) -> LinearRegressor:
        """One pass over more rows, in the order given, as in `LinearClassifier.partial_fit`; the
        offset is that of `fit`."""
        self._check_params()
        if isinstance(X, Dataset):
            return partial_fit_dataset(self, X, y=y, sample_weight=sample_weight, offset=offset)
        first = not hasattr(self, "_trained")
        matrix = self._stream_matrix(X, first)
        targets, single = self._targets(y, None if first else self._trained.n_outputs)
        check_lengths(matrix, targets[0])
        weight = check_weight(sample_weight, matrix.shape[0])
        problem = Problem(matrix, targets, weight, self._objective(matrix, 1))
        problem = with_offset(problem, offset)
        last = None if first else self._trained
        self._partial_fit(X, problem, last, **({"_single": single} if first else {}))
        return self

    @rounded_to_nearest
    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """The prediction for each row, (n_rows,), or (n_rows, n_targets) as y was.

        The offset is that of `fit`: without one it is 0, also for a model that was fitted with one.
        A `Dataset` has its own.
        """
        if isinstance(X, Dataset):
            check_only_dataset(offset=offset)
            return np.concatenate([self.predict(batch.X, batch.offset) for batch in X])
        raw, loss = self._raw_predictions(X), self._trained.objective.loss
        added = check_offset(offset, len(raw), raw.shape[1], loss)
        if added is not None:
            raw = (raw + added).astype(raw.dtype)
        if loss.log_link:
            raw = numerics.exp(raw).astype(raw.dtype)
        return raw[:, 0] if self._single else raw

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None) -> float:
        """The coefficient of determination, R squared, of predictions with this offset; X may be a
        `Dataset`."""
        from sklearn.metrics import r2_score

        if isinstance(X, Dataset):
            return score_dataset(self, X, r2_score, sample_weight=sample_weight, offset=offset)
        return float(r2_score(y, self.predict(X, offset), sample_weight=sample_weight))

    @property
    def coef_(self) -> Any:
        return self._coefficients[0] if self._single and not self._sparse else self._coefficients

    @property
    def intercept_(self) -> np.ndarray:
        return self._weights()[1]
