"""What the two linear estimators share: parameters, fits, coefficients, raw predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from lrcore import losses, penalties
from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils.interrupts import interrupts
from lrcore._utils.plotting import AlphaPathDisplay
from lrcore._utils.validation import shown
from lrcore.feature_extraction.featurizer import is_raw
from lrcore.io.dataset import Dataset
from lrcore.linear_model import auto_alpha, legacy, parameters
from lrcore.linear_model.arguments import (
    check_columns,
    check_count,
    check_factors,
    check_lengths,
    check_weight,
)
from lrcore.linear_model.auto_alpha import AlphaPath
from lrcore.linear_model.bounds import check_positive
from lrcore.linear_model.checks import check_model
from lrcore.linear_model.dataset_fit import batches_for
from lrcore.linear_model.duality import gap_of_model
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.engine.design_matrix import (
    DesignMatrix,
    as_design_matrix,
    converted,
    validated,
)
from lrcore.linear_model.exports import ExportMixin
from lrcore.linear_model.growth import without_constants
from lrcore.linear_model.labels import ConstantLabels
from lrcore.linear_model.monitor.baseline import warn_if_useless
from lrcore.linear_model.monitor.callbacks import CallbackMonitor, Event, Hooks
from lrcore.linear_model.monitor.diagnostics import DivergenceError
from lrcore.linear_model.monitor.sklearn_callbacks import CallbackSupportMixin
from lrcore.linear_model.offset import with_offset
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.sampling import held_out_rows
from lrcore.linear_model.solvers.base import Solver, SolverConfig
from lrcore.linear_model.solvers.partial_fit import fit_stream, moves
from lrcore.linear_model.solvers.select import choose_solver, make_solver, steps_wanted
from lrcore.linear_model.solvers.stochastic import Stochastic
from lrcore.linear_model.solvers.unfinished import warn_if_unfinished
from lrcore.linear_model.stream_call import stream_call
from lrcore.losses import Loss, Softmax
from lrcore.penalties import Penalty
from lrcore.rules import Rule

if TYPE_CHECKING:
    from typing_extensions import Self


class LinearModel(parameters.NamedParameters, CallbackSupportMixin, ExportMixin, BaseEstimator):
    """What both estimators share: parameters, fits, coefficients."""

    _default_loss: ClassVar[str]
    _constraints: ClassVar[Mapping[str, parameters.Constraint]]
    #: What rows have, in the order in which `fit` takes it.
    _of_rows: ClassVar[tuple[str, ...]] = ("X", "y", "sample_weight")
    _sparse = False

    #: The parameters of both; their defaults are those of the estimators' signatures.
    loss: str | None
    solver: str
    optimizer: str | Rule
    lr: Any
    penalty: str | None
    alpha: Any
    l1_ratio: float
    penalty_factors: Any
    positive: Any
    scale: str | None
    fit_intercept: bool
    max_iter: int | None
    shuffle: bool
    batch_size: int
    block_size: int
    random_state: Any
    tol: str | float | None
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    warm_start: bool
    average: bool | int
    on_divergence: str
    n_threads: int | None
    verbose: int

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {"positive": False, **state}  # pickles of before have no such parameter
        if state.get("loss", "") is None:  # the default of before, by the name that it stands for
            state["loss"] = self._default_loss
        if "_fitted" in state:  # a pickle of 0.1.0
            state["_trained"] = legacy.trained_model(state.pop("_fitted"), state["solver"])
        if "_trained" in state and "solver_" not in state:  # the same, or a development version
            state["solver_"], state["alpha_"] = state["solver"], state["alpha"]
            state["alphas_"] = state["alpha_losses_"] = None
        if "_trained" in state and "n_features_in_" in state:
            check_model(state["_trained"], state["n_features_in_"])
        super().__setstate__(state)

    # ---- from parameters to solver and objective ------------------------------------------------

    @property
    def _loss(self) -> str:
        return self._default_loss if self.loss is None else self.loss

    def _make_loss(self) -> Loss:
        return losses.make(self._loss)

    def _check_params(self) -> None:
        """Raise unless all parameters are allowed, each by itself and together."""
        parameters.check(self._constraints, self)
        self._make_loss()
        if self.solver != "auto" or steps_wanted(self):
            make_solver(self)

    def _objective(self, X: DesignMatrix, n_outputs: int) -> Objective:
        """What is minimised over these rows, for a target with so many outputs."""
        return Objective(
            self._make_loss() if n_outputs == 1 else Softmax(n_outputs),
            self._penalty_at(self._alpha_of_steps),
            bool(self.fit_intercept),
            check_factors(self.penalty_factors, X.shape[1], X.dtype),
            positive=check_positive(self.positive, X.shape[1]),
        )

    @property
    def _alpha_of_steps(self) -> float:
        """The alpha that was given, and where one is to be found that of update rules."""
        alpha = auto_alpha.as_alpha(self.alpha)
        return alpha if isinstance(alpha, float) else auto_alpha.OF_STEPS

    @property
    def _alpha_of_stream(self) -> float:
        """That of streams: where one is to be found, 0 of an l2 penalty. Their rows are new, so
        that nothing is learnt by heart, and the penalty of rare features is that of all steps
        since they were touched: 20newsgroups lost 1.02 with 1e-6, and 0.95 without."""
        searched = isinstance(auto_alpha.as_alpha(self.alpha), str)
        l1, _ = self._penalty_at(1.0).strengths
        return 0.0 if searched and l1 == 0 else self._alpha_of_steps

    def _penalty_at(self, alpha: float) -> Penalty:
        return penalties.make(self.penalty, alpha, self.l1_ratio)

    def _with_alpha(
        self, solver: Solver, problem: Problem, config: SolverConfig
    ) -> tuple[Problem, SolverConfig, float, AlphaPath | None]:
        """The problem at the alpha given, or the best one; that alpha; and what was tried."""
        alpha = auto_alpha.as_alpha(self.alpha)
        if self.penalty is None or isinstance(alpha, float):
            return problem, config, self._alpha_of_steps, None
        if isinstance(alpha, str) and isinstance(solver, Stochastic):
            chosen = auto_alpha.of_steps(problem, scaled=config.scale_columns)
            return self._at_alpha(problem, chosen), config, chosen, None
        given = alpha if isinstance(alpha, np.ndarray) else None
        path = auto_alpha.find_alpha(solver, problem, config, self._penalty_at, given)
        if self.verbose:
            print(f"alpha {path.best:.3g}: the best of {len(path.alphas)} by held-out rows")
        if config.start is None and solver.warm_starts:
            config = replace(config, start=path.start)
        return self._at_alpha(problem, path.best), config, path.best, path

    def _at_alpha(self, problem: Problem, alpha: float) -> Problem:
        return replace(
            problem, objective=replace(problem.objective, penalty=self._penalty_at(alpha))
        )

    def _config(
        self, solver: Solver, problem: Problem, held_out: Problem | None = None,
        start: TrainedModel | None = None, *, streams: bool = False,
    ) -> SolverConfig:  # fmt: skip
        """What the solver is told: its own number of epochs and tolerance where none is given. By
        rows held out `tol` is of their loss, for which there is no tolerance that suits all."""
        max_iter = solver.max_iter if self.max_iter is None else self.max_iter
        own_tol = solver.tol if held_out is None else None
        tol = own_tol if isinstance(self.tol, str) else self.tol
        return SolverConfig(
            max_iter, tol, self.shuffle, self.random_state, self.n_threads, self.verbose,
            solver.copies_scaled_columns and self._scales(solver, problem, start, streams=streams),
            held_out, start,
        )  # fmt: skip

    def _scales(
        self, solver: Solver, problem: Problem, start: TrainedModel | None, *,
        streams: bool = False,
    ) -> bool:  # fmt: skip
        """Whether the penalty is of the weights of scaled columns."""
        if self.scale != "auto":
            return self.scale is not None
        if start is not None and start.updates is not None:
            return start.scale is not None  # steps go on as they began
        if streams:
            return False  # the rows of a call, which may be few, say nothing of those to come
        far = solver.copies_scaled_columns and scaling.far_from_one(problem.X)
        return far or scaling.in_different_units(problem.X, problem.sample_weight)

    def _with_column_scale(self, solver: Solver, problem: Problem) -> Problem:
        """The problem whose penalty is of scaled columns, for solvers that need no copy of them."""
        if solver.copies_scaled_columns or not self._scales(solver, problem, None):
            return problem
        kind = scaling.magnitudes if self.scale == "max" else scaling.spreads
        scale = kind(problem.X, problem.sample_weight, self.n_threads)
        return replace(problem, objective=replace(problem.objective, column_scale=scale))

    # ---- fits -----------------------------------------------------------------------------------

    def _fit(
        self, problem: Problem, callback: Callable[[Event], Any] | None, held_out: Problem | None,
        hooks: Hooks, constant: ConstantLabels | None = None,
    ) -> FitResult:  # fmt: skip
        """All epochs of the solver, on fresh states, or on those of the last fit with
        ``warm_start``, which had labels that are `constant` now as well."""
        solver, reason = choose_solver(self, problem)
        if self.verbose:
            print(f"solver {solver.name}: {reason}")
        several = isinstance(solver, Stochastic) and isinstance(solver.lr, np.ndarray)
        if several and (not isinstance(self.tol, (str, type(None))) or self.warm_start):
            raise ValueError(
                "several lr run all epochs from the start: set tol=None and warm_start=False, or "
                "give one lr"
            )
        problem = problem.without_weightless_rows().with_mean_weight_one()
        problem = self._with_column_scale(solver, problem)
        if self.early_stopping and held_out is None:
            problem, held_out = self._split(problem)
        start = getattr(self, "_trained", None) if self.warm_start else None
        if start is not None and constant is not None:
            start = without_constants(start, constant)
        config = self._config(solver, problem, held_out, start)
        monitor = CallbackMonitor(callback, config.max_iter, hooks)
        problem, config, alpha, path = self._with_alpha(solver, problem, config)
        result = solver.fit(problem, config, [monitor])
        check_held(result.model)
        result.solver, result.alpha, result.alpha_path = solver.name, alpha, path
        if result.went_back and result.dual_gap is not None:
            result.dual_gap = gap_of_model(problem, result.model, self.n_threads)
        useless = not result.interrupted and warn_if_useless(result, problem, self.n_threads)
        if not useless and self.tol is not None:
            warn_if_unfinished(result, problem, config)
        return result

    def _split(self, problem: Problem) -> tuple[Problem, Problem]:
        """Rows to learn from, and rows to stop by."""
        n_rows = problem.n_rows
        if max(1, round(self.validation_fraction * n_rows)) >= n_rows:
            raise ValueError(
                f"validation_fraction={shown(self.validation_fraction)} leaves no row of {n_rows} "
                "to learn from; give a smaller one, or eval_set="
            )
        order = check_random_state(self.random_state).permutation(n_rows)
        held_out = held_out_rows(problem, self.validation_fraction, order)
        if not held_out.any():
            raise ValueError(
                "early_stopping=True holds rows out, but never the last of a class, and each class "
                "has one row; give eval_set="
            )
        return problem.take(np.flatnonzero(~held_out)), problem.take(np.flatnonzero(held_out))

    def _partial_fit(
        self, X: Any, problem: Problem, last: TrainedModel | None, **learnt: Any
    ) -> None:
        """One pass in the order given, from the last model on; the estimator then has what else was
        learnt, too."""
        first = not hasattr(self, "_trained")
        solver = make_solver(self)
        if not isinstance(solver, Stochastic):
            raise ValueError(
                f"partial_fit needs solver='stochastic' or 'auto', got {shown(self.solver)}, which "
                "needs all rows at once: call fit"
            )
        call = stream_call(self, solver, problem, last)
        # Ctrl-C may not come between weights that have moved and the estimator that has them.
        with interrupts() as interrupted:
            try:
                result = call.complete(
                    fit_stream(
                        call.problem, call.updates, call.config, call.last, interrupted,
                        call.intercepts,
                    )
                )  # fmt: skip
                if interrupted():
                    result.model.beginning = None  # not all of its rows were learnt from
                self._finish(result, X if first else None, **learnt)
            except BaseException as error:
                last = call.last
                if last is not None and self._trained is last and moves(last, call.problem):
                    del self._trained, self.n_iter_
                    if isinstance(error, FloatingPointError) and not last.disposable:
                        raise FloatingPointError(
                            f"{error}; the model is lost, since it is so much larger than these "
                            "rows that no copy was made: begin again from a saved one"
                        ) from None
                raise
            stopped = interrupted()
        if stopped:
            raise KeyboardInterrupt(
                f"partial_fit was stopped after the first {call.n_new(result.n_rows)} rows; the "
                "estimator has learnt from them"
            )

    def _finish(self, result: FitResult, X: Any = None, **learnt: Any) -> None:
        """Take what a fit has resulted in, the features of X if it is the first, and what else was
        learnt: all of it, or nothing if it is refused or interrupted. What made the features of an
        earlier dataset belongs to those."""
        finished = object.__new__(type(self))
        finished.__dict__ = {**self.__dict__, **learnt}
        if X is not None:
            validate_data(finished, X, reset=True, skip_check_array=True)
            finished.__dict__.pop("features_", None)
        finished._trained = result.model
        finished.solver_ = result.solver
        finished.loss_curve_ = np.array(result.loss_curve)
        finished.n_iter_ = len(result.loss_curve)
        finished.t_ = result.model.t
        finished.dual_gap_ = result.dual_gap
        finished.stopping_curve_ = np.array(result.stopping_curve)
        updates = result.model.updates
        finished.lr_ = updates.rule.lr if result.lr is None and updates else result.lr
        finished.lr_losses_ = result.lr_losses
        path = result.alpha_path
        finished.alpha_ = result.alpha
        finished.alphas_ = None if path is None else path.alphas
        finished.alpha_losses_ = None if path is None else path.losses
        finished.history_ = result.history
        finished.plateau_ = result.plateau
        self.__dict__ = finished.__dict__

    @property
    def best_iter_(self) -> int:
        """Epochs after which the weights were what they are: fewer than `n_iter_` where rows were
        held out, or `tol` was set, and a later epoch was no better."""
        check_is_fitted(self, "n_iter_")
        curve = self.stopping_curve_
        return int(np.argmin(curve)) + 1 if curve.size else self.n_iter_

    def _raise_if_interrupted(self, result: FitResult) -> None:
        """Raise KeyboardInterrupt if the fit was stopped, now that the estimator is complete."""
        if result.interrupted:
            raise KeyboardInterrupt(
                f"the fit was stopped in epoch {self.n_iter_}"
                + (f" of {self.max_iter}" if self.max_iter else "")
                + "; the estimator has what it learnt until then, and can be used"
                + (" or go on by partial_fit" if self.solver_ == "stochastic" else "")
            )

    # ---- coefficients -----------------------------------------------------------------------

    @rounded_to_nearest
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "_trained"):
            raise AttributeError(f"{type(self).__name__} is not fitted; call fit first")
        return self._trained.weights

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
        if names is not None and not hasattr(names, "__len__"):
            raise TypeError(f"names must be a list of names, got {shown(names)}")
        if names is None:
            names = getattr(self, "feature_names_in_", range(weights.shape[1]))
        if len(names) != weights.shape[1]:
            raise ValueError(f"names must have {weights.shape[1]} entries, got {len(names)}")
        found = []
        for w in weights:
            largest = np.argsort(-np.abs(w), kind="stable")[:n]
            found.append([(names[int(j)], float(w[j])) for j in largest if w[j] != 0])
        return found

    def plot_alphas(self, ax: Any = None) -> AlphaPathDisplay:
        """Draw what held-out rows lost at each of the alphas that `fit` tried, and the one taken.

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
        ValueError
            If `fit` had nothing to choose from.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import lrcore
        >>> from sklearn.datasets import load_breast_cancer
        >>> clf = lrcore.LinearClassifier().fit(*load_breast_cancer(return_X_y=True))
        >>> display = clf.plot_alphas()  # doctest: +SKIP
        """
        check_is_fitted(self, "n_iter_")
        if self.alphas_ is None or self.alpha_losses_ is None:
            raise ValueError(
                f"alpha={shown(self.alpha)} and solver {self.solver_!r} tried no others; "
                "alpha='auto' and alpha=[...] do, with solver='newton' and 'dual'"
            )
        label = "mean held-out loss"
        return AlphaPathDisplay(self.alphas_, self.alpha_losses_, self.alpha_, label).plot(ax)

    @rounded_to_nearest
    def _raw_predictions(self, X: Any) -> np.ndarray:
        """(n_rows, n_outputs), in X's dtype."""
        check_is_fitted(self, "n_iter_")
        if isinstance(X, Dataset):
            batches = batches_for(self, X, X.name)
            return np.concatenate([self._raw_predictions(batch.X) for batch in batches])
        features = getattr(self, "features_", None)
        if features is not None and is_raw(X):
            X = features.transform(X)
        matrix, names = converted(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        z = self._trained.raw_predictions(matrix, self.n_threads)
        if not np.isfinite(z).all():
            # NaN and infinity in X show in the raw predictions: only then is X searched for them.
            validated(matrix, names, self.n_threads)
        return z

    def _held_out(
        self, eval_set: Any, problem: Problem, targets_of: Callable[[Any], list[np.ndarray]]
    ) -> Problem | None:
        """The rows to stop by, checked, if there are any."""
        if eval_set is None:
            return None
        most = len(self._of_rows)
        if not isinstance(eval_set, tuple) or not 2 <= len(eval_set) <= most:
            got = type(eval_set).__name__
            got = f"{got} of {len(eval_set)}" if isinstance(eval_set, tuple) else got
            longer = " or ".join(f"({', '.join(self._of_rows[:n])})" for n in range(3, most + 1))
            raise TypeError(
                f"eval_set must be a pair (X, y), got {got}; a triple {longer} will do as well"
            )
        rows, y, sample_weight, offset = (*eval_set, None, None)[:4]
        try:
            X = as_design_matrix(rows, problem.X.dtype, self.n_threads)
            targets = targets_of(y)
            check_lengths(X, targets[0])
            weight = check_weight(sample_weight, X.shape[0])
            held_out = with_offset(Problem(X, targets, weight, problem.objective), offset)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"eval_set: {error}") from None
        if X.shape[1] != problem.X.shape[1]:
            raise ValueError(f"eval_set has {X.shape[1]} features, and X has {problem.X.shape[1]}")
        return held_out.without_weightless_rows()

    def _alpha_of_few(self, X: Any, y: Any, sample_weight: Any, **added: Any) -> float:
        """The alpha that these rows would have if they were few; where a search may begin."""
        self._check_params()
        problem = self._problem(X, y, sample_weight, **added)[0]
        solver = choose_solver(self, problem).solver
        scaled = self._with_column_scale(solver, problem.without_weightless_rows())
        return auto_alpha.of_few(scaled, self.n_threads)

    def _other_rows(self, X: Any, y: Any, sample_weight: Any = None) -> Problem:
        """Rows with targets that the model may lose by, checked."""
        raise NotImplementedError

    def _problem_of(self, X: Any, targets: list[np.ndarray], sample_weight: Any) -> Problem:
        """Such rows, in the model's dtype and with its objective."""
        matrix = as_design_matrix(X, self._trained.dtype, self.n_threads)
        check_lengths(matrix, targets[0])
        weight = check_weight(sample_weight, matrix.shape[0])
        return Problem(matrix, targets, weight, self._trained.objective)

    def _mean_loss(self, *rows: Any, **added: Any) -> float:
        """The mean loss of other rows, over targets; the arguments are those of `_other_rows`."""
        return self._trained.mean_loss(self._other_rows(*rows, **added), self.n_threads)

    def _stream_matrix(self, X: Any, first: bool) -> DesignMatrix:
        """X of a partial_fit checked, and its number of features compared with the first call's."""
        if first:
            check_columns(X)
        matrix = as_design_matrix(X, None if first else self._trained.dtype, self.n_threads)
        if not first:
            validate_data(self, X, reset=False, skip_check_array=True)
        return matrix


def check_held(model: TrainedModel) -> None:
    """Raise unless the weights of a solver that works in float64 are numbers of X's dtype too."""
    if not all(np.isfinite(state.weights).all() for state in model.states):
        raise DivergenceError(
            f"the fit ended at weights that are not finite in {model.dtype}",
            "scale y and the columns of X to be near 1, or give X in float64",
            "one of them at least is too large",
        )
