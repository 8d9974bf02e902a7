import numpy as np
import pytest
from files import svmlight
from strategies import sparse_problem

from lrcore.cli import main as cli

X, _, LABELS, TARGET = sparse_problem(n_rows=300, n_features=30, dtype=np.float32)


@pytest.fixture
def data(tmp_path):
    """A data file of 300 rows with two classes."""
    path = tmp_path / "train.svm"
    path.write_text(svmlight(X, LABELS))
    return str(path)


@pytest.fixture
def model(data, tmp_path, capsys):
    """A model file, fitted on `data`."""
    path = str(tmp_path / "model.lrcore")
    assert cli.main(["fit", data, "-o", path]) == 0
    capsys.readouterr()
    return path


@pytest.fixture
def output_of(capsys):
    """Run a command that succeeds without a word on stderr; what it printed."""

    def run(*words):
        assert cli.main(list(words)) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


@pytest.fixture
def error_of(capsys):
    """Run a command that fails with status 1 and one line on stderr; that line."""

    def run(*words):
        assert cli.main(list(words)) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("lrcore: error: ")
        assert err.count("\n") == 1
        return err

    return run
