"""What `lr="auto"` finds, beside the best of a grid of rates: held-out losses, and its cost."""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import matrices
import numpy as np
from measure import side_by_side

import lrcore

GRID = np.geomspace(1e-4, 1e2, 13)


def problems(folder):
    """Matrices of sparse rows: of a9a, 20news in two classes and in twenty, flights."""
    if folder:
        yield from matrices.a9a(folder)
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


def report_auto(folder, optimizer="adagrad", max_iter=5, rounds=5):
    print(
        f'\nlr="auto" of {optimizer}, {max_iter} epochs, beside the best of {len(GRID)} rates from '
        f"{GRID[0]:g} to {GRID[-1]:g}, by held-out log loss;\n"
        "time of the fit with it over that of one with the best rate, on one thread"
    )
    warnings.simplefilter("ignore", lrcore.RateWarning)
    for matrix in problems(folder):

        def fitted(lr, matrix=matrix, n_threads=None):
            clf = lrcore.LinearClassifier(
                optimizer=optimizer, lr=lr, max_iter=max_iter, random_state=0, n_threads=n_threads
            )
            return clf.fit(matrix.X, matrix.y)

        losses = []
        for rate in GRID:
            try:
                losses.append(held_out_loss(fitted(rate), *matrix.held_out))
            except FloatingPointError:
                losses.append(np.inf)
        best = GRID[int(np.argmin(losses))]
        clf = fitted("auto")
        loss = held_out_loss(clf, *matrix.held_out)
        calls = {lr: lambda lr=lr: fitted(lr, n_threads=1) for lr in ("auto", best)}
        seconds = side_by_side(calls, rounds)
        print(
            f"  {matrix.name:20} best {min(losses):.4f} at {best:.3g}; auto {loss:.4f} at "
            f"{clf.lr_:.3g} ({loss / min(losses) - 1:+.1%}), {seconds['auto'] / seconds[best]:.2f} "
            f"x the time of {seconds[best] * 1e3:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--optimizer", default="adagrad")
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    report_auto(args.data, args.optimizer, args.epochs)
