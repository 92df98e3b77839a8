"""A threshold with morphological clean-up: specks are removed, gaps are closed (Serra 1982).

Opening and closing by a flat square work on grey levels and commute with every threshold, so that the best level is
found exactly, as without them. The square's side is found on the training split too; a side of 1 is no clean-up.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.functional import max_pool2d

from benchbird import SegmenterSpec, hookimpl
from benchbird_floors.levels import Floor, calibrate

BENCHBIRD_API = 1


def dilate(grey: torch.Tensor, side: int) -> torch.Tensor:
    """The greatest level in a square of an odd `side` around each pixel of `(N, 1, H, W)`."""
    return max_pool2d(grey, kernel_size=side, stride=1, padding=side // 2)


def erode(grey: torch.Tensor, side: int) -> torch.Tensor:
    """Likewise the least."""
    return -dilate(-grey, side)


class Morphology(Floor):
    """Measures the grey level after an opening and a closing by a square of side `variant`."""

    variants = (1.0, 3.0, 5.0, 7.0)

    def measure(self, grey: torch.Tensor, variant: float) -> torch.Tensor:
        """The levels without bright specks and dark gaps that a square of that side can't lie in."""
        side = int(variant)
        opened = dilate(erode(grey, side), side)
        return erode(dilate(opened, side), side)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `morphology`."""
    return [
        SegmenterSpec(
            name="morphology",
            build=Morphology,
            summary="grey threshold after morphological opening and closing; no network",
            source="Serra, Image Analysis and Mathematical Morphology (1982)",
            parameters=0,
            calibrate=calibrate,
        )
    ]
