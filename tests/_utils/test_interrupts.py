"""Ctrl-C within a block: noted, told, and not lost."""

import os
import signal

import pytest

from lrcore._utils.interrupts import interrupts


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):  # a handler runs between instructions
        pass


@pytest.mark.usefixtures("ctrl_c")
def test_who_was_told_goes_on():
    done = []
    with interrupts() as interrupted:
        press_ctrl_c()
        done.append(interrupted())
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_what_nobody_was_told_is_raised_at_the_end():
    done = []

    def work():
        with interrupts() as interrupted:
            done.append(interrupted())
            press_ctrl_c()
            done.append("whole")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [False, "whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_an_inner_block_leaves_it_to_the_outer_one():
    with interrupts() as outer:
        with interrupts() as inner:
            press_ctrl_c()
            assert not inner()
        assert outer()
