"""What moves x: the rule, projection, and the rates that were used."""

from __future__ import annotations

import copy

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.minimize.box import Box
from lrcore.optim.optimizer import Optimizer
from lrcore.rules import Rule
from lrcore.schedules import Plateau


class Stepper:
    """Steps x by a rule, within a box.

    Parameters
    ----------
    rule : Rule
        Its schedule is in steps. A Plateau is fed by `heed`, a copy of it.
    x : ndarray
        Stepped in place.
    box : Box
    averaging : see `Optimizer`
    n_threads : int, optional
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
        #: Rules in use, each from its step on.
        self._rules = [(0, rule)]
        self._paced: list[float] = []
        self.optimizer = Optimizer(
            x, rule, ema=averaging, n_threads=n_threads, nonfinite="propagate"
        )

    def step(self, g: np.ndarray) -> None:
        """One step of x by a finite gradient."""
        self.optimizer.step(g)
        self._box.project(self.x)
        if self._rules[0][1].travels:
            self._paced.append(self.optimizer.rate)

    def heed(self, value: float) -> None:
        """Let a Plateau know of a value; it may cut the rate."""
        if self._plateau is not None and self._plateau.update(value):
            rule = self.optimizer.rule.with_lr(self._plateau.current)
            self.optimizer.rule = rule
            self._rules.append((self.optimizer.t, rule))

    @property
    def rates(self) -> Floats:
        """The rate of each step so far, float64."""
        if self._paced:
            return np.array(self._paced)
        starts = [start for start, _ in self._rules] + [self.optimizer.t]
        return np.concatenate(
            [
                rule.rates(np.arange(start, stop, dtype=np.int64))
                for (start, rule), stop in zip(self._rules, starts[1:])
            ]
        )

    def average(self) -> np.ndarray | None:
        """The average of x that the rule or `averaging` keeps, in the box; None if neither does."""
        if self.optimizer.ema is None and not self.optimizer.rule.averages:
            return None
        average = np.array(self.optimizer.averages)
        self._box.project(average)
        return average
