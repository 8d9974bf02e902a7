"""Some of the rows that stand for all."""

import numpy as np
import pytest
from strategies import LOSSES

from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.sampling import class_numbers, held_out_rows, in_halves, sample
from lrcore.losses import Softmax
from lrcore.penalties import ElasticNet

N = 4000
ROWS = np.arange(N, dtype=float)[:, None]


def problem(labels, weight=None):
    """Rows that are their own numbers."""
    n_classes = int(labels.max()) + 1
    loss = LOSSES["log_loss"] if n_classes == 2 else Softmax(n_classes)
    y = np.where(labels > 0, 1.0, -1.0) if n_classes == 2 else labels.astype(float)
    return Problem(as_design_matrix(ROWS), [y], weight, Objective(loss, ElasticNet()))


def labels_with(*counts):
    labels = np.zeros(N, int)
    for k, n in enumerate(counts, start=1):
        labels[np.flatnonzero(labels == 0)[:: N // n // 2][:n]] = k
    return labels


@pytest.mark.parametrize("counts", [(40,), (2000,), (30, 400, 1500)])
def test_a_sample_has_rows_of_every_class_and_their_weight(counts):
    labels = labels_with(*counts)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, N)
    order = np.random.default_rng(1).permutation(N)
    for given in (None, weight):
        part = sample(problem(labels, given), 300, order)
        chosen = part.X.values[:, 0].astype(int)
        assert len(set(chosen)) == len(chosen) <= 300 + 50 * len(counts)
        for k, n in enumerate(counts, start=1):
            assert np.sum(labels[chosen] == k) >= min(n, 300 // (2 * (len(counts) + 1)), 50)
        w = np.ones(len(chosen)) if part.sample_weight is None else part.sample_weight
        own = w if given is None else w / given[chosen]
        share = np.bincount(labels[chosen], own) / own.sum()
        np.testing.assert_allclose(share, np.bincount(labels) / N, atol=0.05)
        if min(counts) < 100:
            np.testing.assert_allclose(share, np.bincount(labels) / N, rtol=1e-9)


def test_common_classes_are_as_they_come():
    order = np.random.default_rng(1).permutation(N)
    part = sample(problem(labels_with(1900)), 500, order)
    assert part.sample_weight is None
    assert np.array_equal(part.X.values[:, 0], order[:500])


@pytest.mark.parametrize("n", [2, 3, 11])
def test_halves_have_their_share_of_rare_rows(n):
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(N)
        labels = labels_with(n)
        first, second = in_halves(problem(labels), order)
        assert sorted([*first, *second]) == list(range(N))
        assert labels[first].sum() in (n // 2, n - n // 2)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.75])
def test_rows_are_held_out_by_class(fraction):
    order = np.random.default_rng(0).permutation(N)
    labels = labels_with(1, 7, 900)
    held_out = held_out_rows(problem(labels), fraction, order)
    assert round(fraction * N) - 1 <= held_out.sum() <= round(fraction * N)
    counts, of_all = np.bincount(labels[held_out], minlength=4), np.bincount(labels)
    assert counts[1] == 0
    assert np.all(np.abs(counts - fraction * of_all) <= 1)
    assert not np.array_equal(held_out, held_out_rows(problem(labels), fraction, order[::-1]))


def test_a_row_of_several_labels_counts_as_of_its_rarest():
    often, rare = np.arange(N) % 2 == 0, np.arange(N) % 100 == 0
    never = np.zeros(N, bool)
    targets = [np.where(each, 1.0, -1.0) for each in (often, rare, never)]
    X, objective = as_design_matrix(ROWS), Objective(LOSSES["log_loss"], ElasticNet())
    labels = Problem(X, targets, None, objective)
    expected = np.where(rare, 1, np.where(often, 0, 3))
    assert np.array_equal(class_numbers(labels), expected)
    held_out = held_out_rows(labels, 0.1, np.random.default_rng(0).permutation(N))
    assert held_out.sum() == N // 10
    assert rare[held_out].sum() == 4
    against_the_rest = np.random.default_rng(1).integers(0, 4, N)
    targets = [np.where(against_the_rest == k, 1.0, -1.0) for k in range(4)]
    assert np.array_equal(class_numbers(Problem(X, targets, None, objective)), against_the_rest)
