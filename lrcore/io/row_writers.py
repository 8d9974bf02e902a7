"""Rows of numbers written batch by batch: svmlight text, Vowpal Wabbit's text, .npz."""

from __future__ import annotations

import math
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lrcore.io.batch import Batch
from lrcore.io.errors import DataError
from lrcore.io.output import STDOUT, open_output
from lrcore.io.svmlight import label_texts, text_of_rows, writable_rows, write_svmlight


class RowWriter(Protocol):
    """What batches of rows are written with."""

    def write(self, batch: Batch) -> None:
        """Write the rows of a batch."""

    def close(self) -> None:
        """Write what is left."""


@contextmanager
def row_writer(
    path: str, kind: str, name: str, n_features: int | None = None
) -> Iterator[RowWriter]:
    """What writes rows to a file, which is there when all are written.

    Parameters
    ----------
    path : str
        ``"-"`` for stdout.
    kind : {"svmlight", "vw", "npz"}
    name : str
        What errors call the source of the rows.
    n_features : int, optional
        The number of columns, if that is known before all rows are.

    Raises
    ------
    DataError
        If rows have what the format cannot express.
    """
    folder = None if path == STDOUT else Path(os.path.realpath(path)).parent
    with open_output(path) as file, ExitStack() as stack:
        writer: RowWriter
        if kind == "npz":
            writer = NpzWriter(file, name, n_features, folder, stack)
        else:
            writer = SvmlightWriter(file, name) if kind == "svmlight" else VwWriter(file, name)
        yield writer
        writer.close()


class SvmlightWriter:
    """svmlight text, whose indices start at 1."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name

    def write(self, batch: Batch) -> None:
        refuse_weights(batch, self._name, "svmlight text")
        write_svmlight(self._file, batch.X, numbers(batch, self._name, "svmlight text"))

    def close(self) -> None:
        pass


class VwWriter:
    """Vowpal Wabbit's text: features are named by the numbers of their columns, from 0 on."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name

    def write(self, batch: Batch) -> None:
        labels = [""] * batch.n_rows
        if batch.y is not None:
            y = numbers(batch, self._name, "vw text")
            known = ~np.isnan(y)
            labels = label_texts(np.where(known, y, 0), multilabel=False)
            labels = [label if there else "" for label, there in zip(labels, known.tolist())]
        if batch.weight is not None or batch.offset is not None:
            if "" in labels:  # an importance comes after a label
                raise DataError(f"{self._name}: vw text has no weights of rows without labels")
            labels = [f"{label} {w!r}" for label, w in zip(labels, batch.weights.tolist())]
        if batch.offset is not None:
            labels = [f"{label} {base!r}" for label, base in zip(labels, batch.offset.tolist())]
        begun = [f"{label} |" for label in labels]
        self._file.writelines(text_of_rows(writable_rows(batch.X), begun, 0))

    def close(self) -> None:
        pass


class NpzWriter:
    """SciPy's .npz file of a CSR matrix, with labels in an array ``y``.

    Lengths come first in such a file, so arrays wait in files of their own until they are complete.
    """

    def __init__(
        self, file: Any, name: str, n_features: int | None, folder: Path | None, stack: ExitStack
    ) -> None:
        self._file, self._name, self._n_features = file, name, n_features
        self._data, self._indices, self._counts, self._y = (Spool(folder, stack) for _ in range(4))
        self._width = 0

    def write(self, batch: Batch) -> None:
        refuse_weights(batch, self._name, ".npz")
        X = batch.X
        self._width = max(self._width, int(X.indices.max(initial=-1)) + 1)
        self._data.append(X.data)
        self._indices.append(X.indices)
        self._counts.append(np.diff(X.indptr))
        if batch.y is not None:
            self._y.append(batch.y)

    def close(self) -> None:
        data, indices, counts, y = self._data, self._indices, self._counts, self._y
        n_rows, width = counts.size, self._n_features or self._width
        if not n_rows:
            raise DataError(f"{self._name} has no rows")
        most = max(data.size, width)
        index = np.dtype(np.int32 if most <= np.iinfo(np.int32).max else np.int64)
        with zipfile.ZipFile(self._file, "w") as archive:
            _write_array(archive, "format", np.array(b"csr"))
            _write_array(archive, "shape", np.array([n_rows, width]))
            _write_parts(archive, "data", data.dtype, data.size, data.parts(data.dtype))
            _write_parts(archive, "indices", index, indices.size, indices.parts(index))
            _write_parts(archive, "indptr", index, n_rows + 1, _ends(counts, index))
            if y.size:
                _write_parts(archive, "y", y.dtype, y.size, y.parts(y.dtype))


@contextmanager
def npy_writer(path: str, kind: str, name: str) -> Iterator[NpyWriter]:
    """What writes arrays, one below the other, as one to a ``.npy`` file; see `row_writer`."""
    folder = None if path == STDOUT else Path(os.path.realpath(path)).parent
    with open_output(path) as file, ExitStack() as stack:
        writer = NpyWriter(file, name, folder, stack)
        yield writer
        writer.close()


class NpyWriter:
    """NumPy's file of an array, whose length comes first."""

    def __init__(self, file: Any, name: str, folder: Path | None, stack: ExitStack) -> None:
        self._file, self._name = file, name
        self._spool = Spool(folder, stack)
        self._shape: tuple[int, ...] = ()

    def write(self, array: np.ndarray) -> None:
        self._shape = array.shape[1:]
        self._spool.append(array)

    def close(self) -> None:
        spool = self._spool
        if not spool.size:
            raise DataError(f"{self._name} has no rows")
        n_rows = spool.size // math.prod(self._shape)
        parts = spool.parts(spool.dtype)
        _write_npy(self._file, spool.dtype, (n_rows, *self._shape), parts)


def _ends(counts: Spool, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Where rows end that have so many values, from 0 on."""
    end = 0
    yield np.zeros(1, dtype)
    for part in counts.parts(np.dtype(np.int64)):
        ends = end + np.cumsum(part)
        end = int(ends[-1])
        yield ends.astype(dtype)


def _write_array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w") as member:
        np.lib.format.write_array(member, array)


def _write_parts(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype, size: int, parts: Iterator[np.ndarray]
) -> None:
    """Write an array of these parts."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        _write_npy(member, dtype, (size,), parts)


def _write_npy(
    file: Any, dtype: np.dtype, shape: tuple[int, ...], parts: Iterator[np.ndarray]
) -> None:
    """Write an array of these parts as NumPy does."""
    described = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": described, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for part in parts:
        file.write(_bytes(part))


def _bytes(array: np.ndarray) -> memoryview:
    """The bytes of an array."""
    return np.ascontiguousarray(array).view(np.uint8).data


class Spool:
    """An array that waits in a file, and grows part by part."""

    def __init__(self, folder: Path | None, stack: ExitStack) -> None:
        self._file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
        self._parts: list[tuple[np.dtype, int]] = []
        self.size = 0

    @property
    def dtype(self) -> np.dtype:
        """That of all parts together."""
        found: np.dtype = np.result_type(*(dtype for dtype, _ in self._parts))
        return found

    def append(self, part: np.ndarray) -> None:
        self._file.write(_bytes(part))
        self._parts.append((part.dtype, part.size))
        self.size += part.size

    def parts(self, dtype: np.dtype) -> Iterator[np.ndarray]:
        """The parts in their order, of this dtype."""
        self._file.seek(0)
        for own, size in self._parts:
            array = np.frombuffer(self._file.read(size * own.itemsize), own)
            yield array.astype(dtype, copy=False)


def refuse_weights(batch: Batch, name: str, kind: str) -> None:
    """Raise DataError if rows have weights or bases, for formats that do not."""
    if batch.weight is not None:
        raise DataError(f"{name}: {kind} has no weights of rows; vw text does")
    if batch.offset is not None:
        raise DataError(f"{name}: {kind} has no base of rows; vw text does")


def numbers(batch: Batch, name: str, kind: str) -> np.ndarray:
    """The labels, which must be there and be numbers."""
    if batch.y is None:
        raise DataError(f"{name}: {kind} takes labels, and these rows have none; .npz takes them")
    if batch.y.dtype.kind not in "biuf":
        raise DataError(
            f"{name}: {kind} has numbers as labels, and these are texts, such as "
            f"{str(batch.y[0])!r}; .npz has texts"
        )
    return batch.y.astype(np.int64) if batch.y.dtype.kind == "b" else batch.y
