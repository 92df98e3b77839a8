from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from benchbird.protocol import Protocol
from benchbird.timing import MIN_PASSES, WARM_UP_PASSES, measure, training_throughput
from benchbird.training import Epoch

CPU = torch.device("cpu")
PROTOCOL = Protocol(image_size=16)


class Recorder(nn.Module):
    """Notes what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)
        self.calls: list[tuple[int, bool, bool, bool]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        channels_last = images.is_contiguous(memory_format=torch.channels_last)
        self.calls.append((len(images), self.training, torch.is_grad_enabled(), channels_last))
        logits: torch.Tensor = self.head(images)
        return logits


def fake_clock(durations: Iterator[float]) -> Callable[[], float]:
    """Ticks twice a pass: at its start, and `duration` later."""

    def ticks() -> Iterator[float]:
        now = 0.0
        for duration in durations:
            yield now
            now += duration
            yield now
            now += 100.0  # what happens between two passes is not measured

    return ticks().__next__


def test_durations_are_those_of_the_passes_without_the_warm_up() -> None:
    warm_up = [50.0] * WARM_UP_PASSES
    single = [0.30, 0.10, 0.20, 0.50, 0.40, 0.25, 0.15, 0.35, 0.45, 0.05]
    batch = [1.0] * MIN_PASSES
    found = measure(Recorder(), PROTOCOL, CPU, clock=fake_clock(iter([*warm_up, *single, *warm_up, *batch])))
    assert found.latency_ms.p50 == pytest.approx(1e3 * np.percentile(single, 50))
    assert found.latency_ms.p95 == pytest.approx(1e3 * np.percentile(single, 95))
    by_size = {one.batch_size: one.images_per_s for one in found.inference}
    assert by_size == pytest.approx({1: 1 / statistics.median(single), 16: 16.0})


@pytest.mark.parametrize(("duration", "passes"), [(10.0, MIN_PASSES), (0.125, 10), (0.0625, 16), (0.001953125, 512)])
def test_there_are_enough_passes_and_enough_seconds(duration: float, passes: int) -> None:
    model = Recorder()
    measure(model, PROTOCOL, CPU, clock=fake_clock(itertools.repeat(duration)))
    sizes = [size for size, *_ in model.calls]
    assert sizes.count(16) == passes + WARM_UP_PASSES
    assert sizes.count(1) == passes + WARM_UP_PASSES + 1  # one to count its operations


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("was_training", [False, True])
def test_the_model_runs_in_eval_without_gradients_in_the_protocols_layout(
    channels_last: bool, was_training: bool
) -> None:
    model = Recorder().train(was_training)
    measure(model, Protocol(image_size=16, channels_last=channels_last), CPU, clock=fake_clock(itertools.repeat(1.0)))
    assert model.training is was_training
    timed = model.calls[:-1]
    assert {(training, gradients) for _, training, gradients, _ in timed} == {(False, False)}
    assert {layout for size, _, _, layout in timed if size == 16} == {channels_last}


def test_a_model_that_raises_is_left_in_its_mode() -> None:
    class Bad(Recorder):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError

    model = Bad()
    with pytest.raises(RuntimeError):
        measure(model, PROTOCOL, CPU)
    assert model.training


def test_it_really_measures() -> None:
    found = measure(Recorder(), PROTOCOL, CPU)
    assert 0 < found.latency_ms.p50 <= found.latency_ms.p95 < 1000
    assert found.train_images_per_s is None
    assert found.parameters == 4


def test_gflop_that_cannot_be_counted_does_not_cost_the_trial() -> None:
    class Particular(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
                raise RuntimeError("not under a dispatch mode")
            return images[:, :1]

    found = measure(Particular(), PROTOCOL, CPU, clock=fake_clock(itertools.repeat(1.0)))
    assert found.gflop is None
    assert found.parameters == 0


def epoch(train_images: int, train_s: float) -> Epoch:
    return Epoch(epoch=1, train_loss=0.0, val_iou_pooled=None, val_iou_batch_mean=None,
                 train_images=train_images, train_s=train_s, val_s=1.0)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([], None), ([4.0], 25.0), ([100.0, 4.0], 25.0), ([100.0, 4.0, 2.0], 37.5), ([100.0, 1.0, 4.0, 2.0], 50.0)],
)
def test_training_throughput_is_the_median_without_the_first_epoch(
    seconds: list[float], expected: float | None
) -> None:
    assert training_throughput([epoch(100, one) for one in seconds]) == expected
