"""The compiled core. Picks one ISA build, once, at import; imports nothing else of lrcore.

``LRCORE_ISA`` overrides the choice: ``baseline``, ``avx2``, ``avx512``, or ``numpy`` for none.
"""

from __future__ import annotations

import os
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from lrcore._core import cpu

if TYPE_CHECKING:
    from lrcore._core.bindings import Build

#: The builds in order of preference, each with the x86-64 level that it needs.
BUILDS = {"avx512": 4, "avx2": 3, "baseline": 2}


def runnable() -> tuple[str, ...]:
    """The builds that are here and that this processor runs, best first."""
    level = cpu.level()
    return tuple(
        name
        for name, needs in BUILDS.items()
        if (level >= needs or (level == 0 and name == "baseline")) and is_installed(name)
    )


def is_installed(name: str) -> bool:
    """Whether a build was compiled, whatever this processor can run."""
    return find_spec(f"lrcore._core.{name}") is not None


def choose() -> tuple[str, str]:
    """The build to use, and why."""
    known = (*BUILDS, "numpy")
    usable = runnable()
    asked = os.environ.get("LRCORE_ISA", "")
    if not asked:
        if usable:
            return usable[0], "the best build that this processor runs"
        if not any(map(is_installed, BUILDS)):
            raise ImportError(
                "the compiled core of lrcore is not here: install lrcore again, or set "
                "LRCORE_ISA=numpy, which is a hundred times slower"
            )
        return "numpy", "no compiled build runs on this processor"
    if asked not in known:
        raise ImportError(f"LRCORE_ISA must be one of {', '.join(known)}, got {asked!r}")
    if asked != "numpy" and asked not in usable:
        raise ImportError(
            f"LRCORE_ISA={asked} cannot run here; this machine runs {', '.join(usable)}, numpy"
        )
    return asked, f"LRCORE_ISA={asked}"


@cache
def load(name: str) -> Build:
    """One build of the core; only ask for a `runnable` one."""
    kernels = import_module(f"lrcore._core.{name}")
    bindings = import_module("lrcore._core.bindings")
    build: Build = bindings.Build(
        kernels.registry(), kernels.RULES, kernels.LOSSES, kernels.PENALTIES
    )
    return build


@cache
def parsers() -> ModuleType:
    """The compiled readers of text; there is one build of them."""
    return import_module("lrcore._core.parsing")


def began_as_fork() -> bool:
    """Whether the process is a fork, without a new program, of one that had an OpenMP runtime: its
    threads may have been awake there, and are gone."""
    try:
        # The number of flags, the ninth, comes after the program's name, which may hold spaces.
        flags = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[6])
        maps = Path("/proc/self/maps").read_text()
    except (OSError, ValueError, IndexError):
        return False
    return bool(flags & FORKED_WITHOUT_EXEC) and bool(re.search(r"/lib(g|i)?omp\d?[.-]", maps))


#: PF_FORKNOEXEC of Linux.
FORKED_WITHOUT_EXEC = 0x40

#: How the core's fused functions are indexed, by the dtype's character.
FUSED = {"f": "float", "d": "double"}

# Asked before the core loads its own runtime.
forked = began_as_fork()
isa, reason = choose()
#: The chosen build, None for the NumPy backend.
kernels: Build | None = None if isa == "numpy" else load(isa)
