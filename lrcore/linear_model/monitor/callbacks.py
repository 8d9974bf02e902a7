"""The callback of a fit: the events that it is called with, and the history of the epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lrcore._utils.validation import shown
from lrcore.linear_model.arguments import check_number
from lrcore.linear_model.engine.epoch import Chunk
from lrcore.linear_model.monitor.base import (
    CONTINUE,
    STOP,
    Decision,
    MakeStats,
    Monitor,
    Progress,
)
from lrcore.linear_model.monitor.gradient_stats import LazyStats
from lrcore.linear_model.monitor.history import History

if TYPE_CHECKING:
    from lrcore.linear_model.result import FitResult

Callback = Callable[["Event"], Any]


class Control:
    """What a callback asks of its fit."""

    def __init__(self, scale_rate: Callable[[float], None] | None = None) -> None:
        self.stopped = False
        self.scale_rate = scale_rate


@dataclass(frozen=True)
class Event:
    """Where a fit is: handed to a callback after every chunk of rows, and once more at the end of
    each epoch, which is the event of its last chunk.

    Parameters
    ----------
    step : int
        Steps done.
    epoch, max_iter : int
        The epoch at hand, from 0 on, and how many there will be at most.
    rows, n_rows : int
        Rows of this epoch that were learnt from so far, and how many it has.
    rate : float
        Of the last step; NaN with ``solver="dual"``, which has none.
    loss : float
        Mean over the epoch's rows so far, of each just before it was learnt from.
    seconds : float
        Since the fit began.
    objective : float or None
        After the epoch over all rows, penalty included; where ``tol`` or a `Plateau` go by it.
    held_out_loss : float or None
        After the epoch over the rows held out, where there are any.

    Notes
    -----
    `gradient_norm`, `update_ratio` and `saturated` are worked out when they are read, and cost
    nothing otherwise: from the chunk's rows, at the end of an epoch from all rows, which takes
    about half as long as the epoch. They have to be read while the callback runs, since the weights
    move on afterwards, and have the same bits for any number of threads. A penalty that has not
    been applied yet does not count.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> X = np.random.RandomState(0).randn(500, 3)
    >>> def watch(event):
    ...     if event.end_of_epoch and event.gradient_norm < 0.05:
    ...         event.stop()
    >>> clf = lrcore.LinearClassifier(alpha=0.1, max_iter=100, random_state=0)
    >>> clf.fit(X, X[:, 0] > 0, callback=watch).n_iter_ < 100
    True
    """

    step: int
    epoch: int
    max_iter: int
    rows: int
    n_rows: int
    rate: float
    loss: float
    seconds: float
    objective: float | None = None
    held_out_loss: float | None = None
    _control: Control = field(default_factory=Control, repr=False, compare=False)
    _stats: LazyStats | None = field(default=None, repr=False, compare=False)

    @property
    def end_of_epoch(self) -> bool:
        """Whether all rows of the epoch were learnt from."""
        return self.rows == self.n_rows

    @property
    def gradient_norm(self) -> float:
        """2-norm of the gradient of the objective over these rows, all outputs together; of the
        shortest subgradient where an l1 penalty has a kink. NaN with ``solver="dual"``."""
        return math.nan if self._stats is None else self._stats.gradient_norm

    @property
    def update_ratio(self) -> float:
        """2-norm of what has changed in the weights since this was last read, over that of the
        weights. NaN the first time, which there is nothing to compare with, and with
        ``solver="dual"``. Reading it keeps a copy of the weights."""
        return math.nan if self._stats is None else self._stats.update_ratio

    @property
    def saturated(self) -> float:
        """Share of these rows' raw predictions at which the derivative of the loss is below 0.01,
        so that next to nothing is learnt from them. NaN for regression, where the derivative has a
        unit, and with ``solver="dual"``."""
        return math.nan if self._stats is None else self._stats.saturated

    def stop(self) -> None:
        """End the fit after the rows at hand, as if ``max_iter`` had been reached.

        A method, and not what the callback returns: a lambda that happens to return something must
        not end a fit.
        """
        self._control.stopped = True

    def scale_rate(self, factor: float) -> None:
        """Multiply all rates from the next rows on, on top of the schedule: so that rates can go by
        the statistics.

        Parameters
        ----------
        factor : float > 0

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> X = np.random.RandomState(0).randn(500, 3)
        >>> def halve(event):
        ...     if event.end_of_epoch:
        ...         event.scale_rate(0.5)
        >>> rule = lrcore.SGD(lr=lrcore.schedules.Constant(0.1))
        >>> reg = lrcore.LinearRegressor(optimizer=rule, max_iter=3, random_state=0)
        >>> reg.fit(X, X[:, 0], callback=halve).history_["rate"]
        array([0.1  , 0.05 , 0.025])
        """
        check_number("factor", factor, 0)
        if factor == 0:
            raise ValueError("factor must be > 0, got 0; event.stop() ends a fit")
        if self._control.scale_rate is None:
            raise ValueError(
                "there is no rate to scale: the fit is over, or has solver='dual', which has none"
            )
        self._control.scale_rate(float(factor))


class Hooks:
    """Calls for another library's callbacks; these do nothing."""

    def begin_epoch(self) -> None:
        """An epoch begins, or begins again."""

    def end_epoch(self, model: Callable[[], Any]) -> bool:
        """An epoch is done; `model` makes what it has come to. Returns whether to stop."""
        return False

    def end(self, model: Any) -> None:
        """The fit is done."""


class CallbackMonitor(Monitor):
    """Makes the events of a fit and hands them to its callback and hooks; writes its history.

    The event of an epoch's last chunk waits for what is measured after the epoch.
    """

    def __init__(
        self, callback: Callback | None, max_iter: int, hooks: Hooks | None = None
    ) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of an event, got {shown(callback)}")
        self._callback = callback
        self._max_iter = max_iter
        self._hooks = Hooks() if hooks is None else hooks
        self.begin(None, None)

    def begin(self, stats: MakeStats | None, scale_rate: Callable[[float], None] | None) -> None:
        self._start = time.perf_counter()
        self._make_stats = stats
        self._control = Control(scale_rate)
        self._at: dict[str, Any] = {}
        self._history = History()

    def end(self, result: FitResult) -> None:
        self._control.scale_rate = None
        result.history = self._history.close()

    def before_epoch(self) -> None:
        self._hooks.begin_epoch()

    def after_chunk(self, epoch: int, chunk: Chunk) -> Decision:
        self._at = {
            "step": chunk.step, "epoch": epoch, "rate": chunk.rate, "loss": chunk.loss,
            "rows": chunk.n_rows_done, "n_rows": chunk.n_rows,
        }  # fmt: skip
        if chunk.n_rows_done < chunk.n_rows:
            self._tell({}, chunk.rows)
        return STOP if self._control.stopped else CONTINUE

    def after_epoch(self, progress: Progress) -> Decision:
        # The event of a chunk that cut the epoch short has been handed over already.
        at, seconds = self._at, self._seconds
        whole = at["rows"] == at["n_rows"]
        measured = {} if progress.cut_short else progress.measured_now
        read = self._tell(measured, None) if whole else {}
        self._history.add(
            step=at["step"], epoch=at["epoch"] + 1, rate=at["rate"], loss=at["loss"],
            seconds=seconds, **measured, **read,
        )  # fmt: skip
        if whole and self._hooks.end_epoch(progress.model):
            self._control.stopped = True
        return STOP if self._control.stopped else CONTINUE

    def after_roll_back(self, to_epoch: int) -> None:
        del self._history.records[to_epoch:]

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._start

    def _tell(self, measured: dict[str, Any], rows: np.ndarray | None) -> dict[str, float]:
        """Call the callback, whose statistics are of these rows, of all if None; returns what it
        has read of those that histories keep."""
        if self._callback is None:
            return {}
        stats = None if self._make_stats is None else self._make_stats(rows)
        event = Event(
            max_iter=self._max_iter, seconds=self._seconds, **self._at, **measured,
            _control=self._control, _stats=stats,
        )  # fmt: skip
        try:
            self._callback(event)
        finally:
            if stats is not None:
                stats.close()
        return {} if stats is None else stats.read
