"""Data files are read exactly, and a file that is not valid is refused."""

import bz2
import gzip

import numpy as np
import pytest
from files import svmlight
from scipy import sparse
from strategies import sparse_problem

from lrcore._utils import npz
from lrcore.io import datafile
from lrcore.io.datafile import DataError

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=30, dtype=np.float32)


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("suffix, opener", [("", open), (".gz", gzip.open), (".bz2", bz2.open)])
def test_svmlight_text_is_read(tmp_path, suffix, opener, base):
    path = tmp_path / f"data.svm{suffix}"
    with opener(path, "wt") as file:
        file.write("# a comment\n" + svmlight(X, LABELS, base))
    rows, y, zero_based = datafile.read(path, n_features=30)
    assert (rows != X).nnz == 0
    assert rows.dtype == np.float32
    assert y.tolist() == LABELS.tolist()
    assert zero_based == (base == 0)


LISTS = "3,1 2:0.5\n# a comment, with a comma\n2:1.5 4:1 # no label\n\n10 1:2\n10,3,3 4:1\n"


@pytest.mark.parametrize("suffix, opener", [("", open), (".gz", gzip.open)])
def test_lists_of_labels_are_read(tmp_path, suffix, opener):
    path = tmp_path / f"data.svm{suffix}"
    with opener(path, "wt") as file:
        file.write(LISTS)
    rows, y, zero_based = datafile.read(path, multilabel=True)
    assert y.labels.tolist() == [1, 3, 10]
    assert y.labels.dtype == np.int64
    assert y.indicator.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert y.lines() == ["1,3", "", "10", "3,10"]
    assert rows.toarray().tolist() == [[0, 0.5, 0, 0], [0, 1.5, 0, 1], [2, 0, 0, 0], [0, 0, 0, 1]]
    assert not zero_based


def test_plain_labels_are_lists_of_one(tmp_path):
    path = tmp_path / "data.svm"
    path.write_text(svmlight(X, LABELS))
    plain, lists = datafile.read(path), datafile.read(path, multilabel=True)
    assert (plain[0] != lists[0]).nnz == 0
    assert lists[1].labels.tolist() == [0, 1]
    assert lists[1].indicator.toarray().argmax(axis=1).tolist() == LABELS.tolist()
    assert (lists[1].indicator.sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    "line, message",
    [
        ("1,x 3:1", "labels must be finite numbers with commas and no spaces between them, got "
         "'1,x'"),
        ("1, 3 3:1", "labels must be finite numbers with commas and no spaces between them, got "
         "'1,'"),
        ("1,inf 3:1", "labels must be finite numbers with commas and no spaces between them, got "
         "'1,inf'"),
        ("1,1_0 3:1", "labels must be finite numbers with commas and no spaces between them, got "
         "'1,1_0'"),
        ("1,2 3:abc", "the value must be a finite number, got '3:abc'"),
        ("3:1 2:1", "indices must rise, got 2 after 3"),
    ],
)  # fmt: skip
def test_an_error_names_the_malformed_list(tmp_path, line, message):
    path = tmp_path / "data.svm"
    path.write_text(f"1,2 1:0.5\n2:1\n{line}\n")
    with pytest.raises(DataError) as caught:
        datafile.read(path, multilabel=True)
    assert str(caught.value) == f"{path}:3: {message}"


def test_lists_of_labels_are_for_text(tmp_path):
    path = tmp_path / "data.npz"
    sparse.save_npz(path, X)
    assert datafile.read(path, multilabel=True)[1] is None
    with np.load(path) as archive:
        np.savez(path, **dict(archive), y=LABELS)
    with pytest.raises(DataError, match=r"lists of labels are for svmlight text, this is \.npz"):
        datafile.read(path, multilabel=True)


def test_npz_is_read(tmp_path):
    path = tmp_path / "data.npz"
    sparse.save_npz(path, X)
    rows, y, _ = datafile.read(path)
    assert (rows != X).nnz == 0
    assert y is None
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays, y=LABELS)
    assert datafile.read(path)[1].tolist() == LABELS.tolist()


SEVERAL = "; multilabel=True, or lrcore fit --multilabel, reads rows of several or none"

BAD_LINES = [
    ("1 3:abc", "the value must be a finite number, got '3:abc'"),
    ("1 3", "expected index:value, got '3'"),
    ("1 3:", "the value must be a finite number, got '3:'"),
    ("x 3:1", "the label must be a finite number, got 'x'"),
    ("1,2 3:1", f"the label must be a finite number, got '1,2'{SEVERAL}"),
    ("2:1 3:1", f"the label must be a finite number, got '2:1'{SEVERAL}"),
    ("1 4:1 4:2", "indices must rise, got 4 after 4"),
    ("1 4:1 2:2", "indices must rise, got 2 after 4"),
    ("1 -2:1", "expected index:value, got '-2:1'"),
    ("1 2.5:1", "expected index:value, got '2.5:1'"),
    ("1 4:nan", "the value must be a finite number, got '4:nan'"),
    ("inf 4:1", "the label must be a finite number, got 'inf'"),
    ("1 99999999999999:1", "the index '99999999999999' is too large"),
    ("1 3:1 junk", "expected index:value, got 'junk'"),
    ("1 3:1 :2", "expected index:value, got ':2'"),
    ("1 1_0:5", "expected index:value, got '1_0:5'"),
    ("1 10:5_0", "the value must be a finite number, got '10:5_0'"),
    ("1_0 10:5", "the label must be a finite number, got '1_0'"),
    ("1 3:1 qid:2 4:1", "qid must come before all features, got 'qid:2' after 3"),
    ("1 qid:2 qid:3 4:1", "qid must come before all features, got 'qid:3' after -1"),
    ("1 qid 4:1", "expected index:value, got 'qid'"),
    ("1 " + "9" * 5000 + ":1", f"the index {'9' * 40 + '...'!r} is too large"),
    ("1 2147483648:1", "the index '2147483648' is too large"),
    ("1 1:1e39", "the value must be finite in float32, got '1:1e39'"),
    ("1 1:-3.5e38", "the value must be finite in float32, got '1:-3.5e38'"),
    ("1e999 1:1", "the label must be a finite number, got '1e999'"),
]


@pytest.mark.parametrize("suffix, opener", [("", open), (".gz", gzip.open)])
@pytest.mark.parametrize("line, message", BAD_LINES)
def test_an_error_names_the_malformed_line(tmp_path, line, message, suffix, opener):
    path = tmp_path / f"data.svm{suffix}"
    with opener(path, "wt") as file:
        file.write(f"# comment\n1 1:0.5\n\n-1 2:1 # fine\n{line}\n1 1:1\n")
    with pytest.raises(DataError) as caught:
        datafile.read(path)
    assert str(caught.value) == f"{path}:5: {message}"


def test_a_sign_of_python_in_a_comment_is_none_of_a_number(tmp_path):
    path = tmp_path / "data.svm"
    path.write_text("# made_by 1_0\n1 qid:3 2:1.5 # a_b\n-1 qid:4 3:2\n")
    X, y, _ = datafile.read(path)
    assert X.toarray().tolist() == [[0.0, 1.5, 0.0], [0.0, 0.0, 2.0]]
    assert y.tolist() == [1.0, -1.0]


def test_a_value_that_float64_holds_is_read_as_such(tmp_path):
    path = tmp_path / "data.svm"
    path.write_text("1 1:1e39\n-1 1:1\n")
    assert datafile.read(path, dtype=np.float64)[0].data.tolist() == [1e39, 1.0]


@pytest.mark.parametrize("content", [b"1 1:1\n" * 2**18, b"1" * 2**24], ids=["lines", "a line"])
@pytest.mark.parametrize("suffix, pack", [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_text_that_unpacks_to_far_more_than_it_is(tmp_path, suffix, pack, content, monkeypatch):
    monkeypatch.setattr(npz, "MOST_BYTES", 1 << 14)
    path = tmp_path / f"data.svm{suffix}"
    path.write_bytes(pack(content))
    with pytest.raises(DataError, match=r"data\.svm\.\w+:\d+: unpacks to more than the"):
        datafile.read(path)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_a_file_that_may_not_be_read_is_an_os_error(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(IsADirectoryError):
        datafile.read(tmp_path / f"folder{suffix}")


def test_a_plain_array_is_no_matrix(tmp_path):
    path = tmp_path / "X.npz"
    with open(path, "wb") as file:
        np.save(file, np.ones((3, 2)))
    with pytest.raises(DataError, match=r"not a scipy \.npz file"):
        datafile.read(path)


@pytest.mark.parametrize("name", ["a.svm", "a.svm.gz", "a.svm.bz2", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\x13binary"])
def test_other_files_are_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        datafile.read(path)


def test_a_truncated_gzip_file_is_refused(tmp_path):
    path = tmp_path / "a.svm.gz"
    path.write_bytes(gzip.compress(svmlight(X, LABELS).encode())[:-100])
    with pytest.raises(DataError, match="cut short or damaged"):
        datafile.read(path)


def test_number_of_features_and_first_index(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("1 1:1 5:1\n-1 2:1\n")
    assert datafile.read(path, n_features=9)[0].shape == (2, 9)
    with pytest.raises(DataError, match="5 features, but the model has 4"):
        datafile.read(path, n_features=4)
    path.write_text("1 0:1\n")
    with pytest.raises(DataError, match="has an index 0"):
        datafile.read(path, zero_based=False)


def test_a_missing_data_file_is_an_os_error(tmp_path):
    for name in ("no.svm", "no.svm.gz", "no.npz"):
        with pytest.raises(FileNotFoundError):
            datafile.read(tmp_path / name)


def test_labels_of_an_npz_file_must_fit_its_rows(tmp_path):
    path = tmp_path / "data.npz"
    sparse.save_npz(path, X)
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays, y=LABELS[:-1])
    with pytest.raises(DataError, match=r"y must have shape \(200,\), got \(199,\)"):
        datafile.read(path)


def test_dtype_of_the_values(tmp_path):
    path = tmp_path / "data.svm"
    path.write_text(svmlight(X, LABELS))
    assert datafile.read(path, dtype=np.float64)[0].dtype == np.float64
    sparse.save_npz(tmp_path / "data.npz", X)
    assert datafile.read(tmp_path / "data.npz", dtype=np.float64)[0].dtype == np.float64
