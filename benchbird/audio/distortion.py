"""How near a cleaned recording comes to the clean one: SI-SDR, SDR, and the alignment that both need first.

Owns the measures, in decibels, and their limits. Which recording is the reference is for the modules above.

SI-SDR: Le Roux et al. 2019 (arXiv 1811.02508), without subtracting means. SDR: Vincent, Gribonval, Févotte 2006
(doi 10.1109/TSA.2005.858005), one source, a distortion filter of 512 taps, as `bss_eval` has it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, linalg

FILTER_TAPS = 512
LOWEST_DB, HIGHEST_DB = -30.0, 60.0
"""Every measure is kept within: silence would have −∞ dB and the reference itself +∞, and a mean of those says nothing.
Without the lower one, an output of silence counts as 0 dB in common libraries, which is better than a noisy input."""

MOST_DELAY_SAMPLES = 4096
"""Codecs shift a recording by some hundred to two thousand samples."""

_LEAST_LIKENESS = 0.05
"""Correlation of a voice with itself in noise at −20 dB is 0.1; chance stays below 0.02 in recordings of seconds."""
_CLEARLY = 1.05

Audio = npt.NDArray[np.floating[Any]]


def si_sdr_db(estimate: Audio, reference: Audio) -> float | None:
    """Scale-invariant signal-to-distortion ratio, in dB within the limits above; None where the reference is silent.

    Args:
        estimate: real samples, shape (n,).
        reference: the clean recording, shape (n,), aligned.

    Raises:
        ValueError: the shapes differ.
    """
    estimate, reference = _pair(estimate, reference)
    energy = float(reference @ reference)
    if energy == 0.0:
        return None
    target = (float(estimate @ reference) / energy) * reference
    rest = estimate - target
    return _decibels(float(target @ target), float(rest @ rest))


def sdr_db(estimate: Audio, reference: Audio) -> float | None:
    """Signal-to-distortion ratio in dB within the limits above; None where the reference is silent.

    What a filter of 512 taps can make of the reference counts as signal, so that a change of colour or a delay of
    some samples is forgiven.

    Args:
        estimate: real samples, shape (n,).
        reference: the clean recording, shape (n,).

    Raises:
        ValueError: the shapes differ.
    """
    estimate, reference = _pair(estimate, reference)
    energy = float(estimate @ estimate)
    if not reference.any():
        return None
    if energy == 0.0:
        return LOWEST_DB
    length = fft.next_fast_len(2 * (len(estimate) + FILTER_TAPS), real=True)
    spectrum = fft.rfft(reference, length)
    own = fft.irfft(np.abs(spectrum) ** 2, length)[:FILTER_TAPS]  # autocorrelation
    shared = fft.irfft(spectrum.conj() * fft.rfft(estimate, length), length)[:FILTER_TAPS]
    # A tone has a singular autocorrelation; the least of white noise leaves the answer as it is elsewhere.
    own[0] *= 1.0 + 1e-12
    taps = linalg.solve_toeplitz(own, shared)
    explained = min(float(shared @ taps), energy)
    return _decibels(explained, energy - explained)


def _pair(estimate: Audio, reference: Audio) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if estimate.ndim != 1 or estimate.shape != reference.shape:
        raise ValueError(f"expected two recordings of one shape (n,), found {estimate.shape} and {reference.shape}")
    return np.asarray(estimate, dtype=np.float64), np.asarray(reference, dtype=np.float64)


def _decibels(signal: float, distortion: float) -> float:
    if signal <= 0.0:
        return LOWEST_DB
    if distortion <= 0.0:
        return HIGHEST_DB
    return min(HIGHEST_DB, max(LOWEST_DB, 10.0 * math.log10(signal / distortion)))


def delay_samples(recording: Audio, reference: Audio) -> int:
    """By how many samples `recording` comes after `reference`, at most 4096 either way; 0 where that is hard to tell.

    A whistle resembles itself one period later, and noise may tip the balance: another delay than 0 must fit clearly
    better than 0 does.

    Args:
        recording: real samples, shape (n,).
        reference: real samples, shape (m,).
    """
    if not len(recording) or not len(reference):
        return 0
    length = fft.next_fast_len(len(recording) + len(reference), real=True)
    product = fft.rfft(recording, length) * fft.rfft(reference, length).conj()
    likeness = fft.irfft(product, length)
    lags = np.arange(-min(MOST_DELAY_SAMPLES, len(reference) - 1), min(MOST_DELAY_SAMPLES, len(recording) - 1) + 1)
    near = likeness[lags]  # negative lags are at the end
    best = int(np.argmax(near))
    norm = math.sqrt(float(recording @ recording) * float(reference @ reference))
    stands_out = near[best] > _LEAST_LIKENESS * norm and near[best] > _CLEARLY * likeness[0]
    return int(lags[best]) if stands_out else 0


def shifted(audio: Audio, by: int, samples: int) -> npt.NDArray[np.float64]:
    """`audio` moved `by` samples to the left (right where negative), filled with 0 or cut to `samples`.

    So `shifted(recording, delay_samples(recording, reference), len(reference))` is aligned with the reference.
    """
    moved = np.zeros(samples)
    start, into = max(by, 0), max(-by, 0)
    count = max(0, min(len(audio) - start, samples - into))
    moved[into : into + count] = audio[start : start + count]
    return moved


def published_sdr(output: Audio, recording: Audio) -> float | None:
    """The public data set's own figure, for comparison with its papers only; no quality follows from it.

    `10·ln(‖y‖ / ‖x − y‖)` of the output x against the noisy recording y: doing nothing gives infinity (None here),
    deleting everything gives 0.
    """
    output, recording = _pair(output, recording)
    loud, changed = float(np.linalg.norm(recording)), float(np.linalg.norm(output - recording))
    return 10.0 * math.log(loud / changed) if loud and changed else None
