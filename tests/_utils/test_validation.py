import math

import numpy as np
import pytest

from lrcore._utils import validation as check

NUMBERS = (0, 1, 0.5, np.float32(0.25), np.int8(1))
NO_NUMBERS = (None, "1", True, np.True_, 1j, [1.0], np.ones(2))


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("name", ["check_number", "check_nonnegative", "check_share"])
def test_numbers(name, value):
    getattr(check, name)("x", value)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize(
    "name", ["check_number", "check_nonnegative", "check_positive", "check_share", "check_fraction"]
)
def test_what_is_no_number(name, value):
    with pytest.raises(TypeError, match=r"^x must be a number, got "):
        getattr(check, name)("x", value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 1.0, np.float64(2.0)], ids=repr)
def test_what_is_no_integer(value):
    for name in ("check_integer", "check_seed"):
        with pytest.raises(TypeError, match=r"^n must be an integer, got "):
            getattr(check, name)("n", value)


@pytest.mark.parametrize("value", [1, np.int64(7), np.uint8(200), 2**80])
def test_integers(value):
    check.check_integer("n", value)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: check.check_number("x", math.nan), "x must be finite, got nan"),
        (lambda: check.check_number("x", -1, 0), "x must be finite, >= 0, got -1"),
        (lambda: check.check_number("x", 2, 0, 1), "x must be finite, >= 0 and <= 1, got 2"),
        (lambda: check.check_number("x", math.inf, 0), "x must be finite, >= 0, got inf"),
        (lambda: check.check_nonnegative("x", -0.5), "x must be finite and >= 0, got -0.5"),
        (lambda: check.check_nonnegative("x", math.inf), "x must be finite and >= 0, got inf"),
        (lambda: check.check_positive("x", 0.0), "x must be > 0, got 0.0"),
        (lambda: check.check_positive("x", 0, "try 1"), "x must be > 0, got 0; try 1"),
        (lambda: check.check_positive("x", -1), "x must be finite and >= 0, got -1"),
        (lambda: check.check_share("x", 1.5), r"x must be in \[0, 1\], got 1.5"),
        (lambda: check.check_share("x", math.nan), "x must be finite and >= 0, got nan"),
        (lambda: check.check_fraction("x", 1), r"x must be in \[0, 1\), got 1"),
        (lambda: check.check_integer("n", 0), "n must be >= 1, got 0"),
        (lambda: check.check_integer("n", np.uint8(0)), "n must be >= 1, got "),
        (lambda: check.check_integer("n", -1, least=0), "n must be >= 0, got -1"),
        (lambda: check.check_seed("seed", -1), r"seed must be in 0 to 2\*\*63 - 1, got -1"),
        (lambda: check.check_seed("seed", 2**63), r"seed must be in 0 to 2\*\*63 - 1, got 9"),
    ],
)
def test_out_of_range(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_ends_of_the_ranges():
    check.check_number("x", 0, 0, 1)
    check.check_number("x", -1e300)
    check.check_share("x", 1.0)
    check.check_fraction("x", np.nextafter(1.0, 0.0))
    check.check_positive("x", 5e-324)
    check.check_integer("n", -5, least=None)
    check.check_seed("seed", 2**63 - 1)


def test_flags():
    check.check_flag("f", True)
    check.check_flag("f", np.False_)
    for value in (0, 1, None, "yes"):
        with pytest.raises(TypeError, match=r"^f must be True or False, got "):
            check.check_flag("f", value)


@pytest.mark.parametrize(
    "value, text",
    [
        (np.float64(1.0), "1.0"),
        (np.float32(0.1), "0.1"),
        (np.int64(-3), "-3"),
        (np.bool_(True), "True"),
        (np.str_("zz"), "'zz'"),
        (np.datetime64("2020-01-01"), "2020-01-01"),
        (np.array([1.0, -2.0]), "[1.0, -2.0]"),
        (np.zeros((3, 4)), "an array of shape (3, 4)"),
        ([np.int64(1), (np.float64(0.5),)], "[1, (0.5,)]"),
        ({np.str_("a"): np.float32(0.5)}, "{'a': 0.5}"),
        ("it's", '"it\'s"'),
        (None, "None"),
    ],
)
def test_what_messages_show(value, text):
    assert check.shown(value) == text


def test_messages_do_not_show_all_of_long_values():
    assert check.shown(list(range(1000))).endswith("...")
    assert len(check.shown("a" * 1000)) < 210
