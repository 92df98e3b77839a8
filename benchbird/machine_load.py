"""How much of the processor others use while something is measured, and how long it has to wait for them.

Owns the reading of the system's counters; what is too much is the reader's to say.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

BUSY_FIELDS = (0, 1, 2, 5, 6, 7)
"""Of /proc/stat's first line: user, nice, system, irq, softirq, steal. Guests are in user already."""


class LoadMeter:
    """Processor time that others use between its making and its reading.

    Args:
        busy: seconds that all cores have worked, or None where the system doesn't tell.
        own: seconds that this process and its ended children have worked.
        clock: seconds, monotonic.
        load: processes that are ready to run, as a fallback.
    """

    def __init__(
        self,
        busy: Callable[[], float | None] | None = None,
        own: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[], float | None] | None = None,
    ) -> None:
        self._busy, self._own = busy or busy_seconds, own or own_seconds
        self._clock, self._load = clock, load or load_average
        self._before = (self._busy(), self._own(), clock())

    def others_cores(self) -> float | None:
        """What others used, in cores (1.0: one core all the time); None where the system tells nothing.

        Where only the load average is known: that beyond what this process used itself.
        """
        busy_before, own_before, started = self._before
        elapsed = self._clock() - started
        if elapsed <= 0:
            return None
        own = self._own() - own_before
        busy = self._busy()
        if busy is not None and busy_before is not None:
            return max(0.0, (busy - busy_before - own) / elapsed)
        load = self._load()
        return None if load is None else max(0.0, load - own / elapsed)


def busy_seconds(path: Path = Path("/proc/stat")) -> float | None:
    """Seconds that all cores together have worked since the start, another machine's share of them included."""
    try:
        with path.open() as stream:  # a line for each core follows, and much else
            fields = stream.readline().split()
        return sum(int(fields[1 + index]) for index in BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def load_average() -> float | None:
    """Processes ready to run, mean of the last minute; None where the system doesn't tell."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def waited_seconds(tasks: Path = Path("/proc/self/task")) -> float:
    """Seconds that the threads of this process were ready to compute while others held the core.

    Summed over threads; 0 where the system doesn't tell.
    """
    nanoseconds = 0
    try:
        for thread in os.listdir(tasks):
            with open(f"{tasks}/{thread}/schedstat", "rb") as stream:
                nanoseconds += int(stream.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return nanoseconds / 1e9
