"""One trial, in this process: build, train or calibrate, select, test once, time, leave a record.

Writes only inside its own folder, the record last. Starting, watching and ending the process is
`execution/`; what is trained how is `training.py`.
"""

from __future__ import annotations

import contextlib
import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchbird import backend, timing
from benchbird.batches import ResidentSplit
from benchbird.checkpoint import load_checkpoint, save_checkpoint, serialize
from benchbird.claims import ClaimTicket
from benchbird.compilation import compiled
from benchbird.data.prepared import PreparedSplit, load_split
from benchbird.durable import file_sha256, make_folder, write_durably
from benchbird.environment import capture_environment
from benchbird.errors import ClaimLost, DiskRefused
from benchbird.evaluation import Prediction, predict_split
from benchbird.models import build_model, load_segmenter
from benchbird.predictions import Predictions, write_predictions
from benchbird.protocol import Protocol
from benchbird.reasons import describe_error, status_of
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
from benchbird.results import CHECKPOINT_FOLDER, CURVE_FILE, RECORD_FILE
from benchbird.training import Training, clone_weights, start_training, train
from benchbird.trial_folder import (
    LASTING_FILES,
    PREDICTIONS_FILE,
    WEIGHTS_FILE,
    Attempt,
    epochs_in_curve,
    finish_trial,
    read_attempt,
    remove_traces,
    write_status,
)

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
        initialisation_seed: what the weights are drawn from; None for `seed`, as in every ranked trial.
        ticket: of the claim under which it writes; None where nobody else can.
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
    initialisation_seed: int | None = None
    ticket: ClaimTicket | None = None

    @property
    def build_seed(self) -> int:
        """What the weights are drawn from."""
        return self.seed if self.initialisation_seed is None else self.initialisation_seed

    @property
    def identity(self) -> str:
        """Tells this trial's checkpoint from any other's."""
        segmenter = self.segmenter
        options = json.dumps(dict(segmenter.options), sort_keys=True)
        seeds = f"{self.seed}" if self.build_seed == self.seed else f"{self.seed}+{self.build_seed}"
        return "/".join([self.study, segmenter.name, segmenter.source_sha256, options, seeds])

    def check_claim(self) -> None:
        """Ask before each writing.

        Raises:
            ClaimLost: the trial is another run's by now.
        """
        if self.ticket is not None:
            self.ticket.check()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a trial that ran to its end found."""

    best_epoch: int | None
    scores: SplitScores
    last_epoch: SplitScores | None
    timing: Timing


def run_trial(request: TrialRequest, report: Report) -> TrialRecord:
    """Run a trial to its end and leave its record; go on from its checkpoint where there is one.

    Whatever the segmenter raises ends up in the record. What is none of its doing leaves no record, and the trial goes
    on another time.

    Args:
        request: the trial.
        report: gets one mapping per event, `{"event": "epoch", …}`.

    Raises:
        KeyboardInterrupt: it was asked to end.
        DiskRefused: its files could not be written; reported before as the event `disk_refused`.
        ClaimLost: another run has taken it over.
    """
    make_folder(request.folder)
    before = read_attempt(request.folder)
    before = replace(before, attempts=before.attempts + 1)
    started = time.monotonic()

    def so_far() -> Attempt:
        return replace(before, duration_s=before.duration_s + time.monotonic() - started)

    def note(status: str) -> None:
        write_status(request.folder, status, so_far(), request.protocol.epochs)

    try:
        note("running")
        try:
            outcome = _execute(request, report, lambda: note("running"))
            record = make_record(request, "done", "", so_far(), outcome=outcome)
        except (DiskRefused, ClaimLost):
            raise
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            record = make_record(request, status_of(error), describe_error(error), so_far())
        request.check_claim()
        finish_trial(request.folder, record)
    except (KeyboardInterrupt, DiskRefused) as error:
        if isinstance(error, DiskRefused):
            report({"event": "disk_refused", "reason": str(error)})
        if (request.folder / RECORD_FILE).exists():
            remove_traces(request.folder)  # it has ended
        else:
            request.check_claim()
            with contextlib.suppress(DiskRefused):
                note("interrupted")
        raise
    return record


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
        initialisation_seed=request.build_seed,
        benchmark=request.benchmark,
        profile=request.profile,
        study=request.study,
        protocol={**request.protocol.as_dict(), "digest": request.protocol.digest},
        data=request.data,
        best_epoch=outcome.best_epoch if outcome else None,
        scores=outcome.scores if outcome else None,
        last_epoch=outcome.last_epoch if outcome else None,
        predictions_file=PREDICTIONS_FILE if outcome else None,
        weights_file=WEIGHTS_FILE if outcome else None,
        files={name: file_sha256(request.folder / name) for name in LASTING_FILES if (request.folder / name).is_file()},
        timing=outcome.timing if outcome else None,
        environment=environment or capture_environment(torch.device(request.device)),
        started_at=attempt.started_at,
        duration_s=round(attempt.duration_s, 3),
        attempts=attempt.attempts,
    )


def _execute(request: TrialRequest, report: Report, save_status: Callable[[], None]) -> Outcome:
    protocol, device = request.protocol, torch.device(request.device)
    flags = backend.apply_protocol(protocol, request.threads)
    spec = load_segmenter(request.segmenter, request.plugin_files)
    model = build_model(spec, request.segmenter, request.build_seed).to(device)
    backend.check_flags(flags)

    training: Training | None = None
    resumed_at = 0
    if spec.calibrate is not None:
        train_split = ResidentSplit(load_split(request.splits["train"]), protocol, device)
        spec.calibrate(model, _CalibrationBatches(train_split, protocol.batch_size))
        backend.check_flags(flags)
    else:
        training = start_training(model, protocol)
        resumed_at = _resume(request, training, report)
        _train(request, training, flags, report, save_status)

    report({"event": "testing"})
    final = _predict_finally(request, model, training)
    backend.check_flags(flags)
    request.check_claim()
    write_durably(request.folder / WEIGHTS_FILE, serialize(clone_weights(model)))
    write_predictions(request.folder / PREDICTIONS_FILE, final.predictions())
    report({"event": "timing"})
    measured = timing.measure(model, protocol, device, training.epochs[resumed_at:] if training else ())
    backend.check_flags(flags)
    return Outcome(
        best_epoch=training.best_epoch if training else None,
        scores=SplitScores(val=final.val.scores(), test=final.test.scores()),
        last_epoch=SplitScores(val=final.last_val.scores(), test=final.last_test.scores())
        if final.last_val is not None and final.last_test is not None
        else None,
        timing=measured,
    )


@dataclass(frozen=True, kw_only=True)
class _FinalPredictions:
    """What the selected weights say of `val` and `test`, and what those of the last epoch say."""

    split: PreparedSplit
    val: Prediction
    test: Prediction
    last_val: Prediction | None
    last_test: Prediction | None

    def predictions(self) -> Predictions:
        """All of it, as the predictions file keeps it."""
        return Predictions(
            image_size=self.split.masks.shape[-1],
            sample_ids=self.split.sample_ids,
            recording_ids=self.split.recording_ids,
            attributes=self.split.attributes,
            test=self.test.counts,
            val=self.val.counts,
            last_test=self.last_test.counts if self.last_test is not None else None,
            last_val=self.last_val.counts if self.last_val is not None else None,
            histogram=self.test.histogram,
            val_histogram=self.val.histogram,
            predicted=self.test.predicted,
            reference=self.test.reference,
        )


def _predict_finally(request: TrialRequest, model: nn.Module, training: Training | None) -> _FinalPredictions:
    """The only reading of the test split, when everything is decided; `model` ends with the selected weights."""
    val, test = (load_split(request.splits[name]) for name in ("val", "test"))
    runnable = compiled(model, request.protocol)

    def predict(split: PreparedSplit) -> Prediction:
        return predict_split(runnable, split, request.protocol, torch.device(request.device))

    last_val = last_test = None
    if training is not None:
        # Training left the last epoch's weights in the model: they are scored first, for comparison alone.
        last_val, last_test = predict(val), predict(test)
        model.load_state_dict(training.best_weights)
    is_same = training is not None and training.best_epoch == len(training.epochs)
    return _FinalPredictions(
        split=test,
        val=last_val if is_same and last_val is not None else predict(val),
        test=last_test if is_same and last_test is not None else predict(test),
        last_val=last_val,
        last_test=last_test,
    )


def _resume(request: TrialRequest, training: Training, report: Report) -> int:
    """Take up the checkpoint if there is one; the number of epochs already done."""
    checkpoints = make_folder(request.folder / CHECKPOINT_FOLDER)
    notice = load_checkpoint(checkpoints, request.identity, training)
    if not notice and not training.epochs and epochs_in_curve(request.folder):
        notice = f"{CHECKPOINT_FOLDER}: gone, though epochs were done; starting from the beginning"
    if notice:
        print(notice)
        report({"event": "notice", "text": notice})
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
        request.check_claim()
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
