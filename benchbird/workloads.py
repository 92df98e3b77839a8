"""The work that is timed: a training step and a prediction as the protocol does them, on random pixels.

Owns what one iteration is and how many operations it has. Durations are `stopwatch.py`'s and `sampling.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbird.backend import autocast
from benchbird.compilation import compiled
from benchbird.evaluation import check_logits
from benchbird.protocol import Protocol
from benchbird.training import Training, start_training

logger = logging.getLogger(__name__)

Work = Literal["training", "inference"]

WORKS: tuple[Work, ...] = ("training", "inference")

COUNTED: dict[Work, int] = {"training": 2, "inference": 1}
"""Images whose operations are counted: batch normalisation can't train on one."""

Step = Callable[[], torch.Tensor]
"""One iteration; returns what it computed last, the loss or the logits."""


def make_step(work: Work, model: nn.Module, batch_size: int, protocol: Protocol, device: torch.device) -> Step:
    """The iteration of a kind of work on a batch that lies on the device already.

    Args:
        work: `training`: forward, loss, backward, optimiser step, in `train()`; `inference`: forward in
            `eval()` and inference mode.
        model: on `device`; its mode, layout and, in training, its weights are changed.
        batch_size: images in an iteration.
        protocol: gives size, precision, layout, loss, optimiser and compilation.
        device: where it computes.

    Raises:
        ProtocolViolation: the model has nothing to train.
    """
    images, targets = make_batch(batch_size, protocol, device)
    if work == "training":
        return training_step(start_training(model, protocol), images, targets, protocol)
    if protocol.channels_last:
        model.to(memory_format=torch.channels_last)
    return inference_step(compiled(model.eval(), protocol), images, protocol)


def make_batch(batch_size: int, protocol: Protocol, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with targets: float32 `(B, 3, S, S)` in [-1, 1) and float32 `(B, 1, S, S)` of zeros and ones."""
    layout = torch.channels_last if protocol.channels_last else torch.contiguous_format
    size = protocol.image_size
    generator = torch.Generator(device).manual_seed(0)
    noise = torch.rand(batch_size, 3, size, size, generator=generator, device=device)
    images = noise.mul_(2).sub_(1).contiguous(memory_format=layout)
    return images, (images[:, :1] > 0).float()


def inference_step(model: nn.Module, images: torch.Tensor, protocol: Protocol) -> Step:
    """One prediction of a batch; `model` is in `eval()`."""

    def step() -> torch.Tensor:
        with torch.inference_mode(), autocast(protocol, images.device):
            return check_logits(model(images), images)

    return step


def training_step(state: Training, images: torch.Tensor, targets: torch.Tensor, protocol: Protocol) -> Step:
    """One step of `training.train` on the same batch again and again."""
    model = compiled(state.model, protocol).train()

    def step() -> torch.Tensor:
        state.optimizer.zero_grad(set_to_none=True)
        loss = _loss(model, images, targets, protocol)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        return loss.detach()

    return step


def count_gflop(work: Work, model: nn.Module, protocol: Protocol, device: torch.device) -> float | None:
    """10⁹ FLOP (2 × multiply-adds) of one image; None if the model does nothing that torch can count.

    Of training forward and backward count, which leaves gradients in the model; of inference forward alone.
    """
    was_training = model.training
    model.train(work == "training")
    images, targets = make_batch(COUNTED[work], protocol, device)
    try:
        with FlopCounterMode(display=False) as counter:
            if work == "training":
                _loss(model, images, targets, protocol).backward()  # type: ignore[no-untyped-call]
            else:
                with torch.no_grad():
                    model(images)
    except Exception as error:  # a model may refuse to be watched; that is not worth a trial
        logger.warning("the operations of the model can't be counted: %s", error)
        return None
    finally:
        model.train(was_training)
    flop = counter.get_total_flops()
    return flop / COUNTED[work] / 1e9 if flop else None


def _loss(model: nn.Module, images: torch.Tensor, targets: torch.Tensor, protocol: Protocol) -> torch.Tensor:
    with autocast(protocol, images.device):
        output = model(images)
    return nn.functional.binary_cross_entropy_with_logits(check_logits(output, images), targets)
