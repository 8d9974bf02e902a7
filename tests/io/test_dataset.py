"""Datasets: the same rows, however they are cut, shuffled, cached or read ahead."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from lrcore.io.ahead import ahead
from lrcore.io.batch import Batch, in_batches, stacked
from lrcore.io.dataset import Dataset

RNG = np.random.default_rng(5)
N_ROWS, N_FEATURES = 103, 17
X = sparse.random(N_ROWS, N_FEATURES, 0.2, "csr", np.float32, random_state=1)
Y = RNG.integers(0, 3, N_ROWS)
WEIGHT = RNG.uniform(0.5, 2, N_ROWS)


def same(batch, rows=slice(None), matrix=X):
    """Assert that a batch has these rows of the data above, bit for bit."""
    expected = matrix[rows]
    if sparse.issparse(expected):
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(batch.X, name), getattr(expected, name))
    else:
        np.testing.assert_array_equal(batch.X, expected)
    np.testing.assert_array_equal(batch.y, Y[rows])
    np.testing.assert_array_equal(batch.weight, WEIGHT[rows])


@pytest.mark.parametrize("matrix", [X, X.toarray()], ids=["sparse", "dense"])
@pytest.mark.parametrize("n_rows", [1, 7, 102, 103, 500])
def test_batches_have_so_many_rows(matrix, n_rows):
    dataset = Dataset.from_arrays(matrix, Y, WEIGHT).batches(n_rows)
    sizes = [batch.n_rows for batch in dataset]
    assert sizes == [n_rows] * (N_ROWS // n_rows) + [N_ROWS % n_rows] * (N_ROWS % n_rows > 0)
    same(dataset.read(), matrix=matrix)


@given(
    cuts=st.lists(st.integers(0, N_ROWS), max_size=8),
    n_rows=st.integers(1, 40),
    most=st.integers(1, 60),
    first=st.none() | st.integers(1, 30),
)
def test_where_batches_end_follows_from_the_rows(cuts, n_rows, most, first):
    whole = Batch(X, Y, WEIGHT)
    ends = sorted({0, N_ROWS, *cuts})
    parts = [whole.span(a, b) for a, b in pairwise(ends)]
    found = list(in_batches(parts, n_rows, most, first=first))
    straight = list(in_batches([whole], n_rows, most, first=first))
    assert [b.n_rows for b in found] == [b.n_rows for b in straight]
    same(stacked(found))
    for k, batch in enumerate(found):
        wanted = first if first and k == 0 else n_rows
        assert batch.n_rows <= wanted
        assert batch.X.nnz <= most or batch.n_rows == 1


def test_shuffle_permutes_windows_by_seed_and_epoch():
    dataset = Dataset.from_arrays(np.arange(100.0).reshape(-1, 1)).shuffle(30, seed=3)
    orders = [stacked(list(dataset.epoch(k))).X[:, 0] for k in (0, 1, 0)]
    np.testing.assert_array_equal(orders[0], orders[2])
    assert (orders[0] != orders[1]).any()
    for start in range(0, 100, 30):
        window = np.arange(start, min(start + 30, 100))
        np.testing.assert_array_equal(np.sort(orders[0][start : start + 30]), window)
    other = stacked(list(Dataset.from_arrays(np.arange(100.0).reshape(-1, 1)).shuffle(30, seed=4)))
    assert (other.X[:, 0] != orders[0]).any()


def test_an_iterator_is_gone_over_once():
    dataset = Dataset.from_batches(iter([(X, Y)]))
    with pytest.raises(ValueError, match="give n_features"):
        _ = dataset.n_features
    assert dataset.read().X.shape == X.shape
    with pytest.raises(ValueError, match=r"only once; call .cache\(path\)"):
        dataset.read()


def test_the_width_is_that_of_the_first_batch():
    assert Dataset.from_batches([(X, Y)]).n_features == N_FEATURES
    uneven = Dataset.from_batches([(X, Y), (X[:, :3], Y)])
    with pytest.raises(ValueError, match="a batch has 3 features, others have 17"):
        uneven.read()
    with pytest.raises(ValueError, match="has no rows"):
        Dataset.from_batches([]).read()


def test_rows_of_iterables_are_sorted_and_summed():
    unsorted = sparse.csr_matrix(
        (np.array([1.0, 2.0, 4.0]), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 3)
    )
    (batch,) = Dataset.from_batches([(unsorted, [1])])
    np.testing.assert_array_equal(batch.X.indices, [0, 2])
    np.testing.assert_array_equal(batch.X.data, [2.0, 5.0])
    assert unsorted.indices.tolist() == [2, 0, 2]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ([X, Y], r"batch 0: must be \(X, y\)"),
        ((X, Y, Y, Y), "a tuple of 4"),
        ((X, Y[:3]), "y must have one entry for each of the 103 rows"),
        ((X, Y, WEIGHT[:3]), "weight must have one entry"),
    ],
)
def test_batches_that_are_none_are_refused(item, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Dataset.from_batches([item]).read()


def test_ahead_gives_items_in_order_and_errors_in_their_place():
    def items():
        yield from range(5)
        raise RuntimeError("the sixth")

    taken = []
    with pytest.raises(RuntimeError, match="the sixth"):
        taken.extend(ahead(items()))
    assert taken == [0, 1, 2, 3, 4]


def test_ahead_ends_its_thread_when_it_is_left():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    iterator = ahead(items(), depth=2)
    assert next(iterator) == 1
    iterator.close()
    assert closed.wait(5)
    deadline = time.monotonic() + 5
    while any(t.name == "lrcore-reader" for t in threading.enumerate()):
        assert time.monotonic() < deadline


def test_a_dataset_read_ahead_is_the_same():
    same(Dataset.from_arrays(X, Y, WEIGHT).batches(10).ahead().read())


def test_offsets_stay_with_their_rows(tmp_path):
    offset = RNG.normal(size=N_ROWS)
    dataset = Dataset.from_arrays(X, Y, WEIGHT, offset)
    shuffled = dataset.batches(7).shuffle(30, seed=3)
    for one in (dataset.batches(10), dataset.batches(9).cache(tmp_path / "rows").ahead(),
                Dataset.from_batches(list(dataset.batches(20))), shuffled):  # fmt: skip
        for _ in range(2):
            whole = one.read()
            order = np.argsort(offset)[np.argsort(np.argsort(whole.offset))]
            np.testing.assert_array_equal(whole.offset, offset[order])
            same(whole, order)
    X_, y, weight = dataset.read()  # as without one
    assert X_.shape == X.shape
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(weight, WEIGHT)


def test_rows_without_an_offset_have_one_of_0_beside_others():
    one, other = Batch(X[:3], Y[:3]), Batch(X[3:5], Y[3:5], None, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(stacked([one, other]).offset, [0, 0, 0, 1, 2])
    with pytest.raises(ValueError, match="offset must have one entry for each of the 103 rows"):
        Dataset.from_arrays(X, Y, None, [1.0])
