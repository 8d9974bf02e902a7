"""LinearClassifier and LinearRegressor: large linear models with scikit-learn's interface.

Both minimise the (weighted) mean loss plus ``alpha * (l1_ratio * |w|_1 + (1 - l1_ratio) / 2 *
|w|_2**2)``; the intercept is not penalised.

Two update orders. *Online* (``batch_size=1``): rows update one after another; margins are taken
once for a block of up to ``block_size`` rows, which is what lets vectors and threads in. With
``block_size=1`` it is the textbook loop::

    for i in order:                                  # a fresh order each epoch
        slope = loss_derivative(X[i] @ w + b, y[i])
        touched = X[i] != 0
        rule.update(w[touched], slope * X[i, touched])
        rule.update(b, slope)
        owed += rate[t]; t += 1
        if t % period == 0:
            w = prox(w, owed); owed = 0

*Mini-batch* (``batch_size=b``): the mean gradient of b rows, then one such update of every
feature that one of them touches. A feature is touched where a value is not zero, in dense rows as
in sparse ones, so both give the same model. ``prox`` is the penalty's proximal step in the rule's
own metric (Duchi et al. 2010, composite mirror descent), so the fixed point is the minimum of the
objective above whatever the rule. Weights take it together, for the ``period`` rows since the last
time: at least 64, more where features are rare (Langford et al. 2009 thin out their truncations in
the same way); and once more at the end, and when the weights are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from lrcore import epochs, losses, numerics, staging
from lrcore._core import threads
from lrcore.arguments import (
    check_classes,
    check_count,
    check_domain,
    check_labels,
    check_lengths,
    check_loss_parameters,
    check_number,
    check_target,
    check_weight,
    one_vs_rest,
    weigh_classes,
)
from lrcore.epochs import Pass
from lrcore.losses import LOSSES, Loss
from lrcore.rows import Rows, as_rows
from lrcore.rules import Rule, rule_class
from lrcore.schedules import Polynomial, Schedule
from lrcore.states import Debt, Method, State

#: Values of a row that a stream is taken to have, since rows yet to come cannot be counted.
STREAM_VALUES = 64

PENALTIES = (None, "l2", "l1", "elasticnet")


@dataclass(frozen=True)
class Progress:
    """Where a fit is: handed to a callback after every chunk of rows."""

    epoch: int
    max_iter: int
    rows: int
    n_rows: int
    loss: float
    rate: float


class Fitted:
    """The states of a fit, one for each output, and the method that made them."""

    def __init__(self, states: list[State], method: Method) -> None:
        self.states = states
        self.method = method

    @property
    def t(self) -> int:
        """Steps done."""
        return self.states[0].base + self.states[0].step

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_outputs, n_features) and (n_outputs,): every penalty paid, on copies of the states."""
        settled = []
        for state in self.states:
            copy = state.copy()
            epochs.settle(copy, self.method)
            settled.append(copy.columns[0].copy())
        both = np.array(settled)
        return np.ascontiguousarray(both[:, :-1]), both[:, -1].copy()


class _LinearModel(BaseEstimator):
    """What both estimators share: parameters, passes over the data, coefficients."""

    _default_loss: str

    def __init__(
        self,
        loss: str | None = None,
        *,
        optimizer: str | Rule = "adagrad",
        penalty: str | None = "l2",
        alpha: float = 1e-6,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 5,
        shuffle: bool = True,
        batch_size: int = 1,
        block_size: int = 256,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.batch_size = batch_size
        self.block_size = block_size
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- parameters -------------------------------------------------------------------------

    @property
    def _loss(self) -> str:
        return self._default_loss if self.loss is None else self.loss

    def _made_loss(self) -> Loss:
        return losses.make(self._loss)

    def _check_params(self) -> None:
        kind = LOSSES[self._default_loss].classifies
        known = [name for name, loss in LOSSES.items() if loss.classifies == kind]
        if self._loss not in known:
            raise ValueError(f"loss must be one of {', '.join(known)}, got {self.loss!r}")
        if self.penalty not in PENALTIES:
            raise ValueError(
                f"penalty must be 'l2', 'l1', 'elasticnet' or None, got {self.penalty!r}"
            )
        check_number("alpha", self.alpha, 0)
        check_number("l1_ratio", self.l1_ratio, 0, 1)
        for name in ("max_iter", "batch_size", "block_size"):
            check_count(name, getattr(self, name))
        threads.check(self.n_threads)
        self._check_rule(self._rule(None))

    def _check_rule(self, rule: Rule) -> None:
        """Refuse what a rule cannot do here."""
        name = type(rule).__name__
        if rule.weight_decay or rule.maximize:
            raise ValueError(
                f"{name} has weight_decay={rule.weight_decay!r}, maximize={rule.maximize!r}; a "
                "linear model minimises, and is penalised by penalty= and alpha=: leave them out"
            )
        if self.penalty is not None and self.alpha > 0 and not rule.formula.metric:
            raise ValueError(
                f"{name} cannot apply penalty={self.penalty!r}; give penalty=None"
                + (", and FTRL's own l1 and l2" if name == "FTRL" else "")
            )

    def _rule(self, total_steps: int | None) -> Rule:
        """The rule, with a rate given as a number falling to 0 over a run of known length."""
        if isinstance(self.optimizer, Rule):
            rule = self.optimizer
        else:
            cls = rule_class(self.optimizer)
            rule = cls(lr=cls.linear_lr)
        if total_steps is None or isinstance(rule.lr, Schedule) or not rule.anneals:
            return rule
        return rule.with_lr(Polynomial(rule.lr, steps=total_steps))

    def _method(self, total_steps: int | None) -> Method:
        l1_share = {"l1": 1.0, "l2": 0.0, None: 0.0}.get(self.penalty, self.l1_ratio)
        alpha = 0.0 if self.penalty is None else float(self.alpha)
        return Method(
            loss=self._made_loss(),
            rule=self._rule(total_steps),
            l1=alpha * l1_share,
            l2=alpha * (1.0 - l1_share),
            intercept=bool(self.fit_intercept),
            batch_size=int(self.batch_size),
            block_size=int(self.block_size),
        )

    # ---- passes over the data ---------------------------------------------------------------

    def _steps(self, n_rows: int) -> int:
        return -(-n_rows // self.batch_size) if self.batch_size > 1 else n_rows

    def _fit(
        self,
        rows: Rows,
        targets: list[np.ndarray],
        weight: np.ndarray | None,
        callback: Callable[[Progress], None] | None,
    ) -> None:
        """All epochs, on fresh states that are put in place only when they have converged."""
        steps = self._steps(rows.shape[0]) * self.max_iter
        method = self._method(steps)
        random = check_random_state(self.random_state)
        order = np.arange(rows.shape[0], dtype=np.int64)
        staged = None
        if staging.worthwhile(rows, self.max_iter):
            slot_bytes = method.columns.slot * rows.dtype.itemsize
            staged = staging.stage(rows, self._shuffled(order, random, 1), slot_bytes)
            targets = [y[staged.order] for y in targets]
            weight = None if weight is None else weight[staged.order]
            work, debt = staged.rows, staged.debt
        else:
            work, debt = rows, Debt.new([rows.shape[1]], [rows.touched_per_row()])
        states = [State.new(method, work, debt) for _ in targets]
        run = Pass(method, work, self.n_threads, staged=staged is not None)
        curve = []
        for epoch in range(self.max_iter):
            order = self._shuffled(order, random, run.run_length)
            curve.append(self._epoch(run, states, order, targets, weight, epoch, callback))
        for state in states:
            if not np.isfinite(state.columns[0]).all():
                raise diverged(method, state)
        for state in states:
            epochs.settle(state, method)
        if staged is not None:
            states = [staged.unstage(state, method, rows) for state in states]
        self._finish(Fitted(states, method), curve)

    def _shuffled(self, order: np.ndarray, random: Any, run_length: int) -> np.ndarray:
        """The rows in a fresh random order, if they are to be shuffled."""
        if not self.shuffle:
            return order
        return epochs.shuffled(len(order), int(random.randint(2**31 - 1)), run_length)

    def _partial_fit(
        self, rows: Rows, targets: list[np.ndarray], weight: np.ndarray | None, first: bool
    ) -> None:
        """One pass in the order given; copies stand in for the states until it has succeeded."""
        method = self._method(None)
        if not first and method.columns != self._fitted.method.columns:
            raise ValueError(
                "optimizer, penalty, alpha = 0 or batch_size = 1 changed since the last call; "
                "call fit, or set them back"
            )
        debt = Debt.new([rows.shape[1]], [STREAM_VALUES])
        states = (
            [State.new(method, rows, debt) for _ in targets]
            if first
            else [state.copy() for state in self._fitted.states]
        )
        order = np.arange(rows.shape[0], dtype=np.int64)
        run = Pass(method, rows, self.n_threads)
        loss = self._epoch(run, states, order, targets, weight, 0, None)
        self._finish(Fitted(states, method), [loss])

    def _finish(self, fitted: Fitted, curve: list[float]) -> None:
        self._fitted = fitted
        self.loss_curve_ = np.array(curve)
        self.n_iter_ = len(curve)
        self.t_ = fitted.t

    def _epoch(
        self,
        run: Pass,
        states: list[State],
        order: np.ndarray,
        targets: list[np.ndarray],
        weight: np.ndarray | None,
        epoch: int,
        callback: Callable[[Progress], None] | None,
    ) -> float:
        """One pass; returns the mean loss of the rows just before they were learnt from."""
        n_rows = len(order)
        total, rows_done, weight_done = 0.0, 0, 0.0
        while rows_done < n_rows:
            stop, block = run.next_block(states[0], rows_done, n_rows)
            chunk = order[rows_done:stop]
            for state, y in zip(states, targets):
                total += run.advance(state, chunk, y, weight, block)
                if not math.isfinite(total):
                    raise diverged(run.method, state)
            weight_done += float(len(chunk) if weight is None else np.sum(weight[chunk]))
            rows_done = stop
            if callback is not None:
                rate = run.method.rule.rates(np.array([states[0].base + states[0].step - 1]))[0]
                mean = total / (weight_done * len(states)) if weight_done else 0.0
                callback(Progress(epoch, self.max_iter, rows_done, n_rows, mean, float(rate)))
        mean = total / (weight_done * len(states)) if weight_done else 0.0
        if self.verbose:
            print(f"epoch {epoch + 1}/{self.max_iter}: mean loss before each update {mean:.6g}")
        return mean

    # ---- coefficients -----------------------------------------------------------------------

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "_fitted"):
            raise AttributeError(f"{type(self).__name__} is not fitted; call fit first")
        return self._fitted.weights

    def _margins(self, X: Any) -> np.ndarray:
        """(n_rows, n_outputs), in X's dtype."""
        check_is_fitted(self, "n_iter_")
        rows = as_rows(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        weights, intercept = self._weights()
        columns = [
            rows.margins(w.astype(rows.dtype, copy=False), float(b), self.n_threads)
            for w, b in zip(weights, intercept)
        ]
        return np.stack(columns, axis=1)

    def _rows_for_partial_fit(self, X: Any, first: bool) -> Rows:
        """X checked, and its number of features held against what was seen before."""
        rows = as_rows(X, None if first else self._fitted.states[0].array.dtype)
        if not first:
            validate_data(self, X, reset=False, skip_check_array=True)
        return rows


def diverged(method: Method, state: State) -> FloatingPointError:
    """The error for a fit that ran away: where, and what to try."""
    step = state.base + state.step
    rate = float(method.rule.rates(np.array([max(0, step - 1)]))[0])
    first = float(method.rule.rates(np.array([0]))[0])
    return FloatingPointError(
        f"the fit diverged by step {step}, at rate {rate:.3g}; try lr={first / 10:.3g}, or scale "
        "the columns of X to about 1"
    )


def _has_probabilities(model: Any) -> bool:
    if not hasattr(LOSSES.get(model._loss), "probability"):
        raise AttributeError(
            f"probabilities need loss='log_loss' or 'modified_huber', not {model.loss!r}"
        )
    return True


class LinearClassifier(ClassifierMixin, _LinearModel):
    """Large linear classifier: logistic regression, linear support vector machines, perceptrons.

    Two classes are one binary problem; of more, each is fitted against the rest.

    Parameters
    ----------
    loss : {"log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron"}, optional
        ``"log_loss"`` by default. ``"log_loss"`` and ``"modified_huber"`` have probabilities.
    optimizer : Rule or str
        An update rule, such as ``lrcore.AdaGrad(lr=0.5)``, or its name. A rate given as a number
        falls linearly to 0 over ``fit`` (worst-case optimal for the last iterate, Defazio et al.
        2023) and stays as it is in ``partial_fit``; give a schedule, such as
        ``lrcore.schedules.Constant(0.5)``, for anything else.
    penalty : {"l2", "l1", "elasticnet"} or None
    alpha : float >= 0
        Weight of the penalty; ``1 / (C * n_rows)`` for LogisticRegression's C.
    l1_ratio : float in [0, 1]
        Share of l1 in ``"elasticnet"``.
    fit_intercept : bool
    max_iter : int
        Epochs.
    shuffle : bool
        Take the rows in a new order in each epoch of ``fit``.
    batch_size : int
        1 for online updates, else rows of a mini-batch.
    block_size : int
        Rows that may share margins in the online order; 1 is the textbook. Fewer do while the
        rate is large: the number is bounded by what the rule keeps stable.
    random_state : int, RandomState or None
    n_threads : int, optional
        By default what the machine grants and the data is worth. The bits do not depend on it.
    verbose : int
        1 prints a line for each epoch.
    class_weight : dict or "balanced", optional
        Rows count with the weight of their class, on top of their own; those that a dict leaves
        out with 1. ``"balanced"`` makes every class count the same, and is for ``fit`` alone.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray
    loss_curve_ : ndarray of shape (n_iter_,)
        Mean loss of each epoch, of each row just before it was learnt from.
    n_iter_, n_features_in_, t_ : int
        Epochs, features, steps done.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> rng = np.random.RandomState(0)
    >>> X = rng.randn(1000, 5)
    >>> y = np.where(X @ [1, -2, 3, 0, 0] > 0, "yes", "no")
    >>> clf = lrcore.LinearClassifier(random_state=0).fit(X, y)
    >>> clf.score(X, y) > 0.97
    True
    >>> clf.predict(X[:3])
    array(['yes', 'no', 'no'], dtype='<U3')
    """

    _default_loss = "log_loss"

    def __init__(
        self,
        loss: str | None = None,
        *,
        optimizer: str | Rule = "adagrad",
        penalty: str | None = "l2",
        alpha: float = 1e-6,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 5,
        shuffle: bool = True,
        batch_size: int = 1,
        block_size: int = 256,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: int = 0,
        class_weight: dict[Any, float] | str | None = None,
    ) -> None:
        super().__init__(
            loss,
            optimizer=optimizer,
            penalty=penalty,
            alpha=alpha,
            l1_ratio=l1_ratio,
            fit_intercept=fit_intercept,
            max_iter=max_iter,
            shuffle=shuffle,
            batch_size=batch_size,
            block_size=block_size,
            random_state=random_state,
            n_threads=n_threads,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        callback: Callable[[Progress], None] | None = None,
    ) -> LinearClassifier:
        """Fit from scratch.

        Parameters
        ----------
        X : CSR matrix or array of shape (n_rows, n_features)
            float32 or float64; the model has X's dtype.
        y : array of shape (n_rows,)
            At least two classes.
        sample_weight : array of shape (n_rows,), optional
            A row of weight 2 counts as two.
        callback : callable, optional
            Called with a `Progress` after every chunk of rows.

        Raises
        ------
        ValueError, TypeError
            If an argument does not do; the estimator is as it was.
        FloatingPointError
            If the fit diverges; the estimator is as it was.
        """
        self._check_params()
        rows = as_rows(X)
        labels = check_labels(y)
        check_lengths(rows, labels)
        weight = check_weight(sample_weight, rows.shape[0])
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has 1 class, {classes[0]!r}; a classifier needs at least 2 classes"
            )
        weight = weigh_classes(weight, self.class_weight, classes, codes)
        self._fit(rows, one_vs_rest(codes, len(classes)), weight, callback)
        validate_data(self, X, reset=True, skip_check_array=True)
        self.classes_ = classes
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> LinearClassifier:
        """One pass over more rows, in the order given.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; X is converted to the model's dtype.
        classes : array, needed in the first call
            All classes that will ever come.

        Raises
        ------
        ValueError, TypeError, FloatingPointError
            As in `fit`; the estimator is as it was.
        """
        self._check_params()
        first = not hasattr(self, "_fitted")
        rows = self._rows_for_partial_fit(X, first)
        labels = check_labels(y)
        check_lengths(rows, labels)
        weight = check_weight(sample_weight, rows.shape[0])
        known = check_classes(None if first else self.classes_, classes)
        codes = np.searchsorted(known, labels)
        strange = known[np.minimum(codes, len(known) - 1)] != labels
        if strange.any():
            at = int(np.flatnonzero(strange)[0])
            raise ValueError(
                f"y has the class {labels[at]!r} in row {at}, which is not in classes "
                f"{known.tolist()!r}"
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once, which partial_fit does not have; "
                "give a dict of weights"
            )
        weight = weigh_classes(weight, self.class_weight, known, codes)
        self._partial_fit(rows, one_vs_rest(codes, len(known)), weight, first)
        if first:
            validate_data(self, X, reset=True, skip_check_array=True)
            self.classes_ = known
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Margins: of shape (n_rows,) for two classes, (n_rows, n_classes) for more."""
        margins = self._margins(X)
        return margins[:, 0] if margins.shape[1] == 1 else margins

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row."""
        margins = self.decision_function(X)
        codes = (margins > 0).astype(np.intp) if margins.ndim == 1 else margins.argmax(axis=1)
        predicted: np.ndarray = self.classes_[codes]
        return predicted

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, (n_rows, n_classes); of more than two, scaled to sum to 1."""
        margins = self._margins(X)
        p = LOSSES[self._loss].probability(margins.astype(np.float64))  # type: ignore[attr-defined]
        if p.shape[1] == 1:
            p = np.concatenate([1.0 - p, p], axis=1)
        else:
            total = p.sum(axis=1, keepdims=True)
            p = np.where(total > 0, p / np.where(total > 0, total, 1.0), 1.0 / p.shape[1])
        return p.astype(margins.dtype)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`."""
        return np.asarray(np.log(self.predict_proba(X)))

    @property
    def coef_(self) -> np.ndarray:
        return self._weights()[0]

    @property
    def intercept_(self) -> np.ndarray:
        return self._weights()[1]


class LinearRegressor(RegressorMixin, _LinearModel):
    """Large linear regression: least squares, robust, quantiles, counts and amounts.

    Parameters
    ----------
    loss : {"squared_error", "huber", "absolute_error", "quantile", "epsilon_insensitive", \
"squared_epsilon_insensitive", "poisson", "gamma", "tweedie"}, optional
        ``"squared_error"`` by default. The last three have a log link: predictions are
        ``exp(X @ coef_ + intercept_)``, targets at least 0 (gamma: above 0).
    optimizer, penalty, alpha, l1_ratio, fit_intercept, max_iter, shuffle, batch_size, block_size, \
random_state, n_threads, verbose
        As in `LinearClassifier`.
    epsilon : float >= 0
        Of ``"huber"`` (above 0) and the two insensitive losses, in units of y.
    quantile : float in (0, 1)
        Of ``"quantile"``.
    power : float, <= 0 or >= 1
        Of ``"tweedie"``: the variance grows as the mean to this power.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
    intercept_ : ndarray of shape (1,)
    loss_curve_, n_iter_, n_features_in_, t_
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

    def __init__(
        self,
        loss: str | None = None,
        *,
        optimizer: str | Rule = "adagrad",
        penalty: str | None = "l2",
        alpha: float = 1e-6,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 5,
        shuffle: bool = True,
        batch_size: int = 1,
        block_size: int = 256,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: int = 0,
        epsilon: float = 0.1,
        quantile: float = 0.5,
        power: float = 1.5,
    ) -> None:
        super().__init__(
            loss,
            optimizer=optimizer,
            penalty=penalty,
            alpha=alpha,
            l1_ratio=l1_ratio,
            fit_intercept=fit_intercept,
            max_iter=max_iter,
            shuffle=shuffle,
            batch_size=batch_size,
            block_size=block_size,
            random_state=random_state,
            n_threads=n_threads,
            verbose=verbose,
        )
        self.epsilon = epsilon
        self.quantile = quantile
        self.power = power

    def _made_loss(self) -> Loss:
        check_loss_parameters(self._loss, self.epsilon, self.quantile, self.power)
        return losses.make(
            self._loss, epsilon=self.epsilon, quantile=self.quantile, power=self.power
        )

    def _check_params(self) -> None:
        super()._check_params()
        self._made_loss()

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        callback: Callable[[Progress], None] | None = None,
    ) -> LinearRegressor:
        """Fit from scratch; the arguments and errors are those of `LinearClassifier.fit`."""
        self._check_params()
        rows = as_rows(X)
        target = check_target(y)
        check_lengths(rows, target)
        check_domain(self._loss, self._made_loss(), target)
        self._fit(rows, [target], check_weight(sample_weight, rows.shape[0]), callback)
        validate_data(self, X, reset=True, skip_check_array=True)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearRegressor:
        """One pass over more rows, in the order given."""
        self._check_params()
        first = not hasattr(self, "_fitted")
        rows = self._rows_for_partial_fit(X, first)
        target = check_target(y)
        check_lengths(rows, target)
        check_domain(self._loss, self._made_loss(), target)
        weight = check_weight(sample_weight, rows.shape[0])
        self._partial_fit(rows, [target], weight, first)
        if first:
            validate_data(self, X, reset=True, skip_check_array=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The prediction for each row, (n_rows,)."""
        margins = self._margins(X)[:, 0]
        if not self._fitted.method.loss.log_link:
            return margins
        return numerics.exp(margins).astype(margins.dtype)

    @property
    def coef_(self) -> np.ndarray:
        weights: np.ndarray = self._weights()[0][0]
        return weights

    @property
    def intercept_(self) -> np.ndarray:
        return self._weights()[1]
