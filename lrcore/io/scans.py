"""Text of svmlight and Vowpal Wabbit, and .npz files, as datasets."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Literal

import numpy as np

from lrcore._utils.validation import check_float_dtype, check_integer
from lrcore.io import datafile
from lrcore.io.batch import Batch, csr
from lrcore.io.cache import key_of
from lrcore.io.dataset import Dataset
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, is_read_once
from lrcore.io.parsed import ParsedRows
from lrcore.io.paths import expanded, name_of, names_of
from lrcore.io.svmlight import Width, svmlight_batches
from lrcore.io.vw import vw_batches

#: Columns that int32 can number.
WIDEST = 1 << 31


def scan_svmlight(
    paths: Any,
    *,
    n_features: int | None = None,
    zero_based: bool | Literal["auto"] = "auto",
    dtype: Any = np.float32,
    on_error: Literal["raise", "skip"] = "raise",
    n_threads: int | None = None,
) -> Dataset:
    """Rows of svmlight text, read when they are needed.

    Parameters
    ----------
    paths : path, pattern, directory, URL, "-", open file, or a list of these
        Packed files (.gz, .bz2, .xz, .zst) are unpacked as they are read.
    n_features : int, optional
        The width of X. Without it all text is read once before the first row, to see.
    zero_based : bool or "auto"
        Whether indices start at 0; "auto" decides by the first rows.
    dtype : float32 or float64
        The dtype of X.
    on_error : {"raise", "skip"}
        Whether a line that is not valid is an error, or is left out.
    n_threads : int, optional
        Threads that parse; by default what the machine grants.

    Returns
    -------
    Dataset

    Examples
    --------
    >>> import lrcore, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.svm"
    >>> _ = path.write_text("1 1:0.5 3:2\\n-1 2:1.5\\n")
    >>> lrcore.io.scan_svmlight(path).read().X.toarray()
    array([[0.5, 0. , 2. ],
           [0. , 1.5, 0. ]], dtype=float32)
    """
    sources = expanded(paths)
    check_float_dtype("dtype", dtype)
    if n_features is not None:
        check_integer("n_features", n_features)

    def rows_of(source: Any, count: ReadBytes | None, width: int | None) -> Iterable[ParsedRows]:
        return svmlight_batches(
            source, dtype=dtype, zero_based=zero_based, n_threads=n_threads, on_error=on_error,
            width=None if width is None else Width(width), count=count,
        )  # fmt: skip

    if n_features is None and any(map(is_read_once, sources)):
        raise ValueError(
            f"{names_of(sources)} can be read only once, and its width is not known before: give "
            "n_features"
        )
    how = {"zero_based": zero_based, "dtype": np.dtype(dtype).str}
    return _dataset(sources, rows_of, n_features, how)


def scan_vw(
    paths: Any,
    *,
    bits: int = 18,
    dtype: Any = np.float32,
    on_error: Literal["raise", "skip"] = "raise",
    n_threads: int | None = None,
) -> Dataset:
    """Rows of Vowpal Wabbit's text, read when they are needed.

    Features are hashed as Vowpal Wabbit does, to ``2**bits`` columns; importances are weights, and
    bases the offsets of regressors.

    Parameters
    ----------
    paths, dtype, on_error, n_threads
        As in `scan_svmlight`.
    bits : int
        X has ``2**bits`` columns, as with ``vw -b``.

    Returns
    -------
    Dataset
    """
    sources = expanded(paths)
    check_integer("bits", bits)

    def rows_of(source: Any, count: ReadBytes | None, width: int | None) -> Iterable[ParsedRows]:
        return vw_batches(
            source, bits=bits, dtype=dtype, n_threads=n_threads, on_error=on_error, count=count
        )

    return _dataset(sources, rows_of, 1 << int(bits), {"bits": bits, "dtype": np.dtype(dtype).str})


def scan_npz(paths: Any, *, dtype: Any = np.float32) -> Dataset:
    """Rows of SciPy's .npz files, with labels in an array ``y``, read when they are needed.

    Those of a CSR matrix are read batch by batch; one of another format is read whole.

    Parameters
    ----------
    paths : path, pattern, directory, or a list of these
        The files, each with one matrix.
    dtype : float32, float64 or None
        The dtype of X. None keeps float32 and float64, and makes float64 of others.

    Returns
    -------
    Dataset
    """
    sources = expanded(paths)
    count = ReadBytes.of(sources)

    def epoch(number: int) -> Iterator[Batch]:
        for source in sources:
            yield from datafile.npz_batches(source, dtype, count)

    return Dataset(
        epoch,
        name=names_of(sources),
        key=key_of(sources, dtype=np.dtype(dtype).str if dtype else None),
        bytes_read=count,
        parts=lambda: [scan_npz([source], dtype=dtype) for source in sources],
    ).ahead()


def svmlight_rows(paths: Any, *, refuse_qid: bool = False, **options: Any) -> Generator[Batch]:
    """Rows of svmlight text whose width nobody needs to know, so that it is read once.

    Lists of labels are an array of tuples. The options are those of `svmlight_batches`.

    Raises
    ------
    DataError
        As `scan_svmlight`, and with `refuse_qid` if rows have query ids, which a batch does not.
    """
    for source in expanded(paths):
        for rows in svmlight_batches(source, **options):
            if refuse_qid and rows.qid is not None:
                raise DataError(
                    f"{name_of(source)}:{rows.first_line} or below: a qid, which only "
                    "read_svmlight and write_svmlight keep"
                )
            y = rows.y
            if isinstance(y, list):
                y = np.fromiter(rows.y, object, len(rows.y))
            yield Batch(csr(rows.data, rows.indices, rows.indptr, WIDEST), y)


#: The rows of a source, what counts its bytes, and the number of features that they may have.
RowsOf = Callable[[Any, ReadBytes | None, int | None], Iterable[ParsedRows]]


def _dataset(
    sources: list[Any], rows_of: RowsOf,
    n_features: int | None, how: dict[str, Any],
) -> Dataset:  # fmt: skip
    """The dataset of what is parsed of each source."""

    known = [] if n_features is None else [n_features]

    def width() -> int:
        if not known:
            parts = (rows for source in sources for rows in rows_of(source, None, None))
            widest = max((int(rows.indices.max(initial=-1)) for rows in parts), default=-1)
            known.append(widest + 1)
        return known[0]

    count = ReadBytes.of(sources)

    def epoch(number: int) -> Iterator[Batch]:
        columns = width()
        for source in sources:
            for rows in rows_of(source, count, columns):
                weight = rows.weight
                if weight is not None and (weight == 1).all():
                    weight = None
                offset = rows.base
                if offset is not None and not offset.any():
                    offset = None
                X = csr(rows.data, rows.indices, rows.indptr, columns)
                yield Batch(X, rows.y, weight, offset)

    return Dataset(
        epoch, n_features=n_features, repeats=not any(map(is_read_once, sources)),
        name=names_of(sources), key=key_of(sources, **how, n_features=n_features),
        bytes_read=count,
        parts=lambda: [_dataset([source], rows_of, width(), how) for source in sources],
    ).ahead()  # fmt: skip
