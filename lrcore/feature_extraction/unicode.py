"""Classes of characters as tables, made by the running Python's own regular expressions, and the
patterns of tokens that are runs of such characters."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import NamedTuple

import numpy as np

#: A pattern that finds whole runs of characters of one class. Nothing else has to stand around
#: `\\w`: a run of these begins and ends at a boundary of words.
RUNS = re.compile(
    r"""
    (?P<flags>(?:\(\?[aiu]+\))?)
    (?P<before>(?:\\b)?) (?P<group>\()?
    (?P<one>\\[wWsSdD] | \[\^?(?:[^\\\[\]^]|\\[wWsSdD])+\])
    (?P<more>(?:(?P=one))*) (?:(?P<sign>[+*]) | \{(?P<least>[0-9]{1,9}),\})
    (?(group)\)) (?P<after>(?:\\b)?)
    """,
    re.VERBOSE,
)


class TokenPattern(NamedTuple):
    """Tokens that are whole runs of characters, each of which matches the pattern `character`."""

    character: str
    min_length: int


#: Characters that `str.split` and ``\\s`` take for blanks.
BLANK = r"\s"


def parse_token_pattern(pattern: str) -> TokenPattern | None:
    r"""The runs of characters that a pattern finds; None if it finds anything else.

    >>> parse_token_pattern(r"(?u)\b\w\w+\b")
    TokenPattern(character='(?u)\\w', min_length=2)
    >>> parse_token_pattern(r"[a-z]{3,}")
    TokenPattern(character='[a-z]', min_length=3)
    >>> parse_token_pattern(r"\w+-\w+")
    """
    found = RUNS.fullmatch(pattern)
    if found is None or ((found["before"] or found["after"]) and found["one"] != r"\w"):
        return None
    least = int(found["least"]) if found["least"] else int(found["sign"] == "+")
    min_length = len(found["more"]) // len(found["one"]) + least
    return TokenPattern(found["flags"] + found["one"], min_length) if min_length else None


@cache
def ascii_class(character: str) -> np.ndarray:
    """A byte for each ASCII character, 1 for those that match the pattern."""
    matches = re.compile(character).match
    return np.array([matches(chr(c)) is not None for c in range(128)], np.uint8)


@cache
def wide_class(character: str) -> np.ndarray:
    """A bit for each code point, lone surrogates included, 1 for those that match the pattern; in
    bytes whose lowest bit comes first.

    It takes some 20 ms, once for each pattern.
    """
    points = np.arange(sys.maxunicode + 1, dtype="<u4").tobytes()
    text = points.decode("utf-32-le", "surrogatepass")
    found = np.zeros(len(text), bool)
    for run in re.finditer(f"{character}+", text):
        found[run.start() : run.end()] = True
    return np.packbits(found, bitorder="little")


def has_surrogates(character: str) -> bool:
    """Whether lone surrogates match the pattern, which have no UTF-8."""
    return bool(wide_class(character)[0xD800 >> 3 : 0xE000 >> 3].any())
