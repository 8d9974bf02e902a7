"""Batches on the disk, to be gone over again without their sources.

A cache is one file: a magic line, the arrays of the batches, each at a multiple of 64 bytes, and at
the end a table of contents in JSON, its length and checksum, and the magic line again. The table
has a checksum of each array. The file is written aside and takes its name when it is whole. Reading
maps it into memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import operator
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy import sparse

from lrcore._utils import npz, sparse_formats
from lrcore._utils.arrays import has_strange_characters
from lrcore._utils.replacing import replacing
from lrcore.io.batch import Batch, csr
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes

#: How a cache begins and ends; the number is that of the format.
MAGIC = b"lrcore rows 2\n"

#: How the caches of all formats begin.
ANY_MAGIC = b"lrcore rows "

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

    A cache that is cut short, or of something else, is made anew. One that is not gone over to its
    end is not kept. What `features`, the transformer that has made X, found in the sources is kept
    beside the rows, and given back to it where the sources are not read. What is read is added to
    the count.

    Raises
    ------
    DataError
        If there is a file that is no cache, which is not to be lost, or rows of one are damaged.
    """
    where = cache_path(path, key)
    contents = _contents(where, key)
    if contents is not None:
        yield from _read(where, contents, features, count or ReadBytes())
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
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    file.write(raw.data)
    return {
        "at": at, "dtype": array.dtype.str, "shape": list(array.shape), "crc": zlib.crc32(raw.data),
    }  # fmt: skip


def _write_contents(file: IO[bytes], contents: dict[str, Any]) -> None:
    table = _canonical(contents)
    file.write(table + TAIL.pack(len(table), zlib.crc32(table)) + MAGIC)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


# ---- reading --------------------------------------------------------------------------------


def _contents(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """What a cache has; None if there is none, or it is cut short, or of something else.

    Raises
    ------
    DataError
        If the file is no cache.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            ends = len(MAGIC) + TAIL.size
            start = file.read(len(MAGIC))
            if not (start.startswith(ANY_MAGIC) or ANY_MAGIC.startswith(start)):
                raise DataError(
                    f"{path}: is no cache of rows, and would be overwritten; give another path"
                )
            if start != MAGIC or size < len(MAGIC) + ends:
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
    try:
        contents = json.loads(table)
        same = contents["key"] == json.loads(_canonical(key))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return contents if same else None


def _read(path: Path, contents: dict[str, Any], features: Any, count: ReadBytes) -> Iterator[Batch]:
    """The batches of a cache, whose arrays are mapped where they are stored as they are."""
    with _named(path):
        found, records = contents["features"], list(contents["batches"])
        if features is not None and found is not None:
            features.restore(found)
    if not records:
        return
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    buffer = np.frombuffer(mapped, np.uint8)
    for record in count.shares(records, count.total, len(records)):
        with _named(path):
            batch = _batch(buffer, record)
        yield batch


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever comes of values that were not written so, as an error that names the cache."""
    try:
        yield
    except Exception as error:
        raise DataError(f"{path}: a damaged cache ({error}); remove it") from None


def _batch(buffer: np.ndarray, record: dict[str, Any]) -> Batch:
    """A batch of the file, whose parts fit together."""
    parts = {name: _array(buffer, part) for name, part in record.items() if name != "shape"}
    n_rows, n_features = record["shape"]
    columns = {name: parts.get(name) for name in ("y", "weight", "offset")}
    for name, column in columns.items():
        if column is not None and (len(column) != n_rows or column.dtype.kind not in "biufU"):
            raise ValueError(f"{name} has {len(column)} entries of {column.dtype}")
    if "rows" in parts:
        rows = parts["rows"]
        if rows.shape != (n_rows, n_features) or not rows.size or rows.dtype.kind != "f":
            raise ValueError(f"rows of shape {rows.shape} and {rows.dtype}")
        return Batch(rows, **columns)
    if "low" in parts:
        indices = parts["low"].astype(np.int32)
        indices |= parts["high"].astype(np.int32) << 16
    else:
        indices = parts["indices"]
    values = parts["values"]
    if len(values) != len(indices) or values.dtype.kind != "f":
        raise ValueError(f"{len(values)} values of {values.dtype} at {len(indices)} indices")
    sparse_formats.check_csr((n_rows, n_features), values, indices, parts["indptr"])
    return Batch(csr(values, indices, parts["indptr"], n_features), **columns)


def _array(buffer: np.ndarray, record: dict[str, Any]) -> np.ndarray:
    """An array of the file; read-only."""
    if "of" in record:
        values, n = _array(buffer, record["of"]), operator.index(record["n"])
        if n * values.itemsize > npz.MOST_BYTES + npz.MOST_TIMES * len(buffer):
            raise ValueError("values are repeated to far more bytes than the file has")
        if "codes" not in record:
            return np.full(n, values[0])
        codes = _array(buffer, record["codes"])
        if codes.shape != (n,):
            raise ValueError(f"{codes.shape} numbers of {n} values")
        found: np.ndarray = values[codes]
        return found
    dtype, at = np.dtype(record["dtype"]), operator.index(record["at"])
    shape = [operator.index(length) for length in record["shape"]]  # no lists, which are repeated
    n_bytes = math.prod(shape) * dtype.itemsize
    sized = dtype.itemsize and not dtype.hasobject
    if not sized or not 0 <= at <= at + n_bytes <= len(buffer):
        raise ValueError("an array is not within the file")
    raw = buffer[at : at + n_bytes]
    if zlib.crc32(raw.data) != record["crc"]:
        raise ValueError("an array has another checksum")
    array: np.ndarray = raw.view(dtype).reshape(shape)
    if has_strange_characters(array):
        raise ValueError("strings of what are no characters")
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
