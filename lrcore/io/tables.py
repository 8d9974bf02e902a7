"""Tables as datasets: CSV, JSON lines, Parquet and Arrow files, and tables in memory.

pyarrow reads them batch by batch; a transformer turns each batch into rows of X.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np

from lrcore.feature_extraction.featurizer import featurizer
from lrcore.io.ahead import ahead
from lrcore.io.batch import Batch
from lrcore.io.cache import key_of
from lrcore.io.dataset import BATCH_ROWS, Dataset
from lrcore.io.errors import DataError
from lrcore.io.files import STDIN, Text, open_text
from lrcore.io.paths import expanded, name_of, names_of, unpacked
from lrcore.io.pieces import Piece, pieces

#: Bytes of text that pyarrow parses at a time, and by whose rows the types of columns are told. No
#: row of CSV may have more.
BLOCK_BYTES = 1 << 22

#: Columns of CSV and JSON, for each of which pyarrow takes some 20 kilobytes, and values of a block
#: of JSON, where rows need not name all columns.
MOST_COLUMNS, MOST_VALUES = 1 << 16, 1 << 26

#: How deep JSON may be nested: pyarrow goes down by calls of functions, for which there is no room
#: at some 10,000.
DEEPEST = 1000

#: Fields of text that mean that there is no value.
NULLS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")

#: Delimiters by the end of a file's name, without that of its compression.
DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}

#: What opens the record batches of one source, given the columns that are needed.
Opener = Callable[[Any], Generator[Any]]


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


def _scan(
    sources: list[Any], opener: Opener, label: str | None, weight: str | None, features: Any
) -> Dataset:
    """The dataset of the batches that an opener finds in each source."""

    def epoch(number: int) -> Iterator[Batch]:
        labels = Labels()
        for source in sources:
            place = Place(name_of(source), 0)
            # pyarrow reads in a thread of its own, beside the one that makes features.
            with closing(_explained(ahead(opener(source)), place.name)) as tables:
                for table in tables:
                    with place.named():
                        X = features.transform(table)
                    y = None if label is None else labels.of(_column(table, label, place), place)
                    w = None if weight is None else _weights(_column(table, weight, place), place)
                    place = place.after(table.num_rows)
                    yield Batch(X, y, w)

    made = features.key()
    key = None
    if made is not None:
        key = key_of(sources, label=label, weight=weight, features=made)
    return Dataset(
        epoch, key=key, n_features=features.n_features, features=features,
        repeats=not any(map(_is_read_once, sources)),
        name=names_of(sources),
    ).ahead()  # fmt: skip


def pyarrow() -> Any:
    """The package, or an error that says what to do."""
    try:
        import pyarrow
    except ImportError:
        raise ImportError("reading tables takes pyarrow: pip install pyarrow") from None
    return pyarrow


class Place(NamedTuple):
    """Where rows of a table come from."""

    name: str
    first_row: int

    def of(self, row: int) -> str:
        """Where a row of theirs is, for an error."""
        return f"{self.name}, row {self.first_row + row + 1}"

    def after(self, n_rows: int) -> Place:
        """The place of what follows so many rows."""
        return self._replace(first_row=self.first_row + n_rows)

    @contextmanager
    def named(self) -> Iterator[None]:
        """What a block says is wrong with these rows, as an error that names where they are."""
        try:
            yield
        except ValueError as error:
            raise DataError(f"{self.of(0)} or below: {error}") from error


def _explained(tables: Iterator[Any], name: str) -> Generator[Any]:
    """The tables of a source, where what pyarrow says of it becomes an error that names it."""
    n_rows = 0
    pa = pyarrow()
    try:
        for table in tables:
            n_rows += table.num_rows
            yield table
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{name}: it takes more memory than there is") from None
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system's
        below = f", below row {n_rows}" if n_rows else ""
        raise DataError(f"{name}{below}: {error}") from None


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
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise DataError(f"{place.of(row)}: the label is missing")
        kind = column.type
        if pa.types.is_decimal(kind):
            column = column.cast(pa.float64())
        elif not (_is_number(kind) or pa.types.is_boolean(kind) or _is_text(kind)):
            raise DataError(f"{place.name}: labels must be numbers or strings, got {kind}")
        if not _is_text(kind):
            return _finite(column.to_numpy(zero_copy_only=False), "label", place)
        column = column.cast(pa.large_string()).dictionary_encode()
        texts = column.dictionary.to_pylist()
        values = self._values(texts)
        codes = column.indices.to_numpy(zero_copy_only=False)
        if values is None:
            strange = next(k for k, text in enumerate(texts) if _as_number(text) is None)
            row = int(np.flatnonzero(codes == strange)[0])
            raise DataError(
                f"{place.of(row)}: the label {texts[strange]!r} is no number, and those of the "
                "first rows are"
            )
        labels: np.ndarray = _finite(values[codes], "label", place)
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


def _is_text(kind: Any) -> bool:
    """Whether a type of pyarrow's is one of strings."""
    types = pyarrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_number(kind: Any) -> bool:
    """Whether a type of pyarrow's is one of integers or floats."""
    types = pyarrow().types
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _finite(values: np.ndarray, what: str, place: Place) -> np.ndarray:
    """The values, all of which must be finite if they are numbers."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{place.of(row)}: the {what} must be finite, got {values[row]}")
    return values


def _weights(column: Any, place: Place) -> np.ndarray:
    """Weights as float64."""
    pa = pyarrow()
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{place.of(row)}: the weight is missing")
    try:
        weights = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise DataError(f"{place.of(0)} or below: a weight is no number ({error})") from None
    weights = _finite(weights, "weight", place)
    if weights.min(initial=0) < 0:
        row = int(np.flatnonzero(weights < 0)[0])
        raise DataError(f"{place.of(row)}: the weight must not be negative, got {weights[row]}")
    return weights


# ---- sources ------------------------------------------------------------------------------------


class CSVLayout:
    """How CSV files are read: what separates fields, names of columns, and the types of these.

    Types are those of the first file's first rows; but labels, categories and texts, which may look
    like numbers there, are strings.
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

    def open(self, source: Any) -> Generator[Any]:
        """The record batches of a file."""
        pa = pyarrow()
        from pyarrow import csv

        delimiter = self._delimiter or _delimiter_of(name_of(source))
        parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        # With threads of its own, pyarrow does not say in which row an error is.
        read = csv.ReadOptions(block_size=BLOCK_BYTES, column_names=self._names, use_threads=False)
        with open_text(source) as text:
            file = Rewound(text)
            _check_first_row(file.head, delimiter, text.name)
            n_rows = 0
            try:
                if self._types is None:
                    self._types = self._types_of(file.head, read, parse)
                convert = csv.ConvertOptions(
                    column_types=self._types, null_values=list(NULLS), strings_can_be_null=True
                )
                with csv.open_csv(file, read, parse, convert) as batches:
                    for batch in batches:
                        n_rows += batch.num_rows
                        yield self._with_empty_texts(batch)
            except pa.ArrowInvalid as error:
                raise DataError(f"{text.name}{self._fault(str(error), n_rows)}") from None

    def _fault(self, text: str, n_rows: int) -> str:
        """What pyarrow says of a file: the row, counted without the header, and the column."""
        if "straddling" in text:
            return (
                f", row {n_rows + 1} or below: a row of more than {BLOCK_BYTES:,} bytes, or a "
                "quote that is not closed"
            )
        parts = re.fullmatch(
            r"(?:In CSV column #(\d+): |CSV parse error: )(?:Row #(\d+): )?(.*)", text, re.DOTALL
        )
        if parts is None:
            return f": {text}"
        column, row, what = parts.groups()
        known = list(self._types or ())
        named = "" if column is None or int(column) >= len(known) else f"{known[int(column)]!r}: "
        place = "" if row is None else f", row {int(row) - (self._names is None)}"
        return f"{place}: {named}{what}"

    def _with_empty_texts(self, batch: Any) -> Any:
        """A record batch whose empty texts are texts, and not missing ones."""
        for name in self._features.text_columns():
            k = batch.schema.get_field_index(name)
            if k >= 0 and batch.column(k).null_count:
                batch = batch.set_column(k, name, batch.column(k).fill_null(""))
        return batch

    def _types_of(self, head: bytes, read: Any, parse: Any) -> dict[str, Any]:
        """The types of the columns in the first rows; integers become numbers like all others."""
        pa = pyarrow()
        from pyarrow import csv

        whole = head[: head.rfind(b"\n") + 1] or head
        convert = csv.ConvertOptions(null_values=list(NULLS), strings_can_be_null=True)
        schema = csv.read_csv(pa.BufferReader(whole), read, parse, convert).schema
        features = self._features
        texts = self._strings | features.categorical_columns() | features.text_columns()
        types = {}
        for field in schema:
            # pyarrow takes strings that are not UTF-8 for bytes; as strings, they are an error.
            if (
                field.name in texts
                or pa.types.is_null(field.type)
                or pa.types.is_binary(field.type)
            ):
                types[field.name] = pa.string()
            else:
                types[field.name] = pa.float64() if _is_number(field.type) else field.type
        return types


def _check_first_row(head: bytes, delimiter: str, name: str) -> None:
    """Raise if a file has more columns than pyarrow has memory for."""
    first = head.partition(b"\n")[0]
    n_columns = first.count(delimiter.encode()) + 1
    if n_columns > MOST_COLUMNS:
        raise DataError(
            f"{name}: {n_columns:,} columns or more, and CSV may have {MOST_COLUMNS:,}; text of "
            "svmlight and .npz files may be wider"
        )


def _delimiter_of(name: str) -> str:
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


def _open_json(source: Any) -> Generator[Any]:
    """The record batches of a file of JSON lines, whose types are those of the first rows."""
    pa = pyarrow()
    from pyarrow import json

    schema = None
    with open_text(source) as text:
        for piece in pieces(text, size=BLOCK_BYTES):
            content = bytes(piece.text)
            if content.isspace():
                continue
            place = f"{text.name}:{piece.first_line} or below"
            _check_shape(content, place, None if schema is None else len(schema))
            read = json.ReadOptions(block_size=len(piece.text) + 1, use_threads=False)
            unexpected = "infer" if schema is None else "error"
            parse = json.ParseOptions(schema, unexpected_field_behavior=unexpected)
            try:
                table = json.read_json(pa.BufferReader(content), read, parse)
                batches = [_validated(batch) for batch in table.to_batches()]
            except pa.ArrowInvalid as error:
                raise DataError(f"{text.name}{_json_fault(str(error), piece)}") from None
            schema = table.schema
            yield from batches


def _check_shape(content: bytes, place: str, n_columns: int | None) -> None:
    """Raise if JSON would end the process, or fill the memory: there pyarrow raises nothing.

    Parameters
    ----------
    content : bytes
    place : str
        Where it is, for an error.
    n_columns : int, optional
        None if columns are what it has.
    """
    if n_columns is None:
        keys: set[bytes] = set()
        for key in KEY.finditer(_without_escapes(content)):
            keys.add(key[0])
            if len(keys) > MOST_COLUMNS:
                raise DataError(f"{place}: more than {MOST_COLUMNS:,} different keys")
        n_columns = len(keys)
    brackets = content.translate(None, NO_BRACKETS)
    most_rows = MOST_VALUES // max(n_columns, 1)
    if brackets.count(b"{") <= most_rows and _depth(brackets) <= DEEPEST:
        return
    # Those within strings do not count, but looking for these takes time.
    brackets = STRING.sub(b"", _without_escapes(content)).translate(None, NO_BRACKETS)
    if _depth(brackets) > DEEPEST:
        raise DataError(f"{place}: JSON that is nested more than {DEEPEST:,} deep")
    n_rows = brackets.count(b"{")
    if n_rows > most_rows:
        raise DataError(
            f"{place}: {n_columns:,} different keys in {n_rows:,} objects, of which each one has "
            "few; svmlight text holds such rows"
        )


#: All bytes but those that open or close something in JSON; and a string of it, and a key, without
#: escapes.
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
STRING = re.compile(rb'"[^"]*"')
KEY = re.compile(rb'"[^"]*"[ \t\r\n]*:')


def _without_escapes(content: bytes) -> bytes:
    """JSON in which each quote begins or ends a string, and what differed still does."""
    return content.replace(rb"\\", b"\0\0").replace(rb"\"", b"\1\1")


def _depth(brackets: bytes) -> int:
    """How many brackets are open at once."""
    depth = deepest = 0
    for start in range(0, len(brackets), BLOCK_BYTES):
        codes = np.frombuffer(brackets[start : start + BLOCK_BYTES], np.uint8)
        opened = (codes == ord("[")) | (codes == ord("{"))
        depths = depth + np.cumsum(np.where(opened, 1, -1), dtype=np.int64)
        depth, deepest = int(depths[-1]), max(deepest, int(depths.max()))
    return deepest


def _json_fault(text: str, piece: Piece) -> str:
    """What pyarrow says of a piece, and where."""
    parts = re.fullmatch(r"(?:JSON parse error: )?(.*?)(?: in row (\d+))?", text, re.DOTALL)
    assert parts is not None
    what, row = parts.groups()
    # Rows are lines, unless some of these are empty.
    return f":{piece.first_line + int(row or 0)} or below: {what}"


def _open_parquet(source: Any) -> Generator[Any]:
    """The record batches of a Parquet file."""
    from pyarrow import parquet

    with parquet.ParquetFile(_seekable(source), page_checksum_verification=True) as file:
        n_rows = 0
        for batch in file.iter_batches(BATCH_ROWS):
            n_rows += batch.num_rows
            yield _validated(batch)
        if n_rows != file.metadata.num_rows:
            raise DataError(
                f"{name_of(source)}: has {n_rows:,} rows, and says that it has "
                f"{file.metadata.num_rows:,}; it is damaged"
            )


def _open_arrow(source: Any) -> Generator[Any]:
    """The record batches of an Arrow file, which Feather files are, or stream."""
    for batch in _arrow_batches(source):
        yield from _parts(_validated(batch))


def _arrow_batches(source: Any) -> Iterator[Any]:
    """The record batches as they are stored."""
    ipc = pyarrow().ipc
    if source == STDIN:
        yield from ipc.open_stream(sys.stdin.buffer)
        return
    is_path = isinstance(source, (str, os.PathLike))
    with pyarrow().OSFile(str(source)) if is_path else source as file:
        try:
            reader = ipc.open_file(file)
        except pyarrow().ArrowInvalid:
            file.seek(0)
            yield from ipc.open_stream(file)
        else:
            yield from map(reader.get_batch, range(reader.num_record_batches))


def _validated(batch: Any) -> Any:
    """A record batch whose offsets are within it and whose strings are UTF-8."""
    batch.validate(full=True)
    return batch


def _open_table(source: Any) -> Generator[Any]:
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
