"""What goes wrong with a rate, recognised by the losses of a fit and named: divergence,
oscillation, stagnation."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lrcore.linear_model.engine.epoch import EpochRunner
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.monitor.base import CONTINUE, Decision, Monitor, Progress
from lrcore.linear_model.monitor.gradient_stats import GradientStats
from lrcore.linear_model.problem import Reference
from lrcore.rules import SGD

#: A loss this many times that of weights of 0 diverges if it is twice what it was an epoch ago, or
#: has risen for some epochs. Adaptive rules were seen to come back from a rise of 10,000.
FAR_ABOVE, GROWTH, RISES = 1e6, 2.0, 5

#: An oscillation: over so many changes from epoch to epoch the loss goes up and down in turn, each
#: time by a share of its mean, or half of the changes, in any order, are of a larger share. They
#: are more than a share of the loss of weights of 0, and the mean falls by no more than a share of
#: them. Noise takes turns eight times once in fourteen, but not by such amounts.
TURNS, IN_TURN, IN_DISORDER, OF_NULL_LOSS, PROGRESS = 8, 0.05, 0.3, 0.05, 0.5

#: Stagnation: a loss at least this share of the one at the beginning, although one step along the
#: gradient would take off a share of it, and many times what the fit has; after enough epochs or
#: steps.
STILL, GAIN, TIMES = 0.97, 0.1, 10.0
ENOUGH_EPOCHS, ENOUGH_STEPS = 5, 1000

#: Rows that such a step is tried on, and its lengths, over the best one for a quadratic.
TRIED_ROWS, LENGTHS = 8192, 4.0 ** np.arange(-6, 7)


class DivergenceError(FloatingPointError):
    """A fit that diverged: its loss or weights are not finite, or its loss has risen far too high.

    Parameters
    ----------
    where : str
        The step and the rate at which it was noticed.
    advice : str
        What to try, such as a rate.
    why : str
        How it is known.
    """

    def __init__(self, where: str, advice: str, why: str) -> None:
        super().__init__(f"{where}; {advice}; {why}")
        self.where, self.advice, self.why = where, advice, why

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.advice, self.why)


class RateWarning(ConvergenceWarning):
    """A fit whose loss goes up and down, hardly falls, or ends above where it began, as it does at
    an unsuitable rate; or one that diverged, and went on at a lower one."""


class UselessFitWarning(RateWarning):
    """A fit that predicts its own rows no better than the best constant prediction does."""


def warn(message: str, category: type[Warning] = RateWarning) -> None:
    """Warn in the line that calls `fit`."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals["__name__"].startswith(("lrcore.", "sklearn.callback")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def first_rate(runner: EpochRunner) -> float:
    """The rate of the first step."""
    return float(runner.updates.rule.rates(np.array([0]))[0])


def stable_limit(runner: EpochRunner) -> float | None:
    """The rate below which gradient steps cannot diverge, where that is known: 2 over a bound of
    the objective's second derivative, for a rule that is plain gradient descent."""
    rule, objective = runner.updates.rule, runner.objective
    if not (isinstance(rule, SGD) and rule.momentum == 0 and objective.loss.smooth):
        return None
    square = runner.X.statistics().norm2 + (1.0 if objective.fit_intercept else 0.0)
    return 2.0 / (objective.loss.curvature * square + objective.penalty.curvature)


def suggest_lower(runner: EpochRunner) -> str:
    """What to try where a rate is too high."""
    rate, limit = first_rate(runner) / 10, stable_limit(runner)
    bound = ""
    if limit is not None:
        rate = min(rate, limit / 2)
        bound = f" (up to 2 / curvature = {limit:.3g} a step on a row of mean length is stable)"
    return (
        f"try lr={rate:.3g}{bound}, a warmup such as .warmup('5%') of a schedule, or scale='auto', "
        "which divides the columns of X by their largest magnitudes"
    )


class RateDiagnostics(Monitor):
    """Warns after an epoch, once of each kind, if the losses show that the rate does not suit.

    Losses are compared with the `reference`, those that the fit began with; weights that are not
    `fresh` may have begun anywhere, so they are not. Where the rate `is_cut` once nothing is
    gained, an oscillation ends by itself.
    """

    def __init__(
        self, runner: EpochRunner, stats: GradientStats, reference: Reference, fresh: bool,
        *, is_cut: bool = False,
    ) -> None:  # fmt: skip
        self._runner = runner
        self._stats = stats
        self._reference = reference
        self._fresh = fresh
        self._is_cut = is_cut
        self._told: set[str] = set()

    def after_epoch(self, progress: Progress) -> Decision:
        if not progress.cut_short and self._reference.excess > 0:
            self._check(progress)
        return CONTINUE

    def _check(self, progress: Progress) -> None:
        curve, last, n = progress.losses, progress.last, progress.n_epochs
        # Every so many epochs: to look takes longer than an epoch of a few rows.
        if not self._is_cut and (last or n % TURNS == 1):
            swing = oscillation(self._excess(progress.measured or curve), self._reference.excess)
            if swing is not None:
                self._tell(
                    "oscillation",
                    f"the loss oscillates: over {TURNS} epochs it has gone up and down by "
                    f"{swing:.0%} of its mean and more, without falling, {self._where()}; "
                    f"{suggest_lower(self._runner)}",
                )
        checked = last or (n % 5 == 0 and (n // 5).bit_count() == 1)
        least, at_first = self._reference
        if self._fresh and checked and curve[-1] - least >= STILL * at_first:
            self._check_that_it_falls(self._excess(curve))

    def _excess(self, losses: list[float]) -> list[float]:
        """Losses above the least that there can be: of counts they may be negative."""
        return [loss - self._reference.least for loss in losses]

    def _check_that_it_falls(self, curve: list[float]) -> None:
        """Where the loss is no better than at the beginning: by the weights that there are."""
        least, at_first = self._reference
        with np.errstate(all="ignore"):
            trial = GradientStep(self._stats)
            gain = trial.gain()
        fallen = at_first - (trial.objective - least)
        enough = len(curve) >= ENOUGH_EPOCHS or self._state.t >= ENOUGH_STEPS
        never_above = max(curve) <= 1.01 * at_first
        if enough and never_above and fallen >= 0 and gain > max(GAIN * at_first, TIMES * fallen):
            self._tell(
                "stagnation",
                f"the fit stagnates: {self._where()}, it has taken {fallen / at_first:.2%} off "
                "the loss that it began with, and one step of the right length along the gradient "
                f"would take {gain / at_first:.0%} off; the rate is too low: try "
                f"{suggest_higher(self._runner)}, a schedule that restarts, or scale='auto'",
            )

    @property
    def _state(self) -> ModelState:
        return self._stats.states[0]

    def _where(self) -> str:
        first, last = first_rate(self._runner), self._runner.rate
        rates = f"rate {first:.3g}" if first == last else f"rates from {first:.3g} to {last:.3g}"
        return f"by step {self._state.t}, at {rates}"

    def _tell(self, what: str, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            warn(message)


def suggest_higher(runner: EpochRunner) -> str:
    """What to try where the rate is too low; ten times 0 is no better."""
    rate = first_rate(runner)
    return f"lr={10 * rate:.3g} or more" if rate > 0 else "a rate above 0"


def runs_away(curve: list[float], null_loss: float) -> bool:
    """Whether the loss is far above that at the beginning, `null_loss`, and rises fast."""
    if len(curve) < 2 or curve[-1] <= FAR_ABOVE * null_loss:
        return False
    rises = len(curve) > RISES and bool(np.all(np.diff(curve[-RISES - 1 :]) > 0))
    return rises or curve[-1] > GROWTH * curve[-2]


def oscillation(curve: list[float], null_loss: float) -> float | None:
    """By which share of its mean the loss goes up and down without falling; None unless it does."""
    last = curve[-TURNS - 1 :]
    if len(last) <= TURNS or max(last) - min(last) < OF_NULL_LOSS * null_loss:
        return None
    window = np.array(last)
    change, mean, half = np.diff(window), float(window.mean()), len(window) // 2
    in_turn = bool(np.all(change[1:] * change[:-1] < 0))
    swing = float(np.abs(change).min() if in_turn else np.median(np.abs(change)))
    both_ways = min(np.sum(change > 0), np.sum(change < 0)) > 1
    falls = window[-half:].mean() < window[:half].mean() - PROGRESS * swing
    large = swing > (IN_TURN if in_turn else IN_DISORDER) * mean
    large = large and swing > OF_NULL_LOSS * null_loss
    return swing / mean if large and both_ways and not falls else None


class GradientStep:
    """What one step along the gradient would bring: over some of the rows, by the weights now."""

    def __init__(self, stats: GradientStats) -> None:
        problem = stats.problem
        every = -(-problem.n_rows // TRIED_ROWS)
        chosen = np.arange(0, problem.n_rows, every)
        self._problem = problem if every == 1 else problem.take(chosen)
        self._stats = stats
        self._raw = stats.raw_predictions(self._problem)
        self.loss = self._mean_loss(self._raw)
        self.objective = self.loss + self._penalty(0.0, None)

    def _mean_loss(self, raw: list[np.ndarray]) -> float:
        """The loss at these raw predictions, over targets, as epochs report it."""
        loss, total = self._stats.objective.loss, 0.0
        for k, (z, y) in enumerate(zip(raw, self._problem.targets)):
            z = z + self._problem.offset(k)
            value = loss.evaluate(z, y if loss.joint else y.reshape(z.shape))[0]
            weight = self._problem.of_target(k).sample_weight
            total += float(np.average(value, axis=0, weights=weight).mean())
        return total / len(raw)

    def _penalty(self, length: float, gradients: list[np.ndarray] | None) -> float:
        """The penalty after a step of this length along the gradients, over targets."""
        objective, total, states = self._stats.objective, 0.0, self._stats.states
        if objective.penalty.is_zero:
            return 0.0
        for k, state in enumerate(states):
            w = state.weights[:, :-1].astype(np.float64)
            if gradients is not None:
                w -= length * gradients[k][:, :-1]
            total += objective.penalty_value(w)
        n_losses = 1 if objective.loss.joint else states[0].n_outputs
        return total / (len(states) * n_losses)

    def gain(self) -> float:
        """What the best of some steps takes off the objective."""
        stats, objective = self._stats, self._stats.objective
        loss_gradients = stats.loss_gradients(self._problem, self._raw)
        gradients = stats.gradients(self._problem, loss_gradients)
        changes = stats.raw_predictions(self._problem, gradients)
        square = sum(float(np.sum(g * g)) for g in gradients)
        curvature = objective.penalty.curvature * square
        along = sum(float(np.mean(np.sum(z * z, axis=1))) for z in changes)
        curvature += objective.loss.curvature * along
        if not (0 < curvature < math.inf):
            return 0.0
        best = self.objective
        for length in LENGTHS * (square / curvature):
            moved = [z - length * dz for z, dz in zip(self._raw, changes)]
            value = self._mean_loss(moved) + self._penalty(length, gradients)
            best = min(best, value)  # NaN is not below
        return self.objective - best
