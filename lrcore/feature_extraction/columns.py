"""The columns of a table as the core reads them: where they lie, in Arrow's layouts."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from lrcore import _core
from lrcore._utils.missing import is_missing, objects_as_floats
from lrcore._utils.validation import shown

#: What a column holds, as far as hashing is concerned.
STRING, INTEGER, FLOAT, BOOLEAN, DATE, TIMESTAMP, NOTHING = (
    "strings", "integers", "floats", "booleans", "dates", "timestamps", "missing values alone",
)  # fmt: skip

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
    number = float(value)
    if abs(number) < 1e16 and number.is_integer():
        return str(int(number))
    return str(value) if isinstance(value, np.floating) else repr(number)


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
    #: What has to live as long as the buffers.
    owner: Any = None

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
            return kernels.TableColumn(storage, self.n, self.values, prefix=prefix, **held, **known)
        if kind == INTEGER:
            return kernels.TableColumn(
                "integers", self.n, self.values, type=storage, prefix=prefix, **known
            )
        codes, texts = self.coded
        hashes = hashes_of(texts, prefix)
        known["valid"] = bitmap(self.present)
        return kernels.TableColumn(
            "codes",
            self.n,
            codes.view(np.uint8),
            type="int64",
            hashes=hashes,
            **known | {"offset": 0},
        )

    def number(self, hash_: int, missing: int, scale: float = 1.0) -> Any:
        """The column as one of numbers, each over the scale."""
        kernels: Any = _core.kernels
        if self.dictionary is not None or self.kind.kind == NOTHING or scale != 1:
            numbers = self.as_floats() / scale
            return kernels.TableColumn(
                "numbers",
                self.n,
                numbers.view(np.uint8),
                type="float64",
                hash=hash_,
                missing=missing,
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
        if self.dictionary is not None:
            return self.valid_rows & np.append(self.dictionary.present, False)[self.codes]
        if self.kind.kind == FLOAT:
            return self.valid_rows & ~np.isnan(self.array)
        return self.valid_rows

    @property
    def valid_rows(self) -> np.ndarray:
        """Whether rows are said to have a value."""
        if self.valid is None:
            return np.ones(self.n, bool)
        bits = np.unpackbits(self.valid, count=self.offset + self.n, bitorder="little")
        return bits[self.offset :].astype(bool)

    @cached_property
    def codes(self) -> np.ndarray:
        """Which value of the dictionary rows have; one behind the last for none."""
        assert self.dictionary is not None
        none = self.dictionary.n
        codes: np.ndarray = np.where(self.valid_rows, self.array, none).astype(np.intp)
        if ((codes < 0) | (codes > none) | ((codes == none) & self.valid_rows)).any():
            raise ValueError("a code stands for no value of the dictionary")
        return codes

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
        numbers[self.present] = self.dictionary.as_floats()[self.codes[self.present]]
        return numbers

    def texts(self, rows: np.ndarray) -> list[str]:
        """The texts of rows that have a value, as categories."""
        if self.dictionary is not None:
            return self.dictionary.texts(self.codes[rows])
        if self.kind.kind == STRING:
            text, offsets = gathered(*self.documents(), rows)
            pieces = [text[a:b].tobytes() for a, b in pairwise(offsets)]
            return [piece.decode(errors="surrogateescape") for piece in pieces]
        if self.kind.kind == INTEGER:
            return list(map(str, self.array[rows].tolist()))
        codes, texts = self.coded
        return [texts[code] for code in codes[rows]]

    def documents(self) -> tuple[np.ndarray, np.ndarray]:
        """Strings one behind the other, and where each begins and the last one ends; empty where
        there is none."""
        kernels: Any = _core.kernels
        if self.kind.kind == NOTHING:
            return np.empty(0, np.uint8), np.zeros(self.n + 1, np.int64)
        if self.dictionary is not None:
            text, offsets = self.dictionary.documents()
            # One more, which is empty.
            offsets = np.append(offsets, offsets[-1])
            return gathered(text, offsets, self.codes)
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
        if (np.diff(offsets)[~self.present] > 0).any():
            # Something stands where there is no value.
            lengths = np.diff(offsets) * self.present
            return gathered(self.buffers[0], offsets[:-1], np.arange(self.n), lengths)
        return self.buffers[0], offsets

    def clock(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Days since 1970 and, of times, seconds of the day, in the column's time zone; any
        where there is no value."""
        if self.dictionary is not None:
            days, seconds = self.dictionary.clock()
            of_rows = None if seconds is None else np.append(seconds, 0)[self.codes]
            return np.append(days, 0)[self.codes], of_rows
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


def hashes_of(texts: Sequence[str], prefix: bytes) -> np.ndarray:
    """The hashes of the texts behind the prefix."""
    kernels: Any = _core.kernels
    return np.array([kernels.hash_bytes(prefix + text.encode()) or 1 for text in texts], np.uint64)


def gathered(
    text: np.ndarray, offsets: np.ndarray, rows: np.ndarray, lengths: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Some of the strings one behind the other, and where each begins and the last one ends.

    >>> text, offsets = np.frombuffer(b"abcdef", np.uint8), np.array([0, 1, 3, 6])
    >>> gathered(text, offsets, np.array([2, 0]))[0].tobytes()
    b'defa'
    """
    if lengths is None:
        lengths = np.diff(offsets)[rows]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    places = np.repeat(offsets[rows] - bounds[:-1], lengths) + np.arange(bounds[-1])
    return text[places], bounds


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

    def number(self, hash_: int, missing: int, scale: float = 1.0) -> Any:
        kernels: Any = _core.kernels
        return kernels.TableColumn(
            "numbers", self.n, (self.as_floats() / scale).view(np.uint8), type="float64",
            hash=hash_, missing=missing,
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


# ---- NumPy --------------------------------------------------------------------------------------


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
