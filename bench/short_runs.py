"""Fits of few epochs: the held-out loss by how the rate falls, and by lrcore's defaults.

    python bench/short_runs.py [--data FOLDER] [--epochs 1 2 5] [--quick]

Each shape has the best of eight rates, a factor of 2 apart; the last column has the rate and the
shape that `lr="auto"` finds.
"""

from __future__ import annotations

import argparse
import warnings

import matrices
import numpy as np
from auto import held_out_loss
from tables import LABEL, VALUE, Section

from lrcore import LinearClassifier
from lrcore.schedules import Constant, Polynomial, WarmupStableDecay

RATES = 0.5 * 2.0 ** np.arange(-5, 3)
#: The share of a run over which the rate falls linearly to 0.
FALLS = {"constant": 0.0, "last tenth": 0.1, "last quarter": 0.25, "last half": 0.5, "all": 1.0}


def schedule(rate, share, n_steps):
    """Return a rate that falls over a share of the steps."""
    if share in (0.0, 1.0):
        return Polynomial(rate, n_steps) if share else Constant(rate)
    return WarmupStableDecay(rate, n_steps, 0, int(share * n_steps))


def lost(matrix, lr, n_epochs):
    """Return the held-out loss of a fit, infinite if it diverges."""
    clf = LinearClassifier(
        solver="stochastic", optimizer="adagrad", lr=lr, max_iter=n_epochs, random_state=0
    )
    try:
        return held_out_loss(clf.fit(matrix.X, matrix.y), *matrix.held_out)
    except FloatingPointError:
        return np.inf


def report_short_runs(section, folder, quick, epochs=(1, 2, 5)):
    """Report each set and number of epochs."""
    columns = {"data": LABEL, "epochs": LABEL, **dict.fromkeys(FALLS, VALUE), "by default": VALUE}
    table = section.table(
        "AdaGrad: held-out log loss by the share of the run that the rate falls", columns
    )
    warnings.simplefilter("ignore")
    names = ("a9a",) if quick else ("a9a", "20news", "flights")
    sets = dict(matrices.available(section, folder, names))
    sets["power law"] = lambda bits=20: matrices.drawn(20_000 if quick else 300_000, bits)
    for name, make in sets.items():
        matrix = make() if name == "a9a" else make(bits=20)
        for n_epochs in epochs:
            n_steps = n_epochs * len(matrix.y)
            best = [
                min(lost(matrix, schedule(rate, share, n_steps), n_epochs) for rate in RATES)
                for share in FALLS.values()
            ]
            table.add(name, n_epochs, *best, lost(matrix, "auto", n_epochs))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="the folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2, 5])
    parser.add_argument("--quick", action="store_true", help="small sets")
    args = parser.parse_args()
    report_short_runs(Section("Short runs"), args.data, args.quick, args.epochs)


if __name__ == "__main__":
    main()
