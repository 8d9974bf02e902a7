"""Files that hold arrays and JSON, as NumPy's ``.npz`` does. Reading one runs no code."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


class ArchiveError(ValueError):
    """A file that lrcore did not write, or that was truncated, damaged or edited."""


def write(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file under a temporary name, then rename it, so that it replaces the old one at once.

    Whatever happens in between, even a loss of power, the path has either the old file or the new
    one.

    Parameters
    ----------
    path : str or path
    header : dict of JSON values
        The SHA-256 of header and arrays is added as ``"digest"``.
    arrays : dict of str to ndarray
        Of any dtype without Python objects.

    Raises
    ------
    TypeError
        If an array holds Python objects.
    OSError
        If the file cannot be written.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} holds Python objects; give labels that are numbers or strings")
    header = dict(header)
    header["digest"] = _digest(header, arrays)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    members: dict[str, Any] = {"header": text, **arrays}
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent or ".", prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **members)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read(path: str | os.PathLike[str], what: str, form: int) -> tuple[dict[str, Any], Arrays]:
    """Read the header and the arrays of a file that `write` wrote.

    Parameters
    ----------
    path : str or path
    what : str
        The kind of file, for messages: "a model", "an optimizer".
    form : int
        The number that the header must have as its "format".

    Returns
    -------
    header : dict
        Without the digest.
    arrays : dict of str to ndarray

    Raises
    ------
    ArchiveError
        If the file is none of this kind and format, or is truncated, damaged or edited.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
    except OSError as error:
        if not path.is_file():
            raise
        raise ArchiveError(f"{path}: not {what} file ({error})") from None
    except (
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        NotImplementedError,  # raised by zipfile for unknown compressions
    ) as error:
        raise ArchiveError(f"{path}: not {what} file, or cut short ({error})") from None
    try:
        found, claimed = header["format"], header.pop("digest")
    except (KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"{path}: not {what} file ({error!r})") from None
    if found != form:
        raise ArchiveError(f"{path}: format {found!r}, but this lrcore reads format {form}")
    if claimed != _digest(header, arrays):
        raise ArchiveError(f"{path}: damaged or edited: its contents do not match its digest")
    return header, arrays


def _digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    """SHA-256 over the header and every array's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _umask() -> int:
    """The permissions that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
