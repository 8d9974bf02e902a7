import numpy as np
import oracles
import pytest
from strategies import BUILDS, LOSSES, equal_bits, targets_for

from lrcore import _core
from lrcore.losses import ALL, LogLoss

rng = np.random.default_rng(1)
MARGINS = np.concatenate(
    [rng.normal(0, 3, 2001), rng.uniform(-800, 800, 500), [0.0, 1.0, -1.0, 30.0, -745.0, 1e150]]
)


def targets(loss):
    return targets_for(LOSSES[loss], rng.random(MARGINS.size) < 0.5, rng.normal(0, 2, MARGINS.size))


def margins(loss):
    """Those of the log link such that its powers are numbers."""
    return MARGINS[np.abs(MARGINS) < 300] if LOSSES[loss].log_link else MARGINS


@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_slopes_follow_the_definition(loss):
    z = margins(loss)
    y = targets(loss)[: z.size]
    value, slope = LOSSES[loss].evaluate(z, y)
    expected = np.array([oracles.loss_and_slope(loss, *each) for each in zip(z, y)], float)
    # Differences cancel where exp(z) is near y; beyond exp(-708) a slope stays at 1e-308.
    size = np.maximum(1, np.abs(expected)) if LOSSES[loss].log_link else np.abs(expected)
    assert np.all(np.abs(value - expected[:, 0]) <= 2e-13 * size[:, 0] + 1e-300)
    assert np.all(np.abs(slope - expected[:, 1]) <= 2e-13 * size[:, 1] + 1e-300)
    assert np.ptp(value) > 1
    assert np.ptp(slope) >= 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 17, MARGINS.size])
def test_kernel_has_the_bits_of_the_formula(loss, size):
    z, y = MARGINS[:size].copy(), targets(loss)[:size]
    with np.errstate(over="ignore", invalid="ignore"):
        expected = LOSSES[loss].evaluate(z, y)
    for build in BUILDS:
        value, slope, weight = np.empty(size), np.empty(size), np.ones(size)
        number = LOSSES[loss].parameter
        name = type(LOSSES[loss]).__name__
        _core.load(build).evaluate_loss(name, number, z, y, weight, value, slope)
        assert equal_bits(value, expected[0])
        assert equal_bits(slope, expected[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_slope_is_the_derivative(loss):
    z = rng.uniform(-3, 3, 200)
    y = targets(loss)[:200]
    h = 1e-6
    evaluate, slope = LOSSES[loss].evaluate, LOSSES[loss].evaluate(z, y)[1]
    numeric = (evaluate(z + h, y)[0] - evaluate(z - h, y)[0]) / (2 * h)
    kinks = np.array([np.nan])
    if loss in ("hinge", "perceptron"):
        kinks = y * (loss == "hinge")
    elif loss in ("absolute_error", "quantile", "epsilon_insensitive"):
        kinks = y + LOSSES[loss].parameter * (loss == "epsilon_insensitive") * np.array([[-1], [1]])
    smooth = ~(np.abs(z - kinks) <= 2 * h).reshape(-1, *z.shape[: kinks.size > 1]).any(axis=0)
    smooth = np.broadcast_to(smooth, z.shape)
    np.testing.assert_allclose(slope[smooth], numeric[smooth], rtol=1e-7, atol=1e-7)


def test_probability_is_the_logistic_function():
    z = rng.uniform(-30, 30, 1000)
    np.testing.assert_allclose(LogLoss().probability(z), 1 / (1 + np.exp(-z)), rtol=1e-15)
    extremes = LogLoss().probability(np.array([-1e300, 0.0, 1e300]))
    assert extremes[0] < 1e-300
    assert extremes[1:].tolist() == [0.5, 1.0]


def test_every_loss_is_compiled():
    for build in BUILDS:
        assert set(_core.load(build).LOSSES) == {loss.__name__ for loss in ALL.values()}
