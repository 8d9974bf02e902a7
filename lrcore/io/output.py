"""Files to write: whole or not at all, packed if their names say so, or stdout."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from lrcore._utils.replacing import replacing
from lrcore.io.files import STDIN

#: What stands for stdout where a path is expected.
STDOUT = STDIN


def _zstd(file: Any) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ImportError("writing .zst takes pyarrow: pip install pyarrow") from None
    return pyarrow.CompressedOutputStream(Borrowed(file), "zstd")


class Borrowed:
    """A file as writers of pyarrow's need it: they may close it, and it stays open; they may write
    to it when everything has failed already, and nothing happens."""

    def __init__(self, file: Any) -> None:
        self._file: Any = file
        self.closed = False

    def write(self, data: Any) -> int:
        return len(data) if self._file is None else int(self._file.write(data))

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def let_go(self) -> None:
        """Write nothing any more."""
        self._file = None

    def close(self) -> None:
        self.closed = True


#: What packs a file, by the end of its name. Nothing depends on the time.
PACKERS: dict[str, Callable[[Any], Any]] = {
    ".gz": lambda file: gzip.GzipFile("", "wb", 6, file, mtime=0),
    ".bz2": partial(bz2.BZ2File, mode="wb"),
    ".xz": partial(lzma.LZMAFile, mode="wb"),
    ".zst": _zstd,
}


def packer_of(path: str) -> Callable[[Any], Any] | None:
    """What packs a file of this name, None if nothing does."""
    return next((pack for end, pack in PACKERS.items() if path.lower().endswith(end)), None)


@contextmanager
def open_output(path: str) -> Iterator[Any]:
    """A binary file to write to, which takes the place of the one at `path` when it is whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    pack = packer_of(path)
    with replacing(path) as file:
        if pack is None:
            yield file
            return
        with pack(file) as packed:
            yield packed
