"""Rules without a rate or a schedule: what the other tests of rules do not see of them."""

import numpy as np
import oracles
import pytest
from strategies import DTYPES, THREADS, equal_bits, vectors

import lrcore
from lrcore import DoG, Optimizer, ScheduleFreeAdamW, schedules
from lrcore.rules import free


def quadratic(dtype, seed=0):
    """Two arrays, and the gradient of a quadratic whose minimum is at 3 in each element."""
    params = [vectors(70, dtype, seed)[0], vectors(5, dtype, seed + 1)[0]]
    bends = [np.linspace(0.1, 1.0, w.size).astype(dtype) for w in params]
    return params, lambda: [bend * (w - dtype(3)) for w, bend in zip(params, bends)]


def test_dog_goes_by_all_parameters_together(backend):
    params, gradient = quadratic(np.float64)
    start = np.concatenate(params)
    flat, grads = start.copy(), []
    opt = Optimizer(params, DoG(initial_distance=0.01))
    for _ in range(30):
        grads.append(np.concatenate(gradient()))
        opt.step([grads[-1][:70], grads[-1][70:]])
    expected = oracles.dog(flat, grads, [1.0] * 30, 0.01, 1e-8)
    np.testing.assert_allclose(np.concatenate(params), expected, rtol=1e-11)
    assert np.linalg.norm(expected - start) > 1.0


def test_dog_sees_gradients_as_they_are_stepped_by(backend):
    """Scaled, clipped and with L2 decay; decoupled decay is not seen."""
    w, start = vectors(70, np.float64, 0)[0], vectors(70, np.float64, 0)[0]
    opt = Optimizer(w, DoG(initial_distance=0.01, weight_decay=0.2))
    grads = vectors(70, np.float64, 3, 12)
    for g in grads:
        opt.step(g, grad_scale=0.5, clip_value=0.8)
    expected, squares, distance = start.copy(), 0.0, 0.01 * (1 + np.linalg.norm(start))
    for g in grads:
        seen = np.clip(0.5 * g, -0.8, 0.8) + 0.2 * expected
        squares += seen @ seen
        distance = max(distance, np.linalg.norm(expected - start))
        expected -= distance / np.sqrt(squares + 1e-8) * seen
    np.testing.assert_allclose(w, expected, rtol=1e-11)
    decoupled = Optimizer(start.copy(), DoG(weight_decay=0.2, decoupled=True))
    plain = Optimizer(start.copy(), DoG())
    for opt in (decoupled, plain):
        opt.step(grads[0])
    assert decoupled.state_dict()["travel"] == plain.state_dict()["travel"]


def test_dog_measures_from_where_the_parameters_are(backend):
    """Also where the caller has moved them since the last step."""
    params, gradient = quadratic(np.float64)
    opt = Optimizer(params, DoG(initial_distance=0.01))
    start = [w.copy() for w in params]
    furthest = 0.01 * (1 + np.linalg.norm(np.concatenate(params)))
    for _ in range(8):
        away = np.concatenate([w - w0 for w, w0 in zip(params, start)])
        furthest = max(furthest, np.linalg.norm(away))
        opt.step(gradient())
        assert opt.state_dict()["travel"][0] == pytest.approx(furthest, rel=1e-12)
        for w, w0 in zip(params, start):
            w[:] = w0 + 0.25 * (w - w0)


def test_decoupled_decay_of_dog_follows_its_rate(backend):
    w, g = np.array([2.0, -1.0]), np.array([0.5, 0.25])
    opt = Optimizer(w, DoG(initial_distance=0.1, weight_decay=0.3, decoupled=True))
    expected, squares, furthest = w.copy(), 0.0, 0.1 * (1 + np.linalg.norm(w))
    for _ in range(5):
        squares += g @ g
        furthest = max(furthest, np.linalg.norm(expected - [2.0, -1.0]))
        rate = furthest / np.sqrt(squares + 1e-8)
        expected = expected * (1 - 0.3 * rate) - rate * g
        opt.step(g)
    np.testing.assert_allclose(w, expected, rtol=1e-12)


def test_l2_decay_is_part_of_what_dog_goes_by(backend):
    w, g = np.array([2.0, -1.0]), np.array([0.5, 0.25])
    opt = Optimizer(w, DoG(weight_decay=0.3))
    opt.step(g)
    seen = g + 0.3 * np.array([2.0, -1.0])
    assert opt.state_dict()["travel"][1] == pytest.approx(seen @ seen, rel=1e-15)


@pytest.mark.parametrize("nonfinite", ["raise", "skip", "propagate"])
@pytest.mark.parametrize("options", [{}, {"clip_value": 1.0}, {"clip_norm": 1.0}])
def test_dog_finds_a_gradient_that_is_not_finite(nonfinite, options, backend):
    w = np.ones(3)
    opt = Optimizer(w, DoG(), nonfinite=nonfinite)
    opt.step(np.array([1.0, 2.0, 3.0]), **options)
    before, travel = w.copy(), opt.state_dict()["travel"]
    bad = np.array([1.0, -np.inf, 3.0])
    if nonfinite == "skip":
        opt.step(bad, **options)
        assert (opt.skipped, opt.t) == (1, 1)
    elif nonfinite == "raise":
        with pytest.raises(FloatingPointError, match=r"grads\[1\] is -inf at step 1"):
            opt.step(bad, **options)
    elif "clip_value" not in options:
        with pytest.raises(FloatingPointError, match="norm"):
            opt.step(bad, **options)
    assert np.array_equal(w, before)
    assert opt.state_dict()["travel"] == travel


@pytest.mark.parametrize("initial_distance", [1e-8, 1e-6, 1e-4, 1e-2])
def test_dog_needs_no_rate(initial_distance):
    params, gradient = quadratic(np.float64)
    opt = Optimizer(params, DoG(initial_distance=initial_distance), ema="polynomial")
    for _ in range(2000):
        opt.step(gradient())
    for average in opt.averages:
        np.testing.assert_allclose(average, 3.0, atol=1e-3)


def test_polynomial_averages_follow_the_paper(backend):
    w = vectors(9, np.float64, 0)[0]
    opt, points = Optimizer(w, lrcore.SGD(0.1), ema="polynomial"), []
    for g in vectors(9, np.float64, 1, 20):
        opt.step(g)
        points.append(w.copy())
    np.testing.assert_allclose(opt.averages, oracles.polynomial_average(points), rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_the_schedule_free_average_is_that_of_the_paper(decay, backend):
    rule = ScheduleFreeAdamW(
        lr=schedules.Constant(0.1).warmup(7), beta1=0.7, beta2=0.9, weight_decay=decay
    )
    w = vectors(37, np.float64, 3)[0]
    grads, lrs = vectors(37, np.float64, 4, 50), rule.rates(np.arange(50))
    y, x = oracles.schedule_free(w, grads, lrs, 0.7, 0.9, 1e-8, decay)
    opt = Optimizer({"a": w}, rule)
    for g in grads:
        opt.step({"a": g})
    np.testing.assert_allclose(w, y, rtol=1e-11)
    np.testing.assert_allclose(opt.averages["a"], x, rtol=1e-11)
    assert np.abs(x - y).max() > 1e-3


def test_schedule_free_weights_are_summed_up_span_by_span(monkeypatch):
    rule = ScheduleFreeAdamW(lr=schedules.Constant(0.1).warmup(40), beta2=0.9)
    t = np.arange(300)
    weights = np.square(rule.rates(t)) * (1 - 0.9 ** (t + 1))
    expected = weights / np.cumsum(weights)
    free.span_sum.cache_clear()
    monkeypatch.setattr(free, "SPAN", 16)
    some = np.array([299, 0, 15, 16, 17, 160])
    np.testing.assert_allclose(rule._newest_weights(t), expected, rtol=1e-12)
    np.testing.assert_allclose(rule._newest_weights(some), expected[some], rtol=1e-12)
    assert equal_bits(rule._newest_weights(some), rule._newest_weights(t)[some])
    np.testing.assert_allclose(rule._newest_weights(t[100:]), expected[100:], rtol=1e-12)
    free.span_sum.cache_clear()


@pytest.mark.parametrize(
    "rule", [DoG(), ScheduleFreeAdamW(lr=0.05)], ids=lambda r: type(r).__name__
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_saved_run_goes_on_to_the_bit(rule, dtype, tmp_path, backend):
    ema = "polynomial" if rule.uses_distance else None
    whole, gradient = quadratic(dtype)
    parts, gradient_of_parts = quadratic(dtype)
    opt, first = Optimizer(whole, rule, ema=ema), Optimizer(parts, rule, ema=ema)
    for _ in range(40):
        opt.step(gradient())
    for _ in range(17):
        first.step(gradient_of_parts())
    first.save(tmp_path / "run.npz")
    again = [np.ones_like(w) for w in parts]
    resumed = Optimizer(again, lrcore.SGD(), ema=ema)
    resumed.load(tmp_path / "run.npz")
    parts[0][:], parts[1][:] = again
    bends = [np.linspace(0.1, 1.0, w.size).astype(dtype) for w in again]
    for n_threads in (THREADS * 8)[:23]:
        grads = [bend * (w - dtype(3)) for w, bend in zip(again, bends)]
        resumed.step(grads, n_threads=n_threads)
    assert all(equal_bits(a, b) for a, b in zip(again, whole))
    assert all(equal_bits(a, b) for a, b in zip(resumed.averages, opt.averages))
    assert not equal_bits(whole[0], quadratic(dtype)[0][0])


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: DoG(initial_distance=0.0), ValueError, "initial_distance must be > 0, got 0.0"),
        (lambda: DoG(eps=-1.0), ValueError, "eps must be finite and >= 0, got -1.0"),
        (lambda: ScheduleFreeAdamW(beta1=0.0), ValueError, r"beta1 .* must be in \(0, 1\), got 0"),
        (lambda: ScheduleFreeAdamW(beta1=1.0), ValueError, r"beta1 must be in \[0, 1\), got 1.0"),
        (
            lambda: Optimizer(np.ones(3), ScheduleFreeAdamW(), ema=0.9),
            ValueError,
            "ScheduleFreeAdamW keeps an average by itself, .* leave out ema=0.9",
        ),
        (
            lambda: Optimizer({"a": np.ones(3)}, DoG(), overrides={"a": {"eps": 1.0}}),
            ValueError,
            r"overrides\['a'\] has 'eps', which DoG has once for all parameters",
        ),
        (
            lambda: Optimizer(np.array([np.inf]), DoG()),
            ValueError,
            "params have a norm of inf, and DoG",
        ),
        (
            lambda: Optimizer(np.ones(3, np.float32), DoG(), state_dtype="bfloat16"),
            ValueError,
            "state_dtype='bfloat16' is for AdaGrad",
        ),
        (lambda: Optimizer(np.ones(3), DoG()).averages, AttributeError, "keeps no averages"),
    ],
)
def test_what_cannot_be_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_squared_norm_that_overflows_changes_nothing(backend):
    w = np.ones(3)
    opt = Optimizer(w, DoG())
    before = opt.state_dict()
    with pytest.raises(
        FloatingPointError, match="at step 0 the gradients have a squared norm of inf"
    ):
        opt.step(np.full(3, 1e200))
    after = opt.state_dict()
    assert (w.tolist(), after["travel"], after["t"]) == ([1.0] * 3, before["travel"], 0)


@pytest.mark.parametrize("travel", [[1.0], "ab", [1.0, -1.0], [1.0, float("nan")], None])
def test_a_state_whose_travel_is_damaged_is_refused(travel):
    opt = Optimizer(np.ones(3), DoG())
    saved = opt.state_dict()
    with pytest.raises((TypeError, ValueError), match="travel"):
        opt.load_state_dict({**saved, "travel": travel})
    assert opt.state_dict()["travel"] == saved["travel"]
    del saved["travel"]
    with pytest.raises(ValueError, match="travel differ"):
        opt.load_state_dict(saved)


def test_overrides_may_have_a_factor_of_the_rate(backend):
    params = {"a": np.ones(3), "b": np.ones(3)}
    opt = Optimizer(params, DoG(initial_distance=0.1), overrides={"b": {"lr": 0.5}})
    opt.step({"a": np.ones(3), "b": np.ones(3)})
    np.testing.assert_allclose((1 - params["b"]) * 2, 1 - params["a"], rtol=1e-12)
    assert params["a"][0] < 0.95
