"""Vowpal Wabbit's text as hashed features: `read_vw`, and batches."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from lrcore import _backend
from lrcore._backend import threads, vw
from lrcore._backend.vw import VwRows
from lrcore._utils.validation import (
    check_choice,
    check_flag,
    check_float_dtype,
    check_integer,
    shown,
)
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, is_read_once, open_text
from lrcore.io.growing import GrowingArray
from lrcore.io.parsed import ParsedBatches, ParsedRows, parsed_in_order
from lrcore.io.pieces import SIZE, Piece, pieces


class VwData(NamedTuple):
    """What `read_vw` returns.

    Attributes
    ----------
    X : csr_matrix of shape (n_rows, 2**bits)
    y : ndarray of shape (n_rows,), float64
        Labels, NaN where a line has none.
    weight : ndarray of shape (n_rows,), float64
        Importance, 1 where a line has none.
    base : ndarray of shape (n_rows,), float64
        What is added to the raw prediction, 0 where a line has none.
    tags : list of bytes, or None
        Only if they were asked for.
    """

    X: Any
    y: np.ndarray
    weight: np.ndarray
    base: np.ndarray
    tags: list[bytes] | None


def read_vw(
    path: Any,
    *,
    bits: int = 18,
    dtype: Any = np.float32,
    tags: bool = False,
    n_threads: int | None = None,
) -> VwData:
    """Read Vowpal Wabbit's text, whose features are hashed to the columns that they have there.

    A line is ``label [importance [base]] ['tag]|namespace[:scale] feature[:value] ... |...``.

    Parameters
    ----------
    path : path or binary file
        As in `read_svmlight`.
    bits : int
        X has ``2**bits`` columns, as with ``vw -b``; from 1 to 31.
    dtype : float32 or float64
        Of the values of X.
    tags : bool
        Whether to return tags.
    n_threads : int, optional
        Threads that parse pieces of the text; by default as many as `get_num_threads` tells.

    Returns
    -------
    VwData
        A named tuple of X, y, weight, base and tags.

    Raises
    ------
    DataError
        If a line is not valid: the message has its file and number. Lines that Vowpal Wabbit warns
        of and reads by half are refused, and so are values that are texts, negative importances,
        and a tab before the first bar.
    OSError
        If the file cannot be read.

    Notes
    -----
    A namespace has the hash ``murmur3(name, 0)``, or 0 without a name; a feature
    ``murmur3(name, hash of the namespace)``. Names of digits alone are their number, plus the hash
    of the namespace (``--hash strings``), and features without a name are counted from there. The
    last `bits` bits are the column. Values are multiplied by the scale of the namespace; products
    that are 0 are left out. Values of the same column are added in float64 in the order of the
    line, then rounded. There is no column for the constant: estimators have an intercept.

    Empty lines are left out. A word that touches the first bar is the tag, as in ``1 2|a b``,
    where the label is 1 and the tag 2. There are no comments.

    Examples
    --------
    >>> import io
    >>> from lrcore.io import read_vw
    >>> data = read_vw(io.BytesIO(b"1 2.0 'first|a x:0.5 y |b x\\n-1 | 7:3\\n"), bits=5, tags=True)
    >>> data.X.indices, data.X.data
    (array([ 8, 17, 31,  7], dtype=int32), array([0.5, 1. , 1. , 3. ], dtype=float32))
    >>> data.y, data.weight, data.tags
    (array([ 1., -1.]), array([2., 1.]), [b'first', b''])
    """
    _check_options(bits, dtype, n_threads)
    check_flag("tags", tags)
    parser = LineParser(np.dtype(dtype), (1 << bits) - 1)
    with open_text(path) as text:
        try:
            queue = pieces(text, bounded=True)
            with closing(parsed_in_order(text.name, queue, parser, n_threads)) as parsed:
                return _gathered(parsed, parser, tags)
        except MemoryError:
            raise DataError(f"{text.name}: it takes more memory than there is") from None


def vw_batches(
    path: Any,
    *,
    bits: int = 18,
    dtype: Any = np.float32,
    n_threads: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    size: int = SIZE,
    count: ReadBytes | None = None,
) -> ParsedBatches:
    """The rows of Vowpal Wabbit's text, batch by batch, in the memory of a few of them.

    Parameters
    ----------
    path, bits, dtype, n_threads
        As in `read_vw`.
    on_error : "raise" or "skip"
        Whether a line that is not valid ends everything, or is left out and counted.
    size : int
        Bytes of text in a batch.
    count : ReadBytes, optional
        What is read is added to it.

    Returns
    -------
    ParsedBatches
        Gives a `ParsedRows` after the other, and counts in `n_skipped` lines that were left out.

    Examples
    --------
    >>> import io
    >>> for batch in vw_batches(io.BytesIO(b"1 | 4 6\\n-1 0.5 | 5\\n"), bits=3):
    ...     print(batch.indices, batch.y, batch.weight)
    [4 6 5] [ 1. -1.] [1.  0.5]
    """
    _check_options(bits, dtype, n_threads)
    check_choice("on_error", on_error, ("raise", "skip"))
    check_integer("size", size)
    parser = LineParser(np.dtype(dtype), (1 << bits) - 1, on_error == "skip")
    read = partial(_batches, path, parser, n_threads, size, count or ReadBytes())
    return ParsedBatches(read, once=is_read_once(path))


def _batches(
    path: Any,
    parser: LineParser,
    n_threads: int | None,
    size: int,
    count: ReadBytes,
) -> Generator[tuple[ParsedRows, int], None, None]:
    """Each batch, and how many of its lines were left out."""
    with open_text(path) as text:
        queue = pieces(text, size=size)
        with closing(parsed_in_order(text.name, queue, parser, n_threads)) as parsed:
            for piece, rows in count.follow(parsed, text, lambda item: len(item[0].text)):
                csr = rows.data, rows.indices, rows.indptr
                batch = ParsedRows(
                    *csr, rows.labels, rows.weights, None, piece.first_line, rows.bases
                )
                yield batch, rows.n_skipped


class LineParser(NamedTuple):
    """How lines are parsed."""

    dtype: np.dtype
    mask: int
    skip: bool = False

    def parse(self, piece: Piece) -> tuple[Piece, VwRows]:
        """The rows of a piece."""
        return piece, _backend.active.parse_vw(piece.text, *self)

    def check(self, name: str, piece: Piece, rows: VwRows) -> None:
        """Raise for a line that is not valid, unless such are left out."""
        if rows.bad is not None and not self.skip:
            what = vw.problem(piece.line(rows.bad), self.dtype, self.mask)
            number = piece.line_number(rows.bad)
            raise DataError(f"{name}:{number}: {what or 'not text of Vowpal Wabbit'}")


def _gathered(parsed: Iterable[tuple[Piece, VwRows]], parser: LineParser, tags: bool) -> VwData:
    """The rows of all pieces together."""
    data, indices = GrowingArray(parser.dtype), GrowingArray(np.int32)
    indptr = GrowingArray(np.int64)
    indptr.append(np.zeros(1, np.int64), share=1.0)
    y, weight, base = (GrowingArray(np.float64) for _ in range(3))
    names: list[bytes] = []
    for piece, rows in parsed:
        indptr.append(rows.indptr[1:] + data.size, piece.share)
        for column, part in (
            (data, rows.data),
            (indices, rows.indices),
            (y, rows.labels),
            (weight, rows.weights),
            (base, rows.bases),
        ):
            column.append(part, piece.share)
        if tags:
            names += [bytes(piece.text[begin:end]) for begin, end in rows.tags.tolist()]
    X = sparse.csr_matrix(
        (data.array(), indices.array(), indptr.array()), shape=(y.size, parser.mask + 1)
    )
    return VwData(X, y.array(), weight.array(), base.array(), names if tags else None)


def _check_options(bits: int, dtype: Any, n_threads: int | None) -> None:
    """Raise unless these are what a reader takes."""
    check_integer("bits", bits)
    if bits > 31:
        raise ValueError(f"bits must be in 1 to 31, got {shown(bits)}")
    check_float_dtype("dtype", dtype)
    threads.check(n_threads)


def vw_names(path: Any, columns: Iterable[int], bits: int, n_rows: int) -> dict[int, list[str]]:
    """The names behind columns of X in the first rows of a text.

    Parameters
    ----------
    path, bits
        As in `read_vw`.
    columns : iterable of int
    n_rows : int
        Rows to look at.

    Returns
    -------
    dict of int to list of str
        For each column the features that were hashed to it, such as ``namespace^feature``.

    Raises
    ------
    DataError, OSError
        As `read_vw`.
    """
    found: dict[int, dict[str, None]] = {column: {} for column in columns}
    with open_text(path) as text:
        lines = (
            (number, line)
            for piece in pieces(text)
            for number, line in enumerate(io.BytesIO(piece.text), piece.first_line)
            if line.strip()
        )
        for number, line in islice(lines, n_rows):
            try:
                features = vw.features_of_line(line)
            except vw.LineError as error:
                raise DataError(f"{text.name}:{number}: {error}") from None
            for feature in features:
                column = feature.hash & ((1 << bits) - 1)
                if column in found:
                    found[column][str(feature)] = None
    return {column: list(names) for column, names in found.items()}
