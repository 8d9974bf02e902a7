"""The whole command: wrong usage, exit status, running as a process."""

import json
import os
import subprocess
import sys

import pytest

import lrcore
from lrcore.cli import evaluate
from lrcore.cli import main as cli


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


@pytest.mark.parametrize(
    "words, here",
    [
        (["fit", "clicks.vw", "-b", "18"], "there is no -b: here it is --bits"),
        (["fit", "--passes=3", "x", "-q", "ab"], "--passes: here it is --epochs; there is no -q"),
        (["fit", "x", "-o", "m", "--l1", "1e-6"], "there is no --l1: here it is --penalty l1"),
        (["predict", "-i", "m", "x"], "lrcore predict MODEL DATA"),
    ],
)
def test_options_of_vowpal_wabbit_are_refused_by_what_they_are_here(words, here, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    assert here in capsys.readouterr().err


def test_version_and_help(capsys):
    for words, text in ((["--version"], f"lrcore {lrcore.__version__}\n"), (["--help"], "demo")):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 0
        assert text in capsys.readouterr().out


def raises(error):
    def run(args, parser):
        raise error

    return run


def test_ctrl_c_is_status_130(monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "run", raises(KeyboardInterrupt()))
    assert cli.main(["evaluate", "MODEL", "DATA"]) == 130
    assert capsys.readouterr().err == "lrcore: stopped; nothing was written\n"


def test_errors_of_the_program_itself_are_not_hidden(monkeypatch):
    monkeypatch.setattr(evaluate, "run", raises(RuntimeError("a defect")))
    with pytest.raises(RuntimeError, match="a defect"):
        cli.main(["evaluate", "MODEL", "DATA"])


def run_process(*words, **options):
    command = [sys.executable, "-m", "lrcore.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


LOADED = """
import sys
from lrcore.cli import main
sys.argv = ["lrcore", *{words}]
try:
    main.command()
except SystemExit:
    pass
print({found})
"""


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["fit", "DATA", "-o", "M"]])
def test_the_command_loads_what_it_needs(words):
    # What is loaded takes up to ten times as long as a small fit.
    slow = ["pandas", "scipy.stats._stats_py", "scipy.special", "scipy.interpolate"]
    slow += ["sklearn.metrics", "sklearn.model_selection", "sklearn.preprocessing"]
    slow += ["sklearn", "scipy"] if words[0] != "fit" else []
    code = LOADED.format(words=words, found=f"[m for m in {slow} if m in sys.modules]")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done


def test_what_was_not_loaded_is_there_when_it_is_asked_for():
    code = """
from lrcore.cli.startup import stand_ins
with stand_ins("scipy.stats", "pandas", "no_such_module"):
    import sklearn.utils.fixes
    import scipy.stats
assert sklearn.utils.fixes.scipy.stats.mode([1, 2, 2]).mode == 2
assert scipy.stats.norm.cdf(0.0) == 0.5
from scipy.stats import rankdata
import sys
assert "pandas" not in sys.modules
import pandas
assert pandas.DataFrame({"a": [1]}).shape == (1, 1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_as_a_process_without_a_terminal(data, tmp_path):
    done = run_process("fit", data, "-o", str(tmp_path / "m"))
    assert done.returncode == 0
    assert done.stderr == ""
    done = run_process("fit", str(tmp_path / "no"), "-o", "m")
    assert done.returncode == 1
    assert done.stderr.startswith("lrcore: error: ")


def test_a_closed_pipe_is_status_1_without_a_traceback():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-u", "-m", "lrcore.cli", "schedule", "constant(1)"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_lack_of_memory_is_status_1_and_one_line(monkeypatch, error_of):
    def take_all(*args):
        raise MemoryError("Unable to allocate 48.0 GiB")

    monkeypatch.setattr("lrcore.cli.data.load", take_all)
    assert "more memory than there is: Unable to allocate 48.0 GiB" in error_of(
        "evaluate", "m", "d"
    )


def test_json_is_that_of_any_reader(tmp_path, model, output_of):
    data = tmp_path / "one.svm"
    data.write_text("1 1:0.5\n")
    regressor = str(tmp_path / "regressor")
    output_of("fit", str(tmp_path / "train.svm"), "-o", regressor, "--loss", "squared_error")

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    with pytest.warns(UserWarning, match="R"):  # of one row
        text = output_of("evaluate", regressor, str(data), "--json")
    assert json.loads(text, parse_constant=refuse)["r2"] is None
