"""Gradients of some rows, (indices, values): against one Optimizer for each row."""

import numpy as np
import pytest
from backends import use_backend
from hypothesis import given
from hypothesis import strategies as st
from strategies import BUILDS, DTYPES, RULES, THREADS, equal_bits, vectors

from lrcore import SGD, AdaGrad, Adam, AdamW, Optimizer

N_ROWS = 23


def drawn(seed, width, dtype, n=40, n_rows=N_ROWS):
    """Indices with repetitions, out of order, and values that are not small."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, n_rows, n)
    assert len(np.unique(indices)) < n
    return indices, vectors(n * width, dtype, seed)[0].reshape(n, width)


def summed(indices, values):
    """The gradient of each row that comes up, by a loop."""
    total = {}
    for row, value in zip(indices.tolist(), values):
        total[row] = total.get(row, np.zeros(value.shape, value.dtype)) + value
    return total


def by_rows(table, rule, pairs, **options):
    """The same steps by an Optimizer for each row, at the step of all."""
    single = [Optimizer(row, rule) for row in table]
    for t, (indices, values) in enumerate(pairs):
        for row, g in summed(indices, values).items():
            single[row].t = t
            single[row].step(g, **options)
    return table


@pytest.mark.parametrize("width", [1, 5, 64, 130])
@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if not rule.uses_distance])
def test_each_row_steps_as_a_parameter_of_its_own(name, width, monkeypatch):
    for dtype in DTYPES:
        start = vectors(N_ROWS * width, dtype, 1)[0].reshape(N_ROWS, width)
        pairs = [drawn(seed, width, dtype) for seed in range(3)]
        expected = by_rows(start.copy(), RULES[name], pairs, grad_scale=0.5)
        for build in ("numpy", *BUILDS):
            use_backend(monkeypatch, build)
            for n_threads in THREADS if build != "numpy" else (1,):
                table = start.copy()
                opt = Optimizer(table, RULES[name], n_threads=n_threads)
                for pair in pairs:
                    opt.step(pair, grad_scale=0.5)
                assert equal_bits(table, expected), (build, n_threads)
        assert not np.array_equal(expected, start)


@pytest.mark.parametrize(
    "rule", [SGD(lr=0.1), AdaGrad(lr=0.1), RULES["FTRL"], RULES["DoG"]], ids=repr
)
def test_equals_a_whole_gradient_where_a_zero_changes_nothing(rule, backend):
    table = vectors(N_ROWS * 4, np.float64, 1)[0].reshape(N_ROWS, 4)
    dense = table.copy()
    some, whole = Optimizer(table, rule), Optimizer(dense, rule)
    for seed in range(4):
        indices, values = drawn(seed, 4, np.float64, n=9)
        some.step((indices, values), clip_norm=5.0)
        g = np.zeros_like(dense)
        np.add.at(g, indices, values)
        whole.step(g, clip_norm=5.0)
    np.testing.assert_allclose(table, dense, rtol=1e-13)


def test_rows_of_some_parameters_and_whole_gradients_of_others(backend):
    """Tables of other widths, a vector whose elements are rows, and an array without rows."""
    params = {
        "a": vectors(60, np.float32, 0)[0].reshape(10, 2, 3),
        "b": vectors(50, np.float32, 1)[0],
        "c": vectors(7, np.float32, 2)[0],
        "d": np.ones((), np.float32),
    }
    alone = {key: value.copy() for key, value in params.items()}
    rule = AdamW(lr=0.1, weight_decay=0.3)
    together = Optimizer(params, rule, overrides={"b": {"lr": 0.01}})
    singles = {
        key: Optimizer(alone[key], rule.with_lr(0.01) if key == "b" else rule) for key in params
    }
    for seed in range(3):
        grads = {
            "a": ([3, 1, 3], vectors(18, np.float32, seed)[0].reshape(3, 2, 3)),
            "b": (np.array([7, 9], np.uint8), vectors(2, np.float32, seed)[0]),
            "c": vectors(7, np.float32, seed)[0],
            "d": np.array(seed + 1.0, np.float32),
        }
        together.step(grads)
        for key, opt in singles.items():
            opt.step(grads[key])
        together.step({key: np.ones_like(value) for key, value in params.items()})
        for key, opt in singles.items():
            opt.step(np.ones_like(params[key]))
    assert all(equal_bits(params[key], alone[key]) for key in params)
    assert not equal_bits(params["a"][0], params["a"][3])


@given(
    st.lists(st.integers(0, 4), max_size=12),
    st.sampled_from([np.int8, np.int32, np.int64, np.uint64]),
    st.booleans(),
)
def test_indices_of_any_dtype_order_and_number(indices, kind, half):
    values = vectors(len(indices) * 3, np.float32, 1)[0].reshape(-1, 3)
    values = values.astype(np.float16) if half else values
    table = np.zeros((5, 3), np.float32)
    Optimizer(table, SGD(lr=1.0)).step((np.array(indices, kind), values))
    expected = np.zeros((5, 3), np.float32)
    for row, value in zip(indices, values):
        expected[row] -= value.astype(np.float32)
    np.testing.assert_allclose(table, expected, rtol=1e-6, atol=1e-6)


def test_states_kept_as_bfloat16(monkeypatch):
    """A row draws what its elements draw in a whole step."""
    width = 70
    start = vectors(N_ROWS * width, np.float32, 1)[0].reshape(N_ROWS, width)
    found = []
    for build in ("numpy", *BUILDS):
        use_backend(monkeypatch, build)
        for n_threads in THREADS if build != "numpy" else (1,):
            table, dense = start.copy(), start.copy()
            some = Optimizer(table, AdaGrad(), state_dtype="bfloat16", n_threads=n_threads)
            whole = Optimizer(dense, AdaGrad(), state_dtype="bfloat16")
            for seed in range(3):
                indices, values = drawn(seed, width, np.float32)
                g = np.zeros_like(table)
                for row, value in summed(indices, values).items():
                    g[row] = value
                some.step((indices, values))
                whole.step(g)
            assert equal_bits(table, dense)
            found.append(table)
    assert all(equal_bits(table, found[0]) for table in found)


def bad(indices, values=None):
    return indices, np.ones((len(indices), 2)) if values is None else values


BAD = [
    (bad([0, 5]), ValueError, r"grads\['t'\]\[0\] must be in \[0, 5\), got 5 at position 1"),
    (bad([-1]), ValueError, r"must be in \[0, 5\), got -1 at position 0"),
    (bad([0.0]), TypeError, r"grads\['t'\]\[0\] must be indices of rows, integers in one dim"),
    (bad(np.zeros((1, 1), int)), TypeError, r"got int64 in 2"),
    (bad([True]), TypeError, r"got bool in 1"),
    (bad([0], np.ones((2, 2))), ValueError, r"grads\['t'\]\[1\] must have the shape \(1, 2\)"),
    (bad([0], np.ones((1, 3))), ValueError, r"must have the shape \(1, 2\), a row of the param"),
    (bad([0], np.ones((1, 2), np.float32)), TypeError, "must be float64 like its parameter, or"),
    (bad([0], [[1.0, 2.0]]), TypeError, r"grads\['t'\]\[1\] must be a NumPy array"),
    (bad([0], np.ones((2, 2)).T[:1]), ValueError, "must be C-contiguous"),
    ((np.array([0]),), ValueError, r"an array or a pair \(indices, values\), got 1"),
    (bad([4, 2], np.array([[1, 2], [3, np.nan]])), FloatingPointError, "of row 2 is nan at step 1"),
]


@pytest.mark.parametrize("pair, error, message", BAD)
def test_bad_rows_are_refused_and_change_nothing(pair, error, message, backend):
    params = {"t": np.ones((5, 2)), "v": np.ones(3)}
    opt = Optimizer(params, Adam(lr=0.1))
    opt.step({"t": ([1], np.ones((1, 2))), "v": np.ones(3)})
    before = {key: value.copy() for key, value in params.items()}
    state = opt.state_dict()
    with pytest.raises(error, match=message):
        opt.step({"t": pair, "v": np.ones(3)})
    assert all(equal_bits(params[key], before[key]) for key in params)
    after = opt.state_dict()
    assert all(np.array_equal(value, after[key]) for key, value in state.items())


def test_what_gradients_of_rows_cannot_do(backend):
    w = np.ones((3, 2))
    with pytest.raises(ValueError, match="ema averages all rows at every step"):
        Optimizer(w, SGD(), ema=0.9).step(([0], np.ones((1, 2))))
    with pytest.raises(ValueError, match=r"grads\[1\] overlaps params in memory"):
        Optimizer(w, SGD()).step(([0], w[:1]))
    with pytest.raises(ValueError, match="its parameter has no rows"):
        Optimizer(np.array(1.0), SGD()).step(([0], np.ones(1)))
    skipping = Optimizer(w, SGD(), nonfinite="skip")
    skipping.step(([0, 0], np.array([[1.0, np.inf], [1.0, 1.0]])))
    assert (skipping.skipped, w.tolist()) == (1, [[1.0, 1.0]] * 3)
