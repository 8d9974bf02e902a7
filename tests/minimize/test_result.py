"""Averages in the result: they are returned if they are the best point."""

import numpy as np
import pytest
from scipy.optimize import Bounds
from strategies import equal_bits

import lrcore
from lrcore.minimize.stochastic import batches

from .problems import (
    BOOTH,
    batch_gradient,
    minimize,
)


@pytest.mark.parametrize("averaging", [0.9, "polyak", "polynomial"])
def test_averages_are_those_of_an_optimizer(averaging):
    rule = lrcore.SGD(lr=0.1101)
    found = minimize(rule, averaging=averaging, maxiter=30)
    x = BOOTH.x0.copy()
    optimizer = lrcore.Optimizer(x, rule, ema=averaging)
    for _ in range(30):
        optimizer.step(BOOTH.jac(x))
    assert equal_bits(found.x, optimizer.averages)
    assert found.message.endswith("x is the average.")
    assert found.nfev == 32
    assert equal_bits(found.jac, BOOTH.jac(found.x))
    assert found.fun < minimize(rule, maxiter=30).fun


def test_an_average_that_is_worse_is_not_returned():
    found = minimize(lrcore.SGD(lr=0.1), averaging="polyak")
    assert "is not the best" in found.message
    np.testing.assert_allclose(found.x, BOOTH.minima[0], atol=1e-5)


def test_an_average_stays_in_bounds():
    found = minimize(lrcore.SGD(lr=0.1), averaging="polyak", bounds=Bounds(-5.0, 2.5), maxiter=5)
    assert (found.x <= 2.5).all()


def test_the_average_of_schedule_free_is_returned():
    rule = lrcore.ScheduleFreeAdamW(lr=0.5, weight_decay=0.0)
    found = rule.minimize_stochastic(batch_gradient, np.zeros(3), 50, 5, epochs=4, return_all=True)
    x = np.zeros(3)
    optimizer = lrcore.Optimizer(x, rule)
    for epoch in range(4):
        for rows in batches(50, 5, seed=0, epoch=epoch):
            optimizer.step(batch_gradient(x, rows))
    assert equal_bits(found.allvecs[-1], x)
    assert equal_bits(found.x, optimizer.averages)
    assert found.message == "The 4 epochs are done. x is the average."
