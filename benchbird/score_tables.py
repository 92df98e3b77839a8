"""Every score of a study's segmenters in one definition after another, by stratum, or by threshold.

Owns which figures stand in which cell, as values; a table's look is the command's. Unlike a leaderboard
nothing here is ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbird.assessment import Contender, estimate
from benchbird.definitions import DEFINITIONS, HEADLINE, threshold_curve, validation_threshold
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.leaderboard import by_label, newest_versions, require_one_study
from benchbird.metrics import histogram_borders
from benchbird.predictions import Predictions
from benchbird.readings import Reading, read_trial, require_same_recordings, stated_predictions, take_reading
from benchbird.records import TrialRecord
from benchbird.results import FoundRecord
from benchbird.standings import Estimate
from benchbird.strata import group


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One line of a table.

    Attributes:
        name: of the score, stratum or threshold.
        n_images: test images that it is taken over.
        n_recordings: their recordings.
        estimates: label → score over seeds with its interval.
    """

    name: str
    n_images: int
    n_recordings: int
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True)
class Trial:
    """A done trial and where its files are."""

    found: FoundRecord

    @property
    def record(self) -> TrialRecord:
        """Its record."""
        return self.found.record

    def predictions(self) -> Predictions:
        """Its predictions file.

        Raises:
            ResultsError: it can't be read, or isn't the one that the record states.
        """
        return stated_predictions(self.found)


def done_trials(found: Sequence[FoundRecord]) -> dict[str, list[Trial]]:
    """Label → its newest version's done trials, by seed.

    Raises:
        ResultsError: there is none, or they are no one study's.
    """
    records = [one.record for one in found]
    require_one_study(records)
    current, _ = newest_versions(records)
    places = {id(one.record): one for one in found}
    done = by_label(record for record in current if record.status == "done")
    if not done:
        raise ResultsError("no trial is done here, so there are no scores")
    return {label: [Trial(places[id(record)]) for record in trials] for label, trials in done.items()}


def every_score(trials: Mapping[str, Sequence[Trial]], index: Index) -> list[ScoreRow]:
    """A row for each definition.

    Raises:
        ResultsError: as `read_trial`; trials that were tested on other recordings.
    """
    metrics = tuple(DEFINITIONS)
    readings = {
        (label, one.record.seed): read_trial(one.found, metrics, index)
        for label, those in trials.items()
        for one in those
    }
    require_same_recordings({trial: reading[HEADLINE] for trial, reading in readings.items()})
    shape = next(iter(trials.values()))[0].record.data
    rows = []
    for metric in metrics:
        contenders = [
            _contender(label, {one.record.seed: readings[label, one.record.seed][metric] for one in those})
            for label, those in trials.items()
        ]
        rows.append(_row(metric, shape.n_test, shape.n_recordings_test, contenders))
    return rows


def by_stratum(trials: Mapping[str, Sequence[Trial]], column: str, metric: str) -> list[ScoreRow]:
    """A row for each stratum of the test images (`strata.group`).

    Raises:
        UsageError: no such column.
        ResultsError: trials of one study saw other images.
    """
    opened = {label: [(one.record.seed, one.predictions()) for one in those] for label, those in trials.items()}
    first = next(iter(opened.values()))[0][1]
    others = [other for those in opened.values() for _, other in those]
    if not all(_is_same_test(first, other) for other in others):
        raise ResultsError("the trials were tested on other images: their strata can't be set side by side")
    if any([one.get(column) for one in other.attributes] != [one.get(column) for one in first.attributes]
           for other in others):  # fmt: skip
        raise ResultsError(
            f"--by {column}: the trials don't agree on this column: the manifest was changed between them, and no "
            "digest holds it; run the older trials again, or group by another column"
        )
    rows = []
    for name, images in group(first, column).items():
        contenders = [
            _contender(label, {seed: take_reading(predictions, metric, images) for seed, predictions in those})
            for label, those in opened.items()
        ]
        recordings = {recording for recording, is_in in zip(first.recording_ids, images, strict=True) if is_in}
        rows.append(_row(name, int(images.sum()), len(recordings), contenders))
    return rows


def _is_same_test(first: Predictions, other: Predictions) -> bool:
    ids = (first.sample_ids, first.recording_ids)
    return ids == (other.sample_ids, other.recording_ids) and np.array_equal(first.reference, other.reference)


def _contender(label: str, readings: Mapping[int, Reading]) -> Contender:
    return Contender(label=label, scores={seed: one.score for seed, one in readings.items()}, readings=readings)


def _row(name: str, n_images: int, n_recordings: int, contenders: Sequence[Contender]) -> ScoreRow:
    return ScoreRow(
        name=name,
        n_images=n_images,
        n_recordings=n_recordings,
        estimates={one.label: estimate(one) for one in contenders},
    )


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Pooled IoU by logit threshold, mean over seeds.

    Attributes:
        thresholds: 63 logits, ascending.
        val: label → `(63,)` on validation, NaN where undefined.
        test: label → `(63,)` on test.
        chosen: label → the thresholds that are best on validation, one a seed that has one.
    """

    thresholds: npt.NDArray[np.float64]
    val: Mapping[str, npt.NDArray[np.float64]]
    test: Mapping[str, npt.NDArray[np.float64]]
    chosen: Mapping[str, tuple[float, ...]]


def curve(trials: Mapping[str, Sequence[Trial]]) -> Curve:
    """The threshold curve of every segmenter."""
    val, test, chosen = {}, {}, {}
    borders = histogram_borders().astype(np.float64)
    for label, those in trials.items():
        opened = [one.predictions() for one in those]
        curves = [threshold_curve(one) for one in opened]
        val[label] = np.mean([one[1] for one in curves], axis=0)
        test[label] = np.mean([one[2] for one in curves], axis=0)
        thresholds = map(validation_threshold, opened)
        chosen[label] = tuple(float(borders[index]) for index in thresholds if index is not None)
    return Curve(thresholds=borders, val=val, test=test, chosen=chosen)


@dataclass(frozen=True, kw_only=True)
class EdgeRow:
    """How far the edges of matched syllables are off, over all test images and seeds of a segmenter.

    Attributes:
        edge: `onset_ms`, `offset_ms`, `low_hz` or `high_hz`.
        errors: label → (matched syllables, mean absolute error, mean error), the last two None without any.
    """

    edge: str
    errors: Mapping[str, tuple[int, float | None, float | None]]


def edges(trials: Mapping[str, Sequence[Trial]]) -> list[EdgeRow]:
    """A row for each kind of edge; without events where the manifest gives no scale."""
    from benchbird.events import edge_errors, summarise_edges

    summaries = {}
    for label, those in trials.items():
        errors = []
        for one in those:
            predictions = one.predictions()
            for index, attributes in enumerate(predictions.attributes):
                errors.append(edge_errors(*predictions.masks(index), attributes))
        summaries[label] = summarise_edges(errors)
    rows = []
    for edge in ("onset_ms", "offset_ms", "low_hz", "high_hz"):
        found = {label: getattr(summary, edge) for label, summary in summaries.items()}
        errors_by_label = {label: (one.n_events, one.mean_absolute, one.bias) for label, one in found.items()}
        rows.append(EdgeRow(edge=edge, errors=errors_by_label))
    return rows
