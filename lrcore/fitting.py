"""Fits of linear models: epochs over rows, when to stop, and what is left when one is stopped."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from lrcore import epochs, scaling, staging, throttle
from lrcore.epochs import Pass
from lrcore.history import History
from lrcore.rows import Rows
from lrcore.schedules import Plateau, Schedule
from lrcore.staging import Staged
from lrcore.states import Debt, Method, State
from lrcore.statistics import Statistics
from lrcore.throttle import Recovery, Throttle
from lrcore.trouble import Diagnosis, DivergenceError, diverged
from lrcore.watching import Event, Hooks, Watch

if TYPE_CHECKING:
    from lrcore.streams import Pending

#: Features whose weights are looked at together.
PART = 1 << 20


class Fitted:
    """The states of a fit, each with the outputs that move together, the method that made them,
    the scale of X's columns, (n_features,), if they were divided by it, and the rows that a stream
    goes over again, if there are any."""

    def __init__(
        self, states: list[State], method: Method, scale: np.ndarray | None = None,
        pending: Pending | None = None,
    ) -> None:  # fmt: skip
        self.states = states
        self.method = method
        self.scale = scale
        self.pending = pending

    @property
    def t(self) -> int:
        """Steps done."""
        return self.states[0].base + self.states[0].step

    @property
    def n_outputs(self) -> int:
        """Outputs of all states."""
        return len(self.states) * self.method.n_outputs

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_outputs, n_features), of X as it is, and (n_outputs,): every penalty paid, on copies
        of the states where any is owed."""
        settled = []
        for state in self.states:
            if state.debt.owed.any():
                state = state.copy()
                epochs.settle(state, self.method)
            settled.append(state.averaged_weights)
        both = settled[0] if len(settled) == 1 else np.concatenate(settled)
        of_columns = both[:, :-1] if self.scale is None else both[:, :-1] / self.scale
        return np.ascontiguousarray(of_columns), both[:, -1].copy()

    def margins(self, rows: Rows, n_threads: int | None) -> np.ndarray:
        """X @ weights.T + intercepts, (n_rows, n_outputs), in X's dtype."""
        if self.n_outputs > 1 and rows.one_pass:
            return rows.margins_of_several(*self._by_feature(rows.dtype), n_threads)
        weights, intercepts = (part.astype(rows.dtype, copy=False) for part in self.weights)
        columns = [rows.margins(w, float(b), n_threads) for w, b in zip(weights, intercepts)]
        return np.stack(columns, axis=1)

    def _by_feature(self, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercepts as `Rows.margins_of_several` takes them: those of the state, if
        they are what they should be, else a copy, made anew each time to save its memory."""
        state, n = self.states[0], self.n_outputs
        paid = not state.debt.owed.any() and state.average is None and self.scale is None
        if len(self.states) == 1 and paid and state.array.dtype == dtype:
            return state.array[:-1, :n], state.array[-1, :n].copy()
        weights, intercepts = (part.astype(dtype, copy=False) for part in self.weights)
        padded = np.zeros((weights.shape[1], -(-n // 8) * 8), dtype)
        padded[:, :n] = weights.T
        return padded[:, :n], intercepts


@dataclass(frozen=True)
class Data:
    """Rows, targets, and weights of the rows.

    Targets are (n_rows,), with one output each, or all n_outputs of a joint loss together: classes
    by their numbers.
    """

    rows: Rows
    targets: list[np.ndarray]
    weight: np.ndarray | None
    n_outputs: int = 1

    def take(self, chosen: np.ndarray) -> Data:
        """Some of the rows."""
        weight = None if self.weight is None else self.weight[chosen]
        targets = [y[chosen] for y in self.targets]
        return Data(self.rows.take(chosen), targets, weight, self.n_outputs)

    def staged(self, staged: Staged) -> Data:
        """The same in the order of a copy of the rows."""
        weight = None if self.weight is None else self.weight[staged.order]
        return Data(staged.rows, [y[staged.order] for y in self.targets], weight, self.n_outputs)

    def bundled(self, method: Method) -> Data:
        """The same with the targets of a state's outputs side by side, (n_rows, n_outputs)."""
        if method.n_losses == 1 or method.rate_factors:
            return self
        return replace(self, targets=[np.stack(self.targets, axis=1)])

    def scaled(self, scale: np.ndarray | None, offset: int, block: int) -> Data:
        """The same with columns divided by the scale, if there is one; see `scaling.scaled`."""
        if scale is None:
            return self
        return replace(self, rows=scaling.scaled(self.rows, scale, offset, block))

    def span(self, start: int, stop: int) -> Data:
        """Rows start to stop, not copied."""
        weight = None if self.weight is None else self.weight[start:stop]
        targets = [y[start:stop] for y in self.targets]
        return Data(self.rows.span(start, stop), targets, weight, self.n_outputs)

    def counted(self) -> Data:
        """Without the rows of weight 0, so that a fit is what it would be had they been left out:
        its order, batches, steps and rates."""
        if self.weight is None or self.weight.all():
            return self
        return self.take(np.flatnonzero(self.weight))

    def row_losses(self, fitted: Fitted, n_threads: int | None) -> np.ndarray:
        """(n_rows,): the mean over targets of each row's loss, with nothing learnt meanwhile."""
        margins = fitted.margins(self.rows, n_threads).astype(np.float64)
        loss, total, n_outputs = fitted.method.loss, np.zeros(len(margins)), self.n_outputs
        for k, y in enumerate(self.targets):
            z = margins[:, k * n_outputs : (k + 1) * n_outputs]
            total += loss.evaluate(z if loss.joint else z[:, 0], y)[0]
        return total / len(self.targets)

    def mean(self, of_rows: np.ndarray) -> float:
        """The mean of a number for each row, as the rows weigh."""
        counts = self.weight is not None and bool(self.weight.any())
        return float(np.average(of_rows, weights=self.weight if counts else None))

    def mean_loss(self, fitted: Fitted, n_threads: int | None) -> float:
        """Mean over rows and targets of the loss."""
        return self.mean(self.row_losses(fitted, n_threads))

    def objective(self, fitted: Fitted, n_threads: int | None) -> float:
        """What is minimised: the mean loss and the penalty, of the weights of scaled columns where
        they are, over targets."""
        w, method = fitted.weights[0].astype(np.float64), fitted.method
        w = w if fitted.scale is None else w * fitted.scale
        factors = 1.0 if method.factors is None else method.factors
        penalty = method.l1 * (factors * np.abs(w)).sum()
        penalty += method.l2 / 2 * (factors * np.square(w)).sum()
        return self.mean_loss(fitted, n_threads) + float(penalty) / len(self.targets)


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
        return epochs.shuffled(len(order), int(random.randint(2**31 - 1)), run_length)

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
