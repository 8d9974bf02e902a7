"""Continuing from a saved state: exactly, and only if it fits."""

import copy
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

from lrcore import SGD, Adam, AdamW, Optimizer, schedules
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
