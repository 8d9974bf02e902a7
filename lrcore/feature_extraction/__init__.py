"""Hashed features of texts, names and tables, in compiled code.

Each module is imported with its first use: scikit-learn's, of which two of the classes are, takes a
third of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrcore._utils.later import attributes

if TYPE_CHECKING:
    from lrcore.feature_extraction.hashing import FeatureHasher
    from lrcore.feature_extraction.table import TableHasher
    from lrcore.feature_extraction.text import HashingVectorizer

__all__ = ["FeatureHasher", "HashingVectorizer", "TableHasher"]

__getattr__ = attributes(
    __name__, {"FeatureHasher": "hashing", "HashingVectorizer": "text", "TableHasher": "table"}
)
