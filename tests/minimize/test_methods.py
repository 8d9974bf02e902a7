"""scipy.optimize's protocol: what holds for its own methods holds for the rules."""

import inspect
import pickle
from functools import partial

import numpy as np
import pytest
from scipy.optimize import Bounds, OptimizeResult, OptimizeWarning, minimize

import lrcore

START = np.array([-1.2, 1.0, 0.7])

#: Built-in methods, and rules with rates that suit the functions below.
BUILT_IN = {name: name for name in ("BFGS", "CG", "L-BFGS-B", "SLSQP")}
OURS = {
    "momentum": lrcore.SGD(lr=0.02, momentum=0.8).minimize,
    "Adam": lrcore.Adam(lr=0.1, beta1=0.8, beta2=0.99).minimize,
    "armijo": partial(lrcore.SGD(lr=0.01, momentum=0.9).minimize, line_search="armijo"),
}
METHODS = {**BUILT_IN, **OURS}
BOUNDED = ("L-BFGS-B", "SLSQP", *OURS)

every = pytest.mark.parametrize("method", METHODS)
bounded = pytest.mark.parametrize("method", BOUNDED)
ours = pytest.mark.parametrize("method", OURS)


def knows_intermediate_results():
    """Whether scipy's own methods do, and stop at StopIteration; they learnt both at once."""

    def callback(intermediate_result):
        raise StopIteration

    try:
        return minimize(lambda x: x @ x, [1.0], method="BFGS", callback=callback).nit == 1
    except (StopIteration, TypeError, AttributeError):
        return False


modern = pytest.mark.parametrize("method", METHODS if knows_intermediate_results() else OURS)


def valley(x):
    """Rosenbrock's function with a valley that is fifty times as wide."""
    return np.sum(2 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def valley_der(x):
    g, r = np.zeros_like(x), x[1:] - x[:-1] ** 2
    g[1:] += 4 * r
    g[:-1] -= 8 * r * x[:-1] + 2 * (1 - x[:-1])
    return g


def solve(method, fun=valley, x0=START, **keywords):
    """scipy's function, with the gradient of `valley` unless told otherwise."""
    if fun is valley:
        keywords.setdefault("jac", valley_der)
    return minimize(fun, x0, method=METHODS[method], **keywords)


def bowl(x, centre=3.0):
    """Half the squared distance from a point."""
    return 0.5 * np.sum((x - centre) ** 2)


def bowl_der(x, centre=3.0):
    return x - centre


# ---- results ----------------------------------------------------------------------------------


@every
def test_the_result_is_scipys_object_with_its_types(method):
    found = solve(method)
    assert isinstance(found, OptimizeResult)
    assert found.success is True or found.success is np.True_
    assert found.status == 0
    assert isinstance(found.message, str)
    assert found.x.dtype == np.float64
    assert found.x.shape == found.jac.shape == (3,)
    assert found.x.flags.writeable
    assert np.ndim(found.fun) == 0
    assert found.fun == valley(found.x)
    assert all(found[name] >= 1 for name in ("nit", "nfev", "njev"))
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)
    np.testing.assert_allclose(found.jac, valley_der(found.x), atol=1e-12)


@every
def test_a_start_at_the_minimum_ends_at_once(method):
    found = solve(method, x0=np.ones(3))
    assert found.success
    assert found.nit <= 1
    np.testing.assert_array_equal(found.x, 1.0)


@every
@pytest.mark.parametrize("x0", [[5, 1], (5, 1), np.array([5, 1], np.int8), np.array([5.0, 1.0])])
def test_starts_of_any_kind_are_copied(method, x0):
    before = np.array(x0)
    found = solve(method, bowl, x0, jac=bowl_der)
    np.testing.assert_allclose(found.x, 3.0, atol=1e-3)
    assert found.x.dtype == np.float64
    np.testing.assert_array_equal(x0, before)
    assert not np.shares_memory(found.x, x0)


@every
def test_starts_may_be_read_only_or_strided(method):
    x0 = np.array([5.0, 0.0, 1.0, 0.0])[::2]
    x0.flags.writeable = False
    np.testing.assert_allclose(solve(method, bowl, x0, jac=bowl_der).x, 3.0, atol=1e-3)


@every
def test_a_number_is_a_start_of_one_element(method):
    found = solve(method, bowl, 5.0, jac=bowl_der)
    assert found.x.shape == (1,)
    assert abs(found.x[0] - 3.0) < 1e-3


# ---- functions --------------------------------------------------------------------------------


@every
def test_fun_with_its_gradient_gives_the_same_result(method):
    both = solve(method, lambda x: (valley(x), valley_der(x)), jac=True)
    apart = solve(method)
    np.testing.assert_array_equal(both.x, apart.x)
    assert (both.nit, both.fun) == (apart.nit, apart.fun)


@every
@pytest.mark.parametrize("args", [(2.0,), 2.0])
def test_args_are_passed_to_fun_and_jac(method, args):
    found = solve(method, bowl, [5.0, 1.0], jac=bowl_der, args=args)
    np.testing.assert_allclose(found.x, 2.0, atol=1e-3)


@every
def test_args_are_passed_to_fun_with_its_gradient(method):
    def both(x, a, b):
        return bowl(x, a + b), bowl_der(x, a + b)

    found = solve(method, both, [5.0, 1.0], jac=True, args=(1.5, 0.5))
    np.testing.assert_allclose(found.x, 2.0, atol=1e-3)


@every
@pytest.mark.parametrize("jac", [None, False])
def test_without_a_gradient_there_are_differences(method, jac):
    found = solve(method, bowl, [5.0, 1.0], jac=jac)
    np.testing.assert_allclose(found.x, 3.0, atol=1e-3)
    assert found.nfev >= 3 * found.nit


@every
def test_what_fun_keeps_of_x_stays(method):
    seen = []

    def fun(x):
        seen.append((x, x.copy()))
        return valley(x)

    solve(method, fun, jac=valley_der, options={"maxiter": 5})
    assert len(seen) > 3
    for kept, copied in seen[:-1]:
        np.testing.assert_array_equal(kept, copied)


@every
def test_fun_may_return_an_array_of_one(method):
    found = solve(method, lambda x: np.array([bowl(x)]), [5.0], jac=bowl_der)
    assert np.size(found.fun) == 1
    assert abs(found.x[0] - 3.0) < 1e-3


@every
def test_fun_must_return_one_number(method):
    with pytest.raises((ValueError, TypeError)):
        solve(method, lambda x: x, [5.0, 1.0], jac=bowl_der)


@every
def test_errors_of_fun_are_raised(method):
    def fun(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        solve(method, fun, [5.0, 1.0], jac=bowl_der)


@every
def test_nan_is_no_success(method):
    found = solve(method, lambda x: np.nan, [5.0, 1.0], jac=lambda x: x * np.nan)
    assert not found.success


# ---- callbacks --------------------------------------------------------------------------------


@modern
def test_a_callback_gets_a_copy_of_x_after_each_step(method):
    seen = []

    def callback(xk):
        seen.append(xk.copy())
        xk[:] = 100.0

    found = solve(method, callback=callback)
    assert len(seen) == found.nit
    np.testing.assert_array_equal(seen[-1], found.x)
    np.testing.assert_array_equal(found.x, solve(method).x)


class Watcher:
    def __init__(self):
        self.seen = []

    def __call__(self, intermediate_result):
        assert isinstance(intermediate_result, OptimizeResult)
        assert intermediate_result.fun == valley(intermediate_result.x)
        self.seen.append(intermediate_result.x.copy())


@modern
@pytest.mark.parametrize("kind", ["keyword", "object"])
def test_a_callback_gets_an_intermediate_result_by_that_name(method, kind):
    watcher = Watcher()

    def by_keyword(*, intermediate_result):
        watcher(intermediate_result)

    found = solve(method, callback=by_keyword if kind == "keyword" else watcher)
    assert len(watcher.seen) == found.nit
    np.testing.assert_array_equal(watcher.seen[-1], found.x)


@modern
@pytest.mark.parametrize("form", ["x", "intermediate_result"])
def test_stop_iteration_ends_the_run_as_maxiter_would(method, form):
    if method == "SLSQP":
        pytest.skip("steps once more before it stops")
    calls = {"callback": 0, "late": 0}

    def fun(x):
        calls["late"] += calls["callback"] == 4
        return valley(x)

    def count():
        calls["callback"] += 1
        if calls["callback"] == 4:
            raise StopIteration

    def of_x(xk):
        count()

    def of_result(intermediate_result):
        count()

    found = solve(
        method, fun, jac=valley_der, callback=of_x if form == "x" else of_result
    )  # fmt: skip
    whole = solve(method, options={"maxiter": 4})
    assert calls == {"callback": 4, "late": 0}
    assert found.status == 99
    assert not found.success
    assert found.message.startswith("`callback` raised `StopIteration`")
    assert found.nit == whole.nit == 4
    np.testing.assert_array_equal(found.x, whole.x)


@every
def test_other_errors_of_a_callback_are_raised(method):
    def callback(xk):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        solve(method, callback=callback)


# ---- options ----------------------------------------------------------------------------------


@every
def test_maxiter_is_no_success(method):
    found = solve(method, options={"maxiter": 3})
    assert found.nit == 3
    assert not found.success
    assert found.status != 0


@every
def test_tol_is_the_gradients(method):
    rough, fine = (solve(method, tol=tol) for tol in (1e-1, 1e-7))
    assert rough.nit < fine.nit
    assert np.abs(rough.jac).max() > np.abs(fine.jac).max()


@every
def test_disp_prints(method, capfd):
    if method == "L-BFGS-B":
        pytest.skip("deprecated there")
    solve(method, bowl, [5.0, 1.0], jac=bowl_der)
    assert capfd.readouterr().out == ""
    solve(method, bowl, [5.0, 1.0], jac=bowl_der, options={"disp": True})
    assert capfd.readouterr().out != ""


@every
def test_unknown_options_warn(method):
    with pytest.warns(OptimizeWarning, match="Unknown solver options: ekki, hvad"):
        solve(method, bowl, [5.0, 1.0], jac=bowl_der, options={"ekki": 1, "hvad": 2})


@every
@pytest.mark.parametrize("name", ["hess", "hessp"])
def test_second_derivatives_are_not_used_and_a_warning_says_so(method, name):
    with pytest.warns(RuntimeWarning, match=f"{name}"):
        solve(method, bowl, [5.0, 1.0], jac=bowl_der, **{name: lambda x, *p: np.eye(2)})


@pytest.mark.parametrize("method", ["BFGS", "CG", *OURS])
def test_return_all_keeps_every_point(method):
    found = solve(method, options={"return_all": True, "maxiter": 7})
    assert len(found.allvecs) == 8
    np.testing.assert_array_equal(found.allvecs[0], START)
    assert len({point.tobytes() for point in found.allvecs}) == 8
    assert "allvecs" not in solve(method, options={"maxiter": 7})


# ---- bounds -----------------------------------------------------------------------------------

LOW, HIGH = np.array([-2.0, -np.inf, -2.0]), np.array([0.5, np.inf, 2.0])
FORMS = {
    "Bounds": Bounds(LOW, HIGH),
    "pairs": [(-2.0, 0.5), (None, None), (-2.0, 2.0)],
    "infinite pairs": [(-2, 0.5), (-np.inf, np.inf), (-2, 2)],
}


@bounded
@pytest.mark.parametrize("form", FORMS)
def test_bounds_in_every_form(method, form):
    found = solve(method, bounds=FORMS[form], tol=1e-6, options={"maxiter": 4000})
    exact = solve("SLSQP", bounds=FORMS["Bounds"], tol=1e-12)
    assert found.success
    assert (found.x >= LOW).all()
    assert (found.x <= HIGH).all()
    np.testing.assert_allclose(found.x, exact.x, atol=1e-3)


@bounded
def test_bounds_of_one_number_for_all(method):
    found = solve(method, bowl, [0.5, 1.0], jac=bowl_der, bounds=Bounds(-np.inf, 2.0))
    np.testing.assert_allclose(found.x, 2.0, atol=1e-6)


@bounded
def test_fun_is_not_called_out_of_bounds(method):
    def fun(x):
        assert (x >= LOW).all()
        assert (x <= HIGH).all()
        return valley(x)

    solve(method, fun, jac=valley_der, bounds=Bounds(LOW, HIGH))
    solve(method, fun, jac=None, bounds=Bounds(LOW, HIGH), options={"maxiter": 30})


@bounded
def test_a_start_out_of_bounds_is_moved(method):
    found = solve(method, bowl, [10.0, -10.0], jac=bowl_der, bounds=Bounds(0.0, 2.0))
    np.testing.assert_allclose(found.x, 2.0, atol=1e-6)


@bounded
def test_equal_bounds_fix_an_element(method):
    found = solve(method, bowl, [0.0, 0.0], jac=bowl_der, bounds=[(1.5, 1.5), (None, None)])
    assert found.x[0] == 1.5
    assert abs(found.x[1] - 3.0) < 1e-3


@bounded
def test_crossed_bounds_are_refused(method):
    with pytest.raises(ValueError, match="bound"):
        solve(method, bounds=Bounds([0, 0, 1], [1, 1, 0]))


@bounded
def test_bounds_that_do_not_fit_are_refused(method):
    with pytest.raises(ValueError):
        solve(method, bounds=[(0, 1), (0, 1)])


# ---- ours alone -------------------------------------------------------------------------------


@ours
def test_scipys_function_and_the_method_give_the_same_result(method):
    direct = OURS[method](valley, START, jac=valley_der, maxiter=50)
    through = solve(method, options={"maxiter": 50})
    np.testing.assert_array_equal(direct.x, through.x)
    assert direct.message == through.message


def test_the_method_can_be_pickled_and_has_a_signature():
    rule = lrcore.Adam(lr=0.1)
    method = pickle.loads(pickle.dumps(rule.minimize))
    assert method.__self__ == rule
    assert method.__func__ is type(rule).minimize
    options = inspect.signature(method).parameters
    assert {"fun", "x0", "maxiter", "gtol", "line_search", "averaging", "polish"} <= set(options)
    assert "self" not in options


@ours
def test_an_empty_list_of_constraints_is_none(method):
    assert solve(method, x0=np.ones(3), constraints=[]).success


@ours
def test_constraints_are_refused_by_name(method):
    with pytest.raises(ValueError, match=r"minimize takes bounds, but no constraints.*SLSQP"):
        solve(method, constraints={"type": "eq", "fun": lambda x: x.sum()})
