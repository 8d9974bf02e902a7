"""Tables as datasets: CSV, JSON lines, Parquet and Arrow files, and tables in memory.

pyarrow reads them batch by batch; a transformer turns each batch into rows of X.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from lrcore.feature_extraction.featurizer import featurizer
from lrcore.io.batch import Batch
from lrcore.io.cache import key_of
from lrcore.io.dataset import BATCH_ROWS, Dataset
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, Text, open_text, size_of
from lrcore.io.paths import expanded, name_of, names_of, unpacked

#: Bytes of text that pyarrow parses at a time, and by whose rows the types of columns are told.
BLOCK_BYTES = 1 << 22

#: Fields of text that mean that there is no value.
NULLS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")

#: Delimiters by the end of a file's name, without that of its compression.
DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}

#: What opens the record batches of one source, and adds what it reads to a count.
Opener = Callable[[Any, ReadBytes], Generator[Any]]


def scan_csv(
    paths: Any,
    *,
    label: str | None = None,
    weight: str | None = None,
    features: Any = None,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    names: Sequence[str] | None = None,
) -> Dataset:
    """Rows of CSV or TSV files, read when they are needed.

    Parameters
    ----------
    paths : path, pattern, directory, URL, "-", open file, or a list of these
        Packed files (.gz, .bz2, .xz, .zst) are unpacked as they are read.
    label : str, optional
        The column of labels or targets; without it, rows can only be predicted.
    weight : str, optional
        The column of sample weights.
    features : transformer, optional
        Makes X of the other columns: a `TableHasher` (the default), or a vectorizer of one column
        of text, such as `HashingVectorizer`.
    columns : list of str, optional
        The columns that features are made of; by default all others.
    delimiter : str, optional
        By default a tab for .tsv files, else a comma.
    names : list of str, optional
        The names of all columns, for files without a header.

    Returns
    -------
    Dataset

    Raises
    ------
    OSError
        If a file cannot be read.
    DataError
        While it is read, if a row is malformed or a column is not there.
    ImportError
        If pyarrow is not installed.

    Examples
    --------
    >>> import lrcore, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "clicks.csv"
    >>> _ = path.write_text("click,site,price\\n1,a,2.5\\n0,b,1\\n")
    >>> dataset = lrcore.io.scan_csv(path, label="click")  # doctest: +SKIP
    >>> lrcore.LinearClassifier().fit(dataset)  # doctest: +SKIP
    """
    pyarrow()
    make = featurizer(features, columns, (label, weight))
    layout = CSVLayout(delimiter, names, make, {label} if label else set())
    return _scan(expanded(paths), layout.open, label, weight, make)


def scan_json(
    paths: Any, *, label: str | None = None, weight: str | None = None, features: Any = None,
    columns: Sequence[str] | None = None,
) -> Dataset:  # fmt: skip
    """Rows of files with a JSON object in each line; the arguments are those of `scan_csv`."""
    pyarrow()
    make = featurizer(features, columns, (label, weight))
    return _scan(expanded(paths), _open_json, label, weight, make)


def scan_parquet(
    paths: Any, *, label: str | None = None, weight: str | None = None, features: Any = None,
    columns: Sequence[str] | None = None,
) -> Dataset:  # fmt: skip
    """Rows of Parquet files; the arguments are those of `scan_csv`."""
    pyarrow()
    make = featurizer(features, columns, (label, weight))
    return _scan(expanded(paths), _open_parquet, label, weight, make)


def scan_arrow(
    source: Any, *, label: str | None = None, weight: str | None = None, features: Any = None,
    columns: Sequence[str] | None = None,
) -> Dataset:  # fmt: skip
    """Rows of Arrow or Feather files, or of a table in memory.

    Parameters
    ----------
    source : paths as in `scan_csv`, or a table
        Of pyarrow, pandas, polars, or whatever has ``__arrow_c_stream__``.
    label, weight, features, columns
        As in `scan_csv`.

    Returns
    -------
    Dataset
    """
    pyarrow()
    make = featurizer(features, columns, (label, weight))
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        return _scan([source], _open_table, label, weight, make)
    return _scan(expanded(source), _open_arrow, label, weight, make)


def read_csv(paths: Any, **options: Any) -> tuple[Any, np.ndarray | None]:
    """X and y of CSV or TSV files, in memory; the arguments are those of `scan_csv`."""
    batch = scan_csv(paths, **options).read()
    return batch.X, batch.y


def read_parquet(paths: Any, **options: Any) -> tuple[Any, np.ndarray | None]:
    """X and y of Parquet files, in memory; the arguments are those of `scan_parquet`."""
    batch = scan_parquet(paths, **options).read()
    return batch.X, batch.y


def record_batches(
    paths: Any, kind: str, layout: CSVLayout, count: ReadBytes | None = None
) -> Generator[Any]:
    """The record batches of tables as they are, one file after the other.

    Parameters
    ----------
    paths : path, pattern, directory, URL, "-", open file, or a list of these
    kind : {"csv", "json", "parquet", "arrow"}
    layout : CSVLayout
        How files of CSV are read.
    count : ReadBytes, optional
        What is read is added to it.
    """
    pyarrow()
    opener = layout.open if kind == "csv" else OPENERS[kind]
    for source in expanded(paths):
        with closing(opener(source, count or ReadBytes())) as tables:
            yield from tables


def _scan(
    sources: list[Any], opener: Opener, label: str | None, weight: str | None, features: Any
) -> Dataset:
    """The dataset of the batches that an opener finds in each source."""
    count = ReadBytes.of(sources)

    def epoch(number: int) -> Iterator[Batch]:
        labels = Labels()
        for source in sources:
            n_rows = 0
            with closing(opener(source, count)) as tables:
                for table in tables:
                    place = Place(name_of(source), n_rows)
                    X = features.transform(table)
                    y = None if label is None else labels.of(_column(table, label, place), place)
                    w = None if weight is None else _weights(_column(table, weight, place), place)
                    n_rows += table.num_rows
                    yield Batch(X, y, w)

    made = features.key()
    key = None
    if made is not None:
        key = key_of(sources, label=label, weight=weight, features=made)
    return Dataset(
        epoch, key=key, n_features=features.n_features, features=features,
        repeats=not any(map(_is_read_once, sources)),
        name=names_of(sources), bytes_read=count,
    ).ahead()  # fmt: skip


def pyarrow() -> Any:
    """The package, or an error that says what to do."""
    try:
        import pyarrow
    except ImportError:
        raise ImportError("tables take pyarrow: pip install pyarrow") from None
    return pyarrow


class Place(NamedTuple):
    """Where rows of a table come from."""

    name: str
    first_row: int

    def of(self, row: int) -> str:
        """Where a row of theirs is, for an error."""
        return f"{self.name}, row {self.first_row + row + 1}"


def _is_read_once(source: Any) -> bool:
    """Whether a source is gone when it was read: a pipe, an open file, a reader of batches."""
    readers = ("read", "read_next_batch")
    return any(hasattr(source, name) for name in readers) or name_of(source) == "<stdin>"


def _column(table: Any, name: str, place: Place) -> Any:
    """A column of a record batch."""
    if table.schema.get_field_index(name) < 0:
        known = ", ".join(map(repr, table.schema.names))
        raise DataError(f"{place.name} has no column {name!r}, but {known}")
    return table.column(name)


class Labels:
    """Labels of a dataset: numbers if those of its first batch can be read as such, or strings."""

    def __init__(self) -> None:
        self._kind: str | None = None

    def of(self, column: Any, place: Place) -> np.ndarray:
        """The labels of a column.

        Raises
        ------
        DataError
            If one is missing, or is no number although the first ones are.
        """
        pa = pyarrow()
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise DataError(f"{place.of(row)}: the label is missing")
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = column.dictionary_encode()
        if not pa.types.is_dictionary(column.type):
            return _as_numpy(column)
        texts = column.dictionary.to_pylist()
        values = self._values(texts)
        codes = _as_numpy(column.indices)
        if values is None:
            strange = next(k for k, text in enumerate(texts) if _as_number(text) is None)
            row = int(np.flatnonzero(codes == strange)[0])
            raise DataError(
                f"{place.of(row)}: the label {texts[strange]!r} is no number, and those of the "
                "first rows are"
            )
        labels: np.ndarray = values[codes]
        return labels

    def _values(self, texts: list[Any]) -> np.ndarray | None:
        """What the texts stand for; None if one is not of the kind of those before."""
        numbers = [_as_number(text) for text in texts]
        if self._kind is None:
            self._kind = "text" if None in numbers else "number"
        if self._kind == "text":
            return np.array(texts, str)
        if None in numbers:
            return None
        values = np.array(numbers, np.float64)
        whole = (np.abs(values) < 2**53).all() and (values == np.floor(values)).all()
        return values.astype(np.int64) if whole else values


def _as_number(text: Any) -> float | None:
    """The number that a text stands for, if it is one."""
    try:
        return None if not isinstance(text, str) or "_" in text else float(text)
    except ValueError:
        return None


def _weights(column: Any, place: Place) -> np.ndarray:
    """Weights as float64."""
    pa = pyarrow()
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{place.of(row)}: the weight is missing")
    try:
        return _as_numpy(column.cast(pa.float64()))
    except pa.ArrowInvalid as error:
        raise DataError(f"{place.of(0)} or below: a weight is no number ({error})") from None


def _as_numpy(column: Any) -> np.ndarray:
    """The values of a column in which none is missing."""
    types = pyarrow().types
    if types.is_integer(column.type) or types.is_floating(column.type):
        return np.from_dlpack(column)  # to_numpy would import pandas, which takes longer than a fit
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


# ---- sources ------------------------------------------------------------------------------------


class CSVLayout:
    """How CSV files are read: what separates fields, names of columns, and the types of these.

    Types are those of the first file's first rows; but labels, categories and texts, which may look
    like numbers there, are strings, and integers are floats, which may come later.
    """

    def __init__(
        self, delimiter: str | None, names: Sequence[str] | None, features: Any,
        strings: set[str],
    ) -> None:  # fmt: skip
        self._delimiter = delimiter
        self._names = None if names is None else list(names)
        self._features = features
        self._strings = strings
        self._types: dict[str, Any] | None = None

    def open(self, source: Any, count: ReadBytes) -> Generator[Any]:
        """The record batches of a file."""
        pa = pyarrow()
        from pyarrow import csv

        delimiter = self._delimiter or delimiter_of(name_of(source))
        parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        read = csv.ReadOptions(block_size=BLOCK_BYTES, column_names=self._names)
        with open_text(source) as text:
            file = Rewound(text)
            if self._types is None:
                self._types = self._types_of(file.head, read, parse, text.name)
            convert = csv.ConvertOptions(
                column_types=self._types, null_values=list(NULLS), strings_can_be_null=True
            )
            try:
                with csv.open_csv(file, read, parse, convert) as batches:
                    # A record batch has a block of text.
                    for batch in count.follow(batches, text, lambda _: BLOCK_BYTES):
                        yield self._with_empty_texts(batch)
            except pa.ArrowInvalid as error:
                raise DataError(f"{text.name}: {error}") from None

    def _with_empty_texts(self, batch: Any) -> Any:
        """A record batch whose empty texts are texts, and not missing ones."""
        for name in self._features.text_columns():
            k = batch.schema.get_field_index(name)
            if k >= 0 and batch.column(k).null_count:
                batch = batch.set_column(k, name, batch.column(k).fill_null(""))
        return batch

    def _types_of(self, head: bytes, read: Any, parse: Any, name: str) -> dict[str, Any]:
        """The types of the columns in the first rows."""
        pa = pyarrow()
        from pyarrow import csv

        whole = head[: head.rfind(b"\n") + 1] or head
        convert = csv.ConvertOptions(null_values=list(NULLS), strings_can_be_null=True)
        try:
            schema = csv.read_csv(pa.BufferReader(whole), read, parse, convert).schema
        except pa.ArrowInvalid as error:
            raise DataError(f"{name}: {error}") from None
        return {field.name: self._type_of(field) for field in schema}

    def _type_of(self, field: Any) -> Any:
        """The type of a column, by that of the first rows."""
        pa, features = pyarrow(), self._features
        texts = self._strings | features.categorical_columns() | features.text_columns()
        if field.name in texts or pa.types.is_null(field.type):
            return pa.string()
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        return pa.float64() if number else field.type


class PlainLayout(CSVLayout):
    """How CSV files are read as tables that stay tables: with the types of the first rows, but
    columns that are named are strings, or floats."""

    def __init__(self, delimiter: str | None, strings: set[str], numbers: set[str]) -> None:
        super().__init__(delimiter, None, None, strings)
        self._numbers = numbers

    def _with_empty_texts(self, batch: Any) -> Any:
        return batch

    def _types_of(self, head: bytes, read: Any, parse: Any, name: str) -> dict[str, Any]:
        types = super()._types_of(head, read, parse, name)
        for column in sorted(self._strings | self._numbers):
            if column not in types:
                known = ", ".join(map(repr, types))
                raise DataError(f"{name} has no column {column!r}, but {known}")
        return types

    def _type_of(self, field: Any) -> Any:
        pa = pyarrow()
        if field.name in self._strings or pa.types.is_null(field.type):
            return pa.string()
        return pa.float64() if field.name in self._numbers else field.type


def delimiter_of(name: str) -> str:
    """By the end of a file's name."""
    stem = unpacked(name)
    return next((d for end, d in DELIMITERS.items() if stem.endswith(end)), ",")


class Rewound(io.RawIOBase):
    """A text from its start, whose first bytes are known beforehand."""

    def __init__(self, text: Text) -> None:
        room = bytearray(BLOCK_BYTES)
        self._text = text
        self.head = bytes(room[: text.readinto(memoryview(room))])
        self._left = memoryview(self.head)

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        view = memoryview(room).cast("B")
        if not self._left:
            return self._text.readinto(view)
        n = min(len(view), len(self._left))
        view[:n] = self._left[:n]
        self._left = self._left[n:]
        return n


def _open_json(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of a file of JSON lines."""
    pa = pyarrow()
    from pyarrow import json

    with open_text(source) as text:
        try:
            read = json.ReadOptions(block_size=BLOCK_BYTES)
            with json.open_json(Rewound(text), read) as batches:
                yield from count.follow(batches, text, lambda _: BLOCK_BYTES)
        except pa.ArrowInvalid as error:
            raise DataError(f"{text.name}: {error}") from None


def _open_parquet(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of a Parquet file."""
    pa = pyarrow()
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(_seekable(source)) as file:
            parts, n_rows = file.iter_batches(BATCH_ROWS), file.metadata.num_rows
            yield from count.shares(parts, size_of(source), n_rows, lambda part: part.num_rows)
    except pa.ArrowInvalid as error:
        raise DataError(f"{name_of(source)}: {error}") from None


def _open_arrow(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of an Arrow file, which Feather files are, or stream."""
    pa = pyarrow()
    try:
        with pa.OSFile(str(source)) if isinstance(source, (str, os.PathLike)) else source as file:
            try:
                reader = pa.ipc.open_file(file)
            except pa.ArrowInvalid:
                file.seek(0)
                for table in pa.ipc.open_stream(file):
                    count.done += table.nbytes
                    yield table
            else:
                n_tables = reader.num_record_batches
                tables = map(reader.get_batch, range(n_tables))
                for table in count.shares(tables, size_of(source), n_tables):
                    yield from _parts(table)
    except pa.ArrowInvalid as error:
        raise DataError(f"{name_of(source)}: {error}") from None


def _open_table(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of a table in memory."""
    pa = pyarrow()
    if hasattr(source, "__arrow_c_stream__"):
        for table in pa.RecordBatchReader.from_stream(source):
            yield from _parts(table)
    else:
        yield from _parts(pa.record_batch(source))


def _parts(table: Any) -> Iterator[Any]:
    """A record batch in parts of so many rows."""
    for start in range(0, table.num_rows, BATCH_ROWS):
        yield table.slice(start, BATCH_ROWS)


def _seekable(source: Any) -> Any:
    """What Parquet can be read from: it begins at its end."""
    if isinstance(source, str) and "://" in source:
        try:
            import fsspec
        except ImportError:
            raise ImportError(f"reading {source} takes fsspec: pip install fsspec") from None
        return fsspec.open(source, "rb").open()
    if source == "-":
        raise DataError("<stdin>: Parquet cannot be read from a pipe; give a file, or Arrow or CSV")
    return source


#: What opens files of each format, apart from CSV.
OPENERS: dict[str, Opener] = {
    "json": _open_json, "parquet": _open_parquet, "arrow": _open_arrow
}  # fmt: skip
