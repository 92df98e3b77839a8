"""What every test image says: IoU of each segmenter on it, by stratum, and by threshold.

Owns the one pass over the predictions files. Each is opened once and let go, so that sixty trials on thousands of
images fit into memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbird import strata
from benchbird.assessment import Contender, estimate
from benchbird.definitions import threshold_curve, validation_threshold
from benchbird.metrics import histogram_borders
from benchbird.predictions import Predictions
from benchbird.readings import Reading, take_reading
from benchbird.score_tables import Curve, ScoreRow, Trial

MOST_COLUMNS = 6
MOST_GROUPS = 12
"""A column with more groups isn't drawn: nobody could read it. `benchbird scores --by` has them all."""

LEAST_IMAGES = 3
"""Two groups of a column must have as many with bird, or it tells nothing."""

_FIRST = ("snr_db", strata.MASK_SIZE, "voice", "noise", "species")
_NOT_SHOWN = frozenset({strata.RECORDING, "seconds", "sample_rate", "spectrum"})

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Stratification:
    """Scores by the groups of one column.

    Attributes:
        column: its name.
        rows: a group each, those with a bird.
    """

    column: str
    rows: tuple[ScoreRow, ...]

    @property
    def is_ordered(self) -> bool:
        """Whether its groups stand in an order that means something."""
        return all(one.name == strata.UNKNOWN or any(map(str.isdigit, one.name)) for one in self.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageScores:
    """The test images of a study under each of its segmenters.

    Attributes:
        sample_ids: N names.
        attributes: N mappings.
        image_size: side of the protocol's square, in pixels.
        bird_share: `(N,)` share of the image that is bird.
        iou: label → `(N,)` IoU, mean over seeds; NaN where there is neither bird nor prediction.
        false_share: label → `(N,)` share of the image that is wrongly taken for bird, mean over seeds.
        missed_share: label → share of the wrong pixels of all images and seeds that are missed bird; None without any.
        strata: by column.
        thresholds: pooled IoU by threshold.
    """

    sample_ids: tuple[str, ...]
    attributes: tuple[Mapping[str, str], ...]
    image_size: int
    bird_share: FloatArray
    iou: Mapping[str, FloatArray]
    false_share: Mapping[str, FloatArray]
    missed_share: Mapping[str, float | None]
    strata: tuple[Stratification, ...]
    thresholds: Curve

    @property
    def has_bird(self) -> npt.NDArray[np.bool_]:
        """Which images show a bird, `(N,)`."""
        return self.bird_share > 0


@dataclass(eq=False)
class _Pass:
    """What one trial's predictions leave behind."""

    seed: int
    iou: FloatArray
    false_share: FloatArray
    false_and_missed: tuple[int, int]
    readings: dict[tuple[str, str], Reading]
    val: FloatArray
    test: FloatArray
    threshold: int | None


def image_scores(trials: Mapping[str, Sequence[Trial]]) -> ImageScores | None:
    """Look at every predictions file once.

    Args:
        trials: label → its done trials that have predictions, at least one each.

    Returns:
        None where the trials were not tested on the same images.

    Raises:
        ResultsError: a file can't be read, or isn't the one that its record states.
    """
    first: Predictions | None = None
    groups: dict[str, dict[str, npt.NDArray[np.bool_]]] = {}
    passes: dict[str, list[_Pass]] = {}
    for label, those in trials.items():
        for trial in those:
            predictions = trial.predictions()
            if first is None:
                first = predictions
                groups = {column: strata.group(first, column) for column in _columns(first)}
            elif not _is_same_test(first, predictions):
                return None
            passes.setdefault(label, []).append(_look(trial.record.seed, predictions, groups))
    if first is None:
        return None
    counts = first.test.protocol
    return ImageScores(
        sample_ids=first.sample_ids,
        attributes=first.attributes,
        image_size=first.image_size,
        bird_share=counts[:, [0, 2]].sum(1) / first.image_size**2,
        iou={label: _mean([one.iou for one in those]) for label, those in passes.items()},
        false_share={label: _mean([one.false_share for one in those]) for label, those in passes.items()},
        missed_share={label: _missed_share(those) for label, those in passes.items()},
        strata=tuple(_stratification(column, groups[column], first, passes) for column in groups),
        thresholds=_thresholds(passes),
    )


def _columns(predictions: Predictions) -> list[str]:
    """The columns worth drawing, what usually tells most at first."""
    there = [column for column in strata.columns(predictions) if column not in _NOT_SHOWN]
    ordered = [column for column in _FIRST if column in there]
    ordered += [column for column in there if column not in _FIRST]
    has_bird = predictions.test.protocol[:, [0, 2]].sum(1) > 0
    shown = []
    for column in ordered:
        groups = strata.group(predictions, column)
        is_telling = sum(int((images & has_bird).sum()) >= LEAST_IMAGES for images in groups.values()) > 1
        if len(groups) <= MOST_GROUPS and is_telling:
            shown.append(column)
    return shown[:MOST_COLUMNS]


def _is_same_test(first: Predictions, other: Predictions) -> bool:
    ids = (first.sample_ids, first.recording_ids, first.image_size)
    same = ids == (other.sample_ids, other.recording_ids, other.image_size)
    return same and np.array_equal(first.reference, other.reference)


def _look(seed: int, predictions: Predictions, groups: Mapping[str, Mapping[str, npt.NDArray[np.bool_]]]) -> _Pass:
    counts = predictions.test.protocol.astype(np.float64)
    union = counts[:, :3].sum(1)
    _, on_val, on_test = threshold_curve(predictions)
    return _Pass(
        seed=seed,
        iou=np.divide(counts[:, 0], union, out=np.full(len(counts), np.nan), where=union > 0),
        false_share=counts[:, 1] / predictions.image_size**2,
        false_and_missed=(int(counts[:, 1].sum()), int(counts[:, 2].sum())),
        readings={
            (column, name): take_reading(predictions, "iou_pooled", images)
            for column, those in groups.items()
            for name, images in those.items()
        },
        val=on_val,
        test=on_test,
        threshold=validation_threshold(predictions) if len(predictions.val_histogram) else None,
    )


def _mean(arrays: Sequence[FloatArray]) -> FloatArray:
    """Over seeds, of those that have the value."""
    stacked = np.stack(arrays)
    known = ~np.isnan(stacked)
    total, count = np.where(known, stacked, 0.0).sum(0), known.sum(0)
    mean: FloatArray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _missed_share(passes: Sequence[_Pass]) -> float | None:
    false, missed = (sum(one.false_and_missed[part] for one in passes) for part in (0, 1))
    return missed / (false + missed) if false + missed else None


def _stratification(
    column: str,
    groups: Mapping[str, npt.NDArray[np.bool_]],
    predictions: Predictions,
    passes: Mapping[str, Sequence[_Pass]],
) -> Stratification:
    rows = []
    has_bird = predictions.test.protocol[:, [0, 2]].sum(1) > 0
    for name, images in groups.items():
        if not (images & has_bird).any():
            continue  # IoU says nothing of images without bird: one wrong pixel makes it 0
        estimates = {}
        for label, those in passes.items():
            readings = {one.seed: one.readings[column, name] for one in those}
            scores = {seed: reading.score for seed, reading in readings.items()}
            estimates[label] = estimate(Contender(label=label, scores=scores, readings=readings))
        inside = {one for one, is_in in zip(predictions.recording_ids, images, strict=True) if is_in}
        rows.append(ScoreRow(name=name, n_images=int(images.sum()), n_recordings=len(inside), estimates=estimates))
    return Stratification(column=column, rows=tuple(rows))


def _thresholds(passes: Mapping[str, Sequence[_Pass]]) -> Curve:
    borders = histogram_borders().astype(np.float64)
    return Curve(
        thresholds=borders,
        val={label: np.mean([one.val for one in those], axis=0) for label, those in passes.items()},
        test={label: np.mean([one.test for one in those], axis=0) for label, those in passes.items()},
        chosen={
            label: tuple(float(borders[one.threshold]) for one in those if one.threshold is not None)
            for label, those in passes.items()
        },
    )
