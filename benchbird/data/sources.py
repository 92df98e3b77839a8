"""The recordings that a data root is made of, and whose boxes are whose.

Owns which files are recordings and annotations, which belong together, and what of them doesn't fit. Boxes and their
files are `annotations/`'s; what becomes of both is `annotated.py`'s and `mixing.py`'s.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbird.annotations.boxes import Box
from benchbird.annotations.formats import READABLE, Annotation, read_annotations
from benchbird.audio.recordings import SUFFIXES, AudioFormat, Recording
from benchbird.audio.stft import WINDOW_SAMPLES
from benchbird.data.faults import DataFault, data_error, printable
from benchbird.data.recordings import CHANNEL_SUFFIX
from benchbird.errors import DataError

AUDIO_SUFFIXES = frozenset(SUFFIXES.values())
ANNOTATION_SUFFIXES = frozenset({".txt", ".csv", ".tsv"})

_ADVICE = "mend or leave out what is named, then import again"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One recording with its boxes.

    Attributes:
        path: of the recording.
        boxes: of all channels.
        tables: the files that they come from.
        recording_id: what must not straddle splits.
        format: how it is stored.
        samples: of each channel, as its header has it.
    """

    path: Path
    boxes: tuple[Box, ...]
    tables: tuple[Path, ...]
    recording_id: str
    format: AudioFormat
    samples: int


def find_recordings(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The recordings that were named or lie in folders that were, by name.

    Raises:
        DataError: there is none, or two have one stem, so that nothing tells whose an annotation is.
    """
    if missing := [path for path in paths if not path.exists()]:
        raise DataError("\n".join(f"{printable(path)}: no such file or folder" for path in missing))
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


def read_all(
    paths: Sequence[Path], *, may_lack: bool = False
) -> tuple[tuple[Path, tuple[Annotation, ...]], ...]:  # fmt: skip
    """Every file of annotations that was named or lies in a folder that was, with its boxes.

    Args:
        paths: files, or folders.
        may_lack: let a folder pass in which there is none.

    Raises:
        DataError: every one that can't be used, in one error.
    """
    found, faults = [], []
    for path in paths:
        inside = (one for one in path.rglob("*") if one.suffix.casefold() in ANNOTATION_SUFFIXES and one.is_file())
        # A Mac leaves `._dawn.txt` beside `dawn.txt` on other systems' disks.
        tables = sorted(one for one in inside if not one.name.startswith(".")) if path.is_dir() else [path]
        if not tables and not may_lack:
            faults.append(f"{printable(path)}: no annotations (.txt, .tsv or .csv) in it; expected {READABLE}")
        for file in tables:
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

    A file belongs to the recording whose name it begins with, up to a dot or a space (`dawn.Table.1.selections.txt` to
    `dawn.wav`), unless it names recordings line by line.

    Raises:
        DataError: annotations of no recording, boxes outside of theirs, a recording that can't be read, in one error.
    """
    by_stem = {file.stem: file for file in recordings}
    boxes: dict[Path, list[Box]] = {file: [] for file in recordings}
    origins: dict[Path, list[Path]] = {file: [] for file in recordings}
    forms, faults = _formats(recordings)
    for table, drawn in tables:
        own = _owner(table, by_stem)
        for one in drawn:
            file = by_stem.get(Path(one.file.replace("\\", "/")).stem) if one.file else own
            where = f"{table}:{one.line}"
            if file is None:
                reason = one.file or "none begins the name of this file, up to a dot or a space"
                faults.append(DataFault(where, f"of no recording here: {reason}"))
            elif file in forms:
                faults += [DataFault(where, reason) for reason in _outside(one.box, file, *forms[file])]
                boxes[file].append(one.box)
                origins[file].append(table)
    if faults:
        raise data_error("recordings and annotations don't fit", faults, _ADVICE)
    return tuple(
        Source(
            path=file, boxes=tuple(boxes[file]), tables=tuple(dict.fromkeys(origins[file])),
            recording_id=recording_id(file, pattern), format=forms[file][0], samples=forms[file][1],
        )
        for file in recordings
    )  # fmt: skip


def _owner(table: Path, by_stem: Mapping[str, Path]) -> Path | None:
    """The recording with the longest name that the table's begins with: `dawn_3.csv` isn't of `dawn.wav`."""
    fitting = [stem for stem in by_stem if table.name == stem or table.name.startswith((f"{stem}.", f"{stem} "))]
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


def recording_id(file: Path, pattern: re.Pattern[str] | None = None) -> str:
    """What must not straddle splits of a file: what a pattern finds in its stem, or else the stem without its channel.

    Raises:
        DataError: the pattern finds nothing.
    """
    match = pattern.search(file.stem) if pattern is not None else None
    if pattern is not None and (match is None or not match["recording"]):
        raise DataError(
            f"{printable(file)}: its name does not match the recording pattern {printable(pattern.pattern)}"
        )
    return match["recording"] if match is not None else CHANNEL_SUFFIX.sub("", file.stem) or file.stem


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"
