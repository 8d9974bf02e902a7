"""Hashed features of texts and names: scikit-learn's, in compiled code."""

from lrcore.feature_extraction.hashing import FeatureHasher
from lrcore.feature_extraction.text import HashingVectorizer

__all__ = ["FeatureHasher", "HashingVectorizer"]
