"""Text as datasets: what the eager readers give, batch by batch."""

import numpy as np
import pytest
from scipy import sparse

import lrcore
from lrcore.io import DataError, read_svmlight, read_vw, scan_npz, scan_svmlight, scan_vw
from lrcore.io.dataset import Dataset

RNG = np.random.default_rng(8)
N_ROWS = 400
X = sparse.random(N_ROWS, 30, 0.2, "csr", np.float64, random_state=2)
Y = RNG.integers(0, 2, N_ROWS).astype(float)
assert X.indices.max() == 29


def lines(first_index=1):
    for row, label in zip(X, Y):
        pairs = " ".join(f"{j + first_index}:{v!r}" for j, v in zip(row.indices, row.data.tolist()))
        yield f"{label:g} {pairs}\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "rows.svm").write_text("".join(lines()))
    return tmp_path / "rows.svm"


@pytest.mark.parametrize("first_index", [0, 1])
@pytest.mark.parametrize("n_features", [None, 40])
def test_svmlight(tmp_path, first_index, n_features):
    path = tmp_path / "rows.svm"
    path.write_text("".join(lines(first_index)))
    dataset = scan_svmlight(path, dtype=np.float64, n_features=n_features)
    found = dataset.read()
    assert found.X.shape == (N_ROWS, n_features or 30)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found.X, name), getattr(X, name))
    np.testing.assert_array_equal(found.y, Y)
    assert dataset.n_features == found.X.shape[1]


def test_svmlight_in_batches_learns_what_the_matrix_teaches(path):
    rows, labels = read_svmlight(path, dtype=np.float32)
    expected = lrcore.LinearClassifier(random_state=0).fit(Dataset.from_arrays(rows, labels))
    found = lrcore.LinearClassifier(random_state=0).fit(scan_svmlight(path).batches(30))
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    assert found.coef_.any()


def test_an_index_beyond_the_width(path):
    with pytest.raises(DataError, match=r"rows.svm:2: 21 features, but n_features is 20"):
        scan_svmlight(path, n_features=20).read()
    path.write_text("# text\n\n1 1:1 20:1\n" + path.read_text())
    with pytest.raises(DataError, match=r"rows.svm:5: 21 features, but n_features is 20"):
        scan_svmlight(path, n_features=20, zero_based=False).read()
    with pytest.raises(DataError, match=r"rows.svm:3: 21 features, but n_features is 20"):
        scan_svmlight(path, n_features=20, zero_based=True, on_error="skip").read()


def test_lines_that_are_not_valid(path):
    text = path.read_text()
    path.write_text(text + "1 3:x\n" + text)
    with pytest.raises(DataError, match=r"rows.svm:401: the value must be a finite number"):
        scan_svmlight(path, n_features=30).read()
    assert scan_svmlight(path, n_features=30, on_error="skip").read().n_rows == 2 * N_ROWS


def test_a_pipe_needs_a_width(path):
    with path.open("rb") as file:
        with pytest.raises(ValueError, match="give n_features"):
            scan_svmlight(file)
        assert scan_svmlight(file, n_features=30).read().n_rows == N_ROWS


def test_vw(tmp_path):
    path = tmp_path / "rows.vw"
    path.write_text("1 2 | a b:2\n-1 |n a c\n1 0.5 |n b |m x:3\n")
    expected, found = read_vw(path, bits=10), scan_vw(path, bits=10).read()
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    np.testing.assert_array_equal(found.y, expected.y)
    np.testing.assert_array_equal(found.weight, expected.weight)
    assert found.weight.tolist() == [2.0, 1.0, 0.5]


def test_npz(tmp_path):
    parts = {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": X.shape}
    np.savez(tmp_path / "rows.npz", format=b"csr", y=Y, **parts)
    found = scan_npz(tmp_path / "rows.npz", dtype=np.float64).read()
    np.testing.assert_array_equal(found.X.toarray(), X.toarray())
    np.testing.assert_array_equal(found.y, Y)


def test_the_base_of_vw_text_is_an_offset(tmp_path):
    path = tmp_path / "rows.vw"
    path.write_text("1 | 3\n0 1 0 | 4\n")
    assert scan_vw(path).read().offset is None
    path.write_text("1 | 3\n0 1 0.25 | 4\n")
    np.testing.assert_array_equal(scan_vw(path).read().offset, [0, 0.25])
