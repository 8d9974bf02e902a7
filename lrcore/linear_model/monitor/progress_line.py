"""A line that says how far a fit has come, for terminals and notebooks."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

#: Seconds between two writings of the line, at least.
INTERVAL = 0.1


class ProgressLine:
    """A callback of ``fit`` that writes one line again and again: epochs, rows, losses, seconds.

    It takes nothing but a stream that understands a carriage return, as terminals and the cells of
    notebooks do. A fit over a `lrcore.io.Dataset` shows its rows.

    Parameters
    ----------
    stream : text stream, optional
        ``sys.stdout`` at the time of writing by default.

    Examples
    --------
    >>> import lrcore
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = lrcore.LinearClassifier(optimizer="adagrad", max_iter=3, tol=None, random_state=0)
    >>> clf.fit(X, y, callback=lrcore.ProgressLine())  # doctest: +SKIP
    epoch 3/3, 100 % of its rows, loss 0.0943, 0.0 s
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._width, self._next = 0, 0.0

    def __call__(self, progress: Any) -> None:
        """Write the line if some time has gone by since, and at the end of the fit."""
        last = self._is_last(progress)
        now = time.monotonic()
        if now < self._next and not last:
            return
        stream = sys.stdout if self._stream is None else self._stream
        text = describe(progress)
        stream.write("\r" + text.ljust(self._width) + ("\n" if last else ""))
        stream.flush()
        self._width, self._next = (0, 0.0) if last else (len(text), now + INTERVAL)

    @staticmethod
    def _is_last(progress: Any) -> bool:
        """Whether the fit is known to end here."""
        end = getattr(progress, "end_of_epoch", False)
        return bool(end and progress.epoch + 1 == progress.max_iter)


def describe(progress: Any) -> str:
    """Where a fit is, in a line.

    Parameters
    ----------
    progress : Event, or Progress of a dataset

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> describe(SimpleNamespace(
    ...     epoch=1, max_iter=5, rows=30, n_rows=120, loss=0.25, held_out_loss=0.5, seconds=1.21))
    'epoch 2/5, 25 % of its rows, loss 0.25, held-out loss 0.5, 1.2 s'
    """
    if hasattr(progress, "max_iter"):
        share = f"{progress.rows / progress.n_rows:.0%}".replace("%", " %")
        parts = [f"epoch {progress.epoch + 1}/{progress.max_iter}", f"{share} of its rows"]
    else:
        parts = [f"epoch {progress.epoch + 1}", f"{progress.n_rows:,} rows"]
    parts.append(f"loss {progress.loss:.4g}")
    held_out = progress.held_out_loss
    if held_out is not None and held_out == held_out:  # NaN where no rows are held out
        parts.append(f"held-out loss {held_out:.4g}")
    return ", ".join([*parts, f"{progress.seconds:.1f} s"])
