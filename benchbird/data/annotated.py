"""A data root made of recordings and the boxes that people drew in them: clips, pictures, masks, splits, a manifest.

Owns which annotations belong to which recording, how recordings become clips, and to which split each goes. Boxes and
their files are `annotations/`'s, pictures are rendered by `audio/stft.py`.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchbird.annotations.boxes import Box, mask_of
from benchbird.annotations.formats import Annotation, read_annotations
from benchbird.audio.recordings import SUFFIXES, AudioArray, AudioFormat, Recording, write_recordings
from benchbird.audio.stft import WINDOW_SAMPLES, frame_count, render, two_sided
from benchbird.data.faults import DataFault, data_error, printable
from benchbird.data.new_root import SPLIT_FOLDERS, new_data_root, write_manifest
from benchbird.errors import DataError
from benchbird.records import SPLITS

KINDS = ("Images", "Masks", "Raw_audios")
COLUMNS = (
    "name", "split", "recording", "channel", "kind", "labels", "source", "start_s", "seconds", "sample_rate",
    "mask_fraction",
)  # fmt: skip
AUDIO_SUFFIXES = frozenset(SUFFIXES.values())
ANNOTATION_SUFFIXES = frozenset({".txt", ".csv", ".tsv"})

_STORED_LEVELS = 2.0**23
"""Clips are stored with 24 bits, and pictures are those of what is stored."""
_ADVICE = "mend or leave out what is named, then import again"


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How recordings become samples.

    Attributes:
        clip_s: length of a clip in seconds; a shorter recording is one clip.
        shares: parts of the recordings for train, val and test.
        seed: of the draw of splits.
        recording_pattern: finds, in a file's stem, what must not straddle splits, as its group `recording`; None for
            the whole stem.
        annotated_only: leave out clips in which there is no box.
    """

    clip_s: float = 5.0
    shares: Mapping[str, float]
    seed: int = 0
    recording_pattern: re.Pattern[str] | None = None
    annotated_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Source:
    """One recording with its boxes.

    Attributes:
        path: of the recording.
        boxes: of all channels.
        recording_id: what must not straddle splits.
    """

    path: Path
    boxes: tuple[Box, ...]
    recording_id: str


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was written.

    Attributes:
        samples: split → number of samples.
        notes: what a person should know, one sentence each.
    """

    samples: Mapping[str, int]
    notes: tuple[str, ...]


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
    sources = join(files, read_all(annotations or sorted({file.parent for file in files})), options.recording_pattern)
    splits = draw_splits([source.recording_id for source in sources], options.shares, options.seed)
    rows: list[dict[str, str]] = []
    notes: list[str] = []
    with new_data_root(root, KINDS) as partial:
        for done, source in enumerate(sources, start=1):
            rows += _write_clips(partial, source, splits[source.recording_id], options, notes)
            progress(done, len(sources))
        counts = Counter(row["split"] for row in rows)
        for split, folder in SPLIT_FOLDERS.items():
            if not counts[folder]:
                raise DataError(f"no clip is left for {split}; use more recordings, or drop --annotated-only")
        write_manifest(partial, COLUMNS, rows)
    return Imported(samples={split: counts[folder] for split, folder in SPLIT_FOLDERS.items()}, notes=tuple(notes))


def find_recordings(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The recordings that were named or lie in folders that were, by name.

    Raises:
        DataError: there is none, or two have one stem, so that nothing tells whose an annotation is.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (one for one in path.rglob("*") if one.suffix.casefold() in AUDIO_SUFFIXES and one.is_file())
            files += [one for one in inside if not one.name.startswith(".")]
        else:
            files.append(path)
    files = sorted(dict.fromkeys(files), key=lambda one: (one.stem, str(one)))
    if not files:
        raise DataError(f"no recording (.wav, .flac, .ogg or .mp3) in {', '.join(printable(path) for path in paths)}")
    by_stem = defaultdict(list)
    for file in files:
        by_stem[file.stem].append(file)
    if doubles := [same for same in by_stem.values() if len(same) > 1]:
        faults = [DataFault(str(file), f"has the name of {same[0]}, too") for same in doubles for file in same[1:]]
        raise data_error("two recordings of one name", faults, "rename one of them, and its annotations")
    return tuple(files)


def read_all(paths: Sequence[Path]) -> tuple[tuple[Path, tuple[Annotation, ...]], ...]:
    """Every file of annotations that was named or lies in a folder that was, with its boxes.

    Raises:
        DataError: every one that can't be used, in one error.
    """
    found, faults = [], []
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.suffix.casefold() in ANNOTATION_SUFFIXES)
        for file in inside if path.is_dir() else (path,):
            try:
                found.append((file, read_annotations(file)))
            except DataError as error:
                faults.append(str(error))
    if faults:
        raise DataError("\n".join(["annotations that can't be used:", *(f"  {fault}" for fault in faults), _ADVICE]))
    return tuple(found)


def join(
    recordings: Sequence[Path],
    tables: Sequence[tuple[Path, tuple[Annotation, ...]]],
    pattern: re.Pattern[str] | None,
) -> tuple[Source, ...]:
    """Each recording with its boxes; one without a file of annotations has none.

    A file belongs to the recording whose name it begins with (`dawn.Table.1.selections.txt` to `dawn.wav`), unless it
    names recordings line by line.

    Raises:
        DataError: annotations of no recording, boxes outside of theirs, a recording that can't be read, in one error.
    """
    by_stem = {file.stem: file for file in recordings}
    boxes: dict[Path, list[Box]] = {file: [] for file in recordings}
    forms, faults = _formats(recordings)
    for table, drawn in tables:
        own = _owner(table, by_stem)
        for one in drawn:
            file = by_stem.get(Path(one.file.replace("\\", "/")).stem) if one.file else own
            where = f"{table}:{one.line}"
            if file is None:
                faults.append(
                    DataFault(where, f"of no recording here: {one.file or 'none begins the name of this file'}")
                )
            elif file in forms:
                faults += [DataFault(where, reason) for reason in _outside(one.box, file, *forms[file])]
                boxes[file].append(one.box)
    if faults:
        raise data_error("recordings and annotations don't fit", faults, _ADVICE)
    return tuple(
        Source(path=file, boxes=tuple(boxes[file]), recording_id=_recording_id(file, pattern)) for file in recordings
    )


def _owner(table: Path, by_stem: Mapping[str, Path]) -> Path | None:
    """The recording with the longest name that the table's begins with."""
    name = table.name
    fitting = [stem for stem in by_stem if name.startswith(stem) and not name[len(stem) : len(stem) + 1].isalnum()]
    return by_stem[max(fitting, key=len)] if fitting else None


def _formats(recordings: Sequence[Path]) -> tuple[dict[Path, tuple[AudioFormat, int]], list[DataFault]]:
    """Of each recording that can be opened its format and length in samples; why the others can't."""
    forms, faults = {}, []
    for file in recordings:
        try:
            with Recording(file) as recording:
                forms[file] = (recording.format, recording.declared_samples)
        except DataError as error:
            faults.append(DataFault(str(file), getattr(error, "reason", str(error))))
    return forms, faults


def _outside(box: Box, file: Path, form: AudioFormat, samples: int) -> Iterator[str]:
    """What of a box isn't in its recording; programs round, so that a frame and a bin more are let through."""
    length_s, nyquist_hz = samples / form.rate_hz, form.rate_hz / 2
    if box.end_s > length_s + WINDOW_SAMPLES / form.rate_hz:
        yield f"ends at {box.end_s:.3f} s, {file.name} at {length_s:.3f} s"
    if box.high_hz is not None and box.low_hz is not None and box.low_hz >= nyquist_hz:
        yield f"begins at {box.low_hz:g} Hz, {file.name} has nothing above {nyquist_hz:g} Hz"
    if box.channel is not None and box.channel > form.channels:
        yield f"is in channel {box.channel}, {file.name} has {form.channels}"


def _recording_id(file: Path, pattern: re.Pattern[str] | None) -> str:
    match = pattern.search(file.stem) if pattern is not None else None
    if pattern is not None and (match is None or not match["recording"]):
        raise DataError(
            f"{printable(file)}: its name does not match the recording pattern {printable(pattern.pattern)}"
        )
    return match["recording"] if match is not None else file.stem


def draw_splits(recording_ids: Sequence[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Recording id → split: recordings are drawn, so that none is in two splits, and every split gets one.

    Args:
        recording_ids: one a recording; the same one for those that belong together.
        shares: of train, val and test, positive; only their ratios count.
        seed: of the draw.

    Raises:
        DataError: there are fewer than three.
    """
    ids = sorted(set(recording_ids))
    if len(ids) < len(SPLITS):
        raise DataError(
            f"{len(ids)} recordings that don't belong together, expected at least {len(SPLITS)}: "
            "no recording may be in two splits"
        )
    random.Random(seed).shuffle(ids)
    total = sum(shares[split] for split in SPLITS)
    n_val, n_test = (max(1, round(len(ids) * shares[split] / total)) for split in ("val", "test"))
    n_test = min(n_test, len(ids) - 2)
    n_val = min(n_val, len(ids) - n_test - 1)
    parts = ["test"] * n_test + ["val"] * n_val + ["train"] * (len(ids) - n_test - n_val)
    return dict(zip(ids, parts, strict=True))


def _write_clips(
    root: Path, source: Source, split: str, options: ImportOptions, notes: list[str]
) -> Iterator[dict[str, str]]:
    """Write a recording's clips; their rows of the manifest."""
    with Recording(source.path) as recording:
        form, clip = recording.format, max(WINDOW_SAMPLES, round(options.clip_s * recording.format.rate_hz))
        for index, audio in enumerate(recording.blocks(clip)):
            start_s = index * clip / form.rate_hz
            boxes = _within(source.boxes, start_s, len(audio) / form.rate_hz)
            is_rest = index > 0 and 2 * len(audio) < clip and not boxes
            if is_rest:
                notes.append(f"{printable(source.path)}: its last {len(audio) / form.rate_hz:.2f} s are left out")
            if frame_count(len(audio)) == 0 or is_rest or (options.annotated_only and not boxes):
                continue
            name = f"{source.path.stem}_{index:04d}" if recording.declared_samples > clip else source.path.stem
            for channel in range(form.channels):
                yield _write_sample(
                    root / SPLIT_FOLDERS[split], source, f"{name}{channel_suffix(channel, form.channels)}",
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
