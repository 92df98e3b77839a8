"""A timing from plan to report: which child processes it takes, and what is known when one of them dies.

The process that runs this never holds a model. What the children do is `contest.py`'s.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchbird import sampling
from benchbird.errors import BenchbirdError, Interrupted
from benchbird.execution.local import Ending, run_in_child
from benchbird.records import Status
from benchbird.sampling import Chunk
from benchbird.throughput.contest import (
    LargestRequest,
    MemoryRequest,
    RoundRequest,
    SegmenterRequest,
    Turns,
    inspect_segmenter,
    measure_memory,
    report_peak,
    run_round,
    search_largest,
)
from benchbird.throughput.plan import Block, RowKey, TimingPlan
from benchbird.throughput.report import Findings, LargestBatch, SegmenterFacts, TimingReport, assemble
from benchbird.workloads import Work

Observe = Callable[[Mapping[str, Any]], None]


@dataclass
class Rounds:
    """What the rounds of one block have brought so far, each of them in a process of its own."""

    turns: list[Mapping[RowKey, Turns]] = field(default_factory=list)
    others_cores: list[float | None] = field(default_factory=list)

    def chunks(self, rows: Sequence[RowKey]) -> list[list[Chunk]]:
        """Of each row its iterations, round by round; rows that no round has failed to time."""
        return [[turns[row].chunk for turns in self.turns] for row in rows]


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
    """Time what is left, process after process; where a row takes one down with it, from then on without that row."""
    rounds: dict[tuple[Work, int], Rounds] = {_place(block): Rounds() for block in plan.blocks}
    ended: set[tuple[Work, int]] = set()
    processes = 0

    def request() -> RoundRequest | None:
        nonlocal processes
        left = [block for block in _open_blocks(plan, findings) if _place(block) not in ended]
        left = [block for block in left if not _is_enough(block, rounds[_place(block)], plan)]
        for block in plan.blocks:
            if _place(block) not in {*ended, *map(_place, left)}:
                ended.add(_place(block))
                observe({"event": "block_ended", "block": block})
        if not left:
            return None
        processes += 1
        observe({"event": "process_started", "number": processes, "blocks": len(left)})
        return RoundRequest(plan=plan, blocks=tuple(left), number=processes - 1)

    def collect(event: Mapping[str, Any]) -> None:
        if event["event"] == "round" and event["turns"]:
            block = rounds[_place(event["block"])]
            block.turns.append(event["turns"])
            block.others_cores.append(event["others_cores"])

    def blame(row: RowKey, status: Status, reason: str) -> None:
        findings.failed.setdefault(row, (status, reason))

    if not _open_blocks(plan, findings):
        return
    _measure_peak(plan, findings, observe)
    _until_done(run_round, request, blame, collect, findings, observe)
    _measure_peak(plan, findings, observe)
    for block in _open_blocks(plan, findings):
        _sum_up(block, rounds[_place(block)], findings)


def _measure_peak(plan: TimingPlan, findings: Findings, observe: Observe) -> None:
    def collect(event: Mapping[str, Any]) -> None:
        findings.peaks.append(event["peak"])
        observe(event)

    ending = run_in_child(report_peak, plan, log=None, on_event=collect)
    _pass_on_interrupt(ending)
    if ending.exit_code != 0:
        raise _nobodys_fault(ending)


def _open_blocks(plan: TimingPlan, findings: Findings) -> tuple[Block, ...]:
    """The blocks of the plan, without the rows that are known to fail."""
    blocks = [replace(block, rows=tuple(filter(findings.is_open, block.rows))) for block in plan.blocks]
    return tuple(block for block in blocks if block.rows)


def _is_enough(block: Block, rounds: Rounds, plan: TimingPlan) -> bool:
    return sampling.is_enough(rounds.chunks(block.rows), [row.precision for row in block.rows], plan.rule)


def _sum_up(block: Block, rounds: Rounds, findings: Findings) -> None:
    """Work out figures and ratios of the rows of a block that is over."""
    chunks = rounds.chunks(block.rows)
    for index, reference in enumerate(sampling.references([row.precision for row in block.rows])):
        row = block.rows[index]
        findings.timed[row] = (
            sampling.figures(chunks[index]),
            sampling.whole_warm_up([turns[row].warm_up for turns in rounds.turns]),
            block.rows[reference].label,
            None if index == reference else sampling.paired_ratio(chunks[index], chunks[reference]),
        )
        if memory := [taken for turns in rounds.turns if (taken := turns[row].memory_bytes) is not None]:
            findings.memory_bytes[row] = max(memory)
    cores = [cores for cores in rounds.others_cores if cores is not None]
    findings.others_cores[block] = statistics.fmean(cores) if cores else None


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

    def collect(event: Mapping[str, Any]) -> None:
        if event["event"] == "largest":
            values = {name: event[name] for name in ("batch_size", "stopped", "is_bound")}
            findings.largest.append(LargestBatch(key=event["row"], **values))

    _until_done(search_largest, request, blame, collect, findings, observe)


def _until_done(
    target: Callable[[Any, Callable[[Mapping[str, Any]], None]], object],
    make_request: Callable[[], object | None],
    blame: Callable[[RowKey, Status, str], object],
    collect: Observe,
    findings: Findings,
    observe: Observe,
) -> None:
    """Run a child on what is left, again and again, each time without the row that ended the one before."""
    while (request := make_request()) is not None:
        ending, suspect, has_answered = _run_one(target, request, collect, findings, observe)
        if suspect is not None:
            blame(suspect, *_fate(ending))
        elif ending.exit_code != 0 or not has_answered:
            raise _nobodys_fault(ending)


def _run_one(
    target: Callable[[Any, Callable[[Mapping[str, Any]], None]], object],
    request: object,
    collect: Observe,
    findings: Findings,
    observe: Observe,
) -> tuple[Ending, RowKey | None, bool]:
    """Run one child: how it ended, whose turn it was then, and whether there is an answer at all."""
    suspect: RowKey | None = None
    has_answered = False

    def listen(event: Mapping[str, Any]) -> None:
        nonlocal suspect, has_answered
        if event["event"] == "turn":
            suspect = event["row"]
        elif event["event"] in ("round", "largest"):
            suspect, has_answered = None, True
        elif event["event"] == "failed":
            findings.failed[event["row"]] = (event["status"], event["reason"])
        collect(event)
        observe(event)

    ending = run_in_child(target, request, log=None, on_event=listen)
    _pass_on_interrupt(ending)
    return ending, suspect, has_answered


def _place(block: Block) -> tuple[Work, int]:
    """What stays of a block when it loses rows."""
    return block.work, block.batch_size


def _nobodys_fault(ending: Ending) -> BenchbirdError:
    return BenchbirdError(f"timing can't go on: {_fate(ending)[1]}, while no segmenter was at work; try again")


def _fate(ending: Ending) -> tuple[Status, str]:
    """How a process ended that left no answer."""
    return "out_of_memory" if ending.ran_out_of_memory else "failed", f"its process {ending.cause}"


def _pass_on_interrupt(ending: Ending) -> None:
    if ending.was_asked:
        raise Interrupted("the timing was asked to end from outside (SIGTERM); start it again")
