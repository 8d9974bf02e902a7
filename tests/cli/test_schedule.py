import json

import pytest

import lrcore
from lrcore.cli import main as cli


def test_prints_a_table_and_a_line_of_bars(output_of):
    *table, bars = output_of("schedule", "linear(0.8, steps=1000).warmup(200)").splitlines()
    assert table[0].split() == ["step", "rate"]
    assert table[-1].split() == ["1,200", "0"]
    assert len(table) == 12
    assert table[6].split() == ["600", "0.48"]
    assert len(bars) == 60
    assert bars[0] == bars[-1] == "\u2581"
    assert bars[10] == "\u2588"
    assert output_of("schedule", "constant(0)").splitlines()[-1] == "\u2581" * 60


def test_lengths_in_epochs_and_shares_of_the_run(output_of, error_of):
    words = ["schedule", "cosine(0.5, 90%).warmup(1ep)", "--steps", "50", "--steps-per-epoch", "5"]
    shown = json.loads(output_of(*words, "--json"))
    schedule = lrcore.schedules.Cosine(0.5, 45).warmup(5)
    assert lrcore.schedules.from_dict(shown["schedule"]) == schedule
    assert shown["rates"] == schedule(shown["steps"]).tolist()
    assert "a warmup of 60 steps, longer than the run of 50" in error_of(
        "schedule", "constant(1).warmup(60)", "--steps", "50"
    )


@pytest.mark.parametrize(
    "spec, option", [("cosine(1, 5ep)", "--steps-per-epoch"), ("cosine(1, 5%)", "--steps")]
)
def test_a_missing_length_names_its_option(spec, option, capsys):
    with pytest.raises(SystemExit):
        cli.main(["schedule", spec])
    assert capsys.readouterr().err.strip().endswith(f" needs {option}")


def test_draws_a_file(tmp_path, output_of):
    pytest.importorskip("matplotlib").use("agg")
    path = tmp_path / "rate.png"
    output_of("schedule", "cosine(0.1, 100)", "--plot", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
