"""Uses an installed lrcore as a stranger would: its files, fits, the command, beside scikit-learn.

    python -I tools/check_installed.py [torch]

With this word, beside torch too, if it is installed there. Option -I keeps the folder of this
checkout out of the way, whose lrcore may hold files that a release lacks.
"""

import platform
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import scipy.sparse

import lrcore

PACKAGE = Path(lrcore.__file__).parent


X86 = platform.machine().lower() in ("x86_64", "amd64")
#: An import may take so many times that of NumPy, which is half of it; scikit-learn takes ten.
IMPORTS = 4

# What programs do that meet two OpenMP runtimes: each library brings its own.
FIT = """
import numpy as np, lrcore
rng = np.random.default_rng(0)
X = rng.standard_normal((20_000, 400))
y = X @ rng.standard_normal(400) > 0
with lrcore.num_threads(2):
    model = lrcore.LinearClassifier(optimizer=lrcore.Adam(), lr=0.01, max_iter=3, random_state=0)
    found.append(model.fit(X, y).coef_.tobytes())
"""
BESIDE = {
    "sklearn": """
from sklearn.ensemble import HistGradientBoostingClassifier
rows = np.random.default_rng(0).standard_normal((5000, 10))
HistGradientBoostingClassifier(max_iter=5).fit(rows, rows[:, 0] > 0)
""",
    "torch": """
import torch
torch.set_num_threads(2)
torch.nn.functional.softmax(torch.ones(1000, 1000), 1) @ torch.ones(1000, 1000)
""",
}
START = "import hashlib, warnings, numpy as np; warnings.simplefilter('ignore'); found = []"
END = """
from threadpoolctl import threadpool_info
runtimes = {each["filepath"] for each in threadpool_info() if each["user_api"] == "openmp"}
print(len(runtimes), *{hashlib.sha256(bits).hexdigest() for bits in found})
"""


def check_files():
    """Each stub has its compiled module: without, NumPy would take the place of the core."""
    if not PACKAGE.is_relative_to(sys.prefix):
        raise AssertionError(f"{PACKAGE} is not in the environment {sys.prefix}")
    if not (PACKAGE / "py.typed").exists():
        raise AssertionError("py.typed was not installed")
    stubs = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.pyi")]
    modules = [".".join(stub.parts) for stub in stubs]
    if not X86:
        modules = [name for name in modules if not name.endswith((".avx2", ".avx512"))]
    missing = [name for name in modules if getattr(find_spec(name), "loader", None) is None]
    if missing or not modules:
        raise AssertionError(f"compiled modules: {modules}, of which were not installed: {missing}")
    lrcore.show_config()


def check_fits():
    """Fits of rows that a plane divides, dense and sparse."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 20)) * (rng.random((2000, 20)) < 0.3)
    y = X @ rng.standard_normal(20) > 0
    for rows in (X, scipy.sparse.csr_array(X)):
        model = lrcore.LinearClassifier(random_state=0).fit(rows, y)
        right = np.mean(model.predict(rows) == y)
        if right < 0.95:
            raise AssertionError(f"{right:.1%} of the rows were classified correctly")
        kind = type(rows).__name__
        print(f"a fit of a {kind} classifies {right:.1%} of 2,000 rows correctly")


def check_command():
    """The script beside this Python, and the package as a program."""
    script = Path(sys.executable).with_name("lrcore")
    for command in ([script], [sys.executable, "-I", "-m", "lrcore"]):
        printed = printed_by(*command, "--version")
        if printed != f"lrcore {lrcore.__version__}\n":
            raise AssertionError(f"{command} --version prints {printed!r}")
    _, seconds = seconds_of(script, "--version")
    print(f"lrcore --version prints {printed.strip()!r} and takes {seconds}")


def check_import():
    """The import, in fresh interpreters: nothing heavy is loaded before it is needed."""
    bare, _ = seconds_of(sys.executable, "-I", "-c", "pass")
    numpy, said = seconds_of(sys.executable, "-I", "-c", "import numpy")
    ours, says = seconds_of(sys.executable, "-I", "-c", "import lrcore")
    print(f"a program that imports lrcore takes {says}, NumPy alone {said}")
    if ours - bare > IMPORTS * (numpy - bare):
        raise AssertionError(f"the import of lrcore takes more than {IMPORTS} times that of NumPy")


def check_beside(library):
    """Threads of lrcore and of another library in one process, whichever was loaded first: the
    bits are those of lrcore alone."""
    other = BESIDE[library]
    alone = printed_by(sys.executable, "-I", "-c", START + FIT + END).split()
    for order in ((other, FIT), (FIT, other, FIT)):
        together = printed_by(sys.executable, "-I", "-c", START + "".join(order) + END).split()
        if together[1:] != alone[1:]:
            raise AssertionError(f"beside {library}, a fit has other bits: {together}, {alone}")
    print(f"a fit beside {library}, in both orders: the same bits, OpenMP runtimes: {together[0]}")


def printed_by(*command):
    """What a program prints; a runtime that waits for another for ever is an error too."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(f"{command} failed: {done.stderr}")
    return done.stdout


def seconds_of(*command):
    """The least of the seconds that a program takes, after a first time, and a text of them."""
    taken = []
    for _ in range(8):
        began = time.perf_counter()
        printed_by(*command)
        taken.append(time.perf_counter() - began)
    least, *_, most = sorted(taken[1:])
    return least, f"{statistics.median(taken[1:]):.2f} s ({least:.2f} to {most:.2f})"


if __name__ == "__main__":
    check_files()
    check_fits()
    check_command()
    check_import()
    for library in ("sklearn", *sys.argv[1:]):
        check_beside(library)
