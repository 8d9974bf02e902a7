"""The command as a user types it: output, exit status, one clear line for what is wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest
from files import svmlight
from strategies import sparse_problem

import lrcore
from lrcore.cli import main as cli

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=300, n_features=30, dtype=np.float32)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "train.svm"
    path.write_text(svmlight(X, LABELS))
    return str(path)


@pytest.fixture
def model(data, tmp_path, capsys):
    path = str(tmp_path / "model.lrcore")
    assert cli.main(["fit", data, "-o", path]) == 0
    capsys.readouterr()
    return path


def test_fit_predict_evaluate(data, tmp_path, capsys):
    path = str(tmp_path / "m.lrcore")
    assert cli.main(["fit", data, "-o", path, "--epochs", "20", "--alpha", "1e-3"]) == 0
    out, err = capsys.readouterr()
    assert "300 rows x 30 features" in out
    assert path in out
    assert err == ""
    assert cli.main(["evaluate", path, data]) == 0
    measures = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    accuracy = float(measures["accuracy"])
    assert accuracy > 0.9
    assert float(measures["auc"]) > 0.95
    assert cli.main(["predict", path, data]) == 0
    predicted = [float(line) for line in capsys.readouterr().out.split()]
    assert np.mean(np.array(predicted) == LABELS) == pytest.approx(accuracy, abs=1e-5)
    assert cli.main(["predict", path, data, "--proba"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 300
    assert sum(float(p) for p in rows[0]) == pytest.approx(1, abs=1e-5)


def test_json_is_one_object(data, model, capsys):
    for words in (
        ["fit", data, "-o", model, "--json"],
        ["evaluate", model, data, "--json"],
        ["predict", model, data, "--json"],
        ["predict", model, data, "--json", "--proba"],
    ):
        assert cli.main(words) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_regression(tmp_path, capsys):
    data, path = str(tmp_path / "r.svm"), str(tmp_path / "r.lrcore")
    (tmp_path / "r.svm").write_text(svmlight(X, TARGET.tolist()))
    assert cli.main(["fit", data, "-o", path, "--loss", "squared_error", "--epochs", "30"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", path, data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["r2"] > 0.9


def test_lr_find_prints_a_table_and_draws(data, tmp_path, capsys):
    pytest.importorskip("matplotlib").use("agg")
    path = tmp_path / "curve.png"
    words = ["lr-find", data, "--optimizer", "sgd", "--steps", "30", "--plot", str(path)]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split() == ["rate", "loss", "lowest", "highest"]
    assert float(lines[1].split()[0]) == 1e-5
    found = lrcore.lr_range_test(
        lrcore.LinearClassifier(optimizer="sgd"), X, LABELS, n_steps=30
    )  # the defaults of the command are those of the function
    assert lines[-2].split() == ["valley", f"{found.suggestion:.4g}"]
    assert found.end in out
    assert path.read_bytes().startswith(b"\x89PNG")
    assert cli.main([*words[:4], "--json", "--seeds", "2", "--rows-per-step", "40"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["suggestion"] == result["suggestions"]["valley"]
    assert len(result["lrs"]) == len(result["losses"])


def test_lr_find_says_what_is_wrong(data, tmp_path, capsys):
    for words, message in (
        (["--lr-min", "0"], "lr_min must be > 0, got 0"),
        (["--lr-max", "1e-6"], "lr_max must be > lr_min"),
        (["--steps", "3"], "n_steps must be >= 8, got 3"),
        (["--loss", "gamma"], "y must be"),
    ):
        assert cli.main(["lr-find", data, *words]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fit"],
        ["fit", "DATA"],
        ["frobnicate"],
        ["fit", "DATA", "-o", "M", "--alpha", "-1"],
        ["fit", "DATA", "-o", "M", "--lr", "nan"],
        ["fit", "DATA", "-o", "M", "--epochs", "0"],
        ["fit", "DATA", "-o", "M", "--optimizer", "adamm"],
        ["fit", "DATA", "-o", "M", "--l1-ratio", "1.5"],
        ["fit", "DATA", "-o", "M", "--lr", "cosine(0.1)"],
        ["schedule"],
        ["schedule", "cosine(0.1, stepz=5)"],
        ["schedule", "cosine(0.1, 5)", "--steps", "0"],
        ["schedule", "cosine(0.1, 5ep)"],
        ["schedule", "cosine(0.1, 5%)"],
    ],
)
def test_wrong_usage_is_status_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert "usage: lrcore" in capsys.readouterr().err


def one_line(words, capsys):
    assert cli.main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_bad_data_is_status_1_and_one_line(data, model, tmp_path, capsys):
    bad = tmp_path / "bad.svm"
    bad.write_text("1 1:0.5\n-1 2:x\n")
    new = str(tmp_path / "new.lrcore")
    assert f"{bad}:2: the value must be" in one_line(["fit", str(bad), "-o", new], capsys)
    bad.write_text("")
    assert "no rows" in one_line(["fit", str(bad), "-o", new], capsys)
    bad.write_text("1 1:1\n1 2:1\n")
    assert "y has 1 class" in one_line(["fit", str(bad), "-o", new], capsys)
    assert "No such file" in one_line(["fit", str(tmp_path / "no.svm"), "-o", new], capsys)
    assert "no such folder" in one_line(["fit", data, "-o", str(tmp_path / "no" / "m")], capsys)
    assert not (tmp_path / "new.lrcore").exists()
    assert "not a model file" in one_line(["predict", data, data], capsys)
    bad.write_text("1 31:1\n")
    assert "31 features, but the model has 30" in one_line(["evaluate", model, str(bad)], capsys)
    wild = ["fit", data, "-o", new, "--loss", "squared_error", "--optimizer", "sgd", "--lr", "1e30"]
    assert "diverged by step" in one_line(wild, capsys)


def test_indices_from_one_stay_so_for_a_file_without_the_first_feature(model, tmp_path, capsys):
    with_first, without = tmp_path / "a.svm", tmp_path / "b.svm"
    with_first.write_text("1 1:0 2:1 9:1\n")
    without.write_text("1 2:1 9:1\n")
    printed = []
    for path in (with_first, without):
        assert cli.main(["predict", model, str(path), "--proba"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_as_a_process_without_a_terminal(data, tmp_path):
    command = [sys.executable, "-m", "lrcore.cli", "fit", data, "-o", str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    command = [sys.executable, "-m", "lrcore.cli", "fit", str(tmp_path / "no"), "-o", "m"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("lrcore: error: ")


def test_schedule_prints_a_table_and_a_line_of_bars(capsys):
    assert cli.main(["schedule", "linear(0.8, steps=1000).warmup(200)"]) == 0
    *table, bars = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["step", "rate"]
    assert table[-1].split() == ["1,200", "0"]
    assert len(table) == 12
    assert [line.split() for line in table][6] == ["600", "0.48"]
    assert len(bars) == 60
    assert bars[0] == bars[-1] == "\u2581"
    assert bars[10] == "\u2588"
    words = ["schedule", "cosine(0.5, 90%).warmup(1ep)", "--steps", "50", "--steps-per-epoch", "5"]
    assert cli.main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    schedule = lrcore.schedules.Cosine(0.5, 45).warmup(5)
    assert lrcore.schedules.from_dict(shown["schedule"]) == schedule
    assert shown["rates"] == schedule(shown["steps"]).tolist()
    assert "a warmup of 60 steps, longer than the run of 50" in one_line(
        ["schedule", "constant(1).warmup(60)", "--steps", "50"], capsys
    )
    assert cli.main(["schedule", "constant(0)"]) == 0


def test_fit_takes_a_schedule(data, model, capsys):
    spec = "cosine(0.5, 90%).warmup(10%)"
    assert cli.main(["fit", data, "-o", model, "--lr", spec, "--epochs", "2"]) == 0
    assert lrcore.load(model).lr == lrcore.schedules.parse(spec)


def test_schedule_draws_a_file(tmp_path, capsys):
    pytest.importorskip("matplotlib").use("agg")
    path = tmp_path / "rate.png"
    assert cli.main(["schedule", "cosine(0.1, 100)", "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
