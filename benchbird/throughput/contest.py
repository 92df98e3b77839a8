"""What happens in the child processes of a timing: a look at a segmenter, a row's memory, a round of the contest.

In a round all rows of a block take turns in one process, so that a machine's noise meets all alike. A row that
fails is reported and left out. Starting these processes, and saying when it is enough, is `throughput/session.py`'s.
"""

from __future__ import annotations

import contextlib
import gc
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchbird import backend, sampling
from benchbird.environment import available_cores, capture_environment
from benchbird.errors import ProtocolViolation
from benchbird.machine_load import LoadMeter, waited_seconds
from benchbird.models import build_model, load_segmenter
from benchbird.peak_memory import MemoryGauge
from benchbird.precisions import Precision
from benchbird.protocol import Protocol
from benchbird.reasons import describe_error, status_of
from benchbird.sampling import Chunk, Contender, Iteration, SamplingRule, WarmUp
from benchbird.stopwatch import Stopwatch, stopwatch
from benchbird.throughput.machine_peak import measure_peak
from benchbird.throughput.plan import Block, RowKey, TimingPlan
from benchbird.workloads import WORKS, Step, count_gflop, make_step

Report = Callable[[Mapping[str, Any]], None]

SEED = 0
"""Of the weights; they decide nothing here."""

MEMORY_STEPS = 2
"""From the second step on the optimiser's state is there while gradients are."""

LARGEST_BATCH = 2**16

PLACES, PLACE_BYTES = 2**16, 64
"""A row's memory is moved by fewer than so many cache lines of so many bytes: 4 MiB, two huge pages."""

CROWDED_CORES, CROWDED_SHARE = 0.25, 0.05
"""What others may use of the processor during a turn: so much of one core, or such a share of all cores."""


class FlagsAreLost(BaseException):
    """A segmenter left the process with settings that nobody can set back: what follows wouldn't compare."""


@dataclass(frozen=True, kw_only=True)
class SegmenterRequest:
    """Which segmenter to look at, picklable."""

    plan: TimingPlan
    label: str


@dataclass(frozen=True, kw_only=True)
class MemoryRequest:
    """Which row's memory to measure, picklable."""

    plan: TimingPlan
    row: RowKey


@dataclass(frozen=True, kw_only=True)
class RoundRequest:
    """What is to be timed in one process, picklable.

    Attributes:
        plan: of the timing.
        blocks: that aren't known well enough, without the rows that are known to fail.
        number: of the process, from 0; decides who begins, and whether to warm up for long.
    """

    plan: TimingPlan
    blocks: tuple[Block, ...]
    number: int


@dataclass(frozen=True, kw_only=True)
class Turns:
    """What one row did in one process, picklable.

    Attributes:
        chunk: its iterations, of both turns.
        warm_up: before them.
        memory_bytes: that this took; None where it couldn't be told.
    """

    chunk: Chunk
    warm_up: WarmUp
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class LargestRequest:
    """Whose largest batch is wanted, picklable; the search begins at a row's own batch size."""

    plan: TimingPlan
    rows: tuple[RowKey, ...]


def inspect_segmenter(request: SegmenterRequest, report: Report) -> None:
    """Report the environment, then parameters and operations of one segmenter, or why it can't be built."""
    plan, device = request.plan, request.plan.torch_device
    flags = backend.apply_protocol(plan.protocol_in(plan.precisions[0]), plan.threads)
    report({"event": "environment", "environment": capture_environment(device)})
    try:
        model = _build(plan, request.label, device)
        works = [work for work in plan.works if work == "inference" or request.label not in plan.calibrated]
        gflop = {work: count_gflop(work, model, plan.protocol_in("fp32"), device) for work in works}
        backend.check_flags(flags)
    except (Exception, SystemExit) as error:
        report({"event": "unusable", "label": request.label, **_reason(error)})
        return
    parameters = sum(parameter.numel() for parameter in model.parameters())
    report({"event": "segmenter", "label": request.label, "parameters": parameters, "gflop": gflop})


def measure_memory(request: MemoryRequest, report: Report) -> None:
    """Report what one row takes of this process' memory from the building of its model on."""
    row, device = request.row, request.plan.torch_device
    _be_the_first_to_go()
    flags = backend.apply_protocol(request.plan.protocol_in(row.precision), request.plan.threads)
    try:
        spec = load_segmenter(request.plan.segmenter(row.label), request.plan.plugin_files)
        _touch_libraries(request.plan.protocol_in(row.precision), device)
        gauge = MemoryGauge(device)
        model = build_model(spec, request.plan.segmenter(row.label), SEED)
        step = make_step(row.work, model, row.batch_size, request.plan.protocol_in(row.precision), device)
        for _ in range(MEMORY_STEPS):
            step()
        report({"event": "memory", "row": row, "bytes": gauge.taken_bytes()})
        backend.check_flags(flags)
    except (Exception, SystemExit) as error:
        report({"event": "failed", "row": row, **_reason(error)})


def report_peak(plan: TimingPlan, report: Report) -> None:
    """Report the machine's peak."""
    device = plan.torch_device
    peak = measure_peak(plan.protocol, plan.precisions, device, stopwatch(device), plan.threads)
    report({"event": "peak", "peak": peak})


def run_round(request: RoundRequest, report: Report) -> None:
    """Let the rows of every block take their turns, and report each block's as they are over."""
    plan = request.plan
    # As torch is before any plugin is loaded: what a segmenter changes later can be told from it.
    pristine = {one: backend.apply_protocol(plan.protocol_in(one), plan.threads) for one in plan.precisions}
    contest = _Round(
        plan=plan, number=request.number, rule=plan.rule.in_process(request.number), device=plan.torch_device,
        watch=stopwatch(plan.torch_device), pristine=pristine, report=report,
    )  # fmt: skip
    for block in request.blocks:
        contest.run(block)


def search_largest(request: LargestRequest, report: Report) -> None:
    """Report for each row the largest batch with which its work fits into the device's memory."""
    device = request.plan.torch_device
    for row in request.rows:
        report({"event": "turn", "row": row})
        protocol = request.plan.protocol_in(row.precision)
        backend.apply_protocol(protocol, request.plan.threads)
        stopped: list[str] = []

        def fits(model: nn.Module, row: RowKey, protocol: Protocol, stopped: list[str], batch_size: int) -> bool:
            step: Step | None = None
            try:
                step = make_step(row.work, model, batch_size, protocol, device)
                for _ in range(MEMORY_STEPS):
                    step()
                backend.synchronize(device)
            except Exception as error:
                if status_of(error) != "out_of_memory":
                    stopped[:] = [describe_error(error)]
                return False
            finally:
                # Not in the handler: the exception's frames would hold what is to be freed.
                del step
                forget_graphs(protocol)
                free_memory(device)
            return True

        try:
            model = _build(request.plan, row.label, device)
            trial = partial(fits, model, row, protocol, stopped)
            found = sampling.largest_that_fits(trial, row.batch_size, LARGEST_BATCH)
        except (Exception, SystemExit) as error:
            found, stopped = 0, [describe_error(error)]
        report({"event": "largest", "row": row, "batch_size": found, "stopped": "".join(stopped),
                "is_bound": found == LARGEST_BATCH})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Contestant:
    """A row under way: its step, how it was warmed up, the memory that this took, and what lies before that."""

    row: RowKey
    step: Step
    warm_up: WarmUp
    memory_bytes: int | None
    place: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class _Round:
    """What all blocks share."""

    plan: TimingPlan
    number: int
    rule: SamplingRule
    device: torch.device
    watch: Stopwatch
    pristine: Mapping[Precision, dict[str, object]]
    report: Report

    def run(self, block: Block) -> None:
        """Let the rows of one block take their turns."""
        free_memory(self.device)
        forget_graphs(self.plan.protocol)
        self.report({"event": "block_started", "block": block})
        meter = LoadMeter()
        # In turn too: who is built first gets another kind of memory than who comes after.
        order = sampling.in_turn(range(len(block.rows)), self.number)
        entered = {index: one for index in order if (one := self._enter(block.rows[index])) is not None}
        contestants = [entered[index] for index in sorted(entered)]
        chunks = sampling.take_turns([self._contender(one) for one in contestants], self.number, self.rule)
        turns = {
            one.row: Turns(chunk=chunks[index], warm_up=one.warm_up, memory_bytes=one.memory_bytes)
            for index, one in enumerate(contestants)
            if index in chunks
        }
        self.report({"event": "round", "block": block, "turns": turns, "others_cores": meter.others_cores()})

    def _enter(self, row: RowKey) -> _Contestant | None:
        """Build and warm up one row; None if it fails."""
        self.report({"event": "turn", "row": row})
        try:
            protocol = self._protocol(row)
            place = move_memory()
            gauge = MemoryGauge(self.device)
            model = _build(self.plan, row.label, self.device)
            step = make_step(row.work, model, row.batch_size, protocol, self.device)
            warm_up = sampling.warm_up(lambda: self.watch(step), self.rule)
            backend.check_flags(self.pristine[row.precision])
        except (Exception, SystemExit) as error:
            self._fail(row, error)
            return None
        memory = gauge.taken_bytes() if self.device.type == "cuda" else None
        return _Contestant(row=row, step=step, warm_up=warm_up, memory_bytes=memory, place=place)

    def _contender(self, contestant: _Contestant) -> Contender:
        def contender(seconds: float) -> Chunk:
            # So that it is known whose fault it is if the process dies.
            self.report({"event": "turn", "row": contestant.row})
            try:
                self._protocol(contestant.row)
                meter = LoadMeter(load=lambda: None)  # a minute's average says nothing of a turn
                chunk = sampling.chunk(lambda: iterate(contestant.step, self.watch, self.device), seconds)
                others = meter.others_cores()
                backend.check_flags(self.pristine[contestant.row.precision])
            except (Exception, SystemExit) as error:
                self._fail(contestant.row, error)
                raise
            return crowded(chunk) if self.device.type == "cpu" and is_crowded(others) else chunk

        return contender

    def _protocol(self, row: RowKey) -> Protocol:
        """The row's protocol, applied."""
        protocol = self.plan.protocol_in(row.precision)
        backend.apply_protocol(protocol, self.plan.threads)
        return protocol

    def _fail(self, row: RowKey, error: BaseException) -> None:
        self.report({"event": "failed", "row": row, **_reason(error)})
        # Its frames hold the model and what it had computed.
        error.__traceback__ = None
        free_memory(self.device)
        self._protocol(row)
        try:
            backend.check_flags(self.pristine[row.precision])
        except ProtocolViolation:
            raise FlagsAreLost from None


def iterate(step: Step, watch: Stopwatch, device: torch.device) -> Iteration:
    """One iteration, and on a CPU how long its threads had to wait for others."""
    if device.type != "cpu":
        return Iteration(watch(step))
    before = waited_seconds()
    seconds = watch(step)
    waited = waited_seconds() - before
    if torch.get_num_threads() == 1 and waited < seconds:
        # One thread goes on where it was stopped; of several, the others wait for the one.
        return Iteration(seconds - waited)
    return Iteration(seconds, waited)


def is_crowded(others_cores: float | None) -> bool:
    """Whether others used so much of the processor that it slows a neighbour down; not where nobody can tell."""
    return others_cores is not None and others_cores > max(CROWDED_CORES, CROWDED_SHARE * available_cores())


def crowded(chunk: Chunk) -> Chunk:
    """The same iterations, marked as done while others computed."""
    return tuple(one._replace(is_crowded=True) for one in chunk)


def move_memory() -> torch.Tensor:
    """Take a piece of memory of random size, for as long as the result lives, so that what follows lies elsewhere.

    Children of one fork server get the same addresses, so that without it no number of them would show what
    another invocation, with other addresses, gets.
    """
    return torch.empty(PLACE_BYTES * secrets.randbelow(PLACES), dtype=torch.uint8)


def free_memory(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def forget_graphs(protocol: Protocol) -> None:
    """Drop what was compiled for models that are gone: it holds memory, and counts against the limit of graphs."""
    if protocol.compile:
        torch.compiler.reset()


def _build(plan: TimingPlan, label: str, device: torch.device) -> nn.Module:
    segmenter = plan.segmenter(label)
    return build_model(load_segmenter(segmenter, plan.plugin_files), segmenter, SEED).to(device)


def _reason(error: BaseException) -> dict[str, str]:
    return {"status": status_of(error), "reason": describe_error(error)}


def _touch_libraries(protocol: Protocol, device: torch.device) -> None:
    """Let torch load and start what it does at its first steps, which is no segmenter's memory."""
    model = nn.Conv2d(3, 1, 3, padding=1).to(device)
    for work in WORKS:
        make_step(work, model, 1, protocol, device)()


def _be_the_first_to_go() -> None:
    """Ask the system to end this process before any other when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
