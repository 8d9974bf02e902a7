"""The epochs of a fit as its monitors see them."""

from lrcore.linear_model.engine.epoch import EpochLoss
from lrcore.linear_model.monitor.base import CONTINUE, STOP, Monitor, Progress, roll_back


def progress_of(*losses, max_iter=5):
    progress = Progress(max_iter, lambda: None)
    for loss in losses:
        progress.add(EpochLoss(2 * loss, 2.0, 2), cut_short=False)
    return progress


def test_losses_are_means_and_the_last_epoch_is_known():
    progress = progress_of(3.0, 2.0, max_iter=3)
    assert progress.losses == [3.0, 2.0]
    assert progress.n_epochs == 2
    assert not progress.last
    progress.add(EpochLoss(4.0, 4.0, 4), cut_short=False)
    assert progress.last
    assert progress.losses[-1] == 1.0
    assert EpochLoss(0.0, 0.0, 0).mean == 0.0


def test_an_epoch_that_was_cut_short_is_the_last():
    progress = progress_of()
    progress.add(EpochLoss(1.0, 1.0, 1), cut_short=True)
    assert progress.last
    assert progress.cut_short


def test_a_measure_counts_for_the_epoch_at_hand_alone():
    progress = progress_of(3.0)
    assert progress.measured_now == {}
    progress.record("held_out_loss", 0.5)
    assert progress.measured_now == {"held_out_loss": 0.5}
    progress.add(EpochLoss(1.0, 1.0, 1), cut_short=False)
    assert progress.measured_now == {}  # the second epoch has not been measured


def test_epochs_are_taken_back_with_their_measures():
    progress = progress_of(3.0, max_iter=2)
    progress.record("objective", 0.5)
    progress.add(EpochLoss(1.0, 1.0, 1), cut_short=False)
    progress.record("objective", 0.4)
    progress.take_back(1)
    assert progress.losses == [3.0]
    assert progress.measured == [0.5]
    assert not progress.last


def test_a_monitor_does_nothing_unless_it_is_told_to():
    monitor = Monitor()
    assert monitor.after_epoch(progress_of(1.0)) == CONTINUE
    assert monitor.after_chunk(0, None) == CONTINUE
    assert STOP.stop
    assert STOP.back_to is None
    assert roll_back(0) != CONTINUE
    assert roll_back(0).back_to == 0
