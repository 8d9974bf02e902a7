"""What runs here, and why."""

from __future__ import annotations

import platform

import numpy as np

from lrcore import _core
from lrcore._backend import threads
from lrcore._utils.version import __version__


def show_config() -> None:
    """Print the core build in use, the threads, and the reason for both.

    Examples
    --------
    >>> import lrcore
    >>> lrcore.show_config()  # doctest: +SKIP
    lrcore 0.1.0, Python 3.11.7, NumPy 2.4.6, x86_64
    core     avx512   the best build that this processor runs (also avx2, baseline)
    threads  2        OpenMP 2, affinity 2
    """
    others = [name for name in _core.runnable() if name != _core.isa]
    limits = threads.limits()
    print(
        f"lrcore {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"{platform.machine()}"
    )
    also = f" (also {', '.join(others)})" if others else ""
    print(f"core     {_core.isa:<8} {_core.reason}{also}")
    because = ", ".join(f"{name} {n}" for name, n in limits.items())
    if _core.kernels is None or not _core.kernels.openmp_threads():
        because = "built without OpenMP" if _core.kernels else "the NumPy backend has one"
    print(f"threads  {min(limits.values()):<8} {because}")
