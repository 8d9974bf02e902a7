"""Files of arrays and JSON: a zip of NumPy's .npy members. Reading one runs no code."""

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
    """A file that is cut short, damaged, edited, or none of ours."""


def write(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file beside the target, then rename it over the target.

    Whatever happens in between, a loss of power included, the target is the old file or the new
    one. The header is plain JSON values; a SHA-256 over everything goes with it.
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
    """Header and arrays of a file that `write` wrote.

    Parameters
    ----------
    path : str or path
    what : str
        What the file ought to be, for errors: "model", "optimizer".
    form : int
        What the header's "format" must be.

    Raises
    ------
    ArchiveError, OSError
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
        NotImplementedError,  # zipfile's word for a compression that it does not know
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
    mask = os.umask(0)
    os.umask(mask)
    return mask
