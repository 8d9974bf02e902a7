"""An interruption leaves the state before a call or that after it, whole."""

from functools import partial

import numpy as np
import pytest
from interruptions import ctrl_c_after, interrupt, places
from strategies import BUILDS

import lrcore
from lrcore import SGD, Adam, Optimizer, schedules

pytestmark = [
    pytest.mark.skipif(not BUILDS, reason="the NumPy backend makes a step in many calls"),
    # Of generators that are thrown away while they are interrupted.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: Three groups: two dtypes, and another rate.
SIZES = {"a": np.ones(5, np.float32), "b": np.ones((3, 2)), "c": np.ones(70)}
GRADS = {name: np.full_like(array, 0.5) for name, array in SIZES.items()}


def new_run(steps=16):
    """Parameters and an Optimizer that has made some steps; the next one needs new coefficients."""
    params = {name: array.copy() for name, array in SIZES.items()}
    rule = Adam(lr=schedules.Cosine(0.1, steps=30))
    opt = Optimizer(params, rule, overrides={"c": {"lr": 0.5}}, ema="polyak")
    for _ in range(steps):
        opt.step(GRADS)
    return params, opt


def new_dog():
    params = np.ones(9)
    opt = Optimizer(params, lrcore.DoG())
    opt.step(np.ones(9))
    return params, opt


def assign_rule(opt):
    opt.rule = opt.rule.with_lr(0.3)


def assign_overrides(opt):
    opt.overrides = {"a": {"lr": 0.25}}


def state_of(params, opt):
    """Everything that an Optimizer is, and its parameters."""
    arrays = params.values() if isinstance(params, dict) else [params]
    saved = opt.state_dict()
    values = {k: v.tobytes() if isinstance(v, np.ndarray) else repr(v) for k, v in saved.items()}
    return values, [array.tobytes() for array in arrays]


ACTS = {
    "step": (new_run, lambda opt: opt.step(GRADS)),
    "clipped": (new_run, lambda opt: opt.step(GRADS, clip_norm=1.0)),
    "frozen": (new_run, lambda opt: opt.step({**GRADS, "b": None})),
    "dog": (new_dog, lambda opt: opt.step(np.ones(9))),
    "rule": (new_run, assign_rule),
    "overrides": (new_run, assign_overrides),
}


def check(new, act, most=60):
    """Interrupt an act on a new run here and there, and step once more."""
    params, opt = new()
    before = state_of(params, opt)
    act(opt)
    after = state_of(params, opt)
    grads = GRADS if isinstance(params, dict) else np.ones(9)
    opt.step(grads)
    next_after = state_of(params, opt)
    params, opt = new()
    opt.step(grads)
    next_before = state_of(params, opt)
    found = set()
    for at in places(partial(act, new()[1]), most):
        params, opt = new()
        interrupt(partial(act, opt), at)
        now = state_of(params, opt)
        assert now in (before, after), at
        found.add(now == after)
        opt.step(grads)
        assert state_of(params, opt) == (next_after if now == after else next_before), at
    assert found == {False, True}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_whole(act):
    check(*ACTS[act])


def test_a_loaded_state_is_whole(tmp_path):
    _, other = new_run(steps=3)
    other.step(GRADS, clip_norm=0.1)
    other.save(tmp_path / "run.npz")
    saved = other.state_dict()
    check(new_run, lambda opt: opt.load(tmp_path / "run.npz"))
    check(new_run, lambda opt: opt.load_state_dict(saved))


def step_for_ever(opt, grads, **options):
    while True:
        opt.step(grads, **options)


@pytest.mark.parametrize("options", [{}, {"clip_norm": 1e12}, {"grad_scale": 2.0}])
def test_ctrl_c_in_a_step_leaves_all_parameters_at_the_same_step(options, ctrl_c):
    """Two groups, whose elements say how many steps they have seen."""
    params = [np.zeros(400_000, np.float32), np.zeros(400_000)]
    grads = [-np.ones_like(each) for each in params]
    factor = options.get("grad_scale", 1.0)
    opt = Optimizer(params, SGD(lr=1.0), n_threads=1)
    for k in range(12):
        with pytest.raises(KeyboardInterrupt), ctrl_c_after(0.0005 + 0.0003 * k):
            step_for_ever(opt, grads, **options)
        assert {float(each.min()) for each in params} == {opt.t * factor}
        assert {float(each.max()) for each in params} == {opt.t * factor}


def test_ctrl_c_in_a_step_of_one_group(ctrl_c):
    w = np.zeros(800_000)
    g, opt = -np.ones_like(w), Optimizer(w, SGD(lr=1.0), n_threads=1)
    for k in range(12):
        with pytest.raises(KeyboardInterrupt), ctrl_c_after(0.0005 + 0.0003 * k):
            step_for_ever(opt, g)
        assert w.min() == w.max() == opt.t
