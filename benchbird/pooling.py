"""The folds of a cross-validation as one study: every recording tested once, by a model that never saw it.

Owns how the trials of a segmenter and seed over all folds become one, in memory; nothing is written. Records
alone tell which trials are whole, so that predictions are read of the study that was chosen and of no other.
Which records are folds of one cross-validation is for `studies.py`.
"""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchbird import metrics
from benchbird.environment import describe_machine
from benchbird.errors import ResultsError
from benchbird.plain_text import plain_text
from benchbird.predictions import Predictions, SplitCounts, read_predictions
from benchbird.protocol import study_digest
from benchbird.record_json import started_moment
from benchbird.records import DataSummary, Fold, Latency, Scores, SplitScores, Throughput, Timing, TrialRecord
from benchbird.results import RECORD_FILE, FoundRecord, trial_hash


def open_predictions(found: FoundRecord) -> Predictions:
    """The predictions of a trial; of a pooled one, those of all its folds together.

    Raises:
        ResultsError: a file is missing or damaged, or those of the folds don't fit together.
    """
    if found.folds:
        return _pooled_predictions(_fold_predictions(found))
    return read_predictions(found.path.parent / str(found.record.predictions_file))


def has_predictions(found: FoundRecord) -> bool:
    """Whether the predictions of a trial are there, of all its folds for a pooled one."""
    if found.folds:
        return all(map(has_predictions, found.folds))
    name = found.record.predictions_file
    return name is not None and (found.path.parent / name).is_file()


@dataclass(frozen=True)
class Pool:
    """What the records of one cross-validation's folds make.

    Attributes:
        trials: the whole ones, pooled; a done one's scores are still to be read, by `with_scores`.
        incomplete: trials that lack a fold.
        faults: one sentence for each trial that is left out because its folds contradict one another.
    """

    trials: tuple[FoundRecord, ...]
    incomplete: int
    faults: tuple[str, ...]


def pool(found: Sequence[FoundRecord], folder: Path) -> Pool:
    """Pool the folds of one cross-validation by what their records say; no other file is read.

    Args:
        found: records of the folds of one cross-validation under one protocol.
        folder: the benchmark's, above the folds' studies.
    """
    trials: dict[tuple[str, str, int], dict[int, FoundRecord]] = defaultdict(dict)
    for one in sorted(found, key=lambda one: (started_moment(one.record), str(one.path))):
        record = one.record
        trials[record.segmenter.label, trial_hash(record.segmenter), record.seed][_fold(record).number] = one
    pooled, incomplete, faults = [], 0, []
    for (label, version, seed), parts in trials.items():
        if fault := _numbering_fault(parts):
            faults.append(f"{plain_text(label, 60)} seed {seed}: {fault}, so its folds can't be pooled")
            continue
        ordered = tuple(parts[number] for number in sorted(parts))
        if len(ordered) < _fold(ordered[0].record).of:
            incomplete += 1
            continue
        record = _pooled_record([part.record for part in ordered])
        # The study's digest is in the path: under one benchmark there may be several cross-validations.
        name = f"{label}-{version}".replace(os.sep, "_")  # a foreign label may be a path of its own
        path = folder / record.study / name / f"seed-{seed}" / RECORD_FILE
        pooled.append(FoundRecord(path, record, folds=ordered))
    return Pool(tuple(pooled), incomplete, tuple(faults))


def with_scores(one: FoundRecord) -> FoundRecord:
    """A pooled trial with the scores of all test images together; an ordinary trial as it is.

    Folds whose predictions can't be read or don't fit together make a failed trial that says why.
    """
    if not one.folds or one.record.status != "done":
        return one
    try:
        predictions = open_predictions(one)
    except ResultsError as error:
        # Said relative to the benchmark's folder, since reasons stand in documents.
        reason = str(error).replace(f"{one.path.parents[3]}{os.sep}", "")
        return replace(one, record=_without_scores(replace(one.record, status="failed", reason=reason)))
    last_epoch = None
    if predictions.last_test is not None and predictions.last_val is not None:
        last_epoch = SplitScores(val=_scores(predictions.last_val), test=_scores(predictions.last_test))
    scores = SplitScores(val=_scores(predictions.val), test=_scores(predictions.test))
    return replace(one, record=replace(one.record, scores=scores, last_epoch=last_epoch))


def _fold(record: TrialRecord) -> Fold:
    fold = record.data.fold
    assert fold is not None, "callers give folds"
    return fold


def _numbering_fault(parts: Mapping[int, FoundRecord]) -> str:
    """What contradicts itself in the numbers of a trial's folds, a clause; empty where nothing does."""
    of = sorted({_fold(part.record).of for part in parts.values()})
    if len(of) > 1:
        return f"its records say that there are {of[0]} and that there are {of[1]} folds"
    if beyond := [number for number in parts if not 1 <= number <= of[0]]:
        return f"there is a record of fold {beyond[0]} of {of[0]}"
    return ""


def _fold_predictions(found: FoundRecord) -> list[Predictions]:
    """The predictions of each fold, if every image and recording is tested in one of them alone.

    Raises:
        ResultsError: names the fold and its file.
    """
    parts: list[Predictions] = []
    seen: dict[tuple[str, str], int] = {}
    for part in found.folds:
        number = _fold(part.record).number
        path = part.path.parent / str(part.record.predictions_file)
        if not has_predictions(part):
            raise ResultsError(f"fold {number} has no predictions file, so the folds can't be pooled")
        try:
            predictions = open_predictions(part)
        except ResultsError as error:
            raise ResultsError(f"fold {number}: {error}") from error
        if (size := part.record.protocol.get("image_size")) != predictions.image_size:
            raise ResultsError(
                f"fold {number}: {path}: masks of {predictions.image_size} pixels, the protocol's have {size}"
            )
        names = {("image", name) for name in predictions.sample_ids}
        names |= {("recording", name) for name in predictions.recording_ids}
        if twice := sorted(names & seen.keys()):
            kind, name = twice[0]
            raise ResultsError(
                f"fold {number}: {path}: {kind} {plain_text(name, 60)} is tested in fold {seen[twice[0]]} too, so the "
                "folds can't be pooled"
            )
        seen |= dict.fromkeys(names, number)
        parts.append(predictions)
    return parts


def _pooled_record(records: Sequence[TrialRecord]) -> TrialRecord:
    """What the records of a trial's folds say together; a done one's scores are still open."""
    first = records[0]
    fold = _fold(first)
    machine = _commonest_machine(records)
    there = [record for record in records if describe_machine(record.environment) == machine]
    common = replace(
        first,
        study=study_digest(str(first.protocol["digest"]), fold.pool_digest),
        data=_pooled_data(records, fold),
        environment=there[0].environment,
        started_at=min(records, key=started_moment).started_at,
        duration_s=sum(record.duration_s for record in records),
        attempts=max(record.attempts for record in records),
        files={
            str(first.predictions_file): _joint_hash(
                [record.files.get(str(record.predictions_file), "") for record in records]
            )
        },
        scores=None,
        last_epoch=None,
        weights_file=None,
    )
    failed = next((record for record in records if record.status != "done"), None)
    if failed is not None:
        reason = f"fold {_fold(failed).number}: {failed.reason}"
        return _without_scores(replace(common, status=failed.status, reason=reason))
    return replace(common, timing=_pooled_timing([record.timing for record in there if record.timing is not None]))


def _commonest_machine(records: Sequence[TrialRecord]) -> str:
    """The machine that most of the folds ran on: a median over two machines is the speed of neither."""
    counts = Counter(describe_machine(record.environment) for record in records)
    return min(counts, key=lambda machine: (-counts[machine], machine))


def _without_scores(record: TrialRecord) -> TrialRecord:
    return replace(
        record,
        scores=None,
        last_epoch=None,
        timing=None,
        predictions_file=None,
        weights_file=None,
        best_epoch=None,
        files={},
    )


def _scores(counts: SplitCounts) -> Scores:
    return metrics.scores(counts.protocol, counts.native)


def _joint_hash(hashes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _pooled_data(records: Sequence[TrialRecord], fold: Fold) -> DataSummary:
    parts = [record.data for record in records]
    return replace(
        parts[0],
        digest=fold.pool_digest,
        content_sha256=_joint_hash([part.content_sha256 for part in parts]),
        n_train=round(statistics.fmean(part.n_train for part in parts)),
        n_val=round(statistics.fmean(part.n_val for part in parts)),
        n_test=sum(part.n_test for part in parts),
        n_recordings_test=sum(part.n_recordings_test for part in parts),
        leaks_allowed=max(part.leaks_allowed for part in parts),
        ceiling_iou_native=None,
        fold=replace(fold, number=0),
    )


def _pooled_timing(timings: Sequence[Timing]) -> Timing:
    """Medians over folds of one machine, which train on about as many images each."""

    def median(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    return Timing(
        train_images_per_s=median([one.train_images_per_s for one in timings]),
        inference=tuple(
            Throughput(batch_size=first.batch_size, images_per_s=_median_at(timings, first.batch_size))
            for first in timings[0].inference
        ),
        latency_ms=Latency(
            p50=statistics.median(one.latency_ms.p50 for one in timings),
            p95=statistics.median(one.latency_ms.p95 for one in timings),
        ),
        peak_memory_bytes=max(one.peak_memory_bytes for one in timings),
        parameters=timings[0].parameters,
        gflop=timings[0].gflop,
    )


def _median_at(timings: Sequence[Timing], batch_size: int) -> float:
    return statistics.median(
        one.images_per_s for timing in timings for one in timing.inference if one.batch_size == batch_size
    )


def _pooled_predictions(parts: Sequence[Predictions]) -> Predictions:
    """The test images of all folds, by name. No histogram of validation images: no threshold."""
    names = [name for part in parts for name in part.sample_ids]
    order = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.intp)

    recordings = [name for part in parts for name in part.recording_ids]
    attributes = [one for part in parts for one in part.attributes]

    def counts(
        of: Callable[[Predictions], SplitCounts | None], place: npt.NDArray[np.intp] | None
    ) -> SplitCounts | None:
        found = [of(part) for part in parts]
        known = [one for one in found if one is not None]
        if len(known) < len(parts):
            return None
        protocol = np.concatenate([one.protocol for one in known])
        native = np.concatenate([one.native for one in known])
        if place is None:
            return SplitCounts(protocol=protocol, native=native)
        return SplitCounts(protocol=protocol[place], native=native[place])

    test, val = counts(lambda one: one.test, order), counts(lambda one: one.val, None)
    assert test is not None and val is not None, "every part has them"
    return Predictions(
        image_size=parts[0].image_size,
        sample_ids=tuple(names[index] for index in order),
        recording_ids=tuple(recordings[index] for index in order),
        attributes=tuple(attributes[index] for index in order),
        test=test,
        val=val,
        last_test=counts(lambda one: one.last_test, order),
        last_val=counts(lambda one: one.last_val, None),
        histogram=np.concatenate([part.histogram for part in parts])[order],
        # A threshold chosen on all folds' validation images would have seen every test recording.
        val_histogram=np.zeros((0, *parts[0].val_histogram.shape[1:]), dtype=np.int64),
        predicted=np.concatenate([part.predicted for part in parts])[order],
        reference=np.concatenate([part.reference for part in parts])[order],
    )
