"""Fits over partitions in this process, without a cluster."""

from functools import partial
from itertools import pairwise

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier

from lrcore.distributed.fit import DistributedFit
from lrcore.distributed.rounds import LocalRounds
from lrcore.distributed.rows import load, summarise
from lrcore.distributed.targets import (
    check_classes,
    check_numbers,
    classifier_targets,
    regressor_targets,
)
from lrcore.distributed.totals import Totals


def fit_parts(model, parts, rounds=None, **options):
    """The result of a fit over partitions, tuples (X, y) with a weight and an offset if there are
    any; and the classes, None of a regressor."""
    rounds = LocalRounds() if rounds is None else rounds
    classifies = is_classifier(model)
    check = check_classes
    if not classifies:
        check = partial(check_numbers, name=model._loss, loss=model._make_loss())
    rows = [
        load(number, *part, *[None] * (4 - len(part)), None, check)
        for number, part in enumerate(parts)
    ]
    totals = Totals.of(rounds.each(partial(summarise, classifies=classifies), rows))
    if classifies:
        targets, classes = classifier_targets(model, totals)
    else:
        targets, classes = regressor_targets(totals), None
    return DistributedFit(model, rounds, rows, totals, targets, **options).run(), classes


def cut(cuts, *arrays):
    """The rows of arrays, None among them, between the cuts, which may be the same."""
    stops = [0, *sorted(cuts), arrays[0].shape[0]]
    return [
        tuple(None if array is None else array[start:stop] for array in arrays)
        for start, stop in pairwise(stops)
    ]


def bits_of(result):
    """What must not depend on partitions, workers and order."""
    weights, intercepts = result.model.weights
    history = result.history
    return [weights, intercepts, history["objective"], history["gap"], history["loss"]]


def same_bits(first, second):
    """Whether two results have the same bits."""
    return all(np.array_equal(a, b) for a, b in zip(bits_of(first), bits_of(second)))


def words(n_rows=400, n_features=900, seed=0, dtype=np.float32):
    """Sparse rows, more features than a Hessian is made of, and two classes."""
    rng = np.random.default_rng(seed)
    X = sparse.random_array(
        (n_rows, n_features), density=0.02, rng=rng, format="csr", dtype=np.float64
    ).astype(dtype)
    w = rng.normal(size=n_features) * (rng.random(n_features) < 0.2)
    return X, (X @ w + 0.3 * rng.normal(size=n_rows) > 0).astype(int)
