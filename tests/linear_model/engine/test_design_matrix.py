"""X in all its forms: what is copied, what is refused, and that the numbers are the same."""

import mmap

import numpy as np
import pytest
from backends import use_backend
from linear_fits import LinearFit, fit_config
from scipy import sparse
from strategies import BUILDS, DTYPES, equal_bits, sparse_problem

from lrcore import AdaGrad, LinearClassifier, LinearRegressor, _backend, _core
from lrcore.linear_model.engine import design_matrix
from lrcore.linear_model.engine.design_matrix import DesignMatrix, all_ones, as_design_matrix
from lrcore.linear_model.engine.layout import LazyPenalty

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=30)


def same_rows(rows, expected):
    """Whether the two matrices hold the same, in bits."""
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
    rows = as_design_matrix(raw_csr(matrix.data, *arrays, X.shape))
    assert rows.indices.dtype == index
    assert rows.indptr.dtype == np.int64
    assert np.shares_memory(rows.values, matrix.data)
    assert np.shares_memory(rows.indices, arrays[0])
    assert np.shares_memory(rows.indptr, arrays[1]) == (index is np.int64)
    expected = as_design_matrix(matrix)
    for other in (matrix.tocsc(), matrix.tocoo(), matrix.tolil(), matrix.todok(), matrix.tobsr()):
        assert same_rows(as_design_matrix(other), expected), type(other)
        assert same_rows(as_design_matrix(sparse.csc_array(other)), expected)
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
    rows = as_design_matrix(twice)
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
    rows = as_design_matrix(raw_csr(values, indices, X.indptr + 1, X.shape))
    assert same_rows(rows, as_design_matrix(X))
    assert np.shares_memory(rows.values, values)
    fits = [
        LinearClassifier(random_state=0, max_iter=12).fit(m, LABELS)
        for m in (X, raw_csr(values, indices, X.indptr + 1, X.shape))
    ]
    assert equal_bits(fits[0].coef_, fits[1].coef_)


SPOILS = [
    lambda d, i, p: (d[:-1], i, p),
    lambda d, i, p: (d, i[:-1], p),
    lambda d, i, p: (d, i, p[:-1]),
    lambda d, i, p: (d, i, p - 1),
    lambda d, i, p: (d, i, np.append(p[:-1], p[-1] + 1)),
    lambda d, i, p: (d, i, np.where(np.arange(len(p)) == 9, 10**9, p)),
    lambda d, i, p: (d, i, p[::-1]),
]


@pytest.mark.parametrize("spoil", SPOILS)
def test_damaged_matrices_are_refused(spoil):
    with pytest.raises(ValueError, match="the CSR matrix is damaged"):
        as_design_matrix(raw_csr(*spoil(X.data, X.indices, X.indptr), X.shape))


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_predictions_refuse_what_fits_refuse(build, index, n_threads):
    """They check indices on the way, and read nothing outside the arrays."""
    tall = sparse.vstack([X] * 20).tocsr()
    for dtype in DTYPES:
        clf = LinearClassifier(random_state=0, n_threads=n_threads).fit(X.astype(dtype), LABELS)
        d, i, p = tall.data.astype(dtype), tall.indices.astype(index), tall.indptr.astype(index)
        good = clf.decision_function(raw_csr(d, i, p, tall.shape))
        assert equal_bits(good, clf.decision_function(tall.astype(dtype)))
        for spoil in SPOILS:
            with pytest.raises(ValueError, match="the CSR matrix is damaged"):
                clf.decision_function(raw_csr(*spoil(d, i, p), tall.shape))
        for place in (0, i.size // 2, i.size - 1):
            for wrong in (-1, 30, np.iinfo(index).min, np.iinfo(index).max):
                strange = i.copy()
                strange[place] = wrong
                with pytest.raises(ValueError, match="an index outside 0 to 29 in row"):
                    clf.decision_function(raw_csr(d, strange, p, tall.shape))
            for bad in (np.nan, np.inf, -np.inf):
                values = d.copy()
                values[place] = bad
                with pytest.raises(ValueError, match=r"X has (NaN|infinity) in row"):
                    clf.decision_function(raw_csr(values, i, p, tall.shape))


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("n_classes", [3, 8, 9, 20])
def test_raw_predictions_of_several_outputs_have_the_bits_of_each_alone(build, index, n_classes):
    """Also of models with averages or scales, and of rows of the other dtype."""
    y = np.arange(200) % n_classes
    arrays = X.indices.astype(index), X.indptr.astype(index)
    for keywords in ({}, {"average": True}, {"scale": "auto"}, {"solver": "dual", "alpha": 1e-2}):
        for n_threads in (1, 2, 3):
            usual = {"solver": "stochastic", "random_state": 0, "max_iter": 2, "tol": None}
            clf = LinearClassifier(n_threads=n_threads, **{**usual, **keywords})
            clf.fit(X.astype(np.float32), y)
            for dtype in DTYPES:
                rows = raw_csr(X.data.astype(dtype), *arrays, X.shape)
                alone = [
                    as_design_matrix(rows).raw_predictions(w.astype(dtype), float(b), 1)
                    for w, b in zip(clf.coef_, clf.intercept_)
                ]
                assert np.ptp(alone[0]) > 0
                assert equal_bits(clf.decision_function(rows), np.stack(alone, axis=1))
    rows.indices[7] = 30
    with pytest.raises(ValueError, match="an index outside 0 to 29 in row"):
        clf.predict(rows)


def test_predictions_take_rows_in_any_order():
    clf = LinearClassifier(random_state=0).fit(X, LABELS)
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(X.indptr, X.indptr[1:])])
    turned = raw_csr(X.data[order], X.indices[order], X.indptr, X.shape)
    assert np.any(turned.indices != X.indices)
    np.testing.assert_allclose(clf.decision_function(turned), clf.decision_function(X), atol=1e-12)


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"batch_size": 16},
        {"max_iter": 20, "n_threads": 2},
        {"solver": "dual", "alpha": 1e-2, "max_iter": 9},
        {"optimizer": "adam", "average": True, "penalty": None, "n_threads": 3},
    ],
)
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_values_that_are_all_1_are_not_read(build, index, n_classes, keywords, monkeypatch):
    found = X.astype(bool)
    arrays = found.indices.astype(index), found.indptr.astype(index)
    y = np.arange(200) % n_classes
    models = []
    for kind in (bool, np.float64):
        matrix = raw_csr(found.data.astype(kind), *arrays, X.shape)
        rows = as_design_matrix(matrix)
        assert all_ones(rows.values)
        assert all_ones(rows.take(np.arange(9)).values)
        assert rows.csr[2].size < found.nnz
        models.append(LinearClassifier(random_state=0, tol=None, **keywords).fit(matrix, y))
    monkeypatch.setattr("lrcore.linear_model.engine.design_matrix._are_ones", lambda values: False)
    assert as_design_matrix(matrix).csr[2].size == found.nnz
    models.append(LinearClassifier(random_state=0, tol=None, **keywords).fit(matrix, y))
    assert np.ptp(models[-1].coef_) > 0
    for clf in models[:-1]:
        assert equal_bits(clf.coef_, models[-1].coef_)
        assert equal_bits(clf.decision_function(matrix), models[-1].decision_function(matrix))


def test_one_value_that_is_not_1_is_seen():
    found = X.astype(bool).astype(np.float32)
    for place in (0, found.nnz // 2, found.nnz - 1):
        found.data[place] = 2
        assert as_design_matrix(found).values[place] == 2
        found.data[place] = 1
    assert all_ones(as_design_matrix(found).values)
    single = sparse.csr_matrix(np.ones((1, 1)))
    assert LinearRegressor().fit(single, [3.0]).predict(single).shape == (1,)


def test_arrays_with_gaps_or_at_odd_addresses_are_copied():
    wide = [np.repeat(a, 2)[::2] for a in (X.data, X.indices, X.indptr)]
    assert not wide[0].flags.c_contiguous
    assert same_rows(as_design_matrix(raw_csr(*wide, X.shape)), as_design_matrix(X))
    odd = np.zeros(DENSE.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(DENSE.shape)
    odd[...] = DENSE
    assert not odd.flags.aligned
    for array in (odd, DENSE.astype(">f8"), np.repeat(DENSE, 2, axis=1)[:, ::2]):
        assert same_rows(as_design_matrix(array), as_design_matrix(DENSE))
        assert as_design_matrix(array).values.flags.aligned


# ---- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_mapped_and_read_only_arrays_are_not_copied(dtype, tmp_path, backend):
    array = mapped(tmp_path / "dense", DENSE.astype(dtype))
    rows = as_design_matrix(array)
    assert np.shares_memory(rows.values, array)
    assert not rows.values.flags.writeable
    parts = [X.data.astype(dtype), X.indices.astype(np.int64), X.indptr.astype(np.int64)]
    parts = [mapped(tmp_path / str(k), part) for k, part in enumerate(parts)]
    matrix = raw_csr(*parts, X.shape)
    rows = as_design_matrix(matrix)
    for ours, theirs in zip((rows.values, rows.indices, rows.indptr), parts):
        assert np.shares_memory(ours, theirs)
        assert not ours.flags.writeable
    # A matrix made the usual way keeps what is mapped too; int32 offsets alone are widened.
    parts[1:] = [mapped(tmp_path / n, getattr(X, n)) for n in ("indices", "indptr")]
    usual = sparse.csr_matrix(tuple(parts), shape=X.shape)
    rows = as_design_matrix(usual)
    assert np.shares_memory(rows.values, parts[0])
    assert np.shares_memory(rows.indices, parts[1])
    for mine, plain in ((array, DENSE), (matrix, X), (usual, X)):
        ways = {"max_iter": 1}, {"batch_size": 8, "max_iter": 3}, {"max_iter": 10}
        for keywords in ways[:1] if backend == "numpy" else ways:
            clf = LinearClassifier(random_state=0, **keywords).fit(mine, LABELS)
            same = LinearClassifier(random_state=0, **keywords).fit(plain.astype(dtype), LABELS)
            assert equal_bits(clf.coef_, same.coef_)
            assert equal_bits(clf.predict_proba(mine), same.predict_proba(plain.astype(dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_arrays(dtype):
    array = DENSE.astype(dtype)
    rows = as_design_matrix(array)
    assert np.shares_memory(rows.values, array)
    assert same_rows(as_design_matrix(np.asfortranarray(array)), rows)
    assert np.shares_memory(as_design_matrix(array[10:50]).values, array)
    counts = np.rint(DENSE * 3) + 0.0
    for kind in (np.int8, np.int64, np.float16):
        assert equal_bits(as_design_matrix(counts.astype(kind)).values, counts)
    assert equal_bits(as_design_matrix(DENSE > 0).values, (DENSE > 0) * 1.0)
    assert as_design_matrix(counts.astype(np.int8), np.dtype(np.float32)).dtype == np.float32


# ---- functions of a matrix ----------------------------------------------------------------------


def test_raw_predictions_have_the_same_bits_for_every_build_and_thread_count(monkeypatch):
    for dtype in DTYPES:
        X, dense, _, _ = sparse_problem(dtype=dtype, n_rows=500)
        w = np.random.default_rng(0).normal(size=60).astype(dtype)
        for matrix in (as_design_matrix(X), as_design_matrix(dense)):
            results = []
            for build in BUILDS:
                use_backend(monkeypatch, build)
                results += [matrix.raw_predictions(w, 0.5, n) for n in (1, 2, 3)]
            assert all(equal_bits(r, results[0]) for r in results)
            exact = dense.astype(float) @ w.astype(float) + 0.5
            np.testing.assert_allclose(
                results[0], exact, atol=1e-4 if dtype == np.float32 else 1e-12
            )


def test_touched_values_are_counted_over_all_columns():
    dense = np.ones((1 << 15, 64), np.float32)
    dense[:, ::2] = 0
    assert as_design_matrix(dense).touched_per_row() == 32
    assert as_design_matrix(sparse.csr_matrix(dense[:9])).touched_per_row() == 32


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


def trained(X, order, y, batch, n_threads):
    """Bits of a model that has seen these rows twice, and the sums of their losses."""
    fit = LinearFit(
        fit_config("log_loss", AdaGrad(lr=0.3), 1e-3, 1e-3, batch=batch), X,
        LazyPenalty.new([X.shape[1]], [4.0]), n_threads, y,
    )  # fmt: skip
    losses = [fit.fit_rows(order, max(batch, 16)) for _ in range(2)]
    fit.apply_penalty()
    return np.append(fit.state.columns[:2], losses)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_offsets_past_31_bits(index, tmp_path, backend):
    near = as_design_matrix(X.astype(np.float32))
    near = DesignMatrix(near.shape, near.values, near.indptr, near.indices.astype(index))
    values = far_away(tmp_path / "values", near.values)
    indices = far_away(tmp_path / "indices", near.indices)
    far = DesignMatrix(near.shape, values, near.indptr + FAR, indices)
    assert far.indptr.min() > 2**31
    order = np.random.default_rng(0).permutation(near.shape[0]).astype(np.int64)
    y = np.where(LABELS, 1.0, -1.0)
    for batch in (1, 8):
        for n_threads in (1, 3):
            expected, got = (trained(rows, order, y, batch, n_threads) for rows in (near, far))
            assert np.ptp(expected) > 0.1
            assert equal_bits(got, expected)
    w = np.linspace(-1, 1, 30).astype(np.float32)
    assert equal_bits(far.raw_predictions(w, 0.5, 2), near.raw_predictions(w, 0.5, 2))
    inspect = _backend.active.inspect_csr
    assert inspect(far.indptr, indices, 30) == ("", -1)
    assert inspect(far.indptr, indices, 29) == inspect(near.indptr, near.indices, 29)
    assert inspect(far.indptr + 1, indices, 30) == ("range", 199)
    assert same_rows(as_design_matrix(raw_csr(values, indices, far.indptr, X.shape)), near)
    if backend != "numpy":
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
        expected = trained(DesignMatrix(near.shape, near), order, y[first:], batch, 2)
        assert np.ptp(expected) > 0.1
        assert equal_bits(
            trained(DesignMatrix(far.shape, far), order + first, y, batch, 2), expected
        )


# ---- frames -------------------------------------------------------------------------------------


def test_pandas_frames_of_one_block_are_not_copied():
    pd = pytest.importorskip("pandas")
    for dtype in DTYPES:
        array = DENSE.astype(dtype)
        array.flags.writeable = False
        frame = pd.DataFrame(array, columns=[f"c{j}" for j in range(30)], copy=False)
        rows = as_design_matrix(frame)
        assert rows.dtype == dtype
        assert np.shares_memory(rows.values, array)
        assert same_rows(as_design_matrix(frame.iloc[20:90]), as_design_matrix(array[20:90]))
        columns = pd.DataFrame({f"c{j}": array[:, j].copy() for j in range(30)})
        assert same_rows(as_design_matrix(columns), rows)
        assert as_design_matrix(columns, np.dtype(np.float32)).dtype == np.float32


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
    rows = as_design_matrix(frames.DataFrame(drawn))
    assert equal_bits(rows.values, expected)
    assert rows.values.flags.c_contiguous
    narrow = {name: drawn["narrow"] * k for k, name in enumerate("abc", start=1)}
    rows = as_design_matrix(frames.DataFrame(narrow))
    assert equal_bits(rows.values, np.stack(list(narrow.values()), axis=1))
    assert rows.dtype == np.float32
    assert as_design_matrix(frames.DataFrame(narrow), np.dtype(np.float64)).dtype == np.float64
    assert as_design_matrix(frames.DataFrame({**narrow, "flag": drawn["flag"]})).dtype == np.float64


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_name_the_column_that_will_not_do(library):
    frames = pytest.importorskip(library)
    drawn, _ = columns(50)
    words = frames.DataFrame({**drawn, "carrier": ["AA", "UA"] * 25})
    with pytest.raises(ValueError, match=r"X must hold numbers, got column 'carrier' of .*OneHot"):
        as_design_matrix(words)
    for value, kind in ((np.nan, "NaN"), (-np.inf, "infinity")):
        drawn["narrow"] = drawn["narrow"].copy()
        drawn["narrow"][17] = value
        with pytest.raises(ValueError, match=f"X has {kind} in row 17, column 'narrow'; drop"):
            as_design_matrix(frames.DataFrame(drawn))
    with pytest.raises(ValueError, match=r"X has 0 sample\(s\)"):
        as_design_matrix(words[["wide", "flag"]][:0])
    with pytest.raises(ValueError, match=r"X has 0 (sample|feature)\(s\)"):
        as_design_matrix(frames.DataFrame({}))


def test_polars_frames():
    pl = pytest.importorskip("polars")
    drawn, _ = columns(50)
    frame = pl.DataFrame(drawn)
    for name, kind in (("count", pl.Int64), ("flag", pl.Boolean), ("narrow", pl.Float32)):
        values = frame[name].to_list()
        values[31] = None
        missing = frame.with_columns(pl.Series(name, values, dtype=kind))
        with pytest.raises(ValueError, match=f"X has NaN in row 31, column '{name}'"):
            as_design_matrix(missing)
    exact = frame.select(pl.col("count").cast(pl.Decimal(10, 2)))
    assert equal_bits(as_design_matrix(exact).values[:, 0], drawn["count"].astype(float))
    halves = pl.concat([frame[:20], frame[20:]], rechunk=False)
    assert same_rows(as_design_matrix(halves), as_design_matrix(frame))
    day = frame.with_columns(day=pl.lit("2013-01-01").str.to_date())
    with pytest.raises(ValueError, match="got column 'day' of Date"):
        as_design_matrix(day)


def test_polars_frames_are_fitted_by_their_names():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(DENSE, schema=[f"c{j}" for j in range(30)])
    clf = LinearClassifier(random_state=0).fit(frame, LABELS)
    assert clf.feature_names_in_[:2].tolist() == ["c0", "c1"]
    assert equal_bits(clf.coef_, LinearClassifier(random_state=0).fit(DENSE, LABELS).coef_)
    assert equal_bits(
        clf.partial_fit(frame, LABELS).decision_function(frame), clf._raw_predictions(frame)[:, 0]
    )
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(frame.rename({"c3": "other"}))


def test_pandas_columns_of_every_kind():
    pd = pytest.importorskip("pandas")
    drawn, expected = columns(50)
    frame = pd.DataFrame(drawn)
    nullable = frame.convert_dtypes(dtype_backend="numpy_nullable")
    assert {str(d) for d in nullable.dtypes} >= {"Float64", "Int64", "boolean"}
    assert equal_bits(as_design_matrix(nullable).values, expected)
    assert as_design_matrix(nullable[["narrow"]].astype("Float32")).dtype == np.float32
    for name in ("wide", "count", "flag"):
        missing = nullable.copy()
        missing.loc[31, name] = pd.NA
        with pytest.raises(ValueError, match=f"X has NaN in row 31, column '{name}'"):
            as_design_matrix(missing)
    assert equal_bits(as_design_matrix(frame.astype(object)).values, expected)
    twins = frame.set_axis(["a", "b", "a", "b", "a"], axis=1)
    assert equal_bits(as_design_matrix(twins).values, expected)
    for strange in (
        pd.Series(["x", "y"] * 25, dtype="category"),
        pd.Series([1, 2] * 25, dtype="category"),
        pd.Series([1.0, "y"] * 25, dtype=object),
        pd.Series(pd.date_range("2013-01-01", periods=50)),
        pd.Series(np.full(50, 1j)),
    ):
        with pytest.raises(ValueError, match=r"X must hold numbers, got column 'it' of .*; leave"):
            as_design_matrix(frame.assign(it=strange))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_frames_are_taken_as_csr(dtype):
    pd = pytest.importorskip("pandas")
    matrix = X.astype(dtype)
    frame = pd.DataFrame.sparse.from_spmatrix(matrix).rename(columns="c{}".format)
    assert same_rows(as_design_matrix(frame), as_design_matrix(matrix))
    # Columns that are not sparse, or not filled with zeros, join those that are.
    mixed = frame.assign(c3=matrix[:, [3]].toarray().ravel())
    ones = np.where(DENSE[:, 4] > 0, 0.0, 1.0).astype(dtype)
    mixed["c4"] = pd.arrays.SparseArray(ones, fill_value=dtype(1.0))
    expected = matrix.toarray()
    expected[:, 4] = ones
    assert same_rows(as_design_matrix(mixed), as_design_matrix(sparse.csr_matrix(expected)))
    holes = frame.assign(c5=pd.arrays.SparseArray(np.where(np.arange(200) == 12, np.nan, 1.0)))
    with pytest.raises(ValueError, match="X has NaN in row 12, column 'c5'"):
        as_design_matrix(holes)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("scarce", [1 << 40, 1])
def test_used_features_are_found_either_way(index, scarce, monkeypatch):
    monkeypatch.setattr(design_matrix, "SCARCE", scarce)
    rng = np.random.default_rng(8)
    wide = sparse.random(20, 3000, 0.003, "csr", random_state=rng)
    wide.indices, wide.indptr = wide.indices.astype(index), wide.indptr.astype(index)
    whole = as_design_matrix(wide, None, None)
    part, features = whole.with_used_features()
    assert part.indices.dtype == whole.indices.dtype
    assert features.tolist() == sorted({0, *wide.indices.tolist()})
    dense = np.zeros((20, len(features)))
    for row in range(20):
        dense[row, part.row(row)[0]] = part.row(row)[1]
    assert dense.any()
    assert equal_bits(dense, wide.toarray()[:, features])
