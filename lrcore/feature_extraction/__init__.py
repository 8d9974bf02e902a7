"""Hashed features of texts, names and tables, in compiled code.

Each module is imported with its first use: scikit-learn's, of which two of the classes are, takes a
third of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrcore.feature_extraction.hashing import FeatureHasher
    from lrcore.feature_extraction.table import TableHasher
    from lrcore.feature_extraction.text import HashingVectorizer

__all__ = ["FeatureHasher", "HashingVectorizer", "TableHasher"]

_LATER = {"FeatureHasher": "hashing", "HashingVectorizer": "text", "TableHasher": "table"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"lrcore.feature_extraction.{_LATER[name]}"), name)
    raise AttributeError(f"module 'lrcore.feature_extraction' has no attribute {name!r}")
