"""Sparse logistic regression by other libraries.

Each function takes a matrix and returns a function: epochs -> (X -> raw predictions).
"""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.linear_model import SGDClassifier

BATCH = 256
RATE = 0.5


def sgd_classifier(matrix, alpha):
    def fit(epochs):
        model = SGDClassifier("log_loss", alpha=alpha, max_iter=epochs, tol=None, random_state=0)
        return model.fit(matrix.X, matrix.y).decision_function

    return fit


def torch_adagrad(matrix, alpha):
    """SciPy shuffles the rows before each epoch, and batches are views."""
    import torch

    X, y = matrix.X, matrix.y.astype(np.float32)

    def fit(epochs):
        torch.set_num_threads(1)
        bag = torch.nn.EmbeddingBag(X.shape[1], 1, mode="sum", sparse=True)
        bias = torch.nn.Parameter(torch.zeros(1))
        torch.nn.init.zeros_(bag.weight)
        optimizer = torch.optim.Adagrad([bag.weight, bias], lr=RATE)
        loss = torch.nn.BCEWithLogitsLoss()
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            order = rng.permutation(len(y))
            rows, target = X[order], torch.from_numpy(y[order])
            indices, values = torch.from_numpy(rows.indices), torch.from_numpy(rows.data)
            for start in range(0, len(y), BATCH):
                stop = min(start + BATCH, len(y))
                first, last = rows.indptr[start], rows.indptr[stop]
                offsets = torch.from_numpy(rows.indptr[start:stop] - first)
                part = slice(first, last)
                z = bag(indices[part], offsets, per_sample_weights=values[part])[:, 0] + bias
                optimizer.zero_grad()
                loss(z, target[start:stop]).backward()
                optimizer.step()
        w = bag.weight.detach().numpy()[:, 0]
        return lambda rows: rows @ w + float(bias)

    return fit


class VowpalWabbit:
    """The text is written in random order and its cache made once; a fit reads only the cache."""

    def __init__(self, X, y, alpha, options=""):
        self.folder = tempfile.TemporaryDirectory()  # the folder exists as long as this object
        self.n_features = X.shape[1]
        cache, bits = self.path("cache"), (self.n_features - 1).bit_length()
        self.learn = (
            f"-d {self.path('text')} --cache_file {cache} --loss_function logistic -b {bits} "
            f"--l2 {alpha} --holdout_off {options}"
        )
        order = np.random.default_rng(0).permutation(len(y))
        write_text(self.path("text"), X[order], y[order])
        self.run(self.learn)
        self.path("text").unlink()

    def path(self, name):
        return Path(self.folder.name) / name

    def run(self, options):
        from vowpalwabbit import Workspace

        Workspace(f"--quiet --no_stdin {options}").finish()

    def fit(self, epochs):
        """Return the path of the model's file."""
        model = self.path(f"model{epochs}")
        self.run(f"{self.learn} --passes {epochs} -f {model}")
        return model

    def predictions(self, model, X):
        text, found = self.path("rows"), self.path("predictions")
        write_text(text, X, np.ones(X.shape[0], int))
        self.run(f"-t -i {model} -d {text} -r {found}")
        return np.array([float(line.split()[0]) for line in found.read_text().splitlines()])

    def weights(self, model):
        """Read the weights of all features from the lines `feature:weight` of a readable model."""
        readable = self.path("readable")
        self.run(f"-t -i {model} --readable_model {readable}")
        w = np.zeros(1 << (self.n_features - 1).bit_length())
        for feature, weight in re.findall(r"^(\d+):(\S+)", readable.read_text(), re.MULTILINE):
            w[int(feature)] = float(weight)
        return w[: self.n_features]


def vowpal_wabbit(matrix, alpha):
    peer = VowpalWabbit(matrix.X, matrix.y, alpha)
    return lambda epochs: partial(peer.predictions, peer.fit(epochs))


def write_text(path, X, y):
    """Yield rows in VW's format."""
    form = "{}:{:.7g}".format
    with open(path, "w") as file:
        for i, (start, stop) in enumerate(zip(X.indptr, X.indptr[1:])):
            row = map(form, X.indices[start:stop].tolist(), X.data[start:stop].tolist())
            file.write(f"{1 if y[i] else -1} | {' '.join(row)}\n")


def liblinear(matrix, alpha):
    """It stops by its own criterion, so `epochs` is ignored; the conversion is not timed."""
    from liblinear.liblinearutil import parameter, problem, train

    rows = problem(np.where(matrix.y, 1.0, -1.0), matrix.X.astype(np.float64), bias=1)
    cost = 1 / (alpha * len(matrix.y))

    def fit(epochs):
        model = train(rows, parameter(f"-s 7 -c {cost} -q"))
        found, bias = model.get_decfun()
        w = np.array(found)
        return lambda X: X @ w[: X.shape[1]] + bias

    return fit


#: Name, package, the function that makes it, and its settings.
PEERS = {
    "SGDClassifier": (
        "scikit-learn", sgd_classifier, "loss='log_loss', tol=None, rate 'optimal'"
    ),
    "VW": (
        "vowpalwabbit", vowpal_wabbit,
        "--loss_function logistic --l2 as alpha; else its defaults (adaptive, normalized, "
        "invariant); from its cache, parsed by a thread of its own; a pass is a quarter of "
        "what 5 passes take more than 1",
    ),
    "torch": (
        "torch", torch_adagrad,
        f"EmbeddingBag(mode='sum', sparse=True), Adagrad(lr={RATE}), batches of {BATCH}, no "
        "penalty; one thread: a second gained nothing",
    ),
    "liblinear -s 7": (
        "liblinear-official", liblinear, "C as alpha says, a whole fit at its own tolerance"
    ),
}  # fmt: skip
