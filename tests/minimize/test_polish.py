"""The second phase by L-BFGS."""

import numpy as np
import pytest
from scipy.optimize import Bounds
from strategies import equal_bits

import lrcore

from .problems import (
    VALLEY,
    minimize,
)


@pytest.mark.parametrize("bounds", [None, Bounds(-2.0, [0.5, np.inf])], ids=["free", "bounded"])
def test_polish_reports_both_phases(bounds):
    seen = []
    found = minimize(
        lrcore.Adam(lr=0.1), VALLEY, polish="lbfgs", maxiter=30, gtol=1e-8, bounds=bounds,
        callback=lambda x: seen.append(x),
    )  # fmt: skip
    first, second = found.phases
    assert (found.status, found.success) == (0, True)
    assert (first.status, first.nit, first.nfev) == (1, 30, 31)
    assert found.nit == 30 + second.nit == len(seen)
    assert found.nfev == 31 + second.nfev
    assert found.message.startswith("The 30 steps of maxiter are done. Then L-BFGS-B: ")
    assert len(found.lr_history) == 30
    assert equal_bits(found.x, second.x)
    assert np.abs(second.jac[int(bounds is not None) :]).max() <= 1e-8
    expected = [1.0, 1.0] if bounds is None else [0.5, 0.25]
    np.testing.assert_allclose(found.x, expected, atol=1e-7)
    np.testing.assert_array_equal(seen[-1], found.x)


def test_a_callback_can_stop_the_polish():
    def until(limit):
        calls = iter(range(limit - 1))

        def callback(*, intermediate_result):
            assert intermediate_result.fun == VALLEY.fun(intermediate_result.x)
            if next(calls, None) is None:
                raise StopIteration

        return callback

    found = minimize(lrcore.Adam(lr=0.1), VALLEY, polish="lbfgs", maxiter=30, callback=until(34))
    assert (found.status, found.nit, found.phases[1].nit) == (99, 34, 4)
    assert found.fun == VALLEY.fun(found.x) < found.phases[0].fun
    early = minimize(lrcore.Adam(lr=0.1), VALLEY, polish="lbfgs", maxiter=30, callback=until(10))
    assert (early.status, early.nit) == (99, 10)
    assert "phases" not in early


def test_polish_starts_at_the_best_point_even_after_divergence():
    with np.errstate(all="ignore"):
        found = minimize(lrcore.SGD(lr=0.02), VALLEY, polish="lbfgs")
    assert found.phases[0].status == 3
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


@pytest.mark.parametrize("jac", [None, lambda x: 2 * (x - 1)], ids=["differences", "jac"])
def test_bounds_may_leave_nothing_to_polish(jac):
    found = lrcore.Adam(lr=0.1).minimize(
        lambda x: float(np.sum((x - 1) ** 2)), [0.0, 0.0], jac=jac, bounds=[(0, 0), (2, 2)],
        polish="lbfgs",
    )  # fmt: skip
    assert (found.success, found.status, found.nit, found.fun) == (True, 0, 0, 2.0)
    assert found.message.endswith("The bounds let no element of x move.")
    np.testing.assert_array_equal(found.x, [0.0, 2.0])
    np.testing.assert_array_equal(found.jac, [0.0, 0.0] if jac is None else [-2.0, 2.0])
    assert [phase.nit for phase in found.phases] == [0, 0]
