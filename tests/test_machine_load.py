from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchbird.machine_load import LoadMeter, busy_seconds, load_average, own_seconds, waited_seconds

CORES = "cpu  100 20 30 5000 600 7 8 9 50 5\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


def readings(*values: float | None) -> Callable[[], float | None]:
    return iter(values).__next__


def clock(*times: float) -> Callable[[], float]:
    return iter(times).__next__


def test_busy_is_what_isnt_idle_and_guests_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stat").write_text(CORES)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
    assert busy_seconds(tmp_path / "stat") == (100 + 20 + 30 + 7 + 8 + 9) / 100


@pytest.mark.parametrize("content", [None, "", "cpu\n", "cpu a b c d e f g h\n"])
def test_a_system_that_tells_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "stat").write_text(content)
    assert busy_seconds(tmp_path / "stat") is None


def test_others_use_what_all_use_without_our_own() -> None:
    meter = LoadMeter(readings(100.0, 119.0), clock(40.0, 55.0), clock(0.0, 10.0))
    assert meter.others_cores() == pytest.approx(0.4)


def test_rounding_never_makes_it_negative() -> None:
    meter = LoadMeter(readings(100.0, 109.9), clock(0.0, 10.0), clock(0.0, 10.0))
    assert meter.others_cores() == 0.0


def test_elsewhere_the_load_average_stands_in() -> None:
    meter = LoadMeter(readings(None, None), clock(0.0, 15.0), clock(0.0, 10.0), readings(2.25))
    assert meter.others_cores() == pytest.approx(0.75)
    silent = LoadMeter(readings(None, None), clock(0.0, 15.0), clock(0.0, 10.0), readings(None))
    assert silent.others_cores() is None


def test_no_time_is_no_measurement() -> None:
    assert LoadMeter(readings(1.0), clock(1.0), clock(5.0, 5.0)).others_cores() is None


def test_our_own_work_is_ours() -> None:
    before = own_seconds()
    sum(range(3_000_000))
    assert own_seconds() > before
    average = load_average()
    assert average is None or average >= 0


def test_waiting_is_summed_over_threads(tmp_path: Path) -> None:
    for thread, waited in (("1", 2_000_000_000), ("2", 500_000_000)):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(f"123456789 {waited} 42\n")
    assert waited_seconds(tmp_path) == 2.5


def test_waiting_that_the_system_does_not_tell_is_none(tmp_path: Path) -> None:
    assert waited_seconds(tmp_path / "gone") == 0.0
    (tmp_path / "1").mkdir()
    assert waited_seconds(tmp_path) == 0.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_this_system_tells() -> None:
    assert waited_seconds() > 0
    assert (busy_seconds() or 0) > 0
