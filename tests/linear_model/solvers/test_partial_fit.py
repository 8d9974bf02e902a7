"""Where calls end: streams cut into calls of partial_fit, fits into calls of the core."""

import os
import pickle
import re
import signal
import threading
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import NotFittedError
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import (
    SGD,
    AdaGrad,
    Adam,
    LinearClassifier,
    LinearRegressor,
    RMSProp,
    _backend,
    schedules,
)
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.engine import replay_buffer

# ---- streams ------------------------------------------------------------------------------------

#: Rows that grow, so that blocks would not be the same if all rows of a call had a say.
_, LONG_DENSE, LONG_LABELS, _ = sparse_problem(n_rows=1800, n_features=40)
LONG_DENSE[900:] *= 4.0
LONG = sparse.csr_matrix(LONG_DENSE)


def long_indices(X):
    """The same with int64 indices."""
    X = X.copy()
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def widened(X, n_features):
    """The same with columns far from each other."""
    indices = X.indices * (n_features // X.shape[1])
    return sparse.csr_matrix((X.data, indices, X.indptr), (X.shape[0], n_features))


STREAMS = {
    "defaults": {},
    "schedule": {"optimizer": AdaGrad(lr=schedules.Cosine(0.5, steps=1500).warmup(100))},
    "states that decay": {"optimizer": RMSProp(lr=0.02), "penalty": "l1"},
    "momentum": {"optimizer": Adam(lr=0.02), "penalty": "elasticnet"},
    "steep": {"optimizer": SGD(lr=0.1)},
    "short blocks": {"block_size": 16},
    "no power of two": {"block_size": 100},
    "single rows": {"block_size": 1},
    "batches": {"batch_size": 16},
    "batches that decay": {"batch_size": 24, "optimizer": RMSProp(lr=0.02)},
}


def streamed(rows, y, cuts, between=lambda clf: clf, weight=None, **keywords):
    """A stream that ends its calls there; estimators are handed on by `between`."""
    clf = LinearClassifier(alpha=1e-3, **keywords)
    for start, stop in zip([0, *cuts], [*cuts, len(y)]):
        part = None if weight is None else weight[start:stop]
        clf.partial_fit(rows[start:stop], y[start:stop], np.unique(y), part)
        clf = between(clf)
    return clf


#: Where calls end: at ends of blocks, in their midst, several in one, a row at a time.
CUTS = {
    "with blocks": [256, 512, 1280],
    "elsewhere": [7, 8, 300, 700, 701, 1001, 1799],
    "within one block": [530, 540, 600, 767, 768, 769],
    "row by row": [*range(1, 40), *range(1000, 1040)],
}


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("name", STREAMS)
def test_calls_that_end_anywhere_are_one_long_stream(name, cuts):
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 1800)
    weight[50:500:7] = 0.0
    for rows, n_threads in ((LONG.astype(np.float32), 2), (LONG_DENSE, 1)):
        keywords = {**STREAMS[name], "n_threads": n_threads, "weight": weight}
        whole = streamed(rows, LONG_LABELS, [], **keywords)
        parts = streamed(rows, LONG_LABELS, CUTS[cuts], **keywords)
        assert_same_stream(parts, whole)


def assert_same_stream(parts, whole):
    assert parts.t_ == whole.t_ > 0
    for one, other in zip(parts._trained.states, whole._trained.states):
        assert equal_bits(one.columns, other.columns)
        assert equal_bits(one.lazy_penalty.accumulated_lr, other.lazy_penalty.accumulated_lr)
        assert equal_bits(one.lazy_penalty.rows_since, other.lazy_penalty.rows_since)
    assert np.ptp(whole.coef_) > 0
    assert equal_bits(parts.coef_, whole.coef_)
    assert equal_bits(parts.intercept_, whole.intercept_)


KINDS = {
    "float32": LONG.astype(np.float32),
    "int64": long_indices(LONG),
    "ones": (LONG != 0).astype(np.float64),
    "wide": widened(LONG, 140_000),
    "dense": LONG_DENSE,
}


@given(data=st.data())
@settings(max_examples=60)
def test_any_calls_are_one_long_stream(data):
    rows = KINDS[data.draw(st.sampled_from(sorted(KINDS)))]
    keywords = STREAMS[data.draw(st.sampled_from(sorted(STREAMS)))]
    keywords = {
        **keywords,
        "penalty": data.draw(st.sampled_from([None, "l2", "l1"])),
        "average": data.draw(st.sampled_from([False, True, 300])),
        "scale": data.draw(st.sampled_from([None, "auto"])),
        "n_threads": data.draw(st.sampled_from([1, 2])),
    }
    y = LONG_LABELS[:700]
    if data.draw(st.booleans()):
        y = np.where(np.arange(700) % 3 == 0, 2, y)
    cuts = sorted(data.draw(st.lists(st.integers(1, 699), max_size=12, unique=True)))
    with mock.patch.object(
        replay_buffer, "SMALL", data.draw(st.sampled_from([0, replay_buffer.SMALL]))
    ):
        whole = streamed(rows[:700], y, [], **keywords)
        parts = streamed(rows[:700], y, cuts, **keywords)
    assert_same_stream(parts, whole)


def test_streams_go_on_through_files_and_pickles(tmp_path, backend):
    three = np.where(np.arange(1800) % 3 == 0, 2, LONG_LABELS)[:900]

    def through_a_file(clf):
        lrcore.save(clf, tmp_path / "m")
        return lrcore.load(tmp_path / "m")

    for keywords in ({}, {"average": True, "scale": "auto", "batch_size": 100}):
        for rows in (LONG[:900], LONG_DENSE[:900]):
            weight = np.linspace(0.5, 2.0, 900)
            whole = streamed(rows, three, [], weight=weight, **keywords)
            for between in (through_a_file, lambda clf: pickle.loads(pickle.dumps(clf))):
                parts = streamed(rows, three, [256, 700, 720], between, weight, **keywords)
                assert_same_stream(parts, whole)


def test_the_model_has_learnt_from_rows_that_are_gone_over_again():
    """As if the stream ended there, and what is asked of it meanwhile changes nothing."""
    parts = LinearClassifier(alpha=1e-3)
    for start, stop in pairwise([0, 100, 300, 555]):
        parts.partial_fit(LONG[start:stop], LONG_LABELS[start:stop], [0, 1])
        whole = LinearClassifier(alpha=1e-3).partial_fit(LONG[:stop], LONG_LABELS[:stop], [0, 1])
        assert_same_stream(parts, whole)
        assert equal_bits(parts.predict_proba(LONG), whole.predict_proba(LONG))


def test_rows_kept_to_be_gone_over_count_as_learnt_if_the_rule_changes():
    clf = LinearClassifier(penalty=None).partial_fit(LONG[:100], LONG_LABELS[:100], [0, 1])
    before = clf.coef_
    clf.set_params(optimizer=AdaGrad(lr=1e-9)).partial_fit(LONG[100:101], LONG_LABELS[100:101])
    assert clf.t_ == 101
    np.testing.assert_allclose(clf.coef_, before, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["defaults", "batches"])
def test_dense_and_sparse_rows_share_blocks(name):
    """Zeros do not touch, so the same numbers come up, summed in another order."""
    mixed = LinearClassifier(**STREAMS[name])
    for rows, (start, stop) in zip((LONG, LONG_DENSE, LONG), pairwise([0, 300, 430, 700])):
        mixed.partial_fit(rows[start:stop], LONG_LABELS[start:stop], [0, 1])
    whole = LinearClassifier(**STREAMS[name]).partial_fit(LONG[:700], LONG_LABELS[:700], [0, 1])
    np.testing.assert_allclose(mixed.coef_, whole.coef_, rtol=1e-8, atol=1e-11)


def test_a_row_at_a_time_takes_little_memory():
    """What is kept of a model past the rows themselves: slots of their features, no more."""
    wide, labels = widened(LONG, 1 << 20), LONG_LABELS
    clf = streamed(wide[:100], labels[:100], range(1, 100))
    kept = clf._trained.replay
    assert kept.rows.n_rows == 100
    assert sum(state.array.nbytes for state in kept.before) < 100_000


def test_another_rule_chooses_its_own_blocks(monkeypatch):
    calls = Calls(monkeypatch)
    monkeypatch.setattr(epochs, "CALL_VALUES", 1)
    monkeypatch.setattr(epochs, "LEAST_VALUES", 1)
    clf = streamed(LONG[:1100], LONG_LABELS[:1100], [], optimizer=AdaGrad(lr=0.05))
    assert max(calls) == 128
    assert clf._trained.states[0].until == 2048
    calls.clear()
    clf.set_params(block_size=4).partial_fit(LONG, LONG_LABELS)
    assert max(calls) == 4


# ---- calls into the core ------------------------------------------------------------------------


class Calls(list):
    """Rows of each call into the core, and what it was called with."""

    def __init__(self, monkeypatch):
        super().__init__()
        fit_rows = _backend.active.EpochKernel.fit_rows

        def noted(runner, state, order, *rest):
            self.append(len(order))
            return fit_rows(runner, state, order, *rest)

        monkeypatch.setattr(_backend.active.EpochKernel, "fit_rows", noted)


def wide_problem(n_rows=4_000, n_features=500, n_classes=20):
    """Rows of 100 values, and labels that they have something to do with."""
    rng = np.random.default_rng(0)
    indices = np.sort(np.argsort(rng.random((n_rows, n_features)), axis=1)[:, :100], axis=1)
    values = rng.normal(size=(n_rows, 100)).astype(np.float32)
    indptr = np.arange(n_rows + 1) * 100
    rows = sparse.csr_matrix((values.ravel(), indices.ravel().astype(np.int32), indptr))
    labels = (rows @ rng.normal(size=(n_features, n_classes))).argmax(axis=1)
    return rows, labels


@pytest.mark.parametrize("batch_size", [1, 32])
def test_calls_are_short_and_change_no_bits(batch_size, monkeypatch):
    wide, labels = wide_problem()
    calls = Calls(monkeypatch)
    keywords = {"batch_size": batch_size, "alpha": 1e-3, "random_state": 0, "max_iter": 2}
    keywords["lr"] = 0.5  # no calls that search for one
    usual = LinearClassifier(**keywords).fit(wide, labels)
    assert 1_000 < max(calls) <= epochs.CALL_VALUES / (20 * 100)
    longest = []
    for call_values, least in ((1 << 60, 1), (400_000, 1), (1, 10_000), (1, 1)):
        calls.clear()
        monkeypatch.setattr(epochs, "CALL_VALUES", call_values)
        monkeypatch.setattr(epochs, "LEAST_VALUES", least)
        clf = LinearClassifier(**keywords).fit(wide, labels)
        assert sum(calls) == 2 * 4_000
        assert equal_bits(clf.coef_, usual.coef_)
        assert equal_bits(clf.intercept_, usual.intercept_)
        longest.append(max(calls))
    whole, some, least, single = longest
    assert whole > 2_000
    assert some <= 200
    assert least <= 100
    assert single <= 64


@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_stops_a_wide_fit_of_many_classes_between_short_calls(monkeypatch):
    """The signal comes from outside, at any moment; outputs stay in step."""
    wide, labels = wide_problem()
    monkeypatch.setattr(epochs, "CALL_VALUES", 200_000)
    monkeypatch.setattr(epochs, "LEAST_VALUES", 1)
    seen = []
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))

    def start(progress):
        seen.append(progress)
        if len(seen) == 1:
            timer.start()

    clf = LinearClassifier(solver="stochastic", max_iter=100_000, random_state=0)
    with pytest.raises(KeyboardInterrupt, match="the fit was stopped in epoch"):
        clf.fit(wide, labels, callback=start)
    assert clf.n_iter_ < 100_000
    assert max(np.diff([p.rows for p in seen if p.epoch == 0])) <= 100
    assert len({state.step for state in clf._trained.states}) == 1
    assert clf.partial_fit(wide, labels).score(wide, labels) > 0.3


def wide_stream(n_rows=100, n_features=50_000):
    """A few sparse rows of a model far larger than they are."""
    rng = np.random.default_rng(5)
    X = sparse.random(n_rows, n_features, 0.0002, "csr", np.float32, random_state=rng)
    X.data[:] = rng.standard_normal(X.nnz)
    return X, np.arange(n_rows) % 2


def test_a_large_model_learns_in_place_and_is_lost_if_it_diverges():
    X, y = wide_stream()
    assert X.shape[1] > 4 * X.nnz
    reg = LinearRegressor(lr=0.5).partial_fit(X, y)
    held, before = reg._trained.states[0].array, reg.coef_.copy()
    assert reg.partial_fit(X, y)._trained.states[0].array is held
    assert not equal_bits(reg.coef_, before)
    reg.set_params(optimizer=AdaGrad(lr=1e38), lr="auto")
    with pytest.raises(FloatingPointError, match=r"diverged .* the model is lost, since it is so"):
        reg.partial_fit(X * np.float32(1e20), y)
    assert not hasattr(reg, "coef_")
    with pytest.raises(NotFittedError):
        reg.predict(X)
    reg.set_params(optimizer="adagrad", lr=0.5).partial_fit(X, y)
    assert equal_bits(reg.coef_, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("batch_size", [1, 10])
def test_ctrl_c_in_partial_fit_says_how_far_it_came(monkeypatch, batch_size):
    X, y = wide_stream(300)
    monkeypatch.setattr(epochs, "CHUNK_ROWS", 50)
    monkeypatch.setattr(epochs, "LEAST_VALUES", 1)
    monkeypatch.setattr(epochs, "CALL_VALUES", 50)
    fit_rows = _backend.active.EpochKernel.fit_rows

    def interrupt(self, state, *arguments):
        if state.base + state.step >= 100 // batch_size:
            os.kill(os.getpid(), signal.SIGINT)
        return fit_rows(self, state, *arguments)

    keywords = {"block_size": 10, "batch_size": batch_size, "lr": 0.5}
    clf = LinearClassifier(**keywords)
    monkeypatch.setattr(_backend.active.EpochKernel, "fit_rows", interrupt)
    with pytest.raises(KeyboardInterrupt, match="partial_fit was stopped after the first") as e:
        clf.partial_fit(X, y, classes=[0, 1])
    n_rows = int(re.search(r"first (\d+) rows", str(e.value))[1])
    assert 100 < n_rows < 300
    monkeypatch.setattr(_backend.active.EpochKernel, "fit_rows", fit_rows)
    part = LinearClassifier(**keywords).partial_fit(X[:n_rows], y[:n_rows], classes=[0, 1])
    assert equal_bits(part.coef_, clf.coef_)
    whole = LinearClassifier(**keywords).partial_fit(X, y, classes=[0, 1])
    assert equal_bits(clf.partial_fit(X[n_rows:], y[n_rows:]).coef_, whole.coef_)


EXTREME = [
    (np.float32, 1e30, None),
    (np.float64, 1e308, None),
    (np.float64, 1.0, 1e306),
    (np.float32, 1e30, 1e306),
]


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("dtype, value, weight", EXTREME)
@pytest.mark.parametrize("rule", [r for r in lrcore.rules.LINEAR_RULES if r != "AdamW"])
def test_extreme_rows_end_in_finite_weights_or_an_error(rule, dtype, value, weight, average):
    rng = np.random.default_rng(0)
    penalised = lrcore.rules.rule_class(rule)(0.1).linear_formula.metric
    for rows in (np.asarray, sparse.csr_matrix):
        for loss in ("squared_error", "huber"):
            X = rng.normal(size=(50, 4)).astype(dtype)
            X[-1, 0] = value  # the last row, after which no loss is looked at
            weights = None if weight is None else np.full(50, weight)
            model = LinearRegressor(
                loss, optimizer=rule, average=average, penalty="l2" if penalised else None
            )
            try:
                model.partial_fit(rows(X), np.abs(X[:, 1]), weights)
            except FloatingPointError:
                assert not hasattr(model, "_trained")
                continue
            assert np.isfinite(model.coef_).all()
            assert np.isfinite(model.intercept_).all()


def test_a_weight_that_one_row_of_a_large_model_spoils_is_noticed():
    n = 10_000
    X = sparse.csr_matrix(([1.0, 1e300, 1.0], [0, n - 1, 1], [0, 1, 2, 3]), (3, n))
    model = LinearRegressor(optimizer="sgd", lr=1e10, block_size=1).partial_fit(X[:1], [1.0])
    with pytest.raises(FloatingPointError, match="weights are not finite"):
        model.partial_fit(X, [1.0, 1.0, 1.0])


def test_weights_whose_sum_is_infinite_are_refused():
    weights = [1.0, 1e308, 1e308]
    message = r"sample_weight must have a sum that float64 holds, got 1e\+308 in row 1"
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(LinearRegressor(), method)(np.eye(3), [1.0, 2.0, 3.0], weights)


# ---- the first rows, from which the rate is found ------------------------------------------------


def prices(n_rows=2600):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n_rows, 8))
    return rows, 2e5 + 1e5 * (rows @ rng.normal(size=8) + 0.5 * rng.normal(size=n_rows))


def in_calls(model, rows, y, ends, **first):
    for start, stop in zip((0, *ends[:-1]), ends):
        model.partial_fit(rows[start:stop], y[start:stop], **(first if start == 0 else {}))
    return model


@pytest.mark.parametrize("optimizer", ["auto", "sgd", "adam"])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 100.0])
def test_a_stream_finds_a_rate_for_targets_in_any_unit(optimizer, unit):
    rows, y = prices()
    reg = in_calls(LinearRegressor(optimizer=optimizer), rows, unit * y, range(100, 2601, 100))
    assert reg.score(rows, unit * y) > 0.88
    assert isinstance(reg.lr_, float)


@pytest.mark.parametrize("optimizer", ["auto", "sgd"])
@pytest.mark.parametrize("n_rows", [1, 5, 130, 1000, 2047, 2048, 2600])
def test_the_rate_follows_from_the_rows_alone_wherever_calls_end(optimizer, n_rows, tmp_path):
    rows, y = (part[:n_rows] for part in prices())
    whole = LinearRegressor(optimizer=optimizer).partial_fit(rows, y)
    for ends in (range(1, min(n_rows, 150)), (3, 64, 127, 128), (700, 1024, 2047), (2048, 2100)):
        ends = [end for end in ends if end < n_rows] + [n_rows]
        parts = in_calls(LinearRegressor(optimizer=optimizer), rows, y, ends)
        assert parts.lr_ == whole.lr_
        assert equal_bits(parts.coef_, whole.coef_)
        assert equal_bits(parts.intercept_, whole.intercept_)
    lrcore.save(parts, tmp_path / "m")
    again = [lrcore.load(tmp_path / "m"), pickle.loads(pickle.dumps(parts)), whole]
    more, y_more = (part[:500] for part in prices(3000))
    for each in again:
        each.partial_fit(more, y_more)
    assert len({each.lr_ for each in again}) == 1
    assert all(equal_bits(each.coef_, whole.coef_) for each in again)


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("multi_class", ["softmax", "ovr"])
def test_streams_of_classes_that_come_one_after_another(form, multi_class):
    """Of the first rows nobody knows that there are other classes."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6000, 6))
    y = np.argmax(rows[:, :3] + 0.3 * rng.normal(size=(6000, 3)), axis=1)
    late = np.concatenate([np.flatnonzero(y == 0)[:700], np.flatnonzero(y >= 0)])
    rows, y = rows[late], y[late]
    rows = sparse.csr_matrix(rows) if form == "sparse" else rows
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    clf = LinearClassifier(multi_class=multi_class)
    clf.partial_fit(rows[:700], y[:700], [0, 1, 2], weight[:700])
    assert np.abs(clf.intercept_).max() < 12  # odds that so few rows can tell
    clf.partial_fit(rows[700:], y[700:], sample_weight=weight[700:])
    assert clf.score(rows, y) > 0.8
    whole = LinearClassifier(multi_class=multi_class).partial_fit(rows, y, [0, 1, 2], weight)
    assert equal_bits(whole.coef_, clf.coef_)


def test_columns_in_different_units_are_scaled_in_a_stream():
    rows, y = prices()
    raw = rows * np.geomspace(1e-4, 1e4, 8)
    reg = in_calls(LinearRegressor(), raw, y, range(100, 2601, 100))
    assert reg.score(raw, y) > 0.88


def test_a_rate_that_was_given_begins_at_once():
    rows, y = prices(300)
    reg = LinearRegressor(lr=0.5).partial_fit(rows[:100], y[:100]).partial_fit(rows[100:], y[100:])
    assert reg.lr_ == 0.5
    assert reg._trained.beginning is None
    found = LinearRegressor().partial_fit(rows[:100], y[:100])
    assert found._trained.beginning.n_rows == 100
    found.set_params(lr=0.5).partial_fit(rows[100:], y[100:])
    assert found.lr_ == 0.5
    assert found._trained.beginning is None


def test_a_stream_that_begins_again_has_the_parameters_of_now():
    rows, y = prices(900)
    changed = LinearRegressor().partial_fit(rows[:300], y[:300]).set_params(loss="absolute_error")
    changed.partial_fit(rows[300:], y[300:])
    fresh = LinearRegressor("absolute_error").partial_fit(rows, y)
    assert equal_bits(changed.coef_, fresh.coef_)


@pytest.mark.parametrize("optimizer", ["dog", lrcore.AdaGrad(lr=0.3)])
@pytest.mark.parametrize("sizes", [(256, 64), (256, 1), (64, 256)])
def test_blocks_may_be_shorter_from_one_call_to_the_next(sizes, optimizer):
    # Rows that are gone over again are more than a block then, and end in the midst of one.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    y = X @ [1.0, 2.0, 3.0, 4.0]
    reg = lrcore.LinearRegressor(optimizer=optimizer, block_size=sizes[0])
    reg.partial_fit(X[:200], y[:200]).set_params(block_size=sizes[1])
    reg.partial_fit(X[200:210], y[200:210]).partial_fit(X[210:], y[210:])
    assert reg.t_ == 400
    assert np.isfinite(reg.coef_).all()
    assert reg.coef_.any()
