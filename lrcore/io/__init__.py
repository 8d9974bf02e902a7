"""Data files: svmlight text, Vowpal Wabbit's text, and scipy's ``.npz``."""

from lrcore.io.errors import DataError
from lrcore.io.svmlight import read_svmlight, write_svmlight
from lrcore.io.vw import read_vw

__all__ = ["DataError", "read_svmlight", "read_vw", "write_svmlight"]
