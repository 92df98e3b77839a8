from __future__ import annotations

import sys

import psutil
import pytest
import torch

from benchbird.peak_memory import MemoryGauge, peak_memory_bytes, resident_bytes

CPU = torch.device("cpu")


def test_peak_memory_is_in_bytes() -> None:
    resident = psutil.Process().memory_info().rss
    assert resident * 0.5 < peak_memory_bytes(CPU) < psutil.virtual_memory().total
    assert sys.platform != "linux" or peak_memory_bytes(CPU) % 1024 == 0


def test_resident_memory_is_what_the_system_says() -> None:
    assert resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


def test_what_is_taken_is_the_peak_without_what_was_there() -> None:
    gauge = MemoryGauge(CPU)
    # More than any test before can have left as a peak.
    size = peak_memory_bytes(CPU) - resident_bytes() + 2**26
    held = torch.ones(size, dtype=torch.uint8)
    del held
    taken = gauge.taken_bytes()
    assert taken is not None
    assert size * 0.9 < taken < size + 2**27


def test_cuda_is_asked_for_its_own_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: calls.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: calls.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 100)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 1700)
    gauge = MemoryGauge(torch.device("cuda"))
    assert calls == ["synchronize", "reset"]
    assert gauge.taken_bytes() == 1600


def test_a_device_without_a_peak_has_none() -> None:
    assert MemoryGauge(torch.device("mps")).taken_bytes() is None
