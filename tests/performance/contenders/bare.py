"""The least that trains: float tensors in memory, forward, loss, backward, step. The limit for a loop."""

from __future__ import annotations

import time

import torch
from torch import nn

from benchbird.backend import apply_protocol
from benchbird.protocol import Protocol
from benchbird.training import epoch_order
from tests.performance.contenders.job import LR, Job


class Loop:
    """Trains one epoch at each call of `epoch`."""

    def __init__(self, job: Job) -> None:
        apply_protocol(Protocol())
        self.size = job.batch_size
        self.model = job.model()
        split = job.split()
        self.pictures = ((torch.tensor(split.images) / 255 - 0.5) / 0.5).repeat(1, 3, 1, 1)
        self.targets = torch.tensor(split.masks >= 128)[:, None].float()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LR)
        self.loss = nn.BCEWithLogitsLoss()
        self.epochs = 0

    def epoch(self) -> tuple[int, float]:
        """Images trained on, and seconds."""
        self.epochs += 1
        order = epoch_order(len(self.pictures), 0, self.epochs)
        self.model.train()
        started = time.perf_counter()
        steps = len(order) // self.size
        for step in range(steps):
            index = order[step * self.size : (step + 1) * self.size]
            self.optimizer.zero_grad()
            loss = self.loss(self.model(self.pictures[index]), self.targets[index])
            loss.backward()
            self.optimizer.step()
        return steps * self.size, time.perf_counter() - started
