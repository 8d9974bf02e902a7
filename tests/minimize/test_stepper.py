"""Steps are those of an Optimizer, projected, at the rates of the schedule."""

import numpy as np
import pytest
from benchmarks import functions
from scipy.optimize import Bounds
from strategies import RULES, equal_bits

import lrcore
from lrcore.schedules import Constant, Cosine, Plateau

from .problems import (
    BOOTH,
    minimize,
    points_of_optimizer,
)


@pytest.mark.parametrize("name", RULES)
def test_points_are_those_of_an_optimizer(name):
    found = minimize(RULES[name].scaled(0.1), gtol=0.0, maxiter=20, return_all=True)
    expected = points_of_optimizer(RULES[name].scaled(0.1), BOOTH, 20)
    if not RULES[name].averages:
        assert found.fun == min(BOOTH.fun(x) for x in expected)
    assert equal_bits(np.array(found.allvecs), expected)


def test_points_in_bounds_are_projected_after_each_step():
    rule, bounds = lrcore.SGD(lr=0.05, momentum=0.5), Bounds([-3.0, 0.5], [0.25, 5.0])
    found = minimize(rule, bounds=bounds, maxiter=30, gtol=0.0, return_all=True)

    def project(x):
        return np.minimum(np.maximum(x, bounds.lb), bounds.ub)

    start = functions.Problem(BOOTH.fun, BOOTH.jac, project(BOOTH.x0), BOOTH.minima, 0.0)
    assert equal_bits(np.array(found.allvecs), points_of_optimizer(rule, start, 30, project))


@pytest.mark.parametrize(
    "schedule",
    [Cosine(0.05, steps="50%").warmup("10%"), Cosine(0.05, steps="20ep").warmup("4ep")],
    ids=["fractions", "epochs"],
)
def test_lengths_are_of_maxiter_and_an_epoch_is_a_step(schedule):
    found = minimize(lrcore.SGD(schedule), maxiter=40, gtol=0.0)
    exact = Cosine(0.05, steps=20).warmup(4).rates(np.arange(40))
    assert equal_bits(found.lr_history, exact)


def test_rates_are_as_many_as_steps():
    found = minimize(lrcore.SGD(lr=0.1))
    assert 0 < found.nit < 100
    assert equal_bits(found.lr_history, np.full(found.nit, 0.1))
    assert minimize(lrcore.SGD(lr=0.1), maxiter=0).lr_history.shape == (0,)


def test_rates_of_dog_are_its_distance_over_the_root_of_its_squares():
    found = minimize(lrcore.DoG(lr=2.0, eps=1e-8), maxiter=15, gtol=0.0, return_all=True)
    squares, far = 0.0, 1e-6 * (1 + np.linalg.norm(BOOTH.x0))
    rates = []
    for x in found.allvecs[:-1]:
        far = max(far, np.linalg.norm(x - BOOTH.x0))
        squares += np.sum(BOOTH.jac(x) ** 2)
        rates.append(2.0 * far / np.sqrt(squares + 1e-8))
    np.testing.assert_allclose(found.lr_history, rates, rtol=1e-6)


def test_a_copy_of_a_plateau_gets_the_values_of_fun():
    plateau = Plateau(Constant(0.11), factor=0.5, patience=2)
    found = minimize(lrcore.SGD(plateau, momentum=0.9), maxiter=60, gtol=0.0, return_all=True)
    own = Plateau(Constant(0.11), factor=0.5, patience=2)
    rates = []
    for x in found.allvecs[1:]:
        rates.append(0.11 * own.scale)
        own.update(BOOTH.fun(x))
    assert own.scale < 1
    assert equal_bits(found.lr_history, np.array(rates))
    assert plateau.scale == 1
