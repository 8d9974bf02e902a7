"""The shape of the house: which way imports go, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import lrcore

PACKAGE = Path(lrcore.__file__).parent

#: Rooms from the ground up: a module imports only from lower floors.
FLOORS = [
    {"_core.cpu", "_core.baseline", "_core.avx2", "_core.avx512"},
    {"_core"},
    {"_core.threads", "numerics", "archive", "arrays", "frames", "plotting", "sparkline"},
    {"schedules.fields", "schedules.adapters", "history"},
    {"schedules.base"},
    {"schedules.custom", "schedules.decays", "schedules.plateau"},
    {"schedules.cycles"},
    {"schedules.registry"},
    {"schedules.spec", "schedules.interop.reading"},
    {"schedules.interop.torch_readers", "schedules.interop.optax_readers"},
    {"schedules.interop.keras_readers", "schedules.interop.transformers_readers"},
    {"schedules.interop"},
    {"formulas", "schedules", "losses", "checks", "bfloat16"},
    {"rules.base", "rows", "row_gradients", "conjugates"},
    {"rules.gradient", "rules.adaptive", "rules.adam", "rules.ftrl", "rules.free", "parameters"},
    {"rules"},
    {"states", "arguments", "groups", "options"},
    {"reference", "staging", "scaling", "stability", "rate_curve"},
    {"data"},
    {"epochs", "optimizer", "config", "pending"},
    {"fitted", "statistics"},
    {"trouble", "watching"},
    {"throttle"},
    {"fitting"},
    {"dual", "streams", "sweep", "sklearn_callbacks"},
    {"rates"},
    {"linear_base"},
    {"linear_model", "metrics"},
    {"rated"},
    {"range_test", "search"},
    {"model_file", "datafile", "demo"},
    {"minimize.box", "minimize.points"},
    {"minimize.arguments"},
    {"minimize.objective", "minimize.stepper"},
    {"minimize.outcome", "minimize.search"},
    {"minimize.polish", "minimize.stochastic"},
    {"minimize.descent"},
    {"minimize"},
    {""},
    {"cli"},
]
#: The only modules that call the core.
CALLERS = {"groups", "epochs", "scaling", "staging", "rows", "checks", "config", "demo", "cli"}
CALLERS |= {"_core", "_core.threads", "dual", "rates", "sweep"}


def imports_of(path):
    """Modules of lrcore that a file imports when it runs, as names below the package."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            deep = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                name if name.removeprefix("lrcore.") in all_modules() else node.module
                for name in deep
            ]
        else:
            continue
        for name in names:
            module = name.removeprefix("lrcore").removeprefix(".")
            if name.startswith("lrcore") and (not module or module in all_modules()):
                yield module


def all_modules():
    found = {".".join(p.relative_to(PACKAGE).with_suffix("").parts) for p in PACKAGE.rglob("*.py")}
    found = {name.removesuffix("__init__").removesuffix(".") for name in found}
    return found | FLOORS[0]


def floor_of(module):
    return next(i for i, floor in enumerate(FLOORS) if module in floor)


def test_every_module_has_a_floor():
    assert all_modules() == set().union(*FLOORS)


def test_imports_go_one_way():
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(parts).removesuffix("__init__").removesuffix(".")
        for imported in imports_of(path):
            if imported == "" and module != "cli":
                continue  # `from lrcore import rules` names the package on the way
            assert floor_of(imported) < floor_of(module), f"{module} imports {imported}"
            assert imported != "_core" or module in CALLERS, f"{module} calls the core"


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
        wanted = {"lrcore._core.cpu", "lrcore._core.threads"}
        if isa != "numpy":
            wanted.add(f"lrcore._core.{isa}")
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
