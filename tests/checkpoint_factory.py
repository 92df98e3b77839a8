"""Small trainings with a checkpoint, and what of two must be equal."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from benchbird.batches import ResidentSplit
from benchbird.checkpoint import save_checkpoint
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.seeding import seed_everything
from benchbird.training import Training, Weights, start_training, train
from tests.split_factory import memory_split

CPU = torch.device("cpu")
TRIAL = "study/net/hash/{}/0"
EPOCHS = 4


class Net(nn.Module):
    """Convolutions with BatchNorm and dropout, one frozen, two that share their weights, some oddities."""

    empty: torch.Tensor
    one_bit: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.frozen = nn.Conv2d(6, 6, 1).requires_grad_(False)
        self.shared = nn.Conv2d(6, 6, 3, padding=1)
        self.again = nn.Conv2d(6, 6, 3, padding=1)
        self.again.weight = self.shared.weight
        self.unused = nn.Parameter(torch.ones(2, 2))
        self.gain = nn.Parameter(torch.ones(()))
        self.register_buffer("empty", torch.empty(0))
        self.register_buffer("one_bit", torch.tensor(True))
        self.drop = nn.Dropout2d(0.3)
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.frozen(self.first(images))
        hidden = self.drop(torch.relu(self.shared(hidden)))
        logits: torch.Tensor = self.gain * self.head(torch.relu(self.again(hidden)))
        return logits


def make_protocol(name: str = "adam", channels_last: bool = False) -> Protocol:
    settings = OptimizerSettings(name=name, lr=1e-2, weight_decay=1e-3)  # type: ignore[arg-type]
    return Protocol(image_size=16, batch_size=4, epochs=EPOCHS, optimizer=settings, channels_last=channels_last)


def begin(protocol: Protocol) -> Training:
    seed_everything(3)
    return start_training(Net(), protocol)


class Stopped(Exception):
    pass


def go_on(training: Training, protocol: Protocol, folder: Path | None, stop_after: int | None = None) -> None:
    def after_epoch(state: Training) -> None:
        if folder is not None:
            save_checkpoint(folder, TRIAL, state)
        if len(state.epochs) == stop_after:
            raise Stopped

    train_split = ResidentSplit(memory_split("train", 10), protocol, CPU)
    val_split = ResidentSplit(memory_split("val", 5), protocol, CPU)
    try:
        train(training, train_split, val_split, protocol, seed=5, after_epoch=after_epoch)
    except Stopped:
        return


def saved(folder: Path, epochs: int, protocol: Protocol | None = None) -> Training:
    """A training stopped after so many epochs, with its checkpoint in `folder`."""
    protocol = protocol or make_protocol()
    folder.mkdir(exist_ok=True)
    training = begin(protocol)
    go_on(training, protocol, folder, stop_after=epochs)
    return training


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.device == other.device
        and one.contiguous().flatten().view(torch.uint8).equal(other.contiguous().flatten().view(torch.uint8))
    )


def layout(tensor: torch.Tensor) -> list[int]:
    """The strides that matter: those of sides longer than one."""
    return [stride for stride, side in zip(tensor.stride(), tensor.shape, strict=True) if side > 1]


def assert_same_weights(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not same(one[name], other[name])] == []


def assert_same_state(one: Training, other: Training) -> None:
    assert_same_weights(one.model.state_dict(), other.model.state_dict())
    assert_same_weights(one.best_weights, other.best_weights)
    assert one.best_epoch == other.best_epoch
    states = [training.optimizer.state_dict()["state"] for training in (one, other)]
    assert states[0].keys() == states[1].keys()
    for index, state in states[0].items():
        assert state.keys() == states[1][index].keys()
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert same(value, states[1][index][key]), (index, key)
                assert layout(value) == layout(states[1][index][key]), (index, key)
            else:
                assert value == states[1][index][key]


def curve(training: Training) -> list[tuple[int, float, float | None]]:
    return [(epoch.epoch, epoch.train_loss, epoch.val_iou_pooled) for epoch in training.epochs]
