"""The composition of a run: prepare the data, run each trial that is left, tell what happens.

The process that runs this never holds a model. Printing is the command's, through `observe`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbird.claims import ClaimTicket, Watch, claim
from benchbird.data.cache import PreparedData, prepare_splits
from benchbird.data.picture_frames import median_frames
from benchbird.environment import available_cores
from benchbird.errors import BenchbirdError, DiskRefused, Interrupted, ResultsError
from benchbird.execution.local import Bounds, Ending, run_in_child
from benchbird.plan import Plan, PlannedTrial
from benchbird.reasons import without_paths
from benchbird.records import DataSummary, Environment, Status, TrialRecord
from benchbird.registry import Registry
from benchbird.results import LOG_FILE, RECORD_FILE, read_record
from benchbird.slots import WHOLE_MACHINE, Slot
from benchbird.speeds import Speeds, TrialLimits, trial_limits
from benchbird.trial import TrialRequest, make_record, run_trial
from benchbird.trial_folder import (
    finish_trial,
    mark_interrupted,
    read_attempt,
    refuse_links,
    reopen_trial,
    settle_trial,
)

Observe = Callable[[Mapping[str, Any]], None]

POLL_S = 1.0
"""How often to look whether a trial that another run works on has ended."""


def prepare(plan: Plan, cache: Path) -> tuple[PreparedData, DataSummary]:
    """Decode, shrink and cache the splits; the prepared data and their summary for the records.

    Raises:
        DataError: lists every file that can't be used.
    """
    data, protocol = plan.data, plan.protocol
    prepared = prepare_splits(
        data.splits, protocol.image_size, cache, resize=protocol.resize, workers=available_cores()
    )
    summary = DataSummary(
        name=data.dataset,
        digest=data.digest,
        content_sha256=prepared.content_sha256,
        n_train=len(data.splits["train"]),
        n_val=len(data.splits["val"]),
        n_test=len(data.splits["test"]),
        n_recordings_test=data.n_recordings("test"),
        leaks_allowed=data.leaks,
        ceiling_iou_native=prepared.splits["test"].ceiling_iou,
        fold=data.fold,
        picture_frames=median_frames(prepared.splits["train"]),
    )
    return prepared, summary


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a run computes with.

    Attributes:
        environment: of this machine, for the record of a trial whose process left none.
        device: `cpu`, `cuda` or `mps`.
        slots: room for trials at the same time, all alike.
        limits: label → when its trials are ended.
    """

    environment: Environment
    device: str
    slots: tuple[Slot, ...] = WHOLE_MACHINE
    limits: Mapping[str, TrialLimits]


def run_plan(
    plan: Plan,
    cache: Path,
    registry: Registry,
    speeds: Speeds | None,
    *,
    device: str,
    slots: tuple[Slot, ...] = WHOLE_MACHINE,
    observe: Observe,
) -> tuple[TrialRecord, ...]:
    """Prepare the data and run the trials that are left; the records of all trials of the plan.

    Args:
        plan: of the run.
        cache: folder of prepared data.
        registry: whose observers hear of each ended trial.
        speeds: what was found of this machine; None where no trial is left.
        device: `cpu`, `cuda` or `mps`.
        slots: room for trials at the same time.
        observe: called with every event, never by two threads at once.

    Raises:
        BenchbirdError: the probe of this machine ended without an answer, or as `prepare`.
        Interrupted: a trial was asked to end from outside.
    """
    if speeds is None or not plan.unended:
        return tuple(trial.record for trial in plan.trials if trial.record is not None)
    if speeds.environment is None:
        raise BenchbirdError(
            "the probe of this machine ended without an answer: a process could not be started, or was killed; "
            "run the command again as `benchbird -v …`"
        )
    prepared, summary = prepare(plan, cache)
    limits = trial_limits(plan, speeds.by_label)
    machine = Machine(environment=speeds.environment, device=device, slots=slots, limits=limits)
    return run_trials(plan, prepared, summary, registry, machine, observe)


def run_trials(
    plan: Plan,
    prepared: PreparedData,
    summary: DataSummary,
    registry: Registry,
    machine: Machine,
    observe: Observe,
) -> tuple[TrialRecord, ...]:
    """Run every trial that is left, as many at a time as there are slots; the records of all trials of the plan.

    A trial that another run works on is waited for. A trial that fails leaves the others alone. Whatever ends this
    function ends the trials under way.

    Args:
        plan: of the run.
        prepared: its data.
        summary: of them, for the records.
        registry: whose observers hear of each ended trial.
        machine: what to compute with.
        observe: called with every event, never by two threads at once.
    """
    telling = threading.Lock()

    def tell(event: Mapping[str, Any]) -> None:
        with telling:
            observe(event)

    workshop = _Workshop(plan=plan, prepared=prepared, summary=summary, machine=machine, tell=tell)
    pending = list(plan.unended)
    records = {trial.folder: trial.record for trial in plan.trials if trial.record is not None}
    while pending:
        waiting = []
        # Closed at once, whatever happens in here: only then do the trials under way end.
        with contextlib.closing(workshop.run(pending)) as ended:
            for trial, record in ended:
                if record is None:
                    waiting.append(trial)
                    continue
                records[trial.folder] = record
                registry.notify_finished(record, trial.folder)
        if len(waiting) == len(pending):
            tell({"event": "waiting", "trials": len(waiting)})
            time.sleep(POLL_S)
        pending = waiting
    return tuple(records[trial.folder] for trial in plan.trials)


class _Workshop:
    """Trials in the slots of a run."""

    def __init__(
        self, *, plan: Plan, prepared: PreparedData, summary: DataSummary, machine: Machine, tell: Observe
    ) -> None:
        self._plan = plan
        self._prepared = prepared
        self._summary = summary
        self._machine = machine
        self._tell = tell
        self._watch = Watch()
        self._stop = threading.Event()
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in machine.slots:
            self._free.put(slot)

    def run(self, trials: Sequence[PlannedTrial]) -> Generator[tuple[PlannedTrial, TrialRecord | None]]:
        """Each trial with its record as soon as it has ended; with None where another run works on it."""
        pool = ThreadPoolExecutor(len(self._machine.slots), thread_name_prefix="slot")
        try:
            futures = {pool.submit(self._run_in_slot, trial): trial for trial in trials}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            self._stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _run_in_slot(self, trial: PlannedTrial) -> TrialRecord | None:
        slot = self._free.get()  # there are as many as threads
        try:
            return self._run_claimed(trial, slot)
        finally:
            self._free.put(slot)

    def _run_claimed(self, trial: PlannedTrial, slot: Slot) -> TrialRecord | None:
        """Run one trial under a claim; None while another run works on it."""
        label, folder = trial.segmenter.label, trial.folder
        place = {"label": label, "seed": trial.seed, "folder": folder}
        refuse_links(folder)
        held = claim(folder, self._watch)
        if held is None:
            return None
        with held:
            if (folder / RECORD_FILE).exists():
                record = read_record(folder / RECORD_FILE)
                if record != trial.failed:
                    self._tell({"event": "trial_ended", **place, "record": record})
                    return record
                reopen_trial(folder, record)
            self._tell({"event": "trial_started", **place})
            limits = self._machine.limits[label]
            bounds = Bounds(wall_s=limits.wall_s, silence_s=limits.silence_s, stop=self._stop, lost=held.lost)
            request = self._request(trial, slot, held.ticket)
            refusals: list[str] = []

            def hear(event: Mapping[str, Any]) -> None:
                if event["event"] == "disk_refused":
                    refusals.append(event["reason"])
                else:
                    self._tell({**event, **place})

            ending = run_in_child(
                run_trial, request, log=folder / LOG_FILE, on_event=hear, bounds=bounds, place=slot.place
            )
            if not held.ticket.is_valid():
                self._tell({"event": "claim_lost", **place})
                return None
            if refusals:
                raise DiskRefused(refusals[0])
            if (folder / RECORD_FILE).exists():
                record = read_record(folder / RECORD_FILE)
                if ending.exit_code != 0:  # killed behind its record, before it was sure to outlast a power cut
                    settle_trial(folder)
            elif ending.was_asked or ending.ended_for == "server":
                mark_interrupted(folder, request.protocol.epochs)
                raise _interruption(trial, ending)
            else:
                record = _record_of_death(request, ending, bounds, self._environment(slot))
                finish_trial(folder, record)
        self._tell({"event": "trial_ended", **place, "record": record})
        return record

    def _request(self, trial: PlannedTrial, slot: Slot, ticket: ClaimTicket) -> TrialRequest:
        plan = self._plan
        return TrialRequest(
            folder=trial.folder,
            benchmark=plan.config.name,
            profile=plan.config.profile,
            study=plan.study,
            protocol=plan.protocol,
            data=self._summary,
            splits={name: split.folder for name, split in self._prepared.splits.items()},
            segmenter=trial.segmenter,
            plugin_files=plan.plugin_files,
            seed=trial.seed,
            device=self._machine.device,
            threads=slot.threads,
            initialisation_seed=trial.initialisation_seed,
            ticket=ticket,
        )

    def _environment(self, slot: Slot) -> Environment:
        """As a trial in this slot would describe it."""
        known = self._machine.environment
        cores, threads = slot.place.cores, slot.threads
        return replace(
            known,
            cores=known.cores if cores is None else len(cores),
            threads=known.threads if threads is None else threads,
        )


def _interruption(trial: PlannedTrial, ending: Ending) -> BenchbirdError:
    which = f"{trial.segmenter.label} seed {trial.seed}"
    if ending.was_asked:
        return Interrupted(f"{which} was asked to end (SIGTERM); the same command goes on where it stopped")
    return ResultsError(
        f"{which}: the process that starts trials was killed from outside, so nobody knows how this one ended; "
        "run again, it goes on at its last epoch"
    )


def _record_of_death(request: TrialRequest, ending: Ending, bounds: Bounds, environment: Environment) -> TrialRecord:
    """The record of a trial whose process ended without leaving one."""
    status: Status = "timeout" if ending.ended_for else "out_of_memory" if ending.ran_out_of_memory else "failed"
    if ending.ended_for == "time":
        reason = f"ran longer than limits.trial_seconds ({bounds.wall_s:g} s) and was ended"
    elif ending.ended_for == "silence":
        reason = f"gave no sign of progress for {bounds.silence_s:g} s (limits.silent_seconds) and was ended"
    else:
        reason = f"its process {ending.cause}"
        if ending.exit_code >= 0:
            reason += " and left no record"
    reason += _last_words(request.folder)
    return make_record(request, status, reason, read_attempt(request.folder), environment=environment)


def _last_words(folder: Path) -> str:
    """What a trial's log ends with, as the end of a sentence; empty where it says nothing."""
    try:
        with (folder / LOG_FILE).open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 4096))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    if not lines:
        return ""
    last = without_paths("".join(char for char in lines[-1] if char.isprintable()))[:200]
    return f"; last line of {LOG_FILE}: {last}"


def reopen_failed(plan: Plan) -> Plan:
    """The plan with every trial that ended otherwise than `done` to be run again; nothing is removed yet.

    Its record goes once the trial is claimed, since another run may be about the same.
    """
    return replace(plan, trials=tuple(map(_reopened, plan.trials)))


def _reopened(trial: PlannedTrial) -> PlannedTrial:
    if trial.record is None or trial.record.status == "done":
        return trial
    return replace(trial, state="new", record=None, failed=trial.record)
