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

import lrcore

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


def fault(version, changelog):
    release = runpy.run_path(str(HOUSE / "tools" / "check_release.py"))
    return release["fault"](version, changelog)


def test_the_version_is_that_of_the_changelog():
    assert fault(lrcore.__version__, (HOUSE / "CHANGELOG.md").read_text()) is None


@pytest.mark.parametrize(
    "version, changelog, said",
    [
        ("1.2.0.dev0", "# Changelog\n\n## Unreleased\n\n- New.\n\n## 1.1.0 (2030-01-31)\n", None),
        ("1.2.0.dev1", "## Unreleased\n## 1.1.0\n## 1.0.9", None),
        ("1.10.0", "## 1.10.0 (2030-01-31)\n## 1.9.0 (2029-01-31)\n", None),
        ("1.2.0.dev0", "## 1.2.0 (2030-01-31)", "should begin with '## Unreleased'"),
        ("1.2.0", "## Unreleased\n## 1.1.0", "begins with '## Unreleased'"),
        ("1.2.0", "## 1.2.0\n## 1.1.0", "should begin with '## 1.2.0 (year-month-day)'"),
        ("1.2.0", "## 1.3.0 (2030-01-31)", "begins with '## 1.3.0 (2030-01-31)'"),
        ("1.2.0", "", "begins with 'no heading'"),
        ("1.2.0.dev0", "## Unreleased\n## 1.2.0", "'## 1.2.0' should be a version below 1.2.0"),
        ("1.2.0", "## 1.2.0 (2030-01-31)\n## Other", "'## Other' should be a version below 1.2.0"),
        ("1.2", "## 1.2 (2030-01-31)", "should be of the form 1.2.0"),
    ],
)
def test_a_release_has_its_heading_and_a_version_under_way_has_none(version, changelog, said):
    found = fault(version, changelog)
    assert (said is None and found is None) or said in found


def section(text, begin, end):
    """The lines between two lines, stripped."""
    lines = [line.strip() for line in text.splitlines()]
    first = lines.index(begin) + 1
    return lines[first : lines.index(end, first)]


def test_the_conda_recipe_needs_what_the_package_needs():
    needed = section((HOUSE / "pyproject.toml").read_text(), "dependencies = [", "]")
    recipe = (HOUSE / "conda" / "meta.yaml").read_text()
    runs = section(recipe, "run:", "")
    assert {line.strip('",').replace(">=", " >=") for line in needed} == {
        line.removeprefix("- ") for line in runs
    } - {"python"}
    build = re.search(r"requires = \[(.*)\]", (HOUSE / "pyproject.toml").read_text())[1]
    host = {line.removeprefix("- ") for line in section(recipe, "host:", "run:")}
    wanted = {name.strip(' "').replace(">=", " >=").lower() for name in build.split(",")}
    assert wanted == host - {"python", "pip"}


def wheels():
    return runpy.run_path(str(HOUSE / "tools" / "wheels.py"))


def test_a_python_that_does_not_run_is_left_out(tmp_path, capsys):
    inactive = tmp_path / "python3.99"
    inactive.write_text("#!/bin/sh\nexit 127\n")
    inactive.chmod(0o755)
    found = wheels()["at_hand"]([sys.executable, str(inactive), "no-such-python"])
    tag = "cp{}{}".format(*sys.version_info[:2])
    assert list(found) == [sys.executable]
    assert found[sys.executable].rstrip("t") == f"{tag}-{tag}"
    assert capsys.readouterr().out == f"Not here: {inactive}, no-such-python.\n"


def test_no_python_at_all_is_an_error():
    with pytest.raises(SystemExit, match="PYTHONS names others"):
        wheels()["at_hand"](["no-such-python"])


def test_parts_of_a_wheel_are_told_by_their_names():
    part = wheels()["part"]
    assert part("lrcore/_core/avx2.cpython-311-x86_64-linux-gnu.so") == "avx2"
    assert part("lrcore.libs/libgomp-f9a9ad78.so.1.0.0") == "OpenMP runtime"
    assert part("lrcore/rules/adam.py") == part("lrcore-1.0.dist-info/RECORD")
