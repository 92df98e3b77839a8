"""What only a CUDA device can show; run by `make test-gpu`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from benchbird import backend, timing
from benchbird.batches import ResidentSplit
from benchbird.evaluation import predict_split
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.stopwatch import stopwatch
from benchbird.throughput.session import run_timing
from benchbird.training import Training, start_training, train
from benchbird_atrous_segnet import AtrousSegNet
from tests.split_factory import memory_split
from tests.throughput_factory import plan_of, write_plugin

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


def trained(protocol: Protocol) -> Training:
    device = torch.device("cuda")
    flags = backend.apply_protocol(protocol)
    torch.manual_seed(0)
    training = start_training(AtrousSegNet(base_channels=8).to(device), protocol)
    train_split = ResidentSplit(memory_split("train", 12, 32), protocol, device)
    val_split = ResidentSplit(memory_split("val", 12, 32), protocol, device)
    assert train_split.images.device.type == "cuda"
    train(training, train_split, val_split, protocol, seed=0, after_epoch=lambda _: backend.check_flags(flags))
    return training


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_training_in_each_precision_repeats_bit_for_bit(precision: str) -> None:
    protocol = Protocol(
        image_size=32, batch_size=4, epochs=2, precision=precision,  # type: ignore[arg-type]
        optimizer=OptimizerSettings(lr=1e-3),
    )  # fmt: skip
    first, second = trained(protocol), trained(protocol)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])


@pytest.mark.parametrize("compile", [True, "cuda_graphs"])
def test_compiled_training_repeats_and_stays_near_the_plain_one(compile: Literal[True, "cuda_graphs"]) -> None:
    plain = Protocol(image_size=32, batch_size=4, epochs=3, optimizer=OptimizerSettings(lr=1e-3))
    fast = replace(plain, compile=compile)
    first, second = trained(fast), trained(fast)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])
    losses = [epoch.train_loss for epoch in trained(plain).epochs]
    assert [epoch.train_loss for epoch in first.epochs] == pytest.approx(losses, rel=0.02)


def test_predictions_on_the_device_agree_with_the_cpu() -> None:
    protocol = Protocol(image_size=32, batch_size=4, epochs=1)
    model = trained(protocol).model
    split = memory_split("test", 9, 32)
    on_gpu = predict_split(model, split, protocol, torch.device("cuda")).scores()
    on_cpu = predict_split(model.cpu(), split, protocol, torch.device("cpu")).scores()
    assert on_gpu.iou_pooled == pytest.approx(on_cpu.iou_pooled, abs=1e-3)


def test_timing_reads_the_device_memory() -> None:
    protocol = Protocol(image_size=32, batch_size=4)
    measured = timing.measure(AtrousSegNet(base_channels=8).cuda(), protocol, torch.device("cuda"))
    assert measured.peak_memory_bytes == torch.cuda.max_memory_allocated()
    assert measured.latency_ms.p95 >= measured.latency_ms.p50 > 0


def test_the_full_form_of_timing_knows_memory_peak_and_largest_batch(tmp_path: Path) -> None:
    plan = plan_of("plain", "calibrated", plugin=write_plugin(tmp_path), batch_sizes=(1, 4), device="cuda",
                   precisions=("fp32", "tf32", "bf16"))  # fmt: skip
    report = run_timing(plan, lambda _: None)
    assert [row.key for row in report.rows] == list(plan.rows)
    assert report.failures == ()
    assert report.peak is not None and report.environment is not None and report.environment.accelerator
    assert all(value > 0 for value in report.peak.gflop_per_s.values())
    for row in report.rows:
        assert 0 < row.figures.p50_ms <= row.figures.p99_ms
        assert row.memory_bytes is not None and row.memory_bytes > 0
    assert len(report.largest) == 3 * (1 + 2)
    assert all(one.batch_size >= 4 for one in report.largest)


def test_an_iteration_on_the_device_is_timed_by_events() -> None:
    device = torch.device("cuda")
    matrix = torch.rand(2048, 2048, device=device)
    watch = stopwatch(device, clock=lambda: pytest.fail("the clock was asked"))
    watch(lambda: matrix @ matrix)
    one, ten = (watch(lambda: [matrix @ matrix for _ in range(count)]) for count in (1, 10))  # noqa: B023
    assert 0 < one < ten
