"""Columns of strings by the PyCapsule interface, of libraries and of a producer of our own."""

import ctypes

import numpy as np
import pandas as pd
import polars as pl
import pytest
from backends import use_backend
from documents import assert_same_matrix, corpus
from sklearn.feature_extraction.text import HashingVectorizer as Reference

from lrcore import HashingVectorizer, _core
from lrcore.feature_extraction import arrow, terms, unicode

CORPUS = corpus()
new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Column:
    """Strings in one layout of Arrow, as chunks; counts what is released."""

    def __init__(self, layout, *chunks, before=0, fail=False, dictionary=False):
        self.layout, self.chunks, self.before, self.fail = layout, chunks, before, fail
        self.dictionary, self.n_released, self.kept = dictionary, 0, []

    def buffers(self, strings):
        encoded = [(string or "").encode() for string in ["before"] * self.before + list(strings)]
        there = [string is not None for string in ["before"] * self.before + list(strings)]
        bits = np.packbits(np.array(there, bool), bitorder="little")
        if self.layout != b"vu":
            offsets = np.cumsum([0, *map(len, encoded)]).astype(arrow.OFFSETS[self.layout])
            return [bits, offsets, np.frombuffer(b"".join(encoded) + b"!", np.uint8)]
        views, data = [], [b"", b""]
        for i, string in enumerate(encoded):
            head = np.array([len(string)], np.int32).tobytes()
            if len(string) <= 12:
                views.append(head + string.ljust(12, b"\0"))
            else:
                place = np.array([i % 2, len(data[i % 2])], np.int32).tobytes()
                views.append(head + string[:4] + place)
                data[i % 2] += string
        sizes = np.array([len(each) for each in data], np.int64)
        each = [np.frombuffer(part + b"!", np.uint8) for part in data]
        return [bits, np.frombuffer(b"".join(views), np.uint8), *each, sizes]

    def released(self, struct):
        struct.contents.release = type(struct.contents.release)()
        self.n_released += 1

    def fill(self, array, strings):
        buffers = self.buffers(strings)
        addresses = (ctypes.c_void_p * len(buffers))(*(each.ctypes.data for each in buffers))
        array.length, array.null_count, array.offset = len(strings), -1, self.before
        array.n_buffers, array.n_children = len(buffers), 0
        array.buffers = ctypes.cast(addresses, type(array.buffers))
        array.release = type(array.release)(self.released)
        self.kept += [buffers, addresses, array.release]

    def schema(self, struct):
        struct.format = self.layout
        struct.dictionary = 1 if self.dictionary else None
        struct.release = type(struct.release)(self.released)
        self.kept.append(struct.release)

    def __arrow_c_stream__(self, requested_schema=None):
        chunks = iter(self.chunks)

        def get_schema(stream, schema):
            self.schema(schema.contents)
            return 0

        def get_next(stream, array):
            if self.fail:
                return 5
            strings = next(chunks, None)
            if strings is None:
                array.contents.release = type(array.contents.release)()
            else:
                self.fill(array.contents, strings)
            return 0

        stream = arrow.Stream()
        for name, function in (
            ("get_schema", get_schema), ("get_next", get_next),
            ("get_last_error", lambda stream: ctypes.cast(b"no disk", ctypes.c_void_p).value),
        ):  # fmt: skip
            kind = dict(arrow.Stream._fields_)[name]
            if name == "get_last_error":
                kind = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(arrow.Stream))
                function = kind(function)
                setattr(stream, name, ctypes.cast(function, dict(arrow.Stream._fields_)[name]))
            else:
                function = kind(function)
                setattr(stream, name, function)
            self.kept.append(function)
        self.kept.append(stream)
        return new_capsule(ctypes.addressof(stream), b"arrow_array_stream", None)


class OneArray(Column):
    """A column that has but one chunk, and no stream."""

    __arrow_c_stream__ = property()

    def __arrow_c_array__(self, requested_schema=None):
        schema, array = arrow.Schema(), arrow.Array()
        self.schema(schema)
        self.fill(array, self.chunks[0])
        self.kept += [schema, array]
        return (
            new_capsule(ctypes.addressof(schema), b"arrow_schema", None),
            new_capsule(ctypes.addressof(array), b"arrow_array", None),
        )


@pytest.fixture
def no_objects(monkeypatch):
    """No row may become an object of Python by iteration."""

    def refused(self, X):
        raise AssertionError("rows became objects")

    monkeypatch.setattr(terms.TextHashing, "_pieces_of_objects", refused)


LAYOUTS = [b"u", b"U", b"vu"]


@pytest.mark.usefixtures("no_objects")
@pytest.mark.parametrize("before", [0, 3, 8])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_chunks_and_offsets(layout, before):
    column = Column(layout, CORPUS[:7], [], CORPUS[7:8], CORPUS[8:], before=before)
    ours = HashingVectorizer(ngram_range=(1, 2)).transform(column)
    assert_same_matrix(ours, Reference(ngram_range=(1, 2)).transform(CORPUS))
    assert column.n_released == 5


@pytest.mark.usefixtures("no_objects")
@pytest.mark.parametrize("settings", [
    {}, {"lowercase": False}, {"strip_accents": "unicode"}, {"analyzer": "char_wb"},
    {"strip_accents": "ascii", "lowercase": False},
], ids=str)  # fmt: skip
def test_settings_and_pieces(settings, monkeypatch):
    monkeypatch.setattr(terms, "PIECE_BYTES", 500)
    ours = HashingVectorizer(**settings).transform(pl.Series(CORPUS))
    assert_same_matrix(ours, Reference(**settings).transform(CORPUS))


@pytest.mark.usefixtures("no_objects")
def test_polars():
    series = pl.concat([pl.Series(CORPUS), pl.Series(CORPUS[:5])], rechunk=False)
    assert_same_matrix(
        HashingVectorizer().transform(series[2:]), Reference().transform(series[2:].to_list())
    )


@pytest.mark.usefixtures("no_objects")
def test_one_array():
    column = OneArray(b"U", CORPUS)
    assert_same_matrix(HashingVectorizer().transform(column), Reference().transform(CORPUS))


@pytest.mark.parametrize("dtype", [object, "string", None])
def test_pandas(dtype):
    series = pd.Series(CORPUS, dtype=dtype, index=range(5, 5 + len(CORPUS)))
    assert_same_matrix(HashingVectorizer().transform(series), Reference().transform(series))


@pytest.mark.usefixtures("no_objects")
def test_pandas_columns_of_arrow_are_read_where_they_are():
    column = Column(b"u", CORPUS)  # whose capsule, unlike those of libraries, does not keep it

    class Extension:
        dtype = type("ArrowDtype", (), {"storage": "pyarrow"})()
        iloc, array = None, type("Array", (), {"__arrow_array__": lambda self: column})()

    assert_same_matrix(HashingVectorizer().transform(Extension()), Reference().transform(CORPUS))


@pytest.mark.usefixtures("no_objects")
@pytest.mark.parametrize("layout", ["string", "large_string", "string_view"])
def test_pyarrow(layout):
    pa = pytest.importorskip("pyarrow")
    kind = getattr(pa, layout)()
    theirs = Reference().transform(CORPUS)
    array = pa.array(["first", *CORPUS], kind)[1:]
    chunked = pa.chunked_array([CORPUS[:3], [], CORPUS[3:]], kind)
    series = pd.Series(pd.arrays.ArrowExtensionArray(chunked))
    strings = pd.Series(CORPUS, dtype=pd.StringDtype("pyarrow"))
    for X in (array, chunked, series, strings):
        assert_same_matrix(HashingVectorizer().transform(X), theirs)
    with pytest.raises(ValueError, match="missing documents, got None in row 1;"):
        HashingVectorizer().transform(pa.array(["a", None], kind))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_documents_are_named(layout):
    strings = ["ab", "a longer string than twelve", *["cd"] * 9, None, "e", None]
    with pytest.raises(ValueError, match="missing documents, got None in row 14;"):
        HashingVectorizer().transform(Column(layout, ["a", "b", "c"], strings, before=5))
    with pytest.raises(ValueError, match="missing documents, got None in row 1;"):
        HashingVectorizer().transform(pl.Series(["a", None]))
    for dtype in (object, "string", None):
        with pytest.raises(ValueError, match=r"missing documents, got .* in row 1;"):
            HashingVectorizer().transform(pd.Series(["a", None], dtype=dtype))


def test_columns_of_something_else():
    with pytest.raises(TypeError, match="str or bytes, got 1 in row 0"):
        HashingVectorizer().transform(pl.Series([1, 2]))
    assert arrow.string_chunks(Column(b"u", ["a"], dictionary=True)) is None
    assert arrow.string_chunks(Column(b"l", [])) is None
    categories = pl.Series(["ab", "cd"], dtype=pl.Categorical)
    assert_same_matrix(
        HashingVectorizer().transform(categories), Reference().transform(["ab", "cd"])
    )


def test_no_rows():
    with pytest.raises(ValueError, match="Cannot vectorize empty sequence"):
        HashingVectorizer().transform(pl.Series([], dtype=pl.String))


def test_streams_that_fail():
    with pytest.raises(OSError, match="the Arrow stream failed: no disk"):
        HashingVectorizer().transform(Column(b"u", ["a"], fail=True))


def test_damaged_columns_are_refused(monkeypatch):
    class Damaged(Column):
        def buffers(self, strings):
            buffers = super().buffers(strings)
            return self.damage(buffers)

    def refused(layout, damage, match, error=ValueError):
        column = Damaged(layout, ["a", "longer than twelve bytes", "c"])
        column.damage = damage
        with pytest.raises(error, match=match):
            HashingVectorizer().transform(column)

    def with_offsets(*values):
        return lambda b: [b[0], np.array(values, np.int64), b[2]]

    def with_view(place, *numbers):
        def damage(buffers):
            views = buffers[1].copy()
            views.view(np.int32)[place : place + len(numbers)] = numbers
            return [buffers[0], views, *buffers[2:]]

        return damage

    refused(b"U", with_offsets(0, 5, 2, 6), "document 1 is not within the text")
    refused(b"U", with_offsets(-4, 5, 5, 6), "document 0 is not within the text")
    refused(b"U", with_offsets(0, 1, 2, -1), "buffers")
    refused(b"U", lambda b: b[:2], "has 2 buffers")
    refused(b"vu", with_view(0, -1), "string 0 of an Arrow array has -1 bytes")
    refused(b"vu", with_view(6, 7), "string 1 of an Arrow array is in buffer 7 of 2")
    refused(b"vu", with_view(7, 5), "string 1 of an Arrow array is not within its buffer")
    refused(b"vu", with_view(4, 2**31 - 1), "string 1 of an Arrow array is not within its buffer")
    broken = np.frombuffer(b"a\xff\xfe" + b"x" * 99, np.uint8)
    refused(b"U", lambda b: [*b[:2], broken], "invalid start byte", UnicodeDecodeError)


def test_the_core_refuses_text_that_is_not_utf8(monkeypatch):
    kernels = use_backend(monkeypatch, _core.runnable()[0])
    hasher = terms.TextHashing(HashingVectorizer(), unicode.parse_token_pattern(r"\w+"))
    for bad in (
        b"\xff",
        b"ab\xc3",
        b"\xe2\x82",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xf8\x88",
    ):
        data = np.frombuffer(b"fine" + bad, np.uint8)
        with pytest.raises(UnicodeDecodeError):
            kernels.hash_documents(
                hasher.counted, hasher.hasher, data, np.array([0, 4, len(data)]), None, 1
            )
    with pytest.raises(ValueError, match="need the end"):
        kernels.hash_documents(hasher.counted, hasher.hasher, data, np.empty(0, np.int64), None, 1)
    with pytest.raises(ValueError, match="2 documents are said"):
        kernels.hash_documents(
            hasher.counted, hasher.hasher, data, np.array([0, 1]), np.zeros(2, np.uint8), 1
        )
