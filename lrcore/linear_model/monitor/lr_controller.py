"""The rule that a fit steps by while it runs: its rates, multiplied by cuts beyond the schedule."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from lrcore.linear_model.engine.epoch import EpochRunner
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.monitor.base import CONTINUE, Decision, Monitor, Progress
from lrcore.rules import Rule
from lrcore.schedules import Plateau


def split_plateau(rule: Rule) -> tuple[Plateau | None, Rule]:
    """A copy of the Plateau that the rule's rate is, if it is one, and the rule without it."""
    if not isinstance(rule.lr, Plateau):
        return None, rule
    return copy.deepcopy(rule.lr), rule.with_lr(rule.lr.schedule)


class LRController(Monitor):
    """Multiplies the rates of a runner: by a Plateau, by a callback, after a divergence."""

    def __init__(
        self, runner: EpochRunner, states: list[ModelState], plateau: Plateau | None
    ) -> None:
        self._runner = runner
        self._states = states
        self._rule = runner.updates.rule
        self._plateau = plateau
        self._factor = 1.0
        self._apply()

    def _apply(self) -> None:
        """Hand the rule to the runner, as it is to be now."""
        factor = self._factor * (1.0 if self._plateau is None else self._plateau.scale)
        self._runner.use_rule(self._rule if factor == 1.0 else self._rule.scaled(factor))
        for state in self._states:
            state.until = 0  # the size of blocks is chosen anew, by the new rate

    def scale(self, factor: float) -> None:
        """Multiply all rates from now on."""
        self._factor *= factor
        self._apply()

    def rate(self, step: int) -> float:
        """The rate of a step, as it is now."""
        return float(self._runner.updates.rule.rates(np.array([step]))[0])

    def after_epoch(self, progress: Progress) -> Decision:
        if self._plateau is not None and not progress.cut_short:
            for value in progress.measured_now.values():
                if self._plateau.update(value):
                    self._apply()
        return CONTINUE

    def plateau_state(self) -> dict[str, Any] | None:
        """What the Plateau has seen, None without one."""
        return None if self._plateau is None else self._plateau.state_dict()

    def restore_plateau(self, state: dict[str, Any] | None) -> None:
        """Take the Plateau back to what it had seen."""
        if self._plateau is not None and state is not None:
            self._plateau.load_state_dict(state)
