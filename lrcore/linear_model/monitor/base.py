"""What a monitor of a fit is: it is told of chunks and epochs, and answers how to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lrcore.linear_model.engine.epoch import Chunk, EpochLoss

if TYPE_CHECKING:
    from lrcore.linear_model.monitor.gradient_stats import LazyStats
    from lrcore.linear_model.result import FitResult, TrainedModel

#: Makes the statistics of the rows with these numbers, of all if they are None.
MakeStats = Callable[["np.ndarray | None"], "LazyStats"]


@dataclass(frozen=True)
class Decision:
    """What a monitor wants: go on, stop, or take back all epochs but the first `back_to`."""

    stop: bool = False
    back_to: int | None = None


CONTINUE, STOP = Decision(), Decision(stop=True)


def roll_back(to_epoch: int) -> Decision:
    """Take back all epochs but the first `to_epoch`; the monitor has restored the states."""
    return Decision(back_to=to_epoch)


@dataclass
class Progress:
    """The epochs of a fit, as its monitors see them.

    `losses` are the mean losses of the epochs; `measured` is what was measured of the model after
    each, the "objective" or the "held_out_loss", as `measured_name` says. An epoch that was
    `cut_short` has not seen all rows. The `last` epoch is the one at hand if no other follows.
    `model` makes a copy of what the fit has come to.
    """

    max_iter: int
    model: Callable[[], TrainedModel]
    losses: list[float] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)
    measured_name: str = "objective"
    epoch_loss: EpochLoss = field(default_factory=lambda: EpochLoss(0.0, 0.0, 0))
    cut_short: bool = False
    last: bool = False

    @property
    def n_epochs(self) -> int:
        """Epochs done."""
        return len(self.losses)

    def add(self, loss: EpochLoss, cut_short: bool) -> None:
        """Take note of an epoch."""
        self.losses.append(loss.mean)
        self.epoch_loss, self.cut_short = loss, cut_short
        self.last = cut_short or self.n_epochs == self.max_iter

    def record(self, name: str, value: float) -> None:
        """Take note of what was measured after the epoch at hand."""
        self.measured_name = name
        self.measured.append(value)

    @property
    def measured_now(self) -> dict[str, float]:
        """What was measured after the epoch at hand, by name; empty if nothing was."""
        complete = self.measured and len(self.measured) == self.n_epochs
        return {self.measured_name: self.measured[-1]} if complete else {}

    def take_back(self, to_epoch: int) -> None:
        """Forget all epochs but the first ones."""
        del self.losses[to_epoch:], self.measured[to_epoch:]
        self.last = False


class Monitor:
    """A monitor that does nothing: others override what concerns them."""

    def begin(self, stats: MakeStats | None, scale_rate: Callable[[float], None] | None) -> None:
        """A fit begins, whose statistics `stats` makes for some rows, for all if they are None, and
        whose rates `scale_rate` multiplies; None where a solver has no such thing."""

    def end(self, result: FitResult) -> None:
        """The fit is done."""

    def before_epoch(self) -> None:
        """An epoch begins, or begins again."""

    def after_chunk(self, epoch: int, chunk: Chunk) -> Decision:
        """Some rows of an epoch, counted from 0, have been learnt from."""
        return CONTINUE

    def after_epoch(self, progress: Progress) -> Decision:
        """An epoch is done."""
        return CONTINUE

    def after_roll_back(self, to_epoch: int) -> None:
        """All epochs but the first ones have been taken back."""
