"""A recording's spectrogram as people look at it: time to the right, frequency upwards, the darker the louder.

Owns the drawing. Networks see `audio/renderings.py`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchbird.audio.renderings import render

_LEAST_COLUMNS = 2


def spectrogram_picture(
    audio: npt.NDArray[np.floating[Any]], rate_hz: int, rows: int, most_columns: int
) -> Image.Image:
    """Grey picture of −80 dB (white) to 0 dB (black), shrunk by area to the size asked for.

    Args:
        audio: real samples, shape (n,), full scale ±1.
        rate_hz: samples a second.
        rows: height in pixels, from 0 Hz to half the rate.
        most_columns: width in pixels where the recording has as many frames; a shorter one has a column a frame.
    """
    grey = render(audio, rate_hz, "log", "half")[::-1].astype(np.float64)
    levels = np.uint8(255) - np.round(grey**2 / 255).astype(np.uint8)  # squared, or the noise would look as dark
    columns = min(max(levels.shape[1], _LEAST_COLUMNS), most_columns)
    return Image.fromarray(np.ascontiguousarray(levels)).resize((columns, rows), Image.Resampling.BOX)
