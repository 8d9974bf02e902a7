"""Tables written batch by batch: CSV, JSON lines, Parquet and Arrow."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from lrcore.io.csv_files import delimiter_of
from lrcore.io.errors import DataError
from lrcore.io.optional import pyarrow
from lrcore.io.output import Borrowed, open_output

#: Rows and bytes that a group of a Parquet file has, unless the file is smaller.
GROUP_ROWS, GROUP_BYTES = 1 << 20, 1 << 26


class TableWriter(Protocol):
    """What record batches are written with."""

    def write(self, table: Any) -> None:
        """Write a record batch."""

    def close(self) -> None:
        """Write what is left, and what ends a file."""


@contextmanager
def table_writer(path: str, kind: str, name: str) -> Iterator[TableWriter]:
    """What writes record batches to a file, which is there when all are written.

    Parameters
    ----------
    path : str
        ``"-"`` for stdout.
    kind : {"csv", "json", "parquet", "arrow"}
    name : str
        What errors call the source of the batches.

    Raises
    ------
    DataError
        If the format cannot have the type of a column, or batches have different columns.
    """
    pa = pyarrow()
    try:
        with open_output(path) as file:
            borrowed = Borrowed(file)
            writer = Checked(WRITERS[kind], borrowed, path, name)
            try:
                yield writer
                writer.close()
            finally:
                borrowed.let_go()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise DataError(f"{name}: {kind} cannot have this: {error}") from None


class Checked:
    """A writer of tables that all have the columns of the first."""

    def __init__(self, make: Any, file: Any, path: str, name: str) -> None:
        self._make, self._file, self._path, self._name = make, file, path, name
        self._writer: TableWriter | None = None
        self._schema: Any = None

    def write(self, table: Any) -> None:
        schema = table.schema.remove_metadata()
        if self._writer is None:
            self._schema = schema
            self._writer = self._make(self._file, schema, self._path, self._name)
        if not schema.equals(self._schema):
            first, other = (
                {f"{field.name}: {field.type}" for field in each} for each in (self._schema, schema)
            )
            differing = ", ".join(sorted(first ^ other)) or "their order"
            raise DataError(
                f"{self._name}: columns of the first rows and of later ones are not the same: "
                f"{differing}"
            )
        self._writer.write(table)

    def close(self) -> None:
        if self._writer is None:
            raise DataError(f"{self._name} has no rows")
        self._writer.close()


class CSVWriter:
    """CSV with a header; strings are quoted, and what is missing is empty."""

    def __init__(self, file: Any, schema: Any, path: str, name: str) -> None:
        from pyarrow import csv

        options = csv.WriteOptions(delimiter=delimiter_of(path))
        self._writer = csv.CSVWriter(file, schema, write_options=options)

    def write(self, table: Any) -> None:
        self._writer.write_batch(table)

    def close(self) -> None:
        self._writer.close()


class JSONWriter:
    """An object in each line; times are texts by ISO 8601, and what is missing is null."""

    def __init__(self, file: Any, schema: Any, path: str, name: str) -> None:
        self._file, self._name = file, name
        self._n_rows = 0

    def write(self, table: Any) -> None:
        encode = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=self._plain
        ).encode
        rows = table.to_pylist()
        try:
            text = "".join([f"{encode(row)}\n" for row in rows])
        except ValueError:
            self._raise_not_finite(rows)
            raise
        self._file.write(text.encode())
        self._n_rows += table.num_rows

    def _raise_not_finite(self, rows: list[dict[str, Any]]) -> None:
        """Raise DataError for the first number that JSON has not."""
        for k, row in enumerate(rows):
            for column, value in row.items():
                if isinstance(value, float) and not abs(value) < float("inf"):
                    raise DataError(
                        f"{self._name}, row {self._n_rows + k + 1}: {column!r} is {value}, which "
                        "JSON does not have; Parquet, Arrow and CSV do"
                    ) from None

    def _plain(self, value: Any) -> str:
        if isinstance(value, (datetime.date, datetime.datetime, datetime.time)):
            return value.isoformat()
        raise DataError(
            f"{self._name}: JSON has no {type(value).__name__}, such as {value!r:.40}; Parquet and "
            "Arrow do"
        )

    def close(self) -> None:
        pass


class ParquetWriter:
    """Parquet, in groups of rows of some size."""

    def __init__(self, file: Any, schema: Any, path: str, name: str) -> None:
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(file, schema)
        self._waiting: list[Any] = []
        self._n_rows = self._n_bytes = 0

    def write(self, table: Any) -> None:
        self._waiting.append(table)
        self._n_rows += table.num_rows
        self._n_bytes += table.nbytes
        if self._n_rows >= GROUP_ROWS or self._n_bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(
                pyarrow().Table.from_batches(self._waiting), row_group_size=GROUP_ROWS
            )
        self._waiting, self._n_rows, self._n_bytes = [], 0, 0

    def close(self) -> None:
        self._write_group()
        self._writer.close()


class ArrowWriter:
    """A file of Arrow's, which Feather files are as well."""

    def __init__(self, file: Any, schema: Any, path: str, name: str) -> None:
        self._writer = pyarrow().ipc.new_file(file, schema)

    def write(self, table: Any) -> None:
        self._writer.write_batch(table)

    def close(self) -> None:
        self._writer.close()


WRITERS = {"csv": CSVWriter, "json": JSONWriter, "parquet": ParquetWriter, "arrow": ArrowWriter}
