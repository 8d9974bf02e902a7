"""Hashed features of texts, names and tables, in compiled code."""

from lrcore.feature_extraction.hashing import FeatureHasher
from lrcore.feature_extraction.table import TableHasher
from lrcore.feature_extraction.text import HashingVectorizer

__all__ = ["FeatureHasher", "HashingVectorizer", "TableHasher"]
