"""Single sounds: pitch contours, envelopes, harmonic notes and noise bursts.

A note is an array of samples with peak 1; where it stands in a song is decided in `voices`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]

CONTOURS = ("flat", "rise", "fall", "arch", "dip", "hook", "wiggle", "wander")


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One draw between `low` and `high`, evenly spread in ratio."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def normalised(samples: FloatArray) -> npt.NDArray[np.float64]:
    """The same samples scaled to peak 1; silence stays silence."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    return np.asarray(samples, dtype=np.float64) / (peak if peak > 0 else 1.0)


def pitch_contour(
    rng: np.random.Generator, shape: str, samples: int, low_hz: float, high_hz: float
) -> npt.NDArray[np.float64]:
    """A pitch in Hz for each sample, between `low_hz` and `high_hz`, moving evenly in octaves.

    Args:
        rng: source of the contour's details.
        shape: one of `CONTOURS`.
        samples: length.
        low_hz: lowest pitch.
        high_hz: highest pitch.
    """
    t = np.linspace(0.0, 1.0, samples)
    if shape == "flat":
        position = 0.5 + rng.uniform(-0.1, 0.1) * t
    elif shape == "rise":
        position = t ** rng.uniform(0.6, 1.6)
    elif shape == "fall":
        position = 1.0 - t ** rng.uniform(0.6, 1.6)
    elif shape == "arch":
        position = np.sin(np.pi * t)
    elif shape == "dip":
        position = 1.0 - np.sin(np.pi * t)
    elif shape == "hook":
        position = np.clip(t / rng.uniform(0.2, 0.6), 0.0, 1.0) ** 1.5
    elif shape == "wiggle":
        position = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(2.0, 7.0) * t + rng.random()))
    else:
        knots = rng.random(int(rng.integers(3, 7)))
        place = t * (len(knots) - 1)
        ease = 0.5 - 0.5 * np.cos(np.pi * (place % 1.0))
        left = np.minimum(place.astype(int), len(knots) - 2)
        position = knots[left] * (1 - ease) + knots[left + 1] * ease
        position[-1] = position[-2] if samples > 1 else position[-1]
    return np.asarray(low_hz * (high_hz / low_hz) ** position)


def envelope(rng: np.random.Generator, samples: int, attack: float = 0.15, release: float = 0.3) -> FloatArray:
    """A smooth rise and fall with peak 1; `attack` and `release` are the largest shares of the length."""
    rise = max(2, int(samples * rng.uniform(0.03, attack)))
    fall = max(2, int(samples * rng.uniform(0.05, release)))
    shape = np.ones(samples)
    shape[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    shape[-fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fall) / fall)
    swell = rng.uniform(-0.6, 0.6)
    return np.asarray(shape * (1.0 + swell * np.linspace(-1.0, 1.0, samples)))


def formants(rng: np.random.Generator, frequency_hz: FloatArray, tilt_db_per_octave: float) -> FloatArray:
    """Gain of a vocal tract with two or three resonances and a tilt, at each frequency; largest gain 1."""
    octaves = np.log2(np.maximum(frequency_hz, 50.0) / 1000.0)
    level_db = -tilt_db_per_octave * np.abs(octaves - rng.uniform(0.0, 1.5))
    for _ in range(int(rng.integers(2, 4))):
        centre, width = rng.uniform(-0.5, 2.7), rng.uniform(0.15, 0.5)
        level_db = level_db + rng.uniform(4.0, 16.0) * np.exp(-(((octaves - centre) / width) ** 2))
    gain = 10.0 ** (level_db / 20.0)
    return np.asarray(gain / gain.max())


def harmonic_note(pitch_hz: FloatArray, gains: FloatArray, sample_rate: int) -> npt.NDArray[np.float64]:
    """A tone with harmonics 1, 2, … of the given gains along a pitch contour.

    A harmonic fades out between 0.47 and 0.49 of the sample rate: none folds back.

    Args:
        pitch_hz: pitch for each sample.
        gains: gain of each harmonic, shape (harmonics,).
        sample_rate: in Hz.
    """
    phase = 2.0 * np.pi * np.cumsum(pitch_hz) / sample_rate
    total = np.zeros(len(pitch_hz))
    for order, gain in enumerate(gains, start=1):
        if gain < 1e-3:
            continue
        room = np.clip((0.49 * sample_rate - order * pitch_hz) / (0.02 * sample_rate), 0.0, 1.0)
        if not room.any():
            break
        total += gain * room * np.sin(order * phase)
    return total


def shaped_noise(rng: np.random.Generator, samples: int, gain: FloatArray) -> npt.NDArray[np.float64]:
    """Gaussian noise with a given spectrum, unit standard deviation.

    Args:
        rng: source of the noise.
        samples: length.
        gain: amplitude at evenly spaced frequencies from 0 Hz to the Nyquist frequency, at least two.
    """
    size = 1 << max(4, (samples - 1).bit_length())
    spectrum = np.fft.rfft(rng.standard_normal(size))
    at = np.linspace(0.0, len(gain) - 1.0, len(spectrum))
    noise = np.fft.irfft(spectrum * np.interp(at, np.arange(len(gain)), gain), n=size)[:samples]
    deviation = float(noise.std())
    return np.asarray(noise / (deviation if deviation > 0 else 1.0))


def band_gain(sample_rate: int, low_hz: float, high_hz: float, edge: float = 0.15, points: int = 257) -> FloatArray:
    """Gain curve of a band for `shaped_noise`; its cosine edges reach a share `edge` of their frequency."""
    frequency = np.linspace(0.0, sample_rate / 2.0, points)
    rise = np.clip((frequency - low_hz * (1 - edge)) / max(2 * edge * low_hz, 1.0), 0.0, 1.0)
    fall = np.clip((high_hz * (1 + edge) - frequency) / max(2 * edge * high_hz, 1.0), 0.0, 1.0)
    return np.asarray((0.5 - 0.5 * np.cos(np.pi * rise)) * (0.5 - 0.5 * np.cos(np.pi * fall)))


def noise_note(
    rng: np.random.Generator, samples: int, sample_rate: int, low_hz: float, high_hz: float
) -> npt.NDArray[np.float64]:
    """A burst of noise between two frequencies with a few random resonances."""
    gain = band_gain(sample_rate, low_hz, high_hz, edge=0.2)
    frequency = np.linspace(0.0, sample_rate / 2.0, len(gain))
    return shaped_noise(rng, samples, gain * formants(rng, frequency, rng.uniform(2.0, 9.0)))
