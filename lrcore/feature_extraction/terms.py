"""Documents to rows of hashed terms: the work of `HashingVectorizer`, and of columns of texts."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from operator import length_hint
from typing import Any, NamedTuple, NoReturn

import numpy as np

from lrcore import _core
from lrcore._backend import threads
from lrcore._utils.missing import is_missing
from lrcore._utils.validation import shown
from lrcore.feature_extraction.arrow import Chunk, string_chunks
from lrcore.feature_extraction.rows import EXACT_FLOAT32, Rows
from lrcore.feature_extraction.unicode import (
    TokenPattern,
    ascii_class,
    has_surrogates,
    wide_class,
)

#: Bytes of text that are hashed at a time, so that what is made of them stays in the cache, and
#: documents of Python that are taken first, and at most.
PIECE_BYTES, FIRST_BATCH, LARGEST_BATCH = 1 << 20, 256, 1 << 16

#: Elements, as the choice of threads counts them, that a byte of text is worth.
WORK_OF_BYTE = 16

#: The most terms of a document that the core takes: sums of their squares are exact.
MOST_TERMS = 1 << 26

#: Encodings in which ASCII characters are single bytes, and no other is one of theirs.
LIKE_ASCII = ("ascii", "utf-8", "iso8859-1", "cp1252")

NORMS = {None: 0, "l1": 1, "l2": 2}

#: scikit-learn's default: two letters, digits or underscores, or more.
WORD = r"(?u)\b\w\w+\b"


class Piece(NamedTuple):
    """Documents in UTF-8 one behind the other, where each begins and the last one ends, and a byte
    for each that says whether nothing about it has to be changed; None for none."""

    text: np.ndarray
    offsets: np.ndarray
    as_is: np.ndarray | None


@dataclass(frozen=True)
class PlainWords:
    """Counts of words as `HashingVectorizer` finds them by default: what `TextHashing` asks a
    vectorizer for, without scikit-learn's, which takes a third of a second to import."""

    n_features: int
    ngram_range: tuple[int, int]
    dtype: np.dtype[Any]
    n_threads: int | None
    input: str = "content"
    encoding: str = "utf-8"
    lowercase: bool = True
    analyzer: str = "word"
    norm: str | None = None
    binary: bool = False
    alternate_sign: bool = False

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, as scikit-learn's vectorizer has them."""
        return asdict(self)

    def build_preprocessor(self) -> Callable[[str], str]:
        return str.lower

    def build_analyzer(self) -> Callable[[str], list[str]]:
        """What finds the words of a text, which takes scikit-learn."""
        analyze: Callable[[str], list[str]] = reference(self).build_analyzer()
        return analyze

    def get_stop_words(self) -> None:
        """None."""


class TextHashing:
    """Documents, as they come in pieces, to rows of hashed terms.

    Parameters
    ----------
    vectorizer : HashingVectorizer or PlainWords
    pattern : TokenPattern
    first_column : int
        The columns of terms are counted from it, and after the last one from 0.
    """

    def __init__(self, vectorizer: Any, pattern: TokenPattern, first_column: int = 0) -> None:
        self.vectorizer, self.pattern = vectorizer, pattern
        self.first_column = first_column
        self.dtype = np.dtype(vectorizer.dtype)
        self.preprocess = vectorizer.build_preprocessor()
        assert _core.kernels is not None, "without a core, scikit-learn does the work"
        self.kernels = _core.kernels
        self.counted = self.kernels.CountedRows()
        self.hasher, self.has_wide_class = self._new_hasher(wide=False), False

    @cached_property
    def bytes_are_text(self) -> bool:
        """Whether bytes of ASCII are their own text."""
        return codecs.lookup(self.vectorizer.encoding).name in LIKE_ASCII

    def matrix(self, X: Any) -> Any:
        """The documents' matrix."""
        chunks = string_chunks(X) if self.vectorizer.input == "content" else None
        rows = Rows(self.dtype, length_hint(X))
        self._add(self._pieces_of_arrow(chunks) if chunks else self._pieces_of_objects(X), rows)
        if not rows.n_rows:
            raise ValueError("Cannot vectorize empty sequence.")
        return rows.matrix(int(self.vectorizer.n_features))

    def add(self, text: np.ndarray, offsets: np.ndarray, rows: Rows) -> None:
        """Add the rows of documents in UTF-8 one behind the other."""
        self._add(self._pieces_of_arrow(iter([Chunk(text, offsets, -1)])), rows)

    def _add(self, pieces: Iterable[Piece], rows: Rows) -> None:
        for piece in pieces:
            if self._is_for_core(piece):
                self._hash(piece, rows)
            else:
                self._hash_by_reference(piece, rows)

    # ---- documents ------------------------------------------------------------------------

    def _pieces_of_objects(self, X: Iterable[Any]) -> Iterator[Piece]:
        """Documents that are objects of Python, a batch at a time."""
        if isinstance(X, np.ndarray) and X.ndim == 1:
            X = X.tolist()
        documents, first, n = iter(X), 0, FIRST_BATCH
        while batch := list(islice(documents, n)):
            if self.vectorizer.input != "content":
                batch = [self.vectorizer.decode(document) for document in batch]
            piece = Piece(*self.kernels.pack(batch, self._encoder(first)))
            yield piece
            first += len(batch)
            n = min(PIECE_BYTES * len(batch) // (piece.text.size + 1) + 1, LARGEST_BATCH)

    def _encoder(self, first: int) -> Callable[[int, Any], bytes]:
        """What makes UTF-8 of a document, `number` after the `first` one, that is not ASCII."""

        def encode(number: int, document: Any) -> bytes:
            if not isinstance(document, (str, bytes)):
                refuse(document, first + number)
            if type(document) is bytes and self.bytes_are_text and document.isascii():
                return document.lower() if self.vectorizer.lowercase else document
            if isinstance(document, bytes):
                encoding, errors = self.vectorizer.encoding, self.vectorizer.decode_error
                document = document.decode(encoding, errors)
            return self._utf8(document)

        return encode

    def _utf8(self, document: str) -> bytes:
        """A document as its tokens are sought in it."""
        text = self.preprocess(document)
        try:
            return text.encode()
        except UnicodeEncodeError:
            if has_surrogates(self.pattern.character) or self.vectorizer.analyzer != "word":
                # scikit-learn's error, unless no term has the surrogate.
                for term in reference(self.vectorizer).build_analyzer()(document):
                    term.encode()
            return text.encode("utf-8", "surrogatepass")

    def _pieces_of_arrow(self, chunks: Iterator[Chunk]) -> Iterator[Piece]:
        """Documents of a column of strings, a chunk at a time; only those that are not ASCII become
        objects of Python."""
        first = 0
        for text, offsets, missing in chunks:
            if missing >= 0:
                refuse(None, first + missing)
            first += len(offsets) - 1
            start = 0
            while start < len(offsets) - 1:
                stop = int(np.searchsorted(offsets, offsets[start] + PIECE_BYTES, "right")) - 1
                stop = max(stop, start + 1)
                yield self._encoded(text, offsets[start : stop + 1])
                start = stop

    def _encoded(self, text: np.ndarray, offsets: np.ndarray) -> Piece:
        whole = text[offsets[0] : offsets[-1]]
        if not whole.size or whole.max() < 128:
            return Piece(text, offsets, None)
        places = offsets[0] + np.flatnonzero(whole > 127)
        rows = np.unique(np.searchsorted(offsets, places, "right") - 1)
        lengths, done = np.diff(offsets), offsets[0]
        pieces: list[Any] = []
        for row in rows.tolist():
            encoded = self._utf8(text[offsets[row] : offsets[row + 1]].tobytes().decode())
            pieces += [text[done : offsets[row]].data, encoded]
            lengths[row], done = len(encoded), offsets[row + 1]
        pieces.append(text[done : offsets[-1]].data)
        as_is = np.zeros(len(lengths), np.uint8)
        as_is[rows] = 1
        new_offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Piece(np.frombuffer(b"".join(pieces), np.uint8), new_offsets, as_is)

    # ---- rows -----------------------------------------------------------------------------

    def _is_for_core(self, piece: Piece) -> bool:
        """Whether sums of all documents' terms are exact."""
        shortest, longest = self.vectorizer.ngram_range
        most_terms = EXACT_FLOAT32 if self.dtype == np.float32 else MOST_TERMS
        bytes_of_longest = int(np.diff(piece.offsets).max(initial=0))
        return bytes_of_longest * (int(longest) - int(shortest) + 1) <= most_terms

    def _hash(self, piece: Piece, rows: Rows) -> None:
        """Add the documents of a piece to the rows."""
        text, offsets, as_is = piece
        if as_is is not None and as_is.any() and not self.has_wide_class:
            self.hasher, self.has_wide_class = self._new_hasher(wide=True), True
        n_bytes = int(offsets[-1] - offsets[0])
        n_threads = threads.count(self.vectorizer.n_threads, WORK_OF_BYTE * n_bytes)
        self.kernels.hash_documents(self.counted, self.hasher, text, offsets, as_is, n_threads)
        indptr = self.counted.indptr
        indices, values = rows.room(int(indptr[-1]))
        binary, norm = bool(self.vectorizer.binary), NORMS[self.vectorizer.norm]
        self.kernels.write_rows(self.counted, indices, values, binary, norm, n_threads)
        rows.add(indptr, self.counted.n_terms)

    def _new_hasher(self, wide: bool) -> Any:
        """What the core is told; with the table of all characters, which documents need that are
        not ASCII, if `wide`."""
        vectorizer, character = self.vectorizer, self.pattern.character
        shortest, longest = vectorizer.ngram_range
        words = vectorizer.get_stop_words() if vectorizer.analyzer == "word" else None
        return self.kernels.TextHasher(
            analyzer=vectorizer.analyzer,
            lowercase=bool(vectorizer.lowercase),
            min_n=int(shortest),
            max_n=int(longest),
            min_length=self.pattern.min_length,
            in_class=ascii_class(character),
            wide_class=wide_class(character) if wide else None,
            stop_words=[word.encode("utf-8", "surrogatepass") for word in words or ()],
            n_features=int(vectorizer.n_features),
            first_column=self.first_column,
            alternate_sign=bool(vectorizer.alternate_sign),
        )

    def _hash_by_reference(self, piece: Piece, rows: Rows) -> None:
        """The same by scikit-learn, for documents that are too long for the core."""
        text, offsets, as_is = piece
        changed = np.zeros(len(offsets) - 1, bool) if as_is is None else as_is.astype(bool)
        documents = []
        for start, stop, done in zip(offsets, offsets[1:], changed):
            document = text[start:stop].tobytes().decode("utf-8", "surrogatepass")
            documents.append(document if done else self.preprocess(document))
        X = reference(self.vectorizer, preprocessor=unchanged).transform(documents)
        if self.first_column:
            X.indices = (X.indices.astype(np.int64) + self.first_column) % X.shape[1]
            X.sort_indices()
        indices, values = rows.room(X.nnz)
        indices[:], values[:] = X.indices, X.data
        rows.add(X.indptr.astype(np.int64))


def reference(vectorizer: Any, **changes: Any) -> Any:
    """scikit-learn's vectorizer of documents in memory, with the parameters of ours."""
    from sklearn.feature_extraction import text

    parameters = {**vectorizer.get_params(deep=False), "input": "content", **changes}
    del parameters["n_threads"]
    return text.HashingVectorizer(**parameters)


def unchanged(document: str) -> str:
    """A document that has been preprocessed."""
    return document


def refuse(document: Any, row: int) -> NoReturn:
    """Raise for what is no document."""
    if is_missing(document):
        raise ValueError(
            f"X must not have missing documents, got {shown(document)} in row {row}; "
            "fill them with '', or leave these rows out"
        )
    raise TypeError(
        f"X must have documents that are str or bytes, got {shown(document)} in row {row}"
    )
