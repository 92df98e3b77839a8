"""The exact mask: where a clean voice can be seen, tidied the way a person paints.

It sees the clean voice and the noise apart, never their mixture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchbird.audio.stft import one_sided_stft
from benchbird.data.synthetic.notes import FloatArray

VISIBLE_GREY_LEVELS = 5.0
"""Fainter than this, a sound on black is not seen, in grey levels of the image (0 … 255)."""
VISIBLE_OF_PEAK = 0.004
"""Fainter than this share of the voice's own peak (−48 dB), nobody would call it part of the song."""
VISIBLE_OF_NEIGHBOUR = 0.014
"""Fainter than this share of what is loudest nearby (−37 dB), it is that sound's glare: side lobe or echo."""
VISIBLE_OF_NOISE = 0.2
"""Fainter than this share of the noise in the same row, it is drowned."""
_BLUR_ROWS, _BLUR_SECONDS = 4.0, 0.009
_GAP_ROWS, _GAP_SECONDS = 19, 0.040
_GLARE_ROWS, _GLARE_SECONDS = 160, 0.08
_CRUMB_AREA = 0.0007
"""Pieces and holes below this share of the half image are removed."""


def _smooth(magnitude: FloatArray, frames_per_s: float) -> FloatArray:
    sigma = (_BLUR_ROWS, _BLUR_SECONDS * frames_per_s)
    return np.asarray(ndimage.gaussian_filter(magnitude.astype(np.float32), sigma, truncate=2.5, mode="reflect"))


def _odd(length: float) -> int:
    return 2 * max(1, round(length / 2)) + 1


def _without_crumbs(half: npt.NDArray[np.bool_], least_pixels: float) -> npt.NDArray[np.bool_]:
    """Drop connected pieces smaller than `least_pixels`."""
    labels, count = ndimage.label(half)
    if count == 0:
        return half
    areas = np.bincount(labels.ravel())
    keep = areas >= least_pixels
    keep[0] = False
    return np.asarray(keep[labels])


def visible_half(
    clean: FloatArray, noise: FloatArray, frames_per_s: float, noise_share: float = VISIBLE_OF_NOISE
) -> npt.NDArray[np.bool_]:
    """Where the voice is visible, from 0 Hz up to the Nyquist frequency.

    Args:
        clean: the voice alone, shape (n,), at the level at which it is in the recording.
        noise: everything else, shape (n,).
        frames_per_s: columns of the image per second.
        noise_share: how far below the noise a voice still counts, as a ratio of magnitudes.

    Returns:
        Boolean array (513, frames): one half of the mask; `stft.two_sided` mirrors it.
    """
    voice = _smooth(np.abs(one_sided_stft(clean)), frames_per_s)  # (513, frames)
    drowning = np.abs(one_sided_stft(noise)).mean(axis=1, keepdims=True)  # (513, 1)
    threshold = np.maximum(noise_share * drowning, VISIBLE_GREY_LEVELS / 255.0)
    threshold = np.maximum(threshold, VISIBLE_OF_PEAK * voice.max(initial=0.0))
    glare = ndimage.maximum_filter(voice, (_odd(_GLARE_ROWS), _odd(_GLARE_SECONDS * frames_per_s)))
    half = voice > np.maximum(threshold, VISIBLE_OF_NEIGHBOUR * glare)
    box = (_odd(_GAP_ROWS), _odd(_GAP_SECONDS * frames_per_s))
    # A maximum filter and a minimum filter of one box are a closing; minimum first, an opening.
    half = ndimage.minimum_filter(ndimage.maximum_filter(half, box), box)
    least = _CRUMB_AREA * half.size
    half = ~_without_crumbs(~half, least)
    return _without_crumbs(half, least)
