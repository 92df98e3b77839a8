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
    evaluate = DEFINITIONS[metric].evaluate
    recordings, one = definitions.each_recording(predictions, images)
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
    key = predictions_key(record)
    known = {metric: _decode(index.get(f"reading/{READING_VERSION}/{metric}/{key}")) for metric in metrics}
    readings = {metric: reading for metric, reading in known.items() if reading is not None}
    missing = [metric for metric in metrics if metric not in readings]
    if missing:
        predictions = open_predictions(found)
        for metric in missing:
            readings[metric] = take_reading(predictions, metric)
            index.put(f"reading/{READING_VERSION}/{metric}/{key}", _encode(readings[metric]))
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
    def numbers(values: FloatArray) -> list[float | None]:
        return [None if math.isnan(value) else value for value in values.tolist()]

    document = [reading.score, numbers(reading.left_out), numbers(reading.alone), numbers(reading.sizes)]
    return json.dumps([*document, list(reading.recordings)], allow_nan=False).encode()


def _decode(content: bytes | None) -> Reading | None:
    if content is None:
        return None

    def numbers(values: list[float | None]) -> FloatArray:
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)

    try:
        score, left_out, alone, sizes, recordings = json.loads(content)
        reading = Reading(
            score=None if score is None else float(score),
            left_out=numbers(left_out),
            alone=numbers(alone),
            sizes=numbers(sizes),
            recordings=tuple(map(str, recordings)),
        )
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None  # a damaged entry is read anew
    shapes = {reading.left_out.shape, reading.alone.shape, reading.sizes.shape}
    return reading if shapes == {(len(reading.recordings),)} else None
