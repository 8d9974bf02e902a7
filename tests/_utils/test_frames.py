from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context

import lrcore
from lrcore._utils.frames import BLOCK_ROWS, as_matrix, check_in_memory, is_frame

COLUMNS = {"a": [1.0, 2.0, 3.0], "b": [True, False, True], "c": [7, 8, 9]}
VALUES = np.column_stack([np.asarray(each, float) for each in COLUMNS.values()])


def test_what_is_a_frame():
    assert is_frame(pd.DataFrame(COLUMNS))
    assert is_frame(pl.DataFrame(COLUMNS))
    for other in (VALUES, sparse.csr_matrix(VALUES), [[1.0]], pd.Series([1.0])):
        assert not is_frame(other)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_numbers_and_booleans(frame):
    matrix = as_matrix(frame(COLUMNS), None)
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, VALUES)
    assert as_matrix(frame(COLUMNS), np.dtype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_float32_if_all_columns_are(frame):
    single = {name: np.asarray(values, np.float32) for name, values in COLUMNS.items()}
    assert as_matrix(frame(single), None).dtype == np.float32
    assert as_matrix(frame({**single, "d": np.ones(3)}), None).dtype == np.float64


def test_a_frame_of_one_array_is_not_copied():
    values = np.arange(12.0).reshape(4, 3)
    assert np.shares_memory(as_matrix(pd.DataFrame(values, copy=False), None), values)


def test_missing_values_become_nan():
    nullable = pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": [1.0, np.nan, 2.0]})
    matrix = as_matrix(nullable, None)
    np.testing.assert_array_equal(np.isnan(matrix), [[0, 0], [1, 1], [0, 0]])
    matrix = as_matrix(pl.DataFrame({"a": [1, None, 3]}), None)
    assert np.isnan(matrix[1, 0])


def test_more_rows_than_a_block():
    n = BLOCK_ROWS + 5
    frame = pd.DataFrame({"a": np.arange(n), "b": np.arange(n) * 0.5})
    np.testing.assert_array_equal(as_matrix(frame, None)[:, 1], np.arange(n) * 0.5)


def test_a_sparse_column_gives_csr():
    frame = pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 2.0, 0.0]), "b": [1.0, 0.0, 3.0]})
    matrix = as_matrix(frame, None)
    assert sparse.issparse(matrix)
    assert matrix.format == "csr"
    assert matrix.nnz == 3
    np.testing.assert_array_equal(matrix.toarray(), [[0, 1], [2, 0], [0, 3]])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_text_are_named(frame):
    with pytest.raises(ValueError, match="X must hold numbers, got column 'b' of"):
        as_matrix(frame({"a": [1.0], "b": ["x"]}), None)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"device": SimpleNamespace(type="cuda")}, "its method cpu gives"),
        ({"layout": "torch.sparse_coo"}, "a tensor torch.sparse_coo; its method to_dense gives"),
        ({"dtype": "torch.bfloat16"}, "a tensor torch.bfloat16; its method float gives"),
        ({"requires_grad": True}, "a tensor with requires_grad; its method detach gives"),
    ],
)
def test_tensors_that_numpy_cannot_see_say_what_would_do(changes, message):
    plain = {"device": SimpleNamespace(type="cpu"), "layout": "torch.strided",
             "dtype": "torch.float32", "requires_grad": False}  # fmt: skip
    check_in_memory("X", SimpleNamespace(**plain))
    with pytest.raises(TypeError, match=f"X must be what NumPy can see, got .*{message}"):
        check_in_memory("X", SimpleNamespace(**{**plain, **changes}))


class OfAnotherDevice:
    """An array that NumPy may not read, as those of cupy."""

    shape, ndim, dtype = (3, 2), 2, np.dtype(float)

    def __array__(self, *args, **keywords):
        raise TypeError("Implicit conversion is not allowed. Please use `.get()`")

    def __len__(self):
        return 3


def test_arrays_of_other_devices_are_refused_by_name():
    X, y, strange = np.eye(3), np.array([0, 1, 0]), OfAnotherDevice()
    for model in (lrcore.LinearClassifier(), lrcore.LinearRegressor()):
        for name, arguments in (("X", (strange, y)), ("sample_weight", (X, y, strange))):
            with pytest.raises(TypeError, match=f"{name} cannot be read as a NumPy .*`.get"):
                model.fit(*arguments)
    with pytest.raises(TypeError, match=r"y cannot be read as a NumPy array"):
        lrcore.LinearRegressor().fit(X, strange)


def test_tensors_of_torch_where_scikit_learn_keeps_them(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    monkeypatch.setattr("scipy._lib._array_api.SCIPY_ARRAY_API", True, raising=False)
    X, y = torch.eye(4), torch.tensor([0, 1, 0, 1])
    with config_context(array_api_dispatch=True):
        clf = lrcore.LinearClassifier(alpha=0.1).fit(X, y, torch.ones(4), eval_set=(X, y))
        assert clf.score(X, y) == 1.0
        clf = lrcore.LinearClassifier().partial_fit(X, y, classes=torch.tensor([0, 1]))
    assert clf.classes_.tolist() == [0, 1]


def test_tensors_of_torch():
    torch = pytest.importorskip("torch")
    X = torch.arange(12.0).reshape(6, 2)
    y = X[:, 0]
    reg = lrcore.LinearRegressor(alpha=0.1).fit(X, y)
    assert np.array_equal(reg.coef_, lrcore.LinearRegressor(alpha=0.1).fit(X.numpy(), y).coef_)
    with pytest.raises(TypeError, match=r"X must be .* detach"):
        reg.predict(X.requires_grad_())
    with pytest.raises(TypeError, match=r"y must be .* float gives"):
        reg.fit(X.detach(), y.detach().bfloat16())


@pytest.mark.parametrize("library", [pd, pl])
def test_categories_are_refused_with_what_makes_numbers_of_them_and_hashed(library):
    frame = library.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "kind": ["x", "y", "x", "y"]})
    if library is pd:
        frame["kind"] = frame["kind"].astype("category")
    else:
        frame = frame.with_columns(pl.col("kind").cast(pl.Categorical))
    y = [0, 1, 0, 1]
    with pytest.raises(
        ValueError, match=r"column 'kind' of .*TableHasher\(categorical=\[\.\.\.\]\)"
    ):
        lrcore.LinearClassifier().fit(frame, y)
    hasher = lrcore.TableHasher(categorical=["kind"], numeric=["a"], n_features=64)
    hashed = hasher.fit_transform(frame)
    clf = lrcore.LinearClassifier(alpha=1e-3, scale=None).fit(hashed, y)
    assert clf.predict(hashed).tolist() == y
