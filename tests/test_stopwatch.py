from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchbird import stopwatch as module
from benchbird.stopwatch import stopwatch


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    entries: list[str] = []
    monkeypatch.setattr(module, "synchronize", lambda device: entries.append(f"synchronize {device.type}"))
    return entries


def ticking(log: list[str], *times: float) -> Callable[[], float]:
    ticks = iter(times)

    def clock() -> float:
        log.append("clock")
        return next(ticks)

    return clock


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_the_device_is_idle_at_both_readings_of_the_clock(device: str, log: list[str]) -> None:
    watch = stopwatch(torch.device(device), ticking(log, 10.0, 10.25))
    assert watch(lambda: log.append("work")) == 0.25
    assert log == [f"synchronize {device}", "clock", "work", f"synchronize {device}", "clock"]


def test_cuda_is_timed_by_its_own_events(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        made = 0

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.name = "start" if Event.made % 2 == 0 else "end"
            Event.made += 1

        def record(self) -> None:
            log.append(self.name)

        def elapsed_time(self, other: Event) -> float:
            assert (self.name, other.name) == ("start", "end")
            log.append("elapsed")
            return 250.0  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    watch = stopwatch(torch.device("cuda"), ticking(log))
    for _ in range(2):
        log.clear()
        assert watch(lambda: log.append("work")) == 0.25
        assert log == ["synchronize cuda", "start", "work", "end", "synchronize cuda", "elapsed"]


def test_what_an_action_raises_comes_through(log: list[str]) -> None:
    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        stopwatch(torch.device("cpu"))(fail)
