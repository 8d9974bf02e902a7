"""Files that hold arrays and JSON, as NumPy's ``.npz`` does. Reading one runs no code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lrcore._utils import npz
from lrcore._utils.npz import NpzError
from lrcore._utils.replacing import replacing

Arrays = Mapping[str, np.ndarray]


class ArchiveError(ValueError):
    """A file that lrcore did not write, or that was truncated, damaged or edited."""


def write(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file, which replaces the old one at once or not at all: see `replacing`.

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
    text = np.frombuffer(json.dumps(header, default=_plain).encode(), np.uint8)
    members: dict[str, Any] = {"header": text, **arrays}
    with replacing(path) as file:
        np.savez(file, **members)


def read(path: str | os.PathLike[str], what: str, *forms: int) -> tuple[dict[str, Any], Arrays]:
    """Read the header and the arrays of a file that `write` wrote.

    Parameters
    ----------
    path : str or path
    what : str
        The kind of file, for messages: "a model", "an optimizer".
    *forms : int
        The numbers of which the header must have one as its "format".

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
        arrays = npz.read(path)
        header = json.loads(arrays.pop("header").tobytes())
        found, claimed = header["format"], header.pop("digest")
        digest = _digest(header, arrays)
    except NpzError as error:
        raise ArchiveError(f"{path}: not {what} file, or cut short ({error})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"{path}: not {what} file ({error!r})") from None
    if found not in forms:
        known = " and ".join(map(str, forms))
        raise ArchiveError(f"{path}: format {found!r}, but this lrcore reads format {known}")
    if claimed != digest:
        raise ArchiveError(f"{path}: damaged or edited: its contents do not match its digest")
    return header, arrays


def _plain(value: Any) -> Any:
    """A number of NumPy's as Python has it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be saved; give plain values")


def _digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    """SHA-256 over the header and every array's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, default=_plain).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
