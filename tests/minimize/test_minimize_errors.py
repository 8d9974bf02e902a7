"""Bad input to `Rule.minimize`: a clear error, or an honest status."""

import numpy as np
import pytest
from scipy.optimize import Bounds, NonlinearConstraint

import lrcore
from lrcore.schedules import Constant, Plateau

RULE = lrcore.SGD(lr=0.1)
SUM = lrcore.SGD(lr=0.1).minimize_stochastic


def bowl(x):
    return 0.5 * np.sum(x * x)


def slope(x):
    return x.copy()


def run(fun=bowl, x0=(3.0, 4.0), rule=RULE, **keywords):
    keywords.setdefault("jac", slope)
    return rule.minimize(fun, x0, **keywords)


def sums(grad_batch=lambda x, rows: x.copy(), x0=(3.0, 4.0), n=10, rule=RULE, **keywords):
    return rule.minimize_stochastic(grad_batch, x0, n, **keywords)


#: What is called, the error, and what its message has.
REFUSED = {
    "empty": (lambda: run(x0=[]), ValueError, r"x0 must have at least one element"),
    "NaN": (lambda: run(x0=[1, np.nan]), ValueError, r"x0 must be finite, got nan at \[1\]"),
    "inf": (lambda: run(x0=np.full((2, 2), np.inf)), ValueError, r"got inf at \[0, 0\]"),
    "complex": (lambda: run(x0=[1j]), ValueError, r"x0 must be real numbers, got complex128"),
    "words": (lambda: run(x0=["a"]), ValueError, r"x0 must be real numbers, got <U1"),
    "objects": (lambda: run(x0=[None]), ValueError, r"x0 must be real numbers, got object"),
    "fun": (lambda: run(fun=3), TypeError, r"fun must be a function, got 3"),
    "fun gives x": (lambda: run(fun=slope), ValueError, r"fun must return a single number.*\(2,\)"),
    "fun gives None": (lambda: run(fun=lambda x: None), TypeError, r"must return a real number"),
    "fun gives words": (lambda: run(fun=lambda x: "1"), TypeError, r"real number, got '1'"),
    "fun gives complex": (lambda: run(fun=lambda x: 1j), TypeError, r"real number, got 1j"),
    "fun writes": (lambda: run(fun=lambda x: x.fill(0)), ValueError, r"read-only"),
    "jac": (lambda: run(jac=3), ValueError, r"jac must be a function.*2-point.*got 3"),
    "jac unknown": (lambda: run(jac="4-point"), ValueError, r"cs, got '4-point'"),
    "jac short": (
        lambda: run(jac=lambda x: x[:1]), ValueError, r"the shape of x, \(2,\), got \(1,\)",
    ),
    "jac long": (lambda: run(jac=lambda x: np.zeros(3)), ValueError, r"\(2,\), got \(3,\)"),
    "jac a column": (lambda: run(jac=lambda x: x[:, None]), ValueError, r"\(2,\), got \(2, 1\)"),
    "jac a number": (lambda: run(jac=lambda x: 0.0), ValueError, r"\(2,\), got \(\)"),
    "jac None": (lambda: run(jac=lambda x: None), TypeError, r"jac must return real numbers"),
    "jac complex": (lambda: run(jac=lambda x: x + 0j), TypeError, r"jac must return real numbers"),
    "no pair": (lambda: run(jac=True), ValueError, r"fun must return a pair"),
    "crossed": (
        lambda: run(bounds=[(0, 1), (2, 1)]), ValueError,
        r"lower bound of element 1 of x must not be above the upper one, got 2.0 and 1.0",
    ),
    "NaN bound": (lambda: run(bounds=Bounds(np.nan, 1)), ValueError, r"bounds must not be NaN"),
    "no room": (lambda: run(bounds=Bounds(np.inf, np.inf)), ValueError, r"must leave room"),
    "one pair": (lambda: run(bounds=[(0, 1)]), ValueError, r"each of the 2 elements of x, got 1"),
    "no pairs": (lambda: run(bounds=[0, 1]), ValueError, r"bounds must be a scipy.optimize.Bounds"),
    "bounds of 3": (lambda: run(bounds=Bounds([0, 0, 0], 1)), ValueError, r"must fit x.*\(2,\)"),
    "constraints": (
        lambda: run(constraints=NonlinearConstraint(bowl, 0, 1)), ValueError,
        r"SGD.minimize takes bounds, but no constraints",
    ),
    "callback": (lambda: run(callback=3), TypeError, r"callback must be a function, got 3"),
    "maxiter": (lambda: run(maxiter=-1), ValueError, r"maxiter must be >= 0, got -1"),
    "maxiter 0.5": (lambda: run(maxiter=0.5), TypeError, r"maxiter must be an integer, got 0.5"),
    "maxiter True": (lambda: run(maxiter=True), TypeError, r"maxiter must be an integer"),
    "gtol": (lambda: run(gtol=-1.0), ValueError, r"gtol must be"),
    "tol": (lambda: run(tol=np.nan), ValueError, r"tol must be"),
    "ftol": (lambda: run(ftol="x"), TypeError, r"ftol must be"),
    "xtol": (lambda: run(xtol=np.inf), ValueError, r"xtol must be"),
    "n_threads": (lambda: run(n_threads=0), ValueError, r"n_threads must be in 1 to 1024"),
    "line_search": (lambda: run(line_search="wolfe"), ValueError, r"None or 'armijo', got 'wolfe'"),
    "averaging": (lambda: run(averaging="mean"), ValueError, r"averaging must be .* got 'mean'"),
    "averaging 1": (lambda: run(averaging=1.0), ValueError, r"averaging must be in \[0, 1\)"),
    "polish": (lambda: run(polish="bfgs"), ValueError, r"None or 'lbfgs', got 'bfgs'"),
    "both": (
        lambda: run(averaging="polyak", line_search="armijo"), ValueError,
        r"averaging='polyak'.*line_search='armijo'.*leave one",
    ),
    "differences": (
        lambda: run(jac=None, finite_differences="central"), ValueError, r"got 'central'",
    ),
    "maximize": (
        lambda: run(rule=lrcore.SGD(lr=0.1, maximize=True)), ValueError, r"-fun for a maximum",
    ),
    "average in a box": (
        lambda: run(rule=lrcore.ScheduleFreeAdamW(), bounds=Bounds(0, 1)), ValueError,
        r"ScheduleFreeAdamW keeps an average .* leave out bounds",
    ),
    "average and search": (
        lambda: run(rule=lrcore.ScheduleFreeAdamW(), line_search="armijo"), ValueError,
        r"leave out line_search",
    ),
    "two averages": (
        lambda: run(rule=lrcore.ScheduleFreeAdamW(), averaging="polyak"), ValueError,
        r"leave out averaging, or use another rule",
    ),
    "rows": (lambda: sums(n=0), ValueError, r"n must be >= 1, got 0"),
    "batch": (lambda: sums(batch_size=0), ValueError, r"batch_size must be >= 1, got 0"),
    "epochs": (lambda: sums(epochs=2.5), TypeError, r"epochs must be an integer, got 2.5"),
    "seed": (lambda: sums(seed=-1), ValueError, r"seed must be"),
    "grad_batch": (lambda: sums(3), TypeError, r"grad_batch must be a function, got 3"),
    "sum's fun": (lambda: sums(fun=3), TypeError, r"fun must be a function or None, got 3"),
    "sum's slope": (
        lambda: sums(lambda x, rows: rows), ValueError, r"grad_batch must return the shape of x",
    ),
    "sum's averages": (lambda: sums(averaging="mean"), ValueError, r"averaging must be"),
    "Plateau alone": (
        lambda: sums(rule=lrcore.SGD(Plateau(Constant(0.1)))), ValueError,
        r"goes by the function: give fun",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()


def past(good, bad):
    """A function that turns bad where x[0] < 2, as the fourth step from 3 along the slope is."""
    return lambda x: good(x) if x[0] >= 2 else bad(x)


#: fun, jac, what the message says, and at which step the best point is.
TROUBLE = {
    "fun NaN": (past(bowl, lambda x: np.nan), slope, "fun is nan after 4 steps", 3),
    "fun inf": (past(bowl, lambda x: np.inf), slope, "fun is inf after 4 steps", 3),
    "fun -inf": (past(bowl, lambda x: -np.inf), slope, "fun is -inf after 4 steps", 3),
    "jac NaN": (bowl, past(slope, lambda x: x * np.nan), "jac has a nan after 4 steps", 4),
    "jac -inf": (bowl, past(slope, lambda x: x * -np.inf), "jac has a inf after 4 steps", 4),
    "jac some": (
        bowl, past(slope, lambda x: np.array([np.inf, 0.0])), "jac has a inf after 4 steps", 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("bounds", [None, Bounds(-100, 100)], ids=["free", "bounded"])
@pytest.mark.parametrize("case", TROUBLE)
def test_what_is_not_finite_is_a_status_and_the_best_point_is_kept(case, bounds):
    fun, jac, words, best = TROUBLE[case]
    found = run(fun, jac=jac, bounds=bounds)
    assert (found.status, found.success, found.nit) == (3, False, 4)
    assert found.message.startswith(words)
    assert ("x is the best point" in found.message) == (best == 3)
    assert found.best_nit == best
    np.testing.assert_array_equal(found.x, run(maxiter=best).x)
    assert found.fun == bowl(found.x)
    assert len(found.lr_history) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_start_where_fun_is_not_finite_is_the_end(value):
    found = run(lambda x: value)
    assert (found.status, found.nit) == (3, 0)
    np.testing.assert_array_equal(found.x, [3.0, 4.0])
    np.testing.assert_array_equal(found.fun, value)


def test_a_line_search_walks_around_what_is_not_finite():
    steep = lrcore.SGD(lr=1.0)
    plain = run(past(bowl, lambda x: np.nan), rule=steep)
    searched = run(past(bowl, lambda x: np.nan), rule=steep, line_search="armijo", maxiter=20)
    assert plain.status == 3
    assert searched.fun < bowl(np.array([2.1, 3.0]))
    assert searched.x[0] >= 2


def test_a_gradient_that_points_uphill_ends_a_line_search():
    found = run(jac=lambda x: -x, line_search="armijo")
    assert (found.status, found.success, found.nit) == (2, False, 0)
    np.testing.assert_array_equal(found.x, [3.0, 4.0])


def test_gradients_with_squares_past_the_largest_number_are_finite():
    found = run(lambda x: 0.0, [1.0, 1.0], jac=lambda x: np.full(2, 1e200), maxiter=2)
    assert (found.status, found.nit) == (1, 2)
    huge = run(lambda x: 0.0, jac=lambda x: np.full(2, 1e200), rule=lrcore.DoG())
    assert huge.status == 3
    assert "has no rate" in huge.message


def test_a_gradient_past_the_range_of_float32_is_not_finite():
    found = run(x0=np.ones(2, np.float32), jac=lambda x: np.full(2, 1e300))
    assert (found.status, found.nit) == (3, 0)


def test_a_sum_whose_gradient_is_not_finite_stops():
    found = sums(lambda x, rows: x * np.nan, batch_size=3)
    assert (found.status, found.nit, found.njev) == (3, 0, 1)
    assert "grad_batch has a nan after 0 steps" in found.message
    np.testing.assert_array_equal(found.x, [3.0, 4.0])
    found = sums(fun=past(bowl, lambda x: np.nan), batch_size=5)
    assert (found.status, found.nit) == (3, 4)
    assert found.x[0] > 2
    assert found.fun == bowl(found.x)


def test_nothing_is_called_before_arguments_are_checked():
    calls = []
    with pytest.raises(ValueError, match="above"):
        run(lambda x: calls.append(x), bounds=Bounds(1, 0))
    assert not calls
