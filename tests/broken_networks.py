"""Networks that each break the contract of segmenters in one way, and a good one."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn


class Good(nn.Module):
    """The smallest network that keeps the contract and has BatchNorm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Conv2d(4, 1, 1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.drop(self.norm(self.first(images)).relu())
        return features

    def forward(self, images: torch.Tensor) -> Any:
        return self.last(self.features(images))


class Sigmoid(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images).sigmoid()


class ReluOutput(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images).relu()


class LogProbability(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return nn.functional.logsigmoid(super().forward(images))


class HalfSize(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images)[..., ::2, ::2]


class SquareOnly(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images).view(len(images), 1, images.shape[2], images.shape[2])


class OneSizeOnly(Good):
    """As a network with a table of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 3, 64, 64))

    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images + self.position)


class NoChannel(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images)[:, 0]


class Dictionary(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return {"out": super().forward(images)}


class DictionaryInTraining(Good):
    """As networks with an auxiliary loss do it."""

    def forward(self, images: torch.Tensor) -> Any:
        logits = super().forward(images)
        return {"out": logits, "aux": logits} if self.training else logits


class Double(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images).double()


class DoubleWeights(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(3, dtype=torch.float64))


class NotFinite(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images) / (images[:, :1] < 2).logical_not()


class InPlace(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images.mul_(0.5))


class InPlaceInTraining(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images.mul_(0.5) if self.training else images)


class OverTheBatch(Good):
    def features(self, images: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.norm(self.first(images))
        return ((x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)).relu()


class OverBrightMates(Good):
    """An image alone is its own mate, and no bright one: only the comparison among mates sees this."""

    def forward(self, images: torch.Tensor) -> Any:
        brightest_mate = images.mean((1, 2, 3)).amax()
        return super().forward(images) + (0.0 if self.training else brightest_mate.relu())


class BatchStatistics(Good):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)


class RandomInEval(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images) + torch.rand(1) * 0.01


class CountsInEval(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: torch.Tensor) -> Any:
        self.get_buffer("calls").add_(1)
        return super().forward(images)


class Unused(Good):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Conv2d(4, 4, 1)


class NothingToLearn(Good):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class InfiniteGradient(Good):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images) + (self.last.weight * 0).sqrt().sum()


class HiddenState(Good):
    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.rand(1)

    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images) + self.offset


class OnAnotherDevice(Good):
    def __init__(self) -> None:
        super().__init__()
        self.to("meta")


class ExtraState(Good):
    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: object) -> None: ...


class Unloadable(Good):
    def load_state_dict(self, *_: Any, **__: Any) -> Any:
        raise KeyError("old name")


class SeedsItself(Good):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()


class OwnRandomness(Good):
    def __init__(self) -> None:
        super().__init__()
        own = torch.Generator().manual_seed(random.SystemRandom().getrandbits(60))
        nn.init.uniform_(self.last.weight, generator=own)


class NeedsAFullBatch(Good):
    def forward(self, images: torch.Tensor) -> Any:
        if self.training and len(images) < 3:
            raise ValueError("give me three images")
        return super().forward(images)
