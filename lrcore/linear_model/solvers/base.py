"""What a solver is, what it is told besides the problem, and the loop over epochs of them all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lrcore.linear_model.engine.epoch import AfterChunk, Chunk, EpochLoss
from lrcore.linear_model.monitor.base import Monitor, Progress
from lrcore.linear_model.monitor.callbacks import Event, Hooks
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel


@dataclass(frozen=True)
class SolverConfig:
    """What every solver is told besides the problem."""

    max_iter: int
    tol: float | None = None
    shuffle: bool = True
    random_state: Any = None
    n_threads: int | None = None
    verbose: int = 0
    #: Whether to learn from a copy of X whose columns are divided by their largest magnitudes.
    scale_columns: bool = False
    callback: Callable[[Event], Any] | None = None
    hooks: Hooks | None = None


class Solver(Protocol):
    """Minimises a problem; is made with its own options, such as an update rule."""

    name: str

    @classmethod
    def from_parameters(cls, model: Any) -> Solver:
        """The solver that the parameters of an estimator describe.

        Raises
        ------
        ValueError
            If it does not support what they ask for: says which parameter, why not, and what does.
        """

    def fit(
        self, problem: Problem, config: SolverConfig, held_out: Problem | None,
        start: TrainedModel | None,
    ) -> FitResult:  # fmt: skip
        """Minimise; `held_out` are rows to stop by, `start` is the model of the last fit to begin
        with, for solvers that can."""


#: Runs an epoch, and is told what to call after each chunk of rows.
RunEpoch = Callable[[AfterChunk], EpochLoss]


class Training(Protocol):
    """A fit in progress, which `run_epochs` moves forward."""

    def next_epoch(self) -> RunEpoch:
        """Prepares an epoch; what is returned runs it, unless after_chunk ends it early."""

    def model(self) -> TrainedModel:
        """A copy of what it has come to."""


def run_epochs(
    training: Training, max_iter: int, monitors: Sequence[Monitor]
) -> tuple[Progress, bool]:
    """Epochs until a monitor stops them, Ctrl-C is pressed, or `max_iter` are done.

    Ctrl-C ends the loop after the rows at hand; returns whether it did.
    """
    progress = Progress(max_iter, training.model)
    with interrupts() as interrupted:
        stopped = False

        def after_chunk(chunk: Chunk) -> bool:
            nonlocal stopped
            for monitor in monitors:
                stopped |= monitor.after_chunk(progress.n_epochs, chunk).stop
            return not (stopped or interrupted())

        while not progress.last:
            for monitor in monitors:
                monitor.before_epoch()
            run_epoch = training.next_epoch()
            loss = run_epoch(after_chunk)
            progress.add(loss, cut_short=stopped or interrupted())
            for monitor in monitors:
                decision = monitor.after_epoch(progress)
                if decision.back_to is not None:
                    progress.take_back(decision.back_to)
                    for each in monitors:
                        each.after_roll_back(decision.back_to)
                    break
                progress.last |= decision.stop
            progress.last |= interrupted()
        return progress, interrupted()


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Within this block Ctrl-C is noted instead of raised in the midst of things; what is
    yielded tells whether it was. Where Ctrl-C does something else, or in other threads, nothing
    changes."""
    noted: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
