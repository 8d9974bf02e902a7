"""Parameters stepped together: the bits of the formulas, overrides, decay."""

import copy
import math

import numpy as np
import pytest
from backends import use_backend
from hypothesis import given
from hypothesis import strategies as st
from strategies import BUILDS, DTYPES, RULES, THREADS, THREADS_AND_BUILDS, equal_bits, vectors

import lrcore
from lrcore import SGD, Adam, AdamW, Optimizer, _core, schedules
from lrcore._utils import numerics

from .arrays import leaves, nested_arrays

#: Everything that is folded into a step, alone and together.
OPTIONS = {
    "scale": {"grad_scale": 0.3},
    "value": {"clip_value": 0.7},
    "norm": {"clip_norm": 2.0},
    "all": {"grad_scale": -0.4, "clip_value": 0.2, "clip_norm": 30.0},
}


DECAYS = {
    "l2": {"weight_decay": 0.1},
    "decoupled": {"weight_decay": 0.1, "decoupled": True},
    "maximize": {"maximize": True, "weight_decay": 0.05},
}


def run(rule, dtype, *, steps=3, n_threads=1, options=None, **keywords):
    """Parameters, states and averages after a few steps, as a list of arrays."""
    params = nested_arrays(0, dtype)
    opt = Optimizer(params, rule, n_threads=n_threads, **keywords)
    for seed in range(steps):
        opt.step(nested_arrays(100 + seed, dtype), **(options or {}))
    return leaves(params) + [v for v in opt.state_dict().values() if isinstance(v, np.ndarray)]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("decay", [None, *DECAYS])
@pytest.mark.parametrize("name", RULES)
def test_adjusted_steps_have_the_bits_of_the_formula(name, decay, option, monkeypatch):
    """Scaling, clipping, decay and averages, against the NumPy backend."""
    rule = RULES[name]
    if decay:
        rule = lrcore.rules.from_dict({**rule.to_dict(), **DECAYS[decay]})
    ema = {"scale": None, "value": 0.9, "norm": "polyak", "all": "polynomial"}[option]
    ema = None if rule.averages else ema
    for dtype in DTYPES:
        use_backend(monkeypatch, "numpy")
        expected = run(rule, dtype, options=OPTIONS[option], ema=ema)
        assert all(np.isfinite(each).all() for each in expected)
        for n_threads, build in THREADS_AND_BUILDS:
            use_backend(monkeypatch, build)
            got = run(rule, dtype, options=OPTIONS[option], ema=ema, n_threads=n_threads)
            assert all(equal_bits(x, y) for x, y in zip(got, expected)), (build, n_threads)


@given(
    st.lists(st.integers(0, 9000), min_size=1, max_size=12),
    st.sampled_from(DTYPES),
    st.sampled_from(THREADS),
)
def test_the_norm_has_a_fixed_order(sizes, dtype, n_threads):
    grads = [vectors(size, dtype, size + 1)[0] for size in sizes]
    expected = numerics.square_sum(grads)
    exact = math.fsum(float(x) ** 2 for g in grads for x in g[:: max(1, len(g) // 50)])
    assert expected >= exact * (1 - 1e-12)
    np.testing.assert_allclose(expected, sum(np.sum(g.astype(float) ** 2) for g in grads))
    for build in BUILDS:
        states = [np.empty((0, g.size), dtype) for g in grads]
        index = _core.load(build).RULES["SGDFormula"][0]
        params = [np.zeros_like(g) for g in grads]
        nowhere = np.empty(0, np.uintp)
        lists = (params, states, [], [0] * len(grads))
        plan = _core.load(build).plan(index, *lists, nowhere, nowhere)
        assert plan.hold(grads, True)
        assert plan.square_sum(n_threads) == expected


def test_decay_by_hand(backend):
    for rule, expected in (
        (SGD(lr=0.1, weight_decay=0.5), 2.0 - 0.1 * (1.0 + 0.5 * 2.0)),
        (SGD(lr=0.1, weight_decay=0.5, decoupled=True), 2.0 * (1 - 0.1 * 0.5) - 0.1),
        (SGD(lr=0.1, weight_decay=0.5, maximize=True), 2.0 - 0.1 * (-1.0 + 0.5 * 2.0)),
    ):
        w = np.array([2.0])
        Optimizer(w, rule).step(np.array([1.0]))
        assert w[0] == pytest.approx(expected, rel=1e-15)


def test_decoupled_decay_follows_the_rate(backend):
    w = np.array([2.0])
    rate = schedules.Step(0.1, every=1, gamma=0.0)  # 0 from the second step on
    opt = Optimizer(w, SGD(lr=rate, weight_decay=0.5, decoupled=True))
    for _ in range(3):
        opt.step(np.array([1.0]))
    assert w[0] == pytest.approx(2.0 * (1 - 0.1 * 0.5) - 0.1, rel=1e-15)


def test_overrides_by_name_and_pattern(backend):
    params = {
        "head": {"w": np.ones(3), "bias": np.ones(2)},
        "body": [{"w": np.ones(2), "bias": np.ones(1)}, {"w": np.ones(1), "bias": np.ones(4)}],
    }
    rule = AdamW(lr=0.1, weight_decay=0.5)
    overrides = {"*.bias": {"weight_decay": 0.0}, "body.*": {"lr": 0.01}, "body.1.w": {"lr": 0.0}}
    Optimizer(params, rule, overrides=overrides).step(copy.deepcopy(params))
    one = {
        "head.w": rule,
        "head.bias": AdamW(lr=0.1, weight_decay=0.0),
        "body.0.w": AdamW(lr=0.01, weight_decay=0.5),
        "body.0.bias": AdamW(lr=0.01, weight_decay=0.0),
        "body.1.w": AdamW(lr=0.0, weight_decay=0.5),
    }
    found = {
        "head.w": params["head"]["w"],
        "head.bias": params["head"]["bias"],
        "body.0.w": params["body"][0]["w"],
        "body.0.bias": params["body"][0]["bias"],
        "body.1.w": params["body"][1]["w"],
    }
    for path, each in one.items():
        w = np.ones_like(found[path])
        Optimizer(w, each).step(np.ones_like(w))
        assert equal_bits(w, found[path]), path
    assert params["body"][1]["w"][0] == 1.0


def test_an_override_may_change_the_formula(backend):
    params = {"a": np.ones(3), "b": np.ones(3)}
    opt = Optimizer(params, SGD(lr=0.1), overrides={"b": {"momentum": 0.9}})
    for _ in range(3):
        opt.step({"a": np.ones(3), "b": np.ones(3)})
    assert params["a"][0] == pytest.approx(0.7)
    assert params["b"][0] == pytest.approx(1 - 0.1 * (1 + 1.9 + 2.71))
    again = Optimizer({"a": np.ones(3), "b": np.ones(3)}, SGD())
    again.load_state_dict(opt.state_dict())
    assert again.overrides == {"b": {"momentum": 0.9}}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_numbers_below_the_normal_range_count_as_zero(name, dtype, monkeypatch):
    """States decay through them, gradients lie among them; the same bits, and none is left."""
    tiny = float(np.finfo(dtype).tiny)
    sizes = tiny ** np.array([0.25, 0.45, 0.49, 0.51, 0.55, 0.9, 1.01])

    def go(n_threads):
        w = vectors(300, dtype, 0)[0]
        opt = Optimizer(w, RULES[name], n_threads=n_threads)
        for t in range(40):
            g = vectors(300, dtype, t)[0] * np.resize(sizes, 300).astype(dtype)
            opt.step(g if t < 4 else 0 * g, grad_scale=0.7)
        return [w, *(v for v in opt.state_dict().values() if isinstance(v, np.ndarray))]

    use_backend(monkeypatch, "numpy")
    expected = go(1)
    for each in expected:
        assert not np.any((each != 0) & (np.abs(each) < tiny))
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            assert all(equal_bits(x, y) for x, y in zip(go(n_threads), expected)), build


def test_many_small_arrays_have_the_bits_of_single_ones(build):
    """The same bits as one by one, whatever the sizes and threads."""
    sizes = [(7 * i) % 131 for i in range(1000)]
    for n_threads in (1, 3):
        params = [vectors(size, np.float32, size)[0] for size in sizes]
        alone = [p.copy() for p in params]
        grads = [vectors(size, np.float32, size + 1)[0] for size in sizes]
        opt = Optimizer(params, Adam(lr=0.1), n_threads=n_threads)
        singles = [Optimizer(p, Adam(lr=0.1), n_threads=1) for p in alone if p.size]
        for _ in range(2):
            opt.step(grads)
            for single, g in zip(singles, [g for g in grads if g.size]):
                single.step(g)
        assert all(equal_bits(x, y) for x, y in zip(params, alone))


@pytest.mark.parametrize("name", RULES)
def test_states_of_large_arrays_begin_apart_and_have_the_same_bits(name, monkeypatch):
    """A power of two, where rows one after another would begin alike in their pages."""
    found = []
    for build in ("numpy", *BUILDS):
        use_backend(monkeypatch, build)
        w = vectors(8192, np.float32, 0)[0]
        opt = Optimizer(w, RULES[name])
        for seed in range(2):
            opt.step(vectors(8192, np.float32, 1 + seed)[0])
        rows = opt._groups[0].states[0]
        places = [row.ctypes.data % 4096 for row in (w, *rows)]
        apart = [abs(a - b) for i, a in enumerate(places) for b in places[:i]]
        assert all(512 <= gap <= 4096 - 512 for gap in apart)
        found.append([w, *(v for v in opt.state_dict().values() if isinstance(v, np.ndarray))])
    for got in found[1:]:
        assert all(equal_bits(x, y) for x, y in zip(got, found[0]))
