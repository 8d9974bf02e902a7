"""Patterns of tokens, and tables of characters."""

import re
import sys

import numpy as np
import pytest
from documents import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcore.feature_extraction.unicode import (
    ascii_class,
    has_surrogates,
    parse_token_pattern,
    wide_class,
)

RUNS = {
    r"(?u)\b\w\w+\b": (r"(?u)\w", 2), r"\b\w+\b": (r"\w", 1), r"(?u)\b\w\w\w+\b": (r"(?u)\w", 3),
    r"\w+": (r"\w", 1), r"[a-z]+": ("[a-z]", 1), r"(?i)[a-z]{4,}": ("(?i)[a-z]", 4),
    r"\w\w*": (r"\w", 1), r"(\w\w+)": (r"\w", 2), r"\b(\w{2,})\b": (r"\w", 2), r"\S+": (r"\S", 1),
    r"[^\s,;]+": (r"[^\s,;]", 1), r"(?a)\w\w+": (r"(?a)\w", 2), r"[\w'-]+": (r"[\w'-]", 1),
    r"(?u)\b\w\w+": (r"(?u)\w", 2),
    r"\d\d{2,}": (r"\d", 3), r"[A-Za-z0-9]+": ("[A-Za-z0-9]", 1),
}  # fmt: skip

OTHERS = [
    r"\w*", r"\w", r"", r"\w{2,5}", r"\w+?", r"\w++", r"\b[a-z]+\b", r"\w\d+", r"(\w)\w+",
    r"\w+|\d+", r"(?x)\w +", r"\Bw+", r".+", r"[a-z", r"[]a]+", r"(?:\w+)", r"\w{0,}", r"[^]a]+",
    r"(?L)\w+", r"(\w\w+", r"[a\]b]+",
]  # fmt: skip


@pytest.mark.parametrize("pattern", RUNS)
def test_runs_of_characters(pattern):
    assert parse_token_pattern(pattern) == RUNS[pattern]


@pytest.mark.parametrize("pattern", OTHERS)
def test_other_patterns_are_not_taken_for_runs(pattern):
    assert parse_token_pattern(pattern) is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(RUNS)), TEXTS)
def test_a_pattern_finds_the_long_enough_runs(pattern, text):
    character, min_length = parse_token_pattern(pattern)
    one = re.compile(character)
    marked = "".join(c if one.match(c) else "\ud800" for c in text)
    runs = [run for run in marked.split("\ud800") if len(run) >= min_length]
    assert re.findall(pattern, text) == runs


@pytest.mark.parametrize("character", [r"\w", r"\s", r"(?a)\w", "[^a-z]", r"(?i)[k]"])
def test_tables_are_those_of_the_running_python(character):
    bits = np.unpackbits(wide_class(character), bitorder="little")
    assert len(bits) >= sys.maxunicode + 1
    one = re.compile(character)
    points = [
        *range(0x800),
        *range(0x2000, 0x2300),
        *range(0xD7F0, 0xE010),
        *range(0, 0x110000, 97),
    ]
    for c in (*points, sys.maxunicode):
        assert bits[c] == (one.match(chr(c)) is not None), hex(c)
    np.testing.assert_array_equal(ascii_class(character), bits[:128])


def test_words_are_what_isalnum_says_and_underscores():
    bits = np.unpackbits(wide_class(r"\w"), bitorder="little")
    expected = [c for c in range(sys.maxunicode + 1) if chr(c).isalnum() or c == ord("_")]
    np.testing.assert_array_equal(np.flatnonzero(bits), expected)
    assert not has_surrogates(r"\w")
    assert has_surrogates(r"\S")
