"""A box in time and frequency, and the cells of a spectrogram that it covers.

Owns the geometry. A cell is as wide as a hop around the middle of its frame, and as high as a bin around its
frequency; a box covers the cells whose middle is in it. So a box that follows cells' edges covers those cells and no
other, and any box comes back from its mask to one frame and one bin. Files are `formats.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchbird.audio.stft import FFT_SIZE, HOP_SAMPLES, ONE_SIDED_ROWS, WINDOW_SAMPLES

HalfMask = npt.NDArray[np.bool_]
"""`(513, frames)`, from 0 Hz up to the Nyquist frequency."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """Where a sound is.

    Attributes:
        start_s: its beginning, in seconds from that of the recording.
        end_s: its end, greater than `start_s`.
        low_hz: its lower edge; None where only times are known.
        high_hz: its upper edge, greater than `low_hz`; None with it.
        label: what it is, perhaps empty.
        channel: counted from 1; None where it isn't told.
    """

    start_s: float
    end_s: float
    low_hz: float | None = None
    high_hz: float | None = None
    label: str = ""
    channel: int | None = None

    def fault(self) -> str | None:
        """What can't be about this box, or None."""
        numbers = [self.start_s, self.end_s, *(one for one in (self.low_hz, self.high_hz) if one is not None)]
        if not all(map(math.isfinite, numbers)):
            return "a time or frequency is no finite number"
        if self.start_s < 0 or not self.start_s < self.end_s:
            return f"from {self.start_s:g} to {self.end_s:g} s, expected 0 ≤ begin < end"
        if (self.low_hz is None) != (self.high_hz is None):
            return "one frequency without the other"
        if self.low_hz is not None and self.high_hz is not None and not 0 <= self.low_hz < self.high_hz:
            return f"from {self.low_hz:g} to {self.high_hz:g} Hz, expected 0 ≤ low < high"
        return None


def mask_of(boxes: Iterable[Box], rate_hz: int, frames: int) -> HalfMask:
    """The cells that any of the boxes covers, bool `(513, frames)`.

    Args:
        boxes: sound ones; one without frequencies covers all of them. What lies outside is left out.
        rate_hz: samples a second.
        frames: of the recording.
    """
    mask = np.zeros((ONE_SIDED_ROWS, frames), dtype=np.bool_)
    for box in boxes:
        first, stop = (_frames_before(second, rate_hz) for second in (box.start_s, box.end_s))
        low, high = 0, ONE_SIDED_ROWS
        if box.low_hz is not None and box.high_hz is not None:
            low, high = (_bins_below(hertz, rate_hz) for hertz in (box.low_hz, box.high_hz))
        mask[low:high, max(first, 0) : max(stop, 0)] = True
    return mask


def boxes_of(mask: HalfMask, rate_hz: int, *, first_frame: int = 0, label: str = "") -> tuple[Box, ...]:
    """The bounding box of each connected piece of a mask, in the order of their beginnings.

    Args:
        mask: bool `(513, frames)`; cells that touch, at a corner too, are one piece.
        rate_hz: samples a second.
        first_frame: of the recording that the mask begins at.
        label: of every box.
    """
    if not mask.any():
        return ()
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    boxes = []
    for rows, columns in ndimage.find_objects(labels):
        boxes.append(
            Box(
                start_s=_edge_s(first_frame + columns.start, rate_hz),
                end_s=_edge_s(first_frame + columns.stop, rate_hz),
                low_hz=_edge_hz(rows.start, rate_hz),
                high_hz=_edge_hz(rows.stop, rate_hz),
                label=label,
            )
        )
    return tuple(sorted(boxes, key=lambda box: (box.start_s, box.low_hz or 0.0)))


def _frames_before(second: float, rate_hz: int) -> int:
    """How many frames have their middle before a time."""
    return math.ceil((second * rate_hz - WINDOW_SAMPLES / 2) / HOP_SAMPLES - _TOLERANCE)


def _bins_below(hertz: float, rate_hz: int) -> int:
    """How many bins lie below a frequency; from the Nyquist frequency on, all of them."""
    bins = hertz * FFT_SIZE / rate_hz
    return ONE_SIDED_ROWS if bins >= FFT_SIZE / 2 - _TOLERANCE else math.ceil(bins - _TOLERANCE)


_TOLERANCE = 1e-6
"""Of a frame or bin: a middle that is on an edge but for rounding belongs to what begins there."""


def _edge_s(frame: int, rate_hz: int) -> float:
    """Where a frame's cell begins."""
    return (frame * HOP_SAMPLES + WINDOW_SAMPLES / 2 - HOP_SAMPLES / 2) / rate_hz


def _edge_hz(row: int, rate_hz: int) -> float:
    """Where a bin's cell begins: half a bin below it, but not below 0 Hz nor above the Nyquist frequency."""
    return min(max(row - 0.5, 0.0), FFT_SIZE / 2) * rate_hz / FFT_SIZE
