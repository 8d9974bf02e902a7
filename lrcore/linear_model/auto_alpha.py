"""The weight of the penalty: what `alpha` may be, and how "auto" finds one.

The objective is a mean over rows, so that alpha, C and the number of rows n belong together as
``alpha = 1 / (C * n)``: of twice as many rows the same C is half of the alpha. What suits some of
the rows is taken over to all of them at the same C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from lrcore._backend.shuffle import shuffled
from lrcore._utils import numerics
from lrcore._utils.validation import shown
from lrcore.linear_model.arguments import check_number
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import TrainedModel
from lrcore.linear_model.sampling import class_numbers
from lrcore.linear_model.solvers.base import Solver, SolverConfig
from lrcore.penalties import Penalty

#: What solvers that take steps have for "auto": their number of steps holds weights back as well.
OF_STEPS = 1e-6

#: Rows up to which folds are held out in turn, so many; of more rows one share is, at most so many.
#: Of the others at most so many are learnt from, by solvers that end by their gap: the best C of
#: flights and of a million rows of a power law is the same, and the search takes a third.
FOLD_ROWS, FOLDS, SHARE, MOST_HELD_OUT, MOST_LEARNT = 5_000, 5, 0.2, 50_000, 50_000

#: Rows below which nothing is held out, and the alpha that they have, over the mean square of a
#: row: as if a hundred rows had C = 1.
FEWEST_ROWS, OF_FEW = 50, 0.01

#: Strengths that are tried are powers of the square root of 10, so many up and down from where the
#: search begins; it goes by two of them as long as the held-out loss falls, then by one.
HIGHEST, LOWEST = 14, -14

#: The gap at which trial fits end: on text the held-out loss is within 0.5 % then. Their epochs, at
#: most: an alpha that takes more is none for "auto", since the fit to come would take many times as
#: many. And the seed of the rows held out.
GAP, EPOCHS, SEED = 3e-2, 100, 0

#: Makes the penalty of an estimator at an alpha.
MakePenalty = Callable[[float], Penalty]


@dataclass(frozen=True)
class AlphaPath:
    """The alphas that were tried, from the largest on, what held-out rows lost at each, and the
    best; `start` is the model of the last fit that was tried, to go on from."""

    alphas: np.ndarray
    losses: np.ndarray
    best: float
    start: TrainedModel | None


def as_alpha(alpha: Any, name: str = "alpha") -> str | float | np.ndarray:
    """The argument `alpha`, or one of another name, checked: "auto", a number, or several.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(alpha, str):
        if alpha != "auto":
            raise TypeError(
                f"{name} must be 'auto', a number or a list of numbers, got {shown(alpha)}"
            )
        return alpha
    if isinstance(alpha, (list, tuple, np.ndarray)):
        if np.ndim(alpha) != 1 or len(alpha) == 0:
            raise ValueError(f"{name} must be one number or a list of several, got {shown(alpha)}")
        for each in alpha:
            check_number(f"each of several {name}", each, 0)
        if len(set(map(float, alpha))) < len(alpha):
            raise ValueError(f"{name} must not have a number twice, got {shown(alpha)}")
        return np.sort(np.asarray(alpha, np.float64))[::-1]
    check_number(name, alpha, 0)
    return float(alpha)


def find_alpha(
    solver: Solver, problem: Problem, config: SolverConfig, make_penalty: MakePenalty,
    given: np.ndarray | None,
) -> AlphaPath:  # fmt: skip
    """The best of the alphas given, else of those that the search comes to, by the mean loss of
    rows held out from the fit: those of `config`; of few rows each in turn, if the solver knows
    what it would lose, else folds; and one part of many; always the same."""
    square = mean_square(problem, config.n_threads) * slope(problem)
    if given is None and problem.n_rows < FEWEST_ROWS and config.held_out is None:
        alpha = of_few(problem, config.n_threads)
        return AlphaPath(np.array([alpha]), np.array([np.nan]), alpha, None)
    splits = [_that_vary(*parts) for parts in _splits(solver, problem, config)]
    searches = given is None
    folds = [Fold(solver, *parts, config, make_penalty, searches=searches) for parts in splits]
    n_learnt = folds[0].problem.n_rows
    if given is not None:
        losses = np.array([np.mean([fold.loss_at(a) for fold in folds]) for a in given])
        best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
        return AlphaPath(given, losses, float(given[best]), None)

    @cache
    def loss_at(k: int) -> float:
        alpha = strength_at(k) * square / n_learnt
        return float(np.mean([fold.loss_at(alpha) for fold in folds]))

    k, tried = downhill(loss_at)
    order = sorted(tried, reverse=True)
    alphas = np.array([strength_at(j) * square / problem.n_rows for j in order])
    losses = np.array([loss_at(j) for j in order])
    best_alpha = strength_at(k + _vertex(loss_at, k, tried)) * square / problem.n_rows
    all_targets = len(folds[0].problem.targets) == len(problem.targets)
    return AlphaPath(alphas, losses, best_alpha, folds[0].last if all_targets else None)


def of_few(problem: Problem, n_threads: int | None) -> float:
    """The alpha of few rows, which does not change if rows are repeated."""
    return OF_FEW * mean_square(problem, n_threads) * slope(problem)


def of_steps(problem: Problem, *, scaled: bool) -> float:
    """The alpha of solvers that take steps, in the units of these rows where they are extreme;
    columns may be `scaled`."""
    size = 1.0 if scaled else scaling.beyond(problem.X.typical_magnitude())
    return OF_STEPS * scaling.beyond(slope(problem)) * size * size


def strength_at(k: float) -> float:
    """The square root of 10 to the k, the same on every machine."""
    return float(numerics.exp(np.array(k * 1.151292546497023)))


def _vertex(loss_at: Callable[[int], float], k: int, tried: set[int]) -> float:
    """Where the parabola through the least loss and its neighbours is least, from there: what they
    all say is less a matter of luck than which of them is ahead."""
    if not {k - 1, k + 1} <= tried:
        return 0.0
    below, here, above = (loss_at(j) for j in (k - 1, k, k + 1))
    curvature = below - 2.0 * here + above
    if not (math.isfinite(curvature) and curvature > 0):
        return 0.0
    return min(max(0.5 * (below - above) / curvature, -0.5), 0.5)


def downhill(loss_at: Callable[[int], float]) -> tuple[int, set[int]]:
    """The power at which the loss is least, and all that were tried."""
    k, tried = 0, {0}
    for step in (2, 1):
        for direction in (-step, step):
            while LOWEST <= k + direction <= HIGHEST:
                tried.add(k + direction)
                if not loss_at(k + direction) < loss_at(k):
                    break
                k += direction
    return k, tried


class Fold:
    """Fits to some rows, each from where the last one ended, judged by the others; if there are no
    others, by what each row would lose if it were left out."""

    def __init__(
        self, solver: Solver, problem: Problem, held_out: Problem | None, config: SolverConfig,
        make_penalty: MakePenalty, *, searches: bool,
    ) -> None:  # fmt: skip
        self._whole, self._searches = problem, searches
        self._features: np.ndarray | None = None
        if held_out is not None and solver.tol is not None:
            problem, held_out, self._features = problem.with_used_features(held_out)
        self.problem = problem
        self._last: TrainedModel | None = None
        self._held_out, self._make_penalty = held_out, make_penalty
        # For a solver that does not end by its gap a tolerance is something else.
        tol = config.tol if solver.tol is None else max(config.tol or 0.0, GAP)
        self._config = replace(
            config, tol=tol, max_iter=min(config.max_iter, EPOCHS), held_out=None, verbose=0,
            warns=False, start=None,
        )  # fmt: skip
        self._fit = solver.trials(problem, self._config)

    @property
    def last(self) -> TrainedModel | None:
        """The model of the last fit, of all features."""
        if self._features is None or self._last is None:
            return self._last
        objective = replace(self._whole.objective, penalty=self._last.objective.penalty)
        return self._last.among(self._features, self._whole.X.shape[1], objective)

    def loss_at(self, alpha: float) -> float:
        """The mean loss of the rows held out; infinite where a search ought not to go."""
        objective = replace(self.problem.objective, penalty=self._make_penalty(alpha))
        result, config = self._fit(objective), self._config
        if result.interrupted:
            raise KeyboardInterrupt("stopped while it looked for alpha; nothing has been learnt")
        self._last = result.model
        gap, tol = result.dual_gap, config.tol
        if self._searches and gap is not None and tol is not None and gap > tol:
            return math.inf
        if self._held_out is None:
            assert result.left_out is not None
            return result.left_out()
        return result.model.mean_loss(self._held_out, config.n_threads)


def mean_square(problem: Problem, n_threads: int | None) -> float:
    """The weighted mean of |x|**2 over the rows, of scaled columns where they are; 1 if it is 0."""
    X, weight = problem.X, problem.sample_weight
    weight = np.ones(X.shape[0]) if weight is None else weight
    squares = X.column_squares(weight, n_threads)
    scale = problem.objective.column_scale
    squares = squares if scale is None else squares / np.square(scale)
    return float(np.sum(squares)) / problem.total_weight or 1.0


def slope(problem: Problem) -> float:
    """The mean size of the losses' derivatives over that of the errors, both where all predictions
    are the mean: 1 for squared error, and for losses whose derivative is bounded less the larger
    the targets are. So alpha follows the unit of y as the weights do."""
    loss, y = problem.objective.loss, problem.targets[0]
    if loss.classifies or loss.log_link:
        return 1.0
    share = problem.share
    z = np.full(len(y), float(np.sum(share * y)))
    error = float(np.sum(share * np.abs(y - z)))
    size = float(np.sum(share * np.abs(loss.evaluate(z, y)[1])))
    return size / error if error > 0 and size > 0 else 1.0


def _splits(
    solver: Solver, problem: Problem, config: SolverConfig
) -> Sequence[tuple[Problem, Problem | None]]:
    """Pairs of rows to learn from and rows to judge by."""
    n_rows = problem.n_rows
    if config.held_out is not None:
        return [(problem, config.held_out)]
    if n_rows <= FOLD_ROWS and solver.leaves_out(problem):
        return [(problem, None)]
    order = _in_turn(problem)
    if n_rows > FOLD_ROWS:
        held_out = every(order, min(int(SHARE * n_rows), MOST_HELD_OUT))
        learnt = order[~np.isin(order, held_out, assume_unique=True)]
        if solver.tol is not None and len(learnt) > MOST_LEARNT:
            learnt = every(learnt, MOST_LEARNT)
        return [(problem.take(np.sort(learnt)), problem.take(np.sort(held_out)))]
    place = np.empty(n_rows, np.int64)
    place[order] = np.arange(n_rows)
    return [_parted(problem, place % FOLDS == fold) for fold in range(FOLDS)]


def _that_vary(problem: Problem, held_out: Problem | None) -> tuple[Problem, Problem | None]:
    """Both without the binary targets that are the same in all rows to learn from: with intercepts
    their loss has no minimum above 0, which no gap can be measured by, whatever alpha is."""
    objective, targets = problem.objective, problem.targets
    if not objective.loss.classifies or objective.loss.joint or not objective.fit_intercept:
        return problem, held_out
    vary = [k for k, y in enumerate(targets) if (y != y[0]).any()]
    if len(vary) in (0, len(targets)):
        return problem, held_out
    return problem.of_targets(vary), held_out and held_out.of_targets(vary)


def _in_turn(problem: Problem) -> np.ndarray:
    """The rows shuffled, and of classes those of each together: every so many of them are of all
    classes alike."""
    order = shuffled(problem.n_rows, SEED)
    classes = class_numbers(problem)
    return order if classes is None else order[np.argsort(classes[order], kind="stable")]


def every(order: np.ndarray, n: int) -> np.ndarray:
    """n rows, as far apart in an order as can be."""
    return order[np.arange(n) * len(order) // n]


def _parted(problem: Problem, held_out: np.ndarray) -> tuple[Problem, Problem]:
    return problem.take(np.flatnonzero(~held_out)), problem.take(np.flatnonzero(held_out))
