"""LinearClassifier: large linear classifiers with scikit-learn's interface.

Both estimators minimise the (weighted) mean loss plus ``alpha * (l1_ratio * |w|_1 + (1 - l1_ratio)
/ 2 * |w|_2**2)``, where each feature's part is multiplied by its penalty factor, if there are any;
the intercept is not penalised.

``solver="stochastic"`` updates in one of two orders. *Online* (``batch_size=1``): rows update the
weights one after another; raw predictions are taken once for a block of up to ``block_size`` rows,
which allows vector instructions and threads. With ``block_size=1`` it is the textbook loop::

    for i in order:                                  # a fresh order each epoch
        gradient = loss_derivative(X[i] @ w + b, y[i])
        touched = X[i] != 0
        rule.update(w[touched], gradient * X[i, touched])
        rule.update(b, gradient)
        accumulated_lr += lr[t]; t += 1
        if t % period == 0:
            w = prox(w, accumulated_lr); accumulated_lr = 0

*Mini-batch* (``batch_size=b``): the mean gradient of b rows, then one such update of every
feature that one of them touches. A feature is touched where a value is not zero, in dense rows as
in sparse ones, so both give the same model. ``prox`` is the penalty's proximal step in the rule's
own metric (Duchi et al. 2010, composite mirror descent), so the fixed point is the minimum of the
objective above whatever the rule. It is applied to all weights together, for the ``period`` rows
since the last time: at least 64, more where features are rare (Langford et al. 2009 thin out their
truncations in the same way); and once more at the end, and when the weights are read.

With a softmax a row has a raw prediction for each class, W is (n_classes, n_features), and one row
is::

    z = W @ X[i] + b
    gradient = np.exp(z - z.max())
    gradient /= gradient.sum()
    gradient[y[i]] -= 1
    rule.update(W[:, touched], np.outer(gradient, X[i, touched]))
    rule.update(b, gradient)

All weights of a feature are updated together, also those whose gradient is next to nothing.

``solver="dual"`` and ``"newton"`` do not step by a rule, see `lrcore.linear_model.solvers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils.validation import shown
from lrcore.io.dataset import Dataset
from lrcore.linear_model.arguments import (
    check_columns,
    check_eval_set,
    check_lengths,
    check_weight,
)
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.dataset_fit import fit_dataset, partial_fit_dataset, score_dataset
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.growth import grown, with_constants
from lrcore.linear_model.labels import (
    REMEDY,
    Classes,
    ConstantLabels,
    LabelColumns,
    Labels,
    labels_of,
    labels_of_stream,
)
from lrcore.linear_model.monitor import sklearn_callbacks
from lrcore.linear_model.monitor.sklearn_callbacks import with_callbacks
from lrcore.linear_model.parameters import SHARED, LossName, OneOf, set_parameters
from lrcore.linear_model.problem import Problem
from lrcore.losses import LOSSES
from lrcore.rules import Rule


def has_probabilities(model: Any) -> bool:
    """Whether an estimator's loss has them; what `available_if` asks."""
    loss = "log_loss" if model.loss is None else model.loss
    if loss not in LOSSES or not LOSSES[loss].probabilistic:
        raise AttributeError(
            f"probabilities need loss='log_loss' or 'modified_huber', not {shown(model.loss)}"
        )
    return True


class LinearClassifier(ClassifierMixin, LinearModel):
    """Large linear classifier: logistic regression, linear support vector machines, perceptrons.

    Two classes are one binary problem. Of more, the log loss is the multinomial one, and with the
    other losses each class is fitted against the rest. Where a row may have several labels, or
    none, y has a column of 0 and 1 for each, and each is a binary problem of its own.

    Parameters
    ----------
    loss : {"log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron"}
        ``"log_loss"`` and ``"modified_huber"`` have probabilities.
    solver : {"auto", "newton", "dual", "stochastic"}
        ``"auto"`` chooses by the loss, the penalty and counts of rows, features and values, never
        by the clock, so that the choice is the same everywhere: ``"newton"`` where features are few
        or the penalty has l1, else ``"dual"`` where the objective has a dual, else
        ``"stochastic"``. An `optimizer`, an `lr`, an average, batches or ``max_iter=1`` ask for
        ``"stochastic"``, and so does ``partial_fit``. `solver_` says which, ``verbose=1`` why.

        - ``"newton"``: Newton's method; for l1 and elasticnet proximal Newton steps with working
          sets. For the log loss, the squared hinge and the modified huber loss.
        - ``"dual"``: stochastic dual coordinate ascent (Shalev-Shwartz and Zhang 2013), for
          ``penalty="l2"`` or ``"elasticnet"`` and losses other than the perceptron. It keeps a
          variable for each row, and takes few epochs while ``1 / alpha`` is below about ten times
          the number of rows, and more of them in proportion beyond.
        - ``"stochastic"``: steps of `optimizer`, for any loss and for streams.

        The first two have no rate to choose, end by `tol`, and say how far from the minimum they
        are, at most: `dual_gap_`.
    optimizer : Rule or str
        An update rule, such as ``lrcore.AdaGrad(eps=1e-6)``, or its name; ``"auto"`` is AdaGrad.
    lr : "auto", float, Schedule, str, or list of floats
        The learning rate. ``"auto"`` keeps the rate of a rule that was given as an object; of one
        that was named ``fit`` looks for the best, on some of the rows, in a tenth of its time or
        that of 2,000 rows: the rate that loses least on half of them after a fit on the
        others, among which are some of every class. A fit at such a rate begins at the best
        constant predictions, and begins again at a lower one if it diverges. ``partial_fit`` goes
        on with what ``fit`` found; without one it finds a rate from the first 1, 2, 4, ... up to
        16,384 rows of the stream, which it keeps as long, and begins again with it. With fewer than
        100 rows the rate is the rule's own, in the unit of the targets.
        A number falls linearly to 0 over a ``fit`` of five epochs or more (worst-case optimal for
        the last iterate, Defazio et al. 2023). Of fewer, adaptive rules, which are all but SGD, let
        it fall at the end alone, over the last eleventh of one and the last quarter of two, so that
        features that come up late learn as well. It stays as it is in ``partial_fit``. Give a
        schedule, such as ``lrcore.schedules.Constant(0.5)``, for anything else, or its spec string.
        Lengths may be in epochs or in fractions of the run, ``"cosine(0.5,
        steps=95%).warmup(5%)"``, which ``fit`` resolves and ``partial_fit`` cannot. At each of
        several rates a model is fitted, in one pass over the rows for all where there is one
        output, and the one that loses least is kept: on held-out rows, if there are any, else in
        its last epoch. Blocks of rows that share raw predictions are then as short as the largest
        rate demands. A ``lrcore.schedules.Plateau``, as the `lr` of a rule, is fed after each epoch
        of ``fit`` with the held-out loss, or with the objective, which takes a third of an epoch.
    penalty : {"l2", "l1", "elasticnet"} or None
        What keeps weights small: half of their squares, their magnitudes, or some of both.
    alpha : "auto", float >= 0, or list of floats
        Weight of the penalty. The objective is a mean over rows, so that LogisticRegression's C is
        ``alpha = 1 / (C * n_rows)``. ``"auto"`` looks for the best one, down and up from ``alpha =
        mean of |x|**2 / n_rows``, each fit beginning where the last one ended, by the mean loss of
        rows that are held out: those of ``eval_set``, if there are any; up to 5,000 rows each in
        turn, of which one Newton step tells what it would lose if it were left out (Rad and Maleki
        2020), or five folds where there is no such step; a fifth of more rows, up to 50,000, after
        fits to as many of the others at the same C. Then all rows are fitted. With
        ``solver="stochastic"`` it is 1e-6, in the units of X and y where these are extreme, and 0
        of an l2 penalty in `partial_fit`; below 50 rows a hundredth of the mean of ``|x|**2``.
        Of several the best is kept in the same way. See `alpha_`, `alphas_` and `alpha_losses_`.
    l1_ratio : float in [0, 1]
        Share of l1 in ``"elasticnet"``.
    penalty_factors : array-like of shape (n_features,), optional
        Numbers >= 0 that multiply the penalty of each feature, 1 by default; those of 0 are never
        penalised. ``solver="dual"`` needs them above 0.
    positive : bool or array-like of bools of shape (n_features,)
        Features whose weights are not to be negative, of all outputs; True for all of them. The
        minimum is then the least among such weights, and `dual_gap_` bounds how far it is from
        there. ``"newton"`` is coordinate descent on the quadratic model, ``"stochastic"`` puts
        weights back to 0 when it applies the penalty, at the end, and when they are read: after
        each ``partial_fit`` as well. It has no `average` then, and needs a rule that takes
        penalties.
    scale : {"auto", "std", "max"} or None
        Penalise the weights of columns divided by their spread, so that units do not matter;
        `coef_` is of X's columns. ``"std"``: by the standard deviation, of columns that less than
        half of the rows touch by the root mean square of what is not 0. ``"max"``: by the largest
        magnitude. ``"auto"``: ``"std"`` where columns are in different units, which is where the
        magnitudes of what is not 0 differ by more than a factor of 100, or 10 without the outermost
        tenth; words are not. ``solver="stochastic"`` learns from a copy of X whose columns are
        divided by the largest magnitude so far (Ross, Mineiro and Langford 2013), for ``"auto"`` in
        the same cases, and where all magnitudes are below 1/64 or above 64. ``partial_fit`` goes by
        the first rows of the stream where it finds its rate from them, else ``"auto"`` is None.
    fit_intercept : bool
        Learn a constant as well, which is not penalised.
    max_iter : int, optional
        Epochs, at most; of ``"newton"`` steps. By default 5 of ``"stochastic"``, 1000 of
        ``"dual"``, 100 of ``"newton"``.
    shuffle : bool
        Take the rows in a new order in each epoch of ``fit``.
    batch_size : int
        1 for online updates, else rows of a mini-batch.
    block_size : int
        Rows that may share raw predictions in the online order; 1 is the textbook. Fewer do while
        the rate is large: the number is bounded by what the rule keeps stable.
    random_state : int, RandomState or None
        Seed of the order of rows and of draws; None takes another one in each fit.
    tol : "auto", float >= 0, or None
        With ``solver="newton"`` and ``"dual"``: stop once the duality gap, over the objective, is
        no larger; ``"auto"`` is 1e-3. With ``"stochastic"``: stop once the objective, of the
        weights after each epoch over all rows, has not fallen by more than this for
        `n_iter_no_change` epochs; it costs about a third of an epoch to look, and ``"auto"`` does
        not. A rate given as a number is cut to a fifth then, and the fit goes on from its best
        epoch, until that does not help any more. A ConvergenceWarning says if `max_iter` came
        first. None runs all epochs. ``"auto"`` runs them too, and a ConvergenceWarning says if a
        few Newton steps from their end take off more than 2 % of the objective, where these cost
        little: up to 50,000 steps and 128 weights of an output, no l1 penalty or bound with a loss
        that is straight in pieces. Only of fits that are to end at a minimum: five epochs or more
        of all rows, from the beginning, at a rate that is a number or found, without held-out rows.
    early_stopping : bool
        Stop by the mean loss of rows that are held out, a share of `validation_fraction` of each
        class; `tol` is then of this loss, 0 if None. The weights kept are those of the best epoch,
        `best_iter_`.
    validation_fraction : float in (0, 1)
        Share of the rows that `early_stopping` holds out.
    n_iter_no_change : int
        Epochs without an improvement after which a fit by `tol` or `early_stopping` ends.
    warm_start : bool
        Begin ``fit`` with the weights of the last one. With ``solver="stochastic"`` also with the
        rule's state; steps, and with them the rate, start anew. With ``"dual"`` also with its
        variables, if the rows have the same targets.
    average : bool or int
        The model is the mean of the weights after every step (Polyak and Juditsky 1992), from the
        step of row `average` on, from the first if True. A rate given as a number then stays what
        it is. One number more for each feature; features that no row touches cost nothing.
    on_divergence : {"raise", "recover"}
        What ``fit`` does when it diverges. ``"raise"``: a FloatingPointError, and the estimator is
        as it was. ``"recover"``: go back to the states after the last epoch that was good, of
        which it keeps a copy, cut all rates to a tenth, warn, and go on, up to five times. For
        ``solver="stochastic"`` alone; ``partial_fit`` always raises.
    n_threads : int, optional
        By default what the machine grants and the data is worth. The bits do not depend on it.
    verbose : int
        1 prints a line for each epoch.
    class_weight : dict or "balanced", optional
        Rows count with the weight of their class, on top of their own; those that a dict leaves
        out with 1. ``"balanced"`` makes every class count the same, and is for ``fit`` alone. Of
        several labels both are for ``fit`` alone, and for each label by itself, of which 1 and 0
        are the classes.
    multi_class : {"auto", "softmax", "ovr"}
        What more than two classes are to the log loss: ``"softmax"``, the multinomial log loss
        ``log(sum_k exp(z_k)) - z_y`` of all raw predictions of a row, or ``"ovr"``, each class
        against the rest. ``"auto"`` is ``"softmax"`` for the log loss and ``"ovr"`` for other
        losses. Two classes are one output whatever it says: there the softmax is the binary log
        loss of the difference of two raw predictions. Several labels a row are no softmax.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        A CSR matrix after `sparsify`. (n_labels, n_features) of several labels.
    intercept_ : ndarray of shape (1,) or (n_classes,)
    classes_ : ndarray
        Of several labels the numbers of the columns of y.
    multilabel_ : bool
        Whether y had a column for each of several labels.
    loss_curve_ : ndarray of shape (n_epochs,)
        Mean loss of each epoch, of each row just before it was learnt from.
    stopping_curve_ : ndarray
        What `tol` or early stopping went by, after each epoch; empty without either.
    history_ : History
        Arrays with a record for each epoch, by name: step, rate, loss, seconds, and what was
        measured. Has a method ``plot``.
    plateau_ : Plateau or None
        The copy of the optimizer's Plateau that ``fit`` has fed, with its state.
    solver_ : str
        The solver that fitted it.
    dual_gap_ : float or None
        How far above the minimum the objective is at most, over the objective; of several outputs,
        the largest. None after ``solver="stochastic"``, and where a feature without a penalty
        allows no bound.
    best_iter_ : int
        The epochs after which the weights were what they are: fewer than `n_iter_` where a later
        one was no better.
    alpha_ : float
        The weight of the penalty.
    alphas_, alpha_losses_ : ndarray or None
        The alphas that were tried, from the largest on, and what rows lost that were held out;
        infinite where ``"auto"`` did not go on, since a fit would take too many epochs.
    lr_ : float, Schedule or None
        The rate that the fit began with; of no meaning after a solver without one.
    lr_losses_ : ndarray or None
        What the model lost at each of several `lr`; infinite where it diverged.
    n_iter_ : int
        Epochs.
    n_features_in_ : int
    t_ : int
        Steps done.

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
    >>> several = np.column_stack([X[:, 0] > 0, X[:, 1] > 0]).astype(int)
    >>> lrcore.LinearClassifier().fit(X, several).predict(X[:3]).shape
    (3, 2)
    """

    _default_loss = "log_loss"
    _constraints: ClassVar = {
        "loss": LossName(classifies=True),
        **SHARED,
        "multi_class": OneOf(("auto", "softmax", "ovr")),
    }

    class_weight: dict[Any, float] | str | None
    multi_class: str
    _multilabel = False

    def __init__(
        self,
        loss: str | None = "log_loss",
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
        class_weight: dict[Any, float] | str | None = None,
        multi_class: str = "auto",
    ) -> None:
        set_parameters(self, locals())

    def _check_params(self) -> None:
        super()._check_params()
        if self.multi_class == "softmax" and self._loss != "log_loss":
            raise ValueError(
                f"multi_class='softmax' needs loss='log_loss', got loss={shown(self.loss)}; "
                "multi_class='ovr' fits each class against the rest by any loss"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @property
    def multilabel_(self) -> bool:
        """Whether y had a column for each of several labels."""
        check_is_fitted(self, "n_iter_")
        return self._multilabel

    @property
    def _labels(self) -> Labels:
        """What the model knows of y."""
        return LabelColumns(len(self.classes_)) if self._multilabel else Classes(self.classes_)

    def _n_outputs(self, labels: Labels) -> int:
        """Outputs of one target: of the softmax there are as many as classes."""
        if labels.multilabel and self.multi_class == "softmax":
            raise ValueError(
                "multi_class='softmax' takes one class for each row, and y has a column for each "
                "of several labels, which rows may have together; leave it at 'auto'"
            )
        joint = self._loss == "log_loss" and self.multi_class != "ovr"
        return labels.n_binary if joint and labels.n_binary > 1 and not labels.multilabel else 1

    @with_callbacks
    @rounded_to_nearest
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, ...] | None = None,
        X_val: Any = None,
        y_val: Any = None,
        callback: Callable[..., Any] | None = None,
    ) -> LinearClassifier:
        """Fit from scratch.

        Parameters
        ----------
        X : sparse matrix, array or frame of shape (n_rows, n_features)
            float32 or float64; the model has X's dtype. CSR and C-contiguous arrays are used as
            they are, also read-only or mapped from a file; other sparse formats become CSR,
            Fortran-ordered arrays are copied. Frames of pandas and polars have float32 if all
            their columns do, else float64, and become CSR if one of their columns is sparse.
            Or a `lrcore.io.Dataset`, which has y and weights itself: it is read batch by batch,
            `max_iter` times, once by default, and learnt from by the calls of `partial_fit` that
            have the same bits; a class begins with its first row. With `early_stopping` every
            n-th row is held out. The callback gets a `Progress` after each batch.
        y : array of shape (n_rows,), or array or sparse matrix of shape (n_rows, n_labels)
            At least two classes; or 0 and 1 in a column for each label, which takes 8 bytes for
            each row and label. A dense matrix of one column is a vector of classes, as in
            scikit-learn; a sparse one is one label. A label that all rows have or none is predicted
            for all or none, which a UserWarning says: it has no weights, and with the log loss the
            probability (n_rows + 1) / (n_rows + 2) of being so.
        sample_weight : array of shape (n_rows,), optional
            A row of weight 2 counts as two: gradient and loss are twice as large, which is the
            same optimum as repeating the row, by other steps. Rows of weight 0 are left out, which
            is the same fit to the bit as without them (a copy of the others is made).
        eval_set : tuple (X, y) or (X, y, sample_weight), optional
            Rows to stop by: once their mean loss has not fallen by more than ``tol`` for
            ``n_iter_no_change`` epochs. They are not learnt from. Their weights are those given,
            without `class_weight`.
        X_val, y_val : optional
            The same as ``eval_set=(X_val, y_val)``, by names that scikit-learn routes: a
            ``Pipeline(..., transform_input=["X_val"])`` transforms these rows like those of X.
        callback : callable, optional
            Called with an `Event` after every chunk of rows, which says where the fit is, has
            statistics for those who ask, and a method ``stop``.

        Raises
        ------
        ValueError, TypeError
            If an argument cannot be used; the estimator is as it was.
        FloatingPointError
            If the fit diverges: a loss or a weight is not finite, or the loss of an epoch is a
            million times that of weights of 0, and twice what it was the epoch before. The
            estimator is as it was.
        ConvergenceWarning
            A warning: a solver has not come to `tol` within ``max_iter`` epochs, or has ended far
            above a minimum (see `tol`), or, as a `RateWarning`, the rate is unsuitable: the loss
            goes up and down, hardly falls though it could, or ends above that of weights of 0, or
            the fit has diverged and was recovered.
        KeyboardInterrupt
            By Ctrl-C, some tens of milliseconds later, or after the batch at hand if that is
            longer; the estimator has what it learnt until then.
        """
        self._check_params()
        eval_set = check_eval_set(eval_set, X_val, y_val)
        if isinstance(X, Dataset):
            return fit_dataset(
                self, X, callback, y=y, sample_weight=sample_weight, eval_set=eval_set
            )
        problem, labels = self._problem(X, y, sample_weight)
        held_out = self._held_out(eval_set, problem, lambda y: self._targets(y, labels))
        constant = None
        if labels.multilabel:
            problem = problem.without_weightless_rows()
            constant = ConstantLabels.of(problem)
        if constant is not None:
            problem = problem.of_targets(constant.varying)
            held_out = held_out and held_out.of_targets(constant.varying)
        complete = partial(with_constants, constant=constant)
        known = {"classes_": labels.values, "_multilabel": labels.multilabel}
        given = {"sample_weight": sample_weight}
        hooks = sklearn_callbacks.begin(self, X, y, given, complete, **known)
        result = self._fit(problem, callback, held_out, hooks, constant)
        hooks.end(result.model)
        result.model = complete(result.model)
        self._finish(result, X, **known)
        self._raise_if_interrupted(result)
        return self

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> tuple[Problem, Labels]:
        """What `fit` minimises, checked, and the classes or labels."""
        check_columns(X)
        matrix = as_design_matrix(X, None, self.n_threads)
        labels, codes = labels_of(y)
        check_lengths(matrix, codes)
        weight = check_weight(sample_weight, matrix.shape[0])
        weight, factors = labels.weigh(weight, self.class_weight, codes)
        n_outputs = self._n_outputs(labels)
        targets, objective = labels.targets(codes, n_outputs), self._objective(matrix, n_outputs)
        return Problem(matrix, targets, weight, objective, target_factors=factors), labels

    def _targets(self, y: Any, labels: Labels) -> list[np.ndarray]:
        """Targets of y, whose classes must be known."""
        return labels.targets(labels.codes(y), self._n_outputs(labels))

    def _other_rows(self, X: Any, y: Any, sample_weight: Any = None) -> Problem:
        """Other rows, and what the model loses of them."""
        return self._problem_of(X, self._targets(y, self._labels), sample_weight)

    @rounded_to_nearest
    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None
    ) -> LinearClassifier:
        """One pass over more rows, in the order given.

        Calls go on where the last one ended, with the schedule, penalties that are not applied yet,
        averages and the rule's state, and several give the bits of one with all rows, wherever
        they end (up to 2**30 rows in all, sparse ones throughout or dense ones). Rows since the
        last multiple of ``batch_size``, or of ``block_size`` online (of the next lower power of
        two), are kept with the model, which has learnt from them; the next call goes over them
        again, together with those that complete their batch or block. `loss_curve_` counts them
        again too. With ``block_size=1`` nothing is kept, which suits calls of single rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; X is converted to the model's dtype. Of a `lrcore.io.Dataset` one pass.
        classes : array, needed in the first call
            All classes that have come up or will. A later call may name more: those known keep
            their weights and states to the bit, new ones begin at 0. Of two classes there is one
            output, with the margin m; one against the rest then has -m and m, as if both had been
            fitted from the first row on, and a softmax -m/2 and m/2, which have the same
            probabilities. Labels need no names; ``range(n_labels)`` adds columns of y.

        Raises
        ------
        ValueError, TypeError
            As in `fit`; the estimator is as it was.
        FloatingPointError
            If it diverges. The estimator is as it was; one with more than four features for each
            value of X is not fitted any more, since it learns in place.
        KeyboardInterrupt
            By Ctrl-C; the estimator has learnt from the rows that the message names.
        """
        self._check_params()
        if isinstance(X, Dataset):
            return partial_fit_dataset(self, X, classes, y=y, sample_weight=sample_weight)
        first = not hasattr(self, "_trained")
        matrix = self._stream_matrix(X, first)
        known = None if first else self._labels
        labels = labels_of_stream(known, y, classes)
        codes = labels.codes(y, REMEDY)
        check_lengths(matrix, codes)
        weight = check_weight(sample_weight, matrix.shape[0])
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once, which partial_fit does not have; "
                "give a dict of weights"
            )
        weight, factors = labels.weigh(weight, self.class_weight, codes)
        if factors is not None:
            raise ValueError(
                f"class_weight={shown(self.class_weight)} of labels is for fit, got it in "
                "partial_fit; set it to None"
            )
        n_outputs = self._n_outputs(labels)
        objective = self._objective(matrix, n_outputs)
        problem = Problem(matrix, labels.targets(codes, n_outputs), weight, objective)
        last = None if first else self._trained
        if last is not None and known is not None and len(labels.values) > len(known.values):
            as_before = replace(objective, penalty=last.objective.penalty)
            last = grown(last, known, labels, as_before, sparse=matrix.sparse)
        self._partial_fit(X, problem, last, classes_=labels.values, _multilabel=labels.multilabel)
        return self

    @rounded_to_nearest
    def decision_function(self, X: Any) -> np.ndarray:
        """``X @ coef_.T + intercept_``: (n_rows,) for two classes, (n_rows, n_classes) for more,
        (n_rows, n_labels) for labels.

        Sparse rows need not be sorted; values are added up in the order in which they are stored.
        """
        raw = self._raw_predictions(X)
        return raw[:, 0] if raw.shape[1] == 1 and not self._multilabel else raw

    @rounded_to_nearest
    def predict(self, X: Any) -> np.ndarray:
        """The class of each row; of labels an array of 0 and 1, (n_rows, n_labels), also where y
        was sparse."""
        raw = self._raw_predictions(X)
        return self._labels.predicted(raw)

    @available_if(has_probabilities)
    @rounded_to_nearest
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, (n_rows, n_classes), or of each label, (n_rows, n_labels).

        The softmax of the raw predictions; of classes fitted against the rest each one's own,
        scaled to sum to 1. Those of labels, of which a row may have several, are each one's own.
        """
        raw = self._raw_predictions(X)
        p = self._labels.probabilities(self._trained.objective.loss, raw.astype(np.float64))
        return p.astype(raw.dtype)

    @available_if(has_probabilities)
    @rounded_to_nearest
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`, worked out from the raw predictions.

        So it has all its digits also where a probability is too small for a float, and of float64
        where it is next to 1; in float32 it is 0 where `predict_proba` is 1.
        """
        raw = self._raw_predictions(X)
        logs = self._labels.log_probabilities(self._trained.objective.loss, raw.astype(np.float64))
        if raw.dtype == np.float32:
            logs[logs >= -(2.0**-25)] = 0.0  # as scikit-learn asks for
        return logs.astype(raw.dtype)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The share of rows whose class is predicted; X may be a `Dataset`."""
        if isinstance(X, Dataset):
            from sklearn.metrics import accuracy_score

            return score_dataset(self, X, accuracy_score, sample_weight=sample_weight)
        return float(super().score(X, y, sample_weight))

    @property
    def coef_(self) -> Any:
        return self._coefficients

    @property
    def intercept_(self) -> np.ndarray:
        return self._weights()[1]
