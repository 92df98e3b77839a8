"""A noise gate in each band: a pixel is bird where it is louder than its row usually is.

A row's noise is its median over time, as in minimum statistics and median clipping (Lasseck 2013); how many times
that is taken away, and what must be left, are found on the training split.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from benchbird import SegmenterSpec, hookimpl
from benchbird_floors.levels import LEVELS, Floor, calibrate

BENCHBIRD_API = 1


class NoiseGate(Floor):
    """Measures what is left of a pixel when its row's median is taken away `variant` times."""

    variants = (1.0, 0.5, 1.5, 2.0, 3.0, 4.0)

    def measure(self, grey: torch.Tensor, variant: float) -> torch.Tensor:
        """The grey level less `variant` × the row's median, not below 0."""
        ordered = grey.sort(dim=3).values
        median = ordered[..., (grey.shape[3] - 1) // 2].unsqueeze(3)  # (N, 1, H, 1), the lower one of two
        return (grey - variant * median).round().clamp(0, LEVELS - 1)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `noise_gate`."""
    return [
        SegmenterSpec(
            name="noise_gate",
            build=NoiseGate,
            summary="spectral gate: what exceeds the median of its frequency band; no network",
            source="median clipping, Lasseck, Bird song classification in field recordings (NIPS4B 2013)",
            parameters=0,
            calibrate=calibrate,
        )
    ]
