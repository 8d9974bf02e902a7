"""Arrays out of NumPy's ``.npz`` files that nobody may trust.

``np.load`` allocates what the header of an array asks for and unpacks whatever is there. Here every
size is compared with what the file holds before memory is taken, and nothing that is wrong with a
file raises anything but `NpzError`.
"""

from __future__ import annotations

import errno
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from lrcore._utils.arrays import has_strange_characters

#: A file may unpack to this many bytes, and to so many times its own size. What compresses better
#: than a hundredfold is no data: of a matrix of ones the indices still take a quarter of theirs.
MOST_BYTES, MOST_TIMES = 1 << 26, 100

#: Ways of packing that NumPy knows.
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: Bytes that are read at a time.
PIECE = 1 << 22

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class NpzError(ValueError):
    """A file that is no ``.npz``, or is damaged, or made to cause harm."""


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a file by name, in memory of their own.

    Raises
    ------
    NpzError
        If the file is no ``.npz``, is damaged, holds Python objects or records, or unpacks to far
        more than it is.
    OSError
        If it cannot be read.
    """
    with opened(path) as arrays:
        return {name: stored.whole() for name, stored in arrays.items()}


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[dict[str, Stored]]:
    """The arrays of a file by name, of which nothing but their headers is in memory.

    Raises
    ------
    NpzError, OSError
        As `read`, also where arrays are read and whatever of them is wrong.
    """
    with open(path, "rb") as file:
        try:
            with ExitStack() as stack:
                yield _opened(file, os.fstat(file.fileno()).st_size, stack)
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):  # damaged streams, and places before 0
                raise
            raise NpzError(str(error)) from None
        except MemoryError:
            raise NpzError("it needs more memory than there is") from None
        except NpzError:
            raise
        except Exception as error:  # whatever zipfile and the parser of array headers come upon
            raise NpzError(str(error) or type(error).__name__) from error


def _opened(file: IO[bytes], size: int, stack: ExitStack) -> dict[str, Stored]:
    if file.read(2) != b"PK":  # zipfile would look for an archive behind something else
        raise NpzError("it does not begin as a zip archive does")
    archive = stack.enter_context(zipfile.ZipFile(file))
    members = archive.infolist()
    total, most = sum(member.file_size for member in members), MOST_BYTES + MOST_TIMES * size
    if total > most:
        raise NpzError(
            f"{size:,} bytes that unpack to {total:,}, more than the {most:,} that are read"
        )
    arrays: dict[str, Stored] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name in arrays:
            raise NpzError(f"it has {name!r} twice")
        if member.compress_type not in PACKED:
            raise NpzError(f"{name!r} is packed in a way that NumPy does not write")
        arrays[name] = Stored(name, stack.enter_context(archive.open(member)), member.file_size)
    return arrays


class Stored:
    """An array in a file, whose numbers are read from the first to the last.

    Parameters
    ----------
    name : str
    stream : binary file
        The member of the archive.
    size : int
        How many bytes that has.
    """

    def __init__(self, name: str, stream: Any, size: int) -> None:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise NpzError(f"{name!r} is of version {version} of the format")
        self.shape, self._by_column, self.dtype = HEADERS[version](stream)
        dtype, self.size = self.dtype, math.prod(self.shape)
        if dtype.hasobject or dtype.kind not in "biufcSUmM" or dtype.itemsize == 0:
            raise NpzError(f"{name!r} is of dtype {dtype}")
        if min(self.shape, default=0) < 0 or self.size * dtype.itemsize != size - stream.tell():
            raise NpzError(f"{name!r} has shape {self.shape} of {dtype} in {size:,} bytes")
        self._name, self._stream, self._left = name, stream, self.size
        self._check_end()

    def take(self, n: int) -> np.ndarray:
        """The next n numbers, or as many as are left, in one dimension."""
        n = min(n, self._left)
        room = np.empty(n * self.dtype.itemsize, np.uint8)
        for start in range(0, len(room), PIECE):
            piece = room.data[start : start + PIECE]
            done = 0
            while done < len(piece):
                more = self._stream.readinto(piece[done:])
                if not more:
                    raise NpzError(f"{self._name!r} is cut short")
                done += more
        self._left -= n
        self._check_end()
        if self.dtype.kind == "b":
            return room != 0
        array = room.view(self.dtype)
        if has_strange_characters(array):
            raise NpzError(f"{self._name!r} has strings of what are no characters")
        return array

    def drain(self) -> None:
        """Read what is left, to compare the checksum."""
        while self._left:
            self.take(max(1, PIECE // self.dtype.itemsize))

    def _check_end(self) -> None:
        """Read past the last byte, which is where the checksum is compared."""
        if not self._left and self._stream.read(1):
            raise NpzError(f"{self._name!r} is longer than it says")

    def whole(self) -> np.ndarray:
        """The array, of which nothing may have been taken before."""
        return self.take(self.size).reshape(self.shape, order="F" if self._by_column else "C")
