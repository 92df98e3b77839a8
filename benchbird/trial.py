"""One trial, in this process: build, train or calibrate, select, test once, time, leave a record.

Writes only inside its own folder, the record last. Starting, watching and ending the process is
`execution/`; what is trained how is `training.py`.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchbird import backend, timing
from benchbird.batches import ResidentSplit
from benchbird.checkpoint import load_checkpoint, save_checkpoint, serialize
from benchbird.contract import SegmenterSpec
from benchbird.data.prepared import load_split
from benchbird.durable import make_folder, write_durably, write_json_durably
from benchbird.environment import capture_environment
from benchbird.errors import Diverged, PluginError, ProtocolViolation
from benchbird.evaluation import predict_split, write_predictions
from benchbird.protocol import Protocol
from benchbird.records import (
    SCHEMA_VERSION,
    DataSummary,
    Environment,
    SegmenterIdentity,
    SplitScores,
    Status,
    Timing,
    TrialRecord,
)
from benchbird.registry import SEGMENTERS, load_registry
from benchbird.results import RECORD_FILE, add_record
from benchbird.seeding import derive_seed, seed_everything
from benchbird.training import Training, clone_weights, compiled, start_training, train

PREDICTIONS_FILE = "predictions.npz"
WEIGHTS_FILE = "weights.safetensors"
CURVE_FILE = "curve.jsonl"
STATUS_FILE = "status.json"
CHECKPOINT_FOLDER = "checkpoint"
LOG_FILE = "log.txt"

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """Everything a trial needs to know, picklable.

    Attributes:
        folder: where the trial writes.
        benchmark: name of the benchmark.
        profile: name of the profile.
        study: the study's digest.
        protocol: the recipe.
        data: summary for the record.
        splits: split name → folder of the prepared split.
        segmenter: which one, with its options and the hash of its source.
        plugin_files: plugins that the user named.
        seed: of the trial.
        device: torch device name.
        threads: for torch on the CPU; None leaves torch's choice.
    """

    folder: Path
    benchmark: str
    profile: str
    study: str
    protocol: Protocol
    data: DataSummary
    splits: Mapping[str, Path]
    segmenter: SegmenterIdentity
    plugin_files: tuple[Path, ...]
    seed: int
    device: str
    threads: int | None

    @property
    def identity(self) -> str:
        """Tells this trial's checkpoint from any other's."""
        segmenter = self.segmenter
        options = json.dumps(dict(segmenter.options), sort_keys=True)
        return "/".join([self.study, segmenter.name, segmenter.source_sha256, options, str(self.seed)])


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What is known of a trial that has begun: its first start, and how often and how long it ran."""

    started_at: str
    attempts: int
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a trial that ran to its end found."""

    best_epoch: int | None
    scores: SplitScores
    timing: Timing


def run_trial(request: TrialRequest, report: Report) -> TrialRecord:
    """Run a trial to its end and leave its record; go on from its checkpoint where there is one.

    Whatever the segmenter raises ends up in the record; only an interrupt passes through.

    Args:
        request: the trial.
        report: gets one mapping per event, `{"event": "epoch", …}`.
    """
    make_folder(request.folder)
    before = begin_attempt(request.folder)
    started = time.monotonic()

    def so_far() -> Attempt:
        return replace(before, duration_s=before.duration_s + time.monotonic() - started)

    try:
        outcome = _execute(request, report, lambda: _write_status(request.folder, "running", so_far()))
        record = make_record(request, "done", "", so_far(), outcome=outcome)
    except KeyboardInterrupt:
        _write_status(request.folder, "interrupted", so_far())
        raise
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        record = make_record(request, _status_of(error), describe_error(error), so_far())
    finish_trial(request.folder, record)
    return record


def begin_attempt(folder: Path) -> Attempt:
    """Count one more attempt at the trial in `folder`, and write that down."""
    attempt = read_attempt(folder)
    attempt = replace(attempt, attempts=attempt.attempts + 1)
    _write_status(folder, "running", attempt)
    return attempt


def read_attempt(folder: Path) -> Attempt:
    """How often and how long the trial in `folder` ran, from its `status.json`; zero where it has none."""
    try:
        known = json.loads((folder / STATUS_FILE).read_text())
        return Attempt(
            started_at=str(known["started_at"]),
            attempts=int(known["attempts"]),
            duration_s=float(known["duration_s"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Attempt(started_at=datetime.now(UTC).isoformat(timespec="seconds"), attempts=0, duration_s=0.0)


def finish_trial(folder: Path, record: TrialRecord) -> None:
    """Write the record, then remove what only a trial under way needs."""
    add_record(folder, record)
    (folder / STATUS_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINT_FOLDER, ignore_errors=True)


def reopen_trial(folder: Path, record: TrialRecord) -> None:
    """Make an ended trial one that is to be run again from its beginning; its attempts are counted on."""
    before = Attempt(started_at=record.started_at, attempts=record.attempts, duration_s=record.duration_s)
    _write_status(folder, "reopened", before)
    for name in (RECORD_FILE, CURVE_FILE, PREDICTIONS_FILE, WEIGHTS_FILE):
        (folder / name).unlink(missing_ok=True)


def make_record(
    request: TrialRequest,
    status: Status,
    reason: str,
    attempt: Attempt,
    *,
    outcome: Outcome | None = None,
    environment: Environment | None = None,
) -> TrialRecord:
    """The record of an ended trial."""
    return TrialRecord(
        schema=SCHEMA_VERSION,
        status=status,
        reason=reason,
        segmenter=request.segmenter,
        seed=request.seed,
        benchmark=request.benchmark,
        profile=request.profile,
        study=request.study,
        protocol={**request.protocol.as_dict(), "digest": request.protocol.digest},
        data=request.data,
        best_epoch=outcome.best_epoch if outcome else None,
        scores=outcome.scores if outcome else None,
        predictions_file=PREDICTIONS_FILE if outcome else None,
        weights_file=WEIGHTS_FILE if outcome else None,
        timing=outcome.timing if outcome else None,
        environment=environment or capture_environment(torch.device(request.device)),
        started_at=attempt.started_at,
        duration_s=round(attempt.duration_s, 3),
        attempts=attempt.attempts,
    )


def load_segmenter(request: TrialRequest) -> SegmenterSpec:
    """The segmenter of the request, from the very source whose hash the request carries.

    Raises:
        PluginError: it is gone, or its source changed since the run was planned.
    """
    name = request.segmenter.name
    registry = load_registry(request.plugin_files, groups={SEGMENTERS})
    if name not in registry.segmenters:
        problems = "; ".join(registry.warnings) or "no plugin offers it any more"
        raise PluginError(f"segmenter {name} can't be loaded: {problems}")
    offer = registry.segmenters[name]
    if offer.plugin.source_sha256 != request.segmenter.source_sha256:
        raise PluginError(f"segmenter {name}: {offer.plugin.provenance} changed while the run was under way; run again")
    return offer.spec


def _execute(request: TrialRequest, report: Report, save_status: Callable[[], None]) -> Outcome:
    protocol, device = request.protocol, torch.device(request.device)
    flags = backend.apply_protocol(protocol, request.threads)
    spec = load_segmenter(request)
    seed_everything(derive_seed(request.seed, "build"))
    model = spec.build(**request.segmenter.options)
    if not isinstance(model, nn.Module):
        raise ProtocolViolation(f"build returned {type(model).__name__}, expected a torch.nn.Module")
    model = model.to(device)
    backend.check_flags(flags)

    training: Training | None = None
    resumed_at = 0
    if spec.calibrate is not None:
        train_split = ResidentSplit(load_split(request.splits["train"]), protocol, device)
        spec.calibrate(model, _CalibrationBatches(train_split, protocol.batch_size))
        backend.check_flags(flags)
    else:
        training = start_training(model, protocol)
        resumed_at = _resume(request, training)
        _train(request, training, flags, report, save_status)
        model.load_state_dict(training.best_weights)

    report({"event": "testing"})
    runnable = compiled(model, protocol)
    val = predict_split(runnable, load_split(request.splits["val"]), protocol, device)
    # The one and only reading of the test split: everything is decided by now.
    test = predict_split(runnable, load_split(request.splits["test"]), protocol, device)
    backend.check_flags(flags)
    write_durably(request.folder / WEIGHTS_FILE, serialize(clone_weights(model)))
    write_predictions(request.folder / PREDICTIONS_FILE, test, val)
    report({"event": "timing"})
    measured = timing.measure(model, protocol, device, training.epochs[resumed_at:] if training else ())
    backend.check_flags(flags)
    return Outcome(
        best_epoch=training.best_epoch if training else None,
        scores=SplitScores(val=val.scores(), test=test.scores()),
        timing=measured,
    )


def _resume(request: TrialRequest, training: Training) -> int:
    """Take up the checkpoint if there is one; the number of epochs already done."""
    checkpoints = make_folder(request.folder / CHECKPOINT_FOLDER)
    notice = load_checkpoint(checkpoints, request.identity, training)
    if notice:
        print(notice)
    return len(training.epochs)


def _train(
    request: TrialRequest,
    training: Training,
    flags: dict[str, object],
    report: Report,
    save_status: Callable[[], None],
) -> None:
    protocol, device = request.protocol, torch.device(request.device)
    # Written anew from the checkpoint's epochs, so that a resumed curve has each epoch once.
    _write_curve(request.folder, training)

    def after_epoch(state: Training) -> None:
        backend.check_flags(flags)
        save_checkpoint(request.folder / CHECKPOINT_FOLDER, request.identity, state)
        _write_curve(request.folder, state)
        save_status()
        report({"event": "epoch", "best_epoch": state.best_epoch, **asdict(state.epochs[-1])})

    train(
        training,
        ResidentSplit(load_split(request.splits["train"]), protocol, device),
        ResidentSplit(load_split(request.splits["val"]), protocol, device),
        protocol,
        seed=request.seed,
        after_epoch=after_epoch,
    )


class _CalibrationBatches:
    """The training split's prepared batches in order; can be iterated again and again."""

    def __init__(self, split: ResidentSplit, batch_size: int) -> None:
        self._split = split
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, len(self._split), self._batch_size):
            stop = min(start + self._batch_size, len(self._split))
            index = torch.arange(start, stop, device=self._split.device)
            yield self._split.pictures(index), self._split.targets(index)


def _write_curve(folder: Path, training: Training) -> None:
    lines = [json.dumps(asdict(epoch), allow_nan=False) + "\n" for epoch in training.epochs]
    write_durably(folder / CURVE_FILE, "".join(lines).encode())


def _write_status(folder: Path, status: str, attempt: Attempt) -> None:
    write_json_durably(folder / STATUS_FILE, {"status": status, **asdict(attempt)})


_OUT_OF_MEMORY_SIGNS = ("can't allocate memory", "ALLOC_FAILED", "out of memory")


def _status_of(error: BaseException) -> Status:
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, ProtocolViolation):
        return "protocol_violation"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "out_of_memory"
    # The CPU's allocator and CUDA's libraries raise a plain RuntimeError.
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY_SIGNS):
        return "out_of_memory"
    return "failed"


def describe_error(error: BaseException) -> str:
    """One line that may be published: type, message without paths, and the deepest line of code."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    own = isinstance(error, Diverged | ProtocolViolation | PluginError)
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # a plugin's own exception may fail to describe itself
        lines = []
    message = without_paths(lines[0][:4096] if lines else "no message")
    return message[:500] if own else f"{type(error).__name__}: {message[:500]}{place}"


_DRIVE = r"(?:[A-Za-z]:)?"
_NAME = r"[^\s\\/'\":;,()]+"
_SOMEONES_HOME = re.compile(rf"(?<![\w.]){_DRIVE}(?:\\+|/)(?:(?:home|Users)(?:\\+|/){_NAME}|root(?![\w.-]))")
_QUOTED_PATH = re.compile(rf"(['\"])(?:~|{_DRIVE})(?:\\+|/)[^'\"]*[\\/]([^'\"\\/]*)\1")
_PATH = re.compile(
    rf"(?<![\w./])(?:file://)?(?:~|{_DRIVE}(?:\\+|/){_NAME})(?:\\+|/)(?:{_NAME}(?:\\+|/))*((?:{_NAME})?)"
)


def without_paths(text: str) -> str:
    """The text with every absolute path cut down to its last part: a record is meant to be published.

    A home folder, whose last part would be a user's name, becomes `~`. Web addresses stay.
    """
    with contextlib.suppress(RuntimeError):  # where there is no telling the home
        home = Path.home()
        if home != Path(home.anchor):
            text = text.replace(str(home), "~")
    text = _SOMEONES_HOME.sub("~", text)
    text = _QUOTED_PATH.sub(r"\1\2\1", text)  # a quoted path may hold spaces
    return _PATH.sub(r"\1", text)
