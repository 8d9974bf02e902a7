"""The report on sparse logistic regression: epochs against those of others."""

from __future__ import annotations

from functools import partial

import matrices
import numpy as np
from measure import side_by_side, with_results

from lrcore import LinearClassifier

ALPHA = 1e-6


def ours(matrix, batch, n_threads):
    """AdaGrad at its usual rate: epochs -> (X -> margins)."""

    def fit(epochs):
        model = LinearClassifier(
            optimizer="adagrad", alpha=ALPHA, max_iter=epochs, batch_size=batch,
            n_threads=n_threads, random_state=0,
        )  # fmt: skip
        return model.fit(matrix.X, matrix.y).decision_function

    return fit


def log_loss(margins, y):
    """The mean log loss of targets 0 or 1."""
    return float(np.mean(np.logaddexp(0, np.where(y, -1.0, 1.0) * margins)))


def fits_of(matrix, counts, others):
    """Name -> fit, of others and of ours for each number of threads."""
    fits = {name: make(matrix, ALPHA) for name, (make, _) in others.items()}
    for batch, order in ((1, "online"), (256, "batches of 256")):
        for n in counts:
            fits[f"lrcore {order}, {n} threads"] = ours(matrix, batch, n)
    return fits


def report_matrix(matrix, counts, rounds, others):
    """One and five epochs: values a second, ratios, loss of the rows held out."""
    fits = fits_of(matrix, counts, others)
    calls = {
        (name, epochs): partial(fit, epochs)
        for name, fit in fits.items()
        for epochs in (1, 5)
        if epochs == 5 or name != "liblinear -s 7"
    }
    calls, margins = with_results(calls)
    seconds = side_by_side(calls, rounds)
    if ("VW", 1) in seconds:
        cached = (seconds["VW", 5] - seconds["VW", 1]) / 4
        seconds["VW", 1], seconds["VW", 5] = cached, 5 * cached
    X_test, y_test = matrix.held_out
    for epochs in (1, 5):
        base, vw = seconds["SGDClassifier", epochs], seconds.get(("VW", epochs))
        print(f"{f'{epochs} epoch' + 's' * (epochs > 1):<34} seconds   Mnnz/s  "
              "x SGDClassifier    x VW   held-out log loss")  # fmt: skip
        for name in fits:
            if (name, epochs) not in seconds:
                continue
            s = seconds[name, epochs]
            whole = name == "liblinear -s 7"
            speed = "       -" if whole else f"{matrix.X.nnz * epochs / s / 1e6:8.1f}"
            against = f"{vw / s:6.1f}" if vw else "     -"
            loss = log_loss(margins[name, epochs](X_test), y_test)
            print(f"  {name:<31} {s:8.3f} {speed}  {base / s:15.2f}  {against}   {loss:.5f}")
        if len(counts) > 1:
            for order in ("online", "batches of 256"):
                one, more = (
                    seconds[f"lrcore {order}, {n} threads", epochs] for n in (1, counts[-1])
                )
                print(f"  {order}, {counts[-1]} threads against 1: {one / more:.2f}")
    print(flush=True)


def report_epochs(folder, quick, counts, rounds, others):
    """On every matrix that is here."""
    print(f"Epochs of sparse logistic regression, float32, l2, alpha = {ALPHA}, set-up included")
    print("  lrcore: AdaGrad at its usual rate, 0.5 falling to 0")
    for name, (_, settings) in others.items():
        print(f"  {name}: {settings}")
    print()
    for matrix in matrices.fits(folder, quick):
        report_matrix(matrix, counts, rounds, others)
