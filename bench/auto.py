"""The rate that `lr="auto"` finds, compared with the best of a grid: held-out losses, time."""

import argparse
import warnings

import matrices
import numpy as np
from measure import side_by_side
from tables import LABEL, RATIO, SECONDS, VALUE, Section

import lrcore

GRID = np.geomspace(1e-4, 1e2, 13)


def problems(section, folder):
    """Yield matrices of sparse rows: a9a, 20news with two classes and with twenty, flights."""
    for name, make in matrices.available(section, folder).items():
        yield make()
        if name == "20news":
            yield make(classes=20)


def held_out_loss(clf, X, y):
    """Return the mean log loss."""
    of_class = clf.predict_proba(X)[np.arange(len(y)), np.searchsorted(clf.classes_, y)]
    return float(-np.log(np.maximum(of_class, 1e-15)).mean())


def report_auto(section, folder, optimizer="adagrad", max_iter=5, rounds=5):
    table = section.table(
        f"{optimizer}, {max_iter} epochs: held-out losses, and times on one thread",
        {
            "data": LABEL, "loss over the best": RATIO, "time over the best's": RATIO,
            "best loss": VALUE, "best rate": VALUE, "auto's loss": VALUE, "auto's rate": VALUE,
            "fit at the best": SECONDS, "fit with auto": SECONDS,
        },
        f"The best of {len(GRID)} rates from {GRID[0]:g} to {GRID[-1]:g}.",
    )  # fmt: skip
    warnings.simplefilter("ignore", lrcore.RateWarning)
    for matrix in problems(section, folder):

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
        loss, least = held_out_loss(clf, *matrix.held_out), min(losses)
        calls = {lr: lambda lr=lr: fitted(lr, n_threads=1) for lr in ("auto", best)}
        t = side_by_side(calls, rounds)
        ratios = loss / least, t["auto"] / t[best]
        table.add(matrix.name, *ratios, least, best, loss, clf.lr_, t[best], t["auto"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--optimizer", default="adagrad")
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    report_auto(Section('What lr="auto" finds'), args.data, args.optimizer, args.epochs)
