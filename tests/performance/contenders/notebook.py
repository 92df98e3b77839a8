"""The seed system's way, as FACTS about it say: files decoded again in every epoch, scikit-learn's IoU.

One thread loads; image and mask are shrunk by Pillow's bicubic filter; the IoU of each validation batch is
computed on the CPU from flattened predictions.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import jaccard_score
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tests.performance.contenders.job import LR, Job

Batch = tuple[torch.Tensor, torch.Tensor]


class Pairs(Dataset[Batch]):
    """Pairs of files, decoded when they are asked for."""

    def __init__(self, pairs: list[tuple[Path, Path]], size: int) -> None:
        self.pairs = pairs
        self.size = size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Batch:
        image, mask = self.pairs[index]
        return (self._pixels(image, "RGB") - 0.5) / 0.5, self._pixels(mask, "L")

    def _pixels(self, path: Path, mode: str) -> torch.Tensor:
        with Image.open(path) as file:
            small = file.convert(mode).resize((self.size, self.size), Image.Resampling.BICUBIC)
        pixels = np.atleast_3d(np.asarray(small, dtype=np.float32) / 255)  # (S, S, C)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


class Loop:
    """Trains one epoch at each call of `epoch`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = job.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LR)
        self.loss = nn.BCEWithLogitsLoss()
        self.loader = self._loader("Train", shuffle=True)

    def _loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Batch]:
        pairs = Pairs(self.job.pairs(split), self.job.size)
        return DataLoader(pairs, batch_size=self.job.batch_size, shuffle=shuffle, drop_last=shuffle)

    def epoch(self) -> tuple[int, float]:
        """Images trained on, and seconds."""
        self.model.train()
        started = time.perf_counter()
        images = 0
        running = 0.0
        for pictures, targets in self.loader:
            self.optimizer.zero_grad()
            loss = self.loss(self.model(pictures), targets)
            loss.backward()
            self.optimizer.step()
            running += loss.item()
            images += len(pictures)
        return images, time.perf_counter() - started

    def score(self, split: str) -> float:
        """Mean over batches of scikit-learn's IoU."""
        return float(np.mean(list(self._batch_scores(split))))

    def _batch_scores(self, split: str) -> Iterator[float]:
        self.model.eval()
        with torch.no_grad():
            for pictures, targets in self._loader(split):
                predicted = torch.sigmoid(self.model(pictures)) > 0.5
                pair = ((targets > 0.5).numpy().flatten(), predicted.numpy().flatten())
                yield float(jaccard_score(*pair, zero_division=0))


def whole_job(job: Job) -> None:
    """Train, validate each epoch, keep the best weights, test."""
    loop = Loop(job)
    best, weights = -1.0, {}
    for _ in range(job.epochs):
        loop.epoch()
        score = loop.score("Valid")
        if score > best:
            best, weights = score, copy.deepcopy(loop.model.state_dict())
    loop.model.load_state_dict(weights)
    print(loop.score("Test"))
