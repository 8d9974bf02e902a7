"""What a solver is, what it is told besides the problem, and the epoch loop of all solvers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from lrcore._utils.interrupts import interrupts
from lrcore._utils.validation import shown
from lrcore.linear_model.engine.epoch import AfterChunk, Chunk, EpochLoss
from lrcore.linear_model.monitor.base import Monitor, Progress
from lrcore.linear_model.problem import Objective, Problem
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
    #: Rows to stop by.
    held_out: Problem | None = None
    #: The model of the last fit to begin with, for solvers that can.
    start: TrainedModel | None = None
    #: Whether to warn of a fit that is far from the minimum; not in trial fits.
    warns: bool = True


#: Fits a problem with another objective.
Trials = Callable[[Objective], FitResult]


class Solver(Protocol):
    """Minimises a problem; is made with its own options, such as an update rule."""

    name: ClassVar[str]
    #: Epochs, and the tolerance, where none are given.
    max_iter: ClassVar[int]
    tol: ClassVar[float | None]
    #: Whether it learns from a copy of X whose columns are scaled, where that is asked for; else
    #: the objective has their scale.
    copies_scaled_columns: ClassVar[bool]
    #: Whether it begins with the weights of any model.
    warm_starts: ClassVar[bool]

    @classmethod
    def from_parameters(cls, model: Any) -> Solver:
        """The solver that the parameters of an estimator describe.

        Raises
        ------
        ValueError
            If it does not support what they ask for: the message names the parameter, why not, and
            what does.
        """

    def leaves_out(self, problem: Problem) -> bool:
        """Whether its result tells what rows lose that are left out one by one."""

    def trials(self, problem: Problem, config: SolverConfig) -> Trials:
        """Fits that differ in the penalty alone, to compare the models."""

    def fit(
        self, problem: Problem, config: SolverConfig, monitors: Sequence[Monitor] = ()
    ) -> FitResult:
        """Minimise, telling the monitors, and others of the solver's own, of chunks and epochs."""


def separate_trials(solver: Solver, problem: Problem, config: SolverConfig) -> Trials:
    """Fits each of which begins where the last one ended, if the solver can."""
    last: TrainedModel | None = None

    def fit(objective: Objective) -> FitResult:
        nonlocal last
        start = last if solver.warm_starts else None
        result = solver.fit(replace(problem, objective=objective), replace(config, start=start))
        last = result.model
        return result

    return fit


def check_needs(solver: str, model: Any, needs: Mapping[str, tuple[Any, str]]) -> None:
    """Raise ValueError unless parameters of an estimator are what a solver needs: for each its
    value, and why."""
    for name, (needed, why) in needs.items():
        value = getattr(model, name)
        if value != needed:
            raise ValueError(
                f"solver={shown(solver)} needs {name}={shown(needed)}, got {shown(value)}: {why}"
            )


class EpochLoop:
    """The epochs of any fit, until a monitor stops it, Ctrl-C is pressed, or `max_iter` are done::

        with EpochLoop(model, max_iter, monitors) as loop:
            while loop.goes_on:
                loop.end_epoch(run_epoch(loop.begin_epoch()))

    Ctrl-C ends the loop after the rows at hand.

    Parameters
    ----------
    model : callable
        Makes a copy of what the fit has come to.
    max_iter : int
    monitors : sequence of Monitor
        In the order in which they see an epoch.
    """

    def __init__(
        self, model: Callable[[], TrainedModel], max_iter: int, monitors: Sequence[Monitor]
    ) -> None:
        self.progress = Progress(max_iter, model)
        self.interrupted = False
        self._monitors = monitors
        self._stopped = False
        self._context = interrupts()

    def __enter__(self) -> EpochLoop:
        self._ctrl_c = self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.interrupted = self._ctrl_c()
        self._context.__exit__(*error)

    @property
    def goes_on(self) -> bool:
        """Whether there is another epoch."""
        return not self.progress.last

    def begin_epoch(self) -> AfterChunk:
        """Tell the monitors that an epoch begins; returns what to call after each of its chunks."""
        for monitor in self._monitors:
            monitor.before_epoch()
        return self._after_chunk

    def _after_chunk(self, chunk: Chunk) -> bool:
        for monitor in self._monitors:
            self._stopped |= monitor.after_chunk(self.progress.n_epochs, chunk).stop
        return not (self._stopped or self._ctrl_c())

    def end_epoch(self, loss: EpochLoss) -> None:
        """Ask the monitors how to go on after an epoch."""
        progress = self.progress
        progress.add(loss, cut_short=self._stopped or self._ctrl_c())
        for monitor in self._monitors:
            decision = monitor.after_epoch(progress)
            if decision.back_to is not None:
                progress.take_back(decision.back_to)
                for each in self._monitors:
                    each.after_roll_back(decision.back_to)
                break
            progress.last |= decision.stop
        progress.last |= self._ctrl_c()
