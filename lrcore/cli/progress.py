"""What is shown on stderr while a command works: a bar on a terminal, lines for logs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from lrcore.io.files import ReadBytes
from lrcore.linear_model.dataset_fit import Mean, Progress

T = TypeVar("T")


def on_terminal() -> bool:
    """Whether people look at stderr."""
    return sys.stderr.isatty()


def new_bar(total: int | None, unit: str) -> Any:
    """A bar that is drawn on a terminal only, and leaves nothing behind."""
    from tqdm import tqdm

    return tqdm(
        total=total,
        unit=unit,
        unit_scale=True,
        disable=not on_terminal(),
        file=sys.stderr,
        dynamic_ncols=True,
        leave=False,
    )


def watched(items: Iterable[T], read: ReadBytes) -> Iterator[T]:
    """The same items, with a bar of the bytes that were read of their sources."""
    with new_bar(read.total, "B") as bar:
        for item in items:
            yield item
            bar.update(read.done - bar.n)


class FitLog:
    """How a fit over a dataset comes on: a bar where stderr is a terminal and the size of the
    sources is known, else a table.

    The loss is of each row before it was learnt from, so it tells how the model does on new rows.

    Parameters
    ----------
    read : ReadBytes
        What is read of the dataset's sources.
    n_epochs : int
        Epochs, at most.
    """

    def __init__(self, read: ReadBytes, n_epochs: int) -> None:
        self.progress = Progress()
        self._n_epochs = n_epochs
        self._show: Bar | Table
        if read.total and on_terminal():
            self._show = Bar(read.total * n_epochs, n_epochs)
        else:
            self._show = Table()

    def __enter__(self) -> FitLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._show.close()

    def update(self, progress: Progress) -> None:
        """Show how far the fit has come; given to ``fit`` as its callback."""
        self.progress = progress
        self._show.update(progress)


class Bar:
    """A bar of the bytes that were read, with the losses beside it."""

    def __init__(self, total: int, n_epochs: int) -> None:
        self._bar = new_bar(total, "B")
        self._n_epochs = n_epochs

    def update(self, progress: Progress) -> None:
        """Draw the bar."""
        if self._n_epochs > 1:
            epoch = f"epoch {progress.epoch + 1}/{self._n_epochs}"
            self._bar.set_description(epoch, refresh=False)
        self._bar.set_postfix_str(
            f"{progress.n_rows:,} rows, loss {progress.loss:.5f}", refresh=False
        )
        self._bar.update(progress.n_bytes - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


class Table:
    """A line whenever the number of rows has doubled: the loss of the rows since the last line, and
    of all rows of the epoch, and rows and megabytes a second."""

    HEAD = ("rows", "values", "recent loss", "loss", "rows/s", "MB/s")
    WIDTHS = (13, 15, 12, 10, 12, 8)

    def __init__(self) -> None:
        self._next = 1
        self._recent = Mean()

    def update(self, progress: Progress) -> None:
        """Print a line, if it is time."""
        if self._next == 1:
            self._print(self.HEAD)
        self._recent.add(progress.recent_loss, progress.recent_weight)
        if progress.n_rows < self._next:
            return
        seconds = max(progress.seconds, 1e-9)
        self._print((
            f"{progress.n_rows:,}", f"{progress.n_values:,}", f"{self._recent.mean:.5f}",
            f"{progress.loss:.5f}", f"{progress.n_rows / seconds:,.0f}",
            f"{progress.n_bytes / seconds / 1e6:.1f}",
        ))  # fmt: skip
        self._recent = Mean()
        while self._next <= progress.n_rows:
            self._next *= 2

    def _print(self, fields: tuple[str, ...]) -> None:
        line = " ".join(f"{text:>{width}}" for text, width in zip(fields, self.WIDTHS))
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is left to do."""
