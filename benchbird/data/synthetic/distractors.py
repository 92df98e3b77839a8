"""Loud sounds that look like a voice and are none: insects, engines, alarms.

Every distractor is a function (rng, samples, sample_rate) → samples with peak 1. None is ever in a mask.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchbird.data.synthetic.noises import slow_curve
from benchbird.data.synthetic.notes import FloatArray, band_gain, log_uniform, normalised, shaped_noise

Distractor = Callable[[np.random.Generator, int, int], npt.NDArray[np.float64]]


def _pulses(time_s: FloatArray, rate_hz: float, duty: float, phase: float) -> FloatArray:
    """A raised cosine that is open for the share `duty` of each period."""
    place = (time_s * rate_hz + phase) % 1.0
    return np.asarray(np.where(place < duty, np.sin(np.pi * place / duty), 0.0))


def cricket(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """A pure tone in even pulses, grouped into chirps that go on through the whole recording."""
    time_s = np.arange(samples) / sample_rate
    tone_hz = log_uniform(rng, 2400, 0.43 * sample_rate)
    tone = np.sin(2 * np.pi * tone_hz * time_s)
    pulses = _pulses(time_s, log_uniform(rng, 18, 70), rng.uniform(0.4, 0.8), rng.random())
    if rng.random() < 0.75:
        groups = _pulses(time_s, log_uniform(rng, 0.7, 5.0), rng.uniform(0.25, 0.75), rng.random()) > 0.1
        pulses = pulses * (groups + rng.uniform(0.0, 0.15))
    return normalised(tone * pulses)


def insect_tone(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """A steady narrow line, hardly moving, without beginning or end."""
    tone_hz = log_uniform(rng, 2500, 0.45 * sample_rate) * 2.0 ** (0.004 * slow_curve(rng, samples, 12))
    level = 10 ** (0.1 * slow_curve(rng, samples, 30))
    return normalised(level * np.sin(2 * np.pi * np.cumsum(tone_hz) / sample_rate))


def cicada(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """A band of rattling noise, steady or slowly swelling."""
    low = log_uniform(rng, 2500, 0.33 * sample_rate)
    noise = shaped_noise(rng, samples, band_gain(sample_rate, low, low * rng.uniform(1.1, 1.5), edge=0.08))
    time_s = np.arange(samples) / sample_rate
    rattle = 1.0 - rng.uniform(0.0, 0.9) * _pulses(time_s, log_uniform(rng, 8, 120), 0.5, rng.random())
    return normalised(noise * rattle * 10 ** (0.15 * slow_curve(rng, samples, 5)))


def engine(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Harmonics of a motor: many even lines at low frequency that drift together."""
    base = log_uniform(rng, 60, 320) * 2.0 ** (rng.uniform(0.0, 0.15) * slow_curve(rng, samples, 4))
    phase = 2 * np.pi * np.cumsum(base) / sample_rate
    total = np.zeros(samples)
    for order in range(1, int(rng.integers(6, 18))):
        total += rng.uniform(0.2, 1.0) / order ** rng.uniform(0.4, 1.0) * np.sin(order * phase)
    return normalised(total * 10 ** (0.2 * slow_curve(rng, samples, 4)))


def beeps(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """A reversing lorry or an alarm: hard-edged tones of one pitch, in an exact rhythm to the end."""
    time_s = np.arange(samples) / sample_rate
    gate = (time_s * log_uniform(rng, 0.8, 2.5) + rng.random()) % 1.0 < 0.5
    tone_hz = log_uniform(rng, 700, 2200)
    tone = sum(np.sin(2 * np.pi * tone_hz * order * time_s) / order**2 for order in (1, 2, 3))
    return normalised(np.asarray(tone * gate))


DISTRACTORS: dict[str, tuple[float, Distractor]] = {
    "cricket": (0.40, cricket),
    "insect_tone": (0.18, insect_tone),
    "cicada": (0.16, cicada),
    "engine": (0.18, engine),
    "beeps": (0.08, beeps),
}
"""Kind of distractor → (share, what it sounds like)."""
