"""The sound behind a picture, and the reference that a cleaned one is compared with.

Owns where both are found: `Raw_audios` and `Denoised_audios` beside a split's `Images`, or what a generator gives.
Which kind of reference it is decides what a score means.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchbird.audio.distortion import delay_samples, shifted
from benchbird.audio.recordings import SUFFIXES, read_recording
from benchbird.contract import AnySample, Sample
from benchbird.data.faults import printable
from benchbird.errors import DataError

ReferenceKind = Literal["voice", "mask"]
"""`voice`: the clean voice that was mixed in. `mask`: the recording under a person's mask, as the public set has it: a
score against it says how near a segmenter comes to that person, not to the bird."""

RAW, REFERENCE = "raw_audios", "denoised_audios"
MIXED = "mixed"
"""Of a manifest's column `kind`: the reference is the voice itself."""

_AUDIO_SUFFIXES = frozenset(SUFFIXES.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class SoundPair:
    """A recording with its reference.

    Attributes:
        noisy: real samples, shape (n,), full scale ±1.
        reference: the same of the reference, aligned.
        rate_hz: samples a second.
        kind: of the reference.
    """

    noisy: npt.NDArray[np.float64]
    reference: npt.NDArray[np.float64]
    rate_hz: int
    kind: ReferenceKind


def sound_of(sample: AnySample) -> SoundPair | None:
    """The sound of a sample; None where it has no recording, or no reference.

    Raises:
        DataError: one of them can't be read, or they don't belong together.
    """
    if isinstance(sample, Sample):
        return _from_files(sample)
    if sample.sound is None:
        return None
    noisy, clean, rate_hz = sample.sound()
    return SoundPair(noisy=_real(noisy), reference=_real(clean), rate_hz=rate_hz, kind="voice")


def recording_of(sample: Sample) -> Path | None:
    """The file that a sample's picture was rendered from; None where there is none."""
    return _file(sample.image.parent.parent, RAW, sample.sample_id)


def _real(audio: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(audio, dtype=np.float64)


def _from_files(sample: Sample) -> SoundPair | None:
    split = sample.image.parent.parent
    raw, reference = (_file(split, folder, sample.sample_id) for folder in (RAW, REFERENCE))
    if raw is None or reference is None:
        return None
    (noisy, form), (clean, clean_form) = read_recording(raw), read_recording(reference)
    if form.rate_hz != clean_form.rate_hz or noisy.shape[1] != 1 or clean.shape[1] != 1:
        raise DataError(
            f"{printable(reference)}: {clean_form.channels} channels at {clean_form.rate_hz} Hz, its recording has "
            f"{form.channels} at {form.rate_hz} Hz; expected one channel each, at one rate"
        )
    is_voice = sample.attributes.get("kind") == MIXED
    aligned = clean[:, 0]
    if not is_voice:  # it may have come through a codec, which delays
        aligned = shifted(aligned, delay_samples(aligned, noisy[:, 0]), len(noisy))
    if len(aligned) != len(noisy):
        raise DataError(f"{printable(reference)}: {len(aligned)} samples, its recording has {len(noisy)}")
    return SoundPair(noisy=noisy[:, 0], reference=aligned, rate_hz=form.rate_hz, kind="voice" if is_voice else "mask")


def _file(split: Path, folder: str, stem: str) -> Path | None:
    """The recording of that stem in a split's folder, whatever the letter case; links are passed over."""
    for inner in sorted(split.iterdir()):
        if inner.name.casefold() == folder and inner.is_dir() and not inner.is_symlink():
            found = sorted(
                one for one in inner.glob("*") if one.stem == stem and one.suffix.casefold() in _AUDIO_SUFFIXES
            )
            return next((one for one in found if one.is_file() and not one.is_symlink()), None)
    return None
