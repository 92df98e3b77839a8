"""Recordings as files: read by content, block by block.

Owns which files are recordings, what is refused and what is told of them. It neither resamples nor transforms; writing
is `new_recordings.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.errors import DataError
from benchbird.plain_text import plain_text

MOST_CHANNELS = 64
BLOCK_SAMPLES = 2**18
"""Samples a channel that are read at a time: memory doesn't grow with a recording's length."""

SUFFIXES = {"WAV": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3"}
FULL_SCALE = 1.0 - 2.0**-15
"""At this level and beyond, a sample of 16 bits can't be louder: it was probably clipped."""

_FAMILIES = {"WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "W64": "WAV", "FLAC": "FLAC", "OGG": "OGG", "MP3": "MP3"}
WAV_LIMIT_BYTES = 2**32 - 2**16
"""What a WAV header can say, with some room for the header itself."""
_UNBOUNDED = frozenset({"FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III"})
"""Encodings whose samples may be louder than full scale."""
_OGG_PAGE, _LARGEST_PAGE_BYTES = b"OggS", 65_307
_SNIFFED_BYTES = 4096
_MPEG_SYNC = 0xE0

AudioArray = npt.NDArray[np.float64]


class Unreadable(DataError):
    """A file is no recording that can be used."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = plain_text(reason)
        super().__init__(f"{plain_text(os.fspath(path))}: {self.reason}")


@dataclass(frozen=True, kw_only=True)
class AudioFormat:
    """How a recording is stored.

    Attributes:
        kind: `WAV`, `FLAC`, `OGG` or `MP3`, by content.
        encoding: of its samples, in libsndfile's words, such as `PCM_16`.
        rate_hz: samples a second of each channel.
        channels: 1 and more.
    """

    kind: str
    encoding: str
    rate_hz: int
    channels: int


class Recording:
    """An open recording, to be read once from its beginning; a context manager.

    Attributes:
        path: where it is.
        format: how it is stored.
        declared_samples: of each channel, as its header has it; `samples` read may turn out fewer.
        clipped_samples: read so far at full scale, in any channel.
        loudest: greatest magnitude read so far.
    """

    def __init__(self, path: Path) -> None:
        """Open a recording.

        Raises:
            Unreadable: it is missing, no WAV, FLAC, OGG or MP3 by content, or of more than 64 channels.
        """
        import soundfile

        self.path = path
        self._promised_bytes = _require_recording(path)
        try:
            # By descriptor: soundfile would take a name's extension for its word.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            self._file: Any = soundfile.SoundFile(descriptor, closefd=True)
        except OSError as error:
            raise Unreadable(path, (error.strerror or str(error)).lower()) from error
        except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
            raise Unreadable(path, f"damaged or of an unknown kind ({words_of(error)}); {_CONVERT}") from error
        if self._file.channels > MOST_CHANNELS:
            channels = self._file.channels
            self.close()
            raise Unreadable(path, f"{channels} channels, expected at most {MOST_CHANNELS}")
        self.format = AudioFormat(
            kind=_FAMILIES.get(self._file.format, self._file.format),
            encoding=self._file.subtype,
            rate_hz=self._file.samplerate,
            channels=self._file.channels,
        )
        self.declared_samples = int(self._file.frames)
        self.samples = 0
        self.clipped_samples = 0
        self.loudest = 0.0

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        self._file.close()

    def blocks(self, size: int = BLOCK_SAMPLES) -> Iterator[AudioArray]:
        """The samples that haven't been read, float64 `(n, channels)`, full scale ±1, n ≤ `size`, n > 0.

        Raises:
            Unreadable: a sample is no finite number, or the file can't be read further.
        """
        import soundfile

        while True:
            try:
                block: AudioArray = self._file.read(size, dtype="float64", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError, OSError) as error:
                end = min(self.samples + size, max(self.declared_samples, self.samples)) / self.format.rate_hz
                raise Unreadable(
                    self.path, f"damaged between {self._seconds():.1f} and {end:.1f} s ({words_of(error)})"
                ) from error
            if not len(block):
                return
            self._check_finite(block)
            magnitude = np.abs(block)
            self.clipped_samples += int(np.count_nonzero(magnitude >= FULL_SCALE))
            self.loudest = max(self.loudest, float(magnitude.max()))
            self.samples += len(block)
            yield block

    def skip(self, samples: int) -> None:
        """Go on so many samples from the beginning; what was skipped doesn't count as read.

        Raises:
            Unreadable: it isn't that long, or damaged.
        """
        import soundfile

        try:
            self._file.seek(samples)
        except (soundfile.SoundFileError, RuntimeError, ValueError, OSError) as error:
            raise Unreadable(self.path, f"can't be read from sample {samples} on ({words_of(error)})") from error

    def notes(self) -> Iterator[str]:
        """What a person should know of what was read, one clause each."""
        if self.samples < self.declared_samples:
            declared = self.declared_samples / self.format.rate_hz
            yield f"cut short: {self._seconds():.2f} s of the {declared:.2f} s that its header promises"
        elif self.path.stat().st_size < self._promised_bytes:
            yield f"cut short: {self.path.stat().st_size} of the {self._promised_bytes} bytes that its header promises"
        if self.samples and not self.loudest:
            yield "silence: every sample is 0"
        if self._is_unended_ogg():
            yield f"cut short: it ends after {self._seconds():.2f} s without the mark of an end"
        if self.format.encoding in _UNBOUNDED and self.loudest > 1.0:
            yield (
                f"its loudest sample is {self.loudest:.2f} of full scale: what is beyond 1 is cut where whole numbers "
                "are written"
            )
        elif self.clipped_samples:
            share = self.clipped_samples / (self.samples * self.format.channels)
            yield f"{max(share, 0.0001):.2%} of its samples are at full scale: it may be clipped"

    def _seconds(self) -> float:
        return self.samples / self.format.rate_hz

    def _is_unended_ogg(self) -> bool:
        """Whether the last page of an Ogg stream doesn't say that it is the last; libsndfile doesn't ask."""
        if self.format.kind != "OGG":
            return False
        with self.path.open("rb") as stream:
            stream.seek(max(0, self.path.stat().st_size - _LARGEST_PAGE_BYTES))
            end = stream.read()
        last = end.rfind(_OGG_PAGE)
        return last < 0 or len(end) < last + 6 or not end[last + 5] & 0x04

    def _check_finite(self, block: AudioArray) -> None:
        if not (finite := np.isfinite(block).all(axis=1)).all():
            at = (self.samples + int(finite.argmin())) / self.format.rate_hz
            raise Unreadable(self.path, f"a sample at {at:.3f} s is no finite number (NaN or infinite)")


_CONVERT = "expected WAV, FLAC, OGG or MP3; convert it, for example by `ffmpeg -i IN OUT.flac`"


def words_of(error: Exception) -> str:
    """What libsndfile says; of a stream that it can't find the beginning of it says that there is no file."""
    if "File does not exist" in str(error):
        return "nothing in it can be decoded"
    words = str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".").strip()
    return words or type(error).__name__


def _require_recording(path: Path) -> int:
    """Bytes that a WAV file's header promises; 0 where nothing is promised."""
    try:
        if path.is_dir():
            raise Unreadable(path, "a folder, expected a recording")
        if not path.is_file():
            raise Unreadable(path, "no such file" if not path.exists() else "no plain file, expected a recording")
        with path.open("rb") as stream:
            start = stream.read(_SNIFFED_BYTES)
    except OSError as error:
        raise Unreadable(path, (error.strerror or str(error)).lower()) from error
    if not start:
        raise Unreadable(path, "0 bytes, expected a recording")
    if not _is_recording(start):
        raise Unreadable(path, f"no recording by its content; {_CONVERT}")
    promised = int.from_bytes(start[4:8], "little") if start.startswith(b"RIFF") else 0
    # What streams to a pipe can't know its length, and writes the largest number there is, or 0.
    return promised + 8 if 0 < promised < WAV_LIMIT_BYTES else 0


def _is_recording(start: bytes) -> bool:
    """By signature. An MPEG stream has none but eleven set bits, and a version, layer and rate that exist."""
    if start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE":
        return True
    if start.startswith((b"fLaC", b"OggS", b"ID3", b"riff\x2e\x91\xcf\x11")):
        return True
    return (
        len(start) > 3
        and start[0] == 0xFF
        and start[1] & _MPEG_SYNC == _MPEG_SYNC
        and start[1] & 0x18 != 0x08
        and start[1] & 0x06 != 0x00
        and start[2] & 0xF0 != 0xF0
    )


def read_recording(path: Path) -> tuple[AudioArray, AudioFormat]:
    """A whole recording that is known to be short: float64 `(samples, channels)`.

    Raises:
        Unreadable: as `Recording` and `Recording.blocks`.
    """
    with Recording(path) as recording:
        blocks = list(recording.blocks())
        empty = np.zeros((0, recording.format.channels))
        return np.concatenate(blocks) if blocks else empty, recording.format
