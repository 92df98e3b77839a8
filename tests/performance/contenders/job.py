"""What all contenders are given: model, size, batch, data. Nothing here is timed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchbird.registry import SEGMENTERS, load_registry
from tests.split_factory import MemorySplit, memory_split

SMALL_OPTIONS: dict[str, dict[str, Any]] = {"deeplabv3": {"backbone": "resnet18"}, "unet": {"encoder": "resnet18"}}
"""As the profile `cpu` of benchmarks/birdsound.yaml has them."""

LR = 1e-4


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training.

    Attributes:
        segmenter: name of a built-in segmenter.
        size: side of the pictures in pixels.
        images: training images of an epoch, where they are in memory.
        batch_size: images of a batch.
        epochs: to train, in a whole job.
        root: folder of image files, in a whole job.
        options: protocol settings, for benchbird alone.
        model_options: of the segmenter, over those of the profile `cpu`.
    """

    segmenter: str
    size: int
    images: int = 0
    batch_size: int = 8
    epochs: int = 1
    root: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    model_options: dict[str, Any] = field(default_factory=dict)

    def model(self) -> nn.Module:
        """The network, its weights drawn from one seed."""
        spec = load_registry(groups={SEGMENTERS}).segmenters[self.segmenter].spec
        torch.manual_seed(0)
        return spec.build(**spec.complete_options(SMALL_OPTIONS.get(self.segmenter, {}) | self.model_options))

    def split(self) -> MemorySplit:
        """Its training images, in memory."""
        return memory_split("train", self.images, self.size)

    def pairs(self, split: str) -> list[tuple[Path, Path]]:
        """Image and mask files of a split below `root`."""
        folder = Path(self.root) / split
        return [(path, folder / "masks" / path.name) for path in sorted((folder / "images").iterdir())]


def write_pictures(root: Path, sizes: dict[str, int], height: int = 1024, width: int = 3000) -> None:
    """Pairs of PNG files as the public data set has them: dark and noisy, strokes of bird, mirrored."""
    rng = np.random.default_rng(0)
    for place, (split, count) in enumerate(sizes.items()):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for number in range(count):
            image, mask = _picture(rng, height, width)
            name = f"XC{10_000 * (place + 1) + number}_left.png"
            for kind, pixels in (("images", image), ("masks", mask)):
                _save(pixels, root / split / kind / name)


def _picture(rng: np.random.Generator, height: int, width: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    cells = rng.random((8, width // 50)) < 0.2
    half = cells.repeat(height // 16, 0).repeat(50, 1)[:, :width]
    bird = np.concatenate([half, half[::-1]])
    noise = rng.exponential(12, bird.shape)
    image = np.minimum(noise + 90 * bird * rng.random(bird.shape), 255)
    return image.astype(np.uint8), (255 * bird).astype(np.uint8)


def _save(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)
