"""What `lr="auto"` finds, beside the best of a grid of rates: held-out losses, and what it costs."""

import argparse
import time

import matrices
import numpy as np

import lrcore
from lrcore.losses import LOSSES

GRID = np.geomspace(1e-4, 1e2, 13)


def problems(folder):
    """Name, training rows and labels, test rows and labels."""
    if folder:
        X, y, X_test, y_test = matrices.adult(folder)
        yield "a9a", X, y, X_test, y_test
        X, y, X_test, y_test = matrices.news_classes(folder)
        half = np.median(y)
        yield "20news, two halves", X, (y > half).astype(int), X_test, (y_test > half).astype(int)
        yield "20news, one class", X, (y == y[0]).astype(int), X_test, (y_test == y[0]).astype(int)
        yield "20news, softmax", X, y, X_test, y_test
    yield "flights", *matrices.flights_split()


def held_out_loss(clf, X, y):
    """Mean log loss."""
    p = clf.predict_proba(X)
    return float(-np.log(np.maximum(p[np.arange(len(y)), np.searchsorted(clf.classes_, y)], 1e-15)).mean())


def report(folder, optimizer="adagrad", **keywords):
    for name, X, y, X_test, y_test in problems(folder):
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
            f"{name:20} best of the grid {losses[best]:.4f} at {GRID[best]:.3g}; auto {auto:.4f} at "
            f"{clf.lr_:.3g} ({auto / losses[best] - 1:+.1%}); {seconds[1] / seconds[0]:.2f} x the time",
            flush=True,
        )
        print("    ", " ".join(f"{r:.2g}:{l:.3f}" for r, l in zip(GRID, losses)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--optimizer", default="adagrad")
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    report(args.data, args.optimizer, max_iter=args.epochs)
