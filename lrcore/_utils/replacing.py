"""Files that are replaced in one piece, or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, which does not let go of the name of an open file
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".part"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of the one at `path` when the block ends.

    Whatever happens before, even a loss of power, the path has the old file. A link stays a link,
    to the new file; permissions stay what they are, and are those of any new file where there was
    none. What a process left behind that was killed in the midst of this is removed.

    Raises
    ------
    OSError
        If the file cannot be written, or there is a folder or a device.
    """
    check_writable(path)
    path = Path(os.path.realpath(path))
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    _remove_left_over(path)
    file, name = _new_file(path, mode)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(name, path)
        if fcntl is None:
            os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError unless `replacing` can write a file there, as far as can be known."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give the name of a file in it")
    if target.exists() and not target.is_file():
        raise FileExistsError(f"{path}: is no regular file, and would be replaced by one")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: no file may be written in the folder {target.parent}")


def _new_file(path: Path, mode: int | None) -> tuple[IO[bytes], Path]:
    """A new file beside the path, open and locked: the kernel gives it its permissions, by the
    process's mask, so that no moment passes in which it has others."""
    while True:
        name = path.with_name(f"{path.name}.{secrets.token_hex(4)}{SUFFIX}")
        with suppress(FileExistsError):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
            handle = os.open(name, flags, 0o666 if mode is None else 0o600)
            file = os.fdopen(handle, "wb")
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(handle, mode)
            # Another save may have come upon it before it was locked, and have removed it.
            if _lock(handle) and os.fstat(handle).st_nlink:
                return file, name
            file.close()


def _lock(handle: int) -> bool:
    """Lock an open file unless another process has; True where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _remove_left_over(path: Path) -> None:
    """Remove what killed processes left of earlier saves to this path: nobody has it locked."""
    for name in path.parent.glob(f"{_literal(path.name)}.????????{SUFFIX}"):
        with suppress(OSError):
            if fcntl is None:
                os.unlink(name)
                continue
            handle = os.open(name, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name)
            finally:
                os.close(handle)


def _literal(name: str) -> str:
    """The name as a pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _sync_folder(folder: Path) -> None:
    """Write the folder's names to the disk, where folders can be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
