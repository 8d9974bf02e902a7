"""Data files: svmlight text, Vowpal Wabbit's text, and scipy's ``.npz``."""

from lrcore.io.errors import DataError
from lrcore.io.svmlight import read_svmlight, write_svmlight

__all__ = ["DataError", "read_svmlight", "write_svmlight"]
