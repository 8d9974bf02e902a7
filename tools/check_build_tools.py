"""Says in a sentence what this machine lacks to build lrcore; the exit status is then 1.

The Makefile runs it before it makes or downloads anything, with the Python that is to be used, so
it has to be valid in old versions too.
"""

import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec


def missing():
    """The first thing that is missing, with what helps, or None."""
    version = ".".join(map(str, sys.version_info[:3]))
    python = f"{sys.executable} (Python {version})"
    if sys.version_info < (3, 10):  # noqa: UP036  an older one may run this file
        return (
            f"lrcore needs Python 3.10 or newer, and this is {python}. "
            "PYTHON names another one, as in: make PYTHON=python3.12 test"
        )
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        return (
            f"{python} cannot make virtual environments, for lack of the module venv or ensurepip. "
            "On Debian and Ubuntu: apt install python3-venv"
        )
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    command = [*compiler.split(), "-I", sysconfig.get_path("include"), "-fsyntax-only", "-xc", "-"]
    try:
        done = subprocess.run(command, input=b"#include <stdio.h>\n", stderr=subprocess.PIPE)
        if done.returncode:
            return (
                f"The C compiler {compiler} does not find the header files of the C library. "
                "On Debian and Ubuntu: apt install build-essential"
            )
        done = subprocess.run(command, input=b"#include <Python.h>\n", stderr=subprocess.PIPE)
        if done.returncode:
            return (
                f"The header files of {python} are missing or cannot be compiled. "
                "On Debian and Ubuntu: apt install python3-dev"
            )
    except OSError:
        return (
            f"There is no C compiler {compiler}. On Debian and Ubuntu: apt install "
            "build-essential. CC names another one, as in: make CC=clang test"
        )
    return None


if __name__ == "__main__":
    sys.exit(missing())
