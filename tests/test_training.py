"""The training loop against a hand-written one, its selection, its repeatability."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from benchbird import metrics
from benchbird.batches import ResidentSplit
from benchbird.errors import DataError, Diverged, ProtocolViolation
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.seeding import derive_seed, seed_everything
from benchbird.training import Training, clone_weights, epoch_order, start_training, steps_per_epoch, train
from benchbird_atrous_segnet import AtrousSegNet
from tests.split_factory import memory_split

CPU = torch.device("cpu")
PROTOCOL = Protocol(image_size=16, batch_size=4, epochs=3, optimizer=OptimizerSettings(lr=1e-3))


def resident(name: str, n_images: int, protocol: Protocol = PROTOCOL) -> ResidentSplit:
    return ResidentSplit(memory_split(name, n_images), protocol, CPU)


def small_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(6, 1, 1)
    )


def run(
    model: nn.Module,
    protocol: Protocol = PROTOCOL,
    seed: int = 0,
    after_epoch: Callable[[Training], None] = lambda _: None,
) -> Training:
    training = start_training(model, protocol)
    train(training, resident("train", 10, protocol), resident("val", 5, protocol), protocol,
          seed=seed, after_epoch=after_epoch)  # fmt: skip
    return training


@pytest.mark.parametrize("mask_target", ["binary", "fraction"])
def test_an_epoch_of_atrous_segnet_equals_a_hand_written_loop(mask_target: str) -> None:
    protocol = Protocol(image_size=16, batch_size=4, epochs=1, mask_target=mask_target)  # type: ignore[arg-type]
    torch.manual_seed(1)
    model = AtrousSegNet(base_channels=8)
    by_hand = copy.deepcopy(model)
    split = memory_split("train", 10)
    split.masks[0, 0, :8] = 100  # fractions below one half
    training = start_training(model, protocol)
    train(training, ResidentSplit(split, protocol, CPU), resident("val", 5, protocol), protocol,
          seed=7, after_epoch=lambda _: None)  # fmt: skip

    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-4)
    order = epoch_order(10, 7, 1).numpy()
    by_hand.train()
    losses = []
    for batch in (order[0:4], order[4:8]):
        images = (torch.tensor(split.images[batch] / 255, dtype=torch.float32) - 0.5) / 0.5
        fractions = split.masks[batch][:, None] / 255
        targets = torch.tensor(fractions if mask_target == "fraction" else fractions >= 0.5)
        loss = nn.BCEWithLogitsLoss()(by_hand(images.repeat(1, 3, 1, 1)), targets.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert training.epochs[0].train_loss == pytest.approx(np.mean(losses), abs=1e-5)
    assert training.epochs[0].train_images == 8
    for name, tensor in by_hand.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-5, rtol=1e-5)


def test_the_strict_protocol_trains_and_selects_as_it_did_before_there_was_another() -> None:
    # The loop of the first release, step by step: weights and scores must be the same bits.
    torch.manual_seed(2)
    model = AtrousSegNet(base_channels=4)
    by_hand = copy.deepcopy(model)
    training = run(model, seed=5)
    train_split, val_split = resident("train", 10), resident("val", 5)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    best, best_weights, scores = -1.0, clone_weights(by_hand), []
    for epoch in (1, 2, 3):
        by_hand.train()
        order = epoch_order(10, 5, epoch)
        for start in (0, 4):
            index = order[start : start + 4]
            loss = nn.functional.binary_cross_entropy_with_logits(
                by_hand(train_split.pictures(index)), train_split.targets(index)
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        by_hand.eval()
        summed = torch.zeros(4, dtype=torch.int64)
        for index in (torch.arange(0, 4), torch.arange(4, 5)):
            with torch.inference_mode():
                logits = by_hand(val_split.pictures(index))
            summed += metrics.pixel_counts(logits, val_split.references(index), 0.0).sum(0)
        scores.append(metrics.iou(metrics.total(summed.numpy())))
        if (scores[-1] or 0.0) > best:
            best, best_weights = scores[-1] or 0.0, clone_weights(by_hand)
    assert [epoch.val_iou_pooled for epoch in training.epochs] == scores
    for expected, found in ((by_hand.state_dict(), model.state_dict()), (best_weights, training.best_weights)):
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not() -> None:
    first, again, other = run(small_model()), run(small_model()), run(small_model(), seed=1)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert any(
        not torch.equal(tensor, other.model.state_dict()[name]) for name, tensor in first.model.state_dict().items()
    )


def test_an_epoch_is_a_pure_function_of_its_number_whatever_came_before() -> None:
    whole = run(small_model())
    kept: list[tuple[dict[str, torch.Tensor], dict[str, object]]] = []

    def keep(state: Training) -> None:
        kept.append((clone_weights(state.model), copy.deepcopy(state.optimizer.state_dict())))

    halted = run(small_model(), Protocol(image_size=16, batch_size=4, epochs=2, optimizer=PROTOCOL.optimizer),
                 after_epoch=keep)  # fmt: skip
    seed_everything(999)
    resumed = start_training(small_model(5), PROTOCOL)
    resumed.model.load_state_dict(kept[-1][0])
    resumed.optimizer.load_state_dict(kept[-1][1])
    resumed.epochs, resumed.best_epoch = halted.epochs, halted.best_epoch
    train(resumed, resident("train", 10), resident("val", 5), PROTOCOL, seed=0, after_epoch=lambda _: None)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name])


def test_selected_weights_are_a_copy_of_the_first_best_epoch() -> None:
    seen: list[dict[str, torch.Tensor]] = []
    training = run(small_model(), Protocol(image_size=16, batch_size=4, epochs=6, optimizer=PROTOCOL.optimizer),
                   after_epoch=lambda state: seen.append(clone_weights(state.model)))  # fmt: skip
    scores = [epoch.val_iou_pooled or 0.0 for epoch in training.epochs]
    assert training.best_epoch == 1 + int(np.argmax(scores))
    for name, tensor in training.best_weights.items():
        assert torch.equal(tensor, seen[training.best_epoch - 1][name])
        assert tensor.data_ptr() != training.model.state_dict()[name].data_ptr()


def test_a_tie_keeps_the_earlier_epoch() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor(9.0))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(images.shape[0], 1, *images.shape[2:])

    assert run(Constant()).best_epoch == 1


def test_last_epoch_selection_takes_the_last() -> None:
    protocol = Protocol(image_size=16, batch_size=4, epochs=3, selection="last_epoch")
    assert run(small_model(), protocol).best_epoch == 3


def test_the_batch_mean_selects_its_own_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    # 17 images: the last one is a batch of its own, so the mean over batches hangs on it and the pool doesn't.
    def counts(hits: int, last_hits: int) -> np.ndarray:
        of_many = np.tile(np.array([[hits, 0, 10 - hits, 90]]), (16, 1))
        return np.concatenate([of_many, np.array([[last_hits, 0, 10 - last_hits, 90]])])

    epochs = [counts(9, 0), counts(5, 10), counts(8, 0)]
    for selection, best in (("best_val_iou_pooled", 1), ("best_val_iou_batch_mean", 2), ("last_epoch", 3)):
        validations = iter(epochs)
        monkeypatch.setattr("benchbird.training.validate", lambda *_, these=validations: next(these))
        protocol = Protocol(image_size=16, batch_size=4, epochs=3, selection=selection)  # type: ignore[arg-type]
        training = run(small_model(), protocol)
        assert training.best_epoch == best, selection
        assert [epoch.val_iou_batch_mean for epoch in training.epochs] == pytest.approx([0.45, 0.75, 0.4])
        assert training.epochs[0].val_iou_pooled == pytest.approx(144 / 170)


def test_order_is_a_permutation_that_changes_with_seed_and_epoch() -> None:
    orders = [tuple(epoch_order(30, seed, epoch).tolist()) for seed in (0, 1) for epoch in (1, 2)]
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert len(set(orders)) == 4


def test_an_incomplete_last_batch_is_dropped_or_kept_for_all() -> None:
    assert steps_per_epoch(10, PROTOCOL) == 2
    assert steps_per_epoch(10, Protocol(batch_size=4, last_batch="keep")) == 3
    with pytest.raises(DataError, match="3 images, less than one batch of 4"):
        steps_per_epoch(3, PROTOCOL)


def test_a_loss_that_is_not_finite_is_divergence() -> None:
    class Exploding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :1] * self.scale * float("inf")

    with pytest.raises(Diverged, match="training loss became nan"):
        run(Exploding())


def test_nan_logits_in_validation_alone_are_divergence() -> None:
    class NanInEval(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            return logits if self.training else logits * float("nan")

    with pytest.raises(Diverged, match="validation split are not all finite"):
        run(NanInEval(3, 1, 1))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda images: images, r"shape \(4, 3, 16, 16\), expected logits \(4, 1, 16, 16\)"),
        (lambda images: {"out": images}, "returned dict"),
        (lambda images: images[:, :1].long(), "returned torch.int64"),
    ],
)
def test_output_that_breaks_the_contract_is_a_violation(output: Callable[[torch.Tensor], object], message: str) -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.ones(1))

        def forward(self, images: torch.Tensor) -> object:
            return output(images)

    with pytest.raises(ProtocolViolation, match=message):
        run(Wrong())


@pytest.mark.parametrize("mode", ["training", "validation"])
def test_a_model_that_seeds_torch_itself_is_a_violation(mode: str) -> None:
    class Seeding(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.training is (mode == "training"):
                torch.manual_seed(0)
            return super().forward(images)

    with pytest.raises(ProtocolViolation, match="seeded torch's random numbers itself"):
        run(Seeding(3, 1, 1))


def test_a_model_may_draw_numbers_and_have_a_generator_of_its_own() -> None:
    class Drawing(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            own = torch.Generator().manual_seed(0)
            return super().forward(images) + torch.rand(1) + torch.rand(1, generator=own)

    run(Drawing(3, 1, 1))


def test_a_model_without_parameters_is_told_so() -> None:
    with pytest.raises(ProtocolViolation, match="no parameter to train"):
        start_training(nn.Identity(), PROTOCOL)


def test_seeds_by_name_differ() -> None:
    assert derive_seed(0, "order", 1) != derive_seed(0, "epoch", 1) != derive_seed("0", "epoch", 1)
