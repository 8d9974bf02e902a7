"""What TableHasher makes of rows, one value of Python at a time: written from the documentation of
the scheme, and from the specification of XXH64."""

from __future__ import annotations

import datetime
import math
import re
import struct

import numpy as np
from sklearn.utils import murmurhash3_32

MASK = (1 << 64) - 1
PRIMES = (
    11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579,
    2870177450012600261,
)  # fmt: skip
P1, P2, P3, P4, P5 = PRIMES


def rotl(x, r):
    return (x << r | x >> 64 - r) & MASK


def mix_lane(accumulator, lane):
    return rotl((accumulator + lane * P2) & MASK, 31) * P1 & MASK


def avalanche(h):
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32


def xxh64(data, seed=0):
    """https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md"""
    n, left = len(data), data
    if n < 32:
        acc = (seed + P5) & MASK
    else:
        accs = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while len(left) >= 32:
            lanes = struct.unpack("<4Q", left[:32])
            accs = [mix_lane(a, lane) for a, lane in zip(accs, lanes)]
            left = left[32:]
        acc = sum(rotl(a, r) for a, r in zip(accs, (1, 7, 12, 18))) & MASK
        for a in accs:
            acc = ((acc ^ mix_lane(0, a)) * P1 + P4) & MASK
    acc = (acc + n) & MASK
    while len(left) >= 8:
        acc = (rotl(acc ^ mix_lane(0, struct.unpack("<Q", left[:8])[0]), 27) * P1 + P4) & MASK
        left = left[8:]
    if len(left) >= 4:
        acc = (rotl(acc ^ struct.unpack("<I", left[:4])[0] * P1 & MASK, 23) * P2 + P3) & MASK
        left = left[4:]
    for byte in left:
        acc = rotl(acc ^ byte * P5 & MASK, 11) * P1 & MASK
    return avalanche(acc)


def is_missing(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def text_of(value):
    """The text of a category; floats are float64."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    if isinstance(value, datetime.date):
        return value.strftime("%Y-%m-%d").zfill(10)
    return str(value)


class Oracle:
    """Features of rows that are dicts, by the lists and numbers of `TableHasher.to_dict`."""

    def __init__(self, said):
        self.said = said
        self.dtype = np.dtype(said["dtype"]).type

    def feature(self, hash_):
        return (hash_ or 1) * self.said["n_features"] // 2**64

    def hash(self, name, value):
        if is_missing(value):
            return None if self.said["missing"] == "skip" else xxh64(name.encode() + b"\xff")
        return xxh64(f"{name}={text_of(value)}".encode())

    def entries(self, row):
        """(feature, value) of a row, in the order in which they are added."""
        said = self.said
        for name in said["numeric"]:
            if is_missing(row[name]):
                yield self.hash(name, None), 1.0
            else:
                yield xxh64(name.encode()), float(row[name])
        for name in said["categorical"]:
            yield self.hash(name, row[name]), 1.0
        for name in said["timestamps"]:
            time = row[name]
            if time is None:
                yield self.hash(name, None), 1.0
                continue
            parts = {"weekday": time.weekday(), "month": time.month}
            if isinstance(time, datetime.datetime):
                parts = {"hour": time.hour, **parts}
            for part, value in parts.items():
                yield xxh64(f"{name}.{part}={value}".encode()), 1.0
        for name in said["text"]:
            if row[name] is None:
                yield self.hash(name, None), 1.0
        for cross in said["crosses"]:
            hashes = [self.hash(name, row[name]) for name in cross]
            if None in hashes:
                yield None, 1.0
            else:
                yield avalanche(sum(h or 1 for h in hashes) & MASK), 1.0

    def words(self, row):
        """(feature, count) of the words of texts."""
        shortest, longest = self.said["ngram_range"]
        for name in self.said["text"]:
            tokens = re.findall(r"(?u)\b\w\w+\b", (row[name] or "").lower())
            counts = {}
            for n in range(shortest, longest + 1):
                for i in range(len(tokens) - n + 1):
                    word = abs(murmurhash3_32(" ".join(tokens[i : i + n]), seed=0))
                    place = word % self.said["n_features"]
                    counts[place] = counts.get(place, 0) + 1
            for place, count in sorted(counts.items()):
                moved = place + self.feature(xxh64(name.encode()))
                yield moved % self.said["n_features"], float(count)

    def row(self, row):
        """The row's values by feature, added in order."""
        pairs = [(self.feature(h), v) for h, v in self.entries(row) if h is not None]
        found = {}
        with np.errstate(over="ignore"):
            for feature, value in [*pairs, *self.words(row)]:
                number = self.dtype(value)
                if number != 0:
                    found[feature] = (
                        self.dtype(found[feature] + number) if feature in found else number
                    )
        return dict(sorted(found.items()))

    def matrix(self, rows):
        """indptr, indices and values."""
        made = [self.row(row) for row in rows]
        indptr = np.cumsum([0, *map(len, made)])
        indices = np.array([feature for row in made for feature in row], np.int64)
        return indptr, indices, np.array([v for row in made for v in row.values()], self.dtype)
