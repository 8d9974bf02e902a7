import numpy as np
import oracles
import pytest
from strategies import BUILDS, equal_bits

from lrcore import _core
from lrcore.losses import LOSSES, LogLoss

rng = np.random.default_rng(1)
MARGINS = np.concatenate(
    [rng.normal(0, 3, 2001), rng.uniform(-800, 800, 500), [0.0, 1.0, -1.0, 30.0, -745.0, 1e150]]
)


def targets(loss):
    if LOSSES[loss].classifies:
        return rng.choice([-1.0, 1.0], MARGINS.size)
    return rng.normal(0, 2, MARGINS.size)


@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_slopes_follow_the_definition(loss):
    y = targets(loss)
    value, slope = LOSSES[loss].evaluate(MARGINS, y)
    expected = np.array([oracles.loss_and_slope(loss, z, t) for z, t in zip(MARGINS, y)])
    np.testing.assert_allclose(value, expected[:, 0], rtol=3e-15, atol=1e-300)
    # Beyond exp(-708) a slope is not zero but stays at 1e-308.
    np.testing.assert_allclose(slope, expected[:, 1], rtol=3e-15, atol=1e-300)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 17, MARGINS.size])
def test_kernel_has_the_bits_of_the_formula(loss, size):
    z, y = MARGINS[:size].copy(), targets(loss)[:size]
    expected = LOSSES[loss].evaluate(z, y)
    for build in BUILDS:
        value, slope, weight = np.empty(size), np.empty(size), np.ones(size)
        _core.load(build).evaluate_loss(LOSSES[loss].__name__, z, y, weight, value, slope)
        assert equal_bits(value, expected[0])
        assert equal_bits(slope, expected[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_slope_is_the_derivative(loss):
    z = rng.uniform(-3, 3, 200)
    y = targets(loss)[:200]
    h = 1e-6
    numeric = (LOSSES[loss].evaluate(z + h, y)[0] - LOSSES[loss].evaluate(z - h, y)[0]) / (2 * h)
    smooth = np.abs(1 - y * z) > 2 * h if loss == "hinge" else np.full(200, True)
    np.testing.assert_allclose(LOSSES[loss].evaluate(z, y)[1][smooth], numeric[smooth], atol=1e-8)


def test_probability_is_the_logistic_function():
    z = rng.uniform(-30, 30, 1000)
    np.testing.assert_allclose(LogLoss.probability(z), 1 / (1 + np.exp(-z)), rtol=1e-15)
    extremes = LogLoss.probability(np.array([-1e300, 0.0, 1e300]))
    assert extremes[0] < 1e-300
    assert extremes[1:].tolist() == [0.5, 1.0]


def test_every_loss_is_compiled():
    for build in BUILDS:
        assert set(_core.load(build).LOSSES) == {loss.__name__ for loss in LOSSES.values()}
