"""The workloads: vectors, a power-law sparse matrix, and steps written in NumPy."""

from __future__ import annotations

import numpy as np
from scipy import sparse

import lrcore
from lrcore import rules

#: Every rule of the registry, and hyperparameters that select another formula.
EVERY_RULE = {
    **{name: cls(1e-3) for name, cls in rules.RULES.items()},
    "SGD momentum": lrcore.SGD(lr=1e-3, momentum=0.9),
    "RMSProp centered": lrcore.RMSProp(lr=1e-3, centered=True),
    "RMSProp momentum": lrcore.RMSProp(lr=1e-3, momentum=0.9),
    "RMSProp centered momentum": lrcore.RMSProp(lr=1e-3, momentum=0.9, centered=True),
}
SIZES = (10_000, 1_000_000, 20_000_000)
THREADS = [1, 2]
#: The size of the data that the suite fits.
ROWS, FEATURES = 100_000, 1 << 20


def vectors(n, dtype=np.float32, count=2):
    """Return parameters and gradient that are neither zero nor tiny."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n, np.float32).astype(dtype) + 2 for _ in range(count)]


def bytes_moved(rule, itemsize=4):
    """Return the bytes that a step moves per parameter: weight and states twice, gradient once; of
    rules that go by a distance the state once, and the weight once more to see it."""
    return itemsize * (3 + 2 * len(rule.formula.state))


def power_law(n_rows=200_000, n_features=1 << 20, nnz=20, seed=0, exponent=1.1):
    """Draw rows of `nnz` features each and labels of a logistic model, similar to those of text.

    The frequency of the feature of rank k is proportional to k**-exponent (0: all are equal); ranks
    are assigned to columns at random, as by hashing. Values are like tf-idf, in rows of length 1.
    True weights are nonzero for a tenth of the features, and raw predictions have a standard
    deviation of 3.
    """
    rng = np.random.default_rng(seed)
    column = rng.permutation(np.arange(n_features, dtype=np.int32))

    def draw(size):
        """Draw ranks by the inverse of the continuous law over [1, n_features + 1)."""
        power = 1.0 - exponent
        span = (n_features + 1.0) ** power - 1.0
        rank = (1.0 + rng.random(size) * span) ** (1.0 / power)
        return column[np.minimum(rank.astype(np.int64), n_features) - 1]

    indices = draw((n_rows, nnz))
    indices.sort(axis=1)
    rows = np.arange(n_rows)
    while len(rows):
        some = indices[rows]
        again = np.zeros(some.shape, bool)
        again[:, 1:] = some[:, 1:] == some[:, :-1]
        bad = again.any(axis=1)
        rows, some, again = rows[bad], some[bad], again[bad]
        some[again] = draw(np.count_nonzero(again))
        some.sort(axis=1)
        indices[rows] = some

    rank = np.empty(n_features, np.float32)
    rank[column] = np.arange(1, n_features + 1, dtype=np.float32)
    rarity = np.log(rank) * np.float32(exponent) + np.float32(1)
    values = 1 + rng.geometric(0.7, indices.shape).astype(np.float32)
    np.log(values, out=values)
    values *= rarity[indices]
    values /= np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
    indptr = np.arange(0, indices.size + 1, nnz, dtype=np.int32)
    X = sparse.csr_matrix((values.ravel(), indices.ravel(), indptr), shape=(n_rows, n_features))
    X.has_canonical_format = True
    truth = rng.standard_normal(n_features, np.float32)
    truth *= rng.random(n_features, np.float32) < 0.1
    predictions = X @ truth
    predictions *= 3 / predictions.std()
    y = (predictions + rng.logistic(size=n_rows) > 0).astype(int)
    return X, y


def step_out(name, lr=1e-3, eps=1e-8):
    """Return a step in NumPy with `out=`, which allocates nothing, or None if there is none."""

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
