"""The newest trials of a study with their scores and readings, and whether two studies share their test data.

Owns the reading; what follows from the scores of two studies is `comparison.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbird.assessment import Contender
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.leaderboard import RECORDED, by_label, newest_versions, recorded, require_one_study
from benchbird.plain_text import plain_text
from benchbird.pooling import has_predictions, open_predictions
from benchbird.predictions import Predictions
from benchbird.readings import Reading, read_trial, require_same_recordings
from benchbird.records import TrialRecord
from benchbird.results import FoundRecord

NATIVE_SCORES = ("iou_native",)
"""Scores that don't depend on the protocol's image size by what they are taken over."""

OTHER_MASKS = "the same names of test images, but other masks"


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoredStudy:
    """The trials of one study by one score.

    Attributes:
        records: of each label's newest version, by label and seed.
        superseded: records of older versions, left out.
        contenders: label → its finished trials, of every label with a record.
        tested: a trial whose predictions are there, or None.
    """

    records: tuple[TrialRecord, ...]
    superseded: int
    contenders: Mapping[str, Contender]
    tested: FoundRecord | None

    def newest(self, label: str) -> TrialRecord:
        """A record of the label's version."""
        return next(record for record in self.records if record.segmenter.label == label)


def read_scored_study(found: Sequence[FoundRecord], metric: str, index: Index) -> ScoredStudy:
    """Read the scores of a study's newest trials.

    Args:
        found: records of one study with their files.
        metric: name of a score in `definitions.DEFINITIONS`.
        index: where readings are remembered.

    Raises:
        ResultsError: records of several studies or of a noise budget, damaged predictions or such as
            contradict their record or one another, or a score that no record states and a trial's predictions
            aren't there to tell.
    """
    require_one_study([one.record for one in found])
    records, superseded = newest_versions([one.record for one in found])
    # By identity: a record holds mappings, so it has no hash, and copies of one trial may be equal.
    places = {id(one.record): one for one in found}
    read = [places[id(one)] for one in records if one.status == "done" and has_predictions(places[id(one)])]
    readings = {id(one.record): read_trial(one, (metric,), index)[metric] for one in read}
    require_same_recordings({(one.record.segmenter.label, one.record.seed): readings[id(one.record)] for one in read})
    _require_scores(records, readings, metric)
    return ScoredStudy(
        records=tuple(records),
        superseded=superseded,
        contenders={label: _contender(label, trials, readings, metric) for label, trials in by_label(records).items()},
        tested=read[0] if read else None,
    )


def _contender(label: str, trials: Sequence[TrialRecord], readings: Mapping[int, Reading], metric: str) -> Contender:
    done = [trial for trial in trials if trial.status == "done"]
    return Contender(
        label=label,
        scores={one.seed: readings[id(one)].score if id(one) in readings else recorded(one, metric) for one in done},
        readings={one.seed: readings[id(one)] for one in done if id(one) in readings},
    )


def _require_scores(records: Sequence[TrialRecord], readings: Mapping[int, Reading], metric: str) -> None:
    """Check that no trial is silently without a score: by name, since a score that a record states may be undefined."""
    without = [one for one in records if one.status == "done" and id(one) not in readings]
    if without and metric not in RECORDED:
        seeds = ", ".join(f"{plain_text(one.segmenter.label, 60)} seed {one.seed}" for one in without[:5])
        more = f" and {len(without) - 5} more" if len(without) > 5 else ""
        raise ResultsError(
            f"--metric {metric}: {seeds}{more} of study {without[0].study}: no predictions file, and a record doesn't "
            "state this score; choose one that it states, such as iou_pooled"
        )


def why_apart(first: ScoredStudy, second: ScoredStudy, metric: str) -> str:
    """Why two studies were not tested on the same images and masks; empty where they were.

    Decided by the predictions, where both sides have any, else by what the records say of the data; never by
    where the records lie.

    Raises:
        ResultsError: predictions that are damaged.
    """
    if first.tested is not None and second.tested is not None:
        return difference_of_tests(open_predictions(first.tested), open_predictions(second.tested), metric)
    one, other = first.records[0].data, second.records[0].data
    if (one.digest, one.content_sha256) == (other.digest, other.content_sha256):
        return ""
    return "the data digests differ, and without predictions on both sides nothing tells whether the test is the same"


def difference_of_tests(first: Predictions, second: Predictions, metric: str) -> str:
    """Why two predictions are not of the same test for this score; empty where they are."""
    if first.sample_ids != second.sample_ids:
        return "other test images"
    if first.recording_ids != second.recording_ids:
        return "the same names of test images, but of other recordings"
    if metric in NATIVE_SCORES:
        return "" if np.array_equal(_native_birds(first), _native_birds(second)) else OTHER_MASKS
    if first.image_size != second.image_size:
        return (
            f"the same test images at {first.image_size} and at {second.image_size} pixels "
            "(--metric iou_native compares them at their own size)"
        )
    return "" if np.array_equal(first.reference, second.reference) else OTHER_MASKS


def _native_birds(predictions: Predictions) -> npt.NDArray[np.int64]:
    """Pixels with bird and pixels in all of each test image at its own size, `(2, N)`."""
    counts = predictions.test.native
    return np.stack([counts[:, 0] + counts[:, 2], counts.sum(1)])
