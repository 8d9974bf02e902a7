"""Fair timing: calls take turns, medians, and what the machine is."""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path


def processor():
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def side_by_side(calls, rounds):
    """Median seconds of each call; the calls take turns, so that a slow spell hits all."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def repeated(call, times):
    """The call as often as it takes for the clock not to matter."""

    def run():
        for _ in range(times):
            call()

    return run
