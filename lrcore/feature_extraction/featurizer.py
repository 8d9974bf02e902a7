"""What turns raw tables or texts into X, and goes with a model so that it can predict from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.base import clone

from lrcore._backend import threads
from lrcore._utils.validation import shown
from lrcore.feature_extraction.inverse import names_of_words
from lrcore.feature_extraction.magnitudes import FIRST_ROWS
from lrcore.feature_extraction.table import TableHasher


def featurizer(
    features: Any, columns: Sequence[str] | None, leave_out: Sequence[str | None]
) -> Any:
    """A transformer of tables, which are without labels when there is nothing but to predict.

    Parameters
    ----------
    features : transformer, optional
        A `TableHasher`, the default, or a vectorizer of one column of text; a copy is made, but of
        a hasher that is fitted. What this function has returned comes back as it is.
    columns : list of str, optional
        The columns that features are made of.
    leave_out : list of str or None
        Columns that are none, since they are labels or weights.
    """
    if isinstance(columns, str):
        raise TypeError(
            f"columns must be a list of names, got {shown(columns)}; write [{columns!r}]"
        )
    if isinstance(features, (TableColumns, TextColumn)):
        return features
    left_out = tuple(filter(None, leave_out))
    if features is None:
        features = TableHasher()
    if isinstance(features, TableHasher):
        return TableColumns(features, columns, left_out)
    if isinstance(features, vectorizer_class()):
        return TextColumn(clone(features), _text_column(columns), left_out)
    raise TypeError(
        f"features must be a TableHasher or a HashingVectorizer, got {type(features).__name__}"
    )


def vectorizer_class() -> Any:
    """`HashingVectorizer`: scikit-learn's, of which it is one, takes a third of a second to import,
    so only those who have one wait for it."""
    return import_module("lrcore.feature_extraction.text").HashingVectorizer


class TableColumns:
    """Columns of a table, by a hasher that is fitted to the first table if it is not fitted yet.

    Parameters
    ----------
    hasher : TableHasher
        A copy is made, unless it is fitted.
    columns : list of str, optional
        The columns that features are made of.
    leave_out : tuple of str
        Columns that are never features.
    """

    def __init__(
        self, hasher: TableHasher, columns: Sequence[str] | None, leave_out: tuple[str, ...] = ()
    ) -> None:
        self._fitted = hasattr(hasher, "categorical_")
        if self._fitted and columns is not None:
            raise ValueError("columns has no effect on a TableHasher that is fitted: leave it out")
        self.hasher = hasher if self._fitted else clone(hasher)
        self._columns = None if columns is None else list(columns)
        self._leave_out = leave_out
        # What is asked for, before the first table says what there is.
        asked = {k: v for k, v in self.hasher.get_params().items() if k != "n_threads"}
        asked["dtype"] = np.dtype(asked["dtype"]).str
        self._asked = {**asked, "columns": self._columns}

    @property
    def n_features(self) -> int:
        return int(self.hasher.n_features)

    @property
    def n_at_once(self) -> int:
        """How many tables to make rows of at once, each in one thread: 1 if the first one is still
        to be seen, or if the hasher has threads of its own."""
        return at_once(self.hasher.n_threads) if self._fitted else 1

    def categorical_columns(self) -> set[str]:
        """Names of columns of categories, which may look like numbers."""
        return set(self.hasher.categorical_ if self._fitted else self.hasher.categorical or ())

    def text_columns(self) -> set[str]:
        """Names of columns of texts, which may be empty."""
        return set(self.hasher.text_ if self._fitted else self.hasher.text or ())

    def key(self) -> dict[str, Any] | None:
        """What X follows from, together with the tables, as plain values."""
        return {"asked": self._asked, **(self.to_dict() if self._fitted else {})}

    @property
    def n_rows_to_begin(self) -> int:
        """How many rows `begin` looks at, if there are so many."""
        return FIRST_ROWS if self.hasher.standardize is not False and not self._fitted else 1

    @property
    def scale(self) -> dict[str, float]:
        """What numbers of standardised columns are divided by."""
        return self.hasher.scale_

    def begin(self, tables: Sequence[Any]) -> None:
        """Fit the hasher, unless it is fitted, to the first batches of a table, or a frame."""
        if self._fitted:
            return
        names = column_names(tables[0])
        if names is None:
            raise TypeError(f"a table is needed to begin with, got {type(tables[0]).__name__}")
        others = set() if self._columns is None else set(names) - set(self._columns)
        missing = [name for name in self._columns or () if name not in names]
        if missing:
            raise ValueError(f"the table has no column {missing[0]!r}, but {names!r}")
        left_out = {*others, *(name for name in self._leave_out if name in names)}
        self.hasher._choose(tables[0], left_out)
        self.hasher._measure(tables)
        self._fitted = True

    def transform(self, table: Any) -> Any:
        """X of a record batch or a frame."""
        self.begin([table])
        return self.hasher.transform(table)

    def inverse(self, features: Any, table: Any) -> dict[int, list[str]]:
        """Which values of a table have these features, as `TableHasher.inverse` says."""
        return self.hasher.inverse(features, table)

    def to_dict(self) -> dict[str, Any]:
        """What `transform` follows from, as plain values."""
        return {"kind": TableHasher.__name__, "hasher": self.hasher.to_dict()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what another one with the same parameters found in the same tables."""
        n_threads = self.hasher.n_threads
        self.hasher = TableHasher.from_dict(saved["hasher"]).set_params(n_threads=n_threads)
        self._fitted = True

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> TableColumns:
        """The inverse of `to_dict`."""
        return cls(TableHasher.from_dict(saved["hasher"]), None)


def _text_column(columns: Sequence[str] | None) -> str | None:
    """The one column that a vectorizer of text takes; None for the only one that there is."""
    if columns is None:
        return None
    if len(columns) != 1:
        raise ValueError(
            f"a HashingVectorizer takes one column of text, got columns={list(columns)!r}; a "
            "TableHasher takes several"
        )
    return columns[0]


class TextColumn:
    """Texts of a column of a table, or by themselves.

    Parameters
    ----------
    vectorizer : HashingVectorizer
    column : str, optional
        None for the only one that there is, apart from those left out.
    leave_out : tuple of str
    """

    def __init__(
        self, vectorizer: Any, column: str | None, leave_out: tuple[str, ...] = ()
    ) -> None:
        self.vectorizer = vectorizer
        self.column = column
        self.leave_out = leave_out

    @property
    def n_features(self) -> int:
        return int(self.vectorizer.n_features)

    @property
    def n_at_once(self) -> int:
        """How many tables to make rows of at once, each in one thread: 1 if a function of the
        user's takes part, which may not be made for that."""
        return 1 if self._functions() else at_once(self.vectorizer.n_threads)

    def categorical_columns(self) -> set[str]:
        """Names of columns of categories: there are none."""
        return set()

    def text_columns(self) -> set[str]:
        """Names of columns of texts, which may be empty."""
        return set() if self.column is None else {self.column}

    #: What `TableColumns` have, which look at rows to begin with.
    n_rows_to_begin = 1
    scale: Mapping[str, float] = MappingProxyType({})

    def begin(self, tables: Sequence[Any]) -> None:
        """Find the column in the first tables."""
        self._texts(tables[0])

    def transform(self, table: Any) -> Any:
        """X of a record batch, a frame, or a list of texts.

        Raises
        ------
        ValueError
            If a table lacks the column.
        """
        texts = self._texts(table)
        if self._functions() and hasattr(texts, "to_pylist"):
            texts = texts.to_pylist()  # a function of the user's takes strings of Python's
        return self.vectorizer.transform(texts)

    def inverse(self, features: Any, table: Any) -> dict[int, list[str]]:
        """Which words of the texts have these features, an empty list where none has."""
        texts = self._texts(table)
        documents = texts.to_pylist() if hasattr(texts, "to_pylist") else texts
        found: dict[int, dict[str, None]] = {int(feature): {} for feature in features}
        for feature, word in names_of_words(self.vectorizer, documents, found):
            found[feature][word] = None
        return {feature: list(words) for feature, words in found.items()}

    def _texts(self, table: Any) -> Any:
        """The texts of a record batch or a frame; a list of texts as it is."""
        names = column_names(table)
        if names is None:
            return table
        if self.column is None:
            others = [name for name in names if name not in self.leave_out]
            if len(others) != 1:
                raise ValueError(
                    f"which column is the text? name it: columns=[...], one of {others!r}"
                )
            self.column = others[0]
        if self.column not in names:
            raise ValueError(f"the table has no column {self.column!r}, but {names!r}")
        return _filled(_column(table, self.column))

    def _functions(self) -> list[str]:
        """The parameters of the vectorizer that are functions."""
        names = (*FUNCTIONS, "analyzer")
        return [name for name in names if callable(getattr(self.vectorizer, name))]

    def key(self) -> dict[str, Any] | None:
        """What X follows from, together with the tables, as plain values; None if that cannot be
        told, since the vectorizer calls functions."""
        try:
            return self.to_dict()
        except ValueError:
            return None

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what another one with the same parameters found in the same tables."""
        self.column = saved["column"]

    def to_dict(self) -> dict[str, Any]:
        """What `transform` follows from, as plain values.

        Raises
        ------
        ValueError
            If the vectorizer calls a function, which no file can hold.
        """
        plain = {name: getattr(self.vectorizer, name) for name in PLAIN}
        functions = self._functions()
        if functions or plain["input"] != "content":
            raise ValueError(
                f"a HashingVectorizer with {', '.join(functions) or 'input='} of its own cannot be "
                "kept in a file; pickle the model, or transform texts before"
            )
        if plain["stop_words"] is not None and not isinstance(plain["stop_words"], str):
            plain["stop_words"] = sorted(plain["stop_words"])
        plain |= {"ngram_range": list(plain["ngram_range"]), "dtype": np.dtype(plain["dtype"]).str}
        return {
            "kind": TextColumn.__name__, "version": VERSION, "column": self.column,
            "leave_out": list(self.leave_out), "vectorizer": plain,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> TextColumn:
        """The inverse of `to_dict`.

        Raises
        ------
        ValueError, TypeError, KeyError
            If these are no values that `to_dict` has given.
        """
        if saved["version"] != VERSION:
            raise ValueError(
                f"features are hashed by version {shown(saved['version'])}, and this lrcore has "
                f"version {VERSION}"
            )
        plain, column, leave_out = dict(saved["vectorizer"]), saved["column"], saved["leave_out"]
        if sorted(plain) != sorted(PLAIN) or plain["input"] != "content":
            raise ValueError(f"a vectorizer has {', '.join(PLAIN)}, got {', '.join(plain)}")
        plain |= {"ngram_range": tuple(plain["ngram_range"]), "dtype": np.dtype(plain["dtype"])}
        if not (column is None or isinstance(column, str)) or not isinstance(leave_out, list):
            raise TypeError(f"column must be a name, got {shown(column)}")
        vectorizer = vectorizer_class()(**plain)
        vectorizer._validate_params()
        return cls(vectorizer, column, tuple(map(str, leave_out)))


#: The parameters of a vectorizer that files hold, and those that are functions.
PLAIN = (
    "input", "encoding", "decode_error", "strip_accents", "lowercase", "stop_words",
    "token_pattern", "ngram_range", "analyzer", "n_features", "binary", "norm", "alternate_sign",
    "dtype",
)  # fmt: skip
FUNCTIONS = ("preprocessor", "tokenizer")

#: Of how features are hashed: what is saved by one version is not read by another.
VERSION = 1


def features_from_dict(saved: dict[str, Any]) -> Any:
    """The transformer whose `to_dict` gave these values."""
    kinds: dict[str, Any] = {TextColumn.__name__: TextColumn, TableHasher.__name__: TableColumns}
    if saved["kind"] not in kinds:
        raise ValueError(f"features must be of kind {', '.join(kinds)}, got {shown(saved['kind'])}")
    return kinds[saved["kind"]].from_dict(saved)


def column_names(table: Any) -> list[str] | None:
    """The names of a table's columns; None if it is no table but texts."""
    if hasattr(table, "schema") and hasattr(table.schema, "names"):
        return list(table.schema.names)
    if hasattr(table, "columns"):
        return list(table.columns)
    return None


def _column(table: Any, name: str) -> Any:
    """A column of a frame or of a table of Arrow's."""
    return (
        table.column(name) if hasattr(table, "schema") and hasattr(table, "column") else table[name]
    )


def _filled(column: Any) -> Any:
    """Texts, with an empty one for each that is missing."""
    if hasattr(column, "fill_null"):
        return column.fill_null("")
    return column.fillna("") if hasattr(column, "fillna") else column


def at_once(n_threads: int | None) -> int:
    """Calls at once of what would choose its threads itself, or has so many of its own."""
    return threads.get_num_threads() if n_threads is None else 1


def is_raw(X: Any) -> bool:
    """Whether X is texts or a table that may hold more than numbers."""
    if column_names(X) is not None:
        return True
    if isinstance(X, np.ndarray):
        return X.dtype.kind in "OU"
    return isinstance(X, Sequence) and len(X) > 0 and isinstance(X[0], str)
