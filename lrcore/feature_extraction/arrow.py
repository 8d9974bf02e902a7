"""Columns of strings by Arrow's PyCapsule interface, whichever library has them: no object of
Python is made for a row, and no library is imported.

The structs are those of Arrow's C data interface and C stream interface.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p
from typing import Any, NamedTuple

import numpy as np

from lrcore import _core


class Schema(ctypes.Structure):
    """The type of a column."""


class Array(ctypes.Structure):
    """A chunk of a column."""


class Stream(ctypes.Structure):
    """The chunks of a column, one after another."""


Schema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_void_p), ("flags", c_int64),
    ("n_children", c_int64), ("children", c_void_p), ("dictionary", c_void_p),
    ("release", ctypes.CFUNCTYPE(None, POINTER(Schema))), ("private_data", c_void_p),
]  # fmt: skip
Array._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64),
    ("n_children", c_int64), ("buffers", POINTER(c_void_p)), ("children", c_void_p),
    ("dictionary", c_void_p), ("release", ctypes.CFUNCTYPE(None, POINTER(Array))),
    ("private_data", c_void_p),
]  # fmt: skip
Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(c_int, POINTER(Stream), POINTER(Schema))),
    ("get_next", ctypes.CFUNCTYPE(c_int, POINTER(Stream), POINTER(Array))),
    ("get_last_error", ctypes.CFUNCTYPE(c_char_p, POINTER(Stream))),
    ("release", c_void_p), ("private_data", c_void_p),
]  # fmt: skip

#: Layouts of strings: offsets of 32 and of 64 bits, and views.
OFFSETS = {b"u": np.int32, b"U": np.int64}
VIEWS = b"vu"

#: PyBUF_READ.
READ_ONLY = 0x100

_memory_at = ctypes.pythonapi.PyMemoryView_FromMemory
_memory_at.restype = ctypes.py_object
_memory_at.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = c_void_p, (ctypes.py_object, c_char_p)


class Chunk(NamedTuple):
    """Strings one behind the other: their UTF-8, where each begins and the last one ends, and the
    first row that is missing, -1 for none. They are there until the next chunk is asked for."""

    text: np.ndarray
    offsets: np.ndarray
    first_missing: int


def exporter(X: Any) -> Any:
    """What has X's strings by the PyCapsule interface, not copied; None if nothing has."""
    dtype = getattr(X, "dtype", None)
    if isinstance(dtype, np.dtype) or getattr(dtype, "storage", "pyarrow") != "pyarrow":
        return None  # objects of Python
    if not hasattr(X, "__arrow_c_stream__") and hasattr(X, "iloc"):
        as_arrow = getattr(getattr(X, "array", None), "__arrow_array__", None)
        X = as_arrow() if as_arrow else None
    return X if hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__") else None


def string_chunks(X: Any) -> Iterator[Chunk] | None:
    """The chunks of a column of strings of pandas, polars, pyarrow or any other library with the
    interface; None if X is no such column."""
    source = exporter(X)
    if source is None:
        return None
    if hasattr(source, "__arrow_c_stream__"):
        capsule = source.__arrow_c_stream__()
        stream = Stream.from_address(_pointer_of(capsule, b"arrow_array_stream"))
        schema = Schema()
        _checked(stream, stream.get_schema(stream, schema))
        try:
            layout = _layout(schema)
        finally:
            schema.release(schema)
        return _chunks_of_stream(capsule, stream, layout) if layout else None
    capsules = source.__arrow_c_array__()
    layout = _layout(Schema.from_address(_pointer_of(capsules[0], b"arrow_schema")))
    return _chunk_of_array(capsules, layout) if layout else None


def _layout(schema: Schema) -> bytes | None:
    """How strings lie in memory; None if the column holds something else."""
    known = schema.format in OFFSETS or schema.format == VIEWS
    return schema.format if known and not schema.dictionary else None


def _checked(stream: Stream, status: int) -> None:
    if status:
        said = stream.get_last_error(stream) or b""
        raise OSError(status, f"the Arrow stream failed: {said.decode(errors='replace')}")


def _chunks_of_stream(capsule: Any, stream: Stream, layout: bytes) -> Iterator[Chunk]:
    """The capsule keeps the stream, and releases it."""
    while True:
        array = Array()
        _checked(stream, stream.get_next(stream, array))
        if not array.release:
            return
        try:
            yield _chunk(array, layout)
        finally:
            array.release(array)


def _chunk_of_array(capsules: Any, layout: bytes) -> Iterator[Chunk]:
    """The capsules keep the array, and release it."""
    yield _chunk(Array.from_address(_pointer_of(capsules[1], b"arrow_array")), layout)


def _chunk(array: Array, layout: bytes) -> Chunk:
    n, first = array.length, array.offset
    if n == 0:
        return Chunk(np.empty(0, np.uint8), np.zeros(1, np.int64), -1)
    missing = _first_missing(array)
    if layout == VIEWS:
        sizes = buffer_of(array, array.n_buffers - 1, (array.n_buffers - 3) * 8).view(np.int64)
        buffers = [buffer_of(array, 2 + k, int(size)) for k, size in enumerate(sizes)]
        views = buffer_of(array, 1, (first + n) * 16).reshape(-1, 16)[first:]
        assert _core.kernels is not None, "without a core, nothing asks for columns"
        text, starts = _core.kernels.pack_views(views, buffers)
        return Chunk(text, starts, missing)
    dtype = np.dtype(OFFSETS[layout])
    offsets = buffer_of(array, 1, (first + n + 1) * dtype.itemsize).view(dtype)[first:]
    return Chunk(buffer_of(array, 2, int(offsets[-1])), offsets.astype(np.int64), missing)


def buffer_of(array: Array, number: int, size: int) -> np.ndarray:
    """So many bytes of a buffer of the array, not copied."""
    if not 0 <= number < array.n_buffers or size < 0:
        raise ValueError(f"an Arrow array has {array.n_buffers} buffers, and needs buffer {number}")
    if size == 0:
        return np.empty(0, np.uint8)
    address = array.buffers[number]
    if not address:
        raise ValueError(f"buffer {number} of an Arrow array is not there")
    # A ctypes array would be a class of its own for each size.
    return np.frombuffer(_memory_at(address, size, READ_ONLY), np.uint8)


def _first_missing(array: Array) -> int:
    if array.null_count == 0 or not array.buffers[0]:
        return -1
    bits = buffer_of(array, 0, (array.offset + array.length + 7) // 8)
    there = np.unpackbits(bits, bitorder="little")[array.offset : array.offset + array.length]
    return -1 if there.all() else int(np.argmin(there))
