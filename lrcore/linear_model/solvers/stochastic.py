"""The stochastic solver: steps of an update rule by rows or mini-batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lrcore._utils.validation import shown
from lrcore.linear_model.auto_lr import Rates, as_lr, find_lr
from lrcore.linear_model.bounds import asks_for_bounds
from lrcore.linear_model.engine.epoch import EpochRunner
from lrcore.linear_model.engine.layout import UpdateConfig
from lrcore.linear_model.monitor.base import CONTINUE, Decision, Monitor, Progress
from lrcore.linear_model.monitor.diagnostics import RateDiagnostics, warn
from lrcore.linear_model.monitor.divergence import Checkpoints, DivergenceGuard, check_finite
from lrcore.linear_model.monitor.gradient_stats import GradientStats
from lrcore.linear_model.monitor.lr_controller import LRController
from lrcore.linear_model.monitor.stopping import EarlyStopping, EpochPrinter, RateCut
from lrcore.linear_model.problem import Problem, Reference
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import EpochLoop, SolverConfig, Trials, separate_trials
from lrcore.linear_model.solvers.training import StochasticTraining, as_steps
from lrcore.linear_model.solvers.zeros import settle_zeros
from lrcore.linear_model.sweep import sweep
from lrcore.rules import LINEAR_RULES, Rule, rule_class
from lrcore.schedules import Plateau, Polynomial, Schedule, WarmupStableDecay

#: Epochs from which on a rate falls over all of the run.
WHOLLY = 5


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
    lr_factors : tuple of float, optional
        Factors of the rate, each for an output of its own, with one target for all.
    warns : bool
        Whether to warn of a rate that does not suit; not in trial fits.
    from_constants : bool
        Whether a fit that does not go on from a model begins at the best constant predictions
        instead of at 0: its rate can then be one for what the features teach.
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
    lr_factors: tuple[float, ...] | None = None
    warns: bool = True
    from_constants: bool = False

    name: ClassVar[str] = "stochastic"
    max_iter: ClassVar[int] = 5
    tol: ClassVar[float | None] = None
    copies_scaled_columns: ClassVar[bool] = True
    warm_starts: ClassVar[bool] = False

    def trials(self, problem: Problem, config: SolverConfig) -> Trials:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        return separate_trials(self, problem, config)

    def leaves_out(self, problem: Problem) -> bool:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        return False

    @classmethod
    def from_parameters(cls, model: Any) -> Stochastic:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        rule, named = model.optimizer, not isinstance(model.optimizer, Rule)
        if named:
            kind = rule_class("adagrad" if rule == "auto" else rule)
            rule = kind(lr=kind.linear_lr)
        check_rule(rule, model)
        if model.scale == "std":
            raise ValueError(
                "scale='std' needs all rows before the first step: solver='stochastic' has "
                "scale='max'; solver='newton' and 'dual' have 'std'"
            )
        before = getattr(model, "lr_", None) if model.warm_start else None
        lr_is_auto = isinstance(model.lr, str) and model.lr == "auto"
        return cls(
            rule,
            as_lr(model.lr),
            named,
            model.batch_size,
            model.block_size,
            model.average,
            model.n_iter_no_change,
            model.on_divergence == "recover",
            before if isinstance(before, float) else None,
            from_constants=named and lr_is_auto and not rule.uses_distance,
        )

    def rule_at(self, lr: float | Schedule | None, steps_per_epoch: int, total_steps: int) -> Rule:
        """The rule at the rate lr, else its own, with its schedule in steps; a rate given as a
        number falls to 0 as `falling` says, unless weights are averaged, which has the same effect
        (Polyak and Juditsky 1992)."""
        rule = self.rule if lr is None else self.rule.with_lr(lr)
        if isinstance(rule.lr, (Schedule, Plateau)):
            return rule.resolve(steps_per_epoch=steps_per_epoch, total_steps=total_steps)
        if not self._falls(lr):
            return rule
        schedule = falling(float(rule.lr), steps_per_epoch, total_steps, wholly=not rule.adaptive)
        return rule.with_lr(schedule)

    def _falls(self, lr: float | Schedule | None) -> bool:
        """Whether the rate lr, or the rule's own, falls of itself."""
        given = self.rule.lr if lr is None else lr
        number = not isinstance(given, (Schedule, Plateau))
        return number and self.rule.anneals and not self.average

    def _aims_at_minimum(self, lr: float | Schedule | None, config: SolverConfig) -> bool:
        """Whether a fit is to end at the minimum, which nothing but its epochs decides: their
        number is at least that of a run whose rate falls wholly, the rate is no one's schedule,
        weights are no one's start, and the rule has no penalties of its own."""
        given = self.rule.lr if lr is None else lr
        return (
            config.warns
            and config.max_iter >= WHOLLY
            and config.tol is None
            and config.held_out is None
            and config.start is None
            and not isinstance(given, (Schedule, Plateau))
            and not any(getattr(self.rule, name) for name in self.rule.own_penalties)
        )

    def updates(self, rule: Rule, problem: Problem, last: TrainedModel | None) -> UpdateConfig:
        """How weights are updated by this rule; `last` is the model that the fit goes on from.

        Outputs are updated together in a softmax, and over sparse rows: there 3 took 0.7 to 0.85 of
        the time of 3 passes, 20 a third. Those for which rows have other weights are not.
        """
        n_outputs = problem.outputs_per_target
        if last is not None and last.updates is None:
            last = None  # a solver without steps keeps each output by itself
        if self.lr_factors:
            n_outputs = len(self.lr_factors)
        elif problem.target_factors is not None:
            n_outputs = 1
        elif n_outputs == 1 and last is not None and not last.objective.loss.joint:
            n_outputs = last.states[0].n_outputs
        elif n_outputs == 1 and last is None and problem.X.sparse and not rule.uses_distance:
            n_outputs = len(problem.targets)  # for DoG each output has a rate of its own
        averaged_from = (int(self.average) - 1) // self.batch_size if self.average else None
        return UpdateConfig(
            rule, int(self.batch_size), int(self.block_size), n_outputs, averaged_from,
            self.lr_factors,
        )  # fmt: skip

    def updates_at(
        self, lr: float | Schedule | None, problem: Problem, config: SolverConfig
    ) -> UpdateConfig:
        """How weights are updated in a fit at the rate lr, None for the rule's own."""
        n_rows = problem.n_rows
        steps = -(-n_rows // self.batch_size) if self.batch_size > 1 else n_rows
        rule = self.rule_at(lr, steps, steps * config.max_iter)
        return self.updates(rule, problem, config.start)

    def fit(
        self, problem: Problem, config: SolverConfig, monitors: Sequence[Monitor] = ()
    ) -> FitResult:
        """All epochs; see `lrcore.linear_model.solvers.base.Solver`.

        Raises
        ------
        DivergenceError
        """
        if isinstance(self.lr, np.ndarray):
            return self._fit_at_each(self.lr, problem, config, monitors)
        start = config.start
        found = self._found_lr(problem, config)
        lr = found if isinstance(self.lr, str) else self.lr
        updates = self.updates_at(lr, problem, config)
        if start is not None:
            start = as_steps(start, updates, problem.X)
            check_start(start, updates, problem, config)
            config = replace(config, start=start)
        begins = self.from_constants and config.start is None
        constants = problem.constants() if begins else None
        training = StochasticTraining(problem, updates, config, constants)
        lr_controller = LRController(training.runner, training.states, training.plateau)
        cut = RateCut(training.states, lr_controller) if self._falls(lr) else None
        stopping = self._stopping(problem, config, training.plateau is not None, cut)
        reference = problem.reference(constants)
        lanes = LaneLosses(training.runner)
        monitors = [
            *self._monitors(
                training, config, lr_controller, stopping, reference, monitors,
                found=found is not None,
            ),
            lanes,
        ]  # fmt: skip
        runner, states = training.runner, training.states
        with EpochLoop(training.model, config.max_iter, monitors) as loop:
            while loop.goes_on:
                order, after_chunk = training.next_order(), loop.begin_epoch()
                loop.end_epoch(runner.run_epoch(states, training.problem, order, after_chunk))
        model = training.finished(states)
        if not self.lr_factors:
            check_finite(runner, model.states)
        if config.warns and config.tol and stopping and not stopping.stopped:
            self._warn_if_still_falling(loop.progress, config)
        result = FitResult(
            model,
            loop.progress.losses,
            loop.progress.measured,
            loop.interrupted,
            lane_curves=lanes.curves if self.lr_factors else None,
            lr=lr,
            plateau=training.plateau,
            aims_at_minimum=(
                self._aims_at_minimum(lr, config) and loop.progress.n_epochs == config.max_iter
            ),
        )
        for monitor in monitors:
            monitor.end(result)
        return result

    def _monitors(
        self, training: StochasticTraining, config: SolverConfig, lr: LRController,
        stopping: EarlyStopping | None, reference: Reference, others: Sequence[Monitor],
        *, found: bool,
    ) -> list[Monitor]:  # fmt: skip
        """Monitors in the order in which they see an epoch: whether it counts at all, what is
        measured of it, then those who report it. A rate that was found is no one's choice: a fit
        that diverges at it begins again at a lower one."""
        runner, states = training.runner, training.states
        stats = GradientStats(runner.objective, states, training.problem, config.n_threads)
        guard = DivergenceGuard(
            runner, states, lr, training.begin, reference, recovers=self.recovers or found,
            several_rates=bool(self.lr_factors), checkpoints=self.recovers,
        )  # fmt: skip
        monitors: list[Monitor] = [guard]
        if config.verbose:
            monitors.append(EpochPrinter())
        if stopping is not None:
            monitors.append(stopping)
        monitors += [lr, Checkpoints(guard)]
        warns = self.warns and config.warns and not self.lr_factors
        if warns and not runner.updates.rule.uses_distance:
            fresh, is_cut = config.start is None, stopping is not None and stopping.cuts
            monitors.append(RateDiagnostics(runner, stats, reference, fresh, is_cut=is_cut))
        for each in others:
            each.begin(stats.of_rows, lr.scale)
        return [*monitors, *others]

    def _stopping(
        self, problem: Problem, config: SolverConfig, feeds_plateau: bool, cut: RateCut | None
    ) -> EarlyStopping | None:
        """What measures the model after each epoch: by held-out rows, if there are any, else by the
        objective, if `tol` or a Plateau goes by it."""
        held_out, tol, n_threads = config.held_out, config.tol or 0.0, config.n_threads
        if held_out is not None:
            return EarlyStopping.by_loss(held_out, tol, self.n_iter_no_change, n_threads, cut)
        if config.tol is None and not feeds_plateau:
            return None
        return EarlyStopping(
            lambda model: model.objective_value(problem, n_threads),
            "objective",
            tol,
            math.inf if config.tol is None else self.n_iter_no_change,
            cut,
        )

    def _warn_if_still_falling(self, progress: Progress, config: SolverConfig) -> None:
        """Warn of a fit whose epochs ran out while its measure still fell by more than `tol`."""
        measured, n = progress.measured, self.n_iter_no_change
        if len(measured) <= n or progress.cut_short or config.tol is None:
            return
        fallen = min(measured[:-n]) - min(measured[-n:])
        if fallen > config.tol:
            warn(
                f"the {progress.measured_name.replace('_', ' ')} has fallen by {fallen:.2g} in the "
                f"last {n} of max_iter={progress.max_iter} epochs, more than tol={config.tol:g}; "
                "raise max_iter or tol",
                ConvergenceWarning,
            )

    def _found_lr(self, problem: Problem, config: SolverConfig) -> float | None:
        """The rate that "auto" finds; None where it does not look for one."""
        if not finds_lr(self):
            return None
        if config.start is not None and self.previous_lr is not None:
            return self.previous_lr
        return find_lr(replace(self, recovers=False, warns=False), problem, config)

    def _fit_at_each(
        self, rates: np.ndarray, problem: Problem, config: SolverConfig,
        monitors: Sequence[Monitor],
    ) -> FitResult:  # fmt: skip
        """The best of fits at several rates, by what they lose on held-out rows, else in the last
        epoch."""
        found = sweep(self, problem, config, rates, monitors)
        result = found.result_at(found.best)
        model = result.model
        settle_zeros(model.states, problem.scaled(model.scale, 0, problem.n_rows), config.n_threads)
        return replace(
            result, lr=float(rates[found.best]), lr_losses=found.losses,
            aims_at_minimum=result.aims_at_minimum and config.held_out is None,
        )  # fmt: skip


def finds_lr(solver: Stochastic) -> bool:
    """Whether its rate is one to be found."""
    return isinstance(solver.lr, str) and solver.searches and not solver.rule.uses_distance


def falling(lr: float, steps_per_epoch: int, total_steps: int, *, wholly: bool) -> Schedule:
    """A rate that falls linearly to 0: over all of a run of five epochs or more, or if it falls
    `wholly`, as that of a rule which is not adaptive does; else over the last quarter of two, the
    last eleventh of one."""
    n_epochs = total_steps / max(steps_per_epoch, 1)
    if wholly or n_epochs >= WHOLLY:
        return Polynomial(lr, steps=total_steps)
    # Features that first come up late in a short run would learn next to nothing. Without step
    # sizes of their own, the fall is what averages the noise of the frequent ones.
    share = n_epochs / WHOLLY
    fall = max(1, round(share * math.sqrt(share) * total_steps))
    return WarmupStableDecay(lr, total_steps, 0, fall)


class LaneLosses(Monitor):
    """Keeps the summed losses of each epoch at each of several rates."""

    def __init__(self, runner: EpochRunner) -> None:
        self._runner = runner
        self._sums = [runner.lane_losses.copy()]

    def after_epoch(self, progress: Progress) -> Decision:
        self._sums.append(self._runner.lane_losses.copy())
        return CONTINUE

    @property
    def curves(self) -> np.ndarray:
        """(n_epochs, n_lanes)."""
        with np.errstate(invalid="ignore"):
            return np.diff(self._sums, axis=0)


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
    same_rule = old.formula is new.formula and old.rule.uses_distance == new.rule.uses_distance
    same_loss = start.objective.loss.joint == problem.objective.loss.joint
    if not (same_rule and same_loss and before == now):
        raise ValueError(
            "warm_start=True needs the optimizer, dtype, classes, multi_class and features of the "
            f"last fit: it had {type(old.rule).__name__}, {before[0]}, {before[1]} outputs, "
            f"{before[2]} features, this has {type(new.rule).__name__}, {now[0]}, {now[1]}, "
            f"{now[2]}; "
            "set it to False"
        )


def penalises(model: Any) -> bool:
    """Whether an estimator's parameters ask for a penalty."""
    return model.penalty is not None and (isinstance(model.alpha, str) or bool(np.any(model.alpha)))


def check_rule(rule: Rule, model: Any) -> None:
    """Raise unless linear models can be fitted by this rule."""
    name = type(rule).__name__
    if rule.linear_formula is None:
        raise ValueError(
            f"{name} is for Optimizer alone: in a linear model it would have to move weights "
            f"at every row, also of features that the row has not; try one of "
            f"{', '.join(LINEAR_RULES)}"
        )
    if rule.weight_decay or rule.maximize:
        raise ValueError(
            f"{name} has weight_decay={rule.weight_decay!r}, maximize={rule.maximize!r}; a "
            "linear model minimises, and is penalised by penalty= and alpha=: leave them out"
        )
    if isinstance(rule.lr, Plateau) and rule.lr.mode != "min":
        raise ValueError(
            f"the Plateau of {name} must have mode='min', got {rule.lr.mode!r}: it is fed losses"
        )
    if asks_for_bounds(model) and not rule.linear_formula.metric:
        raise ValueError(
            f"{name} cannot hold weights at a bound, got positive={shown(model.positive)}; AdaGrad "
            "does, and solver='newton' and 'dual'"
        )
    if asks_for_bounds(model) and model.average:
        raise ValueError(
            f"an average of weights has those in between, which a bound does not hold, got "
            f"positive={shown(model.positive)}, average={shown(model.average)}; leave out one"
        )
    if penalises(model) and not rule.linear_formula.metric:
        own = " and ".join(rule.own_penalties)
        raise ValueError(
            f"{name} cannot apply penalty={model.penalty!r}; give penalty=None"
            + (f", and {name}'s own {own}" if own else "")
        )
