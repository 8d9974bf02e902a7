"""States kept as bfloat16: the same bits as in NumPy, rounding, the effect on a fit."""

import copy
import pickle

import numpy as np
import pytest
from backends import use_backend
from hypothesis import given
from hypothesis import strategies as st
from strategies import BUILDS, THREADS, equal_bits, vectors

import lrcore
from lrcore import AdaGrad, Adam, AdamW, Optimizer, RMSProp
from lrcore._utils import bfloat16

LOW = {
    "AdaGrad": AdaGrad(lr=0.3, initial_accumulator=0.3),
    "RMSProp": RMSProp(lr=0.02, rho=0.9),
    "RMSProp momentum": RMSProp(lr=0.02, rho=0.9, momentum=0.7),
    "Adam": Adam(lr=0.05, beta1=0.8, beta2=0.999),
    "AdamW": AdamW(lr=0.05, beta1=0.8, beta2=0.95, weight_decay=0.1),
}
SIZES = (0, 1, 15, 16, 17, 63, 64, 65, 127, 129, 1023, 1025, 200_003)


def run(rule, sizes, *, steps=3, n_threads=1, options=None, **keywords):
    """Parameters, states and averages after a few steps."""
    params = {str(n): vectors(n, np.float32, n)[0] for n in sizes}
    opt = Optimizer(params, rule, n_threads=n_threads, state_dtype="bfloat16", **keywords)
    for seed in range(steps):
        opt.step({k: vectors(int(k), np.float32, 50 + seed)[0] for k in params}, **(options or {}))
    return [*params.values(), *(v for v in opt.state_dict().values() if isinstance(v, np.ndarray))]


@pytest.mark.parametrize(
    "options, keywords",
    [({}, {}), ({"clip_norm": 700.0, "clip_value": 1.0}, {"ema": 0.9, "seed": 3})],
    ids=["plain", "folded"],
)
@pytest.mark.parametrize("name", LOW)
def test_bits_do_not_depend_on_builds_or_threads(name, options, keywords, monkeypatch):
    use_backend(monkeypatch, "numpy")
    expected = run(LOW[name], SIZES, options=options, **keywords)
    assert all(each.dtype in (np.float32, np.uint16) for each in expected)
    assert all(len(np.unique(each)) > 1 for each in expected if each.size > 1)
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            got = run(LOW[name], SIZES, n_threads=n_threads, options=options, **keywords)
            assert all(equal_bits(x, y) for x, y in zip(got, expected)), (build, n_threads)


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(0, 400))
def test_draws_are_those_of_the_seed_the_step_and_the_element(seed, t, size):
    """A step of plain AdaGrad from state 0 whose squares lie between two bfloat16 numbers."""
    g = np.sqrt(vectors(size, np.float32, 7)[0] ** 2 + 3)
    found = []
    for build in ("numpy", *BUILDS):
        with pytest.MonkeyPatch.context() as patch:
            use_backend(patch, build)
            opt = Optimizer(np.zeros_like(g), AdaGrad(lr=0.1), state_dtype="bfloat16", seed=seed)
            opt.t = t
            opt.step(g)
            found.append(opt.state_dict()["params.sum_of_squares"])
    assert all(equal_bits(x, found[0]) for x in found)


finite = st.floats(
    width=32, allow_nan=False, allow_infinity=False, max_value=2.0**127, min_value=-(2.0**127)
)


@given(finite)
def test_nearest_is_the_nearest_and_even_in_a_tie(value):
    x = np.float32(value)
    got = bfloat16.nearest(np.array([x]))
    cut = np.uint16(int(x.view(np.uint32)) >> 16)
    around = np.array([cut, cut + 1], np.uint16)
    apart = np.abs(bfloat16.widen(around).astype(float) - float(x))
    wanted = around[np.argmin(apart)] if apart[0] != apart[1] else around[around % 2 == 0][0]
    assert got[0] == wanted


def test_stochastic_rounding_has_no_bias():
    x = np.float32(1.0) + np.linspace(0, 2**-7, 33, dtype=np.float32)  # between two neighbours
    mean, count = np.zeros(x.size), 4000
    for t in range(count):
        drawn = bfloat16.draws(bfloat16.step_key(1, t), 0, np.arange(x.size))
        rounded = bfloat16.widen(bfloat16.stochastic(x, drawn))
        assert set(np.unique(rounded)) <= {1.0, 1.0 + 2**-7}
        mean += rounded
    error = np.abs(mean / count - x) / 2**-7
    assert error.max() < 4 * 0.5 / np.sqrt(count)
    assert error[0] == 0  # what bfloat16 holds stays as it is


def test_small_changes_of_a_mean_square_accumulate(backend):
    """beta2 = 0.999 changes the mean by less than half a unit in the last place of bfloat16."""
    w = np.zeros(4096, np.float32)
    opt = Optimizer(w, Adam(lr=0.0, beta2=0.999), state_dtype="bfloat16")
    for _ in range(1000):
        opt.step(np.ones_like(w))
    square = bfloat16.widen(opt.state_dict()["params.mean_square"])
    np.testing.assert_allclose(square.mean(), 1 - 0.999**1000, rtol=2e-3)
    # Errors of at most half a unit, of 2**-8, forgotten at the rate 1 - beta2.
    assert 0 < square.std() / square.mean() < 2**-8 * np.sqrt(0.25 / (2 * 0.001))
    nearest = np.zeros(1, np.uint16)
    for _ in range(1000):
        one = np.float32(0.999) * bfloat16.widen(nearest) + np.float32(0.001)
        nearest = bfloat16.nearest(one)
    assert bfloat16.widen(nearest)[0] < 0.6 * (1 - 0.999**1000)


@pytest.mark.parametrize("name", LOW)
def test_a_fit_ends_where_float32_ends(name, backend):
    """Least squares with noise: the loss within a part in a thousand."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 30)).astype(np.float32)
    y = X @ rng.normal(size=30).astype(np.float32) + rng.normal(size=400).astype(np.float32)
    losses = []
    for dtype in (None, "bfloat16"):
        w = np.zeros(30, np.float32)
        rate = lrcore.schedules.Polynomial(0.1, steps=600)
        opt = Optimizer(w, LOW[name].with_lr(rate), state_dtype=dtype)
        for _ in range(600):
            opt.step(X.T @ (X @ w - y) / np.float32(400))
        losses.append(float(np.mean((X @ w - y) ** 2)))
    assert losses[0] < 0.5 * float(np.mean(y**2))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_resuming_is_exact(tmp_path, monkeypatch):
    def make(seed=5):
        w = vectors(3000, np.float32, 0)[0]
        return w, Optimizer(w, LOW["Adam"], state_dtype="bfloat16", seed=seed, n_threads=3)

    def go(opt, seeds):
        for seed in seeds:
            opt.step(vectors(3000, np.float32, seed)[0])

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
            assert other.seed == 5
            assert equal_bits(v, whole)


def test_rounding_depends_on_the_seed():
    states = []
    for seed in (0, 1):
        opt = Optimizer(np.zeros(100, np.float32), AdaGrad(), state_dtype="bfloat16", seed=seed)
        opt.step(vectors(100, np.float32, 0)[0])
        states.append(opt.state_dict()["params.sum_of_squares"])
    assert not equal_bits(*states)


ONE = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "params, rule, keywords, error, message",
    [
        (np.ones(3), Adam(), {}, TypeError, "is for float32 parameters, and params is float64"),
        ({"a": ONE}, lrcore.Nadam(), {}, ValueError, r"the rule of params\['a'\] is Nadam\("),
        (ONE, lrcore.SGD(), {}, ValueError, "is for AdaGrad, RMSProp without centered=True, Adam"),
        (ONE, RMSProp(centered=True), {}, ValueError, "without centered=True"),
        (
            ONE,
            Adam(),
            {"state_dtype": "float16"},
            ValueError,
            "'bfloat16' or 'int8', got 'float16'",
        ),
        (ONE, Adam(), {"seed": -1}, ValueError, r"seed must be in 0 to 2\*\*63 - 1, got -1"),
        (ONE, Adam(), {"seed": 1.0}, TypeError, "seed must be an integer, got 1.0"),
    ],
)
def test_parameters_rules_and_options_that_are_refused(params, rule, keywords, error, message):
    with pytest.raises(error, match=message):
        Optimizer(params, rule, **{"state_dtype": "bfloat16", **keywords})


def test_states_of_another_dtype_are_refused():
    low = Optimizer(ONE.copy(), Adam(), state_dtype="bfloat16")
    plain = Optimizer(ONE.copy(), Adam())
    message = "state is of state_dtype='bfloat16', and this Optimizer of None"
    with pytest.raises(ValueError, match=message):
        plain.load_state_dict(low.state_dict())
    with pytest.raises(ValueError, match="and this Optimizer of 'bfloat16'"):
        low.load_state_dict(plain.state_dict())
