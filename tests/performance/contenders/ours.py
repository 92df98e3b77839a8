"""benchbird's own loop, epoch by epoch; a whole job is the command `benchbird run`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from benchbird.backend import apply_protocol
from benchbird.batches import ResidentSplit
from benchbird.execution import allocation
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.training import start_training, train
from tests.performance.contenders.job import LR, SMALL_OPTIONS, Job
from tests.split_factory import memory_split

CPU = torch.device("cpu")


def environment() -> dict[str, str]:
    """What the fork server gives every trial."""
    return {**os.environ, allocation.VARIABLE: allocation.tunables()}


class Loop:
    """Trains one epoch at each call of `epoch`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        apply_protocol(self._protocol(1))
        self.training = start_training(job.model(), self._protocol(1))
        self.train_split = ResidentSplit(job.split(), self._protocol(1), CPU)
        self.val_split = ResidentSplit(memory_split("val", 1, job.size), self._protocol(1), CPU)

    def _protocol(self, epochs: int) -> Protocol:
        return Protocol(
            image_size=self.job.size,
            batch_size=self.job.batch_size,
            epochs=epochs,
            optimizer=OptimizerSettings(lr=LR),
            **self.job.options,
        )

    def epoch(self) -> tuple[int, float]:
        """Images trained on, and seconds."""
        upto = self._protocol(len(self.training.epochs) + 1)
        train(self.training, self.train_split, self.val_split, upto, seed=0, after_epoch=lambda _: None)
        return self.training.epochs[-1].train_images, self.training.epochs[-1].train_s


def whole_job(job: Job, folder: Path) -> list[str]:
    """The command `benchbird run`, from files to a leaderboard, with a cache that is empty."""
    benchmark = folder / "job.yaml"
    sizes = {name: len(job.pairs(split)) for name, split in (("train", "Train"), ("val", "Valid"), ("test", "Test"))}
    document = {
        "name": "job",
        "data": {"name": "birdsound", "root": job.root, "sizes": sizes},
        "protocol": {
            "image_size": job.size,
            "batch_size": job.batch_size,
            "epochs": job.epochs,
            "optimizer": {"lr": LR},
            **job.options,
        },
        "segmenters": [{"name": job.segmenter, "options": SMALL_OPTIONS.get(job.segmenter, {})}],
        "seeds": [0],
    }
    benchmark.write_text(json.dumps(document))  # JSON is YAML
    command = [sys.executable, "-m", "benchbird", "run", str(benchmark), "--device", "cpu"]
    return [*command, "--results", str(folder / "results"), "--cache", str(folder / "cache")]
