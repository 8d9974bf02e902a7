"""Random orders: permutations that every backend and machine draws alike."""

import numpy as np
import pytest

from lrcore._backend import numpy
from lrcore._backend.shuffle import STRATA, shuffled


def test_shuffle_is_a_fixed_permutation(build):
    order = np.arange(1000, dtype=np.int64)
    build.shuffle(order, 42)
    slow = np.arange(1000, dtype=np.int64)
    numpy.shuffle(slow, 42)
    assert np.array_equal(order, slow)
    assert sorted(order) == list(range(1000))
    assert order[:5].tolist() != list(range(5))


def test_shuffle_reaches_every_place_about_equally(build):
    places = np.zeros((6, 6))
    for seed in range(6000):
        order = np.arange(6, dtype=np.int64)
        build.shuffle(order, seed)
        places[np.arange(6), order] += 1
    assert np.abs(places - 1000).max() < 150


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 399, 400])
def test_shuffled_runs_are_a_permutation_that_keeps_runs(n_rows, backend):
    order = shuffled(n_rows, 7, run_length=4)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(n_rows))
    follows = np.diff(order) == 1
    assert follows.sum() >= n_rows - -(-n_rows // 4)


def test_every_round_of_shuffled_runs_takes_one_from_each_stratum(backend):
    n_rows, run = 16 * STRATA * 5, 16
    order = shuffled(n_rows, 3, run)
    starts = order[::run]
    rounds = (starts // (run * 5)).reshape(5, STRATA)
    assert (np.sort(rounds, axis=1) == np.arange(STRATA)).all()
    assert len({tuple(each) for each in rounds.tolist()}) == 5
    within = (starts // run % 5).reshape(5, STRATA)
    assert len({tuple(np.argsort(each).tolist()) for each in within.T}) > 1
    assert len(set(within[0].tolist())) > 1
