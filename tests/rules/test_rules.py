"""Every rule: kernel against NumPy formula to the bit, and both against the papers."""

import pickle

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    BUILDS,
    DTYPES,
    FUSED,
    RULES,
    SIZES,
    THREADS,
    drawn_rules,
    equal_bits,
    states_for,
    vectors,
)

import lrcore
from lrcore import _core, rules, schedules
from lrcore.rules import Rule
from lrcore.rules.formula import Formula


def step_formula(rule, w, grads, state):
    """Steps by the NumPy formula."""
    table = rule.coefficients(np.arange(len(grads), dtype=np.int64))
    for row, g in zip(table, grads):
        rule.formula.update(rule.formula.row(row, w.dtype), w, g, *state)


def step_kernel(kernels, rule, w, grads, state, n_threads):
    """Steps by one compiled build."""
    table = rule.coefficients(np.arange(len(grads), dtype=np.int64))
    index = kernels.RULES[rule.formula.__name__][0]
    for row, g in zip(table, grads):
        kernels.step[FUSED[w.dtype.type]](index, row, w, g, state, n_threads)


def assert_same_bits(rule, size, dtype, builds, n_steps=5, seed=0):
    w = vectors(size, dtype, seed)[0]
    grads = vectors(size, dtype, seed + 1, n_steps)
    state = states_for(rule, size, dtype)
    expected_w, expected_state = w.copy(), state.copy()
    step_formula(rule, expected_w, grads, expected_state)
    if size:
        assert not np.array_equal(expected_w, w)
        assert np.isfinite(expected_w).all()
    for build in builds:
        for n_threads in THREADS:
            got_w, got_state = w.copy(), state.copy()
            step_kernel(_core.load(build), rule, got_w, grads, got_state, n_threads)
            assert equal_bits(got_w, expected_w), (build, n_threads)
            assert equal_bits(got_state, expected_state), (build, n_threads)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_kernel_has_the_bits_of_the_formula(name, dtype, size):
    assert_same_bits(RULES[name], size, dtype, BUILDS, n_steps=5 if size < 10**5 else 2)


@given(drawn_rules(), st.sampled_from(DTYPES), st.integers(0, 300), st.integers(0, 99))
def test_kernel_has_the_bits_of_the_formula_for_any_hyperparameters(rule, dtype, size, seed):
    assert_same_bits(rule, size, dtype, BUILDS, seed=seed)


@pytest.mark.parametrize("name", RULES)
def test_formula_follows_the_paper(name):
    rule = RULES[name].with_lr(schedules.Polynomial(0.2, steps=60, end=0.01))
    w, grads = vectors(37, np.float64, 3)[0], vectors(37, np.float64, 4, 50)
    lrs = [0.01 + 0.19 * (1 - t / 60) for t in range(50)]
    expected = oracles.trajectory(rule, w, grads, lrs)
    optimizer = lrcore.Optimizer(w, rule)
    for g in grads:
        optimizer.step(g)
    np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-13)


@given(drawn_rules(), st.integers(0, 99))
def test_formula_follows_the_paper_for_any_hyperparameters(rule, seed):
    w, grads = vectors(5, np.float64, seed)[0], vectors(5, np.float64, seed + 1, 12)
    expected = oracles.trajectory(rule, w, grads, [rule.lr] * 12)
    lrcore_w = w.copy()
    optimizer = lrcore.Optimizer(lrcore_w, rule)
    for g in grads:
        optimizer.step(g)
    # A variance that nearly cancels magnifies rounding in a centered rule.
    tight = not getattr(rule, "centered", False)
    np.testing.assert_allclose(lrcore_w, expected, rtol=1e-9 if tight else 1e-4, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_rate_columns_are_those_in_proportion_to_the_rate(name):
    rule, t = RULES[name], np.arange(5)
    once, twice = (rule.coefficients(t, factor * rule.rates(t)) for factor in (1.0, 2.0))
    named = rule.formula.rate_columns
    for column, one, two in zip(rule.formula.columns, once.T, twice.T):
        if column in named:
            assert np.array_equal(two, 2.0 * one)
        elif named:
            assert np.array_equal(two, one), column
    assert named or not np.array_equal(once, twice)


@pytest.mark.parametrize("name", RULES)
def test_decay_is_what_a_zero_gradient_does_to_the_state_alone(name):
    rule = RULES[name]
    formula, w, state = rule.formula, vectors(9, np.float64, 0)[0], states_for(rule, 9, np.float64)
    c = formula.row(rule.coefficients(np.array([3]))[0], w.dtype)
    w_after, state_after = w.copy(), state.copy()
    formula.update(c, w_after, np.zeros(9), *state_after)
    shrinks = equal_bits(w_after, w) and not equal_bits(state_after, state)
    assert shrinks == (formula.decay is not None)
    if shrinks:
        assert equal_bits(state_after, getattr(c, formula.decay) * state)


def test_every_formula_is_compiled_and_tested():
    known = {cls.__name__: (len(cls.columns), len(cls.state)) for cls in Formula.__subclasses__()}
    for build in BUILDS:
        compiled = {name: (n, s) for name, (_, n, s) in _core.load(build).RULES.items()}
        assert compiled == known
    assert {rule.formula.__name__ for rule in RULES.values()} == set(known)
    assert {type(rule) for rule in RULES.values()} == set(rules.RULES.values())


@pytest.mark.parametrize("name", RULES)
def test_a_rule_survives_repr_pickle_and_dict(name):
    rule = RULES[name]
    scheduled = rule.with_lr(schedules.Cosine(0.1, steps=10).warmup(3))
    for each in (rule, scheduled):
        assert eval(repr(each), {**vars(lrcore), **vars(schedules)}) == each
        assert pickle.loads(pickle.dumps(each)) == each
        assert rules.from_dict(each.to_dict()) == each
        assert hash(rules.from_dict(each.to_dict())) == hash(each)
    assert rule != scheduled


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: lrcore.Adam(beta2=1.0), r"beta2 must be in \[0, 1\), got 1.0"),
        (lambda: lrcore.Adam(beta1=-0.1), "beta1 must be finite and >= 0, got -0.1"),
        (lambda: lrcore.Adam(eps=0.0), "eps must be > 0, got 0.0"),
        (lambda: lrcore.SGD(lr=-1.0), "lr must be finite and >= 0, got -1.0"),
        (lambda: lrcore.SGD(lr=float("nan")), "lr must be finite and >= 0, got nan"),
        (lambda: lrcore.SGD(lr=float("inf")), "lr must be finite and >= 0, got inf"),
        (lambda: lrcore.SGD(nesterov=True), "nesterov=True needs momentum > 0"),
        (lambda: lrcore.RMSProp(rho=2), r"rho must be in \[0, 1\), got 2"),
        (lambda: rules.rule_class("adamm"), "optimizer must be a rule or one of SGD, AdaGrad"),
    ],
)
def test_bad_hyperparameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("lr", ["0.1", None, True])
def test_a_rate_that_is_no_number_is_refused(lr):
    with pytest.raises(TypeError, match="lr must be a number"):
        lrcore.SGD(lr=lr)


def test_rate_zero_changes_nothing_but_the_state():
    for rule in RULES.values():
        w = vectors(9, np.float64, 0)[0]
        before = w.copy()
        if isinstance(rule, lrcore.FTRL):
            with pytest.raises(ValueError, match="lr of FTRL must be > 0 at every step, got 0"):
                lrcore.Optimizer(w, rule.with_lr(0.0))
            continue
        lrcore.Optimizer(w, rule.with_lr(0.0)).step(np.ones(9))
        assert equal_bits(w, before)


def test_the_base_class_is_no_rule():
    with pytest.raises(TypeError, match="is not a rule"):
        _ = Rule(0.1).formula
