"""The stochastic solver: steps of an update rule by rows or mini-batches."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lrcore.linear_model.auto_lr import Rates, find_lr
from lrcore.linear_model.engine.layout import UpdateConfig
from lrcore.linear_model.monitor.stopping import EarlyStopping
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import SolverConfig
from lrcore.linear_model.solvers.training import train
from lrcore.linear_model.sweep import sweep
from lrcore.rules import Rule
from lrcore.schedules import Plateau, Polynomial, Schedule


@dataclass(frozen=True)
class Stochastic:
    """Steps of an update rule.

    Parameters
    ----------
    rule : Rule
        At the rate that it has where `lr` is "auto" and `searches` is False.
    lr : "auto", float, Schedule or ndarray of rates
        "auto" keeps the rule's own rate or, if `searches`, looks for the best; of several rates the
        best one is kept.
    searches : bool
        Whether "auto" looks for a rate.
    batch_size, block_size : int
    average : bool or int
    n_iter_no_change : int
        Epochs without a fall of the objective, or the held-out loss, after which a fit stops.
    recovers : bool
        Whether a fit that diverges goes back to its last good epoch.
    previous_lr : float, optional
        The rate of the last fit, which a fit that goes on from it keeps instead of searching.
    """

    rule: Rule
    lr: Rates
    searches: bool
    batch_size: int = 1
    block_size: int = 256
    average: bool | int = False
    n_iter_no_change: int = 5
    recovers: bool = False
    previous_lr: float | None = None

    name = "stochastic"

    def rule_at(self, lr: float | Schedule | None, steps_per_epoch: int, total_steps: int) -> Rule:
        """The rule at the rate lr, else its own, with its schedule in steps; a rate given as a
        number falls to 0 over the run, unless weights are averaged, which has the same effect
        (Polyak and Juditsky 1992)."""
        rule = self.rule if lr is None else self.rule.with_lr(lr)
        if isinstance(rule.lr, (Schedule, Plateau)):
            return rule.resolve(steps_per_epoch=steps_per_epoch, total_steps=total_steps)
        if not rule.anneals or self.average:
            return rule
        return rule.with_lr(Polynomial(rule.lr, steps=total_steps))

    def updates(self, rule: Rule, problem: Problem, last: TrainedModel | None) -> UpdateConfig:
        """How weights are updated by this rule; `last` is the model that the fit goes on from.

        Outputs are updated together in a softmax, and over sparse rows: there 3 took 0.7 to 0.85 of
        the time of 3 passes, 20 a third.
        """
        n_outputs = problem.outputs_per_target
        if n_outputs == 1 and last is not None and not last.objective.loss.joint:
            n_outputs = last.states[0].n_outputs
        elif n_outputs == 1 and last is None and problem.X.sparse and not rule.travels:
            n_outputs = len(problem.targets)  # for DoG each output has a rate of its own
        return UpdateConfig(
            rule,
            int(self.batch_size),
            int(self.block_size),
            n_outputs,
            (int(self.average) - 1) // self.batch_size if self.average else None,
        )

    def steps_per_epoch(self, problem: Problem) -> int:
        """Steps of a pass over the rows."""
        n_rows = problem.n_rows
        return -(-n_rows // self.batch_size) if self.batch_size > 1 else n_rows

    def fit(
        self, problem: Problem, config: SolverConfig, held_out: Problem | None = None,
        start: TrainedModel | None = None,
    ) -> FitResult:  # fmt: skip
        """All epochs; see `lrcore.linear_model.solvers.base.Solver`."""
        if isinstance(self.lr, np.ndarray):
            return self._fit_at_each(self.lr, problem, config, held_out)
        found = self._found_lr(problem, config, start)
        lr = found if isinstance(self.lr, str) else self.lr
        updates = self._updates_at(lr, problem, config, start)
        if start is not None:
            check_start(start, updates, problem, config)
        stopping = self._stopping(problem, config, held_out, isinstance(updates.rule.lr, Plateau))
        # A rate that was found is the best there is.
        result = train(
            problem, updates, config, start=start, stopping=stopping, recovers=self.recovers,
            diagnoses=found is None,
        )  # fmt: skip
        return replace(result, lr=lr)

    def _updates_at(
        self, lr: float | Schedule | None, problem: Problem, config: SolverConfig,
        start: TrainedModel | None,
    ) -> UpdateConfig:  # fmt: skip
        steps = self.steps_per_epoch(problem)
        return self.updates(self.rule_at(lr, steps, steps * config.max_iter), problem, start)

    def _stopping(
        self, problem: Problem, config: SolverConfig, held_out: Problem | None, measures: bool
    ) -> EarlyStopping | None:
        """What measures the model after each epoch: by held-out rows, if there are any, else by the
        objective, if `tol` or a Plateau goes by it."""
        if held_out is None and config.tol is None and not measures:
            return None
        n_threads = config.n_threads
        never = held_out is None and config.tol is None
        if held_out is not None:
            rows, name = held_out, "held_out_loss"
            measure = TrainedModel.mean_loss
        else:
            rows, name = problem, "objective"
            measure = TrainedModel.objective_value
        return EarlyStopping(
            lambda model: measure(model, rows, n_threads),
            name,
            config.tol or 0.0,
            math.inf if never else self.n_iter_no_change,
        )

    def _found_lr(
        self, problem: Problem, config: SolverConfig, start: TrainedModel | None
    ) -> float | None:
        """The rate that "auto" finds; None where it does not look for one."""
        if not (isinstance(self.lr, str) and self.searches) or self.rule.travels:
            return None
        if start is not None and self.previous_lr is not None:
            return self.previous_lr

        def updates_at(lr: float, steps: int) -> UpdateConfig:
            return self.updates(self.rule_at(lr, 1, steps), problem, None)

        return find_lr(problem, config, updates_at, self.rule.linear_lr)

    def _fit_at_each(
        self, rates: np.ndarray, problem: Problem, config: SolverConfig, held_out: Problem | None
    ) -> FitResult:
        """The best of fits at several rates, by what they lose on held-out rows, else in the last
        epoch."""

        def updates_at(lr: float) -> UpdateConfig:
            return self._updates_at(lr, problem, config, None)

        found = sweep(problem, config, updates_at, rates, held_out, recovers=self.recovers)
        result = found.result_at(found.best)
        return replace(result, lr=float(rates[found.best]), lr_losses=found.losses)


def check_start(
    start: TrainedModel, updates: UpdateConfig, problem: Problem, config: SolverConfig
) -> None:
    """Raise unless a fit can begin with the states of the last one."""
    if (start.scale is not None) != config.scale_columns:
        raise ValueError(
            "warm_start=True needs the scale of the last fit: one of them has scale='auto', and "
            "one has not; set it back, or warm_start to False"
        )
    old, new = start.updates, updates
    assert old is not None
    n_outputs = len(problem.targets) * problem.outputs_per_target
    before = start.dtype, start.n_outputs, start.states[0].columns.shape[1] - 1
    now = problem.X.dtype, n_outputs, problem.X.shape[1]
    same_rule = old.formula is new.formula and old.rule.travels == new.rule.travels
    same_loss = start.objective.loss.joint == problem.objective.loss.joint
    if not (same_rule and same_loss and before == now):
        raise ValueError(
            "warm_start=True needs the optimizer, dtype, classes, multi_class and features of the "
            f"last fit: it had {type(old.rule).__name__}, {before[0]}, {before[1]} outputs, "
            f"{before[2]} features, this has {type(new.rule).__name__}, {now[0]}, {now[1]}, "
            f"{now[2]}; "
            "set it to False"
        )
