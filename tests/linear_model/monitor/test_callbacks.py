"""A fit as its callback sees it: events, statistics, a way to stop, a way to scale rates."""

import pickle

import numpy as np
import pytest
from backends import use_backend
from strategies import BUILDS, THREADS, equal_bits, sparse_problem

from lrcore import SGD, AdaGrad, LinearClassifier, LinearRegressor, schedules
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.solvers import dual

X, DENSE, LABELS, TARGET = sparse_problem()
THREE = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.6]))


@pytest.fixture
def chunks(monkeypatch):
    """Chunks of 128 rows: 300 rows are three of them."""
    for name in ("CHUNK_ROWS", "LEAST_VALUES", "CALL_VALUES"):
        monkeypatch.setattr(epochs, name, 128 if name == "CHUNK_ROWS" else 1)
    monkeypatch.setattr(dual, "CHUNK_ROWS", 128)


def watched(model, *data, **keywords):
    """All events of a fit."""
    events = []
    model.fit(*data, callback=events.append, **keywords)
    return events


# ---- events -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("chunks")
def test_events_come_after_every_chunk_and_say_where_the_fit_is():
    rule = AdaGrad(lr=schedules.Cosine(0.5, steps=900))
    clf = LinearClassifier(optimizer=rule, max_iter=3, random_state=0, block_size=64)
    events = watched(clf, X, LABELS)
    assert len(events) > 9
    assert [e.rows for e in events if e.end_of_epoch] == [300] * 3
    assert [e.step for e in events] == [300 * e.epoch + e.rows for e in events]
    assert [e.rate for e in events] == [rule.lr(e.step - 1) for e in events]
    assert all((e.max_iter, e.n_rows) == (3, 300) for e in events)
    seconds = [e.seconds for e in events]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert [e.loss for e in events if e.end_of_epoch] == clf.loss_curve_.tolist()
    assert all(e.objective is None and e.held_out_loss is None for e in events)


def test_what_was_measured_comes_with_the_end_of_an_epoch():
    clf = LinearClassifier(solver="stochastic", max_iter=3, tol=0.0, random_state=0)
    events = watched(clf, X, LABELS)
    ends = [e for e in events if e.end_of_epoch]
    assert [e.objective for e in ends] == clf.stopping_curve_.tolist()
    assert all(e.objective is None for e in events if not e.end_of_epoch)
    assert all(e.held_out_loss is None for e in events)
    events = watched(clf, X, LABELS, eval_set=(X[:50], LABELS[:50]))
    ends = [e for e in events if e.end_of_epoch]
    assert [e.held_out_loss for e in ends] == clf.stopping_curve_.tolist()
    assert all(e.objective is None for e in events)


@pytest.mark.parametrize("solver", ["stochastic", "dual"])
def test_stop_ends_a_fit_after_the_rows_at_hand(solver, chunks):
    at = []

    def stop(event):
        at.append((event.epoch, event.rows))
        if event.epoch == 1 and event.rows >= 100:
            event.stop()
        return not at  # what it returns means nothing

    keywords = {"solver": solver, "max_iter": 9, "alpha": 1e-3, "random_state": 0}
    clf = LinearClassifier(**keywords).fit(X, LABELS, callback=stop)
    assert clf.n_iter_ == len(clf.loss_curve_) == len(clf.history_["step"]) == 2
    assert at[-1][0] == 1
    assert 100 <= at[-1][1] < 300
    assert clf.t_ == clf.history_["step"][-1] == 300 + at[-1][1]
    assert clf.score(X, LABELS) > 0.8
    ends = LinearClassifier(**{**keywords, "tol": None, "max_iter": 7})
    ends.fit(X, LABELS, callback=lambda e: e.end_of_epoch and e.epoch == 2 and e.stop())
    assert ends.n_iter_ == 3
    assert ends.t_ == 900


@pytest.mark.usefixtures("chunks")
def test_a_callback_scales_the_rate():
    """From the next rows on, as a schedule that does the same."""

    constant = SGD(lr=schedules.Constant(0.1))
    keywords = {"max_iter": 3, "random_state": 0, "batch_size": 10, "loss": "huber"}
    reg = LinearRegressor(optimizer=constant, **keywords)
    steps = schedules.MultiStep(0.1, milestones=(30, 60), gamma=0.5)

    def at_rows(event):
        if event.end_of_epoch:
            event.scale_rate(0.5)

    reg.fit(X, TARGET, callback=at_rows)
    other = LinearRegressor(optimizer=SGD(lr=steps), **keywords).fit(X, TARGET)
    assert equal_bits(reg.coef_, other.coef_)
    assert reg.history_["rate"].tolist() == [0.1, 0.05, 0.025]
    online = LinearRegressor(optimizer=constant, max_iter=3, random_state=0)
    online.fit(X, TARGET, callback=at_rows)
    assert online.history_["rate"].tolist() == [0.1, 0.05, 0.025]


@pytest.mark.parametrize(
    "factor, error, message",
    [
        (0, ValueError, "factor must be > 0, got 0; event.stop"),
        (-1.0, ValueError, "factor must be finite, >= 0, got -1.0"),
        (np.inf, ValueError, "factor must be finite"),
        (np.nan, ValueError, "factor must be finite"),
        ("2", TypeError, "factor must be a number, got '2'"),
        (None, TypeError, "factor must be a number, got None"),
        (True, TypeError, "factor must be a number, got True"),
    ],
)
def test_bad_factors_are_refused(factor, error, message):
    clf = LinearClassifier(random_state=0)
    with pytest.raises(error, match=message):
        clf.fit(X, LABELS, callback=lambda event: event.scale_rate(factor))
    assert not hasattr(clf, "coef_")


@pytest.mark.parametrize("solver", ["stochastic", "dual"])
def test_bad_callbacks_are_refused(solver):
    clf = LinearClassifier(solver=solver, alpha=1e-3)
    for callback in (3, "print", [print]):
        with pytest.raises(TypeError, match="callback must be a function of an event, got"):
            clf.fit(X, LABELS, callback=callback)
    if solver == "dual":
        with pytest.raises(ValueError, match=r"no rate to scale: .* solver='dual'"):
            clf.fit(X, LABELS, callback=lambda event: event.scale_rate(0.5))


def test_a_callback_that_raises_leaves_the_estimator():
    clf = LinearClassifier(random_state=0).fit(X, LABELS)
    before = clf.coef_

    def fail(event):
        raise FloatingPointError("mine")

    with pytest.raises(FloatingPointError, match="mine"):
        clf.fit(X, 1 - LABELS, callback=fail)
    assert equal_bits(clf.coef_, before)


# ---- statistics ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("chunks")
def test_reading_changes_nothing_and_bits_do_not_depend_on_threads(monkeypatch):
    def read(event):
        seen.append((event.gradient_norm, event.update_ratio, event.saturated, event.loss))

    expected = None
    plain = LinearClassifier(max_iter=3, random_state=0).fit(X, LABELS)
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            seen = []
            clf = LinearClassifier(max_iter=3, random_state=0, n_threads=n_threads)
            clf.fit(X, LABELS, callback=read)
            assert equal_bits(clf.coef_, plain.coef_)
            expected = np.array(seen) if expected is None else expected
            assert equal_bits(np.array(seen), expected)


def test_statistics_are_read_while_the_callback_runs():
    clf = LinearClassifier(solver="stochastic", tol=None, random_state=0)
    events = watched(clf, X, LABELS)
    for name in ("gradient_norm", "update_ratio", "saturated"):
        with pytest.raises(RuntimeError, match="must be read while the callback runs"):
            getattr(events[0], name)
    kept = []
    clf.fit(X, LABELS, callback=lambda event: kept.append((event, event.gradient_norm)))
    assert all(event.gradient_norm == norm for event, norm in kept)
    assert len(pickle.dumps(kept[-1])) < 1000  # and the fit is let go of


def test_the_dual_solver_has_no_gradients():
    events = watched(LinearClassifier(solver="dual", alpha=1e-3, max_iter=2, tol=9.0), X, LABELS)
    for name in ("rate", "gradient_norm", "update_ratio", "saturated"):
        assert np.isnan(getattr(events[-1], name))
