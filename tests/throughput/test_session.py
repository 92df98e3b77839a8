"""Timings in real child processes, some of which die, and in children that only claim to have timed something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchbird.errors import BenchbirdError, Interrupted
from benchbird.execution.local import ASKED_TO_END, Ending
from benchbird.sampling import Iteration
from benchbird.throughput import session
from benchbird.throughput.contest import (
    RoundRequest,
    Turns,
    inspect_segmenter,
    measure_memory,
    report_peak,
    run_round,
    search_largest,
)
from benchbird.throughput.plan import Block, RowKey, TimingPlan
from benchbird.throughput.report import Findings, TimingReport
from benchbird.throughput.session import run_timing
from tests.throughput_factory import PEAK, QUICK, WARM, made_up_plan, plan_of, write_plugin

Event = Mapping[str, Any]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return write_plugin(tmp_path)


def timed(report: TimingReport) -> set[str]:
    return {str(row.key) for row in report.rows}


def test_rows_that_take_the_process_down_leave_the_others_their_timing(plugin: Path) -> None:
    """`dies` ends the process when it is its turn, `stubborn` leaves settings that nobody can set back."""
    plan = plan_of("plain", "dies", "stubborn", "tires", "refuses", "wide", "calibrated",
                   plugin=plugin, works=("training",), batch_sizes=(1, 2))  # fmt: skip
    events: list[Event] = []
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
    assert row.figures.processes >= QUICK.min_rounds
    kinds = {event["event"] for event in events}
    assert {"inspecting", "measuring_memory", "process_started", "block_started", "round", "failed", "unusable",
            "block_ended"} <= kinds  # fmt: skip


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


class Contest:
    """Children in place of real ones: the n-th process plays the n-th script, and then the last again and again.

    A script gets the request and a function that reports events, and returns an exit code.
    """

    Script = Callable[[RoundRequest, Callable[[Event], None]], int]

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *scripts: Script) -> None:
        self.requests: list[RoundRequest] = []
        self.peaks: list[int] = []
        self._scripts = scripts
        monkeypatch.setattr(session, "run_in_child", self._run)

    def _run(self, target: Any, request: Any, *, log: object, on_event: Callable[[Event], None]) -> Ending:
        if target is report_peak:
            self.peaks.append(len(self.requests))
            on_event({"event": "peak", "peak": PEAK})
            return Ending(exit_code=0)
        assert target is run_round
        self.requests.append(request)
        script = self._scripts[min(len(self.requests), len(self._scripts)) - 1]
        return Ending(exit_code=script(request, on_event))

    def hold(self, plan: TimingPlan, observe: Callable[[Event], None] = lambda _: None) -> Findings:
        findings = Findings()
        session._contest(plan, findings, observe)
        assert [request.number for request in self.requests] == list(range(len(self.requests)))
        return findings


def round_of(
    block: Block, seconds: Callable[[RowKey], float] = lambda _: 1.0, others_cores: float | None = 0.0
) -> Event:
    """A block's round of two iterations a row."""
    turns = {
        row: Turns(chunk=(Iteration(seconds(row)),) * 2, warm_up=WARM, memory_bytes=100 * row.batch_size)
        for row in block.rows
    }
    return {"event": "round", "block": block, "turns": turns, "others_cores": others_cores}


def steady(request: RoundRequest, report: Callable[[Event], None]) -> int:
    for block in request.blocks:
        for row in block.rows:
            report({"event": "turn", "row": row})
        report(round_of(block))
    return 0


PAIR = replace(made_up_plan("first", "second"), rule=replace(QUICK, min_rounds=6, max_rounds=20))


def test_ratios_are_over_processes_that_differ_in_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has a speed of its own, and the second segmenter is worth another ratio in each."""
    ratios = [2.0, 2.1, 1.9, 2.3, 1.7, 2.0]

    def script(request: RoundRequest, report: Callable[[Event], None]) -> int:
        own = 1.0 + 0.1 * request.number
        for block in request.blocks:
            report(round_of(block, lambda row: own if row.label == "second" else own * ratios[request.number],
                            others_cores=0.1 * request.number))  # fmt: skip
        return 0

    contest = Contest(monkeypatch, script)
    found = contest.hold(PAIR)
    assert len(contest.requests) == 6
    assert contest.peaks == [0, 6], "before the first process and after the last"
    for row in PAIR.rows:
        figures, warm_up, reference, ratio = found.timed[row]
        assert (figures.processes, figures.iterations, len(figures.round_medians_ms)) == (6, 12, 6)
        assert (warm_up.iterations, reference) == (6 * WARM.iterations, "first")
        assert found.memory_bytes[row] == 100 * row.batch_size
        if row.label == "first":
            assert ratio is None
        else:
            assert ratio is not None
            assert (ratio.median, ratio.least, ratio.most, ratio.rounds) == pytest.approx((2.0, 1.7, 2.3, 6))
            assert (ratio.low, ratio.high) == pytest.approx((1.7, 2.3))
    assert list(found.others_cores.values()) == pytest.approx([0.25] * 4)


def test_a_block_that_is_known_gets_no_further_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all blocks only the last one's ratio differs from process to process."""
    plan, restless = replace(PAIR, rule=replace(PAIR.rule, max_seconds=1e9)), "second fp32 inference batch 8"

    def script(request: RoundRequest, report: Callable[[Event], None]) -> int:
        for block in request.blocks:
            report(round_of(block, lambda row: 1.0 + (request.number % 5) * (str(row) == restless)))
        return 0

    told: list[Event] = []
    contest = Contest(monkeypatch, script)
    found = contest.hold(plan, told.append)
    assert [len(request.blocks) for request in contest.requests] == [4] * 6 + [1] * 14
    assert [found.timed[row][0].processes for row in plan.rows] == [6] * 6 + [20] * 2
    assert [event["blocks"] for event in told if event["event"] == "process_started"] == [4] * 6 + [1] * 14
    assert [event["block"] for event in told if event["event"] == "block_ended"] == list(plan.blocks)


@pytest.mark.parametrize(("exit_code", "reason"), [(-9, "was killed by SIGKILL"), (0, "ended with exit code 0")])
def test_a_row_that_ends_its_process_costs_the_others_no_round(
    exit_code: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the third process `second` dies in the second block: the first keeps this round, all keep those before."""
    victim = PAIR.blocks[1].rows[1]

    def dies(request: RoundRequest, report: Callable[[Event], None]) -> int:
        report(round_of(request.blocks[0]))
        report({"event": "turn", "row": victim})
        return exit_code

    contest = Contest(monkeypatch, steady, steady, dies, steady)
    found = contest.hold(PAIR)
    assert found.failed == {victim: ("failed", f"its process {reason}")}
    assert set(found.timed) == set(PAIR.rows) - {victim}
    assert {figures.processes for figures, *_ in found.timed.values()} == {6}
    # The first block had its sixth in the sixth process, the others in the seventh.
    assert [len(request.blocks) for request in contest.requests] == [4] * 6 + [3]
    assert [row.label for row in contest.requests[3].blocks[1].rows] == ["first"]


def test_a_reference_that_fails_leaves_its_place_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(made_up_plan("first", "second", "third", batch_sizes=(1,)), works=("inference",), rule=PAIR.rule)

    def fails(request: RoundRequest, report: Callable[[Event], None]) -> int:
        (block,) = request.blocks
        report({"event": "failed", "row": block.rows[0], "status": "out_of_memory", "reason": "no memory"})
        report(round_of(replace(block, rows=block.rows[1:])))
        return 0

    contest = Contest(monkeypatch, steady, fails, steady)
    found = contest.hold(plan)
    assert {row.label: found.timed[row][2] for row in found.timed} == {"second": "second", "third": "second"}
    assert {figures.processes for figures, *_ in found.timed.values()} == {6}
    assert len(contest.requests) == 6


def test_a_block_that_loses_all_its_rows_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(request: RoundRequest, report: Callable[[Event], None]) -> int:
        for block in request.blocks:
            for row in block.rows:
                report({"event": "failed", "row": row, "status": "failed", "reason": "broken"})
            report(round_of(replace(block, rows=())))
        return 0

    contest = Contest(monkeypatch, fails)
    found = contest.hold(PAIR)
    assert (len(contest.requests), found.timed, len(found.failed)) == (1, {}, len(PAIR.rows))


def test_a_process_without_an_answer_is_no_reason_to_go_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    Contest(monkeypatch, lambda _request, _report: 0, lambda _request, _report: pytest.fail("it went on"))
    with pytest.raises(BenchbirdError, match="exit code 0, while no segmenter was at work"):
        session._contest(PAIR, Findings(), lambda _: None)


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
        elif target is report_peak:
            on_event({"event": "peak", "peak": PEAK})
        else:
            for block in request.blocks:
                if block.batch_size == 4:
                    for row in block.rows:
                        on_event({"event": "failed", "row": row, "status": "out_of_memory", "reason": "no memory"})
                    block = replace(block, rows=())
                on_event(round_of(block))
        return Ending(exit_code=0)

    monkeypatch.setattr(session, "run_in_child", child)
    monkeypatch.setattr(session, "assemble", lambda _plan, findings, _notices: findings)
    findings: Any = run_timing(plan, lambda _: None)
    assert asked == [
        ["plain fp32 training batch 2", "tires fp32 training batch 2"], ["tires fp32 training batch 2"],
    ]  # fmt: skip
    assert [(one.key.label, one.batch_size) for one in findings.largest] == [("plain", 0), ("tires", 37)]
    assert "ran out of memory" in findings.largest[0].stopped
    assert set(findings.memory_bytes.values()) == {100, 200}
