"""Ranks the records of one study: a leaderboard is derived from records, never stored beside them.

Owns who stands where and what may be compared. Finding records is for `studies.py`, reading their predictions
for `ranking.py`, showing a leaderboard for the reporters.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from benchbird.assessment import Assessment, Contender, Evaluation, assess, estimate
from benchbird.definitions import DEFINITIONS, HEADLINE
from benchbird.environment import describe_machine
from benchbird.errors import ResultsError
from benchbird.record_json import started_moment
from benchbird.records import Scores, TrialRecord
from benchbird.results import trial_hash
from benchbird.standings import FailedTrial, Leaderboard, Row

Evaluate = Callable[[Sequence[TrialRecord], str], Evaluation]
"""Done records of one study and the name of the score that ranks → what follows from them."""


def from_records(done: Sequence[TrialRecord], metric: str) -> Evaluation:
    """What the records alone say, without their predictions: intervals over seeds, no comparison of recordings."""

    def contenders(name: str) -> list[Contender]:
        return [
            Contender(label=label, scores={one.seed: recorded(one, name) for one in trials}, readings={})
            for label, trials in by_label(done).items()
        ]

    higher_is_better = DEFINITIONS[metric].higher_is_better
    return Evaluation(
        assessment=assess(contenders(metric), higher_is_better=higher_is_better),
        beside={name: {one.label: estimate(one) for one in contenders(name)} for name in BESIDE},
    )


def rank(records: Sequence[TrialRecord], metric: str = HEADLINE, evaluate: Evaluate = from_records) -> Leaderboard:
    """The leaderboard of one study's records, the same in whatever order they come.

    Segmenters are ordered by the mean of `metric` over their finished seeds, then by label; equal
    means share a rank (1, 1, 3). Of a label's versions (another option, another source) only the newest is
    ranked. A segmenter without a finished seed has no row, only its failed trials. Where recordings are in
    more than one split nothing is ranked: rows have their scores, but no rank, letters or verdict.

    Args:
        records: of one study.
        metric: name of a score in `definitions.DEFINITIONS`.
        evaluate: what turns scores into estimates and comparisons; by default the records alone.

    Raises:
        ResultsError: no records, records of two studies, protocols or data sets, or of a noise budget.
    """
    require_one_study(records)
    current, superseded = newest_versions(records)
    done = [record for record in current if record.status == "done"]
    batch_size = _common_batch_size(done)
    machines = _machines(current)
    evaluation = evaluate(done, metric)
    assessment = evaluation.assessment
    newest = _newest(current)
    unranked = _why_unranked(newest, done)
    if unranked:
        assessment = replace(assessment, comparisons=(), letters={}, ranks={}, detectable=None, verdict=(unranked,))
        evaluation = replace(evaluation, assessment=assessment)
    rows = [_row(trials, batch_size, machines, evaluation) for trials in by_label(done).values()]
    higher_is_better = DEFINITIONS[metric].higher_is_better
    if not unranked:
        rows = _above_floors(rows, assessment, higher_is_better)
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
        rows=_ordered(rows, higher_is_better) if unranked else _ranked(rows, higher_is_better),
        failed=_failed(current),
        superseded=superseded,
        metric=metric,
        unranked=unranked,
        folds=newest.data.fold.of if newest.data.fold is not None and newest.data.fold.number == 0 else 0,
        comparisons=assessment.comparisons,
        detectable_difference=assessment.detectable,
        verdict=assessment.verdict,
    )


def _why_unranked(record: TrialRecord, done: Sequence[TrialRecord]) -> str:
    tests = [one.scores.test for one in done if one.scores is not None]
    if tests and all(test.n_ref_empty == test.n_images for test in tests):
        return "Nothing is ranked: no mask of the test split has any bird, so there is nothing to find."
    leaks = record.data.leaks_allowed
    if not leaks:
        return ""
    recordings = "1 recording is" if leaks == 1 else f"{leaks} recordings are"
    return f"Nothing is ranked: {recordings} in more than one split, so the test is on what was trained on."


def by_label(done: Iterable[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Label → its trials, in the order given."""
    trials: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in done:
        trials[record.segmenter.label].append(record)
    return trials


RECORDED = frozenset(field.name for field in dataclasses.fields(Scores))
"""Scores that a record states; every other one takes its predictions."""


def recorded(trial: TrialRecord, metric: str) -> float | None:
    """A score as the record states it; None where it states none of that name."""
    if metric in _OTHER_SPLITS:
        scores = _OTHER_SPLITS[metric](trial)
        return _number(scores.iou_pooled) if scores is not None else None
    return _number(getattr(trial.scores.test, metric, None)) if trial.scores is not None else None


def mean_scores(records: Sequence[TrialRecord], metrics: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Label → score → its mean over the finished seeds, as the records of one study state it."""
    current, _ = newest_versions(records)
    done = by_label(record for record in current if record.status == "done")
    return {
        label: {
            name: estimate(
                Contender(label=label, scores={one.seed: recorded(one, name) for one in trials}, readings={})
            ).mean
            for name in metrics
        }
        for label, trials in done.items()
    }


_OTHER_SPLITS: dict[str, Callable[[TrialRecord], Scores | None]] = {
    "val_iou_pooled": lambda trial: trial.scores.val if trial.scores is not None else None,
    "last_iou_pooled": lambda trial: trial.last_epoch.test if trial.last_epoch is not None else None,
}
"""Scores of a row that aren't those of the selected weights on test."""

SHOWN_BESIDE = ("iou_pooled", "iou_native", "iou_image_mean", "dice", "iou_val_threshold")
"""Scores of a row beside the one that ranks."""

BESIDE = (*SHOWN_BESIDE, *_OTHER_SPLITS)
"""The same with those that only records state."""


def require_one_study(records: Sequence[TrialRecord]) -> None:
    """Check that these records may be ranked together.

    Raises:
        ResultsError: there are none, they are of two studies, protocols or data sets, or of a noise budget.
    """
    if not records:
        raise ResultsError("no records to rank: nothing has ended here yet; `benchbird run` trains")
    identities: dict[str, Callable[[TrialRecord], str]] = {
        "studies": lambda record: record.study,
        "protocols": lambda record: str(record.protocol.get("digest")),
        "data sets": lambda record: record.data.digest,
        "prepared forms of one data set": lambda record: record.data.content_sha256[:12],
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
    if any(record.initialisation_seed != record.seed for record in records):
        raise ResultsError("records of a noise budget are no results to rank; give a study's own folder")


def newest_versions(records: Sequence[TrialRecord]) -> tuple[list[TrialRecord], int]:
    """Each label's newest version, one record a seed, by label and seed; and how many records were left out."""
    versions: dict[str, dict[str, list[TrialRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        versions[record.segmenter.label][trial_hash(record.segmenter)].append(record)
    current: list[TrialRecord] = []
    for by_hash in versions.values():
        trials = max(by_hash.items(), key=lambda item: (max(map(started_moment, item[1])), item[0]))[1]
        by_seed: dict[int, list[TrialRecord]] = defaultdict(list)
        for record in trials:
            by_seed[record.seed].append(record)
        current += map(_newest, by_seed.values())
    current.sort(key=lambda record: (record.segmenter.label, record.seed))
    return current, len(records) - len(current)


def _newest(records: Sequence[TrialRecord]) -> TrialRecord:
    """The one that was started last.

    Merged copies of results may hold a trial twice; the repr only makes the choice repeatable.
    """
    latest = max(map(started_moment, records))
    last = [record for record in records if started_moment(record) == latest]
    return last[0] if len(last) == 1 else sorted(last, key=repr)[-1]


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


def _row(trials: Sequence[TrialRecord], batch_size: int, machines: Sequence[str], evaluation: Evaluation) -> Row:
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
    label = identity.label
    low, high = evaluation.assessment.ranks.get(label, (None, None))
    beside = {name: estimates[label] for name, estimates in evaluation.beside.items()}
    return Row(
        rank=0,
        label=identity.label,
        segmenter=identity.name,
        trial_hash=trial_hash(identity),
        options=identity.non_default_options,
        pretraining=identity.pretraining,
        seeds=tuple(trial.seed for trial in trials),
        score=evaluation.assessment.estimates[label],
        iou_pooled=beside["iou_pooled"],
        iou_native=beside["iou_native"],
        iou_image_mean=beside["iou_image_mean"],
        dice=beside["dice"],
        iou_val_threshold=beside["iou_val_threshold"],
        last_iou_pooled=beside["last_iou_pooled"],
        val_iou_pooled=beside["val_iou_pooled"],
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
        rank_low=low,
        rank_high=high,
        letters=evaluation.assessment.letters.get(label, ""),
        is_floor=all(trial.best_epoch is None for trial in trials),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in map(_number, values) if value is not None]
    return statistics.median(known) if known else None


def _number(value: float | None) -> float | None:
    """The value, or None for anything that can't be ordered."""
    return value if value is not None and math.isfinite(value) else None


def _above_floors(rows: Sequence[Row], assessment: Assessment, higher_is_better: bool) -> list[Row]:
    """The rows, each network's marked by whether it beats every floor.

    A pair whose seeds and recordings are accounted for is decided by its comparison, any other by the means.
    """
    floors = [row for row in rows if row.is_floor and row.score.mean is not None]
    decided = {
        frozenset((one.first, one.second)): one.first if one.is_separable else None
        for one in assessment.comparisons
        if one.covers == "seeds and recordings"
    }

    def beats(row: Row, floor: Row) -> bool:
        pair = frozenset((row.label, floor.label))
        if pair in decided:
            return decided[pair] == row.label
        mean, least = row.score.mean, floor.score.mean
        if mean is None or least is None:
            return False
        return mean > least if higher_is_better else mean < least

    return [
        row if row.is_floor or not floors else replace(row, is_above_floor=all(beats(row, floor) for floor in floors))
        for row in rows
    ]


def _ordered(rows: Iterable[Row], higher_is_better: bool) -> tuple[Row, ...]:
    """Best first; a row without a score stands below every row with one."""
    return tuple(sorted(rows, key=lambda row: (-_height(row, higher_is_better), row.label)))


def _ranked(rows: Iterable[Row], higher_is_better: bool) -> tuple[Row, ...]:
    ordered = _ordered(rows, higher_is_better)
    heights = [_height(row, higher_is_better) for row in ordered]
    return tuple(replace(row, rank=heights.index(height) + 1) for row, height in zip(ordered, heights, strict=True))


def _height(row: Row, higher_is_better: bool) -> float:
    if row.score.mean is None:
        return -math.inf
    return row.score.mean if higher_is_better else -row.score.mean


def _failed(records: Iterable[TrialRecord]) -> tuple[FailedTrial, ...]:
    return tuple(
        FailedTrial(label=record.segmenter.label, seed=record.seed, status=record.status, reason=record.reason)
        for record in records
        if record.status != "done"
    )


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
