"""Ranks the records of one study: a leaderboard is derived from records, never stored beside them.

Owns who stands where and what may be compared. Finding records is for `studies.py`, showing a leaderboard
for the reporters.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from benchbird.environment import describe_machine
from benchbird.errors import ResultsError
from benchbird.record_json import started_moment
from benchbird.records import Estimate, FailedTrial, Leaderboard, Row, Scores, TrialRecord
from benchbird.results import trial_hash


def rank(records: Sequence[TrialRecord]) -> Leaderboard:
    """The leaderboard of one study's records, the same in whatever order they come.

    Segmenters are ordered by the mean of `iou_pooled` over their finished seeds, then by label; equal
    means share a rank (1, 1, 3). Of a label's versions (another option, another source) only the newest is
    ranked. A segmenter without a finished seed has no row, only its failed trials.

    Raises:
        ResultsError: no records, or records of two studies, protocols or data sets.
    """
    _require_one_study(records)
    current, superseded = _newest_versions(records)
    done = [record for record in current if record.status == "done"]
    batch_size = _common_batch_size(done)
    by_label: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in done:
        by_label[record.segmenter.label].append(record)
    machines = _machines(current)
    rows = [_row(trials, batch_size, machines) for trials in by_label.values()]
    newest = max(current, key=lambda record: (started_moment(record), repr(record)))
    return Leaderboard(
        benchmark=_joined(record.benchmark for record in current),
        profile=_joined(record.profile for record in current),
        dataset=newest.data.name,
        study=newest.study,
        protocol_digest=str(newest.protocol["digest"]),
        data_digest=newest.data.digest,
        protocol=newest.protocol,
        n_train=newest.data.n_train,
        n_val=newest.data.n_val,
        n_test=newest.data.n_test,
        n_recordings_test=newest.data.n_recordings_test,
        leaks_allowed=newest.data.leaks_allowed,
        ceiling_iou_native=_number(newest.data.ceiling_iou_native),
        inference_batch_size=batch_size,
        machines=machines,
        rows=_ranked(rows),
        failed=_failed(current),
        superseded=superseded,
    )


def _require_one_study(records: Sequence[TrialRecord]) -> None:
    if not records:
        raise ResultsError("no records to rank: nothing has ended here yet; `benchbird run` trains")
    identities: dict[str, Callable[[TrialRecord], str]] = {
        "studies": lambda record: record.study,
        "protocols": lambda record: str(record.protocol.get("digest")),
        "data sets": lambda record: record.data.digest,
        "sizes of one data set": lambda record: (
            f"{record.data.n_train}/{record.data.n_val}/{record.data.n_test} samples"
        ),
    }
    for kind, identity in identities.items():
        found = sorted({identity(record) for record in records})
        if len(found) > 1:
            raise ResultsError(
                f"records of {len(found)} {kind} can't be ranked together: {found[0]} and {found[1]}; "
                "rank one study at a time"
            )


def _newest_versions(records: Sequence[TrialRecord]) -> tuple[list[TrialRecord], int]:
    """Each label's newest version, one record a seed; and how many records were left out."""
    versions: dict[str, dict[str, list[TrialRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        versions[record.segmenter.label][trial_hash(record.segmenter)].append(record)
    current: list[TrialRecord] = []
    for by_hash in versions.values():
        trials = max(by_hash.items(), key=lambda item: (max(map(started_moment, item[1])), item[0]))[1]
        # Merged copies of results may hold a trial twice; the repr only makes the choice repeatable.
        by_seed = {
            record.seed: record for record in sorted(trials, key=lambda record: (started_moment(record), repr(record)))
        }
        current += by_seed.values()
    current.sort(key=lambda record: (record.segmenter.label, record.seed))
    return current, len(records) - len(current)


def _common_batch_size(done: Sequence[TrialRecord]) -> int:
    """The largest batch that every timed trial was measured at, else that any was; 0 without timing."""
    measured = [
        {throughput.batch_size for throughput in record.timing.inference}
        for record in done
        if record.timing is not None and record.timing.inference
    ]
    shared = set.intersection(*measured) if measured else set()
    return max(shared or set().union(*measured), default=0)


def _machines(records: Iterable[TrialRecord]) -> tuple[str, ...]:
    """Descriptions of the machines, most frequent first."""
    counts = Counter(describe_machine(record.environment) for record in records)
    return tuple(sorted(counts, key=lambda machine: (-counts[machine], machine)))


def _row(trials: Sequence[TrialRecord], batch_size: int, machines: Sequence[str]) -> Row:
    """One segmenter's row, rank still open; `trials` are its finished ones, by seed.

    Where its seeds ran on several machines, speeds are those of the machine with most of them: a median
    over two machines would be the speed of neither.
    """
    counts = Counter(describe_machine(trial.environment) for trial in trials)
    machine = min(counts, key=lambda name: (-counts[name], machines.index(name)))
    timings = [
        trial.timing for trial in trials if trial.timing is not None and describe_machine(trial.environment) == machine
    ]
    identity = trials[-1].segmenter

    def estimate(score: str, split: str = "test") -> Estimate:
        values = [getattr(_split(trial, split), score, None) for trial in trials]
        return _estimate(values)

    return Row(
        rank=0,
        label=identity.label,
        segmenter=identity.name,
        trial_hash=trial_hash(identity),
        options=identity.non_default_options,
        pretraining=identity.pretraining,
        seeds=tuple(trial.seed for trial in trials),
        iou_pooled=estimate("iou_pooled"),
        iou_native=estimate("iou_native"),
        iou_image_mean=estimate("iou_image_mean"),
        dice=estimate("dice"),
        val_iou_pooled=estimate("iou_pooled", "val"),
        train_images_per_s=_median(timing.train_images_per_s for timing in timings),
        inference_images_per_s=_median(
            throughput.images_per_s
            for timing in timings
            for throughput in timing.inference
            if throughput.batch_size == batch_size
        ),
        latency_p50_ms=_median(timing.latency_ms.p50 for timing in timings),
        parameters=next((timing.parameters for timing in timings), None),
        gflop=next((timing.gflop for timing in timings if _number(timing.gflop) is not None), None),
        machine=machine,
    )


def _split(trial: TrialRecord, split: str) -> Scores | None:
    return getattr(trial.scores, split, None)


def _estimate(values: Iterable[float | None]) -> Estimate:
    """Mean and standard deviation (n − 1) of the values there are."""
    known = [value for value in map(_number, values) if value is not None]
    return Estimate(
        mean=statistics.fmean(known) if known else None,
        sd=statistics.stdev(known) if len(known) > 1 else None,
        n=len(known),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in map(_number, values) if value is not None]
    return statistics.median(known) if known else None


def _number(value: float | None) -> float | None:
    """The value, or None for anything that can't be ordered."""
    return value if value is not None and math.isfinite(value) else None


def _ranked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Best first; a row without a score stands below every row with one."""

    def height(row: Row) -> float:
        return -math.inf if row.iou_pooled.mean is None else row.iou_pooled.mean

    ordered = sorted(rows, key=lambda row: (-height(row), row.label))
    heights = [height(row) for row in ordered]
    return tuple(replace(row, rank=heights.index(height(row)) + 1) for row in ordered)


def _failed(records: Iterable[TrialRecord]) -> tuple[FailedTrial, ...]:
    return tuple(
        FailedTrial(label=record.segmenter.label, seed=record.seed, status=record.status, reason=record.reason)
        for record in records
        if record.status != "done"
    )


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
