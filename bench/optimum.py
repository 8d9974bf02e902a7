"""The distance of fits to the optimum on a data file, and the time of an epoch.

    python bench/optimum.py DATA [--alpha 1e-4] [--positive LABEL] [--epochs 20] [--lr 0.5]

DATA is what `lrcore fit` reads, or a .tsv or .tsv.gz of split, label and text, whose training rows
are hashed as word 1- and 2-grams. The optimum is LogisticRegression(solver="lbfgs", tol=1e-8) at
the same alpha, one class against the rest.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import matrices
import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier

import lrcore
from lrcore import LinearClassifier
from lrcore.io import datafile


def read(path, bits):
    """Return rows and labels."""
    if ".tsv" not in path:
        X, y, _ = datafile.read(path)
        return X, y
    split, label, texts = matrices.read_tsv(path)
    train = np.flatnonzero(split == "train")
    return matrices.hashed_words([texts[i] for i in train], bits), label[train]


def objective(X, sign, coef, intercept, alpha):
    """Return the mean log loss plus the penalty."""
    w = coef.astype(np.float64)
    margins = sign * (X.astype(np.float64) @ w + float(intercept))
    return np.mean(np.logaddexp(0, -margins)) + alpha / 2 * (w @ w)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--alpha", type=float, default=1e-4)
    parser.add_argument("--positive", help="the class against the rest (default: the last)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--bits", type=int, default=20, help="of the text's hash")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    X, labels = read(args.data, args.bits)
    positive = args.positive if args.positive is not None else np.unique(labels)[-1]
    y = labels == type(labels[0])(positive)
    sign = np.where(y, 1.0, -1.0)
    start = time.perf_counter()
    exact = LogisticRegression(C=1 / (args.alpha * len(y)), tol=1e-8, max_iter=10_000)
    exact.fit(X.astype(np.float64), y)
    best = objective(X, sign, exact.coef_[0], exact.intercept_[0], args.alpha)
    print(f"{X.shape[0]:,} x {X.shape[1]:,}, {X.nnz:,} values, {positive!r} against the rest")
    print(f"lbfgs            {time.perf_counter() - start:7.2f} s   objective {best:.6f}")

    rule = lrcore.AdaGrad(lr=args.lr)
    common = {"alpha": args.alpha, "max_iter": args.epochs, "random_state": 0}
    models = {
        "SGDClassifier": SGDClassifier(loss="log_loss", tol=None, **common),
        **{
            f"lrcore {n} thread{'s' * (n > 1)}": LinearClassifier(
                optimizer=rule, batch_size=args.batch_size, n_threads=n, **common
            )
            for n in (1, 2)
        },
    }
    seconds = {name: [] for name in models}
    for _ in range(args.rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(X, y)
            seconds[name].append(time.perf_counter() - start)
    # The least work of every method: each value of X is multiplied with its weight once.
    w = np.ones(X.shape[1], np.float32)
    once = []
    for _ in range(args.rounds):
        order = np.random.permutation(X.shape[0])
        shuffled = X[order]
        start = time.perf_counter()
        shuffled @ w
        once.append(time.perf_counter() - start)
    peer = statistics.median(seconds["SGDClassifier"])
    for name, model in models.items():
        median = statistics.median(seconds[name])
        gap = objective(X, sign, model.coef_[0], model.intercept_[0], args.alpha) / best - 1
        print(
            f"{name:<16} {median:7.3f} s   {median / args.epochs * 1e3:8.2f} ms an epoch   "
            f"x {peer / median:5.2f}   objective {gap:+.3%}"
        )
    print(f"X @ w, once, in order (SciPy)   {statistics.median(once) * 1e3:8.2f} ms")


if __name__ == "__main__":
    main()
