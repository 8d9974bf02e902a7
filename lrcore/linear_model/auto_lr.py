"""The rate of a linear model: what `lr` may be, and how "auto" finds one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lrcore import _backend
from lrcore._backend.shuffle import shuffled
from lrcore._utils.validation import shown
from lrcore.linear_model.arguments import check_number
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.sweep import Sweep, side_by_side, sweep
from lrcore.schedules import Schedule, spec

if TYPE_CHECKING:
    from lrcore.linear_model.solvers.stochastic import Stochastic

#: What `lr` may be: "auto", a rate, a schedule, or an array of rates.
Rates = str | float | Schedule | np.ndarray

#: Share of a fit's work that "auto" may take; rows that it takes in any case, and at most, in all.
SHARE, LEAST_ROWS, MOST_ROWS = 0.1, 2_000, 100_000

#: Time of a row in all that is tried, over that of a row in an epoch.
COST = 12.0

#: How many rates are tried in one pass; the first ones are so far apart, the second ones so close.
TRIED, COARSE, FINE = 8, 8.0, 2.0

#: Share of the rows that the first ones are tried on.
COARSE_SHARE = 0.2

#: Steps of those tried one by one, downhill, and how far they may go.
STEPS, FARTHEST = (4.0, 2.0), 1e5

#: A loss so many times the best one counts as diverging.
DIVERGED = 10.0

#: How many standard errors a rate far from the guess has to be ahead.
CAUTION = 1.0

#: Epochs of what is tried, at most, and rows that say nothing about a rate.
PASSES, FEWEST_ROWS = 5, 100

#: Of the rows tried on: a rate is found anew, not drawn.
SEED = 0


def as_lr(lr: Any) -> Rates:
    """The argument `lr`, checked: a string is "auto" or a schedule's spec, a list several rates.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(lr, str):
        if lr == "auto":
            return lr
        try:
            return spec.parse(lr)
        except spec.SpecError as error:
            raise spec.SpecError(f"lr must be 'auto', a number or a spec: {error}") from None
    if isinstance(lr, Schedule):
        return lr
    if isinstance(lr, (list, tuple, np.ndarray)):
        if np.ndim(lr) != 1 or len(lr) == 0:
            raise ValueError(f"lr must be one rate or a list of several, got {shown(lr)}")
        several = [_above_zero(rate) for rate in lr]
        if len(set(several)) < len(several):
            raise ValueError(f"lr must not have a rate twice, got {shown(lr)}")
        return np.array(several)
    if isinstance(lr, bool) or not isinstance(lr, (int, float, np.integer, np.floating)):
        raise TypeError(
            "lr must be 'auto', a number, a Schedule or its spec string, or a list of numbers, "
            f"got {shown(lr)}"
        )
    check_number("lr", lr, 0)
    return float(lr)


def _above_zero(rate: Any) -> float:
    check_number("each of several lr", rate, 0)
    if rate == 0:
        raise ValueError("each of several lr must be > 0, got 0")
    return float(rate)


def find_lr(solver: Stochastic, problem: Problem, config: SolverConfig) -> float:
    """The rate that loses least on some rows after a fit on others, always the same ones.

    It takes a tenth of the time of the fit to come, or that of 2,000 rows if this is more. With
    very few rows the answer is the rule's own rate for linear models, and in the NumPy backend,
    which would take seconds.
    """
    guess = solver.rule.linear_lr
    n_rows = problem.n_rows
    if n_rows < FEWEST_ROWS or not _backend.active.SEARCHES_LR:
        return guess
    n_tried = int(min(max(SHARE * n_rows * config.max_iter / COST, LEAST_ROWS), MOST_ROWS))
    passes = min(config.max_iter, PASSES)
    # As many to judge by as to learn from.
    n_learnt = max(n_tried // (passes + 1), FEWEST_ROWS)
    part = problem.take(shuffled(n_rows, SEED)[: 2 * n_learnt])
    X, features = part.X.with_used_features()
    part = replace(part, X=X, objective=part.objective.with_features(features))
    # At the largest rates blocks are single rows, for which threads would only wait.
    config = SolverConfig(
        passes, shuffle=config.shuffle, random_state=SEED, n_threads=1,
        scale_columns=config.scale_columns,
    )  # fmt: skip
    trial = Trial(solver, part, config)
    side = side_by_side(part.objective, solver.updates_at(1.0, part, config))
    if side and len(problem.targets) == 1:
        return _in_two_sweeps(trial, guess)
    return _downhill(trial, guess)


@dataclass(frozen=True)
class Trial:
    """Fits that tell rates apart: a few epochs over half of the rows, judged by the other half."""

    solver: Stochastic
    problem: Problem
    config: SolverConfig

    def rows(self, share: float) -> tuple[Problem, Problem]:
        """Of a share of them, those to learn from and those to judge by."""
        most = self.problem.n_rows // 2
        n = min(max(int(share * most), FEWEST_ROWS), most)
        return self.problem.span(n, 2 * n), self.problem.span(0, n)

    def at(self, rates: np.ndarray, share: float) -> Sweep:
        """Fits at these rates to a share of the rows.

        Raises FloatingPointError if all diverge.
        """
        training, held_out = self.rows(share)
        config = replace(self.config, held_out=held_out)
        found = sweep(self.solver, training, config, rates)
        if found.interrupted:
            raise KeyboardInterrupt("stopped while it looked for a rate; nothing has been learnt")
        return found


def _in_two_sweeps(trial: Trial, guess: float) -> float:
    """Eight rates a factor of 8 apart, then eight a factor of 2 apart about the best of those.

    Of the first, the one nearest to the guess that the held-out rows cannot tell from the best:
    where so few rows teach nothing, the best is as likely as not a rate that learns nothing.
    """
    try:
        coarse = trial.at(guess * COARSE ** np.arange(3.0 - TRIED, 3.0), COARSE_SHARE)
        assert coarse.of_rows is not None
        best, held_out = coarse.of_rows[coarse.best], trial.rows(COARSE_SHARE)[1]
        as_good = [not _ahead(best, lost, held_out, CAUTION) for lost in coarse.of_rows]
        distance = np.where(as_good, np.abs(np.log(coarse.rates / guess)), np.inf)
        center = coarse.rates[int(np.argmin(distance))]
        fine = trial.at(center * FINE ** np.arange(-4.0, TRIED - 4.0), 1.0 - COARSE_SHARE)
    except FloatingPointError:
        return guess
    # Where twice the rate diverges, the fit to come may, which has other rows and more of them.
    stable = np.append(fine.losses[1:], np.inf) <= DIVERGED * fine.losses.min()
    return float(fine.rates[int(np.argmin(np.where(stable, fine.losses, np.inf)))])


def _downhill(trial: Trial, guess: float) -> float:
    """From the guess in steps of 4, as long as the held-out rows lose less, then of 2."""
    held_out = trial.rows(1.0)[1]

    @cache
    def lost(rate: float) -> np.ndarray:
        try:
            found = trial.at(np.array([rate]), 1.0)
        except FloatingPointError:
            return np.array([np.inf])
        assert found.of_rows is not None
        return found.of_rows[0]

    rate = guess
    for step, caution in zip(STEPS, (CAUTION, 0.0)):
        for factor in (step, 1.0 / step):
            while 1.0 / FARTHEST < rate * factor / guess < FARTHEST and _ahead(
                lost(rate * factor), lost(rate), held_out, caution
            ):
                rate *= factor
    return rate if lost(2.0 * rate).mean() <= DIVERGED * lost(rate).mean() else rate / 2.0


def _ahead(lost: np.ndarray, by_other: np.ndarray, of: Problem, caution: float) -> bool:
    """Whether rows lose less than by the other rate, by so many standard errors of the mean."""
    if not (np.isfinite(lost).all() and np.isfinite(by_other).all()):
        return bool(np.isfinite(lost).all())
    weight = np.ones(len(lost)) if of.sample_weight is None else of.sample_weight
    less = (by_other / 2 - lost / 2) * (weight / weight.mean())
    less /= np.abs(less).max() or 1.0  # squares of losses of 1e200 are none
    return bool(less.mean() > caution * less.std() / np.sqrt(len(less)))
