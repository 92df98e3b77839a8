"""Recordings as files: read by content, block by block, and written whole or not at all.

Owns which files are recordings, what is refused and what is told of them. It neither resamples nor transforms.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.durable import TEMPORARY_SUFFIX, sync_folder
from benchbird.errors import DataError
from benchbird.plain_text import plain_text

MOST_CHANNELS = 64
BLOCK_SAMPLES = 2**18
"""Samples a channel that are read at a time: memory doesn't grow with a recording's length."""

_MOST_HELD = {"FLAC": 8, "MP3": 2}

SUFFIXES = {"WAV": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3"}
FULL_SCALE = 1.0 - 2.0**-15
"""At this level and beyond, a sample of 16 bits can't be louder: it was probably clipped."""

_FAMILIES = {"WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "W64": "WAV", "FLAC": "FLAC", "OGG": "OGG", "MP3": "MP3"}
_WAV_LIMIT_BYTES = 2**32 - 2**16
_BYTES_OF = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
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
            raise Unreadable(path, f"damaged or of an unknown kind ({_words(error)}); {_CONVERT}") from error
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
                    self.path, f"damaged between {self._seconds():.1f} and {end:.1f} s ({_words(error)})"
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
            raise Unreadable(self.path, f"can't be read from sample {samples} on ({_words(error)})") from error

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


def _words(error: Exception) -> str:
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
    return promised + 8 if 0 < promised < _WAV_LIMIT_BYTES else 0


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


def output_format(source: AudioFormat, kind: str | None = None) -> AudioFormat:
    """How the outcome of a recording is stored: like it where that loses nothing more, else as FLAC.

    Args:
        source: of the recording.
        kind: `WAV`, `FLAC`, `OGG` or `MP3`, or None for a lossless one near the source's.
    """
    import soundfile

    if kind is None:
        kind = "WAV" if source.kind == "WAV" and source.encoding != "MPEG_LAYER_III" else "FLAC"
    if kind in ("OGG", "MP3"):
        return replace(source, kind=kind, encoding=soundfile.default_subtype(kind))
    is_plain = source.encoding.startswith(("PCM", "FLOAT", "DOUBLE"))
    kept = is_plain and source.encoding in soundfile.available_subtypes(kind)
    return replace(source, kind=kind, encoding=source.encoding if kept else "PCM_24")


def write_recordings(
    paths: Sequence[Path], parts: Iterable[Sequence[AudioArray]], form: AudioFormat, expected_samples: int = 0
) -> int:
    """Write recordings side by side, each whole or none of them.

    Args:
        paths: where; replaced once everything is written.
        parts: one stretch `(n, channels)` for each path at a time, full scale ±1; what is louder is cut off there.
        form: how to store them.
        expected_samples: about how many there will be; beyond 4 GiB a WAV file needs another header.

    Returns:
        Samples of each channel that were written.

    Raises:
        DataError: the disk refused, or the kind can't hold this rate or number of channels.
    """
    import soundfile

    if form.channels > _MOST_HELD.get(form.kind, MOST_CHANNELS):
        raise DataError(
            f"{plain_text(os.fspath(paths[0]))}: {form.kind} can't hold {form.channels} channels, at most "
            f"{_MOST_HELD[form.kind]}; choose WAV"
        )
    suffix = f".{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    temporary = [path.with_name(f".{path.name}{suffix}") for path in paths]
    written = 0
    sinks: list[_Sink] = []
    try:
        if folder := next((path for path in paths if path.is_dir()), None):
            raise IsADirectoryError(None, f"{plain_text(folder.name)} is a folder")
        with contextlib.ExitStack() as cleanup:
            for path in temporary:
                cleanup.callback(_remove, path)
            sinks += [cleanup.enter_context(_Sink(path)) for path in temporary]
            with contextlib.ExitStack() as open_files:
                files = [open_files.enter_context(_create(sink, form, expected_samples)) for sink in sinks]
                for stretches in parts:
                    for sink, file, stretch in zip(sinks, files, stretches, strict=True):
                        file.write(_levels(stretch, form.encoding))
                        sink.check()
                    written += len(stretches[0])
            for sink in sinks:
                sink.finish()
            for path, target in zip(temporary, paths, strict=True):
                path.replace(target)
            sync_folder(paths[0].parent)
    except (OSError, soundfile.SoundFileError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else _words(error)
        raise DataError(
            f"{plain_text(os.fspath(paths[0]))}: could not write {form.kind} of {form.channels} "
            f"{'channel' if form.channels == 1 else 'channels'} at {form.rate_hz} Hz: {reason.lower()}; "
            "what was there before is unchanged"
        ) from error
    return written


def as_stored(samples: AudioArray, form: AudioFormat) -> AudioArray:
    """The samples as they come back of a file of this format; of a lossy one or one of real numbers, unchanged.

    Args:
        samples: any shape, full scale ±1; what is louder is cut off there.
        form: of the file.
    """
    bits = _BITS_OF.get(form.encoding)
    return samples if bits is None else _whole(samples, bits) / 2.0 ** (bits - 1)


_BITS_OF = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def _whole(samples: AudioArray, bits: int) -> AudioArray:
    """The nearest whole numbers of so many bits, still as float64."""
    scale = 2.0 ** (bits - 1)
    return np.asarray(np.rint(samples * scale).clip(-scale, scale - 1.0))


def _levels(samples: AudioArray, encoding: str) -> npt.NDArray[Any]:
    """What is handed to libsndfile, which rounds real numbers down: whole numbers where whole ones are stored."""
    bits = _BITS_OF.get(encoding)
    if bits is None:
        return samples
    held = 16 if bits <= 16 else 32
    return (_whole(samples, bits) * 2.0 ** (held - bits)).astype(np.int16 if held == 16 else np.int32)


class _Sink:
    """A new file that remembers what the disk refused: libsndfile tells nothing of a refusal at its last write."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("xb+")
        self._refusal: OSError | None = None

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()

    def write(self, content: bytes) -> int:
        """As of a file, but for a refusal, which is kept for `check`."""
        try:
            self._stream.write(content)
        except OSError as error:
            self._refusal = self._refusal or error
        return len(content)

    def read(self, size: int) -> bytes:
        """As of a file."""
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file, but for a refusal: what is buffered is written first."""
        try:
            return self._stream.seek(offset, whence)
        except OSError as error:
            self._refusal = self._refusal or error
            return 0

    def tell(self) -> int:
        """As of a file."""
        return self._stream.tell()

    def check(self) -> None:
        """Tell of a refusal.

        Raises:
            OSError: there was one.
        """
        if self._refusal is not None:
            raise self._refusal

    def finish(self) -> None:
        """Make sure that everything is on the disk.

        Raises:
            OSError: something was refused, now or before.
        """
        self.check()
        self._stream.flush()
        os.fsync(self._stream.fileno())


def _create(sink: _Sink, form: AudioFormat, expected_samples: int) -> Any:
    import soundfile

    container = _container(form, expected_samples)
    return soundfile.SoundFile(sink, "w", form.rate_hz, form.channels, form.encoding, format=container)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _container(form: AudioFormat, samples: int) -> str:
    size_bytes = samples * form.channels * _BYTES_OF.get(form.encoding, 8)
    return "RF64" if form.kind == "WAV" and size_bytes > _WAV_LIMIT_BYTES else form.kind
