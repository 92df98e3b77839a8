"""What a trial's model says of pictures that somebody has: prepared as in its training, in its batches, at their size.

Owns the way from image files to logits and to the pictures that are made of them. Images given in the order of their
names are predicted in the very batches of the trial's evaluation, so that its test split comes out the same bit by bit.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from benchbird import backend
from benchbird.batches import memory_layout, normalized
from benchbird.data.images import ImageArray, Unreadable, read_image
from benchbird.data.overlays import brightened, with_mask
from benchbird.data.resize import shrink_picture
from benchbird.errors import Diverged, ResultsError
from benchbird.evaluation import check_logits
from benchbird.protocol import Protocol
from benchbird.restoration import RestoredModel, find_trial, own_protocol, request_model, restore_model

LogitArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Marker:
    """A trial's model, ready for images.

    Attributes:
        model: on its device, in this process.
        protocol: of the trial.
    """

    model: RestoredModel
    protocol: Protocol

    def mark(self, paths: Sequence[Path]) -> Iterator[Marking | Unreadable]:
        """Each image with its logits, or why it can't be used, in the order given.

        Raises:
            Diverged: a logit is no finite number.
            ProtocolViolation: the model's output breaks the contract, or a plugin moved torch's settings.
        """
        size, batch = self.protocol.image_size, self.protocol.batch_size
        waiting: list[tuple[Path, ImageArray | Unreadable]] = []
        for path in paths:
            try:
                waiting.append((path, read_image(path)))
            except Unreadable as error:
                waiting.append((path, error))
            if sum(not isinstance(one, Unreadable) for _, one in waiting) == batch:
                yield from self._flush(waiting, size)
                waiting = []
        yield from self._flush(waiting, size)

    def _flush(
        self, waiting: Sequence[tuple[Path, ImageArray | Unreadable]], size: int
    ) -> Iterator[Marking | Unreadable]:
        images = [one for _, one in waiting if not isinstance(one, Unreadable)]
        small = [_three_channels(shrink_picture(one, size, self.protocol.resize)) for one in images]
        logits = iter(self._logits(np.stack(small))) if small else iter(())
        for path, image in waiting:
            if isinstance(image, Unreadable):
                yield image
            else:
                own = next(logits)
                yield Marking(path=path, image=image, small=own[0].cpu().numpy(), logits=_enlarged(own, image))

    def _logits(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Of pictures `(B, 3, S, S)`: `(B, 1, S, S)`."""
        device, protocol = self.model.device, self.protocol
        # A compiled model would be compiled anew for another shape: the last image stands in, as in evaluation.
        missing = protocol.batch_size - len(pixels) if protocol.compile else 0
        filled = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)]) if missing else pixels
        images = normalized(torch.from_numpy(filled).to(device), memory_layout(protocol))
        self.model.network.eval()
        with torch.inference_mode(), backend.autocast(protocol, device):
            logits = check_logits(self.model.network(images), images)[: len(pixels)]
        backend.check_flags(self.model.flags)
        if not bool(torch.isfinite(logits).all()):
            raise Diverged("the model's logits on these images are not all finite numbers")
        return logits


@dataclass(frozen=True, eq=False, kw_only=True)
class Marking:
    """What is said of one image.

    Attributes:
        path: of its file.
        image: uint8 `(H, W)` or `(H, W, 3)`.
        small: logits at protocol size, float32 `(S, S)`, those that scores are taken of.
        logits: enlarged bilinearly to the image's own size, float32 `(H, W)`.
    """

    path: Path
    image: ImageArray
    small: LogitArray
    logits: LogitArray

    def mask(self, logit_threshold: float) -> npt.NDArray[np.bool_]:
        """Where bird is predicted, `(H, W)`."""
        return np.asarray(self.logits > logit_threshold)

    def pictures(self, logit_threshold: float) -> dict[str, bytes]:
        """What is added to a name → PNG: `_mask` black and white, `_probability` grey, `_overlay` in colour."""
        mask = self.mask(logit_threshold)
        probability = 1.0 / (1.0 + np.exp(-self.logits.clip(-80.0, 80.0).astype(np.float64)))
        return {
            "_mask.png": _png(mask.astype(np.uint8) * np.uint8(255)),
            "_probability.png": _png(np.round(255.0 * probability).astype(np.uint8)),
            "_overlay.png": _png(with_mask(brightened(self.image), mask)),
        }


def open_marker(trial: Path, *, plugin_files: tuple[Path, ...], device: str) -> Marker:
    """The marker of an ended trial.

    Args:
        trial: its folder.
        plugin_files: plugins that the user named.
        device: `auto` or a torch device's name.

    Raises:
        ResultsError: no such trial, no weights, or its pictures are rendered from recordings, so that images say
            nothing to it.
        PluginError: the segmenter's source is gone or another one.
    """
    found = find_trial(trial)
    protocol = own_protocol(found)
    if (protocol.rendering, protocol.spectrum) != ("published", "mirrored"):
        raise ResultsError(
            f"{trial}: its model has seen pictures of rendering {protocol.rendering} with a {protocol.spectrum} "
            "spectrum, which are made of recordings; give it the recordings instead of images"
        )
    where = str(backend.choose_device(device))
    return Marker(model=restore_model(request_model(found, protocol, plugin_files=plugin_files, device=where)),
                  protocol=protocol)  # fmt: skip


def _three_channels(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey and coloured pictures side by side in a batch; a grey one repeated is the same to every model."""
    return np.repeat(picture, 3, axis=0) if len(picture) == 1 else picture


def _enlarged(logits: torch.Tensor, image: ImageArray) -> LogitArray:
    """Logits `(1, S, S)` at an image's size, as for scores at native size."""
    with torch.inference_mode():
        large = nn.functional.interpolate(logits[None], size=image.shape[:2], mode="bilinear", align_corners=False)
    return np.asarray(large[0, 0].cpu().numpy())


def _png(pixels: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()
