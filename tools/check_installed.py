"""Uses an installed lrcore as a stranger would: its files, a fit, the command.

    python -I tools/check_installed.py

Option -I keeps the folder of this checkout out of the way, whose lrcore may hold files that a
release lacks.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import lrcore

PACKAGE = Path(lrcore.__file__).parent


def check_files():
    """Each stub has its compiled module: without, NumPy would take the place of the core."""
    if not PACKAGE.is_relative_to(sys.prefix):
        raise AssertionError(f"{PACKAGE} is not in the environment {sys.prefix}")
    if not (PACKAGE / "py.typed").exists():
        raise AssertionError("py.typed was not installed")
    stubs = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.pyi")]
    modules = [".".join(stub.parts) for stub in stubs]
    missing = [name for name in modules if getattr(find_spec(name), "loader", None) is None]
    if missing or not modules:
        raise AssertionError(f"compiled modules: {modules}, of which were not installed: {missing}")
    lrcore.show_config()


def check_fit():
    """A fit of rows that a plane divides."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 20))
    y = X @ rng.standard_normal(20) > 0
    score = lrcore.LinearClassifier(random_state=0).fit(X, y).score(X, y)
    if score < 0.95:
        raise AssertionError(f"{score:.1%} of the rows were classified correctly")
    print(f"a fit classifies {score:.1%} of 2,000 rows correctly")


def check_command():
    """The script beside this Python."""
    command = [Path(sys.executable).with_name("lrcore"), "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if printed != f"lrcore {lrcore.__version__}\n":
        raise AssertionError(f"lrcore --version prints {printed!r}")
    print(f"lrcore --version prints {printed.strip()!r}")


if __name__ == "__main__":
    check_files()
    check_fit()
    check_command()
