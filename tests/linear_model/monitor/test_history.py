"""The record of each epoch: columns, tables, files, pictures."""

import pickle
import sys

import numpy as np
import pytest
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import AdaGrad, LinearClassifier, LinearRegressor, schedules
from lrcore._utils.plotting import HistoryDisplay
from lrcore.linear_model.monitor.history import COLUMNS, History

X, DENSE, LABELS, TARGET = sparse_problem()


def test_history_has_a_record_for_each_epoch(tmp_path):
    clf = LinearClassifier(solver="stochastic", max_iter=4, early_stopping=True, random_state=0)
    clf.fit(X, LABELS, callback=lambda event: event.gradient_norm)
    history = clf.history_
    absent = ("objective", "gap", "bytes")
    assert list(history) == [name for name in COLUMNS if name not in absent]
    assert all(len(column) == 4 for column in history.values())
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["step"].tolist() == [270, 540, 810, 1080]
    assert equal_bits(history["loss"], clf.loss_curve_)
    assert equal_bits(history["held_out_loss"], clf.stopping_curve_)
    assert list(LinearClassifier(solver="stochastic", tol=0.0).fit(X, LABELS).history_)[3:] == [
        "loss", "objective", "seconds",
    ]  # fmt: skip
    again = pickle.loads(pickle.dumps(history))
    assert type(again) is type(history)
    assert all(equal_bits(again[name], history[name]) for name in history)
    assert LinearRegressor(solver="stochastic").partial_fit(X, TARGET).history_ == {}
    lrcore.save(clf, tmp_path / "model")
    loaded = lrcore.load(tmp_path / "model").history_
    assert list(loaded) == list(history)
    assert all(equal_bits(loaded[name], history[name]) for name in history)


def test_history_is_a_table_to_pandas():
    pandas = pytest.importorskip("pandas")
    clf = LinearClassifier(solver="stochastic", max_iter=3, random_state=0).fit(X, LABELS)
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
    clf = LinearClassifier(solver="stochastic", max_iter=4, early_stopping=True, random_state=0)
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
    best = int(np.argmin(clf.history_["held_out_loss"])) + 1
    assert display.best_epoch_ == best
    words = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert words[0] == "training loss, measured before each update"
    assert words[-1] == f"best epoch: {best}"


def test_history_is_drawn_on_axes_given_and_without_rates(plt):
    _, ax = plt.subplots()
    steps = AdaGrad(lr=schedules.Step(0.5, every=300))
    history = LinearClassifier(optimizer=steps, max_iter=9, tol=0.0).fit(X, LABELS).history_
    display = history.plot(ax=ax)
    assert display.ax_ is ax
    assert display.rate_ax_ is None
    assert list(display.lines_) == ["loss", "objective"]
    assert display.best_epoch_ is None
    assert history.plot().rate_ax_.get_yscale() == "log"
    dual = LinearClassifier(solver="dual", alpha=1e-3, tol=1.0).fit(X, LABELS).history_.plot()
    assert list(dual.lines_) == ["loss"]
    with pytest.raises(ValueError, match="partial_fit keeps none, call fit"):
        LinearRegressor().partial_fit(X, TARGET).history_.plot()


def test_history_prints_as_a_table():
    history = History()
    assert repr(history) == "History of no epochs"
    for k in range(25):
        history.add(step=100 * (k + 1), epoch=k + 1, loss=1 / (k + 1))
    assert len(repr(history.close()).splitlines()) == 22
    history = History({"step": np.array([5, 10]), "loss": np.array([0.5, np.nan])})
    history["epoch"] = np.array([1, 2])
    assert repr(history) == "step  loss  epoch\n   5   0.5      1\n  10   nan      2"
    assert str(history) == repr(history)


def test_the_rows_that_a_table_leaves_out_are_counted():
    history = History({"epoch": np.arange(1, 31)})
    lines = [line.strip() for line in repr(history).splitlines()]
    assert lines == [
        "epoch",
        *map(str, range(1, 11)),
        "... 10 more epochs",
        *map(str, range(21, 31)),
    ]


def test_a_history_is_a_frame_too(monkeypatch):
    pandas = pytest.importorskip("pandas")
    history = LinearRegressor(solver="stochastic", max_iter=3, tol=0.0).fit(X, TARGET).history_
    frame = history.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame) == list(history)
    assert all(equal_bits(frame[name].to_numpy(), history[name]) for name in history)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas: pip install pandas"):
        history.to_frame()
