"""The composition of a run: prepare the data, run each trial that is left, tell what happens.

The process that runs this never holds a model. Printing is the command's, through `observe`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbird.claims import claim
from benchbird.data.cache import PreparedData, prepare_splits
from benchbird.environment import available_cores
from benchbird.errors import Interrupted
from benchbird.execution.local import Ending, run_in_child
from benchbird.plan import Plan
from benchbird.reasons import without_paths
from benchbird.records import DataSummary, Environment, Status, TrialRecord
from benchbird.registry import Registry
from benchbird.results import RECORD_FILE, read_record
from benchbird.trial import (
    LOG_FILE,
    TrialRequest,
    finish_trial,
    make_record,
    read_attempt,
    reopen_trial,
    run_trial,
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
    )
    return prepared, summary


def run_trials(
    plan: Plan,
    prepared: PreparedData,
    summary: DataSummary,
    environment: Environment,
    registry: Registry,
    *,
    device: str,
    threads: int | None,
    observe: Observe,
) -> tuple[TrialRecord, ...]:
    """Run every trial that is left, one after another; the records of all trials of the plan.

    A trial that another run works on is waited for. A trial that fails leaves the others alone.
    """
    pending = list(plan.unended)
    records = {trial.folder: trial.record for trial in plan.trials if trial.record is not None}
    while pending:
        waiting = []
        for trial in pending:
            request = TrialRequest(
                folder=trial.folder,
                benchmark=plan.config.name,
                profile=plan.config.profile,
                study=plan.study,
                protocol=plan.protocol,
                data=summary,
                splits={name: split.folder for name, split in prepared.splits.items()},
                segmenter=trial.segmenter,
                plugin_files=plan.plugin_files,
                seed=trial.seed,
                device=device,
                threads=threads,
                initialisation_seed=trial.initialisation_seed,
            )
            record = _run_claimed(request, plan, environment, observe)
            if record is None:
                waiting.append(trial)
                continue
            records[trial.folder] = record
            registry.notify_finished(record)
        if len(waiting) == len(pending):
            observe({"event": "waiting", "trials": len(waiting)})
            time.sleep(POLL_S)
        pending = waiting
    return tuple(records[trial.folder] for trial in plan.trials)


def _run_claimed(request: TrialRequest, plan: Plan, environment: Environment, observe: Observe) -> TrialRecord | None:
    """Run one trial under a claim; None while another run works on it."""
    place = {"label": request.segmenter.label, "seed": request.seed, "folder": request.folder}
    held = claim(request.folder)
    if held is None:
        return None
    with held:
        if (request.folder / RECORD_FILE).exists():
            record = read_record(request.folder / RECORD_FILE)
            observe({"event": "trial_ended", **place, "record": record})
            return record
        observe({"event": "trial_started", **place})
        ending = run_in_child(
            run_trial,
            request,
            log=request.folder / LOG_FILE,
            on_event=lambda event: observe({**event, **place}),
            timeout_s=plan.config.limits.trial_seconds,
        )
        if (request.folder / RECORD_FILE).exists():
            record = read_record(request.folder / RECORD_FILE)
        elif ending.was_asked:
            raise Interrupted(
                f"{request.segmenter.label} seed {request.seed} was asked to end from outside (SIGTERM); "
                "the same command goes on where it stopped"
            )
        else:
            record = _record_of_death(request, ending, plan, environment)
            finish_trial(request.folder, record)
    observe({"event": "trial_ended", **place, "record": record})
    return record


def _record_of_death(request: TrialRequest, ending: Ending, plan: Plan, environment: Environment) -> TrialRecord:
    """The record of a trial whose process ended without leaving one."""
    status: Status = "timeout" if ending.timed_out else "failed"
    if ending.timed_out:
        limit = plan.config.limits.trial_seconds
        reason = f"ran longer than limits.trial_seconds ({limit:g} s) and was ended"
    else:
        reason = f"its process {ending.cause}"
        if ending.exit_code >= 0:
            reason += " and left no record"
    last = _last_line(request.folder / LOG_FILE)
    if last:
        reason += f"; last line of {LOG_FILE}: {last}"
    return make_record(request, status, reason, read_attempt(request.folder), environment=environment)


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 4096))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return without_paths("".join(char for char in lines[-1] if char.isprintable()))[:200] if lines else ""


def reopen_failed(plan: Plan) -> Plan:
    """The plan with every trial that ended otherwise than `done` opened again, its attempts counted on."""
    trials = []
    for trial in plan.trials:
        if trial.record is not None and trial.record.status != "done":
            reopen_trial(trial.folder, trial.record)
            trial = replace(trial, state="new", record=None)
        trials.append(trial)
    return replace(plan, trials=tuple(trials))
