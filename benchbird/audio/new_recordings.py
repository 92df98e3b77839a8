"""Recordings written as files: whole or not at all, the nearest whole numbers, in a format near the source's.

Owns how samples become what a file stores, and what of a disk's refusal is told. Reading is `recordings.py`'s.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.audio.recordings import MOST_CHANNELS, WAV_LIMIT_BYTES, AudioArray, AudioFormat, words_of
from benchbird.durable import TEMPORARY_SUFFIX, sync_folder
from benchbird.errors import DataError
from benchbird.plain_text import plain_text

_MOST_HELD = {"FLAC": 8, "MP3": 2}
_BYTES_OF = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_BITS_OF = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


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
        reason = error.strerror if isinstance(error, OSError) and error.strerror else words_of(error)
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
    return "RF64" if form.kind == "WAV" and size_bytes > WAV_LIMIT_BYTES else form.kind
