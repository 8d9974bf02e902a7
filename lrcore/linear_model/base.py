"""What the two linear estimators share: parameters, fits, coefficients, margins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from lrcore import losses
from lrcore._backend import threads
from lrcore.linear_model import auto_lr as rates
from lrcore.linear_model import sweep
from lrcore.linear_model.arguments import check_count, check_factors, check_lengths, check_number
from lrcore.linear_model.engine.design_matrix import Rows, as_rows, checked, formed
from lrcore.linear_model.engine.layout import Method
from lrcore.linear_model.monitor.callbacks import Event, Hooks
from lrcore.linear_model.monitor.sklearn_callbacks import CallbackSupportMixin
from lrcore.linear_model.problem import Data
from lrcore.linear_model.result import Fitted
from lrcore.linear_model.solvers import dual
from lrcore.linear_model.solvers import partial_fit as streams
from lrcore.linear_model.solvers.stochastic import Fit, Outcome, Stopping
from lrcore.losses import LOSSES, Loss, Softmax
from lrcore.rules import LINEAR_RULES, Rule, rule_class
from lrcore.schedules import Plateau, Polynomial, Schedule

if TYPE_CHECKING:
    from typing_extensions import Self

PENALTIES = (None, "l2", "l1", "elasticnet")
SOLVERS = ("stochastic", "dual")
ON_DIVERGENCE = ("raise", "recover")


class LinearModel(CallbackSupportMixin, BaseEstimator):
    """What both estimators share: parameters, passes over the data, coefficients."""

    _default_loss: str
    _sparse = False

    #: The parameters of both; their defaults are those of the estimators' signatures.
    loss: str | None
    solver: str
    optimizer: str | Rule
    lr: Any
    penalty: str | None
    alpha: float
    l1_ratio: float
    penalty_factors: Any
    scale: str | None
    fit_intercept: bool
    max_iter: int
    shuffle: bool
    batch_size: int
    block_size: int
    random_state: Any
    tol: float | None
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    warm_start: bool
    average: bool | int
    on_divergence: str
    n_threads: int | None
    verbose: int

    def __init__(self, **parameters: Any) -> None:
        self.__dict__.update(parameters)

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
        if not (self.scale is None or (isinstance(self.scale, str) and self.scale == "auto")):
            raise ValueError(f"scale must be None or 'auto', got {self.scale!r}")
        check_number("alpha", self.alpha, 0)
        check_number("l1_ratio", self.l1_ratio, 0, 1)
        for name in ("max_iter", "batch_size", "block_size", "n_iter_no_change"):
            check_count(name, getattr(self, name))
        if self.tol is not None:
            check_number("tol", self.tol, 0)
        check_number("validation_fraction", self.validation_fraction, 0, 1)
        if self.validation_fraction in (0, 1):
            raise ValueError(
                f"validation_fraction must be within 0 and 1, got {self.validation_fraction!r}"
            )
        if not isinstance(self.average, (bool, np.bool_)):
            check_number("average", self.average, 0)
        rates.as_lr(self.lr)
        threads.check(self.n_threads)
        if not isinstance(self.on_divergence, str) or self.on_divergence not in ON_DIVERGENCE:
            raise ValueError(
                f"on_divergence must be 'raise' or 'recover', got {self.on_divergence!r}"
            )
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be 'stochastic' or 'dual', got {self.solver!r}")
        if self.solver == "dual":
            dual.check(self)
        else:
            self._check_rule(self._rule(None))

    def _check_rule(self, rule: Rule) -> None:
        """Refuse what a rule cannot do here."""
        name = type(rule).__name__
        if rule.linear_formula is None:
            raise ValueError(
                f"{name} is for Optimizer alone: in a linear model it would have to move weights "
                f"at every row, also of features that the row has not; try one of "
                f"{', '.join(LINEAR_RULES)}"
            )
        if rule.weight_decay or rule.maximize:
            raise ValueError(
                f"{name} has weight_decay={rule.weight_decay!r}, maximize={rule.maximize!r}; a "
                "linear model minimises, and is penalised by penalty= and alpha=: leave them out"
            )
        if isinstance(rule.lr, Plateau) and rule.lr.mode != "min":
            raise ValueError(
                f"the Plateau of {name} must have "
                f"mode='min', got {rule.lr.mode!r}: it is fed losses"
            )
        if self.penalty is not None and self.alpha > 0 and not rule.linear_formula.metric:
            raise ValueError(
                f"{name} cannot apply penalty={self.penalty!r}; give penalty=None"
                + (", and FTRL's own l1 and l2" if name == "FTRL" else "")
            )

    def _rule(
        self, steps_per_epoch: int | None, lr: float | Schedule | None = None,
        total_steps: int | None = None,
    ) -> Rule:  # fmt: skip
        """The rule at the rate lr, else its own; its schedule in steps; a rate given as a number
        falls to 0 over the run.

        Averages do what the fall does (Polyak and Juditsky 1992): with them it stays. Without
        `steps_per_epoch` there is no run of known length, and the rule is as it was given.
        """
        if isinstance(self.optimizer, Rule):
            rule = self.optimizer
        else:
            cls = rule_class(self.optimizer)
            rule = cls(lr=cls.linear_lr)
        if lr is not None:
            rule = rule.with_lr(lr)
        if steps_per_epoch is None:
            return rule
        total_steps = total_steps or steps_per_epoch * self.max_iter
        if isinstance(rule.lr, (Schedule, Plateau)):
            return rule.resolve(steps_per_epoch=steps_per_epoch, total_steps=total_steps)
        if not rule.anneals or self.average:
            return rule
        return rule.with_lr(Polynomial(rule.lr, steps=total_steps))

    def _method(
        self, steps_per_epoch: int | None, data: Data, last: Fitted | None,
        lr: float | Schedule | None = None, total_steps: int | None = None,
    ) -> Method:  # fmt: skip
        """What is minimised and how; `last` is the fit that goes on, if one does.

        Outputs move together in a softmax, and over sparse rows: there 3 took 0.7 to 0.85 of the
        time of 3 passes, 20 a third.
        """
        n_outputs, rule = data.n_outputs, self._rule(steps_per_epoch, lr, total_steps)
        if n_outputs == 1 and last is not None and not last.method.loss.joint:
            n_outputs = last.method.n_outputs
        elif n_outputs == 1 and last is None and data.rows.sparse and not rule.travels:
            n_outputs = len(data.targets)  # else each output goes at its own pace
        l1_share = {"l1": 1.0, "l2": 0.0, None: 0.0}.get(self.penalty, self.l1_ratio)
        alpha = 0.0 if self.penalty is None else float(self.alpha)
        return Method(
            loss=self._made_loss() if data.n_outputs == 1 else Softmax(data.n_outputs),
            rule=rule,
            l1=alpha * l1_share,
            l2=alpha * (1.0 - l1_share),
            intercept=bool(self.fit_intercept),
            batch_size=int(self.batch_size),
            block_size=int(self.block_size),
            n_outputs=n_outputs,
            averaged_from=(int(self.average) - 1) // self.batch_size if self.average else None,
            scaled=self.scale is not None,
            factors=check_factors(self.penalty_factors, data.rows.shape[1], data.rows.dtype),
        )

    # ---- fits -------------------------------------------------------------------------------

    def _fit(
        self, data: Data, callback: Callable[[Event], Any] | None, eval_data: Data | None,
        hooks: Hooks,
    ) -> Outcome:  # fmt: skip
        """All epochs, on fresh states, or on those of the last fit with ``warm_start``."""
        if self.solver == "dual":
            return dual.fit(self, data.counted(), callback, eval_data, hooks)
        training, held_out = self._split(data.counted(), eval_data)
        n_rows = training.rows.shape[0]
        steps = -(-n_rows // self.batch_size) if self.batch_size > 1 else n_rows
        start = self._fitted if self.warm_start and hasattr(self, "_fitted") else None
        how = Fit(
            self.max_iter, self.shuffle, self.random_state, self.n_threads, self.verbose, callback,
            self.on_divergence, hooks,
        )  # fmt: skip
        given = rates.as_lr(self.lr)
        if isinstance(given, np.ndarray):
            return self._fit_at_each(how, given, steps, training, held_out)
        lr = self._found_lr(how, training, start) if isinstance(given, str) else given
        how = replace(how, names_trouble=not (isinstance(given, str) and lr is not None))
        method = self._method(steps, training, start, lr)
        stopping = None
        fed = isinstance(method.rule.lr, Plateau)
        if held_out is not None or self.tol is not None or fed:
            goal = Fitted.mean_loss if held_out else Fitted.objective
            stopping = Stopping(
                lambda fitted: goal(fitted, held_out or training, self.n_threads),
                0.0 if self.tol is None else self.tol,
                math.inf if held_out is None and self.tol is None else self.n_iter_no_change,
                "held_out_loss" if held_out else "objective",
            )
        if start is not None:
            check_warm_start(start, method, training)
        return replace(how.run(method, training, stopping, start), lr=lr)

    def _found_lr(self, how: Fit, data: Data, start: Fitted | None) -> float | None:
        """What "auto" comes to; None for the rule's own, if it was given as an object."""
        if isinstance(self.optimizer, Rule) or rule_class(self.optimizer).travels:
            return None
        guess = rule_class(self.optimizer).linear_lr
        if start is not None and isinstance(self.lr_, float):
            return self.lr_

        def method_of(rate: float, steps: int) -> Method:
            return self._method(1, data, None, rate, steps)

        return rates.find_lr(how, method_of, data, guess)

    def _fit_at_each(
        self, how: Fit, several: np.ndarray, steps: int, data: Data, held_out: Data | None
    ) -> Outcome:
        """The best of fits at several rates, by what they lose on rows held out, else in the last
        epoch."""
        if self.tol is not None or self.warm_start:
            raise ValueError(
                "several lr run all epochs from the start: set tol=None and warm_start=False, or "
                "give one lr"
            )
        found = sweep.sweep(
            how, lambda rate: self._method(steps, data, None, rate), data, several, held_out
        )
        outcome = found.outcome_at(found.best)
        return replace(outcome, lr=float(several[found.best]), losses=found.losses)

    def _split(self, data: Data, eval_data: Data | None) -> tuple[Data, Data | None]:
        """Rows to learn from, and rows to stop by."""
        if eval_data is not None or not self.early_stopping:
            return data, eval_data
        n_rows = data.rows.shape[0]
        n_held_out = max(1, round(self.validation_fraction * n_rows))
        if n_held_out >= n_rows:
            raise ValueError(
                f"validation_fraction={self.validation_fraction!r} leaves no row of {n_rows} to "
                "learn from; give a smaller one, or eval_set="
            )
        order = check_random_state(self.random_state).permutation(n_rows)
        return data.take(np.sort(order[n_held_out:])), data.take(np.sort(order[:n_held_out]))

    def _partial_fit(self, data: Data, first: bool) -> Outcome:
        """One pass in the order given."""
        if self.solver == "dual":
            raise ValueError(
                "partial_fit needs solver='stochastic', got 'dual', which keeps a variable for "
                "each row and so needs all rows at once: call fit"
            )
        last = None if first else self._fitted
        given = rates.as_lr(self.lr)
        if isinstance(given, np.ndarray) and first:
            raise ValueError(
                f"partial_fit needs one lr, got {len(given)}; fit finds the best of them"
            )
        lr = None if isinstance(given, (str, np.ndarray)) else given
        chosen = isinstance(given, np.ndarray) or not isinstance(self.optimizer, Rule)
        if lr is None and not first and chosen:
            lr = self.lr_ if isinstance(self.lr_, float) else None
        method = self._method(None, data, last, lr)
        if isinstance(method.rule.lr, Plateau):
            raise ValueError(
                "the lr of optimizer is a Plateau, and partial_fit measures nothing to feed it: "
                "give its `current`, or call fit"
            )
        if method.rule.unresolved:
            raise ValueError(
                f"the schedule of optimizer has {', '.join(method.rule.unresolved)}, and "
                "partial_fit knows neither epochs nor the length of the run: give lengths in "
                "steps, or call fit"
            )
        if last is not None and (
            method.columns != last.method.columns
            or method.loss.joint != last.method.loss.joint
            or method.scaled != last.method.scaled
            or method.rule.travels != last.method.rule.travels
        ):
            raise ValueError(
                "optimizer, penalty, alpha = 0, batch_size = 1, scale, loss or multi_class changed "
                "since the last call; call fit, or set them back"
            )
        how, data = Fit(1, False, None, self.n_threads, self.verbose), data.counted()
        try:
            return replace(streams.stream(how, method, data, last), lr=lr)
        except streams.ModelLostError:
            del self._fitted, self.n_iter_
            raise

    def _finish(self, outcome: Outcome) -> None:
        self._fitted = outcome.fitted
        self.loss_curve_ = np.array(outcome.curve)
        self.n_iter_ = len(outcome.curve)
        self.t_ = outcome.fitted.t
        self.dual_gap_ = outcome.dual_gap
        self.stopping_curve_ = np.array(outcome.measured)
        self.lr_ = outcome.fitted.method.rule.lr if outcome.lr is None else outcome.lr
        self.lr_losses_ = outcome.losses
        self.history_ = outcome.history
        self.plateau_ = outcome.plateau

    def _end(self, outcome: Outcome) -> None:
        """Say so if the fit was stopped, now that the estimator is complete."""
        if outcome.interrupted:
            raise KeyboardInterrupt(
                f"the fit was stopped in epoch {self.n_iter_} of {self.max_iter}; the estimator "
                "has what it learnt until then, and can be used"
                + (" or go on by partial_fit" if self.solver == "stochastic" else "")
            )

    def _end_of_stream(self, outcome: Outcome) -> None:
        """The same for partial_fit."""
        if outcome.interrupted:
            raise KeyboardInterrupt(
                f"partial_fit was stopped after the first {outcome.n_rows} rows; the estimator has "
                "learnt from them"
            )

    # ---- coefficients -----------------------------------------------------------------------

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "_fitted"):
            raise AttributeError(f"{type(self).__name__} is not fitted; call fit first")
        return self._fitted.weights

    @property
    def _coefficients(self) -> Any:
        """(n_outputs, n_features), CSR after `sparsify`."""
        weights = self._weights()[0]
        return sparse.csr_matrix(weights) if self._sparse else weights

    def sparsify(self) -> Self:
        """Give `coef_` as a CSR matrix, (n_outputs, n_features), until `densify`.

        Worth it after an l1 penalty. Nothing else changes: predictions are the same bits and
        `partial_fit` goes on, since it moves the weights of all features, not this copy. So the
        estimator itself takes the memory that it took; keep `coef_` alone to save that.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> X = np.random.RandomState(0).randn(500, 20)
        >>> reg = lrcore.LinearRegressor(penalty="l1", alpha=0.1, max_iter=20, random_state=0)
        >>> reg.fit(X, X[:, 3]).sparsify().coef_.nnz < 10
        True
        """
        check_is_fitted(self, "n_iter_")
        self._sparse = True
        return self

    def densify(self) -> Self:
        """Give `coef_` as an array again; it is one unless `sparsify` was called.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "n_iter_")
        self._sparse = False
        return self

    def top_features(self, n: int = 10, names: Any = None) -> list[list[tuple[Any, float]]]:
        """The features with the largest weights, either way, and these weights.

        Parameters
        ----------
        n : int
            How many, at most; weights of 0 are left out.
        names : sequence of length n_features, optional
            Names of the features; by default those of the frame that was fitted, or their numbers.

        Returns
        -------
        list of lists of (name, weight)
            One for each row of the coefficients, the largest first.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> X = np.random.RandomState(0).randn(500, 3)
        >>> reg = lrcore.LinearRegressor(max_iter=20, random_state=0).fit(X, X @ [0, -5, 1])
        >>> [(name, round(w, 1)) for name, w in reg.top_features(2, names=["a", "b", "c"])[0]]
        [('b', -5.0), ('c', 1.0)]
        """
        check_count("n", n)
        weights = self._weights()[0]
        if names is None:
            names = getattr(self, "feature_names_in_", range(weights.shape[1]))
        if len(names) != weights.shape[1]:
            raise ValueError(f"names must have {weights.shape[1]} entries, got {len(names)}")
        found = []
        for w in weights:
            largest = np.argsort(-np.abs(w), kind="stable")[:n]
            found.append([(names[int(j)], float(w[j])) for j in largest if w[j] != 0])
        return found

    def _margins(self, X: Any) -> np.ndarray:
        """(n_rows, n_outputs), in X's dtype."""
        check_is_fitted(self, "n_iter_")
        rows, names = formed(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        z = self._fitted.margins(rows, self.n_threads)
        if not np.isfinite(z).all():
            # NaN and infinity in X show in the margins, so nobody else need look for them.
            checked(rows, names)
        return z

    def _eval_data(
        self, eval_set: Any, rows: Rows, targets_of: Callable[[Any], Any], n_outputs: int = 1
    ) -> Data | None:
        """The rows to stop by, checked, if there are any."""
        if eval_set is None:
            return None
        if not isinstance(eval_set, tuple) or len(eval_set) != 2:
            raise TypeError(f"eval_set must be a pair (X, y), got {type(eval_set).__name__}")
        held_out = as_rows(eval_set[0], rows.dtype)
        if held_out.shape[1] != rows.shape[1]:
            raise ValueError(
                f"eval_set has {held_out.shape[1]} features, and X has {rows.shape[1]}"
            )
        targets = targets_of(eval_set[1])
        check_lengths(held_out, targets[0])
        return Data(held_out, targets, None, n_outputs)

    def _rows_for_partial_fit(self, X: Any, first: bool) -> Rows:
        """X checked, and its number of features held against what was seen before."""
        rows = as_rows(X, None if first else self._fitted.states[0].array.dtype)
        if not first:
            validate_data(self, X, reset=False, skip_check_array=True)
        return rows


def check_warm_start(start: Fitted, method: Method, data: Data) -> None:
    """Raise unless the states of the last fit can be those that this one begins with."""
    state, joint = start.states[0], (start.method.loss.joint, method.loss.joint)
    old = state.array.dtype, start.n_outputs, state.columns.shape[1] - 1, joint[0]
    new = data.rows.dtype, len(data.targets) * data.n_outputs, data.rows.shape[1], joint[1]
    if start.method.scaled != method.scaled:
        raise ValueError(
            "warm_start=True needs the scale of the last fit: one of them has scale='auto', and "
            "one has not; set it back, or warm_start to False"
        )
    travels = start.method.rule.travels, method.rule.travels
    if start.method.formula is not method.formula or travels[0] != travels[1] or old != new:
        raise ValueError(
            "warm_start=True needs the optimizer, dtype, classes, multi_class and features of the "
            f"last fit: it had {type(start.method.rule).__name__}, {old[0]}, {old[1]} outputs, "
            f"{old[2]} features, this has {type(method.rule).__name__}, {new[0]}, {new[1]}, "
            f"{new[2]}; "
            "set it to False"
        )
