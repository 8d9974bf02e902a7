"""Fits without a rate compared with the best of a grid of rates, by the log loss on held-out rows.

python bench/rate_free.py --data FOLDER
"""

from __future__ import annotations

import argparse
import time

import matrices
import numpy as np
from tables import LABEL, RATIO, SECONDS, VALUE, Section

from lrcore import AdaGrad, DoG, LinearClassifier

#: The rates for AdaGrad, four a decade.
RATES = np.logspace(-2, 1, 13)


def held_out_loss(clf, matrix):
    """Return the mean log loss of the rows held out."""
    X, y = matrix.held_out
    prediction = clf.decision_function(X).astype(np.float64)
    return float(np.mean(np.logaddexp(0, np.where(y, -prediction, prediction))))


def fitted(matrix, max_iter, **keywords):
    """Return loss and seconds of a fit; the loss is infinite if it diverges."""
    clf = LinearClassifier(max_iter=max_iter, random_state=0, **keywords)
    start = time.perf_counter()
    try:
        clf.fit(matrix.X, matrix.y)
    except FloatingPointError:
        return np.inf, np.nan
    return held_out_loss(clf, matrix), time.perf_counter() - start


def compare(table, matrix, epochs):
    """Add a row for each kind of fit, with its loss relative to the best of the grid."""
    grid = [(*fitted(matrix, epochs, optimizer=AdaGrad(lr=float(lr))), lr) for lr in RATES]
    best, seconds, lr = min(grid)
    table.add(f"AdaGrad, lr={lr:.3g}", epochs, 1.0, best, seconds)
    ways = {
        "AdaGrad, default": {"optimizer": "adagrad"},
        "DoG": {"optimizer": DoG()},
        "DoG, average=True": {"optimizer": DoG(), "average": True},
        "DoG, average of 2nd half": {
            "optimizer": DoG(), "average": matrix.X.shape[0] * epochs // 2,
        },
        "DoG, batches of 64": {"optimizer": DoG(), "batch_size": 64},
    }  # fmt: skip
    for name, keywords in ways.items():
        loss, seconds = fitted(matrix, epochs, **keywords)
        table.add(name, epochs, loss / best, loss, seconds)


def report_rate_free(section, folder):
    """Compare after 1, 5 and 20 epochs."""
    for make in matrices.available(section, folder).values():
        matrix = make()
        table = section.table(
            f"{matrix.name}: held-out log loss over the best of {len(RATES)} rates of AdaGrad",
            {
                "fit": LABEL,
                "epochs": LABEL,
                "loss over best": RATIO,
                "loss": VALUE,
                "time": SECONDS,
            },
        )
        for epochs in (1, 5, 20):
            compare(table, matrix, epochs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a folder with 20news.tsv.gz and a9a.svm.gz")
    options = parser.parse_args()
    report_rate_free(Section("Without a rate"), options.data)
