"""Batches of a table's columns as rows of hashed features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np

from lrcore import _core
from lrcore._backend import threads
from lrcore.feature_extraction.columns import Column, bitmap, hashes_of
from lrcore.feature_extraction.rows import Rows
from lrcore.feature_extraction.terms import WORD, PlainWords, TextHashing
from lrcore.feature_extraction.unicode import parse_token_pattern

#: Rows that are hashed at a time, so that what is made of them stays in the cache.
PIECE_ROWS = 1 << 14

#: Elements, as the choice of threads counts them, that a value of a table is worth.
WORK_OF_VALUE = 30

#: The parts of a time that are categories, each with the number of its values.
PARTS = {"hour": range(24), "weekday": range(7), "month": range(1, 13)}


T = TypeVar("T")


class Settings(NamedTuple):
    """What a hasher is told, all of it checked: the columns of each use, and its parameters."""

    uses: dict[str, list[Any]]
    n_features: int
    ngram_range: tuple[int, int]
    missing: str
    dtype: np.dtype[Any]
    n_threads: int | None
    #: What numbers of a column are divided by, where it is not 1.
    scale: dict[str, float]


class Plan:
    """How the columns of batches become rows, for one call."""

    def __init__(self, settings: Settings) -> None:
        self.kernels: Any = _core.kernels
        self.settings, self.uses = settings, settings.uses
        self.n_features, self.n_threads = settings.n_features, settings.n_threads
        # Categories that are features come first, then those that crosses alone have.
        crossed = dict.fromkeys(name for cross in self.uses["crosses"] for name in cross)
        self.crossed_only = [name for name in crossed if name not in self.uses["categorical"]]
        used = (each for use, names in self.uses.items() if use != "crosses" for each in names)
        #: The hash of each column's name, and of a missing value there, 0 if that is no feature.
        self.named = {name: self.hash(name.encode()) for name in [*used, *crossed]}
        self.missing = dict.fromkeys(self.named, 0)
        if settings.missing == "category":
            self.missing = {name: self.hash(name.encode() + b"\xff") for name in self.named}
        self.words = PlainWords(
            self.n_features, settings.ngram_range, settings.dtype, self.n_threads
        )
        self.hashers = {name: self.hasher_of(name) for name in self.uses["text"]}

    # -- hashes --

    def hash(self, text: bytes) -> int:
        """The hash of a name."""
        return int(self.kernels.hash_bytes(text)) or 1

    def hasher_of(self, name: str) -> TextHashing:
        """What hashes the words of a column of texts: its features begin with that of its name."""
        pattern = parse_token_pattern(WORD)
        assert pattern is not None
        return TextHashing(self.words, pattern, self.feature(self.named[name]))

    def feature(self, hash_: int) -> int:
        """The feature of a hash."""
        return hash_ * self.n_features >> 64

    # -- columns as the core has them --

    def numbers(self, columns: dict[str, Column]) -> list[Any]:
        """The columns of numbers."""
        scale = self.settings.scale
        return [
            guarded(name, columns[name].number, *self.hashes(name), scale.get(name, 1.0))
            for name in self.uses["numeric"]
        ]

    def hashes(self, name: str) -> tuple[int, int]:
        """The hashes of a column's name, and of a missing value there."""
        return self.named[name], self.missing[name]

    def categories(self, columns: dict[str, Column]) -> list[tuple[str, Any]]:
        """Categories that are features, with what columns they come from, and then others."""
        found = [(name, self.category(name, columns)) for name in self.uses["categorical"]]
        for name in self.uses["timestamps"]:
            found += [(name, part) for part in self.parts(name, columns[name])]
        for name in self.uses["text"]:
            found.append((name, guarded(name, self.missing_texts, name, columns[name])))
        return found + [(name, self.category(name, columns)) for name in self.crossed_only]

    def category(self, name: str, columns: dict[str, Column]) -> Any:
        """A column of categories."""
        prefix = f"{name}=".encode()
        return guarded(name, columns[name].category, prefix, self.missing[name])

    def parts(self, name: str, column: Column) -> Iterator[Any]:
        """The parts of times as codes; the first of them has the missing values."""
        missing = self.missing[name]
        for part, codes in guarded(name, clock_parts, column).items():
            hashes = hashes_of(list(map(str, PARTS[part])), f"{name}.{part}=".encode())
            yield self.kernels.TableColumn(
                "codes", column.n, codes.view(np.uint8), type="int64", hashes=hashes,
                valid=bitmap(column.present), missing=missing,
            )  # fmt: skip
            missing = 0

    def missing_texts(self, name: str, column: Column) -> Any:
        """Nothing for a text, and a category where there is none."""
        codes = (~column.present).view(np.uint8)
        hashes = np.array([0, self.missing[name]], np.uint64)
        return self.kernels.TableColumn("codes", column.n, codes, type="uint8", hashes=hashes)

    # -- rows --

    def hash_batch(self, n: int, columns: dict[str, Column], rows: Rows) -> None:
        """Add the n rows of a batch, a piece after another."""
        numbers, categories = self.numbers(columns), self.categories(columns)
        documents = {name: guarded(name, columns[name].documents) for name in self.uses["text"]}
        table = self.kernels.TableRows(*self.layout(len(numbers), len(categories)))
        if not numbers and self._only_text(categories, columns):
            ((name, (text, offsets)),) = documents.items()
            guarded(name, self.hashers[name].add, text, offsets, rows)
            return
        names = [*self.uses["numeric"], *(name for name, _ in categories)]
        in_core = [column for _, column in categories]
        for first in range(0, n, PIECE_ROWS):
            size = min(PIECE_ROWS, n - first)
            texts = [
                guarded(name, self.counts, name, each, first, size)
                for name, each in documents.items()
            ]
            n_entries = size * table.most + sum(len(words[1]) for words in texts)
            n_threads = threads.count(self.n_threads, WORK_OF_VALUE * len(names) * size)
            try:
                indptr = self.kernels.hash_table(
                    table, numbers, in_core, texts, first, size, *rows.room(n_entries), n_threads
                )
            except ValueError as error:
                self._explain(error, names)
            rows.add(indptr)

    def _only_text(self, categories: list[tuple[str, Any]], columns: dict[str, Column]) -> bool:
        """Whether rows are the words of one column, and nothing else."""
        names = self.uses["text"]
        if [name for name, _ in categories] != names or len(names) != 1:
            return False
        return not self.missing[names[0]] or bool(columns[names[0]].present.all())

    def layout(self, n_numbers: int, n_categories: int) -> tuple[Any, ...]:
        """What the core is told about all batches."""
        crosses = self.uses["crosses"]
        n_features_of_categories = n_categories - len(self.crossed_only)
        places = {name: i for i, name in enumerate(self.uses["categorical"])}
        places |= {name: n_features_of_categories + i for i, name in enumerate(self.crossed_only)}
        parts = [places[name] for cross in crosses for name in cross]
        ends = np.cumsum([len(cross) for cross in crosses], dtype=np.int64)
        dtype = self.settings.dtype.char
        return (
            self.n_features, dtype, n_numbers, n_categories, n_features_of_categories,
            np.array(parts, np.int32), ends,
        )  # fmt: skip

    def _explain(self, error: ValueError, names: list[str]) -> NoReturn:
        """Raise for what the core found in a column, by its name."""
        if len(error.args) != 3:
            raise error
        what, column, row = error.args
        advice = "; leave the row out, or make it missing" if "finite" in what else ""
        raise ValueError(
            f"column {names[column]!r} has {what} in row {row} of its batch{advice}"
        ) from None

    def counts(
        self, name: str, documents: tuple[np.ndarray, np.ndarray], first: int, n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of words of some documents."""
        text, offsets = documents
        rows = Rows(self.settings.dtype, n)
        self.hashers[name].add(text, offsets[first : first + n + 1], rows)
        indptr, indices, counts = rows.arrays()
        return indptr, indices, counts.astype(np.float64, copy=False)


def clock_parts(column: Column) -> dict[str, np.ndarray]:
    """The parts of times as numbers from 0 on; dates have no hour."""
    days, seconds = column.clock()
    parts = {} if seconds is None else {"hour": (seconds // 3600).astype(np.int64)}
    # The first day of 1970 was a Thursday.
    parts["weekday"] = (days + 3) % 7
    parts["month"] = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    return parts


def guarded(name: str, call: Callable[..., T], *args: Any) -> T:
    """What the call returns; an error of what a column holds has its name."""
    try:
        return call(*args)
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(f"column {name!r} cannot be read: {error}; convert it first") from None
