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
    # What isn't mirrored would leave an imaginary part; without it, the real part is the least-squares answer.
    lower, upper = spectrum[DC_ROW:], np.conj(spectrum[DC_ROW - 1 :: -1])  # from 0 Hz up, and from 1 bin below it down
    one_sided = lower.astype(np.complex128)  # (513, frames)
    one_sided[1:-1] = (one_sided[1:-1] + upper) / 2
    return one_sided_istft(one_sided, samples)


def one_sided_istft(spectrum: ComplexArray, samples: int) -> npt.NDArray[np.float64]:
    """Weighted overlap-add of a one-sided spectrum: the exact inverse of `one_sided_stft` where frames reach.

    Args:
        spectrum: complex (513, frames), for example a masked `one_sided_stft`.
        samples: length of the result; what no frame covers is zero.

    Returns:
        Real samples, shape (samples,).

    Raises:
        ValueError: if the number of rows is not 513.
    """
    if spectrum.ndim != 2 or spectrum.shape[0] != ONE_SIDED_ROWS:
        raise ValueError(f"spectrum must have shape ({ONE_SIDED_ROWS}, frames), found {spectrum.shape}")
    adder = OverlapAdd()
    covered = np.concatenate([adder.add(spectrum), adder.finish()])[:samples]
    audio = np.zeros(samples)
    audio[: len(covered)] = covered
    return audio


class OverlapAdd:
    """The inverse transform stretch by stretch; what comes out, joined, is `one_sided_istft` of everything at once."""

    def __init__(self) -> None:
        self._window = hamming_window()
        self._end: npt.NDArray[np.float64] | None = None  # of the newest frame: its second half, windowed

    def add(self, spectrum: ComplexArray) -> npt.NDArray[np.float64]:
        """The samples that are certain once these frames are there: 64 a frame, shape (64 · frames,).

        Args:
            spectrum: complex (513, frames), the frames that come next.
        """
        if not spectrum.shape[1]:
            return np.zeros(0)
        frames = np.fft.irfft(spectrum.T, n=FFT_SIZE, axis=1)[:, :WINDOW_SAMPLES] * self._window  # (frames, 128)
        starts, ends = frames[:, :HOP_SAMPLES], frames[:, HOP_SAMPLES:]
        # Frames are two hops long, so each hop is the sum of one frame's end and the next one's beginning.
        total, first, last = starts.copy(), self._window[:HOP_SAMPLES] ** 2, self._window[HOP_SAMPLES:] ** 2
        total[1:] += ends[:-1]
        if self._end is not None:
            total[0] += self._end
        began = self._end is None
        self._end = ends[-1].copy()
        weight = np.broadcast_to(first + last, total.shape).copy()
        if began:
            weight[0] = first
        return (total / weight).ravel()

    def finish(self) -> npt.NDArray[np.float64]:
        """The 64 samples behind the last frame's middle; none if there was no frame."""
        if self._end is None:
            return np.zeros(0)
        end, self._end = self._end, None
        return np.asarray(end / self._window[HOP_SAMPLES:] ** 2)


def grey_levels(magnitude: FloatArray) -> npt.NDArray[np.uint8]:
    """`round(255 · clip(magnitude, 0, 1))`, halves to even, as uint8 of the same shape."""
    return np.round(255.0 * np.clip(magnitude, 0.0, 1.0)).astype(np.uint8)


def render(audio: FloatArray) -> npt.NDArray[np.uint8]:
    """The published image of a recording: grey uint8 (1024, frames), linear magnitude, mirrored about 0 Hz.

    Raises:
        ValueError: as `one_sided_stft`.
    """
    return np.asarray(two_sided(grey_levels(np.abs(one_sided_stft(audio)))))
