"""A data root made of clean voices and noise: mixed at a drawn SNR, masked where the voice can be seen.

Owns the mixing and what the manifest tells of it. The mask follows from voice and noise apart, never from their mixture
(`data/synthetic/masks.py`), and the clean voice is kept beside the mixture as its reference.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchbird.audio.new_recordings import write_recordings
from benchbird.audio.recordings import AudioFormat, Recording
from benchbird.audio.stft import HOP_SAMPLES, WINDOW_SAMPLES, frame_count, render, two_sided
from benchbird.data.annotated import Imported, draw_splits
from benchbird.data.faults import os_reason, printable
from benchbird.data.new_root import SPLIT_FOLDERS, new_data_root, write_manifest
from benchbird.data.sources import counted, find_recordings, recording_id
from benchbird.data.synthetic.masks import visible_half
from benchbird.errors import DataError
from benchbird.seeding import derive_seed

KINDS = ("Images", "Masks", "Raw_audios", "Denoised_audios")
COLUMNS = (
    "name", "split", "recording", "kind", "source", "start_s", "licence", "noise", "noise_start_s", "noise_licence",
    "snr_db", "sample_rate", "seconds", "mask_fraction",
)  # fmt: skip
LICENCES_NAME = "licences.csv"

LOUDEST, FAINTEST = 1.0, 0.25
"""Peak of a mixture, drawn evenly by ratio: field recordings differ in level, and pictures with them."""

SILENCE = 1e-4
"""A stretch of voice whose peak is below this share of its recording's (−80 dB) holds no call."""

_STORED_LEVELS = 2.0**23
_USELESS = "silent or shorter than a frame"

Audio = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MixingOptions:
    """How voices and noise become samples.

    Attributes:
        snr_db: lowest and highest ratio of the powers of voice and noise over a clip.
        clip_s: length of a clip in seconds; a shorter voice is one clip.
        repeats: mixtures of each clip, with other noise and SNR.
        shares: parts of the voices, and of the noises, for train, val and test.
        seed: of every draw.
    """

    snr_db: tuple[float, float] = (-5.0, 20.0)
    clip_s: float = 5.0
    repeats: int = 1
    shares: Mapping[str, float]
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Material:
    """What the samples are made of.

    Attributes:
        voices: recordings, by name.
        noises: split → the noise recordings that belong to it.
        licences: recording → what is said of it, empty where nothing is.
    """

    voices: tuple[Path, ...]
    noises: Mapping[str, tuple[Path, ...]]
    licences: Mapping[Path, str]


def mix_recordings(
    voices: Path,
    noises: Path,
    root: Path,
    options: MixingOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Write a data root, whole or not at all.

    Args:
        voices: folder of clean recordings; `licences.csv` in it may tell their licences.
        noises: folder of noise; the same.
        root: folder to create.
        options: see `MixingOptions`.
        progress: gets voices done, and in all.

    Raises:
        DataError: too few recordings, one that can't be used, a silent noise; or the disk refused.
    """
    material = _gather(voices, noises, options)
    splits = draw_splits([recording_id(path) for path in material.voices], options.shares, options.seed, "voice")
    rows: list[dict[str, str]] = []
    notes: list[str] = []
    with new_data_root(root, KINDS) as partial:
        for done, voice in enumerate(material.voices, start=1):
            made = list(_write_mixtures(partial, voice, splits[recording_id(voice)], material, options))
            if not made:
                notes.append(f"{printable(voice)}: left out, {_USELESS}")
            rows += made
            progress(done, len(material.voices))
        counts = Counter(row["split"] for row in rows)
        if empty := [split for split, folder in SPLIT_FOLDERS.items() if not counts[folder]]:
            raise DataError(f"no sample came of the voices for {' and '.join(empty)}: {_USELESS}")
        write_manifest(partial, COLUMNS, rows)
    unknown = sorted({path.name for path, licence in material.licences.items() if not licence})
    if unknown:
        count = counted(len(unknown), "recording")
        notes.append(f"no licence is told of {count}, such as {printable(unknown[0])} ({LICENCES_NAME})")
    samples = {split: counts[folder] for split, folder in SPLIT_FOLDERS.items()}
    return Imported(samples=samples, notes=tuple(notes))


def _gather(voices: Path, noises: Path, options: MixingOptions) -> _Material:
    for folder in (voices, noises):
        if folder.is_file():
            raise DataError(f"{printable(folder)}: is a file, expected a folder of recordings")
    found, noise = find_recordings([voices]), find_recordings([noises])
    if shared := {path.resolve() for path in found} & {path.resolve() for path in noise}:
        raise DataError(f"{printable(sorted(shared)[0])}: both a voice and a noise; keep them in folders of their own")
    drawn = draw_splits(
        [recording_id(path) for path in noise], options.shares, derive_seed(options.seed, "noise"), "noise"
    )
    licences = {**_licences(voices, found), **_licences(noises, noise)}
    by_split = {split: tuple(path for path in noise if drawn[recording_id(path)] == split) for split in SPLIT_FOLDERS}
    return _Material(voices=found, noises=by_split, licences=licences)


def _licences(folder: Path, recordings: Sequence[Path]) -> dict[Path, str]:
    """From `licences.csv` with the columns `file` and `licence`; the file `*` stands for all others."""
    path = folder / LICENCES_NAME
    told: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not {"file", "licence"} <= set(reader.fieldnames or ()):
                raise DataError(f"{printable(path)}: expected the columns file and licence")
            told = _told(path, reader)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DataError(f"{printable(path)}: {os_reason(error)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{printable(path)}: not comma-separated UTF-8 text: {error}") from error
    if strangers := sorted(set(told) - {one.name for one in recordings} - {"*"}):
        raise DataError(f"{printable(path)}: names {printable(strangers[0])}, which is no recording there")
    return {one: told.get(one.name, told.get("*", "")) for one in recordings}


def _told(path: Path, reader: csv.DictReader[str]) -> dict[str, str]:
    """File → licence.

    Raises:
        DataError: a line names no file, or another licence of a file than a line before it.
    """
    told: dict[str, str] = {}
    for row in reader:
        file, licence = (row["file"] or "").strip(), (row["licence"] or "").strip()
        where = f"{printable(path)}:{reader.line_num}"
        if not file:
            raise DataError(f"{where}: names no file; expected that of a recording, or * for all others")
        if told.setdefault(file, licence) != licence:
            raise DataError(
                f"{where}: {printable(file)} has the licence {printable(licence or 'none')} here and "
                f"{printable(told[file] or 'none')} further up; expected one"
            )
    return told


def _write_mixtures(
    root: Path, voice: Path, split: str, material: _Material, options: MixingOptions
) -> Iterator[dict[str, str]]:
    loudest = _peak(voice)
    for index, (start_s, clean, rate_hz) in enumerate(_clips(voice, options.clip_s)):
        if float(np.abs(clean).max()) <= SILENCE * loudest:
            continue
        for repeat in range(options.repeats):
            name = f"{voice.stem}_{index:04d}" + (f"_{repeat}" if options.repeats > 1 else "")
            rng = np.random.default_rng(derive_seed(options.seed, "mixture", name))
            noise, row = _write_mixture(
                root / SPLIT_FOLDERS[split], name, clean, rate_hz, material.noises[split], options, rng
            )
            yield {
                "name": name,
                "split": SPLIT_FOLDERS[split],
                "recording": recording_id(voice),
                "kind": "mixed",
                "source": voice.name,
                "start_s": f"{start_s:.3f}",
                "licence": material.licences[voice],
                "noise": noise.name,
                "noise_licence": material.licences[noise],
                **row,
            }


def _peak(path: Path) -> float:
    with Recording(path) as recording:
        for _ in recording.blocks():
            pass
        if not recording.loudest:
            raise DataError(f"{printable(path)}: silence, expected a voice")
        return recording.loudest


def _clips(path: Path, clip_s: float) -> Iterator[tuple[float, Audio, int]]:
    """Beginning in seconds, samples of all channels' mean, and rate of each clip that holds a frame."""
    with Recording(path) as recording:
        rate_hz = recording.format.rate_hz
        clip = max(WINDOW_SAMPLES, round(clip_s * rate_hz))
        for index, audio in enumerate(recording.blocks(clip)):
            if frame_count(len(audio)) and (index == 0 or 2 * len(audio) >= clip):
                yield index * clip / rate_hz, audio.mean(axis=1), rate_hz


def _write_mixture(
    folder: Path,
    name: str,
    voice: Audio,
    rate_hz: int,
    noises: Sequence[Path],
    options: MixingOptions,
    rng: np.random.Generator,
) -> tuple[Path, dict[str, str]]:
    """Write one sample; which noise was drawn, and what else the manifest tells of it."""
    source = noises[int(rng.integers(len(noises)))]
    noise, noise_start_s = _piece(source, rate_hz, len(voice), rng)
    snr_db = float(rng.uniform(*options.snr_db))
    noise = noise * math.sqrt(_power(voice) / (_power(noise) * 10 ** (snr_db / 10)))
    level = FAINTEST * (LOUDEST / FAINTEST) ** float(rng.random())
    scale = level / float(np.abs(voice + noise).max())
    clean, rest = voice * scale, noise * scale
    mask = np.asarray(two_sided(visible_half(clean, rest, rate_hz / HOP_SAMPLES)))
    noisy, clean = _stored(clean + rest), _stored(clean)
    Image.fromarray(render(noisy)).save(folder / "Images" / f"{name}.png")
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(folder / "Masks" / f"{name}.png")
    flac = AudioFormat(kind="FLAC", encoding="PCM_24", rate_hz=rate_hz, channels=1)
    for kind, audio in (("Raw_audios", noisy), ("Denoised_audios", clean)):
        write_recordings([folder / kind / f"{name}.flac"], [(audio[:, None],)], flac)
    return source, {
        "noise_start_s": f"{noise_start_s:.3f}",
        "snr_db": f"{snr_db:.1f}",
        "sample_rate": str(rate_hz),
        "seconds": f"{len(noisy) / rate_hz:.6f}",
        "mask_fraction": f"{mask.mean():.4f}",
    }


def _stored(audio: Audio) -> Audio:
    """On the grid of a file of 24 bits, so that picture and file agree."""
    return np.clip(np.round(audio * _STORED_LEVELS), -_STORED_LEVELS, _STORED_LEVELS - 1) / _STORED_LEVELS


def _power(audio: Audio) -> float:
    return float(np.mean(audio**2))


def _piece(path: Path, rate_hz: int, samples: int, rng: np.random.Generator) -> tuple[Audio, float]:
    """A drawn piece of a noise at another's rate, repeated where it is too short, and where it begins in seconds."""
    with Recording(path) as recording:
        own_hz = recording.format.rate_hz
        wanted = math.ceil(samples * own_hz / rate_hz) + 1
        start = int(rng.integers(max(1, recording.declared_samples - wanted + 1)))
        recording.skip(start)
        piece = next(recording.blocks(wanted), None)
    if piece is None or not (audio := piece.mean(axis=1)).any():
        raise DataError(f"{printable(path)}: silence from {start / own_hz:.1f} s on, expected noise")
    common = math.gcd(own_hz, rate_hz)
    if own_hz != rate_hz:
        from scipy.signal import resample_poly

        audio = resample_poly(audio, rate_hz // common, own_hz // common)
    return np.resize(audio, samples), start / own_hz
