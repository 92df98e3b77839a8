"""What `fast` options do to scores: each alone and all together stay near the plain protocol.

The tolerance is the one that docs/performance.md states.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from benchbird import backend, metrics
from benchbird.batches import ResidentSplit
from benchbird.compilation import compiled
from benchbird.evaluation import validate
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.training import start_training, train
from benchbird_atrous_segnet import AtrousSegNet
from tests.split_factory import memory_split

CPU = torch.device("cpu")
TOLERANCE = 0.02
OPTIONS: dict[str, dict[str, Any]] = {
    "channels_last": {"channels_last": True},
    "bf16": {"precision": "bf16"},
    "compile": {"compile": True},
    "together": {"channels_last": True, "precision": "bf16", "compile": True},
}


def protocol_with(options: dict[str, Any]) -> Protocol:
    return Protocol(image_size=32, batch_size=8, epochs=6, optimizer=OptimizerSettings(lr=3e-3), **options)


def unseen_iou(options: dict[str, Any]) -> float:
    """`iou_pooled` on unseen images after a whole training under the protocol with `options`."""
    protocol = protocol_with(options)
    backend.apply_protocol(protocol, torch.get_num_threads())
    torch.manual_seed(0)
    training = start_training(AtrousSegNet(base_channels=8), protocol)
    train_split, val_split = resident("train", 32, protocol), resident("val", 12, protocol)
    train(training, train_split, val_split, protocol, seed=0, after_epoch=lambda _: None)
    training.model.load_state_dict(training.best_weights)
    unseen = resident("test", 20, protocol)
    return metrics.iou(metrics.total(validate(compiled(training.model, protocol), unseen, protocol))) or 0.0


def resident(name: str, n_images: int, protocol: Protocol) -> ResidentSplit:
    return ResidentSplit(memory_split(name, n_images, protocol.image_size), protocol, CPU)


@functools.cache
def plain_iou() -> float:
    return unseen_iou({})


def marked() -> list[Any]:
    """Names of the options; those that compile take a minute each, of which nearly all is the compiler."""
    slow = [pytest.mark.slow]
    return [pytest.param(name, marks=slow if "compile" in options else []) for name, options in OPTIONS.items()]


@pytest.mark.parametrize("name", marked())
def test_scores_stay_within_the_tolerance(name: str) -> None:
    assert 0.6 < plain_iou() < 0.999
    assert unseen_iou(OPTIONS[name]) == pytest.approx(plain_iou(), abs=TOLERANCE)


def test_each_option_is_another_protocol() -> None:
    protocols = [protocol_with(options) for options in ({}, *OPTIONS.values(), {"compile": "cuda_graphs"})]
    assert len({protocol.digest for protocol in protocols}) == len(protocols)
