"""The parts of songs: a tape to put notes on, and the four kinds of note that voices are made of."""

from __future__ import annotations

import numpy as np

from benchbird.data.synthetic.notes import (
    FloatArray,
    envelope,
    formants,
    harmonic_note,
    log_uniform,
    noise_note,
    normalised,
    pitch_contour,
)


class Tape:
    """A recording being filled with notes from left to right; notes past its end are cut off."""

    def __init__(self, seconds: float, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.samples = np.zeros(round(seconds * sample_rate))

    def add(self, note: FloatArray, start_s: float, gain: float = 1.0) -> float:
        """Mix a note in; returns its end in seconds."""
        start = round(start_s * self.sample_rate)
        room = max(0, len(self.samples) - start)
        self.samples[start : start + len(note)] += gain * note[:room]
        return start_s + len(note) / self.sample_rate


def note_samples(seconds: float, sample_rate: int) -> int:
    """Length of a note in samples, at least 32."""
    return max(32, round(seconds * sample_rate))


def tone_note(
    rng: np.random.Generator, sample_rate: int, seconds: float, shape: str, low: float, high: float
) -> FloatArray:
    """A nearly pure tone, with one or two weak harmonics now and then."""
    samples = note_samples(seconds, sample_rate)
    weak = np.array([1.0, log_uniform(rng, 0.003, 0.3), log_uniform(rng, 0.002, 0.1)])
    pitch = pitch_contour(rng, shape, samples, low, high)
    return normalised(harmonic_note(pitch, weak, sample_rate) * envelope(rng, samples))


def stack_note(
    rng: np.random.Generator,
    sample_rate: int,
    seconds: float,
    shape: str,
    low: float,
    high: float,
    tilt: float,
) -> FloatArray:
    """A note with many harmonics under a vocal tract's resonances; `tilt` in dB per octave."""
    samples = note_samples(seconds, sample_rate)
    pitch = pitch_contour(rng, shape, samples, low, high)
    centre = float(np.sqrt(low * high))
    orders = np.arange(1, max(2, int(0.48 * sample_rate / low)) + 1)
    gains = formants(rng, orders * centre, tilt)
    return normalised(harmonic_note(pitch, gains, sample_rate) * envelope(rng, samples, 0.2, 0.4))


def burst_note(rng: np.random.Generator, sample_rate: int, seconds: float, low: float, high: float) -> FloatArray:
    """A short rush of noise between two frequencies."""
    samples = note_samples(seconds, sample_rate)
    return normalised(noise_note(rng, samples, sample_rate, low, high) * envelope(rng, samples, 0.25, 0.5))


def any_of(rng: np.random.Generator, *names: str) -> str:
    """One of `names`, each as likely."""
    return names[int(rng.integers(len(names)))]
