"""FeatureHasher against scikit-learn's, bit for bit, and MurmurHash3 against what was published."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
from backends import use_backend
from documents import TEXTS, assert_same_matrix
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction import FeatureHasher as Reference
from sklearn.utils import murmurhash3_32
from strategies import BUILDS

from lrcore import FeatureHasher, _core
from lrcore.feature_extraction import hashing

#: Strings and their hashes with seed 0, as published.
VECTORS = {
    b"": 0, b"\xff\xff\xff\xff": 0x76293B50, b"\x21\x43\x65\x87": 0xF55B516B,
    b"\x21\x43\x65": 0x7E4A8634, b"\x21\x43": 0xA0F7B07A, b"\x21": 0x72661CF4,
    b"\0\0\0\0": 0x2362F9DE, b"\0\0\0": 0x85F0B427, b"\0\0": 0x30F4C306, b"\0": 0x514E28B7,
    b"test": 0xBA6BD213, b"Hello, world!": 0xC0363E43,
    b"The quick brown fox jumps over the lazy dog": 0x2E4FF723,
}  # fmt: skip


def key(h, n_features):
    """The key of a hash, an integer of 32 bits without a sign."""
    signed = h - (1 << 32) if h >> 31 else h
    return 2 * (abs(signed) % n_features) + (signed < 0)


@pytest.mark.parametrize("n_features", [2**31 - 1, 2**30, 2**20, 1000, 3, 1])
@pytest.mark.parametrize("build", BUILDS)
def test_hashes_are_those_published(build, n_features):
    kernels = _core.load(build)
    keys, _ = kernels.hash_strings([list(VECTORS)], n_features, True)
    expected = [key(h, n_features) for h in VECTORS.values()]
    np.testing.assert_array_equal(keys, expected)


def test_the_smallest_hash_has_no_absolute_value():
    name = smallest_hash_name()
    assert murmurhash3_32(name) == -(2**31)
    for n_features in (2**20, 1000, 7, 2**31 - 1):
        for alternate_sign in (True, False):
            arguments = {"n_features": n_features, "alternate_sign": alternate_sign}
            arguments["input_type"] = "string"
            ours = FeatureHasher(**arguments).transform([[name]])
            assert_same_matrix(ours, Reference(**arguments).transform([[name]]))


def smallest_hash_name():
    """Four bytes whose hash is -2**31: every step of MurmurHash3 of them is undone."""
    mask = (1 << 32) - 1

    def inverse(a):
        return pow(a, -1, 1 << 32)

    def unshift(h, r):
        x = h
        for _ in range(32 // r + 1):
            x = h ^ (x >> r)
        return x

    def rotated_back(x, r):
        return ((x >> r) | (x << (32 - r))) & mask

    h = unshift(1 << 31, 16)
    h = unshift(h * inverse(0xC2B2AE35) & mask, 13)
    h = unshift(h * inverse(0x85EBCA6B) & mask, 16) ^ 4
    k = rotated_back((h - 0xE6546B64) * inverse(5) & mask, 13)
    k = rotated_back(k * inverse(0x1B873593) & mask, 15) * inverse(0xCC9E2D51) & mask
    return k.to_bytes(4, "little")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(TEXTS, st.binary(max_size=40)), max_size=20), st.integers(1, 2**31 - 1))
def test_hashes_are_those_of_scikit_learn(names, n_features):
    keys, indptr = _core.load(BUILDS[0]).hash_strings([names], n_features, True)
    expected = [key(murmurhash3_32(name, positive=True), n_features) for name in names]
    np.testing.assert_array_equal(keys, np.array(expected, np.uint32))
    assert indptr.tolist() == [0, len(names)]


NAMES = st.one_of(TEXTS, st.sampled_from(["a", "b", "c"]), st.binary(max_size=9))
VALUES = st.one_of(
    st.floats(allow_nan=False, width=32), st.integers(-3, 3), st.text(max_size=3), st.booleans()
)
FINITE = VALUES.filter(lambda value: not isinstance(value, float) or abs(value) < 1e30)
ROWS = {
    "dict": st.dictionaries(NAMES, FINITE, max_size=30),
    "pair": st.lists(st.tuples(NAMES, FINITE), max_size=40),
    "string": st.lists(NAMES, max_size=100),
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_bits_are_those_of_scikit_learn(data):
    kind = data.draw(st.sampled_from(list(ROWS)))
    rows = data.draw(st.lists(ROWS[kind], min_size=1, max_size=4))
    settings = {
        "n_features": data.draw(st.sampled_from([1, 2, 7, 64, 2**20, 2**31 - 1])),
        "alternate_sign": data.draw(st.booleans()),
        "dtype": data.draw(st.sampled_from([np.float32, np.float64])),
        "input_type": kind,
    }
    ours = FeatureHasher(**settings).transform(rows)
    assert_same_matrix(ours, Reference(**settings).transform(rows))


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_terms_that_share_columns(kind, dtype):
    rng = np.random.default_rng(0)
    names = [[f"f{k}" for k in rng.integers(0, 5000, n)] for n in (0, 3, 70, 5000, 0)]
    rows = {
        "string": names,
        "pair": [list(zip(row, rng.standard_normal(len(row)).tolist())) for row in names],
        "dict": [dict(zip(row, rng.standard_normal(len(row)).tolist())) for row in names],
    }[kind]
    for n_features in (16, 1000):
        settings = {"input_type": kind, "n_features": n_features, "dtype": dtype}
        ours = FeatureHasher(**settings).transform(iter(rows))
        assert_same_matrix(ours, Reference(**settings).transform(rows))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("build", BUILDS)
def test_builds_and_threads_do_not_change_bits(build, n_threads, monkeypatch):
    use_backend(monkeypatch, build)
    monkeypatch.setattr(hashing.threads, "count", lambda asked, work: asked)
    rows = [[f"f{k % 37}" for k in range(n)] for n in range(200)]
    ours = FeatureHasher(input_type="string", n_features=64, n_threads=n_threads).transform(rows)
    assert_same_matrix(ours, Reference(input_type="string", n_features=64).transform(rows))


def test_sums_that_float32_does_not_have_are_scipys(monkeypatch):
    monkeypatch.setattr(hashing, "EXACT_FLOAT32", 10)
    rows = [["a", "b", "a"] * 20, ["c"]]
    settings = {"input_type": "string", "n_features": 8, "dtype": np.float32}
    ours = FeatureHasher(**settings).transform(rows)
    assert_same_matrix(ours, Reference(**settings).transform(rows))


def test_rows_of_other_kinds():
    mapping = OrderedDict(a=1.5, b="x", c=0)
    arrays = [("a", np.float32(2)), ("b", np.int64(3)), ["c", 4]]
    for kind, rows in (
        ("dict", [mapping]),
        ("pair", [arrays]),
        ("string", [("a", "b"), iter("cd")]),
    ):
        if kind == "string":
            theirs = Reference(input_type=kind).transform([("a", "b"), iter("cd")])
        else:
            theirs = Reference(input_type=kind).transform(rows)
        assert_same_matrix(FeatureHasher(input_type=kind).transform(rows), theirs)


@pytest.mark.parametrize("kind, rows", [
    ("string", ["one", "two"]), ("string", [["a", 5]]), ("dict", [{5: 1}]), ("pair", [[("a",)]]),
    ("pair", [[("a", 1, 2)]]), ("pair", [[("a", None)]]), ("dict", [["a"]]), ("pair", 5),
    ("string", [["\ud800"]]), ("dict", [{"a": b"b"}]), ("dict", []),
])  # fmt: skip
def test_errors_are_those_of_scikit_learn(kind, rows):
    with pytest.raises(Exception) as expected:
        Reference(input_type=kind).transform(rows)
    with pytest.raises(type(expected.value)) as found:
        FeatureHasher(input_type=kind).transform(rows)
    assert str(found.value) == str(expected.value)


def test_no_rows_of_strings():
    with pytest.raises(ValueError, match="Cannot vectorize empty sequence"):
        FeatureHasher(input_type="string").transform([])


@pytest.mark.parametrize("settings", [{"dtype": np.int64}, {"dtype": np.int32}])
def test_other_dtypes_are_left_to_scikit_learn(settings):
    rows = [{"a": 2, "b": "x"}, {}]
    ours = FeatureHasher(**settings).transform(rows)
    assert_same_matrix(ours, Reference(**settings).transform(rows))


def test_without_a_core(monkeypatch):
    use_backend(monkeypatch, "numpy")
    rows = [{"a": 2, "b": "x"}, {}]
    assert_same_matrix(FeatureHasher().transform(rows), Reference().transform(rows))


def test_parameters_are_those_of_scikit_learn_and_threads():
    assert FeatureHasher().get_params() == {**Reference().get_params(), "n_threads": None}
    changed = FeatureHasher(8, input_type="pair", n_threads=2)
    assert clone(changed).get_params() == changed.get_params()
    again = pickle.loads(pickle.dumps(changed))
    assert_same_matrix(again.transform([[("a", 1)]]), changed.transform([[("a", 1)]]))
    assert changed.__sklearn_tags__() == Reference(8, input_type="pair").__sklearn_tags__()
    with pytest.raises(ValueError, match="n_threads"):
        FeatureHasher(n_threads=0).fit()
    with pytest.raises(ValueError, match="n_threads"):
        FeatureHasher(n_threads=0).transform([{}])


# ---- what the core refuses -------------------------------------------------------------------


def test_keys_and_rows_are_checked():
    kernels = _core.load(BUILDS[0])
    keys, rows = np.zeros(4, np.uint32), kernels.CountedRows()
    for indptr in ([0, 5], [-1, 2], [3, 1]):
        with pytest.raises(ValueError, match="row 0 is not within the keys"):
            kernels.count_keys(rows, keys, np.array(indptr), 8, 1)
    with pytest.raises(ValueError, match="indptr needs"):
        kernels.count_keys(rows, keys, np.empty(0, np.int64), 8, 1)
    kernels.count_keys(rows, keys, np.array([0, 4]), 8, 1)
    for room in (0, 2):
        with pytest.raises(ValueError, match="1 values need as much room"):
            kernels.write_rows(rows, np.empty(room, np.int32), np.empty(1), False, 0, 1)
