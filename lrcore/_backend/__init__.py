"""The backend, compiled kernels or NumPy, chosen once; and how many threads to use."""

from lrcore._core import isa

__all__ = ["isa"]
