"""scale="max": fits of columns in any units, and what stays as it was."""

import pickle

import numpy as np
import pytest
from backends import use_backend
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from strategies import BUILDS, DTYPES, equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore._backend import compiled
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.monitor.diagnostics import RateWarning

_, DENSE, LABELS, TARGET = sparse_problem(n_rows=300, n_features=30)
#: Columns in units from 1e-3 to 1e4, none of which is a power of two.
UNITS = np.geomspace(1e-3, 1e4, 30)
RAW = DENSE * UNITS
X = sparse.csr_matrix(RAW)
THREE = np.where(TARGET > 1, 2, LABELS)

KEYWORDS = {
    "online": {},
    "batches": {"batch_size": 16},
    "reordered": {"max_iter": 25},
    "average": {"average": True},
    "factors": {"penalty_factors": np.linspace(0, 2, 30), "penalty": "elasticnet"},
}


def scaled_by_hand(rows, start, offset, block):
    """The paper's running maxima, a row and a value at a time."""
    scale, out = start.copy(), np.empty_like(rows)
    first = 0
    for i in range(len(rows)):
        if i + 1 == len(rows) or (offset + i + 1) % block == 0:
            for k in range(first, i + 1):
                for j, value in enumerate(rows[k]):
                    scale[j] = max(scale[j], abs(value))
            for k in range(first, i + 1):
                out[k] = [value / s for value, s in zip(rows[k], scale)]
            first = i + 1
    return out, scale


# ---- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset, block", [(0, 40), (0, 16), (5, 16), (31, 16), (3, 1), (7, 1000)])
@pytest.mark.parametrize("index", [np.int32, np.int64, None])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_divided_by_the_largest_so_far(dtype, index, offset, block, backend):
    dense = RAW[:40].astype(dtype)
    rows = dense
    if index is not None:
        rows = sparse.csr_matrix(dense)
        rows.indices, rows.indptr = rows.indices.astype(index), rows.indptr.astype(index)
    rows = as_design_matrix(rows)
    start = scaling.initial_scale(30, np.dtype(dtype))
    start[4] = 1e6
    before, (expected, largest) = rows.values.copy(), scaled_by_hand(dense, start, offset, block)
    scale = start.copy()
    done = scaling.scaled(rows, scale, offset, block)
    assert equal_bits(scale, largest)
    assert equal_bits(rows.values, before)
    got = done.values
    if index is not None:
        assert done.indices is rows.indices
        got = sparse.csr_matrix((done.values, done.indices, done.indptr), dense.shape).toarray()
        got = np.where(expected == 0, expected, got)  # -0.0 is not stored
    assert equal_bits(got, expected)
    assert np.abs(got).max() <= 1
    assert scale[7] == start[7] < 1e-29  # a column without values


# ---- fits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csr", "dense", "float32"])
@pytest.mark.parametrize("name", KEYWORDS)
def test_a_fit_is_that_of_columns_divided_beforehand(name, form, monkeypatch):
    """As if MaxAbsScaler stood before it; and coefficients and raw predictions are those of X."""
    monkeypatch.setattr(compiled, "CACHE_BYTES", 64)
    dense = RAW.astype(np.float32) if form == "float32" else RAW
    largest = np.abs(dense).max(axis=0)
    divided = dense / np.where(largest > 0, largest, 1)
    as_form = sparse.csr_matrix if form == "csr" else np.array
    for y in (LABELS, THREE):
        keywords = {"random_state": 0, "alpha": 1e-3, "tol": 0.0, "lr": 0.3, **KEYWORDS[name]}
        raw = LinearClassifier(scale="max", **keywords).fit(as_form(dense), y)
        by_hand = LinearClassifier(**keywords).fit(as_form(divided), y)
        assert equal_bits(raw.coef_, by_hand.coef_ / np.where(largest > 0, largest, 1))
        assert equal_bits(raw.intercept_, by_hand.intercept_)
        assert equal_bits(raw.loss_curve_, by_hand.loss_curve_)
        rtol = 1e-5 if form == "float32" else 1e-12
        np.testing.assert_allclose(raw.stopping_curve_, by_hand.stopping_curve_, rtol=rtol)
        raw_predictions = raw.decision_function(dense), by_hand.decision_function(divided)
        np.testing.assert_allclose(*raw_predictions, rtol=100 * rtol, atol=10 * rtol)
        assert raw.score(as_form(dense), y) > 0.7


@pytest.mark.parametrize("rows", [X, RAW, RAW.astype(np.float32)], ids=["csr", "64", "32"])
def test_units_that_are_powers_of_two_change_no_bit_of_the_raw_predictions(rows, backend):
    units = 2.0 ** np.random.default_rng(0).integers(-12, 13, 30)
    other = sparse.csr_matrix(rows @ sparse.diags(units)) if rows is X else rows * units
    other = other.astype(rows.dtype)
    if rows is X:
        other.sort_indices()  # sums add values up in the order in which they are stored
    for keywords in ({}, {"batch_size": 16, "penalty": "l1", "alpha": 1e-3}):
        one, two = (
            LinearClassifier(scale="max", max_iter=2, random_state=0, **keywords) for _ in range(2)
        )
        expected = (one.fit(rows, LABELS).coef_ / units).astype(rows.dtype)
        assert equal_bits(two.fit(other, LABELS).coef_, expected)
        for _ in range(2):
            assert equal_bits(one.decision_function(rows), two.decision_function(other))
            one.partial_fit(rows[::-1], LABELS[::-1])
            two.partial_fit(other[::-1], LABELS[::-1])
        assert np.ptp(one.decision_function(rows)) > 1


def test_raw_columns_train_as_well_as_standardised_ones():
    rng = np.random.default_rng(1)
    n = 4000
    standard = rng.normal(size=(n, 12))
    raw = standard * np.geomspace(1e-3, 1e4, 12)
    target = standard @ rng.normal(size=12) + rng.logistic(0, 1, n)
    labels = target > 0

    def loss(model, rows):
        return np.mean(np.logaddexp(0.0, np.where(labels, -1, 1) * model.decision_function(rows)))

    keywords = {"random_state": 0, "penalty": None, "lr": 0.5}
    good = loss(LinearClassifier(**keywords).fit(standard, labels), standard)
    assert loss(LinearClassifier(scale="max", **keywords).fit(raw, labels), raw) < 1.01 * good
    with pytest.warns(RateWarning, match=r"no better than .* scale='auto'"):
        assert loss(LinearClassifier(scale=None, **keywords).fit(raw, labels), raw) > 1.5 * good
    assert loss(LinearClassifier(**keywords).fit(raw, labels), raw) < 1.01 * good
    stream = LinearClassifier(scale="max", penalty=None)
    for _ in range(10):
        stream.partial_fit(raw, labels, [False, True])
    assert loss(stream, raw) < 1.01 * good
    with pytest.raises(FloatingPointError, match="scale='auto'"):
        LinearRegressor(optimizer="sgd", lr=0.1, scale=None, random_state=0).fit(raw, target)
    found = LinearRegressor(optimizer="sgd", scale=None, tol=None, random_state=0).fit(raw, target)
    assert 0.1 < found.score(raw, target) < 0.5  # the largest column alone can be learnt
    reg = LinearRegressor(optimizer="sgd", scale="max", max_iter=20, random_state=0)
    best = LinearRegression().fit(standard, target).score(standard, target)
    assert reg.fit(raw, target).score(raw, target) > best - 0.01 > 0.5


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_the_objective_penalises_the_weights_of_the_scaled_columns(penalty):
    reg = LinearRegressor(
        solver="stochastic", scale="max", penalty=penalty, alpha=0.02, tol=0.0, max_iter=3,
        random_state=0,
    ).fit(X, TARGET)  # fmt: skip
    w = reg.coef_ * np.abs(RAW).max(axis=0)
    size = np.abs(w).sum() if penalty == "l1" else np.square(w).sum() / 2
    loss = np.mean((RAW @ reg.coef_ + reg.intercept_ - TARGET) ** 2) / 2
    assert reg.stopping_curve_[-1] == pytest.approx(loss + 0.02 * size, rel=1e-9)


@pytest.mark.parametrize("keywords", [{}, {"batch_size": 16}])
def test_bits_are_those_of_any_build_thread_count_and_form(keywords, monkeypatch):
    for y, how in ((LABELS, "auto"), (THREE, "softmax"), (THREE, "ovr")):
        for dense in (RAW[:120], RAW[:120].astype(np.float32)):
            by_form = []
            for rows in (sparse.csr_matrix(dense), dense):
                fits = []
                for build in BUILDS:
                    use_backend(monkeypatch, build)
                    for n_threads in (1, 3):
                        clf = LinearClassifier(
                            scale="max", random_state=0, max_iter=1, n_threads=n_threads,
                            multi_class=how, **keywords,
                        )  # fmt: skip
                        fits.append(clf.fit(rows, y[:120]).partial_fit(rows, y[:120]).coef_)
                assert all(equal_bits(coef, fits[0]) for coef in fits)
                by_form.append(fits[0])
            if how == "softmax":
                assert equal_bits(*by_form)
            else:
                close = 1e-3 if dense.dtype == np.float32 else 1e-10
                np.testing.assert_allclose(*(w * UNITS for w in by_form), rtol=close, atol=close)


@pytest.mark.parametrize("y", [LABELS, THREE], ids=["two", "softmax"])
def test_the_numpy_backend_agrees(y, monkeypatch):
    for rows in (X, RAW):
        fits = []
        for name in (BUILDS[0], "numpy"):
            use_backend(monkeypatch, name)
            clf = LinearClassifier(scale="max", lr=0.5, random_state=0, max_iter=1, average=20)
            fits.append(clf.fit(rows, y).partial_fit(3 * rows[:100], y[:100]).coef_)
        np.testing.assert_allclose(fits[0] * UNITS, fits[1] * UNITS, rtol=1e-9, atol=1e-11)


# ---- streams, files, warm starts ----------------------------------------------------------------


@pytest.mark.parametrize("keywords", [{"block_size": 32}, {"block_size": 1}, {"batch_size": 32}])
@pytest.mark.parametrize("y", [LABELS, THREE], ids=["two", "softmax"])
def test_calls_that_end_anywhere_are_one_long_stream(y, keywords, tmp_path):
    grown = DENSE * np.geomspace(1e-2, 1e2, 300)[:, None] * UNITS
    for rows in (sparse.csr_matrix(grown), grown.astype(np.float32)):
        whole = LinearClassifier(scale="max", **keywords).partial_fit(rows, y, np.unique(y))
        parts = LinearClassifier(scale="max", **keywords)
        for start, stop in ((0, 7), (7, 64), (64, 99), (99, 101), (101, 288), (288, 300)):
            parts.partial_fit(rows[start:stop], y[start:stop], np.unique(y))
            lrcore.save(parts, tmp_path / "m")
            parts = lrcore.load(tmp_path / "m")
        for one, other in zip(parts._trained.states, whole._trained.states):
            assert equal_bits(one.columns, other.columns)
        assert equal_bits(parts._trained.scale, whole._trained.scale)
        assert equal_bits(parts.coef_, whole.coef_)
        # Rows ahead of a block have no say in its scale.
        fit = LinearClassifier(scale="max", **keywords, shuffle=False, max_iter=1).fit(rows, y)
        assert not np.allclose(fit.coef_, whole.coef_, rtol=1e-2)


def test_weights_of_scaled_columns_stay_when_the_scale_grows():
    reg = LinearRegressor(solver="stochastic", scale="max", tol=None, random_state=0)
    reg.fit(RAW, TARGET)
    before, inner = reg.coef_, reg._trained.states[0].weights.copy()
    j = int(np.abs(before * UNITS).argmax())
    largest, row = np.abs(RAW[:, j]).max(), np.zeros((1, 30))
    row[0, j] = -4 * largest
    y = np.ravel(row @ before / 4 + reg.intercept_)  # met exactly, so that nothing is learnt
    old = pickle.loads(pickle.dumps(reg))
    reg.partial_fit(row, y)
    np.testing.assert_allclose(reg._trained.states[0].weights, inner, rtol=1e-6)
    assert reg._trained.scale[j] == 4 * largest
    assert reg.coef_[j] == pytest.approx(before[j] / 4, rel=1e-5)
    np.testing.assert_allclose(np.delete(reg.coef_, j), np.delete(before, j), rtol=1e-5)
    assert equal_bits(old.coef_, before)


def test_a_call_that_fails_leaves_the_scale(monkeypatch):
    reg = LinearRegressor(scale="max", optimizer=lrcore.SGD(lr=0.1)).partial_fit(RAW, TARGET)
    before, scale = reg.coef_, reg._trained.scale.copy()
    with pytest.raises(FloatingPointError, match="diverged"):
        reg.partial_fit(1e3 * RAW, np.full(300, 1e308))
    assert equal_bits(reg._trained.scale, scale)
    assert equal_bits(reg.coef_, before)


@pytest.mark.parametrize("rows", [X, RAW], ids=["csr", "dense"])
@pytest.mark.parametrize("y", [TARGET, np.stack([TARGET, -TARGET], axis=1)], ids=["one", "two"])
def test_warm_starts_files_copies_and_sparse_coefficients(rows, y, tmp_path):
    keywords = {"scale": "max", "random_state": 0, "tol": 0.0, "average": 50}
    reg = LinearRegressor(**keywords, warm_start=True).fit(rows, y)
    first = reg.stopping_curve_[-1]
    lrcore.save(reg, tmp_path / "m")
    for again in (lrcore.load(tmp_path / "m"), pickle.loads(pickle.dumps(reg))):
        assert again.get_params()["scale"] == "max"
        assert equal_bits(again.coef_, reg.coef_)
        assert equal_bits(again.predict(rows), reg.predict(rows))
        assert equal_bits(again.sparsify().coef_.toarray(), np.atleast_2d(reg.coef_) + 0.0)
        assert again.fit(rows, y).stopping_curve_[-1] < first
    assert equal_bits(clone(reg).fit(rows, y).coef_, LinearRegressor(**keywords).fit(rows, y).coef_)
    reg.scale = None
    for fit in (reg.fit, reg.partial_fit):
        with pytest.raises(ValueError, match="scale"):
            fit(rows, y)


def test_the_dual_solver_scales_too():
    keywords = {"solver": "dual", "alpha": 1e-2, "tol": 1e-11, "max_iter": 900, "random_state": 0}
    for rows, y in ((X, LABELS), (RAW, THREE)):
        clf = LinearClassifier(scale="max", **keywords).fit(rows, y)
        assert clf.dual_gap_ <= 1e-11
        largest = np.abs(RAW).max(axis=0)
        divided = RAW / np.where(largest > 0, largest, 1)
        form = sparse.csr_matrix(divided) if rows is X else divided
        by_hand = LinearClassifier(scale=None, **keywords).fit(form, y)
        assert equal_bits(clf.coef_ * np.where(largest > 0, 1, 0), clf.coef_)
        np.testing.assert_allclose(clf.coef_ * largest, by_hand.coef_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", ["mean", True, 1.0, np.ones(30)])
def test_other_scales_are_refused(scale):
    with pytest.raises(ValueError, match="scale must be 'auto', 'std', 'max' or None"):
        LinearClassifier(scale=scale).fit(RAW, LABELS)


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")  # 0.5 is a low rate here
@pytest.mark.parametrize("dtype", DTYPES)
def test_magnitudes_at_the_ends_of_the_range_give_finite_weights(dtype):
    tiny, most = np.finfo(dtype).tiny, np.finfo(dtype).max
    rows = (DENSE[:, :3] / np.abs(DENSE[:, :3]).max(axis=0)).astype(dtype)
    for unit in (tiny / 1e3, tiny, most):
        reg = LinearRegressor(
            scale="max", penalty=None, lr=0.5, max_iter=20, tol=None, random_state=0
        )
        reg.fit(rows * dtype(unit), 100 * TARGET)
        assert np.abs(reg._trained.states[0].weights).max() > 8
        assert np.isfinite(reg.coef_).all()
        assert np.isfinite(reg.predict(rows * dtype(unit))).all()


# ---- units, and the scale of a penalty -----------------------------------------------------------


def table(n_rows=300):
    rng = np.random.default_rng(3)
    rows = np.column_stack([rng.normal(size=(n_rows, 5)), rng.random((n_rows, 2)) < 0.4])
    return rows.astype(float), rows @ rng.normal(size=7) + rng.normal(size=n_rows) > 0


UNITS_OF_A_TABLE = np.array([1e-9, 1.0, 1e3, 1e6, 1e9, 1.0, 1e4])


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("solver", ["auto", "dual"])
def test_units_do_not_matter_by_default(solver, penalty):
    if (solver, penalty) == ("dual", "l1"):
        pytest.skip("it needs a part of l2")
    rows, labels = table()
    keywords = {"solver": solver, "penalty": penalty, "alpha": 0.02, "tol": 1e-9, "random_state": 0}
    keywords["max_iter"] = 5000
    raw = LinearClassifier(**keywords).fit(rows * UNITS_OF_A_TABLE, labels)
    same = LinearClassifier(scale="std", **keywords).fit(rows, labels)
    np.testing.assert_allclose(raw.coef_ * UNITS_OF_A_TABLE, same.coef_, rtol=1e-3, atol=1e-4)
    spread = np.where(np.count_nonzero(rows, axis=0) > 150, rows.std(axis=0), 1.0)
    by_hand = LinearClassifier(scale=None, **keywords).fit(rows / spread, labels)
    np.testing.assert_allclose(same.coef_ * spread, by_hand.coef_, rtol=1e-3, atol=1e-4)


def test_columns_far_from_zero_keep_their_spread():
    rng = np.random.default_rng(0)
    years = 2000.0 + 3.0 * rng.normal(size=5000)
    stamps = 1.7e9 + 1e5 * rng.normal(size=5000)
    found = scaling.spreads(as_design_matrix(np.column_stack([years, stamps])), None, 1)
    np.testing.assert_allclose(found, [years.std(), stamps.std()], rtol=1e-9)


def test_words_are_in_one_unit_and_columns_of_a_table_are_not():
    rng = np.random.default_rng(0)
    words = sparse.random(2000, 500, density=0.05, format="csr", random_state=0)
    words.data = rng.gamma(2.0, size=words.nnz)  # within a factor of a hundred or so
    words = words.multiply(np.geomspace(1.0, 8.0, 500)).tocsr()
    assert not scaling.in_different_units(as_design_matrix(words), None)
    rare = words.copy()
    rare.data[rare.indices == 3] *= 1e-6
    rare = rare.tolil()
    rare[4:, 3] = 0  # four rows touch it
    assert not scaling.in_different_units(as_design_matrix(rare.tocsr()), None)
    rows, _ = table()
    assert not scaling.in_different_units(as_design_matrix(rows), None)
    for form in (rows * UNITS_OF_A_TABLE, sparse.csr_matrix(rows * UNITS_OF_A_TABLE)):
        assert scaling.in_different_units(as_design_matrix(form), None)
