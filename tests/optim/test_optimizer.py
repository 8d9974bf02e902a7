"""Whole steps of an Optimizer: structures, settings, policies, averages, memory, threads."""

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from backends import use_backend
from strategies import BUILDS, DTYPES, RULES, THREADS, equal_bits, vectors

import lrcore
from lrcore import SGD, Adam, DoG, Optimizer, schedules

from .arrays import gradients_of, two_arrays

ADAM = Adam(lr=0.1)


@pytest.mark.parametrize("name", RULES)
def test_all_structures_give_the_same_steps(name, backend):
    flat = two_arrays()
    as_dict, as_list, alone = two_arrays(), list(two_arrays().values()), two_arrays()["w"]
    grads = gradients_of(flat)
    opt_dict = Optimizer(as_dict, RULES[name])
    opt_list = Optimizer(as_list, RULES[name])
    opt_alone = Optimizer(alone, RULES[name])
    for _ in range(3):
        opt_dict.step(grads)
        opt_list.step(list(grads.values()))
        opt_alone.step(grads["w"])
    assert equal_bits(as_dict["w"], as_list[0])
    assert equal_bits(as_dict["b"], as_list[1])
    if not RULES[name].uses_distance:  # whose rate goes by all parameters together
        assert equal_bits(as_dict["w"], alone)
    assert not np.array_equal(alone, flat["w"])
    assert opt_dict.t == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_backend_or_the_threads(dtype, monkeypatch):
    results = []
    for build in ("numpy", *BUILDS):
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            w = vectors(1000, dtype, 0)[0]
            rule = Adam(lr=schedules.Cosine(0.1, steps=9).warmup(3))
            opt = Optimizer(w, rule, n_threads=n_threads)
            for seed in range(6):
                opt.step(vectors(1000, dtype, seed + 1)[0])
            results.append(w)
    assert all(equal_bits(w, results[0]) for w in results)


def test_schedule_is_followed_over_many_steps(backend):
    w = np.zeros(1)
    opt = Optimizer(w, SGD(lr=schedules.Polynomial(1.0, steps=600)))
    for _ in range(600):
        opt.step(np.ones(1))
    assert w[0] == pytest.approx(-sum(1 - t / 600 for t in range(600)), rel=1e-12)


def test_zero_dimensional_and_empty_parameters(backend):
    params = [np.array(2.0), np.zeros((0, 3))]
    opt = Optimizer(params, SGD(lr=0.5))
    opt.step([np.array(1.0), np.zeros((0, 3))])
    assert params[0] == 1.5


def test_a_function_of_the_step_is_a_rate():
    w, v = np.ones(3), np.ones(3)
    by_function = Optimizer(w, SGD(lr=lambda t: 0.1 / (1 + t)))
    by_schedule = Optimizer(v, SGD(lr=schedules.InverseTime(0.1, gamma=1.0)))
    for _ in range(5):
        by_function.step(np.ones(3))
        by_schedule.step(np.ones(3))
    assert np.array_equal(w, v)
    for opt in (
        by_function,
        Optimizer({"a": w}, SGD(), overrides={"a": {"lr": lambda t: 0.1}}),
    ):
        with pytest.raises(TypeError, match="<lambda> cannot be saved: a file would hold its name"):
            opt.state_dict()


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
        Optimizer(np.zeros(3), **kwargs)


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


def test_lengths_that_an_optimizer_cannot_know_are_refused():
    rule = SGD(lr=schedules.Cosine(0.1, steps="10ep").warmup("5%"))
    message = "schedule of params has steps='10ep', steps='5%', and an Optimizer knows neither"
    with pytest.raises(ValueError, match=message):
        Optimizer(np.ones(3), rule)
    known = rule.resolve(steps_per_epoch=10, total_steps=200)
    assert known.lr == schedules.Cosine(0.1, steps=100).warmup(10)
    Optimizer(np.ones(3), known).step(np.ones(3))
    assert SGD(lr=0.1).resolve() == SGD(lr=0.1)
    late = schedules.Constant(0.1).then(schedules.Constant(0.2), at="5%")
    params = {"a": np.ones(3), "b": np.ones(3)}
    with pytest.raises(ValueError, match=r"schedule of params\['b'\] has at='5%'"):
        Optimizer(params, SGD(lr=0.1), overrides={"b": {"lr": late}})


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


def test_policies_for_gradients_that_are_not_finite(backend):
    g = np.array([1.0, np.nan])
    w = np.zeros(2)
    skipping = Optimizer(w, SGD(lr=1.0), nonfinite="skip")
    skipping.step(g)
    assert (w.tolist(), skipping.t, skipping.skipped) == ([0.0, 0.0], 0, 1)
    Optimizer(w, SGD(lr=1.0), nonfinite="propagate").step(g)
    assert w[0] == -1.0
    assert np.isnan(w[1])


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


def test_clipping_and_scaling_by_hand(backend):
    params = [np.zeros(2), np.zeros(1)]
    opt = Optimizer(params, SGD(lr=1.0))
    opt.step([np.array([6.0, 0.0]), np.array([8.0])], clip_norm=5.0)
    np.testing.assert_allclose(np.concatenate(params), [-3.0, 0.0, -4.0], rtol=1e-15)
    opt.step([np.array([1.0, 0.0]), np.array([2.0])], clip_norm=5.0)  # within: as it is
    np.testing.assert_allclose(np.concatenate(params), [-4.0, 0.0, -6.0], rtol=1e-15)
    opt.step([np.array([10.0, -10.0]), np.array([1.0])], grad_scale=0.1, clip_value=0.5)
    np.testing.assert_allclose(np.concatenate(params), [-4.5, 0.5, -6.1], rtol=1e-15)


def test_a_norm_that_is_not_finite_is_refused_and_changes_nothing(backend):
    w = np.ones(3)
    opt = Optimizer(w, SGD(lr=1e-200), nonfinite="propagate")
    with pytest.raises(FloatingPointError, match="norm of the gradients at step 0 is inf"):
        opt.step(np.array([1.0, np.inf, 2.0]), clip_norm=1.0)
    assert equal_bits(w, np.ones(3))
    assert opt.t == 0


@pytest.mark.parametrize(
    "dtype, gradient, options, expected",
    [
        (np.float32, [3e38, 0.0], {"clip_norm": 2.0}, [2.0, 0.0]),
        (np.float32, [3e38, -3e38], {"clip_norm": 1e-3}, [7.0710678e-4, -7.0710678e-4]),
        (np.float32, [1e36, 0.0], {"clip_norm": 1e-3}, [1e-3, 0.0]),
        (np.float32, [3e38, 1e30], {"grad_scale": 1e-39}, [0.3, 1e-9]),
        (np.float32, [3e38, 0.0], {"grad_scale": -1e-39, "clip_norm": 1.0}, [-0.3, 0.0]),
        (np.float32, [1e-37, 0.0], {"grad_scale": 1e39}, [100.0, 0.0]),
        (np.float32, [1e-37, 0.0], {"grad_scale": 1e60, "clip_norm": 3.0}, [3.0, 0.0]),
        (np.float32, [1e-37, 0.0], {"grad_scale": 1e60, "clip_value": 0.5}, [0.5, 0.0]),
        (np.float64, [3e307, -4e307], {"clip_norm": 5.0}, [3.0, -4.0]),
        (np.float64, [1e300, 1.0], {"clip_norm": 1e-9}, [1e-9, 1e-309]),
        (np.float64, [1e300, 0.0], {"grad_scale": 1e-309}, [1e300 * 1e-309, 0.0]),
        (np.float64, [3e-200, 4e-200], {"grad_scale": 1e300, "clip_norm": 10.0}, [6.0, 8.0]),
        (np.float64, [0.0, 0.0], {"clip_norm": 1.0}, [0.0, 0.0]),
        (np.float32, [0.0, 0.0], {"grad_scale": 0.0, "clip_norm": 1.0}, [0.0, 0.0]),
    ],
)
def test_a_factor_beyond_the_dtype_still_counts(backend, dtype, gradient, options, expected):
    """Where the product of gradient and factor is a normal number."""
    w = np.zeros(2, dtype)
    Optimizer(w, SGD(lr=1.0)).step(np.array(gradient, dtype), **options)
    tiny = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(-w.astype(float), expected, rtol=8 * np.finfo(dtype).eps, atol=tiny)


def test_a_factor_beyond_the_dtype_counts_for_rules_that_go_by_norms(backend):
    """DoG's first step depends on the direction alone, and later ones on ratios of norms."""
    ends = []
    for factor in (1.0, 1e-39):
        w = np.zeros(2, np.float32)
        opt = Optimizer(w, DoG(initial_distance=0.1))
        for g in ([3.0, 1.0], [1.0, 2.0]):
            scaled = np.array(g, np.float32) * np.float32(1.0 if factor == 1.0 else 1e38)
            opt.step(scaled, grad_scale=1.0 if factor == 1.0 else factor)
        ends.append(w)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_eps_below_the_dtype_divides_nothing_by_zero(backend, name):
    if not hasattr(RULES[name], "eps") or name == "DoG":
        pytest.skip("has no eps that is added to a divisor")
    w = np.ones(5, np.float32)
    opt = Optimizer(w, replace(RULES[name], eps=1e-60))
    for _ in range(3):
        opt.step(np.array([0.0, 1.0, 0.0, -1.0, 2.0], np.float32))
    assert np.isfinite(w).all()
    assert np.all(w[[0, 2]] == 1.0)


def test_subnormal_numbers_of_the_caller_stay(backend):
    small = np.full(1000, 1e-310)
    Optimizer(np.ones(200_000), Adam(), n_threads=2).step(np.ones(200_000))
    assert np.all(small * 0.5 > 0)
    found = []
    other = threading.Thread(target=lambda: found.append((small * 0.5).min()))
    other.start()
    other.join()
    assert found[0] > 0


def test_gradients_are_not_kept_after_a_step(backend):
    g = np.ones(4)
    opt = Optimizer(np.ones(4), SGD(lr=1.0))
    before = sys.getrefcount(g)
    opt.step(g)
    assert sys.getrefcount(g) == before


def test_a_step_allocates_no_memory_of_the_size_of_the_parameters():
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


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("options", [{}, {"clip_norm": 1.0}])
def test_a_gradient_of_none_leaves_a_parameter_alone(name, options, backend):
    """Value, state and decay; the others step as if they were alone, up to the norm of all."""
    params = {"w": np.ones(70), "b": np.full(5, 2.0), "c": np.ones((2, 3), np.float32)}
    rule = replace(RULES[name], weight_decay=0.1) if name != "FTRL" else RULES[name]
    opt = Optimizer(params, rule)
    rng = np.random.default_rng(0)
    grads = {key: rng.normal(size=w.shape).astype(w.dtype) for key, w in params.items()}
    opt.step(grads)
    saved, before = opt.state_dict(), {key: w.copy() for key, w in params.items()}
    opt.step({**grads, "b": None}, **options)
    now = opt.state_dict()
    assert opt.t == 2
    assert equal_bits(params["b"], before["b"])
    for key in saved:
        if "['b']" in key:
            assert equal_bits(saved[key], now[key])
    for key in ("w", "c"):
        assert not np.array_equal(params[key], before[key])
    opt.step(grads)
    assert not np.array_equal(params["b"], before["b"])
    if not options and not rule.uses_distance:
        alone = {"w": np.ones(70), "c": np.ones((2, 3), np.float32)}
        other = Optimizer(alone, rule)
        for _ in range(3):
            other.step({key: grads[key] for key in alone})
        assert all(equal_bits(alone[key], params[key]) for key in alone)


def test_none_beside_rows_and_half_precision(backend):
    table, w, frozen = np.ones((9, 4)), np.ones(3, np.float32), np.ones(2)
    opt = Optimizer([table, w, frozen], Adam(lr=0.1))
    opt.step([([2, 7, 2], np.ones((3, 4))), np.ones(3, np.float16), None], clip_norm=100.0)
    assert set(np.flatnonzero(table[:, 0] != 1.0)) == {2, 7}
    assert np.all(w != 1.0)
    assert np.all(frozen == 1.0)


@pytest.mark.parametrize("ema", [0.9, "polyak"])
def test_the_average_of_a_frozen_parameter_goes_on(ema, backend):
    params = [np.zeros(3), np.zeros(70, np.float32)]
    opt = Optimizer(params, SGD(lr=1.0), ema=ema)
    opt.step([-np.ones(3), -np.ones(70, np.float32)])
    for _ in range(3):
        opt.step([-np.ones(3), None])
    kept = [0.9] * 4 if ema == 0.9 else [0.0, 1 / 2, 2 / 3, 3 / 4]
    expected = 0.0
    for each in kept:
        expected = each * expected + (1.0 - each) * 1.0
    assert np.all(params[1] == 1.0)
    np.testing.assert_allclose(opt.averages[1], expected, rtol=1e-6)


@pytest.mark.parametrize("grads", [[None, None], (None, None)])
def test_not_all_gradients_may_be_none(grads, backend):
    opt = Optimizer([np.ones(2), np.ones(3, np.float32)], Adam())
    with pytest.raises(ValueError, match="grads has None for every parameter"):
        opt.step(grads)
    assert opt.t == 0
    with pytest.raises(ValueError, match="grads has None for every parameter"):
        Optimizer(np.ones(2), Adam()).step(None)


def test_a_frozen_parameter_is_not_searched_for_nan(backend):
    opt = Optimizer([np.ones(2), np.ones(3)], Adam())
    with pytest.raises(FloatingPointError, match=r"grads\[1\]\[2\] is nan"):
        opt.step([None, np.array([0.0, 1.0, np.nan])])


def test_attributes_that_are_set_have_an_effect(backend):
    w = np.zeros(2)
    opt = Optimizer(w, SGD(lr=1.0))
    opt.lr = 0.5
    opt.step(-np.ones(2))
    assert w.tolist() == [0.5, 0.5]
    opt.lr = schedules.Linear(0.25, steps=4)
    opt.step(-np.ones(2))
    assert w.tolist() == [0.6875, 0.6875]
    assert opt.lr == opt.rule.lr
    both = Optimizer({"a": np.zeros(1), "b": np.zeros(1)}, SGD(lr=1.0))
    both.overrides = {"b": {"lr": 0.25}}
    both.step({"a": np.ones(1), "b": np.ones(1)})
    assert [w[0] for w in both.params.values()] == [-1.0, -0.25]
    opt.nonfinite = "skip"
    opt.step(np.full(2, np.nan))
    assert opt.skipped == 1
    opt.t = 0
    opt.step(-np.ones(2))
    assert w.tolist() == [0.9375, 0.9375]


@pytest.mark.parametrize(
    "name, value, error, match",
    [
        ("lr", -1.0, ValueError, "lr must be"),
        ("lr", "fast", TypeError, "lr must be"),
        ("momentum", 0.9, AttributeError, r"replace\(opt.rule, momentum=0.9\)"),
        ("weight_decay", 0.9, AttributeError, r"replace\(opt.rule, weight_decay=0.9\)"),
        ("learning_rate", 0.9, AttributeError, "no attribute 'learning_rate' to set"),
        ("param_groups", [], AttributeError, "no attribute 'param_groups' to set"),
        ("rate", 0.9, AttributeError, "rate"),
        ("averages", 0.9, AttributeError, "averages"),
        ("state_dtype", "bfloat16", AttributeError, "state_dtype"),
        ("params", [], AttributeError, "params"),
        ("ema", 0.9, ValueError, "ema must stay None, got 0.9: make a new Optimizer"),
        ("overrides", {"x": {"lr": 1.0}}, ValueError, r"overrides\['x'\] matches none"),
        ("nonfinite", "ignore", ValueError, "nonfinite must be"),
        ("n_threads", 0, ValueError, "n_threads must be in 1 to 1024"),
        ("seed", -1, ValueError, "seed must be"),
        ("t", -1, ValueError, "t must be an integer >= 0"),
        ("t", 1.5, TypeError, "t must be an integer >= 0"),
        ("skipped", True, TypeError, "skipped must be an integer >= 0"),
    ],
)
def test_attributes_that_cannot_be_set_say_so(name, value, error, match):
    w = {"w": np.zeros(2)}
    opt = Optimizer(w, SGD(lr=1.0, momentum=0.5))
    before = opt.state_dict()
    with pytest.raises(error, match=match):
        setattr(opt, name, value)
    assert {k: v for k, v in opt.state_dict().items() if k in ("t", "rule", "overrides")} == {
        k: v for k, v in before.items() if k in ("t", "rule", "overrides")
    }
    with pytest.raises(TypeError):
        opt.overrides["w"] = {"lr": 0.5}
