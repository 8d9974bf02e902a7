"""Fits of linear models: epochs over rows, when to stop, and what is left when one is stopped."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.engine import reorder as staging
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.engine.design_matrix import Rows
from lrcore.linear_model.engine.epoch import Pass
from lrcore.linear_model.engine.layout import Debt, Method, State
from lrcore.linear_model.engine.reorder import Staged
from lrcore.linear_model.monitor import lr_controller as throttle
from lrcore.linear_model.monitor.callbacks import Event, Hooks, Watch
from lrcore.linear_model.monitor.diagnostics import Diagnosis, DivergenceError, diverged
from lrcore.linear_model.monitor.gradient_stats import Statistics
from lrcore.linear_model.monitor.history import History
from lrcore.linear_model.monitor.lr_controller import Recovery, Throttle
from lrcore.linear_model.problem import Data
from lrcore.linear_model.result import Fitted
from lrcore.schedules import Plateau, Schedule

#: Features whose weights are looked at together.
PART = 1 << 20


@dataclass(frozen=True)
class Stopping:
    """When to stop before the last epoch: once `measure`, which is to fall, has not fallen by
    more than `tol` for `patience` epochs, never if that is infinite."""

    measure: Callable[[Fitted], float]
    tol: float
    patience: float
    name: str = "objective"

    def enough(self, curve: list[float]) -> bool:
        """Whether it is time, by the measure after each epoch so far."""
        best, waited = math.inf, 0
        for value in curve:
            waited = 0 if value < best - self.tol else waited + 1
            best = min(best, value)
        return waited >= self.patience


@dataclass
class Outcome:
    """What came of a fit: `curve` are the epochs' mean losses, `measured` those of a `Stopping`,
    `dual_gap` how far it is from the minimum, at most and over the objective, if that is known;
    `n_rows` the rows that a stream learnt from, `lane_curves` the summed losses of each epoch at
    each of several rates; `lr` the rate that was chosen, `losses` what it was chosen by; `history`
    a record of each epoch."""

    fitted: Fitted
    curve: list[float]
    measured: list[float]
    interrupted: bool = False
    dual_gap: float | None = None
    n_rows: int = 0
    lane_curves: np.ndarray | None = None
    lr: float | Schedule | None = None
    losses: np.ndarray | None = None
    history: History = field(default_factory=History)
    plateau: Plateau | None = None


class Lost(NamedTuple):
    """What an epoch lost: the sum of its rows' losses, and of their weights times the losses that
    each has; and how many rows these were."""

    total: float
    weight: float
    rows: int

    @property
    def mean(self) -> float:
        return self.total / self.weight if self.weight else 0.0

    def and_(self, other: Lost) -> Lost:
        """Both together."""
        return Lost(self.total + other.total, self.weight + other.weight, self.rows + other.rows)


@dataclass(frozen=True)
class Fit:
    """How a fit goes about it, apart from what it minimises."""

    max_iter: int
    shuffle: bool
    random_state: Any
    n_threads: int | None
    verbose: int
    callback: Callable[[Event], Any] | None = None
    on_divergence: str = "raise"
    hooks: Hooks | None = None
    #: Whether rates that do badly are named; in a trial some are, and one that was found is the
    #: best there is.
    names_trouble: bool = True

    def run(
        self, method: Method, data: Data, stopping: Stopping | None, start: Fitted | None
    ) -> Outcome:
        """All epochs, on states of their own; `start` has the states to begin with.

        Ctrl-C ends it after the rows at hand; what was learnt until then is the outcome.
        """
        data, scale = data.bundled(method), begun_scale(method, data.rows, start)
        data = data.scaled(scale, 0, data.rows.shape[0])
        rows = data.rows
        random = check_random_state(self.random_state)
        order = np.arange(rows.shape[0], dtype=np.int64)
        staged = None
        # A copy leaves out features that do not come up, and a warm start may have weights there.
        if start is None and staging.worthwhile(rows, self.max_iter, method.mean):
            slot_bytes = method.slot * rows.dtype.itemsize
            staged = staging.stage(rows, self._shuffled(order, random, 1), slot_bytes)
        work = data if staged is None else data.staged(staged)
        inner = method if staged is None else staged.renumber(method)
        each = rows.touched_per_row()
        unpaid = Debt.new([rows.shape[1]], [each]) if staged is None else staged.debt
        plateau, rule = throttle.split(method.rule)
        method, inner = replace(method, rule=rule), replace(inner, rule=rule)

        def begun() -> list[State]:
            states = [State.new(method, work.rows, unpaid) for _ in data.targets]
            for state, old in zip(states, start.states if start is not None else []):
                continue_from(state, old, method)
            return states

        def finished(states: list[State]) -> Fitted:
            as_it_is = replace(method, rule=passes.method.rule)
            return Fitted(restored(states, passes.method, staged, rows), as_it_is, scale)

        def now() -> Fitted:
            return finished([state.copy() for state in states])

        states = begun()
        passes = Pass(inner, work.rows, self.n_threads, staged=staged is not None)
        statistics = Statistics(passes, states, work, self.n_threads)
        watch = Watch(self.callback, self.max_iter, statistics.look, self.hooks)
        diagnosis, rates = Diagnosis(statistics, start is None), Throttle(passes, states, plateau)
        watch.control.scale_rate = rates.scale
        recovery = Recovery(rates, states, begun, diagnosis.idle, self.on_divergence == "recover")
        curve: list[float] = []
        measured: list[float] = []
        lane_sums, several = [passes.lane_losses.copy()], bool(method.rate_factors)
        quiet = several or not self.names_trouble or method.rule.travels
        over = False
        with interrupts() as interrupted:
            while not over:
                order = self._shuffled(order, random, passes.run_length)
                watch.hooks.begin_epoch()
                try:
                    lost = self.epoch(
                        passes, states, order, work, len(curve), interrupted, watch=watch
                    )
                    curve.append(lost.mean)
                    lane_sums.append(passes.lane_losses.copy())
                    cut_short = interrupted() or watch.stopped
                    if not (cut_short or several):
                        diagnosis.check_divergence(curve)
                    if recovery.on and not several:
                        check_finite(passes, states)
                except DivergenceError as error:
                    recovery.go_back(error)
                    for losses in (curve, measured, watch.history.records):
                        del losses[recovery.epoch :]
                    continue
                if self.verbose:
                    print(
                        f"epoch {len(curve)}/{self.max_iter}: mean loss before each update "
                        f"{curve[-1]:.6g}"
                    )
                if cut_short:
                    watch.after_epoch({}, now)
                    break
                over = len(curve) == self.max_iter
                if stopping is not None:
                    measured.append(stopping.measure(now()))
                    rates.feed(measured[-1])
                    over = over or stopping.enough(measured)
                recovery.keep(curve)
                watch.after_epoch({} if stopping is None else {stopping.name: measured[-1]}, now)
                if not quiet:
                    diagnosis.check(curve, measured, over)
                over = over or interrupted() or watch.stopped
            stopped = interrupted()
        if not several:
            check_finite(passes, states)
        history = watch.close()
        outcome = Outcome(
            finished(states), curve, measured, stopped, history=history, plateau=plateau
        )
        if several:
            with np.errstate(invalid="ignore"):
                outcome.lane_curves = np.diff(lane_sums, axis=0)
        return outcome

    def _shuffled(self, order: np.ndarray, random: Any, run_length: int) -> np.ndarray:
        """The rows in a fresh random order, if they are to be shuffled."""
        if not self.shuffle:
            return order
        return shuffled(len(order), int(random.randint(2**31 - 1)), run_length)

    def epoch(
        self, passes: Pass, states: list[State], order: np.ndarray, data: Data, epoch: int,
        interrupted: Callable[[], bool], least: int = 1, watch: Watch | None = None,
    ) -> Lost:  # fmt: skip
        """One pass; returns the loss of the rows just before they were learnt from. Of so many
        rows at least, whatever `interrupted` says."""
        watch = watch or Watch(None, self.max_iter)
        n_rows, weight = len(order), data.weight
        n_losses = len(states) * passes.method.n_losses
        lost, rows_done = Lost(0.0, 0.0, 0), 0
        n_outputs = len(states) * passes.method.n_outputs
        end = block = 0
        while rows_done < n_rows and not (rows_done >= least and (interrupted() or watch.stopped)):
            if rows_done == end:
                end, block = passes.next_block(states, rows_done, n_rows)
            stop = min(end, rows_done + passes.call_rows(block, n_outputs))
            chunk = order[rows_done:stop]
            total = lost.total
            for state, y in zip(states, data.targets):
                total += passes.advance(state, chunk, y, weight, block)
                if not math.isfinite(total):
                    raise diverged(passes, state, f"the sum of losses is {total}")
            counted = float(len(chunk) if weight is None else np.sum(weight[chunk]))
            rows_done = stop
            lost = Lost(total, lost.weight + counted * n_losses, rows_done)
            step, rate = states[0].base + states[0].step, states[0].rate(passes.method.rule)
            watch.after_chunk(epoch, step, rate, lost.mean, chunk, rows_done, n_rows)
        return lost


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


def check_finite(passes: Pass, states: list[State]) -> None:
    """Raise unless all weights are finite."""
    for state in states:
        # A part at a time: a byte for each of 2**26 features would be felt.
        n = state.weights.shape[1]
        if not all(np.isfinite(state.weights[:, k : k + PART]).all() for k in range(0, n, PART)):
            raise diverged(passes, state, "its weights are not finite")


def restored(states: list[State], method: Method, staged: Staged | None, rows: Rows) -> list[State]:
    """The states with everything paid, in place, and features by their own numbers."""
    whole = []
    for state in states:
        epochs.settle(state, method)
        whole.append(state if staged is None else staged.unstage(state, method, rows))
    return whole


def begun_scale(method: Method, rows: Rows, last: Fitted | None) -> np.ndarray | None:
    """The scale to go on from, the last fit's or a fresh one; None if the method has none."""
    if not method.scaled:
        return None
    if last is None or last.scale is None:
        return scaling.first_scale(rows.shape[1], rows.dtype)
    return last.scale.copy()


def continue_from(state: State, old: State, method: Method) -> None:
    """Give a fresh state the weights and the rule's state of another; steps count anew."""
    old = old.copy()
    epochs.settle(old, method)
    n = method.columns.lanes * (1 + len(method.formula.state))
    state.columns[:n] = old.columns[:n]
    if old.pace is not None:
        state.pace = replace(old.pace, measured=0)
