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
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

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
    with open(path, "rb") as file:
        try:
            return _arrays(file, os.fstat(file.fileno()).st_size)
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


def _arrays(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    if file.read(2) != b"PK":  # zipfile would look for an archive behind something else
        raise NpzError("it does not begin as a zip archive does")
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        total, most = sum(member.file_size for member in members), MOST_BYTES + MOST_TIMES * size
        if total > most:
            raise NpzError(
                f"{size:,} bytes that unpack to {total:,}, more than the {most:,} that are read"
            )
        arrays: dict[str, np.ndarray] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise NpzError(f"it has {name!r} twice")
            if member.compress_type not in PACKED:
                raise NpzError(f"{name!r} is packed in a way that NumPy does not write")
            with archive.open(member) as stream:
                arrays[name] = _array(name, stream, member.file_size)
        return arrays


def _array(name: str, stream: Any, size: int) -> np.ndarray:
    """One array, from a member of so many bytes."""
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise NpzError(f"{name!r} is of version {version} of the format")
    shape, by_column, dtype = HEADERS[version](stream)
    if dtype.hasobject or dtype.kind not in "biufcSUmM" or dtype.itemsize == 0:
        raise NpzError(f"{name!r} is of dtype {dtype}")
    n_bytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or n_bytes != size - stream.tell():
        raise NpzError(f"{name!r} has shape {shape} of {dtype} in {size:,} bytes")
    room = np.empty(n_bytes, np.uint8)
    for start in range(0, n_bytes, PIECE):
        piece = room.data[start : start + PIECE]
        done = 0
        while done < len(piece):
            n = stream.readinto(piece[done:])
            if not n:
                raise NpzError(f"{name!r} is cut short")
            done += n
    if stream.read(1):  # past the last byte, which is where its checksum is compared
        raise NpzError(f"{name!r} is longer than it says")
    if dtype.kind == "b":
        return (room != 0).reshape(shape, order="F" if by_column else "C")
    return room.view(dtype).reshape(shape, order="F" if by_column else "C")
