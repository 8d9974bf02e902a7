"""Tables as sparse matrices by hashes of their columns' names and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lrcore import _core
from lrcore._backend import threads
from lrcore._utils.validation import check_choice, check_integer, shown
from lrcore.feature_extraction.columns import (
    BOOLEAN,
    DATE,
    FLOAT,
    INTEGER,
    NOTHING,
    STRING,
    TIMESTAMP,
    Kind,
)
from lrcore.feature_extraction.containers import has_rows, kinds_of, reader
from lrcore.feature_extraction.inverse import Names
from lrcore.feature_extraction.magnitudes import FirstNumbers
from lrcore.feature_extraction.plan import Plan, Settings
from lrcore.feature_extraction.rows import Rows

#: The version of the scheme by which values become features: what a feature's number is, and in
#: which order values that share one are added.
SCHEME = 1

#: The kinds of columns that each use of one takes.
SUITS = {
    "categorical": (STRING, INTEGER, FLOAT, BOOLEAN, DATE, NOTHING),
    "numeric": (INTEGER, FLOAT, BOOLEAN, NOTHING),
    "text": (STRING, NOTHING),
    "timestamps": (TIMESTAMP, DATE, NOTHING),
}
SUITS["crosses"] = SUITS["categorical"]

#: What would do where a column does not suit its use.
ADVICE = {
    "categorical": "cast it to strings",
    "numeric": "convert it to numbers, or name it in categorical",
    "text": "cast it to strings, or name it in categorical",
    "timestamps": "convert it to timestamps, or name it in categorical",
    "crosses": "cast it to strings",
}

DTYPES = {"float32": np.float32, "float64": np.float64}

#: What `to_dict` gives, and `scale` if numbers are standardised.
KEYS = (
    "version", "n_features", "categorical", "numeric", "text", "timestamps", "crosses",
    "ngram_range", "missing", "dtype",
)  # fmt: skip


class TableHasher(TransformerMixin, BaseEstimator):
    """Tables of columns with names as sparse matrices, by hashes of the names and values.

    A row of a table becomes a row of a CSR matrix. A category is a feature of its own, of value 1;
    a column of numbers is one feature, which has the number; crosses are features for what two or
    more columns hold together. There is no dictionary: nothing has to be learnt from the data, and
    a value that was never seen before is a feature like any other.

    Parameters
    ----------
    categorical : list of str, optional
        Columns of categories: strings, integers, booleans, floats, dates, or codes of a dictionary.
    numeric : list of str, optional
        Columns of numbers. A number of 0 is left out of the matrix.
    text : list of str, optional
        Columns of texts, whose words are counted. Words are those of `HashingVectorizer` by
        default: two or more word characters, in lower case.
    crosses : list of tuple of str, or "pairs", optional
        Columns that are features together, two or more at a time; "pairs" crosses each two
        categorical columns. Any column that may be categorical can be crossed, whatever else it is:
        numbers count by their values.
    n_features : int
        Columns of the matrix.
    ngram_range : tuple of int
        Least and most words in a row that count as one, in texts.
    timestamps : list of str, optional
        Columns of times or dates, whose hour, weekday (from Monday, 0) and month are categories, by
        the clocks of the column's time zone.
    missing : {"category", "skip"}
        Whether a value that is missing, or NaN, is a category of its own, or nothing. A cross of a
        missing value is likewise a feature or none.
    standardize : bool or list of str
        Whether numbers are divided by the size that they have in their column, or the numeric
        columns for which they are: the root mean square of those that are not 0 in the first 16,384
        rows. Nothing is subtracted, so that 0 stays 0, as in scikit-learn's
        ``StandardScaler(with_mean=False)``; but that divides by the standard deviation, which is
        small beside numbers that are all far from 0.
    dtype : dtype
        Of the values: float32 or float64.
    n_threads : int, optional
        By default what the machine grants and the table is worth. The bits do not depend on it.

    Attributes
    ----------
    categorical_, numeric_, text_, timestamps_ : list of str
        The columns that are used, and how.
    crosses_ : list of tuple of str
        The columns that are crossed.
    scale_ : dict of str to float
        What the numbers of standardised columns are divided by. It stays what it was in `fit`.
    columns : list of str
        The names of all columns that `transform` needs.
    feature_names_in_ : array of str
        The same.
    n_features_in_ : int
        How many they are.
    version : int
        Of the scheme by which values become features.

    See Also
    --------
    FeatureHasher : The same of dicts.
    HashingVectorizer : The same of texts.

    Notes
    -----
    Lists that are all None are made by `fit` from the types of the columns: strings, booleans and
    dictionaries are categorical, numbers numeric, times and dates timestamps. If one of them is
    given, the others are empty.

    Without `standardize`, columns in different units are left to the estimator, whose
    ``scale="auto"`` divides them by the largest number so far. That is as good unless few numbers
    are far larger than the others, as of prices and incomes.

    Tables are frames of pandas and polars, tables and record batches of pyarrow, and whatever else
    has Arrow's PyCapsule interface. No object of Python is made for a row, unless the table is a
    pandas frame of such objects.

    The matrix follows from the values alone, whatever holds them, and however rows are divided
    into batches. Version 1 of the scheme is this. All hashes are XXH64 with seed 0 of UTF-8, and a
    hash of 0 counts as 1.

    - A category has the hash of ``column=value``. Integers are written in decimal, booleans
      as ``true`` and ``false``, dates as ``2024-02-29``. Floats that are whole and below 1e16 are
      written like integers, others with the fewest digits that tell them from others of their
      type: ``0.1``, ``1e-05``, ``inf``.
    - A number has the hash of ``column``. Its value is rounded to float64, divided by the scale of
      its column if that is standardised, and rounded to the dtype.
    - A value that is missing has the hash of ``column`` and a byte of 255.
    - A part of a time has the hash of ``column.hour=13``.
    - A cross adds the hashes of its parts modulo 2**64, in whichever order, and mixes the sum by
      the last steps of XXH64 (its "avalanche").
    - The feature of a hash is ``hash * n_features >> 64``.
    - A word is the feature that `HashingVectorizer` has for it, plus that of ``column``, modulo
      n_features. Its count is its value.
    - Values of a row that share a feature are added in the dtype, from the first to the last of:
      numbers, categories, parts of times, missing texts, crosses, words, each in the order of the
      lists.

    Examples
    --------
    >>> import lrcore, pandas
    >>> table = pandas.DataFrame({"city": ["Oslo", "Rome"], "beds": [2, 3], "price": [90.0, 0.0]})
    >>> hasher = lrcore.TableHasher(n_features=2**10).fit(table)
    >>> hasher.categorical_, hasher.numeric_
    (['city'], ['beds', 'price'])
    >>> X = hasher.transform(table)
    >>> X.shape, X.nnz
    ((2, 1024), 5)
    >>> [hasher.inverse([i], table)[int(i)] for i in X[1].indices]
    [['beds'], ['city=Rome']]
    """

    #: The version of the scheme.
    version = SCHEME

    def __init__(
        self,
        categorical: Sequence[str] | None = None,
        numeric: Sequence[str] | None = None,
        text: Sequence[str] | None = None,
        crosses: Sequence[tuple[str, ...]] | str | None = None,
        *,
        n_features: int = 2**20,
        ngram_range: tuple[int, int] = (1, 1),
        timestamps: Sequence[str] | None = None,
        missing: str = "category",
        standardize: bool | Sequence[str] = False,
        dtype: Any = np.float32,
        n_threads: int | None = None,
    ) -> None:
        self.categorical = categorical
        self.numeric = numeric
        self.text = text
        self.crosses = crosses
        self.n_features = n_features
        self.ngram_range = ngram_range
        self.timestamps = timestamps
        self.missing = missing
        self.standardize = standardize
        self.dtype = dtype
        self.n_threads = n_threads

    # ---- what is used, and how ------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, leave_out: Iterable[str] = ()) -> TableHasher:
        """Choose the columns by the names and types of the table's; its rows do not matter, unless
        numbers are standardised.

        Parameters
        ----------
        X : table, or schema
            A table, of any number of rows, or the schema of one: what has Arrow's
            `__arrow_c_schema__`. With `standardize` a table whose first rows are as those to come.
        y : ignored
        leave_out : iterable of str
            Columns that are no features, such as labels and weights.

        Returns
        -------
        self : TableHasher
        """
        self._choose(X, leave_out)
        self._measure([X])
        return self

    def _choose(self, X: Any, leave_out: Iterable[str]) -> None:
        """Choose the columns."""
        self._check_parameters()
        kinds = kinds_of(X)
        left_out = names_of("leave_out", [leave_out] if isinstance(leave_out, str) else leave_out)
        for name in left_out:
            if name not in kinds:
                raise ValueError(f"leave_out names {name!r}, and X has no such column")
        uses = self._uses(kinds, left_out)
        check_columns(uses, kinds)
        for name in columns_of_uses(uses):
            if name in left_out:
                raise ValueError(f"column {name!r} is both left out and used; name it once")
        self._set(uses)

    def _measure(self, tables: Iterable[Any]) -> None:
        """Look at the first rows of these tables together, where numbers are to be standardised."""
        self.scale_ = {}
        names = self._standardized()
        if not names:
            return
        numbers = FirstNumbers(names)
        for table in tables:
            if hasattr(table, "__arrow_c_schema__") and not has_rows(table):
                raise ValueError(
                    "standardize looks at rows, and X is the schema of a table: give fit a table"
                )
            numbers.add(table)
        self.scale_ = numbers.root_mean_squares()

    def _standardized(self) -> list[str]:
        """The columns whose numbers are standardised."""
        if isinstance(self.standardize, (bool, np.bool_)):
            return list(self.numeric_) if self.standardize else []
        names = names_of("standardize", self.standardize)
        for name in names:
            if name not in self.numeric_:
                raise ValueError(
                    f"standardize names {name!r}, which is no numeric column; those are "
                    f"{self.numeric_}"
                )
        return names

    def _check_parameters(self) -> None:
        if _core.kernels is None:
            raise ImportError(
                "TableHasher needs the compiled core of lrcore, which is not used here: unset "
                "LRCORE_ISA, or install lrcore again"
            )
        check_integer("n_features", self.n_features)
        if self.n_features >= 1 << 31:
            raise ValueError(f"n_features must be below 2**31, got {self.n_features}")
        pair = self.ngram_range
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"ngram_range must be a pair of integers, got {shown(pair)}")
        for number in pair:
            check_integer("ngram_range", number)
        if not pair[0] <= pair[1] < 1 << 31:
            raise ValueError(f"ngram_range must be (least, most), got {shown(pair)}")
        check_choice("missing", self.missing, ("category", "skip"))
        if not isinstance(self.standardize, (bool, np.bool_)):
            names_of("standardize", self.standardize)
        if isinstance(self.crosses, str):
            check_choice("crosses", self.crosses, ("pairs",))
        if np.dtype(self.dtype).name not in DTYPES:
            raise ValueError(f"dtype must be float32 or float64, got {np.dtype(self.dtype)}")
        threads.check(self.n_threads)

    def _uses(self, kinds: Mapping[str, Kind], left_out: list[str]) -> dict[str, list[Any]]:
        """The columns of each use: those that were given, or those of the types that suit."""
        uses: dict[str, list[Any]] = {}
        given = {
            use: getattr(self, use) for use in ("categorical", "numeric", "text", "timestamps")
        }
        chosen = all(names is None for names in given.values()) and not isinstance(
            self.crosses, (list, tuple)
        )
        for use, names in given.items():
            uses[use] = [] if names is None else names_of(use, names)
        if chosen:
            for name in kinds:
                if name not in left_out:
                    uses[use_of(name, kinds[name])].append(name)
        uses["crosses"] = self._crosses(uses["categorical"])
        if not any(uses.values()):
            raise ValueError(
                "no column is left to hash; name some in categorical, numeric, text or timestamps"
            )
        return uses

    def _crosses(self, categorical: list[str]) -> list[tuple[str, ...]]:
        if self.crosses is None:
            return []
        if isinstance(self.crosses, str):
            return list(combinations(categorical, 2))
        return crosses_of(self.crosses)

    def _set(self, uses: dict[str, list[Any]]) -> None:
        for use, names in uses.items():
            setattr(self, f"{use}_", names)
        self.feature_names_in_ = np.array(self.columns, dtype=object)
        self.n_features_in_ = len(self.columns)

    @property
    def columns(self) -> list[str]:
        """The names of the columns that `transform` needs, in the order of their uses."""
        return columns_of_uses(self._fitted_uses())

    def _fitted_uses(self) -> dict[str, list[Any]]:
        check_is_fitted(self, "categorical_")
        return {use: getattr(self, f"{use}_") for use in SUITS}

    def _settings(self) -> Settings:
        self._check_parameters()
        shortest, longest = map(int, self.ngram_range)
        return Settings(
            self._fitted_uses(),
            int(self.n_features),
            (shortest, longest),
            self.missing,
            np.dtype(self.dtype),
            self.n_threads,
            self.scale_,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        return tags

    # ---- rows -----------------------------------------------------------------------------

    def transform(self, X: Any) -> Any:
        """Hash the rows of a table.

        Parameters
        ----------
        X : table
            With all of `columns`. Others are left alone.

        Returns
        -------
        X : sparse matrix of shape (n_rows, n_features)
            In CSR format, sorted, without duplicates.
        """
        plan = Plan(self._settings())
        table = reader(X)
        check_columns(plan.uses, table.kinds)
        rows = Rows(plan.settings.dtype, table.n_rows or 0)
        for n, columns in table.batches(self.columns):
            plan.hash_batch(n, columns, rows)
        return rows.matrix(plan.n_features)

    def inverse(self, features: Any, X: Any) -> dict[int, list[str]]:
        """Find out which values of a table have these features.

        Parameters
        ----------
        features : array of int
            Numbers of features, such as those with the largest weights.
        X : table
            Rows to look for them in.

        Returns
        -------
        names : dict of int to list of str
            For each feature the values that have it, in the order of their uses and rows:
            ``site=google.com``, ``price``, ``site=a*app=b`` of a cross, ``title:word``,
            ``site is missing``. It is an empty list where the table has none.
        """
        names = Names(self._settings())
        wanted = np.asarray(features)
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise TypeError(f"features must be a list of integers, got {shown(features)}")
        for feature in wanted.tolist():
            if not 0 <= feature < self.n_features:
                raise ValueError(f"features must be in 0 to n_features - 1, got {feature}")
        table = reader(X)
        check_columns(names.uses, table.kinds)
        found: dict[int, dict[str, None]] = {feature: {} for feature in wanted.tolist()}
        for _, columns in table.batches(self.columns):
            for feature, name in names.in_batch(columns, found):
                found[feature][name] = None
        return {feature: list(each) for feature, each in found.items()}

    # ---- plain values ---------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything that the matrix follows from, as plain values that JSON has."""
        uses = self._fitted_uses()
        return {
            "version": SCHEME,
            "n_features": int(self.n_features),
            **{use: list(names) for use, names in uses.items() if use != "crosses"},
            "crosses": [list(cross) for cross in uses["crosses"]],
            "ngram_range": [int(number) for number in self.ngram_range],
            "missing": self.missing,
            "dtype": np.dtype(self.dtype).name,
            **({"scale": dict(self.scale_)} if self.scale_ else {}),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TableHasher:
        """The hasher of which `to_dict` gave these values, fitted.

        Parameters
        ----------
        values : dict

        Returns
        -------
        hasher : TableHasher
        """
        if not isinstance(values, dict):
            raise TypeError(f"values must be a dict, got {shown(values)}")
        version = values.get("version")
        if type(version) is not int or version != SCHEME:
            raise ValueError(
                f"values are of version {shown(version)} of the hashing scheme, and lrcore has "
                f"version {SCHEME}; install the one that wrote them"
            )
        for key in sorted(map(str, set(values) - {"scale"} ^ set(KEYS))):
            raise ValueError(f"values must have {', '.join(KEYS)}, and {key!r} does not fit")
        scale = scale_of(values.get("scale", {}), values["numeric"])
        if values["dtype"] not in list(DTYPES):
            raise ValueError(f"dtype must be float32 or float64, got {shown(values['dtype'])}")
        for key in ("crosses", "ngram_range"):
            if not isinstance(values[key], list):
                raise TypeError(f"{key} must be a list, got {shown(values[key])}")
        uses: dict[str, list[Any]] = {
            use: names_of(use, values[use]) for use in SUITS if use != "crosses"
        }
        uses["crosses"] = crosses_of(values["crosses"])
        if not any(uses.values()):
            raise ValueError("values name no column")
        hasher = cls(
            uses["categorical"],
            uses["numeric"],
            uses["text"],
            uses["crosses"],
            timestamps=uses["timestamps"],
            n_features=values["n_features"],
            ngram_range=tuple(values["ngram_range"]),
            missing=values["missing"],
            standardize=list(scale) if scale else False,
            dtype=DTYPES[values["dtype"]],
        )
        hasher._check_parameters()
        hasher._set({use: list(names) for use, names in uses.items()})
        hasher.scale_ = scale
        return hasher


def scale_of(scale: Any, numeric: Any) -> dict[str, float]:
    """What numbers of columns are divided by, checked."""
    if not isinstance(scale, dict):
        raise TypeError(f"scale must be a dict, got {shown(scale)}")
    for name, value in scale.items():
        if name not in numeric:
            raise ValueError(f"scale has {shown(name)}, which is no numeric column")
        if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise ValueError(f"scale must have finite numbers above 0, got {shown(value)}")
    return {name: float(value) for name, value in scale.items()}


# ---- columns and their uses ---------------------------------------------------------------------


def names_of(argument: str, names: Any) -> list[str]:
    """A list of different names of columns."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"{argument} must be a list of names of columns, got {shown(names)}")
    found: dict[str, None] = {}  # in their order
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must have names that are str, got {shown(name)}")
        if name in found:
            raise ValueError(f"{argument} has {name!r} twice; name it once")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{argument} must have names that have UTF-8, got {name!r}") from None
        found[str(name)] = None
    return list(found)


def crosses_of(crosses: Any) -> list[tuple[str, ...]]:
    """A list of different tuples of names."""
    found: list[tuple[str, ...]] = []
    for cross in crosses:
        names = tuple(names_of("crosses", cross))
        if len(names) < 2:
            raise ValueError(f"crosses must have two or more columns each, got {shown(names)}")
        if any(set(names) == set(other) for other in found):
            raise ValueError(f"crosses has {shown(names)} twice; their order does not matter")
        found.append(names)
    return found


def columns_of_uses(uses: dict[str, list[Any]]) -> list[str]:
    """The names of all columns, each once."""
    names = [name for use, names in uses.items() if use != "crosses" for name in names]
    return list(dict.fromkeys([*names, *(name for cross in uses["crosses"] for name in cross)]))


def use_of(name: Any, kind: Kind) -> str:
    """What a column is used for, by its type."""
    if not isinstance(name, str):
        raise TypeError(
            f"X must have columns with names that are str, got {shown(name)}; rename it"
        )
    if not kind.name:
        if kind.kind in (TIMESTAMP, DATE):
            return "timestamps"
        if kind.coded or kind.kind in (STRING, BOOLEAN, NOTHING):
            return "categorical"
        if kind.kind in (INTEGER, FLOAT):
            return "numeric"
    raise ValueError(
        f"column {name!r} holds {kind}, which cannot be hashed; cast it to strings or numbers, or "
        "name it in leave_out"
    )


def check_columns(uses: dict[str, list[Any]], kinds: Mapping[str, Kind]) -> None:
    """Raise unless each column is there, and of a type that suits its use."""
    for use, names in uses.items():
        if use == "crosses":
            names = list(dict.fromkeys(name for cross in names for name in cross))
        for name in names:
            if name not in kinds:
                raise ValueError(
                    f"X has no column {name!r}, which is used in {use}; add it, if need be "
                    "with missing values, or fit without it"
                )
            kind = kinds[name]
            if kind.name or kind.kind not in SUITS[use]:
                raise ValueError(
                    f"column {name!r} is used in {use}, and holds {kind}; {ADVICE[use]}"
                )
