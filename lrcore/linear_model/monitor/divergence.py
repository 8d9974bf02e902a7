"""Fits that diverge: recognised after each epoch, ended by an error or taken back."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lrcore.linear_model.engine.epoch import EpochRunner
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.monitor.base import CONTINUE, Decision, Monitor, Progress, roll_back
from lrcore.linear_model.monitor.diagnostics import (
    RISES,
    DivergenceError,
    runs_away,
    suggest_lower,
    warn,
)
from lrcore.linear_model.monitor.lr_controller import LRController
from lrcore.linear_model.problem import Reference

#: What a rate is multiplied by after a fit diverged, and how often at most.
CUT, MOST_CUTS = 0.1, 5

#: A loss up to this many times the best one before, or that at the beginning, is good.
GOOD = 2.0

#: Features whose weights are checked together: a byte for each of 2**26 features would be felt.
CHECKED = 1 << 20


def diverged(runner: EpochRunner, state: ModelState, why: str) -> DivergenceError:
    """The error for a fit that diverged."""
    rule = runner.updates.rule
    rate = float(rule.rates(np.array([max(0, state.t - 1)]))[0])
    where = f"the fit diverged by step {state.t}, at rate {rate:.3g}"
    return DivergenceError(where, suggest_lower(runner), why)


def check_finite(
    runner: EpochRunner, states: list[ModelState], features: np.ndarray | None = None
) -> None:
    """Raise unless all weights are finite, and what they and the rate follow from: those of some
    features, and the intercept, or of all."""
    for state in states:
        of_features = [state.weights]
        if state.average is not None:
            of_features.append(state.average.changes.T)
        if features is not None:
            of_features = [part for w in of_features for part in (w[:, features], w[:, -1:])]
        sums = [state.lazy_penalty.accumulated_lr, *([state.dog.sums] if state.dog else [])]
        if not all(map(finite, of_features)) or not all(np.isfinite(s).all() for s in sums):
            raise diverged(runner, state, "its weights are not finite")


def finite(rows: np.ndarray) -> bool:
    """Whether all numbers of a matrix are."""
    starts = range(0, rows.shape[1], CHECKED)
    return all(bool(np.isfinite(rows[:, k : k + CHECKED]).all()) for k in starts)


class DivergenceGuard(Monitor):
    """Ends a fit that diverges, or takes it back to the last good states at a lower rate.

    The states to go back to are at first those that the fit began with, which `begin` makes anew;
    then a copy after each epoch whose loss was good. A loss is of rows just before they were learnt
    from, so that the last rows may have spoilt states that look good: if the fit diverges from them
    twice it goes back to the beginning.

    Losses are compared with the `reference`, those that the fit began with. Where they are of
    several rates at once, only one that is not finite counts. A guard that keeps no `checkpoints`
    goes back to the beginning.
    """

    def __init__(
        self, runner: EpochRunner, states: list[ModelState], lr: LRController,
        begin: Callable[[], list[ModelState]], reference: Reference, *, recovers: bool,
        several_rates: bool, checkpoints: bool = True,
    ) -> None:  # fmt: skip
        self._runner = runner
        self._states = states
        self._lr = lr
        self._begin = self._good = begin
        self._reference = reference
        self._recovers = recovers
        self._several_rates = several_rates
        self._checkpoints = checkpoints
        self._epoch = self._cuts = 0
        self._tried = False
        self._plateau = self._first_plateau = lr.plateau_state()

    def after_epoch(self, progress: Progress) -> Decision:
        try:
            self._check(progress)
        except DivergenceError as error:
            self._go_back(error)
            return roll_back(self._epoch)
        return CONTINUE

    def keep(self, progress: Progress) -> None:
        """Take a copy of the states after an epoch, if they are good."""
        if not (self._recovers and self._checkpoints):
            return
        least, at_first = self._reference
        last, best = progress.losses[-1] - least, min(progress.losses) - least
        if last <= GOOD * min(best, at_first if at_first > 0 else math.inf):
            good = [state.copy() for state in self._states]
            self._good = lambda: [state.copy() for state in good]
            self._epoch, self._tried = progress.n_epochs, False
            self._plateau = self._lr.plateau_state()

    def _check(self, progress: Progress) -> None:
        """Raise if the last epoch shows that the fit diverges."""
        total, (least, at_first) = progress.epoch_loss.total, self._reference
        losses = [loss - least for loss in progress.losses[-RISES - 1 :]]
        if not math.isfinite(total):
            raise diverged(self._runner, self._states[0], f"the sum of losses is {total}")
        if self._several_rates:
            return
        if not progress.cut_short and at_first > 0 and runs_away(losses, at_first):
            raise diverged(
                self._runner,
                self._states[0],
                f"the mean loss of epoch {progress.n_epochs} was {progress.losses[-1]:.3g}, and "
                f"was {least + at_first:.3g} before the first step",
            )
        if self._recovers:
            check_finite(self._runner, self._states)

    def _go_back(self, error: DivergenceError) -> None:
        """Put the last good states back, at a tenth of the rate; raises the error where the fit is
        not to recover, or the rate has been cut too often."""
        if not self._recovers:
            raise error
        if self._cuts == MOST_CUTS:
            where = f"{error.where}, after {MOST_CUTS} cuts of the rate to a tenth"
            raise DivergenceError(where, error.advice, error.why)
        self._cuts += 1
        if self._tried:
            self._good, self._epoch, self._plateau = self._begin, 0, self._first_plateau
        self._tried = True
        self._states[:] = self._good()
        self._lr.restore_plateau(self._plateau)
        self._lr.scale(CUT)
        step = self._states[0].t
        warn(
            f"{error.where}: {error.why}; it goes back to step {step}, after {self._epoch} epochs, "
            f"and on at rate {self._lr.rate(step):.3g}"
        )


class Checkpoints(Monitor):
    """Lets a guard keep the states of good epochs, once all else has been measured of them."""

    def __init__(self, guard: DivergenceGuard) -> None:
        self._guard = guard

    def after_epoch(self, progress: Progress) -> Decision:
        if not progress.cut_short:
            self._guard.keep(progress)
        return CONTINUE
