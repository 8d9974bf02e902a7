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


class History(dict[str, np.ndarray]):
    """A record for each epoch of a fit: arrays by name, all of one length.

    ``pandas.DataFrame(model.history_)`` is a table of them. Columns of which nothing is known are
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
    """

    def __init__(self, columns: dict[str, np.ndarray] | None = None) -> None:
        super().__init__(columns or {})
        self.records: list[dict[str, float]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

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
