"""HashingVectorizer and FeatureHasher beside scikit-learn's: ratios of the time, and MB/s.

    python bench/hashing.py [--data 20news.tsv.gz] [--rounds 5]

The data has lines of split, label and text; without it, texts are drawn.
"""

from __future__ import annotations

import argparse
import gzip
from functools import partial

import numpy as np
from measure import side_by_side
from sklearn import feature_extraction
from sklearn.feature_extraction import text

import lrcore

KINDS = {
    "words": {},
    "1-2-grams": {"ngram_range": (1, 2)},
    "1-2-grams, float32": {"ngram_range": (1, 2), "dtype": np.float32},
    "words, stop words": {"stop_words": "english"},
    "characters of words, 3-5": {"analyzer": "char_wb", "ngram_range": (3, 5)},
}


def drawn_texts(n_documents=5_000, n_words=300, seed=0):
    """Draw texts of words with the frequencies of a language, and of as many letters."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmwfgypbvk"))
    words = ["".join(rng.choice(letters, n)) for n in rng.poisson(4, 50_000) + 1]
    numbers = rng.zipf(1.2, (n_documents, n_words)) % len(words)
    return [" ".join(words[k] for k in row) + "." for row in numbers]


def read_texts(path):
    """Read the last column of a compressed file of tabs."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\n").split("\t", 2)[2] for line in file]


def compare(title, theirs, ours, n_bytes, rounds):
    """Print how much faster each of ours is, with one thread and with two."""
    found = side_by_side({"theirs": theirs, **ours}, rounds)
    for n_threads in ours:
        ratio, speed = found["theirs"] / found[n_threads], n_bytes / 1e6 / found[n_threads]
        print(
            f"{title:28} {n_threads} thread{'s' * (n_threads > 1):1} "
            f"{float(ratio):6.1f} times {float(speed):6.0f} MB/s"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    texts = read_texts(options.data) if options.data else drawn_texts()
    n_bytes = sum(len(each.encode()) for each in texts)
    print(f"{len(texts):,} documents, {n_bytes / 1e6:.1f} MB")
    for title, settings in KINDS.items():
        theirs = partial(text.HashingVectorizer(**settings).transform, texts)
        ours = {
            n: partial(lrcore.HashingVectorizer(**settings, n_threads=n).transform, texts)
            for n in (1, 2)
        }
        compare(title, theirs, ours, n_bytes, options.rounds)
    names = [each.split()[:100] for each in texts]
    rows = {
        "string": names,
        "dict": [dict.fromkeys(row, 1.5) for row in names],
        "pair": [[(name, 2.0) for name in row] for row in names],
    }
    n_bytes = sum(len(name.encode()) for row in names for name in row)
    for kind, X in rows.items():
        theirs = partial(feature_extraction.FeatureHasher(input_type=kind).transform, X)
        ours = {
            n: partial(lrcore.FeatureHasher(input_type=kind, n_threads=n).transform, X)
            for n in (1, 2)
        }
        compare(f"FeatureHasher, {kind}", theirs, ours, n_bytes, options.rounds)


if __name__ == "__main__":
    main()
