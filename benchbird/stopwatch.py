"""How long one iteration takes, in seconds, as the device itself tells where it has a clock of its own.

Owns synchronisation around an iteration. What is done in it, and how often, is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchbird.backend import synchronize

Stopwatch = Callable[[Callable[[], object]], float]
"""Runs an action and returns the seconds that it took; the device is idle before and after."""


def stopwatch(device: torch.device, clock: Callable[[], float] = time.perf_counter) -> Stopwatch:
    """The stopwatch of a device: CUDA's own events there, elsewhere `clock` between two synchronisations.

    Args:
        device: where the action computes.
        clock: seconds, monotonic; not asked on CUDA.
    """
    return _by_events(device) if device.type == "cuda" else _by_clock(device, clock)


def _by_clock(device: torch.device, clock: Callable[[], float]) -> Stopwatch:
    def measure(action: Callable[[], object]) -> float:
        synchronize(device)
        started = clock()
        action()
        synchronize(device)
        return clock() - started

    return measure


def _by_events(device: torch.device) -> Stopwatch:
    def measure(action: Callable[[], object]) -> float:
        started = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        synchronize(device)
        started.record()
        action()
        ended.record()
        # An event has no time before it has happened.
        synchronize(device)
        return float(started.elapsed_time(ended)) / 1e3

    return measure
