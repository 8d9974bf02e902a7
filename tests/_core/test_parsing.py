"""Numbers in text are rounded as Python rounds them."""

import decimal
import locale
import math
import random
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcore import _core

number = _core.parsers().number


def agrees(text):
    """Whether the text is the number that Python takes it for, bit for bit."""
    value, length = number(text.encode())
    return struct.pack("d", value) == struct.pack("d", float(text)) and length == len(text)


EDGES = [
    "0", "-0", "+0.", ".0", "00012", "1e-400", "-1e-400", "1e400", "5e-324",
    "2.4703282292062327e-324", "2.4703282292062328e-324", "1.7976931348623159e308",
    "1.7976931348623158e308", "0e999999999", "1e-999999999999", "0" * 5000 + "1", "1" * 5000,
    "." + "0" * 5000 + "1e5000", "9007199254740993", "9007199254740992.5",
    "2.2250738585072011e-308", "2.2250738585072014e-308", "1e23", "8.5e22", "1e22",
    "18446744073709551615", "18446744073709551616", "9999999999999999999", "1234567.8901234567890",
    "0.500000000000000166533453693773481063544750213623046875",
    "0.000000000000000000000000000001234567",
]  # fmt: skip


@pytest.mark.parametrize("text", EDGES, ids=lambda text: text[:25])
def test_edges(text):
    assert agrees(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 24))
def test_any_number_with_any_digits(value, digits):
    assert agrees(repr(value))
    assert agrees(f"{value:.{digits}e}")
    assert agrees(f"{value:.{digits}g}")


@given(st.integers(0, 10**25), st.integers(-345, 310), st.integers(0, 25))
def test_any_digits_and_exponent(digits, exponent, n_zeros):
    assert agrees(f"{digits}e{exponent}")
    assert agrees(f"-0.{'0' * n_zeros}{digits}E{exponent:+d}")
    assert agrees(f"{digits}.{digits}")


def test_halfway_between_two_numbers_and_beside_it():
    rng = random.Random(0)
    with decimal.localcontext() as context:
        for _ in range(3000):
            below = abs(struct.unpack("d", rng.randbytes(8))[0])
            if not 1e-290 < below < 1e290:
                continue
            half = (Fraction(below) + Fraction(math.nextafter(below, math.inf))) / 2
            context.prec = rng.choice([17, 18, 19, 20, 30, 800])
            assert agrees(str(decimal.Decimal(half.numerator) / half.denominator))
        for _ in range(3000):
            odd = 2 * rng.randrange(2**52, 2**53) + 1
            assert agrees(f"{odd}e{rng.randrange(-5, 25)}")


@pytest.mark.parametrize(
    "text",
    ["", ".", "+", "-", "e5", "1e", "1e+", "-.", ".e1", "nan", "inf", "--1", "x", "_1", " 1"],
)
def test_what_is_no_number(text):
    assert number(text.encode()) is None


@pytest.mark.parametrize(
    "text, length", [("1_0", 1), ("0x10", 1), ("1:2", 1), ("1.5.2", 3), ("1 ", 1)]
)
def test_where_a_number_ends(text, length):
    assert number(text.encode())[1] == length


def test_nothing_behind_the_text_is_read():
    text = b"12345678901234567890.5e17:99"
    for stop in range(len(text)):
        view = memoryview(text)[:stop]
        assert number(view) == number(bytes(view))


def test_the_locale_does_not_matter():
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"):
            try:
                locale.setlocale(locale.LC_NUMERIC, name)
            except locale.Error:
                continue
            assert number(b"0.12345678901234567890123")[0] == 0.12345678901234567890123
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
