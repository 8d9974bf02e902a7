"""The report on sparse logistic regression: epochs compared with those of other libraries."""

from __future__ import annotations

from functools import partial

import numpy as np
from measure import LR, side_by_side, with_results
from tables import LABEL, RATIO, SECONDS, SPEED, VALUE

from lrcore import LinearClassifier

ALPHA = 1e-6
#: A fit that stops by its own criterion, so that epochs have no meaning.
WHOLE = "liblinear -s 7"


def ours(matrix, batch, n_threads):
    """Return AdaGrad at its default rate: epochs -> (X -> raw predictions)."""

    def fit(epochs):
        model = LinearClassifier(
            optimizer="adagrad", lr=LR, alpha=ALPHA, max_iter=epochs, batch_size=batch,
            n_threads=n_threads, random_state=0,
        )  # fmt: skip
        return model.fit(matrix.X, matrix.y).decision_function

    return fit


def log_loss(predictions, y):
    """Return the mean log loss of targets 0 or 1."""
    return float(np.mean(np.logaddexp(0, np.where(y, -1.0, 1.0) * predictions)))


def fits_of(matrix, counts, others):
    """Return name -> fit, for other libraries and for lrcore with each number of threads."""
    fits = {name: make(matrix, ALPHA) for name, (make, _) in others.items()}
    for batch, order in ((1, "online"), (256, "batches of 256")):
        for n in counts:
            fits[f"lrcore {order}, {n} threads"] = ours(matrix, batch, n)
    return fits


def report_matrix(section, matrix, counts, rounds, others):
    """Report one and five epochs: ratios, loss on the rows held out, values a second."""
    fits = fits_of(matrix, counts, others)
    calls = {
        (name, epochs): partial(fit, epochs)
        for name, fit in fits.items()
        for epochs in (1, 5)
        if epochs == 5 or name != WHOLE
    }
    calls, predictions = with_results(calls)
    seconds = side_by_side(calls, rounds)
    if ("VW", 1) in seconds:
        cached = (seconds["VW", 5] - seconds["VW", 1]) / 4
        seconds["VW", 1], seconds["VW", 5] = cached, 5 * cached
    X_test, y_test = matrix.held_out
    table = section.table(
        f"{matrix.name}: times as fast as others",
        {
            "fit": LABEL, "epochs": LABEL, "x SGDClassifier": RATIO, "x VW": RATIO,
            "x one thread": RATIO, "held-out log loss": VALUE, "time": SECONDS, "Mnnz/s": SPEED,
        },
    )  # fmt: skip
    for epochs in (1, 5):
        for name in fits:
            s = seconds.get((name, epochs))
            if s is None:
                continue
            others = (seconds.get((other, epochs)) for other in ("SGDClassifier", "VW"))
            one = seconds.get((f"{name.split(', ')[0]}, 1 threads", epochs))
            ratios = [other and other / s for other in (*others, one)]
            speed = None if name == WHOLE else matrix.X.nnz * epochs / 1e6 / s
            loss = log_loss(predictions[name, epochs](X_test), y_test)
            table.add(name, epochs, *ratios, loss, s, speed)


def report_epochs(section, of, counts, rounds, others):
    """Report every matrix of `of`, a function of the section."""
    section.take_part(others)
    section.set("lrcore", "AdaGrad at its usual rate, 0.5 falling to 0")
    for name, (_, settings) in others.here.items():
        section.set(name, settings)
    for matrix in of(section):
        report_matrix(section, matrix, counts, rounds, others.here)
