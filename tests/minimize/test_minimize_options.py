"""What `Rule.minimize` does besides scipy's protocol: rates, shapes, dtypes, averages, finishes."""

import numpy as np
import pytest
from benchmarks import functions
from scipy.optimize import Bounds, check_grad
from strategies import RULES, equal_bits

import lrcore
from lrcore.minimize.points import CopyPool
from lrcore.minimize.stochastic import batches
from lrcore.schedules import Constant, Cosine, Plateau

BOOTH = functions.booth()
QUADRATIC = functions.quadratic(10, 100.0)
VALLEY = functions.rosenbrock(2)


def run(rule, problem=BOOTH, **keywords):
    """The rule on a problem, a hundred steps unless told otherwise."""
    keywords.setdefault("maxiter", 100)
    keywords.setdefault("x0", problem.x0)
    keywords.setdefault("jac", problem.jac)
    return rule.minimize(problem.fun, **keywords)


def stepped(rule, problem, steps, project=lambda x: x):
    """What an Optimizer does, point by point."""
    x = problem.x0.copy()
    optimizer = lrcore.Optimizer(x, rule)
    points = [x.copy()]
    for _ in range(steps):
        optimizer.step(problem.jac(x))
        x[:] = project(x)
        points.append(x.copy())
    return np.array(points)


# ---- steps and rates --------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_points_are_those_of_an_optimizer(name):
    found = run(RULES[name].scaled(0.1), gtol=0.0, maxiter=20, return_all=True)
    expected = stepped(RULES[name].scaled(0.1), BOOTH, 20)
    if not RULES[name].averages:
        assert found.fun == min(BOOTH.fun(x) for x in expected)
    assert equal_bits(np.array(found.allvecs), expected)


def test_points_in_bounds_are_projected_after_each_step():
    rule, bounds = lrcore.SGD(lr=0.05, momentum=0.5), Bounds([-3.0, 0.5], [0.25, 5.0])
    found = run(rule, bounds=bounds, maxiter=30, gtol=0.0, return_all=True)

    def project(x):
        return np.minimum(np.maximum(x, bounds.lb), bounds.ub)

    start = functions.Problem(BOOTH.fun, BOOTH.jac, project(BOOTH.x0), BOOTH.minima, 0.0)
    assert equal_bits(np.array(found.allvecs), stepped(rule, start, 30, project))


@pytest.mark.parametrize(
    "schedule",
    [Cosine(0.05, steps="50%").warmup("10%"), Cosine(0.05, steps="20ep").warmup("4ep")],
    ids=["fractions", "epochs"],
)
def test_lengths_are_of_maxiter_and_an_epoch_is_a_step(schedule):
    found = run(lrcore.SGD(schedule), maxiter=40, gtol=0.0)
    exact = Cosine(0.05, steps=20).warmup(4).rates(np.arange(40))
    assert equal_bits(found.lr_history, exact)


def test_rates_are_as_many_as_steps():
    found = run(lrcore.SGD(lr=0.1))
    assert 0 < found.nit < 100
    assert equal_bits(found.lr_history, np.full(found.nit, 0.1))
    assert run(lrcore.SGD(lr=0.1), maxiter=0).lr_history.shape == (0,)


def test_rates_of_dog_are_its_distance_over_the_root_of_its_squares():
    found = run(lrcore.DoG(lr=2.0, eps=1e-8), maxiter=15, gtol=0.0, return_all=True)
    squares, far = 0.0, 1e-6 * (1 + np.linalg.norm(BOOTH.x0))
    rates = []
    for x in found.allvecs[:-1]:
        far = max(far, np.linalg.norm(x - BOOTH.x0))
        squares += np.sum(BOOTH.jac(x) ** 2)
        rates.append(2.0 * far / np.sqrt(squares + 1e-8))
    np.testing.assert_allclose(found.lr_history, rates, rtol=1e-6)


def test_a_plateau_hears_of_fun_and_stays_as_it_was():
    plateau = Plateau(Constant(0.11), factor=0.5, patience=2)
    found = run(lrcore.SGD(plateau, momentum=0.9), maxiter=60, gtol=0.0, return_all=True)
    own = Plateau(Constant(0.11), factor=0.5, patience=2)
    rates = []
    for x in found.allvecs[1:]:
        rates.append(0.11 * own.scale)
        own.update(BOOTH.fun(x))
    assert own.scale < 1
    assert equal_bits(found.lr_history, np.array(rates))
    assert plateau.scale == 1


def test_two_over_the_smoothness_is_the_limit_of_plain_descent():
    for problem in (BOOTH, QUADRATIC):
        limit = 2 / problem.smoothness
        below, above = (
            run(lrcore.SGD(lr=share * limit), problem, maxiter=400, gtol=0.0, return_all=True)
            for share in (0.98, 1.02)
        )
        assert problem.fun(below.allvecs[-1]) < problem.fun(below.allvecs[0])
        assert problem.fun(above.allvecs[-1]) > problem.fun(above.allvecs[0])


# ---- points -----------------------------------------------------------------------------------


def test_the_best_point_is_kept_when_the_last_is_worse():
    found = run(lrcore.SGD(lr=0.115), maxiter=30, return_all=True)
    values = [BOOTH.fun(x) for x in found.allvecs]
    best = int(np.argmin(values))
    assert best < 30
    assert (found.best_nit, found.fun) == (best, values[best])
    assert f"x is the best point, which step {best} reached" in found.message
    assert equal_bits(found.x, found.allvecs[best])
    assert equal_bits(found.jac, BOOTH.jac(found.x))


def test_points_are_read_only_and_the_result_is_not():
    def fun(x):
        assert not x.flags.writeable
        return BOOTH.fun(x)

    found = run(lrcore.SGD(lr=0.1), functions.Problem(fun, BOOTH.jac, BOOTH.x0, None, 0.0))
    for array in (found.x, found.jac, found.lr_history):
        assert array.flags.writeable


def test_memory_of_points_is_used_again_unless_somebody_looks_at_it():
    points, x = CopyPool(), np.arange(3.0)
    kept, view, dropped = points.frozen_copy(x), points.frozen_copy(x + 1)[1:], points.frozen_copy(x + 2)
    place = id(dropped)
    del dropped
    again = points.frozen_copy(x + 3)
    assert id(again) == place
    assert not again.flags.writeable
    fresh = points.frozen_copy(x + 4)
    for array, first in ((kept, 0), (view, 2), (again, 3), (fresh, 4)):
        assert array[0] == first


def test_what_fun_keeps_of_a_point_stays():
    views, ends, places = [], [], set()

    def fun(x):
        places.add(id(x))
        if len(views) < 5:
            views.append(x[1:])
            ends.append(x[1])
        return BOOTH.fun(x)

    problem = functions.Problem(fun, BOOTH.jac, BOOTH.x0, BOOTH.minima, 0.0)
    found = run(lrcore.SGD(lr=0.02), problem, maxiter=60, gtol=0.0)
    assert found.nfev == 61
    assert len(places) < 10
    assert len(set(ends)) == 5
    np.testing.assert_array_equal(np.concatenate(views), ends)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6, 1)])
@pytest.mark.parametrize("jac", ["own", True, "3-point"])
@pytest.mark.parametrize("bounds", [None, [(-1.0, 2.0)] * 5 + [(None, None)]], ids=["free", "box"])
def test_fun_and_jac_see_the_shape_of_x0(shape, jac, bounds):
    x0, target = np.zeros(shape), np.arange(6.0).reshape(shape)

    def fun(x):
        assert x.shape == shape
        return np.sum((x - target) ** 2)

    def slope(x):
        return 2 * (x - target)

    keywords = {"own": slope, True: True}.get(jac, jac)
    whole = (lambda x: (fun(x), slope(x))) if jac is True else fun
    found = lrcore.SGD(lr=0.2).minimize(whole, x0, jac=keywords, bounds=bounds)
    expected = target if bounds is None else np.append(np.minimum(target.ravel()[:5], 2), 5)
    assert found.x.shape == found.jac.shape == shape
    np.testing.assert_allclose(found.x.ravel(), np.ravel(expected), atol=1e-4)


def test_float32_stays_float32():
    x0, seen = VALLEY.x0.astype(np.float32), set()

    def fun(x):
        seen.add(x.dtype)
        return VALLEY.fun(x)

    found = lrcore.SGD(lr=1e-3, momentum=0.9).minimize(fun, x0, jac=VALLEY.jac, polish="lbfgs")
    assert seen == {np.dtype(np.float32)}
    assert found.x.dtype == found.jac.dtype == np.float32
    assert found.lr_history.dtype == np.float64
    np.testing.assert_allclose(found.x, 1.0, atol=2e-3)
    np.testing.assert_array_equal(x0, np.float32([-1.2, 1.0]))


@pytest.mark.parametrize("method", ["2-point", "3-point", "cs"])
def test_differences_of_every_kind(method):
    by_jac, by_name = (
        run(lrcore.SGD(lr=0.1), x0=BOOTH.x0, **keywords)
        for keywords in ({"jac": method}, {"jac": None, "finite_differences": method})
    )
    assert equal_bits(by_jac.x, by_name.x)
    assert by_jac.nfev == (1 + {"2-point": 2, "3-point": 4, "cs": 2}[method]) * (by_jac.nit + 1)
    assert by_jac.njev == by_jac.nit + 1
    np.testing.assert_allclose(by_jac.x, BOOTH.minima[0], atol=1e-5)


EXTRAS = {
    "plain": {},
    "average": {"averaging": "polyak"},
    "armijo": {"line_search": "armijo"},
    "polish": {"polish": "lbfgs"},
    "bounds": {"bounds": Bounds(-3.0, 2.0)},
}


@pytest.mark.parametrize("case", EXTRAS)
@pytest.mark.parametrize("momentum", [0.0, 0.95])  # the last point is the best, or not
@pytest.mark.parametrize("paired", [False, True])
def test_gradients_may_share_one_array(case, paired, momentum):
    room = np.empty(2)

    def jac(x):
        room[:] = BOOTH.jac(x)
        return room

    rule = lrcore.SGD(lr=0.02, momentum=momentum)
    fun = (lambda x: (BOOTH.fun(x), jac(x))) if paired else BOOTH.fun
    keywords = {"maxiter": 40, **EXTRAS[case]}
    shared = rule.minimize(fun, BOOTH.x0, jac=paired or jac, **keywords)
    apart = rule.minimize(BOOTH.fun, BOOTH.x0, jac=BOOTH.jac, **keywords)
    assert equal_bits(shared.x, apart.x)
    assert equal_bits(shared.jac, BOOTH.jac(shared.x))
    assert not np.shares_memory(shared.jac, room)


def test_a_gradient_may_be_the_point_itself():
    found = lrcore.SGD(lr=0.5).minimize(lambda x: 0.5 * x @ x, [3.0, 4.0], jac=lambda x: x)
    assert found.success
    assert equal_bits(found.x, found.jac)


# ---- when it stops ----------------------------------------------------------------------------


def test_gtol_is_of_the_largest_element():
    found = run(lrcore.SGD(lr=0.1), gtol=1e-3, return_all=True)
    largest = [np.abs(BOOTH.jac(x)).max() for x in found.allvecs]
    assert found.success
    assert largest[-1] <= 1e-3 < min(largest[:-1])


def test_gtol_in_bounds_is_of_what_the_box_leaves():
    found = run(lrcore.SGD(lr=0.1), bounds=Bounds(-1.0, 1.0), gtol=1e-6)
    assert found.success
    np.testing.assert_allclose(found.x, 1.0)
    assert np.abs(found.jac).max() > 1


@pytest.mark.parametrize("name", ["ftol", "xtol"])
def test_ten_small_changes_in_a_row_stop(name):
    found = run(lrcore.SGD(lr=0.1), gtol=0.0, return_all=True, **{name: 1e-4})
    points = np.array(found.allvecs)
    values = np.array([BOOTH.fun(x) for x in points])
    if name == "ftol":
        small = np.abs(np.diff(values)) <= 1e-4 * np.maximum(values[1:], 1)
    else:
        largest = np.maximum(np.abs(points[1:]).max(axis=1), 1)
        small = np.abs(np.diff(points, axis=0)).max(axis=1) <= 1e-4 * largest
    runs = [small[i - 10 : i].all() for i in range(10, len(small) + 1)]
    assert found.status == 0
    assert name in found.message
    assert runs[-1]
    assert not any(runs[:-1])


# ---- line search, averages, polish ------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in RULES if not RULES[name].averages])
def test_a_line_search_never_goes_up(name):
    found = run(RULES[name].scaled(20.0), VALLEY, line_search="armijo", maxiter=40, return_all=True)
    values = [VALLEY.fun(x) for x in found.allvecs]
    assert found.nit == 40
    assert (np.diff(values) < 0).all()
    assert found.nfev > 41 >= found.njev


@pytest.mark.parametrize("averaging", [0.9, "polyak", "polynomial"])
def test_averages_are_those_of_an_optimizer(averaging):
    rule = lrcore.SGD(lr=0.1101)
    found = run(rule, averaging=averaging, maxiter=30)
    x = BOOTH.x0.copy()
    optimizer = lrcore.Optimizer(x, rule, ema=averaging)
    for _ in range(30):
        optimizer.step(BOOTH.jac(x))
    assert equal_bits(found.x, optimizer.averages)
    assert found.message.endswith("x is the average.")
    assert found.nfev == 32
    assert equal_bits(found.jac, BOOTH.jac(found.x))
    assert found.fun < run(rule, maxiter=30).fun


def test_an_average_that_is_worse_is_left():
    found = run(lrcore.SGD(lr=0.1), averaging="polyak")
    assert "is not the best" in found.message
    np.testing.assert_allclose(found.x, BOOTH.minima[0], atol=1e-5)


def test_an_average_stays_in_bounds():
    found = run(lrcore.SGD(lr=0.1), averaging="polyak", bounds=Bounds(-5.0, 2.5), maxiter=5)
    assert (found.x <= 2.5).all()


def test_schedule_free_puts_its_average_forward():
    rule = lrcore.ScheduleFreeAdamW(lr=0.5, weight_decay=0.0)
    found = rule.minimize_stochastic(batch_slope, np.zeros(3), 50, 5, epochs=4, return_all=True)
    x = np.zeros(3)
    optimizer = lrcore.Optimizer(x, rule)
    for epoch in range(4):
        for rows in batches(50, 5, seed=0, epoch=epoch):
            optimizer.step(batch_slope(x, rows))
    assert equal_bits(found.allvecs[-1], x)
    assert equal_bits(found.x, optimizer.averages)
    assert found.message == "The 4 epochs are done. x is the average."


@pytest.mark.parametrize("bounds", [None, Bounds(-2.0, [0.5, np.inf])], ids=["free", "bounded"])
def test_polish_reports_both_phases(bounds):
    seen = []
    found = run(
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


def test_a_callback_ends_the_polish_too():
    def until(limit):
        calls = iter(range(limit - 1))

        def callback(*, intermediate_result):
            assert intermediate_result.fun == VALLEY.fun(intermediate_result.x)
            if next(calls, None) is None:
                raise StopIteration

        return callback

    found = run(lrcore.Adam(lr=0.1), VALLEY, polish="lbfgs", maxiter=30, callback=until(34))
    assert (found.status, found.nit, found.phases[1].nit) == (99, 34, 4)
    assert found.fun == VALLEY.fun(found.x) < found.phases[0].fun
    early = run(lrcore.Adam(lr=0.1), VALLEY, polish="lbfgs", maxiter=30, callback=until(10))
    assert (early.status, early.nit) == (99, 10)
    assert "phases" not in early


def test_polish_goes_on_from_the_best_point_of_a_run_that_diverged():
    with np.errstate(all="ignore"):
        found = run(lrcore.SGD(lr=0.02), VALLEY, polish="lbfgs")
    assert found.phases[0].status == 3
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


# ---- sums -------------------------------------------------------------------------------------

ROWS = np.random.default_rng(5).normal(size=(50, 3))
TARGETS = ROWS @ [1.0, -2.0, 0.5] + np.random.default_rng(6).normal(size=50)


def mean_square(x):
    return 0.5 * np.mean((ROWS @ x - TARGETS) ** 2)


def batch_slope(x, rows):
    return ROWS[rows].T @ (ROWS[rows] @ x - TARGETS[rows]) / len(rows)


def test_every_epoch_goes_over_all_rows_in_a_new_order():
    batches = []

    def slope(x, rows):
        batches.append(rows)
        return batch_slope(x, rows)

    def once(seed):
        batches.clear()
        found = lrcore.SGD(lr=0.1).minimize_stochastic(
            slope, np.zeros(3), 50, 8, epochs=3, seed=seed
        )
        assert found.nit == found.njev == len(batches) == 21
        return found.x, [np.concatenate(batches[i : i + 7]) for i in (0, 7, 14)]

    x, orders = once(seed=1)
    assert [len(batch) for batch in batches[:7]] == [8] * 6 + [2]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(50))
    again, same = once(seed=1)
    _, other = once(seed=2)
    assert equal_bits(x, again)
    assert equal_bits(np.array(orders), np.array(same))
    assert len({order.tobytes() for order in orders + other}) == 6


def test_whole_batches_are_gradient_descent():
    found = lrcore.Adam(lr=0.1).minimize_stochastic(
        lambda x, rows: batch_slope(x, np.sort(rows)), np.zeros(3), 50, 50, epochs=20
    )
    whole = lrcore.Adam(lr=0.1).minimize(
        mean_square, np.zeros(3), jac=lambda x: batch_slope(x, np.arange(50)), maxiter=20
    )
    assert equal_bits(found.x, whole.x)


def test_epochs_of_a_schedule_are_those_of_the_sum():
    rule = lrcore.SGD(Cosine(0.2, steps="3ep").warmup("25%"))
    found = rule.minimize_stochastic(batch_slope, np.zeros(3), 50, 10, epochs=4)
    exact = Cosine(0.2, steps=15).warmup(5).rates(np.arange(20))
    assert equal_bits(found.lr_history, exact)
    assert (found.status, found.success, found.fun) == (0, True, None)
    assert found.message == "The 4 epochs are done."


def test_a_sum_with_its_function_keeps_the_best_epoch():
    seen = []

    def callback(*, intermediate_result):
        seen.append((intermediate_result.x, intermediate_result.fun))

    rule = lrcore.SGD(Plateau(Constant(0.9), factor=0.3, patience=1))
    found = rule.minimize_stochastic(
        batch_slope, np.zeros(3), 50, 2, fun=mean_square, epochs=8, callback=callback,
        return_all=True,
    )  # fmt: skip
    assert len(seen) == 8
    assert len(found.allvecs) == found.nfev == 9
    assert found.fun == min(value for _, value in seen)
    assert found.fun == mean_square(found.x)
    assert len(set(found.lr_history)) > 1


def test_a_sum_stops_when_its_callback_says_so():
    def callback(x):
        raise StopIteration

    found = lrcore.SGD(lr=0.1).minimize_stochastic(
        batch_slope, np.zeros(3), 50, 10, callback=callback
    )
    assert (found.status, found.nit) == (99, 5)


def test_a_sum_averages_and_stays_in_bounds():
    bounds = [(None, None), (-1.0, None), (None, None)]
    rule = lrcore.SGD(lr=0.2)
    found = rule.minimize_stochastic(
        batch_slope, np.zeros(3), 50, 5, bounds=bounds, averaging="polynomial"
    )
    plain = rule.minimize_stochastic(batch_slope, np.zeros(3), 50, 5, bounds=bounds)
    assert found.x[1] == plain.x[1] == -1.0
    assert not np.array_equal(found.x, plain.x)


def test_args_reach_the_functions_of_a_sum(capsys):
    def slope(x, rows, shift):
        return x - shift + 0 * rows.sum()

    def fun(x, shift):
        return 0.5 * np.sum((x - shift) ** 2)

    found = lrcore.SGD(lr=0.3).minimize_stochastic(
        slope, np.zeros(2, np.float32), 10, args=2.5, fun=fun, epochs=30, disp=True
    )
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(found.x, 2.5, atol=1e-3)
    assert "The 30 epochs are done." in capsys.readouterr().out


# ---- the functions themselves -----------------------------------------------------------------


@pytest.mark.parametrize("name", functions.FUNCTIONS)
def test_gradients_and_minima_of_the_functions(name):
    problem = functions.FUNCTIONS[name]()
    assert check_grad(problem.fun, problem.jac, problem.x0 + 0.1) < 2e-5
    for lowest in problem.minima:
        assert abs(problem.fun(lowest) - problem.lowest) < 1e-12
        assert np.abs(problem.jac(lowest)).max() < 1e-7
    assert problem.jac(problem.x0.astype(np.float32)).dtype == np.float32
    if problem.smoothness is not None:
        steps = np.eye(len(problem.x0))
        at = problem.minima[0]
        hessian = np.array(
            [(problem.jac(at + 1e-5 * s) - problem.jac(at - 1e-5 * s)) for s in steps]
        )
        largest = np.linalg.eigvalsh(hessian / 2e-5)[-1]
        assert largest <= problem.smoothness * (1 + 1e-6)
