"""The points of the contract: which there are for a segmenter, what they are called, and how one was kept.

What is known without building anything, so that tests can be collected. Looking is `testing.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchbird.contract import SegmenterSpec

POINTS = {
    "options": "options are accepted",
    "build": "builds from the seed alone, in float32, on the CPU",
    "logits": "returns finite logits (N, 1, H, W)",
    "sizes": "takes every size that its size_multiple allows",
    "eval": "in eval(): repeats, alone as in a batch, from its state_dict",
    "training": "trains on a batch of two: a gradient for each parameter",
    "calibration": "calibrates, and repeats that",
    "cost": "has the parameters and GFLOP that it states, if it does",
    "globals": "leaves torch's global settings alone",
}
"""Key, fit for a test's id → what is looked at, in a few words; in the order of the looking."""


@dataclass(frozen=True)
class Point:
    """A part of the contract, and how it was kept.

    Attributes:
        key: one of `POINTS`.
        failures: one sentence for each thing that breaks it, with what to change; empty where it is kept.
    """

    key: str
    failures: tuple[str, ...]

    @property
    def name(self) -> str:
        """What was looked at, in a few words."""
        return POINTS[self.key]


def keys_for(spec: SegmenterSpec) -> tuple[str, ...]:
    """The keys of a segmenter's points: it trains or calibrates, never both."""
    other = "calibration" if spec.calibrate is None else "training"
    return tuple(key for key in POINTS if key != other)
