"""The backend, compiled kernels or NumPy, chosen once; and how many threads to use.

`active` is one of the two modules `compiled` and `numpy`, which have the same functions.
"""

from lrcore import _core
from lrcore._backend import compiled, numpy
from lrcore._core import isa

active = numpy if _core.kernels is None else compiled

__all__ = ["active", "compiled", "isa", "numpy"]
