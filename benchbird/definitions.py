"""Every score by its name, as a function of the predictions file and of which images count how often.

Owns the definitions that a leaderboard can rank by and the sets of images they are taken over: all of them,
all but one recording, one stratum. What an interval is made of is for `readings.py` and `statistics/`.

A score of K sets of images at once takes `weights`, float64 `(K, N)`: how often each image counts. It gives
float64 `(K,)`, NaN where the score is undefined. Whole numbers below 2⁵³ add up exactly in any order, so the
scores don't depend on the order of images (but for the batch means, whose batches are by name) nor on a
device or batch size of the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchbird.metrics import BATCH_MEAN_SIZE, TWO_CLASS_BATCH_SIZE, CountArray, histogram_borders
from benchbird.predictions import Predictions

FloatArray = npt.NDArray[np.float64]
Weights = FloatArray

HEADLINE = "iou_pooled"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One score.

    Attributes:
        name: as in `--metric`.
        title: a column's heading.
        meaning: one sentence.
        evaluate: predictions and weights `(K, N)` → scores `(K,)`, NaN where undefined.
        higher_is_better: which end of the scale is good.
    """

    name: str
    title: str
    meaning: str
    evaluate: Callable[[Predictions, Weights], FloatArray]
    higher_is_better: bool = True


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _pooled(counts: CountArray, weights: Weights) -> FloatArray:
    """Counts `(N, 4)` summed with weights: `(K, 4)`."""
    return np.asarray(weights @ counts.astype(np.float64))


def _iou(pooled: FloatArray) -> FloatArray:
    """TP / (TP + FP + FN) of pooled counts `(…, 4)`."""
    return _ratio(pooled[..., 0], pooled[..., :3].sum(-1))


def _background_iou(pooled: FloatArray) -> FloatArray:
    return _ratio(pooled[..., 3], pooled[..., 1:].sum(-1))


def _dice(pooled: FloatArray) -> FloatArray:
    return _ratio(2 * pooled[..., 0], 2 * pooled[..., 0] + pooled[..., 1] + pooled[..., 2])


def _precision(pooled: FloatArray) -> FloatArray:
    return _ratio(pooled[..., 0], pooled[..., 0] + pooled[..., 1])


def _recall(pooled: FloatArray) -> FloatArray:
    return _ratio(pooled[..., 0], pooled[..., 0] + pooled[..., 2])


def _two_class(pooled: FloatArray) -> FloatArray:
    return (_iou(pooled) + _background_iou(pooled)) / 2


def _two_class_or_zero(pooled: FloatArray) -> FloatArray:
    return (np.nan_to_num(_iou(pooled)) + np.nan_to_num(_background_iou(pooled))) / 2


def _image_mean(predictions: Predictions, weights: Weights) -> FloatArray:
    counts = predictions.test.protocol
    has_bird = (counts[:, 0] + counts[:, 2]) > 0
    own = np.where(has_bird, np.nan_to_num(_iou(counts.astype(np.float64))), 0.0)
    return _ratio(weights @ own, weights @ has_bird.astype(np.float64))


def _batch_mean(size: int, score: Callable[[FloatArray], FloatArray]) -> Callable[[Predictions, Weights], FloatArray]:
    """Mean over batches of `size` in name order; leaving an image out takes it out of its own batch."""

    def evaluate(predictions: Predictions, weights: Weights) -> FloatArray:
        total = np.zeros(len(weights))
        batches = np.zeros(len(weights))
        counts = predictions.test.protocol
        for start in range(0, len(counts), size):
            part = weights[:, start : start + size]
            has_images = part.sum(1) > 0
            total += np.where(has_images, np.nan_to_num(score(_pooled(counts[start : start + size], part))), 0.0)
            batches += has_images
        return _ratio(total, batches)

    return evaluate


def _from_counts(score: Callable[[FloatArray], FloatArray]) -> Callable[[Predictions, Weights], FloatArray]:
    return lambda predictions, weights: score(_pooled(predictions.test.protocol, weights))


def _native_iou(predictions: Predictions, weights: Weights) -> FloatArray:
    return _iou(_pooled(predictions.test.native, weights))


def threshold_counts(histogram: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Counts at every threshold that the logit histogram tells apart.

    Args:
        histogram: int64 `(…, 2, 64)`, as `metrics.logit_histogram` makes it.

    Returns:
        int64 `(…, 63, 4)`: TP, FP, FN, TN with bird where logit > `histogram_borders()[t]`.
    """
    above = histogram[..., ::-1].cumsum(-1)[..., ::-1][..., 1:]  # (…, 2, 63)
    totals = histogram.sum(-1)[..., None]  # (…, 2, 1)
    below = totals - above
    return np.stack([above[..., 1, :], above[..., 0, :], below[..., 1, :], below[..., 0, :]], axis=-1)


def threshold_curve(predictions: Predictions) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Pooled IoU by threshold: logits `(63,)`, IoU on validation `(63,)` and on test `(63,)`."""
    on_val, on_test = _iou_by_threshold(predictions.val_histogram), _iou_by_threshold(predictions.histogram)
    return histogram_borders().astype(np.float64), on_val, on_test


def _iou_by_threshold(histogram: npt.NDArray[np.int64]) -> FloatArray:
    return _iou(threshold_counts(histogram.sum(0)).astype(np.float64))


def validation_threshold(predictions: Predictions) -> int | None:
    """Index into `histogram_borders()` of the threshold with the best pooled IoU on validation.

    Of several equally good ones the one nearest to logit 0, then the lower; None where none is defined, as of
    pooled folds, which have no validation images in common.
    """
    borders, on_val = histogram_borders().astype(np.float64), _iou_by_threshold(predictions.val_histogram)
    if np.isnan(on_val).all():
        return None
    best = np.flatnonzero(on_val == np.nanmax(on_val))
    return int(min(best, key=lambda index: (abs(borders[index]), borders[index])))


def _iou_at_val_threshold(predictions: Predictions, weights: Weights) -> FloatArray:
    counts = _counts_at_val_threshold(predictions)
    return np.full(len(weights), np.nan) if counts is None else _iou(_pooled(counts, weights))


@lru_cache(maxsize=1)
def _counts_at_val_threshold(predictions: Predictions) -> CountArray | None:
    """Counts of each test image at the threshold that is best on validation, `(N, 4)`; None without one."""
    # Pooled folds have no validation images, so there is nothing to choose it on.
    threshold = validation_threshold(predictions) if len(predictions.val_histogram) else None
    return None if threshold is None else threshold_counts(predictions.histogram)[:, threshold]


def _summed_histogram(predictions: Predictions, weights: Weights) -> FloatArray:
    """`(K, 2, 64)`."""
    flat = predictions.histogram.reshape(len(predictions), -1).astype(np.float64)
    return np.asarray(weights @ flat).reshape(len(weights), 2, -1)


def _average_precision(predictions: Predictions, weights: Weights) -> FloatArray:
    histogram = _summed_histogram(predictions, weights)[..., ::-1]  # highest logits first
    other, bird = histogram[:, 0], histogram[:, 1]
    hits = bird.cumsum(-1)
    precision = np.nan_to_num(_ratio(hits, hits + other.cumsum(-1)))
    return _ratio((bird * precision).sum(-1), bird.sum(-1))


@lru_cache(maxsize=1)
def bin_probabilities() -> FloatArray:
    """Probability of bird that each of the 64 logit bins stands for: the sigmoid of its middle, `(64,)`.

    The two outer bins are open; half a step beyond their border stands for them.
    """
    borders = histogram_borders().astype(np.float64)
    half = (borders[1] - borders[0]) / 2
    middles = np.concatenate([borders - half, [borders[-1] + half]])
    return np.asarray(1 / (1 + np.exp(-middles)))


def _calibration_error(predictions: Predictions, weights: Weights) -> FloatArray:
    histogram = _summed_histogram(predictions, weights)
    in_bin = histogram.sum(1)  # (K, 64)
    share = np.nan_to_num(_ratio(histogram[:, 1], in_bin))
    return _ratio((in_bin * np.abs(share - bin_probabilities())).sum(-1), in_bin.sum(-1))


@dataclass(frozen=True, eq=False)
class _EventTable:
    """Integer counts of each image, `(N,)` or `(N, 2)`, from its masks."""

    matched: CountArray
    predicted: CountArray
    reference: CountArray
    boundary: CountArray


@lru_cache(maxsize=4)
def _event_table(predictions: Predictions) -> _EventTable:
    from benchbird.boundaries import boundary_counts
    from benchbird.events import event_counts

    masks = [predictions.masks(index) for index in range(len(predictions))]
    events = [event_counts(predicted, reference) for predicted, reference in masks]
    return _EventTable(
        matched=np.array([event.matched for event in events], dtype=np.int64),
        predicted=np.array([event.predicted for event in events], dtype=np.int64),
        reference=np.array([event.reference for event in events], dtype=np.int64),
        boundary=np.array([boundary_counts(predicted, reference) for predicted, reference in masks], dtype=np.int64),
    )


def _boundary_iou(predictions: Predictions, weights: Weights) -> FloatArray:
    summed = _pooled(_event_table(predictions).boundary, weights)
    return _ratio(summed[:, 0], summed[:, 1])


def _event_score(threshold: int, kind: str) -> Callable[[Predictions, Weights], FloatArray]:
    def evaluate(predictions: Predictions, weights: Weights) -> FloatArray:
        table = _event_table(predictions)
        matched = weights @ table.matched[:, threshold].astype(np.float64)
        predicted = weights @ table.predicted.astype(np.float64)
        reference = weights @ table.reference.astype(np.float64)
        if kind == "precision":
            return _ratio(matched, predicted)
        return _ratio(matched, reference) if kind == "recall" else _ratio(2 * matched, predicted + reference)

    return evaluate


def _event_definitions() -> list[Definition]:
    return [
        Definition(
            name=f"event_{kind}_{percent}",
            title=f"event {kind.upper() if kind == 'f1' else kind} @{percent / 100:g}",
            meaning=f"{kind if kind != 'f1' else 'F1'} of connected syllables, matched one to one where their masks' "
            f"IoU is at least {percent / 100:g}.",
            evaluate=_event_score(index, kind),
        )
        for index, percent in enumerate((30, 50))
        for kind in ("f1", "precision", "recall")
    ]


_ALL = [
    Definition(
        name="iou_pooled",
        title="IoU pooled",
        meaning="ΣTP / Σ(TP+FP+FN) over all pixels of the test images.",
        evaluate=_from_counts(_iou),
    ),
    Definition(
        name="iou_native",
        title="IoU native",
        meaning="IoU pooled at the images' own size.",
        evaluate=_native_iou,
    ),
    Definition(
        name="iou_image_mean",
        title="IoU image mean",
        meaning="Mean IoU of the images whose mask has any bird.",
        evaluate=_image_mean,
    ),
    Definition(
        name="iou_batch_mean",
        title="IoU batch mean",
        meaning=f"Mean of the pooled IoU of batches of {BATCH_MEAN_SIZE} images in name order.",
        evaluate=_batch_mean(BATCH_MEAN_SIZE, _iou),
    ),
    Definition(
        name="miou_two_class",
        title="mIoU two classes",
        meaning="Mean of the pooled IoU of bird and of background.",
        evaluate=_from_counts(_two_class),
    ),
    Definition(
        name="miou_two_class_batch_mean",
        title="mIoU batch mean",
        meaning=f"Mean over batches of {TWO_CLASS_BATCH_SIZE} images in name order of the mean IoU of bird and "
        "background.",
        evaluate=_batch_mean(TWO_CLASS_BATCH_SIZE, _two_class_or_zero),
    ),
    Definition(
        name="dice",
        title="Dice",
        meaning="2ΣTP / Σ(2TP+FP+FN) over all pixels; F1 on pixels.",
        evaluate=_from_counts(_dice),
    ),
    Definition(
        name="precision",
        title="precision",
        meaning="ΣTP / Σ(TP+FP) over all pixels.",
        evaluate=_from_counts(_precision),
    ),
    Definition(
        name="recall",
        title="recall",
        meaning="ΣTP / Σ(TP+FN) over all pixels.",
        evaluate=_from_counts(_recall),
    ),
    Definition(
        name="iou_val_threshold",
        title="IoU tuned",
        meaning="IoU pooled at the logit threshold that is best on validation.",
        evaluate=_iou_at_val_threshold,
    ),
    Definition(
        name="average_precision",
        title="average precision",
        meaning="Area under precision over recall on pixels, by the 64 bins of the logit histogram.",
        evaluate=_average_precision,
    ),
    Definition(
        name="calibration_error",
        title="calibration error",
        meaning="Mean distance of predicted probability and share of bird over the 64 bins; lower is better.",
        evaluate=_calibration_error,
        higher_is_better=False,
    ),
    Definition(
        name="boundary_iou",
        title="boundary IoU",
        meaning="IoU of the pixels near the contours (arXiv 2103.16562), pooled.",
        evaluate=_boundary_iou,
    ),
    *_event_definitions(),
]

DEFINITIONS: Mapping[str, Definition] = {definition.name: definition for definition in _ALL}
"""Every score by name."""


def whole(predictions: Predictions) -> Weights:
    """Every image once: `(1, N)`."""
    return np.ones((1, len(predictions)))


def each_recording(
    predictions: Predictions, images: npt.NDArray[np.bool_] | None = None
) -> tuple[tuple[str, ...], Weights]:
    """The recordings, ascending, and the weights `(C, N)` that take one of them each.

    Args:
        predictions: of a trial.
        images: bool `(N,)`, the images that count; None for all of them. Recordings without any are left out.
    """
    names = np.array(predictions.recording_ids)
    counted = np.ones(len(names), dtype=bool) if images is None else images
    recordings = sorted(set(names[counted].tolist()))
    is_of = np.array(recordings, dtype=names.dtype)[:, None] == names[None, :]
    return tuple(recordings), (is_of & counted).astype(np.float64)
