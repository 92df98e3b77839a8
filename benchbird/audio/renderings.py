"""How a recording becomes the picture that a segmenter sees: grey levels by one of three rules, whole or one half.

Owns the rules (`protocol.RENDERING_VERSIONS`) and what a row of the picture means. The transform is `stft.py`'s.

`published`: linear magnitude, as BirdSoundsDenoising has it. `log`: decibels from −80 to 0, so that faint voices
show. `pcen`: per-channel energy normalisation, which removes what lasts (Wang et al. 2017, arXiv 1607.05666), with
the constants that Lostanlen et al. 2019 (doi 10.1109/LSP.2018.2878620) found for bird calls outdoors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from benchbird.audio.stft import DC_ROW, FFT_SIZE, HOP_SAMPLES, grey_levels, one_sided_stft, two_sided
from benchbird.protocol import Rendering, Spectrum

LOG_FLOOR_DB = -80.0

PCEN_TIME_CONSTANT_S = 0.06
PCEN_GAIN, PCEN_BIAS, PCEN_POWER = 0.8, 10.0, 0.25
PCEN_SCALE, PCEN_EPSILON = 2.0**31, 1e-6
"""The constants are for samples as 32-bit numbers, full scale 2³¹."""
PCEN_WHITE = 3.0
"""What becomes 255: a sound some twenty times as loud as what lasts in its row, fifty times where that is faint."""

FloatArray = npt.NDArray[np.floating[Any]]
GreyArray = npt.NDArray[np.uint8]


def render(audio: FloatArray, rate_hz: int, rendering: Rendering, spectrum: Spectrum) -> GreyArray:
    """The picture of a recording: grey uint8 `(rows, frames)`, 1024 rows mirrored or 513 of one half.

    Args:
        audio: real samples of one channel, shape (n,), n ≥ 128, full scale ±1.
        rate_hz: samples a second; only `pcen` depends on it.
        rendering: which rule.
        spectrum: `mirrored`, the two-sided spectrum in the published order; `half`, from 0 Hz up to the Nyquist
            frequency.

    Raises:
        ValueError: as `one_sided_stft`.
    """
    return from_spectrum(one_sided_stft(audio), rate_hz, rendering, spectrum)


def from_spectrum(
    one_sided: npt.NDArray[np.complexfloating[Any, Any]], rate_hz: int, rendering: Rendering, spectrum: Spectrum
) -> GreyArray:
    """`render` of a spectrum `(513, frames)` that is there already."""
    magnitude = np.abs(one_sided)
    if rendering == "log":
        grey = _log_levels(magnitude)
    elif rendering == "pcen":
        grey = _pcen_levels(magnitude, rate_hz)
    else:
        grey = grey_levels(magnitude)
    return np.asarray(two_sided(grey)) if spectrum == "mirrored" else grey


def _log_levels(magnitude: FloatArray) -> GreyArray:
    decibels = 20.0 * np.log10(np.maximum(magnitude, 10.0 ** (LOG_FLOOR_DB / 20.0)))
    return grey_levels(1.0 - decibels / LOG_FLOOR_DB)


def _pcen_levels(magnitude: FloatArray, rate_hz: int) -> GreyArray:
    energy = PCEN_SCALE * magnitude
    frames = PCEN_TIME_CONSTANT_S * rate_hz / HOP_SAMPLES
    follow = (math.sqrt(1.0 + 4.0 * frames**2) - 1.0) / (2.0 * frames**2)
    # It starts as if the first frame had lasted for ever, so that a picture doesn't begin with a flash.
    lasting, _ = signal.lfilter([follow], [1.0, follow - 1.0], energy, axis=1, zi=(1.0 - follow) * energy[:, :1])
    gained = energy / (PCEN_EPSILON + lasting) ** PCEN_GAIN
    return grey_levels(((gained + PCEN_BIAS) ** PCEN_POWER - PCEN_BIAS**PCEN_POWER) / PCEN_WHITE)


def image_rows(spectrum: Spectrum) -> int:
    """Rows of a picture: 1024 or 513."""
    return FFT_SIZE if spectrum == "mirrored" else FFT_SIZE - DC_ROW


def one_sided_rows(picture: npt.NDArray[Any], spectrum: Spectrum) -> npt.NDArray[Any]:
    """What a picture's rows say of each frequency, `(513, frames)` of float: of a mirrored one the mean of both rows.

    A real recording has the same at a frequency and at its mirror image, so a mask that differs there can't be
    meant; the mean is what the inverse would use anyway.

    Args:
        picture: values `(1024, frames)` or `(513, frames)`.
        spectrum: which of them.
    """
    if spectrum == "half":
        return picture
    upward = picture[DC_ROW:].copy()
    upward[1:-1] += picture[DC_ROW - 1 :: -1]
    upward[1:-1] /= 2
    return upward
