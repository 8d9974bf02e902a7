"""Smoothing of a curve of losses, its noise, and the rates that it suggests."""

import numpy as np
import pytest

from lrcore.tuning import rate_curve


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_smoothing_is_a_weighted_mean_of_all(beta):
    losses = np.random.default_rng(0).standard_normal((2, 17))
    i = np.arange(17)
    weights = np.where(i == i[:, None], 1.0, beta ** np.abs(i - i[:, None]))
    wanted = losses @ weights / weights.sum(axis=0)
    np.testing.assert_allclose(rate_curve.smooth(losses, beta), wanted, rtol=1e-12)


def test_standard_error_against_many_draws():
    draws = np.random.default_rng(0).normal(5.0, 0.3, (2000, 101))
    spread = rate_curve.smooth(draws, 0.8)[:, 50].std()
    estimated = np.mean([rate_curve.standard_error(each, 0.8) for each in draws])
    assert estimated == pytest.approx(spread, rel=0.1)


def test_slope_is_with_respect_to_the_logarithm():
    lrs = np.geomspace(1e-3, 10, 50)
    np.testing.assert_allclose(rate_curve.slope(lrs, 3 * np.log(lrs)), 3, rtol=1e-10)


def suggested(losses, lrs=(1, 30), rose=True):
    losses = np.asarray(losses, float)
    return rate_curve.suggest(np.geomspace(*lrs, len(losses)), losses, 0.0, 1.0, rose=rose)


def test_suggestions_of_a_curve_that_falls_and_rises():
    # The loss falls linearly in the logarithm of the rate from 1 to 0 at rate 100.
    curve = suggested(np.abs(np.linspace(1, -0.5, 31)), lrs=(1, 1e3))
    assert curve.rates["minimum/10"] == pytest.approx(10)
    assert curve.rates["valley"] == pytest.approx(10**1.8)
    assert curve.reasons == {} or list(curve.reasons) == ["steepest"]


def test_reasons_why_there_is_no_rate():
    curve = suggested(np.abs(np.linspace(-1, 2, 30)))
    assert curve.rates["minimum/10"] is None
    assert "below lr_min = 1: lower it" in curve.reasons["minimum/10"]
    curve = suggested(np.linspace(1, 0, 30), rose=False)
    assert curve.rates["valley"] is None
    assert "the loss still falls at lr_max = 30: raise it" in curve.reasons["valley"]
    curve = suggested(np.ones(30))
    assert set(curve.rates.values()) == {None}
    assert "the curve is flat" in curve.reasons["valley"]
    curve = suggested(np.linspace(1, 3, rate_curve.MIN_POINTS - 1))
    assert "the loss ran away within 7 steps" in curve.reasons["steepest"]
    assert "not finite at lr_min" in suggested([]).reasons["valley"]
