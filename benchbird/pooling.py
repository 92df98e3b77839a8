"""The folds of a cross-validation as one study: every recording tested once, by a model that never saw it.

Owns how the trials of a segmenter and seed over all folds become one, in memory; nothing is written. Which
records are folds of one cross-validation is for `studies.py`.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchbird import metrics
from benchbird.predictions import Predictions, SplitCounts, read_predictions
from benchbird.protocol import study_digest
from benchbird.record_json import started_moment
from benchbird.records import DataSummary, Fold, Latency, Scores, SplitScores, Throughput, Timing, TrialRecord
from benchbird.results import RECORD_FILE, FoundRecord, trial_hash


def open_predictions(found: FoundRecord) -> Predictions:
    """The predictions of a trial; of a pooled one, those of all its folds together.

    Raises:
        ResultsError: a file is missing or damaged.
    """
    if found.folds:
        return _pooled_predictions([open_predictions(part) for part in found.folds])
    return read_predictions(found.path.parent / str(found.record.predictions_file))


def has_predictions(found: FoundRecord) -> bool:
    """Whether the predictions of a trial are there, of all its folds for a pooled one."""
    if found.folds:
        return all(map(has_predictions, found.folds))
    name = found.record.predictions_file
    return name is not None and (found.path.parent / name).is_file()


def pool(found: Sequence[FoundRecord], folder: Path) -> tuple[tuple[FoundRecord, ...], int]:
    """The pooled trials of one cross-validation, and how many lack a fold.

    Args:
        found: records of the folds of one cross-validation under one protocol.
        folder: the benchmark's, above the folds' studies.
    """
    trials: dict[tuple[str, str, int], dict[int, FoundRecord]] = defaultdict(dict)
    for one in sorted(found, key=lambda one: (started_moment(one.record), str(one.path))):
        record, fold = one.record, one.record.data.fold
        assert fold is not None, "callers give folds"
        trials[record.segmenter.label, trial_hash(record.segmenter), record.seed][fold.number] = one
    pooled, incomplete = [], 0
    for (label, version, seed), parts in trials.items():
        of = next(iter(parts.values())).record.data.fold
        if of is None or len(parts) < of.of:
            incomplete += 1
            continue
        ordered = tuple(parts[number] for number in sorted(parts))
        path = folder / f"{label}-{version}" / f"seed-{seed}" / RECORD_FILE
        pooled.append(FoundRecord(path, _pooled_record(ordered), folds=ordered))
    return tuple(pooled), incomplete


def _pooled_record(parts: Sequence[FoundRecord]) -> TrialRecord:
    records = [part.record for part in parts]
    first = records[0]
    fold = first.data.fold
    assert fold is not None
    data = _pooled_data(records, fold)
    common = replace(
        first,
        study=study_digest(str(first.protocol["digest"]), fold.pool_digest),
        data=data,
        started_at=min(records, key=started_moment).started_at,
        duration_s=sum(record.duration_s for record in records),
        attempts=max(record.attempts for record in records),
        files={
            str(first.predictions_file): _joint_hash(
                [record.files.get(str(record.predictions_file), "") for record in records]
            )
        },
    )
    failed = next((record for record in records if record.status != "done"), None)
    if failed is not None:
        number = failed.data.fold.number if failed.data.fold is not None else 0
        return _without_scores(replace(common, status=failed.status, reason=f"fold {number}: {failed.reason}"))
    if not all(map(has_predictions, parts)):
        reason = "a fold has no predictions file, so the folds can't be pooled"
        return _without_scores(replace(common, status="failed", reason=reason))
    predictions = _pooled_predictions([open_predictions(part) for part in parts])
    last_epoch = None
    if predictions.last_test is not None and predictions.last_val is not None:
        last_epoch = SplitScores(val=_scores(predictions.last_val), test=_scores(predictions.last_test))
    return replace(
        common,
        scores=SplitScores(val=_scores(predictions.val), test=_scores(predictions.test)),
        last_epoch=last_epoch,
        timing=_pooled_timing([record.timing for record in records if record.timing is not None]),
        weights_file=None,
    )


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
    """Medians over the folds, which train on about as many images each."""

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
