"""Sparse logistic regression as others have it.

Each is made for a matrix and returns a function: epochs -> (X -> margins).
"""

from __future__ import annotations

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
    """Rows are shuffled before each epoch, by SciPy, and batches are cut as views."""
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


def vowpal_wabbit(matrix, alpha):
    """Text is written, in a random order, and its cache made once; a fit reads the cache alone."""
    from vowpalwabbit import Workspace

    folder = tempfile.TemporaryDirectory()
    cache = Path(folder.name) / "cache"
    bits = (matrix.X.shape[1] - 1).bit_length()

    def run(options):
        Workspace(f"--quiet --no_stdin {options}").finish()

    text = Path(folder.name) / "text"
    order = np.random.default_rng(0).permutation(len(matrix.y))
    write_text(text, matrix.X[order], matrix.y[order])
    learn = f"--loss_function logistic -b {bits} --l2 {alpha} --holdout_off --cache_file {cache}"
    run(f"-d {text} {learn}")
    text.unlink()

    def fit(epochs):
        model = Path(folder.name) / f"model{epochs}"
        run(f"{learn} -d {text} --passes {epochs} -f {model}")
        return partial(margins, model)

    def margins(model, X):
        text, found = Path(folder.name) / "rows", Path(folder.name) / "margins"
        write_text(text, X, np.ones(X.shape[0], int))
        run(f"-t -i {model} -d {text} -r {found}")
        return np.array([float(line.split()[0]) for line in found.read_text().splitlines()])

    fit.folder = folder  # the files stay as long as the function
    return fit


def write_text(path, X, y):
    """Rows in VW's format."""
    form = "{}:{:.7g}".format
    with open(path, "w") as file:
        for i, (start, stop) in enumerate(zip(X.indptr, X.indptr[1:])):
            row = map(form, X.indices[start:stop].tolist(), X.data[start:stop].tolist())
            file.write(f"{1 if y[i] else -1} | {' '.join(row)}\n")


def liblinear(matrix, alpha):
    """Its own stopping rule decides, so epochs mean nothing; the conversion is not timed."""
    from liblinear.liblinearutil import parameter, problem, train

    rows = problem(np.where(matrix.y, 1.0, -1.0), matrix.X.astype(np.float64), bias=1)
    cost = 1 / (alpha * len(matrix.y))

    def fit(epochs):
        model = train(rows, parameter(f"-s 7 -c {cost} -q"))
        found, bias = model.get_decfun()
        w = np.array(found)
        return lambda X: X @ w[: X.shape[1]] + bias

    return fit


#: Name, package, what makes it, and how it is set.
PEERS = {
    "SGDClassifier": (
        "scikit-learn", sgd_classifier, "loss='log_loss', tol=None, rate 'optimal'"
    ),
    "VW": (
        "vowpalwabbit", vowpal_wabbit,
        "--loss_function logistic --l2 as alpha; else its defaults (adaptive, normalized, "
        "invariant)\n    from its cache, parsed by a thread of its own; a pass is a quarter of "
        "what 5 passes take more than 1",
    ),
    "torch": (
        "torch", torch_adagrad,
        f"EmbeddingBag(mode='sum', sparse=True), Adagrad(lr={RATE}), batches of {BATCH}, no "
        "penalty;\n    one thread: a second gained nothing",
    ),
    "liblinear -s 7": (
        "liblinear-official", liblinear, "C as alpha says, a whole fit at its own tolerance"
    ),
}  # fmt: skip
