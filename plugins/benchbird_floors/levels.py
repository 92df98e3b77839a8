"""What the floors have in common: a measure of each pixel in whole grey levels, and the best level to cut it at.

The level, and the best of a floor's few variants, are those with the best pooled IoU on the training split, found
exactly from integer histograms. No gradient and no parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import torch
from torch import nn

LEVELS = 256
NOTHING = LEVELS - 1
"""No measure is greater: nothing is marked."""

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


class Floor(nn.Module):
    """Marks where `measure` is greater than `threshold`, which `calibrate` sets; before that, nothing.

    Attributes:
        variants: what `calibrate` chooses from, the first where several are equally good.
        threshold: a grey level.
        variant: one of `variants`.
    """

    variants: Sequence[float] = (0.0,)
    threshold: torch.Tensor
    variant: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(float(NOTHING)))
        self.register_buffer("variant", torch.tensor(float(self.variants[0])))

    def measure(self, grey: torch.Tensor, variant: float) -> torch.Tensor:
        """How much each pixel looks like bird.

        Args:
            grey: whole numbers as float32 `(N, 1, H, W)` in [0, 255].
            variant: one of `variants`.

        Returns:
            Likewise, of the same shape and range.
        """
        raise NotImplementedError

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`: > 0 iff measured greater."""
        return (self.measure(grey_levels(images), float(self.variant)) - self.threshold) * GAIN


def best_threshold(bird: Sequence[int], other: Sequence[int]) -> tuple[int, Fraction]:
    """Find the level t for which marking all pixels > t has the best pooled IoU.

    Args:
        bird: number of bird pixels at each of the 256 levels.
        other: number of all other pixels at each level.

    Returns:
        The level in [0, 255], the lowest of several equally good ones, and its IoU; 255 where there is no bird.
    """
    n_bird = sum(bird)
    if n_bird == 0:
        return NOTHING, Fraction(0)
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
    return best, best_iou


def calibrate(model: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Set a floor's variant and threshold from the training split.

    Args:
        model: a `Floor`.
        batches: images float32 `(N, 3, H, W)` in [-1, 1] and targets float32 `(N, 1, H, W)` in [0, 1];
            a pixel counts as bird from one half.
    """
    if not isinstance(model, Floor):
        raise TypeError(f"found {type(model).__name__}, expected the floor that build returned")
    histograms = torch.zeros(len(model.variants), 2 * LEVELS, dtype=torch.int64)
    for images, targets in batches:
        grey = grey_levels(images)
        for histogram, variant in zip(histograms, model.variants, strict=True):
            level = model.measure(grey, variant).to(torch.int64).clamp(0, LEVELS - 1)  # (N, 1, H, W)
            cell = level + LEVELS * (targets >= 0.5)
            histogram += torch.bincount(cell.flatten(), minlength=2 * LEVELS).cpu()
    best = Fraction(-1)
    for counts, variant in zip(histograms.tolist(), model.variants, strict=True):
        threshold, iou = best_threshold(bird=counts[LEVELS:], other=counts[:LEVELS])
        if iou > best:
            best = iou
            model.threshold.fill_(threshold)
            model.variant.fill_(variant)
