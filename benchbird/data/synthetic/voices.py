"""Songs and calls: how notes follow each other in each kind of voice.

Every voice is a function (rng, seconds, sample_rate) → dry samples; distance, reverberation and level
are added in `scenes`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchbird.data.synthetic.motif import motif
from benchbird.data.synthetic.notes import envelope, harmonic_note, log_uniform, normalised, pitch_contour
from benchbird.data.synthetic.syllables import Tape, any_of, burst_note, note_samples, stack_note, tone_note

Voice = Callable[[np.random.Generator, float, int], npt.NDArray[np.float64]]


def phrase(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """A tit's song: two to four tonal elements at different pitches, repeated in strict rhythm."""
    tape = Tape(seconds, sample_rate)
    elements = []
    for _ in range(int(rng.integers(1, 5))):
        low = log_uniform(rng, 2000, 6200)
        shape = any_of(rng, "flat", "flat", "hook", "fall", "rise", "arch")
        spread = rng.uniform(1.0, 1.1) if rng.random() < 0.65 else rng.uniform(1.2, 2.0)
        note = tone_note(rng, sample_rate, log_uniform(rng, 0.04, 0.28), shape, low, low * spread)
        elements.append((note, rng.uniform(0.01, 0.15), log_uniform(rng, 0.3, 1.0)))
    at = rng.uniform(0.0, 0.5) * seconds
    rest = rng.uniform(0.02, 0.3)
    for _ in range(int(rng.integers(3, 10))):
        for note, gap, gain in elements:
            at = tape.add(note, at, gain * rng.uniform(0.8, 1.0)) + gap
        at += rest
    return tape.samples


def whistle(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """A few long whistles or slow frequency sweeps."""
    tape = Tape(seconds, sample_rate)
    at = rng.uniform(0.0, 0.3) * seconds
    for _ in range(int(rng.integers(2, 7))):
        low = log_uniform(rng, 1200, 5500)
        shape = any_of(rng, "flat", "rise", "fall", "arch", "dip", "wander", "hook")
        note = tone_note(rng, sample_rate, log_uniform(rng, 0.12, 0.9), shape, low, low * rng.uniform(1.02, 1.9))
        at = tape.add(note, at, log_uniform(rng, 0.3, 1.0)) + log_uniform(rng, 0.03, 0.4)
    return tape.samples


def warble(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """A thrush's phrases: quick unlike notes that wander over an octave, some of two voices."""
    tape = Tape(seconds, sample_rate)
    at = rng.uniform(0.0, 0.5) * seconds
    centre = log_uniform(rng, 2200, 6200)
    end = min(seconds, at + rng.uniform(0.8, 4.0))
    while at < end:
        for _ in range(int(rng.integers(2, 10))):
            low = centre * rng.uniform(0.6, 1.15)
            span = rng.uniform(1.1, 1.9)
            note = tone_note(
                rng,
                sample_rate,
                log_uniform(rng, 0.03, 0.16),
                any_of(rng, "wander", "arch", "rise", "fall", "wiggle", "dip"),
                low,
                low * span,
            )
            if rng.random() < 0.3:
                other = low * rng.uniform(1.15, 1.5)
                second = tone_note(rng, sample_rate, len(note) / sample_rate, "wander", other, other * 1.3)
                note = note[: len(second)] + rng.uniform(0.2, 0.8) * second[: len(note)]
            at = tape.add(note, at, log_uniform(rng, 0.25, 1.0)) + rng.uniform(-0.01, 0.05)
            at = max(at, 0.0)
        at += log_uniform(rng, 0.08, 0.8)
    return tape.samples


def trill(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """The same short chirp many times a second, gliding in pitch, rate and loudness."""
    tape = Tape(seconds, sample_rate)
    for _ in range(int(rng.integers(1, 4))):
        at = rng.uniform(0.0, 0.75) * seconds
        period = 1.0 / log_uniform(rng, 6, 32)
        low = log_uniform(rng, 1800, 5800)
        span = rng.uniform(1.05, 1.8)
        shape = any_of(rng, "fall", "rise", "arch", "flat")
        glide = rng.uniform(-0.25, 0.25)
        quicken = rng.uniform(-0.4, 0.4)
        count = int(np.clip(rng.uniform(0.4, 2.2) / period, 5, 60))
        for number in range(count):
            share = number / count
            pitch = low * (1 + glide * share)
            note = tone_note(rng, sample_rate, period * rng.uniform(0.45, 0.6), shape, pitch, pitch * span)
            tape.add(note, at, min(1.0, 0.3 + 3 * share) * rng.uniform(0.7, 1.0))
            at += period * (1 - quicken * share)
    return tape.samples


def stack(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """Long calls of many clear harmonics."""
    tape = Tape(seconds, sample_rate)
    base = log_uniform(rng, 400, 1500)
    note = stack_note(
        rng,
        sample_rate,
        log_uniform(rng, 0.12, 0.8),
        any_of(rng, "flat", "hook", "arch", "fall", "wiggle"),
        base,
        base * rng.uniform(1.02, 1.4),
        rng.uniform(3, 10),
    )
    at = rng.uniform(0.0, 0.4) * seconds
    rest = log_uniform(rng, 0.08, 0.8)
    for _ in range(int(rng.integers(2, 9))):
        at = tape.add(note, at, rng.uniform(0.6, 1.0)) + rest * rng.uniform(0.8, 1.2)
    return tape.samples


def rasp(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """Harsh wide-band notes: noise over a fast deep warble of a tone, repeated."""
    tape = Tape(seconds, sample_rate)
    length = log_uniform(rng, 0.06, 0.3)
    low, high = log_uniform(rng, 1000, 3000), log_uniform(rng, 4500, 8500)
    samples = note_samples(length, sample_rate)
    time_s = np.arange(samples) / sample_rate
    burst = burst_note(rng, sample_rate, length, low, high)
    centre = pitch_contour(rng, any_of(rng, "wander", "fall", "arch", "rise"), samples, low * 1.2, high * 0.8)
    wobble = 1 + rng.uniform(0.1, 0.35) * np.sin(2 * np.pi * rng.uniform(40, 180) * time_s)
    tone = harmonic_note(centre * wobble, np.array([1.0, 0.2]), sample_rate) * envelope(rng, samples)
    note = normalised(rng.uniform(0.2, 1.0) * burst[:samples] + rng.uniform(0.2, 1.0) * tone)
    at = rng.uniform(0.0, 0.4) * seconds
    rest = log_uniform(rng, 0.08, 0.7)
    for _ in range(int(rng.integers(2, 10))):
        at = tape.add(note, at, rng.uniform(0.6, 1.0)) + rest * rng.uniform(0.8, 1.2)
    return tape.samples


def buzz(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """A carrier beaten many times a second, so that its band looks solid or finely combed."""
    tape = Tape(seconds, sample_rate)
    at = rng.uniform(0.0, 0.5) * seconds
    for _ in range(int(rng.integers(1, 5))):
        samples = note_samples(log_uniform(rng, 0.12, 0.9), sample_rate)
        time_s = np.arange(samples) / sample_rate
        low = log_uniform(rng, 2500, 6000)
        pitch = pitch_contour(
            rng, any_of(rng, "flat", "rise", "fall", "arch"), samples, low, low * rng.uniform(1.0, 1.3)
        )
        beat_hz = log_uniform(rng, 25, 250)
        bend = 1 + rng.uniform(0.02, 0.2) * np.sin(2 * np.pi * beat_hz * time_s)
        pulse = np.clip(0.5 + rng.uniform(0.4, 1.2) * np.cos(2 * np.pi * beat_hz * time_s), 0.0, 1.0)
        note = harmonic_note(pitch * bend, np.array([1.0, 0.1]), sample_rate) * pulse * envelope(rng, samples)
        at = tape.add(normalised(note), at, rng.uniform(0.5, 1.0)) + log_uniform(rng, 0.05, 0.6)
    return tape.samples


def chatter(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """A series of wide two-part notes that grows louder and wider, as an ovenbird's."""
    tape = Tape(seconds, sample_rate)
    low, high = log_uniform(rng, 1500, 3000), log_uniform(rng, 4500, 8500)
    length = rng.uniform(0.07, 0.2)
    first = tone_note(rng, sample_rate, length, any_of(rng, "fall", "rise", "dip", "wander"), low, high)
    second = burst_note(rng, sample_rate, length * rng.uniform(0.6, 1.2), low, high)
    note = np.zeros(max(len(first), len(second)))
    note[: len(first)] += rng.uniform(0.3, 1.0) * first
    note[: len(second)] += rng.uniform(0.2, 1.0) * second
    note = normalised(note)
    at = rng.uniform(0.0, 0.4) * seconds
    gap = rng.uniform(-0.01, 0.12)
    count = int(rng.integers(5, 16))
    start_db = rng.uniform(-25, 0)
    for number in range(count):
        level = 10 ** (start_db * (1 - min(1.0, 1.5 * number / count)) / 20)
        at = tape.add(note, at, level * rng.uniform(0.8, 1.0)) + gap
    return tape.samples


def calls(rng: np.random.Generator, seconds: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """Short single calls, tonal, harsh or with harmonics, at irregular times."""
    tape = Tape(seconds, sample_rate)
    low = log_uniform(rng, 1500, 6500)
    shape = any_of(rng, "fall", "rise", "arch", "flat", "hook")
    kind = int(rng.integers(3))
    seconds_each = log_uniform(rng, 0.03, 0.2)
    if kind == 0:
        note = tone_note(rng, sample_rate, seconds_each, shape, low, low * rng.uniform(1.05, 1.8))
    elif kind == 1:
        note = stack_note(
            rng, sample_rate, seconds_each, shape, low * 0.4, low * rng.uniform(0.45, 0.8), rng.uniform(3, 9)
        )
    else:
        note = burst_note(rng, sample_rate, seconds_each, low, low * rng.uniform(1.3, 2.5))
    for _ in range(int(rng.integers(2, 9))):
        tape.add(note, rng.uniform(0.0, 0.95) * seconds, log_uniform(rng, 0.3, 1.0))
    return tape.samples


VOICES: dict[str, tuple[float, Voice]] = {
    "motif": (0.34, motif),
    "phrase": (0.12, phrase),
    "whistle": (0.06, whistle),
    "warble": (0.15, warble),
    "trill": (0.08, trill),
    "stack": (0.05, stack),
    "rasp": (0.07, rasp),
    "buzz": (0.04, buzz),
    "chatter": (0.06, chatter),
    "calls": (0.03, calls),
}
"""Kind of voice → (share of the recordings with a bird, how it sings)."""
