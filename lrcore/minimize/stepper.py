"""Steps of x: the rule, the projection into the bounds, and the rates that were used."""

from __future__ import annotations

import copy

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.minimize.box import Box
from lrcore.optim.optimizer import Optimizer
from lrcore.rules import Rule
from lrcore.schedules import Plateau


class Stepper:
    """Updates x by the steps of a rule, and projects it into a box after each step.

    Parameters
    ----------
    rule : Rule
        With all lengths of its schedule in steps. Its `Plateau`, if it has one, is copied, and
        `update_plateau` updates the copy.
    x : ndarray
        Updated in place.
    box : Box
    averaging : float, "polyak", "polynomial" or None
        The `ema` of the `Optimizer`.
    n_threads : int or None
    """

    def __init__(
        self, rule: Rule, x: np.ndarray, box: Box, averaging: float | str | None,
        n_threads: int | None,
    ) -> None:  # fmt: skip
        self.x = x
        self._box = box
        self._plateau = copy.deepcopy(rule.lr) if isinstance(rule.lr, Plateau) else None
        if self._plateau is not None:
            rule = rule.with_lr(self._plateau.current)
        #: The rules that were used, each with its first step.
        self._rules = [(0, rule)]
        #: The rate of each step, for rules that compute rates by themselves.
        self._own_rates: list[float] = []
        self.optimizer = Optimizer(
            x, rule, ema=averaging, n_threads=n_threads, nonfinite="propagate"
        )

    def step(self, g: np.ndarray) -> None:
        """Update x by a finite gradient."""
        self.optimizer.step(g)
        self._box.project(self.x)
        if self._rules[0][1].uses_distance:
            self._own_rates.append(self.optimizer.rate)

    def update_plateau(self, value: float) -> None:
        """Give the value of the function to the Plateau, if there is one; it may cut the rate."""
        if self._plateau is not None and self._plateau.update(value):
            rule = self.optimizer.rule.with_lr(self._plateau.current)
            self.optimizer.rule = rule
            self._rules.append((self.optimizer.t, rule))

    @property
    def rates(self) -> Floats:
        """The rates of all steps up to now, float64."""
        if self._own_rates:
            return np.array(self._own_rates)
        ends = [start for start, _ in self._rules[1:]] + [self.optimizer.t]
        return np.concatenate(
            [
                rule.rates(np.arange(start, end, dtype=np.int64))
                for (start, rule), end in zip(self._rules, ends)
            ]
        )

    def average(self) -> np.ndarray | None:
        """The average of x that `averaging` or the rule keeps, projected; None if neither does."""
        if self.optimizer.ema is None and not self.optimizer.rule.averages:
            return None
        average = np.array(self.optimizer.averages)
        self._box.project(average)
        return average
