"""Data from files and stdin, with or without labels; models that have changed places with data."""

import bz2
import gzip
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from files import svmlight
from scipy import sparse

import lrcore
from lrcore.io import pieces

from .conftest import LABELS, X

UNLABELLED = "".join(
    line.partition(" ")[2] or "\n" for line in svmlight(X, LABELS).splitlines(True)
)


@pytest.fixture
def stdin(monkeypatch):
    """Give these bytes by stdin."""

    def give(content):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return give


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress], ids=["plain", "gz", "bz2"])
def test_stdin_is_as_good_as_a_file(data, model, stdin, tmp_path, output_of, pack):
    with open(data, "rb") as file:
        content = pack(file.read())
    for command in ("predict", "evaluate"):
        stdin(content)
        assert output_of(command, model, "-") == output_of(command, model, data)
    stdin(content)
    output_of("fit", "-", "-o", str(tmp_path / "other.lrcore"))
    same = lrcore.load(tmp_path / "other.lrcore")
    np.testing.assert_array_equal(same.coef_, lrcore.load(model).coef_)


def test_a_matrix_by_stdin(data, model, stdin, output_of):
    content = io.BytesIO()
    sparse.save_npz(content, X)
    stdin(content.getvalue())
    assert output_of("predict", model, "-") == output_of("predict", model, data)
    stdin(content.getvalue())
    found = output_of("predict", model, "-", "--format", "npz")
    assert found == output_of("predict", model, data)


def test_errors_name_what_was_given(model, stdin, error_of):
    stdin(b"1 1:0.5\n1 1:x\n")
    assert "error: -:2: the value must be" in error_of("evaluate", model, "-")


@pytest.mark.parametrize("suffix", [".svm", ".svm.gz"])
def test_predictions_need_no_labels(data, model, tmp_path, output_of, error_of, suffix):
    path = tmp_path / f"rows{suffix}"
    content = f"# rows\n{UNLABELLED}".encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    for words in (["predict", model], ["predict", model, "--proba"]):
        assert output_of(*words, str(path)) == output_of(*words, data)
    assert "rows.svm" in error_of("evaluate", model, str(path))
    assert "the label must be a finite number" in error_of("evaluate", model, str(path))


@pytest.mark.parametrize("by_stdin", [False, True])
def test_packed_rows_without_labels_are_bounded(
    model, tmp_path, stdin, error_of, monkeypatch, by_stdin
):
    monkeypatch.setattr(pieces, "LONGEST_LINE", 1 << 20)
    lines = gzip.compress(b"".join(b"1:%d 3:2\n" % (k * k) for k in range(1 << 16)))
    path = tmp_path / "rows.svm.gz"
    for content, message in (
        (gzip.compress(b"1:1\n" + bytes(1 << 23), 1), "a line of more than"),
        (lines[: len(lines) - 10], "cut short or damaged"),
    ):
        path.write_bytes(content)
        stdin(content)
        name = "-" if by_stdin else str(path)
        assert re.search(rf"error: {name}:.*({message})", error_of("predict", model, name))


def test_rows_without_labels_are_numbered_like_lines(model, tmp_path, output_of, error_of):
    path = tmp_path / "rows.svm"
    path.write_text("1:0.5 3:2\n\n2:1 # a comment\nqid:3 1:1\n")
    rows = sparse.csr_matrix(
        ([0.5, 2, 1, 1], ([0, 0, 2, 3], [0, 2, 1, 0])), (4, 30), dtype=np.float32
    )
    wanted = lrcore.load(model).predict(rows)
    assert [float(line) for line in output_of("predict", model, str(path)).split()] == list(wanted)
    path.write_text("1:0.5\n1 2:1\n")
    assert "rows.svm:2: expected index:value, got '1'" in error_of("predict", model, str(path))


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_unseen_features_are_left_out_on_request(
    data, model, tmp_path, output_of, error_of, command
):
    path = tmp_path / "wide.svm"
    lines = svmlight(X, LABELS).splitlines()
    path.write_text("".join(f"{line} 31:5 99:1\n" for line in lines))
    assert "99 features, but the model has 30" in error_of(command, model, str(path))
    found = output_of(command, model, str(path), "--ignore-unseen")
    assert found == output_of(command, model, data)
    path.write_text("1 1:1\n-1 2:1\n")
    narrow = output_of(command, model, str(path))
    assert output_of(command, model, str(path), "--ignore-unseen") == narrow


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_model_and_data_that_have_changed_places(data, model, error_of, command):
    error = error_of(command, data, model)
    assert f"{data}: not a model file, but {model} looks like one; have they changed" in error
    assert "pickle" not in error
    assert f"{model}: an archive, as model files are" in error_of(command, model, model)


def test_files_that_are_not_there(data, model, error_of):
    for words in (("predict", "nowhere", data), ("predict", model, "nowhere")):
        assert error_of(*words) == "lrcore: error: nowhere: No such file or directory\n"
