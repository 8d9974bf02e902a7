"""Minimising a mean over rows by batches."""

import numpy as np
from strategies import equal_bits

import lrcore
from lrcore.schedules import Constant, Cosine, Plateau

from .problems import (
    batch_gradient,
    bowl,
    fun_until,
    mean_square,
    solve_rows,
)


def test_every_epoch_goes_over_all_rows_in_a_new_order():
    batches = []

    def slope(x, rows):
        batches.append(rows)
        return batch_gradient(x, rows)

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
        lambda x, rows: batch_gradient(x, np.sort(rows)), np.zeros(3), 50, 50, epochs=20
    )
    whole = lrcore.Adam(lr=0.1).minimize(
        mean_square, np.zeros(3), jac=lambda x: batch_gradient(x, np.arange(50)), maxiter=20
    )
    assert equal_bits(found.x, whole.x)


def test_lengths_of_the_schedule_in_epochs():
    rule = lrcore.SGD(Cosine(0.2, steps="3ep").warmup("25%"))
    found = rule.minimize_stochastic(batch_gradient, np.zeros(3), 50, 10, epochs=4)
    exact = Cosine(0.2, steps=15).warmup(5).rates(np.arange(20))
    assert equal_bits(found.lr_history, exact)
    assert (found.status, found.success, found.fun) == (0, True, None)
    assert found.message == "The 4 epochs are done."


def test_the_best_epoch_is_returned_if_fun_is_given():
    seen = []

    def callback(*, intermediate_result):
        seen.append((intermediate_result.x, intermediate_result.fun))

    rule = lrcore.SGD(Plateau(Constant(0.9), factor=0.3, patience=1))
    found = rule.minimize_stochastic(
        batch_gradient, np.zeros(3), 50, 2, fun=mean_square, epochs=8, callback=callback,
        return_all=True,
    )  # fmt: skip
    assert len(seen) == 8
    assert len(found.allvecs) == found.nfev == 9
    assert found.fun == min(value for _, value in seen)
    assert found.fun == mean_square(found.x)
    assert len(set(found.lr_history)) > 1


def test_the_callback_can_stop():
    def callback(x):
        raise StopIteration

    found = lrcore.SGD(lr=0.1).minimize_stochastic(
        batch_gradient, np.zeros(3), 50, 10, callback=callback
    )
    assert (found.status, found.nit) == (99, 5)


def test_averages_and_bounds():
    bounds = [(None, None), (-1.0, None), (None, None)]
    rule = lrcore.SGD(lr=0.2)
    found = rule.minimize_stochastic(
        batch_gradient, np.zeros(3), 50, 5, bounds=bounds, averaging="polynomial"
    )
    plain = rule.minimize_stochastic(batch_gradient, np.zeros(3), 50, 5, bounds=bounds)
    assert found.x[1] == plain.x[1] == -1.0
    assert not np.array_equal(found.x, plain.x)


def test_args_are_passed_to_both_functions(capsys):
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


def test_a_gradient_that_is_not_finite_stops():
    found = solve_rows(lambda x, rows: x * np.nan, batch_size=3)
    assert (found.status, found.nit, found.njev) == (3, 0, 1)
    assert "grad_batch has a nan after 0 steps" in found.message
    np.testing.assert_array_equal(found.x, [3.0, 4.0])
    found = solve_rows(fun=fun_until(bowl, lambda x: np.nan), batch_size=5)
    assert (found.status, found.nit) == (3, 4)
    assert found.x[0] > 2
    assert found.fun == bowl(found.x)
