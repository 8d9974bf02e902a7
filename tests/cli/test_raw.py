"""Tables and raw text from the command line: fitted, predicted and measured in one command each."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrcore
from lrcore.cli.main import main
from lrcore.cli.metrics import measure
from lrcore.io import scan_csv

pytest.importorskip("pyarrow")

RNG = np.random.default_rng(1)
N_ROWS = 3000


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    site = RNG.choice(["a", "b", "c"], N_ROWS)
    app = RNG.integers(0, 20, N_ROWS)
    click = (RNG.random(N_ROWS) < np.where(site == "a", 0.8, 0.1)).astype(int)
    lines = [f"{c},{s},{a}" for c, s, a in zip(click, site, app)]
    path = tmp_path_factory.mktemp("raw") / "clicks.csv"
    path.write_text("\n".join(["click,site,app", *lines]) + "\n")
    return path


def fit(table, *options, capsys):
    model = table.with_suffix(".lrcore")
    status = main(["fit", str(table), "--label", "click", "-o", str(model), *options])
    return status, model, capsys.readouterr()


def test_fit_predict_and_evaluate(table, capsys):
    options = ["--categorical", "site,app", "--cross", "site*app", "--bits", "12", "--json"]
    status, path, out = fit(table, *options, capsys=capsys)
    assert status == 0
    result = json.loads(out.out)
    assert (result["rows"], result["features"], result["epochs"]) == (N_ROWS, 4096, 1)
    assert "recent loss" in out.err
    hasher = lrcore.TableHasher(["site", "app"], crosses=[("site", "app")], n_features=2**12)
    expected = lrcore.LinearClassifier(random_state=0)
    expected.fit(scan_csv(table, label="click", features=hasher))
    model = lrcore.load(path)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    assert main(["evaluate", str(path), str(table), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["accuracy"] == expected.score(scan_csv(table, label="click", features=hasher))
    assert metrics["accuracy"] > 0.8
    unlabelled = table.with_name("new.csv")
    unlabelled.write_text("app,site\n3,a\n3,b\n")
    assert main(["predict", str(path), str(unlabelled)]) == 0
    assert capsys.readouterr().out.split() == ["1", "0"]


@pytest.mark.parametrize("columns", [["--categorical", "site,app"], ["--categorical", "app,site"]])
def test_pairs_are_crosses_of_all_categories(table, columns, capsys):
    models = []
    for cross in ("site*app", "pairs"):
        path = fit(table, *columns, "--cross", cross, "--bits", "12", capsys=capsys)[1]
        models.append(lrcore.load(path).coef_)
    np.testing.assert_array_equal(*models)
    plain = lrcore.load(fit(table, *columns, "--bits", "12", capsys=capsys)[1])
    assert np.count_nonzero(models[1]) > np.count_nonzero(plain.coef_)


def test_epochs_cache_and_holdout(table, capsys):
    cache = table.with_name("rows")
    options = ["--epochs", "3", "--cache", str(cache), "--holdout", "5", "--json"]
    results = []
    for _ in range(2):
        status, path, out = fit(table, *options, capsys=capsys)
        assert status == 0
        results.append((json.loads(out.out)["held_out_losses"], lrcore.load(path).coef_))
    assert cache.exists()
    assert len(results[0][0]) == 3
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_rows_held_out_of_one_pass(table, capsys):
    result = json.loads(fit(table, "--holdout", "5", "--json", capsys=capsys)[2].out)
    assert (result["epochs"], len(result["held_out_losses"])) == (1, 1)


@pytest.mark.filterwarnings("default")  # as users have them
def test_a_useless_model_is_not_written(table, capsys):
    path = table.with_suffix(".lrcore")
    path.unlink(missing_ok=True)
    status, _, out = fit(table, "--optimizer", "adam", "--lr", "100", capsys=capsys)
    assert status == 1
    assert "no better than a prediction without X" in out.err
    assert "no model was written" in out.err
    assert not path.exists()


def test_resume_goes_on(table, capsys):
    _, path, _ = fit(table, capsys=capsys)
    whole = lrcore.LinearClassifier(random_state=0, max_iter=2)
    whole.fit(scan_csv(table, label="click"))
    # The model knows which column has the labels.
    assert main(["fit", str(table), "--resume", str(path), "-o", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["epochs"]) == (N_ROWS, 1)
    assert result["loss_curve"] == [pytest.approx(whole.history_["loss"][1], rel=1e-12)]
    np.testing.assert_array_equal(lrcore.load(path).coef_, whole.coef_)
    words = ["fit", str(table), "--resume", str(path), "-o", str(path), "--epochs", "2", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    whole.partial_fit(scan_csv(table, label="click")).partial_fit(scan_csv(table, label="click"))
    np.testing.assert_array_equal(lrcore.load(path).coef_, whole.coef_)


def test_metrics_are_those_of_all_rows_in_any_format(table, capsys, monkeypatch):
    _, path, _ = fit(table, capsys=capsys)
    parquet = table.with_suffix(".parquet")
    assert main(["convert", str(table), str(parquet)]) == 0
    rows = scan_csv(table, label="click", features=lrcore.load(path).features_).read()
    expected = {"rows": N_ROWS, **measure(lrcore.load(path), rows.X, rows.y)}
    # No more than a batch of them is in memory.
    monkeypatch.setattr(lrcore.io.Dataset, "read", None)
    capsys.readouterr()
    for data in (table, parquet):
        assert main(["evaluate", str(path), str(data), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == expected


def test_predictions_come_before_the_data_has_ended(table, tmp_path, capsys):
    _, path, _ = fit(table, capsys=capsys)
    big = tmp_path / "big.csv"
    lines = table.read_text().splitlines()
    big.write_text("\n".join([lines[0], *lines[1:] * 500, "0,a", ""]))  # the last lacks a field
    assert main(["predict", str(path), str(big)]) == 1
    out, err = capsys.readouterr()
    assert "big.csv, row " in err
    assert "Expected " in err
    assert len(out.split()) > 1000
    assert main(["predict", str(path), str(big), "-o", str(tmp_path / "p.csv")]) == 1
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "{t}", "-o", "m"], "which column has the labels"),
        (["fit", "{t}", "-o", "m", "--label", "no"], "has no column 'no', but 'click', 'site'"),
        (["fit", "{t}", "-o", "m", "--label", "click", "--categorical", "no"], "no column 'no'"),
        (["fit", "{t}", "-o", "m", "--format", "svmlight", "--holdout", "3", "--text", "site"],
         "--text has no effect on svmlight"),
        (["fit", "rows.svm", "-o", "m", "--bits", "9"], "--bits has no effect on svmlight"),
        (["fit", "rows.vw", "-o", "m", "--label", "a"], "--label has no effect on vw"),
        (["fit", "t.json", "-o", "m", "--delimiter", ";"], "--delimiter has no effect on json"),
        (["fit", "{t}", "-o", "m", "--label", "click", "--multilabel"], "--multilabel is for"),
    ],
)  # fmt: skip
def test_faults_are_errors_of_one_line(table, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main([word.format(t=table) for word in words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("lrcore: error: ")
    assert not (tmp_path / "m").exists()


def test_base_of_vw_text(tmp_path, capsys):
    base = RNG.normal(size=2000)
    y = base + RNG.choice([0.0, 1.0], 2000)
    lines = (f"{t!r} 1 {b!r} | {int(t - b > 0.5)}" for t, b in zip(y.tolist(), base.tolist()))
    path, model = tmp_path / "a.vw", str(tmp_path / "m")
    path.write_text("\n".join([*lines, ""]))
    assert main(["fit", str(path), "--loss", "squared_error", "-o", model]) == 0
    capsys.readouterr()
    assert main(["evaluate", model, str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rmse"] < 0.01
    assert main(["predict", model, str(path)]) == 0
    np.testing.assert_allclose(np.array(capsys.readouterr().out.split(), float), y, atol=0.02)
    assert main(["predict", model, str(path), "-o", str(tmp_path / "p.npy")]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), y, atol=0.02)
    capsys.readouterr()
    assert main(["fit", str(path), "-o", model]) == 1
    assert "a.vw: a row has an offset (the base of vw text)" in capsys.readouterr().err


def test_a_fit_that_is_killed_gives_the_same_bits_when_it_is_run_again():
    """`make soak` does this at four hundred moments, of fits that are resumed as well."""
    script = Path(__file__).parents[1] / "killed_fits.py"
    done = subprocess.run(
        [sys.executable, script, "places"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it gave the same bits" in done.stdout


def test_the_data_is_not_taken_for_its_cache(table, capsys):
    before = table.read_bytes()
    status, _, out = fit(table, "--cache", str(table), capsys=capsys)
    assert status == 1
    assert "is no cache of rows, and would be overwritten" in out.err
    assert table.read_bytes() == before
