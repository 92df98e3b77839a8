"""The published rendering of a recording as an image, and its inverse.

Owns the transform of BirdSoundsDenoising (doi 10.5281/zenodo.7191406): window, hop, row order, grey levels.
It refuses decibels, resizing and files: a caller brings samples and gets an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

WINDOW_SAMPLES = 128
HOP_SAMPLES = 64
FFT_SIZE = 1024
IMAGE_ROWS = FFT_SIZE
ONE_SIDED_ROWS = FFT_SIZE // 2 + 1
DC_ROW = FFT_SIZE // 2 - 1
"""Row of 0 Hz: `fftshift` puts it at 512, the published images have it one row further up."""

FloatArray = npt.NDArray[np.floating[Any]]
ComplexArray = npt.NDArray[np.complexfloating[Any, Any]]


def hamming_window() -> npt.NDArray[np.float64]:
    """The symmetric Hamming window, shape (128,), peak just below 1, not normalised."""
    return np.hamming(WINDOW_SAMPLES)


def frame_count(samples: int) -> int:
    """Number of whole frames in a recording of `samples` samples; a tail that fills none is left out."""
    return max(0, (samples - WINDOW_SAMPLES) // HOP_SAMPLES + 1)


def one_sided_stft(audio: FloatArray) -> npt.NDArray[np.complex128]:
    """The short-time spectrum of a real signal, from 0 Hz to the Nyquist frequency.

    Args:
        audio: real samples, shape (n,), n ≥ 128, full scale ±1.

    Returns:
        Complex array (513, frames); row k is k/1024 of the sample rate.

    Raises:
        ValueError: if `audio` is not one-dimensional or is shorter than one window.
    """
    samples = np.asarray(audio, dtype=np.float64)
    if samples.ndim != 1:
        raise ValueError(f"audio must be one channel of shape (n,), found shape {samples.shape}")
    if samples.size < WINDOW_SAMPLES:
        raise ValueError(f"audio must hold at least {WINDOW_SAMPLES} samples, found {samples.size}")
    frames = sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES] * hamming_window()  # (frames, 128)
    return np.fft.rfft(frames, n=FFT_SIZE, axis=1).T  # (513, frames)


def two_sided(one_sided: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mirror rows 0 Hz … Nyquist into image order: (513, frames) to (1024, frames), complex rows conjugated.

    Row 511 is 0 Hz, row 1023 the Nyquist frequency, and row 511 − k repeats row 511 + k for k = 1 … 511.
    """
    upper = one_sided[1:-1][::-1]
    if np.iscomplexobj(one_sided):
        upper = np.conj(upper)
    return np.concatenate([upper, one_sided], axis=0)


def stft(audio: FloatArray) -> npt.NDArray[np.complex128]:
    """The two-sided short-time spectrum in image order, complex (1024, frames); see `one_sided_stft`."""
    return two_sided(one_sided_stft(audio))


def istft(spectrum: ComplexArray, samples: int) -> npt.NDArray[np.float64]:
    """Weighted overlap-add of a two-sided spectrum: the exact inverse of `stft` where frames reach.

    Args:
        spectrum: complex (1024, frames) in image order, for example a masked `stft`.
        samples: length of the result; what no frame covers is zero.

    Returns:
        Real samples, shape (samples,).

    Raises:
        ValueError: if the number of rows is not 1024.
    """
    if spectrum.ndim != 2 or spectrum.shape[0] != FFT_SIZE:
        raise ValueError(f"spectrum must have shape ({FFT_SIZE}, frames), found {spectrum.shape}")
    window = hamming_window()
    # A mask that is not mirrored leaves an imaginary part: the real part is the least-squares answer.
    in_fft_order = np.roll(spectrum, -DC_ROW, axis=0)
    frames = np.fft.ifft(in_fft_order, axis=0).real[:WINDOW_SAMPLES].T * window  # (frames, 128)
    total = np.zeros(max(samples, (len(frames) - 1) * HOP_SAMPLES + WINDOW_SAMPLES))
    weight = np.zeros_like(total)
    for index, frame in enumerate(frames):
        start = index * HOP_SAMPLES
        total[start : start + WINDOW_SAMPLES] += frame
        weight[start : start + WINDOW_SAMPLES] += window**2
    covered = weight > 0
    total[covered] /= weight[covered]
    return total[:samples]


def grey_levels(magnitude: FloatArray) -> npt.NDArray[np.uint8]:
    """`round(255 · clip(magnitude, 0, 1))`, halves to even, as uint8 of the same shape."""
    return np.round(255.0 * np.clip(magnitude, 0.0, 1.0)).astype(np.uint8)


def render(audio: FloatArray) -> npt.NDArray[np.uint8]:
    """The published image of a recording: grey uint8 (1024, frames), linear magnitude, mirrored about 0 Hz.

    Raises:
        ValueError: as `one_sided_stft`.
    """
    return np.asarray(two_sided(grey_levels(np.abs(one_sided_stft(audio)))))
