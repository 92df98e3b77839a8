"""A recording's file to its cleaned file: reading, a trial's model, writing, and what is told of it.

Owns the composition. Windows and masks are `isolation.py`'s, files `audio/recordings.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbird import backend
from benchbird.audio.recordings import (
    SUFFIXES,
    AudioArray,
    AudioFormat,
    Recording,
    Unreadable,
    output_format,
    write_recordings,
)
from benchbird.audio.stft import HOP_SAMPLES, WINDOW_SAMPLES, frame_count
from benchbird.errors import ResultsError
from benchbird.isolation import MaskKind, Windows, ask_model, isolate
from benchbird.protocol import Protocol
from benchbird.restoration import RestoredModel, find_trial, own_protocol, request_model, restore_model

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
    """A trial's model, ready for recordings of any rate.

    Attributes:
        name: of the trial, for people.
        model: on its device.
        protocol: of the trial.
        mask: what kind of mask.
        picture_frames: of a training picture; None where the record doesn't tell.
        window_s: asked for instead.
    """

    name: str
    model: RestoredModel
    protocol: Protocol
    mask: MaskKind
    picture_frames: int | None
    window_s: float | None

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
            # With its suffix appended, not replaced: names of recordings hold dots, as in times.
            named = target if keep_suffix else target.with_name(target.name + SUFFIXES[form.kind])
            files = [named]
            if with_residual:
                files.append(named.with_name(named.stem.removesuffix(CLEAN) + RESIDUAL + named.suffix))
            meter = _Meter()
            parts = meter.watch(self._parts(recording), recording, progress)
            outputs = (((after, before - after) if with_residual else (after,)) for before, after in parts)
            written = write_recordings(files, outputs, form, recording.declared_samples)
            if frame_count(written) == 0:
                for file in files:
                    file.unlink(missing_ok=True)
                raise Unreadable(
                    path, f"{written} samples, expected at least {WINDOW_SAMPLES}: too short to hold a call"
                )
            return Cleaned(
                recording=path,
                files=tuple(files),
                notes=tuple(recording.notes()),
                recording_s=written / recording.format.rate_hz,
                duration_s=time.monotonic() - started,
                kept_share=meter.kept_share,
            )

    def _parts(self, recording: Recording) -> Iterator[tuple[AudioArray, AudioArray]]:
        rate_hz = recording.format.rate_hz
        ask = ask_model(self.model, self.protocol, rate_hz, "published", "mirrored")
        windows = Windows(frames=self._frames(recording.format))
        yield from isolate(recording.blocks(), windows, ask, self.mask, self.protocol.logit_threshold)
        if not frame_count(recording.samples):  # before anything is put in place
            reason = f"{recording.samples} samples, too short to hold a call; expected at least {WINDOW_SAMPLES}"
            raise Unreadable(recording.path, reason)

    def _frames(self, form: AudioFormat) -> int:
        if self.window_s is not None:
            return max(1, frame_count(round(self.window_s * form.rate_hz)))
        assert self.picture_frames is not None, "checked when the cleaner was made"
        return self.picture_frames


class _Meter:
    """Energy before and after, and progress, of the stretches that pass by."""

    def __init__(self) -> None:
        self._before = self._after = 0.0

    @property
    def kept_share(self) -> float:
        """Of the energy."""
        return self._after / self._before if self._before else 0.0

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


def prepare_cleaner(
    trial: Path, *, plugin_files: tuple[Path, ...], device: str, mask: MaskKind, window_s: float | None
) -> Cleaner:
    """The cleaner of an ended trial.

    Args:
        trial: its folder.
        plugin_files: plugins that the user named.
        device: `auto` or a torch device's name.
        mask: `binary` or `soft`.
        window_s: length of a window in seconds; None for that of the training pictures.

    Raises:
        ResultsError: no such trial, no weights, or nothing tells how long its pictures were.
        PluginError: the segmenter's source is gone or another one.
    """
    found = find_trial(trial)
    protocol = own_protocol(found)
    frames = found.record.data.picture_frames
    if frames is None and window_s is None:
        raise ResultsError(
            f"{trial}: the record doesn't tell how long its training pictures were; say it by --window SECONDS "
            f"(a picture of n columns that nobody resized is n · {HOP_SAMPLES} samples long)"
        )
    where = str(backend.choose_device(device))
    request = request_model(found, protocol, plugin_files=plugin_files, device=where)
    record = found.record
    return Cleaner(
        name=f"{record.segmenter.label}, seed {record.seed}, of {record.benchmark} {record.study}",
        model=restore_model(request),
        protocol=protocol,
        mask=mask,
        picture_frames=frames,
        window_s=window_s,
    )
