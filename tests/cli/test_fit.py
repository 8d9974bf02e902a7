import json
import os

import numpy as np
import pytest
from files import svmlight
from scipy import sparse

import lrcore
from lrcore.cli import main as cli
from lrcore.io.datafile import read

from .conftest import TARGET, X


def test_prints_what_was_read_and_fitted(data, tmp_path, output_of):
    path = str(tmp_path / "m.lrcore")
    out = output_of(
        "fit", data, "-o", path, "--epochs", "20", "--alpha", "1e-3", "--solver", "stochastic"
    )
    assert "read    300 rows x 30 features in " in out
    assert "fitted  20 epochs in " in out
    assert out.endswith(f"model   {path}\n")
    losses = next(line for line in out.splitlines() if line.startswith("loss")).split("  (")[0]
    assert losses.split()[5] == "..."
    assert len(losses.split()) == 1 + 4 + 1 + 3
    curve = lrcore.LinearClassifier(solver="stochastic", alpha=1e-3, max_iter=20, random_state=0)
    curve = curve.fit(X, np.loadtxt(data, usecols=0)).loss_curve_
    assert losses.split()[1] == f"{curve[0]:.5f}"


def test_json_has_the_same_figures(data, tmp_path, output_of):
    path = str(tmp_path / "m.lrcore")
    result = json.loads(output_of("fit", data, "-o", path, "--json"))
    assert (result["rows"], result["features"], result["solver"]) == (300, 30, "newton")
    assert len(result["loss_curve"]) == result["epochs"]
    assert result["dual_gap"] < 1e-3
    assert result["alpha"] > 0
    assert result["model"] == path


def test_options_reach_the_model(data, tmp_path, output_of):
    path = str(tmp_path / "m.lrcore")
    output_of(
        "fit", data, "-o", path, "--loss", "hinge", "--optimizer", "sgd", "--penalty", "none",
        "--no-intercept", "--float64", "--lr", "cosine(0.5, 90%).warmup(10%)", "--epochs", "2",
        "--seed", "7", "--batch-size", "3",
    )  # fmt: skip
    model = lrcore.load(path)
    assert model.lr == lrcore.schedules.parse("cosine(0.5, 90%).warmup(10%)")
    assert (model.loss, model.penalty, model.max_iter) == ("hinge", None, 2)
    assert (model.random_state, model.batch_size) == (7, 3)
    assert model.coef_.dtype == np.float64
    assert not model.intercept_.any()


def test_regression(tmp_path, output_of):
    data, path = tmp_path / "r.svm", str(tmp_path / "r.lrcore")
    data.write_text(svmlight(X, TARGET.tolist()))
    words = ("--loss", "huber", "--epsilon", "2.5", "--epochs", "30")
    output_of("fit", str(data), "-o", path, *words)
    assert isinstance(model := lrcore.load(path), lrcore.LinearRegressor)
    assert model.epsilon == 2.5
    assert json.loads(output_of("evaluate", path, str(data), "--json"))["r2"] > 0.9


def test_bad_data_is_refused_and_nothing_is_written(data, tmp_path, error_of):
    bad, new = tmp_path / "bad.svm", str(tmp_path / "new.lrcore")
    bad.write_text("1 1:0.5\n-1 2:x\n")
    assert f"{bad}:2: the value must be" in error_of("fit", str(bad), "-o", new)
    bad.write_text("")
    assert "no rows" in error_of("fit", str(bad), "-o", new)
    bad.write_text("1 1:1\n1 2:1\n")
    assert "y has 1 class" in error_of("fit", str(bad), "-o", new)
    assert "No such file" in error_of("fit", str(tmp_path / "no.svm"), "-o", new)
    assert "there is no folder" in error_of("fit", data, "-o", str(tmp_path / "no" / "m"))
    words = ("--loss", "squared_error", "--optimizer", "sgd", "--lr", "1e30")
    assert "diverged by step" in error_of("fit", data, "-o", new, *words)
    assert not (tmp_path / "new.lrcore").exists()


@pytest.mark.parametrize("output", [".", "", "no/model", "pipe"])
def test_a_path_that_no_model_can_take_is_refused_before_the_data_are_read(
    output, tmp_path, error_of, monkeypatch
):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    assert "no.svm" not in error_of("fit", "no.svm", "-o", output)


def test_options_that_do_not_go_together_are_refused_before_the_data_are_read(error_of, tmp_path):
    words = ["--optimizer", "ftrl", "--penalty", "l1"]
    assert "FTRL cannot apply" in error_of("fit", "no.svm", "-o", str(tmp_path / "m"), *words)


def test_more_features_than_fit_the_memory(tmp_path, error_of, monkeypatch):
    path = tmp_path / "wide.svm"
    path.write_text("1 1:1 2147483647:1\n-1 2:1\n")
    pages = {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    line = error_of("fit", str(path), "-o", str(tmp_path / "m"))
    assert "2,147,483,647 features, of which a model takes 64.0 GiB at least" in line
    assert "this machine has 4.0" in line


@pytest.mark.filterwarnings("ignore:the objective has fallen")  # by more than so low a tol
@pytest.mark.parametrize("solver", ["stochastic", "newton"])
def test_a_fit_is_resumed(data, tmp_path, output_of, solver):
    first, second, whole = (str(tmp_path / name) for name in ("first", "second", "whole"))
    words = ("--solver", solver, "--alpha", "1e-3", "--tol", "0.9")
    output_of("fit", data, "-o", first, "--epochs", "2", *words)
    output_of("fit", data, "-o", second, "--epochs", "40", "--tol", "1e-9", "--resume", first)
    output_of("fit", data, "-o", whole, "--epochs", "60", *words[:-1], "1e-9")
    losses = [
        float(output_of("evaluate", path, data, "--json").split('"log_loss": ')[1].split(",")[0])
        for path in (first, second, whole)
    ]
    assert losses[0] > losses[1] == pytest.approx(losses[2], rel=2e-2)
    resumed = lrcore.load(second)
    assert (resumed.solver, resumed.warm_start, resumed.max_iter) == (solver, False, 40)


def test_what_a_resumed_fit_has_parameters_for_is_wrong_usage(data, model, tmp_path, capsys):
    path = str(tmp_path / "other")
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", data, "-o", path, "--resume", model, "--loss", "hinge", "--lr", "3"])
    assert stop.value.code == 2
    assert f"parameters of {model}: leave out --loss, --lr" in capsys.readouterr().err
    assert cli.main(["fit", data, "-o", path, "--resume", data]) == 1
    assert "not a model file" in capsys.readouterr().err


def test_weights_are_averaged(data, tmp_path, output_of):
    path = str(tmp_path / "model")
    output_of("fit", data, "-o", path, "--average", "--lr", "0.5", "--epochs", "3")
    rows, labels, _ = read(data)
    wanted = lrcore.LinearClassifier(
        average=True, lr=0.5, max_iter=3, random_state=0, block_size=256
    ).fit(rows, labels)
    assert lrcore.load(path).solver_ == "stochastic"
    np.testing.assert_array_equal(lrcore.load(path).coef_, wanted.coef_)


@pytest.mark.filterwarnings("default::lrcore.UselessFitWarning")  # as it is for users
@pytest.mark.parametrize("words", [("--lr", "1e9"), ("--lr", "1e6", "--loss", "hinge")])
def test_a_model_that_is_no_better_than_a_constant_is_not_written(words, data, tmp_path, error_of):
    path = tmp_path / "model"
    line = error_of("fit", data, "-o", str(path), *words)
    assert "the fit is no better than a prediction without X" in line
    assert "try a lower rate such as lr=1e+0" in line
    assert line.endswith("no model was written\n")
    assert not path.exists()


def test_prices_are_fitted(tmp_path, output_of):
    """Targets in hundreds of thousands, by default and by the update rules."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 8)).astype(np.float32)
    y = 2e5 + 1e5 * (rows @ rng.normal(size=8) + 0.5 * rng.normal(size=1000))
    prices, path = tmp_path / "prices.svm", str(tmp_path / "model")
    prices.write_text(svmlight(sparse.csr_matrix(rows), y))
    for words in ((), ("--solver", "stochastic"), ("--epochs", "1"), ("--optimizer", "sgd")):
        output_of("fit", str(prices), "-o", path, "--loss", "squared_error", *words)
        assert json.loads(output_of("evaluate", path, str(prices), "--json"))["r2"] > 0.85
