"""When a fit stops before its last epoch, and what it prints of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from lrcore.linear_model.monitor.base import CONTINUE, STOP, Decision, Monitor, Progress

if TYPE_CHECKING:
    from lrcore.linear_model.problem import Problem
    from lrcore.linear_model.result import TrainedModel


class EarlyStopping(Monitor):
    """Stops once a measure of the model, which is to fall, has not fallen by more than `tol` for
    `patience` epochs; never if that is infinite."""

    def __init__(
        self, measure: Callable[[TrainedModel], float], name: str, tol: float, patience: float
    ) -> None:
        self._measure = measure
        self._name = name
        self._tol = tol
        self._patience = patience

    @classmethod
    def by_loss(
        cls, held_out: Problem, tol: float, patience: float, n_threads: int | None
    ) -> EarlyStopping:
        """By the mean loss of rows that are held out."""

        def loss(model: TrainedModel) -> float:
            return model.mean_loss(held_out, n_threads)

        return cls(loss, "held_out_loss", tol, patience)

    def after_epoch(self, progress: Progress) -> Decision:
        if progress.cut_short:
            return CONTINUE
        progress.record(self._name, self._measure(progress.model()))
        return STOP if self.enough(progress.measured) else CONTINUE

    def enough(self, measured: list[float]) -> bool:
        """Whether to stop, by the measure after each epoch."""
        best, waited = math.inf, 0
        for value in measured:
            waited = 0 if value < best - self._tol else waited + 1
            best = min(best, value)
        return waited >= self._patience


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
