"""What is learnt from: rows, targets and weights together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lrcore.linear_model.engine import scaling
from lrcore.linear_model.engine.design_matrix import Rows
from lrcore.linear_model.engine.layout import Method
from lrcore.linear_model.engine.reorder import Staged


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

    def mean(self, of_rows: np.ndarray) -> float:
        """The mean of a number for each row, as the rows weigh."""
        counts = self.weight is not None and bool(self.weight.any())
        return float(np.average(of_rows, weights=self.weight if counts else None))
