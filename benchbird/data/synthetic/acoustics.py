"""The way from the bird to the file: distance, reverberation, codec and clipping; samples in, samples out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchbird.data.synthetic.notes import FloatArray


def filtered(samples: FloatArray, sample_rate: int, gain_at_hz: FloatArray, gain: FloatArray) -> FloatArray:
    """Zero-phase filter with the gain curve given at `gain_at_hz`, interpolated between."""
    size = 1 << (len(samples) + 256).bit_length()
    spectrum = np.fft.rfft(samples, size)
    frequency = np.linspace(0.0, sample_rate / 2.0, len(spectrum))
    return np.asarray(np.fft.irfft(spectrum * np.interp(frequency, gain_at_hz, gain), size)[: len(samples)])


def low_passed(samples: FloatArray, sample_rate: int, cutoff_hz: float) -> FloatArray:
    """What a codec leaves: nothing above `cutoff_hz`, with an edge of 3 %."""
    at_hz = np.array([0.0, cutoff_hz, cutoff_hz * 1.03, sample_rate])
    return filtered(samples, sample_rate, at_hz, np.array([1.0, 1.0, 0.0, 0.0]))


def distant(samples: FloatArray, sample_rate: int, loss_db_per_octave: float) -> FloatArray:
    """Air and leaves take the high frequencies: a loss from 2 kHz on, in dB per octave."""
    at_hz = np.linspace(0.0, sample_rate / 2.0, 129)
    loss_db = loss_db_per_octave * np.log2(np.maximum(at_hz, 2000.0) / 2000.0)
    return filtered(samples, sample_rate, at_hz, 10.0 ** (-loss_db / 20.0))


def echo_of(
    rng: np.random.Generator, samples: FloatArray, sample_rate: int, decay_s: float, level_db: float
) -> npt.NDArray[np.float64]:
    """The decaying tail of diffuse echoes that a sound leaves, without the sound itself.

    Args:
        rng: source of the place's impulse response.
        samples: dry sound, shape (n,).
        sample_rate: in Hz.
        decay_s: time in which the tail falls by 60 dB.
        level_db: energy of the tail relative to the direct sound, in dB.
    """
    length = int(decay_s * sample_rate)
    response = rng.standard_normal(length) * 10.0 ** (-3.0 * np.arange(length) / length)
    response *= 10.0 ** (level_db / 20.0) / np.sqrt(np.sum(response**2))
    size = 1 << (len(samples) + length).bit_length()
    return np.asarray(np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)])
