"""Rows of numbers written batch by batch, and read again by other readers."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from lrcore.io import DataError, Dataset, read_vw
from lrcore.io.row_writers import row_writer

RNG = np.random.default_rng(3)
X = sparse.random(300, 40, 0.2, "csr", rng=RNG)
Y = RNG.normal(size=300)
WEIGHT = RNG.random(300)


def write(path, kind, *arrays, n_rows=70, n_features=None):
    with row_writer(str(path), kind, "rows", n_features) as writer:
        for batch in Dataset.from_arrays(*arrays).batches(n_rows):
            writer.write(batch)
    return str(path)


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_svmlight(tmp_path, dtype):
    path = write(tmp_path / "rows.svm", "svmlight", X.astype(dtype), Y)
    found, y = load_svmlight_file(path, dtype=dtype, zero_based=False, n_features=40)
    assert_same(found, X.astype(dtype))
    np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("y", [Y, RNG.integers(0, 3, 300), RNG.choice(["a", "bcd"], 300), None])
def test_npz(tmp_path, dtype, y):
    path = write(tmp_path / "rows.npz", "npz", X.astype(dtype), y, n_features=50)
    found = sparse.load_npz(path)
    assert found.shape == (300, 50)
    assert_same(found, X.astype(dtype))
    assert found.indptr.dtype == np.int32
    with np.load(path) as arrays:
        assert ("y" in arrays) == (y is not None)
        if y is not None:
            assert arrays["y"].dtype == y.dtype
            np.testing.assert_array_equal(arrays["y"], y)


@pytest.mark.parametrize("parts", [([1, 2], [0.5]), (["a"], ["long", "b"])])
def test_labels_of_npz_have_a_type_that_holds_all(tmp_path, parts):
    with row_writer(str(tmp_path / "rows.npz"), "npz", "rows") as writer:
        for part in parts:
            writer.write(Dataset.from_arrays(X[: len(part)], np.array(part)).read())
    with np.load(tmp_path / "rows.npz") as arrays:
        assert arrays["y"].tolist() == parts[0] + parts[1]


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_vw(tmp_path, weight):
    y = np.where(RNG.random(300) < 0.1, np.nan, Y) if weight is None else Y
    path = write(tmp_path / "rows.vw", "vw", X, y, weight)
    found = read_vw(path, bits=6, dtype=np.float64)
    assert_same(found.X, X)
    np.testing.assert_array_equal(found.y, y)
    np.testing.assert_array_equal(found.weight, np.ones(300) if weight is None else weight)


def test_base_of_vw(tmp_path):
    path = write(tmp_path / "rows.vw", "vw", X, Y, WEIGHT, Y / 3)
    found = read_vw(path, bits=6, dtype=np.float64)
    np.testing.assert_array_equal(found.base, Y / 3)
    np.testing.assert_array_equal(found.weight, WEIGHT)
    for kind in ("svmlight", "npz"):
        with pytest.raises(DataError, match="has no base of rows; vw text does"):
            write(tmp_path / "rows", kind, X, Y, None, Y)


@pytest.mark.parametrize(
    ("kind", "y", "weight", "message"),
    [
        ("svmlight", Y, WEIGHT, "svmlight text has no weights"),
        ("npz", Y, WEIGHT, ".npz has no weights"),
        ("svmlight", None, None, "takes labels, and these rows have none"),
        ("svmlight", ["no"] * 300, None, "these are texts, such as 'no'"),
        ("vw", ["no"] * 300, None, "these are texts, such as 'no'"),
        ("vw", np.full(300, np.nan), WEIGHT, "weights of rows without labels"),
    ],
)
def test_what_a_format_cannot_have(tmp_path, kind, y, weight, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path / "rows", kind, X, y, weight)
    assert list(tmp_path.iterdir()) == []
