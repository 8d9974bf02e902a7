"""States of 8 bits in blocks: the same bits as in NumPy, rounding, saving, the effect on a fit."""

import copy
import pickle

import numpy as np
import pytest
from backends import use_backend
from hypothesis import given
from hypothesis import strategies as st
from strategies import BUILDS, THREADS, equal_bits, vectors

import lrcore
from lrcore import AdaGrad, Adam, AdamW, Lion, Optimizer, RMSProp
from lrcore._utils import bfloat16, int8

EIGHT = {
    "AdaGrad": AdaGrad(lr=0.3, initial_accumulator=0.3),
    "RMSProp": RMSProp(lr=0.02, rho=0.9),
    "RMSProp momentum": RMSProp(lr=0.02, rho=0.9, momentum=0.7),
    "Adam": Adam(lr=0.05, beta1=0.8, beta2=0.999),
    "AdamW": AdamW(lr=0.05, beta1=0.8, beta2=0.95, weight_decay=0.1),
    "Lion": Lion(lr=0.01),
}
SIZES = (0, 1, 15, 64, 65, 2047, 2048, 2049, 6000, 50_003)


def run(rule, sizes, *, steps=4, n_threads=1, options=None, dtype=np.float32, **keywords):
    """Parameters, states and averages after a few steps whose gradients grow and fall."""
    params = {str(n): vectors(n, np.float32, n)[0] for n in sizes}
    opt = Optimizer(params, rule, n_threads=n_threads, state_dtype="int8", **keywords)
    for seed in range(steps):
        factor = (1.0, 1e3, 1e-4, 1e-4)[seed % 4]
        grads = {k: factor * vectors(int(k), np.float32, 50 + seed)[0] for k in params}
        opt.step({k: g.astype(dtype) for k, g in grads.items()}, **(options or {}))
    return [*params.values(), *(v for v in opt.state_dict().values() if isinstance(v, np.ndarray))]


@pytest.mark.parametrize(
    "options, keywords",
    [
        ({}, {}),
        ({"clip_norm": 700.0, "clip_value": 1.0}, {"ema": 0.9, "seed": 3}),
        ({}, {"dtype": np.float16}),
    ],
    ids=["plain", "folded", "half"],
)
@pytest.mark.parametrize("name", EIGHT)
def test_bits_do_not_depend_on_builds_or_threads(name, options, keywords, monkeypatch):
    use_backend(monkeypatch, "numpy")
    expected = run(EIGHT[name], SIZES, options=options, **keywords)
    assert all(each.dtype in (np.float32, np.uint8) for each in expected)
    assert all(len(np.unique(each)) > 1 for each in expected if each.size > 2)
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            got = run(EIGHT[name], SIZES, n_threads=n_threads, options=options, **keywords)
            assert all(equal_bits(x, y) for x, y in zip(got, expected)), (build, n_threads)


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(0, 5000))
def test_draws_are_those_of_the_seed_the_step_and_the_element(seed, t, size):
    g = vectors(size, np.float32, 7)[0]
    found = []
    for build in ("numpy", *BUILDS):
        with pytest.MonkeyPatch.context() as patch:
            use_backend(patch, build)
            opt = Optimizer(np.zeros_like(g), Adam(lr=0.1), state_dtype="int8", seed=seed)
            opt.t = t
            opt.step(g)
            saved = opt.state_dict()
            found.append([saved["params.mean_gradient"], saved["params.mean_square"]])
    assert all(equal_bits(x, y) for each in found for x, y in zip(each, found[0]))


def as_float(saved, name):
    return int8.widen(saved[f"params.{name}"], int8.is_signed(name))


@pytest.mark.parametrize("signed", [True, False])
def test_every_code_stands_for_a_number_that_is_its_own(signed):
    """Whatever the draw, and zero in a block of zeros."""
    codes = np.arange(256, dtype=np.uint8)
    row = np.concatenate([codes, np.array([100], np.uint8)])
    numbers = int8.widen(row, signed)
    assert len(np.unique(numbers)) == (255 if signed else 256)
    assert np.all(np.diff(numbers[:128]) > 0)
    assert not signed or (numbers[0] == 0 and np.array_equal(numbers[128:], -numbers[:128]))
    for cut in (0, 1 << 19, (1 << 20) - 1):
        again = int8.narrow(numbers, row[-1:], signed, np.full(256, cut, np.uint32))
        assert np.array_equal(again, row)
    assert not int8.nearest(np.zeros(5000, np.float32), signed).any()


@given(st.integers(0, 5000))
def test_a_state_has_a_byte_for_each_element_and_one_for_each_block(n):
    assert int8.length(n) == n + len(range(0, n, int8.BLOCK))
    assert int8.size(int8.length(n)) == n


@pytest.mark.parametrize("signed", [True, False])
def test_rounding_has_no_bias_and_a_bounded_error(signed):
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-8, 0, 3000)).astype(np.float32)
    x *= rng.choice([-1, 1], x.size).astype(np.float32) if signed else 1
    before = np.zeros(2, np.uint8)
    mean = np.zeros(x.size)
    for k in range(1024):
        cuts = np.full(x.size, (k * 1024 + 512) % 2**20, np.uint32)  # evenly spaced draws
        mean += int8.widen(int8.narrow(x, before, signed, cuts), signed) / 1024
    largest = np.abs(x).max()
    inner = np.abs(x) < 0.9 * largest  # past the largest code there is nothing to round up to
    np.testing.assert_allclose(mean[inner], x[inner], rtol=1e-3)
    error = np.abs(int8.widen(int8.nearest(x, signed), signed) - x)
    assert np.all(error <= np.abs(x) / 16 + largest * 2.0**-18)


def test_a_scale_stays_while_it_does_and_follows_where_it_must():
    x = np.full(10, 1.5, np.float32)
    bits = x.view(np.uint32)
    for signed in (True, False):
        first = int8.exponents(bits, np.zeros(1, np.uint8), signed)
        assert first == 127 - int8.OCTAVES[signed]
        for octaves, kept in ((0, True), (1, True), (int8.SLACK, True), (int8.SLACK + 1, False)):
            small = (x * np.float32(2.0**-octaves)).view(np.uint32)
            found = int8.exponents(small, first, signed)
            assert found == (first if kept else first - octaves)
        assert int8.exponents((2 * x).view(np.uint32), first, signed) == first + 1


def test_a_small_mean_square_does_not_become_zero(backend):
    """One gradient of the block is 1e6 times the others: their steps stay below the rate."""
    w, g = np.zeros(2048, np.float32), np.full(2048, 1e-6, np.float32)
    g[5] = 1.0
    opt = Optimizer(w, Adam(lr=0.1), state_dtype="int8")
    for _ in range(20):
        opt.step(g)
    assert np.abs(w).max() <= 20 * 0.1 * 1.5
    square = as_float(opt.state_dict(), "mean_square")
    assert np.all(square > 0)
    assert np.delete(square, 5).max() < 1e-8 * square[5]


def test_small_changes_of_a_mean_square_accumulate(backend):
    """beta2 = 0.999 changes the mean by a hundredth of the distance of two codes."""
    w = np.zeros(8192, np.float32)
    opt = Optimizer(w, Adam(lr=0.0, beta2=0.999), state_dtype="int8")
    for _ in range(1000):
        opt.step(np.ones_like(w))
    square = as_float(opt.state_dict(), "mean_square")
    np.testing.assert_allclose(square.mean(), 1 - 0.999**1000, rtol=1e-2)
    assert 0 < square.std() / square.mean() < 0.25


#: Rates at which 600 steps come to the minimum, where it is not 0.1.
RATES = {"AdaGrad": 0.5, "Lion": 0.03}


@pytest.mark.parametrize("name", EIGHT)
def test_a_fit_ends_where_float32_ends(name, backend):
    """Least squares with noise: the loss within a part in five hundred."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 30)).astype(np.float32)
    y = X @ rng.normal(size=30).astype(np.float32) + rng.normal(size=400).astype(np.float32)
    losses = []
    for dtype in (None, "int8"):
        w = np.zeros(30, np.float32)
        rate = lrcore.schedules.Polynomial(RATES.get(name, 0.1), steps=600)
        opt = Optimizer(w, EIGHT[name].with_lr(rate), state_dtype=dtype)
        for _ in range(600):
            opt.step(X.T @ (X @ w - y) / np.float32(400))
        losses.append(float(np.mean((X @ w - y) ** 2)))
    assert losses[0] < 0.5 * float(np.mean(y**2))
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def test_resuming_is_exact(tmp_path, monkeypatch):
    def make(seed=5):
        w = vectors(5000, np.float32, 0)[0]
        return w, Optimizer(w, EIGHT["Adam"], state_dtype="int8", seed=seed, n_threads=3)

    def go(opt, seeds):
        for seed in seeds:
            opt.step(vectors(5000, np.float32, seed)[0])

    whole, opt = make()
    go(opt, range(6))
    for build in BUILDS:
        use_backend(monkeypatch, BUILDS[-1])
        w, opt = make()
        go(opt, range(3))
        opt.save(tmp_path / "run.npz")
        use_backend(monkeypatch, build)
        pairs = [copy.deepcopy((w, opt)), pickle.loads(pickle.dumps((w, opt))), make(seed=0)]
        pairs[2][1].load(tmp_path / "run.npz")
        for v, other in pairs:
            go(other, range(3, 6))
            assert (other.seed, other.state_dtype) == (5, "int8")
            assert equal_bits(v, whole)


def test_states_are_cast_from_and_to_other_dtypes():
    w = vectors(3000, np.float32, 0)[0]
    wide = Optimizer(w.copy(), EIGHT["Adam"])
    wide.step(vectors(3000, np.float32, 1)[0])
    eight = Optimizer(w.copy(), EIGHT["Adam"], state_dtype="int8")
    half = Optimizer(w.copy(), EIGHT["Adam"], state_dtype="bfloat16")
    with pytest.raises(
        ValueError, match="state is of state_dtype=None, and this Optimizer of 'int8'"
    ):
        eight.load_state_dict(wide.state_dict())
    eight.load_state_dict(wide.state_dict(), cast=True)
    half.load_state_dict(eight.state_dict(), cast=True)
    back = Optimizer(w.copy(), EIGHT["Adam"])
    back.load_state_dict(eight.state_dict(), cast=True)
    for name in ("mean_gradient", "mean_square"):
        exact = wide.state_dict()[f"params.{name}"]
        assert equal_bits(back.state_dict()[f"params.{name}"], as_float(eight.state_dict(), name))
        found = as_float(eight.state_dict(), name)
        low = bfloat16.widen(half.state_dict()[f"params.{name}"])
        np.testing.assert_allclose(low, found, rtol=2.0**-8)
        assert np.all(np.abs(found - exact) <= np.abs(exact) / 16 + np.abs(exact).max() * 2.0**-18)


def test_a_state_of_another_length_is_refused():
    opt = Optimizer(np.ones(3000, np.float32), Adam(), state_dtype="int8")
    saved = opt.state_dict()
    saved["params.mean_square"] = saved["params.mean_square"][:-1]
    with pytest.raises(
        ValueError, match=r"mean_square'\] must have 3002 values of uint8, got 3001"
    ):
        opt.load_state_dict(saved)


@pytest.mark.parametrize("name", EIGHT)
def test_states_take_a_quarter_of_the_memory(name):
    opt = Optimizer(np.zeros(100_000, np.float32), EIGHT[name], state_dtype="int8")
    states = [v for v in opt.state_dict().values() if isinstance(v, np.ndarray)]
    assert all(each.nbytes == 100_000 + 49 for each in states)


ONE = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "params, rule, error, message",
    [
        (np.ones(3), Adam(), TypeError, "'int8' is for float32 parameters, and params is float64"),
        ({"a": ONE}, lrcore.Nadam(), ValueError, r"the rule of params\['a'\] is Nadam\("),
        (
            ONE,
            lrcore.SGD(),
            ValueError,
            "is for AdaGrad, RMSProp without centered=True, Adam, AdamW",
        ),
        (ONE, lrcore.FTRL(), ValueError, "AdamW and Lion, and the rule of params is FTRL"),
        (ONE, RMSProp(centered=True), ValueError, "without centered=True"),
    ],
)
def test_parameters_and_rules_that_are_refused(params, rule, error, message):
    with pytest.raises(error, match=message):
        Optimizer(params, rule, state_dtype="int8")


def test_gradients_of_some_rows_are_refused_and_change_nothing(backend):
    table = np.ones((4, 3), np.float32)
    opt = Optimizer(table, Adam(), state_dtype="int8")
    before = opt.state_dict()
    with pytest.raises(ValueError, match="state_dtype='int8' keeps rows together in blocks"):
        opt.step(([1], np.ones((1, 3), np.float32)))
    assert np.all(table == 1)
    assert opt.t == 0
    after = opt.state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_a_frozen_parameter_keeps_its_state(backend):
    params = [vectors(3000, np.float32, k)[0] for k in range(2)]
    opt = Optimizer(params, Adam(), state_dtype="int8")
    opt.step([vectors(3000, np.float32, k + 5)[0] for k in range(2)])
    before = opt.state_dict()
    opt.step([None, vectors(3000, np.float32, 9)[0]])
    after = opt.state_dict()
    for name in ("mean_gradient", "mean_square"):
        assert equal_bits(before[f"params[0].{name}"], after[f"params[0].{name}"])
        assert not equal_bits(before[f"params[1].{name}"], after[f"params[1].{name}"])


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_propagates(value, backend):
    w, g = np.ones(10, np.float32), np.ones(10, np.float32)
    g[3] = value
    opt = Optimizer(w, Adam(), state_dtype="int8", nonfinite="propagate")
    with np.errstate(invalid="ignore"):
        for _ in range(3):
            opt.step(g)
    assert np.isnan(w[3])
