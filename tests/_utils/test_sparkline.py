import numpy as np

from lrcore._utils.sparkline import LEVELS, bars


def test_heights_are_shares_of_the_largest_value():
    assert bars(np.linspace(0, 1, 9)) == LEVELS + LEVELS[-1]
    assert bars(np.array([3.0, 0.0])) == LEVELS[-1] + LEVELS[0]
    assert bars(np.zeros(4)) == LEVELS[0] * 4
    assert bars(np.array([1e-300, 1e300])) == LEVELS[0] + LEVELS[-1]
