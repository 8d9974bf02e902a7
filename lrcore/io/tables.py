"""Tables as datasets: CSV, JSON lines, Parquet and Arrow files, and tables in memory.

pyarrow reads them batch by batch; a transformer turns each batch into rows of X.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Any

import numpy as np

from lrcore._backend import threads
from lrcore.feature_extraction.featurizer import featurizer
from lrcore.io.ahead import ahead
from lrcore.io.batch import Batch
from lrcore.io.cache import key_of
from lrcore.io.csv_files import CSVLayout
from lrcore.io.dataset import Dataset
from lrcore.io.files import ReadBytes
from lrcore.io.json_files import open_json
from lrcore.io.optional import pyarrow
from lrcore.io.paths import expanded, name_of, names_of
from lrcore.io.pieces import map_in_order
from lrcore.io.record_batches import Opener, explained, open_arrow, open_parquet, open_table
from lrcore.io.table_columns import Labels, Place, column_of, weights_of


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
    """Rows of files with a JSON object in each line, read when they are needed.

    Parameters
    ----------
    paths, label, weight, features, columns
        As in `scan_csv`.

    Returns
    -------
    Dataset
    """
    pyarrow()
    make = featurizer(features, columns, (label, weight))
    return _scan(expanded(paths), open_json, label, weight, make)


def scan_parquet(
    paths: Any, *, label: str | None = None, weight: str | None = None, features: Any = None,
    columns: Sequence[str] | None = None,
) -> Dataset:  # fmt: skip
    """Rows of Parquet files, read when they are needed.

    Parameters
    ----------
    paths, label, weight, features, columns
        As in `scan_csv`.

    Returns
    -------
    Dataset
    """
    pyarrow()
    make = featurizer(features, columns, (label, weight))
    return _scan(expanded(paths), open_parquet, label, weight, make)


#: What tables in memory have, and queries of polars.
TABLES = ("__arrow_c_stream__", "__arrow_c_array__", "collect_batches")


def scan_arrow(
    source: Any, *, label: str | None = None, weight: str | None = None, features: Any = None,
    columns: Sequence[str] | None = None,
) -> Dataset:  # fmt: skip
    """Rows of Arrow or Feather files, or of a table in memory.

    Parameters
    ----------
    source : paths as in `scan_csv`, or a table
        Of pyarrow, pandas, polars, or whatever has ``__arrow_c_stream__``; also a LazyFrame of
        polars, whose query each pass runs batch by batch.
    label, weight, features, columns
        As in `scan_csv`.

    Returns
    -------
    Dataset
    """
    pyarrow()
    make = featurizer(features, columns, (label, weight))
    if any(hasattr(source, name) for name in TABLES):
        return _scan([source], open_table, label, weight, make)
    return _scan(expanded(source), open_arrow, label, weight, make)


def read_csv(paths: Any, **options: Any) -> tuple[Any, np.ndarray | None]:
    """X and y of CSV or TSV files, in memory.

    Parameters
    ----------
    paths, **options
        As in `scan_csv`.

    Returns
    -------
    X, y : matrix, and array or None
        y is None without a `label`.
    """
    batch = scan_csv(paths, **options).read()
    return batch.X, batch.y


def read_parquet(paths: Any, **options: Any) -> tuple[Any, np.ndarray | None]:
    """X and y of Parquet files, in memory.

    Parameters
    ----------
    paths, **options
        As in `scan_parquet`.

    Returns
    -------
    X, y : matrix, and array or None
        y is None without a `label`.
    """
    batch = scan_parquet(paths, **options).read()
    return batch.X, batch.y


def _scan(
    sources: list[Any], opener: Opener, label: str | None, weight: str | None, features: Any
) -> Dataset:
    """The dataset of the batches that an opener finds in each source."""
    count = ReadBytes.of(sources)

    def rows_of(placed: tuple[Any, Place]) -> tuple[Any, Place, Any]:
        """A table's rows, made in the thread that asks: several tables are at work at once, and
        their threads need not wait for each other (measured: a quarter of all time)."""
        table, place = placed
        with threads.num_threads(1), place.named():
            return table, place, features.transform(table)

    def labelled(X: Any, table: Any, place: Place, labels: Labels) -> Batch:
        y = w = None
        if label is not None:
            y = labels.of(column_of(table, label, place), place)
        if weight is not None:
            w = weights_of(column_of(table, weight, place), place)
        return Batch(X, y, w)

    def epoch(number: int) -> Iterator[Batch]:
        labels = Labels()
        with closing(_placed(sources, opener, count)) as tables:
            first = _first(tables, features.n_rows_to_begin)
            if not first:
                return
            with first[0][1].named():
                features.begin([table for table, _ in first])
            every = chain(first, tables)
            with closing(map_in_order(rows_of, every, features.n_at_once)) as made:
                for table, place, X in made:
                    yield labelled(X, table, place, labels)

    def parts() -> list[Dataset]:
        # The first table says what columns there are, to all of them.
        for _ in epoch(0):
            break
        return [_scan([source], opener, label, weight, features) for source in sources]

    made = features.key()
    key = None
    if made is not None:
        key = key_of(sources, label=label, weight=weight, features=made)
    return Dataset(
        epoch, key=key, n_features=features.n_features, features=features,
        repeats=not any(map(_is_read_once, sources)),
        name=names_of(sources), bytes_read=count, parts=parts,
    ).ahead()  # fmt: skip


def _placed(sources: list[Any], opener: Opener, count: ReadBytes) -> Generator[tuple[Any, Place]]:
    """The tables of all sources, read in a thread of its own, and where they come from."""
    for source in sources:
        place = Place(name_of(source), 0)
        with closing(explained(ahead(opener(source, count)), place.name)) as found:
            for table in found:
                yield table, place
                place = place.after(table.num_rows)


def _first(tables: Iterator[tuple[Any, Place]], n_rows: int) -> list[tuple[Any, Place]]:
    """The first tables that have so many rows together, at least one if there is one."""
    first = []
    for table, place in tables:
        first.append((table, place))
        n_rows -= table.num_rows
        if n_rows <= 0:
            break
    return first


def _is_read_once(source: Any) -> bool:
    """Whether a source is gone when it was read: a pipe, an open file, a reader of batches."""
    readers = ("read", "read_next_batch")
    return any(hasattr(source, name) for name in readers) or name_of(source) == "<stdin>"
