"""Every score, from integer counts of pixels; tensors in, integers and floats out, no state.

Definitions are in `records.Scores`. Counts are exact, so scores of a split don't depend on batch size,
order or device. Both-empty cases: a pooled score without any pixel to divide by is None with a reason
(torchmetrics says 0, segmentation-models-pytorch 1); a batch without any is 0, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchbird.records import Counts, Scores

if TYPE_CHECKING:
    import torch

BATCH_MEAN_SIZE = 16
"""Images in a batch of `iou_batch_mean`."""

TWO_CLASS_BATCH_SIZE = 8
"""Images in a batch of `miou_two_class_batch_mean`."""

HISTOGRAM_BINS = 64
HISTOGRAM_STEP = 0.25
"""Logit bins are (a, b]; 0 is a border, so that `logit > 0` can be read off; the outer bins are open."""

CountArray = npt.NDArray[np.int64]
"""`(N, 4)`: TP, FP, FN, TN of each image."""


def pixel_counts(logits: torch.Tensor, reference: torch.Tensor, threshold: float) -> torch.Tensor:
    """Count pixels by prediction and reference, image by image, on the tensors' device.

    Args:
        logits: floating point `(N, 1, H, W)`; bird where greater than `threshold`.
        reference: bool `(N, 1, H, W)`.
        threshold: logit.

    Returns:
        int64 `(N, 4)`: TP, FP, FN, TN. A NaN logit counts as background: check for NaN apart.
    """
    import torch

    predicted = (logits > threshold).flatten(1)  # (N, HW)
    actual = reference.flatten(1)
    true_positive = (predicted & actual).sum(1)
    false_positive = predicted.sum(1) - true_positive
    false_negative = actual.sum(1) - true_positive
    true_negative = predicted.shape[1] - true_positive - false_positive - false_negative
    return torch.stack([true_positive, false_positive, false_negative, true_negative], dim=1)


def histogram_borders() -> npt.NDArray[np.float32]:
    """The 63 borders between the 64 logit bins, float32, symmetric about 0."""
    return ((np.arange(HISTOGRAM_BINS - 1) - (HISTOGRAM_BINS // 2 - 1)) * HISTOGRAM_STEP).astype(np.float32)


def logit_histogram(logits: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Histogram of logits of bird pixels and of other pixels, image by image.

    Args:
        logits: float32 `(N, 1, H, W)`.
        reference: bool `(N, 1, H, W)`.

    Returns:
        int64 `(N, 2, 64)`: [:, 0] of pixels without bird, [:, 1] of pixels with bird.
    """
    import torch

    borders = torch.from_numpy(histogram_borders()).to(logits.device)
    bins = torch.bucketize(logits.flatten(1).contiguous(), borders)  # (N, HW), border belongs to the bin below
    images = logits.shape[0]
    group = torch.arange(images, device=logits.device)[:, None] * 2 + reference.flatten(1)
    flat = (group * HISTOGRAM_BINS + bins).flatten()
    one_hot_sum = torch.zeros(images * 2 * HISTOGRAM_BINS, dtype=torch.int64, device=logits.device)
    # index_add on integers is exact in any order, where bincount on CUDA is refused in deterministic mode.
    one_hot_sum.index_add_(0, flat, torch.ones_like(flat))
    return one_hot_sum.view(images, 2, HISTOGRAM_BINS)


def iou(counts: Counts) -> float | None:
    """TP / (TP + FP + FN), or None where there is neither bird nor prediction."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def total(counts: CountArray | Sequence[Sequence[int]]) -> Counts:
    """Sum of the counts of images, `(N, 4)`, as Python integers."""
    summed = np.asarray(counts, dtype=np.int64).reshape(-1, 4).sum(0)
    return Counts(*(int(value) for value in summed))


def scores(counts: CountArray, native_counts: CountArray) -> Scores:
    """All scores of a split.

    Args:
        counts: int64 `(N, 4)`, TP, FP, FN, TN at protocol size, images in the order of their names.
        native_counts: the same at each image's native size.
    """
    pooled = total(counts)
    empty = (counts[:, 0] + counts[:, 2]) == 0  # no bird in the reference
    values = {
        "iou_pooled": iou(pooled),
        "iou_native": iou(total(native_counts)),
        "iou_image_mean": _image_mean(counts[~empty]),
        "iou_batch_mean": batch_mean_iou(counts),
        "miou_two_class": _two_class(pooled),
        "miou_two_class_batch_mean": _two_class_batch_mean(counts, TWO_CLASS_BATCH_SIZE),
        "dice": _ratio(2 * pooled.tp, 2 * pooled.tp + pooled.fp + pooled.fn),
        "precision": _ratio(pooled.tp, pooled.tp + pooled.fp),
        "recall": _ratio(pooled.tp, pooled.tp + pooled.fn),
        "ref_empty_false_positive_share": _ratio(int((counts[empty, 1] > 0).sum()), int(empty.sum())),
    }
    return Scores(
        **values,
        n_images=len(counts),
        n_ref_empty=int(empty.sum()),
        undefined={name: _WHY_UNDEFINED[name] for name, value in values.items() if value is None},
    )


_NOTHING = "no pixel is bird, in the masks or in the predictions"
_WHY_UNDEFINED = {
    "iou_pooled": _NOTHING,
    "iou_native": _NOTHING,
    "iou_image_mean": "no image has bird in its mask",
    "iou_batch_mean": "there is no image",
    "miou_two_class": "one of the two classes occurs nowhere",
    "miou_two_class_batch_mean": "there is no image",
    "dice": _NOTHING,
    "precision": "no pixel was predicted as bird",
    "recall": "no pixel is bird in the masks",
    "ref_empty_false_positive_share": "every image has bird in its mask",
}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _image_mean(counts: CountArray) -> float | None:
    if len(counts) == 0:
        return None
    return float(np.mean(counts[:, 0] / counts[:, :3].sum(1)))


def batch_mean_iou(counts: CountArray, size: int = BATCH_MEAN_SIZE) -> float | None:
    """Mean of the pooled IoU of consecutive batches, `(N, 4)` counts in name order; None without images."""
    batches = _batches(counts, size)
    return float(np.mean([iou(batch) or 0.0 for batch in batches])) if batches else None


def _batches(counts: CountArray, size: int) -> list[Counts]:
    return [total(counts[start : start + size]) for start in range(0, len(counts), size)]


def _two_class_batch_mean(counts: CountArray, size: int) -> float | None:
    # A class that occurs nowhere in a batch counts 0, as in scikit-learn.
    means = [((iou(batch) or 0.0) + (iou(_background(batch)) or 0.0)) / 2 for batch in _batches(counts, size)]
    return float(np.mean(means)) if means else None


def _background(counts: Counts) -> Counts:
    """The same pixels with the two classes exchanged."""
    return Counts(tp=counts.tn, fp=counts.fn, fn=counts.fp, tn=counts.tp)


def _two_class(pooled: Counts) -> float | None:
    foreground = iou(pooled)
    background = iou(_background(pooled))
    return None if foreground is None or background is None else (foreground + background) / 2
