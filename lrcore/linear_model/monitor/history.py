"""What a fit keeps of each epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lrcore._utils.plotting import HistoryDisplay

if TYPE_CHECKING:
    from typing_extensions import Self

#: The columns, in their order, and whether they hold integers.
COLUMNS = {
    "step": True,
    "epoch": True,
    "rate": False,
    "loss": False,
    "objective": False,
    "held_out_loss": False,
    "gradient_norm": False,
    "gap": False,
    "bytes": True,
    "seconds": False,
}


#: Of a long history the first and the last epochs are printed.
FIRST, LAST = 10, 10


def _ends(values: np.ndarray) -> np.ndarray:
    """The values, or the first and last of many."""
    if len(values) <= FIRST + LAST:
        return values
    return np.concatenate([values[:FIRST], values[-LAST:]])


def _short(value: float) -> str:
    """A number as a table has it."""
    return f"{value:.6g}" if isinstance(value, np.floating) else str(value)


class History(dict[str, np.ndarray]):
    """A record for each epoch of a fit: arrays by name, all of one length.

    It prints as a table, and `to_frame` makes one of pandas. Columns of which nothing is known are
    left out, and gaps of others are NaN.

    ==================  ========================================================================
    ``step``            steps done
    ``epoch``           epochs done: 1, 2, ...
    ``rate``            of the last step; NaN with ``solver="dual"``
    ``loss``            mean over the rows, of each just before it was learnt from
    ``objective``       after the epoch, over all rows and with the penalty
    ``held_out_loss``   after the epoch, over the rows held out
    ``gradient_norm``   where a callback has read it at the end of the epoch
    ``gap``             about the duality gap, over the objective; of a fit over partitions
    ``bytes``           sent to and from all workers so far, each counted once; of such a fit
    ``seconds``         since the fit began
    ==================  ========================================================================

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> X = np.random.RandomState(0).randn(200, 3)
    >>> reg = lrcore.LinearRegressor(
    ...     optimizer="adagrad", tol=1e-3, max_iter=3, random_state=0).fit(X, X[:, 0])
    >>> list(reg.history_)
    ['step', 'epoch', 'rate', 'loss', 'objective', 'seconds']
    >>> reg.history_["step"]
    array([200, 400, 600])
    >>> reg.history_  # doctest: +SKIP
    step  epoch  rate      loss  objective    seconds
     200      1   0.5  0.193124  0.0325717  0.0002713
     400      2   0.5  0.011391  0.0068254  0.0003952
     600      3   0.5  0.003352  0.0029102  0.0004946
    """

    def __init__(self, columns: dict[str, np.ndarray] | None = None) -> None:
        super().__init__(columns or {})
        self.records: list[dict[str, float]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def __repr__(self) -> str:
        if not self:
            return "History of no epochs"
        columns = [[name, *map(_short, _ends(values))] for name, values in self.items()]
        widths = [max(map(len, column)) for column in columns]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in zip(*columns)]
        left_out = len(self["epoch"]) - (len(lines) - 1)
        if left_out:
            lines.insert(1 + FIRST, f"... {left_out} more epochs")
        return "\n".join(lines)

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each epoch.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> import numpy as np, lrcore
        >>> X = np.random.RandomState(0).randn(200, 3)
        >>> reg = lrcore.LinearRegressor(
        ...     optimizer="adagrad", tol=1e-3, max_iter=3, random_state=0).fit(X, X[:, 0])
        >>> reg.history_.to_frame().shape
        (3, 6)
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas") from None
        return pandas.DataFrame(dict(self))

    def add(self, **record: float) -> None:
        """Take in the record of one more epoch; `close` makes columns of them."""
        self.records.append(record)

    def close(self) -> Self:
        """Make columns of the records."""
        for name, whole in COLUMNS.items():
            values = [record.get(name, math.nan) for record in self.records]
            if any(name in record for record in self.records):
                self[name] = np.array(values, np.int64 if whole else np.float64)
        self.records = []
        return self

    def plot(self, *, ax: Any = None) -> HistoryDisplay:
        """Draw losses, rates and gradient norms against epochs (matplotlib, the extra `plot`).

        Parameters
        ----------
        ax : matplotlib axes, optional
            Draw the losses there, and nothing else.

        Returns
        -------
        HistoryDisplay
            With `ax_`, `rate_ax_` and `figure_`.
        """
        return HistoryDisplay(self).plot(ax=ax)
