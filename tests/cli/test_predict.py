import json

import numpy as np
import pytest

import lrcore
from lrcore.cli import main as cli

from .conftest import X


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
