"""Text from wherever it is: files plain or packed, stdin, open files, URLs.

How a file is packed is told by the bytes that it begins with, so its name does not matter.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from lrcore._utils.validation import shown
from lrcore.io.errors import DataError

#: What stands for stdin where a path is expected.
STDIN = "-"


def _zstd(file: Any) -> Any:
    try:
        from compression import zstd  # of Python 3.14
    except ImportError:
        pass
    else:
        return zstd.ZstdFile(file)
    try:
        import pyarrow
    except ImportError:
        raise ImportError("reading .zst takes pyarrow: pip install pyarrow") from None
    return pyarrow.CompressedInputStream(file, "zstd")


#: How the bytes of a packed file begin, and what unpacks them.
UNPACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstd,
}

#: Bytes that tell how a file is packed.
LONGEST_MAGIC = max(map(len, UNPACKERS))

#: Bytes to read at a time: unpackers have buffers as large as what they are asked for.
STEP = 1 << 20

#: What some editors put in front of text.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: How files begin that are no text in UTF-8, and what is to be done about them.
NO_TEXT = {
    b"\xff\xfe": "the text is encoded as UTF-16 or UTF-32; encode it as UTF-8",
    b"\xfe\xff": "the text is encoded as UTF-16; encode it as UTF-8",
    b"\0\0\xfe\xff": "the text is encoded as UTF-32; encode it as UTF-8",
    b"PAR1\x15": "this is Parquet, which is not read as text",
    b"ARROW1\0\0": "this is an Arrow file, which is not read as text",
    b"PK\x03\x04": "this is a zip archive, which is not read as text",
}

#: Bytes that tell whether this is text.
LONGEST_START = max(map(len, (BYTE_ORDER_MARK, *NO_TEXT)))


Part = TypeVar("Part")


class ReadBytes:
    """How much of some sources was read, as it is stored.

    Attributes
    ----------
    total : int or None
        The size of all sources; None if one of them is no file, such as a pipe.
    done : int
        What was read so far; of a source that is read again, once more.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.done = 0

    @classmethod
    def of(cls, sources: list[Any]) -> ReadBytes:
        """Of these sources, nothing yet."""
        sizes = [size for size in map(size_of, sources) if size is not None]
        return cls(sum(sizes) if len(sizes) == len(sources) else None)

    def follow(
        self, parts: Iterable[Part], text: Text, size: Callable[[Part], int]
    ) -> Iterator[Part]:
        """The parts of a text, which may be read far ahead of them, and of which each has so many
        bytes: it counts as what is stored of them."""
        before = seen = 0
        for part in parts:
            seen = min(seen + size(part), text.n_unpacked)
            done = max(before, text.n_stored * seen // max(text.n_unpacked, 1))
            self.done, before = self.done + done - before, done
            yield part
        self.done += text.n_stored - before

    def shares(
        self, parts: Iterable[Part], n_bytes: int | None, whole: int,
        size: Callable[[Part], int] = lambda part: 1,
    ) -> Iterator[Part]:  # fmt: skip
        """The parts of something of so many bytes, each of which counts as its share of them."""
        before = seen = 0
        for part in parts:
            seen += size(part)
            done = seen * (n_bytes or 0) // whole
            self.done, before = self.done + done - before, done
            yield part


def size_of(source: Any) -> int | None:
    """The bytes of a file that a path names, None if it names none."""
    try:
        status = os.stat(source)
    except (TypeError, ValueError, OSError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class Text:
    """Bytes of an open source, unpacked, without a mark of the byte order.

    Attributes
    ----------
    name : str
        What errors call it.
    is_packed : bool
    n_stored : int
        Bytes that were taken so far of what is stored, which is less than what they unpack to.
    n_unpacked : int
        What was given so far.
    """

    def __init__(self, name: str, file: Any) -> None:
        self.name = name
        self._stored = _Counted(file)
        unpack = next((u for m, u in UNPACKERS.items() if self._stored.head.startswith(m)), None)
        self.is_packed = unpack is not None
        self._file = unpack(self._stored) if unpack else self._stored
        self._size = _size(file)
        self.n_unpacked = 0
        self._start: bytes | None = None

    @property
    def n_stored(self) -> int:
        return self._stored.n_bytes

    @property
    def share(self) -> float:
        """How much of the source was read, from 0 to 1; 0.5 where nobody knows."""
        return min(self.n_stored / self._size, 1.0) if self._size else 0.5

    def readinto(self, room: memoryview) -> int:
        """Fill as much of the room as the source has, and return how many bytes that is.

        Raises
        ------
        DataError
            If what is stored cannot be unpacked, or does not begin as text in UTF-8 does.
        """
        if self._start is None:
            self._start = self._first_bytes()
        done = min(len(room), len(self._start))
        room[:done], self._start = self._start[:done], self._start[done:]
        return done + self._unpacked_into(room[done:])

    def _first_bytes(self) -> bytes:
        """What the text begins with."""
        first = bytearray(LONGEST_START)
        start = bytes(first[: self._unpacked_into(memoryview(first))])
        for magic, what in NO_TEXT.items():
            if start.startswith(magic):
                raise DataError(f"{self.name}: {what}")
        return start.removeprefix(BYTE_ORDER_MARK)

    def _unpacked_into(self, room: memoryview) -> int:
        """Fill as much of the room as the source has, and return how many bytes that is."""
        done = 0
        try:
            while done < len(room):
                n = self._file.readinto(room[done : done + STEP])
                if not n:
                    break
                done += n
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise DataError(f"{self.name}: cut short or damaged ({error})") from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise DataError(f"{self.name}: {error}") from None
        self.n_unpacked += done
        return done


def _size(file: Any) -> int | None:
    """The bytes of a file, None if it is no file, such as a pipe."""
    try:
        return os.fstat(file.fileno()).st_size
    except (AttributeError, OSError):
        return None


class _Counted(io.RawIOBase):
    """A binary file of any kind whose first bytes are known beforehand, and which is counted."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.n_bytes = 0
        self.head = b""
        while len(self.head) < LONGEST_MAGIC and (more := self._read(LONGEST_MAGIC)):
            self.head += more
        self._left = self.head

    def _read(self, size: int) -> bytes:
        more = self._file.read(size)
        if isinstance(more, str):
            raise TypeError("a file to read must be open in binary mode, as by open(path, 'rb')")
        return more or b""

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        view = memoryview(room).cast("B")
        if self._left:
            part, self._left = self._left[: len(view)], self._left[len(view) :]
            n = len(part)
            view[:n] = part
        elif hasattr(self._file, "readinto"):
            n = self._file.readinto(view) or 0
        else:
            part = self._read(len(view))
            n = len(part)
            view[:n] = part
        self.n_bytes += n
        return n


@contextmanager
def open_text(source: Any) -> Iterator[Text]:
    """The text of a path, of ``"-"`` for stdin, of a URL, or of a binary file that is open already.

    Raises
    ------
    OSError
        If the source cannot be read.
    ImportError
        If reading it takes a package that is not here.
    TypeError
        If it is nothing of these.
    """
    if hasattr(source, "read"):
        yield Text(str(getattr(source, "name", "<file>")), source)
    elif not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"a path or a binary file is needed, got {shown(source)}")
    elif source == STDIN:
        yield Text("<stdin>", sys.stdin.buffer)
    else:
        path = os.fspath(source)
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        with _open_url(path) if "://" in path else open(path, "rb", buffering=0) as file:
            yield Text(path, file)


def is_read_once(source: Any) -> bool:
    """Whether a source is gone when it was read: stdin, and files that others opened."""
    return bool(hasattr(source, "read") or source == STDIN)


def _open_url(url: str) -> Any:
    try:
        import fsspec
    except ImportError:
        raise ImportError(f"reading {url} takes fsspec: pip install fsspec") from None
    return fsspec.open(url, "rb")
