"""Continuing from a saved state: exactly, and only if it fits."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
from backends import use_backend
from strategies import BUILDS, RULES, equal_bits

from lrcore import SGD, Adam, AdamW, Nadam, Optimizer, ScheduleFreeAdamW, schedules
from lrcore._utils import archive, bfloat16
from lrcore._utils.archive import ArchiveError

from .arrays import gradients_of, leaves, nested_arrays, two_arrays

ADAM = Adam(lr=0.1)


@pytest.mark.parametrize("name", RULES)
def test_resume_is_exact(name, backend):
    params, fresh = two_arrays(), two_arrays()
    opt = Optimizer(params, RULES[name])
    for seed in range(3):
        opt.step(gradients_of(params, seed))
    saved = opt.state_dict()
    for k in fresh:
        fresh[k][...] = params[k]
    resumed = Optimizer(fresh, RULES[name].with_lr(0.7))
    resumed.load_state_dict(saved)
    for seed in range(3, 6):
        opt.step(gradients_of(params, seed))
        resumed.step(gradients_of(params, seed))
    assert all(equal_bits(params[k], fresh[k]) for k in params)
    assert resumed.rule == RULES[name]


@pytest.mark.parametrize(
    "spoil, error",
    [
        (lambda d: d.pop("t"), ValueError),
        (lambda d: d.update(t=-1), ValueError),
        (lambda d: d.update(extra=1), ValueError),
        (lambda d: d.update({"params['b'].mean_square": np.zeros(2, np.float32)}), ValueError),
        (lambda d: d.update({"params['b'].mean_square": np.zeros(3)}), ValueError),
        (lambda d: d.update({"params['b'].mean_square": [0, 0, 0]}), TypeError),
        (lambda d: d.update(rule={"rule": "SGD", "lr": 0.1}), ValueError),
        (lambda d: d.update(rule={"rule": "Other"}), ValueError),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(spoil, error):
    params = two_arrays()
    opt = Optimizer(params, ADAM)
    opt.step(gradients_of(params))
    saved = opt.state_dict()
    before = opt.state_dict()
    spoil(saved)
    with pytest.raises(error):
        opt.load_state_dict(saved)
    after = opt.state_dict()
    assert all(np.array_equal(after[key], before[key]) for key in before)


def step_times(n, opt, dtype=np.float32):
    for seed in range(n):
        opt.step(nested_arrays(50 + seed, dtype), clip_norm=3.0)


RESUMED = AdamW(lr=schedules.Cosine(0.1, steps=9).warmup(3))


@pytest.mark.parametrize("how", ["file", "dict", "pickle", "deepcopy", "copy"])
def test_resuming_is_exact_across_builds_and_threads(how, tmp_path, monkeypatch):
    keywords = {"overrides": {"*.bias": {"weight_decay": 0.0}}, "ema": 0.9}
    whole = nested_arrays(0, np.float32)
    step_times(6, Optimizer(whole, RESUMED, **keywords))
    for first in BUILDS:
        for second in BUILDS:
            use_backend(monkeypatch, first)
            params = nested_arrays(0, np.float32)
            opt = Optimizer(params, RESUMED, n_threads=3, **keywords)
            step_times(3, opt)
            use_backend(monkeypatch, second)
            if how == "file":
                opt.save(tmp_path / "run.npz")
                params = nested_arrays(7, np.float32)
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
                opt.step(nested_arrays(50 + seed, np.float32), clip_norm=3.0)
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
    """Kill a process that saves again and again; each time the file must hold a whole state."""
    code = (
        "import sys, numpy as np, lrcore\n"
        "w = np.zeros(300_000)\n"
        "opt = lrcore.Optimizer(w, lrcore.SGD(lr=1.0, momentum=0.5))\n"
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
            assert child.poll() is None, "the process that saves has ended"
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


@pytest.mark.parametrize("mapped", [False, True])
def test_an_optimizer_from_read_only_memory_steps(mapped, tmp_path):
    """As processes hand over a pickle of protocol 5, and as joblib maps a file."""
    params = {"w": np.ones(200_000), "deep": [np.ones((3, 2), np.float32)]}
    grads = {"w": np.ones(200_000), "deep": [np.ones((3, 2), np.float32)]}
    opt = Optimizer(params, Adam(), ema=0.9)
    opt.step(grads)
    if mapped:
        joblib.dump(opt, tmp_path / "opt")
        again = joblib.load(tmp_path / "opt", mmap_mode="r")
    else:
        buffers = []
        data = pickle.dumps(opt, protocol=5, buffer_callback=buffers.append)
        again = pickle.loads(data, buffers=[bytes(each) for each in buffers])
    for each in (opt, again):
        each.step(grads)
    assert equal_bits(again.params["w"], params["w"])
    assert equal_bits(again.params["deep"][0], params["deep"][0])
    assert equal_bits(again.averages["w"], opt.averages["w"])


# ---- files with the right digest, which anyone can compute --------------------------------------


def forge(path, change):
    """Write the file again with a change to its header and arrays, and a digest of what is there
    then."""
    header, arrays = archive.read(path, "an optimizer", 1)
    change(header, arrays)
    archive.write(path, header, arrays)


def said(**values):
    return lambda h, a: h["optimizer"].update(values)


def spoilt(place, value):
    def change(h, a):
        name = f"array_{place}"
        a[name] = a[name].copy()
        a[name].reshape(-1)[0] = value

    return change


HOSTILE = [
    said(t=-1),
    said(t=True),
    said(t=1.5),
    said(t=1 << 62),
    said(t="1"),
    said(skipped=-1),
    said(seed=-1),
    said(seed=1 << 64),
    said(rule=None),
    said(rule="Adam"),
    said(rule={"rule": "Adam", "lr": 10**400}),
    said(rule={"rule": "Adam", "lr": float("nan")}),
    said(rule={"rule": "Adam", "lr": {"schedule": ["Constant"], "lr": 1.0}}),
    said(rule={"rule": "Adam", "lr": {"schedule": "Constant", "lr": "1"}}),
    said(rule={"rule": "Adam", "beta1": 2.0}),
    said(rule={"rule": "SGD", "lr": 0.1}),
    said(overrides=[]),
    said(overrides={"b": 3}),
    said(overrides={"b": {"lr": {"schedule": None}}}),
    said(overrides={"nobody": {"lr": 0.1}}),
    said(travel=[0, 0]),
    lambda h, a: h.update(arrays=h["arrays"][:-1]),
    lambda h, a: h.update(arrays=5),
    lambda h, a: h.update(arrays=[[1]] * len(h["arrays"])),
    lambda h, a: h.update(optimizer=[1]),
    lambda h, a: h.pop("optimizer"),
    lambda h, a: a.pop("array_0"),
    lambda h, a: a.update(array_0=a["array_0"][:-1]),
    lambda h, a: a.update(array_0=a["array_0"].astype(complex)),
    lambda h, a: a.update(array_0=a["array_0"].astype("U9")),
    spoilt(0, np.nan),
    spoilt(-1, np.nan),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_file_with_the_right_digest_changes_nothing(number, tmp_path):
    params = two_arrays()
    opt = Optimizer(params, ADAM)
    opt.step(gradients_of(params))
    path = tmp_path / "run"
    opt.save(path)
    change = HOSTILE[number]
    if number == len(HOSTILE) - 1:
        change = spoilt(len(archive.read(path, "an optimizer", 1)[0]["arrays"]) - 1, np.inf)
    forge(path, change)
    before = {k: v.copy() for k, v in params.items()}, opt.state_dict()
    with pytest.raises((ArchiveError, ValueError, TypeError)):
        opt.load(path)
    assert all(equal_bits(params[k], before[0][k]) for k in params)
    after = opt.state_dict()
    assert all(np.array_equal(after[key], before[1][key]) for key in after)


def test_numbers_that_are_not_finite_are_read_where_they_are_let_through(tmp_path):
    w = np.array([np.nan, np.inf, 1.0])
    Optimizer(w, SGD(0.1), nonfinite="propagate").save(tmp_path / "run")
    other = np.zeros(3)
    with pytest.raises(ValueError, match=r"params has nan; nonfinite='propagate'"):
        Optimizer(other, SGD(0.1)).load(tmp_path / "run")
    assert not other.any()
    Optimizer(other, SGD(0.1), nonfinite="propagate").load(tmp_path / "run")
    assert np.array_equal(other, w, equal_nan=True)


SLOW = [
    ScheduleFreeAdamW(lr=schedules.InverseSqrt(0.1, timescale=10)),
    ScheduleFreeAdamW(beta2=1.0 - 1e-14),
    Nadam(beta1=1.0 - 1e-15),
]
QUICK = [
    ScheduleFreeAdamW(),
    ScheduleFreeAdamW(lr=schedules.Cosine(0.1, steps=900).warmup(30)),
    Nadam(),
    Adam(0.1),
]


@pytest.mark.parametrize("rule", SLOW + QUICK, ids=str)
def test_a_number_of_steps_costs_no_minutes(rule):
    w = np.zeros(3)
    opt = Optimizer(w, rule)
    opt.step(np.ones(3))
    saved = {**opt.state_dict(), "t": 10**9}
    start = time.perf_counter()
    if rule in SLOW:
        with pytest.raises(ValueError, match=r"state\['t'\] is 1,000,000,000"):
            opt.load_state_dict(saved)
    else:
        opt.load_state_dict(saved)
        opt.step(np.ones(3))
        assert np.isfinite(w).all()
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("lr", [0.1, schedules.Cosine(0.1, steps=40_000, end=0.01).warmup(5)])
def test_the_weights_of_an_average_sum_up_to_what_one_after_another_does(lr):
    rule, n = ScheduleFreeAdamW(lr=lr, beta2=0.99), 5 * (1 << 14) + 77
    t = np.arange(n)
    weights = rule.rates(t) ** 2 * (1 - 0.99 ** (t + 1.0))
    expected = weights[-1] / weights.sum()
    assert rule.lookback(n) < n
    assert rule.coefficients(t[-1:])[0][2] == pytest.approx(expected, rel=1e-10)


NUMPY_NUMBERS = [
    (Adam(lr=np.float32(0.25), beta1=np.float64(0.5)), {}),
    (SGD(lr=np.int64(1), momentum=np.float32(0.5), nesterov=np.True_), {}),
    (ADAM, {"overrides": {"b": {"lr": np.float32(0.5)}}}),
    (ADAM, {"seed": np.int64(7), "state_dtype": "bfloat16"}),
    (Adam(schedules.Cosine(np.float32(0.5), steps=np.int64(9))), {"ema": np.float32(0.5)}),
]


@pytest.mark.parametrize("rule, keywords", NUMPY_NUMBERS, ids=str)
def test_numbers_of_numpy_are_saved_as_any(rule, keywords, tmp_path):
    params, others = ({"w": np.ones(9, np.float32), "b": np.ones(3, np.float32)} for _ in "ab")
    opt = Optimizer(params, rule, **keywords)
    opt.step({"w": np.ones(9, np.float32), "b": np.ones(3, np.float32)})
    opt.save(tmp_path / "run")
    json.dumps(opt.rule.to_dict())
    same = {key: keywords[key] for key in ("ema", "state_dtype") if key in keywords}
    again = Optimizer(others, Adam(1.0), **same)
    again.load(tmp_path / "run")
    assert (again.rule, again.overrides, again.seed) == (opt.rule, opt.overrides, opt.seed)
    for each, w in ((opt, params), (again, others)):
        each.step({"w": w["w"] * np.float32(0.5), "b": w["b"] * np.float32(0.5)})
    assert all(equal_bits(params[k], others[k]) for k in params)


@pytest.mark.parametrize("how", ["file", "dict"])
@pytest.mark.parametrize("first, second", [(np.float64, np.float32), (np.float32, np.float64)])
def test_a_state_of_another_dtype_is_taken_over_on_request(first, second, how, tmp_path):
    was, now = np.linspace(-1, 1, 9, dtype=first), np.zeros(9, second)
    opt, other = Optimizer(was, ADAM, ema=0.5), Optimizer(now, SGD(1.0), ema=0.5)
    for _ in range(3):
        opt.step(was * first(0.5))
    opt.save(tmp_path / "run")
    if how == "file":
        with pytest.raises(ValueError, match="cast=True takes other dtypes"):
            other.load(tmp_path / "run")
        other.load(tmp_path / "run", cast=True)
    else:
        with pytest.raises(ValueError, match="cast=True takes other dtypes"):
            other.load_state_dict(opt.state_dict())
        now[...] = was
        other.load_state_dict(opt.state_dict(), cast=True)
    assert equal_bits(now, was.astype(second))
    for key, value in other.state_dict().items():
        saved = opt.state_dict()[key]
        if isinstance(value, np.ndarray):
            assert equal_bits(value, saved.astype(second))
        else:
            assert value == saved
    for each, w in ((opt, was), (other, now)):
        each.step(np.full(9, 0.25, w.dtype))
    np.testing.assert_allclose(now, was, rtol=1e-5)


@pytest.mark.parametrize("first, second", [(None, "bfloat16"), ("bfloat16", None)])
def test_a_state_kept_otherwise_is_taken_over_on_request(first, second):
    w = np.linspace(-1, 1, 9, dtype=np.float32)
    opt = Optimizer(w.copy(), ADAM, state_dtype=first)
    opt.step(w)
    other = Optimizer(w.copy(), ADAM, state_dtype=second)
    with pytest.raises(ValueError, match="load with cast=True"):
        other.load_state_dict(opt.state_dict())
    other.load_state_dict(opt.state_dict(), cast=True)
    for name in ("params.mean_gradient", "params.mean_square"):
        values = [opt.state_dict()[name], other.state_dict()[name]]
        wide = [bfloat16.widen(v) if v.dtype == np.uint16 else v for v in values]
        np.testing.assert_allclose(wide[0], wide[1], rtol=2**-8)
        assert wide[0].any()


def test_a_state_that_another_dtype_does_not_hold_changes_nothing():
    opt, other = Optimizer(np.ones(3), ADAM), Optimizer(np.ones(3, np.float32), ADAM)
    opt.step(np.full(3, 1e30))
    with pytest.raises(
        ValueError, match=r"mean_square'\] has 1e\+5\d, which float32 does not hold"
    ):
        other.load_state_dict(opt.state_dict(), cast=True)
    assert other.t == 0
    saved = opt.state_dict()
    saved["params.mean_square"] = saved["params.mean_square"] + 1j
    with pytest.raises(TypeError, match="must be float32, float64 or bfloat16, got complex128"):
        other.load_state_dict(saved, cast=True)
