"""The client of a fit over partitions: what it asks of the workers, round by round.

1. It learns what is in the partitions: rows, classes, weights, features that are used anywhere.
2. It takes a sample of the rows, the same whatever the partitions, and finds alpha by it if none
   is given.
3. Workers make problems of their rows, and add up moments of the columns.
4. The minimum over the sample, where features are few, or a few rounds of dual ascent, where the
   loss has a dual, are where to begin, unless the best constant has the lower objective.
5. L-BFGS goes on from there by exact sums of gradients, until the duality gap is at most `tol`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning

from lrcore._utils.validation import shown
from lrcore.distributed.certificate import ClassSums, answer_of
from lrcore.distributed.columns import Columns, columns_of
from lrcore.distributed.descent import Descent, WithoutModel
from lrcore.distributed.dual_rounds import Ascent
from lrcore.distributed.exact import as_float
from lrcore.distributed.moments import (
    ColumnMoments,
    Moments,
    MomentUnits,
    TargetMoments,
    moments,
    target_moments,
)
from lrcore.distributed.partition import Query, Setting, Sums, evaluate, prepare
from lrcore.distributed.rounds import Handle, Rounds
from lrcore.distributed.rows import joined, pick
from lrcore.distributed.starts import (
    Beginning,
    by_dual_rounds,
    by_sample,
    constant_of_intercept,
    diagonal,
    suits_dual,
    suits_newton,
)
from lrcore.distributed.sums import exponent_above
from lrcore.distributed.totals import Totals
from lrcore.linear_model import auto_alpha
from lrcore.linear_model.auto_alpha import AlphaPath
from lrcore.linear_model.duality import null_objective
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.engine.layout import ModelState, aligned_zeros, n_lanes
from lrcore.linear_model.monitor.diagnostics import warn
from lrcore.linear_model.monitor.history import History
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.select import OF_PARTITIONS, choose_solver

#: Rows of the sample where alpha is given, and where it is to be found; and its seed.
SAMPLED, SAMPLED_FOR_ALPHA, SEED = 16_384, 62_500, 0

#: Rounds at most and the gap at which a fit ends, where none are given.
MAX_ITER, TOL = 500, 1e-3

#: What the bound of the rows' derivatives is above those of the last round, and the largest one.
ROOM, LARGEST_BOUND = 4.0, 2.0**900


class Targets(NamedTuple):
    """What y is to a model: each target has so many outputs; what makes targets of y, and weights
    of the rows' own and y, on the workers; and the factors of the weights of each class."""

    n_outputs: int
    make: Callable[[np.ndarray], list[np.ndarray]]
    weigh: Callable[[np.ndarray | None, np.ndarray], np.ndarray | None]
    class_factors: np.ndarray


def without_model(sample: Problem, k: int) -> WithoutModel:
    """What raw predictions of 0 lose, and the size of the losses' derivatives there."""
    one = sample.of_target(k)
    loss, (y,), share = one.objective.loss, one.targets, one.share
    z = np.zeros((one.n_rows, one.outputs_per_target)) + one.offset(0)
    u = np.abs(loss.evaluate(z if loss.joint else z[:, 0], y)[1]).reshape(z.shape)
    null = null_objective(loss, y, share, one.offset(0))
    return WithoutModel(null, float(np.sum(share * np.max(u, axis=1))))


class DistributedFit:
    """A fit in progress.

    Parameters
    ----------
    model : LinearModel
        Whose parameters say what is minimised.
    rounds : Rounds
    rows : list
        Handles of the partitions' `Rows`.
    totals : Totals
    targets : Targets
    samples : bool
        Whether some rows may be sent to the client.
    """

    def __init__(
        self, model: Any, rounds: Rounds, rows: Sequence[Handle], totals: Totals, targets: Targets,
        *, samples: bool = True,
    ) -> None:  # fmt: skip
        self._model, self._rounds, self._rows, self._targets = model, rounds, rows, targets
        self._totals = totals = totals.with_class_weights(targets.class_factors)
        if not totals.n_counted:
            raise ValueError("sample_weight is zero for every row; at least one must count")
        given = isinstance(auto_alpha.as_alpha(model.alpha), float)
        self._samples, self._searches = samples, model.penalty is not None and not given
        if self._searches and not samples:
            raise ValueError(
                f"alpha={shown(model.alpha)} is found by a sample of the rows, and with workers= "
                "they stay where they are: give a number, such as 1 / n_rows"
            )
        self._began, self._history = time.perf_counter(), History()
        self._n_rounds = self._n_bytes = 0
        self._dtype = np.dtype(totals.dtype)
        columns: Columns = rounds.total(columns_of, rows, merge=Columns.plus)
        features = columns.features
        if features is not None and len(features) in (0, totals.n_features):
            features = None
        self._features, self._exponents = features, columns.exponents()
        self._n_features = totals.n_features if features is None else len(features)
        X = SimpleNamespace(shape=(totals.n_rows, totals.n_features), dtype=self._dtype)
        objective = model._objective(X, targets.n_outputs).with_features(features)
        if self._exponents is not None:
            objective = replace(objective, column_scale=np.ldexp(1.0, -self._exponents))
        self._objective = objective
        largest = float(totals.largest_weights.max())
        mean = float(np.sum(totals.weights / largest)) / totals.n_counted
        most = float(columns.largest.max()) if self._exponents is None else 1.0
        self._setting = Setting(
            objective, totals.dtype, features, totals.n_features, self._exponents, targets.make,
            targets.weigh, totals.n_counted, largest, mean, most,
        )  # fmt: skip

    def run(self) -> FitResult:
        """All of it."""
        model, setting = self._model, self._setting
        sample = self._sample() if self._samples else self._stand_in()
        self._parts = self._rounds.keep(prepare, self._rows, shared=(setting,))
        constants = [constant[:, None] for constant in sample.constants()]
        found, columns = self._moments([constant[:, 0] for constant in constants])
        differ = partial(columns.in_different_units, self._exponents, setting.total)
        if model.scale == "std" or (model.scale == "auto" and differ()):
            self._objective = replace(self._objective, column_scale=columns.spread)
        alpha, path = self._alpha(replace(sample, objective=self._objective))
        self._objective = replace(self._objective, penalty=model._penalty_at(alpha))
        sample = replace(sample, objective=self._objective)
        none = np.zeros((self._targets.n_outputs, self._n_features))
        constant = [np.column_stack([none, each]) for each in constants]
        begin = self._beginnings(sample, constant, columns, alpha)
        descents = [
            Descent(
                self._objective, beginning.curvature, beginning.theta, constant[k],
                as_float(found.losses[k], setting.total), without_model(sample, k), self._dtype,
                self._tol,
            )
            for k, beginning in enumerate(begin)
        ]  # fmt: skip
        self._descend(descents, found)
        self._warn_unless_close(descents)
        return self._result(descents, alpha, path)

    @property
    def _tol(self) -> float | None:
        return TOL if isinstance(self._model.tol, str) else self._model.tol

    # ---- before the descent ----------------------------------------------------------------------

    def _sample(self) -> Problem:
        """Some of all rows, in their order, with all features that are used anywhere."""
        most = SAMPLED_FOR_ALPHA if self._searches else SAMPLED
        n_rows = self._totals.n_rows
        numbers: Sequence[int] = range(n_rows)
        if n_rows > most:
            numbers = sorted(random.Random(SEED).sample(numbers, most))
        chosen = np.array(numbers, np.int64)
        parts = self._rounds.each(pick, self._rows, self._totals.firsts, shared=(chosen,))
        return prepare(joined(parts), self._setting).with_all_features()

    def _stand_in(self) -> Problem:
        """Rows without a feature, whose targets have the shares, or the mean and the spread, of
        those of all rows."""
        totals, targets = self._totals, self._targets
        if is_classifier(self._model):
            y, weight = totals.labels, totals.weights / np.max(totals.weights)
        else:
            sums: TargetMoments = self._total(
                target_moments, self._rows, shared=(), merge=TargetMoments.plus
            )
            y = sums.stand_in(positive=self._objective.loss.log_link)
            weight = np.ones(len(y))
        none = np.zeros(0, np.int32)
        shape, indptr = (len(y), self._n_features), np.zeros(len(y) + 1, np.int64)
        X = DesignMatrix(shape, np.zeros(0, self._dtype), indptr, none)
        return Problem(X, targets.make(y), weight, self._objective).without_weightless_rows()

    def _moments(self, constants: Sequence[np.ndarray]) -> tuple[Moments, ColumnMoments]:
        """Moments of all rows, and what constants lose."""
        self._units = units = MomentUnits.of(self._setting)
        shared = units, list(constants)
        found = self._total(moments, self._parts, shared=shared, merge=Moments.plus)
        return found, ColumnMoments.of(found, units, self._setting.total)

    def _alpha(self, sample: Problem) -> tuple[float, AlphaPath | None]:
        """The alpha given, or the best one by the sample, and what was tried."""
        model = self._model
        if not self._searches:
            return model._alpha_of_steps, None
        given = auto_alpha.as_alpha(model.alpha)
        problem = sample.with_mean_weight_one()
        solver = choose_solver(model, problem).solver
        config = SolverConfig(solver.max_iter, solver.tol, random_state=SEED, n_threads=1)
        several = given if isinstance(given, np.ndarray) else None
        path = auto_alpha.find_alpha(solver, problem, config, model._penalty_at, several)
        # What suits some of the rows is taken over to all of them at the same C.
        same_c = 1.0 if several is not None else problem.n_rows / self._setting.total
        path = replace(path, alphas=path.alphas * same_c, best=path.best * same_c)
        return path.best, path

    def _beginnings(
        self, sample: Problem, constant: Sequence[np.ndarray], columns: ColumnMoments, alpha: float
    ) -> list[Beginning]:
        """Where each target begins."""
        objective = self._objective
        if self._samples and suits_newton(sample):
            return by_sample(sample)
        curvature = diagonal(objective, columns)
        if not suits_dual(objective, self._n_features):
            return [Beginning(theta, curvature) for theta in constant]
        ascent = Ascent(
            objective, self._model._penalty_at, alpha, len(self._parts),
            constant_of_intercept(objective, columns),
        )  # fmt: skip
        thetas = by_dual_rounds(
            partial(self._total, counts=True), self._rounds.keep, self._rounds.each, self._parts,
            ascent, [theta[:, -1] for theta in constant], self._dtype, self._n_features,
        )  # fmt: skip
        return [Beginning(theta, curvature) for theta in thetas]

    # ---- the descent -----------------------------------------------------------------------------

    def _descend(self, descents: Sequence[Descent], found: Moments) -> None:
        """Rounds until all targets are done."""
        setting, objective = self._setting, self._objective
        classes = None
        if found.classes is not None:
            sums = np.ldexp(found.classes.dense().astype(np.float64), self._units.classes)
            shares = self._totals.weights / np.sum(self._totals.weights)
            classes = ClassSums(shares, sums / setting.total)
        bounds = [2.0 ** exponent_above(2.0 * setting.most)] * len(descents)
        max_iter = self._model.max_iter or MAX_ITER
        while self._n_rounds < max_iter:
            active = [k for k, descent in enumerate(descents) if not descent.ended]
            if not active:
                break
            queries = [self._query(descents[k], k, bounds[k]) for k in active]
            answer: Sums = self._total(
                evaluate, self._parts, shared=(queries,), merge=Sums.plus, counts=True,
                n_bytes=sum(query.nbytes for query in queries),
            )  # fmt: skip
            for query, of_target in zip(queries, answer.targets):
                k, descent = query.target, descents[query.target]
                largest = of_target.largest
                bounds[k] = 2.0 ** exponent_above(min(ROOM * largest, LARGEST_BOUND))
                if query.bound < largest < LARGEST_BOUND:
                    continue  # once more, by a unit that has room for it
                got = answer_of(
                    query, of_target, setting, objective.fit_intercept, descent.null, classes
                )
                if got is None:
                    descent.advance(math.inf, None, None)
                else:
                    descent.advance(*got)
            self._record(descents)

    def _query(self, descent: Descent, k: int, bound: float) -> Query:
        theta = descent.trial
        W = np.ascontiguousarray(theta[:, :-1], self._dtype)
        certify = descent.certifies
        return Query(k, W, theta[:, -1].copy(), bound, certify, descent.smoothing)

    def _total(
        self, function: Callable[..., Any], *parts: Sequence[Handle], shared: Sequence[Any],
        merge: Callable[[Any, Any], Any], counts: bool = False, n_bytes: int = 0,
    ) -> Any:  # fmt: skip
        """The results of all partitions merged; a round, if it counts."""
        found = self._rounds.total(function, *parts, shared=shared, merge=merge)
        self._n_rounds += counts
        self._n_bytes += n_bytes + found.nbytes
        return found

    def _record(self, descents: Sequence[Descent]) -> None:
        """One more record of the history, over all targets."""
        points = [descent.point for descent in descents if descent.point is not None]
        if len(points) < len(descents):
            return
        gap = max(descent.gap for descent in descents)
        record = {
            "epoch": self._n_rounds, "step": self._n_rounds,
            "loss": float(np.mean([point.mean_loss for point in points])),
            "objective": float(np.mean([point.objective for point in points])),
            "gap": gap, "bytes": self._n_bytes, "seconds": time.perf_counter() - self._began,
        }  # fmt: skip
        self._history.add(**record)
        if self._model.verbose:
            print(
                f"round {self._n_rounds}: objective {record['objective']:.6g}, duality gap about "
                f"{gap:.2g} of it, {record['bytes'] / 1e6:,.1f} MB sent"
            )

    # ---- after it --------------------------------------------------------------------------------

    def _warn_unless_close(self, descents: Sequence[Descent]) -> None:
        tol = self._tol
        if tol is None or all(descent.ended and not descent.done for descent in descents):
            return
        gap = max(descent.certified for descent in descents)
        if all(d.certifiable for d in descents) and gap <= tol:
            return
        left = max(descent.gap for descent in descents)
        if left > tol:
            warn(
                f"the duality gap is about {left:.2g} of the objective after {self._n_rounds} "
                f"rounds, above tol={tol:g}; raise max_iter, tol or alpha",
                ConvergenceWarning,
            )

    def _result(
        self, descents: Sequence[Descent], alpha: float, path: AlphaPath | None
    ) -> FitResult:
        """The model of all features."""
        states, n = [], self._totals.n_features
        places = slice(n) if self._features is None else self._features
        for descent in descents:
            assert descent.point is not None
            theta = descent.point.theta
            lanes = n_lanes(len(theta))
            array = aligned_zeros((n + 1, lanes), self._dtype)
            W = theta[:, :-1]
            W = W if self._exponents is None else np.ldexp(W, -self._exponents)
            array[places, : len(theta)] = W.T
            array[-1, : len(theta)] = theta[:, -1]
            if len(theta) > 1:
                state = ModelState(array, lanes, by_feature=True, n_outputs=len(theta))
            else:
                state = ModelState(array.T.copy(), 1, by_feature=False)
            states.append(state)
        history = self._history.close()
        gaps = [descent.certified for descent in descents]
        result = FitResult(
            TrainedModel(states, self._whole_objective()), history["loss"].tolist(),
            dual_gap=max(gaps) if math.isfinite(max(gaps)) else None, history=history,
            n_rows=self._totals.n_rows, alpha=alpha, alpha_path=path,
        )  # fmt: skip
        result.solver = OF_PARTITIONS
        return result

    def _whole_objective(self) -> Any:
        """The objective with the numbers of all features again."""
        X = SimpleNamespace(shape=(self._totals.n_rows, self._totals.n_features), dtype=self._dtype)
        whole = self._model._objective(X, self._targets.n_outputs)
        scale = self._objective.column_scale
        if scale is not None and self._exponents is not None:
            scale = np.ldexp(scale, self._exponents)
        if scale is not None and self._features is not None:
            of_all = np.ones(self._totals.n_features)
            of_all[self._features] = scale
            scale = of_all
        return replace(whole, penalty=self._objective.penalty, column_scale=scale)
