import math

import numpy as np
import pytest

from lrcore.optim.options import check_adjustments, check_ema, ema_at


@pytest.mark.parametrize("ema", [None, "polyak", "polynomial", 0, 0.999, np.float32(0.5)])
def test_averages_that_are_known(ema):
    check_ema(ema)


@pytest.mark.parametrize(
    "ema, error, message",
    [
        ("mean", ValueError, r"must be a number in \[0, 1\), 'polyak' or 'polynomial', got 'mean'"),
        (1.0, ValueError, r"must be in \[0, 1\), got 1.0"),
        (-0.1, ValueError, "must be finite and >= 0, got -0.1"),
        (True, TypeError, "must be a number, got True"),
    ],
)
def test_averages_that_are_refused(ema, error, message):
    for name in ("ema", "averaging"):
        with pytest.raises(error, match=f"^{name} {message}"):
            check_ema(ema, name)


def average(ema, values):
    """The average that the weights of `ema_at` give."""
    total = math.nan
    for t, value in enumerate(values):
        weight = ema_at(ema, t)
        total = value if weight == 0 else weight * total + (1 - weight) * value
    return total


def test_weights_of_the_averages():
    values = np.random.RandomState(0).randn(30)
    assert average("polyak", values) == pytest.approx(values.mean())
    # Weight of step t: (t + 1) (t + 2) ... (t + 8), a polynomial of degree 8.
    weights = [math.prod(range(t + 1, t + 9)) for t in range(30)]
    assert average("polynomial", values) == pytest.approx(np.average(values, weights=weights))
    assert [ema_at(0.9, t) for t in (0, 5)] == [0.9, 0.9]
    assert ema_at(None, 3) == 0.0


def test_adjustments():
    assert check_adjustments(0.5, None, None) == (0.5, math.inf)
    assert check_adjustments(np.float32(2), 3, 1.0) == (2.0, 3.0)
    for name, value in (("clip_value", 0.0), ("clip_norm", 0)):
        message = f"{name} must be > 0, got {value}; leave it out for no clipping"
        with pytest.raises(ValueError, match=message):
            check_adjustments(1.0, **{"clip_value": None, "clip_norm": None, name: value})
