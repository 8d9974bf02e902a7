"""What goes wrong with a rate, recognised by the losses of a fit and named: divergence,
oscillation, stagnation."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lrcore import losses
from lrcore.linear_model.engine.epoch import Pass
from lrcore.linear_model.engine.layout import State
from lrcore.linear_model.monitor.gradient_stats import Statistics
from lrcore.linear_model.problem import Data
from lrcore.losses import Loss
from lrcore.rules import SGD

#: A loss this many times that of weights of 0 runs away if it is twice what it was an epoch ago, or
#: has risen for some epochs. Adaptive rules were seen to come back from a rise of 10,000.
RISE, GROWTH, RISES = 1e6, 2.0, 5

#: A fit that ends with a loss this many times that of weights of 0, over the rows that it has
#: learnt from, is worse than none.
WORSE = 2.0

#: An oscillation: over so many changes from epoch to epoch the loss goes up and down in turn, each
#: time by a share of its mean, or half of the changes, in any order, are of a larger share. They
#: are more than a share of the loss of weights of 0, and the mean falls by no more than a share of
#: them. Noise takes turns eight times once in fourteen, but not by such amounts.
TURNS, IN_TURN, IN_DISORDER, OF_IDLE, PROGRESS = 8, 0.05, 0.3, 0.05, 0.5

#: Stagnation: a loss at least this share of that of weights of 0, although one step along the
#: gradient would take off a share of it, and many times what the fit has; after enough epochs or
#: steps.
STILL, GAIN, TIMES = 0.97, 0.1, 10.0
ENOUGH_EPOCHS, ENOUGH_STEPS = 5, 1000

#: Rows that such a step is tried on, and its lengths, over the best one for a quadratic.
TRIED_ROWS, LENGTHS = 8192, 4.0 ** np.arange(-6, 7)

#: Losses whose `curvature` bounds their second derivative.
SMOOTH = (
    losses.LogLoss, losses.SquaredHinge, losses.ModifiedHuber, losses.SquaredError, losses.Huber,
    losses.SquaredEpsilonInsensitive, losses.Softmax,
)  # fmt: skip


class DivergenceError(FloatingPointError):
    """A fit that ran away: its loss or its weights are not finite, or its loss is far above what it
    was at the beginning and rises. Says where, what to try, and how it is known."""

    def __init__(self, where: str, advice: str, why: str) -> None:
        super().__init__(f"{where}; {advice}; {why}")
        self.where, self.advice, self.why = where, advice, why

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.advice, self.why)


class RateWarning(ConvergenceWarning):
    """A fit whose loss goes up and down, hardly falls, or ends above where it began, as it does at
    an unsuitable rate; or one that ran away, and went on at a lower one."""


def warn(message: str) -> None:
    """Warn of a rate, in the line that calls `fit`."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals["__name__"].startswith(("lrcore.", "sklearn.callback")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RateWarning, stacklevel=level)


def first_rate(passes: Pass) -> float:
    """The rate of the first step."""
    return float(passes.method.rule.rates(np.array([0]))[0])


def stable_limit(passes: Pass) -> float | None:
    """The rate below which gradient steps cannot run away, where that is known: 2 over a bound of
    the objective's second derivative, for a rule that is plain gradient descent."""
    method = passes.method
    rule = method.rule
    if not (isinstance(rule, SGD) and rule.momentum == 0 and isinstance(method.loss, SMOOTH)):
        return None
    square = passes.rows.measures().norm2 + (1.0 if method.intercept else 0.0)
    return 2.0 / (method.loss.curvature * square + method.l2)


def lower(passes: Pass) -> str:
    """What to try where a rate is too high."""
    rate, limit = first_rate(passes) / 10, stable_limit(passes)
    bound = ""
    if limit is not None:
        rate = min(rate, limit / 2)
        bound = f" (up to 2 / curvature = {limit:.3g} a step on a row of mean length is stable)"
    return (
        f"try lr={rate:.3g}{bound}, a warmup such as .warmup('5%') of a schedule, or scale='auto', "
        "which divides the columns of X by their largest magnitudes"
    )


def diverged(passes: Pass, state: State, why: str) -> DivergenceError:
    """The error for a fit that ran away."""
    step = state.base + state.step
    rate = float(passes.method.rule.rates(np.array([max(0, step - 1)]))[0])
    where = f"the fit diverged by step {step}, at rate {rate:.3g}"
    return DivergenceError(where, lower(passes), why)


def idle_loss(loss: Loss, data: Data) -> float:
    """Mean loss of weights of 0 over some of the rows; losses for classes have the same in all."""
    most = 1 if loss.classifies else 1 << 16
    every = max(1, data.rows.shape[0] // most)
    weight = None if data.weight is None or every > 1 else data.weight
    total = 0.0
    for y in data.targets:
        some = y[::every]
        z = np.zeros((len(some), data.n_outputs) if loss.joint else some.shape)
        value = loss.evaluate(z, some)[0]
        total += float(np.average(value, axis=0, weights=weight).mean())
    return total / len(data.targets)


class Diagnosis:
    """Looks at the losses of a fit after each of its epochs, and says what it sees once.

    `idle` is the loss of weights of 0. Where that is not above 0 there is nothing to take a share
    of, and weights that are not `fresh` may have begun anywhere, so their losses are not held
    against it.
    """

    def __init__(self, statistics: Statistics, fresh: bool) -> None:
        self._statistics = statistics
        self._passes = statistics.passes
        self.idle = idle_loss(statistics.method.loss, statistics.data)
        self._fresh = fresh
        self._told: set[str] = set()

    def check_divergence(self, curve: list[float]) -> None:
        """Given the losses of all epochs so far, raise if the last ones rise far above where the
        fit began."""
        if self.idle > 0 and runs_away(curve, self.idle):
            raise diverged(
                self._passes,
                self._statistics.states[0],
                f"the mean loss of epoch {len(curve)} was {curve[-1]:.3g}, and is {self.idle:.3g} "
                "for weights of 0",
            )

    def check(self, curve: list[float], measured: list[float], last: bool) -> None:
        """Warn of what the losses of all epochs so far, or what was measured, look like."""
        if self.idle <= 0:
            return
        # Every so many epochs: a look takes longer than an epoch of a few rows.
        looked = last or len(curve) % TURNS == 1
        swing = swings(measured or curve, self.idle) if looked else None
        if swing is not None:
            self._tell(
                "oscillation",
                f"the loss oscillates: over {TURNS} epochs it has gone up and down by {swing:.0%} "
                f"of its mean and more, without falling, {self._where()}; "
                f"{lower(self._passes)}",
            )
        checked = last or (len(curve) % 5 == 0 and (len(curve) // 5).bit_count() == 1)
        if self._fresh and checked and curve[-1] >= STILL * self.idle:
            self._look_closer(curve, last)

    def _look_closer(self, curve: list[float], last: bool) -> None:
        """At a loss no better than that of weights of 0: by the weights that there are now."""
        with np.errstate(all="ignore"):
            trial = Trial(self._statistics)
            gain = trial.gain()
        if trial.loss > WORSE * self.idle:
            if last:
                self._tell(
                    "rise",
                    f"the fit ends worse than weights of 0: its mean loss is {trial.loss:.3g}, "
                    f"theirs {self.idle:.3g}, {self._where()}; {lower(self._passes)}",
                )
            return
        fallen, state = self.idle - trial.objective, self._statistics.states[0]
        enough = len(curve) >= ENOUGH_EPOCHS or state.base + state.step >= ENOUGH_STEPS
        never_above = max(curve) <= 1.01 * self.idle
        if enough and never_above and fallen >= 0 and gain > max(GAIN * self.idle, TIMES * fallen):
            self._tell(
                "stagnation",
                f"the fit stagnates: {self._where()}, it has taken {fallen / self.idle:.2%} off "
                "the loss of weights of 0, and one step of the right length along the gradient "
                f"would take {gain / self.idle:.0%} off; the rate is too low: try "
                f"lr={10 * first_rate(self._passes):.3g} or more, a schedule that restarts, or "
                "scale='auto'",
            )

    def _where(self) -> str:
        state = self._statistics.states[0]
        first, last = first_rate(self._passes), self._passes.rate
        rates = f"rate {first:.3g}" if first == last else f"rates from {first:.3g} to {last:.3g}"
        return f"by step {state.base + state.step}, at {rates}"

    def _tell(self, what: str, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            warn(message)


def runs_away(curve: list[float], idle: float) -> bool:
    """Whether the loss is far above that of weights of 0, and rises fast."""
    if len(curve) < 2 or curve[-1] <= RISE * idle:
        return False
    rises = len(curve) > RISES and bool(np.all(np.diff(curve[-RISES - 1 :]) > 0))
    return rises or curve[-1] > GROWTH * curve[-2]


def swings(curve: list[float], idle: float) -> float | None:
    """By which share of its mean the loss goes up and down without falling; None unless it does."""
    last = curve[-TURNS - 1 :]
    if len(last) <= TURNS or max(last) - min(last) < OF_IDLE * idle:
        return None
    window = np.array(last)
    change, mean, half = np.diff(window), float(window.mean()), len(window) // 2
    in_turn = bool(np.all(change[1:] * change[:-1] < 0))
    swing = float(np.abs(change).min() if in_turn else np.median(np.abs(change)))
    both_ways = min(np.sum(change > 0), np.sum(change < 0)) > 1
    falls = window[-half:].mean() < window[:half].mean() - PROGRESS * swing
    large = swing > (IN_TURN if in_turn else IN_DISORDER) * mean and swing > OF_IDLE * idle
    return swing / mean if large and both_ways and not falls else None


class Trial:
    """What one step along the gradient would bring: over some of the rows, by the weights now."""

    def __init__(self, statistics: Statistics) -> None:
        data = statistics.data
        every = -(-data.rows.shape[0] // TRIED_ROWS)
        self._data = data if every == 1 else data.take(np.arange(0, data.rows.shape[0], every))
        self._statistics = statistics
        self._margins = statistics.margins(self._data)
        self.loss = self._mean_loss(self._margins)
        self.objective = self.loss + self._penalty(0.0, None)

    def _mean_loss(self, margins: list[np.ndarray]) -> float:
        """Of the loss at these margins, over targets, as epochs report it."""
        loss, total = self._statistics.method.loss, 0.0
        for z, y in zip(margins, self._data.targets):
            value = loss.evaluate(z, y if loss.joint else y.reshape(z.shape))[0]
            total += float(np.average(value, axis=0, weights=self._data.weight).mean())
        return total / len(margins)

    def _penalty(self, length: float, gradients: list[np.ndarray] | None) -> float:
        """Of the weights after a step of this length along the gradients, over targets."""
        method, total = self._statistics.method, 0.0
        if not method.penalised:
            return 0.0
        factors: Any = 1.0 if method.factors is None else method.factors
        for k, state in enumerate(self._statistics.states):
            w = state.weights[:, :-1].astype(np.float64)
            if gradients is not None:
                w -= length * gradients[k][:, :-1]
            total += float(np.sum(factors * (method.l1 * np.abs(w) + method.l2 / 2 * w * w)))
        return total / (len(self._statistics.states) * method.n_losses)

    def gain(self) -> float:
        """What the best of some steps takes off the objective."""
        statistics, loss = self._statistics, self._statistics.method.loss
        gradients = statistics.gradients(self._data, statistics.slopes(self._data, self._margins))
        changes = statistics.margins(self._data, gradients)
        square = sum(float(np.sum(g * g)) for g in gradients)
        curvature = statistics.method.l2 * square
        curvature += loss.curvature * sum(float(np.mean(np.sum(z * z, axis=1))) for z in changes)
        if not (0 < curvature < math.inf):
            return 0.0
        best = self.objective
        for length in LENGTHS * (square / curvature):
            moved = [z - length * dz for z, dz in zip(self._margins, changes)]
            value = self._mean_loss(moved) + self._penalty(length, gradients)
            best = min(best, value)  # NaN is not below
        return self.objective - best
