"""Epochs: sparse against dense against plain loops, and the same bits for every build and thread
count."""

import tracemalloc
from functools import cache
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from backends import use_backend
from linear_fits import LinearFit, fit_config, lazy_groups
from scipy import sparse
from sklearn.base import clone
from strategies import (
    BUILDS,
    DTYPES,
    LINEAR_RULES,
    LOSSES,
    THREADS_AND_BUILDS,
    equal_bits,
    sparse_problem,
    targets_for,
)

import lrcore
from lrcore import SGD, AdaGrad, RMSProp
from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.problem import Problem

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


def run(
    X, y, config, block, n_epochs=2, n_threads=1, weight=None, chunk=None, seed=3, lazy=None
):  # fmt: skip
    """Fit by the backend in force; blocks are fixed, so that the plain loop can follow."""
    n_rows, n_features = X.shape
    lazy = lazy or lazy_groups((n_features // 2, 20), (n_features, 70))
    fit, total = LinearFit(config, X, lazy, n_threads, y, weight), 0.0
    for epoch in range(n_epochs):
        order = shuffled(n_rows, seed + epoch)
        step = (chunk or n_rows) // block * block or block
        for start in range(0, n_rows, step):
            total += fit.fit_rows(order[start : start + step], block)
    fit.apply_penalty()
    columns = fit.state.columns
    return SimpleNamespace(w=columns[0, :-1].copy(), b=columns[0, -1], loss=total, state=fit.state)


def close(got, expected, rtol=1e-12):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@cache
def plain_loop(oracle, kind, loss, size, weighted):
    """Rows, targets, weights, and what an oracle comes to; the same for all backends."""
    X, dense, labels, target = sparse_problem()
    y = targets_for(LOSSES[loss], labels, target)
    weight = np.random.default_rng(2).uniform(0.2, 2.0, len(y)) if weighted else None
    rule, options = EXACT[kind]
    expected, intercept = oracle(
        dense, y, loss,
        lambda n: oracles.DenseRule(kind.split()[0], n, **options),
        [rule.lr] * len(y), size, shuffled(len(y), 3), weight,
    )  # fmt: skip
    return (X, dense), y, weight, expected, intercept


@pytest.mark.parametrize("loss, block, weighted", WITH_BLOCKS)
@pytest.mark.parametrize("kind", EXACT)
def test_online_equals_the_plain_loop(kind, block, loss, weighted, backend):
    same = plain_loop(oracles.online, kind, loss, block, weighted)
    matrices, y, weight, expected, intercept = same
    assert np.ptp(expected) > 0.01
    for matrix in matrices:
        config = fit_config(loss, EXACT[kind][0])
        got = run(matrix, y, config, block, n_epochs=1, weight=weight)
        close(got.w, expected)
        close(got.b, intercept)


@pytest.mark.parametrize("loss, batch, weighted", [(a, b + 3, c) for a, b, c in WITH_BLOCKS])
@pytest.mark.parametrize("kind", EXACT)
def test_minibatch_equals_the_plain_loop(kind, batch, loss, weighted, backend):
    same = plain_loop(oracles.minibatch, kind, loss, batch, weighted)
    matrices, y, weight, expected, intercept = same
    assert np.ptp(expected) > 0.001
    for matrix in matrices:
        config = fit_config(loss, EXACT[kind][0], batch=batch)
        got = run(matrix, y, config, batch, n_epochs=1, weight=weight)
        close(got.w, expected)
        close(got.b, intercept)


@cache
def penalised_loop(kind, l1, l2, groups, batch):
    """The same with a penalty."""
    X, dense, labels, _ = sparse_problem(n_rows=120, n_features=25)
    y = np.where(labels, 1.0, -1.0)
    starts = [0, *(stop for stop, _ in groups)]
    plain = [(range(start, stop), period) for start, (stop, period) in zip(starts, groups)]
    expected, intercept = oracles.online_with_penalty(
        dense, y, "log_loss", kind, [EXACT[kind][0].lr] * len(y), shuffled(len(y), 3), l1, l2,
        plain, batch=batch,
    )  # fmt: skip
    return (X, dense), y, expected, intercept


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("groups", [[(25, 1)], [(25, 64)], [(9, 5), (10, 30), (25, 1000)]])
@pytest.mark.parametrize("l1, l2", [(0.0, 0.02), (0.003, 0.0), (0.003, 0.02)])
@pytest.mark.parametrize("kind", ["sgd", "adagrad"])
def test_penalties_equal_the_plain_loop(kind, l1, l2, groups, batch, backend):
    matrices, y, expected, intercept = penalised_loop(kind, l1, l2, tuple(groups), batch)
    if l1:
        assert (expected == 0).sum() > 1  # beyond the one column that is empty
    for matrix in matrices:
        config = fit_config("log_loss", EXACT[kind][0], l1, l2, batch=batch)
        got = run(matrix, y, config, batch, n_epochs=1, lazy=lazy_groups(*groups))
        close(got.w, expected, rtol=1e-11)
        close(got.b, intercept, rtol=1e-11)


@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("name", LINEAR_RULES)
def test_sparse_equals_dense_for_every_rule(name, batch, penalised, build):
    """Lazy rules as well: a zero does not touch, in dense rows as in sparse ones."""
    X, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    config = fit_config(
        "log_loss", LINEAR_RULES[name], l1=2e-4 * penalised, l2=1e-3 * penalised, batch=batch
    )
    a, b = run(X, y, config, 16), run(dense, y, config, 16)
    # A variance near zero magnifies the rounding of the raw predictions in a centered rule.
    rtol = (
        1e-6 if getattr(LINEAR_RULES[name], "centered", False) and name.endswith("both") else 1e-10
    )
    close(a.w, b.w, rtol)
    close(a.loss, b.loss, rtol)


#: Formulas do not see the indices: those of 64 bits come with a plain one and one that waits.
LAYOUTS = [(name, layout) for name in LINEAR_RULES for layout in ("csr32", "dense")]
LAYOUTS += [(name, "csr64") for name in ("SGD", "AdaGrad", "Adam")]


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
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
        config = fit_config("log_loss", LINEAR_RULES[name], l1=1e-4, l2=1e-3, batch=batch)
        results = []
        for n_threads, build in THREADS_AND_BUILDS:
            use_backend(monkeypatch, build)
            got = run(matrix, y, config, 16, n_threads=n_threads, weight=weight)
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
    config = fit_config("log_loss", AdaGrad(lr=0.3, eps=1e-8), l2=1e-3, batch=batch)
    use_backend(monkeypatch, "numpy")
    expected = run(X, y, config, block)
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for matrix in (X, dense):
            got = run(matrix, y, config, block, n_threads=2)
            close(got.w, expected.w, 1e-10)
            close(got.loss, expected.loss, 1e-12)


@pytest.mark.parametrize("n_features", [1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 130])
def test_every_width_agrees_with_the_reference(n_features, monkeypatch):
    """Full rows of every width around the lanes' edges."""
    rng = np.random.default_rng(n_features)
    dense = rng.normal(size=(80, n_features))
    y = np.where(dense[:, 0] + rng.normal(size=80) > 0, 1.0, -1.0)
    config = fit_config("log_loss", AdaGrad(lr=0.3, eps=1e-8), l1=1e-4, l2=1e-3)
    use_backend(monkeypatch, "numpy")
    expected = run(dense, y, config, 8)
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for matrix in (sparse.csr_matrix(dense), dense):
            for n_threads in (1, 3):
                close(run(matrix, y, config, 8, n_threads=n_threads).w, expected.w, 1e-11)


@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_calls_of_any_length_give_the_same_bits(layout, build):
    X, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    config = fit_config("log_loss", RMSProp(lr=0.02, rho=0.9), l2=1e-3)
    whole = run(X if layout == "sparse" else dense, y, config, 16)
    parts = run(X if layout == "sparse" else dense, y, config, 16, chunk=48)
    assert equal_bits(whole.w, parts.w)
    assert whole.loss == pytest.approx(parts.loss, rel=1e-13)


@pytest.mark.parametrize("kind", EXACT)
def test_counters_that_start_again_change_nothing_but_rounding(kind, backend, monkeypatch):
    X, _, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    config = fit_config("log_loss", EXACT[kind][0])
    once = run(X, y, config, 16, chunk=32)
    monkeypatch.setattr(epochs, "LAST_STEP_LIMIT", 100)
    often = run(X, y, config, 16, chunk=32)
    assert often.state.base > 300
    close(often.w, once.w, 1e-10)


def test_a_state_moves_between_sparse_and_dense_rows(build):
    X, dense, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0)
    config = fit_config("log_loss", RMSProp(lr=0.02, rho=0.9), l2=1e-3)
    order = np.arange(len(y), dtype=np.int64)
    states = []
    for first, second in ((X, dense), (dense, X), (X, X)):
        fit, other = LinearFit(config, first, y=y), LinearFit(config, second, y=y)
        fit.fit_rows(order, 16)
        other.state = fit.state
        other.fit_rows(order, 16)
        states.append(fit.state.columns[0].copy())
    close(states[0], states[2], 1e-10)
    close(states[1], states[2], 1e-10)


# ---- calls of an epoch ----------------------------------------------------------------------


def one_epoch(monkeypatch, after_chunk, chunk_rows=64, y=None, weight=None, at_least=1):
    """An epoch of 300 rows in calls of so many; its loss and the fit."""
    monkeypatch.setattr(epochs, "CHUNK_ROWS", chunk_rows)
    X, _, labels, _ = sparse_problem()
    y = np.where(labels, 1.0, -1.0) if y is None else y
    fit = LinearFit(fit_config("squared_error", SGD(lr=0.01), block=16), X)
    problem = Problem(fit.X, [y], weight, fit.objective)
    order = np.arange(300)[::-1].copy()
    loss = fit.runner.run_epoch([fit.state], problem, order, after_chunk, at_least)
    return loss, fit


def test_chunks_say_where_the_epoch_is(monkeypatch):
    chunks, weight = [], np.linspace(0.5, 2.0, 300)
    loss, fit = one_epoch(monkeypatch, lambda c: chunks.append(c) or True, weight=weight)
    assert loss.n_rows == fit.state.t == 300
    assert loss.weight == pytest.approx(weight.sum(), rel=1e-13)
    assert np.concatenate([c.rows for c in chunks]).tolist() == list(range(300))[::-1]
    assert max(len(c.rows) for c in chunks) <= 64
    assert [c.n_rows_done for c in chunks] == np.cumsum([len(c.rows) for c in chunks]).tolist()
    assert {c.n_rows for c in chunks} == {300}
    assert [c.step for c in chunks] == [c.n_rows_done for c in chunks]
    assert {c.rate for c in chunks} == {0.01}
    assert chunks[-1].loss == loss.mean


@pytest.mark.parametrize("at_least, expected", [(1, 1), (10, 16), (300, 300)])
def test_an_epoch_ends_when_it_is_told_to_but_learns_from_some_rows(
    at_least, expected, monkeypatch
):
    loss, fit = one_epoch(monkeypatch, lambda chunk: False, at_least=at_least)
    assert expected <= loss.n_rows <= max(expected, 64)
    assert fit.state.t == loss.n_rows < 300 or at_least == 300


def test_an_epoch_ends_at_a_loss_that_is_not_finite(monkeypatch):
    y, chunks = np.ones(300), []
    y[150] = np.nan
    loss, _ = one_epoch(monkeypatch, lambda chunk: chunks.append(chunk) or True, y=y)
    assert np.isnan(loss.total)
    assert all(np.isfinite(chunk.loss) for chunk in chunks)
    assert loss.n_rows == chunks[-1].n_rows_done < 150


def test_losses_of_epochs_are_summed():
    both = epochs.EpochLoss(6.0, 2.0, 3).plus(epochs.EpochLoss(2.0, 2.0, 5))
    assert both == epochs.EpochLoss(8.0, 4.0, 8)
    assert both.mean == 2.0


def test_blocks_grow_to_their_size_and_end_at_its_multiples():
    X, _, _, _ = sparse_problem()
    fit = LinearFit(fit_config("log_loss", AdaGrad(lr=0.05), block=64), X)
    problem = Problem(fit.X, [np.ones(fit.X.shape[0])], None, fit.objective)
    start, blocks = 0, []
    while start < 300:
        end, block = fit.runner.next_block([fit.state], start, 300, problem)
        assert block & (block - 1) == 0
        assert end == 300 or end % block == 0
        blocks.append(block)
        fit.state.step, start = end, end
    assert blocks == sorted(blocks)
    assert blocks[0] < 64
    assert blocks[-1] == 64


def test_calls_are_whole_blocks(monkeypatch):
    X, _, _, _ = sparse_problem()
    runner = LinearFit(fit_config("log_loss", SGD(lr=0.1)), X).runner
    monkeypatch.setattr(epochs, "CALL_VALUES", int(1000 * runner.X.nnz_per_row) + 1)
    monkeypatch.setattr(epochs, "LEAST_VALUES", int(100 * runner.X.nnz_per_row) + 1)
    for block, n_outputs, most in ((1, 1, 1000), (16, 2, 500), (64, 1000, 100), (999, 1, 1000)):
        rows = runner.call_rows(block, n_outputs)
        assert rows % block == 0
        assert most - block < rows <= most
    assert runner.call_rows(5000, 1) == 5000


@pytest.mark.parametrize("size", [10**9, 2**63, 10**30])
@pytest.mark.parametrize("matrix", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("average", [False, True])
def test_a_batch_beyond_all_rows_takes_no_more_memory(size, matrix, average, build):
    """Than one of all rows: a batch of 10**9 numbers would take gigabytes."""
    rng = np.random.default_rng(0)
    X, y = matrix(rng.normal(size=(9, 3))), np.arange(9) % 3
    found = []
    for batch in (2000, size):
        model = lrcore.LinearClassifier(
            solver="stochastic",
            lr=0.1,
            batch_size=batch,
            average=average,
            max_iter=5,
            tol=None,
            random_state=0,
        )
        found.append(model.fit(X, y).coef_)
        model.set_params(scale="max")
        again = clone(model).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
        found.append(again.coef_)
    tracemalloc.start()
    model.fit(X, y)
    clone(model).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 24
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[1], found[3])
    assert clone(model).set_params(batch_size=1, block_size=size).fit(X, y).t_ > 0
