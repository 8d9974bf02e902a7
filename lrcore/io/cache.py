"""Batches on the disk, to be gone over again without their sources.

A cache is one file: a magic line, the arrays of the batches, each at a multiple of 64 bytes, and at
the end a table of contents in JSON, its length and checksum, and the magic line again. It is
written aside and takes its name when it is whole. Reading maps it into memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy import sparse

from lrcore._utils.replacing import replacing
from lrcore.io.batch import Batch, csr
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes

#: How a cache begins and ends; the number is that of the format.
MAGIC = b"lrcore rows 1\n"

#: What arrays begin at a multiple of, as the core likes its memory.
ALIGNMENT = 64

#: Length and checksum of the table of contents.
TAIL = struct.Struct("<QI")

#: Different values up to which a batch's values or labels are stored as their numbers.
MOST_VALUES = 256


def cache_path(path: Any, key: dict[str, Any]) -> Path:
    """Where a cache is: at the path or, for "auto", in the user's folder for such files, under a
    name that follows from what it is made of."""
    if not (isinstance(path, str) and path == "auto"):
        return Path(path)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "lrcore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir())
    return folder / f"{hashlib.sha256(_canonical(key)).hexdigest()[:32]}.rows"


def cached(
    batches: Callable[[], Iterable[Batch]], path: Any, key: dict[str, Any], features: Any = None,
    count: ReadBytes | None = None,
) -> Iterator[Batch]:  # fmt: skip
    """The batches, from a cache that was made of the same, or from where they are made; then they
    are written to the cache on their way.

    A cache that is damaged, or of something else, is made anew. One that is not gone over to its
    end is not kept. What `features`, the transformer that has made X, found in the sources is kept
    beside the rows, and given back to it where the sources are not read. What is read is added to
    the count.
    """
    where = cache_path(path, key)
    contents = _contents(where, key)
    if contents is not None:
        if features is not None and contents["features"] is not None:
            features.restore(contents["features"])
        listed, count = contents["batches"], count or ReadBytes()
        yield from count.shares(_read(where, listed), count.total, len(listed))
        return
    with replacing(where) as file:
        file.write(MAGIC)
        listed = []
        for batch in batches():
            listed.append(_write_batch(file, batch))
            yield batch
        found = None if features is None or features.key() is None else features.to_dict()
        _write_contents(file, {"key": key, "features": found, "batches": listed})


# ---- writing --------------------------------------------------------------------------------


def _write_batch(file: IO[bytes], batch: Batch) -> dict[str, Any]:
    """Write a batch; returns where its parts are."""
    X = batch.X
    record: dict[str, Any] = {"shape": list(X.shape)}
    if sparse.issparse(X):
        parts = {"values": X.data, "indptr": X.indptr}
        if X.shape[1] <= 1 << 24 and X.indices.size:
            # Three bytes are enough, and a quarter of the disk's time less.
            parts["low"] = X.indices.astype(np.uint16)
            parts["high"] = (X.indices >> 16).astype(np.uint8)
        else:
            parts["indices"] = X.indices
    else:
        parts = {"rows": np.ascontiguousarray(X)}
    for name, column in (("y", batch.y), ("weight", batch.weight), ("offset", batch.offset)):
        if column is not None:
            parts[name] = column
    for name, array in parts.items():
        record[name] = _write_array(file, array, packed=name in ("values", "y"))
    return record


def _write_array(file: IO[bytes], array: np.ndarray, *, packed: bool) -> dict[str, Any]:
    """Write an array: its few different values and their numbers, if that is shorter."""
    array = np.asarray(array)
    if array.dtype.kind == "O":
        array = array.astype(str)
    if packed and array.ndim == 1 and array.size > MOST_VALUES:
        some = np.unique(array[:: max(1, array.size // 1024)])
        if len(some) <= MOST_VALUES // 2:
            values, codes = np.unique(array, return_inverse=True)
            if len(values) <= MOST_VALUES:
                record = {"of": _write_array(file, values, packed=False)}
                if len(values) > 1:
                    record["codes"] = _write_array(file, codes.astype(np.uint8), packed=False)
                return {**record, "n": array.size}
    file.write(b"\0" * (-file.tell() % ALIGNMENT))
    at = file.tell()
    file.write(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data if array.size else b"")
    return {"at": at, "dtype": array.dtype.str, "shape": list(array.shape)}


def _write_contents(file: IO[bytes], contents: dict[str, Any]) -> None:
    table = _canonical(contents)
    file.write(table + TAIL.pack(len(table), zlib.crc32(table)) + MAGIC)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


# ---- reading --------------------------------------------------------------------------------


def _contents(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """What a cache has; None if it is none, damaged, or of something else."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            ends = len(MAGIC) + TAIL.size
            if file.read(len(MAGIC)) != MAGIC or size < 2 * len(MAGIC) + TAIL.size:
                return None
            file.seek(size - ends)
            length, checksum = TAIL.unpack(file.read(TAIL.size))
            if file.read() != MAGIC or length > size - ends - len(MAGIC):
                return None
            file.seek(size - ends - length)
            table = file.read(length)
    except FileNotFoundError:
        return None
    if zlib.crc32(table) != checksum:
        return None
    contents: dict[str, Any] = json.loads(table)
    return contents if contents["key"] == json.loads(_canonical(key)) else None


def _read(path: Path, contents: list[dict[str, Any]]) -> Iterator[Batch]:
    """The batches of a cache, whose arrays are mapped where they are stored as they are."""
    if not contents:
        return
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    buffer = np.frombuffer(mapped, np.uint8)
    for record in contents:
        try:
            yield _batch(buffer, record)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: a damaged cache ({error}); remove it") from None


def _batch(buffer: np.ndarray, record: dict[str, Any]) -> Batch:
    parts = {name: _array(buffer, part) for name, part in record.items() if name != "shape"}
    columns = [parts.get(name) for name in ("y", "weight", "offset")]
    if "rows" in parts:
        return Batch(parts["rows"], *columns)
    if "low" in parts:
        indices = parts["low"].astype(np.int32)
        indices |= parts["high"].astype(np.int32) << 16
    else:
        indices = parts["indices"]
    X = csr(parts["values"], indices, parts["indptr"], record["shape"][1])
    return Batch(X, *columns)


def _array(buffer: np.ndarray, record: dict[str, Any]) -> np.ndarray:
    """An array of the file; read-only."""
    if "of" in record:
        values = _array(buffer, record["of"])
        if "codes" not in record:
            return np.full(record["n"], values[0])
        found: np.ndarray = values[_array(buffer, record["codes"])]
        return found
    dtype, at = np.dtype(record["dtype"]), record["at"]
    n_bytes = math.prod(record["shape"]) * dtype.itemsize
    if not 0 <= at <= at + n_bytes <= len(buffer):
        raise ValueError("an array is not within the file")
    array: np.ndarray = buffer[at : at + n_bytes].view(dtype).reshape(record["shape"])
    return array


def key_of(sources: Iterable[Any], **how: Any) -> dict[str, Any] | None:
    """What rows follow from: the files and how they are read; None if one is no file."""
    prints = [_fingerprint(source) for source in sources]
    return None if None in prints else {"files": prints, **how}


def _fingerprint(source: Any) -> list[Any] | None:
    """What a file's rows follow from: its path, size and time of change; None if it is no file."""
    try:
        path = os.fspath(source)
        status = os.stat(path)
    except (TypeError, OSError):
        return None
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]
