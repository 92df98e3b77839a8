"""A timing from plan to report: which child processes it takes, and what is known when one of them dies.

The process that runs this never holds a model. What the children do is `contest.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from benchbird.errors import BenchbirdError, Interrupted
from benchbird.execution.local import Ending, run_in_child
from benchbird.records import Status
from benchbird.throughput.contest import (
    ContestRequest,
    LargestRequest,
    MemoryRequest,
    SegmenterRequest,
    inspect_segmenter,
    measure_memory,
    run_contest,
    search_largest,
)
from benchbird.throughput.plan import Block, RowKey, TimingPlan
from benchbird.throughput.report import Findings, LargestBatch, SegmenterFacts, TimingReport, assemble

Observe = Callable[[Mapping[str, Any]], None]


def run_timing(plan: TimingPlan, observe: Observe, notices: tuple[str, ...] = ()) -> TimingReport:
    """Carry out a timing.

    Args:
        plan: of it.
        observe: called with every event, for progress.
        notices: warnings that were known before.

    Raises:
        BenchbirdError: the contest could not be held at all.
        Interrupted: a child was asked to end from outside.
    """
    findings = Findings()
    for segmenter in plan.segmenters:
        _look_at(plan, segmenter.label, findings, observe)
    if plan.device == "cpu":
        for row in plan.rows:
            if findings.is_open(row):
                _measure_memory(plan, row, findings, observe)
    _contest(plan, findings, observe)
    if plan.device == "cuda":
        _search_largest(plan, findings, observe)
    return assemble(plan, findings, notices)


def _look_at(plan: TimingPlan, label: str, findings: Findings, observe: Observe) -> None:
    observe({"event": "inspecting", "label": label})

    def collect(event: Mapping[str, Any]) -> None:
        if event["event"] == "environment":
            findings.environment = event["environment"]
        elif event["event"] == "segmenter":
            findings.segmenters[label] = SegmenterFacts(parameters=event["parameters"], gflop=event["gflop"])
        else:
            findings.unusable[label] = (event["status"], event["reason"])
        observe(event)

    ending = run_in_child(inspect_segmenter, SegmenterRequest(plan=plan, label=label), log=None, on_event=collect)
    _pass_on_interrupt(ending)
    if label not in findings.segmenters and label not in findings.unusable:
        findings.unusable[label] = _fate(ending)


def _measure_memory(plan: TimingPlan, row: RowKey, findings: Findings, observe: Observe) -> None:
    observe({"event": "measuring_memory", "row": row})

    def collect(event: Mapping[str, Any]) -> None:
        if event["event"] == "memory":
            findings.memory_bytes[row] = event["bytes"]
        else:
            findings.failed[row] = (event["status"], event["reason"])
        observe(event)

    ending = run_in_child(measure_memory, MemoryRequest(plan=plan, row=row), log=None, on_event=collect)
    _pass_on_interrupt(ending)
    if row not in findings.memory_bytes and row not in findings.failed:
        findings.failed[row] = _fate(ending)


def _contest(plan: TimingPlan, findings: Findings, observe: Observe) -> None:
    """Time what is left; where a row takes the process down with it, what is left without that row."""

    def request() -> ContestRequest | None:
        blocks = []
        for block in plan.blocks:
            rows = tuple(row for row in block.rows if findings.is_open(row))
            if rows and not any(_is_same(block, ended) for ended in findings.others_cores):
                blocks.append(replace(block, rows=rows))
        return ContestRequest(plan=plan, blocks=tuple(blocks)) if blocks else None

    def blame(row: RowKey, status: Status, reason: str) -> None:
        findings.failed.setdefault(row, (status, reason))

    _until_done(run_contest, request, blame, findings, observe)


def _search_largest(plan: TimingPlan, findings: Findings, observe: Observe) -> None:
    """Find the largest batch of every kind of row that could be timed at all."""
    starts: dict[object, RowKey] = {}
    for row in plan.rows:
        if row in findings.timed:
            starts[row.label, row.precision, row.work] = row  # the last one is that of the largest batch

    def request() -> LargestRequest | None:
        rows = tuple(row for row in starts.values() if row not in {one.key for one in findings.largest})
        return LargestRequest(plan=plan, rows=rows) if rows else None

    def blame(row: RowKey, _status: Status, reason: str) -> None:
        findings.largest.append(LargestBatch(key=row, batch_size=0, stopped=reason, is_bound=False))

    _until_done(search_largest, request, blame, findings, observe)


def _until_done(
    target: Callable[[Any, Callable[[Mapping[str, Any]], None]], object],
    make_request: Callable[[], object | None],
    blame: Callable[[RowKey, Status, str], object],
    findings: Findings,
    observe: Observe,
) -> None:
    """Run a child on what is left, again and again, each time without the row that ended it."""
    while (request := make_request()) is not None:
        suspects: list[RowKey | None] = [None]

        def collect(event: Mapping[str, Any], suspects: list[RowKey | None] = suspects) -> None:
            if event["event"] in ("turn", "largest", "block_ended", "peak"):
                suspects[:] = [event["row"] if event["event"] == "turn" else None]
            _note(event, findings)
            observe(event)

        ending = run_in_child(target, request, log=None, on_event=collect)
        _pass_on_interrupt(ending)
        if ending.exit_code == 0:
            return
        status, reason = _fate(ending)
        if suspects[0] is None:
            raise BenchbirdError(f"timing can't go on: {reason}, while no segmenter was at work; try again")
        blame(suspects[0], status, reason)


def _note(event: Mapping[str, Any], findings: Findings) -> None:
    """Write down what an event of the contest says."""
    kind = event["event"]
    if kind == "failed":
        findings.failed[event["row"]] = (event["status"], event["reason"])
    elif kind == "row":
        findings.timed[event["row"]] = (event["figures"], event["warm_up"], event["reference"], event["ratio"])
        if event["memory_bytes"] is not None:
            findings.memory_bytes[event["row"]] = event["memory_bytes"]
    elif kind == "block_ended":
        findings.others_cores[event["block"]] = event["others_cores"]
    elif kind == "peak":
        findings.peaks.append(event["peak"])
    elif kind == "largest":
        values = {name: event[name] for name in ("batch_size", "stopped", "is_bound")}
        findings.largest.append(LargestBatch(key=event["row"], **values))


def _is_same(block: Block, other: Block) -> bool:
    return (block.work, block.batch_size) == (other.work, other.batch_size)


def _fate(ending: Ending) -> tuple[Status, str]:
    """How a process ended that left no answer."""
    return "out_of_memory" if ending.ran_out_of_memory else "failed", f"its process {ending.cause}"


def _pass_on_interrupt(ending: Ending) -> None:
    if ending.was_asked:
        raise Interrupted("the timing was asked to end from outside (SIGTERM); start it again")
