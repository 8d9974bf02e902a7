"""``lrcore fit --dask``: the model is that of the estimator on a cluster, and what cannot be is
refused before anything is read."""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from partitions import fit_parts
from scipy import sparse

import lrcore
from lrcore import io
from lrcore.cli import cluster
from lrcore.cli.main import main

distributed = pytest.importorskip("distributed")
pytest.importorskip("pyarrow")
from lrcore.cli import dask_fit  # noqa: E402

#: Dask leaves sockets of its servers open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TABLES = {"csv": io.scan_csv, "tsv": io.scan_csv, "json": io.scan_json,
          "parquet": io.scan_parquet, "arrow": io.scan_arrow}  # fmt: skip
ROWS = {"svm": io.scan_svmlight, "vw": io.scan_vw, "npz": io.scan_npz}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files of each format, each kind in a folder of its own."""
    folder = tmp_path_factory.mktemp("dask")
    rng = np.random.default_rng(0)
    for kind in [*TABLES, *ROWS]:
        (folder / kind).mkdir()
    for k in range(3):
        x = rng.normal(size=200).round(2)
        y = (rng.random(200) < 1 / (1 + np.exp(-2 * x))).astype(int)
        rows = "".join(f"{a},{b},s{a ^ (b > 1)}\n" for a, b in zip(y, x))
        (folder / "csv" / f"{k}.csv").write_text("y,x,site\n" + rows)
        for kind in [*TABLES, *ROWS]:
            options = ["--label", "y", "--bits", "8"] if kind in ROWS else []
            target = str(folder / kind / f"{k}.{kind}")
            if kind != "csv":
                assert main(["convert", str(folder / "csv" / f"{k}.csv"), target, *options]) == 0
    return folder


@pytest.fixture(scope="module")
def address():
    """A cluster within this process, which is connected to by its address."""
    options = {"processes": False, "dashboard_address": ":0", "n_workers": 2}
    options["protocol"] = "tcp"
    with distributed.LocalCluster(threads_per_worker=1, **options) as local:
        yield local.scheduler_address


def fit(path, where, model, *options):
    paths = [str(path)] if not isinstance(path, list) else list(map(str, path))
    return main(["fit", *paths, "--dask", where, "-o", str(model), *options])


def options_of(kind):
    if kind in TABLES:
        return ["--label", "y", "--categorical", "site", "--numeric", "x", "--bits", "8"]
    return ["--bits", "8"] if kind == "vw" else []


@pytest.mark.parametrize("kind", [*TABLES, *ROWS])
def test_each_file_is_a_partition(kind, folder, address, tmp_path, capsys):
    files = folder / kind / f"*.{kind}"
    path = tmp_path / "m"
    assert fit(files, address, path, *options_of(kind), "--alpha", "1e-3", "--json") == 0
    out, err = capsys.readouterr()
    result, model = json.loads(out), lrcore.load(path)
    if kind in TABLES:
        hasher = lrcore.TableHasher(["site"], ["x"], n_features=256)
        dataset = TABLES[kind](files, label="y", features=hasher)
    else:
        dataset = ROWS[kind](files, **({"bits": 8} if kind == "vw" else {}))
    batches = [part.read() for part in dataset.parts()]
    expected, _ = fit_parts(
        lrcore.LinearClassifier(alpha=1e-3), [(each.X, each.y) for each in batches]
    )
    np.testing.assert_array_equal(model.coef_, expected.model.weights[0])
    assert (result["rows"], result["partitions"], result["workers"]) == (600, 3, 2)
    assert result["features"] == model.n_features_in_
    assert result["solver"] == "lbfgs"
    assert result["rounds"] == model.n_iter_ == expected.history["epoch"][-1]
    assert result["dual_gap"] == model.dual_gap_ <= 1e-3
    assert result["bytes_sent"] == expected.history["bytes"][-1]
    assert result["loss_curve"] == expected.history["loss"].tolist()
    # The rounds are told as they come.
    assert err.count("round ") == len(result["loss_curve"])
    assert f"round {result['rounds']}: objective" in err
    # The files are predicted from as ever.
    assert main(["evaluate", str(path), str(folder / kind / f"0.{kind}"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.7


def test_folders_lists_and_the_report(folder, address, tmp_path, capsys, monkeypatch):
    first = tmp_path / "a"
    assert fit(folder / "parquet", address, first, *options_of("parquet")) == 0
    text = capsys.readouterr().out
    assert text.startswith("read    600 rows x 256 features in 3 partition(s), 2 worker(s), in ")
    assert "\nfitted  " in text
    assert " rounds in " in text
    assert " MB sent, lbfgs\n" in text
    assert "of the objective above its minimum\nmodel   " in text
    monkeypatch.chdir(folder / "parquet")
    names = ["0.parquet", "1.parquet", "2.parquet"]
    # Workers may run in another folder than the command.
    args = argparse.Namespace(data=names[0], more=["https://there/1.parquet", names[2]])
    whole = [str(folder / "parquet" / name) for name in names]
    assert cluster.files_of(args) == [whole[0], "https://there/1.parquet", whole[2]]
    assert fit(names, address, tmp_path / "b", *options_of("parquet")) == 0
    models = [lrcore.load(tmp_path / name).coef_ for name in "ab"]
    np.testing.assert_array_equal(*models)


@pytest.mark.parametrize("options", [["--epochs", "1"], ["--solver", "stochastic"],
                                     ["--lr", "0.1", "--epochs", "2"]])  # fmt: skip
def test_steps_go_over_one_file_after_another(options, folder, address, tmp_path, capfd):
    path = tmp_path / "m"
    assert fit(folder / "csv", address, path, *options_of("csv"), *options, "--json") == 0
    out, err = capfd.readouterr()
    result = json.loads(out)
    assert result["solver"] == "stochastic"
    assert result["epochs"] == lrcore.load(path).n_iter_
    assert result["rows"] == 600
    assert not {"rounds", "dual_gap"} & result.keys()
    assert "round" not in err
    assert fit(folder / "csv", address, path, *options_of("csv"), *options) == 0
    assert "read and fitted 600 rows x 256 features in 3 partition(s)" in capfd.readouterr().out


def test_regressors(folder, address, tmp_path):
    path = tmp_path / "m"
    assert fit(folder / "npz", address, path, "--loss", "squared_error") == 0
    assert type(lrcore.load(path)) is lrcore.LinearRegressor


def test_rounds_of_the_start_count(folder, address, tmp_path, capsys):
    path = tmp_path / "m"
    assert fit(folder / "svm", address, path, "--loss", "hinge", "--alpha", "0.01", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert lrcore.load(path).n_iter_ == result["rounds"] > len(result["loss_curve"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--resume", "old"], "--resume is for fits on one machine"),
        (["--cache", "rows"], "--cache is for fits on one machine"),
        (["--holdout", "5"], "--holdout is for fits on one machine"),
        (["--multilabel"], "--multilabel is for fits on one machine"),
        (["--threads", "2"], "--threads is for fits on one machine"),
        (["--solver", "dual"], "--solver dual is for fits on one machine"),
        (["--scale", "max"], "scale='max' is for fits on one machine"),
        (["--alpha", "1e-3", "--label", "y"], "--label has no effect on svmlight"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_read(
    options, match, error_of, tmp_path, monkeypatch
):
    data = tmp_path / "no.svm"
    data.write_text("this is never read\n")
    monkeypatch.setattr(dask_fit, "connected", None)
    words = ["fit", str(data), "--dask", "local:2", "-o", str(tmp_path / "m"), *options]
    assert match in error_of(*words)


def test_data_that_cannot_be_on_a_cluster(error_of, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_fit, "connected", None)
    words = ["--dask", "local:2", "-o", str(tmp_path / "m")]
    assert "no stdin" in error_of("fit", "-", *words)
    assert "no file matches" in error_of("fit", str(tmp_path / "*.csv"), "--label", "y", *words)
    assert "no such file" in error_of("fit", str(tmp_path / "a.csv"), "--label", "y", *words)
    (tmp_path / "a.csv").write_text("y,x\n1,2\n")
    assert "a.csv: which column has the labels" in error_of("fit", str(tmp_path / "a.csv"), *words)
    os.mkfifo(tmp_path / "p.svm")
    assert "p.svm: no such file" in error_of("fit", str(tmp_path / "p.svm"), *words)
    several = ["fit", "a.csv", "b.csv", "--label", "y", "-o", str(tmp_path / "m")]
    assert "DATA is one file, or with --dask several" in error_of(*several)


@pytest.mark.parametrize("text", ["local", "local:0", "local:two", "here", "8786"])
def test_clusters_that_are_none_are_wrong_usage(text, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "data", "--dask", text, "-o", "m"])
    assert stop.value.code == 2
    assert "argument --dask: " in capsys.readouterr().err


def test_files_that_cannot_be_used_are_named(folder, address, tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("y,x,site\nnan,1,a\n")
    path = tmp_path / "m"
    good = folder / "csv" / "0.csv"
    assert fit([good, bad], address, path, *options_of("csv")) == 1
    assert capsys.readouterr().err.startswith(f"lrcore: error: {bad}, row 1: the label")
    assert not path.exists()


def test_a_cluster_that_is_lost_or_empty(folder, tmp_path, capsys):
    options = {"processes": False, "dashboard_address": ":0", "n_workers": 0, "protocol": "tcp"}
    with distributed.LocalCluster(**options) as local:
        words = folder / "csv", local.scheduler_address, tmp_path / "m", *options_of("csv")
        assert fit(*words) == 1
    assert capsys.readouterr().err.startswith("lrcore: error: the cluster has no workers")


def test_without_the_extra(folder, tmp_path, error_of, monkeypatch):
    monkeypatch.delitem(sys.modules, "lrcore.cli.dask_fit")
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ["fit", str(folder / "npz"), "--format", "npz", "--dask", "local:1"]
    assert "pip install 'lrcore[dask]'" in error_of(*words, "-o", str(tmp_path / "m"))


def test_a_local_cluster_is_closed_after_an_interrupt(
    folder, tmp_path, capsys, monkeypatch, ctrl_c
):
    closed = []

    class Local:
        def __init__(self, **options):
            assert (options["n_workers"], options["threads_per_worker"]) == (3, 1)
            assert options["dashboard_address"] == ":0"
            # Workers do not get the Ctrl-C of the command, nor does it come while they start.
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

        def __enter__(self):
            return self

        def __exit__(self, *error):
            closed.append(error[0])

    @contextmanager
    def client(local, **options):
        assert isinstance(local, Local)
        yield None

    def interrupted(*args):
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        raise KeyboardInterrupt

    monkeypatch.setattr(dask_fit, "LocalCluster", Local)
    monkeypatch.setattr(dask_fit, "Client", client)
    monkeypatch.setattr(dask_fit, "fit", interrupted)
    handlers = logging.getLogger("distributed").handlers
    levels = [handler.level for handler in handlers]
    monkeypatch.setattr(dask_fit, "on_dask", lambda local: mock.MagicMock())
    assert fit(folder / "csv", "local:3", tmp_path / "m", *options_of("csv")) == 130
    assert capsys.readouterr().err == "lrcore: stopped; nothing was written\n"
    assert closed == [KeyboardInterrupt]
    assert [handler.level for handler in handlers] == levels


def test_a_process_with_processes_as_workers(folder, tmp_path):
    path = tmp_path / "m"
    words = ["fit", str(folder / "npz"), "--format", "npz", "--dask", "local:1", "-o", str(path)]
    command = [sys.executable, "-m", "lrcore.cli", *words, "--json", "--alpha", "1e-3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert all(line.startswith("round ") for line in done.stderr.splitlines()), done.stderr
    data = [sparse.load_npz(folder / "npz" / f"{k}.npz").astype(np.float32) for k in range(3)]
    labels = [np.load(folder / "npz" / f"{k}.npz")["y"] for k in range(3)]
    expected, _ = fit_parts(lrcore.LinearClassifier(alpha=1e-3), list(zip(data, labels)))
    assert result["rounds"] == expected.history["epoch"][-1]
    np.testing.assert_array_equal(lrcore.load(path).coef_, expected.model.weights[0])


def test_dask_is_imported_only_when_it_is_asked_for(folder, tmp_path):
    words = ["fit", str(folder / "npz" / "0.npz"), "-o", str(tmp_path / "m")]
    code = (
        f"import sys; from lrcore.cli import main; assert main.main({words}) == 0; "
        "print([m for m in ('dask', 'distributed', 'lrcore.distributed.dask') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
