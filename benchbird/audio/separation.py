"""A recording under a mask, the masks that the voice itself tells, and what each scores against the reference.

Owns the oracles and the floor. Masks are one-sided, `(513, frames)`, how much of each cell is kept.

Oracle ratio mask: the share of the voice in a cell's power (Wang et al. 2014, doi 10.1109/TASLP.2014.2352935, with
exponent 1); a mask that knew the phases too could do a little better than it. The floor is spectral gating: a cell is
kept where it stands out from the median of its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.audio.distortion import published_sdr, sdr_db, si_sdr_db
from benchbird.audio.stft import one_sided_istft, one_sided_stft

GATE = 3.0
"""Times its row's median magnitude that a cell must have: noise alone passes in a few of a hundred cells."""

Audio = npt.NDArray[np.float64]
MaskArray = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class SoundScores:
    """What an output scores, in decibels; each but the last None where the reference is silent.

    Attributes:
        si_sdr_db: scale-invariant signal-to-distortion ratio.
        si_sdr_improvement_db: that of the output less that of the recording unchanged.
        sdr_db: signal-to-distortion ratio of one source (`distortion.sdr_db`).
        published_sdr: the public data set's own figure, of no reference; None where nothing was changed.
    """

    si_sdr_db: float | None
    si_sdr_improvement_db: float | None
    sdr_db: float | None
    published_sdr: float | None


def under_mask(noisy: Audio, mask: MaskArray) -> Audio:
    """The recording with only what the mask keeps, of the same length."""
    return one_sided_istft(one_sided_stft(noisy) * mask, len(noisy))


def score_sound(output: Audio, noisy: Audio, reference: Audio) -> SoundScores:
    """Score an output against the reference; all three aligned, of one length."""
    found, before = si_sdr_db(output, reference), si_sdr_db(noisy, reference)
    return SoundScores(
        si_sdr_db=found,
        si_sdr_improvement_db=found - before if found is not None and before is not None else None,
        sdr_db=sdr_db(output, reference),
        published_sdr=published_sdr(output, noisy),
    )


def ratio_mask(noisy: Audio, reference: Audio) -> npt.NDArray[np.float64]:
    """The oracle ratio mask, in [0, 1]."""
    voice = np.abs(one_sided_stft(reference)) ** 2
    power = voice + np.abs(one_sided_stft(noisy - reference)) ** 2
    return np.asarray(np.divide(voice, power, out=np.zeros_like(voice), where=power > 0))


def binary_mask(noisy: Audio, reference: Audio) -> npt.NDArray[np.bool_]:
    """The oracle binary mask: cells in which the voice is louder than everything else."""
    return np.asarray(np.abs(one_sided_stft(reference)) > np.abs(one_sided_stft(noisy - reference)))


def gate_mask(noisy: Audio) -> npt.NDArray[np.bool_]:
    """The spectral gate's mask, from the recording alone."""
    magnitude = np.abs(one_sided_stft(noisy))
    return np.asarray(magnitude > GATE * np.median(magnitude, axis=1, keepdims=True))
