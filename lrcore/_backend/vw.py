"""Vowpal Wabbit's text line by line: what is wrong with a line, and rows without the core."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lrcore._backend.svmlight import is_finite, quoted


class VwRows(NamedTuple):
    """Rows of Vowpal Wabbit's text as CSR arrays, and what was found in it."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    #: NaN where there is none.
    labels: np.ndarray
    weights: np.ndarray
    bases: np.ndarray
    #: Where the tag of each row begins and ends in the text.
    tags: np.ndarray
    #: The place of the first line that is not valid, None if there is none.
    bad: int | None
    #: Lines that were left out.
    n_skipped: int


class LineError(ValueError):
    """A line that is not valid."""


class _Line(NamedTuple):
    label: float
    weight: float
    base: float
    tag: tuple[int, int]
    #: Sums by index.
    features: dict[int, float]


def problem(line: bytes, dtype: Any, mask: int) -> str:
    """What is wrong with a line; "" if nothing is."""
    try:
        _parse_line(line, np.dtype(dtype), mask)
    except LineError as error:
        return str(error)
    return ""


def parse(text: memoryview, dtype: np.dtype, mask: int, skip: bool) -> VwRows:
    """Rows by plain Python."""
    lines: list[_Line] = []
    bad, n_skipped, place = None, 0, 0
    for line in io.BytesIO(text):
        try:
            if line.removesuffix(b"\n").removesuffix(b"\r").strip(b" \t"):
                parsed = _parse_line(line, dtype, mask)
                begin, end = parsed.tag
                if end:
                    parsed = parsed._replace(tag=(place + begin, place + end))
                lines.append(parsed)
        except LineError:
            bad = place if bad is None else bad
            if not skip:
                break
            n_skipped += 1
        place += len(line)
    rows = [sorted(line.features.items()) for line in lines]
    values = [value for row in rows for _, value in row]
    return VwRows(
        np.array(values, dtype),
        np.array([index for row in rows for index, _ in row], np.int32),
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([line.label for line in lines], np.float64),
        np.array([line.weight for line in lines], np.float64),
        np.array([line.base for line in lines], np.float64),
        np.array([line.tag for line in lines], np.int64).reshape(len(lines), 2),
        bad,
        n_skipped,
    )


def _parse_line(line: bytes, dtype: np.dtype, mask: int) -> _Line:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    head, *namespaces = line.split(b"|")
    numbers, tag = _parse_head(head)
    features: dict[int, float] = {}
    for text in namespaces:
        for feature in _features(text, dtype):
            index = feature.hash & mask
            features[index] = features.get(index, 0.0) + feature.value
    for value in features.values():
        with np.errstate(over="ignore"):
            if not np.isfinite(dtype.type(value)):
                raise LineError(f"values of a feature must have a sum that is finite in {dtype}")
    label, weight, base = numbers
    return _Line(label, weight, base, tag, features)


def _parse_head(head: bytes) -> tuple[list[float], tuple[int, int]]:
    """Label, importance and base, and where the tag begins and ends."""
    if b"\t" in head:
        raise LineError("a tab before the first |: Vowpal Wabbit drops what is before it")
    words = [(m.start(), m.end()) for m in re.finditer(rb"[^ ]+", head)]
    tag = (0, 0)
    if words and (words[-1][1] == len(head) or head[words[-1][0]] == ord("'")):
        begin, end = words.pop()
        tag = (begin + (head[begin] == ord("'")), end)
    if len(words) > 3:
        raise LineError(f"label, importance, base and a tag were expected, got {quoted(head)}")
    numbers = [np.nan, 1.0, 0.0]
    for k, (begin, end) in enumerate(words):
        word = head[begin:end]
        if not is_finite(word, np.float64):
            name = ("label", "importance", "base")[k]
            raise LineError(f"the {name} must be a finite number, got {quoted(word)}")
        numbers[k] = float(word)
    if numbers[1] < 0:
        raise LineError(f"the importance must be >= 0, got {numbers[1]:g}")
    return numbers, tag


class Feature(NamedTuple):
    """A feature of a line: its hash, its value, and its name behind that of its namespace."""

    hash: int
    value: float
    namespace: bytes
    name: bytes

    def __str__(self) -> str:
        """As Vowpal Wabbit's audits have it: ``namespace^name``."""
        name = self.name.decode(errors="backslashreplace")
        space = self.namespace.decode(errors="backslashreplace")
        return f"{space}^{name}" if space else name


def features_of_line(line: bytes) -> list[Feature]:
    """The features of a line that are not 0.

    Raises
    ------
    LineError
        If one of them is not valid.
    """
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    return [each for text in line.split(b"|")[1:] for each in _features(text, np.dtype("d"))]


def _features(text: bytes, dtype: np.dtype) -> list[Feature]:
    """The features of a namespace, whose name the text begins with."""
    words = re.split(rb"[ \t]+", text)
    name, colon, number = words[0].partition(b":")
    if colon and not name:
        raise LineError(f"a namespace must have a name or none, got {quoted(words[0])}")
    scale = _value(words[0], number) if colon else 1.0
    namespace, space = name, _hash(name, 0) if name else 0
    found, anonymous = [], 0
    for word in filter(None, words[1:]):
        name, colon, number = word.partition(b":")
        value = (_value(word, number) if colon else 1.0) * scale
        if name:
            hash_ = _hash(name, space)
        else:
            hash_, name = space + anonymous, b"[%d]" % anonymous
            anonymous += 1
        found.append(Feature(hash_, value, namespace, name))
    with np.errstate(over="ignore"):
        values = np.array([feature.value for feature in found]).astype(dtype).tolist()
    return [feature for feature, value in zip(found, values) if value != 0]


def _value(word: bytes, number: bytes) -> float:
    if not is_finite(number, np.float64):
        raise LineError(f"the value must be a finite number, got {quoted(word)}")
    return float(number)


@lru_cache(1 << 16)
def _hash(name: bytes, seed: int) -> int:
    """The hash of a name: digits are their number, anything else is hashed."""
    from sklearn.utils import murmurhash3_32

    name = name.strip(bytes(range(33)))
    if not name or name.isdigit():
        return (int(name or b"0") + seed) % 2**32
    return int(murmurhash3_32(name, seed, positive=True))
