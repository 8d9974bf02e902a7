import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcore.optim.options import Scale, check_adjustments, check_ema, ema_at


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


factors = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(factors, factors, st.sampled_from(["f4", "f8"]))
def test_a_scale_is_the_product_whatever_its_size(a, b, dtype):
    """Compared with fractions, which are exact; the factors are normal where the product may be."""
    scale = Scale.of(a).times(Scale.of(b))
    exact = Fraction(a) * Fraction(b)
    limits = np.finfo(dtype)
    power, factor = scale.factors(np.dtype(dtype))
    assert np.frexp(power)[0] == 0.5
    assert float(limits.tiny) <= power <= float(limits.max)
    if 2.0**-200 < abs(exact) < 2.0**200 or exact == 0:
        assert abs(Fraction(power) * Fraction(factor) - exact) <= abs(exact) * Fraction(2**-52)
        assert factor == 0 or float(limits.tiny) <= abs(factor) <= float(limits.max)
    if 2.0**-100 < abs(exact) < 2.0**100:
        assert power == 1.0


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), st.floats(1e-300, 1e300))
def test_scales_are_compared_and_divided(a, b, c):
    ab, product = Scale.of(a).times(Scale.of(b)), Fraction(a) * Fraction(b)
    if abs(product / Fraction(c) - 1) > 1e-9:
        assert ab.exceeds(Scale.of(c)) == (product > Fraction(c))
    quotient = ab.over(Scale.of(c))
    exact = product / Fraction(c)
    found = Fraction(quotient.fraction) * Fraction(2) ** quotient.exponent
    assert abs(found - exact) <= exact * Fraction(2**-51)
