"""The epoch loop of all solvers, with epochs and monitors that only note what happens."""

import os
import signal
import threading

import numpy as np
import pytest

from lrcore._utils.interrupts import interrupts
from lrcore.linear_model.engine.epoch import Chunk, EpochLoss
from lrcore.linear_model.monitor.base import CONTINUE, STOP, Monitor, roll_back
from lrcore.linear_model.solvers.base import EpochLoop

CHUNKS = 3


class Recorder(Monitor):
    """Notes all calls in `seen`, under its name; decides as `after` says, by place and visit.

    Places are numbers of epochs, or (epoch, chunk); each decision is taken once.
    """

    def __init__(self, name, seen, after=None):
        self.name, self.seen, self.after = name, seen, dict(after or {})

    def note(self, *event):
        self.seen.append((self.name, *event))

    def before_epoch(self):
        self.note("before")

    def after_chunk(self, epoch, chunk):
        self.note("chunk", epoch, chunk.n_rows_done)
        return self.after.pop((epoch, chunk.n_rows_done), CONTINUE)

    def after_epoch(self, progress):
        self.note("epoch", progress.n_epochs, progress.cut_short, progress.last)
        return self.after.pop(progress.n_epochs, CONTINUE)

    def after_roll_back(self, to_epoch):
        self.note("back", to_epoch)


def run(max_iter, monitors, within_chunk=lambda epoch, chunk: None):
    """Epochs of three chunks of a row each, whose losses are 1, 2, 3, ... as they are run."""
    n_run = 0
    with EpochLoop(lambda: "model", max_iter, monitors) as loop:
        while loop.goes_on:
            n_run += 1
            after_chunk, n_rows, going_on = loop.begin_epoch(), 0, True
            while n_rows < CHUNKS and going_on:
                within_chunk(n_run, n_rows)
                n_rows += 1
                chunk = Chunk(np.array([n_rows - 1]), n_rows, 0.1, 1.0, n_rows, CHUNKS)
                going_on = after_chunk(chunk)
            loop.end_epoch(EpochLoss(float(n_run * n_rows), float(n_rows), n_rows))
    return loop


def events(seen, what):
    return [event for event in seen if event[1] == what]


def test_it_goes_on_to_the_last_epoch_and_tells_monitors_in_their_order():
    seen = []
    loop = run(2, [Recorder("a", seen), Recorder("b", seen)])
    one = [(name, *event) for event in [("before",)] for name in "ab"]
    expected = []
    for epoch in range(2):
        expected += one
        expected += [(name, "chunk", epoch, k) for k in (1, 2, 3) for name in "ab"]
        expected += [(name, "epoch", epoch + 1, False, epoch == 1) for name in "ab"]
    assert seen == expected
    assert loop.progress.losses == [1.0, 2.0]
    assert loop.progress.model() == "model"
    assert not loop.interrupted


def test_a_stop_after_an_epoch_is_the_last_epoch_for_the_monitors_behind():
    seen = []
    loop = run(9, [Recorder("a", seen), Recorder("b", seen, {2: STOP}), Recorder("c", seen)])
    assert loop.progress.losses == [1.0, 2.0]
    assert events(seen, "epoch")[-3:] == [
        ("a", "epoch", 2, False, False),
        ("b", "epoch", 2, False, False),
        ("c", "epoch", 2, False, True),
    ]
    assert not loop.interrupted


def test_a_stop_after_a_chunk_cuts_the_epoch_short():
    """All monitors hear of the chunk first, and of the epoch."""
    seen = []
    loop = run(9, [Recorder("a", seen, {(1, 2): STOP}), Recorder("b", seen)])
    assert events(seen, "chunk")[-2:] == [("a", "chunk", 1, 2), ("b", "chunk", 1, 2)]
    assert seen[-2:] == [("a", "epoch", 2, True, True), ("b", "epoch", 2, True, True)]
    assert loop.progress.losses == [1.0, 2.0]
    assert loop.progress.epoch_loss == EpochLoss(4.0, 2.0, 2)
    assert not loop.interrupted


def test_a_roll_back_takes_epochs_back_and_runs_them_again():
    """Monitors behind the one that asks for it do not see the epoch; all hear of it."""
    seen = []
    monitors = [Recorder("a", seen), Recorder("b", seen, {3: roll_back(1)}), Recorder("c", seen)]
    loop = run(3, monitors)
    assert events(seen, "back") == [("a", "back", 1), ("b", "back", 1), ("c", "back", 1)]
    assert [n for name, _, n, *_ in events(seen, "epoch") if name == "a"] == [1, 2, 3, 2, 3]
    assert [n for name, _, n, *_ in events(seen, "epoch") if name == "c"] == [1, 2, 2, 3]
    assert loop.progress.losses == [1.0, 4.0, 5.0]
    assert events(seen, "epoch")[-1] == ("c", "epoch", 3, False, True)


def test_a_roll_back_to_the_beginning_of_the_last_epoch():
    seen = []
    loop = run(1, [Recorder("a", seen, {1: roll_back(0)})])
    assert loop.progress.losses == [2.0]
    assert len(events(seen, "before")) == 2


def test_what_was_measured_is_taken_back_too():
    class Measure(Recorder):
        def after_epoch(self, progress):
            progress.record("objective", 10.0 * progress.losses[-1])
            return super().after_epoch(progress)

    loop = run(3, [Measure("a", []), Recorder("b", [], {2: roll_back(1)})])
    assert loop.progress.losses == [1.0, 3.0, 4.0]
    assert loop.progress.measured == [10.0, 30.0, 40.0]


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_loop_after_the_rows_at_hand():
    seen = []

    def interrupt(epoch, n_rows):
        if (epoch, n_rows) == (2, 1):
            press_ctrl_c()

    loop = run(9, [Recorder("a", seen)], interrupt)
    assert loop.interrupted
    assert seen[-2:] == [("a", "chunk", 1, 2), ("a", "epoch", 2, True, True)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("decision", [CONTINUE, roll_back(0)])
def test_ctrl_c_while_monitors_look_at_an_epoch_ends_the_loop(decision):
    class Interrupt(Recorder):
        def after_epoch(self, progress):
            press_ctrl_c()
            return super().after_epoch(progress)

    seen = []
    loop = run(9, [Interrupt("a", seen, {1: decision})])
    assert loop.interrupted
    assert events(seen, "epoch") == [("a", "epoch", 1, False, False)]
    assert loop.progress.losses == ([1.0] if decision is CONTINUE else [])


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_raises_again_after_an_error():
    def fail(epoch, n_rows):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(1, [], fail)
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


@pytest.mark.usefixtures("ctrl_c")
def test_a_handler_of_the_caller_stays():
    noted = []
    signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    with interrupts() as interrupted:
        press_ctrl_c()
        assert not interrupted()
    assert noted == [signal.SIGINT]


def test_in_other_threads_nothing_changes():
    found, before = [], signal.getsignal(signal.SIGINT)

    def work():
        with interrupts() as interrupted:
            found.append((interrupted(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, before)]
