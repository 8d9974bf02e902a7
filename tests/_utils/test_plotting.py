import sys

import numpy as np
import pytest

import lrcore
from lrcore._utils.plotting import MAX_POINTS, RangeTestDisplay, RateSearchDisplay, ScheduleDisplay
from lrcore.schedules import Constant, Cosine, Step


@pytest.fixture
def plt():
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_a_schedule_is_drawn(plt):
    schedule = Cosine(0.1, steps=100).warmup(10)
    display = schedule.plot()
    assert isinstance(display, ScheduleDisplay)
    x, y = display.line_.get_data()
    assert np.array_equal(x, np.arange(111))
    assert np.array_equal(y, schedule(np.arange(111)))
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xlabel() == "step"
    assert display.ax_.get_ylabel() == "learning rate"
    assert display.ax_.get_ylim()[0] == 0


def test_several_are_drawn_on_the_same_axes(plt):
    _, ax = plt.subplots()
    first = Constant(0.1).plot(50, ax=ax)
    second = ScheduleDisplay.from_schedule(Step(0.1, 9), 50, name="steps", ax=ax)
    assert first.ax_ is second.ax_ is ax
    assert len(ax.lines) == 2
    assert ax.get_legend().get_texts()[0].get_text() == "steps"


def test_long_runs_are_drawn_in_few_points(plt):
    x, _ = Cosine(0.1, steps=10**9).plot().line_.get_data()
    assert len(x) == MAX_POINTS
    assert x[-1] == 10**9


def test_what_cannot_be_drawn_is_named(plt, monkeypatch):
    with pytest.raises(ValueError, match="steps must be an integer >= 1, got 0"):
        Constant(0.1).plot(0)
    with pytest.raises(ValueError, match="'10ep' is not a number of steps yet"):
        Cosine(0.1, "10ep").plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'lrcore\[plot\]'"):
        Constant(0.1).plot()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_range_test_whose_losses_only_rise_is_not_upside_down(plt):
    bottom, top = lrcore.lr_range_test(lambda lr: 1 + lr).plot().ax_.get_ylim()
    assert bottom < top


@pytest.mark.parametrize("method", ["grid", "halving"])
def test_a_search_is_drawn(plt, method):
    X = np.random.default_rng(0).standard_normal((400, 3))
    model = lrcore.LinearRegressor(optimizer="sgd", scale=None, max_iter=2, random_state=0)
    search = lrcore.lr_search(
        model, X, X[:, 0], method, cv=3, n_points=4, lr_min=1e-3, lr_max=1e3, refit=False
    )
    display = search.plot()
    assert isinstance(display, RateSearchDisplay)
    assert display.lrs.tolist() == sorted(set(search.cv_results_["param_lr"].tolist()))
    assert display.scores.shape == (3, 4)
    last = {lr: k for k, lr in enumerate(search.cv_results_["param_lr"])}
    at = [last[lr] for lr in display.lrs]
    mean = search.cv_results_["mean_test_score"][at]
    assert np.allclose(display.scores.mean(axis=0), mean, equal_nan=True)
    assert display.ax_.get_xscale() == "log"
    assert legend(display.ax_) == [
        "each fold", "mean of the folds", "diverged", f"best_lr_ = {search.best_lr_:.3g}",
    ]  # fmt: skip
    low, high = display.ax_.get_ylim()
    assert low < search.best_score_ < high
    _, ax = plt.subplots()
    assert search.plot(ax).ax_ is ax


def test_a_range_test_is_drawn(plt):
    test = lrcore.lr_range_test(lambda lr: 1 / (1 + lr) + (lr / 50) ** 2)
    display = test.plot()
    assert isinstance(display, RangeTestDisplay)
    x, y = display.line_.get_data()
    assert np.array_equal(x, test.lrs)
    assert np.array_equal(y, test.smoothed)
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "learning rate"
    assert display.ax_.get_ylim()[1] < test.smoothed[-1]  # the rise does not hide the descent
    words = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert words[0] == "initial loss"
    said = {"valley": "valley, the suggestion"}
    assert words[1:] == [f"{said.get(n, n)}: {lr:.2g}" for n, lr in test.suggestions.items()]
    assert display.ax_.lines[-2].get_xdata()[0] == test.suggestion  # a line at the suggestion
    assert not display.ax_.collections  # one sweep has no band


def test_a_range_test_of_several_seeds_has_a_band_and_a_flat_one_no_points(plt):
    X = np.random.default_rng(0).standard_normal((200, 3))
    band = lrcore.lr_range_test(lrcore.LinearClassifier(), X, X[:, 0] > 0, n_steps=20).plot()
    assert len(band.ax_.collections) == 1
    assert "lowest to highest of the seeds" in legend(band.ax_)
    _, ax = plt.subplots()
    flat = lrcore.lr_range_test(lambda lr: 0.5).plot(ax=ax)
    assert flat.ax_ is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["initial loss"]
    with pytest.raises(ValueError, match="there is nothing to draw"):
        lrcore.lr_range_test(lambda lr: np.nan).plot()
