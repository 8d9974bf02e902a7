"""The columns of a table, whichever library holds it, as the core reads them.

Tables come by Arrow's PyCapsule interface, a batch of rows at a time, and no library is imported.
Frames of pandas are read column by column: what NumPy holds is read where it is, so that pyarrow
need not be there.
"""

from __future__ import annotations

import ctypes
import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, cast
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from lrcore import _core
from lrcore._utils.frames import check_in_memory
from lrcore._utils.missing import is_missing, objects_as_floats
from lrcore._utils.validation import shown
from lrcore.feature_extraction import arrow

#: What a column holds, as far as hashing is concerned.
STRING, INTEGER, FLOAT, BOOLEAN, DATE, TIMESTAMP, NOTHING = (
    "strings", "integers", "floats", "booleans", "dates", "timestamps", "missing values alone",
)  # fmt: skip

#: Formats of Arrow: the kind of a column, and for numbers their type in memory.
FORMATS: dict[str, tuple[str, str]] = {
    "n": (NOTHING, ""), "b": (BOOLEAN, "bits"),
    "c": (INTEGER, "int8"), "C": (INTEGER, "uint8"), "s": (INTEGER, "int16"),
    "S": (INTEGER, "uint16"), "i": (INTEGER, "int32"), "I": (INTEGER, "uint32"),
    "l": (INTEGER, "int64"), "L": (INTEGER, "uint64"), "e": (FLOAT, "float16"),
    "f": (FLOAT, "float32"), "g": (FLOAT, "float64"),
    "tdD": (DATE, "int32"), "tdm": (DATE, "int64"),
    "u": (STRING, "strings"), "U": (STRING, "large_strings"), "vu": (STRING, "string_views"),
    "z": (STRING, "strings"), "Z": (STRING, "large_strings"), "vz": (STRING, "string_views"),
}  # fmt: skip

#: Units of times: letters of Arrow's formats, and NumPy's.
UNITS = {"s": "s", "m": "ms", "u": "us", "n": "ns"}

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

#: Seconds that Python's dates go to, with some days to spare for time zones.
FIRST_SECOND, LAST_SECOND = -62_135_000_000, 253_402_000_000

#: Times of which NumPy knows that they are none.
NOT_A_TIME = np.iinfo(np.int64).min

FIXED_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


class Kind(NamedTuple):
    """The type of a column; `unit` of dates and times, `zone` of times, may be empty.

    `coded` says that rows are codes of a dictionary's values, and `name` is what to call a type
    that cannot be hashed.
    """

    kind: str
    storage: str = ""
    unit: str = ""
    zone: str = ""
    coded: bool = False
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.kind


# ---- text of values -----------------------------------------------------------------------------


def text_of_number(value: Any) -> str:
    """The text of a number or a boolean, of Python or NumPy, as a category.

    Whole numbers below 1e16 have no point, whatever their type; others the fewest digits that tell
    them from their neighbours of their type.

    >>> [text_of_number(x) for x in (7, 7.0, -0.0, 0.1, np.float32(0.1), 1e300, True)]
    ['7', '7', '0', '0.1', '0.1', '1e+300', 'true']
    """
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if abs(value) < 1e16 and value == int(value):
        return str(int(value))
    return str(value) if isinstance(value, np.floating) else repr(float(value))


def texts_of_dates(days: np.ndarray) -> list[str]:
    """ISO 8601: 2024-02-29."""
    texts: list[str] = np.datetime_as_string(days.astype("datetime64[D]")).tolist()
    return texts


def text_of_object(value: Any) -> str | bytes:
    """The text of an object of Python as a category."""
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        return text_of_number(value)
    if is_date(value):
        return str(value.isoformat())
    raise TypeError(f"got {shown(value)}")


def is_date(value: Any) -> bool:
    """Whether an object is a date, and no time."""
    return isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)


# ---- columns ------------------------------------------------------------------------------------


@dataclass
class Column:
    """Rows of a column where they lie: row i is that at `offset` + i of the buffers.

    Of strings `values` are offsets or views, and `buffers` the texts that these refer to. `valid`
    has a bit for each row, 1 where it has a value, lowest first; None if all have.
    """

    kind: Kind
    n: int
    values: np.ndarray | None = None
    valid: np.ndarray | None = None
    offset: int = 0
    buffers: tuple[np.ndarray, ...] = ()
    dictionary: Column | None = None

    # -- what the core is told --

    def category(self, prefix: bytes, missing: int) -> Any:
        """The column as one of categories, whose text comes behind the prefix."""
        kernels: Any = _core.kernels
        kind, storage = self.kind.kind, self.kind.storage
        known = {"valid": self.valid, "offset": self.offset, "missing": missing}
        if self.dictionary is not None:
            column = self.dictionary.category(prefix, missing)
            hashes = kernels.hash_column(column, 1)
            return kernels.TableColumn(
                "codes", self.n, self.values, type=storage, hashes=hashes, **known
            )
        if kind == NOTHING:
            codes, hashes = np.zeros(self.n, np.uint8), np.array([missing], np.uint64)
            return kernels.TableColumn("codes", self.n, codes, type="uint8", hashes=hashes)
        if kind == STRING:
            views = storage == "string_views"
            held = {"buffers": self.buffers} if views else {"text": self.buffers[0]}
            return kernels.TableColumn(
                storage, self.n, self.values, prefix=prefix, **held, **known
            )
        if kind == INTEGER:
            return kernels.TableColumn(
                "integers", self.n, self.values, type=storage, prefix=prefix, **known
            )
        codes, texts = self.coded
        hashes = hashes_of(kernels, texts, prefix)
        known["valid"] = bitmap(self.present)
        return kernels.TableColumn(
            "codes", self.n, codes.view(np.uint8), type="int64", hashes=hashes, **known | {"offset": 0}
        )

    def number(self, hash_: int, missing: int) -> Any:
        """The column as one of numbers."""
        kernels: Any = _core.kernels
        if self.dictionary is not None or self.kind.kind == NOTHING:
            numbers = self.as_floats()
            return kernels.TableColumn(
                "numbers", self.n, numbers.view(np.uint8), type="float64", hash=hash_, missing=missing
            )
        return kernels.TableColumn(
            "numbers", self.n, self.values, type=self.kind.storage, valid=self.valid,
            offset=self.offset, hash=hash_, missing=missing,
        )  # fmt: skip

    # -- in NumPy, for what is rare --

    @cached_property
    def array(self) -> np.ndarray:
        """The numbers of the rows, whatever stands where there is none."""
        if self.values is None:
            return np.zeros(self.n)
        if self.kind.storage == "bits":
            bits = np.unpackbits(self.values, count=self.offset + self.n, bitorder="little")
            return bits[self.offset :].astype(bool)
        return self.values.view(self.kind.storage)[self.offset : self.offset + self.n]

    @cached_property
    def present(self) -> np.ndarray:
        """Whether rows have a value, and no NaN."""
        if self.kind.kind == NOTHING:
            return np.zeros(self.n, bool)
        if self.valid is None:
            present = np.ones(self.n, bool)
        else:
            bits = np.unpackbits(self.valid, count=self.offset + self.n, bitorder="little")
            present = bits[self.offset :].astype(bool)
        if self.dictionary is not None:
            codes = np.where(present, self.array, 0).astype(np.intp)
            present &= self.dictionary.present[codes] if self.dictionary.n else False
        elif self.kind.kind == FLOAT:
            present &= ~np.isnan(self.array)
        return present

    @cached_property
    def coded(self) -> tuple[np.ndarray, list[str]]:
        """The number of each row's text, int64, and the texts; rows without a value have any."""
        array, present = self.array, self.present
        if self.kind.kind == DATE:
            array = array.astype(f"datetime64[{self.kind.unit}]").astype("datetime64[D]")
        codes = np.zeros(self.n, np.int64)
        distinct, codes[present] = np.unique(array[present], return_inverse=True)
        if self.kind.kind == DATE:
            return codes, texts_of_dates(distinct)
        return codes, [text_of_number(x) for x in distinct]

    def as_floats(self) -> np.ndarray:
        """The numbers as float64, NaN where there is none."""
        if self.dictionary is None:
            return np.where(self.present, self.array, np.nan).astype(np.float64)
        numbers = np.full(self.n, np.nan)
        numbers[self.present] = self.dictionary.as_floats()[self.array[self.present]]
        return numbers

    def texts(self, rows: np.ndarray) -> list[str]:
        """The texts of rows that have a value, as categories."""
        if self.dictionary is not None:
            return self.dictionary.texts(self.array[rows].astype(np.intp))
        if self.kind.kind == STRING:
            text, offsets = self.take(rows).documents()
            pieces = [text[a:b].tobytes() for a, b in zip(offsets, offsets[1:])]
            return [piece.decode(errors="surrogateescape") for piece in pieces]
        if self.kind.kind == INTEGER:
            return list(map(str, self.array[rows].tolist()))
        codes, texts = self.coded
        return [texts[code] for code in codes[rows]]

    def take(self, rows: np.ndarray) -> Column:
        """These rows of a column of strings alone, for few rows."""
        text, offsets = self.documents()
        pieces = [text[offsets[i] : offsets[i + 1]].tobytes() for i in rows.tolist()]
        return strings(pieces, None)

    def documents(self) -> tuple[np.ndarray, np.ndarray]:
        """Strings one behind the other, and where each begins and the last one ends; empty where
        there is none."""
        kernels: Any = _core.kernels
        if self.kind.kind == NOTHING:
            return np.empty(0, np.uint8), np.zeros(self.n + 1, np.int64)
        if self.dictionary is not None:
            text, offsets = self.dictionary.documents()
            pieces = [text[a:b].tobytes() for a, b in zip(offsets, offsets[1:])]
            codes = np.where(self.present, self.array, len(pieces)).astype(np.intp)
            return strings([[*pieces, b""][code] for code in codes], None).documents()
        assert self.values is not None
        if self.kind.storage == "string_views":
            views = self.values.reshape(-1, 16)[self.offset : self.offset + self.n]
            if not self.present.all():
                views = np.where(self.present[:, None], views, 0).astype(np.uint8)
            packed: tuple[np.ndarray, np.ndarray] = kernels.pack_views(
                np.ascontiguousarray(views), list(self.buffers)
            )
            return packed
        dtype = np.int32 if self.kind.storage == "strings" else np.int64
        offsets = self.values.view(dtype)[self.offset : self.offset + self.n + 1].astype(np.int64)
        text = self.buffers[0]
        lengths = np.diff(offsets)
        if self.n and lengths[~self.present].any():
            # Something stands where there is no value.
            lengths[~self.present] = 0
            places = np.repeat(self.present, np.diff(offsets))
            text = text[offsets[0] : offsets[-1]][places]
            offsets = np.concatenate([[0], np.cumsum(lengths)])
        return text, offsets

    def clock(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Days since 1970 and, of times, seconds of the day, in the column's time zone; any
        where there is no value."""
        if self.dictionary is not None:
            days, seconds = self.dictionary.clock()
            codes = np.where(self.present, self.array, 0).astype(np.intp)
            if not self.dictionary.n:
                return np.zeros(self.n, np.int64), None if seconds is None else np.zeros(self.n)
            return days[codes], None if seconds is None else seconds[codes]
        if self.kind.kind == NOTHING:
            return np.zeros(self.n, np.int64), None
        array = np.where(self.present, self.array, 0).astype(np.int64)
        if self.kind.kind == DATE:
            dates = array.astype(f"datetime64[{self.kind.unit}]").astype("datetime64[D]")
            return dates.astype(np.int64), None
        second = array // PER_SECOND[self.kind.unit]
        second = second + offsets_from_utc(second, self.kind.zone)
        return second // 86_400, second % 86_400


def bitmap(present: np.ndarray) -> np.ndarray | None:
    """Bits for rows that have a value, lowest first; None if all have."""
    return None if present.all() else np.packbits(present, bitorder="little")


def hashes_of(kernels: Any, texts: Sequence[str], prefix: bytes) -> np.ndarray:
    """The hashes of the texts behind the prefix."""
    return np.array(
        [kernels.hash_bytes(prefix + text.encode()) or 1 for text in texts], np.uint64
    )


def strings(pieces: Sequence[bytes], present: np.ndarray | None) -> Column:
    """A column of these strings."""
    offsets = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    text = np.frombuffer(b"".join(pieces), np.uint8)
    kind = Kind(STRING, "large_strings")
    valid = None if present is None else bitmap(present)
    return Column(kind, len(pieces), offsets.view(np.uint8), valid, buffers=(text,))


# ---- time zones ---------------------------------------------------------------------------------


def offsets_from_utc(seconds: np.ndarray, zone: str) -> np.ndarray | int:
    """By how many seconds a zone's clocks are ahead of UTC at these seconds since 1970."""
    if zone in ("", "UTC", "Etc/UTC", "Z"):
        return 0
    fixed = FIXED_OFFSET.fullmatch(zone)
    if fixed:
        ahead = int(fixed[2]) * 3600 + int(fixed[3]) * 60
        return ahead if fixed[1] == "+" else -ahead
    clock = ZoneInfo(zone)

    def ahead_at(second: int) -> int:
        second = min(max(second, FIRST_SECOND), LAST_SECOND)
        utc = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        there = (utc + datetime.timedelta(seconds=second)).astimezone(clock)
        offset = there.utcoffset()
        assert offset is not None
        return round(offset.total_seconds())

    # Clocks are seldom changed, so the hours tell, but for those in which they are.
    hours, of_row = np.unique(seconds // 3600, return_inverse=True)
    before = np.array([ahead_at(3600 * hour) for hour in hours.tolist()], np.int64)
    after = np.array([ahead_at(3600 * hour + 3599) for hour in hours.tolist()], np.int64)
    offsets: np.ndarray = before[of_row]
    for row in np.flatnonzero((before != after)[of_row]).tolist():
        offsets[row] = ahead_at(int(seconds[row]))
    return offsets


# ---- objects of Python --------------------------------------------------------------------------


class Objects(Column):
    """A column of objects of Python, which becomes what is asked for."""

    def __init__(self, objects: list[Any]) -> None:
        self.objects = objects
        super().__init__(Kind(kind_of_objects(objects)), len(objects))

    @cached_property
    def present(self) -> np.ndarray:
        return np.array([not is_missing(value) for value in self.objects], bool)

    def category(self, prefix: bytes, missing: int) -> Any:
        return self.as_strings(text_of_object).category(prefix, missing)

    def number(self, hash_: int, missing: int) -> Any:
        kernels: Any = _core.kernels
        return kernels.TableColumn(
            "numbers", self.n, self.as_floats().view(np.uint8), type="float64", hash=hash_,
            missing=missing,
        )  # fmt: skip

    def as_floats(self) -> np.ndarray:
        return objects_as_floats(np.array([*self.objects, None], object)[:-1])

    def texts(self, rows: np.ndarray) -> list[str]:
        return self.as_strings(text_of_object).texts(rows)

    def documents(self) -> tuple[np.ndarray, np.ndarray]:
        return self.as_strings(text_of_object).documents()

    def as_strings(self, text: Callable[[Any], str | bytes]) -> Column:
        """The texts of the objects."""
        kernels: Any = _core.kernels

        def encode(number: int, value: Any) -> bytes:
            if not self.present[number]:
                return b""
            found = text(value)
            return found if isinstance(found, bytes) else found.encode()

        packed, offsets, _ = kernels.pack(self.objects, encode)
        kind = Kind(STRING, "large_strings")
        valid = bitmap(self.present)
        return Column(kind, self.n, offsets.view(np.uint8), valid, buffers=(packed,))

    def clock(self) -> tuple[np.ndarray, np.ndarray | None]:
        values = [value if there else None for value, there in zip(self.objects, self.present)]
        if self.kind.kind == DATE:
            return times(np.array(values, "datetime64[D]")).clock()
        if any(getattr(value, "tzinfo", None) for value in values if value is not None):
            values = [value and value.replace(tzinfo=None) for value in values]
        return times(np.array(values, "datetime64[us]")).clock()


def kind_of_objects(objects: list[Any]) -> str:
    """What a column of objects holds: strings, if it is a mixture."""
    types = set(map(type, objects))
    kinds = {kind_of_type(each) for each in types}
    if kinds & {FLOAT, NOTHING} or any(map(is_missing, objects)):
        # NaN is a float, and not a time is a time.
        kinds = {kind_of_type(type(value)) for value in objects if not is_missing(value)}
    if not kinds:
        return NOTHING
    if len(kinds) == 1:
        return kinds.pop()
    return FLOAT if kinds == {INTEGER, FLOAT} else STRING


def kind_of_type(kind: type) -> str:
    """What objects of this type are, if they are not missing; strings, if it is unknown."""
    for known, types in (
        (BOOLEAN, (bool, np.bool_)), (INTEGER, (int, np.integer)), (FLOAT, (float, np.floating)),
        (TIMESTAMP, (datetime.datetime, np.datetime64)), (DATE, (datetime.date,)),
    ):  # fmt: skip
        if issubclass(kind, types):
            return known
    return NOTHING if kind is type(None) else STRING


# ---- NumPy ----------------------------------------------------------------------------------------


def numbers(array: np.ndarray, missing: np.ndarray | None = None) -> Column:
    """A column of numbers or booleans of NumPy."""
    array = np.ascontiguousarray(array)
    valid = None if missing is None else bitmap(~missing)
    if array.dtype.kind == "b":
        bits = np.packbits(array, bitorder="little")
        return Column(Kind(BOOLEAN, "bits"), len(array), bits, valid)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    kind = Kind(FLOAT if array.dtype.kind == "f" else INTEGER, array.dtype.name)
    return Column(kind, len(array), array.view(np.uint8), valid)


def times(array: np.ndarray) -> Column:
    """A column of times or, if their unit is a day, dates, of NumPy."""
    unit = np.datetime_data(array.dtype)[0]
    if unit not in (*PER_SECOND, "D"):
        array, unit = array.astype("datetime64[us]"), "us"
    kind = Kind(DATE if unit == "D" else TIMESTAMP, "int64", unit)
    ticks = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False)
    valid = bitmap(~np.isnat(array))
    return Column(kind, len(array), ticks.view(np.int64).view(np.uint8), valid)


# ---- Arrow ----------------------------------------------------------------------------------------


def kind_of_schema(schema: arrow.Schema) -> Kind:
    """The kind of a column by its type in Arrow's C data interface."""
    name = (schema.format or b"").decode()
    if schema.dictionary:
        of_values = kind_of_schema(arrow.Schema.from_address(schema.dictionary))
        if of_values.coded or of_values.name:
            return of_values._replace(name=of_values.name or "codes of codes")
        return of_values._replace(storage=FORMATS[name][1], coded=True)
    if name in FORMATS:
        kind, storage = FORMATS[name]
        unit = {"tdD": "D", "tdm": "ms"}.get(name, "")
        return Kind(kind, storage, unit)
    if name.startswith("ts") and name[2:3] in UNITS and name[3:4] == ":":
        return Kind(TIMESTAMP, "int64", UNITS[name[2]], name[4:])
    return Kind("", name=OTHER_FORMATS.get(name[:2], f"Arrow's type {name!r}"))


#: Types of Arrow that cannot be hashed, by the beginning of their formats.
OTHER_FORMATS = {
    "d:": "decimals", "tt": "times of the day", "tD": "durations", "ti": "intervals",
    "+l": "lists", "+L": "lists", "+v": "lists", "+w": "lists", "+s": "structs", "+m": "maps",
    "+u": "unions", "+r": "runs", "w:": "binary values of one size",
}  # fmt: skip


def fields(schema: arrow.Schema) -> dict[str, Kind]:
    """The columns of a table by name."""
    if schema.format != b"+s":
        raise ValueError(
            "X must be a table, got a single column; pass a table with that one column"
        )
    children = cast(schema.children, POINTER(POINTER(arrow.Schema)))
    columns = [children[i].contents for i in range(schema.n_children)]
    return named([((c.name or b"").decode(), kind_of_schema(c)) for c in columns])


def named(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """The columns by name, each of which has to be there once."""
    found: dict[str, Any] = {}
    for name, column in pairs:
        if name in found:
            raise ValueError(f"X has two columns {name!r}; rename one")
        found[name] = column
    return found


def buffer_of(array: arrow.Array, number: int, size: int) -> np.ndarray:
    """So many bytes of a buffer of the array, not copied."""
    if not 0 <= number < array.n_buffers or size < 0:
        raise ValueError(f"an Arrow array has {array.n_buffers} buffers, and needs buffer {number}")
    if size == 0:
        return np.empty(0, np.uint8)
    address = array.buffers[number]
    if not address:
        raise ValueError(f"buffer {number} of an Arrow array is not there")
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)


def column_of_array(array: arrow.Array, kind: Kind, of_values: Kind | None, first: int, n: int) -> Column:
    """Rows `first` to `first` + n of an Arrow array, counted from its own first one."""
    offset = array.offset + first
    stop = offset + n
    if kind.kind == NOTHING and not kind.coded:
        return Column(kind, n)
    valid = None
    if n and array.null_count and array.n_buffers and array.buffers[0]:
        valid = buffer_of(array, 0, (stop + 7) // 8)
    if kind.coded or kind.kind != STRING:
        size = 0 if kind.storage == "bits" else np.dtype(kind.storage).itemsize
        needed = size * stop if size else (stop + 7) // 8
        column = Column(kind, n, buffer_of(array, 1, needed if n else 0), valid, offset)
        if not kind.coded:
            return column
        values = arrow.Array.from_address(array.dictionary)
        assert of_values is not None
        dictionary = column_of_array(values, of_values, None, 0, values.length)
        return replace(column, dictionary=dictionary)
    if n == 0:
        return strings([], None)
    if kind.storage == "string_views":
        sizes = buffer_of(array, array.n_buffers - 1, (array.n_buffers - 3) * 8).view(np.int64)
        buffers = tuple(buffer_of(array, 2 + k, int(size)) for k, size in enumerate(sizes))
        return Column(kind, n, buffer_of(array, 1, 16 * stop), valid, offset, buffers)
    dtype = np.dtype(np.int32 if kind.storage == "strings" else np.int64)
    offsets = buffer_of(array, 1, (stop + 1) * dtype.itemsize)
    text = buffer_of(array, 2, int(offsets.view(dtype)[-1]))
    return Column(kind, n, offsets, valid, offset, (text,))


class Reader:
    """The types of a table's columns by name, and its batches, each once."""

    def __init__(self, kinds: dict[str, Kind], n_rows: int | None) -> None:
        self.kinds = kinds
        self.n_rows = n_rows

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Column]]]:
        """The rows of each batch, and these of its columns, which are there until the next batch is
        asked for."""
        raise NotImplementedError


class ArrowReader(Reader):
    """A table by the PyCapsule interface."""

    def __init__(self, table: Any) -> None:
        n_rows = getattr(table, "num_rows", getattr(table, "height", None))
        if hasattr(table, "__arrow_c_stream__"):
            self._capsule = table.__arrow_c_stream__()
            self._stream = arrow.Stream.from_address(
                arrow._pointer_of(self._capsule, b"arrow_array_stream")
            )
            schema = arrow.Schema()
            arrow._checked(self._stream, self._stream.get_schema(self._stream, schema))
            try:
                self._read(schema)
            finally:
                schema.release(schema)
        else:
            self._stream = None
            self._capsule = table.__arrow_c_array__()
            self._read(
                arrow.Schema.from_address(arrow._pointer_of(self._capsule[0], b"arrow_schema"))
            )
        super().__init__(self._kinds, n_rows)

    def _read(self, schema: arrow.Schema) -> None:
        self._kinds = fields(schema)
        children = cast(schema.children, POINTER(POINTER(arrow.Schema)))
        self._of_values = [
            kind_of_schema(arrow.Schema.from_address(child.contents.dictionary))
            if child.contents.dictionary
            else None
            for child in (children[i] for i in range(schema.n_children))
        ]

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Column]]]:
        if self._stream is None:
            array = arrow.Array.from_address(arrow._pointer_of(self._capsule[1], b"arrow_array"))
            yield array.length, self._columns(array, names)
            return
        while True:
            array = arrow.Array()
            arrow._checked(self._stream, self._stream.get_next(self._stream, array))
            if not array.release:
                return
            try:
                yield array.length, self._columns(array, names)
            finally:
                array.release(array)

    def _columns(self, array: arrow.Array, names: Sequence[str]) -> dict[str, Column]:
        if array.null_count > 0:
            raise ValueError("X has rows that are missing as a whole; leave them out")
        children = cast(array.children, POINTER(POINTER(arrow.Array)))
        places = {name: i for i, name in enumerate(self.kinds)}
        return {
            name: column_of_array(
                children[places[name]].contents, self.kinds[name], self._of_values[places[name]],
                array.offset, array.length,
            )
            for name in names
        }  # fmt: skip


def single_column(array: Any) -> Column:
    """The rows of an Arrow array, copied into one chunk if there are several."""
    if hasattr(array, "combine_chunks"):
        array = array.combine_chunks()
    schema_capsule, array_capsule = array.__arrow_c_array__()
    schema = arrow.Schema.from_address(arrow._pointer_of(schema_capsule, b"arrow_schema"))
    data = arrow.Array.from_address(arrow._pointer_of(array_capsule, b"arrow_array"))
    kind, of_values = kind_of_schema(schema), None
    if schema.dictionary:
        of_values = kind_of_schema(arrow.Schema.from_address(schema.dictionary))
    if kind.name:
        return Column(kind, data.length)
    column = column_of_array(data, kind, of_values, 0, data.length)
    column.owner = (array, schema_capsule, array_capsule)  # type: ignore[attr-defined]
    return column


# ---- pandas ---------------------------------------------------------------------------------------


class PandasReader(Reader):
    """A frame of pandas, which is one batch."""

    def __init__(self, frame: Any) -> None:
        self._series = named(list(frame.items()))
        self._columns: dict[str, Column] = {}
        super().__init__(Kinds(self), len(frame))

    def column(self, name: str) -> Column:
        """The rows of a column, which are looked at once."""
        if name not in self._columns:
            self._columns[name] = column_of_series(self._series[name])
        return self._columns[name]

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Column]]]:
        assert self.n_rows is not None
        yield self.n_rows, {name: self.column(name) for name in names}


class Kinds(dict[str, Kind]):
    """The kinds of a frame's columns, found out when they are asked for: those of objects need a
    look at all rows."""

    def __init__(self, reader: PandasReader) -> None:
        super().__init__(dict.fromkeys(reader._series, Kind(NOTHING)))
        self._reader = reader

    def __getitem__(self, name: str) -> Kind:
        return self._reader.column(name).kind


def column_of_series(series: Any) -> Column:
    """A column of pandas where it lies; objects of Python and masked arrays are copied."""
    dtype, n = series.dtype, len(series)
    if isinstance(dtype, np.dtype):
        array = series.to_numpy()
        if dtype.kind in "biuf" and (dtype.kind == "b" or dtype.itemsize <= 8):
            return numbers(array)
        if dtype.kind == "M":
            return times(array)
        if dtype.kind == "O":
            return Objects(array.tolist())
        return Column(Kind("", name=f"dtype {dtype}"), n)
    if hasattr(dtype, "categories"):
        codes = series.cat.codes.to_numpy()
        dictionary = column_of_series(dtype.categories.to_series())
        if dictionary.kind.name:
            return Column(dictionary.kind, n)
        kind = dictionary.kind._replace(storage=codes.dtype.name, coded=True)
        found = numbers(codes, codes < 0)
        return Column(kind, n, found.values, found.valid, dictionary=dictionary)
    text = str(dtype) in ("str", "string")
    if hasattr(dtype, "pyarrow_dtype") or (text and dtype.storage == "pyarrow"):
        return single_column(series.array.__arrow_array__())
    if hasattr(dtype, "tz"):
        return times(series.dt.tz_localize(None).to_numpy())
    if getattr(dtype, "kind", "") in "biuf" and hasattr(dtype, "numpy_dtype"):
        missing = series.isna().to_numpy()
        return numbers(series.to_numpy(dtype=dtype.numpy_dtype, na_value=0), missing)
    if hasattr(series, "sparse"):
        return column_of_series(series.sparse.to_dense())
    if text:
        return Objects(series.to_numpy(dtype=object).tolist())
    return Column(Kind("", name=f"dtype {dtype}"), n)


def reader(table: Any) -> Reader:
    """What reads a table.

    Raises
    ------
    TypeError
        If it is not a table.
    """
    check_in_memory("X", table)
    if hasattr(table, "iloc") and hasattr(table, "items") and hasattr(table, "columns"):
        return PandasReader(table)
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
        return ArrowReader(table)
    raise TypeError(
        "X must be a table: a frame of pandas or polars, a table or record batch of pyarrow, or "
        f"anything with Arrow's __arrow_c_stream__, got {shown(table)}"
    )


def kinds_of(table: Any) -> dict[str, Kind]:
    """The kinds of a table's columns, none of whose rows is used up; it may be a schema."""
    check_in_memory("X", table)
    schema = table if hasattr(table, "__arrow_c_schema__") else getattr(table, "schema", None)
    if hasattr(schema, "__arrow_c_schema__") and not hasattr(table, "iloc"):
        capsule = schema.__arrow_c_schema__()
        return fields(arrow.Schema.from_address(arrow._pointer_of(capsule, b"arrow_schema")))
    return reader(table).kinds
