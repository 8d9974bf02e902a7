import numpy as np
import pytest
from strategies import DTYPES, RULES, THREADS, equal_bits, vectors

import lrcore
from lrcore import schedules

ADAM = lrcore.Adam(lr=0.1)


def two(dtype=np.float32):
    return {"w": vectors(12, dtype, 0)[0].reshape(3, 4), "b": vectors(3, dtype, 1)[0]}


def grads_for(params, seed=5):
    return {k: vectors(p.size, p.dtype.type, seed)[0].reshape(p.shape) for k, p in params.items()}


@pytest.mark.parametrize("name", RULES)
def test_structures_step_alike(name, backend):
    flat = two()
    as_dict, as_list, alone = two(), list(two().values()), two()["w"]
    grads = grads_for(flat)
    opt_dict = lrcore.Optimizer(as_dict, RULES[name])
    opt_list = lrcore.Optimizer(as_list, RULES[name])
    opt_alone = lrcore.Optimizer(alone, RULES[name])
    for _ in range(3):
        opt_dict.step(grads)
        opt_list.step(list(grads.values()))
        opt_alone.step(grads["w"])
    assert equal_bits(as_dict["w"], as_list[0])
    assert equal_bits(as_dict["b"], as_list[1])
    if not RULES[name].travels:  # whose rate goes by all parameters together
        assert equal_bits(as_dict["w"], alone)
    assert not np.array_equal(alone, flat["w"])
    assert opt_dict.t == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_backend_or_the_threads(dtype, monkeypatch):
    from strategies import BUILDS

    from lrcore import _core

    results = []
    for kernels in [None, *(_core.load(b) for b in BUILDS)]:
        monkeypatch.setattr(_core, "kernels", kernels)
        for n_threads in THREADS:
            w = vectors(1000, dtype, 0)[0]
            rule = lrcore.Adam(lr=schedules.Cosine(0.1, steps=9).warmup(3))
            opt = lrcore.Optimizer(w, rule, n_threads=n_threads)
            for seed in range(6):
                opt.step(vectors(1000, dtype, seed + 1)[0])
            results.append(w)
    assert all(equal_bits(w, results[0]) for w in results)


def test_schedule_moves_with_the_steps_past_the_table(backend):
    w = np.zeros(1)
    opt = lrcore.Optimizer(w, lrcore.SGD(lr=schedules.Polynomial(1.0, steps=600)))
    for _ in range(600):
        opt.step(np.ones(1))
    assert w[0] == pytest.approx(-sum(1 - t / 600 for t in range(600)), rel=1e-12)


def test_zero_dimensional_and_empty_parameters(backend):
    params = [np.array(2.0), np.zeros((0, 3))]
    opt = lrcore.Optimizer(params, lrcore.SGD(lr=0.5))
    opt.step([np.array(1.0), np.zeros((0, 3))])
    assert params[0] == 1.5


def test_read_only_gradients_will_do(backend):
    w, g = np.zeros(3), np.ones(3)
    g.flags.writeable = False
    lrcore.Optimizer(w, lrcore.SGD(lr=0.5)).step(g)
    assert w.tolist() == [-0.5] * 3


def shared():
    memory = np.zeros(10, np.float32)
    return memory[:6], memory[4:]


BAD_PARAMS = [
    ([1.0, 2.0], TypeError, r"params\[0\] must be a NumPy array, or have .* got float"),
    (np.zeros(3, int), TypeError, "params must be float32 or float64, got int64"),
    (np.zeros(3, np.float16), TypeError, "params must be float32 or float64, got float16"),
    (np.zeros(3, ">f4"), TypeError, "params must be float32 or float64, got >f4"),
    ({"w": np.zeros((4, 4))[:, ::2]}, ValueError, r"params\['w'\] must be C-contiguous"),
    ([np.zeros((3, 4)).T], ValueError, r"params\[0\] must be C-contiguous"),
    (shared(), ValueError, r"params\[0\] and params\[1\] overlap in memory"),
    ([], ValueError, "params is empty"),
    ({}, ValueError, "params is empty"),
    (np.frombuffer(b"12345678", np.float32), ValueError, "params is read-only"),
]


@pytest.mark.parametrize("params, error, message", BAD_PARAMS)
def test_bad_parameters_are_refused_by_name(params, error, message):
    with pytest.raises(error, match=message):
        lrcore.Optimizer(params, ADAM)


@pytest.mark.parametrize(
    "kwargs, error, message",
    [
        ({"rule": 0.1}, TypeError, "rule must be a rule such as"),
        ({"rule": ADAM, "n_threads": 0}, ValueError, "n_threads must be in 1 to 1024"),
        ({"rule": ADAM, "n_threads": 1.5}, TypeError, "n_threads must be an integer"),
        ({"rule": ADAM, "nonfinite": "ignore"}, ValueError, "nonfinite must be 'raise'"),
    ],
)
def test_bad_settings_are_refused_by_name(kwargs, error, message):
    with pytest.raises(error, match=message):
        lrcore.Optimizer(np.zeros(3), **kwargs)


def with_value(value):
    def make(params):
        grads = grads_for(params)
        grads["b"][1] = value
        return grads

    return make


BAD_GRADS = [
    (lambda p: {"w": p["w"].copy()}, ValueError, r"missing grads\['b'\]"),
    (lambda p: {**grads_for(p), "c": np.zeros(1)}, ValueError, r"unexpected grads\['c'\]"),
    (lambda p: list(grads_for(p).values()), ValueError, "structure of params"),
    (
        lambda p: {**grads_for(p), "b": np.zeros(3)},
        TypeError,
        r"grads\['b'\] must be float32 like its parameter, or float16, got float64",
    ),
    (
        lambda p: {**grads_for(p), "b": np.zeros(4, np.float32)},
        ValueError,
        r"grads\['b'\] must have the shape \(3,\) of its parameter, got \(4,\)",
    ),
    (
        lambda p: {**grads_for(p), "b": np.zeros(6, np.float32)[::2]},
        ValueError,
        r"grads\['b'\] must be C-contiguous",
    ),
    (lambda p: {**grads_for(p), "b": p["b"]}, ValueError, r"grads\['b'\] overlaps params\['b'\]"),
    (
        lambda p: {**grads_for(p), "b": p["w"].reshape(-1)[2:5]},
        ValueError,
        r"grads\['b'\] overlaps params\['w'\]",
    ),
    (lambda p: {**grads_for(p), "b": [1.0, 2.0, 3.0]}, TypeError, "must be a NumPy array"),
    (with_value(np.nan), FloatingPointError, r"grads\['b'\]\[1\] is nan at step 2"),
    (with_value(np.inf), FloatingPointError, r"grads\['b'\]\[1\] is inf at step 2"),
    (with_value(-np.inf), FloatingPointError, r"grads\['b'\]\[1\] is -inf at step 2"),
]


@pytest.mark.parametrize("make, error, message", BAD_GRADS)
def test_bad_gradients_are_refused_and_change_nothing(make, error, message, backend):
    params = two()
    opt = lrcore.Optimizer(params, ADAM)
    for seed in (5, 6):
        opt.step(grads_for(params, seed))
    before = {k: v.copy() for k, v in params.items()}
    state = opt.state_dict()
    with pytest.raises(error, match=message):
        opt.step(make(params))
    assert all(equal_bits(params[k], before[k]) for k in params)
    after = opt.state_dict()
    assert state.keys() == after.keys()
    for key, value in state.items():
        assert np.array_equal(value, after[key])


@pytest.mark.parametrize("size", [1, 63, 64, 65, 4097, 200_001])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_bad_value_is_found_wherever_it_is(size, dtype, build):
    fused = {np.float32: "float", np.float64: "double"}[dtype]
    g = vectors(size, dtype, 0)[0]
    for n_threads in THREADS:
        assert build.first_nonfinite[fused](g, n_threads) == -1
        for at in {0, size // 2, size - 1}:
            for bad in (np.nan, np.inf, -np.inf):
                spoilt = g.copy()
                spoilt[at:] = bad
                assert build.first_nonfinite[fused](spoilt, n_threads) == at


def test_policies_for_gradients_that_are_not_finite(backend):
    g = np.array([1.0, np.nan])
    w = np.zeros(2)
    skipping = lrcore.Optimizer(w, lrcore.SGD(lr=1.0), nonfinite="skip")
    skipping.step(g)
    assert (w.tolist(), skipping.t, skipping.skipped) == ([0.0, 0.0], 0, 1)
    lrcore.Optimizer(w, lrcore.SGD(lr=1.0), nonfinite="propagate").step(g)
    assert w[0] == -1.0
    assert np.isnan(w[1])


@pytest.mark.parametrize("name", RULES)
def test_resume_is_exact(name, backend):
    params, fresh = two(), two()
    opt = lrcore.Optimizer(params, RULES[name])
    for seed in range(3):
        opt.step(grads_for(params, seed))
    saved = opt.state_dict()
    for k in fresh:
        fresh[k][...] = params[k]
    resumed = lrcore.Optimizer(fresh, RULES[name].with_lr(0.7))
    resumed.load_state_dict(saved)
    for seed in range(3, 6):
        opt.step(grads_for(params, seed))
        resumed.step(grads_for(params, seed))
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
    params = two()
    opt = lrcore.Optimizer(params, ADAM)
    opt.step(grads_for(params))
    saved = opt.state_dict()
    before = opt.state_dict()
    spoil(saved)
    with pytest.raises(error):
        opt.load_state_dict(saved)
    after = opt.state_dict()
    assert all(np.array_equal(after[key], before[key]) for key in before)


def test_lengths_that_an_optimizer_cannot_know_are_refused():
    rule = lrcore.SGD(lr=schedules.Cosine(0.1, steps="10ep").warmup("5%"))
    message = "schedule of params has steps='10ep', steps='5%', and an Optimizer knows neither"
    with pytest.raises(ValueError, match=message):
        lrcore.Optimizer(np.ones(3), rule)
    known = rule.resolve(steps_per_epoch=10, total_steps=200)
    assert known.lr == schedules.Cosine(0.1, steps=100).warmup(10)
    lrcore.Optimizer(np.ones(3), known).step(np.ones(3))
    assert lrcore.SGD(lr=0.1).resolve() == lrcore.SGD(lr=0.1)
    late = schedules.Constant(0.1).then(schedules.Constant(0.2), at="5%")
    params = {"a": np.ones(3), "b": np.ones(3)}
    with pytest.raises(ValueError, match=r"schedule of params\['b'\] has at='5%'"):
        lrcore.Optimizer(params, lrcore.SGD(lr=0.1), overrides={"b": {"lr": late}})


def test_a_function_of_the_step_is_a_rate():
    w, v = np.ones(3), np.ones(3)
    by_function = lrcore.Optimizer(w, lrcore.SGD(lr=lambda t: 0.1 / (1 + t)))
    by_schedule = lrcore.Optimizer(v, lrcore.SGD(lr=schedules.InverseTime(0.1, gamma=1.0)))
    for _ in range(5):
        by_function.step(np.ones(3))
        by_schedule.step(np.ones(3))
    assert np.array_equal(w, v)
    for opt in (
        by_function,
        lrcore.Optimizer({"a": w}, lrcore.SGD(), overrides={"a": {"lr": lambda t: 0.1}}),
    ):
        with pytest.raises(TypeError, match="<lambda> cannot be saved: a file would hold its name"):
            opt.state_dict()
