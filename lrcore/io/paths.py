"""Which files are meant by a path, a pattern, a directory, or a list of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def expanded(paths: Any) -> list[Any]:
    """The sources that are meant, each a path, a URL, ``"-"`` for stdin, or an open file.

    The files of a directory, hidden ones aside, and those that match a pattern with ``*``, ``?`` or
    ``[`` are in the order of their names, so that it is the same everywhere; those of a list keep
    its order.

    Raises
    ------
    FileNotFoundError
        If a directory is empty, a pattern matches nothing, or nothing is meant at all.
    TypeError
    """
    if isinstance(paths, (str, os.PathLike)):
        return _files_of(os.fspath(paths))
    if hasattr(paths, "read"):
        return [paths]
    if not isinstance(paths, Iterable):
        raise TypeError(
            "paths must be a path, a pattern, a directory, an open file or a list of these, got "
            f"{type(paths).__name__}"
        )
    found = [file for path in paths for file in expanded(path)]
    if not found:
        raise FileNotFoundError("paths is an empty list: there is nothing to read")
    return found


def _files_of(path: Any) -> list[Any]:
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if path == "-" or "://" in path:
        return [path]
    if os.path.isdir(path):
        files = sorted(
            str(p)
            for p in Path(path).iterdir()
            if p.is_file() and not p.name.startswith((".", "_"))
        )
        if not files:
            raise FileNotFoundError(f"{path}: the directory has no files")
        return files
    if not os.path.exists(path) and glob.has_magic(path):
        files = sorted(glob.glob(path, recursive=True))
        if not files:
            raise FileNotFoundError(f"{path}: no file matches the pattern")
        return files
    return [path]


def name_of(source: Any) -> str:
    """What errors call a source."""
    if isinstance(source, (str, os.PathLike)):
        return "<stdin>" if source == "-" else os.fsdecode(source)
    return str(getattr(source, "name", None) or type(source).__name__)


def names_of(sources: list[Any]) -> str:
    """What errors call several sources together."""
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return name_of(sources[0]) + more


def unpacked(name: str) -> str:
    """A file's name in lower case, without the end that says how it is packed."""
    name = name.lower()
    for packed in (".gz", ".bz2", ".xz", ".zst"):
        name = name.removesuffix(packed)
    return name
