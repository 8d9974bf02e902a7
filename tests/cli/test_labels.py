"""Several labels a row: the same form of file in and out."""

import json

import numpy as np
import pytest
from files import svmlight
from sklearn.metrics import accuracy_score, f1_score, log_loss

import lrcore
from lrcore.cli import main as cli
from lrcore.cli.metrics import metrics_for

from .conftest import X

NAMES = np.array([2, 30, 1234567, 5])
Y = (X.toarray() @ np.random.default_rng(0).normal(size=(30, 4)) > 0.3).astype(int)
Y[np.diff(X.indptr) == 0, 0] = 1  # a line without labels and features would be no row


def text_of(Y, names=NAMES):
    """Lines that begin with the labels of the row, in any order; none have none."""
    features = [line.partition(" ")[2] for line in svmlight(X, np.zeros(300, int)).splitlines()]
    lists = [",".join(str(name) for name in names[row == 1]) for row in Y]
    return "".join(f"{labels} {rest}\n" for labels, rest in zip(lists, features))


@pytest.fixture
def lists(tmp_path):
    path = tmp_path / "lists.svm"
    path.write_text(text_of(Y))
    return str(path)


@pytest.fixture
def fitted(lists, tmp_path, output_of):
    path = str(tmp_path / "labels.lrcore")
    result = json.loads(output_of("fit", lists, "-o", path, "--multilabel", "--json"))
    assert result["labels"] == 4
    return path


def test_a_fit_is_that_of_the_columns(fitted):
    model = lrcore.load(fitted)
    assert model.extra_["labels"] == sorted(NAMES.tolist())
    same = lrcore.LinearClassifier(random_state=0).fit(X, Y[:, np.argsort(NAMES)])
    np.testing.assert_array_equal(model.coef_, same.coef_)


def test_predictions_have_the_form_of_the_data(fitted, lists, tmp_path, output_of):
    assert (Y.sum(axis=1) == 0).any()
    model, order = lrcore.load(fitted), np.argsort(NAMES)
    printed = output_of("predict", fitted, lists).splitlines()
    predicted = model.predict(X)
    expected = [",".join(map(str, NAMES[order][row == 1])) for row in predicted]
    assert printed == expected
    assert "" in printed
    result = json.loads(output_of("predict", fitted, lists, "--json"))
    assert result == {"predictions": [[int(x) for x in line.split(",") if x] for line in printed]}
    result = json.loads(output_of("predict", fitted, lists, "--json", "--proba"))
    assert result["classes"] == sorted(NAMES.tolist())
    assert result["predictions"] == model.predict_proba(X).tolist()
    rows = output_of("predict", fitted, lists, "--proba").splitlines()
    np.testing.assert_allclose(
        [list(map(float, line.split())) for line in rows], model.predict_proba(X), rtol=1e-5
    )
    # Rows without labels are rows, and so are empty lines of a file without any.
    without = tmp_path / "without.svm"
    without.write_text(text_of(0 * Y) + "\n")
    assert output_of("predict", fitted, str(without)).splitlines()[:300] == printed
    assert len(output_of("predict", fitted, str(without)).splitlines()) == 301
    mixed = tmp_path / "mixed.svm"
    mixed.write_text(text_of(np.minimum(np.arange(300), 1)[:, None] * np.ones(4, int)))
    assert output_of("predict", fitted, str(mixed)).splitlines() == printed


def test_metrics(fitted, lists, tmp_path, output_of):
    model, own = lrcore.load(fitted), Y[:, np.argsort(NAMES)]
    predicted = model.predict(X)
    p = model.predict_proba(X).astype(float)
    wanted = {
        "subset_accuracy": accuracy_score(own, predicted),
        "f1_micro": f1_score(own, predicted, average="micro"),
        "f1_macro": f1_score(own, predicted, average="macro"),
        "log_loss": np.mean([log_loss(own[:, k], p[:, k]) for k in range(4)]),
    }
    result = json.loads(output_of("evaluate", fitted, lists, "--json"))
    assert result == pytest.approx({"rows": 300, **wanted}, rel=1e-6)
    printed = dict(
        line.rsplit(maxsplit=1) for line in output_of("evaluate", fitted, lists).splitlines()
    )
    assert printed["subset accuracy"] == f"{wanted['subset_accuracy']:.5f}"
    # A label that the model has not is one that it misses.
    other = tmp_path / "other.svm"
    other.write_text(text_of(Y, np.array([2, 30, 1234567, 6])))
    result = json.loads(output_of("evaluate", fitted, str(other), "--json"))
    wide = np.zeros((300, 5), int)
    wide[:, [0, 2, 3, 4]] = Y[:, [0, 1, 2, 3]]
    padded = np.pad(predicted, [(0, 0), (0, 1)])
    assert "log_loss" not in result
    assert result["subset_accuracy"] == accuracy_score(wide, padded)
    for average in ("micro", "macro"):
        score = f1_score(wide, padded, average=average, zero_division=0)
        assert result[f"f1_{average}"] == pytest.approx(score, rel=1e-12)


def test_metrics_of_probabilities_of_0():
    model = lrcore.LinearClassifier("modified_huber", alpha=1e-3).fit(X, Y)
    p = model.predict_proba(X)
    assert (np.where(Y == 1, p, 1 - p) == 0).any() or (np.where(Y == 1, 1 - p, p) == 0).any()
    model.extra_ = {}
    metrics = metrics_for(model)
    lists = [tuple(np.flatnonzero(row).tolist()) for row in 1 - Y]
    metrics.add(X, np.fromiter(lists, object, len(lists)))
    assert 1 < metrics.result()["log_loss"] < 40


def test_a_fit_goes_on(fitted, lists, tmp_path, output_of, error_of):
    again = str(tmp_path / "again.lrcore")
    output_of("fit", lists, "-o", again, "--resume", fitted)
    assert lrcore.load(again).extra_["labels"] == sorted(NAMES.tolist())
    other = tmp_path / "other.svm"
    other.write_text(text_of(Y, np.array([2, 30, 1234567, 6])))
    assert "has no label 6; fit anew" in error_of(
        "fit", str(other), "-o", again, "--resume", fitted
    )


def test_models_saved_elsewhere_have_the_numbers_of_columns(tmp_path, lists, output_of, error_of):
    path = str(tmp_path / "own.lrcore")
    model = lrcore.LinearClassifier().fit(X, Y)
    lrcore.save(model, path)
    printed = output_of("predict", path, lists).splitlines()
    assert printed == [",".join(map(str, np.flatnonzero(row))) for row in model.predict(X)]
    lrcore.save(model, path, extra={"labels": [1, 2]})
    assert "labels beside this model must be 4 rising numbers" in error_of("predict", path, lists)


def test_lists_are_read_where_they_are_asked_for(lists, model, tmp_path, error_of, output_of):
    out = str(tmp_path / "m.lrcore")
    assert "lrcore fit --multilabel, reads rows of several" in error_of("fit", lists, "-o", out)
    assert "got '" in error_of("evaluate", model, lists)
    words = ("fit", lists, "-o", out, "--multilabel", "--loss", "squared_error")
    assert "--multilabel is for losses of classes, got --loss squared_error" in error_of(*words)
    assert "suggest" in output_of("lr-find", lists, "--multilabel", "--steps", "20", "--json")


def test_the_report_counts_labels(lists, tmp_path, output_of):
    printed = output_of("fit", lists, "-o", str(tmp_path / "m.lrcore"), "--multilabel")
    assert "30 features, 4 labels in" in printed


def test_no_label_at_all(tmp_path, capsys):
    path = tmp_path / "none.svm"
    path.write_text("1:1 2:2\n2:1\n")
    assert cli.main(["fit", str(path), "-o", str(tmp_path / "m"), "--multilabel"]) == 1
    assert "at least one row and one label" in capsys.readouterr().err
