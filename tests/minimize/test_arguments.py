"""Wrong arguments are refused before anything is called."""

import numpy as np
import pytest
from scipy.optimize import Bounds, NonlinearConstraint

import lrcore
from lrcore.schedules import Constant, Plateau

from .problems import (
    bowl,
    bowl_gradient,
    solve,
    solve_rows,
)

#: What is called, the error, and what its message has.
REFUSED = {
    "empty": (lambda: solve(x0=[]), ValueError, r"x0 must have at least one element"),
    "NaN": (lambda: solve(x0=[1, np.nan]), ValueError, r"x0 must be finite, got nan at \[1\]"),
    "inf": (lambda: solve(x0=np.full((2, 2), np.inf)), ValueError, r"got inf at \[0, 0\]"),
    "complex": (lambda: solve(x0=[1j]), ValueError, r"x0 must be real numbers, got complex128"),
    "words": (lambda: solve(x0=["a"]), ValueError, r"x0 must be real numbers, got <U1"),
    "objects": (lambda: solve(x0=[None]), ValueError, r"x0 must be real numbers, got object"),
    "fun": (lambda: solve(fun=3), TypeError, r"fun must be a function, got 3"),
    "fun gives x": (
        lambda: solve(fun=bowl_gradient),
        ValueError,
        r"fun must return a single number.*\(2,\)",
    ),
    "fun gives None": (lambda: solve(fun=lambda x: None), TypeError, r"must return a real number"),
    "fun gives words": (lambda: solve(fun=lambda x: "1"), TypeError, r"real number, got '1'"),
    "fun gives complex": (lambda: solve(fun=lambda x: 1j), TypeError, r"real number, got 1j"),
    "fun writes": (lambda: solve(fun=lambda x: x.fill(0)), ValueError, r"read-only"),
    "jac": (lambda: solve(jac=3), ValueError, r"jac must be a function.*2-point.*got 3"),
    "jac unknown": (lambda: solve(jac="4-point"), ValueError, r"cs, got '4-point'"),
    "jac short": (
        lambda: solve(jac=lambda x: x[:1]),
        ValueError,
        r"the shape of x, \(2,\), got \(1,\)",
    ),
    "jac long": (lambda: solve(jac=lambda x: np.zeros(3)), ValueError, r"\(2,\), got \(3,\)"),
    "jac a column": (lambda: solve(jac=lambda x: x[:, None]), ValueError, r"\(2,\), got \(2, 1\)"),
    "jac a number": (lambda: solve(jac=lambda x: 0.0), ValueError, r"\(2,\), got \(\)"),
    "jac None": (lambda: solve(jac=lambda x: None), TypeError, r"jac must return real numbers"),
    "jac complex": (
        lambda: solve(jac=lambda x: x + 0j),
        TypeError,
        r"jac must return real numbers",
    ),
    "no pair": (lambda: solve(jac=True), ValueError, r"fun must return a pair"),
    "crossed": (
        lambda: solve(bounds=[(0, 1), (2, 1)]),
        ValueError,
        r"lower bound of element 1 of x must not be above the upper one, got 2.0 and 1.0",
    ),
    "NaN bound": (lambda: solve(bounds=Bounds(np.nan, 1)), ValueError, r"bounds must not be NaN"),
    "no room": (lambda: solve(bounds=Bounds(np.inf, np.inf)), ValueError, r"must leave room"),
    "one pair": (lambda: solve(bounds=[(0, 1)]), ValueError, r"each of the 2 elements of x, got 1"),
    "no pairs": (
        lambda: solve(bounds=[0, 1]),
        ValueError,
        r"bounds must be a scipy.optimize.Bounds",
    ),
    "bounds of 3": (lambda: solve(bounds=Bounds([0, 0, 0], 1)), ValueError, r"must fit x.*\(2,\)"),
    "constraints": (
        lambda: solve(constraints=NonlinearConstraint(bowl, 0, 1)),
        ValueError,
        r"SGD.minimize takes bounds, but no constraints",
    ),
    "callback": (lambda: solve(callback=3), TypeError, r"callback must be a function, got 3"),
    "maxiter": (lambda: solve(maxiter=-1), ValueError, r"maxiter must be >= 0, got -1"),
    "maxiter 0.5": (lambda: solve(maxiter=0.5), TypeError, r"maxiter must be an integer, got 0.5"),
    "maxiter True": (lambda: solve(maxiter=True), TypeError, r"maxiter must be an integer"),
    "gtol": (lambda: solve(gtol=-1.0), ValueError, r"gtol must be"),
    "tol": (lambda: solve(tol=np.nan), ValueError, r"tol must be"),
    "ftol": (lambda: solve(ftol="x"), TypeError, r"ftol must be"),
    "xtol": (lambda: solve(xtol=np.inf), ValueError, r"xtol must be"),
    "n_threads": (lambda: solve(n_threads=0), ValueError, r"n_threads must be in 1 to 1024"),
    "line_search": (
        lambda: solve(line_search="wolfe"),
        ValueError,
        r"None or 'armijo', got 'wolfe'",
    ),
    "averaging": (lambda: solve(averaging="mean"), ValueError, r"averaging must be .* got 'mean'"),
    "averaging 1": (lambda: solve(averaging=1.0), ValueError, r"averaging must be in \[0, 1\)"),
    "polish": (lambda: solve(polish="bfgs"), ValueError, r"None or 'lbfgs', got 'bfgs'"),
    "both": (
        lambda: solve(averaging="polyak", line_search="armijo"),
        ValueError,
        r"averaging='polyak'.*line_search='armijo'.*leave one",
    ),
    "differences": (
        lambda: solve(jac=None, finite_differences="central"),
        ValueError,
        r"got 'central'",
    ),
    "maximize": (
        lambda: solve(rule=lrcore.SGD(lr=0.1, maximize=True)),
        ValueError,
        r"-fun for a maximum",
    ),
    "average in a box": (
        lambda: solve(rule=lrcore.ScheduleFreeAdamW(), bounds=Bounds(0, 1)),
        ValueError,
        r"ScheduleFreeAdamW keeps an average .* leave out bounds",
    ),
    "average and search": (
        lambda: solve(rule=lrcore.ScheduleFreeAdamW(), line_search="armijo"),
        ValueError,
        r"leave out line_search",
    ),
    "two averages": (
        lambda: solve(rule=lrcore.ScheduleFreeAdamW(), averaging="polyak"),
        ValueError,
        r"leave out averaging, or use another rule",
    ),
    "rows": (lambda: solve_rows(n=0), ValueError, r"n must be >= 1, got 0"),
    "batch": (lambda: solve_rows(batch_size=0), ValueError, r"batch_size must be >= 1, got 0"),
    "epochs": (lambda: solve_rows(epochs=2.5), TypeError, r"epochs must be an integer, got 2.5"),
    "seed": (lambda: solve_rows(seed=-1), ValueError, r"seed must be"),
    "grad_batch": (lambda: solve_rows(3), TypeError, r"grad_batch must be a function, got 3"),
    "sum's fun": (lambda: solve_rows(fun=3), TypeError, r"fun must be a function or None, got 3"),
    "sum's gradient": (
        lambda: solve_rows(lambda x, rows: rows),
        ValueError,
        r"grad_batch must return the shape of x",
    ),
    "sum's averages": (lambda: solve_rows(averaging="mean"), ValueError, r"averaging must be"),
    "Plateau alone": (
        lambda: solve_rows(rule=lrcore.SGD(Plateau(Constant(0.1)))),
        ValueError,
        r"goes by the function: give fun",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_that_are_refused(case):
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()


def test_nothing_is_called_before_arguments_are_checked():
    calls = []
    with pytest.raises(ValueError, match="above"):
        solve(lambda x: calls.append(x), bounds=Bounds(1, 0))
    assert not calls
