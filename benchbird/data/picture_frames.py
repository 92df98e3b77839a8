"""How long a data set's pictures are, in frames of the transform: what a recording is cut into to be seen alike.

Owns where that is known from. Pictures themselves may have been resized by whoever made them.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median_low

from benchbird.audio.stft import FFT_SIZE, frame_count
from benchbird.data.prepared import PreparedSplit


def median_frames(split: PreparedSplit) -> int | None:
    """Median number of frames that a picture of the split shows; None where nothing tells for half of them.

    A manifest's `seconds` and `sample_rate` tell; else the width, of a picture with the 1024 rows of the published
    rendering, which has a column for each frame.
    """
    known = [
        frames
        for attributes, size in zip(split.attributes, split.native_sizes, strict=True)
        if (frames := _from_manifest(attributes) or _from_size(size))
    ]
    return median_low(known) if known and 2 * len(known) >= len(split) else None


def _from_manifest(attributes: Mapping[str, str]) -> int:
    try:
        return frame_count(round(float(attributes["seconds"]) * float(attributes["sample_rate"])))
    except (KeyError, ValueError, OverflowError):
        return 0


def _from_size(size: tuple[int, int]) -> int:
    rows, columns = size
    return columns if rows == FFT_SIZE else 0
