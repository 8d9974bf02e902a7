"""Caches give back the bits that went in, or are made anew."""

import os

import numpy as np
import pytest
from scipy import sparse

from lrcore.io import cache
from lrcore.io.batch import stacked
from lrcore.io.dataset import Dataset
from lrcore.io.errors import DataError

RNG = np.random.default_rng(2)


def sparse_rows(n_rows, n_features, dtype=np.float32):
    """About 20 values in each row, canonical."""
    rows = np.repeat(np.arange(n_rows), 20)
    values = RNG.normal(size=rows.size).astype(dtype)
    columns = RNG.integers(0, n_features, rows.size)
    columns[:2] = 0, n_features - 1
    return sparse.csr_matrix((values, (rows, columns)), shape=(n_rows, n_features))


def batches(n_features, dtype=np.float32, n=4, labels="number"):
    """Batches of sparse rows, of which the last one has other values than counts."""
    made = []
    for k in range(n):
        X = sparse_rows(300, n_features, dtype)
        if k < n - 1:
            X.data[:] = RNG.integers(1, 4, X.nnz)
        y = RNG.integers(0, 2, 300).astype(float)
        if labels == "text":
            y = np.array(["no", "maybe", "yes"])[RNG.integers(0, 3, 300)]
        made.append((X, y, RNG.uniform(size=300) if k % 2 else None))
    return made


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        for name in ("data", "indices", "indptr"):
            a, b = getattr(one.X, name), getattr(other[0], name)
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        assert one.X.shape == other[0].shape
        np.testing.assert_array_equal(one.y, other[1])
        assert one.y.dtype == np.asarray(other[1]).dtype
        if other[2] is None:
            assert one.weight is None
        else:
            np.testing.assert_array_equal(one.weight, other[2])


@pytest.mark.parametrize("n_features", [1000, 1 << 24, (1 << 24) + 5])
@pytest.mark.parametrize("labels", ["number", "text"])
def test_what_is_read_is_what_was_written(tmp_path, n_features, labels):
    expected = batches(n_features, labels=labels)
    dataset = Dataset.from_batches(iter(expected)).cache(tmp_path / "rows")
    assert_same(list(dataset), expected)
    assert_same(list(dataset), expected)  # from the file: the iterator has come to its end


def test_dense_rows(tmp_path):
    X = RNG.normal(size=(700, 3))
    dataset = Dataset.from_batches(iter([(X, None)])).cache(tmp_path / "rows")
    for _ in range(2):
        batch = dataset.read()
        np.testing.assert_array_equal(batch.X, X)
        assert batch.y is None


def test_few_different_values_take_little_room(tmp_path):
    X = sparse_rows(5000, 1 << 20)
    X.data[:] = 1
    list(Dataset.from_batches([(X, np.zeros(5000))]).cache(tmp_path / "ones"))
    assert os.path.getsize(tmp_path / "ones") < 3.5 * X.nnz + 5000 * 6


def test_a_pass_that_is_left_keeps_nothing(tmp_path):
    dataset = Dataset.from_batches(batches(50)).cache(tmp_path / "rows")
    for _ in dataset:
        break
    assert list(tmp_path.iterdir()) == []
    assert_same(list(dataset), batches_of(dataset))


def batches_of(dataset):
    return [(b.X, b.y, b.weight) for b in dataset]


def test_a_cache_of_other_rows_is_made_anew(tmp_path):
    path = tmp_path / "rows"

    def cached(version, rows):
        return cache.cached(lambda: iter(Dataset.from_batches(rows)), path, {"version": version})

    first, second = batches(50), batches(60)
    assert_same(list(cached(1, first)), first)
    assert_same(list(cached(1, [])), first)
    assert_same(list(cached(2, second)), second)
    assert_same(list(cached(2, [])), second)


def test_damage_is_noticed(tmp_path):
    path = tmp_path / "rows"
    rows = batches(50)
    list(cache.cached(lambda: iter(Dataset.from_batches(rows)), path, {}))
    whole = path.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert_same(list(cache.cached(lambda: iter(Dataset.from_batches(rows)), path, {})), rows)
        assert path.read_bytes() == whole
    flipped = bytearray(whole)
    flipped[-40] ^= 1  # within the table of contents
    path.write_bytes(flipped)
    assert cache._contents(path, {}) is None


def test_a_file_that_is_no_cache_is_not_lost(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("y,a\n1,2\n")
    with pytest.raises(DataError, match=r"data.csv: is no cache of rows, and would be overwritten"):
        list(Dataset.from_batches(batches(50)).cache(path))
    assert path.read_text() == "y,a\n1,2\n"
    rows = batches(50)
    path.write_bytes(b"lrcore rows 1\nof an earlier format")
    assert_same(list(cache.cached(lambda: iter(Dataset.from_batches(rows)), path, {})), rows)


def test_a_wrong_bit_anywhere_is_noticed(tmp_path):
    path = tmp_path / "rows"
    rows = batches(50, n=2)

    def read():
        return list(cache.cached(lambda: iter(Dataset.from_batches(rows)), path, {}))

    read()
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 997):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        try:
            assert_same(read(), rows)  # of the table of contents, or of what lies between arrays
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("indptr", {"at": -64}, "not within the file"),
        ("indptr", {"shape": [1 << 40]}, "not within the file"),
        ("indptr", {"shape": [1 << 50, [1]]}, "interpreted as an integer"),
        ("indptr", {"dtype": "|O"}, "not within the file|data type"),
        ("shape", [300, 3], "must be within 0 and 2"),
        ("shape", [299, 50], "entries"),
        ("weight", {"shape": [299]}, "checksum"),
        ("high", {"dtype": "nonsense"}, "data type"),
        ("high", {"dtype": "<U0"}, "not within the file"),
        ("y", {"n": 1 << 50}, "repeated to far more bytes"),
        ("y", {"n": 299}, "numbers of 299 values"),
        ("weight", None, "NoneType"),
    ],
)
def test_a_table_of_contents_that_lies(tmp_path, part, change, message):
    path = tmp_path / "rows"
    rows = batches(50, n=2)
    list(cache.cached(lambda: iter(Dataset.from_batches(rows)), path, {}))
    contents = cache._contents(path, {})
    record = contents["batches"][1]
    record[part] = {**record[part], **change} if isinstance(change, dict) else change
    with path.open("ab") as file:
        cache._write_contents(file, contents)
    with pytest.raises(DataError, match=rf"{path}: a damaged cache \(.*{message}.*\); remove it"):
        list(cache.cached(lambda: iter([]), path, {}))


def test_auto_names_a_file_after_its_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "data.txt"
    source.write_text("1")
    paths = set()
    for text in ("1", "22"):
        source.write_text(text)
        paths.add(cache.cache_path("auto", cache.key_of([source])))
    assert len(paths) == 2
    with pytest.raises(ValueError, match="give a path"):
        Dataset.from_batches([]).cache()


def test_arrays_of_a_cache_are_read_only(tmp_path):
    dataset = Dataset.from_batches(batches(50)).cache(tmp_path / "rows")
    stacked(list(dataset))
    last = list(dataset)[-1]
    assert not last.X.data.flags.writeable
