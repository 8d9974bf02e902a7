"""A fit as its callback sees it: events, statistics, a way to stop; and its history."""

import pickle

import backends
import numpy as np
import pytest
from strategies import BUILDS, THREADS, equal_bits, sparse_problem

import lrcore
from lrcore import SGD, AdaGrad, LinearClassifier, LinearRegressor, schedules
from lrcore._utils.plotting import HistoryDisplay
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.monitor.history import COLUMNS
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
    clf = LinearClassifier(max_iter=3, tol=0.0, random_state=0)
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


def gradient_of(model, w, rows, slopes, weight=None):
    """Of the objective over dense rows with these slopes, (n_rows, n_outputs), by definition."""
    factors = 1.0 if model.penalty_factors is None else model.penalty_factors
    l1 = factors * model.alpha * model.l1_ratio
    gradient = np.stack([np.average(s[:, None] * rows, axis=0, weights=weight) for s in slopes.T])
    gradient += factors * model.alpha * (1 - model.l1_ratio) * w
    kink = np.sign(gradient) * np.maximum(0, np.abs(gradient) - l1)
    gradient = np.where(w == 0, kink, gradient + l1 * np.sign(w))
    return np.hstack([gradient, np.average(slopes, axis=0, weights=weight)[:, None]])


def weights_of(event):
    """(n_outputs, n_features + 1), as the event's statistics see them: with penalties unpaid."""
    return np.vstack([state.weights for state in event._stats._stats.states])


def sigmoid_slopes(z, codes):
    return 1 / (1 + np.exp(-z)) - codes


def softmax_slopes(z, codes):
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p - np.eye(3)[codes]


CASES = {
    "binary": (LinearClassifier(), LABELS, sigmoid_slopes, LABELS[:, None]),
    "softmax": (LinearClassifier(), THREE, softmax_slopes, THREE),
    "ovr": (LinearClassifier(multi_class="ovr"), THREE, sigmoid_slopes, np.eye(3)[THREE]),
    "squares": (LinearRegressor(), TARGET, np.subtract, TARGET[:, None]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("max_iter", [3, 25])  # as the rows are, and staged
@pytest.mark.parametrize("rows", [X, DENSE], ids=["csr", "dense"])
def test_statistics_are_what_they_say(case, max_iter, rows):
    model, y, slopes_of, targets = CASES[case]
    model.set_params(
        penalty="elasticnet", alpha=0.02, l1_ratio=0.4, max_iter=max_iter, random_state=0
    )
    model.set_params(optimizer=SGD(lr=schedules.Linear(0.05, steps=300 * max_iter)))
    found = {}

    def read(event):
        if event.end_of_epoch and event.epoch >= max_iter - 2:
            found["ratio"], found["norm"] = event.update_ratio, event.gradient_norm
            found["saturated"], found["w"] = event.saturated, weights_of(event)

    model.fit(rows, y, callback=read)
    assert len(model.history_["gradient_norm"]) == max_iter
    assert np.isnan(model.history_["gradient_norm"]).sum() == max_iter - 2
    assert model.history_["gradient_norm"][-1] == found["norm"]
    w = found["w"]
    slopes = slopes_of(DENSE @ w[:, :-1].T + w[:, -1], targets)
    expected = np.linalg.norm(gradient_of(model, w[:, :-1], DENSE, slopes))
    assert found["norm"] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(w[:, :-1], np.atleast_2d(model.coef_), atol=5e-3)
    if case == "squares":
        assert np.isnan(found["saturated"])
    else:
        flat = np.abs(slopes) < 0.01
        flat = flat.all(axis=1) if case == "softmax" else flat
        assert found["saturated"] == pytest.approx(flat.mean(), rel=1e-12)
    assert 0 < found["ratio"] < 0.1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_weights_of_zero_have_the_shortest_subgradient(share):
    """At a rate of 0 all of them are; the penalty holds some back."""
    reg = LinearRegressor(optimizer=SGD(lr=0.0), penalty="elasticnet", alpha=0.2, l1_ratio=share)
    norms = []
    reg.set_params(max_iter=1).fit(X, TARGET, callback=lambda e: norms.append(e.gradient_norm))
    gradient = DENSE.T @ -TARGET / 300
    held = np.sign(gradient) * np.maximum(0, np.abs(gradient) - 0.2 * share)
    assert norms[-1] == pytest.approx(np.linalg.norm([*held, TARGET.mean()]), rel=1e-9)


def test_the_update_ratio_is_of_what_changed_since_it_was_read():
    found = []
    keywords = {"penalty": None, "random_state": 0, "optimizer": SGD(lr=schedules.Constant(0.1))}
    LinearRegressor(max_iter=2, **keywords).fit(
        X, TARGET, callback=lambda e: found.append(e.update_ratio) if e.end_of_epoch else None
    )
    one, two = (LinearRegressor(max_iter=k, **keywords).fit(X, TARGET) for k in (1, 2))
    old, new = (np.append(m.coef_, m.intercept_) for m in (one, two))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(np.linalg.norm(new - old) / np.linalg.norm(new), rel=1e-12)


def test_saturated_margins_are_counted():
    z = np.array([[9.0], [4.7], [4.5], [0.0], [-9.0]])
    found = []
    clf = LinearClassifier(penalty=None, warm_start=True, optimizer=SGD(lr=1e-9), max_iter=1)
    clf.fit(z, [1, 1, 1, 1, 0])
    clf._trained.states[0].weights[:] = [[1.0, 0.0]]
    clf.fit(z, [1, 1, 1, 0, 1], callback=lambda event: found.append(event.saturated))
    assert found == [0.4]


def test_weights_of_rows_and_factors_of_features_count():
    weight = np.random.default_rng(0).integers(1, 4, 300)
    factors = np.linspace(0, 3, 60)
    found = []

    def read(event):
        found.append((event.gradient_norm, weights_of(event), event.rows))

    reg = LinearRegressor(alpha=0.3, penalty_factors=factors, l1_ratio=0.0, shuffle=False)
    reg.set_params(optimizer=SGD(lr=schedules.Constant(1e-4))).fit(X, TARGET, weight, callback=read)
    start = 0
    for norm, w, rows in found:
        # Of the chunk, and at the end of an epoch of all rows.
        part = slice(0, 300) if rows == 300 else slice(start, rows)
        start = rows % 300
        slopes = DENSE[part] @ w[:, :-1].T + w[:, -1] - TARGET[part, None]
        gradient = gradient_of(reg, w[:, :-1], DENSE[part], slopes, weight[part])
        assert norm == pytest.approx(np.linalg.norm(gradient), rel=1e-9)
    assert len(found) > 5


@pytest.mark.usefixtures("chunks")
def test_reading_changes_nothing_and_bits_do_not_depend_on_threads(monkeypatch):
    def read(event):
        seen.append((event.gradient_norm, event.update_ratio, event.saturated, event.loss))

    expected = None
    plain = LinearClassifier(max_iter=3, random_state=0).fit(X, LABELS)
    for build in BUILDS:
        backends.use(monkeypatch, build)
        for n_threads in THREADS:
            seen = []
            clf = LinearClassifier(max_iter=3, random_state=0, n_threads=n_threads)
            clf.fit(X, LABELS, callback=read)
            assert equal_bits(clf.coef_, plain.coef_)
            expected = np.array(seen) if expected is None else expected
            assert equal_bits(np.array(seen), expected)


def test_statistics_are_read_while_the_callback_runs():
    clf = LinearClassifier(random_state=0)
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


# ---- history ------------------------------------------------------------------------------------


def test_history_has_a_record_for_each_epoch(tmp_path):
    clf = LinearClassifier(max_iter=4, early_stopping=True, random_state=0)
    clf.fit(X, LABELS, callback=lambda event: event.gradient_norm)
    history = clf.history_
    assert list(history) == [name for name in COLUMNS if name != "objective"]
    assert all(len(column) == 4 for column in history.values())
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["step"].tolist() == [270, 540, 810, 1080]
    assert equal_bits(history["loss"], clf.loss_curve_)
    assert equal_bits(history["held_out_loss"], clf.stopping_curve_)
    assert list(LinearClassifier(tol=0.0).fit(X, LABELS).history_)[3:] == [
        "loss", "objective", "seconds",
    ]  # fmt: skip
    again = pickle.loads(pickle.dumps(history))
    assert type(again) is type(history)
    assert all(equal_bits(again[name], history[name]) for name in history)
    assert LinearRegressor().partial_fit(X, TARGET).history_ == {}
    lrcore.save(clf, tmp_path / "model")
    loaded = lrcore.load(tmp_path / "model").history_
    assert list(loaded) == list(history)
    assert all(equal_bits(loaded[name], history[name]) for name in history)


def test_history_is_a_table_to_pandas():
    pandas = pytest.importorskip("pandas")
    clf = LinearClassifier(max_iter=3, random_state=0).fit(X, LABELS)
    table = pandas.DataFrame(clf.history_)
    assert table.shape == (3, 5)
    assert table["loss"].tolist() == clf.loss_curve_.tolist()


@pytest.fixture
def plt():
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_history_is_drawn(plt):
    clf = LinearClassifier(max_iter=4, early_stopping=True, random_state=0)
    clf.fit(X, LABELS, callback=lambda event: event.gradient_norm)
    display = clf.history_.plot()
    assert isinstance(display, HistoryDisplay)
    assert list(display.lines_) == ["loss", "held_out_loss", "rate", "gradient_norm"]
    for name, line in display.lines_.items():
        x, y = line.get_data()
        assert np.array_equal(x, clf.history_["epoch"])
        assert np.array_equal(y, clf.history_[name])
    assert display.figure_ is display.ax_.figure is display.rate_ax_.figure
    assert [ax.get_ylabel() for ax in display.figure_.axes] == [
        "loss", "learning rate", "gradient norm",
    ]  # fmt: skip
    assert display.figure_.axes[-1].get_xlabel() == "epoch"
    assert display.rate_ax_.get_yscale() == "linear"


def test_history_is_drawn_on_axes_given_and_without_rates(plt):
    _, ax = plt.subplots()
    steps = AdaGrad(lr=schedules.Step(0.5, every=300))
    history = LinearClassifier(optimizer=steps, max_iter=9, tol=0.0).fit(X, LABELS).history_
    display = history.plot(ax=ax)
    assert display.ax_ is ax
    assert display.rate_ax_ is None
    assert list(display.lines_) == ["loss", "objective"]
    assert history.plot().rate_ax_.get_yscale() == "log"
    dual = LinearClassifier(solver="dual", alpha=1e-3, tol=1.0).fit(X, LABELS).history_.plot()
    assert list(dual.lines_) == ["loss"]
    with pytest.raises(ValueError, match="partial_fit keeps none, call fit"):
        LinearRegressor().partial_fit(X, TARGET).history_.plot()
