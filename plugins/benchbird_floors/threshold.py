"""The plainest floor: a pixel is bird where it is brighter than one global grey level.

As Otsu's method (doi 10.1109/TSMC.1979.4310076), with IoU on the training split for variance within an image.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from benchbird import SegmenterSpec, hookimpl
from benchbird_floors.levels import Floor, calibrate

BENCHBIRD_API = 1


class GreyThreshold(Floor):
    """Measures the grey level itself."""

    def measure(self, grey: torch.Tensor, variant: float) -> torch.Tensor:
        """The grey levels as they are."""
        return grey


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `threshold`."""
    return [
        SegmenterSpec(
            name="threshold",
            build=GreyThreshold,
            summary="best global grey threshold of the training split; no network, the floor",
            source="exhaustive search over 256 levels, after Otsu (doi 10.1109/TSMC.1979.4310076)",
            parameters=0,
            calibrate=calibrate,
        )
    ]
