"""svmlight text, at the speed of memory: `read_svmlight`, `write_svmlight`, and batches."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from lrcore import _backend
from lrcore._backend import svmlight, threads
from lrcore._backend.svmlight import SvmlightRows
from lrcore._utils.replacing import replacing
from lrcore._utils.validation import (
    check_choice,
    check_flag,
    check_float_dtype,
    check_integer,
    shown,
)
from lrcore.io.batch import spans_of_few_values
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, is_read_once, open_text
from lrcore.io.growing import GrowingArray
from lrcore.io.parsed import ParsedBatches, ParsedRows, parsed_in_order
from lrcore.io.pieces import SIZE, Piece, pieces


def read_svmlight(
    path: Any,
    *,
    n_features: int | None = None,
    dtype: Any = np.float64,
    multilabel: bool = False,
    zero_based: bool | Literal["auto"] = "auto",
    query_id: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Read svmlight text, also called libsvm's format, as scikit-learn's `load_svmlight_file` does.

    A line is ``label [qid:number] index:value index:value ... # comment``, with indices that rise.

    Parameters
    ----------
    path : path, binary file, or list of these
        ``"-"`` is stdin, and a URL such as ``s3://bucket/rows.svm`` is read by fsspec. Text may be
        packed by gzip, bzip2, xz or zstd, whatever its name is.
    n_features : int, optional
        Number of columns of X; by default as many as the files need. Fewer are an error.
    dtype : float32 or float64
        Of the values of X. Numbers are rounded to float64 as by Python, then to float32.
    multilabel : bool
        Whether lines begin with several labels, as in ``2,5 1:0.5``, or with none.
    zero_based : bool or "auto"
        Whether the first column has the index 0. "auto" takes this for so if an index is 0, or a
        file has no index at all.
    query_id : bool
        Whether to return the numbers of ``qid:``. Either all rows have one or none has.
    n_threads : int, optional
        Threads that parse pieces of the text; by default as many as `get_num_threads` tells.

    Returns
    -------
    X : csr_matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,), float64, or list of tuples
        Labels; sorted tuples of them if `multilabel`.
    qid : ndarray of shape (n_rows,), int64
        Only with `query_id`. Of a list of files all of these are returned, one after the other.

    Raises
    ------
    DataError
        If a line is not valid: the message has its file and number. More is refused than by
        scikit-learn: values and labels that are not finite in `dtype`, numbers such as ``1_0``,
        a ``qid`` that is no integer or that only some rows have where it is asked for, and packed
        text of which more than a hundred times its size comes out. More is read, too: a mark of
        the byte order at the beginning.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import io
    >>> from lrcore.io import read_svmlight
    >>> X, y = read_svmlight(io.BytesIO(b"1 1:0.5 3:2\\n-1 2:1.5\\n"))
    >>> X.toarray()
    array([[0.5, 0. , 2. ],
           [0. , 1.5, 0. ]])
    >>> y
    array([ 1., -1.])
    """
    _check_options(dtype, multilabel, zero_based, n_threads)
    check_flag("query_id", query_id)
    if n_features is not None:
        check_integer("n_features", n_features)
    sources = path if isinstance(path, (list, tuple)) else [path]
    parser = LineParser(np.dtype(dtype), multilabel, 1 if zero_based is False else 0)
    read = [read_arrays(source, parser, query_id, n_threads) for source in sources]
    if zero_based == "auto" and all(len(r.indices) and r.indices.min() > 0 for r in read):
        for rows in read:
            np.subtract(rows.indices, 1, out=rows.indices)
    width = 1 + max((int(r.indices.max()) for r in read if len(r.indices)), default=0)
    if n_features is not None and n_features < width:
        raise DataError(f"{shown(path)}: {width} features, more than n_features={n_features}")
    result: list[Any] = []
    for rows in read:
        shape = (len(rows.indptr) - 1, n_features or width)
        X = sparse.csr_matrix((rows.data, rows.indices, rows.indptr), shape=shape)
        result += [X, labels_of(rows), rows.qids] if query_id else [X, labels_of(rows)]
    return result if isinstance(path, (list, tuple)) else tuple(result)


def read_arrays(
    source: Any, parser: LineParser, query_id: bool = False, n_threads: int | None = None
) -> SvmlightRows:
    """All rows of a source, none of whose lines is bad.

    Raises
    ------
    DataError, OSError
        As `read_svmlight`.
    """
    with open_text(source) as text:
        try:
            queue = pieces(text, bounded=True)
            with closing(parsed_in_order(text.name, queue, parser, n_threads)) as parsed:
                return _gathered(text.name, parsed, parser, query_id)
        except MemoryError:
            raise DataError(f"{text.name}: it takes more memory than there is") from None


def write_svmlight(
    path: Any,
    X: Any,
    y: Any,
    *,
    zero_based: bool = False,
    multilabel: bool = False,
    query_id: Any = None,
) -> None:
    """Write svmlight text from which `read_svmlight` reads the same bits.

    Parameters
    ----------
    path : path or binary file
        A path is replaced in one piece, once everything is written; it is never packed.
    X : array or sparse matrix of shape (n_rows, n_features)
        Finite numbers. Zeros are written where a sparse matrix stores them. Numbers have the
        fewest digits that are read as the same float32, or of everything else as float64.
    y : array of shape (n_rows,), or sequence of sequences if `multilabel`
        Finite numbers.
    zero_based : bool
        Whether the first column has the index 0. By default it has 1, by which readers that guess
        are never wrong.
    multilabel : bool
        Whether each row has a sequence of labels.
    query_id : array of integers of shape (n_rows,), optional
        The query that each row belongs to, written as ``qid:3``.

    Raises
    ------
    ValueError
        If the arguments do not fit together, or have what the text cannot express.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from lrcore.io import write_svmlight
    >>> file = io.BytesIO()
    >>> write_svmlight(file, np.array([[0.5, 0.0, 2.0], [0.0, 1.5, 0.0]]), [1, -1])
    >>> file.getvalue()
    b'1 1:0.5 3:2\\n-1 2:1.5\\n'
    """
    check_flag("zero_based", zero_based)
    check_flag("multilabel", multilabel)
    rows = writable_rows(X)
    n_rows = rows.shape[0]
    labels = label_texts(y, multilabel)
    if len(labels) != n_rows:
        raise ValueError(f"y must have a label for each of {n_rows} rows, got {len(labels)}")
    if query_id is not None:
        qids = np.asarray(query_id)
        if qids.shape != (n_rows,) or qids.dtype.kind not in "iu":
            raise ValueError(f"query_id must be {n_rows} integers, got {shown(query_id)}")
        labels = [f"{label} qid:{qid}" for label, qid in zip(labels, qids.tolist())]
    empty = (np.diff(rows.indptr) == 0).tolist()
    for row, label in enumerate(labels):
        if empty[row] and not label:
            raise ValueError(f"row {row} has neither labels nor values: no line of text says that")
    text = text_of_rows(rows, labels, 0 if zero_based else 1)
    if hasattr(path, "write"):
        path.writelines(text)
        return
    with replacing(path) as file:
        file.writelines(text)


def writable_rows(X: Any) -> Any:
    """X as CSR whose indices rise, of float32 or float64."""
    rows = sparse.csr_matrix(X)
    if rows.dtype != np.float32:
        rows = rows.astype(np.float64)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    bad = np.flatnonzero(~np.isfinite(rows.data))
    if bad.size:
        row = np.searchsorted(rows.indptr, bad[0], side="right") - 1
        raise ValueError(f"X must be finite, got {rows.data[bad[0]]} in row {row}")
    return rows


def label_texts(y: Any, multilabel: bool) -> list[str]:
    """The labels of each row as text."""
    if multilabel:
        return [",".join(label_texts(labels, False)) for labels in y]
    numbers = np.asarray(y)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "biuf"):
        raise ValueError(f"labels must be numbers in one dimension, got {shown(y)}")
    if not np.isfinite(numbers).all():
        raise ValueError("labels must be finite")
    if numbers.dtype.kind in "biu":
        return [str(int(label)) for label in numbers.tolist()]
    # As bits, since -0.0 equals 0.0.
    bits, places = np.unique(numbers.astype(np.float64).view(np.int64), return_inverse=True)
    texts = [svmlight.number_text(label) for label in bits.view(np.float64).tolist()]
    return [texts[place] for place in places.tolist()]


def text_of_rows(rows: Any, first: list[str], first_index: int) -> Iterator[Any]:
    """The lines of text in pieces: of each row what comes first, and ``index:value`` of its
    values."""
    row = 0
    for span in spans_of_few_values(rows.indptr, VALUES_AT_ONCE):
        begin, end, n_rows = span[0], span[-1], len(span) - 1
        yield _backend.active.write_svmlight(
            first[row : row + n_rows], span[1:] - begin, rows.indices[begin:end],
            rows.data[begin:end], first_index,
        )  # fmt: skip
        row += n_rows


def labels_of(rows: SvmlightRows) -> Any:
    """An array of labels, or a list of sorted tuples where there are several."""
    if rows.label_indptr is None:
        return rows.labels
    labels = rows.labels.tolist()
    return [tuple(sorted(labels[i:k])) for i, k in pairwise(rows.label_indptr.tolist())]


def svmlight_batches(
    path: Any,
    *,
    dtype: Any = np.float64,
    multilabel: bool = False,
    zero_based: bool | Literal["auto"] = "auto",
    n_threads: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    unlabelled: bool = False,
    width: Width | None = None,
    size: int = SIZE,
    count: ReadBytes | None = None,
) -> ParsedBatches:
    """The rows of svmlight text, batch by batch, in the memory of a few of them.

    Parameters
    ----------
    path, dtype, multilabel, n_threads
        As in `read_svmlight`, of one source.
    zero_based : bool or "auto"
        With "auto" the first rows that have features decide, about four megabytes of text: indices
        start at 0 if one of them is 0. Otherwise an index 0 further on is an error, which is never
        left out.
    on_error : "raise" or "skip"
        Whether a line that is not valid ends everything, or is left out and counted.
    unlabelled : bool
        Whether labels may be missing: if the first line with a word begins with a feature, every
        line but comments is a row, also an empty one, so that rows are numbered like lines. Their
        labels are 0; of lists of labels, those that are there stay.
    width : Width, optional
        The features that there are; a line with others is an error, which is never left out.
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
    >>> file = io.BytesIO(b"1 1:0.5 3:2\\n-1 two:1.5\\n1 3:1\\n")
    >>> batches = svmlight_batches(file, zero_based=False, on_error="skip")
    >>> [(batch.indices.tolist(), batch.y.tolist()) for batch in batches]
    [([0, 2, 2], [1.0, 1.0])]
    >>> batches.n_skipped
    1
    """
    _check_options(dtype, multilabel, zero_based, n_threads)
    check_choice("on_error", on_error, ("raise", "skip"))
    check_integer("size", size)
    first_index = 1 if zero_based is False else 0
    parser = LineParser(np.dtype(dtype), multilabel, first_index, on_error == "skip", width=width)
    how = zero_based == "auto", unlabelled, size, count or ReadBytes()
    read = partial(_batches, path, parser, n_threads, *how)
    return ParsedBatches(read, once=is_read_once(path))


def _batches(
    path: Any,
    parser: LineParser,
    n_threads: int | None,
    auto: bool,
    unlabelled: bool,
    size: int,
    count: ReadBytes,
) -> Generator[tuple[ParsedRows, int], None, None]:
    """Each batch, and how many of its lines were left out."""
    with open_text(path) as text:
        queue = pieces(text, size=size)
        if unlabelled:
            queue = _with_labels(queue, parser.multilabel)
        first, parser = _zero_based_by_the_first(text.name, queue, parser) if auto else ([], parser)
        with closing(parsed_in_order(text.name, queue, parser, n_threads)) as parsed:
            items = chain(first, parsed)
            for piece, rows in count.follow(items, text, lambda item: len(item[0].text)):
                qid = None if rows.with_qid is None else rows.qids
                csr = rows.data, rows.indices, rows.indptr
                yield ParsedRows(*csr, labels_of(rows), None, qid, piece.first_line), rows.n_skipped


class Width(NamedTuple):
    """How many features there may be, and the words of an error before this number."""

    n_features: int
    words: str = "n_features is"


class LineParser(NamedTuple):
    """How lines are parsed."""

    dtype: np.dtype
    multilabel: bool
    #: Indices start here.
    first_index: int
    skip: bool = False
    #: Whether this is a guess, so that an index below is no fault of its line.
    guessed: bool = False
    width: Width | None = None

    def parse(self, piece: Piece) -> tuple[Piece, SvmlightRows]:
        """The rows of a piece."""
        how = self.dtype, self.multilabel, self.first_index, self.skip
        return piece, _backend.active.parse_svmlight(piece.text, *how)

    def check(self, name: str, piece: Piece, rows: SvmlightRows) -> None:
        """Raise for a line that is not valid, unless such are left out."""
        place = rows.bad
        if self.skip:
            place = rows.below if self.guessed else None
        if place is not None:
            line = piece.line(place)
            what = svmlight.problem(line, self.dtype, self.multilabel, self.first_index)
            raise DataError(f"{name}:{piece.line_number(place)}: {what or 'not svmlight text'}")
        if self.width is not None and rows.indices.max(initial=-1) >= self.width.n_features:
            raise DataError(f"{name}:{self._beyond(piece, self.width)}")

    def _beyond(self, piece: Piece, width: Width) -> str:
        """The number of the first line with a feature beyond the width, and what is wrong."""
        for number, line in enumerate(bytes(piece.text).split(b"\n"), piece.first_line):
            indices = self.parse(Piece(memoryview(line), number))[1].indices
            if indices.size and indices[-1] >= width.n_features:
                return f"{number}: {indices[-1] + 1} features, but {width.words} {width.n_features}"
        raise AssertionError("no line of the piece has such a feature")


#: Values that are written at once, whose text takes some megabytes.
VALUES_AT_ONCE = 1 << 16

#: Where a label is to be put in front of a line: before each that is no comment; and of lists of
#: labels, before each that does not begin with one of these.
NO_LABEL = re.compile(rb"^(?!#|\Z)", re.MULTILINE)
NO_LIST = re.compile(rb"^(?!#|\Z|[ \t\r\f\v]*[^\s#:]+(?:[\s#]|\Z))", re.MULTILINE)

#: The first word of a text that is in no comment.
FIRST_WORD = re.compile(rb"^[ \t\r\f\v]*([^\s#]+)", re.MULTILINE)


def _with_labels(queue: Iterator[Piece], multilabel: bool) -> Iterator[Piece]:
    """The pieces as they are, or with a label in front of each line, if the first line that has a
    word begins with a feature."""
    begun: list[Piece] = []
    first = None
    for piece in queue:
        begun.append(piece)
        first = FIRST_WORD.search(piece.text)
        if first is not None:
            break
    every = chain(begun, queue)
    if first is None or b":" not in first[1]:
        yield from every
        return
    place = NO_LIST if multilabel else NO_LABEL
    for piece in every:
        yield piece._replace(text=memoryview(place.sub(b"0 ", bytes(piece.text))))


def _zero_based_by_the_first(
    name: str, queue: Iterator[Piece], parser: LineParser
) -> tuple[list[tuple[Piece, SvmlightRows]], LineParser]:
    """The pieces up to the first that has indices, and how to parse those that follow."""
    first = []
    for piece in queue:
        _, rows = parser.parse(piece)
        parser._replace(width=None).check(name, piece, rows)
        first.append((piece, rows))
        if len(rows.indices):
            if rows.indices.min() > 0:
                np.subtract(rows.indices, 1, out=rows.indices)
                parser = parser._replace(first_index=1, guessed=True)
            parser.check(name, piece, rows)
            break
    return first, parser


def _check_qids(name: str, piece: Piece, rows: SvmlightRows, kind: bool | None) -> bool | None:
    """Whether the rows so far have query ids, None if there are no rows.

    Some with and some without are an error.
    """
    places = {True: rows.with_qid, False: rows.without_qid}
    seen = [(place, kind) for kind, place in places.items() if place is not None]
    if kind is None and seen:
        kind = min(seen)[1]
    other = None if kind is None else places[not kind]
    if other is None:
        return kind
    number = piece.line_number(other)
    what = "no qid, but rows before it have one" if kind else "a qid, but rows before it have none"
    raise DataError(f"{name}:{number}: {what}")


def _gathered(
    name: str, parsed: Iterable[tuple[Piece, SvmlightRows]], parser: LineParser, query_id: bool
) -> SvmlightRows:
    """The rows of all pieces together; query ids only if they are wanted and there."""
    data, indices = GrowingArray(parser.dtype), GrowingArray(np.int32)
    indptr, labels = GrowingArray(np.int64), GrowingArray(np.float64)
    label_indptr, qids = GrowingArray(np.int64), GrowingArray(np.int64)
    for bounds in (indptr, label_indptr):
        bounds.append(np.zeros(1, np.int64), share=1.0)
    kind: bool | None = None
    for piece, rows in parsed:
        indptr.append(rows.indptr[1:] + data.size, piece.share)
        data.append(rows.data, piece.share)
        indices.append(rows.indices, piece.share)
        if rows.label_indptr is not None:
            label_indptr.append(rows.label_indptr[1:] + labels.size, piece.share)
        labels.append(rows.labels, piece.share)
        if query_id:
            kind = _check_qids(name, piece, rows, kind)
        if kind:
            qids.append(rows.qids, piece.share)
    return SvmlightRows(
        data.array(),
        indices.array(),
        indptr.array(),
        labels.array(),
        label_indptr.array() if parser.multilabel else None,
        qids.array(),
        *(None, None, None, None, 0),
    )


def _check_options(dtype: Any, multilabel: bool, zero_based: Any, n_threads: int | None) -> None:
    """Raise unless these are what a reader takes."""
    check_float_dtype("dtype", dtype)
    check_flag("multilabel", multilabel)
    if not isinstance(zero_based, (bool, np.bool_)) and zero_based != "auto":
        raise ValueError(f'zero_based must be True, False or "auto", got {shown(zero_based)}')
    threads.check(n_threads)
