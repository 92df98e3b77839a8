"""The sound behind a picture, and the reference that a cleaned one is compared with.

Owns where both are found: `Raw_audios` and `Denoised_audios` beside a split's `Images`, or what a generator gives.
Which kind of reference it is decides what a score means.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchbird.audio.distortion import delay_samples, shifted
from benchbird.audio.recordings import SUFFIXES, read_recording
from benchbird.audio.separation import SoundScores, score_sound
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
        reference: the same of the reference, aligned, 0 where it isn't known.
        rate_hz: samples a second.
        kind: of the reference.
        known: the part in which the reference is known; a codec that delays leaves an edge without.
    """

    noisy: npt.NDArray[np.float64]
    reference: npt.NDArray[np.float64]
    rate_hz: int
    kind: ReferenceKind
    known: slice = field(default_factory=lambda: slice(None))

    @property
    def known_reference(self) -> npt.NDArray[np.float64]:
        """The reference, NaN where it isn't known."""
        known = np.full(len(self.reference), np.nan)
        known[self.known] = self.reference[self.known]
        return known

    def score(self, output: npt.NDArray[np.float64]) -> SoundScores:
        """Score an output of the recording's length, where the reference is known."""
        return score_sound(output[self.known], self.noisy[self.known], self.reference[self.known])


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
    reference = _real(clean)
    places = np.flatnonzero(~np.isnan(reference))
    known = slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
    return SoundPair(
        noisy=_real(noisy), reference=np.nan_to_num(reference), rate_hz=rate_hz, kind=kind_of(sample), known=known
    )


def kind_of(sample: AnySample) -> ReferenceKind:
    """Of which kind the reference of a sample is, if it has one."""
    if isinstance(sample, Sample):
        return "voice" if sample.attributes.get("kind") == MIXED else "mask"
    return "voice" if sample.is_voice_alone else "mask"


def has_reference(sample: Sample) -> bool:
    """Whether a sample has both a recording and a reference."""
    split = sample.image.parent.parent
    return all(_file(split, folder, sample.sample_id) is not None for folder in (RAW, REFERENCE))


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
    kind, known = kind_of(sample), slice(None)
    aligned = clean[:, 0]
    if kind == "mask":  # it may have come through a codec, which delays
        delay = delay_samples(aligned, noisy[:, 0])
        known = slice(max(-delay, 0), max(min(len(noisy), len(aligned) - delay), 0))
        aligned = shifted(aligned, delay, len(noisy))
    if len(aligned) != len(noisy):
        raise DataError(f"{printable(reference)}: {len(aligned)} samples, its recording has {len(noisy)}")
    return SoundPair(noisy=noisy[:, 0], reference=aligned, rate_hz=form.rate_hz, kind=kind, known=known)


def _file(split: Path, folder: str, stem: str) -> Path | None:
    """The recording of that stem in a split's folder, whatever the letter case; links are passed over."""
    for inner in sorted(split.iterdir()):
        if inner.name.casefold() == folder and inner.is_dir() and not inner.is_symlink():
            name = _names(inner, inner.stat().st_mtime_ns).get(stem)
            return None if name is None else inner / name
    return None


@lru_cache(maxsize=16)
def _names(folder: Path, changed_ns: int) -> dict[str, str]:
    """Stem → name of the first recording of a folder, which is listed once for all of its samples.

    Args:
        folder: to look into.
        changed_ns: when it was changed, so that another content is another entry.
    """
    names: dict[str, str] = {}
    with os.scandir(folder) as entries:
        plain = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    for name in sorted(plain):
        path = Path(name)
        if path.suffix.casefold() in _AUDIO_SUFFIXES:
            names.setdefault(path.stem, name)
    return names
