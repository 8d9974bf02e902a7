"""Our elementary functions against NumPy's extended precision, in units of the last place."""

import numpy as np
import pytest

from lrcore._utils import numerics

rng = np.random.default_rng(0)


def ulps(got, exact):
    return np.max(np.abs((got.astype(np.longdouble) - exact) / np.spacing(np.abs(got))))


def test_exp():
    x = np.concatenate([rng.uniform(-700, 700, 100_000), rng.uniform(-1, 1, 100_000), [0.0]])
    assert ulps(numerics.exp(x), np.exp(x.astype(np.longdouble))) < 1.5
    assert numerics.exp(0.0) == 1.0


def test_log1p_unit():
    e = np.concatenate([rng.uniform(0, 1, 100_000), 10.0 ** rng.uniform(-300, 0, 100_000), [1.0]])
    assert ulps(numerics.log1p_unit(e), np.log1p(e.astype(np.longdouble))) < 2
    assert numerics.log1p_unit(0.0) == 0.0


def test_log():
    x = 10.0 ** rng.uniform(-300, 300, 100_000)
    assert ulps(numerics.log(x), np.log(x.astype(np.longdouble))) < 3


def test_cospi():
    x = np.concatenate([rng.uniform(0, 1, 100_000), [0.0, 0.25, 0.5, 0.75, 1.0]])
    pi = np.longdouble("3.14159265358979323846264338327950288")
    exact = np.cos(pi * x.astype(np.longdouble))
    assert np.max(np.abs(numerics.cospi(x) - exact)) < 4e-16
    assert numerics.cospi([0.0, 0.5, 1.0]).tolist() == [1.0, 0.0, -1.0]


@pytest.mark.parametrize("base", [0.0, 0.5, 0.9, 0.999, 1.0, 1.01])
def test_power(base):
    n = np.concatenate([np.arange(300), [1000, 12345]])
    exact = np.longdouble(base) ** n.astype(np.longdouble)
    np.testing.assert_allclose(numerics.power(base, n), exact.astype(float), rtol=1e-12)


@pytest.mark.parametrize("base", [1 - 1e-9, 1 - 2**-53, 1 + 1e-9, 0.999])
def test_high_powers_keep_their_digits(base):
    n = np.array([10**5, 10**9 - 1, 10**9])
    exact = np.exp(n * np.log(np.longdouble(base)))
    np.testing.assert_allclose(numerics.power(base, n), exact.astype(float), rtol=2e-14)
    assert numerics.power(2.0, [1023, 1024]).tolist() == [2.0**1023, np.inf]
    assert numerics.power(0.5, 2**62) == 0.0


def test_high_real_powers_take_no_longer():
    assert numerics.real_power([0.0, 0.5, 1.0], 1e15)[[0, 2]].tolist() == [0.0, 1.0]
    assert numerics.real_power(1 - 1e-9, 1e9) == pytest.approx(np.exp(-1.0))


def test_real_power():
    x = np.concatenate([rng.uniform(0, 1, 1000), [0.0, 1.0]])
    for p in (0.5, 1, 1.7, 2, 3.0):
        np.testing.assert_allclose(numerics.real_power(x, p), x**p, rtol=1e-13)
    assert numerics.real_power(1.0, 1.7) == 1.0
