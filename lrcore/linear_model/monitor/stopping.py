"""When a fit stops before its last epoch, and what it prints of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from lrcore.linear_model.monitor.base import CONTINUE, STOP, Decision, Monitor, Progress

if TYPE_CHECKING:
    from lrcore.linear_model.engine.layout import ModelState
    from lrcore.linear_model.monitor.lr_controller import LRController
    from lrcore.linear_model.problem import Problem
    from lrcore.linear_model.result import FitResult, TrainedModel

#: What a rate is multiplied by where the best epoch was some time ago, as by scikit-learn's
#: ``learning_rate="adaptive"``.
CUT = 0.2


class EarlyStopping(Monitor):
    """Stops once a measure of the model, which is to fall, has not fallen by more than `tol` for
    `patience` epochs, and gives the fit the model that measured least; neither if `patience` is
    infinite.

    Where there is a `cut`, a fit goes on from its best epoch at a lower rate instead, until that no
    longer helps.
    """

    def __init__(
        self, measure: Callable[[TrainedModel], float], name: str, tol: float, patience: float,
        cut: RateCut | None = None,
    ) -> None:  # fmt: skip
        self._measure = measure
        self._name = name
        self._tol = tol
        self._patience = patience
        self._cut = cut
        self._stage = 0  # the first epoch at the present rate
        self._least = self._before = math.inf  # of all, and before this stage
        self._best: TrainedModel | None = None
        self.stopped = False
        self.cuts = cut is not None and patience < math.inf

    @classmethod
    def by_loss(
        cls, held_out: Problem, tol: float, patience: float, n_threads: int | None,
        cut: RateCut | None = None,
    ) -> EarlyStopping:  # fmt: skip
        """By the mean loss of rows that are held out."""

        def loss(model: TrainedModel) -> float:
            return model.mean_loss(held_out, n_threads)

        return cls(loss, "held_out_loss", tol, patience, cut)

    def after_epoch(self, progress: Progress) -> Decision:
        if progress.cut_short:
            return CONTINUE
        model = progress.model()
        value = self._measure(model)
        progress.record(self._name, value)
        if value < self._least:
            self._least, self._best = value, model
            if self._cut is not None:
                self._cut.keep()
        if not self.enough(progress.measured[self._stage :]):
            return CONTINUE
        helped = self._least < self._before - self._tol
        if self._cut is not None and helped and not progress.last:
            self._cut.apply()
            self._stage, self._before = len(progress.measured), self._least
            return CONTINUE
        self.stopped = True
        return STOP

    def end(self, result: FitResult) -> None:
        ended_worse = bool(result.stopping_curve) and result.stopping_curve[-1] > self._least
        if self._best and ended_worse and self._patience < math.inf and not result.interrupted:
            result.model, result.went_back = self._best, True

    def after_roll_back(self, to_epoch: int) -> None:
        self._stage = min(self._stage, to_epoch)

    def enough(self, measured: list[float]) -> bool:
        """Whether to stop, by the measure after each epoch at the present rate."""
        best, waited = self._before, 0
        for value in measured:
            waited = 0 if value < best - self._tol else waited + 1
            best = min(best, value)
        return waited >= self._patience


class RateCut:
    """Takes a fit back to its best epoch, to go on from there at a fraction of the rate."""

    def __init__(self, states: list[ModelState], lr: LRController) -> None:
        self._states = states
        self._lr = lr
        self._best: list[ModelState] = []

    def keep(self) -> None:
        """Take note that the states are the best so far."""
        self._best = [state.copy() for state in self._states]

    def apply(self) -> None:
        """Put the best states back, and cut the rate."""
        self._states[:] = [state.copy() for state in self._best]
        self._lr.scale(CUT)


class EpochPrinter(Monitor):
    """Prints a line for each epoch; `details` are added to the mean loss."""

    def __init__(self, details: Callable[[], str] = str) -> None:
        self._details = details

    def after_epoch(self, progress: Progress) -> Decision:
        print(
            f"epoch {progress.n_epochs}/{progress.max_iter}: mean loss before each update "
            f"{progress.losses[-1]:.6g}{self._details()}"
        )
        return CONTINUE
