"""X in all its forms: what is copied, what is refused, and that the numbers are the same."""

import mmap
import os
import pickle
import signal
import threading

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, VotingClassifier, VotingRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.class_weight import compute_class_weight
from strategies import DTYPES, LOSSES, equal_bits, sparse_problem

import lrcore
from lrcore import (
    SGD,
    AdaGrad,
    Adam,
    LinearClassifier,
    LinearRegressor,
    RMSProp,
    _core,
    epochs,
    schedules,
)  # fmt: skip
from lrcore.checks import inspect_csr
from lrcore.epochs import Pass, settle
from lrcore.rows import Rows, as_rows
from lrcore.states import Debt, Method, State

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=30)


def same_rows(rows, expected):
    """Whether the Rows hold what the others hold, in bits."""
    fields = ("values", "indptr", "indices") if expected.sparse else ("values",)
    return rows.shape == expected.shape and all(
        equal_bits(getattr(rows, name), getattr(expected, name)) for name in fields
    )


def raw_csr(values, indices, indptr, shape):
    """A CSR matrix of these very arrays, which the constructor would check, copy or convert."""
    matrix = sparse.csr_matrix(shape, dtype=values.dtype)
    matrix.data, matrix.indices, matrix.indptr = values, indices, indptr
    return matrix


def mapped(path, array):
    """The array in a file, mapped read-only."""
    array.tofile(path)
    return np.memmap(path, array.dtype, "r", shape=array.shape)


# ---- sparse -------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_formats_are_the_same_rows(index, dtype):
    matrix = X.astype(dtype)
    arrays = matrix.indices.astype(index), matrix.indptr.astype(index)
    rows = as_rows(raw_csr(matrix.data, *arrays, X.shape))
    assert rows.indices.dtype == index
    assert rows.indptr.dtype == np.int64
    assert np.shares_memory(rows.values, matrix.data)
    assert np.shares_memory(rows.indices, arrays[0])
    assert np.shares_memory(rows.indptr, arrays[1]) == (index is np.int64)
    expected = as_rows(matrix)
    for other in (matrix.tocsc(), matrix.tocoo(), matrix.tolil(), matrix.todok(), matrix.tobsr()):
        assert same_rows(as_rows(other), expected), type(other)
        assert same_rows(as_rows(sparse.csc_array(other)), expected)
    classified = LinearClassifier(random_state=0).fit(
        raw_csr(matrix.data, *arrays, X.shape), LABELS
    )
    assert equal_bits(classified.coef_, LinearClassifier(random_state=0).fit(matrix, LABELS).coef_)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix])
def test_duplicates_are_summed_in_a_copy(form, index):
    """Halves of every value, each row in reverse, and one pair that cancels."""
    coo = X.tocoo()
    turn = np.argsort(-coo.col, kind="stable")
    row, col, half = (np.tile(a[turn], 2) for a in (coo.row, coo.col, coo.data / 2))
    row, col = np.append(row, [3, 3]), np.append(col, [7, 7])
    assert not X[3, 7]
    parts = sparse.coo_matrix((np.append(half, [1.0, -1.0]), (row, col)), X.shape)
    order = np.argsort(row if form is not sparse.csc_matrix else col, kind="stable")
    twice = parts
    if form is not sparse.coo_matrix:
        major, minor, size = (row, col, X.shape[0])
        if form is sparse.csc_matrix:
            major, minor, size = col, row, X.shape[1]
        twice = form(X.shape)
        twice.data, twice.indices = parts.data[order], minor[order].astype(index)
        twice.indptr = np.append(0, np.bincount(major, minlength=size).cumsum()).astype(index)
    before = twice.data.copy()
    rows = as_rows(twice)
    assert twice.nnz == 2 * X.nnz + 2
    assert equal_bits(twice.data, before)
    found = sparse.csr_matrix((rows.values, rows.indices, rows.indptr), rows.shape)
    assert found.nnz == X.nnz + 1  # the pair is a value of 0, which does not touch
    assert equal_bits(found.toarray(), DENSE)


def test_what_lies_outside_the_rows_is_not_read():
    """Room at either end, with an index and a value that would not do."""
    strange = np.array([10**6, -5])
    values = np.concatenate([[np.nan], X.data, [np.inf]])
    indices = np.concatenate([strange[:1], X.indices, strange[1:]]).astype(np.int32)
    rows = as_rows(raw_csr(values, indices, X.indptr + 1, X.shape))
    assert same_rows(rows, as_rows(X))
    assert np.shares_memory(rows.values, values)
    fits = [
        LinearClassifier(random_state=0, max_iter=12).fit(m, LABELS)
        for m in (X, raw_csr(values, indices, X.indptr + 1, X.shape))
    ]
    assert equal_bits(fits[0].coef_, fits[1].coef_)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d, i, p: (d[:-1], i, p),
        lambda d, i, p: (d, i[:-1], p),
        lambda d, i, p: (d, i, p[:-1]),
        lambda d, i, p: (d, i, p - 1),
        lambda d, i, p: (d, i, np.append(p[:-1], p[-1] + 1)),
        lambda d, i, p: (d, i, np.where(np.arange(len(p)) == 9, 10**9, p)),
        lambda d, i, p: (d, i, p[::-1]),
    ],
)
def test_damaged_matrices_are_refused(spoil):
    with pytest.raises(ValueError, match="the CSR matrix is damaged"):
        as_rows(raw_csr(*spoil(X.data, X.indices, X.indptr), X.shape))


def test_arrays_with_gaps_or_at_odd_addresses_are_copied():
    wide = [np.repeat(a, 2)[::2] for a in (X.data, X.indices, X.indptr)]
    assert not wide[0].flags.c_contiguous
    assert same_rows(as_rows(raw_csr(*wide, X.shape)), as_rows(X))
    odd = np.zeros(DENSE.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(DENSE.shape)
    odd[...] = DENSE
    assert not odd.flags.aligned
    for array in (odd, DENSE.astype(">f8"), np.repeat(DENSE, 2, axis=1)[:, ::2]):
        assert same_rows(as_rows(array), as_rows(DENSE))
        assert as_rows(array).values.flags.aligned


# ---- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_mapped_and_read_only_arrays_are_not_copied(dtype, tmp_path, backend):
    array = mapped(tmp_path / "dense", DENSE.astype(dtype))
    rows = as_rows(array)
    assert np.shares_memory(rows.values, array)
    assert not rows.values.flags.writeable
    parts = [X.data.astype(dtype), X.indices.astype(np.int64), X.indptr.astype(np.int64)]
    parts = [mapped(tmp_path / str(k), part) for k, part in enumerate(parts)]
    matrix = raw_csr(*parts, X.shape)
    rows = as_rows(matrix)
    for ours, theirs in zip((rows.values, rows.indices, rows.indptr), parts):
        assert np.shares_memory(ours, theirs)
        assert not ours.flags.writeable
    # A matrix made the usual way keeps what is mapped too; int32 offsets alone are widened.
    parts[1:] = [mapped(tmp_path / n, getattr(X, n)) for n in ("indices", "indptr")]
    usual = sparse.csr_matrix(tuple(parts), shape=X.shape)
    rows = as_rows(usual)
    assert np.shares_memory(rows.values, parts[0])
    assert np.shares_memory(rows.indices, parts[1])
    for mine, plain in ((array, DENSE), (matrix, X), (usual, X)):
        for keywords in ({}, {"batch_size": 8, "max_iter": 3}, {"max_iter": 10}):
            clf = LinearClassifier(random_state=0, **keywords).fit(mine, LABELS)
            same = LinearClassifier(random_state=0, **keywords).fit(plain.astype(dtype), LABELS)
            assert equal_bits(clf.coef_, same.coef_)
            assert equal_bits(clf.predict_proba(mine), same.predict_proba(plain.astype(dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_arrays(dtype):
    array = DENSE.astype(dtype)
    rows = as_rows(array)
    assert np.shares_memory(rows.values, array)
    assert same_rows(as_rows(np.asfortranarray(array)), rows)
    assert np.shares_memory(as_rows(array[10:50]).values, array)
    counts = np.rint(DENSE * 3) + 0.0
    for kind in (np.int8, np.int64, np.float16):
        assert equal_bits(as_rows(counts.astype(kind)).values, counts)
    assert equal_bits(as_rows(DENSE > 0).values, (DENSE > 0) * 1.0)
    assert as_rows(counts.astype(np.int8), np.dtype(np.float32)).dtype == np.float32


# ---- more than 2**31 values ---------------------------------------------------------------------

#: Values before the first: past what 32 bits count.
FAR = 2**31 + 7


def far_away(path, array, before=FAR):
    """The array behind a hole of so many of its kind: a file of few blocks, mapped."""
    with open(path, "wb") as file:
        file.seek(before * array.itemsize)
        file.write(array.tobytes())
    assert path.stat().st_blocks * 512 < 1 << 24
    found = np.memmap(path, array.dtype, "r")
    found._mmap.madvise(mmap.MADV_RANDOM)
    return np.asarray(found)


def learnt(rows, order, y, batch, n_threads):
    """Bits of a model that has seen these rows twice, and margins."""
    method = Method(LOSSES["log_loss"], AdaGrad(lr=0.3), 1e-3, 1e-3, True, batch, 256)
    state = State.new(method, rows, Debt.new([rows.shape[1]], [4.0]))
    passes = Pass(method, rows, n_threads)
    losses = [passes.advance(state, order, y, None, max(batch, 16)) for _ in range(2)]
    settle(state, method)
    return np.append(state.columns[:2], losses)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_offsets_past_31_bits(index, tmp_path, backend):
    near = as_rows(X.astype(np.float32))
    near = Rows(near.shape, near.values, near.indptr, near.indices.astype(index))
    values = far_away(tmp_path / "values", near.values)
    indices = far_away(tmp_path / "indices", near.indices)
    far = Rows(near.shape, values, near.indptr + FAR, indices)
    assert far.indptr.min() > 2**31
    order = np.random.default_rng(0).permutation(near.shape[0]).astype(np.int64)
    y = np.where(LABELS, 1.0, -1.0)
    for batch in (1, 8):
        for n_threads in (1, 3):
            expected, got = (learnt(rows, order, y, batch, n_threads) for rows in (near, far))
            assert np.ptp(expected) > 0.1
            assert equal_bits(got, expected)
    w = np.linspace(-1, 1, 30).astype(np.float32)
    assert equal_bits(far.margins(w, 0.5, 2), near.margins(w, 0.5, 2))
    assert inspect_csr(far.indptr, indices, 30) == ("", -1)
    assert inspect_csr(far.indptr, indices, 29) == inspect_csr(near.indptr, near.indices, 29)
    assert inspect_csr(far.indptr + 1, indices, 30) == ("range", 199)
    assert same_rows(as_rows(raw_csr(values, indices, far.indptr, X.shape)), near)
    if _core.kernels is not None:
        copies = []
        for rows in (near, far):
            out = [np.empty(201, np.int64), np.empty(X.nnz, np.int32), np.empty_like(near.values)]
            _core.kernels.arrange(
                order, rows.indptr, rows.indices, rows.values, np.empty(0, np.int32), *out,
                np.zeros(33, np.int64),
            )  # fmt: skip
            copies.append(out)
        assert all(map(equal_bits, *copies))


def test_dense_rows_past_31_bits(tmp_path, backend):
    near = np.zeros((200, 4096), np.float32)
    near[:, 100:130] = DENSE
    first = FAR // 4096 + 1
    far = far_away(tmp_path / "dense", near, first * 4096).reshape(-1, 4096)
    y = np.zeros(len(far))
    y[first:] = np.where(LABELS, 1.0, -1.0)
    order = np.arange(200, dtype=np.int64)[::-1].copy()
    for batch in (1, 8):
        expected = learnt(Rows(near.shape, near), order, y[first:], batch, 2)
        assert np.ptp(expected) > 0.1
        assert equal_bits(learnt(Rows(far.shape, far), order + first, y, batch, 2), expected)


# ---- frames -------------------------------------------------------------------------------------


def test_pandas_frames_of_one_block_are_not_copied():
    pd = pytest.importorskip("pandas")
    for dtype in DTYPES:
        array = DENSE.astype(dtype)
        array.flags.writeable = False
        frame = pd.DataFrame(array, columns=[f"c{j}" for j in range(30)], copy=False)
        rows = as_rows(frame)
        assert rows.dtype == dtype
        assert np.shares_memory(rows.values, array)
        assert same_rows(as_rows(frame.iloc[20:90]), as_rows(array[20:90]))
        columns = pd.DataFrame({f"c{j}": array[:, j].copy() for j in range(30)})
        assert same_rows(as_rows(columns), rows)
        assert as_rows(columns, np.dtype(np.float32)).dtype == np.float32


def columns(n_rows=5_000):
    """Columns of several dtypes, of more rows than are filled in at a time."""
    rng = np.random.default_rng(0)
    drawn = {
        "wide": rng.normal(size=n_rows),
        "narrow": rng.normal(size=n_rows).astype(np.float32),
        "count": rng.integers(-100, 100, n_rows),
        "byte": rng.integers(0, 100, n_rows).astype(np.uint8),
        "flag": rng.random(n_rows) < 0.3,
    }
    return drawn, np.stack([c.astype(float) for c in drawn.values()], axis=1)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_several_dtypes(library):
    frames = pytest.importorskip(library)
    drawn, expected = columns()
    rows = as_rows(frames.DataFrame(drawn))
    assert equal_bits(rows.values, expected)
    assert rows.values.flags.c_contiguous
    narrow = {name: drawn["narrow"] * k for k, name in enumerate("abc", start=1)}
    rows = as_rows(frames.DataFrame(narrow))
    assert equal_bits(rows.values, np.stack(list(narrow.values()), axis=1))
    assert rows.dtype == np.float32
    assert as_rows(frames.DataFrame(narrow), np.dtype(np.float64)).dtype == np.float64
    assert as_rows(frames.DataFrame({**narrow, "flag": drawn["flag"]})).dtype == np.float64


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_name_the_column_that_will_not_do(library):
    frames = pytest.importorskip(library)
    drawn, _ = columns(50)
    words = frames.DataFrame({**drawn, "carrier": ["AA", "UA"] * 25})
    with pytest.raises(ValueError, match=r"X must hold numbers, got column 'carrier' of .*OneHot"):
        as_rows(words)
    for value, kind in ((np.nan, "NaN"), (-np.inf, "infinity")):
        drawn["narrow"] = drawn["narrow"].copy()
        drawn["narrow"][17] = value
        with pytest.raises(ValueError, match=f"X has {kind} in row 17, column 'narrow'; drop"):
            as_rows(frames.DataFrame(drawn))
    with pytest.raises(ValueError, match=r"X has 0 sample\(s\)"):
        as_rows(words[["wide", "flag"]][:0])
    with pytest.raises(ValueError, match=r"X has 0 (sample|feature)\(s\)"):
        as_rows(frames.DataFrame({}))


def test_polars_frames():
    pl = pytest.importorskip("polars")
    drawn, _ = columns(50)
    frame = pl.DataFrame(drawn)
    for name, kind in (("count", pl.Int64), ("flag", pl.Boolean), ("narrow", pl.Float32)):
        values = frame[name].to_list()
        values[31] = None
        missing = frame.with_columns(pl.Series(name, values, dtype=kind))
        with pytest.raises(ValueError, match=f"X has NaN in row 31, column '{name}'"):
            as_rows(missing)
    exact = frame.select(pl.col("count").cast(pl.Decimal(10, 2)))
    assert equal_bits(as_rows(exact).values[:, 0], drawn["count"].astype(float))
    halves = pl.concat([frame[:20], frame[20:]], rechunk=False)
    assert same_rows(as_rows(halves), as_rows(frame))
    day = frame.with_columns(day=pl.lit("2013-01-01").str.to_date())
    with pytest.raises(ValueError, match="got column 'day' of Date"):
        as_rows(day)


def test_polars_frames_are_fitted_by_their_names():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(DENSE, schema=[f"c{j}" for j in range(30)])
    clf = LinearClassifier(random_state=0).fit(frame, LABELS)
    assert clf.feature_names_in_[:2].tolist() == ["c0", "c1"]
    assert equal_bits(clf.coef_, LinearClassifier(random_state=0).fit(DENSE, LABELS).coef_)
    assert equal_bits(
        clf.partial_fit(frame, LABELS).decision_function(frame), clf._margins(frame)[:, 0]
    )
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(frame.rename({"c3": "other"}))


def test_pandas_columns_of_every_kind():
    pd = pytest.importorskip("pandas")
    drawn, expected = columns(50)
    frame = pd.DataFrame(drawn)
    nullable = frame.convert_dtypes(dtype_backend="numpy_nullable")
    assert {str(d) for d in nullable.dtypes} >= {"Float64", "Int64", "boolean"}
    assert equal_bits(as_rows(nullable).values, expected)
    assert as_rows(nullable[["narrow"]].astype("Float32")).dtype == np.float32
    for name in ("wide", "count", "flag"):
        missing = nullable.copy()
        missing.loc[31, name] = pd.NA
        with pytest.raises(ValueError, match=f"X has NaN in row 31, column '{name}'"):
            as_rows(missing)
    assert equal_bits(as_rows(frame.astype(object)).values, expected)
    twins = frame.set_axis(["a", "b", "a", "b", "a"], axis=1)
    assert equal_bits(as_rows(twins).values, expected)
    for strange in (
        pd.Series(["x", "y"] * 25, dtype="category"),
        pd.Series([1, 2] * 25, dtype="category"),
        pd.Series([1.0, "y"] * 25, dtype=object),
        pd.Series(pd.date_range("2013-01-01", periods=50)),
        pd.Series(np.full(50, 1j)),
    ):
        with pytest.raises(ValueError, match=r"X must hold numbers, got column 'it' of .*; leave"):
            as_rows(frame.assign(it=strange))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_frames_are_taken_as_csr(dtype):
    pd = pytest.importorskip("pandas")
    matrix = X.astype(dtype)
    frame = pd.DataFrame.sparse.from_spmatrix(matrix).rename(columns="c{}".format)
    assert same_rows(as_rows(frame), as_rows(matrix))
    # Columns that are not sparse, or not filled with zeros, join those that are.
    mixed = frame.assign(c3=matrix[:, [3]].toarray().ravel())
    ones = np.where(DENSE[:, 4] > 0, 0.0, 1.0).astype(dtype)
    mixed["c4"] = pd.arrays.SparseArray(ones, fill_value=dtype(1.0))
    expected = matrix.toarray()
    expected[:, 4] = ones
    assert same_rows(as_rows(mixed), as_rows(sparse.csr_matrix(expected)))
    holes = frame.assign(c5=pd.arrays.SparseArray(np.where(np.arange(200) == 12, np.nan, 1.0)))
    with pytest.raises(ValueError, match="X has NaN in row 12, column 'c5'"):
        as_rows(holes)


# ---- streams ------------------------------------------------------------------------------------

LONG, LONG_DENSE, LONG_LABELS, _ = sparse_problem(n_rows=1800, n_features=40)

STREAMS = {
    "defaults": {},
    "schedule": {"optimizer": AdaGrad(lr=schedules.Cosine(0.5, steps=1500).warmup(100))},
    "stamps": {"optimizer": RMSProp(lr=0.02), "penalty": "l1"},
    "momentum": {"optimizer": Adam(lr=0.02), "penalty": "elasticnet"},
    "steep": {"optimizer": SGD(lr=0.1)},
    "short blocks": {"block_size": 16},
    "single rows": {"block_size": 1},
    "batches": {"batch_size": 16},
    "batches with stamps": {"batch_size": 24, "optimizer": RMSProp(lr=0.02)},
}


def streamed(rows, y, cuts, between=lambda clf: clf, weight=None, **keywords):
    """A stream that ends its calls there; estimators are handed on by `between`."""
    clf = LinearClassifier(alpha=1e-3, **keywords)
    for start, stop in zip([0, *cuts], [*cuts, len(y)]):
        part = None if weight is None else weight[start:stop]
        clf.partial_fit(rows[start:stop], y[start:stop], np.unique(y), part)
        clf = between(clf)
    return clf


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", STREAMS)
def test_calls_that_end_with_a_block_are_one_long_stream(name, n_threads):
    keywords = {**STREAMS[name], "n_threads": n_threads}
    every = keywords.get("block_size", 256)
    if "batch_size" in keywords:
        every = keywords["batch_size"]
    cuts = [[every], [k * every for k in (1, 2, 5)], range(every, 1800, every)]
    cuts += [[7, 8, 500, 1001]] if every == 1 else []
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 1800)
    for rows in (LONG.astype(np.float32), LONG_DENSE):
        whole = streamed(rows, LONG_LABELS, [], weight=weight, **keywords)
        for some in cuts if rows is LONG_DENSE or n_threads == 1 else cuts[1:2]:
            some = list(some)[:60]
            parts = streamed(rows, LONG_LABELS, some, weight=weight, **keywords)
            assert parts.t_ == whole.t_
            for one, other in zip(parts._fitted.states, whole._fitted.states):
                assert equal_bits(one.columns, other.columns)
                assert equal_bits(one.debt.owed, other.debt.owed)
                assert equal_bits(one.debt.unpaid, other.debt.unpaid)
            assert equal_bits(parts.coef_, whole.coef_)
            assert equal_bits(parts.intercept_, whole.intercept_)


def test_streams_go_on_through_files_and_pickles(tmp_path, backend):
    three = np.where(np.arange(1800) % 3 == 0, 2, LONG_LABELS)[:900]

    def through_a_file(clf):
        lrcore.save(clf, tmp_path / "m")
        return lrcore.load(tmp_path / "m")

    whole = streamed(LONG, three, [])
    for between in (through_a_file, lambda clf: pickle.loads(pickle.dumps(clf))):
        parts = streamed(LONG, three, [256, 768], between)
        assert equal_bits(parts.coef_, whole.coef_)
        assert not np.array_equal(streamed(LONG, three, [256, 700], between).coef_, whole.coef_)


@pytest.mark.parametrize("name", ["defaults", "steep", "batches"])
def test_calls_that_end_elsewhere_are_close(name):
    """They cut a block short, so margins are fresher; the model is as good."""
    whole = streamed(LONG, LONG_LABELS, [], **STREAMS[name])
    parts = streamed(LONG, LONG_LABELS, range(150, 1800, 150), **STREAMS[name])
    assert not np.array_equal(parts.coef_, whole.coef_)
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=0.1 * np.abs(whole.coef_).max())


def test_another_rule_chooses_its_own_blocks(monkeypatch):
    calls = Calls(monkeypatch)
    monkeypatch.setattr(epochs, "CALL_VALUES", 1)
    monkeypatch.setattr(epochs, "LEAST_VALUES", 1)
    clf = streamed(LONG[:1100], LONG_LABELS[:1100], [], optimizer=AdaGrad(lr=0.05))
    assert max(calls) == 128
    assert clf._fitted.states[0].until == 2048
    calls.clear()
    clf.set_params(block_size=4).partial_fit(LONG, LONG_LABELS)
    assert max(calls) == 4


# ---- calls into the core ------------------------------------------------------------------------


class Calls(list):
    """Rows of each call into the core, and what it was called with."""

    def __init__(self, monkeypatch):
        super().__init__()
        advance = Pass.advance

        def noted(passes, state, order, *rest):
            self.append(len(order))
            return advance(passes, state, order, *rest)

        monkeypatch.setattr(Pass, "advance", noted)


def wide_problem(n_rows=4_000, n_features=500, n_classes=20):
    """Rows of 100 values, and labels that they have something to do with."""
    rng = np.random.default_rng(0)
    indices = np.sort(np.argsort(rng.random((n_rows, n_features)), axis=1)[:, :100], axis=1)
    values = rng.normal(size=(n_rows, 100)).astype(np.float32)
    indptr = np.arange(n_rows + 1) * 100
    rows = sparse.csr_matrix((values.ravel(), indices.ravel().astype(np.int32), indptr))
    labels = (rows @ rng.normal(size=(n_features, n_classes))).argmax(axis=1)
    return rows, labels


@pytest.mark.parametrize("batch_size", [1, 32])
def test_calls_are_short_and_change_no_bits(batch_size, monkeypatch):
    wide, labels = wide_problem()
    calls = Calls(monkeypatch)
    keywords = {"batch_size": batch_size, "alpha": 1e-3, "random_state": 0, "max_iter": 2}
    usual = LinearClassifier(**keywords).fit(wide, labels)
    assert 1_000 < max(calls) <= epochs.CALL_VALUES / (20 * 100)
    longest = []
    for call_values, least in ((1 << 60, 1), (400_000, 1), (1, 10_000), (1, 1)):
        calls.clear()
        monkeypatch.setattr(epochs, "CALL_VALUES", call_values)
        monkeypatch.setattr(epochs, "LEAST_VALUES", least)
        clf = LinearClassifier(**keywords).fit(wide, labels)
        assert sum(calls) == 2 * 20 * 4_000
        assert equal_bits(clf.coef_, usual.coef_)
        assert equal_bits(clf.intercept_, usual.intercept_)
        longest.append(max(calls))
    whole, some, least, single = longest
    assert whole > 2_000
    assert some <= 200
    assert least <= 100
    assert single <= 64


def test_a_signal_stops_a_wide_fit_of_many_classes_between_short_calls(monkeypatch):
    """The signal comes from outside, at any moment; outputs stay in step."""
    wide, labels = wide_problem()
    monkeypatch.setattr(epochs, "CALL_VALUES", 200_000)
    monkeypatch.setattr(epochs, "LEAST_VALUES", 1)
    seen = []
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))

    def start(progress):
        seen.append(progress)
        if len(seen) == 1:
            timer.start()

    clf = LinearClassifier(max_iter=100_000, random_state=0)
    with pytest.raises(KeyboardInterrupt, match="the fit was stopped in epoch"):
        clf.fit(wide, labels, callback=start)
    assert clf.n_iter_ < 100_000
    assert max(np.diff([p.rows for p in seen if p.epoch == 0])) <= 100
    assert len({state.step for state in clf._fitted.states}) == 1
    assert clf.partial_fit(wide, labels).score(wide, labels) > 0.3


# ---- scikit-learn's contract --------------------------------------------------------------------

WEIGHT = np.random.default_rng(1).integers(0, 3, 200) * 0.75
KEYWORDS = [{}, {"batch_size": 16}, {"max_iter": 12}, {"early_stopping": True, "tol": 0.0}]


@pytest.mark.parametrize("keywords", KEYWORDS)
def test_rows_of_weight_zero_are_as_if_they_were_not_there(keywords):
    kept = WEIGHT > 0
    assert 50 < kept.sum() < 150
    for rows in (X, DENSE.astype(np.float32)):
        clf, without = (LinearClassifier(random_state=0, **keywords) for _ in range(2))
        clf.fit(rows, LABELS, WEIGHT)
        without.fit(rows[kept], LABELS[kept], WEIGHT[kept])
        for name in ("coef_", "intercept_", "loss_curve_", "stopping_curve_"):
            assert equal_bits(getattr(clf, name), getattr(without, name)), name
        assert clf.t_ == without.t_
        clf.partial_fit(rows, LABELS, sample_weight=WEIGHT)
        without.partial_fit(rows[kept], LABELS[kept], sample_weight=WEIGHT[kept])
        assert equal_bits(clf.coef_, without.coef_)
        assert clf.t_ == without.t_
    masked = LinearClassifier(class_weight={2: 0.0}, random_state=0, **keywords)
    three = np.where(np.arange(200) % 5 == 0, 2, LABELS)
    masked.fit(X, three)
    assert masked.coef_.shape == (3, 30)
    assert masked.score(X[three < 2], LABELS[three < 2]) > 0.7


def test_balanced_classes_count_the_same_with_weights_too():
    twice = np.repeat(np.arange(200), (2 * WEIGHT / 1.5).astype(int))
    balanced = LinearClassifier(class_weight="balanced", random_state=0).fit(X, LABELS, WEIGHT)
    each = compute_class_weight("balanced", classes=np.array([0, 1]), y=LABELS[twice])
    by_hand = LinearClassifier(random_state=0).fit(X, LABELS, WEIGHT * each[LABELS])
    np.testing.assert_allclose(balanced.coef_, by_hand.coef_, rtol=1e-12)
    assert each[0] != pytest.approx(each[1], rel=1e-2)
    none_left = np.where(LABELS == 0, 0.0, 1.0)
    clf = LinearClassifier(class_weight="balanced", random_state=0).fit(X, LABELS, none_left)
    assert (clf.predict(X) == 1).mean() > 0.9


@pytest.mark.parametrize("cls, y", [(LinearClassifier, LABELS), (LinearRegressor, TARGET)])
def test_sparsify_changes_the_form_of_the_coefficients_alone(cls, y):
    model = cls(penalty="l1", alpha=0.05, max_iter=20, random_state=0)
    for change in (model.sparsify, model.densify):
        with pytest.raises(sklearn.exceptions.NotFittedError):
            change()
    dense, margins = model.fit(X, y).coef_, model._margins(X)
    assert 3 < np.count_nonzero(dense) < 27
    assert model.sparsify() is model
    assert model.coef_.format == "csr"
    assert model.coef_.nnz == np.count_nonzero(dense)
    assert equal_bits(model.coef_.toarray(), np.atleast_2d(dense) + 0.0)  # no -0.0 in CSR
    assert equal_bits(model._margins(X), margins)
    assert pickle.loads(pickle.dumps(model)).coef_.format == "csr"
    assert isinstance(clone(model).fit(X, y).coef_, np.ndarray)
    same = clone(model).fit(X, y).partial_fit(X, y)
    model.partial_fit(X, y)
    assert equal_bits(model.coef_.toarray(), np.atleast_2d(same.coef_) + 0.0)
    assert model.top_features() == same.top_features()
    assert equal_bits(model.densify().coef_, same.coef_)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("cls", [LinearClassifier, LinearRegressor])
def test_requests_for_weights_are_kept(cls, routing):
    model = cls()
    for name in ("fit", "partial_fit", "score"):
        getattr(model, f"set_{name}_request")(sample_weight=True)
    requests = clone(model).get_metadata_routing()
    for name in ("fit", "partial_fit", "score"):
        assert getattr(requests, name).requests["sample_weight"] is True


def test_weights_are_routed_through_pipelines_and_searches(routing):
    asking = LinearClassifier(random_state=0).set_fit_request(sample_weight=True)
    asking.set_score_request(sample_weight=True)
    scaler = MaxAbsScaler()
    pipeline = make_pipeline(scaler, asking).fit(X, LABELS, sample_weight=WEIGHT)
    scaled = MaxAbsScaler().fit_transform(X)
    by_hand = LinearClassifier(random_state=0).fit(scaled, LABELS, sample_weight=WEIGHT)
    unweighted = LinearClassifier(random_state=0).fit(scaled, LABELS)
    assert equal_bits(pipeline[-1].coef_, by_hand.coef_)
    assert not np.array_equal(by_hand.coef_, unweighted.coef_)
    score = pipeline.score(X, LABELS, sample_weight=WEIGHT)
    assert score == by_hand.score(scaled, LABELS, WEIGHT)
    assert score != by_hand.score(scaled, LABELS)
    search = GridSearchCV(pipeline, {"linearclassifier__alpha": [1e-4, 1.0]}, cv=3)
    search.fit(X, LABELS, sample_weight=WEIGHT)
    assert equal_bits(
        search.best_estimator_[-1].coef_,
        clone(asking).set_params(alpha=search.best_params_["linearclassifier__alpha"])
        .fit(scaled, LABELS, sample_weight=WEIGHT).coef_,
    )  # fmt: skip
    refusing = make_pipeline(MaxAbsScaler(), LinearClassifier(random_state=0))
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
        refusing.fit(X, LABELS, sample_weight=WEIGHT)


def test_weights_reach_calibration_and_groups_of_estimators():
    groups = np.arange(200) % 4
    weights = {"sample_weight": WEIGHT}
    members = [(f"seed {k}", LinearClassifier(random_state=k)) for k in range(3)]
    for model in (
        CalibratedClassifierCV(LinearClassifier(loss="hinge", random_state=0), cv=3),
        VotingClassifier(members, voting="soft"),
        BaggingClassifier(LinearClassifier(random_state=0), 3, random_state=0),
    ):
        kept = WEIGHT > 0
        weighted = clone(model).fit(X, LABELS, **weights).predict_proba(X)
        assert ((weighted[:, 1] > 0.5) == LABELS)[kept].mean() > 0.8
        assert not np.allclose(weighted, clone(model).fit(X, LABELS).predict_proba(X), rtol=1e-3)
        scores = cross_val_score(model, X, LABELS, groups=groups, cv=GroupKFold(4))
        assert len(scores) == 4
        assert scores.mean() > 0.7
    regressor = VotingRegressor([(str(k), LinearRegressor(random_state=k)) for k in range(2)])
    assert cross_val_score(regressor, X, TARGET, cv=3).mean() > 0.5


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_pipelines_that_hand_on_frames(library):
    pytest.importorskip(library)
    pipeline = make_pipeline(MaxAbsScaler(), LinearClassifier(random_state=0))
    plain = clone(pipeline).fit(DENSE, LABELS)
    pipeline.set_output(transform=library).fit(DENSE, LABELS)
    assert pipeline[-1].feature_names_in_[:2].tolist() == ["x0", "x1"]
    assert equal_bits(pipeline[-1].coef_, plain[-1].coef_)
    assert equal_bits(pipeline.predict_proba(DENSE), plain.predict_proba(DENSE))
