"""A data root made of recordings and the boxes that people drew in them: clips, pictures, masks, splits, a manifest.

Owns how recordings become clips, and to which split each goes. Which boxes are whose is `sources.py`'s, pictures are
rendered by `audio/stft.py`.
"""

from __future__ import annotations

import itertools
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchbird.annotations.boxes import Box, mask_of
from benchbird.annotations.formats import READABLE
from benchbird.audio.new_recordings import write_recordings
from benchbird.audio.recordings import AudioArray, AudioFormat, Recording
from benchbird.audio.stft import FFT_SIZE, WINDOW_SAMPLES, frame_count, render, two_sided
from benchbird.data.faults import DataFault, data_error, printable
from benchbird.data.new_root import SPLIT_FOLDERS, new_data_root, write_manifest
from benchbird.data.sources import Source, counted, find_recordings, join, read_all
from benchbird.errors import DataError
from benchbird.records import SPLITS

KINDS = ("Images", "Masks", "Raw_audios")
COLUMNS = (
    "name", "split", "recording", "channel", "kind", "labels", "source", "start_s", "seconds", "sample_rate",
    "mask_fraction",
)  # fmt: skip

_STORED_LEVELS = 2.0**23
"""Clips are stored with 24 bits, and pictures are those of what is stored."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How recordings become samples.

    Attributes:
        clip_s: length of a clip in seconds; a shorter recording is one clip.
        shares: parts of the recordings for train, val and test.
        seed: of the draw of splits.
        recording_pattern: finds, in a file's stem, what must not straddle splits, as its group `recording`; None for
            the stem without `_left` or `_right`.
        annotated_only: leave out clips in which there is no box.
    """

    clip_s: float = 5.0
    shares: Mapping[str, float]
    seed: int = 0
    recording_pattern: re.Pattern[str] | None = None
    annotated_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was written.

    Attributes:
        samples: split → number of samples.
        notes: what a person should know, one sentence each.
        summary: what it was made of, one line, perhaps empty.
    """

    samples: Mapping[str, int]
    notes: tuple[str, ...]
    summary: str = ""


def import_recordings(
    recordings: Sequence[Path],
    annotations: Sequence[Path],
    root: Path,
    options: ImportOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Write a data root, whole or not at all.

    Args:
        recordings: files, or folders that are searched for them.
        annotations: files, or folders; empty for the folders of the recordings.
        root: folder to create.
        options: see `ImportOptions`.
        progress: gets recordings done, and in all.

    Raises:
        DataError: everything that is wrong, in one error; or the disk refused.
    """
    files = find_recordings(recordings)
    tables = read_all(annotations) if annotations else read_all(sorted({file.parent for file in files}), may_lack=True)
    joined = join(files, tables, options.recording_pattern)
    notes = [f"{printable(source.path)}: {note}" for source in joined for note in _notes(source)]
    sources = [source for source in joined if frame_count(source.samples)]
    _refuse_doubles(sources, options.clip_s)
    splits = draw_splits(
        [source.recording_id for source in sources], options.shares, options.seed,
        hint="".join(f"\n  {note}" for note in notes) if len(sources) < len(joined) else "",
    )  # fmt: skip
    summary = _summary(sources)
    rows: list[dict[str, str]] = []
    with new_data_root(root, KINDS) as partial:
        for done, source in enumerate(sources, start=1):
            rows += _write_clips(partial, source, splits[source.recording_id], options, notes)
            progress(done, len(sources))
        counts = Counter(row["split"] for row in rows)
        for split, folder in SPLIT_FOLDERS.items():
            if not counts[folder]:
                advice = "use more recordings" + (", or drop --annotated-only" if options.annotated_only else "")
                raise DataError(f"no clip is left for {split}; {advice}")
        write_manifest(partial, COLUMNS, rows)
    samples = {split: counts[folder] for split, folder in SPLIT_FOLDERS.items()}
    return Imported(samples=samples, notes=tuple(notes), summary=summary)


def _notes(source: Source) -> Iterator[str]:
    """What a person should know of a recording and its boxes, one clause each."""
    if not frame_count(source.samples):
        yield f"left out: {counted(source.samples, 'sample')}, expected {WINDOW_SAMPLES} at least"
    if len(source.tables) > 1:
        names = ", ".join(map(printable, source.tables))
        yield f"boxes of {len(source.tables)} files are united, {names}; leave out one if they mark the same calls"
    nyquist_hz, bin_hz = source.format.rate_hz / 2, source.format.rate_hz / FFT_SIZE
    if high := sum(box.high_hz is not None and box.high_hz > nyquist_hz + bin_hz for box in source.boxes):
        yield f"what is above {nyquist_hz:g} Hz, half its sampling rate, is cut off {counted(high, 'box', 'boxes')}"


def _summary(sources: Sequence[Source]) -> str:
    """How many boxes there are, of how many files, and how many recordings have none.

    Raises:
        DataError: there is no box at all.
    """
    boxes, tables = sum(len(source.boxes) for source in sources), {file for one in sources for file in one.tables}
    if not boxes:
        raise DataError(
            f"no box for {counted(len(sources), 'recording')}, so that there is nothing to learn; expected {READABLE}; "
            "put them beside the recordings, or name them by --annotations"
        )
    bare = sum(not source.boxes for source in sources)
    return (
        f"{counted(boxes, 'box', 'boxes')} from {counted(len(tables), 'file')}; "
        f"{bare} of {counted(len(sources), 'recording')} {'has' if bare == 1 else 'have'} none"
    )


def draw_splits(
    recording_ids: Sequence[str], shares: Mapping[str, float], seed: int, noun: str = "recording", hint: str = ""
) -> dict[str, str]:
    """Recording id → split: recordings are drawn, so that none is in two splits, and every split gets one.

    Args:
        recording_ids: one a recording; the same one for those that belong together.
        shares: of train, val and test, positive; only their ratios count.
        seed: of the draw.
        noun: what they are, for people.
        hint: what else to say where they are too few.

    Raises:
        DataError: there are fewer than three.
    """
    ids = sorted(set(recording_ids))
    if len(ids) < len(SPLITS):
        groups = f" in {counted(len(ids), 'group')} that belong together" if len(ids) < len(recording_ids) else ""
        raise DataError(
            f"{counted(len(recording_ids), noun)}{groups}, expected at least {len(SPLITS)} that don't belong together: "
            f"no recording may be in two splits{hint}"
        )
    random.Random(seed).shuffle(ids)
    total = sum(shares[split] for split in SPLITS)
    n_val, n_test = (max(1, round(len(ids) * shares[split] / total)) for split in ("val", "test"))
    n_test = min(n_test, len(ids) - 2)
    n_val = min(n_val, len(ids) - n_test - 1)
    parts = ["test"] * n_test + ["val"] * n_val + ["train"] * (len(ids) - n_test - n_val)
    return dict(zip(ids, parts, strict=True))


def _refuse_doubles(sources: Sequence[Source], clip_s: float) -> None:
    """Refuse recordings whose samples would overwrite one another's.

    Raises:
        DataError: two samples have one name: a clip's or a channel's is that of another recording.
    """
    owners: dict[str, Path] = {}
    faults = []
    for source in sources:
        clips = max(1, -(-source.samples // _clip_samples(source, clip_s)))
        for index, channel in itertools.product(range(clips), range(source.format.channels)):
            name = unicodedata.normalize("NFC", _sample_name(source, index, channel, clip_s))
            if (first := owners.setdefault(name, source.path)) != source.path:
                faults.append(DataFault(str(source.path), f"its sample {name} would have the name of one of {first}"))
    if faults:
        raise data_error("two samples of one name", faults, "rename one of the recordings, and its annotations")


def _clip_samples(source: Source, clip_s: float) -> int:
    return max(WINDOW_SAMPLES, round(clip_s * source.format.rate_hz))


def _sample_name(source: Source, index: int, channel: int, clip_s: float) -> str:
    """Of a clip's channel, both counted from 0."""
    part = f"_{index:04d}" if source.samples > _clip_samples(source, clip_s) else ""
    return f"{source.path.stem}{part}{channel_suffix(channel, source.format.channels)}"


def _write_clips(
    root: Path, source: Source, split: str, options: ImportOptions, notes: list[str]
) -> Iterator[dict[str, str]]:
    """Write a recording's clips; their rows of the manifest."""
    with Recording(source.path) as recording:
        form, clip = recording.format, _clip_samples(source, options.clip_s)
        for index, audio in enumerate(recording.blocks(clip)):
            start_s = index * clip / form.rate_hz
            boxes = _within(source.boxes, start_s, len(audio) / form.rate_hz)
            is_rest = index > 0 and 2 * len(audio) < clip and not boxes
            if is_rest:
                notes.append(f"{printable(source.path)}: its last {len(audio) / form.rate_hz:.2f} s are left out")
            if frame_count(len(audio)) == 0 or is_rest or (options.annotated_only and not boxes):
                continue
            for channel in range(form.channels):
                yield _write_sample(
                    root / SPLIT_FOLDERS[split], source, _sample_name(source, index, channel, options.clip_s),
                    audio[:, channel], form, channel + 1, boxes, start_s,
                )  # fmt: skip
        notes += [f"{printable(source.path)}: {note}" for note in recording.notes()]


def _within(boxes: Sequence[Box], start_s: float, seconds: float) -> list[Box]:
    """The boxes of a clip, in its own time; they may begin before it and end after it."""
    return [
        replace(box, start_s=box.start_s - start_s, end_s=box.end_s - start_s)
        for box in boxes
        if box.end_s > start_s and box.start_s < start_s + seconds
    ]


def channel_suffix(channel: int, channels: int) -> str:
    """What is added to the name of a recording for one of its channels, counted from 0."""
    if channels == 1:
        return ""
    return ("_left", "_right")[channel] if channels == 2 else f"_channel{channel + 1}"


def _write_sample(
    folder: Path, source: Source, name: str, audio: AudioArray, form: AudioFormat, channel: int,
    boxes: Sequence[Box], start_s: float,
) -> dict[str, str]:  # fmt: skip
    stored = np.clip(np.round(audio * _STORED_LEVELS), -_STORED_LEVELS, _STORED_LEVELS - 1) / _STORED_LEVELS
    own = [box for box in boxes if box.channel in (None, channel)]
    mask = np.asarray(two_sided(mask_of(own, form.rate_hz, frame_count(len(stored)))))
    Image.fromarray(render(stored)).save(folder / "Images" / f"{name}.png")
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(folder / "Masks" / f"{name}.png")
    flac = AudioFormat(kind="FLAC", encoding="PCM_24", rate_hz=form.rate_hz, channels=1)
    write_recordings([folder / "Raw_audios" / f"{name}.flac"], [(stored[:, None],)], flac)
    return {
        "name": name,
        "split": folder.name,
        "recording": source.recording_id,
        "channel": "" if form.channels == 1 else str(channel),
        "kind": "boxes",
        "labels": ";".join(sorted({box.label for box in own if box.label})),
        "source": source.path.name,
        "start_s": f"{start_s:.3f}",
        "seconds": f"{len(audio) / form.rate_hz:.6f}",
        "sample_rate": str(form.rate_hz),
        "mask_fraction": f"{mask.mean():.4f}",
    }
