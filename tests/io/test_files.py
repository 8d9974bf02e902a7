"""Text is the same wherever it comes from and however it is packed."""

import bz2
import gzip
import io
import lzma
import os
import sys
import threading

import pytest

from lrcore.io import files
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, open_text

CONTENT = b"".join(b"%d 1:%d\n" % (i % 2, i) for i in range(5000))
PACKERS = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def zstd(content):
    pyarrow = pytest.importorskip("pyarrow")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


def unpacked(source, size=997):
    """Everything that a source has, taken a little at a time."""
    got, room = b"", bytearray(size)
    with open_text(source) as text:
        while n := text.readinto(memoryview(room)):
            got += room[:n]
    return got


class Trickle(io.RawIOBase):
    """A source that gives a byte or three at a time, and cannot seek."""

    def __init__(self, content):
        self._file = io.BytesIO(content)

    def readable(self):
        return True

    def read(self, size=-1):
        return self._file.read(min(size, 3))

    def readinto(self, room):
        return self._file.readinto(memoryview(room)[:1])


@pytest.mark.parametrize("packer", [*PACKERS, "zst"])
def test_a_file_is_unpacked_by_what_it_begins_with(tmp_path, packer):
    stored = PACKERS.get(packer, zstd)(CONTENT)
    path = tmp_path / "data.txt"
    path.write_bytes(stored)
    assert unpacked(path) == unpacked(str(path)) == CONTENT
    assert unpacked(io.BytesIO(stored)) == CONTENT
    assert unpacked(Trickle(stored)) == CONTENT


def test_a_file_that_only_reads(tmp_path):
    class Reader:
        read = io.BytesIO(gzip.compress(CONTENT)).read

    assert unpacked(Reader()) == CONTENT


def test_several_packed_files_in_one(tmp_path):
    assert unpacked(io.BytesIO(gzip.compress(CONTENT) + gzip.compress(b"more\n"))) == (
        CONTENT + b"more\n"
    )


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz"])
def test_a_damaged_file_is_named(tmp_path, packer):
    path = tmp_path / "data"
    path.write_bytes(PACKERS[packer](CONTENT)[:-20])
    with pytest.raises(DataError, match=rf"{path}: cut short or damaged"):
        unpacked(path)
    stored = bytearray(PACKERS[packer](CONTENT))
    stored[len(stored) // 2] ^= 0xFF
    path.write_bytes(stored)
    with pytest.raises(DataError, match=rf"{path}: "):
        unpacked(path)


@pytest.mark.parametrize("packer", ["plain", "gz"])
@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("1 1:1\n".encode("utf-16"), "encoded as UTF-16 or UTF-32; encode it as UTF-8"),
        ("1 1:1\n".encode("utf-32"), "encoded as UTF-16 or UTF-32; encode it as UTF-8"),
        (b"\xfe\xff" + "1 1:1\n".encode("utf-16-be"), "encoded as UTF-16; encode it as UTF-8"),
        (b"PAR1\x15\x04", "this is Parquet"),
        (b"ARROW1\0\0", "this is an Arrow file"),
        (b"PK\x03\x04", "this is a zip archive"),
    ],
)
def test_what_is_no_text_is_told(tmp_path, packer, start, message):
    path = tmp_path / "data"
    path.write_bytes(PACKERS[packer](start))
    with pytest.raises(DataError, match=rf"{path}: .*{message}"):
        unpacked(path)


def test_text_may_begin_like_other_files():
    for text in (b"PAR1,PAR2\n", b"ARROW1 1:1\n", b"PK 1", b"\xef\xbb", b""):
        assert unpacked(io.BytesIO(text), size=1) == text


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_byte_order_mark_is_left_out(size):
    assert unpacked(io.BytesIO(b"\xef\xbb\xbf" + CONTENT[:90]), size) == CONTENT[:90]
    assert unpacked(io.BytesIO(b"\xef\xbb\xbf"), size) == b""


def test_stdin_and_pipes(monkeypatch):
    inside, outside = os.pipe()

    def write():
        with open(outside, "wb") as file:
            file.write(gzip.compress(CONTENT))

    writer = threading.Thread(target=write)
    writer.start()
    with open(inside, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert unpacked("-") == CONTENT
    writer.join()


def test_urls(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://lrcore/data.gz", "wb") as file:
        file.write(gzip.compress(CONTENT))
    assert unpacked("memory://lrcore/data.gz") == CONTENT


@pytest.mark.parametrize(
    "module, source, message",
    [
        ("fsspec", "s3://bucket/rows", "reading s3://bucket/rows takes fsspec: pip install fsspec"),
        ("pyarrow", io.BytesIO(b"\x28\xb5\x2f\xfdmore"), "takes pyarrow: pip install pyarrow"),
    ],
)
def test_a_package_that_is_not_here_is_named(monkeypatch, module, source, message):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "compression", None)
    with pytest.raises(ImportError, match=message):
        unpacked(source)


def test_what_is_no_source():
    with pytest.raises(TypeError, match="a path or a binary file is needed, got 3"):
        unpacked(3)
    with pytest.raises(TypeError, match="binary mode"):
        unpacked(io.StringIO("1 1:1\n"))


def test_how_much_was_read(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(CONTENT)
    with open_text(path) as text:
        text.readinto(memoryview(bytearray(len(CONTENT) // 2)))
        assert text.share == pytest.approx(0.5, abs=0.01)
        text.readinto(memoryview(bytearray(len(CONTENT))))
        assert text.share == 1.0
        assert text.n_stored == len(CONTENT)
    with open_text(io.BytesIO(CONTENT)) as text:
        assert text.share == 0.5


def test_longest_magic_is_told():
    assert max(len(magic) for magic in files.UNPACKERS) == files.LONGEST_MAGIC


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_parts_of_a_text_that_is_read_ahead(tmp_path, pack):
    path = tmp_path / "data"
    path.write_bytes(pack(CONTENT))
    count = ReadBytes.of([path])
    assert count.total == path.stat().st_size
    with open_text(path) as text:
        text.readinto(memoryview(bytearray(len(CONTENT))))
        assert text.n_unpacked == len(CONTENT)
        quarter = len(CONTENT) // 4
        seen = [count.done for _ in count.follow(range(4), text, lambda part: quarter)]
    assert seen == pytest.approx([count.total * k / 4 for k in range(1, 5)], abs=4)
    assert count.done == count.total


def test_shares_of_something():
    count = ReadBytes(10)
    assert [count.done for _ in count.shares(range(3), 10, 3)] == [3, 6, 10]
    assert [count.done for _ in count.shares([1, 4], 10, 5, int)] == [12, 20]
    assert list(count.shares([], None, 0)) == []


def test_sizes_that_are_not_known(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(CONTENT)
    assert ReadBytes.of([path, str(path)]).total == 2 * len(CONTENT)
    for source in ("-", "s3://bucket/rows", io.BytesIO(CONTENT), tmp_path, "/dev/null"):
        assert ReadBytes.of([path, source]).total is None
