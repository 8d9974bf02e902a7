from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext

import numpy as np
import oracles
import pytest
from strategies import BUILDS, LOSSES, equal_bits, targets_for

from lrcore import _backend, _core, losses
from lrcore.linear_model.solvers.newton import NEWTON_LOSSES
from lrcore.losses import (
    ALL,
    LogLoss,
    ModifiedHuber,
    Softmax,
    class_log_probabilities,
    class_probabilities,
)

rng = np.random.default_rng(1)
RAW = np.concatenate(
    [rng.normal(0, 3, 2001), rng.uniform(-800, 800, 500), [0.0, 1.0, -1.0, 30.0, -745.0, 1e150]]
)


#: The losses that have a dual.
DUAL = [name for name, loss in LOSSES.items() if loss.has_dual]


def targets(loss):
    return targets_for(LOSSES[loss], rng.random(RAW.size) < 0.5, rng.normal(0, 2, RAW.size))


def raw_predictions(loss):
    """Those of the log link such that its powers are numbers."""
    return RAW[np.abs(RAW) < 300] if LOSSES[loss].log_link else RAW


@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_derivatives_follow_the_definition(loss):
    z = raw_predictions(loss)
    y = targets(loss)[: z.size]
    value, loss_gradient = LOSSES[loss].evaluate(z, y)
    expected = np.array([oracles.loss_and_gradient(loss, *each) for each in zip(z, y)], float)
    # Differences cancel where exp(z) is near y; beyond exp(-708) a derivative stays at 1e-308.
    size = np.maximum(1, np.abs(expected)) if LOSSES[loss].log_link else np.abs(expected)
    assert np.all(np.abs(value - expected[:, 0]) <= 2e-13 * size[:, 0] + 1e-300)
    assert np.all(np.abs(loss_gradient - expected[:, 1]) <= 2e-13 * size[:, 1] + 1e-300)
    assert np.ptp(value) > 1
    assert np.ptp(loss_gradient) >= 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 17, RAW.size])
def test_kernel_has_the_bits_of_the_formula(loss, size):
    z, y = RAW[:size].copy(), targets(loss)[:size]
    with np.errstate(over="ignore", invalid="ignore"):
        expected = LOSSES[loss].evaluate(z, y)
    for build in BUILDS:
        value, loss_gradient = np.empty(size), np.empty(size)
        number = LOSSES[loss].parameter
        name = type(LOSSES[loss]).__name__
        for n_threads in (1, 2, 3):
            _core.load(build).evaluate_loss(name, number, z, y, value, loss_gradient, 1, n_threads)
            assert equal_bits(value, expected[0])
            assert equal_bits(loss_gradient, expected[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_are_those_of_the_values(loss):
    z = rng.uniform(-3, 3, 200)
    y = targets(loss)[:200]
    h = 1e-6
    evaluate, loss_gradient = LOSSES[loss].evaluate, LOSSES[loss].evaluate(z, y)[1]
    numeric = (evaluate(z + h, y)[0] - evaluate(z - h, y)[0]) / (2 * h)
    kinks = np.array([np.nan])
    if loss in ("hinge", "perceptron"):
        kinks = y * (loss == "hinge")
    elif loss in ("absolute_error", "quantile", "epsilon_insensitive"):
        kinks = y + LOSSES[loss].parameter * (loss == "epsilon_insensitive") * np.array([[-1], [1]])
    smooth = ~(np.abs(z - kinks) <= 2 * h).reshape(-1, *z.shape[: kinks.size > 1]).any(axis=0)
    smooth = np.broadcast_to(smooth, z.shape)
    np.testing.assert_allclose(loss_gradient[smooth], numeric[smooth], rtol=1e-7, atol=1e-7)


def test_probability_is_the_logistic_function():
    z = rng.uniform(-30, 30, 1000)
    np.testing.assert_allclose(LogLoss().probability(z), 1 / (1 + np.exp(-z)), rtol=1e-15)
    extremes = LogLoss().probability(np.array([-1e300, 0.0, 1e300]))
    assert extremes.tolist() == [0.0, 0.5, 1.0]


def test_every_loss_is_compiled():
    for build in BUILDS:
        assert set(_core.load(build).LOSSES) == {loss.__name__ for loss in ALL.values()}


@pytest.mark.parametrize("loss", DUAL)
def test_conjugates_are_those_of_the_losses(loss):
    """The largest of u z - phi(z) over a fine grid, at derivatives that the loss has."""
    z = np.linspace(-12, 12, 240_001)
    for y in (-1.0, 1.0) if LOSSES[loss].classifies else (0.3,):
        value, loss_gradient = LOSSES[loss].evaluate(z, np.full_like(z, y))
        for u in np.unique(loss_gradient[20_000:-20_000:20_000]):
            got = LOSSES[loss].conjugate(np.array([u]), np.array([y]))
            np.testing.assert_allclose(got, np.max(u * z - value), atol=1e-6)


@pytest.mark.parametrize("loss", DUAL)
def test_a_step_of_the_dual_does_not_lower_it(loss):
    """The dual objective of a row, ``-conjugate(v) + v z - h (v - u)**2 / 2``, has its maximum
    at the step, but for the log loss, whose steps are shorter."""
    loss = LOSSES[loss]
    z = np.repeat(np.linspace(-3.0, 3.0, 41), 3)
    y = np.where(np.arange(z.size) % 2, 1.0, -1.0) if loss.classifies else np.full_like(z, 0.3)
    _, u = loss.evaluate(np.roll(z, 1), y)  # within its bounds
    h = np.tile([0.1, 1.0, 7.0], 41)
    if isinstance(loss, LogLoss):
        u = np.clip(u, -0.999, 0.999)

    def dual(new):
        return -loss.conjugate(new, y) + new * z - h * np.square(new - u) / 2

    new, gap = loss.dual_step(z, y, u, h)
    assert np.ptp(new - u) > 0.1
    assert np.all(dual(new) >= dual(u) - 1e-12)
    assert np.all(gap >= -1e-12)
    if not isinstance(loss, LogLoss):
        value, _ = loss.evaluate(z, y)
        np.testing.assert_allclose(gap, value + loss.conjugate(u, y) - u * z, atol=1e-12)
        for share in (1e-4, 1e-2):  # towards 0, where all variables are allowed
            assert np.all(dual(new) >= dual(new * (1 - share)) - 1e-12)


def softmax_rows(n_outputs=4, n_rows=60):
    """Raw predictions, classes, and derivatives at other raw predictions."""
    rng, loss = np.random.default_rng(0), Softmax(n_outputs)
    y = rng.integers(0, n_outputs, n_rows).astype(float)
    z, other = rng.normal(0, 2, (2, n_rows, n_outputs))
    return loss, z, y, loss.evaluate(other, y)[1]


def test_the_conjugate_of_the_softmax_is_that_of_its_loss():
    """Fenchel's inequality, which is an equality at the derivative; at its corners, too."""
    loss, z, y, u = softmax_rows()
    value, gradient = loss.evaluate(z, y)
    gap = value + loss.conjugate(u, y) - np.sum(u * z, axis=1)
    assert gap.min() > 0.01
    tight = value + loss.conjugate(gradient, y) - np.sum(gradient * z, axis=1)
    np.testing.assert_allclose(tight, 0, atol=1e-14)
    assert not loss.conjugate(np.zeros_like(u), y).any()


def test_a_step_of_the_softmax_raises_its_dual():
    loss, z, y, some = softmax_rows()
    for u in (some, np.zeros_like(some)):
        h = np.tile([0.1, 1.0, 7.0], 20)

        def dual(new, h=h, u=u):
            moved = h * np.sum(np.square(new - u), axis=1) / 2
            return np.sum(new * z, axis=1) - loss.conjugate(new, y) - moved

        new, gap = loss.dual_step(z, y, u, h)
        assert np.all(dual(new) > dual(u))
        np.testing.assert_allclose(new.sum(axis=1), 0, atol=1e-14)
        p = new + np.eye(4)[y.astype(int)]
        assert p.min() >= 0
        value, _ = loss.evaluate(z, y)
        expected = value + loss.conjugate(u, y) - np.sum(u * z, axis=1)
        np.testing.assert_allclose(gap, expected, atol=1e-13)
        # It raises the dual by the step's share of the gap, at least (Shalev-Shwartz and Zhang).
        assert np.all(dual(new) - dual(u) >= gap / (1 + h / 2) - 1e-12)


def test_losses_without_a_dual_say_so():
    assert set(LOSSES) - set(DUAL) == {"perceptron", "poisson", "gamma", "tweedie"}
    one = np.ones(1)
    for call in (lambda loss: loss.conjugate(one, one), lambda loss: loss.dual_step(*[one] * 4)):
        with pytest.raises(TypeError, match="Poisson has no dual"):
            call(LOSSES["poisson"])


@pytest.mark.parametrize("loss", sorted(set(DUAL) & set(NEWTON_LOSSES)))
def test_row_gap_bounds_hold_for_variables_within_bounds(loss):
    rng = np.random.default_rng(0)
    loss, z = LOSSES[loss], rng.normal(size=500) * 3
    y = targets_for(loss, rng.random(500) < 0.5, rng.normal(size=500))
    value, gradient = loss.evaluate(z, y)
    for spread in (0.01, 0.3, 3.0):
        u = loss.within_bounds(gradient + spread * rng.normal(size=500), y)
        gap = value + loss.conjugate(u, y) - u * z
        bound = loss.row_gap_bound(z[:, None], y, gradient[:, None], u[:, None])
        assert (gap >= -1e-12).all()
        assert (bound >= gap - 1e-9).all()
        assert np.sum(gap) > 1e-6
    np.testing.assert_array_equal(loss.within_bounds(gradient, y), gradient)


def test_row_gap_bounds_hold_for_the_softmax():
    rng = np.random.default_rng(0)
    loss, z, y = Softmax(4), rng.normal(size=(500, 4)) * 2, rng.integers(0, 4, 500).astype(float)
    value, gradient = loss.evaluate(z, y)
    for spread in (0.01, 0.3):
        u = loss.within_bounds(gradient + spread * rng.normal(size=(500, 4)), y)
        gap = value + loss.conjugate(u, y) - np.sum(u * z, axis=1)
        bound = loss.row_gap_bound(z, y, gradient, u)
        assert (gap >= -1e-12).all()
        assert (bound >= gap - 1e-9).all()
        assert np.sum(gap) > 1e-6
    np.testing.assert_allclose(loss.within_bounds(gradient, y), gradient, atol=1e-15)


#: Margins at which a probability of one class is beside 1, too small beside 1, too small for a
#: float.
MARGINS = [0.0, 1.0, 38.0, 100.0, 707.0, 709.0, 745.0, 1e4, 1e300]


def exact_logs(raw):
    """Logarithms of the shares of exp(raw), by decimal numbers of many digits."""
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 400, MAX_EMAX, MIN_EMIN
        powers = [Decimal(z).exp() for z in raw]
        return [float((each / sum(powers)).ln()) for each in powers]


@pytest.mark.parametrize("margin", MARGINS[:-1])
@pytest.mark.parametrize("sign", [1, -1])
def test_logarithms_of_two_probabilities(margin, sign):
    z = np.array([[sign * margin]])
    logs = class_log_probabilities(LogLoss(), z)[0]
    np.testing.assert_allclose(logs, exact_logs([0.0, sign * margin]), rtol=1e-15, atol=1e-300)
    p = class_probabilities(LogLoss(), z)[0]
    np.testing.assert_allclose(p, np.exp(logs), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("margin", MARGINS)
def test_logarithms_of_three_probabilities(margin):
    z = np.array([[margin, 0.0, -margin], [0.5, -margin, 0.25], [-margin, -margin, -margin]])
    logs = class_log_probabilities(Softmax(3), z)
    assert np.isfinite(logs).all()
    if margin < 1e6:
        expected = [exact_logs(row) for row in z]
        np.testing.assert_allclose(logs, expected, rtol=2e-15, atol=1e-300)


@pytest.mark.parametrize("margin", MARGINS[:-1])
def test_logarithms_of_probabilities_against_the_rest(margin):
    z = np.array([[-margin, -2 * margin, -3 * margin], [margin, margin + 1.0, -margin]])
    logs, p = class_log_probabilities(LogLoss(), z), class_probabilities(LogLoss(), z)
    own = [[exact_logs([0.0, one])[1] for one in row] for row in z]
    np.testing.assert_allclose(logs, [exact_logs(row) for row in own], rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(p, np.exp(logs), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


def test_probabilities_that_are_0():
    z = np.array([[-2.0, 0.0, 1.0], [-1.0, -3.0, -1.5]])
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        logs = class_log_probabilities(ModifiedHuber(), z)
        two = class_log_probabilities(ModifiedHuber(), np.array([[3.0], [-0.5]]))
        p = class_probabilities(ModifiedHuber(), z)
    np.testing.assert_allclose(p, [[0.0, 1 / 3, 2 / 3], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(np.exp(logs), p)
    np.testing.assert_allclose(two, [[-np.inf, 0.0], [np.log(0.75), np.log(0.25)]], atol=1e-16)


@pytest.mark.parametrize("loss", [losses.LogLoss(), losses.Softmax(3), losses.Softmax(20)])
def test_probabilities_have_the_same_bits_in_every_build(loss, backend):
    rng = np.random.default_rng(0)
    shape = (203, int(loss.n_outputs) if loss.joint else 4)
    z = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape)
    z[:3] = [[0.0], [-800.0], [800.0]]
    expected = loss.probability(z)
    assert np.ptp(expected) > 0.99
    for n_threads in (1, 2, 7):
        assert np.array_equal(_backend.active.probabilities(loss, z, n_threads), expected)
    assert np.array_equal(_backend.active.probabilities(loss, z[:0]), expected[:0])
