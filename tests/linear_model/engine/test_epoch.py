"""Epochs: sparse against dense against plain loops, and the same bits for every build and thread
count."""

from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from scipy import sparse
from strategies import BUILDS, DTYPES, LINEAR_RULES, LOSSES, equal_bits, sparse_problem, targets_for

from lrcore import SGD, AdaGrad, RMSProp, _core
from lrcore._backend import shuffle
from lrcore.linear_model.engine import checks
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.engine.design_matrix import as_rows
from lrcore.linear_model.engine.epoch import Pass, settle
from lrcore.linear_model.engine.layout import Debt, Method, State

#: Rules that are exact on sparse data, with the plain loop's word for them.
EXACT = {
    "sgd": (SGD(lr=0.02), {}),
    "adagrad": (AdaGrad(lr=0.3, eps=1e-8), {}),
    "rmsprop": (RMSProp(lr=0.02, rho=0.9), {}),
    "rmsprop centered": (RMSProp(lr=0.02, rho=0.9, centered=True), {"centered": True}),
}
#: Losses, and with what: three of a kind with everything, the others once.
WITH_BLOCKS = [
    (loss, block, weighted)
    for loss in LOSSES
    for block in (1, 4, 64)
    for weighted in (False, True)
    if loss in ("log_loss", "hinge", "squared_error") or (block == 4 and weighted)
]
#: Block edges: of the lanes, of the rows, one block for all.
BLOCKS = (1, 2, 15, 16, 17, 64, 299, 300, 301)


def make_method(rule, loss="log_loss", l1=0.0, l2=0.0, batch=1, intercept=True):
    return Method(LOSSES[loss], rule, l1, l2, intercept, batch, 256)


def make_debt(*groups):
    """Groups of features, each (where it ends, rows from payment to payment)."""
    stops, periods = np.array(groups, np.int64).T.copy()
    return Debt(stops, periods, np.zeros_like(stops), np.zeros(len(groups)))


def run(
    X, y, method, block, n_epochs=2, n_threads=1, weight=None, chunk=None, seed=3, debt=None
):  # fmt: skip
    """Fit by the backend in force; blocks are fixed, so that the plain loop can follow."""
    rows = as_rows(X)
    n_features = rows.shape[1]
    state = State.new(method, rows, debt or make_debt((n_features // 2, 20), (n_features, 70)))
    passes = Pass(method, rows, n_threads)
    total = 0.0
    for epoch in range(n_epochs):
        order = shuffle.shuffled(rows.shape[0], seed + epoch)
        step = (chunk or len(order)) // block * block or block
        for start in range(0, len(order), step):
            total += passes.advance(state, order[start : start + step], y, weight, block)
    settle(state, method)
    return SimpleNamespace(
        w=state.columns[0, :-1].copy(), b=state.columns[0, -1], loss=total, state=state
    )


def orders(n_rows, n_epochs=2, seed=3):
    for epoch in range(n_epochs):
        order = np.arange(n_rows, dtype=np.int64)
        shuffle.shuffle(order, seed + epoch)
        yield order


def close(got, expected, rtol=1e-12):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("loss, block, weighted", WITH_BLOCKS)
@pytest.mark.parametrize("kind", EXACT)
def test_online_equals_the_plain_loop(kind, block, loss, weighted, backend):
    X, dense, labels, target = sparse_problem()
    y = targets_for(LOSSES[loss], labels, target)
    weight = np.random.default_rng(2).uniform(0.2, 2.0, len(y)) if weighted else None
    rule, options = EXACT[kind]
    (order,) = orders(len(y), 1)
    expected, intercept = oracles.online(
        dense, y, loss,
        lambda size: oracles.DenseRule(kind.split()[0], size, **options),
        [rule.lr] * len(y), block, order, weight,
    )  # fmt: skip
    assert np.ptp(expected) > 0.01
    for matrix in (X, dense):
        got = run(matrix, y, make_method(rule, loss), block, n_epochs=1, weight=weight)
        close(got.w, expected)
        close(got.b, intercept)


@pytest.mark.parametrize("loss, batch, weighted", [(a, b + 3, c) for a, b, c in WITH_BLOCKS])
@pytest.mark.parametrize("kind", EXACT)
def test_minibatch_equals_the_plain_loop(kind, batch, loss, weighted, backend):
    X, dense, labels, target = sparse_problem()
    y = targets_for(LOSSES[loss], labels, target)
    weight = np.random.default_rng(2).uniform(0.2, 2.0, len(y)) if weighted else None
    rule, options = EXACT[kind]
    expected, intercept = oracles.minibatch(
        dense, y, loss,
        lambda size: oracles.DenseRule(kind.split()[0], size, **options),
        [rule.lr] * len(y), batch, np.concatenate(list(orders(len(y), 1))), weight,
    )  # fmt: skip
    assert np.ptp(expected) > 0.001
    for matrix in (X, dense):
        method = make_method(rule, loss, batch=batch)
        got = run(matrix, y, method, batch, n_epochs=1, weight=weight)
        close(got.w, expected)
        close(got.b, intercept)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("groups", [[(25, 1)], [(25, 64)], [(9, 5), (10, 30), (25, 1000)]])
@pytest.mark.parametrize("l1, l2", [(0.0, 0.02), (0.003, 0.0), (0.003, 0.02)])
@pytest.mark.parametrize("kind", ["sgd", "adagrad"])
def test_penalties_equal_the_plain_loop(kind, l1, l2, groups, batch, backend):
    X, dense, labels, _ = sparse_problem(n_rows=120, n_features=25)
    y = np.where(labels, 1.0, -1.0)
    rule, _ = EXACT[kind]
    (order,) = orders(len(y), 1)
    starts = [0, *(stop for stop, _ in groups)]
    plain = [(range(start, stop), period) for start, (stop, period) in zip(starts, groups)]
    expected, intercept = oracles.online_with_penalty(
        dense, y, "log_loss", kind, [rule.lr] * len(y), order, l1, l2, plain, batch=batch
    )
    if l1:
        assert (expected == 0).sum() > 1  # beyond the one column that is empty
    for matrix in (X, dense):
        method = make_method(rule, "log_loss", l1, l2, batch)
        got = run(matrix, y, method, batch, n_epochs=1, debt=make_debt(*groups))
        close(got.w, expected, rtol=1e-11)
        close(got.b, intercept, rtol=1e-11)


@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("name", LINEAR_RULES)
def test_sparse_equals_dense_for_every_rule(name, batch, penalised, build):
    """Lazy rules as well: a zero does not touch, in dense rows as in sparse ones."""
    X, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    method = make_method(LINEAR_RULES[name], l1=2e-4 * penalised, l2=1e-3 * penalised, batch=batch)
    a, b = run(X, y, method, 16), run(dense, y, method, 16)
    # A variance near zero magnifies the rounding of the margins in a centered rule.
    rtol = (
        1e-6 if getattr(LINEAR_RULES[name], "centered", False) and name.endswith("both") else 1e-10
    )
    close(a.w, b.w, rtol)
    close(a.loss, b.loss, rtol)


@pytest.mark.parametrize("layout", ["csr32", "csr64", "dense"])
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("name", LINEAR_RULES)
def test_bits_do_not_depend_on_build_or_threads(name, batch, layout, monkeypatch):
    for dtype in DTYPES:
        X, dense, labels, _ = sparse_problem(dtype=dtype)
        y = np.where(labels, 1.0, -1.0)
        weight = np.random.default_rng(2).uniform(0.2, 2.0, len(y))
        matrix = dense
        if layout != "dense":
            index = np.int32 if layout == "csr32" else np.int64
            matrix = sparse.csr_matrix(X)
            matrix.indices = matrix.indices.astype(index)
            matrix.indptr = matrix.indptr.astype(index)
        method = make_method(LINEAR_RULES[name], l1=1e-4, l2=1e-3, batch=batch)
        results = []
        for build in BUILDS:
            monkeypatch.setattr(_core, "kernels", _core.load(build))
            for n_threads in (1, 2, 3, 7):
                got = run(matrix, y, method, 16, n_threads=n_threads, weight=weight)
                results.append((got.w, np.float64(got.b), np.float64(got.loss)))
        assert np.ptp(results[0][0]) > 0
        for other in results[1:]:
            assert all(equal_bits(x, z) for x, z in zip(other, results[0]))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("batched", [False, True])
def test_every_block_size_agrees_with_the_reference(block, batched, monkeypatch):
    X, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    batch = block if batched and block > 1 else 1
    method = make_method(AdaGrad(lr=0.3, eps=1e-8), l2=1e-3, batch=batch)
    monkeypatch.setattr(_core, "kernels", None)
    expected = run(X, y, method, block)
    for build in BUILDS:
        monkeypatch.setattr(_core, "kernels", _core.load(build))
        for matrix in (X, dense):
            got = run(matrix, y, method, block, n_threads=2)
            close(got.w, expected.w, 1e-10)
            close(got.loss, expected.loss, 1e-12)


@pytest.mark.parametrize("n_features", [1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 130])
def test_every_width_agrees_with_the_reference(n_features, monkeypatch):
    """Full rows of every width around the lanes' edges."""
    rng = np.random.default_rng(n_features)
    dense = rng.normal(size=(80, n_features))
    y = np.where(dense[:, 0] + rng.normal(size=80) > 0, 1.0, -1.0)
    method = make_method(AdaGrad(lr=0.3, eps=1e-8), l1=1e-4, l2=1e-3)
    monkeypatch.setattr(_core, "kernels", None)
    expected = run(dense, y, method, 8)
    for build in BUILDS:
        monkeypatch.setattr(_core, "kernels", _core.load(build))
        for matrix in (sparse.csr_matrix(dense), dense):
            for n_threads in (1, 3):
                close(run(matrix, y, method, 8, n_threads=n_threads).w, expected.w, 1e-11)


@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_calls_of_any_length_give_the_same_bits(layout, build):
    X, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    method = make_method(RMSProp(lr=0.02, rho=0.9), l2=1e-3)
    whole = run(X if layout == "sparse" else dense, y, method, 16)
    parts = run(X if layout == "sparse" else dense, y, method, 16, chunk=48)
    assert equal_bits(whole.w, parts.w)
    assert whole.loss == pytest.approx(parts.loss, rel=1e-13)


@pytest.mark.parametrize("kind", EXACT)
def test_counters_that_start_again_change_nothing_but_rounding(kind, backend, monkeypatch):
    X, _, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    method = make_method(EXACT[kind][0])
    once = run(X, y, method, 16, chunk=32)
    monkeypatch.setattr(epochs, "STAMP_LIMIT", 100)
    often = run(X, y, method, 16, chunk=32)
    assert often.state.base > 300
    close(often.w, once.w, 1e-10)


def test_a_state_moves_between_sparse_and_dense_rows(build):
    X, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    method = make_method(RMSProp(lr=0.02, rho=0.9), l2=1e-3)
    order = np.arange(len(y), dtype=np.int64)
    states = []
    for first, second in ((X, dense), (dense, X), (X, X)):
        state = State.new(method, as_rows(first))
        for matrix in (first, second):
            Pass(method, as_rows(matrix), 1).advance(state, order, y, None, 16)
        states.append(state.columns[0].copy())
    close(states[0], states[2], 1e-10)
    close(states[1], states[2], 1e-10)


def test_shuffle_is_a_fixed_permutation(build):
    order = np.arange(1000, dtype=np.int64)
    build.shuffle(order, 42)
    slow = np.arange(1000, dtype=np.int64)
    shuffle.shuffle(slow, 42)
    assert np.array_equal(order, slow)
    assert sorted(order) == list(range(1000))
    assert order[:5].tolist() != list(range(5))


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 399, 400])
def test_shuffled_runs_are_a_permutation_that_keeps_runs(n_rows, backend):
    order = shuffle.shuffled(n_rows, 7, run_length=4)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(n_rows))
    follows = np.diff(order) == 1
    assert follows.sum() >= n_rows - -(-n_rows // 4)


def test_shuffle_reaches_every_place_about_equally(build):
    places = np.zeros((6, 6))
    for seed in range(6000):
        order = np.arange(6, dtype=np.int64)
        build.shuffle(order, seed)
        places[np.arange(6), order] += 1
    assert np.abs(places - 1000).max() < 150


def test_margins_have_the_same_bits_for_every_build_and_thread_count(monkeypatch):
    for dtype in DTYPES:
        X, dense, _, _ = sparse_problem(dtype=dtype, n_rows=500)
        w = np.random.default_rng(0).normal(size=60).astype(dtype)
        for matrix in (X, dense):
            rows = as_rows(matrix)
            results = []
            for build in BUILDS:
                monkeypatch.setattr(_core, "kernels", _core.load(build))
                results += [rows.margins(w, 0.5, n) for n in (1, 2, 3)]
            assert all(equal_bits(r, results[0]) for r in results)
            exact = dense.astype(float) @ w.astype(float) + 0.5
            np.testing.assert_allclose(
                results[0], exact, atol=1e-4 if dtype == np.float32 else 1e-12
            )


def test_a_crew_settles_on_the_faster_way_and_tries_the_other_again():
    crew = epochs.Crew(4, fixed=False)
    cost = {4: 2.0, 1: 1.0}
    ways = []
    for _ in range(60):
        ways.append(crew.choose())
        crew.note(ways[-1], 40_000, cost[ways[-1]])
    assert ways[:2] == [4, 1]
    assert ways.count(1) > 50
    assert 4 in ways[2:]
    cost.update({4: 0.5})
    for _ in range(60):
        ways.append(crew.choose())
        crew.note(ways[-1], 40_000, cost[ways[-1]])
    assert ways[-30:].count(4) > 25
    assert {epochs.Crew(3, fixed=True).choose() for _ in range(5)} == {3}


def test_every_round_of_shuffled_runs_takes_one_from_each_stratum(backend):
    n_rows, run = 16 * epochs.STRATA * 5, 16
    order = shuffle.shuffled(n_rows, 3, run)
    starts = order[::run]
    rounds = (starts // (run * 5)).reshape(5, epochs.STRATA)
    assert (np.sort(rounds, axis=1) == np.arange(epochs.STRATA)).all()
    assert len({tuple(each) for each in rounds.tolist()}) == 5
    within = (starts // run % 5).reshape(5, epochs.STRATA)
    assert len({tuple(np.argsort(each).tolist()) for each in within.T}) > 1
    assert len(set(within[0].tolist())) > 1


def test_disorder_is_found_beside_empty_rows(backend):
    """Where a row is empty the next begins at the same place: it must not count twice."""
    indices = np.array([1, 7, 5, 2], np.int32)
    for indptr, expected in (([0, 2, 2, 4], ("order", 2)), ([0, 2, 2, 3, 4, 4], ("", -1))):
        assert checks.inspect_csr(np.array(indptr), indices, 8) == expected


def test_touched_values_are_counted_over_all_columns():
    dense = np.ones((1 << 15, 64), np.float32)
    dense[:, ::2] = 0
    assert as_rows(dense).touched_per_row() == 32
    assert as_rows(sparse.csr_matrix(dense[:9])).touched_per_row() == 32
