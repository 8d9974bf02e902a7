"""Every penalty: its value against the definition, its proximal step against a search, its
subgradient against differences, and the registry of the core."""

import numpy as np
import oracles
import pytest
from strategies import DTYPES

from lrcore import penalties
from lrcore.penalties import PENALTIES

ALPHA, L1_RATIO = 0.7, 0.4
WEIGHTS = np.concatenate([np.linspace(-2.0, 2.0, 41), [1e-9, -1e-9, 300.0]])


def made(name):
    return penalties.make(name, ALPHA, L1_RATIO)


@pytest.mark.parametrize("name", PENALTIES)
def test_value_follows_the_definition(name):
    factors = np.arange(WEIGHTS.size) % 3 * 0.5
    for given, each in ((1.0, np.ones(WEIGHTS.size)), (factors, factors)):
        expected = sum(
            f * oracles.penalty(name, w, ALPHA, L1_RATIO) for w, f in zip(WEIGHTS, each) if f
        )
        np.testing.assert_allclose(made(name).value(WEIGHTS[None], given), expected, rtol=1e-12)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("step, preconditioner", [(0.3, 1.0), (2.0, 0.25), (1e-3, 40.0)])
def test_prox_is_the_minimum_that_a_search_finds(name, step, preconditioner):
    weights = WEIGHTS[np.abs(WEIGHTS) <= 2.0]
    found = made(name).prox(weights, np.full(weights.size, step), preconditioner)
    for w, v in zip(weights, found):
        expected = oracles.penalty_prox(name, w, ALPHA, L1_RATIO, step, preconditioner)
        np.testing.assert_allclose(v, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PENALTIES)
def test_the_subgradient_at_the_minimum_is_zero(name):
    """The prox is the minimum of a quadratic loss plus the penalty."""
    penalty, w = made(name), WEIGHTS[None]
    v = penalty.prox(w, np.ones_like(w), 1.0)
    np.testing.assert_allclose(penalty.subgradient(v - w, v), 0.0, atol=1e-12 * np.abs(w).max())
    assert np.abs(penalty.subgradient(v - w + 3.0, v)).min() > 0.1


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_prox_keeps_the_dtype_and_without_a_step_the_weights(name, dtype):
    w = np.abs(WEIGHTS).astype(dtype)
    found = made(name).prox(w, np.zeros(w.size, dtype), dtype(1.0))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, w)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_survives_being_saved(name):
    assert penalties.from_dict(penalties.to_dict(made(name))) == made(name)


def test_no_penalty_is_zero():
    assert penalties.make(None, ALPHA, L1_RATIO).is_zero
    assert all(not made(name).is_zero for name in PENALTIES)


@pytest.mark.parametrize("name", [None, *PENALTIES])
@pytest.mark.parametrize("factors", [1.0, np.array([2.0, 1.0, 0.0])], ids=["plain", "factors"])
def test_the_subgradient_is_the_shortest(name, factors):
    """The smaller of the derivatives to either side of each weight; 0 where both lead up."""
    penalty, h = penalties.make(name, ALPHA, L1_RATIO), 1e-7
    w = np.array([[0.0, -2.0, 0.5], [1.0, 0.0, -3.0]])
    gradient = np.array([[0.2, -0.1, 0.4], [0.9, -0.9, 0.0]])
    got = penalty.subgradient(gradient, w, factors)

    def value(v):
        return np.sum(gradient * v) + penalty.value(v, factors)

    for place in np.ndindex(w.shape):
        up, down = w.copy(), w.copy()
        up[place] += h
        down[place] -= h
        right, left = (value(up) - value(w)) / h, (value(w) - value(down)) / h
        expected = 0.0 if left <= 0 <= right else min(left, right, key=abs)
        assert got[place] == pytest.approx(expected, abs=1e-5)
    assert np.any(got != 0)


def test_the_base_class_cannot_be_used():
    w = np.ones((1, 3))
    for call in (lambda p: p.value(w), lambda p: p.is_zero, lambda p: p.subgradient(w, w)):
        with pytest.raises(TypeError, match=r"use one of the penalties in lrcore\.penalties"):
            call(penalties.Penalty())
