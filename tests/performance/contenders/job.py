"""What all contenders are given: model, size, batch, data. Nothing here is timed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchbird.registry import SEGMENTERS, load_registry
from tests.split_factory import MemorySplit, memory_split

SMALL_OPTIONS: dict[str, dict[str, Any]] = {"deeplabv3": {"backbone": "resnet18"}, "unet": {"encoder": "resnet18"}}
"""As the profile `cpu` of benchmarks/birdsound.yaml has them."""

LR = 1e-4

PICTURE_SIZE = (1024, 3000)
"""Height and width of the public data set's images."""


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
        """Image and mask files of a split's folder below `root`."""
        folder = Path(self.root) / split
        return [(path, folder / "Masks" / path.name) for path in sorted((folder / "Images").iterdir())]
