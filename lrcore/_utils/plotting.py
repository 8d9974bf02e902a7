"""Displays of matplotlib, which is imported when one is drawn.

A Display holds what is drawn; ``plot`` draws it and sets ``ax_`` and ``figure_``, as scikit-learn's
do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Self

#: Points of a line, at most; and epochs up to which each has a mark.
POINTS, MARKED = 2000, 60


class ScheduleDisplay:
    """Rates against steps.

    Parameters
    ----------
    steps : array of int
    rates : array of float, of the same length
    name : str, optional
        Of the line.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure
    line_ : matplotlib line

    Examples
    --------
    >>> from lrcore.schedules import Cosine
    >>> display = Cosine(0.1, steps=100).warmup(10).plot()  # doctest: +SKIP
    >>> display.figure_.savefig("rate.png")  # doctest: +SKIP
    """

    def __init__(self, steps: np.ndarray, rates: np.ndarray, name: str | None = None) -> None:
        self.steps = steps
        self.rates = rates
        self.name = name

    @classmethod
    def from_schedule(
        cls, schedule: Any, steps: int | None = None, *, name: str | None = None, ax: Any = None
    ) -> Self:
        """Draw a schedule over its first steps, by default over its span."""
        steps = schedule.span if steps is None else steps
        if not isinstance(steps, (int, np.integer)) or steps < 1:
            raise ValueError(f"steps must be an integer >= 1, got {steps!r}")
        t, rates = drawn(schedule, int(steps))
        return cls(t, rates, name).plot(ax=ax)

    def plot(self, ax: Any = None, **line: Any) -> Self:
        """Draw it, on axes of its own unless some are given; `line` goes to ``ax.plot``."""
        plt = pyplot()
        if ax is None:
            _, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
        if self.name is not None:
            line.setdefault("label", self.name)
        (self.line_,) = ax.plot(self.steps, self.rates, **line)
        ax.set_xlabel("step")
        ax.set_ylabel("learning rate")
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.margins(x=0.01)
        ax.grid(alpha=0.3)
        if self.name is not None:
            ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


#: Columns of a history that are losses, and what they are called in a legend.
LOSSES = {
    "loss": "mean loss before each update",
    "objective": "objective",
    "held_out_loss": "held-out loss",
}

#: What is drawn below them: what it is called, and its colour.
BELOW = {"rate": ("learning rate", "C3"), "gradient_norm": ("gradient norm", "C4")}

#: How much smaller than the largest most rates are before their axis is logarithmic.
MOSTLY = 30


class HistoryDisplay:
    """Losses of a fit against epochs; below them its rates, and gradient norms if there are any.

    Parameters
    ----------
    history : dict of str to array
        As `History`, the attribute ``history_`` of a fitted model.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure
    rate_ax_, norm_ax_ : matplotlib axes or None
        Of the rates and of the gradient norms; logarithmic where most rates are small beside the
        largest.
    lines_ : dict of str to matplotlib line

    Examples
    --------
    >>> display = clf.history_.plot()  # doctest: +SKIP
    >>> display.figure_.savefig("fit.png")  # doctest: +SKIP
    """

    def __init__(self, history: Mapping[str, np.ndarray]) -> None:
        self.history = history

    def plot(self, ax: Any = None) -> Self:
        """Draw it; where axes are given the losses alone, on them."""
        if "epoch" not in self.history:
            raise ValueError("history has no epoch to draw; partial_fit keeps none, call fit")
        below = [] if ax is not None else [name for name in BELOW if self._known(name)]
        axes = {"loss": ax}
        if ax is None:
            heights = (2, *(1 for _ in below))
            _, drawn_on = pyplot().subplots(
                len(heights), figsize=(7, 2 + 1.5 * len(heights)), layout="constrained",
                sharex=True, height_ratios=heights, squeeze=False,
            )  # fmt: skip
            axes = dict(zip(["loss", *below], drawn_on[:, 0]))
        self.ax_, self.figure_ = axes["loss"], axes["loss"].figure
        self.lines_: dict[str, Any] = {}
        self.rate_ax_, self.norm_ax_ = axes.get("rate"), axes.get("gradient_norm")
        for name, label in LOSSES.items():
            if name in self.history:
                self._line(self.ax_, name, label=label)
        self.ax_.set_ylabel("loss")
        self.ax_.legend()
        for name in below:
            self._line(axes[name], name, color=BELOW[name][1])
            axes[name].set_ylabel(BELOW[name][0])
            values = self.history[name]
            if name == "rate" and 0 < np.median(values) < values.max() / MOSTLY:
                axes[name].set_yscale("log")
            else:
                axes[name].set_ylim(bottom=0)
        last = list(axes.values())[-1]
        last.set_xlabel("epoch")
        last.xaxis.get_major_locator().set_params(integer=True)
        return self

    def _known(self, name: str) -> bool:
        return name in self.history and bool(np.isfinite(self.history[name]).any())

    def _line(self, ax: Any, name: str, **line: Any) -> None:
        x, y = self.history["epoch"], self.history[name]
        marker = "o" if len(x) <= MARKED else ""
        (self.lines_[name],) = ax.plot(x, y, marker=marker, markersize=4, **line)
        ax.margins(x=0.02)
        ax.grid(alpha=0.3)


class RangeTestDisplay:
    """Losses against rates, on a logarithmic axis, with the rates that they suggest.

    Parameters
    ----------
    lrs, smoothed, low, high : array of shape (n_points,)
        Rates, the smoothed loss, and the band of the seeds.
    initial : float
        The loss before anything was learnt; the axis ends not far above it.
    suggestions : dict of str to float or None

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure
    line_ : matplotlib line
    """

    def __init__(
        self, lrs: np.ndarray, smoothed: np.ndarray, low: np.ndarray, high: np.ndarray,
        initial: float, suggestions: dict[str, float | None],
    ) -> None:  # fmt: skip
        self.lrs = lrs
        self.smoothed = smoothed
        self.low = low
        self.high = high
        self.initial = initial
        self.suggestions = suggestions

    def plot(self, ax: Any = None, **line: Any) -> Self:
        """Draw it, on axes of its own unless some are given; `line` goes to ``ax.plot``."""
        if not len(self.lrs):
            raise ValueError("there is nothing to draw: the first loss was not finite")
        plt = pyplot()
        if ax is None:
            _, ax = plt.subplots(figsize=(7, 4), layout="constrained")
        (self.line_,) = ax.plot(self.lrs, self.smoothed, **line)
        if not np.array_equal(self.low, self.high):
            ax.fill_between(
                self.lrs, self.low, self.high, color=self.line_.get_color(), alpha=0.2, linewidth=0
            )
        ax.axhline(self.initial, color="0.5", linewidth=0.8, linestyle=":", label="initial loss")
        for (name, rate), color in zip(self.suggestions.items(), ("C1", "C2", "C3")):
            if rate is not None:
                at = np.interp(np.log(rate), np.log(self.lrs), self.smoothed)
                ax.plot(rate, at, "o", color=color, label=f"{name}: {rate:.2g}", zorder=3)
        lowest = float(self.low.min())
        room = 0.2 * (self.initial - lowest) or 0.1 * abs(self.initial) or 0.1
        ax.set_ylim(lowest - room / 2, self.initial + room)
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss before the update")
        ax.grid(alpha=0.3)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def drawn(schedule: Callable[[Any], Any], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and rates to draw of the first so many steps: all, or some spread evenly."""
    t = np.arange(steps) if steps <= POINTS else np.linspace(0, steps - 1, POINTS).astype(np.int64)
    return t, schedule(t)


def pyplot() -> Any:
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'lrcore[plot]'") from None
    return pyplot
