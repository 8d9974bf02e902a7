"""Labels and weights of tables, column by column, and where in a file a row of them is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from lrcore.io.errors import DataError
from lrcore.io.optional import pyarrow


class Place(NamedTuple):
    """Where rows of a table come from."""

    name: str
    first_row: int

    def of(self, row: int) -> str:
        """Where a row of theirs is, for an error."""
        return f"{self.name}, row {self.first_row + row + 1}"

    def after(self, n_rows: int) -> Place:
        """The place of what follows so many rows."""
        return self._replace(first_row=self.first_row + n_rows)

    @contextmanager
    def named(self) -> Iterator[None]:
        """What a block says is wrong with these rows, as an error that names where they are."""
        try:
            yield
        except ValueError as error:
            raise DataError(f"{self.of(0)} or below: {error}") from error


class Labels:
    """Labels of a dataset: numbers if those of its first batch can be read as such, or strings."""

    def __init__(self) -> None:
        self._kind: str | None = None

    def of(self, column: Any, place: Place) -> np.ndarray:
        """The labels of a column.

        Raises
        ------
        DataError
            If one is missing, or is no number although the first ones are.
        """
        pa = pyarrow()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise DataError(f"{place.of(row)}: the label is missing")
        kind = column.type
        if pa.types.is_decimal(kind):
            column = column.cast(pa.float64())
        elif not (is_number(kind) or pa.types.is_boolean(kind) or _is_text(kind)):
            raise DataError(f"{place.name}: labels must be numbers or strings, got {kind}")
        if not _is_text(kind):
            return _finite(_as_numpy(column), "label", place)
        column = column.cast(pa.large_string()).dictionary_encode()
        texts = column.dictionary.to_pylist()
        values = self._values(texts)
        codes = _as_numpy(column.indices)
        if values is None:
            strange = next(k for k, text in enumerate(texts) if _as_number(text) is None)
            row = int(np.flatnonzero(codes == strange)[0])
            raise DataError(
                f"{place.of(row)}: the label {texts[strange]!r} is no number, and those of the "
                "first rows are"
            )
        labels: np.ndarray = _finite(values[codes], "label", place)
        return labels

    def _values(self, texts: list[Any]) -> np.ndarray | None:
        """What the texts stand for; None if one is not of the kind of those before."""
        numbers = [_as_number(text) for text in texts]
        if self._kind is None:
            self._kind = "text" if None in numbers else "number"
        if self._kind == "text":
            return np.array(texts, str)
        if None in numbers:
            return None
        values = np.array(numbers, np.float64)
        whole = (np.abs(values) < 2**53).all() and (values == np.floor(values)).all()
        return values.astype(np.int64) if whole else values


def _as_number(text: Any) -> float | None:
    """The number that a text stands for, if it is one."""
    try:
        return None if not isinstance(text, str) or "_" in text else float(text)
    except ValueError:
        return None


def _is_text(kind: Any) -> bool:
    """Whether a type of pyarrow's is one of strings."""
    types = pyarrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_number(kind: Any) -> bool:
    """Whether a type of pyarrow's is one of integers or floats."""
    types = pyarrow().types
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _finite(values: np.ndarray, what: str, place: Place) -> np.ndarray:
    """The values, all of which must be finite if they are numbers."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{place.of(row)}: the {what} must be finite, got {values[row]}")
    return values


def weights_of(column: Any, place: Place) -> np.ndarray:
    """Weights as float64."""
    pa = pyarrow()
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{place.of(row)}: the weight is missing")
    try:
        weights = _as_numpy(column.cast(pa.float64()))
    except pa.ArrowException as error:
        raise DataError(f"{place.of(0)} or below: a weight is no number ({error})") from None
    weights = _finite(weights, "weight", place)
    if weights.min(initial=0) < 0:
        row = int(np.flatnonzero(weights < 0)[0])
        raise DataError(f"{place.of(row)}: the weight must not be negative, got {weights[row]}")
    return weights


def _as_numpy(column: Any) -> np.ndarray:
    """The values of a column in which none is missing."""
    types = pyarrow().types
    if types.is_integer(column.type) or types.is_floating(column.type):
        return np.from_dlpack(column)  # to_numpy would import pandas, which takes longer than a fit
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def column_of(table: Any, name: str, place: Place) -> Any:
    """A column of a record batch."""
    if table.schema.get_field_index(name) < 0:
        known = ", ".join(map(repr, table.schema.names))
        raise DataError(f"{place.name} has no column {name!r}, but {known}")
    return table.column(name)
