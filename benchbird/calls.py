"""The calls in a recording: connected pieces of what a trial's model takes for bird, as boxes.

Owns how pieces are followed from stretch to stretch, in memory that doesn't grow with the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchbird.annotations.boxes import Box, boxes_of
from benchbird.audio.stft import HOP_SAMPLES, ONE_SIDED_ROWS
from benchbird.listening import Stretch

LONGEST_S = 60.0
"""A piece that goes on for longer is cut there; those beside it aren't."""


def find_calls(
    stretches: Iterable[Stretch], rate_hz: int, logit_threshold: float, *, least_s: float = 0.0, label: str = ""
) -> Iterator[Box]:
    """The calls of all channels, each once its end is known.

    Args:
        stretches: all of a recording, as `listen` gives them.
        rate_hz: samples a second.
        logit_threshold: of the protocol.
        least_s: shorter pieces are left out.
        label: of every box.
    """
    channels: list[_Pieces] = []
    for stretch in stretches:
        if stretch.is_rest:
            continue
        channels = channels or [_Pieces(rate_hz) for _ in stretch.logits]
        for number, (pieces, logits) in enumerate(zip(channels, stretch.logits, strict=True), start=1):
            yield from _labelled(pieces.add(logits > logit_threshold), number, label, least_s)
    for number, pieces in enumerate(channels, start=1):
        yield from _labelled(pieces.finish(), number, label, least_s)


def _labelled(boxes: Iterable[Box], channel: int, label: str, least_s: float) -> Iterator[Box]:
    for box in boxes:
        if box.end_s - box.start_s >= least_s:
            yield replace(box, channel=channel, label=label)


class _Pieces:
    """The part of a channel's mask whose pieces may go on."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._longest = round(LONGEST_S * rate_hz / HOP_SAMPLES)
        self._mask: npt.NDArray[np.bool_] = np.zeros((ONE_SIDED_ROWS, 0), dtype=np.bool_)
        self._first_frame = 0

    def add(self, mask: npt.NDArray[np.bool_]) -> tuple[Box, ...]:
        """The boxes of the pieces that have ended."""
        self._mask = np.concatenate([self._mask, mask], axis=1)
        frames = self._mask.shape[1]
        labels, _ = ndimage.label(self._mask, structure=np.ones((3, 3)))
        begins = [columns.start for _, columns in ndimage.find_objects(labels)]  # of label 1, 2, …
        open_labels = [number for number in np.unique(labels[:, -1]) if number]
        kept = [number for number in open_labels if frames - begins[number - 1] <= self._longest]
        goes_on = np.isin(labels, kept)
        start = min((begins[number - 1] for number in kept), default=frames)
        ended = boxes_of(self._mask & ~goes_on, self._rate_hz, first_frame=self._first_frame)
        self._mask = (self._mask & goes_on)[:, start:]
        self._first_frame += start
        return ended

    def finish(self) -> tuple[Box, ...]:
        """The boxes of the rest."""
        return boxes_of(self._mask, self._rate_hz, first_frame=self._first_frame)
