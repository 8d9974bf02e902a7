"""Data in other formats: what is written is read again, bit for bit."""

import gzip
import json
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import dump_svmlight_file

import lrcore
from lrcore.cli.main import main
from lrcore.io import read_svmlight, read_vw

RNG = np.random.default_rng(4)
N_ROWS = 2000


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    """Convert between files of a folder; what is reported."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        assert main(["convert", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def text(tmp_path):
    """svmlight text with values that need all digits of float64."""
    X = sparse.random(N_ROWS, 50, 0.1, "csr", rng=RNG)
    dump_svmlight_file(X, RNG.integers(0, 2, N_ROWS), str(tmp_path / "a.svm"), zero_based=False)
    return tmp_path / "a.svm"


def csv_text():
    n = 5000
    columns = [
        RNG.integers(0, 2, n).tolist(), RNG.choice(["news", "shop, mail"], n).tolist(),
        RNG.normal(size=n).tolist(), RNG.integers(-(2**62), 2**62, n).tolist(),
    ]  # fmt: skip
    rows = (f'{a},"{b}",{c!r},{d}' for a, b, c, d in zip(*columns))
    return "\n".join(['"click","site","price","id"', *rows]) + "\n"


def test_text_to_npz_and_back_is_the_same_text(text, convert):
    convert("a.svm", "1.svm")
    steps = ["1.svm", "2.npz", "3.vw.gz", "4.npz", "5.svm.xz", "6.svm"]
    for source, target in pairwise(steps):
        result = convert(source, target, *(["--bits", "6"] if source == "3.vw.gz" else []))
        assert result["rows"] == N_ROWS
    folder = text.parent
    assert (folder / "1.svm").read_bytes() == (folder / "6.svm").read_bytes()
    X, y = read_svmlight(text)
    found, labels = read_svmlight(folder / "6.svm")
    np.testing.assert_array_equal(found.data, X.data)
    np.testing.assert_array_equal(found.indices, X.indices)
    np.testing.assert_array_equal(labels, y)


def test_float32(text, convert):
    convert("a.svm", "b.npz", "--float32")
    X = sparse.load_npz(text.parent / "b.npz")
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X.data, read_svmlight(text, dtype=np.float32)[0].data)
    convert("b.npz", "c.npz")  # keeps its own
    assert sparse.load_npz(text.parent / "c.npz").dtype == np.float32


def test_zero_based(tmp_path, convert):
    (tmp_path / "a.svm").write_text("1 1:0.5 3:2\n0 2:1\n")
    convert("a.svm", "b.svm")
    assert (tmp_path / "b.svm").read_text() == "1 1:0.5 3:2\n0 2:1\n"
    convert("a.svm", "b.svm", "--zero-based")
    assert (tmp_path / "b.svm").read_text() == "1 2:0.5 4:2\n0 3:1\n"
    convert("a.svm", "b.vw")
    assert (tmp_path / "b.vw").read_text() == "1 | 0:0.5 2:2\n0 | 1:1\n"


def test_importance_of_vw_text(tmp_path, convert, error_of):
    (tmp_path / "a.vw").write_text("1 2.5 | 3:0.5 4\n-1 | 5\n")
    convert("a.vw", "b.vw.gz")
    text = gzip.decompress((tmp_path / "b.vw.gz").read_bytes()).decode()
    assert text == "1 2.5 | 3:0.5 4:1\n-1 1.0 | 5:1\n"
    assert "svmlight text has no weights of rows" in error_of("convert", "a.vw", "b.svm")


def test_tables_stay_what_they_are(tmp_path, convert):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.csv").write_text(csv_text())
    steps = ["a.csv", "b.parquet", "c.arrow", "d.json.gz", "e.feather", "f.tsv.bz2", "g.csv"]
    for source, target in pairwise(steps):
        assert convert(source, target)["columns"] == 4
    assert (tmp_path / "g.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


def test_columns_that_look_like_numbers(tmp_path, convert, error_of):
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "a.csv").write_text("zip,n,x\n" + "007,1,2\n" * 700_000 + "7,8.5,1\n")
    error = error_of("convert", "a.csv", "b.parquet")
    assert "invalid value '8.5'" in error
    assert "--numeric COLUMN" in error
    assert not (tmp_path / "b.parquet").exists()
    convert("a.csv", "b.parquet", "--categorical", "zip", "--numeric", "n")
    table = parquet.read_table(tmp_path / "b.parquet")
    assert list(map(str, table.schema.types)) == ["string", "double", "int64"]
    assert table.column("zip")[0].as_py() == "007"


def test_hashed_rows_of_a_table_are_those_that_are_fitted(tmp_path, convert):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.csv").write_text(csv_text())
    options = ["--label", "click", "--categorical", "site", "--numeric", "price", "--bits", "10"]
    hasher = lrcore.TableHasher(["site"], ["price"], n_features=2**10, dtype=np.float64)
    rows = lrcore.io.scan_csv("a.csv", label="click", features=hasher).read()
    convert("a.csv", "a.npz", *options)
    found = sparse.load_npz("a.npz")
    assert found.shape == rows.X.shape
    np.testing.assert_array_equal(found.data, rows.X.data)
    np.testing.assert_array_equal(found.indices, rows.X.indices)
    for name in ("a.svm.gz", "a.vw"):
        convert("a.csv", name, *options)
    X, y = read_svmlight("a.svm.gz")
    np.testing.assert_array_equal(X.data, rows.X.data)
    np.testing.assert_array_equal(y, rows.y)
    vw = read_vw("a.vw", bits=10, dtype=np.float64)
    np.testing.assert_array_equal(vw.X.indices, rows.X.indices)


def test_a_weight_becomes_an_importance(tmp_path, convert):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.csv").write_text("y,w,x\n1,0.5,2\n-1,3,4\n")
    words = ["--label", "y", "--weight", "w", "--numeric", "x", "--bits", "1"]
    convert("a.csv", "a.vw", *words)
    np.testing.assert_array_equal(read_vw("a.vw").weight, [0.5, 3])


def test_stdout_has_nothing_but_the_rows(tmp_path, monkeypatch, capfdbinary):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.svm").write_text("1 1:0.5\n")
    assert main(["convert", "a.svm", "-", "--to", "vw"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == b"1 | 0:0.5\n"
    assert err.startswith(b"wrote   -, vw, 1 rows, 1 values")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.svm", "b.csv"], "a.svm is svmlight, rows of numbers whose columns have no names"),
        (["a.npz", "b.parquet"], "--to svmlight, vw or npz"),
        (["a.csv", "b.svm"], "which column has the labels?"),
        (["a.csv", "b"], "which format shall b have?"),
        (["a.csv", "b.parquet.gz"], "parquet has to be without .gz"),
        (["a.csv", "b.parquet", "--label", "y"], "--label has no effect on csv that becomes"),
        (["a.csv", "b.parquet", "--float32"], "--float32 has no effect on tables"),
        (["a.csv", "b.parquet", "--text", "no"], "has no column 'no', but 'y', 's'"),
        (["a.svm", "b.vw", "--bits", "3"], "--bits has no effect on svmlight"),
        (["a.json", "b.csv", "--text", "y"], "columns of json have types"),
        (["a.json", "b.csv", "--delimiter", ";"], "--delimiter has no effect on json that becomes"),
        (["a.csv", "b.json", "--zero-based"], "--zero-based has no effect on csv that becomes"),
        (["a.csv", "b.json", "--standardize"], "--standardize has no effect on csv that becomes"),
        (["a.csv", "b.svm", "--label", "s"], "labels, and these are texts, such as 'x'"),
        (["q.svm", "b.vw"], "q.svm:1 or below: a qid"),
        (["none.csv", "b.json"], "none.csv"),
        (["empty.csv", "b.json"], "empty.csv has no rows"),
        (["empty.csv", "b.svm", "--label", "y", "--numeric", "x"], "empty.csv has no rows"),
        (["folder", "b.csv"], "or --format csv or another if IN is a table"),
    ],
)
def test_faults(tmp_path, monkeypatch, error_of, words, message):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("y,s\n1,x\n")
    (tmp_path / "a.json").write_text('{"y": 1}\n')
    (tmp_path / "q.svm").write_text("1 qid:3 1:0.5\n")
    (tmp_path / "a.svm").write_text("1 1:0.5\n")
    (tmp_path / "empty.csv").write_text("y,x\n")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    assert message in error_of("convert", *words)
    assert sorted(tmp_path.iterdir()) == before
