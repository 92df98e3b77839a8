"""A recording's file to its cleaned file: reading, a trial's model, writing, and what is told of it.

Owns the composition. Windows are `listening.py`'s, masks `isolation.py`'s, files `audio/recordings.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbird.audio.new_recordings import as_stored, output_format, write_recordings
from benchbird.audio.recordings import SUFFIXES, AudioArray, Recording
from benchbird.ears import Ear
from benchbird.isolation import MaskKind, isolate

CLEAN, RESIDUAL = "_clean", "_residual"
"""What is added to a recording's name."""

Progress = Callable[[float, float], None]
"""Gets seconds of the recording that are done, and its length."""


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What came of one recording.

    Attributes:
        recording: its file.
        files: what was written.
        notes: what a person should know, one clause each.
        recording_s: its length.
        duration_s: that it took.
        kept_share: of its energy, in [0, 1] or a little more.
    """

    recording: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    recording_s: float
    duration_s: float
    kept_share: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Cleaner:
    """Cleans recordings of any rate by a trial's model.

    Attributes:
        ear: the model.
        mask: what kind of mask.
    """

    ear: Ear
    mask: MaskKind

    def clean(
        self,
        path: Path,
        target: Path,
        *,
        kind: str | None = None,
        keep_suffix: bool = False,
        with_residual: bool = False,
        progress: Progress = lambda done_s, total_s: None,
    ) -> Cleaned:
        """Clean one recording into `target`, in constant memory.

        Args:
            path: of the recording.
            target: of the outcome, without a suffix unless `keep_suffix`.
            kind: `WAV`, `FLAC`, `OGG` or `MP3`; None for one near the recording's own.
            keep_suffix: `target` is the file's name as it is.
            with_residual: also write what was taken away, to a name that ends in `_residual`.
            progress: told after each window.

        Raises:
            Unreadable: the recording can't be used.
            DataError: the disk refused.
        """
        started = time.monotonic()
        with Recording(path) as recording:
            form = output_format(recording.format, kind)
            files = file_names(target, form.kind, keep_suffix=keep_suffix, with_residual=with_residual)
            meter = _Meter()
            cleaned = isolate(self.ear.listen(recording), self.mask, self.ear.protocol.logit_threshold)
            parts = meter.watch(cleaned, recording, progress)
            # From what is stored of the clean part, so that both add up to the recording.
            outputs = (
                (after, before - as_stored(after, form)) if with_residual else (after,) for before, after in parts
            )
            written = write_recordings(files, outputs, form, recording.declared_samples)
            return Cleaned(
                recording=path,
                files=files,
                notes=(*recording.notes(), *(["nothing in it was taken for bird"] if meter.is_empty else [])),
                recording_s=written / recording.format.rate_hz,
                duration_s=time.monotonic() - started,
                kept_share=meter.kept_share,
            )


def file_names(target: Path, kind: str, *, keep_suffix: bool, with_residual: bool) -> tuple[Path, ...]:
    """What `Cleaner.clean` writes for these arguments."""
    # With its suffix appended, not replaced: names of recordings hold dots, as in times.
    named = target if keep_suffix else target.with_name(target.name + SUFFIXES[kind])
    if not with_residual:
        return (named,)
    return named, named.with_name(named.stem.removesuffix(CLEAN) + RESIDUAL + named.suffix)


class _Meter:
    """Energy before and after, and progress, of the stretches that pass by."""

    def __init__(self) -> None:
        self._before = self._after = 0.0

    @property
    def kept_share(self) -> float:
        """Of the energy."""
        return self._after / self._before if self._before else 0.0

    @property
    def is_empty(self) -> bool:
        """Whether there was sound, and none of it is left."""
        return self._before > 0 and not self._after

    def watch(
        self, parts: Iterator[tuple[AudioArray, AudioArray]], recording: Recording, progress: Progress
    ) -> Iterator[tuple[AudioArray, AudioArray]]:
        """Pass the stretches on."""
        rate_hz, done = recording.format.rate_hz, 0
        for before, after in parts:
            self._before += float(np.vdot(before, before))
            self._after += float(np.vdot(after, after))
            done += len(before)
            yield before, after
            progress(done / rate_hz, recording.declared_samples / rate_hz)
