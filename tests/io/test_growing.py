"""Room is made once for arrays that grow, if what comes is like what came."""

import numpy as np
import pytest

from lrcore.io.growing import GrowingArray


def grown(parts, shares):
    array, rooms = GrowingArray(np.int32), set()
    for part, share in zip(parts, shares):
        array.append(part, share)
        rooms.add(id(array._room))
    return array, len(rooms)


def test_parts_are_appended():
    rng = np.random.default_rng(0)
    for _ in range(50):
        parts = [rng.integers(0, 99, rng.integers(0, 9)) for _ in range(rng.integers(1, 9))]
        array, _ = grown(parts, rng.random(len(parts)) + 0.01)
        assert array.array().dtype == np.int32
        assert array.array().tolist() == np.concatenate(parts).tolist()
        assert array.size == len(array.array())


@pytest.mark.parametrize("known", [True, False])
def test_room_is_made_rarely(known):
    parts = [np.arange(1000)] * 100
    shares = [(k + 1) / 100 if known else 0.5 for k in range(100)]
    array, n_rooms = grown(parts, shares)
    assert n_rooms == 1 if known else n_rooms < 9
    assert len(array._room) <= (1.06 if known else 2.2) * array.size
