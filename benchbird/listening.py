"""What a trial's model says of a recording, cell by cell, in every channel by itself.

Owns the way of a recording of any length through windows as long as the pictures of the training, in constant memory.
What is made of the logits is for `isolation.py` and `calls.py`. Pictures are made by `audio/renderings.py` and prepared
as in training (`data/resize.py`, `batches.py`).

Windows overlap by an eighth and begin at multiples of seven eighths of their length; the last one begins earlier, so
that it ends with the recording. Where windows overlap, logits are faded from one to the next, so there is no seam, and
what comes out in the middle of a window follows from that window alone, wherever the recording begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchbird import backend
from benchbird.audio.renderings import from_spectrum, image_rows, one_sided_rows
from benchbird.audio.stft import (
    HOP_SAMPLES,
    ONE_SIDED_ROWS,
    WINDOW_SAMPLES,
    frame_count,
    one_sided_stft,
)
from benchbird.batches import memory_layout, normalized
from benchbird.data.resize import shrink_picture
from benchbird.errors import Diverged
from benchbird.evaluation import check_logits
from benchbird.protocol import Protocol
from benchbird.restoration import RestoredModel

AudioArray = npt.NDArray[np.float64]
SpectrumArray = npt.NDArray[np.complexfloating[Any, Any]]
LogitArray = npt.NDArray[np.float32]

AskLogits = Callable[[Sequence[SpectrumArray]], Sequence[LogitArray]]
"""Spectra `(513, frames)` of one length, one a channel, to logits of the same shape."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a recording is cut.

    Attributes:
        frames: length of a window; a shorter recording is one window.
    """

    frames: int

    @property
    def overlap(self) -> int:
        """Frames that two neighbours share."""
        return self.frames // 8

    @property
    def step(self) -> int:
        """Frames from one window's beginning to the next one's."""
        return self.frames - self.overlap

    def fade(self, frames: int) -> npt.NDArray[np.float32]:
        """Weight of each frame of a window, in (0, 1]: rising over its first overlap, falling over its last."""
        place = np.arange(frames)
        edge = np.minimum(place + 1, frames - place)
        return np.minimum(edge / (self.overlap + 1), 1.0).astype(np.float32)


def ask_model(model: RestoredModel, protocol: Protocol, rate_hz: int) -> AskLogits:
    """A trial's model as it was evaluated: pictures shrunk and normalised as in training, logits enlarged.

    Args:
        model: on its device, in this process.
        protocol: of its trial.
        rate_hz: of the recording.
    """
    rendering, spectrum = protocol.rendering, protocol.spectrum
    model.network.eval()

    def ask(spectra: Sequence[SpectrumArray]) -> Sequence[LogitArray]:
        pictures = [from_spectrum(one, rate_hz, rendering, spectrum) for one in spectra]
        small = np.stack([shrink_picture(one, protocol.image_size, protocol.resize) for one in pictures])
        images = normalized(torch.from_numpy(small).to(model.device), memory_layout(protocol))
        # A CPU is quicker with one picture at a time: the layers' values then fit its cache.
        parts = torch.split(images, 1) if model.device.type == "cpu" else (images,)
        size = (image_rows(spectrum), spectra[0].shape[1])
        logits = [one for part in parts for one in enlarged(part, size)]
        backend.check_flags(model.flags)
        return [one_sided_rows(one.cpu().numpy(), spectrum) for one in logits]

    def enlarged(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Logits of pictures `(N, 3, S, S)` at the windows' size, `(N, rows, frames)`."""
        with torch.inference_mode(), backend.autocast(protocol, model.device):
            logits = check_logits(model.network(images), images)  # (N, 1, S, S)
        if not bool(torch.isfinite(logits).all()):
            raise Diverged("the model's logits on this recording are not all finite numbers")
        with torch.inference_mode():
            return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]

    return ask


@dataclass(frozen=True, eq=False, kw_only=True)
class Stretch:
    """A part of a recording about which everything is known.

    Attributes:
        first_frame: of the recording, counted from 0.
        logits: float32 `(channels, 513, frames)`.
        spectra: complex `(channels, 513, frames)`.
        samples: float64 `(n, channels)`, 64 a frame: what is certain once the frames are.
        is_rest: behind the last whole frame: one frame more, filled with silence, with the last one's logits.
    """

    first_frame: int
    logits: LogitArray
    spectra: SpectrumArray
    samples: AudioArray
    is_rest: bool = False


def listen(blocks: Iterable[AudioArray], windows: Windows, ask: AskLogits) -> Iterator[Stretch]:
    """Everything that the model says of a recording, stretch by stretch.

    Args:
        blocks: its samples, each `(n, channels)`.
        windows: how to cut it.
        ask: gives the logits of a window.
    """
    listener = _Listener(windows, ask)
    for block in blocks:
        yield from listener.add(block)
    yield from listener.finish()


class _Listener:
    """What of a recording isn't finished: its samples, and the sums of faded logits over its frames.

    `_done` counts frames that went out; the samples kept begin where frame `_done` does.
    """

    def __init__(self, windows: Windows, ask: AskLogits) -> None:
        self._windows, self._ask = windows, ask
        self._samples: AudioArray = np.zeros((0, 0))
        self._done = 0
        self._next = 0  # frame where the next window begins
        self._sums = np.zeros((0, ONE_SIDED_ROWS, 0), dtype=np.float32)  # (channels, 513, frames from `_done` on)
        self._weights = np.zeros(0, dtype=np.float32)
        self._spectra = np.zeros((0, ONE_SIDED_ROWS, 0), dtype=np.complex128)  # of the same frames

    def add(self, block: AudioArray) -> Iterator[Stretch]:
        """Take samples; whatever is certain comes out."""
        if not self._samples.shape[1]:
            channels = block.shape[1]
            self._samples = np.zeros((0, channels))
            self._sums = np.zeros((channels, ONE_SIDED_ROWS, 0), dtype=np.float32)
            self._spectra = np.zeros((channels, ONE_SIDED_ROWS, 0), dtype=np.complex128)
        self._samples = np.concatenate([self._samples, block])
        # A window is cut only when the next one is sure to fit as well, since the last one begins elsewhere.
        while self._frames_known() >= self._next + self._windows.step + self._windows.frames:
            self._predict(self._next, self._windows.frames)
            self._next += self._windows.step
            yield self._emit(self._next)

    def finish(self) -> Iterator[Stretch]:
        """The recording has ended: its last windows, and all that is left. A recording without a frame has nothing."""
        frames = self._frames_known()
        if not frames:
            return
        while self._next + self._windows.frames < frames:
            self._predict(self._next, self._windows.frames)
            self._next += self._windows.step
        length = min(frames, self._windows.frames)
        self._predict(frames - length, length)
        last = self._emit(frames)
        yield last
        padded = np.zeros((WINDOW_SAMPLES, self._samples.shape[1]))
        padded[: len(self._samples)] = self._samples
        yield Stretch(
            first_frame=frames,
            logits=last.logits[:, :, -1:],
            spectra=np.stack([one_sided_stft(channel) for channel in padded.T]),
            samples=self._samples,
            is_rest=True,
        )

    def _frames_known(self) -> int:
        return self._done + frame_count(len(self._samples))

    def _predict(self, start: int, frames: int) -> None:
        """Add a window's faded logits."""
        first = start - self._done
        missing = first + frames - len(self._weights)
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, missing)))
            self._weights = np.pad(self._weights, (0, missing))
        fade = self._windows.fade(frames)
        self._transform(first + frames)
        logits = self._ask(list(self._spectra[:, :, first : first + frames]))
        for channel, one in enumerate(logits):
            self._sums[channel, :, first : first + frames] += fade * one
        self._weights[first : first + frames] += fade

    def _transform(self, until: int) -> None:
        """Have the spectra of all kept frames before `until`, each made once."""
        there = self._spectra.shape[2]
        if until > there:
            begin, end = there * HOP_SAMPLES, (until - 1) * HOP_SAMPLES + WINDOW_SAMPLES
            new = np.stack([one_sided_stft(channel[begin:end]) for channel in self._samples.T])
            self._spectra = np.concatenate([self._spectra, new], axis=2)

    def _emit(self, until: int) -> Stretch:
        """The frames before `until`, which no later window will change."""
        frames, first_frame = until - self._done, self._done
        own = frames * HOP_SAMPLES
        stretch = Stretch(
            first_frame=first_frame,
            logits=self._sums[:, :, :frames] / self._weights[:frames],
            spectra=self._spectra[:, :, :frames],
            samples=self._samples[:own],
        )
        self._samples = self._samples[own:]
        self._sums, self._weights = self._sums[:, :, frames:], self._weights[frames:]
        self._spectra = self._spectra[:, :, frames:]
        self._done = until
        return stretch
