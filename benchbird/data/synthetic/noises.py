"""What else a microphone hears outdoors: weather, water, traffic, mains hum, clicks and people.

Every noise is a function (rng, samples, sample_rate) → samples of any level; `background` mixes one to
three of them. Sounds that imitate a bird's shape are in `distractors`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchbird.data.synthetic.notes import FloatArray, band_gain, log_uniform, shaped_noise

Noise = Callable[[np.random.Generator, int, int], npt.NDArray[np.float64]]


def slow_curve(rng: np.random.Generator, samples: int, knots: int) -> FloatArray:
    """A smooth random curve around 0 with deviation about 1 at its `knots` evenly spaced points."""
    at = np.linspace(0.0, knots - 1.0, samples)
    return np.asarray(np.interp(at, np.arange(knots), rng.standard_normal(knots)))


def _decibels(level_db: FloatArray) -> FloatArray:
    return np.asarray(10.0 ** (level_db / 20.0))


def ambience(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Steady noise of a random, mostly falling spectrum: the place and the microphone themselves."""
    frequency = np.linspace(0.0, sample_rate / 2.0, 129)
    slope = rng.uniform(0.0, 0.9)
    gain = (np.maximum(frequency, 60.0) / 1000.0) ** -slope
    uneven = np.interp(np.arange(129), np.linspace(0, 128, 9), rng.normal(0.0, 4.0, 9))
    return shaped_noise(rng, samples, gain * _decibels(uneven))


def wind(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Gusts: strong noise near 0 Hz that swells and drops."""
    frequency = np.linspace(0.0, sample_rate / 2.0, 513)
    corner = log_uniform(rng, 80, 600)
    gain = 1.0 / (1.0 + (frequency / corner) ** rng.uniform(1.5, 3.0))
    gusts = _decibels(rng.uniform(3, 8) * slow_curve(rng, samples, int(rng.integers(4, 16))))
    return np.asarray(shaped_noise(rng, samples, gain) * gusts)


def hiss(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """A stream: a wide band of steady, slightly bubbling noise."""
    low = log_uniform(rng, 200, 2500)
    gain = band_gain(sample_rate, low, low * rng.uniform(2.0, 8.0), edge=0.6) + 0.1
    bubbling = _decibels(rng.uniform(0.5, 2.0) * slow_curve(rng, samples, int(rng.integers(20, 90))))
    return np.asarray(shaped_noise(rng, samples, gain) * bubbling)


def waves(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Surf or passing gusts in leaves: wide noise in swells of a second or more, darker when weak."""
    time_s = np.arange(samples) / sample_rate
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * (time_s / rng.uniform(2.0, 7.0) + rng.random()))
    dark = shaped_noise(rng, samples, band_gain(sample_rate, 30, log_uniform(rng, 300, 1500), edge=0.9))
    bright = shaped_noise(rng, samples, band_gain(sample_rate, 200, log_uniform(rng, 3000, 9000), edge=0.9))
    return np.asarray(dark * (0.2 + swell) + rng.uniform(0.3, 1.5) * bright * swell ** rng.uniform(1.5, 3.0))


def _drops(
    rng: np.random.Generator, samples: int, sample_rate: int, per_s: float, decay_ms: tuple[float, float]
) -> FloatArray:
    """Random impulses, each ringing as a short decaying burst of coloured noise."""
    impulses = np.zeros(samples)
    count = int(rng.poisson(per_s * samples / sample_rate))
    at = rng.integers(0, samples, count)
    impulses[at] = rng.standard_normal(count) * np.exp(rng.normal(0.0, 1.0, count))
    ring_samples = int(0.001 * decay_ms[1] * 4 * sample_rate)
    decay = 0.001 * rng.uniform(*decay_ms) * sample_rate
    low = log_uniform(rng, 100, 1500)
    ring = shaped_noise(rng, ring_samples, band_gain(sample_rate, low, low * rng.uniform(4, 20), edge=0.6) + 0.05)
    ring *= np.exp(-np.arange(ring_samples) / decay)
    size = 1 << (samples + ring_samples).bit_length()
    return np.asarray(np.fft.irfft(np.fft.rfft(impulses, size) * np.fft.rfft(ring, size), size)[:samples])


def rain(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Many drops, so dense that they merge into a rough hiss."""
    drops = _drops(rng, samples, sample_rate, log_uniform(rng, 60, 1500), (0.3, 3.0))
    steady = shaped_noise(rng, samples, band_gain(sample_rate, 150, log_uniform(rng, 4000, 9000), edge=0.9))
    return np.asarray(drops / max(float(drops.std()), 1e-9) + rng.uniform(0.2, 1.2) * steady)


def clicks(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Crackle: fire, twigs, drops on the housing; thin vertical lines of many strengths over a faint bed."""
    crackle = _drops(rng, samples, sample_rate, log_uniform(rng, 4, 60), (0.5, 8.0))
    bed = ambience(rng, samples, sample_rate)
    return np.asarray(crackle / max(float(crackle.std()), 1e-9) + rng.uniform(0.1, 0.6) * bed)


def hum(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Mains or a transformer: harmonics of 50 or 60 Hz, falling."""
    time_s = np.arange(samples) / sample_rate
    base = float(rng.choice([50.0, 60.0]))
    total = np.zeros(samples)
    for order in range(1, int(rng.integers(4, 14))):
        total += rng.uniform(0.1, 1.0) / order * np.sin(2 * np.pi * (base * order * time_s + rng.random()))
    return np.asarray(total + 0.4 * ambience(rng, samples, sample_rate))


def traffic(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Vehicles passing at a distance: dark noise that rises, brightens and falls."""
    dark = shaped_noise(rng, samples, band_gain(sample_rate, 30, log_uniform(rng, 200, 900), edge=0.9) + 0.01)
    tyres = shaped_noise(rng, samples, band_gain(sample_rate, 500, log_uniform(rng, 1500, 3500), edge=0.8))
    place = np.linspace(0.0, 1.0, samples) - rng.uniform(-0.2, 1.2)
    passing = 1.0 / (1.0 + (place / rng.uniform(0.08, 0.4)) ** 2)
    return np.asarray(dark * (0.4 + passing) + rng.uniform(0.1, 0.7) * tyres * passing)


def people(rng: np.random.Generator, samples: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Several people talking at once, far off: low harmonics under moving resonances, and a clink or two."""
    total = 0.3 * ambience(rng, samples, sample_rate)
    frequency = np.linspace(0.0, sample_rate / 2.0, 129)
    for _ in range(int(rng.integers(2, 6))):
        pitch = log_uniform(rng, 90, 260) * 2.0 ** (0.15 * slow_curve(rng, samples, int(rng.integers(8, 20))))
        phase = np.cumsum(pitch) / sample_rate
        buzz = 2.0 * (phase % 1.0) - 1.0  # a saw tooth: every harmonic, falling as 1/n
        talking = np.clip(slow_curve(rng, samples, int(rng.integers(10, 30))), 0.0, None)
        centre = rng.uniform(400, 2500)
        vowel = 0.1 + np.exp(-(((frequency - centre) / rng.uniform(200, 700)) ** 2))
        spectrum = np.fft.rfft(buzz * talking)
        at = np.linspace(0.0, 128.0, len(spectrum))
        total += np.fft.irfft(spectrum * np.interp(at, np.arange(129), vowel / (1 + frequency / 800)), samples)
    return np.asarray(total + 0.15 * clicks(rng, samples, sample_rate))


NOISES: dict[str, tuple[float, Noise]] = {
    "ambience": (0.22, ambience),
    "wind": (0.10, wind),
    "hiss": (0.09, hiss),
    "waves": (0.12, waves),
    "rain": (0.14, rain),
    "clicks": (0.12, clicks),
    "hum": (0.03, hum),
    "traffic": (0.09, traffic),
    "people": (0.09, people),
}
"""Kind of noise → (share, what it sounds like)."""


def _interrupted(rng: np.random.Generator, noise: FloatArray) -> FloatArray:
    """Noise whose level jumps at one or two instants, as when an engine starts or a recording was cut."""
    level = np.ones(len(noise))
    for _ in range(int(rng.integers(1, 3))):
        start = int(rng.uniform(0.0, 0.9) * len(noise))
        stop = start + int(rng.uniform(0.1, 0.6) * len(noise))
        level[start:stop] *= log_uniform(rng, 0.1, 6.0)
    return np.asarray(noise * level)


def background(rng: np.random.Generator, samples: int, sample_rate: int) -> tuple[npt.NDArray[np.float64], list[str]]:
    """One to three noises together, of unit power each before mixing, and their names in order of weight."""
    names = list(NOISES)
    shares = np.array([NOISES[name][0] for name in names])
    count = int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))
    chosen = [names[i] for i in rng.choice(len(names), count, replace=False, p=shares / shares.sum())]
    # Under all of it the place itself is heard: no recording is black between its gusts.
    bed = ambience(rng, samples, sample_rate)
    total = bed * log_uniform(rng, 0.05, 0.8)
    for position, name in enumerate(chosen):
        noise: FloatArray = NOISES[name][1](rng, samples, sample_rate)
        if rng.random() < 0.2:
            noise = _interrupted(rng, noise)
        power = max(float(np.mean(noise**2)), 1e-18)
        total += noise / np.sqrt(power) * (1.0 if position == 0 else rng.uniform(0.2, 0.8))
    return total, chosen
