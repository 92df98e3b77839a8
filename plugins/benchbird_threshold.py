"""The floor: a pixel is bird where it is brighter than one global grey level.

No gradient and no parameter. The level is the one with the best pooled IoU on the training split, found
exactly from integer histograms (as Otsu's method, doi 10.1109/TSMC.1979.4310076, with IoU for variance).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import torch
from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1

LEVELS = 256
NOTHING = LEVELS - 1
"""No 8-bit pixel is brighter: nothing is marked."""

GAIN = 1 / 16
"""Logits per grey level. A power of two keeps them exact; their range ±16 suits a histogram of logits."""


def grey_levels(images: torch.Tensor) -> torch.Tensor:
    """Recover the 8-bit grey levels that the protocol's normalisation started from.

    Args:
        images: float32 `(N, 3, H, W)` in [-1, 1], that is (level/255 - 0.5) / 0.5 in each channel.

    Returns:
        Whole numbers as float32 `(N, 1, H, W)` in [0, 255]: the mean of the channels, rounded. Exact for
        grey images, since float32 is off by less than 1e-4 of a level; thirds never lie at a half.
    """
    grey = images.mean(dim=1, keepdim=True)  # (N, 1, H, W)
    return ((grey * 0.5 + 0.5) * (LEVELS - 1)).round()


class GreyThreshold(nn.Module):
    """Marks what is brighter than `threshold`, a buffer that `calibrate` sets; before that, nothing."""

    threshold: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(float(NOTHING)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`: > 0 iff brighter."""
        return (grey_levels(images) - self.threshold) * GAIN


def best_threshold(bird: Sequence[int], other: Sequence[int]) -> int:
    """Find the grey level t for which marking all pixels > t has the best pooled IoU.

    Args:
        bird: number of bird pixels at each of the 256 levels.
        other: number of all other pixels at each level.

    Returns:
        The level in [0, 255]; the lowest of several equally good ones; 255 where there is no bird.
    """
    n_bird = sum(bird)
    if n_bird == 0:
        return NOTHING
    best, best_iou = NOTHING, Fraction(-1)
    true_positive = n_bird
    false_positive = sum(other)
    for level in range(LEVELS):
        true_positive -= bird[level]
        false_positive -= other[level]
        # TP + FP + FN = all bird pixels + FP. A fraction compares exactly where a float could tie.
        iou = Fraction(true_positive, n_bird + false_positive)
        if iou > best_iou:
            best, best_iou = level, iou
    return best


def calibrate(model: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Set the model's threshold from the training split.

    Args:
        model: a `GreyThreshold`.
        batches: images float32 `(N, 3, H, W)` in [-1, 1] and targets float32 `(N, 1, H, W)` in [0, 1];
            a pixel counts as bird from one half.
    """
    if not isinstance(model, GreyThreshold):
        raise TypeError(f"found {type(model).__name__}, expected the GreyThreshold that build returned")
    histogram = torch.zeros(2 * LEVELS, dtype=torch.int64)
    for images, targets in batches:
        level = grey_levels(images).to(torch.int64).clamp(0, LEVELS - 1)  # (N, 1, H, W)
        cell = level + LEVELS * (targets >= 0.5)
        histogram += torch.bincount(cell.flatten(), minlength=2 * LEVELS).cpu()
    counts = histogram.tolist()
    model.threshold.fill_(best_threshold(bird=counts[LEVELS:], other=counts[:LEVELS]))


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `threshold`."""
    return [
        SegmenterSpec(
            name="threshold",
            build=GreyThreshold,
            summary="best global grey threshold of the training split; no network, the floor",
            source="exhaustive search over 256 levels, after Otsu (doi 10.1109/TSMC.1979.4310076)",
            calibrate=calibrate,
        )
    ]
