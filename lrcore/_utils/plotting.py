"""Displays in the manner of scikit-learn: objects with the data of a plot and a method ``plot``.

``plot`` draws the data and sets ``ax_`` and ``figure_``. matplotlib is imported only then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lrcore._utils.validation import shown

if TYPE_CHECKING:
    from typing_extensions import Self

#: Largest number of points of a line, and of epochs that are drawn with a mark each.
MAX_POINTS, MAX_MARKS = 2000, 60


class ScheduleDisplay:
    """The rates of a schedule against steps.

    Parameters
    ----------
    steps : ndarray of shape (n_points,), int
    rates : ndarray of shape (n_points,), float
    name : str, optional
        The name of the line in a legend.

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
        """Draw a schedule over its first steps.

        Parameters
        ----------
        schedule : Schedule
        steps : int >= 1, optional
            By default the `span` of the schedule.
        name : str, optional
            The name of the line in a legend.
        ax : matplotlib axes, optional
            New ones by default.

        Raises
        ------
        ValueError
            If steps is not an integer >= 1.
        ImportError
            If matplotlib is not installed.
        """
        steps = schedule.span if steps is None else steps
        if not isinstance(steps, (int, np.integer)) or steps < 1:
            raise ValueError(f"steps must be an integer >= 1, got {shown(steps)}")
        t, rates = sample(schedule, int(steps))
        return cls(t, rates, name).plot(ax=ax)

    def plot(self, ax: Any = None, **line: Any) -> Self:
        """Draw the line, on new axes by default; other arguments are those of ``ax.plot``."""
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


class AlphaPathDisplay:
    """Held-out losses or scores against the weight of the penalty.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
    values : ndarray of shape (n_folds, n_alphas)
    best : float
        The alpha that was chosen, which need not be one of them.
    label : str
        What the values are.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> import lrcore
    >>> from sklearn.datasets import load_breast_cancer
    >>> search = lrcore.LinearClassifierCV().fit(*load_breast_cancer(return_X_y=True))
    >>> display = search.plot()  # doctest: +SKIP
    >>> display.figure_.savefig("alphas.png")  # doctest: +SKIP
    """

    def __init__(self, alphas: np.ndarray, values: np.ndarray, best: float, label: str) -> None:
        self.alphas, self.values, self.best, self.label = alphas, np.atleast_2d(values), best, label

    def plot(self, ax: Any = None) -> Self:
        """Draw the mean of the folds and each of them, on new axes by default."""
        plt = pyplot()
        if ax is None:
            _, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
        draw_folds(ax, self.alphas, self.values)
        ax.axvline(self.best, color="C3", linestyle="--", label=f"alpha_ = {self.best:.3g}")
        ax.set_xlabel("alpha")
        ax.set_ylabel(self.label)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def draw_folds(ax: Any, x: np.ndarray, values: np.ndarray) -> None:
    """Draw the mean of the folds and each of them, (n_folds, n_points), on a logarithmic scale."""
    values = np.where(np.isfinite(values), values, np.nan)
    if len(values) > 1:
        for fold in values:
            ax.plot(x, fold, color="C0", alpha=0.25, linewidth=1)
        ax.plot([], [], color="C0", alpha=0.25, linewidth=1, label="each fold")
    ax.plot(
        x, np.mean(values, axis=0), "o-", color="C0", markersize=4,
        label="mean of the folds" if len(values) > 1 else None,
    )  # fmt: skip
    ax.set_xscale("log")
    ax.grid(alpha=0.3)


class RateSearchDisplay:
    """Scores against the learning rates of a search.

    Parameters
    ----------
    lrs : ndarray of shape (n_rates,)
        In rising order.
    scores : ndarray of shape (n_folds, n_rates)
        NaN where a fit diverged.
    best : float
        The rate that was chosen.
    label : str
        What the scores are.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> display = lrcore.lr_search(model, X, y).plot()  # doctest: +SKIP
    >>> display.figure_.savefig("rates.png")  # doctest: +SKIP
    """

    def __init__(self, lrs: np.ndarray, scores: np.ndarray, best: float, label: str) -> None:
        self.lrs, self.scores, self.best, self.label = lrs, scores, best, label

    def plot(self, ax: Any = None) -> Self:
        """Draw the mean of the folds and each of them, on new axes by default. Rates at which a fit
        diverged are marked at the bottom, and scores far below the others are out of the picture.
        """
        plt = pyplot()
        if ax is None:
            _, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
        draw_folds(ax, self.lrs, self.scores)
        means = np.mean(self.scores, axis=0)
        finite = np.sort(means[np.isfinite(means)])
        if len(finite) > 1:
            best, middle = finite[-1], finite[(len(finite) - 1) // 2]
            low = max(finite[0], best - 4.0 * max(best - middle, 1e-12))
            ax.set_ylim(low - 0.1 * (best - low), best + 0.1 * (best - low))
        diverged = self.lrs[~np.isfinite(means)]
        if len(diverged):
            ax.plot(
                diverged, np.zeros(len(diverged)), "x", color="C1", clip_on=False,
                transform=ax.get_xaxis_transform(), label="diverged",
            )  # fmt: skip
        ax.axvline(self.best, color="C3", linestyle="--", label=f"best_lr_ = {self.best:.3g}")
        ax.set_xlabel("learning rate")
        ax.set_ylabel(self.label)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


#: Columns of a history that are losses, with their names in the legend.
LOSSES = {
    "loss": "training loss, measured before each update",
    "objective": "objective after the epoch, with the penalty",
    "held_out_loss": "held-out loss after the epoch",
}

#: Columns that are drawn below the losses, with the label of the axis and the colour.
BELOW = {"rate": ("learning rate", "C3"), "gradient_norm": ("gradient norm", "C4")}

#: The axis of the rates is logarithmic if the largest is so many times the median.
LOG_RATIO = 30


class HistoryDisplay:
    """The losses of a fit against epochs, and below them the rates and the norms of the gradient.

    Parameters
    ----------
    history : dict of str to ndarray of shape (n_epochs,)
        The attribute ``history_`` of a fitted model.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure
    rate_ax_, norm_ax_ : matplotlib axes or None
        Those of the rates and of the norms; None if they are not drawn. The axis of the rates is
        logarithmic if the largest rate is more than 30 times the median.
    lines_ : dict of str to matplotlib line
    best_epoch_ : int or None
        The epoch after which rows held out lost least, which is marked; None without such rows.

    Examples
    --------
    >>> display = clf.history_.plot()  # doctest: +SKIP
    >>> display.figure_.savefig("fit.png")  # doctest: +SKIP
    """

    def __init__(self, history: Mapping[str, np.ndarray]) -> None:
        self.history = history

    def plot(self, ax: Any = None) -> Self:
        """Draw the history on new axes, or only the losses on axes that are given.

        Raises
        ------
        ValueError
            If the history has no epochs, as after ``partial_fit``.
        ImportError
            If matplotlib is not installed.
        """
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
        self.best_epoch_ = self._mark_best()
        self.ax_.set_ylabel("loss")
        self.ax_.legend()
        for name in below:
            self._line(axes[name], name, color=BELOW[name][1])
            axes[name].set_ylabel(BELOW[name][0])
            values = self.history[name]
            if name == "rate" and 0 < np.median(values) < values.max() / LOG_RATIO:
                axes[name].set_yscale("log")
            else:
                axes[name].set_ylim(bottom=0)
        last = list(axes.values())[-1]
        last.set_xlabel("epoch")
        last.xaxis.get_major_locator().set_params(integer=True)
        return self

    def _mark_best(self) -> int | None:
        """Mark the epoch after which rows held out lost least."""
        if not self._known("held_out_loss"):
            return None
        held_out = self.history["held_out_loss"]
        at = int(np.nanargmin(held_out))
        epoch = int(self.history["epoch"][at])
        self.ax_.plot(
            epoch, held_out[at], "*", color="C3", markersize=12, zorder=3,
            label=f"best epoch: {epoch}",
        )  # fmt: skip
        return epoch

    def _known(self, name: str) -> bool:
        """Whether the history has this column with a finite value."""
        return name in self.history and bool(np.isfinite(self.history[name]).any())

    def _line(self, ax: Any, name: str, **line: Any) -> None:
        """Draw a column of the history."""
        x, y = self.history["epoch"], self.history[name]
        marker = "o" if len(x) <= MAX_MARKS else ""
        (self.lines_[name],) = ax.plot(x, y, marker=marker, markersize=4, **line)
        ax.margins(x=0.02)
        ax.grid(alpha=0.3)


class RangeTestDisplay:
    """The losses of a range test against rates, with the rates that they suggest.

    Parameters
    ----------
    lrs, smoothed, low, high : ndarray of shape (n_points,)
        Rates, smoothed losses, and the lowest and highest smoothed losses of all seeds.
    initial : float
        The loss before anything was learnt; the axis ends shortly above it.
    suggestions : dict of str to float or None
        Rates by name, which are marked on the line.
    default : str
        The name of the one to begin with.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure
    line_ : matplotlib line
    """

    def __init__(
        self, lrs: np.ndarray, smoothed: np.ndarray, low: np.ndarray, high: np.ndarray,
        initial: float, suggestions: dict[str, float | None], default: str = "valley",
    ) -> None:  # fmt: skip
        self.lrs = lrs
        self.smoothed = smoothed
        self.low = low
        self.high = high
        self.initial = initial
        self.suggestions = suggestions
        self.default = default

    def plot(self, ax: Any = None, **line: Any) -> Self:
        """Draw the curve, on new axes by default; other arguments are those of ``ax.plot``.

        Raises
        ------
        ValueError
            If there is no point to draw.
        ImportError
            If matplotlib is not installed.
        """
        if not len(self.lrs):
            raise ValueError("there is nothing to draw: the first loss was not finite")
        plt = pyplot()
        if ax is None:
            _, ax = plt.subplots(figsize=(7, 4), layout="constrained")
        (self.line_,) = ax.plot(self.lrs, self.smoothed, **line)
        if not np.array_equal(self.low, self.high):
            ax.fill_between(
                self.lrs, self.low, self.high, color=self.line_.get_color(), alpha=0.2, linewidth=0,
                label="lowest to highest of the seeds",
            )  # fmt: skip
        ax.axhline(self.initial, color="0.5", linewidth=0.8, linestyle=":", label="initial loss")
        for (name, rate), color in zip(self.suggestions.items(), ("C1", "C2", "C3")):
            if rate is not None:
                at = np.interp(np.log(rate), np.log(self.lrs), self.smoothed)
                default = name == self.default
                label = f"{name}{', the suggestion' if default else ''}: {rate:.2g}"
                ax.plot(
                    rate, at, "*" if default else "o", markersize=13 if default else 6, color=color,
                    label=label, zorder=3,
                )  # fmt: skip
                if default:
                    ax.axvline(rate, color=color, linewidth=0.8, linestyle="--")
        lowest = min(float(self.low.min()), self.initial)
        highest = max(float(self.smoothed.min()), self.initial)
        room = 0.2 * (highest - lowest) or 0.1 * abs(self.initial) or 0.1
        ax.set_ylim(lowest - room / 2, highest + room)
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss before the update")
        ax.grid(alpha=0.3)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def sample(schedule: Callable[[Any], Any], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps below `steps` and their rates: all of them, or 2,000 at equal distances."""
    n_points = min(steps, MAX_POINTS)
    t = np.linspace(0, steps - 1, n_points).astype(np.int64)
    return t, schedule(t)


def pyplot() -> Any:
    """The module matplotlib.pyplot; raises an ImportError that says how to install it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'lrcore[plot]'") from None
    return pyplot
