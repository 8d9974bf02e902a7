"""What is timed: vectors, a power-law sparse matrix, and NumPy as one would write it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

import lrcore

RULES = {
    "SGD": lrcore.SGD(lr=1e-3),
    "SGD momentum": lrcore.SGD(lr=1e-3, momentum=0.9),
    "AdaGrad": lrcore.AdaGrad(lr=1e-3),
    "RMSProp": lrcore.RMSProp(lr=1e-3),
    "RMSProp centered": lrcore.RMSProp(lr=1e-3, centered=True),
    "Adam": lrcore.Adam(lr=1e-3),
}
#: One of every formula.
EVERY_RULE = {
    **RULES,
    "RMSProp momentum": lrcore.RMSProp(lr=1e-3, momentum=0.9),
    "RMSProp centered momentum": lrcore.RMSProp(lr=1e-3, momentum=0.9, centered=True),
    "AdaDelta": lrcore.AdaDelta(lr=1e-3),
    "AMSGrad": lrcore.AMSGrad(lr=1e-3),
    "Adamax": lrcore.Adamax(lr=1e-3),
    "Nadam": lrcore.Nadam(lr=1e-3),
    "RAdam": lrcore.RAdam(lr=1e-3),
    "Lion": lrcore.Lion(lr=1e-3),
    "FTRL": lrcore.FTRL(lr=1e-3),
}
SIZES = (10_000, 1_000_000, 20_000_000)


def vectors(n, dtype=np.float32, count=2):
    """Parameters and gradient: neither zero nor tiny."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n, np.float32).astype(dtype) + 2 for _ in range(count)]


def bytes_moved(rule, itemsize=4):
    """Bytes of a parameter's step: weight and states read and written, gradient read."""
    return itemsize * (3 + 2 * len(rule.formula.state))


def power_law(n_rows=200_000, n_features=1 << 20, nnz=20, seed=0):
    """Rows of `nnz` features with frequencies that fall as a power law; labels of a linear rule."""
    rng = np.random.default_rng(seed)
    ranks = (n_features ** rng.random((n_rows, nnz))).astype(np.int64) - 1
    # Frequent features are spread over the columns as hashing does.
    indices = (ranks * 0x9E3779B1) % n_features
    values = (rng.uniform(0.5, 1.5, indices.shape) / np.sqrt(nnz)).astype(np.float32)
    indptr = np.arange(0, indices.size + 1, nnz)
    X = sparse.csr_matrix(
        (values.ravel(), indices.ravel().astype(np.int32), indptr), shape=(n_rows, n_features)
    )
    X.sum_duplicates()
    truth = rng.normal(0, 3, n_features).astype(np.float32)
    y = (X @ truth + rng.logistic(size=n_rows) > 0).astype(int)
    return X, y


def step_out(name, lr=1e-3, eps=1e-8):
    """A step by NumPy with `out=` everywhere, so that nothing is allocated; None if not written."""

    def sgd(w, g, state, t, tmp):
        np.multiply(g, lr, out=tmp[0])
        np.subtract(w, tmp[0], out=w)

    def momentum(w, g, state, t, tmp):
        np.multiply(state[0], 0.9, out=state[0])
        np.add(state[0], g, out=state[0])
        np.multiply(state[0], lr, out=tmp[0])
        np.subtract(w, tmp[0], out=w)

    def divide(w, numerator, square, tmp):
        np.sqrt(square, out=tmp[1])
        np.add(tmp[1], eps, out=tmp[1])
        np.multiply(numerator, lr, out=tmp[0])
        np.divide(tmp[0], tmp[1], out=tmp[0])
        np.subtract(w, tmp[0], out=w)

    def adagrad(w, g, state, t, tmp):
        np.multiply(g, g, out=tmp[0])
        np.add(state[0], tmp[0], out=state[0])
        divide(w, g, state[0], tmp)

    def rmsprop(w, g, state, t, tmp):
        np.multiply(state[0], 0.99, out=state[0])
        np.multiply(g, g, out=tmp[0])
        np.multiply(tmp[0], 0.01, out=tmp[0])
        np.add(state[0], tmp[0], out=state[0])
        divide(w, g, state[0], tmp)

    def adam(w, g, state, t, tmp):
        np.multiply(state[0], 0.9, out=state[0])
        np.multiply(g, 0.1, out=tmp[0])
        np.add(state[0], tmp[0], out=state[0])
        np.multiply(state[1], 0.999, out=state[1])
        np.multiply(g, g, out=tmp[0])
        np.multiply(tmp[0], 0.001, out=tmp[0])
        np.add(state[1], tmp[0], out=state[1])
        divide(w, state[0], state[1], tmp)

    known = {
        "SGD": sgd,
        "SGD momentum": momentum,
        "AdaGrad": adagrad,
        "RMSProp": rmsprop,
        "Adam": adam,
    }
    return known.get(name)
