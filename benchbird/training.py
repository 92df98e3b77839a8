"""The protocol's training loop: one recipe, the same for every segmenter, repeatable from any epoch.

Everything random in epoch e is a pure function of (seed, e), so that a stopped training goes on exactly.
Owns the loop and the selection of weights; never sees the test split, writes no file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from benchbird import metrics
from benchbird.backend import autocast, synchronize
from benchbird.batches import ResidentSplit
from benchbird.compilation import compiled
from benchbird.errors import DataError, Diverged, ProtocolViolation
from benchbird.evaluation import check_logits, validate
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.seeding import check_seed, derive_seed, seed_everything

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One finished epoch.

    Attributes:
        epoch: counted from 1.
        train_loss: mean over the epoch's batches.
        val_iou_pooled: on the validation split; None where neither mask nor prediction has a bird.
        val_iou_batch_mean: on the validation split; None where it has no image.
        train_images: images trained on.
        train_s: seconds of training, device synchronised.
        val_s: seconds of validation.
    """

    epoch: int
    train_loss: float
    val_iou_pooled: float | None
    val_iou_batch_mean: float | None
    train_images: int
    train_s: float
    val_s: float


@dataclass
class Training:
    """A training under way: what a checkpoint must hold.

    Attributes:
        model: being trained; on its device.
        optimizer: with its state.
        epochs: those finished, in order.
        best_epoch: the selected one, counted from 1; 0 before the first.
        best_weights: its state dict, cloned when it was captured.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: Weights = field(default_factory=dict)


def start_training(model: nn.Module, protocol: Protocol) -> Training:
    """A training before its first epoch. `model` is already on its device.

    Raises:
        ProtocolViolation: the model has nothing to train.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ProtocolViolation(
            "the model has no parameter to train; give its SegmenterSpec a `calibrate`, or parameters"
        )
    if protocol.channels_last:
        model.to(memory_format=torch.channels_last)
    return Training(model=model, optimizer=make_optimizer(parameters, protocol.optimizer))


def train(
    training: Training,
    train_split: ResidentSplit,
    val_split: ResidentSplit,
    protocol: Protocol,
    *,
    seed: int,
    after_epoch: Callable[[Training], None],
) -> None:
    """Run the epochs that are left.

    Args:
        training: changed in place; its last state holds the selected weights.
        train_split: what is learnt from.
        val_split: what the epoch is selected on.
        protocol: the recipe.
        seed: of the trial.
        after_epoch: called when an epoch is complete and selected or not; may save, report or check.

    Raises:
        Diverged: the loss or a validation logit is not finite.
        ProtocolViolation: the model breaks the contract, or seeds torch itself.
        DataError: the training split doesn't fill one batch.
    """
    steps = steps_per_epoch(len(train_split), protocol)
    model = compiled(training.model, protocol)
    for epoch in range(len(training.epochs) + 1, protocol.epochs + 1):
        epoch_seed = derive_seed(seed, "epoch", epoch)
        seed_everything(epoch_seed)
        order = epoch_order(len(train_split), seed, epoch).to(train_split.device)
        synchronize(train_split.device)
        started = time.perf_counter()
        loss = _train_epoch(model, training.optimizer, train_split, order, steps, protocol)
        synchronize(train_split.device)
        trained = time.perf_counter()
        counts = validate(model, val_split, protocol)
        check_seed(epoch_seed)
        finished = Epoch(
            epoch=epoch,
            train_loss=loss,
            val_iou_pooled=metrics.iou(metrics.total(counts)),
            val_iou_batch_mean=metrics.batch_mean_iou(counts),
            train_images=min(steps * protocol.batch_size, len(train_split)),
            train_s=trained - started,
            val_s=time.perf_counter() - trained,
        )
        if _is_selected(finished, training, protocol):
            training.best_epoch = epoch
            training.best_weights = clone_weights(training.model)
        training.epochs.append(finished)
        after_epoch(training)


def clone_weights(model: nn.Module) -> Weights:
    """A copy of the state dict that later steps can't change."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def steps_per_epoch(n_images: int, protocol: Protocol) -> int:
    """Optimiser steps in an epoch.

    Raises:
        DataError: not one complete batch, where incomplete ones are dropped.
    """
    if protocol.last_batch == "keep":
        return -(-n_images // protocol.batch_size)
    steps = n_images // protocol.batch_size
    if steps == 0:
        raise DataError(
            f"the training split has {n_images} images, less than one batch of {protocol.batch_size}, "
            "and an incomplete batch is dropped; add images or lower protocol.batch_size"
        )
    return steps


def epoch_order(n_images: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of an epoch: a permutation of `range(n_images)`, int64 `(n_images,)`, on the CPU."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(n_images, generator=generator)


def make_optimizer(parameters: list[nn.Parameter], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The protocol's optimiser over `parameters`."""
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, lr=settings.lr, momentum=0.9, weight_decay=settings.weight_decay)
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=settings.lr, weight_decay=settings.weight_decay)


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    split: ResidentSplit,
    order: torch.Tensor,
    steps: int,
    protocol: Protocol,
) -> float:
    """Mean loss over the batches of one epoch; synchronises once, at the end."""
    model.train()
    summed = torch.zeros((), device=split.device)
    for step in range(steps):
        # Before the forward pass, so that gradients and activations aren't held at the same time.
        optimizer.zero_grad(set_to_none=True)
        index = order[step * protocol.batch_size : (step + 1) * protocol.batch_size]
        images = split.pictures(index)
        with autocast(protocol, split.device):
            output = model(images)
        logits = check_logits(output, images)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, split.targets(index))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        summed += loss.detach()
    mean = float(summed) / steps
    if not _is_finite(mean):
        raise Diverged(f"the training loss became {mean}; a smaller protocol.optimizer.lr may help everyone")
    return mean


def _is_finite(value: float) -> bool:
    return value - value == 0.0


def _is_selected(finished: Epoch, training: Training, protocol: Protocol) -> bool:
    """Whether this epoch's weights replace the selected ones: the first epoch, then only a better one."""
    if protocol.selection == "last_epoch" or training.best_epoch == 0:
        return True
    best = _selection_score(training.epochs[training.best_epoch - 1], protocol)
    score = _selection_score(finished, protocol)
    return score is not None and (best is None or score > best)


def _selection_score(epoch: Epoch, protocol: Protocol) -> float | None:
    """What the protocol compares epochs by, greater is better."""
    return epoch.val_iou_batch_mean if protocol.selection == "best_val_iou_batch_mean" else epoch.val_iou_pooled
