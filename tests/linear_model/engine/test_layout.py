"""How a model lies in memory, and the arrays and counts that an epoch moves."""

import numpy as np
import pytest
from linear_fits import LinearFit, fit_config, lazy_groups
from scipy import sparse
from strategies import DTYPES, LINEAR_RULES, equal_bits

import lrcore
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.layout import (
    DoGSums,
    LazyPenalty,
    ModelLayout,
    ModelState,
    UpdateConfig,
    WeightAverage,
    slot_width,
)
from lrcore.losses import Hinge, Softmax


@pytest.mark.parametrize("mini_batch", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2, 8, 9])
@pytest.mark.parametrize("name", LINEAR_RULES)
def test_parts_fill_the_width_and_do_not_overlap(name, n_outputs, mini_batch):
    formula = LINEAR_RULES[name].linear_formula
    layout = ModelLayout.of(formula, n_outputs, mini_batch)
    assert layout.lanes == (1 if n_outputs == 1 else -(-n_outputs // 8) * 8)
    used = np.zeros(layout.width, int)
    for i in range(1 + len(formula.state)):
        used[layout.part(i)] += 1
    assert (layout.last_step > 0) == bool(formula.decay)
    if layout.last_step:
        used[layout.last_step] += 1
    assert (layout.gradient > 0) == mini_batch
    if layout.gradient:
        used[layout.gradient : layout.gradient + layout.lanes] += 1
    assert (used == 1).all()


def test_slots_are_powers_of_two_or_whole_lines():
    widths = {1: 1, 2: 2, 3: 4, 5: 8, 9: 16, 16: 16, 17: 32, 32: 32, 33: 48}
    assert {width: slot_width(width) for width in widths} == widths


@pytest.mark.parametrize("k", [0, 1, 1023, 1024, 1025, 2**20 + 3 * 1024 + 5])
def test_three_tables_give_any_power_of_the_decay(k):
    updates = UpdateConfig(lrcore.RMSProp(0.1, rho=0.999999), 1, 1)
    powers = updates.decay_powers.reshape(3, 1024)
    found = powers[2, k >> 20] * powers[1, k >> 10 & 1023] * powers[0, k & 1023]
    assert found == pytest.approx(0.999999**k, rel=1e-9)
    assert UpdateConfig(lrcore.AdaGrad(), 1, 1).decay_powers.tolist() == [1.0] * 3072


def test_targets_and_losses_of_a_row():
    several = UpdateConfig(lrcore.AdaGrad(), 1, 256, n_outputs=3)
    rates = UpdateConfig(lrcore.AdaGrad(), 1, 256, n_outputs=3, lr_factors=(1.0, 2.0, 3.0))
    assert (several.n_targets(Hinge()), several.n_losses(Hinge())) == (3, 3)
    assert (several.n_targets(Softmax(3)), several.n_losses(Softmax(3))) == (1, 1)
    assert (rates.n_targets(Hinge()), rates.n_losses(Hinge())) == (1, 3)


@pytest.mark.parametrize("batch, block, expected", [(1, 256, 256), (1, 100, 64), (24, 256, 24)])
def test_blocks_of_a_stream(batch, block, expected):
    assert UpdateConfig(lrcore.AdaGrad(), batch, block).stream_block == expected


# ---- when penalties are applied -------------------------------------------------------------


def test_a_lazy_penalty_counts_rows_and_rates_of_all_groups():
    lazy = LazyPenalty.new([10, 1_000], [5.0, 5.0])
    assert lazy.periods.tolist() == [64, 198]
    assert not lazy.is_due
    lazy.add(np.array([0.5, 0.25]), 2)
    kept = lazy.copy()
    lazy.add(np.array([1.0]), 1)
    assert lazy.is_due
    assert lazy.rows_since.tolist() == [3, 3]
    assert lazy.accumulated_lr.tolist() == [1.75, 1.75]
    lazy.clear()
    assert not lazy.is_due
    assert lazy.rows_since.tolist() == [0, 0]
    assert kept.accumulated_lr.tolist() == [0.75, 0.75]


# ---- averages and DoG -----------------------------------------------------------------------


def test_an_average_of_weights():
    """Weights of one feature after three steps, 1, 3, 3; the second changes by 2."""
    average = WeightAverage(np.array([[0.0 * 1.0 + 1.0 * 2.0]]), since=0)
    assert average.of(np.array([[3.0]]), 3)[0, 0] == pytest.approx(np.mean([1.0, 3.0, 3.0]))
    assert average.of(np.array([[3.0]]), 0)[0, 0] == 3.0


def test_sums_of_dog_keep_the_largest_distance():
    sums = DoGSums.new(lrcore.DoG(initial_distance=0.5))
    assert DoGSums.new(lrcore.AdaGrad()) is None
    assert sums.sums.tolist() == [0.0, 0.5, 0.0]
    before = sums.copy()
    sums.measure(4.0, 10)
    sums.measure(1.0, 20)
    assert sums.sums.tolist() == [0.0, 2.0, 1.0]
    assert sums.measured == 20
    assert before.sums.tolist() == [0.0, 0.5, 0.0]


# ---- states ---------------------------------------------------------------------------------


def trained(form, n_outputs=1, seed=0, **updates):
    """A state after some rows, with all that a state can have."""
    rng = np.random.default_rng(seed)
    X = form(np.where(rng.random((60, 20)) < 0.5, rng.normal(size=(60, 20)), 0.0))
    loss = Softmax(n_outputs) if n_outputs > 1 else "log_loss"
    rule = updates.pop("rule", lrcore.RMSProp(0.1))
    config = fit_config(loss, rule, 1e-3, 1e-2, averaged_from=3, **updates)
    y = rng.integers(0, n_outputs, 60) * 1.0 if n_outputs > 1 else rng.choice([-1.0, 1.0], 60)
    fit = LinearFit(config, X, lazy_groups((9, 16), (20, 32)), y=y)
    fit.fit_rows(np.arange(60), 4)
    return fit


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fresh_state(dtype, n_outputs):
    X = as_design_matrix(np.ones((4, 6), dtype))
    updates = UpdateConfig(lrcore.AdaGrad(initial_accumulator=0.5), 8, 1, n_outputs)
    state = ModelState.new(updates, X)
    assert state.array.dtype == dtype
    assert state.array.ctypes.data % 64 == 0
    assert state.by_feature == (n_outputs > 1)
    assert state.weights.shape == (n_outputs, 7)
    assert not state.weights.any()
    assert (state.columns[updates.layout.part(1)] == 0.5).all()
    gradient = state.columns[updates.layout.gradient]
    assert np.signbit(gradient).all()  # -0, so that a first gradient of -0 stays one
    assert not gradient.any()


@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_copies_share_nothing(form):
    for rule in (lrcore.RMSProp(0.1), lrcore.DoG()):
        state = trained(form, rule=rule).state
        copy = state.copy()
        assert equal_bits(copy.columns, state.columns)
        arrays = ["array", "lazy_penalty.accumulated_lr", "average.changes"]
        arrays += ["dog.sums"] if state.dog else []
        for name in arrays:
            one, other = state, copy
            for part in name.split("."):
                one, other = getattr(one, part), getattr(other, part)
            assert equal_bits(one, other)
            assert not np.shares_memory(one, other), name


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_layout_changes_for_other_rows_alone(n_outputs):
    state = trained(sparse.csr_matrix, n_outputs).state
    before, array = state.columns.copy(), state.array
    state.lay_out(sparse=True)
    assert state.array is array
    state.lay_out(sparse=False)
    assert (state.array is array) == (n_outputs > 1)
    assert equal_bits(state.columns, before)
    state.lay_out(sparse=True)
    assert state.by_feature
    assert equal_bits(state.columns, before)


@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_some_features_are_put_back_with_all_counts(form, n_outputs):
    fit = trained(form, n_outputs)
    state, whole = fit.state, fit.state.copy()
    features = np.array([0, 3, 4, 20])
    before = state.part(features)
    state.columns[:, features] += 1.0
    state.average.changes[features] += 1.0
    state.step += 5
    state.until, state.block = 77, 2
    state.lazy_penalty.add(np.array([0.5]), 1)
    state.put_back(features, before)
    assert equal_bits(state.columns, whole.columns)
    assert equal_bits(state.average.changes, whole.average.changes)
    assert (state.step, state.until, state.block) == (whole.step, whole.until, whole.block)
    assert equal_bits(state.lazy_penalty.accumulated_lr, whole.lazy_penalty.accumulated_lr)
    state.lazy_penalty.add(np.array([0.5]), 1)
    assert not equal_bits(state.lazy_penalty.accumulated_lr, before.lazy_penalty.accumulated_lr)
