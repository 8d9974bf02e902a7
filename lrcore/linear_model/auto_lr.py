"""The rate of a linear model: what `lr` may be, and how "auto" finds one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lrcore import _backend
from lrcore._backend.shuffle import shuffled
from lrcore._utils.validation import shown
from lrcore.linear_model.arguments import check_number
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.sampling import in_halves, n_classes, sample
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.sweep import side_by_side, sweep
from lrcore.rules import Rule
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

#: Where the best is at an end of what was tried, the search goes on there, so many times at most.
PASSES_ON = 6

#: Share of the rows that the first ones are tried on.
COARSE_SHARE = 0.2

#: Steps of those tried one by one, downhill, and of looking for one that does not diverge; and how
#: far they may go.
STEPS, LEAP, FARTHEST = (4.0, 2.0), 64.0, 1e15

#: Rows to judge by that tell rates apart which are no more than this factor from each other.
ENOUGH_ROWS, FINEST = 2048, 2.0**0.5

#: A loss so many times the best one counts as diverging; and one so many times that of a constant
#: as worse than it.
DIVERGED, WORSE = 10.0, 1.1

#: How many standard errors a rate far from the guess has to be ahead; and by what share of the loss
#: of a constant where rows have classes: such as can be told apart lose ever less by ever larger
#: weights, whatever the rate, and `partial_fit` goes on at it.
CAUTION, OF_CONSTANT = 1.0, 0.001

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


def natural_lr(rule: Rule, problem: Problem, *, scaled: bool = False) -> float:
    """The rule's own rate for linear models, in the units of these rows.

    Steps of an adaptive rule are as long as its rate, whatever the gradients: it is a distance in
    the unit of the weights, which is that of the targets over that of X, 1 if columns are `scaled`.
    Steps of others are in proportion to the gradient: their rate is the inverse of a second
    derivative.
    """
    loss, factor = problem.objective.loss, 1.0
    if not loss.classifies:
        constants, share = problem.constants(), problem.share
        errors, sizes, curvature = 0.0, 0.0, 0.0
        for k, (y, constant) in enumerate(zip(problem.targets, constants)):
            z = (np.full((problem.n_rows, 1), constant[0]) + problem.offset(k))[:, 0]
            y = y.astype(np.float64)
            slopes = loss.evaluate(z, y)[1]
            errors += float(np.sum(share * np.abs(y - z)))
            sizes += float(np.sum(share * np.abs(slopes)))
            if loss.log_link:
                curvature += float(np.sum(share * loss.second_derivative(z, y, slopes)))
        if loss.log_link:
            factor = 1.0 if rule.adaptive else _over(len(constants), curvature)
        else:
            factor = errors if rule.adaptive else _over(errors, sizes)
    size = 1.0 if scaled else scaling.beyond(problem.X.typical_magnitude())
    return rule.linear_lr * _power_of_two(factor / (size if rule.adaptive else size * size))


def _over(a: float, b: float) -> float:
    """a / b; 1 where there is nothing to compare."""
    return a / b if 0 < a < math.inf and 0 < b < math.inf else 1.0


def _power_of_two(factor: float) -> float:
    """The nearest one, so that the last bits of what it comes from do not matter."""
    return 2.0 ** round(math.log2(factor)) if 0 < factor < math.inf else 1.0


def find_lr(
    solver: Stochastic, problem: Problem, config: SolverConfig, n_tried: int | None = None
) -> float:
    """The rate that loses least on some rows after a fit on others, always the same ones.

    By default it takes a tenth of the time of the fit to come, or that of 2,000 rows if this is
    more; else that of passes over `n_tried` rows. With very few rows the answer is the rule's own
    rate in their units, and in the NumPy backend, which would take seconds.
    """
    guess = natural_lr(solver.rule, problem, scaled=config.scale_columns)
    n_rows = problem.n_rows
    if n_rows < FEWEST_ROWS or not _backend.active.SEARCHES_LR:
        return guess
    if n_tried is None:
        n_tried = int(min(max(SHARE * n_rows * config.max_iter / COST, LEAST_ROWS), MOST_ROWS))
    passes = min(config.max_iter, PASSES)
    # As many to judge by as to learn from.
    n = min(max(n_tried // (passes + 1), FEWEST_ROWS), n_rows // 2)
    halves = in_halves(problem, shuffled(n_rows, SEED))
    held_out, training = (sample(problem, n, half) for half in halves)
    if min(n_classes(held_out), n_classes(training)) == 1:
        return guess  # what they teach is that there is one class
    both = held_out.followed_by(training)
    X, features = both.X.with_used_features()
    both = replace(both, X=X, objective=both.objective.with_features(features))
    # At the largest rates blocks are single rows, for which threads would only wait.
    config = SolverConfig(
        passes, shuffle=config.shuffle, random_state=SEED, n_threads=1,
        scale_columns=config.scale_columns,
    )  # fmt: skip
    trial = Trial(solver, both, held_out.n_rows, config)
    side = side_by_side(both.objective, solver.updates_at(1.0, both, config))
    if side and len(problem.targets) == 1:
        return _in_two_sweeps(trial, guess)
    return _downhill(trial, guess)


@dataclass(frozen=True)
class Trial:
    """Fits that tell rates apart: a few epochs over some rows, judged by `n_held_out` others, which
    come first."""

    solver: Stochastic
    problem: Problem
    n_held_out: int
    config: SolverConfig

    def rows(self, share: float) -> tuple[Problem, Problem]:
        """Of a share of them, those to learn from and those to judge by."""
        first, all_rows = self.n_held_out, self.problem.n_rows
        n_held_out = min(max(int(share * first), FEWEST_ROWS // 2), first)
        n_training = min(max(int(share * (all_rows - first)), FEWEST_ROWS // 2), all_rows - first)
        return self.problem.span(first, first + n_training), self.problem.span(0, n_held_out)

    def losses(self, rates: np.ndarray, share: float) -> np.ndarray:
        """What each held-out row loses after a fit at each of the rates to a share of the rows,
        above the least that it can lose, (n_rates, n_rows); infinite where a fit diverges."""
        training, held_out = self.rows(share)
        try:
            config = replace(self.config, held_out=held_out)
            found = sweep(self.solver, training, config, rates)
        except FloatingPointError:
            return np.full((len(rates), held_out.n_rows), np.inf)
        if found.interrupted:
            raise KeyboardInterrupt("stopped while it looked for a rate; nothing has been learnt")
        assert found.of_rows is not None
        return found.of_rows - held_out.least_losses()

    def losses_of_constant(self, share: float) -> np.ndarray:
        """What each held-out row loses by the best constant of the others, (n_rows,)."""
        training, held_out = self.rows(share)
        return held_out.losses_of_constants(training.constants())


def _in_two_sweeps(trial: Trial, guess: float) -> float:
    """Eight rates a factor of 8 apart, then eight a factor of 2 apart about the best of those."""
    center, teaches = _nearest(trial, guess, COARSE_SHARE)
    if not teaches:
        center, teaches = _nearest(trial, guess, 1.0)
    if not teaches:
        return center  # the best rate is as likely as not one that learns nothing
    fine = 1.0 - COARSE_SHARE
    held_out = trial.rows(fine)[1]

    def best(rates: np.ndarray, losses: np.ndarray) -> int:
        lost = mean_losses(losses, held_out)
        # Where twice the rate diverges, the fit to come may, which has other rows and more of them.
        stable = np.append(lost[1:], np.inf) <= DIVERGED * lost.min()
        least = losses[int(np.argmin(np.where(stable, lost, np.inf)))]
        good = [not _leads(trial, least, each, fine, CAUTION) for each in losses]
        return _nearest_to(guess, rates, stable & good)

    rates, losses = _going_on(trial, center * FINE ** np.arange(-4.0, TRIED - 4.0), fine, best)
    return float(rates[best(rates, losses)]) if converges(losses) else center


def _nearest(trial: Trial, guess: float, share: float) -> tuple[float, bool]:
    """Of rates far apart the one nearest to the guess that the held-out rows cannot tell from the
    best; and whether a fit teaches them anything. Where it does not, the nearest one that does no
    harm, and the guess if all diverge."""
    held_out, constant = trial.rows(share)[1], trial.losses_of_constant(share)

    def teaches(losses: np.ndarray) -> bool:
        return _ahead(losses[_least(losses, held_out)], constant, held_out, CAUTION)

    def nearest(rates: np.ndarray, losses: np.ndarray) -> int:
        if teaches(losses):
            best = losses[_least(losses, held_out)]
            good = np.array([not _leads(trial, best, each, share, CAUTION) for each in losses])
        else:
            good = mean_losses(losses, held_out) <= WORSE * held_out.mean(constant)
        return _nearest_to(guess, rates, good)

    rates = guess * COARSE ** np.arange(3.0 - TRIED, 3.0)
    rates, losses = _going_on(trial, rates, share, nearest)
    if not converges(losses):
        return guess, False
    return float(rates[nearest(rates, losses)]), teaches(losses)


def _nearest_to(guess: float, rates: np.ndarray, good: np.ndarray) -> int:
    """The place of the good rate that is nearest to the guess; of the lowest where none is."""
    return int(np.argmin(np.where(good, np.abs(np.log(rates / guess)), np.inf)))


def converges(losses: np.ndarray) -> bool:
    """Whether a fit is finite at any of the rates."""
    return bool(np.isfinite(losses).all(axis=1).any())


def _least(losses: np.ndarray, of: Problem) -> int:
    """The place of the rate that rows lose least by."""
    return int(np.argmin(mean_losses(losses, of)))


def mean_losses(losses: np.ndarray, of: Problem) -> np.ndarray:
    """The mean of each row of losses, infinite where one of them is not finite."""
    mean = np.array([of.mean(each) for each in losses])
    return np.where(np.isfinite(mean), mean, np.inf)


def _going_on(
    trial: Trial, rates: np.ndarray, share: float, choose: Callable[[np.ndarray, np.ndarray], int]
) -> tuple[np.ndarray, np.ndarray]:
    """These rates and what rows lose by them; and by more beyond the end, as long as the one chosen
    is there, or all diverge."""
    losses = trial.losses(rates, share)
    for _ in range(PASSES_ON):
        chosen = choose(rates, losses) if converges(losses) else 0
        if 0 < chosen < len(rates) - 1:
            break
        factors = (rates[1] / rates[0]) ** np.arange(1.0, TRIED)
        more = rates[0] / factors[::-1] if chosen == 0 else rates[-1] * factors
        tried = [(more, trial.losses(more, share)), (rates, losses)]
        tried = tried if chosen == 0 else tried[::-1]
        rates, losses = (np.concatenate(both) for both in zip(*tried))
    return rates, losses


def _downhill(trial: Trial, guess: float) -> float:
    """From the guess in steps of 4, as long as the held-out rows lose less, then of 2."""
    held_out = trial.rows(1.0)[1]
    constant = trial.losses_of_constant(1.0)

    @cache
    def lost(rate: float) -> np.ndarray:
        return trial.losses(np.array([rate]), 1.0)[0]

    def harmless(rate: float) -> bool:
        """Whether rows lose about what they lose by the constant: lower rates only get nearer."""
        least = held_out.mean(constant)
        teaches = _ahead(lost(rate), constant, held_out, CAUTION)
        return not teaches and bool(mean_losses(lost(rate)[None], held_out)[0] <= WORSE * least)

    rate = guess
    while not np.isfinite(lost(rate)).all() and rate > guess / FARTHEST:
        rate /= LEAP
    steps = STEPS if held_out.n_rows < ENOUGH_ROWS else (*STEPS, FINEST)
    for step, caution in zip(steps, (CAUTION, 0.0, 0.0)):
        for factor in (step, 1.0 / step):
            while (
                1.0 / FARTHEST < rate * factor / guess < FARTHEST
                and not (factor < 1.0 and harmless(rate))
                and _leads(trial, lost(rate * factor), lost(rate), 1.0, caution)
            ):
                rate *= factor
    if not _ahead(lost(rate), constant, held_out, CAUTION):
        # These rows teach next to nothing, and so the best rate is one that learns nothing.
        return guess if harmless(guess) else rate
    least, twice = mean_losses(np.stack([lost(rate), lost(2.0 * rate)]), held_out)
    return rate if twice <= DIVERGED * least else rate / 2.0


def _leads(
    trial: Trial, lost: np.ndarray, by_other: np.ndarray, share: float, caution: float
) -> bool:
    """Whether a rate is to be taken instead of another: held-out rows lose less by it, by so many
    standard errors and by what counts."""
    held_out = trial.rows(share)[1]
    if not _ahead(lost, by_other, held_out, caution):
        return False
    if not held_out.objective.loss.classifies:
        return True
    least, other = mean_losses(np.stack([lost, by_other]), held_out)
    return bool(other - least > OF_CONSTANT * held_out.mean(trial.losses_of_constant(share)))


def _ahead(lost: np.ndarray, by_other: np.ndarray, of: Problem, caution: float) -> bool:
    """Whether rows lose less than by the other rate, by so many standard errors of the mean."""
    if not (np.isfinite(lost).all() and np.isfinite(by_other).all()):
        return bool(np.isfinite(lost).all())
    weight = np.ones(len(lost)) if of.sample_weight is None else of.sample_weight
    less = (by_other / 2 - lost / 2) * (weight / weight.mean())
    less /= np.abs(less).max() or 1.0  # squares of losses of 1e200 are none
    return bool(less.mean() > caution * less.std() / np.sqrt(len(less)))
