"""How many threads: what bounds them, and that the limits of others hold."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from lrcore import _core
from lrcore._core import threads


@pytest.mark.skipif(
    _core.kernels is None or not _core.kernels.openmp_threads(), reason="built without OpenMP"
)
def test_limits_of_threadpoolctl_hold():
    # threadpoolctl finds OpenMP once a parallel region has loaded it.
    _core.kernels.first_nonfinite["float"](np.ones(10, np.float32), 2)
    with threadpool_limits(1, user_api="openmp"):
        assert threads.limits()["OpenMP"] == 1
        assert threads.count(None, 10**9) == 1


def test_small_work_stays_serial_and_a_number_is_taken_at_its_word():
    assert threads.count(None, 1000) == 1
    assert threads.count(3, 1000) == 3
    assert threads.count(None, 10**9) == min(threads.limits().values())


@pytest.mark.parametrize(
    "content, expected",
    [("max 100000", None), ("150000 100000", 1), ("400000 100000", 4), ("50000 100000", 1)],
)
def test_the_quota_of_a_container_is_read(content, expected, monkeypatch):
    monkeypatch.setattr(threads.Path, "read_text", lambda self: content)
    assert threads.cgroup_quota() == expected
