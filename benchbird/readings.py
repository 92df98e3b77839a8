"""A reading: one score of one trial, on all test recordings, without each of them, and on each alone.

Owns what uncertainty needs of a trial, and its place in the index. What follows from several trials' readings
is `assessment.py`'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchbird import definitions
from benchbird.definitions import DEFINITIONS
from benchbird.durable import file_sha256
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.plain_text import plain_text
from benchbird.pooling import open_predictions
from benchbird.predictions import Predictions
from benchbird.records import TrialRecord
from benchbird.results import FoundRecord

READING_VERSION = 1
"""Changes when a definition gives other numbers, so that what the index holds is read anew."""

AGREEMENT = 1e-9
"""Two ways of adding up the same integers differ by less."""

FloatArray = npt.NDArray[np.float64]

_NUMBER = np.dtype("<f8")
"""As the index holds a number, whatever the machine's own order of bytes is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """One score of one trial.

    Attributes:
        score: on all test images; None where it is undefined.
        left_out: `(C,)` without one recording each, NaN where undefined.
        alone: `(C,)` on one recording each, NaN where undefined.
        sizes: `(C,)` bird pixels of each recording's masks, at least 1: how much it weighs in a pooled score.
        recordings: C names, ascending.
    """

    score: float | None
    left_out: FloatArray
    alone: FloatArray
    sizes: FloatArray
    recordings: tuple[str, ...]


def take_reading(predictions: Predictions, metric: str, images: npt.NDArray[np.bool_] | None = None) -> Reading:
    """The reading of one score from a trial's predictions.

    Args:
        predictions: of the trial.
        metric: name of the score.
        images: bool `(N,)`, the test images it is taken over; None for all of them.
    """
    return _reading(predictions, metric, *definitions.each_recording(predictions, images))


def _reading(predictions: Predictions, metric: str, recordings: tuple[str, ...], one: FloatArray) -> Reading:
    # Apart: in one call with the others a sum's last digit may come out otherwise, and with it a published one.
    evaluate = DEFINITIONS[metric].evaluate
    every = one.sum(0)  # (N,)
    score = float(evaluate(predictions, every[None])[0])
    return Reading(
        score=None if math.isnan(score) else score,
        left_out=evaluate(predictions, every - one),
        alone=evaluate(predictions, one),
        sizes=np.maximum(one @ predictions.test.protocol[:, [0, 2]].sum(1), 1.0),
        recordings=recordings,
    )


def read_trial(found: FoundRecord, metrics: tuple[str, ...], index: Index) -> dict[str, Reading]:
    """Readings of a done trial, by score; from the index where its predictions were read before.

    Raises:
        ResultsError: the predictions file is missing or damaged, or contradicts the record.
    """
    record = found.record
    require_stated_files(found)
    keys = {metric: f"reading/{READING_VERSION}/{metric}/{predictions_key(record)}" for metric in metrics}
    answers = index.get_all(list(keys.values()))
    known = {metric: _decode(answers.get(key)) for metric, key in keys.items()}
    readings = {metric: reading for metric, reading in known.items() if reading is not None}
    missing = [metric for metric in metrics if metric not in readings]
    if missing:
        predictions = open_predictions(found)
        each = definitions.each_recording(predictions)
        readings |= {metric: _reading(predictions, metric, *each) for metric in missing}
        index.put_all({keys[metric]: _encode(readings[metric]) for metric in missing})
    for metric, reading in readings.items():
        _require_agreement(record, found.path.parent, metric, reading)
    return readings


def stated_predictions(found: FoundRecord) -> Predictions:
    """The predictions of a done trial, if they are those that its record states.

    Raises:
        ResultsError: the file is missing or damaged, or another than the record's.
    """
    predictions = open_predictions(found)
    require_stated_files(found)
    return predictions


def require_stated_files(found: FoundRecord) -> None:
    """Hash the predictions of a done trial, of all folds for a pooled one: the index answers by what a record states.

    Raises:
        ResultsError: a file is missing, or another than its record's.
    """
    for part in found.folds or (found,):
        path = part.path.parent / str(part.record.predictions_file)
        try:
            given = file_sha256(path)
        except OSError as error:
            raise ResultsError(
                f"{path}: could not be read ({error.strerror or error}); scores beyond the record's need it"
            ) from error
        if given != part.record.files.get(path.name):
            raise ResultsError(
                f"{path}: not the file that the record states (files.{path.name} is another SHA-256): "
                f"`benchbird verify {path.parent}` says more"
            )


def require_same_recordings(readings: Mapping[tuple[str, int], Reading]) -> None:
    """Check that trials, by label and seed, were tested on the same recordings.

    Raises:
        ResultsError: two of them weren't; names both and some of the recordings.
    """
    seen = {reading.recordings: trial for trial, reading in readings.items()}
    if len(seen) > 1:
        (first, one), (second, other) = list(seen.items())[:2]
        odd = sorted(set(first) ^ set(second))
        named = ", ".join(plain_text(name, 60) for name in odd[:3]) + (" …" if len(odd) > 3 else "")
        trials = " and ".join(f"{plain_text(label, 60)} seed {seed}" for label, seed in (one, other))
        raise ResultsError(f"{trials} were tested on other recordings ({named}): they can't be compared")


def predictions_key(record: TrialRecord) -> str:
    """SHA-256 of a done trial's predictions, as its record states it; `benchbird verify` checks the file."""
    return record.files.get(str(record.predictions_file), "")


def _require_agreement(record: TrialRecord, folder: Path, metric: str, reading: Reading) -> None:
    said = getattr(record.scores.test, metric, None) if record.scores is not None else None
    if hasattr(record.scores.test if record.scores else None, metric) and not _agree(said, reading.score):
        raise ResultsError(
            f"{folder}: scores.test.{metric}: the record says {said}, its predictions give {reading.score}; "
            f"one of them was altered: `benchbird verify {folder}` says more"
        )


def _agree(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return abs(first - second) <= AGREEMENT


def _encode(reading: Reading) -> bytes:
    """The recordings as JSON on one line, then float64 numbers: the score and the three arrays."""
    score = math.nan if reading.score is None else reading.score
    numbers = np.concatenate([[score], reading.left_out, reading.alone, reading.sizes])
    return json.dumps(reading.recordings).encode() + b"\n" + numbers.astype(_NUMBER).tobytes()


def _decode(content: bytes | None) -> Reading | None:
    if content is None:
        return None
    names, _, numbers = content.partition(b"\n")
    try:
        recordings = tuple(map(str, json.loads(names)))
        score, *of_recordings = np.frombuffer(numbers, _NUMBER).tolist()
        left_out, alone, sizes = np.array(of_recordings, dtype=np.float64).reshape(3, len(recordings))
    except (ValueError, TypeError, RecursionError):
        return None  # a damaged entry is read anew
    return Reading(
        score=None if math.isnan(score) else score,
        left_out=left_out,
        alone=alone,
        sizes=sizes,
        recordings=recordings,
    )
