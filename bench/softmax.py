"""Softmax of many classes compared with scikit-learn, on text: seconds and held-out accuracy.

    python bench/softmax.py FOLDER [--bits 20] [--epochs 5] [--alpha 0] [--peer-epochs 10]
        [--peer-alpha 1e-6] [--rounds 3] [--lbfgs 100]

FOLDER contains 20news.tsv.gz, with lines of split, label and text; word 1- and 2-grams are hashed
to 2**bits features. The peers are SGDClassifier (each class against the rest, one job) and, with
--lbfgs, LogisticRegression(solver="lbfgs") with so many iterations, which takes minutes. Epochs and
alpha are chosen so that all are about equally accurate.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matrices
import numpy as np
from measure import LR, processor, side_by_side
from sklearn.linear_model import LogisticRegression, SGDClassifier
from tables import LABEL, RATIO, SECONDS, VALUE, Section

from lrcore import AdaGrad, LinearClassifier, _core
from lrcore._utils.arrays import aligned


@dataclass(frozen=True)
class Split:
    """Training rows and held-out rows, with their labels."""

    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray


def read(path, bits):
    """Read a .tsv of split, label and text."""
    split, label, texts = matrices.read_tsv(path)
    X, train = matrices.hashed_words(texts, bits), split == "train"
    return Split(X[train], label[train], X[~train], label[~train])


def models(*, n_rows, epochs=5, alpha=0.0, peer_epochs=10, peer_alpha=1e-6, lbfgs=0):
    """Return the estimators that are compared, by name."""
    common = {"alpha": alpha, "max_iter": epochs, "random_state": 0}
    slower = AdaGrad(lr=0.2)  # more accurate here than the default of 0.5
    found = {
        "SGDClassifier": SGDClassifier(
            loss="log_loss", tol=None, alpha=peer_alpha, max_iter=peer_epochs, random_state=0
        ),
        "lrcore softmax": LinearClassifier(n_threads=1, optimizer=slower, **common),
        "lrcore softmax, 2 threads": LinearClassifier(n_threads=2, optimizer=slower, **common),
        "the same, an epoch more": LinearClassifier(
            n_threads=2, optimizer=slower, **{**common, "max_iter": epochs + 1}
        ),
        "lrcore one-vs-rest": LinearClassifier(lr=LR, n_threads=1, multi_class="ovr", **common),
        "the same, 2 epochs": LinearClassifier(
            lr=LR, n_threads=1, multi_class="ovr", **{**common, "max_iter": 2}
        ),
    }
    if lbfgs:
        C = 1 / (peer_alpha * n_rows)
        found["LogisticRegression"] = LogisticRegression(C=C, max_iter=lbfgs)
    return found


def floor(model, dtype=np.float32, n=1 << 25):
    """Return the seconds a value that reading and writing a slot's weights and states would take in
    order, from a read-modify-write loop over an array larger than the cache."""
    updates = model._trained.updates
    slot_bytes = updates.layout.lanes * (1 + len(updates.formula.state)) * np.dtype(dtype).itemsize
    array = aligned(n, dtype, zeros=True)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        _core.kernels.read_modify_write["float"](array, 1)
        times.append(time.perf_counter() - start)
    return min(times) / array.nbytes * slot_bytes


def report_softmax(section, folder, rounds, *, bits=20, lbfgs=0, **settings):
    """Report twenty classes of text, if it is there; settings as in `models`."""
    if not matrices.has(folder, "20news.tsv.gz"):
        section.leave_out("20news", "--data FOLDER says where 20news.tsv.gz is")
        return
    split = read(Path(folder) / "20news.tsv.gz", bits)
    n_classes = len(np.unique(split.y))
    candidates = models(n_rows=len(split.y), lbfgs=lbfgs, **settings)
    calls = {name: partial(model.fit, split.X, split.y) for name, model in candidates.items()}
    t = side_by_side(calls, rounds)
    section.note(
        f"{split.X.shape[0]:,} x {split.X.shape[1]:,}, {split.X.nnz:,} values, {n_classes} classes"
    )
    least = floor(candidates["lrcore softmax"])
    table = section.table(
        "Times as fast as SGDClassifier",
        {
            "fit": LABEL, "x SGDClassifier": RATIO, "held-out accuracy": VALUE, "x floor": RATIO,
            "time": SECONDS, "a value and epoch": SECONDS, "a class of it": SECONDS,
        },
        "floor: reading and writing slots, the weights and states of a feature, in order: "
        f"{least * 1e9:.1f} ns a value.",
    )  # fmt: skip
    for name, model in candidates.items():
        value = t[name] / (model.max_iter * split.X.nnz)
        accuracy = model.score(split.X_test, split.y_test)
        over = value / least if name.startswith(("lrcore softmax", "the same, an")) else None
        ratio = t["SGDClassifier"] / t[name]
        table.add(name, ratio, accuracy, over, t[name], value, value / n_classes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--bits", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--alpha", type=float, default=0.0)
    parser.add_argument("--peer-epochs", type=int, default=10)
    parser.add_argument("--peer-alpha", type=float, default=1e-6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lbfgs", type=int, default=0)
    settings = vars(parser.parse_args())
    warnings.simplefilter("ignore")
    print(processor())
    section = Section("Softmax of twenty classes")
    report_softmax(section, settings.pop("folder"), settings.pop("rounds"), **settings)


if __name__ == "__main__":
    main()
