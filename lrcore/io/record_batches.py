"""Record batches of table files of any format, and of tables in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

from lrcore.io.batch import BATCH_ROWS
from lrcore.io.csv_files import CSVLayout
from lrcore.io.errors import DataError
from lrcore.io.files import STDIN, ReadBytes, size_of
from lrcore.io.json_files import open_json
from lrcore.io.optional import pyarrow
from lrcore.io.paths import expanded, name_of

#: What opens the record batches of one source, and adds what it reads to a count.
Opener = Callable[[Any, ReadBytes], Generator[Any]]


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
        tables = explained(opener(source, count or ReadBytes()), name_of(source))
        with closing(tables):
            yield from tables


def explained(tables: Iterator[Any], name: str) -> Generator[Any]:
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


def open_parquet(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of a Parquet file."""
    from pyarrow import parquet

    with parquet.ParquetFile(_seekable(source), page_checksum_verification=True) as file:
        n_rows = 0
        parts, total = file.iter_batches(BATCH_ROWS), file.metadata.num_rows
        for batch in count.shares(parts, size_of(source), total, lambda part: part.num_rows):
            n_rows += batch.num_rows
            yield _validated(batch)
        if n_rows != total:
            raise DataError(
                f"{name_of(source)}: has {n_rows:,} rows, and says that it has "
                f"{total:,}; it is damaged"
            )


def open_arrow(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of an Arrow file, which Feather files are, or stream."""
    for batch in _arrow_batches(source, count):
        yield from _parts(_validated(batch))


def _arrow_batches(source: Any, count: ReadBytes) -> Iterator[Any]:
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
            for batch in ipc.open_stream(file):
                count.done += batch.nbytes
                yield batch
        else:
            n_batches = reader.num_record_batches
            batches = map(reader.get_batch, range(n_batches))
            yield from count.shares(batches, size_of(source), n_batches)


def _validated(batch: Any) -> Any:
    """A record batch whose offsets are within it and whose strings are UTF-8."""
    batch.validate(full=True)
    return batch


def open_table(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of a table in memory, or of a query of polars as it is computed."""
    pa = pyarrow()
    if hasattr(source, "collect_batches"):
        for frame in source.collect_batches(maintain_order=True):
            yield from open_table(frame, count)
    elif hasattr(source, "__arrow_c_stream__"):
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
    "json": open_json, "parquet": open_parquet, "arrow": open_arrow
}  # fmt: skip
