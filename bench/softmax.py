"""Softmax of many classes against scikit-learn, on text: seconds and held-out accuracy.

    python bench/softmax.py TSV [--bits 20] [--epochs 5] [--alpha 1e-7] [--peer-epochs 10]
        [--peer-alpha 1e-6] [--rounds 3] [--lbfgs 100]

TSV (or .tsv.gz) has split, label and text in each line; word 1- and 2-grams are hashed to 2**bits
features. Peers: SGDClassifier (each class against the rest, one job), with --lbfgs also
LogisticRegression(solver="lbfgs") of so many iterations, which takes minutes. Each side has the
epochs and the alpha at which it is about as accurate as the other.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from measure import processor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier

from lrcore import LinearClassifier, _core
from lrcore.arrays import aligned


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows held out, with their labels."""

    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray


def read(path, bits):
    """The split of a .tsv of split, label and text."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t", 2) for line in file]
    hashing = HashingVectorizer(
        ngram_range=(1, 2), n_features=1 << bits, alternate_sign=False, dtype=np.float32
    )
    parts = []
    for train in (True, False):
        some = [line for line in lines if (line[0] == "train") == train]
        parts += [hashing.transform([line[2] for line in some]), np.array([x[1] for x in some])]
    return Split(*parts)


def models(epochs, alpha, peer_epochs, peer_alpha, n_rows, lbfgs=0):
    """What is compared, by name."""
    common = {"alpha": alpha, "max_iter": epochs, "random_state": 0}
    found = {
        "SGDClassifier": SGDClassifier(
            loss="log_loss", tol=None, alpha=peer_alpha, max_iter=peer_epochs, random_state=0
        ),
        "lrcore softmax": LinearClassifier(n_threads=1, **common),
        "lrcore softmax, 2 threads": LinearClassifier(n_threads=2, **common),
        "lrcore softmax, batches": LinearClassifier(n_threads=1, batch_size=64, **common),
        "lrcore one-vs-rest": LinearClassifier(n_threads=1, multi_class="ovr", **common),
    }
    if lbfgs:
        C = 1 / (peer_alpha * n_rows)
        found["LogisticRegression"] = LogisticRegression(C=C, max_iter=lbfgs)
    return found


def compare(split, candidates, rounds, clock=time.perf_counter):
    """(median seconds, held-out accuracy) of each; they take turns."""
    seconds = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, model in candidates.items():
            start = clock()
            model.fit(split.X, split.y)
            seconds[name].append(clock() - start)
    return {
        name: (statistics.median(seconds[name]), model.score(split.X_test, split.y_test))
        for name, model in candidates.items()
    }


def floor(model, dtype=np.float32, n=1 << 25):
    """Seconds a value that moving a slot's weights and states takes, there and back, were they
    in order; from a read-modify-write loop past the cache."""
    method = model._fitted.method
    slot_bytes = method.columns.lanes * (1 + len(method.formula.state)) * np.dtype(dtype).itemsize
    array = aligned(n, dtype, zeros=True)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        _core.kernels.read_modify_write["float"](array, 1)
        times.append(time.perf_counter() - start)
    return min(times) / array.nbytes * slot_bytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--bits", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--alpha", type=float, default=1e-7)
    parser.add_argument("--peer-epochs", type=int, default=10)
    parser.add_argument("--peer-alpha", type=float, default=1e-6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lbfgs", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    split = read(args.data, args.bits)
    n_classes = len(np.unique(split.y))
    candidates = models(
        args.epochs, args.alpha, args.peer_epochs, args.peer_alpha, len(split.y), args.lbfgs
    )
    results = compare(split, candidates, args.rounds)
    print(processor())
    print(
        f"{split.X.shape[0]:,} x {split.X.shape[1]:,}, {split.X.nnz:,} values, {n_classes} classes"
    )
    peer = results["SGDClassifier"][0]
    for name, (seconds, accuracy) in results.items():
        value = seconds / candidates[name].max_iter / split.X.nnz * 1e9
        print(
            f"{name:<26} {seconds:7.2f} s   x {peer / seconds:5.2f}   {value:6.1f} ns a value and "
            f"epoch, {value / n_classes:5.2f} a class   accuracy {accuracy:.4f}"
        )
    least = floor(candidates["lrcore softmax"]) * 1e9
    print(f"moving a slot there and back, in order: {least:.1f} ns a value")


if __name__ == "__main__":
    main()
