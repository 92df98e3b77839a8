from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from benchbird import backend
from benchbird.batches import ResidentSplit
from benchbird.errors import ProtocolViolation
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.training import start_training, train
from benchbird.workloads import WORKS, Work, count_gflop, make_batch, make_step, training_step
from benchbird_atrous_segnet import AtrousSegNet
from tests.split_factory import memory_split

CPU = torch.device("cpu")
PROTOCOL = Protocol(image_size=16)


@pytest.fixture(autouse=True)
def _restore_flags() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


class Recorder(nn.Module):
    """Notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)
        self.calls: list[dict[str, Any]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append({
            "batch": len(images),
            "training": self.training,
            "gradients": torch.is_grad_enabled(),
            "inference": torch.is_inference_mode_enabled(),
            "autocast": torch.is_autocast_enabled("cpu"),
            "channels_last": images.is_contiguous(memory_format=torch.channels_last),
        })  # fmt: skip
        logits: torch.Tensor = self.head(images)
        return logits


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("work", WORKS)
def test_the_model_is_called_as_the_protocol_says(work: Work, channels_last: bool, precision: str) -> None:
    protocol = Protocol(image_size=16, channels_last=channels_last, precision=precision)  # type: ignore[arg-type]
    model = Recorder()
    step = make_step(work, model, 5, protocol, CPU)
    step()
    is_training = work == "training"
    assert model.calls == [{
        "batch": 5, "training": is_training, "gradients": is_training, "inference": not is_training,
        "autocast": precision == "bf16", "channels_last": channels_last,
    }]  # fmt: skip


def test_inference_gives_float32_logits_whatever_the_precision() -> None:
    logits = make_step("inference", Recorder(), 2, Protocol(image_size=16, precision="bf16"), CPU)()
    assert (logits.dtype, tuple(logits.shape)) == (torch.float32, (2, 1, 16, 16))


def test_a_training_step_is_the_one_of_training() -> None:
    """One epoch of one batch leaves the same weights as one step on the same pixels."""
    protocol = Protocol(image_size=16, batch_size=4, epochs=1, optimizer=OptimizerSettings(lr=1e-2))
    split = ResidentSplit(memory_split("train", 4, 16), protocol, CPU)
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(AtrousSegNet(base_channels=4))
    by_training = start_training(models[0], protocol)
    val = ResidentSplit(memory_split("val", 2, 16), protocol, CPU)
    train(by_training, split, val, protocol, seed=0, after_epoch=lambda _: None)

    from benchbird.training import epoch_order

    index = epoch_order(4, 0, 1)
    training_step(start_training(models[1], protocol), split.pictures(index), split.targets(index), protocol)()
    for (name, one), other in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(one, other), name


def test_training_changes_the_weights_and_inference_does_not() -> None:
    for work, changes in (("training", True), ("inference", False)):
        model = Recorder()
        before = model.head.weight.detach().clone()
        make_step(work, model, 2, PROTOCOL, CPU)()  # type: ignore[arg-type]
        assert torch.equal(before, model.head.weight) is not changes


@pytest.mark.parametrize("work", WORKS)
def test_logits_of_another_shape_break_the_contract(work: Work) -> None:
    model = nn.Conv2d(3, 2, 1)
    with pytest.raises(ProtocolViolation, match=r"\(2, 2, 16, 16\)"):
        make_step(work, model, 2, PROTOCOL, CPU)()


def test_nothing_to_train_is_said() -> None:
    with pytest.raises(ProtocolViolation, match="no parameter"):
        make_step("training", nn.Identity(), 2, PROTOCOL, CPU)


def test_a_batch_is_noise_in_the_protocols_range_and_repeats() -> None:
    images, targets = make_batch(3, PROTOCOL, CPU)
    assert tuple(images.shape) == (3, 3, 16, 16)
    assert -1 <= float(images.min()) < -0.9 and 0.9 < float(images.max()) < 1
    assert set(targets.flatten().tolist()) == {0.0, 1.0}
    assert tuple(targets.shape) == (3, 1, 16, 16)
    assert torch.equal(images, make_batch(3, PROTOCOL, CPU)[0])


def test_gflop_of_atrous_segnet() -> None:
    gflop = count_gflop("inference", AtrousSegNet(base_channels=64).eval(), Protocol(image_size=256), CPU)
    assert gflop == pytest.approx(16.9, abs=0.05)


def test_gflop_by_hand() -> None:
    """Two operations for each of 16·16 pixels × 3 channels × 3·3 taps × 5 filters."""
    model = nn.Conv2d(3, 5, 3, padding=1)
    assert count_gflop("inference", model, PROTOCOL, CPU) == 2 * 16 * 16 * 3 * 9 * 5 / 1e9


def test_training_counts_forward_and_backward() -> None:
    """Two layers: forward twice, each gradient of weights, and of inputs but for the first."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1))
    first, second = (2 * 16 * 16 * taps / 1e9 for taps in (3 * 9 * 4, 4 * 9 * 1))
    model.train()
    assert count_gflop("training", model, PROTOCOL, CPU) == pytest.approx(2 * first + 3 * second)
    assert model.training


def test_gflop_where_there_is_nothing_that_torch_counts() -> None:
    assert count_gflop("inference", nn.Identity(), PROTOCOL, CPU) is None


def test_a_count_leaves_the_mode_and_the_flags_alone() -> None:
    flags = backend.apply_protocol(PROTOCOL)
    model = AtrousSegNet(base_channels=4).eval()
    assert (count_gflop("training", model, PROTOCOL, CPU) or 0) > 2 * (
        count_gflop("inference", model, PROTOCOL, CPU) or 0
    )
    assert not model.training
    backend.check_flags(flags)
