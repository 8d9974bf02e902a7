"""What an Optimizer does around a rule: names, overrides, clipping, decay, averages, resuming."""

import copy
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import BUILDS, DTYPES, RULES, THREADS, equal_bits, vectors

import lrcore
from lrcore import SGD, Adam, AdamW, Optimizer, _core, schedules
from lrcore._utils import numerics
from lrcore._utils.archive import ArchiveError

SHAPES = {"a": (3, 5), "b": {"w": (64,), "bias": (1,)}, "c": (200,), "none": (0,), "d": (4097,)}

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


def tree(seed, dtype=np.float64, shapes=SHAPES):
    """Parameters or gradients in a nested dict."""
    if isinstance(shapes, dict):
        return {key: tree(seed + i, dtype, each) for i, (key, each) in enumerate(shapes.items())}
    return vectors(math.prod(shapes), dtype, seed)[0].reshape(shapes)


def leaves(nested):
    if isinstance(nested, dict):
        return [leaf for value in nested.values() for leaf in leaves(value)]
    return [nested]


def run(rule, dtype, *, steps=3, n_threads=1, options=None, **keywords):
    """Parameters, states and averages after a few steps, as a list of arrays."""
    params = tree(0, dtype)
    opt = Optimizer(params, rule, n_threads=n_threads, **keywords)
    for seed in range(steps):
        opt.step(tree(100 + seed, dtype), **(options or {}))
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
        monkeypatch.setattr(_core, "kernels", None)
        expected = run(rule, dtype, options=OPTIONS[option], ema=ema)
        assert all(np.isfinite(each).all() for each in expected)
        for build in BUILDS:
            monkeypatch.setattr(_core, "kernels", _core.load(build))
            for n_threads in THREADS:
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
        plan = _core.load(build).Plan(index, *lists, nowhere, nowhere)
        assert plan.hold(grads, True)
        assert plan.square_sum(n_threads) == expected


def test_clipping_and_scaling_by_hand(backend):
    params = [np.zeros(2), np.zeros(1)]
    opt = Optimizer(params, SGD(lr=1.0))
    opt.step([np.array([6.0, 0.0]), np.array([8.0])], clip_norm=5.0)
    np.testing.assert_allclose(np.concatenate(params), [-3.0, 0.0, -4.0], rtol=1e-15)
    opt.step([np.array([1.0, 0.0]), np.array([2.0])], clip_norm=5.0)  # within: as it is
    np.testing.assert_allclose(np.concatenate(params), [-4.0, 0.0, -6.0], rtol=1e-15)
    opt.step([np.array([10.0, -10.0]), np.array([1.0])], grad_scale=0.1, clip_value=0.5)
    np.testing.assert_allclose(np.concatenate(params), [-4.5, 0.5, -6.1], rtol=1e-15)


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


def test_averages_by_hand(backend):
    w = np.array([1.0, 2.0])
    mean = Optimizer(w, SGD(lr=0.1), ema="polyak")
    path = []
    for t in range(5):
        mean.step(np.array([1.0 + t, -1.0]))
        path.append(w.copy())
        np.testing.assert_allclose(mean.averages, np.mean(path, axis=0), rtol=1e-14)
    v, expected = {"x": np.array([1.0])}, 1.0
    ema = Optimizer(v, SGD(lr=0.5), ema=0.9)
    assert ema.averages["x"][0] == 1.0
    for _ in range(4):
        ema.step({"x": np.array([1.0])})
        expected = 0.9 * expected + 0.1 * v["x"][0]
        assert ema.averages["x"][0] == pytest.approx(expected, rel=1e-15)
    with pytest.raises(AttributeError, match="keeps no averages; give ema"):
        _ = Optimizer(np.ones(1), SGD()).averages


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


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"overrides": {"z*": {"lr": 1.0}}}, r"overrides\['z\*'\] matches none of a, b"),
        ({"overrides": {"a": {"rho": 1.0}}}, r"overrides\['a'\] has 'rho'; SGD has"),
        ({"overrides": {"a": {"lr": -1.0}}}, "lr must be finite and >= 0, got -1.0"),
        ({"ema": 1.0}, r"ema must be in \[0, 1\), got 1.0"),
        ({"ema": "mean"}, "ema must be .* 'polyak' or 'polynomial', got 'mean'"),
    ],
)
def test_bad_keywords_are_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        Optimizer({"a": np.ones(1), "b": np.ones(1)}, SGD(), **keywords)


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"grad_scale": np.nan}, ValueError, "grad_scale must be finite, got nan"),
        ({"grad_scale": "2"}, TypeError, "grad_scale must be a number, got '2'"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm must be > 0, got 0.0"),
        ({"clip_value": -1.0}, ValueError, "clip_value must be finite and >= 0, got -1.0"),
        ({"n_threads": 0}, ValueError, "n_threads must be in 1 to 1024"),
    ],
)
def test_a_bad_step_changes_nothing(keywords, error, message, backend):
    w = np.ones(3)
    opt = Optimizer(w, Adam(lr=0.1))
    opt.step(np.ones(3))
    before, state = w.copy(), opt.state_dict()
    with pytest.raises(error, match=message):
        opt.step(np.ones(3), **keywords)
    assert equal_bits(w, before)
    assert all(equal_bits(state[k], v) for k, v in opt.state_dict().items() if k.startswith("par"))
    assert opt.t == 1


def test_a_norm_beyond_float64_is_refused_and_changes_nothing(backend):
    w = np.ones(3)
    opt = Optimizer(w, SGD(lr=1e-200))
    opt.step(np.full(3, 1e200))  # its squares overflow, but it is finite
    assert opt.t == 1
    before = w.copy()
    with pytest.raises(FloatingPointError, match="norm of the gradients at step 1 is inf"):
        opt.step(np.full(3, 1e200), clip_norm=1.0)
    assert equal_bits(w, before)


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

    monkeypatch.setattr(_core, "kernels", None)
    expected = go(1)
    for each in expected:
        assert not np.any((each != 0) & (np.abs(each) < tiny))
    for build in BUILDS:
        monkeypatch.setattr(_core, "kernels", _core.load(build))
        for n_threads in THREADS:
            assert all(equal_bits(x, y) for x, y in zip(go(n_threads), expected)), build


def test_the_callers_arithmetic_is_left_as_it_was(backend):
    small = np.full(1000, 1e-310)
    Optimizer(np.ones(200_000), Adam(), n_threads=2).step(np.ones(200_000))
    assert np.all(small * 0.5 > 0)
    found = []
    other = threading.Thread(target=lambda: found.append((small * 0.5).min()))
    other.start()
    other.join()
    assert found[0] > 0


def test_many_small_arrays_are_one_region(build):
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


class Exported:
    """Memory of another library."""

    def __init__(self, array, protocol):
        self._array = array
        if protocol == "dlpack":
            self.__class__ = DLPack
        else:
            self.__array_interface__ = array.__array_interface__


class DLPack(Exported):
    def __dlpack__(self, **keywords):
        return self._array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_memory_of_other_libraries_is_stepped_in_place(protocol, backend):
    w = np.ones(4, np.float32)
    opt = Optimizer(Exported(w, protocol), SGD(lr=0.5))
    opt.step(Exported(np.ones(4, np.float32), protocol))
    assert w.tolist() == [0.5] * 4
    with pytest.raises(ValueError, match="overlaps params"):
        opt.step(Exported(w, protocol))


def test_torch_tensors_are_stepped_in_place():
    torch = pytest.importorskip("torch")
    w = torch.ones(4)
    Optimizer({"w": w}, SGD(lr=0.5)).step({"w": torch.ones(4)})
    assert w.tolist() == [0.5] * 4
    with pytest.raises(TypeError, match=r"params cannot be seen as an array.*\.detach\(\)"):
        Optimizer(torch.ones(4, requires_grad=True), SGD())


def test_a_gradient_may_not_overlap_parameters_of_another_group(backend):
    room = np.ones(6)
    params = {"a": room[:3], "b": np.ones(3, np.float32)}
    opt = Optimizer(params, SGD(lr=1.0), overrides={"a": {"momentum": 0.5}})
    other = {"a": np.ones(3), "b": room[:3].view(np.float32)[:3]}
    with pytest.raises(ValueError, match=r"grads\['b'\] overlaps params\['a'\]"):
        opt.step(other)
    assert room.tolist() == [1.0] * 6


def test_gradients_are_let_go(backend):
    g = np.ones(4)
    opt = Optimizer(np.ones(4), SGD(lr=1.0))
    before = sys.getrefcount(g)
    opt.step(g)
    assert sys.getrefcount(g) == before


def test_read_only_and_mapped_gradients(tmp_path, backend):
    g = np.ones(5)
    g.flags.writeable = False
    np.save(tmp_path / "g.npy", g)
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    w = np.zeros(5)
    opt = Optimizer(w, SGD(lr=1.0))
    opt.step(g)
    opt.step(mapped)
    assert w.tolist() == [-2.0] * 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_float16_gradients_are_widened_exactly(dtype, backend):
    """All 63,488 finite values of float16, in one step of SGD at rate 1."""
    g = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    g = g[np.isfinite(g)]
    for options in ({}, {"grad_scale": 2.0}, {"clip_norm": 1.0}):
        wide, narrow = np.zeros(g.size, dtype), np.zeros(g.size, dtype)
        Optimizer(wide, SGD(lr=1.0)).step(g.astype(dtype), **options)
        Optimizer(narrow, SGD(lr=1.0)).step(g, **options)
        assert equal_bits(wide, narrow)
        assert np.ptp(narrow) > 0
    for bad in (np.nan, np.inf):
        g[777] = bad
        with pytest.raises(FloatingPointError, match=r"grads\[777\] is"):
            Optimizer(narrow, SGD(lr=1.0)).step(g)


def test_a_step_needs_no_memory_of_its_own():
    """The resident peak, once parameters, gradients and states are there, stays where it is."""
    code = """
import resource, sys, numpy as np, lrcore
size = 8_000_000
w, g = np.ones(size, np.float32), np.ones(size, np.float32)
for keywords in ({}, {"ema": 0.9}, {"state_dtype": "bfloat16"}):
    opt = lrcore.Optimizer(w, lrcore.AdamW(lr=1e-3), n_threads=2, **keywords)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opt.step(g)
    opt.step(g, clip_norm=1.0, clip_value=0.5, grad_scale=2.0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    del opt
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown = [int(line) for line in done.stdout.split()]
    assert len(grown) == 3
    assert max(grown) < 2048, grown  # KiB, of 31,250 of the parameters: threads and tables


# ---- resuming -----------------------------------------------------------------------------------


def stepped(n, opt, dtype=np.float32):
    for seed in range(n):
        opt.step(tree(50 + seed, dtype), clip_norm=3.0)


RESUMED = AdamW(lr=schedules.Cosine(0.1, steps=9).warmup(3))


@pytest.mark.parametrize("how", ["file", "dict", "pickle", "deepcopy", "copy"])
def test_resuming_is_exact_across_builds_and_threads(how, tmp_path, monkeypatch):
    keywords = {"overrides": {"*.bias": {"weight_decay": 0.0}}, "ema": 0.9}
    whole = tree(0, np.float32)
    stepped(6, Optimizer(whole, RESUMED, **keywords))
    for first in BUILDS:
        for second in BUILDS:
            monkeypatch.setattr(_core, "kernels", _core.load(first))
            params = tree(0, np.float32)
            opt = Optimizer(params, RESUMED, n_threads=3, **keywords)
            stepped(3, opt)
            monkeypatch.setattr(_core, "kernels", _core.load(second))
            if how == "file":
                opt.save(tmp_path / "run.npz")
                params = tree(7, np.float32)
                opt = Optimizer(params, SGD(lr=1.0), ema=0.5)
                opt.load(tmp_path / "run.npz")
                opt.ema = 0.9
            elif how == "dict":
                saved = opt.state_dict()
                opt = Optimizer(params, RESUMED, **keywords)
                opt.load_state_dict(saved)
            elif how == "copy":
                opt = copy.copy(opt)
            else:
                both = (params, opt)
                copied = copy.deepcopy(both) if how == "deepcopy" else None
                params, opt = copied or pickle.loads(pickle.dumps(both))
            for seed in range(3, 6):
                opt.step(tree(50 + seed, np.float32), clip_norm=3.0)
            assert all(equal_bits(x, y) for x, y in zip(leaves(params), leaves(whole)))


def test_a_copy_has_a_state_of_its_own():
    w = np.ones(3)
    opt = Optimizer(w, Adam(lr=0.1))
    opt.step(np.ones(3))
    other = copy.copy(opt)
    other.step(np.ones(3))
    assert (opt.t, other.t) == (1, 2)
    assert not equal_bits(
        opt.state_dict()["params.mean_gradient"], other.state_dict()["params.mean_gradient"]
    )


def test_loading_may_keep_the_rate_at_hand(tmp_path):
    opt = Optimizer(np.ones(3), Adam(lr=0.1))
    opt.step(np.ones(3))
    opt.save(tmp_path / "run.npz")
    other = Optimizer(np.zeros(3), Adam(lr=0.007))
    other.load(tmp_path / "run.npz", hyperparameters=False)
    assert other.rule == Adam(lr=0.007)
    assert other.t == 1
    other.load(tmp_path / "run.npz")
    assert other.rule == Adam(lr=0.1)


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "run.npz"
    Optimizer({"a": np.ones(3)}, Adam()).save(path)
    for params, error in (
        ({"a": np.ones(4)}, ValueError),
        ({"a": np.ones(3, np.float32)}, ValueError),
        ({"b": np.ones(3)}, ArchiveError),
        ({"a": np.ones(3), "b": np.ones(1)}, ArchiveError),
    ):
        opt = Optimizer(params, SGD())
        before = copy.deepcopy(params)
        with pytest.raises(error, match=r"run\.npz"):
            opt.load(path)
        assert all(equal_bits(params[k], v) for k, v in before.items())
        assert opt.rule == SGD()
    raw = bytearray(path.read_bytes())
    for at in range(0, len(raw), 97):
        spoilt = raw.copy()
        spoilt[at] ^= 0x55
        (tmp_path / "bad.npz").write_bytes(spoilt)
        opt = Optimizer({"a": np.zeros(3)}, SGD())
        try:
            opt.load(tmp_path / "bad.npz")
        except (ArchiveError, ValueError):
            continue
        assert opt.rule == Adam()  # a byte that the format does not look at


def test_a_save_that_is_killed_leaves_the_old_or_the_new_file(tmp_path):
    """`make soak` does this two hundred times."""
    kill_while_saving(tmp_path, 5)


def kill_while_saving(folder, n_times):
    code = (
        "import sys, numpy as np, lrcore\n"
        "w = np.zeros(300_000); opt = lrcore.Optimizer(w, lrcore.SGD(lr=1.0, momentum=0.5))\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    opt.step(np.full(300_000, -1.0)); opt.save(sys.argv[1])\n"
    )
    path = folder / "run.npz"
    rng = np.random.default_rng(0)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(n_times):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, env=environment
        )
        child.stdout.readline()
        while not path.exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.1))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        w = np.empty(300_000)
        opt = Optimizer(w, SGD())
        opt.load(path)
        # After t steps of momentum 1/2 with g = -1: sums of 2 - 2**-k.
        expected = sum(2.0 - 2.0**-k for k in range(opt.t))
        assert opt.t >= 1
        assert np.allclose(w, expected, rtol=1e-12)


# ---- threads ------------------------------------------------------------------------------------


def test_two_python_threads_step_two_optimizers(build):
    def work(seed, found):
        w = vectors(200_000, np.float32, seed)[0]
        opt = Optimizer(w, Adam(lr=0.01), n_threads=2)
        for k in range(20):
            opt.step(vectors(200_000, np.float32, seed + k)[0])
        found[seed] = w

    together, alone = {}, {}
    workers = [threading.Thread(target=work, args=(seed, together)) for seed in (1, 2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    for seed in (1, 2):
        work(seed, alone)
        assert equal_bits(together[seed], alone[seed])


def test_limits_on_threads():
    most = lrcore.get_num_threads()
    with lrcore.num_threads(1):
        assert lrcore.get_num_threads() == 1
        seen = []
        other = threading.Thread(target=lambda: seen.append(lrcore.get_num_threads()))
        other.start()
        other.join()
        assert seen == [most]  # another thread's block is its own
    assert lrcore.get_num_threads() == most
    lrcore.set_num_threads(1)
    try:
        assert lrcore.get_num_threads() == 1
        assert lrcore.show_config
    finally:
        lrcore.set_num_threads(None)
    with pytest.raises(ValueError, match="n_threads must be in 1 to 1024"):
        lrcore.set_num_threads(0)
