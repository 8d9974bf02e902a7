"""What a release holds, and what the Makefile says and names."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path, PurePath

import pytest

HOUSE = Path(__file__).parents[2]
GENERATED = [
    "lrcore/_core/generated.c",
    "lrcore/_core/folder/generated.c",
    "lrcore/_core/generated/types.pxi",
    "lrcore/_core/module.cpython-311-x86_64-linux-gnu.so",
    "lrcore/__pycache__/module.cpython-311.pyc",
    "docs/build/index.html",
    "docs/generated/page.rst",
    "examples/pictures/1.png",
    "bench/.asv/results/machine.json",
    "bench/results/report.html",
]
#: Where the core may grow: a file needs no line of its own to be released.
ADDED = [f"lrcore/_core/folder/new.{suffix}" for suffix in ("pyx", "pxd", "pxi", "h")]
ADDED += [f"lrcore/_core/package/{name}" for name in ("__init__.py", "module.py", "new.pyi")]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the files under version control, with some that are generated or new."""
    if not (HOUSE / ".git").exists() or shutil.which("git") is None:
        pytest.skip("files are listed by git")
    for name, version in (("Cython", "3.1"), ("setuptools", "77")):
        pytest.importorskip(name, minversion=version)
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=True).stdout
    names = {name for name in listed.split("\0") if name and (HOUSE / name).exists()}
    copy = tmp_path_factory.mktemp("repository")
    for name in [*names, *GENERATED, *ADDED]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if name in names:
            shutil.copy(HOUSE / name, copy / name)
        else:
            (copy / name).touch()
    return copy, names | set(ADDED)


def setup(folder, *command):
    environment = {**os.environ, "LRCORE_NO_CORE": "1"}
    command = [sys.executable, "setup.py", "--quiet", *command]
    subprocess.run(command, cwd=folder, env=environment, check=True)


def test_a_release_holds_the_repository_and_nothing_that_is_generated(repository, tmp_path):
    copy, names = repository
    setup(copy, "sdist", "--dist-dir", str(tmp_path))
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as tar:
        members = [PurePath(member.name) for member in tar.getmembers() if member.isfile()]
    held = {str(PurePath(*member.parts[1:])) for member in members}
    metadata = {name for name in held if name.startswith("lrcore.egg-info/")}
    assert held - metadata - {"PKG-INFO", "setup.cfg"} == names


def test_modules_stubs_and_the_mark_of_types_are_installed(repository, tmp_path):
    copy, names = repository
    setup(copy, "build_py", "--build-lib", str(tmp_path))
    installed = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert installed == {
        name
        for name in names
        if name.startswith("lrcore/") and name.endswith((".py", ".pyi", "py.typed"))
    }


def test_the_makefile_names_files_that_exist():
    text = (HOUSE / "Makefile").read_text()
    named = re.findall(r"\b(?:tests|tools)/[\w/]+(?:\.py)?|\b(?:bench|examples)/[\w/]+\.py", text)
    assert len(named) > 15
    assert [name for name in named if not (HOUSE / name).exists()] == []


def test_help_lists_every_target_that_a_person_calls():
    text = (HOUSE / "Makefile").read_text()
    targets = re.search(r"\.PHONY: ((?:.*\\\n)*.*)", text)[1].replace("\\\n", "").split()
    listed = re.findall(r'@echo "make ([\w-]+)', text)
    assert set(targets) - {"help", "sanitized"} == set(listed)


def missing():
    return runpy.run_path(str(HOUSE / "tools" / "check_build_tools.py"))["missing"]()


def test_nothing_is_missing_where_the_core_was_built(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    assert missing() is None


def test_an_old_python_is_named(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    assert missing().startswith("lrcore needs Python 3.10 or newer, and this is")
    assert "Python 3.9.18" in missing()


def test_no_compiler_is_named(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    assert missing().startswith("There is no C compiler no-such-compiler")


def test_header_files_are_missing(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert missing().startswith(f"The header files of {sys.executable} (Python")
    monkeypatch.setenv("CC", "false")
    assert "does not find the header files of the C library" in missing()


def test_no_venv_module_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "cannot make virtual environments" in missing()
