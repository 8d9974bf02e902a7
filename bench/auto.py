"""What `lr="auto"` finds, beside the best of a grid of rates: held-out losses, and its cost."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import matrices
import numpy as np
from sklearn.datasets import load_svmlight_file

import lrcore

GRID = np.geomspace(1e-4, 1e2, 13)


def problems(folder):
    """Matrices of sparse rows: of a9a, 20news in two classes and in twenty, flights."""
    if folder:
        X, y = load_svmlight_file(
            str(Path(folder) / "a9a.svm.gz"), n_features=123, dtype=np.float32
        )
        held_out = np.random.RandomState(0).permutation(len(y)) % 5 == 0
        yield matrices.Matrix.split("a9a", X, (y > 0).astype(int), held_out)
        news = matrices.news(folder)
        yield news
        split, label, _ = matrices.read_tsv(Path(folder) / "20news.tsv.gz")
        codes = np.unique(label, return_inverse=True)[1]
        yield replace(
            news,
            name="20news, 20 classes",
            y=codes[split != "test"],
            held_out=(news.held_out[0], codes[split == "test"]),
        )
    yield matrices.flights()


def held_out_loss(clf, X, y):
    """Mean log loss."""
    of_class = clf.predict_proba(X)[np.arange(len(y)), np.searchsorted(clf.classes_, y)]
    return float(-np.log(np.maximum(of_class, 1e-15)).mean())


def report(folder, optimizer="adagrad", **keywords):
    for matrix in problems(folder):
        X, y, (X_test, y_test) = matrix.X, matrix.y, matrix.held_out
        losses = []
        for rate in GRID:
            clf = lrcore.LinearClassifier(optimizer=optimizer, lr=rate, random_state=0, **keywords)
            try:
                losses.append(held_out_loss(clf.fit(X, y), X_test, y_test))
            except FloatingPointError:
                losses.append(np.inf)
        best = int(np.argmin(losses))
        seconds = []
        for lr in (GRID[best], "auto"):
            clf = lrcore.LinearClassifier(optimizer=optimizer, lr=lr, random_state=0, **keywords)
            start = time.perf_counter()
            clf.fit(X, y)
            seconds.append(time.perf_counter() - start)
        auto = held_out_loss(clf, X_test, y_test)
        print(
            f"{matrix.name:20} best of the grid {losses[best]:.4f} at {GRID[best]:.3g}; "
            f"auto {auto:.4f} at {clf.lr_:.3g} ({auto / losses[best] - 1:+.1%}); "
            f"{seconds[1] / seconds[0]:.2f} x the time",
            flush=True,
        )
        print("    ", " ".join(f"{rate:.2g}:{loss:.3f}" for rate, loss in zip(GRID, losses)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--optimizer", default="adagrad")
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    report(args.data, args.optimizer, max_iter=args.epochs)
