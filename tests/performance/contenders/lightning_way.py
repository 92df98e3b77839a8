"""Lightning's Trainer with DataLoader workers and torchmetrics, as its documentation shows.

In a training loop alone the pictures are in memory, shrunk already; in a whole job the workers decode them.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import BinaryJaccardIndex

from tests.performance.contenders.job import LR, Job
from tests.performance.contenders.notebook import Batch, Pairs

WORKERS = 2


class InMemory(Dataset[Batch]):
    """uint8 pictures in memory, made float when they are asked for."""

    def __init__(self, job: Job) -> None:
        split = job.split()
        self.images = torch.tensor(split.images)
        self.masks = torch.tensor(split.masks)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        image = (self.images[index].float() / 255 - 0.5) / 0.5
        return image.expand(3, -1, -1), (self.masks[index][None] >= 128).float()


class Segmenter(lightning.LightningModule):
    """The network with its loss, optimiser and metric."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.loss = nn.BCEWithLogitsLoss()
        self.iou = BinaryJaccardIndex()

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Loss of a batch."""
        loss: torch.Tensor = self.loss(self.model(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count a batch."""
        self.iou(self.model(batch[0]), (batch[1] > 0.5).int())
        self.log("val_iou", self.iou, on_step=False, on_epoch=True)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as everyone has it."""
        return torch.optim.Adam(self.parameters(), lr=LR)


class EpochClock(Callback):
    """Waits before each epoch until it may begin, and tells how long its training took."""

    def __init__(self, wait: Callable[[], None], tell: Callable[[int, float], None]) -> None:
        self.wait = wait
        self.tell = tell
        self.started = 0.0
        self.images = 0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Wait for the word, then start the clock."""
        self.wait()
        self.images = 0
        self.started = time.perf_counter()

    def on_train_batch_end(self, _trainer: Any, _module: Any, _outputs: Any, batch: Batch, *_: Any) -> None:
        """Count the images."""
        self.images += len(batch[0])

    def on_train_epoch_end(self, *_: Any) -> None:
        """Stop the clock."""
        self.tell(self.images, time.perf_counter() - self.started)


def train_paced(job: Job, wait: Callable[[], None], tell: Callable[[int, float], None]) -> None:
    """Train epoch by epoch, each when `wait` returns, without validation; ended from outside."""
    loader = _loader(InMemory(job), job, shuffle=True)
    trainer = _trainer(max_epochs=-1, callbacks=[EpochClock(wait, tell)], enable_checkpointing=False,
                       limit_val_batches=0)  # fmt: skip
    trainer.fit(Segmenter(job.model()), loader)


def whole_job(job: Job) -> None:
    """Train, validate each epoch, keep the best weights, test."""
    loaders = [_loader(Pairs(job.pairs(split), job.size), job, shuffle=split == "Train")
               for split in ("Train", "Valid", "Test")]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor="val_iou", mode="max")
        trainer = _trainer(max_epochs=job.epochs, callbacks=[best], num_sanity_val_steps=0)
        trainer.fit(Segmenter(job.model()), loaders[0], loaders[1])
        print(trainer.test(dataloaders=loaders[2], ckpt_path="best", verbose=False))


def _loader(pairs: Dataset[Batch], job: Job, *, shuffle: bool) -> DataLoader[Batch]:
    return DataLoader(pairs, batch_size=job.batch_size, shuffle=shuffle, drop_last=shuffle,
                      num_workers=WORKERS, persistent_workers=True)  # fmt: skip


def _trainer(**settings: Any) -> lightning.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    return lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False,
                             enable_model_summary=False, **settings)  # fmt: skip
