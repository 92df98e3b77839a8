"""A finished trial as one that listens to recordings of any rate and length.

Owns the way from a trial's folder to its model at work. What is said of a recording is made in `listening.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchbird import backend
from benchbird.audio.recordings import AudioFormat, Recording, Unreadable
from benchbird.audio.stft import HOP_SAMPLES, WINDOW_SAMPLES, frame_count
from benchbird.errors import ResultsError
from benchbird.listening import Stretch, Windows, ask_model, listen
from benchbird.protocol import Protocol
from benchbird.restoration import RestoredModel, find_trial, own_protocol, request_model, restore_model


@dataclass(frozen=True, eq=False, kw_only=True)
class Ear:
    """A trial's model, ready for recordings.

    Attributes:
        name: of the trial, for people.
        label: of its segmenter.
        model: on its device.
        protocol: of the trial.
        picture_frames: of a training picture; None where the record doesn't tell.
        window_s: asked for instead.
    """

    name: str
    label: str
    model: RestoredModel
    protocol: Protocol
    picture_frames: int | None
    window_s: float | None

    def listen(self, recording: Recording) -> Iterator[Stretch]:
        """Everything that the model says of an open recording, stretch by stretch.

        Raises:
            Unreadable: it is damaged, or too short for a single frame.
        """
        ask = ask_model(self.model, self.protocol, recording.format.rate_hz)
        yield from listen(recording.blocks(), Windows(frames=self._frames(recording.format)), ask)
        if not frame_count(recording.samples):
            reason = f"{recording.samples} samples, too short to hold a call; expected at least {WINDOW_SAMPLES}"
            raise Unreadable(recording.path, reason)

    def _frames(self, form: AudioFormat) -> int:
        if self.window_s is not None:
            return max(1, frame_count(round(self.window_s * form.rate_hz)))
        assert self.picture_frames is not None, "checked when it was opened"
        return self.picture_frames


def open_ear(trial: Path, *, plugin_files: tuple[Path, ...], device: str, window_s: float | None) -> Ear:
    """The ear of an ended trial, in this process.

    Args:
        trial: its folder.
        plugin_files: plugins that the user named.
        device: `auto` or a torch device's name.
        window_s: length of a window in seconds; None for that of the training pictures.

    Raises:
        ResultsError: no such trial, no weights, or nothing tells how long its pictures were.
        PluginError: the segmenter's source is gone or another one.
    """
    found = find_trial(trial)
    protocol, record = own_protocol(found), found.record
    frames = record.data.picture_frames
    if frames is None and window_s is None:
        raise ResultsError(
            f"{trial}: the record doesn't tell how long its training pictures were; say it by --window SECONDS "
            f"(a picture of n columns that nobody resized is n · {HOP_SAMPLES} samples long)"
        )
    where = str(backend.choose_device(device))
    return Ear(
        name=f"{record.segmenter.label}, seed {record.seed}, of {record.benchmark} {record.study}",
        label=record.segmenter.label,
        model=restore_model(request_model(found, protocol, plugin_files=plugin_files, device=where)),
        protocol=protocol,
        picture_frames=frames,
        window_s=window_s,
    )
