"""Which values of a table have some features."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.utils import murmurhash3_32

from lrcore.feature_extraction.columns import Column
from lrcore.feature_extraction.plan import PARTS, Plan, clock_parts, guarded

MASK = (1 << 64) - 1


def mixed(total: int) -> int:
    """The last steps of XXH64, 0 as 1."""
    total = (total ^ total >> 33) * 0xC2B2AE3D27D4EB4F & MASK
    total = (total ^ total >> 29) * 0x165667B19E3779F9 & MASK
    return total ^ total >> 32 or 1


class Names(Plan):
    """The names of features, for one call."""

    def in_batch(
        self, columns: dict[str, Column], wanted: dict[int, Any]
    ) -> Iterator[tuple[int, str]]:
        """The features that are wanted, and what has them in this batch."""
        for name in self.uses["numeric"]:
            yield from self._if_wanted(self.named[name], name, wanted)
            if np.isnan(guarded(name, columns[name].as_floats)).any():
                yield from self._if_wanted(self.missing[name], f"{name} is missing", wanted)
        for name in self.uses["categorical"]:
            yield from self._names_of_category(name, columns, wanted)
        for name in self.uses["timestamps"]:
            for part, codes in guarded(name, clock_parts, columns[name]).items():
                for code in np.unique(codes[columns[name].present]).tolist():
                    text = f"{name}.{part}={PARTS[part][code]}"
                    yield from self._if_wanted(self.hash(text.encode()), text, wanted)
            if not columns[name].present.all():
                yield from self._if_wanted(self.missing[name], f"{name} is missing", wanted)
        for cross in self.uses["crosses"]:
            yield from self._names_of_cross(cross, columns, wanted)
        for name in self.uses["text"]:
            if not columns[name].present.all():
                yield from self._if_wanted(self.missing[name], f"{name} is missing", wanted)
            yield from self._names_of_words(name, columns[name], wanted)

    def _if_wanted(
        self, hash_: int, name: str, wanted: dict[int, Any]
    ) -> Iterator[tuple[int, str]]:
        if hash_ and self.feature(hash_) in wanted:
            yield self.feature(hash_), name

    def _rows_wanted(self, hashes: np.ndarray, wanted: dict[int, Any]) -> np.ndarray:
        """The first row of each hash whose feature is wanted, in order."""
        _, first = np.unique(hashes, return_index=True)
        rows = [
            row for row in np.sort(first).tolist()
            if hashes[row] and self.feature(int(hashes[row])) in wanted
        ]  # fmt: skip
        return np.array(rows, np.intp)

    def _hashes(self, name: str, columns: dict[str, Column]) -> np.ndarray:
        hashes: np.ndarray = self.kernels.hash_column(self.category(name, columns), 1)
        return hashes

    def _texts(self, name: str, column: Column, rows: np.ndarray) -> list[str]:
        """What stands for the column in names of features."""
        present = column.present[rows]
        texts = iter(column.texts(rows[present]))
        return [f"{name}={next(texts)}" if there else f"{name} is missing" for there in present]

    def _names_of_category(
        self, name: str, columns: dict[str, Column], wanted: dict[int, Any]
    ) -> Iterator[tuple[int, str]]:
        hashes = self._hashes(name, columns)
        rows = self._rows_wanted(hashes, wanted)
        for row, text in zip(rows, self._texts(name, columns[name], rows)):
            yield self.feature(int(hashes[row])), text

    def _names_of_cross(
        self, cross: tuple[str, ...], columns: dict[str, Column], wanted: dict[int, Any]
    ) -> Iterator[tuple[int, str]]:
        parts = np.array([self._hashes(name, columns) for name in cross])
        total, whole = parts.sum(axis=0, dtype=np.uint64), (parts != 0).all(axis=0)
        distinct, of_row = np.unique(total, return_inverse=True)
        mixes = np.array([mixed(each) for each in distinct.tolist()], np.uint64)
        hashes = np.where(whole, mixes[of_row] if len(mixes) else 0, 0).astype(np.uint64)
        rows = self._rows_wanted(hashes, wanted)
        texts = [self._texts(name, columns[name], rows) for name in cross]
        for row, *names in zip(rows, *texts):
            yield self.feature(int(hashes[row])), "*".join(names)

    def _names_of_words(
        self, name: str, column: Column, wanted: dict[int, Any]
    ) -> Iterator[tuple[int, str]]:
        start = self.feature(self.named[name])
        text, offsets = guarded(name, column.documents)
        documents = (text[begin:end].tobytes().decode() for begin, end in pairwise(offsets))
        for feature, word in names_of_words(self.words, documents, wanted, start):
            yield feature, f"{name}:{word}"


def names_of_words(
    words: Any, documents: Iterable[str], wanted: Container[int], start: int = 0
) -> Iterator[tuple[int, str]]:
    """The features that are wanted, and the words of the documents that have them.

    Parameters
    ----------
    words : HashingVectorizer or PlainWords
    documents : iterable of str
    wanted : container of int
    start : int
        What is added to the feature of each word.
    """
    analyze, seen = words.build_analyzer(), set[str]()
    for document in documents:
        for word in analyze(document):
            if word not in seen:
                seen.add(word)
                place = abs(murmurhash3_32(word, seed=0)) % words.n_features
                feature = (place + start) % words.n_features
                if feature in wanted:
                    yield feature, word
