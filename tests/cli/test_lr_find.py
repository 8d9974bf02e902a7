import json

import pytest

import lrcore

from .conftest import LABELS, X


def test_prints_a_table_and_draws(data, tmp_path, output_of):
    pytest.importorskip("matplotlib").use("agg")
    path = tmp_path / "curve.png"
    words = ["lr-find", data, "--optimizer", "sgd", "--steps", "30"]
    out = output_of(*words, "--plot", str(path))
    lines = out.splitlines()
    assert lines[0].split() == ["rate", "loss", "lowest", "highest"]
    assert float(lines[1].split()[0]) == 1e-5
    # The defaults of the command are those of the function.
    found = lrcore.lr_range_test(lrcore.LinearClassifier(optimizer="sgd"), X, LABELS, n_steps=30)
    assert lines[-2].split() == ["valley", f"{found.suggestion:.4g}"]
    assert found.end in out
    assert path.read_bytes().startswith(b"\x89PNG")


def test_json(data, output_of):
    words = ["--optimizer", "sgd", "--seeds", "2", "--rows-per-step", "40"]
    result = json.loads(output_of("lr-find", data, "--json", *words))
    assert result["suggestion"] == result["suggestions"]["valley"]
    assert len(result["lrs"]) == len(result["losses"])


@pytest.mark.parametrize(
    "words, message",
    [
        (["--lr-min", "0"], "lr_min must be > 0, got 0"),
        (["--lr-max", "1e-6"], "lr_max must be > lr_min"),
        (["--steps", "3"], "n_steps must be >= 8, got 3"),
        (["--loss", "gamma"], "y must be"),
    ],
)
def test_wrong_arguments(data, error_of, words, message):
    assert message in error_of("lr-find", data, *words)
