"""Interruptions of a call at any line of the package, and by Ctrl-C."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import lrcore

PACKAGE = str(Path(lrcore.__file__).parent)


class Interruption(BaseException):
    """What is raised."""


def interrupt(call, at):
    """Call, and raise at the line of this number; returns how many lines were begun, and whether
    it was interrupted."""
    n_lines = 0

    def trace(frame, event, argument):
        nonlocal n_lines
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event in ("line", "return"):
            n_lines += 1
            if n_lines == at:
                raise Interruption
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interruption:
        return n_lines, True
    finally:
        sys.settrace(before)
    return n_lines, False


def places(call, most):
    """Numbers of lines at which to interrupt a call: all, or so many of them, the last ones among
    them, where what was worked out is taken over."""
    n_lines, _ = interrupt(call, 0)
    return sorted(
        {*range(1, n_lines + 1, max(1, n_lines // most)), *range(n_lines - 30, n_lines + 1)}
    )


@contextmanager
def ctrl_c_after(seconds):
    """Ctrl-C, so long after the block begins."""

    def press():
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        thread.join()
