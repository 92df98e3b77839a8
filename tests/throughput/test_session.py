"""Timings in real child processes, some of which die."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchbird.errors import BenchbirdError, Interrupted
from benchbird.execution.local import ASKED_TO_END, Ending
from benchbird.throughput import session
from benchbird.throughput.contest import inspect_segmenter, measure_memory, search_largest
from benchbird.throughput.report import Findings, TimingReport
from benchbird.throughput.session import run_timing
from tests.throughput_factory import plan_of, write_plugin


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return write_plugin(tmp_path)


def timed(report: TimingReport) -> set[str]:
    return {str(row.key) for row in report.rows}


def test_rows_that_take_the_process_down_leave_the_others_their_timing(plugin: Path) -> None:
    """`dies` ends the process when it is its turn, `stubborn` leaves settings that nobody can set back."""
    plan = plan_of("plain", "dies", "stubborn", "tires", "refuses", "wide", "calibrated",
                   plugin=plugin, works=("training",), batch_sizes=(1, 2))  # fmt: skip
    events: list[Mapping[str, Any]] = []
    report = run_timing(plan, events.append)
    assert timed(report) == {"plain fp32 training batch 1", "plain fp32 training batch 2"}
    fates: dict[str, tuple[str, int]] = {}
    for failure in report.failures:
        fates[failure.label] = (failure.status, len(failure.rows) + fates.get(failure.label, ("", 0))[1])
    assert fates == {
        "refuses": ("failed", 0),
        "wide": ("protocol_violation", 2),
        "dies": ("failed", 2),
        "stubborn": ("protocol_violation", 2),
        "tires": ("failed", 2),
    }
    reason = next(failure.reason for failure in report.failures if failure.label == "dies")
    assert reason == "its process was killed by SIGKILL"
    assert report.environment is not None and report.environment.device == "cpu"
    assert report.peak is not None and report.peak.gflop_per_s["fp32"] > 0
    row = report.rows[0]
    assert row.memory_bytes is not None and row.memory_bytes < 2**28
    assert (row.parameters, row.ratio, row.reference) == (28, None, "plain")
    kinds = {event["event"] for event in events}
    assert {"inspecting", "measuring_memory", "block_started", "round", "row", "failed", "unusable"} <= kinds


def test_a_timing_of_nothing_that_works_is_a_report_too(plugin: Path) -> None:
    report = run_timing(plan_of("refuses", plugin=plugin), lambda _: None, ("known before",))
    assert (report.rows, report.peak, report.warnings) == ((), None, ("known before",))
    assert report.environment is not None
    assert [failure.label for failure in report.failures] == ["refuses"]


def children(monkeypatch: pytest.MonkeyPatch, *endings: Ending) -> None:
    left = iter(endings)
    monkeypatch.setattr(session, "run_in_child", lambda *_args, **_options: next(left))


def test_a_child_without_an_answer_is_the_segmenters_fate(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children(monkeypatch, Ending(exit_code=-11))
    report = run_timing(plan_of("plain", plugin=plugin), lambda _: None)
    (failure,) = report.failures
    assert (failure.status, failure.reason) == ("failed", "its process was killed by SIGSEGV")


def test_an_end_that_is_nobodys_fault_is_an_error(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of("plain", plugin=plugin)
    findings = Findings()
    children(monkeypatch, Ending(exit_code=1))
    with pytest.raises(BenchbirdError, match="exit code 1, while no segmenter was at work"):
        session._contest(plan, findings, lambda _: None)


def test_an_interrupt_from_outside_ends_it(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children(monkeypatch, Ending(exit_code=ASKED_TO_END))
    with pytest.raises(Interrupted):
        run_timing(plan_of("plain", plugin=plugin), lambda _: None)


def test_on_a_gpu_the_largest_batch_is_searched_from_the_largest_that_was_timed(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of("plain", "tires", plugin=plugin, works=("training",), batch_sizes=(1, 2, 4), device="cuda")
    asked = []

    def child(target: Any, request: Any, *, log: object, on_event: Any) -> Ending:
        if target is search_largest:
            asked.append([str(row) for row in request.rows])
            row = request.rows[0]
            on_event({"event": "turn", "row": row})
            if len(asked) == 1:
                return Ending(exit_code=-9, ran_out_of_memory=True)
            on_event({"event": "largest", "row": row, "batch_size": 37, "stopped": "", "is_bound": False})
            return Ending(exit_code=0)
        assert target is not measure_memory, "a GPU's memory is measured in the contest"
        if target is inspect_segmenter:
            on_event({"event": "segmenter", "label": request.label, "parameters": 1, "gflop": {}})
        else:
            for block in request.blocks:
                for row in block.rows:
                    if row.batch_size < 4:
                        on_event({"event": "row", "row": row, "figures": None, "warm_up": None, "reference": "plain",
                                  "ratio": None, "memory_bytes": 1000})  # fmt: skip
                on_event({"event": "block_ended", "block": block, "others_cores": 0.0})
        return Ending(exit_code=0)

    monkeypatch.setattr(session, "run_in_child", child)
    monkeypatch.setattr(session, "assemble", lambda _plan, findings, _notices: findings)
    findings: Any = run_timing(plan, lambda _: None)
    assert asked == [
        ["plain fp32 training batch 2", "tires fp32 training batch 2"], ["tires fp32 training batch 2"],
    ]  # fmt: skip
    assert [(one.key.label, one.batch_size) for one in findings.largest] == [("plain", 0), ("tires", 37)]
    assert "ran out of memory" in findings.largest[0].stopped
    assert set(findings.memory_bytes.values()) == {1000}
