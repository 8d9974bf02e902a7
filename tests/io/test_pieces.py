"""Pieces are whole lines, wherever they are cut; results come in order, and threads end."""

import gc
import gzip
import io
import signal
import threading
import time
import tracemalloc

import pytest

from lrcore._utils import npz
from lrcore.io import pieces as module
from lrcore.io.errors import DataError
from lrcore.io.files import open_text
from lrcore.io.pieces import map_in_order, pieces

TEXTS = [
    b"",
    b"\n",
    b"a",
    b"one\ntwo\r\n\n\nfive, which is longer\nsix\n",
    b"one\ntwo\r\nlast",
    b"\xef\xbb\xbfone\ntwo\n",
    b"\xef\xbb\xbf",
    b"\xef\xbbone\n\xef\xbb\xbftwo",
]


def cut(content, size, **options):
    with open_text(io.BytesIO(content)) as text:
        return [(bytes(p.text), p.first_line) for p in pieces(text, size=size, **options)]


@pytest.mark.parametrize("content", TEXTS)
def test_a_text_cut_anywhere(content):
    expected = content.removeprefix(b"\xef\xbb\xbf")
    for size in range(1, 51):
        got = cut(content, size)
        assert b"".join(text for text, _ in got) == expected
        line = 1
        for k, (text, first_line) in enumerate(got):
            assert text
            assert first_line == line
            assert text.endswith(b"\n") or k == len(got) - 1
            line += text.count(b"\n")


def test_pieces_have_about_their_size():
    got = cut(b"0123456789\n" * 1000, 100)
    assert max(len(text) for text, _ in got) <= 120
    assert len(got) >= 90


def test_lines_and_numbers_of_places():
    with open_text(io.BytesIO(b"one\ntwo\nthree")) as text:
        (piece,) = pieces(text)
    assert [piece.line_number(k) for k in (0, 4, 8)] == [1, 2, 3]
    assert [piece.line(k) for k in (0, 4, 8)] == [b"one", b"two", b"three"]
    long = module.Piece(memoryview(b"x" * 100_000 + b"\ny"), 5)
    assert long.line(0) == b"x" * 100_000


def test_a_line_that_is_too_long(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    assert cut(b"x\n" + b"y" * 900 + b"\nz", 10)[1] == (b"y" * 900 + b"\nz", 2)
    with pytest.raises(DataError, match=r"<file>:2: a line of more than 1,000 bytes"):
        cut(b"x\n" + b"y" * 9000 + b"\nz", 10)


def test_a_line_that_is_too_long_takes_twice_its_limit(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LINE", 1 << 24)
    packed = gzip.compress(bytes(1 << 27))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"<file>:1: a line of more than 16,777,216 bytes"):
            cut(packed, 1 << 16)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * module.LONGEST_LINE
    finally:
        tracemalloc.stop()


def test_a_text_that_is_kept_whole_may_not_unpack_to_far_more_than_is_stored(monkeypatch):
    monkeypatch.setattr(npz, "MOST_BYTES", 1 << 14)
    packed = gzip.compress(b"1 1:1\n" * 2**18)
    assert len(b"".join(text for text, _ in cut(packed, 1000))) == 6 * 2**18
    with pytest.raises(DataError, match=r"<file>:\d+: unpacks to more than the [\d,]+ bytes"):
        cut(packed, 1000, bounded=True)


# ---- threads --------------------------------------------------------------------------------


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("lrcore")]


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_results_come_in_order(n_threads):
    def function(k):
        time.sleep(0.002 * (k % 3))
        return k * k

    assert list(map_in_order(function, range(40), n_threads)) == [k * k for k in range(40)]
    assert threads() == []


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_items_are_not_taken_long_before_they_are_needed(n_threads):
    taken = []
    results = map_in_order(lambda k: k, (taken.append(k) or k for k in range(100)), n_threads)
    for k in range(50):
        assert next(results) == k
        assert len(taken) <= k + 1 + module.AHEAD * n_threads
    results.close()
    assert threads() == []
    assert len(taken) <= 50 + module.AHEAD * n_threads


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_an_exception_comes_in_its_place(n_threads):
    def function(k):
        time.sleep(0.01 if k < 7 else 0)
        if k >= 7:
            raise ValueError(k)
        return k

    got, error = taken(map_in_order(function, range(20), n_threads))
    assert got == list(range(7))
    assert isinstance(error, ValueError)
    assert error.args == (7,)
    assert threads() == []


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_an_exception_of_the_items_comes_after_the_results_before_it(n_threads):
    def items():
        yield from range(5)
        raise OSError("gone")

    def function(k):
        time.sleep(0.005)
        return k

    got, error = taken(map_in_order(function, items(), n_threads))
    assert got == list(range(5))
    assert isinstance(error, OSError)
    assert threads() == []


def taken(results):
    """All results, and the exception that they end with."""
    got = []
    try:
        for result in results:
            got.append(result)
    except Exception as error:
        return got, error
    return got, None


def test_ctrl_c_leaves_no_threads(ctrl_c):
    def function(k):
        if k == 20:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.002)

    with pytest.raises(KeyboardInterrupt):
        list(map_in_order(function, iter(range(10**9)), 2))
    assert threads() == []


def test_results_that_nobody_takes_any_more():
    results = map_in_order(lambda k: k, iter(range(10**9)), 2)
    next(results)
    del results
    gc.collect()
    assert threads() == []
