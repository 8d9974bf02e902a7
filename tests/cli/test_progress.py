"""How commands come on: bytes of each format, the table for logs, the bar on a terminal."""

import re
import sys

import numpy as np
import pytest

from lrcore import io
from lrcore.cli import progress
from lrcore.cli.main import main
from lrcore.cli.progress import Table, new_bar
from lrcore.linear_model.dataset_fit import Progress

pytest.importorskip("pyarrow")

TABLES = {"csv": io.scan_csv, "csv.gz": io.scan_csv, "json": io.scan_json,
          "parquet": io.scan_parquet, "arrow": io.scan_arrow}  # fmt: skip
ROWS = {"svm": io.scan_svmlight, "vw.gz": io.scan_vw, "npz": io.scan_npz}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same table in all formats."""
    folder = tmp_path_factory.mktemp("progress")
    rng = np.random.default_rng(0)
    x = rng.normal(size=40_000).round(2)
    y = (rng.random(40_000) < 1 / (1 + np.exp(-x))).astype(int)
    rows = "".join(f"{a},{b}\n" for a, b in zip(y, x))
    (folder / "a.csv").write_text("y,x\n" + rows)
    for kind in [*TABLES, *ROWS]:
        options = ["--label", "y"] if kind in ROWS else []
        target = str(folder / f"b.{kind}")
        assert main(["convert", str(folder / "a.csv"), target, *options]) == 0
    return folder


@pytest.mark.parametrize("kind", [*TABLES, *ROWS])
@pytest.mark.parametrize("cached", [False, True])
def test_bytes_of_each_format(folder, tmp_path, kind, cached):
    path = folder / f"b.{kind}"
    paths = path if kind == "npz" else [path, path]
    total = path.stat().st_size * (1 if kind == "npz" else 2)
    dataset = TABLES[kind](paths, label="y") if kind in TABLES else ROWS[kind](paths)
    dataset = dataset.cache(tmp_path / "rows") if cached else dataset
    assert dataset.bytes_read.total == total
    for epoch in range(1, 3):
        for _ in dataset:
            pass
        assert dataset.bytes_read.done == epoch * total


def fit(folder, name, *options):
    words = ["fit", str(folder / name), "--label", "y", "-o", str(folder / "m"), *options]
    assert main(words) == 0


def test_a_table_for_logs(folder, capsys):
    fit(folder, "a.csv")
    out, err = capsys.readouterr()
    head, *lines = err.splitlines()
    assert head.split() == ["rows", "values", "recent", "loss", "loss", "rows/s", "MB/s"]
    assert [line.split()[0] for line in lines] == ["16,384", "32,768"]
    assert len({len(line) for line in err.splitlines()}) == 1
    assert out.splitlines()[0].endswith(" MB/s")


def test_the_recent_loss_is_that_since_the_last_line(capsys):
    table = Table()
    for n_rows, loss, weight in ((10, 1.0, 10.0), (12, 2.0, 2.0), (15, 4.0, 6.0), (16, 0.0, 2.0)):
        table.update(Progress(n_rows=n_rows, recent_loss=loss, recent_weight=weight))
    recent = [line.split()[2] for line in capsys.readouterr().err.splitlines()[1:]]
    assert recent == ["1.00000", f"{(2 * 2 + 6 * 4) / 10:.5f}"]


@pytest.fixture
def terminal(monkeypatch):
    """stderr is a terminal, on which bars are drawn at once."""

    def drawn_at_once(*args):
        bar = new_bar(*args)
        bar.mininterval, bar.miniters = 0, 0
        return bar

    monkeypatch.setattr(progress, "new_bar", drawn_at_once)
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")


def test_a_bar_on_a_terminal(folder, tmp_path, terminal, capsys):
    fit(folder, "a.csv", "--epochs", "2", "--cache", str(tmp_path / "rows"))
    err = capsys.readouterr().err
    assert "recent loss" not in err
    assert "epoch 2/2" in err
    size = (folder / "a.csv").stat().st_size
    assert f"{2 * size / 1e3:.0f}k" in err
    assert re.search(r"\d rows, loss 0\.\d{5}", err)


def test_a_bar_of_what_has_no_losses(folder, tmp_path, terminal, capsys):
    fit(folder, "a.csv")
    capsys.readouterr()
    model, table, rows = (str(folder / name) for name in ("m", "a.csv", "b.svm"))
    for words in (
        ["evaluate", model, table],
        ["predict", model, table, "-o", str(tmp_path / "p.csv")],
        ["convert", table, str(tmp_path / "c.json")],
        ["convert", rows, str(tmp_path / "c.vw")],
    ):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert "B/s]" in err
        assert "B/s]" not in out


def test_sources_of_unknown_size_have_a_table_on_a_terminal_too(
    folder, terminal, monkeypatch, capsys
):
    with (folder / "a.csv").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": file}))
        words = ["fit", "-", "--format", "csv", "--label", "y", "-o", str(folder / "m")]
        assert main(words) == 0
    assert "recent loss" in capsys.readouterr().err
