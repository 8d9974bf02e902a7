import gzip
import json

import numpy as np
import pytest
from files import svmlight
from scipy import sparse

import lrcore
from lrcore import LinearClassifier
from lrcore.cli import main as cli
from lrcore.io import datafile
from lrcore.io.svmlight import svmlight_batches

from .conftest import LABELS, X


def test_a_line_for_each_row(data, model, output_of):
    printed = [float(line) for line in output_of("predict", model, data).split()]
    assert printed == lrcore.load(model).predict(X).tolist()


def test_probabilities(data, model, output_of):
    wanted = lrcore.load(model).predict_proba(X)
    rows = output_of("predict", model, data, "--proba").splitlines()
    printed = np.array([line.split() for line in rows], float)
    np.testing.assert_allclose(printed, wanted, rtol=1e-5)
    result = json.loads(output_of("predict", model, data, "--proba", "--json"))
    assert result["classes"] == lrcore.load(model).classes_.tolist()
    assert result["predictions"] == wanted.tolist()
    result = json.loads(output_of("predict", model, data, "--json"))
    assert list(result) == ["predictions"]


def test_probabilities_of_a_model_without_them_are_wrong_usage(data, tmp_path, output_of, capsys):
    path = str(tmp_path / "m.lrcore")
    output_of("fit", data, "-o", path, "--loss", "hinge")
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", path, data, "--proba"])
    assert stop.value.code == 2
    assert "--proba needs a model fitted with" in capsys.readouterr().err


def test_indices_start_where_they_did_in_the_file_of_the_fit(model, tmp_path, output_of):
    with_first, without = tmp_path / "a.svm", tmp_path / "b.svm"
    with_first.write_text("1 1:0 2:1 9:1\n")
    without.write_text("1 2:1 9:1\n")
    words = ("predict", model, "--proba")
    assert output_of(*words, str(with_first)) == output_of(*words, str(without))
    assert output_of(*words, str(without)) != output_of(*words, str(without), "--zero-based")


def test_a_file_that_is_no_model(data, error_of):
    assert "not a model file" in error_of("predict", data, data)


def frame_of(path):
    pytest.importorskip("pyarrow")
    from pyarrow import csv, feather, json, parquet

    readers = {
        ".parquet": parquet.read_table, ".csv": csv.read_csv, ".json": json.read_json,
        ".gz": csv.read_csv, ".arrow": feather.read_table,
    }  # fmt: skip
    return readers[path.suffix](path)


@pytest.mark.parametrize("name", ["p.parquet", "p.csv", "p.csv.gz", "p.json", "p.arrow"])
def test_a_table_of_predictions(data, model, tmp_path, output_of, name):
    pytest.importorskip("pyarrow")
    path, fitted = tmp_path / name, lrcore.load(model)
    assert output_of("predict", model, data, "-o", str(path)).startswith(f"wrote   {path}, 300 row")
    table = frame_of(path)
    assert table.column_names == ["prediction"]
    np.testing.assert_array_equal(table.column("prediction"), fitted.predict(X))
    result = output_of("predict", model, data, "-o", str(path), "--proba", "--json")
    assert json.loads(result)["rows"] == 300
    table = frame_of(path)
    assert table.column_names == ["prediction", "probability_0", "probability_1"]
    found = np.array([table.column(k) for k in (1, 2)], np.float32).T
    np.testing.assert_array_equal(found, fitted.predict_proba(X))


def test_an_array_of_predictions(data, model, tmp_path, output_of):
    path, fitted = str(tmp_path / "p.npy"), lrcore.load(model)
    output_of("predict", model, data, "--output", path)
    np.testing.assert_array_equal(np.load(path), fitted.predict(X), strict=True)
    output_of("predict", model, data, "--output", path, "--proba")
    np.testing.assert_array_equal(np.load(path), fitted.predict_proba(X), strict=True)


def test_several_targets_have_a_column_each(data, tmp_path, output_of):
    pytest.importorskip("pyarrow")
    reg = lrcore.LinearRegressor(alpha=0.01).fit(X, X[:, :2].toarray())
    lrcore.save(reg, tmp_path / "m", extra={"zero_based": False})
    output_of("predict", str(tmp_path / "m"), data, "-o", str(tmp_path / "p.parquet"))
    table = frame_of(tmp_path / "p.parquet")
    np.testing.assert_array_equal(np.array([table.column(f"prediction_{k}") for k in (0, 1)]).T,
                                  reg.predict(X))  # fmt: skip


def test_several_labels_a_row_are_text(tmp_path, output_of):
    pytest.importorskip("pyarrow")
    rows = tmp_path / "a.svm"
    rows.write_text("3,7 1:1\n3 2:1\n7 3:1\n" * 50)
    output_of("fit", str(rows), "--multilabel", "-o", str(tmp_path / "m"))
    output_of(
        "predict", str(tmp_path / "m"), str(rows), "-o", str(tmp_path / "p.parquet"), "--proba"
    )
    table = frame_of(tmp_path / "p.parquet")
    assert table.column_names == ["prediction", "probability_3", "probability_7"]
    printed = output_of("predict", str(tmp_path / "m"), str(rows)).splitlines()
    assert table.column("prediction").to_pylist() == printed


def test_files_of_predictions_are_whole_or_not_there(data, model, tmp_path, error_of):
    path = tmp_path / "p.npy"
    path.write_text("old")
    bad = tmp_path / "bad.svm"
    bad.write_text("1 1:0.5\n1 a:0.5\n")
    assert "bad.svm:2" in error_of("predict", model, str(bad), "-o", str(path))
    assert path.read_text() == "old"
    assert "p.txt: a table, .parquet" in error_of("predict", model, data, "-o", "p.txt")
    assert "without .gz" in error_of("predict", model, data, "-o", "p.npy.gz")


TIMES = 60


@pytest.fixture
def long(tmp_path, monkeypatch):
    """Files of many batches, each with the same rows."""
    monkeypatch.setattr(svmlight_batches, "__kwdefaults__",
                        {**svmlight_batches.__kwdefaults__, "size": 1 << 16})  # fmt: skip
    monkeypatch.setattr(datafile, "BATCH_ROWS", 1000)
    text = svmlight(X, LABELS)
    text = text * TIMES
    (tmp_path / "long.svm").write_text(text)
    (tmp_path / "long.svm.gz").write_bytes(gzip.compress(text.encode(), 1))
    unlabelled = "".join(line.partition(" ")[2] or "\n" for line in text.splitlines(True))
    (tmp_path / "bare.svm").write_text(f"# no labels\n{unlabelled}")
    rows = sparse.vstack([X] * TIMES).tocsr()
    parts = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr}
    y = np.tile(LABELS, TIMES)
    np.savez_compressed(tmp_path / "long.npz", format=b"csr", shape=rows.shape, y=y, **parts)
    sparse.save_npz(tmp_path / "columns.npz", rows.tocsc())
    return tmp_path


@pytest.mark.parametrize("name", ["long.svm", "long.svm.gz", "bare.svm", "long.npz", "columns.npz"])
def test_rows_are_predicted_batch_by_batch(long, model, output_of, monkeypatch, name):
    fitted, data = lrcore.load(model), str(long / name)
    sizes = []
    predict = LinearClassifier.predict
    monkeypatch.setattr(LinearClassifier, "predict",
                        lambda self, X: sizes.append(X.shape[0]) or predict(self, X))  # fmt: skip
    output_of("predict", model, data, "-o", str(long / "p.npy"))
    assert sum(sizes) == 300 * TIMES
    assert len(sizes) == 1 if name == "columns.npz" else len(sizes) > 10
    predicted = np.tile(predict(fitted, X), TIMES)
    np.testing.assert_array_equal(np.load(long / "p.npy"), predicted, strict=True)
    assert output_of("predict", model, data).split() == [f"{label:g}" for label in predicted]
    result = json.loads(output_of("predict", model, data, "--json"))
    assert result == {"predictions": predicted.tolist()}


@pytest.mark.parametrize("name", ["long.svm", "long.svm.gz", "long.npz"])
def test_metrics_are_those_of_all_batches(long, data, model, output_of, name):
    once = json.loads(output_of("evaluate", model, data, "--json"))
    found = json.loads(output_of("evaluate", model, str(long / name), "--json"))
    assert found == {"rows": 300 * TIMES, **{k: pytest.approx(once[k], rel=1e-12)
                                            for k in once if k != "rows"}}  # fmt: skip


def test_predictions_come_before_a_bad_line(long, model, capsys):
    path = long / "long.svm"
    with path.open("a") as file:
        file.write("1 1:1\n1 1:x\n")
    assert cli.main(["predict", model, str(path)]) == 1
    out, err = capsys.readouterr()
    assert f"long.svm:{300 * TIMES + 2}: the value must be a finite number" in err
    assert 5000 < len(out.split()) <= 300 * TIMES + 1
    path.write_text(path.read_text().replace("1:x", "40:1"))
    assert cli.main(["predict", model, str(path)]) == 1
    message = f"long.svm:{300 * TIMES + 2}: 40 features, but the model has 30"
    assert message in capsys.readouterr().err


def test_a_damaged_matrix(long, model, capsys):
    path = long / "long.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)
    assert cli.main(["predict", model, str(path), "-o", str(long / "p.npy")]) == 1
    assert "long.npz: not a scipy .npz file" in capsys.readouterr().err
    assert not (long / "p.npy").exists()


def test_nothing_to_predict(model, tmp_path, error_of):
    for name, text in (("a.svm", "# none\n"), ("a.vw", "")):
        (tmp_path / name).write_text(text)
        for command in ("predict", "evaluate"):
            assert f"{name} has no rows" in error_of(command, model, str(tmp_path / name))
