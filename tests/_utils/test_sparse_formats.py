"""Sparse matrices of every format: SciPy's own code, which trusts them, sees no damaged one."""

import numpy as np
import pytest
from scipy import sparse

from lrcore import LinearRegressor
from lrcore._utils.sparse_formats import from_arrays, to_csr
from lrcore.io import datafile
from lrcore.io.datafile import DataError

RNG = np.random.default_rng(0)
DENSE = np.where(RNG.random((12, 8)) < 0.4, RNG.normal(size=(12, 8)), 0.0)
FORMATS = ("csr", "csc", "bsr", "dia", "coo")


def matrix(form):
    made = getattr(sparse, f"{form}_matrix")(DENSE)
    return made.tobsr(blocksize=(3, 2)) if form == "bsr" else made


def parts_of(form):
    """The arrays of a file."""
    X = matrix(form)
    names = {"coo": ("row", "col", "data"), "dia": ("offsets", "data")}
    arrays = {k: getattr(X, k).copy() for k in names.get(form, ("indices", "indptr", "data"))}
    return {**arrays, "shape": np.array(X.shape), "format": np.array(form.encode())}


def changed(name, make):
    return lambda a: a.update({name: make(a[name])})


def at(name, place, value):
    def change(a):
        a[name][place] = value

    return change


COMPRESSED = [
    at("indices", 0, 1 << 30),
    at("indices", 3, -1),
    at("indices", -1, np.iinfo(np.int32).min),
    at("indptr", 0, -5),
    at("indptr", 1, 1 << 30),
    at("indptr", 2, -(1 << 30)),
    at("indptr", -1, 1 << 30),
    at("indptr", -1, 0),
    changed("indptr", lambda a: a[:-1]),
    changed("indptr", lambda a: np.append(a, a[-1])),
    changed("indptr", lambda a: a[:, None]),
    changed("indptr", lambda a: a.astype(float)),
    changed("indptr", lambda a: a[:0]),
    changed("indices", lambda a: a[:-1]),
    changed("indices", lambda a: a[:, None]),
    changed("indices", lambda a: a.astype(float)),
    changed("indices", lambda a: a.astype(complex)),
    changed("data", lambda a: a[:-1]),
]
DAMAGES = [(form, change) for form in ("csr", "csc", "bsr") for change in COMPRESSED]
DAMAGES += [  # of a dtype that SciPy's code does not know, with indices out of range
    ("bsr", lambda a: a.update(data=a["data"].astype("f2"), indices=a["indices"] + (1 << 30))),
    ("csc", lambda a: a.update(data=a["data"].astype("f2"), indptr=a["indptr"][::-1])),
]
DAMAGES += [
    ("csc", changed("data", lambda a: a[:, None])),
    ("csr", changed("data", lambda a: a[:, None])),
    ("bsr", changed("data", lambda a: a[:, :, 0])),
    ("bsr", changed("data", lambda a: a[:, :2])),
    ("bsr", changed("data", lambda a: a.reshape(-1, 2, 3))),
    ("bsr", changed("data", lambda a: a[:, :0])),
    ("coo", at("row", 0, 12)),
    ("coo", at("row", 0, -1)),
    ("coo", at("col", 0, 8)),
    ("coo", at("col", -1, -(1 << 31))),
    ("coo", changed("row", lambda a: a[:-1])),
    ("coo", changed("col", lambda a: a[:-1])),
    ("coo", changed("data", lambda a: a[:-1])),
    ("coo", changed("col", lambda a: a.astype(float))),
    ("coo", changed("row", lambda a: a[:, None])),
    ("dia", changed("offsets", lambda a: a[:-1])),
    ("dia", changed("offsets", lambda a: a * 0)),
    ("dia", changed("offsets", lambda a: a + (1 << 30))),
    ("dia", changed("offsets", lambda a: a - (1 << 30))),
    ("dia", changed("offsets", lambda a: a.astype(float))),
    ("dia", changed("offsets", lambda a: a[:, None])),
    ("dia", changed("data", lambda a: a[0])),
    ("dia", changed("data", lambda a: a[..., None])),
]


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_a_damaged_matrix_is_refused(number, tmp_path):
    form, change = DAMAGES[number]
    arrays = parts_of(form)
    change(arrays)
    path = tmp_path / "X.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=r"X\.npz: not a scipy \.npz file"):
        datafile.read(path)
    # The same in memory, where attributes may be anything; CSR is looked at by the core.
    X = matrix(form)
    for name, values in arrays.items():
        if name not in ("shape", "format", "row", "col"):
            setattr(X, name, values)
    if form == "coo":
        X.coords = (arrays["row"], arrays["col"])
    model = LinearRegressor(solver="newton").fit(DENSE, np.arange(12.0))
    lenient = form == "csr" and len(arrays["data"]) == len(DENSE.nonzero()[0])
    for use in (lambda: LinearRegressor().fit(X, np.arange(12.0)), lambda: model.predict(X)):
        if lenient and int(arrays["indptr"].reshape(-1)[-1:].sum()) == 0:
            continue  # no rows at all, or the last one is empty: checked by the core
        with pytest.raises((ValueError, TypeError)):
            use()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64, bool])
def test_every_format_is_read(form, dtype, tmp_path):
    X = matrix(form)
    X.data = (X.data * 4).astype(dtype) if dtype is not bool else X.data != 0
    expected = np.asarray(X.astype(np.float64 if dtype == np.float16 else dtype).toarray(), float)
    path = tmp_path / "X.npz"
    sparse.save_npz(path, X)
    assert np.array_equal(datafile.read(path, dtype=np.float64)[0].toarray(), expected)
    assert np.array_equal(to_csr(X).astype(np.float64).toarray(), expected)


@pytest.mark.parametrize(
    "data", [DENSE + 1j, DENSE.astype("U9"), DENSE.astype("M8[s]"), DENSE.astype("m8[s]")]
)
def test_what_is_no_number_is_refused(data, tmp_path):
    path = tmp_path / "X.npz"
    arrays = parts_of("coo")
    np.savez(path, **{**arrays, "data": data.reshape(-1)[: len(arrays["data"])]})
    with pytest.raises(DataError, match="its data must be numbers"):
        datafile.read(path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a.pop("format"), "it holds no matrix"),
        (lambda a: a.update(format=np.array("lil")), "format must be one of"),
        (lambda a: a.update(format=np.array("coo_")), "format must be one of"),
        (lambda a: a.update(format=np.array(["coo"])), "format must be one of"),
        (lambda a: a.update(format=np.array(3)), "format must be one of"),
        (lambda a: a.update(format=np.array(b"\xff")), "format must be one of"),
        (lambda a: a.pop("shape"), "shape"),
        (lambda a: a.update(shape=np.array([12, 8, 1])), "shape must be two integers"),
        (lambda a: a.update(shape=np.array([12.0, 8.0])), "shape must be two integers"),
        (lambda a: a.update(shape=np.array([-12, 8])), "shape must be two integers"),
        (lambda a: a.update(shape=np.array([10**9, 8])), "1,000,000,000 rows, far more"),
        (lambda a: a.update(shape=np.array([2**63, 8], np.uint64)), "too large"),
        (lambda a: a.update(shape=np.array([0, 0])), "COO matrix is damaged"),
        (lambda a: a.pop("row"), "row"),
        (lambda a: a.pop("data"), "data"),
        (lambda a: a.update(coords=np.zeros((3, 4), int)), "two coordinates"),
    ],
)
def test_files_that_are_no_matrix(change, message, tmp_path):
    arrays = parts_of("coo")
    change(arrays)
    path = tmp_path / "X.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message):
        datafile.read(path)


def test_blocks_that_are_very_many_rows():
    arrays = {
        "format": np.array("bsr"),
        "shape": np.array([10**12, 1]),
        "data": np.zeros((0, 10**12, 1)),
        "indices": np.zeros(0, np.int32),
        "indptr": np.zeros(2, np.int32),
    }
    with pytest.raises(ValueError, match="far more than it has values"):
        from_arrays(arrays)


def test_labels_of_files(tmp_path):
    path = tmp_path / "X.npz"
    for y in (np.ones(12, complex), np.ones(12, "M8[s]"), np.ones((12, 1)), np.ones(3)):
        np.savez(path, **parts_of("csr"), y=y)
        with pytest.raises(DataError, match="y must h"):
            datafile.read(path)
    np.savez(path, **parts_of("csr"), y=np.arange(12, dtype=">i4"))
    assert datafile.read(path)[1].tolist() == list(range(12))


def test_one_dimensional_matrices_are_named():
    for X in (sparse.coo_array(DENSE[0]), sparse.csr_array(DENSE[0])):
        with pytest.raises(ValueError, match=r"got a 1-D c.._array of shape \(8,\); X\.reshape"):
            LinearRegressor().fit(X, [1.0])


def test_lists_of_unequal_length_are_refused():
    for change in (
        lambda X: X.rows[3].append(5),
        lambda X: X.data[3].append(5.0),
        lambda X: X.rows.__setitem__(2, None),
        lambda X: setattr(X, "rows", X.rows[:-1]),
        lambda X: X.rows[0].__setitem__(0, 99),
    ):
        X = sparse.lil_matrix(DENSE + 1.0)
        change(X)
        with pytest.raises(ValueError, match="matrix is damaged"):
            LinearRegressor().fit(X, np.arange(12.0))


def test_keys_outside_of_a_matrix_are_refused():
    X = sparse.dok_matrix(DENSE)
    X._dict[(100, 3)] = 1.0
    with pytest.raises(ValueError, match=r"exceeds|damaged"):
        LinearRegressor().fit(X, np.arange(12.0))
