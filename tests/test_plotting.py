import sys

import numpy as np
import pytest

from lrcore.plotting import POINTS, ScheduleDisplay
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
    assert len(x) == POINTS
    assert x[-1] == 10**9


def test_what_cannot_be_drawn_is_named(plt, monkeypatch):
    with pytest.raises(ValueError, match="steps must be an integer >= 1, got 0"):
        Constant(0.1).plot(0)
    with pytest.raises(ValueError, match="'10ep' is not a number of steps yet"):
        Cosine(0.1, "10ep").plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'lrcore\[plot\]'"):
        Constant(0.1).plot()
