"""CSV files as record batches: pyarrow reads them, with the types that the first rows have."""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Sequence
from typing import Any

from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, Text, open_text
from lrcore.io.optional import pyarrow
from lrcore.io.paths import name_of, unpacked
from lrcore.io.table_columns import is_number

#: Bytes of text that pyarrow parses at a time, and by whose rows the types of columns are told. No
#: row of CSV may have more.
BLOCK_BYTES = 1 << 22

#: Columns of CSV and JSON, for each of which pyarrow takes some 20 kilobytes, and values of a block
#: of JSON, where rows need not name all columns.
MOST_COLUMNS, MOST_VALUES = 1 << 16, 1 << 26

#: Fields of text that mean that there is no value.
NULLS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")

#: Delimiters by the end of a file's name, without that of its compression.
DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}


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
        # With threads of its own, pyarrow does not say in which row an error is.
        read = csv.ReadOptions(block_size=BLOCK_BYTES, column_names=self._names, use_threads=False)
        with open_text(source) as text:
            file = Rewound(text)
            _check_first_row(file.head, delimiter, text.name)
            n_rows = 0
            try:
                if self._types is None:
                    self._types = self._types_of(file.head, read, parse, text.name)
                convert = csv.ConvertOptions(
                    column_types=self._types, null_values=list(NULLS), strings_can_be_null=True
                )
                with csv.open_csv(file, read, parse, convert) as batches:
                    # A record batch has a block of text.
                    for batch in count.follow(batches, text, lambda _: BLOCK_BYTES):
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

    def _types_of(self, head: bytes, read: Any, parse: Any, name: str) -> dict[str, Any]:
        """The types of the columns in the first rows."""
        pa = pyarrow()
        from pyarrow import csv

        whole = head[: head.rfind(b"\n") + 1] or head
        convert = csv.ConvertOptions(null_values=list(NULLS), strings_can_be_null=True)
        schema = csv.read_csv(pa.BufferReader(whole), read, parse, convert).schema
        return {field.name: self._type_of(field) for field in schema}

    def _type_of(self, field: Any) -> Any:
        """The type of a column, by that of the first rows."""
        pa, features = pyarrow(), self._features
        texts = self._strings | features.categorical_columns() | features.text_columns()
        # pyarrow takes strings that are not UTF-8 for bytes; as strings, they are an error.
        nothing = pa.types.is_null(field.type) or pa.types.is_binary(field.type)
        if field.name in texts or nothing:
            return pa.string()
        return pa.float64() if is_number(field.type) else field.type


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


def _check_first_row(head: bytes, delimiter: str, name: str) -> None:
    """Raise if a file has more columns than pyarrow has memory for."""
    first = head.partition(b"\n")[0]
    n_columns = first.count(delimiter.encode()) + 1
    if n_columns > MOST_COLUMNS:
        raise DataError(
            f"{name}: {n_columns:,} columns or more, and CSV may have {MOST_COLUMNS:,}; text of "
            "svmlight and .npz files may be wider"
        )


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
