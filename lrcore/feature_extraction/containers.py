"""Tables of any library as batches of columns, and no library is imported.

Tables come by Arrow's PyCapsule interface, a batch of rows at a time. Frames of pandas are read
column by column: what NumPy holds is read where it is, so that pyarrow need not be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ctypes import POINTER, cast
from dataclasses import replace
from typing import Any

import numpy as np

from lrcore._utils.frames import check_in_memory
from lrcore._utils.validation import shown
from lrcore.feature_extraction import arrow
from lrcore.feature_extraction.columns import (
    BOOLEAN,
    DATE,
    FLOAT,
    INTEGER,
    NOTHING,
    STRING,
    TIMESTAMP,
    Column,
    Kind,
    Objects,
    numbers,
    times,
)

#: Formats of Arrow: the kind of a column, and for numbers their type in memory.
FORMATS: dict[str, tuple[str, str]] = {
    "n": (NOTHING, ""), "b": (BOOLEAN, "bits"),
    "c": (INTEGER, "int8"), "C": (INTEGER, "uint8"), "s": (INTEGER, "int16"),
    "S": (INTEGER, "uint16"), "i": (INTEGER, "int32"), "I": (INTEGER, "uint32"),
    "l": (INTEGER, "int64"), "L": (INTEGER, "uint64"), "e": (FLOAT, "float16"),
    "f": (FLOAT, "float32"), "g": (FLOAT, "float64"),
    "tdD": (DATE, "int32"), "tdm": (DATE, "int64"),
    "u": (STRING, "strings"), "U": (STRING, "large_strings"), "vu": (STRING, "string_views"),
    "z": (STRING, "strings"), "Z": (STRING, "large_strings"), "vz": (STRING, "string_views"),
}  # fmt: skip

#: Units of times: letters of Arrow's formats, and NumPy's.
UNITS = {"s": "s", "m": "ms", "u": "us", "n": "ns"}

# ---- Arrow --------------------------------------------------------------------------------------


def kind_of_schema(schema: arrow.Schema) -> Kind:
    """The kind of a column by its type in Arrow's C data interface."""
    name = (schema.format or b"").decode()
    if schema.dictionary:
        of_values = kind_of_schema(arrow.Schema.from_address(schema.dictionary))
        if of_values.coded or of_values.name:
            return of_values._replace(name=of_values.name or "codes of codes")
        return of_values._replace(storage=FORMATS[name][1], coded=True)
    if name in FORMATS:
        kind, storage = FORMATS[name]
        unit = {"tdD": "D", "tdm": "ms"}.get(name, "")
        return Kind(kind, storage, unit)
    if name.startswith("ts") and name[2:3] in UNITS and name[3:4] == ":":
        return Kind(TIMESTAMP, "int64", UNITS[name[2]], name[4:])
    return Kind("", name=OTHER_FORMATS.get(name[:2], f"Arrow's type {name!r}"))


#: Types of Arrow that cannot be hashed, by the beginning of their formats.
OTHER_FORMATS = {
    "d:": "decimals", "tt": "times of the day", "tD": "durations", "ti": "intervals",
    "+l": "lists", "+L": "lists", "+v": "lists", "+w": "lists", "+s": "structs", "+m": "maps",
    "+u": "unions", "+r": "runs", "w:": "binary values of one size",
}  # fmt: skip


def fields(schema: arrow.Schema) -> dict[str, Kind]:
    """The columns of a table by name."""
    if schema.format != b"+s":
        raise ValueError(
            "X must be a table, got a single column; pass a table with that one column"
        )
    children = cast(schema.children, SCHEMAS)
    columns = [children[i].contents for i in range(schema.n_children)]
    return named([((c.name or b"").decode(), kind_of_schema(c)) for c in columns])


def named(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """The columns by name, each of which has to be there once."""
    found: dict[str, Any] = {}
    for name, column in pairs:
        if name in found:
            raise ValueError(f"X has two columns {name!r}; rename one")
        found[name] = column
    return found


#: What children are given as.
SCHEMAS, ARRAYS = POINTER(POINTER(arrow.Schema)), POINTER(POINTER(arrow.Array))


def column_of_array(
    array: arrow.Array, kind: Kind, of_values: Kind | None, first: int, n: int
) -> Column:
    """Rows `first` to `first` + n of an Arrow array, counted from its own first one."""
    offset = array.offset + first
    stop = offset + n
    if kind.kind == NOTHING and not kind.coded:
        return Column(kind, n)
    valid = None
    if n and array.null_count and array.n_buffers and array.buffers[0]:
        valid = arrow.buffer_of(array, 0, (stop + 7) // 8)
    if kind.coded or kind.kind != STRING:
        size = 0 if kind.storage == "bits" else np.dtype(kind.storage).itemsize
        needed = size * stop if size else (stop + 7) // 8
        column = Column(kind, n, arrow.buffer_of(array, 1, needed if n else 0), valid, offset)
        if not kind.coded:
            return column
        values = arrow.Array.from_address(array.dictionary)
        assert of_values is not None
        dictionary = column_of_array(values, of_values, None, 0, values.length)
        return replace(column, dictionary=dictionary)
    if n == 0:
        kind, nothing = kind._replace(storage="large_strings"), np.empty(0, np.uint8)
        return Column(kind, 0, np.zeros(8, np.uint8), buffers=(nothing,))
    if kind.storage == "string_views":
        sizes = arrow.buffer_of(array, array.n_buffers - 1, (array.n_buffers - 3) * 8).view(
            np.int64
        )
        buffers = tuple(arrow.buffer_of(array, 2 + k, int(size)) for k, size in enumerate(sizes))
        return Column(kind, n, arrow.buffer_of(array, 1, 16 * stop), valid, offset, buffers)
    dtype = np.dtype(np.int32 if kind.storage == "strings" else np.int64)
    offsets = arrow.buffer_of(array, 1, (stop + 1) * dtype.itemsize)
    text = arrow.buffer_of(array, 2, int(offsets.view(dtype)[-1]))
    return Column(kind, n, offsets, valid, offset, (text,))


class Reader:
    """The types of a table's columns by name, and its batches, each once."""

    def __init__(self, kinds: Mapping[str, Kind], n_rows: int | None) -> None:
        self.kinds = kinds
        self.n_rows = n_rows

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Column]]]:
        """The rows of each batch, and these of its columns, which are there until the next batch is
        asked for."""
        raise NotImplementedError


class ArrowReader(Reader):
    """A table by the PyCapsule interface."""

    def __init__(self, table: Any) -> None:
        self._stream: arrow.Stream | None = None
        n_rows = getattr(table, "num_rows", getattr(table, "height", None))
        if hasattr(table, "__arrow_c_stream__"):
            self._capsule = table.__arrow_c_stream__()
            self._stream = arrow.Stream.from_address(
                arrow._pointer_of(self._capsule, b"arrow_array_stream")
            )
            schema = arrow.Schema()
            arrow._checked(self._stream, self._stream.get_schema(self._stream, schema))
            try:
                self._read(schema)
            finally:
                schema.release(schema)
        else:
            self._capsule = table.__arrow_c_array__()
            self._read(
                arrow.Schema.from_address(arrow._pointer_of(self._capsule[0], b"arrow_schema"))
            )
        super().__init__(self._kinds, n_rows)

    def _read(self, schema: arrow.Schema) -> None:
        self._kinds = fields(schema)
        self._places = {name: place for place, name in enumerate(self._kinds)}
        children = cast(schema.children, SCHEMAS)
        self._of_values = [
            kind_of_schema(arrow.Schema.from_address(child.contents.dictionary))
            if child.contents.dictionary
            else None
            for child in (children[i] for i in range(schema.n_children))
        ]

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Column]]]:
        if self._stream is None:
            array = arrow.Array.from_address(arrow._pointer_of(self._capsule[1], b"arrow_array"))
            yield array.length, self._columns(array, names)
            return
        while True:
            array = arrow.Array()
            arrow._checked(self._stream, self._stream.get_next(self._stream, array))
            if not array.release:
                return
            try:
                yield array.length, self._columns(array, names)
            finally:
                array.release(array)

    def _columns(self, array: arrow.Array, names: Sequence[str]) -> dict[str, Column]:
        if array.null_count > 0:
            raise ValueError("X has rows that are missing as a whole; leave them out")
        children = cast(array.children, ARRAYS)
        columns = {}
        for name in names:
            place = self._places[name]
            columns[name] = column_of_array(
                children[place].contents, self.kinds[name], self._of_values[place], array.offset,
                array.length,
            )  # fmt: skip
        return columns


def single_column(array: Any) -> Column:
    """The rows of an Arrow array, copied into one chunk if there are several."""
    if hasattr(array, "combine_chunks"):
        array = array.combine_chunks()
    schema_capsule, array_capsule = array.__arrow_c_array__()
    schema = arrow.Schema.from_address(arrow._pointer_of(schema_capsule, b"arrow_schema"))
    data = arrow.Array.from_address(arrow._pointer_of(array_capsule, b"arrow_array"))
    kind, of_values = kind_of_schema(schema), None
    if schema.dictionary:
        of_values = kind_of_schema(arrow.Schema.from_address(schema.dictionary))
    if kind.name:
        return Column(kind, data.length)
    column = column_of_array(data, kind, of_values, 0, data.length)
    return replace(column, owner=(array, schema_capsule, array_capsule))


# ---- pandas -------------------------------------------------------------------------------------


class PandasReader(Reader):
    """A frame of pandas, which is one batch."""

    def __init__(self, frame: Any) -> None:
        self.series = named(list(frame.items()))
        self._columns: dict[str, Column] = {}
        super().__init__(SeriesKinds(self), len(frame))

    def column(self, name: str) -> Column:
        """The rows of a column, which are looked at once."""
        if name not in self._columns:
            self._columns[name] = column_of_series(self.series[name])
        return self._columns[name]

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Column]]]:
        assert self.n_rows is not None
        yield self.n_rows, {name: self.column(name) for name in names}


class SeriesKinds(Mapping[str, Kind]):
    """The kinds of a frame's columns, found out when they are asked for: those of objects need a
    look at all rows."""

    def __init__(self, frame: PandasReader) -> None:
        self._frame = frame

    def __getitem__(self, name: str) -> Kind:
        return self._frame.column(name).kind

    def __contains__(self, name: object) -> bool:
        return name in self._frame.series

    def __iter__(self) -> Iterator[str]:
        return iter(self._frame.series)

    def __len__(self) -> int:
        return len(self._frame.series)


def column_of_series(series: Any) -> Column:
    """A column of pandas where it lies; objects of Python and masked arrays are copied."""
    dtype, n = series.dtype, len(series)
    if isinstance(dtype, np.dtype):
        array = series.to_numpy()
        if dtype.kind in "biuf" and (dtype.kind == "b" or dtype.itemsize <= 8):
            return numbers(array)
        if dtype.kind == "M":
            return times(array)
        if dtype.kind == "O":
            return Objects(array.tolist())
        return Column(Kind("", name=f"dtype {dtype}"), n)
    if hasattr(dtype, "categories"):
        codes = series.cat.codes.to_numpy()
        dictionary = column_of_series(dtype.categories.to_series())
        if dictionary.kind.name:
            return Column(dictionary.kind, n)
        kind = dictionary.kind._replace(storage=codes.dtype.name, coded=True)
        found = numbers(codes, codes < 0)
        return Column(kind, n, found.values, found.valid, dictionary=dictionary)
    text = str(dtype) in ("str", "string")
    if hasattr(dtype, "pyarrow_dtype") or (text and dtype.storage == "pyarrow"):
        return single_column(series.array.__arrow_array__())
    if hasattr(dtype, "tz"):
        return times(series.dt.tz_localize(None).to_numpy())
    if getattr(dtype, "kind", "") in "biuf" and hasattr(dtype, "numpy_dtype"):
        missing = series.isna().to_numpy()
        return numbers(series.to_numpy(dtype=dtype.numpy_dtype, na_value=0), missing)
    if hasattr(series, "sparse"):
        return column_of_series(series.sparse.to_dense())
    if text:
        return Objects(series.to_numpy(dtype=object).tolist())
    return Column(Kind("", name=f"dtype {dtype}"), n)


def reader(table: Any) -> Reader:
    """What reads a table.

    Raises
    ------
    TypeError
        If it is not a table.
    """
    check_in_memory("X", table)
    if hasattr(table, "iloc") and hasattr(table, "items") and hasattr(table, "columns"):
        return PandasReader(table)
    if has_rows(table):
        return ArrowReader(table)
    raise TypeError(
        "X must be a table: a frame of pandas or polars, a table or record batch of pyarrow, or "
        f"anything with Arrow's __arrow_c_stream__, got {shown(table)}"
    )


def has_rows(table: Any) -> bool:
    """Whether something has the rows of a table by Arrow's interface, and not its schema alone."""
    return hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__")


def kinds_of(table: Any) -> Mapping[str, Kind]:
    """The kinds of a table's columns, none of whose rows is used up; it may be a schema."""
    check_in_memory("X", table)
    if hasattr(table, "iloc"):
        return reader(table).kinds
    schema = table if hasattr(table, "__arrow_c_schema__") else getattr(table, "schema", None)
    if schema is None or not hasattr(schema, "__arrow_c_schema__"):
        return reader(table).kinds
    capsule = schema.__arrow_c_schema__()
    return fields(arrow.Schema.from_address(arrow._pointer_of(capsule, b"arrow_schema")))
