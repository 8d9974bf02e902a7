"""What multiplies the rates of a fit while it runs, beyond their schedule: cuts by a plateau, and
where a fit ran away and goes on from the last good states."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lrcore.linear_model.engine.epoch import Pass
from lrcore.linear_model.engine.layout import State
from lrcore.linear_model.monitor.diagnostics import DivergenceError, warn
from lrcore.rules import Rule
from lrcore.schedules import Plateau

#: What a rate is multiplied by after a fit ran away, and how often at most.
CUT, MOST_CUTS = 0.1, 5

#: A loss up to this many times the best one so far, or that of weights of 0, is good.
GOOD = 2.0


def split(rule: Rule) -> tuple[Plateau | None, Rule]:
    """A copy of the plateau that the rule's rate is, if it is one, and the rule without it."""
    if not isinstance(rule.lr, Plateau):
        return None, rule
    return copy.deepcopy(rule.lr), rule.with_lr(rule.lr.schedule)


class Throttle:
    """The rule that a fit goes by: the one it has, its rates multiplied."""

    def __init__(self, passes: Pass, states: list[State], plateau: Plateau | None) -> None:
        self._passes = passes
        self._states = states
        self._rule = passes.method.rule
        self.plateau = plateau
        self.cut = 1.0
        self.apply()

    def apply(self) -> None:
        """Hand the rule to the passes, as it is to be now."""
        factor = self.cut * (1.0 if self.plateau is None else self.plateau.scale)
        self._passes.use(self._rule if factor == 1.0 else self._rule.scaled(factor))
        for state in self._states:
            state.until = 0  # the size of blocks is chosen anew, by the new rate

    def scale(self, factor: float) -> None:
        """Multiply all rates from now on."""
        self.cut *= factor
        self.apply()

    def rate(self, step: int) -> float:
        """The rate of a step, as it is now."""
        return float(self._passes.method.rule.rates(np.array([step]))[0])

    def feed(self, measured: float) -> None:
        """Tell the plateau of an epoch, if there is one."""
        if self.plateau is not None and self.plateau.update(measured):
            self.apply()


class Recovery:
    """The last good states of a fit, and the way back to them.

    At first these are the states that it began with, which `begun` makes anew; then a copy after
    each epoch whose loss was good. `epoch` says of how many epochs they are. A loss is of rows just
    before they were learnt from, so that the last rows may have spoilt states that look good: if
    the fit runs away from them twice it goes back to the beginning.
    """

    def __init__(
        self, throttle: Throttle, states: list[State], begun: Callable[[], list[State]],
        idle: float, on: bool,
    ) -> None:  # fmt: skip
        self.on = on
        self.epoch = 0
        self._throttle = throttle
        self._states = states
        self._begun = self._good = begun
        self._idle = idle if idle > 0 else math.inf
        self._tried = False
        self._cuts = 0
        self._plateau = self._first_plateau = self._plateau_now()

    def keep(self, curve: list[float]) -> None:
        """Take a copy of the states after an epoch, if they are good."""
        if self.on and curve[-1] <= GOOD * min(self._idle, *curve):
            good = [state.copy() for state in self._states]
            self._good = lambda: [state.copy() for state in good]
            self.epoch, self._tried = len(curve), False
            self._plateau = self._plateau_now()

    def go_back(self, error: DivergenceError) -> None:
        """Put the last good states back, at a tenth of the rate; raises the error where the fit is
        not to recover, or has been cut too often."""
        if not self.on:
            raise error
        if self._cuts == MOST_CUTS:
            where = f"{error.where}, after {MOST_CUTS} cuts of the rate to a tenth"
            raise DivergenceError(where, error.advice, error.why)
        self._cuts += 1
        if self._tried:
            self._good, self.epoch, self._plateau = self._begun, 0, self._first_plateau
        self._tried = True
        self._states[:] = self._good()
        if self._throttle.plateau is not None and self._plateau is not None:
            self._throttle.plateau.load_state_dict(self._plateau)
        self._throttle.scale(CUT)
        step = self._states[0].base + self._states[0].step
        warn(
            f"{error.where}: {error.why}; on_divergence='recover' goes back to step {step}, after "
            f"{self.epoch} epochs, and on at rate {self._throttle.rate(step):.3g}"
        )

    def _plateau_now(self) -> dict[str, Any] | None:
        plateau = self._throttle.plateau
        return None if plateau is None else plateau.state_dict()
