"""Otsu's threshold (doi 10.1109/TSMC.1979.4310076) of each image, moved by one offset for all.

Each image is cut where the variance between dark and bright pixels is greatest, so that a loud recording and a faint
one are cut at levels of their own. The offset is found on the training split, in the floor's favour: most of a
spectrogram is noise, and the plain method cuts in the middle of that.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from benchbird import SegmenterSpec, hookimpl
from benchbird_floors.levels import LEVELS, Floor, calibrate

BENCHBIRD_API = 1

MIDDLE = LEVELS // 2 - 1
"""A pixel at its image's own threshold is measured so: a threshold of that is an offset of 0."""


def otsu_levels(grey: torch.Tensor) -> torch.Tensor:
    """The level t of each image that best parts pixels ≤ t from those above.

    Args:
        grey: whole numbers as float32 `(N, 1, H, W)` in [0, 255].

    Returns:
        Whole numbers as float32 `(N, 1, 1, 1)`: the lowest where several are equally good; 0 for an even image.
    """
    levels = torch.arange(LEVELS, device=grey.device, dtype=grey.dtype)
    ordered = grey.flatten(1).sort(dim=1).values
    # By counting in order, since histograms add up in another order each time on some devices.
    up_to = torch.searchsorted(ordered, levels.expand(len(grey), -1).contiguous(), right=True)  # (N, 256)
    count = torch.diff(up_to, dim=1, prepend=torch.zeros_like(up_to[:, :1]))
    total = (count * levels.to(torch.int64)).cumsum(dim=1)
    below, size = up_to.float(), ordered.shape[1]
    above = size - below
    mean_below = total / below.clamp(min=1)
    mean_above = (total[:, -1:] - total) / above.clamp(min=1)
    between = below / size * (above / size) * (mean_below - mean_above).square()
    return between.argmax(dim=1).to(grey.dtype).view(-1, 1, 1, 1)


class Otsu(Floor):
    """Measures how far a pixel is above its image's own threshold."""

    def measure(self, grey: torch.Tensor, variant: float) -> torch.Tensor:
        """The grey level less Otsu's of the image, plus `MIDDLE`."""
        return (grey - otsu_levels(grey) + MIDDLE).clamp(0, LEVELS - 1)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `otsu`."""
    return [
        SegmenterSpec(
            name="otsu",
            build=Otsu,
            summary="Otsu's threshold of each image, with an offset from the training split; no network",
            source="doi 10.1109/TSMC.1979.4310076",
            parameters=0,
            calibrate=calibrate,
        )
    ]
